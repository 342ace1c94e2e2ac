"""Seed problems: five equations in five unknowns with whole solutions, the first of which is needed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from fractions import Fraction

from hammerlib.systems.evolmath.linear import is_necessary, rank
from hammerlib.systems.evolmath.problem import VARIABLES, Item, Part, Relation

LOWEST, HIGHEST = 1, 20  # of each unknown
_WHOLE = (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)
COEFFICIENTS = (*map(Fraction, _WHOLE), Fraction(-1, 2), Fraction(1, 2))


def draw_rows(rng: random.Random) -> list[list[Fraction]]:
    """Draw the coefficients of five equations: four over x, y, z, m with one to three terms, one with n.

    Which terms, how many and which coefficients are uniform (the paper's code; its distribution of the
    number of terms is not documented).

    Examples
    --------
    >>> rows = draw_rows(random.Random(0))
    >>> [len(rows), all(row[4] == 0 for row in rows[:4]), rows[4][4] != 0]
    [5, True, True]
    """
    rows = [_row(rng, rng.sample(range(4), rng.randint(1, 3))) for _ in range(4)]
    return [*rows, _row(rng, [*rng.sample(range(4), rng.randint(1, 2)), 4])]


def _row(rng: random.Random, columns: Sequence[int]) -> list[Fraction]:
    row = [Fraction(0)] * len(VARIABLES)
    for column in columns:
        row[column] = rng.choice(COEFFICIENTS)
    return row


def seed_problem(
    rng: random.Random, necessary: Callable[[Sequence[Sequence[Fraction]]], bool] = is_necessary
) -> Item:
    """Draw systems until one has a unique solution for which the first equation is needed.

    Parameters
    ----------
    rng : random.Random
    necessary : callable
        The test; `linear.released_is_necessary` repeats the released slip.

    Returns
    -------
    Item
        In symbols; the answer is the value of n, a whole number from 1 to 20.

    Examples
    --------
    >>> item = seed_problem(random.Random(1))
    >>> 1 <= item.answer <= 20, item.parts[0].noise
    (True, ())
    """
    while True:
        rows = draw_rows(rng)
        if rank([row[:4] for row in rows[:4]]) == 4 and necessary(rows):
            break
    solution = [rng.randint(LOWEST, HIGHEST) for _ in VARIABLES]
    equations = [
        Relation(
            tuple((name, value) for name, value in zip(VARIABLES, row, strict=True) if value),
            sum((a * b for a, b in zip(row, solution, strict=True)), Fraction(0)),
        )
        for row in rows
    ]
    return Item((Part(tuple(equations)),), operators=("seed",))
