"""Tours: exchanges of edges, a first tour from priced edges, local search with kicks, the optimum of a few.

Every change of a tour is a chain of exchanges of two edges, which are taken back in reverse when a kick does
not pay. Costs are reduced (``c_ij - v_i - v_j``): differences of tours are the same, and candidate lists stop
earlier. Or-opt moves one to three nodes, on this problem mostly pairs: taking a single node out of a path of
opposites leaves two similar ones side by side.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hammerlib.ordering.candidates import Graph, candidate_edges, compiled, compiled_sums, kept_edges, search
from hammerlib.similarity import Array, host


@compiled
def beside(tour: np.ndarray, place: np.ndarray, node: int, step: int) -> int:
    """Return the node after (step 1) or before (step -1) a node."""
    # before the first node stands tour[-1], the last one, by itself
    at = place[node] + step
    return tour[at] if at < len(tour) else tour[0]


@compiled
def reverse_run(tour: np.ndarray, place: np.ndarray, first: int, last: int) -> None:
    """Reverse the run from node `first` on to node `last`, or what lies outside it if that is shorter."""
    n = len(tour)
    low, high = place[first], place[last]
    length = high - low + 1 if high >= low else high - low + 1 + n
    # on a ring it is the same to reverse the rest
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
    """Replace the edges ab and cd by ac and bd (b follows a as d follows c, in either direction)."""
    # forwards a b ... c d becomes a c ... b d; backwards the run from a to d is the one to turn
    if beside(tour, place, a, 1) == b:
        reverse_run(tour, place, b, c)
    else:
        reverse_run(tour, place, a, d)
    # an empty log keeps nothing
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
    """Move the run a..z from between p and q to between the neighbours c and e: a beside c, z beside e."""
    if straight:  # p [a..z] [q..c] e becomes p [q..c] [a..z] e
        logged = exchange(tour, place, log, logged, p, a, c, e)
        logged = exchange(tour, place, log, logged, p, c, q, z)
        return exchange(tour, place, log, logged, c, z, a, e)
    logged = exchange(tour, place, log, logged, p, a, e, c)  # p [a..z] [q..e] c becomes p [q..e] [z..a] c
    return exchange(tour, place, log, logged, p, e, q, z)


NEIGHBOURS = 10  # candidates a node looks at
RUN = 3  # longest run of nodes that Or-opt moves
KICK_RUN = 30  # longest of the two neighbouring runs that a kick swaps
LEAST_GAIN = 1e-9  # costs are one fixed number per pair, so only sums of four round (1e-16)
LOG_ROWS = 4096  # exchanges that can be taken back

Move = tuple[float, int, tuple[int, int, int, int, int, int]]  # gain, exchanges logged, nodes touched


class Search(NamedTuple):
    """A tour and what its local search looks at."""

    rows: np.ndarray  # (n, d) float32 or float64; node number n is the dummy
    prices: np.ndarray  # (n + 1,) float64
    tour: np.ndarray  # (n + 1,) int32, the nodes in sequence
    place: np.ndarray  # (n + 1,) int32, where each node stands
    near: np.ndarray  # (n + 1, k) int32, candidates of each node by rising reduced cost
    worth: np.ndarray  # (n + 1, k) float64, these costs as the search itself computes them
    table: np.ndarray  # (n + 1, n + 1) float64, all of them, or (0, 0): each is computed when it is asked for


def search_from(rows: np.ndarray, prices: np.ndarray, tour: np.ndarray, near: np.ndarray) -> Search:
    """Return the local search that begins at a tour, which it will change."""
    place = np.empty_like(tour)
    place[tour] = np.arange(len(tour), dtype=tour.dtype)
    table = np.empty((0, 0))
    return Search(rows, prices, tour, place, near, _neighbour_costs(rows, prices, near), table)


@compiled
def with_table(state: Search) -> Search:
    """Return the same search with all its costs at hand."""
    nodes = len(state.tour)
    # (n + 1)^2 numbers once instead of d multiplications at every look
    table = np.empty((nodes, nodes))
    for left in range(nodes):
        for right in range(nodes):
            table[left, right] = _computed(state.rows, state.prices, left, right)
    return Search(state.rows, state.prices, state.tour, state.place, state.near, state.worth, table)


@compiled
def _reduced(state: Search, left: int, right: int) -> float:
    if len(state.table) > 0:
        return state.table[left, right]
    return _computed(state.rows, state.prices, left, right)


@compiled_sums
def _computed(rows: np.ndarray, prices: np.ndarray, left: int, right: int) -> float:
    total = rows.dtype.type(0.0)
    if left < rows.shape[0] and right < rows.shape[0]:
        for column in range(rows.shape[1]):
            total += rows[left, column] * rows[right, column]
    # c_ij - v_i - v_j: two edges a node, so that every tour loses the same 2 sum v
    return np.float64(total) - prices[left] - prices[right]


@compiled_sums
def pair_costs(rows: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the product of pairs of nodes in the rows' precision; 0 where one is the dummy."""
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
            worth[node, rank] = _computed(rows, prices, node, near[node, rank])
    return worth


@compiled
def _two_opt(state: Search, log: np.ndarray, logged: int, a: int, step: int) -> Move:
    """Try to exchange the edge from a in one direction; return (gain, exchanges logged, the four nodes)."""
    tour, place, near, worth = state.tour, state.place, state.near, state.worth
    b = beside(tour, place, a, step)
    cost = _reduced(state, a, b)
    for rank in range(near.shape[1]):
        # candidates come by rising cost: from here on the first exchange gains nothing
        if worth[a, rank] >= cost - LEAST_GAIN:
            break
        c = near[a, rank]
        d = beside(tour, place, c, step)
        # the edges ab and cd become ac and bd: c_ab + c_cd - c_ac - c_bd
        gain = cost - worth[a, rank] + _reduced(state, c, d) - _reduced(state, b, d)
        if gain > LEAST_GAIN:
            return gain, exchange(tour, place, log, logged, a, b, c, d), (a, b, c, d, a, b)
    return 0.0, logged, (a, a, a, a, a, a)


@compiled
def _or_opt(state: Search, log: np.ndarray, logged: int, a: int, step: int) -> Move:
    """Try to move a run that begins at a and extends in one direction; return as `_two_opt`."""
    tour, place, near, worth = state.tour, state.place, state.near, state.worth
    p, z = beside(tour, place, a, -step), a
    cost = _reduced(state, p, a)
    for length in range(RUN):
        q = beside(tour, place, z, step)
        if q == p:
            break
        # taking a..z out frees c_pa + c_zq and closes the gap with c_pq
        freed = cost + _reduced(state, z, q) - _reduced(state, p, q)
        for rank in range(near.shape[1]):
            # as in 2-opt: beside no later candidate does a become cheaper
            if worth[a, rank] >= cost - LEAST_GAIN:
                break
            c = near[a, rank]
            # c in the run itself, counted from a in the run's direction
            inside = (place[c] - place[a]) * step % len(tour) <= length
            for straight in (True, False):
                # beside its own neighbour the run would stay where it is
                if inside or c == (p if straight else q):
                    continue
                e = beside(tour, place, c, step if straight else -step)
                # put between c and e it costs c_ca + c_ze, and the edge ce goes
                added = worth[a, rank] + _reduced(state, z, e) - _reduced(state, c, e)
                if freed - added > LEAST_GAIN:
                    logged = move_run(tour, place, log, logged, p, a, z, q, c, e, straight)
                    return freed - added, logged, (p, a, z, q, c, e)
        z = q
    return 0.0, logged, (a, a, a, a, a, a)


DEPTH = 6  # exchanges in a chain
FIRST_CHOICES = 5  # alternatives for the first exchange of a chain ...
SECOND_CHOICES = 3  # ... and for the second; later ones take the best


class Chain(NamedTuple):
    """Room for one chain of exchanges."""

    touched: np.ndarray  # (2 DEPTH + 2,) int32
    added: np.ndarray  # (DEPTH, 2) int32, the edges it put in, which it must not take out
    choices: np.ndarray  # (NEIGHBOURS,) int32
    merits: np.ndarray  # (NEIGHBOURS,) float64


@compiled
def _choose_exchange(
    state: Search, chain: Chain, length: int, a: int, b: int, step: int, spare: float, choice: int
) -> int:
    """Return the node d that b is joined to next: the one of the `choice`-th largest gain, or -1."""
    tour, place, near, worth = state.tour, state.place, state.near, state.worth
    count = 0
    for rank in range(near.shape[1]):
        # Lin and Kernighan's gain criterion: a chain puts in less than it has freed so far
        if spare - worth[b, rank] <= LEAST_GAIN:
            break
        d = near[b, rank]
        c = beside(tour, place, d, -step)
        # d is not beside b already, and cd, which goes next, was not put in by this chain
        usable = d != a and c != b
        for edge in range(length):
            x, y = chain.added[edge]
            usable = usable and not ((x == c and y == d) or (x == d and y == c))
        if usable:
            merit, at = _reduced(state, c, d) - worth[b, rank], count
            # sorted by c_cd - c_bd, the largest first
            while at > 0 and chain.merits[at - 1] < merit:
                chain.merits[at], chain.choices[at] = chain.merits[at - 1], chain.choices[at - 1]
                at -= 1
            chain.merits[at], chain.choices[at] = merit, d
            count += 1
    return chain.choices[choice] if choice < count else -1


@compiled
def _take_back(tour: np.ndarray, place: np.ndarray, log: np.ndarray, logged: int, until: int) -> None:
    """Undo exchanges, the last one first: ab, cd -> ac, bd by exchanging ac, bd."""
    for back in range(logged - 1, until - 1, -1):
        a, b, c, d = log[back]
        exchange(tour, place, log[:0], 0, a, c, b, d)


@compiled
def _lengthen(
    state: Search, chain: Chain, log: np.ndarray, logged: int, a: int, step: int
) -> tuple[float, int, int]:
    """Exchange edges in a chain from a as long as it pays (Lin and Kernighan 1973).

    Every exchange ab, cd -> ac, bd leaves a tour; the next one takes out the edge ac that closed it. Return
    the gain, the exchanges logged and how many nodes were touched.
    """
    tour, place, start = state.tour, state.place, logged
    for first in range(FIRST_CHOICES):
        for second in range(SECOND_CHOICES):
            b, towards = beside(tour, place, a, step), step
            spare = _reduced(state, a, b)
            best, best_logged, touched, length = LEAST_GAIN, start, 2, 0
            chain.touched[0], chain.touched[1] = a, b
            while length < DEPTH:
                choice = first if length == 0 else second if length == 1 else 0
                d = _choose_exchange(state, chain, length, a, b, towards, spare, choice)
                if d < 0:
                    break
                c = beside(tour, place, d, -towards)
                # freed less put in, before the edge ac that makes a tour of it
                spare += _reduced(state, c, d) - _reduced(state, b, d)
                chain.added[length, 0], chain.added[length, 1] = b, d
                length += 1
                logged = exchange(tour, place, log, logged, a, b, c, d)
                chain.touched[touched], chain.touched[touched + 1] = c, d
                touched += 2
                # the best closing so far: what comes after it may be taken back
                if spare - _reduced(state, a, c) > best:
                    best, best_logged = spare - _reduced(state, a, c), logged
                b = c
                towards = 1 if beside(tour, place, a, 1) == c else -1
            _take_back(tour, place, log, logged, best_logged)
            logged = best_logged
            if logged > start:
                return best, logged, touched
            # a chain of one exchange has no alternatives for its second
            if length < 2:
                break
        # there is no first exchange of this rank, so none of a later one
        if length == 0:
            break
    return 0.0, start, 0


@compiled
def _descend(
    state: Search,
    chain: Chain,
    log: np.ndarray,
    logged: int,
    queue: np.ndarray,
    waiting: np.ndarray,
    count: int,
    deep: bool,
    keep: bool,
) -> tuple[float, int]:
    """Improve from the first `count` nodes of the queue until none of them can; return (gain, logged).

    By single exchanges or, `deep`, by chains of them; `keep` what is logged, or forget it with every move. An
    empty log is never full.
    """
    total, head, room = 0.0, 0, len(queue)
    needed = DEPTH if deep else 3
    while count > 0 and (len(log) == 0 or logged < len(log) - needed):
        a = queue[head]
        head = head + 1 if head + 1 < room else 0
        count -= 1
        waiting[a] = False
        # an exchange in both directions, then Or-opt in both
        for move in range(4):
            step = 1 if move % 2 == 0 else -1
            if deep and move < 2:
                gain, logged, touched = _lengthen(state, chain, log, logged, a, step)
            else:
                if move < 2:
                    gain, logged, nodes = _two_opt(state, log, logged, a, step)
                else:
                    gain, logged, nodes = _or_opt(state, log, logged, a, step)
                touched = 6
                for place in range(6):
                    chain.touched[place] = nodes[place]
            if gain > 0.0:
                total += gain
                # only nodes whose edges changed are looked at again
                for node in chain.touched[:touched]:
                    if not waiting[node]:
                        waiting[node] = True
                        queue[(head + count) % room] = node
                        count += 1
                logged = logged if keep else 0
                break
    for rest in range(count):  # the log was full: leave no node marked
        waiting[queue[(head + rest) % room]] = False
    return total, logged


@compiled
def descend_deep(state: Search) -> float:
    """Improve a tour in place to a local optimum of chains of exchanges and Or-opt; return the gain."""
    log = np.empty((LOG_ROWS, 4), np.int32)
    return _from_everywhere(state, log, True)


@compiled
def _from_everywhere(state: Search, log: np.ndarray, deep: bool) -> float:
    nodes = len(state.tour)
    queue, waiting = state.tour.copy(), np.ones(nodes, np.bool_)
    return _descend(state, _chain_room(), log, 0, queue, waiting, nodes, deep, False)[0]


@compiled
def _chain_room() -> Chain:
    return Chain(
        np.empty(2 * DEPTH + 2, np.int32),
        np.empty((DEPTH, 2), np.int32),
        np.empty(NEIGHBOURS, np.int32),
        np.empty(NEIGHBOURS),
    )


@compiled
def descend(state: Search) -> float:
    """Improve a tour in place to a local optimum of 2-opt and Or-opt; return the gain."""
    return _from_everywhere(state, np.empty((0, 4), np.int32), False)


@compiled
def kick(state: Search, draws: np.ndarray, deep: bool = False) -> float:
    """Swap two short neighbouring runs, repair, and keep what got better; return the total gain."""
    chain = _chain_room()
    tour, place = state.tour, state.place
    nodes, total = len(tour), 0.0
    queue, waiting = np.empty(nodes, np.int32), np.zeros(nodes, np.bool_)
    log = np.empty((LOG_ROWS, 4), np.int32)
    for number in range(len(draws)):
        at, first, second = draws[number]
        # p [a..z] [q..c] e becomes p [q..c] [a..z] e
        p = tour[at]
        a = tour[(at + 1) % nodes]
        z = tour[(at + first) % nodes]
        q = tour[(at + first + 1) % nodes]
        c = tour[(at + first + second) % nodes]
        e = tour[(at + first + second + 1) % nodes]
        gain = _reduced(state, p, a) + _reduced(state, z, q) + _reduced(state, c, e)
        gain -= _reduced(state, p, q) + _reduced(state, c, a) + _reduced(state, z, e)
        logged = move_run(tour, place, log, 0, p, a, z, q, c, e, True)
        count = 0
        for node in (p, a, z, q, c, e):
            if not waiting[node]:
                waiting[node], queue[count] = True, node
                count += 1
        # only the six touched nodes are looked at again: a kick costs no pass over the tour
        repaired, logged = _descend(state, chain, log, logged, queue, waiting, count, deep, True)
        if gain + repaired > LEAST_GAIN:
            total += gain + repaired
        else:
            _take_back(tour, place, log, logged, 0)
    return total


GREEDY_EDGES = 12  # a node, to choose from
JOINS = 16  # candidates of a fragment's end among the other ends


@compiled
def _root(parent: np.ndarray, node: int) -> int:
    while parent[node] != node:
        # path halving
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@compiled
def _take_edges(
    left: np.ndarray, right: np.ndarray, beside: np.ndarray, degree: np.ndarray, parent: np.ndarray
) -> int:
    """Take edges in the given sequence where both ends are free and no cycle closes."""
    taken = 0
    for edge in range(len(left)):
        a, b = left[edge], right[edge]
        if degree[a] < 2 and degree[b] < 2:
            root, other = _root(parent, a), _root(parent, b)
            # one root, one fragment: the edge would close a cycle
            if root != other:
                beside[a, degree[a]], beside[b, degree[b]] = b, a
                degree[a] += 1
                degree[b] += 1
                parent[root] = other
                taken += 1
    return taken


@compiled
def _walk(beside: np.ndarray, start: int) -> np.ndarray:
    """Return the nodes of a Hamiltonian path from one of its ends."""
    tour = np.empty(len(beside), np.int32)
    before, node = -1, start
    for number in range(len(beside)):
        tour[number] = node
        # of its two neighbours the one that the walk did not come from
        step = beside[node, 0] if beside[node, 0] != before else beside[node, 1]
        before, node = node, step
    return tour


def greedy_tour(rows: Array, graph: Graph, prices: np.ndarray) -> np.ndarray:
    """Return a tour of all n + 1 nodes made of the edges with the smallest reduced cost."""
    nodes = len(prices)
    left, right, cost = kept_edges(graph, prices, GREEDY_EDGES)
    # as Kruskal does for trees, with two edges a node at most
    first = np.argsort(cost - prices[left] - prices[right], kind="stable")
    beside = np.full((nodes, 2), -1, np.int32)
    degree, parent = np.zeros(nodes, np.int8), np.arange(nodes, dtype=np.int32)
    edges = _take_edges(left[first], right[first], beside, degree, parent)
    # fragments are left over: their ends choose among themselves
    while edges < nodes - 1:
        left, right = _end_edges(rows, prices, np.flatnonzero(degree < 2))
        joined = _take_edges(left, right, beside, degree, parent)
        edges += joined if joined else _chain(beside, degree, parent)
    return _walk(beside, int(np.flatnonzero(degree < 2)[0]))


def _end_edges(rows: Array, prices: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return edges between ends of fragments, cheapest reduced cost first."""
    dummy = len(prices) - 1
    items = ends[ends < dummy]
    number = np.append(items, dummy).astype(np.int32)
    if len(items) < 2:
        return number[:-1], number[1:]
    # a dummy that is no end of a fragment any more must not be offered
    own = np.append(prices[items], prices[dummy] if ends[-1] == dummy else -1e9)
    candidates = search(rows[items], own, JOINS)
    left, right, worth = candidate_edges(candidates, candidates.reduced - own[:, None])
    order = np.argsort(worth, kind="stable")
    return number[left[order]], number[right[order]]


def _chain(beside: np.ndarray, degree: np.ndarray, parent: np.ndarray) -> int:
    """Join two fragments whatever it costs: candidates between ends had run out."""
    ends = np.flatnonzero(degree < 2).astype(np.int32)
    return int(_take_edges(np.repeat(ends[:1], len(ends)), ends, beside, degree, parent))


LARGEST = 12  # n^2 2^n steps: 0.6 million


@compiled
def _best_path(costs: np.ndarray) -> np.ndarray:
    """Return a cheapest path; ``cheapest[s, i]`` is the cost of visiting the set s and ending at i."""
    n = len(costs)
    cheapest = np.full((1 << n, n), np.inf)
    before = np.zeros((1 << n, n), np.int8)
    for item in range(n):
        cheapest[1 << item, item] = 0.0
    # A[S + i, i] = min over last of A[S, last] + c(last, i); a set is the bits of a number
    for members in range(1, 1 << n):
        for last in range(n):
            here = cheapest[members, last]
            if here < np.inf:
                for item in range(n):
                    larger = members | (1 << item)
                    if larger != members and here + costs[last, item] < cheapest[larger, item]:
                        cheapest[larger, item] = here + costs[last, item]
                        before[larger, item] = last
    # and back from the cheapest end, one item out of the set at a time
    members, item = (1 << n) - 1, int(cheapest[-1].argmin())
    path = np.empty(n, np.int64)
    for step in range(n):
        path[step] = item
        members, item = members & ~(1 << item), before[members, item]
    return path


def exact_path(units: Array) -> np.ndarray:
    """Return a path of smallest summed cosine through all rows."""
    rows = host(units).astype(np.float64)
    path = _best_path(rows @ rows.T)
    # both directions cost the same: one of them, always the same one
    return path if path[0] <= path[-1] else path[::-1].copy()
