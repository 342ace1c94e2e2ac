"""The operators on any set of problems, such as GSM8K: sentences that bind nothing, before the question."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from hammerlib.errors import InputError
from hammerlib.problems import make_table
from hammerlib.systems.evolmath.operators import FAR, NEAR, background, irrelevant, misleading
from hammerlib.systems.evolmath.phrases import CONFUSED, ESTIMATE, THEMES, USELESS
from hammerlib.systems.evolmath.problem import Statement
from hammerlib.systems.evolmath.stories import Passage, Story

if TYPE_CHECKING:
    from datasets import Dataset

CONTROL = "Read the problem with care before you answer."


@dataclasses.dataclass(frozen=True)
class Disturbed:
    """A public problem with added sentences (ours).

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


def _noted(story: Story, name: str, *noise: Statement) -> Story:
    last = dataclasses.replace(story.passages[-1], noise=(*story.passages[-1].noise, *noise))
    return dataclasses.replace(
        story, passages=(*story.passages[:-1], last), operators=(*story.operators, name)
    )


def _control(story: Story, rng: random.Random) -> Story:
    return _noted(story, "control", Statement("control", CONTROL))


def _approximate(story: Story, rng: random.Random) -> Story:
    """An estimate: the answer plus or minus 10 to 30, and not below zero where the answer is not."""
    answer = story.answer
    if answer is None or answer.denominator != 1:
        return story
    off = rng.randint(NEAR, FAR)
    value = str(answer + (off if rng.random() < 0.5 or 0 <= answer < off else -off))
    return _noted(story, "approximate", Statement("approximate", ESTIMATE.format(value=value), value=value))


def _useless(story: Story, rng: random.Random) -> Story:
    theme = THEMES[rng.choice(sorted(THEMES))]
    things = [theme[key] for key in ("a", "b")]
    left = f"Elsewhere, {rng.randint(2, 9)} times the number of {things[0]} plus the number of {things[1]}"
    return _noted(
        story, "useless", Statement("useless", USELESS.format(left=left, right=rng.randint(20, 90)))
    )


def _confused(story: Story, rng: random.Random) -> Story:
    """Two vague remarks about what the text speaks of; not the value that a crossover will replace."""
    passage = story.passages[-1]
    others = sorted({_shown(one) for one in passage.numbers} - {_shown(passage.number)})
    names = ["the first figure", "the result", *(f"the figure {one}" for one in others)]
    remarks = []
    for phrase in rng.sample(CONFUSED, 2):
        one, other = rng.sample(names, 2)
        text = phrase.format(one=one, other=other)
        remarks.append(Statement("confused", text[0].upper() + text[1:]))
    return _noted(story, "confused", *remarks)


def _shown(number: Fraction | None) -> str:
    return "" if number is None else str(number if number.denominator == 1 else float(number))


# What makes a public problem in the first generation; the three of `operators.REPEATED` follow.
ON_TEXT: tuple[Callable[[Story, random.Random], Story], ...] = (_approximate, _useless, _confused)
# control: words that ask for nothing, to tell the effect of a distractor from that of any added sentence.
_BY_NAME: dict[str, Callable[[Story, random.Random], Story]] = {
    "control": _control,
    "approximate": _approximate,
    "useless": _useless,
    "confused": _confused,
    "misleading": misleading,
    "background": background,
    "irrelevant": irrelevant,
}
OPERATORS = tuple(_BY_NAME)


def disturb(prompt: str, answer: str, operators: Sequence[str], rng: random.Random) -> Disturbed:
    """Add sentences to a problem; numbers and question stay as they are, and so does the answer.

    The operators of arXiv 2508.13003 one at a time, by phrase banks (ours) where the paper asks a model.

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
    unknown = [name for name in operators if name not in _BY_NAME]
    if unknown:
        raise InputError("operators", unknown[0], "is unknown", f"use {', '.join(OPERATORS)}")
    story = Story((Passage("", prompt, answer),))
    for name in operators:
        story = _BY_NAME[name](story, rng)
    return Disturbed(story.text(), story.shortcut, story.operators)


def disturb_table(table: Dataset, operators: Sequence[str], *, seed: int = 0) -> Dataset:
    """Apply operators to every problem of a table; ids tell the operators, answers and scorers stay.

    For one operator's own effect (ours); `evolve_table` is the whole pipeline.

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
