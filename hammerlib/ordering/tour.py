"""A tour as an array of nodes and the place of each: neighbours, and exchanges of two edges.

Every change is a chain of exchanges, so that a change that does not pay can be taken back from a log.
"""

from __future__ import annotations

import numpy as np

from hammerlib.ordering.compiled import compiled


@compiled
def beside(tour: np.ndarray, place: np.ndarray, node: int, step: int) -> int:
    """Return the node after (step 1) or before (step -1) a node.

    Parameters
    ----------
    tour, place : (m,) int32 arrays
        The nodes in sequence, and where each stands.
    node : int
    step : {1, -1}

    Examples
    --------
    >>> tour = np.array([2, 0, 1], np.int32)
    >>> int(beside(tour, np.array([1, 2, 0], np.int32), 1, 1))
    2
    """
    at = place[node] + step
    return tour[at] if at < len(tour) else tour[0]


@compiled
def reverse_run(tour: np.ndarray, place: np.ndarray, first: int, last: int) -> None:
    """Reverse the run from node `first` on to node `last`, or what lies outside it if that is shorter.

    Parameters
    ----------
    tour, place : (m,) int32 arrays
        The nodes in sequence, and where each stands.
    first, last : int
        Nodes; the run may wrap around the end of the array.

    Examples
    --------
    >>> tour = np.arange(5, dtype=np.int32)
    >>> reverse_run(tour, tour.copy(), 1, 2); tour.tolist()
    [0, 2, 1, 3, 4]
    """
    n = len(tour)
    low, high = place[first], place[last]
    length = high - low + 1 if high >= low else high - low + 1 + n
    if 2 * length > n:
        low, high, length = (high + 1) % n, (low - 1) % n, n - length
    for _ in range(length // 2):
        a, b = tour[low], tour[high]
        tour[low], tour[high] = b, a
        place[b], place[a] = low, high
        low = low + 1 if low + 1 < n else 0
        high = high - 1 if high > 0 else n - 1


@compiled
def exchange(
    tour: np.ndarray, place: np.ndarray, log: np.ndarray, logged: int, a: int, b: int, c: int, d: int
) -> int:
    """Replace the edges ab and cd by ac and bd (b follows a as d follows c, in either direction).

    Parameters
    ----------
    tour, place : (m,) int32 arrays
        The nodes in sequence, and where each stands.
    log : (rows, 4) int32 array
        Takes the exchange down as long as it has rows left.
    logged : int
        Exchanges so far.
    a, b, c, d : int

    Examples
    --------
    >>> tour = np.arange(5, dtype=np.int32)
    >>> exchange(tour, tour.copy(), np.empty((0, 4), np.int32), 0, 0, 1, 2, 3), tour.tolist()
    (1, [0, 2, 1, 3, 4])
    """
    if beside(tour, place, a, 1) == b:
        reverse_run(tour, place, b, c)
    else:
        reverse_run(tour, place, a, d)
    if logged < len(log):
        log[logged, 0], log[logged, 1], log[logged, 2], log[logged, 3] = a, b, c, d
    return logged + 1


@compiled
def move_run(
    tour: np.ndarray,
    place: np.ndarray,
    log: np.ndarray,
    logged: int,
    p: int,
    a: int,
    z: int,
    q: int,
    c: int,
    e: int,
    straight: bool,
) -> int:
    """Move the run a..z from between p and q to between the neighbours c and e: a beside c, z beside e.

    Parameters
    ----------
    tour, place : (m,) int32 arrays
        The nodes in sequence, and where each stands.
    log : (rows, 4) int32 array
        Takes the exchange down as long as it has rows left.
    logged : int
        Exchanges so far.
    p, a, z, q, c, e : int
    straight : bool
        Whether e follows c in the direction from a to z.

    Examples
    --------
    >>> tour = np.arange(5, dtype=np.int32)
    >>> move_run(tour, tour.copy(), np.empty((0, 4), np.int32), 0, 0, 1, 1, 2, 3, 4, True)
    3
    """
    if straight:  # p [a..z] [q..c] e becomes p [q..c] [a..z] e
        logged = exchange(tour, place, log, logged, p, a, c, e)
        logged = exchange(tour, place, log, logged, p, c, q, z)
        return exchange(tour, place, log, logged, c, z, a, e)
    logged = exchange(tour, place, log, logged, p, a, e, c)  # p [a..z] [q..e] c becomes p [q..e] [z..a] c
    return exchange(tour, place, log, logged, p, e, q, z)
