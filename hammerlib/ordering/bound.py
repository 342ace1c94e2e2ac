"""A certificate: what no order of these vectors can cost less than.

Weak duality of the fractional 2-matching: a tour gives every node two different neighbours, so for any
prices v it costs ``sum_i v_i + 1/2 sum_i sum_{j beside i} (c_ij - v_j)``, and at least the same with the two
cheapest neighbours of every node. Rounding is accounted for: candidates are found in single precision, the
best of them computed again in double precision, and all others count with the largest error that a
single-precision product can have.
"""

from __future__ import annotations

import numpy as np

from hammerlib.ordering.candidates import Candidates
from hammerlib.ordering.compiled import compiled, compiled_sums
from hammerlib.similarity import Array, host

LOOKED_AT_AGAIN = 6  # candidates a row that are computed again in double precision
SINGLE, DOUBLE = 2.0**-24, 2.0**-53  # unit roundoffs


@compiled_sums
def _product(rows: np.ndarray, left: int, right: int) -> float:
    """Return the cosine of two unit rows in double precision; 0 where one is the dummy."""
    total = 0.0
    if left < rows.shape[0] and right < rows.shape[0]:
        for column in range(rows.shape[1]):
            total += np.float64(rows[left, column]) * np.float64(rows[right, column])
    return total


@compiled
def _dual(
    rows: np.ndarray,
    columns: np.ndarray,
    reduced: np.ndarray,
    prices: np.ndarray,
    ends: np.ndarray,
    error: float,
    looked: int,
) -> float:
    value, dummy = 0.0, len(prices) - 1
    for node in range(len(prices)):
        # what was not looked at again may be twice as cheap as its cheapest claims to be
        unseen = np.inf if looked == columns.shape[1] else np.float64(reduced[node, looked]) - error
        one, two = unseen, unseen
        for place in range(looked):
            other = columns[node, place]
            offer = _product(rows, node, other) - prices[other]
            if other == dummy:
                offer += ends[node]
            elif node == dummy:
                offer += ends[other]
            if offer < one:
                one, two = offer, one
            elif offer < two:
                two = offer
        value += prices[node] + 0.5 * (one + two)
    return value


def certified_bound(
    rows: np.ndarray,
    found: Candidates,
    prices: np.ndarray,
    *,
    ends: np.ndarray | None = None,
    square: float = 1.0,
) -> float:
    """Return a lower bound on the total cosine of every path through all rows.

    Parameters
    ----------
    rows : (n, d) array
        The rows that costs are made of, n >= 2.
    found : Candidates
        Of a search over all items in full dimension at these prices.
    prices : (n + 1,) float64 array
        Any prices give a valid bound, good ones a tight one.
    ends : (n,) float64 array, optional
        What the ends of a path cost, 0 each if absent; those of the search.
    square : float
        Largest squared length of a row, and largest size of `ends`: 1 for unit rows.

    Returns
    -------
    float
        Sum over the n - 1 edges of a path.

    Examples
    --------
    >>> from hammerlib.ordering.candidates import search
    >>> rows = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    >>> round(certified_bound(rows, search(rows, np.zeros(4), k=3), np.zeros(4)), 6)
    -1.0
    """
    nodes, k = found.columns.shape
    looked = k if k == nodes - 1 else min(LOOKED_AT_AGAIN, k - 1)
    largest = float(np.abs(prices).max())
    # a product of unit rows rounds d times in the precision of the search (Higham 2002, 3.5); the rows, the
    # price and the difference round once each
    unit = DOUBLE if found.reduced.dtype == np.float64 else SINGLE
    error = 1.01 * (rows.shape[1] + 3) * unit * square + 3 * unit * (square + largest)
    slack = 2 * nodes * (rows.shape[1] + 2 * nodes) * DOUBLE * (square + largest)  # of sums in double
    ends = np.zeros(len(rows)) if ends is None else ends
    return float(_dual(rows, found.columns, found.reduced, prices, ends, error, looked) - slack)


def closed_bound(units: Array) -> float:
    """Return a weak lower bound on the total cosine of every path, from the mean m alone.

    ``|x_i + x_j - 2 m|^2 >= 0`` on every edge (ours). It is far from tight: no item has a true opposite.

    Parameters
    ----------
    units : (n, d) array or tensor
        Rows of length one, n >= 2.

    Examples
    --------
    >>> round(closed_bound(np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])), 5)
    -2.0
    """
    rows = host(units)
    mean = rows.mean(axis=0, dtype=np.float64)
    along = rows @ mean
    square, edges = float(mean @ mean), len(rows) - 1
    tight = -edges - 2 * edges * square + 4 * float(along.sum()) - 4 * float(along.max())
    rounding = 8 * len(rows) * rows.shape[1] * (SINGLE if rows.dtype == np.float32 else DOUBLE)
    return max(-edges * (1 + 4 * SINGLE), tight - rounding)
