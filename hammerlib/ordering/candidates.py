"""For every item the few items that an optimal path may put beside it, from blocked products.

The path is closed to a tour by one more node, the dummy, whose cost to every item is zero (its number is n).
Nodes have prices ``v``; what counts for a place beside item i is the reduced cost ``c_ij - v_j``.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

from hammerlib.runs.storage import progress_off, tell_progress
from hammerlib.similarity import Array, host, namespace

compiled = njit(cache=True, nogil=True)
# Sums and minima may be reordered, which puts them on vector units; vectors hold no NaN.
compiled_sums = njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
compiled_minima = njit(cache=True, nogil=True, fastmath={"reassoc", "nnan", "nsz"})


BLOCK_BYTES = 64 << 20  # of products alive at a time
CHUNK = 32  # columns whose minimum is looked at first
SPREAD = 2654435761  # Knuth's multiplicative hash


@functools.cache
def tell_compilation() -> None:
    """Say, where no compiled code lies in the cache yet, why the first use takes its time.

    As progress is told: not in logs, nor in executed notebooks, which would keep it.
    """
    if not any(Path(_gather._cache.cache_path).glob("candidates._gather-*.nbi")):
        text = "hammerlib compiles its path solver, once on this machine: about ten seconds to a minute"
        tell_progress(text)
        if not progress_off():
            print(text, file=sys.stderr, flush=True)


class OutOfTime(Exception):
    """The deadline passed before a search was through; nothing of it is kept."""


@dataclass(frozen=True)
class Candidates:
    """The cheapest neighbours of every node by reduced cost, cheapest first."""

    columns: np.ndarray  # (n + 1, k) int32; row n is the dummy's, number n stands for the dummy
    reduced: np.ndarray  # (n + 1, k) c_ij - v_j, in the precision of the rows


@compiled_minima
def _lowest(products: np.ndarray, prices: np.ndarray, start: int, stop: int) -> float:
    low = np.float32(np.inf)
    for column in range(start, stop):
        low = min(low, products[column] - prices[column])
    return low


@compiled
def _offer(columns: np.ndarray, reduced: np.ndarray, count: int, column: int, value: float) -> int:
    """Insert a candidate among the `count` cheapest so far, which are sorted; return how many there are."""
    k = len(columns)
    rank = count if count < k else k - 1
    while rank > 0 and reduced[rank - 1] > value:
        columns[rank], reduced[rank] = columns[rank - 1], reduced[rank - 1]
        rank -= 1
    columns[rank], reduced[rank] = column, value
    return min(count + 1, k)


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
        count, worst = 1, np.inf if k > 1 else reduced[row, 0]
        # Equal items would all list the same first k of equal columns: each row starts elsewhere instead.
        start = begin = ((first + row) * SPREAD) % width
        stop = width
        while True:
            end = min(start + CHUNK, stop)
            if _lowest(products[row], prices, start, end) < worst:
                for column in range(start, end):
                    value = products[row, column] - prices[column]
                    if value < worst and column != first + row:
                        count = _offer(columns[row], reduced[row], count, column, value)
                        worst = reduced[row, k - 1] if count == k else np.inf
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
    """Return the k cheapest neighbours of every node."""
    n, k = len(rows), min(k, len(rows))
    kind = np.float64 if rows.dtype == np.float64 else np.float32  # a tensor's type equals neither
    ends = np.zeros(n) if ends is None else ends
    offsets = (-ends if offsets is None else offsets).astype(kind)
    columns, reduced = np.empty((n + 1, k), np.int32), np.empty((n + 1, k), kind)
    single = prices.astype(kind)
    for start, products in _blocks(rows, deadline):
        block = slice(start, start + len(products))
        if namespace(rows) is np:
            _smallest(products, start, single, offsets[block], columns[block], reduced[block])
        else:
            columns[block], reduced[block] = _smallest_tensor(products, start, prices, offsets[block], k)
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
    price = xp.as_tensor(prices, dtype=products.dtype, device=products.device)
    shift = xp.as_tensor(offsets, dtype=products.dtype, device=products.device)
    own = xp.arange(len(products), device=products.device)
    values = products - price[:-1]
    values[own, own + first] = float("inf")
    values = xp.cat([values, (-price[-1] - shift)[:, None]], dim=1)
    best = xp.topk(values, k, dim=1, largest=False, sorted=True)
    return host(best.indices).astype(np.int32), host(best.values).astype(np.float32)


SWEEPS = 400  # over the sparse graph, at most
BLOCK = 40  # sweeps that must gain something together
MOMENTUM = 0.85
STILL = 5e-4  # of the costs' spread, an edge
KEPT = 24  # edges a node that one graph hands on to the next: without them later lists forget good edges

Edges = tuple[np.ndarray, np.ndarray, np.ndarray]  # left, right, cost
Graph = tuple[np.ndarray, np.ndarray, np.ndarray]  # starts, neighbours, costs: rows of neighbours


def candidate_edges(candidates: Candidates, costs: np.ndarray) -> Edges:
    """Return every candidate as an edge (left, right, cost); `costs` has the shape of the candidates."""
    nodes, k = candidates.columns.shape
    return np.repeat(np.arange(nodes, dtype=np.int32), k), candidates.columns.ravel(), costs.ravel()


@compiled
def _gather(
    nodes: int, left: np.ndarray, right: np.ndarray, costs: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return both directions of all edges by rows, repeated ones once."""
    begins = np.zeros(nodes + 1, np.int64)
    for edge in range(len(left)):
        begins[left[edge] + 1] += 1
        begins[right[edge] + 1] += 1
    begins = np.cumsum(begins)
    other, cost = np.empty(2 * len(left), np.int32), np.empty(2 * len(left), costs.dtype)
    room = begins[:-1].copy()
    for edge in range(len(left)):
        a, b = left[edge], right[edge]
        other[room[a]], cost[room[a]] = b, costs[edge]
        room[a] += 1
        other[room[b]], cost[room[b]] = a, costs[edge]
        room[b] += 1
    starts, seen, kept = np.zeros(nodes + 1, np.int64), np.full(nodes, -1, np.int32), 0
    for node in range(nodes):
        for slot in range(begins[node], begins[node + 1]):
            if seen[other[slot]] != node:
                seen[other[slot]] = node
                other[kept], cost[kept] = other[slot], cost[slot]
                kept += 1
        starts[node + 1] = kept
    return starts, other[:kept].copy(), cost[:kept].copy()


def sparse_graph(nodes: int, *parts: Edges, kind: type = np.float32) -> Graph:
    """Return the symmetric graph of all given edges, each once."""
    left, right, cost = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _gather(nodes, left.astype(np.int32), right.astype(np.int32), cost.astype(kind))


@compiled
def _cheapest(
    starts: np.ndarray, neighbours: np.ndarray, costs: np.ndarray, prices: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of each row's k cheapest edges by ``c_ij - v_j``, and how many there are."""
    nodes = len(starts) - 1
    chosen, counts = np.empty((nodes, k), np.int64), np.zeros(nodes, np.int64)
    for node in range(nodes):
        offers = np.empty(k)
        for edge in range(starts[node], starts[node + 1]):
            value = costs[edge] - prices[neighbours[edge]]
            if counts[node] < k or value < offers[k - 1]:
                counts[node] = _offer(chosen[node], offers, counts[node], edge, value)
    return chosen, counts


def kept_edges(graph: Graph, prices: np.ndarray, k: int = KEPT) -> Edges:
    """Return the k edges of smallest reduced cost ``c_ij - v_j`` of every node of a graph."""
    chosen, counts = _cheapest(*graph, prices, k)
    filled = np.arange(k) < counts[:, None]
    left = np.repeat(np.arange(len(prices), dtype=np.int32), counts)
    return left, graph[1][chosen[filled]], graph[2][chosen[filled]]


def cheapest_neighbours(graph: Graph, prices: np.ndarray, k: int) -> np.ndarray:
    """Return up to k neighbours of every node by rising ``c_ij - v_i - v_j``, shape (n + 1, <= k) int32."""
    chosen, counts = _cheapest(*graph, prices, k)
    return graph[1][chosen[:, : counts.min()]]


@compiled
def _sweep(
    starts: np.ndarray, neighbours: np.ndarray, costs: np.ndarray, prices: np.ndarray, proposed: np.ndarray
) -> float:
    """Fill the prices after one damped step; return the sparse graph's dual value before it."""
    value = 0.0
    for node in range(len(starts) - 1):
        first = second = third = np.inf
        for edge in range(starts[node], starts[node + 1]):
            offer = costs[edge] - prices[neighbours[edge]]
            if offer < first:
                first, second, third = offer, first, second
            elif offer < second:
                second, third = offer, second
            elif offer < third:
                third = offer
        # dual value: sum_i v_i + 1/2 (two cheapest offers c_ij - v_j)
        value += prices[node] + 0.5 * (first + second)
        third = third if third < np.inf else second
        # between the second and the third offer the node would take just two; half the way there
        proposed[node] = 0.5 * prices[node] + 0.25 * (second + third)
    return value


def sweep_prices(graph: Graph, prices: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the prices of the best dual value seen in damped sweeps over a sparse graph, and that value.

    Sweeps carry their last move on (heavy ball, ours): without it the few items that suit everyone take
    thousands of sweeps to become dear enough.
    """
    best = prices.copy()
    best_value = before = -np.inf
    now = prices.astype(np.float64)
    moved = np.zeros(len(prices))
    enough = STILL * len(prices) * float(graph[2].std())
    for sweep in range(SWEEPS + 1):
        proposed = np.empty(len(prices))
        value = _sweep(*graph, now, proposed)
        if value > best_value:
            best = now
            best_value = value
        if sweep % BLOCK == BLOCK - 1:
            if best_value - before < enough:
                break
            before = best_value
        # heavy ball: v <- v + (step + momentum * last move)
        moved = proposed + MOMENTUM * moved - now
        now = now + moved
    return best, best_value
