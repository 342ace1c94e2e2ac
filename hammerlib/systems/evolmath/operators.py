"""The operators: each adds what does not bind, or tells the same in words; none changes an answer."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TypeVar

from hammerlib.errors import InputError
from hammerlib.systems.evolmath.phrases import (
    BACKGROUND,
    CONFUSED,
    FUZZY_SIGNS,
    IRRELEVANT,
    MISLEADING,
    THEMES,
)
from hammerlib.systems.evolmath.problem import TARGET, UNUSED, Item, Part, Relation, Statement, solve
from hammerlib.systems.evolmath.stories import Story

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
    >>> from hammerlib.systems.evolmath.seeds import seed_problem
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
    >>> from hammerlib.systems.evolmath.seeds import seed_problem
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
    >>> from hammerlib.systems.evolmath.seeds import seed_problem
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
    >>> from hammerlib.systems.evolmath.seeds import seed_problem
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
    >>> from hammerlib.systems.evolmath.seeds import seed_problem
    >>> rng = random.Random(0); misleading(seed_problem(rng), rng).extras[0].kind
    'misleading'
    """
    return _with_extras(item, "misleading", _fresh(item, MISLEADING, 1, rng))


def background(item: Kind, rng: random.Random) -> Kind:
    """Put a story of fewer than 100 words in front; of a public problem as well.

    Examples
    --------
    >>> from hammerlib.systems.evolmath.seeds import seed_problem
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
    >>> from hammerlib.systems.evolmath.seeds import seed_problem
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
    >>> from hammerlib.systems.evolmath.seeds import seed_problem
    >>> is_needed(seed_problem(random.Random(3)))
    True
    """
    before = [None, *item.answers[:-1]]
    parts = [part.with_number(answer) for part, answer in zip(item.parts, before, strict=True)]
    return all(solve(part.equations[1:]) is None for part in parts)
