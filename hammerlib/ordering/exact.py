"""The optimum of small instances by dynamic programming (Held and Karp 1962)."""

from __future__ import annotations

import numpy as np

from hammerlib.ordering.compiled import compiled
from hammerlib.similarity import Array, host

LARGEST = 12  # n^2 2^n steps: 0.6 million


@compiled
def _best_path(costs: np.ndarray) -> np.ndarray:
    """Return a cheapest path; ``cheapest[s, i]`` is the cost of visiting the set s and ending at i."""
    n = len(costs)
    cheapest = np.full((1 << n, n), np.inf)
    before = np.zeros((1 << n, n), np.int8)
    for item in range(n):
        cheapest[1 << item, item] = 0.0
    for members in range(1, 1 << n):
        for last in range(n):
            here = cheapest[members, last]
            if here < np.inf:
                for item in range(n):
                    larger = members | (1 << item)
                    if larger != members and here + costs[last, item] < cheapest[larger, item]:
                        cheapest[larger, item] = here + costs[last, item]
                        before[larger, item] = last
    members, item = (1 << n) - 1, int(cheapest[-1].argmin())
    path = np.empty(n, np.int64)
    for place in range(n):
        path[place] = item
        members, item = members & ~(1 << item), before[members, item]
    return path


def exact_path(units: Array) -> np.ndarray:
    """Return a path of smallest summed cosine through all rows.

    Parameters
    ----------
    units : (n, d) array or tensor
        Rows of length one, 1 <= n <= 12.

    Returns
    -------
    (n,) int64 array
        Of the two directions the one that begins with the lower number.

    Examples
    --------
    >>> exact_path(np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])).tolist()
    [0, 2, 1]
    """
    rows = host(units).astype(np.float64)
    path = _best_path(rows @ rows.T)
    return path if path[0] <= path[-1] else path[::-1].copy()
