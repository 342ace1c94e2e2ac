"""The operators, on systems and on public problems: each adds what does not bind; none changes an answer."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, TypeVar

from hammerlib.errors import InputError
from hammerlib.problems import make_table
from hammerlib.systems.evolmath.phrases import (
    BACKGROUND,
    CONFUSED,
    ESTIMATE,
    FUZZY_SIGNS,
    IRRELEVANT,
    MISLEADING,
    THEMES,
    USELESS,
)
from hammerlib.systems.evolmath.problem import TARGET, UNUSED, Item, Part, Relation, Statement, solve
from hammerlib.systems.evolmath.stories import Passage, Story

if TYPE_CHECKING:
    from datasets import Dataset

NEAR, FAR = 10, 30  # by how much a fuzzy relation's right side is off
_SYMBOL = re.compile(r"\b[xyz]\b")
Kind = TypeVar("Kind", Item, Story)
Operator = Callable[[Kind, random.Random], Kind]


def approximate(item: Item, rng: random.Random) -> Item:
    """Add a fuzzy relation about n to the last part, which binds nothing and invites a shortcut.

    Step 2 of the released pipeline (arXiv 2508.13003, ``Approximate_substitution.py``). Where one of the
    first four equations fixes a single variable, the relation joins that variable and n, its right side off
    by 10 to 30; otherwise it is the last equation with another term, its right side off. The sign ``=``
    becomes one of eleven.

    Parameters
    ----------
    item : Item
    rng : random.Random

    Returns
    -------
    Item
        Its `shortcut` differs from its `answer`.

    Examples
    --------
    >>> from hammerlib.systems.evolmath.problem import seed_problem
    >>> rng = random.Random(0); seed = seed_problem(rng); item = approximate(seed, rng)
    >>> item.answer == seed.answer, item.shortcut not in (None, item.answer)
    (True, True)
    """
    part = item.parts[-1]
    while True:
        single = [one for one in part.equations[:4] if len(one.terms) == 1]
        fuzzy = _beside(rng.choice(single), rng) if single else _perturbed(part.equations[-1], rng)
        added = Statement("approximate", relation=dataclasses.replace(fuzzy, sign=rng.choice(FUZZY_SIGNS)))
        made = _with_noise(item, "approximate", [added])
        if made.shortcut not in (None, made.answer):
            return made


def _off(value: Fraction, rng: random.Random) -> Fraction:
    return value + rng.choice((-1, 1)) * rng.randint(NEAR, FAR)


def _beside(single: Relation, rng: random.Random) -> Relation:
    (name, _), right = single.terms[0], _off(single.right, rng)
    if rng.random() < 0.5:  # c1 * variable + c2 * n
        terms = ((name, Fraction(rng.randint(1, 5))), (TARGET, Fraction(rng.randint(1, 5))))
    else:  # n = c * variable + constant, the variable brought to the left
        terms = ((TARGET, Fraction(1)), (name, Fraction(-rng.randint(1, 5))))
    return Relation(terms, right)


def _perturbed(last: Relation, rng: random.Random) -> Relation:
    used = dict(last.terms)
    free = [name for name in ("x", "y", "z", "m") if name not in used]
    others = [name for name in used if name != TARGET]
    if rng.random() < 0.5:
        used.pop(rng.choice(others))
    used[rng.choice(free)] = Fraction(rng.choice((-3, -2, 2, 3)))
    order = ("x", "y", "z", "m", TARGET)
    return Relation(tuple((name, used[name]) for name in order if name in used), _off(last.right, rng))


def useless(item: Item, rng: random.Random) -> Item:
    """Add three equations over things that nothing else speaks of.

    Examples
    --------
    >>> from hammerlib.systems.evolmath.problem import seed_problem
    >>> rng = random.Random(0); len(useless(seed_problem(rng), rng).parts[0].noise)
    3
    """
    pairs = [(UNUSED[0],), (UNUSED[0], UNUSED[1]), (UNUSED[1], UNUSED[2])]
    made = [
        Relation(tuple((name, Fraction(rng.randint(1, 5))) for name in names), Fraction(rng.randint(10, 60)))
        for names in pairs
    ]
    return _with_noise(item, "useless", [Statement("useless", relation=one) for one in made])


def confused(item: Item, rng: random.Random) -> Item:
    """Add two vague remarks about x, y and z.

    Examples
    --------
    >>> from hammerlib.systems.evolmath.problem import seed_problem
    >>> rng = random.Random(0); len(confused(seed_problem(rng), rng).parts[0].noise)
    2
    """
    theme, remarks = item.parts[-1].theme, []
    for phrase in rng.sample(CONFUSED, 2):
        names = [f"the number of {THEMES[theme][v]}" if theme else v for v in rng.sample("xyz", 2)]
        text = phrase.format(one=names[0], other=names[1])
        remarks.append(Statement("confused", text[0].upper() + text[1:] if theme else text))
    return _with_noise(item, "confused", remarks)


def translate(item: Item, rng: random.Random) -> Item:
    """Tell each part about the things of one theme, another one for each part.

    Remarks that speak of symbols are told again in words; equations stay what they are.

    Examples
    --------
    >>> from hammerlib.systems.evolmath.problem import seed_problem
    >>> rng = random.Random(0); "number of" in translate(seed_problem(rng), rng).text()
    True
    """
    themes = rng.sample(sorted(THEMES), len(item.parts))
    parts = tuple(_in_theme(part, theme) for part, theme in zip(item.parts, themes, strict=True))
    return dataclasses.replace(item, parts=parts, operators=(*item.operators, "translate"))


def _in_theme(part: Part, theme: str) -> Part:
    noise = []
    for one in part.noise:
        text = one.text
        if not part.theme and one.kind == "confused":
            text = _SYMBOL.sub(lambda found: f"the number of {THEMES[theme][found[0]]}", text)
        noise.append(dataclasses.replace(one, text=text[:1].upper() + text[1:]))
    return dataclasses.replace(part, theme=theme, noise=tuple(noise))


def misleading(item: Kind, rng: random.Random) -> Kind:
    """Add a remark that talks down what is needed; to a public problem as well.

    Examples
    --------
    >>> from hammerlib.systems.evolmath.problem import seed_problem
    >>> rng = random.Random(0); misleading(seed_problem(rng), rng).extras[0].kind
    'misleading'
    """
    return _with_extras(item, "misleading", _fresh(item, MISLEADING, 1, rng))


def background(item: Kind, rng: random.Random) -> Kind:
    """Put a story of fewer than 100 words in front; of a public problem as well.

    Examples
    --------
    >>> from hammerlib.systems.evolmath.problem import seed_problem
    >>> rng = random.Random(0); len(background(seed_problem(rng), rng).extras[0].text.split()) < 100
    True
    """
    return _with_extras(item, "background", _fresh(item, BACKGROUND, 1, rng))


def irrelevant(item: Kind, rng: random.Random) -> Kind:
    """Add three facts from another world; to a public problem as well.

    Raises
    ------
    InputError
        Fewer than three are left that the problem does not hold yet (so do `misleading` and `background`).

    Examples
    --------
    >>> from hammerlib.systems.evolmath.problem import seed_problem
    >>> rng = random.Random(0); len(irrelevant(seed_problem(rng), rng).extras)
    3
    """
    return _with_extras(item, "irrelevant", _fresh(item, IRRELEVANT, 3, rng))


def _fresh(item: Item | Story, bank: Sequence[str], n: int, rng: random.Random) -> list[str]:
    """Draw sentences that the problem does not hold yet."""
    left = [text for text in bank if text not in {one.text for one in item.extras}]
    if len(left) < n:
        problem = f"holds all but {len(left)} of the {len(bank)} sentences already, and {n} are drawn"
        raise InputError("item", item.operators, problem, "evolve it less often")
    return rng.sample(left, n)


def _with_noise(item: Item, name: str, noise: list[Statement]) -> Item:
    last = dataclasses.replace(item.parts[-1], noise=(*item.parts[-1].noise, *noise))
    return dataclasses.replace(item, parts=(*item.parts[:-1], last), operators=(*item.operators, name))


def _with_extras(item: Kind, name: str, texts: list[str]) -> Kind:
    extras = (*item.extras, *(Statement(name, text) for text in texts))
    return dataclasses.replace(item, extras=extras, operators=(*item.operators, name))


# In the paper's order; all seven make a problem, the last three are repeated in a second generation.
FIRST: tuple[Operator, ...] = (approximate, useless, confused, translate)
REPEATED: tuple[Operator, ...] = (misleading, background, irrelevant)


def is_needed(item: Item) -> bool:
    """Tell whether without the first equation n would stay open, in every part.

    Parameters
    ----------
    item : Item

    Examples
    --------
    >>> from hammerlib.systems.evolmath.problem import seed_problem
    >>> is_needed(seed_problem(random.Random(3)))
    True
    """
    before = [None, *item.answers[:-1]]
    parts = [part.with_number(answer) for part, answer in zip(item.parts, before, strict=True)]
    return all(solve(part.equations[1:]) is None for part in parts)


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
