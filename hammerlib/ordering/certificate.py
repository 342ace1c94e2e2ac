"""A certificate: what no order of these vectors can cost less than.

Weak duality of the fractional 2-matching: a tour gives every node two different neighbours, so for any
prices v it costs ``sum_i v_i + 1/2 sum_i sum_{j beside i} (c_ij - v_j)``, and at least the same with the two
cheapest neighbours of every node. Rounding is accounted for: candidates are found in single precision, the
best of them computed again in double precision, and all others count with the largest error that a
single-precision product can have.
"""

from __future__ import annotations

import time

import numpy as np

from hammerlib.ordering.candidates import Candidates, compiled, compiled_sums
from hammerlib.similarity import Array, host

LOOKED_AT_AGAIN = 6  # candidates a row that are computed again in double precision
SINGLE = 2.0**-24  # unit roundoff of float32
DOUBLE = 2.0**-53  # and of float64


@compiled_sums
def _product(rows: np.ndarray, left: int, right: int) -> float:
    """Return the cosine of two unit rows in double precision; 0 where one is the dummy."""
    # products of single-precision numbers are exact in double precision; only the sum rounds
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
    exact: int,
) -> float:
    value, dummy = 0.0, len(prices) - 1
    for node in range(len(prices)):
        # what was not looked at again may be twice as cheap as its cheapest claims to be
        unseen = np.inf if exact == columns.shape[1] else np.float64(reduced[node, exact]) - error
        cheapest, second = unseen, unseen
        for rank in range(exact):
            other = columns[node, rank]
            offer = _product(rows, node, other) - prices[other]
            if other == dummy:
                offer += ends[node]
            elif node == dummy:
                offer += ends[other]
            if offer < cheapest:
                cheapest, second = offer, cheapest
            elif offer < second:
                second = offer
        # every node of a tour has two neighbours, each edge is seen from both ends: hence the half
        value += prices[node] + 0.5 * (cheapest + second)
    return value


def certified_bound(
    rows: np.ndarray,
    candidates: Candidates,
    prices: np.ndarray,
    *,
    ends: np.ndarray | None = None,
    square: float = 1.0,
    lost: float = 0.0,
) -> float:
    """Return a lower bound on the total cosine of every path through all rows.

    `lost` is what a product in the search may miss because it was made of other rows than these.
    """
    nodes, k = candidates.columns.shape
    # one candidate stays back: its cost, less the error, stands for all that were not looked at
    exact = k if k == nodes - 1 else min(LOOKED_AT_AGAIN, k - 1)
    largest = float(np.abs(prices).max())
    # a product of unit rows rounds d times in the precision of the search (Higham 2002, 3.5); the rows, the
    # price and the difference round once each
    unit = DOUBLE if candidates.reduced.dtype == np.float64 else SINGLE
    error = 1.01 * (rows.shape[1] + 3) * unit * square + 3 * unit * (square + largest) + lost
    slack = 2 * nodes * (rows.shape[1] + 2 * nodes) * DOUBLE * (square + largest)  # of sums in double
    ends = np.zeros(len(rows)) if ends is None else ends
    return float(_dual(rows, candidates.columns, candidates.reduced, prices, ends, error, exact) - slack)


def closed_bound(units: Array) -> float:
    """Return a weak lower bound on the total cosine of every path, from the mean m alone.

    ``|x_i + x_j - 2 m|^2 >= 0`` on every edge (ours). It is far from tight: no item has a true opposite.
    """
    rows = host(units)
    mean = rows.mean(axis=0, dtype=np.float64)
    along = rows @ mean
    square, edges = float(mean @ mean), len(rows) - 1
    # an edge: x_i.x_j >= -1 + 2 m.(x_i + x_j) - 2 m.m. Summed over a path every item counts twice but its two
    # ends, and which these are is not known: at most twice the largest m.x is missing
    tight = -edges - 2 * edges * square + 4 * float(along.sum()) - 4 * float(along.max())
    rounding = 8 * len(rows) * rows.shape[1] * (SINGLE if rows.dtype == np.float32 else DOUBLE)
    return max(-edges * (1 + 4 * SINGLE), tight - rounding)


MOST_DISTINCT = 1200  # a square matrix of these in double precision (12 MB), and programmes of seconds
SHARE = 0.1  # of the rows has to repeat an earlier one: a few copies are no trouble to the sweeps
NEAREST = 12  # partners of a distinct row that the first programme knows
FREQUENT = 8  # kinds of most copies, which get every partner: without them there may be no solution
ADDED = 6  # partners of a distinct row that each further programme learns of
ROUNDS = 40
ENOUGH = 1e-5  # of what matters: rounds that gain less end the work
THRESHOLDS = (1e-7, 0.3, 0.6, 0.99, 1.2, 1.6)  # edges used less often hold no set of rows together
MOST_EDGES = 6000  # of the programme in whole numbers
MOST_NODES = 500  # of its search tree: a count, not a time, so that one input has one result


def distinct_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for every row the number of its kind, and for every kind how many rows it has."""
    # equal rows are told by their bytes, so equal numbers must have equal ones
    plain = np.ascontiguousarray(rows) + 0.0  # turns -0.0 into 0.0
    keys = plain.view(np.dtype((np.void, plain.dtype.itemsize * plain.shape[1]))).ravel()
    _, first, kinds, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first)
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    return number[kinds.ravel()], counts[order]


def repeated_path(
    units: Array, *, matters: float = 0.0, deadline: float = np.inf
) -> tuple[np.ndarray | None, float]:
    """Return a path through rows that repeat, and what no path can cost less than."""
    rows = host(units)
    kinds, counts = distinct_rows(rows)
    if len(counts) > MOST_DISTINCT or len(rows) - len(counts) < SHARE * len(rows) or len(counts) < 2:
        return None, -np.inf
    first = np.full(len(counts), len(rows))
    np.minimum.at(first, kinds, np.arange(len(rows)))
    programme = _Programme(rows[first].astype(np.float64), counts)
    bound = -np.inf
    before = -np.inf
    for _ in range(ROUNDS):
        if time.monotonic() > deadline or not programme.relax():
            break
        bound = max(bound, programme.proved())
        added = programme.cut() + programme.learn()
        # a round over more edges lowers the value, one with more sets lifts it
        if not added or max(abs(programme.value - before), programme.value - bound) < ENOUGH * matters:
            break
        before = programme.value
    if time.monotonic() > deadline or not np.isfinite(bound):
        return None, bound
    walk = programme.walk(matters)
    if walk is None:
        return None, bound
    # the rows of each kind, by rising number, stand where the walk meets it
    path = np.empty(len(kinds), np.int64)
    path[np.argsort(walk, kind="stable")] = np.argsort(kinds, kind="stable")
    return path, bound


class _Programme:
    """The programme over kinds of rows and the dummy, as far as its edges and sets are known."""

    def __init__(self, rows: np.ndarray, counts: np.ndarray) -> None:
        self.width = rows.shape[1]
        self.items = int(counts.sum())
        self.counts = np.append(counts, 1)  # the dummy is last; it costs nothing beside any row
        self.nodes = len(self.counts)
        products = rows @ rows.T
        # Every path has items - 1 edges between rows, so that a part common to all of them is left out.
        self.common = float(products.mean())
        self.unit = max(float(products.std()), np.finfo(np.float64).eps)
        self.costs = np.zeros((self.nodes, self.nodes))
        self.costs[:-1, :-1] = (products - self.common) / self.unit
        alone = self.counts < 2
        self.costs[alone, alone] = np.inf
        self.sets = np.zeros((0, self.nodes), bool)
        self.known = np.zeros((self.nodes, self.nodes), bool)
        nearest = np.argsort(self.costs, axis=1, kind="stable")[:, :NEAREST]
        self.known[np.arange(self.nodes)[:, None], nearest] = True
        self.known[-1] = True
        self.known[np.argsort(-self.counts, kind="stable")[:FREQUENT]] = True
        # A ring with copies side by side is a solution whatever the sets.
        self.known[np.arange(self.nodes), np.arange(self.nodes) - 1] = True
        np.fill_diagonal(self.known, True)
        self._close()

    def _close(self) -> None:
        self.known |= self.known.T
        self.known &= np.isfinite(self.costs)

    def _problem(self, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, object, np.ndarray, object]:
        """Ends of the edges, matrix of degrees, how often each edge may be used, matrix of the sets."""
        from scipy.sparse import csr_array

        left, right = np.nonzero(np.triu(edges))
        ends = np.concatenate([left, right]), np.tile(np.arange(len(left)), 2)
        degrees = csr_array((np.ones(2 * len(left)), ends), shape=(self.nodes, len(left)))  # a loop counts 2
        # m_a m_b pairs of copies, m (m - 1) / 2 within one kind
        pairs = self.counts[left] * self.counts[right]
        most = np.where(left == right, (pairs - self.counts[left]) / 2, pairs)
        leaving = csr_array((self.sets[:, left] != self.sets[:, right]).astype(np.float64))
        return left, right, degrees, most, leaving

    def relax(self) -> bool:
        """Solve over the known edges in fractions; False if that failed."""
        from scipy.optimize import linprog

        left, right, degrees, most, leaving = self._problem(self.known)
        sets = {"A_ub": -leaving, "b_ub": np.full(len(self.sets), -2.0)} if len(self.sets) else {}
        ranges = np.stack([np.zeros(len(most)), most], axis=1)
        costs = self.costs[left, right]
        solution = linprog(costs, A_eq=degrees, b_eq=2.0 * self.counts, bounds=ranges, method="highs", **sets)
        if solution.status != 0:
            return False
        # back from the scaled costs: items - 1 edges lost the common part
        self.value = float(solution.fun) * self.unit + self.common * (self.items - 1)
        self.used = (left, right, np.asarray(solution.x))
        self.prices = np.asarray(solution.eqlin.marginals)
        self.penalties = np.maximum(-np.asarray(solution.ineqlin.marginals), 0.0) if sets else np.zeros(0)
        # Costs less the penalty of every set that an edge leaves: a tour pays each at least twice.
        self.lowered = self.costs.copy()
        for members, penalty in zip(self.sets, self.penalties, strict=True):
            if penalty > 0:
                self.lowered[np.ix_(members, ~members)] -= penalty
                self.lowered[np.ix_(~members, members)] -= penalty
        return True

    def proved(self) -> float:
        """Return what prices and penalties prove, over all pairs of kinds (as in `bound`)."""
        offers = self.lowered - self.prices
        nodes = np.arange(self.nodes)
        cheapest = offers.argmin(axis=1)
        best = offers[nodes, cheapest]
        others = self.counts[cheapest] - (cheapest == nodes)  # copies that make the cheapest offer
        # where the cheapest kind has copies left, both neighbours come from it
        offers[nodes, cheapest] = np.inf
        second = np.where(others > 1, best, offers.min(axis=1))
        total = self.counts @ (self.prices + 0.5 * (best + second)) + 2 * self.penalties.sum()
        largest = 1 / self.unit + float(np.abs(self.prices).max()) + float(self.penalties.sum())
        terms = self.width + self.items + self.nodes + len(self.sets)
        proved = float(total) - 4 * (self.items + 1) * terms * DOUBLE * largest
        return proved * self.unit + self.common * (self.items - 1)

    def cut(self) -> int:
        """Add sets that the last solution leaves less than twice; return how many."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        left, right, used = self.used
        earlier = {members.tobytes() for members in self.sets}
        new = []
        for least in THRESHOLDS:
            strong = used > least
            graph = csr_array((used[strong], (left[strong], right[strong])), shape=(self.nodes, self.nodes))
            number, label = connected_components(graph, directed=False)
            out = used * (label[left] != label[right])
            leaves = np.bincount(label[left], out, number) + np.bincount(label[right], out, number)
            for component in np.flatnonzero(leaves < 2 - 1e-6) if number > 1 else ():
                members = label == component
                if not {members.tobytes(), (~members).tobytes()} & earlier:
                    earlier.add(members.tobytes())
                    new.append(members)
        self.sets = np.concatenate([self.sets, new]) if new else self.sets
        return len(new)

    def learn(self) -> int:
        """Add edges that the prices find too cheap; return how many."""
        # an edge below zero could lower the programme's value: it is missing from it
        reduced = self.lowered - self.prices - self.prices[:, None]
        reduced[self.known] = np.inf
        left = np.arange(self.nodes)[:, None]
        right = np.argsort(reduced, axis=1, kind="stable")[:, :ADDED]
        cheap = reduced[left, right] < -1e-9
        self.known[np.broadcast_to(left, right.shape)[cheap], right[cheap]] = True
        before = int(self.known.sum())
        self._close()
        return before if cheap.any() else 0

    def walk(self, matters: float) -> list[int] | None:
        """Return the kinds in the sequence of a shortest walk over the edges that can matter, or None."""
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        reduced = self.lowered - self.prices - self.prices[:, None]
        # using an edge costs at least its reduced cost over the bound: dearer ones cannot be worth it
        edges = self.known & (reduced <= max(matters / self.unit, 1e-6))
        if np.triu(edges).sum() > MOST_EDGES:
            edges &= reduced <= np.partition(reduced[np.triu(edges)], MOST_EDGES)[MOST_EDGES]
        for _ in range(ROUNDS):
            left, right, degrees, most, leaving = self._problem(edges)
            limits = [LinearConstraint(degrees, 2 * self.counts, 2 * self.counts)]
            if len(self.sets):
                limits.append(LinearConstraint(leaving, 2, np.inf))
            kinds = {"integrality": np.ones(len(left)), "bounds": Bounds(0, most)}
            work = {"node_limit": MOST_NODES, "mip_rel_gap": 0.0}
            solution = milp(self.costs[left, right], constraints=limits, options=work, **kinds)
            if solution.x is None:
                return None
            # whole numbers up to the solver's tolerance
            used = np.rint(solution.x).astype(np.int64)
            graph = csr_array((used, (left, right)), shape=(self.nodes, self.nodes))
            graph.eliminate_zeros()
            number, label = connected_components(graph, directed=False)
            if number == 1:
                return _circuit(left, right, used, self.nodes, self.counts)
            # each connected part must be left at least twice: subtours are cut off as they appear
            self.sets = np.concatenate([self.sets, label == np.arange(number)[:, None]])
        return None


def _circuit(
    left: np.ndarray, right: np.ndarray, used: np.ndarray, nodes: int, counts: np.ndarray
) -> list[int] | None:
    """Return the circuit that uses each edge as often as told (Hierholzer 1873), begun after the dummy."""
    beside: list[dict[int, int]] = [{} for _ in range(nodes)]
    for a, b, times in zip(left.tolist(), right.tolist(), used.tolist(), strict=True):
        if times:
            beside[a][b] = beside[b][a] = times
    stack, circuit = [nodes - 1], []
    while stack:
        here = stack[-1]
        if not beside[here]:
            circuit.append(stack.pop())
            continue
        there = next(iter(beside[here]))
        for a, b in {(here, there), (there, here)}:
            beside[a][b] -= 1
            if not beside[a][b]:
                del beside[a][b]
        stack.append(there)
    # from dummy to dummy: what is between is the path
    walk = circuit[1:-1]
    return walk if np.array_equal(np.bincount(walk, minlength=nodes)[:-1], counts[:-1]) else None
