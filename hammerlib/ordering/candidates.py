"""For every item the few items that an optimal path may put beside it, from blocked products.

The path is closed to a tour by one more node, the dummy, whose cost to every item is zero (its number is n).
Nodes have prices ``v``; what counts for a place beside item i is the reduced cost ``c_ij - v_j``.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit

from hammerlib.ordering.threads import Crew
from hammerlib.runs.storage import progress_off, tell_progress
from hammerlib.similarity import Array, host, namespace

# Without the interpreter's lock, so that a crew of threads runs them side by side.
compiled = njit(cache=True, nogil=True)
# Sums and minima may be reordered, which puts them on vector units; vectors hold no NaN.
compiled_sums = njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
compiled_minima = njit(cache=True, nogil=True, fastmath={"reassoc", "nnan", "nsz"})


BLOCK_BYTES = 64 << 20  # of products of tensors alive at a time
BLOCK_ROWS = 1024  # of a block of products, and columns: 4 MB
CHUNK = 16  # products whose minimum is looked at first
SPREAD = 2654435761  # Knuth's multiplicative hash


@functools.cache
def tell_compilation() -> None:
    """Say, where no compiled code lies in the cache yet, why the first use takes its time.

    As progress is told: not in logs, nor in executed notebooks, which would keep it.
    """
    compiled_files = Path(_gather._cache.cache_path).glob("candidates._gather-*.nbi")
    since = Path(__file__).stat().st_mtime  # what was compiled before belongs to other source
    if not any(file.stat().st_mtime >= since for file in compiled_files):
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
    products: np.ndarray | None = None  # (n + 1, k) c_ij of items as they were found; 0 beside the dummy

    def first(self, k: int) -> Candidates:
        """Return the k cheapest of them."""
        return Candidates(*(np.ascontiguousarray(part[:, :k]) for part in (self.columns, self.reduced)))


@compiled
def _offer(columns: np.ndarray, reduced: np.ndarray, count: int, column: int, value: float) -> int:
    """Insert a candidate among the `count` cheapest so far, which are sorted; return how many there are."""
    k = len(columns)
    rank = count if count < k else k - 1
    # insertion sort: k is small, and most offers belong at the end
    while rank > 0 and reduced[rank - 1] > value:
        columns[rank], reduced[rank] = columns[rank - 1], reduced[rank - 1]
        rank -= 1
    columns[rank], reduced[rank] = column, value
    return min(count + 1, k)


class Lists(NamedTuple):
    """The fields of `Candidates` while they are filled."""

    columns: np.ndarray
    reduced: np.ndarray
    products: np.ndarray


@compiled
def _insert(lists: Lists, item: int, items: int, column: int, product: float, value: float) -> None:
    """Put a candidate in its place among an item's cheapest so far, if it has one there.

    Equal items would all list the same first k of equal columns: among equal costs each row counts from a
    column of its own, so that the list does not depend on the sequence of the offers.
    """
    columns, reduced, products = lists
    rank = k = columns.shape[1]
    while rank > 0 and reduced[item, rank - 1] >= value:
        if reduced[item, rank - 1] == value:
            # a hash of the item: where its row begins to count columns of equal cost
            other, first = columns[item, rank - 1], (item * SPREAD) % items
            # the dummy stands before all that cost the same
            if other == items or (other - first) % items < (column - first) % items:
                break
        rank -= 1
    if rank < k:
        for later in range(k - 1, rank, -1):
            columns[item, later] = columns[item, later - 1]
            reduced[item, later] = reduced[item, later - 1]
            products[item, later] = products[item, later - 1]
        columns[item, rank], reduced[item, rank], products[item, rank] = column, value, product


class Kinds(NamedTuple):
    """Equal rows as one kind: a product is made, and looked at, once for all copies."""

    starts: np.ndarray  # (m + 1,) int64, where the items of each kind begin
    items: np.ndarray  # (n,) int64, by kind, dearest price first
    highest: np.ndarray  # (m,) the highest price in each kind, in the precision of the rows
    prices: np.ndarray  # (n,) of the items


@compiled
def _offer_kind(lists: Lists, item: int, product: float, kind: int, kinds: Kinds) -> None:
    """Offer all items of a kind to one item."""
    last = lists.reduced.shape[1] - 1
    for slot in range(kinds.starts[kind], kinds.starts[kind + 1]):
        other = kinds.items[slot]
        value = product - kinds.prices[other]
        # dearest price first: c - v only rises from here on
        if value > lists.reduced[item, last]:
            break
        if other != item:
            _insert(lists, item, len(kinds.items), other, product, value)


@compiled_minima
def _offer_along(products: np.ndarray, row: int, column: int, kinds: Kinds, lists: Lists) -> None:
    """Offer the columns of a block of products to its rows; the block begins at kinds `row` and `column`."""
    height, width = products.shape
    reduced = lists.reduced
    last = reduced.shape[1] - 1
    highest = kinds.highest[column : column + width]
    apart = -(-width // CHUNK)
    lowest = np.empty(apart, products.dtype)
    for r in range(height):
        # the minimum of every `apart`-th column: neighbours side by side are what vector units take
        lowest[:] = products[r, :apart] - highest[:apart]
        for start in range(apart, width, apart):
            part, price = products[r, start : start + apart], highest[start : start + apart]
            for c in range(len(part)):
                lowest[c] = min(lowest[c], part[c] - price[c])
        # all copies of a row share its products
        for slot in range(kinds.starts[row + r], kinds.starts[row + r + 1]):
            item = kinds.items[slot]
            for start in range(apart):
                # most chunks hold nothing cheap enough: their columns are never looked at one by one
                if lowest[start] <= reduced[item, last]:
                    for c in range(start, width, apart):
                        if products[r, c] - highest[c] <= reduced[item, last]:
                            _offer_kind(lists, item, products[r, c], column + c, kinds)


@compiled_minima
def _offer_across(products: np.ndarray, row: int, column: int, kinds: Kinds, lists: Lists) -> None:
    """Offer the rows of a block of products to its columns."""
    height, width = products.shape
    reduced = lists.reduced
    last = reduced.shape[1] - 1
    worst, lowest = np.empty(width, products.dtype), np.empty(width, products.dtype)
    for c in range(width):
        worst[c] = _worst(kinds, column + c, reduced, last)
    for start in range(0, height, CHUNK):
        end = min(start + CHUNK, height)
        lowest[:] = products[start] - kinds.highest[row + start]
        for r in range(start + 1, end):
            price = kinds.highest[row + r]
            for c in range(width):
                lowest[c] = min(lowest[c], products[r, c] - price)
        for c in range(width):
            if lowest[c] <= worst[c]:
                for r in range(start, end):
                    if products[r, c] - kinds.highest[row + r] <= worst[c]:
                        for slot in range(kinds.starts[column + c], kinds.starts[column + c + 1]):
                            item = kinds.items[slot]
                            _offer_kind(lists, item, products[r, c], row + r, kinds)
                        # a list that took something has become harder to please
                        worst[c] = _worst(kinds, column + c, reduced, last)


@compiled
def _worst(kinds: Kinds, kind: int, reduced: np.ndarray, last: int) -> float:
    """Return the cost below which some item of a kind still takes a candidate."""
    worst = reduced[kinds.items[kinds.starts[kind]], last]
    for slot in range(kinds.starts[kind] + 1, kinds.starts[kind + 1]):
        worst = max(worst, reduced[kinds.items[slot], last])
    return worst


def _kinds(number: np.ndarray | None, prices: np.ndarray) -> tuple[np.ndarray, Kinds]:
    """Return an item of every kind, and the kinds; `number` tells the kind of each item, None: all differ."""
    n = len(prices)
    if number is None:
        every = np.arange(n)
        return every, Kinds(np.arange(n + 1), every, prices, prices)
    # by kind, and inside it by falling price
    items = np.lexsort((-prices, number))
    starts = np.append(0, np.cumsum(np.bincount(number)))
    return items[starts[:-1]], Kinds(starts, items, prices[items[starts[:-1]]], prices)


def search(
    rows: Array,
    prices: np.ndarray,
    k: int,
    *,
    offsets: np.ndarray | None = None,
    ends: np.ndarray | None = None,
    kinds: np.ndarray | None = None,
    deadline: float = np.inf,
) -> Candidates:
    """Return the k cheapest neighbours of every node."""
    n, k = len(rows), min(k, len(rows))
    kind = np.float64 if rows.dtype == np.float64 else np.float32  # a tensor's type equals neither
    ends = np.zeros(n) if ends is None else ends
    offsets = (-ends if offsets is None else offsets).astype(kind)
    if namespace(rows) is np:
        # reduced costs are compared in the precision of the products
        single = prices.astype(kind)
        lists = _begun(n, k, single[n], offsets)
        _search_blocks(rows, *_kinds(kinds, single[:n]), lists, deadline)
        columns, reduced, products_found = lists
    else:
        products_found = None
        columns, reduced = np.empty((n + 1, k), np.int32), np.empty((n + 1, k), kind)
        for start, products in _blocks(rows, deadline):
            block = slice(start, start + len(products))
            columns[block], reduced[block] = _smallest_tensor(products, start, prices, offsets[block], k)
    # what all neighbours of an item have in common was left out so far, and stood on the dummy alone
    reduced[:n] += (offsets + ends.astype(kind))[:, None]
    # the dummy's offers: c = 0 and what the item costs as an end of the path, less its price
    alone = ends - prices[:n]
    cheapest = np.argsort(alone, kind="stable")[:k]
    columns[n], reduced[n] = cheapest, alone[cheapest]
    return Candidates(columns, reduced, products_found)


def _begun(n: int, k: int, price: float, offsets: np.ndarray) -> Lists:
    """Return lists that hold the dummy alone."""
    reduced = np.full((n + 1, k), np.inf, offsets.dtype)
    # c = 0 beside the dummy leaves - v_n, less what all neighbours of the item have in common
    reduced[:n, 0] = -price - offsets
    return Lists(np.full((n + 1, k), n, np.int32), reduced, np.zeros((n + 1, k), offsets.dtype))


def _search_blocks(
    rows: np.ndarray, of_kinds: np.ndarray, kinds: Kinds, lists: Lists, deadline: float
) -> None:
    """Fill the lists of all items from half of the products: ``x_i.x_j`` is offered to i and to j."""
    m = len(of_kinds)
    rows = rows if m == len(rows) else rows[of_kinds]
    count = -(-m // BLOCK_ROWS)
    edges = [m * number // count for number in range(count + 1)]
    # lists of a block of items are filled by one thread at a time
    locks = [threading.Lock() for _ in range(count)]
    room = threading.local()

    def offer(block: tuple[int, int]) -> None:
        if time.monotonic() > deadline:
            raise OutOfTime
        row, column = block
        if not hasattr(room, "products"):
            # rows apart by a power of two would fall on the same lines of a cache
            room.products = np.empty((BLOCK_ROWS, BLOCK_ROWS + 16), rows.dtype)
        left = rows[edges[row] : edges[row + 1]]
        right = rows[edges[column] : edges[column + 1]]
        products = room.products[: len(left), : len(right)]
        np.matmul(left, right.T, out=products)
        with locks[row]:
            _offer_along(products, edges[row], edges[column], kinds, lists)
        # x_i.x_j = x_j.x_i: the same block serves its columns
        if row != column:
            with locks[column]:
                _offer_across(products, edges[row], edges[column], kinds, lists)

    with Crew() as crew:
        # neighbouring pieces touch different lists
        crew.share_out(offer, [(row, row + apart) for apart in range(count) for row in range(count - apart)])


WORTH = 0.3  # of all products: where more could matter, all of them are made anew, each for two items


def search_again(
    rows: np.ndarray,
    known: Candidates,
    before: np.ndarray,
    prices: np.ndarray,
    k: int,
    *,
    ends: np.ndarray | None = None,
    deadline: float = np.inf,
) -> Candidates | None:
    """Return what `search` finds at new prices, from longer lists that it found at earlier ones.

    What is missing from the list of i was no cheaper than its last, ``c_ij - v_j >= T_i``. At prices w it can
    be among the k cheapest only if ``w_j - v_j >= T_i - W_i``, where W_i is the k-th cheapest that is known:
    only these products are made. None where they are too many.
    """
    n, kind = len(rows), known.reduced.dtype
    ends = np.zeros(n) if ends is None else ends
    single, earlier = prices.astype(kind), before.astype(kind)
    lists = _begun(n, k, single[n], -ends.astype(kind))
    _offer_known(known.columns, known.products, single, lists)
    # w_j - v_j: by so much an item became cheaper to all others
    rises = single[:n].astype(np.float64) - earlier[:n]
    # prices, products and differences round once each
    scale = float(np.abs(single).max() + np.abs(earlier).max() + np.abs(known.reduced[:n]).max())
    least = known.reduced[:n, -1].astype(np.float64) - lists.reduced[:n, -1] - 4 * np.finfo(kind).eps * scale
    # rises sorted once: for each item those that can matter are the first so many of them
    steepest = np.argsort(-rises, kind="stable")
    counts = np.searchsorted(-rises[steepest], -least, side="right")
    if counts.sum() > WORTH * n * n:
        return None
    # most first: the first item of a block decides how far its columns go
    open_rows = np.argsort(-counts, kind="stable")[: int((counts > 0).sum())]

    def offer(block: tuple[int, int]) -> None:
        if time.monotonic() > deadline:
            raise OutOfTime
        row, column = block
        items = open_rows[row : row + BLOCK_ROWS]
        others = steepest[column : min(column + BLOCK_ROWS, counts[items[0]])]
        with locks[row]:
            _offer_rest(rows[items] @ rows[others].T, items, others, single, known.columns, lists)

    locks = {row: threading.Lock() for row in range(0, len(open_rows), BLOCK_ROWS)}
    blocks = [(row, at) for row in locks for at in range(0, counts[open_rows[row]], BLOCK_ROWS)]
    with Crew() as crew:
        crew.share_out(offer, blocks)
    alone = ends - prices[:n]
    cheapest = np.argsort(alone, kind="stable")[:k]
    lists.columns[n], lists.reduced[n] = cheapest, alone[cheapest]
    return Candidates(lists.columns, lists.reduced)


@compiled
def _offer_known(columns: np.ndarray, products: np.ndarray, prices: np.ndarray, lists: Lists) -> None:
    items = len(columns) - 1
    last = lists.reduced.shape[1] - 1
    for item in range(items):
        for rank in range(columns.shape[1]):
            other = columns[item, rank]
            if other != items:
                value = products[item, rank] - prices[other]
                if value <= lists.reduced[item, last]:
                    _insert(lists, item, items, other, products[item, rank], value)


@compiled
def _offer_rest(
    products: np.ndarray,
    items: np.ndarray,
    others: np.ndarray,
    prices: np.ndarray,
    known: np.ndarray,
    lists: Lists,
) -> None:
    last = lists.reduced.shape[1] - 1
    for r in range(len(items)):
        item = items[r]
        for c in range(len(others)):
            other = others[c]
            value = products[r, c] - prices[other]
            if value <= lists.reduced[item, last] and other != item:
                # what was known already has been offered
                listed = False
                for rank in range(known.shape[1]):
                    listed = listed or known[item, rank] == other
                if not listed:
                    _insert(lists, item, len(prices) - 1, other, products[r, c], value)


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
    # no item is its own neighbour
    values[own, own + first] = float("inf")
    values = xp.cat([values, (-price[-1] - shift)[:, None]], dim=1)
    best = xp.topk(values, k, dim=1, largest=False, sorted=True)
    return host(best.indices).astype(np.int32), host(best.values).astype(np.float32)


SWEEPS = 400  # over the sparse graph, at most
BLOCK = 40  # sweeps that must gain something together
MOMENTUM = 0.85
STILL = 5e-4  # of the costs' spread, an edge
NEAR = 16  # edges a node that a sweep looks at first
LOOKS = (5, 10, 20)  # sweeps before which these are chosen anew, beside every BLOCK-th
SWEPT = 8192  # nodes that a thread sweeps at a time
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
    # rows of neighbours: count, then place
    begins = np.cumsum(begins)
    other, cost = np.empty(2 * len(left), np.int32), np.empty(2 * len(left), costs.dtype)
    room = begins[:-1].copy()
    for edge in range(len(left)):
        a, b = left[edge], right[edge]
        other[room[a]], cost[room[a]] = b, costs[edge]
        room[a] += 1
        other[room[b]], cost[room[b]] = a, costs[edge]
        room[b] += 1
    # an edge that both of its ends listed stands there twice
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
            # the offers are sorted: the last one is what a new one has to beat
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
def _sweep_part(
    graph: Graph,
    near: Near,
    risen: float,
    prices: np.ndarray,
    proposed: np.ndarray,
    terms: np.ndarray,
    begin: int,
) -> None:
    """Fill prices after one damped step, and the terms of the graph's dual value before it, of some nodes."""
    starts, neighbours, costs = graph
    for node in range(begin, min(begin + SWEPT, len(prices))):
        first = second = third = np.inf
        for rank in range(near.counts[node]):
            offer = near.costs[node, rank] - prices[near.neighbours[node, rank]]
            if offer < first:
                first, second, third = offer, first, second
            elif offer < second:
                second, third = offer, second
            elif offer < third:
                third = offer
        # what is farther could have come this near since
        if near.rest[node] - risen <= third:
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
        terms[node] = prices[node] + 0.5 * (first + second)
        # a node of two edges has no third offer
        third = third if third < np.inf else second
        # between the second and the third offer the node would take just two; half the way there
        proposed[node] = 0.5 * prices[node] + 0.25 * (second + third)


class Near(NamedTuple):
    """The edges of each node that were cheapest at some prices."""

    counts: np.ndarray  # (n + 1,) how many of them there are
    neighbours: np.ndarray  # (n + 1, NEAR)
    costs: np.ndarray  # (n + 1, NEAR)
    rest: np.ndarray  # (n + 1,) reduced cost that all others reached; infinite where there are none


@compiled
def _nearest(graph: Graph, prices: np.ndarray) -> Near:
    # one more than is kept: it tells what all others cost at least
    chosen, found = _cheapest(graph[0], graph[1], graph[2], prices, NEAR + 1)
    nodes = len(found)
    counts, rest = np.minimum(found, NEAR), np.full(nodes, np.inf)
    neighbours, costs = np.zeros((nodes, NEAR), np.int32), np.zeros((nodes, NEAR), graph[2].dtype)
    for node in range(nodes):
        for rank in range(counts[node]):
            edge = chosen[node, rank]
            neighbours[node, rank], costs[node, rank] = graph[1][edge], graph[2][edge]
        if found[node] > NEAR:
            edge = chosen[node, NEAR]
            rest[node] = graph[2][edge] - prices[graph[1][edge]]
    return Near(counts, neighbours, costs, rest)


@compiled
def _in_sequence(terms: np.ndarray) -> float:
    # one thread in one sequence: a sum of floats depends on it
    value = 0.0
    for node in range(len(terms)):
        value += terms[node]
    return value


def sweep_prices(graph: Graph, prices: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the prices of the best dual value seen in damped sweeps over a sparse graph, and that value.

    Sweeps carry their last move on (heavy ball, ours): without it the few items that suit everyone take
    thousands of sweeps to become dear enough. Prices soon move little: a sweep looks at the edges that were
    cheapest a while ago, and at the others only where one of them could have become cheaper since.
    """
    best = prices.copy()
    best_value = before = -np.inf
    now = prices.astype(np.float64)
    moved = np.zeros(len(prices))
    terms = np.empty(len(prices))
    enough = STILL * len(prices) * float(graph[2].std())
    rounding = 1e-12 * (1.0 + float(np.abs(graph[2]).max()))
    proposed = np.empty(len(prices))
    with Crew() as crew:
        for sweep in range(SWEEPS + 1):
            if sweep in LOOKS or sweep % BLOCK == 0:
                near = _nearest(graph, now)
                then = now
            risen = float((now - then).max()) + rounding
            work = functools.partial(_sweep_part, graph, near, risen, now, proposed, terms)
            crew.share_out(work, range(0, len(prices), SWEPT))
            # the dual value of the prices before this sweep: sum_i v_i + 1/2 sum_i (two cheapest c_ij - v_j)
            value = _in_sequence(terms)
            if value > best_value:
                best = now
                best_value = value
            # the value does not rise with every sweep: whole blocks of them are compared
            if sweep % BLOCK == BLOCK - 1:
                if best_value - before < enough:
                    break
                before = best_value
            # heavy ball: v <- v + (step + momentum * last move)
            moved = proposed + MOMENTUM * moved - now
            now = now + moved
    return best, best_value
