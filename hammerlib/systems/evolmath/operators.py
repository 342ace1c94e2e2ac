"""The operators, on systems and on public problems: each adds what does not bind; none changes an answer."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from hammerlib.errors import InputError
from hammerlib.problems import make_table
from hammerlib.systems.evolmath.problem import (
    BANKS,
    TARGET,
    THEMES,
    UNUSED,
    VARIABLES,
    Item,
    Part,
    Passage,
    Relation,
    Statement,
    Story,
    seeded,
    solve,
)

if TYPE_CHECKING:
    from datasets import Dataset

NEAR = 10  # a fuzzy relation's right side is off by so much at least
FAR = 30  # and at most
CONTROL = "Read the problem with care before you answer."
_SYMBOL = re.compile(r"\b[xyz]\b")
Kind = TypeVar("Kind", Item, Story)
Operator = Callable[[Kind, random.Random], Kind]


# On systems


def approximate(item: Item, rng: random.Random) -> Item:
    """Add a fuzzy relation about n to the last part, which binds nothing and invites a shortcut.

    Step 2 of the released pipeline (arXiv 2508.13003, ``Approximate_substitution.py``). Where one of the
    first four equations fixes a single variable, the relation joins that variable and n, its right side off
    by 10 to 30; otherwise it is the last equation with another term, its right side off. The sign ``=``
    becomes one of eleven. The shortcut then differs from the answer.
    """
    part = item.parts[-1]
    while True:
        # drawn again until there is a shortcut and it is wrong
        single = [equation for equation in part.equations[:4] if len(equation.terms) == 1]
        fuzzy = _beside(rng.choice(single), rng) if single else _perturbed(part.equations[-1], rng)
        relation = replace(fuzzy, sign=rng.choice(BANKS["fuzzy_signs"]))
        made = _with_noise(item, "approximate", [Statement("approximate", relation=relation)])
        if made.shortcut not in (None, made.answer):
            return made


def _off(value: Fraction, rng: random.Random) -> Fraction:
    return value + rng.choice((-1, 1)) * rng.randint(NEAR, FAR)


def _beside(single: Relation, rng: random.Random) -> Relation:
    name, _ = single.terms[0]
    right = _off(single.right, rng)
    if rng.random() < 0.5:  # c1 * variable + c2 * n
        terms = ((name, Fraction(rng.randint(1, 5))), (TARGET, Fraction(rng.randint(1, 5))))
    else:  # n = c * variable + constant, the variable brought to the left
        terms = ((TARGET, Fraction(1)), (name, Fraction(-rng.randint(1, 5))))
    return Relation(terms, right)


def _perturbed(last: Relation, rng: random.Random) -> Relation:
    used = dict(last.terms)
    free = [name for name in VARIABLES[:-1] if name not in used]
    others = [name for name in used if name != TARGET]
    if rng.random() < 0.5:
        used.pop(rng.choice(others))
    used[rng.choice(free)] = Fraction(rng.choice((-3, -2, 2, 3)))
    terms = tuple((name, used[name]) for name in VARIABLES if name in used)
    return Relation(terms, _off(last.right, rng))


def useless(item: Item, rng: random.Random) -> Item:
    """Add three equations over things that nothing else speaks of."""
    noise = []
    for names in ((UNUSED[0],), (UNUSED[0], UNUSED[1]), (UNUSED[1], UNUSED[2])):
        terms = tuple((name, Fraction(rng.randint(1, 5))) for name in names)
        noise.append(Statement("useless", relation=Relation(terms, Fraction(rng.randint(10, 60)))))
    return _with_noise(item, "useless", noise)


def confused(item: Item, rng: random.Random) -> Item:
    """Add two vague remarks about x, y and z."""
    theme = item.parts[-1].theme
    remarks = []
    for phrase in rng.sample(BANKS["confused"], 2):
        names = [f"the number of {THEMES[theme][v]}" if theme else v for v in rng.sample("xyz", 2)]
        text = phrase.format(one=names[0], other=names[1])
        remarks.append(Statement("confused", text[0].upper() + text[1:] if theme else text))
    return _with_noise(item, "confused", remarks)


def translate(item: Item, rng: random.Random) -> Item:
    """Tell each part about the things of one theme, another one for each part.

    Remarks that speak of symbols are told again in words; equations stay what they are.
    """
    themes = rng.sample(sorted(THEMES), len(item.parts))
    parts = tuple(_in_theme(part, theme) for part, theme in zip(item.parts, themes, strict=True))
    return replace(item, parts=parts, operators=(*item.operators, "translate"))


def _in_theme(part: Part, theme: str) -> Part:
    noise = []
    for statement in part.noise:
        text = statement.text
        if not part.theme and statement.kind == "confused":
            text = _SYMBOL.sub(lambda match: f"the number of {THEMES[theme][match[0]]}", text)
        noise.append(replace(statement, text=text[:1].upper() + text[1:]))
    return replace(part, theme=theme, noise=tuple(noise))


def _with_noise(item: Item, name: str, noise: list[Statement]) -> Item:
    last = replace(item.parts[-1], noise=(*item.parts[-1].noise, *noise))
    return replace(item, parts=(*item.parts[:-1], last), operators=(*item.operators, name))


def is_needed(item: Item) -> bool:
    """Tell whether without the first equation n would stay open, in every part."""
    return all(solve(part.equations[1:]) is None for part in item.worked_out())


# On both: sentences about the whole


def misleading(item: Kind, rng: random.Random) -> Kind:
    """Add a remark that talks down what is needed; to a public problem as well."""
    return _with_extras(item, "misleading", 1, rng)


def background(item: Kind, rng: random.Random) -> Kind:
    """Put a story of fewer than 100 words in front; of a public problem as well."""
    return _with_extras(item, "background", 1, rng)


def irrelevant(item: Kind, rng: random.Random) -> Kind:
    """Add three facts from another world; to a public problem as well."""
    return _with_extras(item, "irrelevant", 3, rng)


def _with_extras(item: Kind, name: str, n: int, rng: random.Random) -> Kind:
    """Draw sentences that the problem does not hold yet; InputError where the bank is exhausted."""
    bank = BANKS[name]
    left = [text for text in bank if text not in {extra.text for extra in item.extras}]
    if len(left) < n:
        problem = f"holds all but {len(left)} of the {len(bank)} sentences already, and {n} are drawn"
        raise InputError("item", item.operators, problem, "evolve it less often")
    extras = (*item.extras, *(Statement(name, text) for text in rng.sample(left, n)))
    return replace(item, extras=extras, operators=(*item.operators, name))


# In the paper's order; all seven make a problem, the last three are repeated in a second generation.
FIRST: tuple[Operator, ...] = (approximate, useless, confused, translate)
REPEATED: tuple[Operator, ...] = (misleading, background, irrelevant)


# On public problems, such as GSM8K: sentences that bind nothing, before the question


class Disturbed(NamedTuple):
    """A public problem with added sentences (ours): what its estimate suggests, and the operators."""

    prompt: str
    shortcut: str
    added: tuple[str, ...]


def _noted(story: Story, name: str, *texts: str, value: str = "") -> Story:
    noise = tuple(Statement(name, text, value=value) for text in texts)
    last = replace(story.passages[-1], noise=story.passages[-1].noise + noise)
    return replace(story, passages=(*story.passages[:-1], last), operators=(*story.operators, name))


def _control(story: Story, rng: random.Random) -> Story:
    return _noted(story, "control", CONTROL)


def _approximate(story: Story, rng: random.Random) -> Story:
    """An estimate: the answer plus or minus 10 to 30, and not below zero where the answer is not."""
    answer = story.answer
    if answer is None or answer.denominator != 1:
        return story
    off = rng.randint(NEAR, FAR)
    if not (rng.random() < 0.5 or 0 <= answer < off):
        off = -off
    value = str(answer + off)
    return _noted(story, "approximate", BANKS["estimate"].format(value=value), value=value)


def _useless(story: Story, rng: random.Random) -> Story:
    theme = THEMES[rng.choice(sorted(THEMES))]
    left = f"Elsewhere, {rng.randint(2, 9)} times the number of {theme['a']} plus the number of {theme['b']}"
    return _noted(story, "useless", BANKS["useless"].format(left=left, right=rng.randint(20, 90)))


def _confused(story: Story, rng: random.Random) -> Story:
    """Two vague remarks about what the text speaks of; not the value that a crossover will replace."""
    passage = story.passages[-1]
    others = sorted({_written(number) for number in passage.numbers} - {_written(passage.number)})
    names = ["the first figure", "the result", *(f"the figure {number}" for number in others)]
    remarks = []
    for phrase in rng.sample(BANKS["confused"], 2):
        name, other = rng.sample(names, 2)
        text = phrase.format(one=name, other=other)
        remarks.append(text[0].upper() + text[1:])
    return _noted(story, "confused", *remarks)


def _written(number: Fraction | None) -> str:
    if number is None:
        return ""
    return str(number if number.denominator == 1 else float(number))


# What makes a public problem in the first generation; the three of `REPEATED` follow.
ON_TEXT: tuple[Callable[[Story, random.Random], Story], ...] = (_approximate, _useless, _confused)
# control: words that ask for nothing, to tell the effect of a distractor from that of any added sentence.
_BY_NAME = {operator.__name__.lstrip("_"): operator for operator in (_control, *ON_TEXT, *REPEATED)}
OPERATORS = tuple(_BY_NAME)


def disturb(prompt: str, answer: str, operators: Sequence[str], rng: random.Random) -> Disturbed:
    """Add sentences to a problem; numbers and question stay as they are, and so does the answer.

    The operators of arXiv 2508.13003 one at a time, by phrase banks (ours) where the paper asks a model.
    ``background`` goes in front, the others before the last question (or to the front, where the text does
    not end with a question of its own); a gold that is no whole number gets no estimate.
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
        Of `OPERATORS`.
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
        made = disturb(row["prompt"], row["answer"], operators, seeded(f"{seed} {row['id']}"))
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
