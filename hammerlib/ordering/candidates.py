"""For every item the few items that an optimal path may put beside it, from blocked products.

The path is closed to a tour by one more node, the dummy, whose cost to every item is zero (its number is n).
Nodes have prices ``v``; what counts for a place beside item i is the reduced cost ``c_ij - v_j``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hammerlib.ordering.compiled import compiled, compiled_minima
from hammerlib.similarity import Array, host, namespace

BLOCK_BYTES = 64 << 20  # of products alive at a time
CHUNK = 32  # columns whose minimum is looked at first
SPREAD = 2654435761  # Knuth's multiplicative hash


class OutOfTime(Exception):
    """The deadline passed before a search was through; nothing of it is kept.

    Examples
    --------
    >>> str(OutOfTime("search"))
    'search'
    """


@dataclass(frozen=True)
class Candidates:
    """The cheapest neighbours of every node by reduced cost, cheapest first.

    Parameters
    ----------
    columns : (n + 1, k) int32 array
        Neighbours; row n is the dummy's. Number n stands for the dummy.
    reduced : (n + 1, k) float32 or float64 array
        ``c_ij - v_j``, with products in the precision of the rows.

    Examples
    --------
    >>> Candidates(np.zeros((2, 1), np.int32), np.zeros((2, 1), np.float32)).columns.shape
    (2, 1)
    """

    columns: np.ndarray
    reduced: np.ndarray


@compiled_minima
def _lowest(products: np.ndarray, prices: np.ndarray, start: int, stop: int) -> float:
    low = np.float32(np.inf)
    for column in range(start, stop):
        low = min(low, products[column] - prices[column])
    return low


@compiled
def _offer(columns: np.ndarray, reduced: np.ndarray, found: int, column: int, value: float) -> int:
    """Insert a candidate among the `found` cheapest so far, which are sorted; return how many there are."""
    k = len(columns)
    place = found if found < k else k - 1
    while place > 0 and reduced[place - 1] > value:
        columns[place], reduced[place] = columns[place - 1], reduced[place - 1]
        place -= 1
    columns[place], reduced[place] = column, value
    return min(found + 1, k)


@compiled
def _smallest(
    products: np.ndarray,
    first: int,
    prices: np.ndarray,
    offsets: np.ndarray,
    columns: np.ndarray,
    reduced: np.ndarray,
) -> None:
    """Fill k columns and reduced costs per row of a block; the dummy (cost 0) takes part."""
    width, k = products.shape[1], columns.shape[1]
    for row in range(products.shape[0]):
        columns[row, 0], reduced[row, 0] = width, -prices[width] - offsets[row]
        found, worst = 1, np.inf if k > 1 else reduced[row, 0]
        # Equal items would all list the same first k of equal columns: each row starts elsewhere instead.
        start = begin = ((first + row) * SPREAD) % width
        stop = width
        while True:
            end = min(start + CHUNK, stop)
            if _lowest(products[row], prices, start, end) < worst:
                for column in range(start, end):
                    value = products[row, column] - prices[column]
                    if value < worst and column != first + row:
                        found = _offer(columns[row], reduced[row], found, column, value)
                        worst = reduced[row, k - 1] if found == k else np.inf
            start = end
            if start == width and stop == width:
                start, stop = 0, begin
            if start == stop:
                break


def search(
    rows: Array,
    prices: np.ndarray,
    k: int,
    *,
    offsets: np.ndarray | None = None,
    ends: np.ndarray | None = None,
    deadline: float = np.inf,
) -> Candidates:
    """Return the k cheapest neighbours of every node.

    Parameters
    ----------
    rows : (n, d) array or tensor
        Vectors whose products are the costs (up to `offsets`), n >= 2; single precision is enough.
    prices : (n + 1,) float array
        The dummy's price last.
    k : int
        At most n (all other items and the dummy) are returned.
    offsets : (n,) float array, optional
        The part of row i's costs that its products leave out: it counts against the dummy.
    ends : (n,) float array, optional
        What row i costs beside the dummy, instead of 0. Not with `offsets`.
    deadline : float
        Value of ``time.monotonic()`` after which to give up.

    Returns
    -------
    Candidates

    Raises
    ------
    OutOfTime
        The deadline passed.

    Examples
    --------
    >>> search(np.eye(3, dtype=np.float32), np.zeros(4), k=1).columns[:3].ravel().tolist()
    [3, 3, 3]
    """
    n, k = len(rows), min(k, len(rows))
    kind = np.float64 if rows.dtype == np.float64 else np.float32  # a tensor's type equals neither
    ends = np.zeros(n) if ends is None else ends
    offsets = (-ends if offsets is None else offsets).astype(kind)
    columns, reduced = np.empty((n + 1, k), np.int32), np.empty((n + 1, k), kind)
    single = prices.astype(kind)
    for start, products in _blocks(rows, deadline):
        part = slice(start, start + len(products))
        if namespace(rows) is np:
            _smallest(products, start, single, offsets[part], columns[part], reduced[part])
        else:
            columns[part], reduced[part] = _smallest_tensor(products, start, prices, offsets[part], k)
    reduced[:n] += (offsets + ends.astype(kind))[:, None]
    alone = ends - prices[:n]
    cheapest = np.argsort(alone, kind="stable")[:k]
    columns[n], reduced[n] = cheapest, alone[cheapest]
    return Candidates(columns, reduced)


def _blocks(rows: Array, deadline: float) -> Iterator[tuple[int, Array]]:
    n = len(rows)
    size = int(max(16, min(1024, BLOCK_BYTES // (4 * n))))
    for start in range(0, n, size):
        if time.monotonic() > deadline:
            raise OutOfTime
        yield start, rows[start : start + size] @ rows.T


def _smallest_tensor(
    products: Array, first: int, prices: np.ndarray, offsets: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same on tensors, where they are (a GPU), by torch's own selection."""
    xp = namespace(products)
    told = xp.as_tensor(prices, dtype=products.dtype, device=products.device)
    shift = xp.as_tensor(offsets, dtype=products.dtype, device=products.device)
    own = xp.arange(len(products), device=products.device)
    values = products - told[:-1]
    values[own, own + first] = float("inf")
    values = xp.cat([values, (-told[-1] - shift)[:, None]], dim=1)
    best = xp.topk(values, k, dim=1, largest=False, sorted=True)
    return host(best.indices).astype(np.int32), host(best.values).astype(np.float32)
