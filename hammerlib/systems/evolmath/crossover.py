"""Crossover: one problem's answer becomes a number of the next one; in systems and in public problems."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import TypeVar

from hammerlib.errors import InputError
from hammerlib.systems.evolmath.phrases import THEMES
from hammerlib.systems.evolmath.problem import Item, Link, Part, Relation, solve
from hammerlib.systems.evolmath.stories import Story

Kind = TypeVar("Kind", Item, Story)
PLACE = 1  # the equation whose first written number is replaced: the second


def first_number(relation: Relation) -> tuple[int, Fraction]:
    """Return place and value of the first number that is written in an equation.

    A coefficient of 1 is not written; the right side (place -1) always is.

    Parameters
    ----------
    relation : Relation

    Examples
    --------
    >>> first_number(Relation((("x", Fraction(1)), ("z", Fraction(-4))), Fraction(8)))
    (1, Fraction(-4, 1))
    """
    for place, (_, coefficient) in enumerate(relation.terms):
        if abs(coefficient) != 1:
            return place, coefficient
    return -1, relation.right


def ratio(value: Fraction | int, answer: Fraction | int | None) -> Fraction:
    """Return by how much an answer must be multiplied to give a number, exactly (``rel`` of its cross.py).

    Parameters
    ----------
    value : number
        To be replaced.
    answer : number
        Of the first problem.

    Raises
    ------
    InputError
        The answer is missing or 0. (The released code then takes 1, and the number is no longer the old one.)

    Examples
    --------
    >>> ratio(6, 4), ratio(Fraction(-5, 2), 4), ratio(6, 3)
    (Fraction(3, 2), Fraction(-5, 8), Fraction(2, 1))
    """
    if not answer:
        raise InputError("answer", answer, "cannot stand for another number", "cross problems with answers")
    return Fraction(value) / Fraction(answer)


def can_cross(first: Item | Story, second: Item | Story, equation: int = PLACE) -> bool:
    """Tell whether the second problem has a number for the first one's answer to stand for.

    Neither may be 0: with an answer of 0 no ratio gives the number, and X = 0 times the answer needs none.

    Parameters
    ----------
    first, second : Item or Story
    equation : int
        As for `cross`; a public problem has none.

    Examples
    --------
    >>> from hammerlib.systems.evolmath.stories import Passage
    >>> five, none = (Story((Passage("1", text, "2"),)) for text in ("5 figs?", "Some figs?"))
    >>> can_cross(five, five), can_cross(five, none)
    (True, False)
    """
    return bool(first.answer) and bool(_number(second, equation))


def _number(second: Item | Story, equation: int) -> Fraction | None:
    if isinstance(second, Story):
        return second.passages[0].number
    return first_number(second.parts[0].equations[equation])[1]


def cross(first: Kind, second: Kind, equation: int = PLACE) -> Kind:
    """Chain two problems: a number of the second becomes X = ratio x (answer of the first).

    The released ``cross.py`` (arXiv 2508.13003). In a public problem the number is the first one written.

    Parameters
    ----------
    first, second : Item, or both Story
        Solvable; two parts in a row get different themes.
    equation : int
        Which equation takes the X. 1 is the paper's; the answer need not depend on that one (`is_linked`).
        0 is the equation that every seed needs (ours). A public problem has none.

    Returns
    -------
    Item or Story
        Its answer is the second problem's; the first's is asked for on the way. ``operators`` holds those of
        the first, those of the second, and ``cross``.

    Raises
    ------
    InputError
        The first has no answer, or 0; the second has no number there, or 0 (`can_cross`).

    Examples
    --------
    >>> from hammerlib.systems.evolmath.seeds import seed_problem
    >>> import random
    >>> rng = random.Random(0); one, two = seed_problem(rng), seed_problem(rng)
    >>> both = cross(one, two); both.answers == [one.answer, two.answer]
    True
    """
    value = _number(second, equation)
    if not value:
        raise InputError("second", str(value), "is no number that an answer can stand for", "see `can_cross`")
    times = ratio(value, first.answer)
    whole = (
        (*first.extras, *(one for one in second.extras if one not in first.extras)),
        (*first.operators, *second.operators, "cross"),
        max(first.generation, second.generation),
    )
    if isinstance(first, Story):
        told = dataclasses.replace(second.passages[0], ratio=times)
        return Story((*first.passages, told, *second.passages[1:]), *whole)
    head = second.parts[0]
    link = Link(equation, first_number(head.equations[equation])[0], times)
    head = dataclasses.replace(head, link=link)
    return Item(tuple(_apart([*first.parts, head, *second.parts[1:]])), *whole)


def is_linked(item: Item) -> bool:
    """Tell whether every part of a chain needs the answer before: without its X equation n stays open.

    Parameters
    ----------
    item : Item

    Examples
    --------
    >>> import random
    >>> from hammerlib.systems.evolmath.seeds import seed_problem
    >>> rng = random.Random(0); one, two = seed_problem(rng), seed_problem(rng)
    >>> is_linked(cross(one, two, equation=0))
    True
    """
    before = [None, *item.answers[:-1]]
    for part, answer in zip(item.parts, before, strict=True):
        if part.link is not None:
            known = part.with_number(answer).equations
            if solve(known[: part.link.equation] + known[part.link.equation + 1 :]) is not None:
                return False
    return True


def _apart(parts: list[Part]) -> list[Part]:
    """Give a part the next free theme where an earlier one tells about the same things."""
    taken: set[str] = set()
    told = []
    for part in parts:
        if part.theme and part.theme in taken:
            free = [name for name in sorted(THEMES) if name not in taken]
            part = _retold(part, free[0]) if free else part
        taken.add(part.theme)
        told.append(part)
    return told


def _retold(part: Part, theme: str) -> Part:
    noise = []
    for one in part.noise:
        text = one.text
        for name, thing in THEMES[part.theme].items():
            text = text.replace(f"number of {thing}", f"number of {THEMES[theme][name]}")
        noise.append(dataclasses.replace(one, text=text))
    return dataclasses.replace(part, theme=theme, noise=tuple(noise))


def cross_pairs(items: list[Kind], distance: int = 1) -> list[Kind]:
    """Cross neighbours in both orders: (1, 2), (3, 4) ...; at a distance of 2 (1, 3), (2, 4), (5, 7) ...

    Parameters
    ----------
    items : list of Item, or of Story
    distance : int
        1 in the first generation, 2 in the second.

    Returns
    -------
    list of Item, or of Story
        As many as before; a place whose pair is not there, or cannot be crossed, stays as it is.

    Examples
    --------
    >>> from hammerlib.systems.evolmath.seeds import seed_problem
    >>> import random
    >>> items = [seed_problem(random.Random(seed)) for seed in range(5)]
    >>> [len(one.parts) for one in cross_pairs(items)], [len(one.parts) for one in cross_pairs(items, 2)]
    ([2, 2, 2, 2, 1], [2, 2, 2, 2, 1])
    """
    made = list(items)
    for start in range(0, len(items), 2 * distance):
        for left in range(start, min(start + distance, len(items) - distance)):
            right = left + distance
            for place, first, second in ((left, left, right), (right, right, left)):
                if can_cross(items[first], items[second]):
                    made[place] = cross(items[first], items[second])
    return made
