"""CHAMP: 270 competition problems with stepwise solutions, and what four large language models wrote on them.

Source: Mao, Kim and Zhou, "CHAMP: A Competition-level Dataset for Fine-Grained Analyses of LLMs' Mathematical
Reasoning Capabilities" (arXiv 2401.06961), package champ-dataset 1.0.0 (MIT).
"""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError, check_name, need
from hammerlib.problems.table import make_table, subset

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

PROBLEMS = 270
TOPICS = ("combinatorics", "inequality", "number-theory", "polynomial", "sequence")
# A whole number after "is", "are", "equals" or an equals sign that no formula, unit or decimals follow.
_STATED = re.compile(
    r"(?:\bis|\bare|\bequals|=|\\equiv)\s*(?:only\s|exactly\s)?[\s$(\\]*(?:boxed\{)?(-?\d[\d,]*)"
    r"(?![\d,]*[\w^/*+(-]|[\d,]*\s*[+*/^x\\-]|[\d,]*\.\d)"
)
# What follows says where the value is reached.
_CLAUSE = re.compile(r",? (?:which|when|where|achieved|with equality|if)\b")


@functools.lru_cache(maxsize=1)  # 73 MB of JSON, two seconds
def _champ() -> Any:
    need("champ_dataset")
    import champ_dataset

    return champ_dataset.load("v0")


def check_champ(name: str, split: str | None, n: int | None = None) -> None:
    """Refuse an unknown topic, a part, and more problems than there are."""
    check_name("problems", f"champ:{name}", [f"champ:{topic}" for topic in ("all", *TOPICS)])
    if split not in (None, "rl"):
        raise InputError("split", split, "is no part of CHAMP, which has none", "leave it out")
    if n is not None and n > PROBLEMS:
        raise InputError("n", n, f"CHAMP has only {PROBLEMS} problems", f"ask for at most {PROBLEMS}")


def load_champ(
    name: str,
    *,
    split: str | None = None,
    n: int | None = None,
    seed: int = 0,
    columns: dict[str, str] | None = None,
) -> Dataset:
    """Return CHAMP's problems: ``champ:all``, or one of `TOPICS`.

    The answers of 79 of the 270 are whole numbers, the others formulas or words; ``solution`` holds the human
    steps, a line each, ``metadata`` the texts of the problem's concepts and hints.
    """
    check_champ(name, split)
    if columns:
        raise InputError("columns", columns, "are not read for CHAMP", "leave them out")
    champ = _champ()
    rows = []
    for key, problem in champ.problems.items():
        topic = problem.category.lower()
        if name not in ("all", topic):
            continue
        used = {entry: champ[entry].text for entry in dict.fromkeys(problem.ch_list)}
        row = {"id": key, "prompt": problem.text.strip(), "answer": problem.answer.strip()}
        row |= {"source": "champ", "topic": topic}
        row["solution"] = "\n".join(step.text for step in problem.solution.steps)
        rows.append(row | {"metadata": json.dumps(used, ensure_ascii=False, sort_keys=True)})
    return subset(make_table(rows), n, seed)


def champ_completions() -> pd.DataFrame:
    """Return the 19,440 completions of CHAMP: four models, 18 prompts, 270 problems.

    Columns ``id`` (of the problem), ``model``, ``prompt`` (``0-Shot``, ``5-Shot``, ``1/3 Soln``, ...: what
    the model was shown beside the problem), ``completion``, ``summary`` (its answer in one sentence, asked
    for afterwards; empty where the solution was cut off) and ``truncated``. The authors publish no verdict on
    them; `champ_notes` holds their notes on 540.

    Examples
    --------
    >>> from hammerlib.problems.champ import champ_completions
    >>> champ_completions().groupby("model").size().tolist()
    [4860, 4860, 4860, 4860]
    """
    import pandas as pd

    rows = []
    for key, problem in _champ().problems.items():
        for name, conversation in problem.conversations.items():
            model, _, prompt = name.partition("|")
            # Some prompts ask of concepts first; the solution and its summary come last.
            answers = [said for said in conversation.messages if said.role.startswith("Model.")]
            solution, summary = answers[-2:]
            row = {"id": key, "model": model, "prompt": prompt, "completion": solution.text or ""}
            rows.append(row | {"summary": summary.text or "", "truncated": solution.error is not None})
    return pd.DataFrame(rows)


def stated_number(summary: str) -> str | None:
    """Return the whole number that a completion's summary states as its answer.

    Parameters
    ----------
    summary : str
        Of `champ_completions`.

    Returns
    -------
    str or None
        Digits, with a sign where there is one; None where no whole number is stated, which is so for every
        third summary of the 79 problems whose answer is one.

    Notes
    -----
    Source: ours; a reading by pattern, which may be wrong where a summary states several numbers.

    Examples
    --------
    >>> stated_number("There are 5,050 triples with a+b+c=99."), stated_number("The least value is $2abc$.")
    ('5050', None)
    """
    # The first number of a sentence that names one, else what stands behind its last equals sign.
    numbers = _STATED.findall(_CLAUSE.split(summary, maxsplit=1)[0])
    if not numbers:
        return None
    there = re.match(r"\s*There (?:is|are)\b", summary)
    return numbers[0 if there else -1].replace(",", "")


def champ_notes() -> pd.DataFrame:
    """Return the human notes ("FWS") on 540 completions of CHAMP: where the first wrong step stands.

    Columns ``id``, ``model``, ``prompt``, ``completion`` and ``start``, ``end``: the characters of the first
    wrong step in the completion, -1 where no step is wrong (96 of 540).

    Examples
    --------
    >>> from hammerlib.problems.champ import champ_notes
    >>> notes = champ_notes()
    >>> len(notes), int((notes["start"] >= 0).sum())
    (540, 444)
    """
    import pandas as pd

    rows = []
    for key, problem in _champ().problems.items():
        for name, note in problem.fws_annotations.items():
            model, _, prompt = name.partition("|")
            right = note.start_idx is None
            start, end = (-1, -1) if right else (note.start_idx, note.end_idx)
            row = {"id": key, "model": model, "prompt": prompt, "completion": note.text}
            rows.append(row | {"start": start, "end": end})
    return pd.DataFrame(rows)
