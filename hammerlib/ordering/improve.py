"""Local search on a tour: 2-opt and Or-opt over candidate lists, with optional kicks.

Costs are reduced (``c_ij - v_i - v_j``): differences of tours are the same, and candidate lists stop earlier.
Every change of the tour is a chain of exchanges of two edges, which are taken back in reverse when a kick
does not pay. Or-opt moves one to three nodes, on this problem mostly pairs: taking a single node out of a
path of opposites leaves two similar ones side by side.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hammerlib.ordering.compiled import compiled, compiled_sums
from hammerlib.ordering.tour import beside, exchange, move_run

NEIGHBOURS = 10  # candidates a node looks at
RUN = 3  # longest run of nodes that Or-opt moves
KICK_RUN = 30  # longest of the two neighbouring runs that a kick swaps
LEAST_GAIN = 1e-9  # costs are one fixed number per pair, so only sums of four round (1e-16)
LOG_ROWS = 4096  # exchanges that can be taken back

Move = tuple[float, int, tuple[int, int, int, int, int, int]]  # gain, exchanges logged, nodes touched


class Search(NamedTuple):
    """A tour and what its local search looks at.

    Parameters
    ----------
    rows : (n, d) float32 or float64 array
        Node number n is the dummy.
    prices : (n + 1,) float64 array
    tour, place : (n + 1,) int32 arrays
        The nodes in sequence, and where each stands.
    near : (n + 1, k) int32 array
        Candidates of each node by rising reduced cost.
    worth : (n + 1, k) float64 array
        These costs, as the search itself computes them.

    Examples
    --------
    >>> rows, tour = np.eye(2, dtype=np.float32), np.array([2, 0, 1], np.int32)
    >>> search_from(rows, np.zeros(3), tour, np.array([[1], [0], [0]], np.int32)).place.tolist()
    [1, 2, 0]
    """

    rows: np.ndarray
    prices: np.ndarray
    tour: np.ndarray
    place: np.ndarray
    near: np.ndarray
    worth: np.ndarray


def search_from(rows: np.ndarray, prices: np.ndarray, tour: np.ndarray, near: np.ndarray) -> Search:
    """Return the local search that begins at a tour, which it will change.

    Parameters
    ----------
    rows, prices, tour, near
        As in :class:`Search`.

    Examples
    --------
    >>> rows, tour = np.eye(2, dtype=np.float32), np.array([2, 0, 1], np.int32)
    >>> search_from(rows, np.zeros(3), tour, np.array([[1], [0], [0]], np.int32)).worth.ravel().tolist()
    [0.0, 0.0, 0.0]
    """
    place = np.empty_like(tour)
    place[tour] = np.arange(len(tour), dtype=tour.dtype)
    return Search(rows, prices, tour, place, near, _neighbour_costs(rows, prices, near))


@compiled_sums
def _reduced(rows: np.ndarray, prices: np.ndarray, left: int, right: int) -> float:
    total = rows.dtype.type(0.0)
    if left < rows.shape[0] and right < rows.shape[0]:
        for column in range(rows.shape[1]):
            total += rows[left, column] * rows[right, column]
    return np.float64(total) - prices[left] - prices[right]


@compiled_sums
def pair_costs(rows: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the product of pairs of nodes in the rows' precision; 0 where one is the dummy.

    Parameters
    ----------
    rows : (n, d) array
        Number n is the dummy.
    left, right : (m,) int arrays
        Numbers of nodes.

    Examples
    --------
    >>> pair_costs(np.eye(2, dtype=np.float32), np.array([0, 0]), np.array([0, 2])).tolist()
    [1.0, 0.0]
    """
    costs = np.zeros(len(left), rows.dtype)
    for pair in range(len(left)):
        if left[pair] < rows.shape[0] and right[pair] < rows.shape[0]:
            total = rows.dtype.type(0.0)
            for column in range(rows.shape[1]):
                total += rows[left[pair], column] * rows[right[pair], column]
            costs[pair] = total
    return costs


@compiled
def _neighbour_costs(rows: np.ndarray, prices: np.ndarray, near: np.ndarray) -> np.ndarray:
    worth = np.empty(near.shape, np.float64)
    for node in range(near.shape[0]):
        for rank in range(near.shape[1]):
            worth[node, rank] = _reduced(rows, prices, node, near[node, rank])
    return worth


@compiled
def _two_opt(
    state: Search,
    log: np.ndarray,
    logged: int,
    a: int,
    step: int,
) -> Move:
    """Try to exchange the edge from a in one direction; return (gain, exchanges logged, the four nodes)."""
    rows, prices, tour, place, near, worth = state
    b = beside(tour, place, a, step)
    cost = _reduced(rows, prices, a, b)
    for rank in range(near.shape[1]):
        if worth[a, rank] >= cost - LEAST_GAIN:
            break
        c = near[a, rank]
        d = beside(tour, place, c, step)
        gain = cost - worth[a, rank] + _reduced(rows, prices, c, d) - _reduced(rows, prices, b, d)
        if gain > LEAST_GAIN:
            return gain, exchange(tour, place, log, logged, a, b, c, d), (a, b, c, d, a, b)
    return 0.0, logged, (a, a, a, a, a, a)


@compiled
def _or_opt(
    state: Search,
    log: np.ndarray,
    logged: int,
    a: int,
    step: int,
) -> Move:
    """Try to move a run that begins at a and extends in one direction; return as `_two_opt`."""
    rows, prices, tour, place, near, worth = state
    p, z = beside(tour, place, a, -step), a
    cost = _reduced(rows, prices, p, a)
    for length in range(RUN):
        q = beside(tour, place, z, step)
        if q == p:
            break
        freed = cost + _reduced(rows, prices, z, q) - _reduced(rows, prices, p, q)
        for rank in range(near.shape[1]):
            if worth[a, rank] >= cost - LEAST_GAIN:
                break
            c = near[a, rank]
            inside = (place[c] - place[a]) * step % len(tour) <= length
            for straight in (True, False):
                if inside or c == (p if straight else q):
                    continue
                e = beside(tour, place, c, step if straight else -step)
                added = worth[a, rank] + _reduced(rows, prices, z, e) - _reduced(rows, prices, c, e)
                if freed - added > LEAST_GAIN:
                    logged = move_run(tour, place, log, logged, p, a, z, q, c, e, straight)
                    return freed - added, logged, (p, a, z, q, c, e)
        z = q
    return 0.0, logged, (a, a, a, a, a, a)


@compiled
def _descend(
    state: Search,
    log: np.ndarray,
    logged: int,
    queue: np.ndarray,
    waiting: np.ndarray,
    count: int,
) -> tuple[float, int]:
    """Improve from the first `count` nodes of the queue until none of them can; return (gain, logged)."""
    total, head, room = 0.0, 0, len(queue)
    while count > 0 and (len(log) == 0 or logged < len(log) - 3):
        a = queue[head]
        head = head + 1 if head + 1 < room else 0
        count -= 1
        waiting[a] = False
        for move in range(4):
            step = 1 if move % 2 == 0 else -1
            if move < 2:
                gain, logged, touched = _two_opt(state, log, logged, a, step)
            else:
                gain, logged, touched = _or_opt(state, log, logged, a, step)
            if gain > 0.0:
                total += gain
                for node in touched:
                    if not waiting[node]:
                        waiting[node] = True
                        queue[(head + count) % room] = node
                        count += 1
                break
    for rest in range(count):  # the log was full: leave no node marked
        waiting[queue[(head + rest) % room]] = False
    return total, logged


@compiled
def descend(
    state: Search,
) -> float:
    """Improve a tour in place to a local optimum of 2-opt and Or-opt; return the gain.

    Parameters
    ----------
    state : Search
        Its tour and places are changed.

    Examples
    --------
    >>> rows, tour = np.eye(4, dtype=np.float32), np.arange(5, dtype=np.int32)
    >>> descend(search_from(rows, np.zeros(5), tour, np.ones((5, 1), np.int32)))
    0.0
    """
    nodes = len(state.tour)
    queue, waiting = state.tour.copy(), np.ones(nodes, np.bool_)
    log = np.empty((0, 4), np.int32)
    return _descend(state, log, 0, queue, waiting, nodes)[0]


@compiled
def kick(
    state: Search,
    draws: np.ndarray,
) -> float:
    """Swap two short neighbouring runs, repair, and keep what got better; return the total gain.

    Parameters
    ----------
    state : Search
        Its tour and places are changed.
    draws : (kicks, 3) int64 array
        Where the first run begins, and the lengths of both.

    Examples
    --------
    >>> rows, tour = np.eye(4, dtype=np.float32), np.arange(5, dtype=np.int32)
    >>> state = search_from(rows, np.zeros(5), tour, np.ones((5, 1), np.int32))
    >>> kick(state, np.zeros((0, 3), np.int64))
    0.0
    """
    rows, prices, tour, place = state.rows, state.prices, state.tour, state.place
    nodes, total = len(tour), 0.0
    queue, waiting = np.empty(nodes, np.int32), np.zeros(nodes, np.bool_)
    log = np.empty((LOG_ROWS, 4), np.int32)
    for number in range(len(draws)):
        at, one, two = draws[number]
        p, a, z = tour[at], tour[(at + 1) % nodes], tour[(at + one) % nodes]
        q, c, e = (
            tour[(at + one + 1) % nodes],
            tour[(at + one + two) % nodes],
            tour[(at + one + two + 1) % nodes],
        )
        gain = _reduced(rows, prices, p, a) + _reduced(rows, prices, z, q) + _reduced(rows, prices, c, e)
        gain -= _reduced(rows, prices, p, q) + _reduced(rows, prices, c, a) + _reduced(rows, prices, z, e)
        logged = move_run(tour, place, log, 0, p, a, z, q, c, e, True)
        count = 0
        for node in (p, a, z, q, c, e):
            if not waiting[node]:
                waiting[node], queue[count] = True, node
                count += 1
        repaired, logged = _descend(state, log, logged, queue, waiting, count)
        if gain + repaired > LEAST_GAIN:
            total += gain + repaired
        else:
            for back in range(logged - 1, -1, -1):
                a, b, c, d = log[back]
                exchange(tour, place, log[:0], 0, a, c, b, d)
    return total
