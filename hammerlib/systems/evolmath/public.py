"""The operators on any set of problems, such as GSM8K: sentences that bind nothing, before the question."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hammerlib.errors import InputError
from hammerlib.problems import make_table
from hammerlib.systems.evolmath.operators import FAR, NEAR
from hammerlib.systems.evolmath.phrases import BACKGROUND, ESTIMATE, IRRELEVANT, MISLEADING, THEMES, USELESS

if TYPE_CHECKING:
    from datasets import Dataset

# control: words that ask for nothing, to tell the effect of a distractor from that of any added sentence.
OPERATORS = ("control", "approximate", "useless", "misleading", "background", "irrelevant")
CONTROL = "Read the problem with care before you answer."
_QUESTION = re.compile(r"(?<=[.!?])\s+(?=[^.!?]*\?\s*$)")
_INTEGER = re.compile(r"-?\d+")


@dataclasses.dataclass(frozen=True)
class Disturbed:
    """A public problem with added sentences.

    Attributes
    ----------
    prompt : str
    shortcut : str
        What the fuzzy sentence suggests; "" without one.
    added : tuple of str
        Operator of each addition.

    Examples
    --------
    >>> Disturbed("1 + 1?", "", ()).shortcut
    ''
    """

    prompt: str
    shortcut: str
    added: tuple[str, ...]


def disturb(prompt: str, answer: str, operators: Sequence[str], rng: random.Random) -> Disturbed:
    """Add sentences to a problem; numbers and question stay as they are, and so does the answer.

    Parameters
    ----------
    prompt, answer : str
        A gold that is no whole number gets no estimate.
    operators : sequence of str
        Of `OPERATORS`. ``background`` goes in front, the others before the last question (or to the front,
        where the text does not end with a question of its own).
    rng : random.Random

    Returns
    -------
    Disturbed

    Raises
    ------
    InputError
        An unknown operator.

    Examples
    --------
    >>> rng = random.Random(1)
    >>> disturb("Ann has 3 figs. How many figs are there?", "3", ["approximate"], rng).prompt
    'Ann has 3 figs. A quick estimate puts the result at about 17. How many figs are there?'
    """
    unknown = [name for name in operators if name not in OPERATORS]
    if unknown:
        raise InputError("operators", unknown[0], "is unknown", f"use {', '.join(OPERATORS)}")
    sentences, front, shortcut, added = [], [], "", []
    for name in operators:
        if name == "approximate":
            if not _INTEGER.fullmatch(answer.replace(",", "")):
                continue
            shortcut = _estimate(int(answer.replace(",", "")), rng)
            sentences.append(ESTIMATE.format(value=shortcut))
        elif name == "background":
            front.append(rng.choice(BACKGROUND))
        else:
            sentences.append(_sentence(name, rng))
        added.append(name)
    head, *question = _QUESTION.split(prompt.strip(), maxsplit=1)
    body = [head, *sentences, *question] if question else [*sentences, head]
    return Disturbed(" ".join([*front, *body]), shortcut, tuple(added))


def _estimate(answer: int, rng: random.Random) -> str:
    """The answer plus or minus 10 to 30, and not below zero where the answer is not."""
    off = rng.randint(NEAR, FAR)
    return str(answer + (off if rng.random() < 0.5 or 0 <= answer < off else -off))


def _sentence(name: str, rng: random.Random) -> str:
    if name == "control":
        return CONTROL
    if name == "misleading":
        return rng.choice(MISLEADING)
    if name == "irrelevant":
        return " ".join(rng.sample(IRRELEVANT, 3))
    theme = THEMES[rng.choice(sorted(THEMES))]
    things = [theme[key] for key in ("a", "b", "c")]
    left = f"Elsewhere, {rng.randint(2, 9)} times the number of {things[0]} plus the number of {things[1]}"
    return USELESS.format(left=left, right=rng.randint(20, 90))


def disturb_table(table: Dataset, operators: Sequence[str], *, seed: int = 0) -> Dataset:
    """Apply operators to every problem of a table; ids tell the operators, answers and scorers stay.

    Parameters
    ----------
    table : datasets.Dataset
        Problem table.
    operators : sequence of str
    seed : int
        Each problem draws on its own, from this and its id.

    Returns
    -------
    datasets.Dataset
        With ``shortcut`` and ``operators`` in the metadata, beside what was there.

    Raises
    ------
    InputError
        An unknown operator.

    Examples
    --------
    >>> from hammerlib.problems import load_problems
    >>> table = load_problems("reasoning-gym:nano", n=3)
    >>> disturb_table(table, ["irrelevant"])["answer"][:] == table["answer"][:]
    True
    """
    rows = []
    for row in table:
        key = hashlib.sha256(f"{seed} {row['id']}".encode()).hexdigest()
        made = disturb(row["prompt"], row["answer"], operators, random.Random(int(key[:16], 16)))
        notes = json.loads(row.get("metadata") or "{}")
        notes |= {"operators": list(made.added), "shortcut": made.shortcut}
        new = {
            "id": f"{row['id']}+{'+'.join(operators)}",
            "prompt": made.prompt,
            "source": f"evolmath:{row['source']}",
            "metadata": json.dumps(notes, ensure_ascii=False, sort_keys=True),
        }
        rows.append({**row, **new})
    return make_table(rows)
