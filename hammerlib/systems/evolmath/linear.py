"""Exact linear systems over fractions: rank, solution, and whether an equation is needed."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from hammerlib.errors import InputError

Row = Sequence[Fraction | int]


def reduced(rows: Sequence[Row]) -> list[list[Fraction]]:
    """Return the rows of the reduced echelon form that are not zero.

    Examples
    --------
    >>> reduced([[2, 4], [1, 2]])
    [[Fraction(1, 1), Fraction(2, 1)]]
    """
    left = [[Fraction(value) for value in row] for row in rows]
    done: list[list[Fraction]] = []
    for column in range(len(rows[0]) if rows else 0):
        pivot = next((row for row in left if row[column]), None)
        if pivot is None:
            continue
        left.remove(pivot)
        pivot = [value / pivot[column] for value in pivot]
        left = [[a - row[column] * b for a, b in zip(row, pivot, strict=True)] for row in left]
        done = [[a - row[column] * b for a, b in zip(row, pivot, strict=True)] for row in done]
        done.append(pivot)
    return done


def rank(rows: Sequence[Row]) -> int:
    """Return the rank of a matrix, exactly.

    Examples
    --------
    >>> rank([[1, 2], [Fraction(1, 2), 1], [0, 1]])
    2
    """
    return len(reduced(rows))


def value_of(rows: Sequence[Row], right: Row, unknown: int) -> Fraction | None:
    """Return the one value that a system gives an unknown; None where it leaves it open.

    Parameters
    ----------
    rows : (equations, unknowns) of numbers
    right : (equations,) of numbers
    unknown : int
        Column.

    Raises
    ------
    InputError
        The equations contradict each other.

    Examples
    --------
    >>> value_of([[1, 1], [1, -1]], [3, 1], 1), value_of([[1, 1]], [3], 0)
    (Fraction(1, 1), None)
    """
    width = len(rows[0])
    found = reduced([[*row, one] for row, one in zip(rows, right, strict=True)])
    if any(not any(row[:width]) for row in found):
        remedy = "drop one of them"
        raise InputError("equations", len(rows), "contradict each other", remedy)
    for row in found:
        if [column for column in range(width) if row[column]] == [unknown]:
            return row[width]
    return None


def is_necessary(rows: Sequence[Row], target: int = -1) -> bool:
    """Tell whether the first equation is needed for the value of an unknown.

    The released pipeline's condition (arXiv 2508.13003), in an exact form of ours: equation 5, without the
    unknown it introduces, must not follow from equations 2 to 4, that is
    rank([A2..A4; c]) > rank([A2..A4]) with c the coefficients of the last equation without the target.

    Parameters
    ----------
    rows : (5, 5) of numbers
        The last one holds the target, the others do not.
    target : int
        Column of the unknown that is asked for.

    Examples
    --------
    >>> is_necessary([[1, 0, 0], [0, 1, 0], [1, 1, 1]]), is_necessary([[1, 0, 0], [0, 1, 0], [0, 1, 1]])
    (True, False)
    """
    middle = [list(row) for row in rows[1:-1]]
    last = list(rows[-1])
    last[target] = 0
    return rank([*middle, last]) > rank(middle)


def released_is_necessary(rows: Sequence[Row], target: int = -1) -> bool:
    """Tell what the released code takes for the same: wrong in both directions, kept for comparison.

    It cuts equations 2 to 4 down to the columns of the last equation and compares the rank with their number.

    Parameters
    ----------
    rows : (5, 5) of numbers
    target : int

    Examples
    --------
    >>> rows = [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0], [4, 0, -4, 0, 0], [2, 0, -2, 0, 2]]
    >>> released_is_necessary(rows), is_necessary(rows)
    (True, False)
    """
    place = target % len(rows[-1])
    used = [column for column, value in enumerate(rows[-1]) if value and column != place]
    return rank([[row[column] for column in used] for row in rows[1:-1]]) < len(used)
