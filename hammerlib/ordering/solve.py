"""min-path: a near-optimal path of smallest summed cosine, with a proof of how near.

Prices on sparse candidates (`candidates`), cheapest edges first and local search (`tour`), and the bound that
the same prices certify; a programme over distinct rows where many repeat (`certificate`). Memory grows with
n (d + k); products are made in blocks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from tqdm.auto import tqdm

from hammerlib.errors import InputError
from hammerlib.ordering import candidates as lists
from hammerlib.ordering import certificate
from hammerlib.ordering import tour as tours
from hammerlib.ordering.greedy import greedy_path
from hammerlib.ordering.order import normalised_gap
from hammerlib.ordering.threads import single_products
from hammerlib.runs.storage import progress_off
from hammerlib.similarity import NARROW, Array, edge_cosines, host, mean_cosine, namespace

REDUCED = 64  # dimensions of the first, cheap passes
INFORMATIVE = 0.7  # share of the centred variance in those dimensions that earns a second pass
REDUCED_FROM = 2048  # items; below, an exact pass takes less than a second
PCA_ROWS = 4096
PROJECTED_ROWS = 4096  # at a time
# Products of rows in few dimensions are made there, if every row is that near to them.
FEW_DIMENSIONS = 0.5  # of all
NEAR = 1e-6
NOISE = 1e-5  # of a spectrum in single precision
CANDIDATES = {"reduced": 28, "exact": 40, "known": 80}  # a node
RANDOM_EDGES = 6  # a node: lists that all name the same hubs leave nodes that nobody lists
EXACT_PASSES = 8
KICKS = 20  # a node at most, in batches of a quarter
IDLE_GAIN = 0.005  # a batch that takes less than this part off the gap is idle
IDLE_BATCHES = 6  # so many in a row end the kicks
# A gap below the usual one is looked for by longer chains of exchanges, where a table of all costs is small.
USUAL_GAP = 1e-3
TABLE_ITEMS = 2048
# Greedy's order is compared where its products are few, and where the certificate leaves it room.
CHEAP_GREEDY = 5e8
ROOM_FOR_GREEDY = 2e-3
QUICK_ITEMS = 4096  # above, the quickest way makes no greedy order


@dataclass
class Path:
    """A path and what is proved about it."""

    permutation: np.ndarray  # (n,) int64
    total: float  # sum of its n - 1 cosines
    lower_bound: float  # no path sums to less
    gap: float = 0.0  # normalised_gap
    exact_passes: int = 0  # over all products in full dimension
    kicks: int = 0  # of the local search


def min_path(
    units: Array, *, gap: float | None = USUAL_GAP, seconds: float | None = None, seed: int = 0
) -> Path:
    """Return a path of nearly the smallest summed cosine through all rows, with a certificate.

    Up to 12 rows the optimum, by dynamic programme. Rows that are nearly equal are compared in double
    precision. Where few products make the greedy order, or the gap leaves room for a better one, the cheaper
    of both is returned. One seed gives one result on one machine, whatever the number of threads
    (``HAMMER_THREADS``), unless `seconds` cuts the work short.

    Parameters
    ----------
    units : (n, d) array or tensor, n >= 1
        Rows of length one. Products are made where a tensor lives; the rest runs on the CPU.
    gap : float or None
        Work on until the certified gap is this small, or nothing is left to try. None: the quickest that
        deserves the name, one exact pass, with a loose certificate.
    seconds : float or None
        Begin nothing new after this much wall time; the first cheap pass and one tour are always made.
    seed : int

    Raises
    ------
    InputError
        A negative gap, or seconds that are not positive.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    >>> rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    >>> found = min_path(rows)
    >>> found.lower_bound <= found.total and found.gap < 0.05
    True
    """
    check_limits(gap, seconds)
    with single_products():
        return _min_path(units, gap, seconds, seed)


def _min_path(units: Array, gap: float | None, seconds: float | None, seed: int) -> Path:
    n = len(units)
    random = mean_cosine(units)
    all_equal = bool((units[:1] == units[-1:]).all()) and bool((units == units[:1]).all())
    if n <= tours.LARGEST or all_equal:
        permutation = tours.exact_path(units) if n <= tours.LARGEST else np.arange(n)
        total = float(edge_cosines(units, permutation).sum())
        # two rows, and equal ones, have but one cost; else products and sums round
        slack = 0.0 if n <= 2 or n > tours.LARGEST else n * (n + units.shape[1]) * certificate.DOUBLE
        return Path(permutation, total, total - slack, _gap(total, total - slack, random, n))
    lists.tell_compilation()  # a dozen items take a second to compile for, and nothing is said
    work = _Solve(units, seed, np.inf if seconds is None else time.monotonic() + seconds, random)
    # longer chains where more than the usual is asked for and a table of all costs is small
    work.deep = gap is not None and gap < USUAL_GAP and n <= TABLE_ITEMS
    with tqdm(desc="certificate (first use compiles)", unit="step", delay=3, disable=progress_off()) as bar:
        work.begin(quick=gap is None)
        bar.set_description("certificate", refresh=False)
        # a gap that is unknown (NaN) is not reached: hence `not <=`, never `>`
        if gap is not None and not work.gap() <= gap:
            work.count_repeats()
        while gap is not None and not work.gap() <= gap and work.step():
            bar.set_postfix(gap=f"{100 * work.gap():.3f} %", refresh=False)
            bar.update()
        work.compare_greedy(quick=gap is None)
    return Path(work.path, work.total, work.bound, work.gap(), work.exact_passes, work.kicks)


def _gap(total: float, bound: float, random: float, n: int) -> float:
    return normalised_gap(total / (n - 1), bound / (n - 1), random) if n > 1 else 0.0


def check_limits(gap: float | None, seconds: float | None) -> None:
    """Refuse a gap or a time that is no number of the right sign."""
    if isinstance(gap, bool) or (gap is not None and not (isinstance(gap, int | float) and gap >= 0)):
        raise InputError("gap", gap, "is no share of what can be gained", "use for example gap=0.001")
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if seconds is not None and not (number and seconds > 0):
        raise InputError("seconds", seconds, "is no time to work", "use a positive number")


def repeated_kinds(rows: np.ndarray) -> np.ndarray | None:
    """Return the kind of each row if enough of them repeat others, else None."""
    # rows that differ mostly do in their first numbers
    beginnings = np.ascontiguousarray(rows[:, :4]).view(np.uint8)
    seen = len(np.unique(beginnings.view((np.void, beginnings.shape[1]))))
    if len(rows) - seen < certificate.SHARE * len(rows):
        return None
    kinds, counts = certificate.distinct_rows(rows)
    return kinds if len(rows) - len(counts) >= certificate.SHARE * len(rows) else None


class _Solve:
    """The state of one solve: prices, the sparse graph they were made on, the best tour, the bound."""

    def __init__(self, units: Array, seed: int, deadline: float, random: float) -> None:
        self.units = units
        self.n = len(units)
        self.deadline = deadline
        self.random = random
        self.rng = np.random.default_rng(seed)
        self.narrow = 1 - random < NARROW
        self.ends: np.ndarray | None = None
        # of the spread rows: squared length of one unit, largest square, what no order changes, its rounding
        self.square = self.largest = 1.0
        self.common = self.rounding = 0.0
        if self.narrow:
            self._spread_out()
        else:
            self.rows = np.ascontiguousarray(host(units), np.float32)
            self.mean = self.rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        # where products are made
        self.columns = self.rows if self.narrow or namespace(units) is np else units
        # centred, every item would like its opposite: half its cost along the mean is where prices begin
        self.along = (self.rows @ self.mean - self.mean @ self.mean / 2).astype(np.float64)
        self.prices = np.append(self.along, 0.0)
        left, right = self.rng.integers(0, self.n, (2, self.n * RANDOM_EDGES))
        other = left != right
        # no item is its own neighbour
        left, right = left[other], right[other]
        self.random_edges: lists.Edges = (left, right, tours.pair_costs(self.rows, left, right))
        self.graph: lists.Graph | None = None
        self.bound = certificate.closed_bound(units)
        self.sparse_bound = np.inf
        self.total = np.inf
        self.path = np.arange(self.n)
        self.local: tours.Search | None = None
        self.kinds = None if self.narrow else repeated_kinds(self.rows)
        self.lost = 0.0  # by which products of `columns` may miss those of `rows`
        # of the last whole search, and its prices
        self.known: tuple[lists.Candidates, np.ndarray] | None = None
        self.deep = False
        self.exact_passes = self.kicks = self.idle_batches = 0

    def _spread_out(self) -> None:
        """Leave out what all rows share, and lengthen the rest, in double precision.

        Rows that all lie near one another differ by less than single precision resolves. With z = x - m,
        x_i.x_j = m.m + z_i.z_j + z_i.m + z_j.m, and along a path every z.m counts twice, at its ends once:
        a path costs what its products of z cost, less z.m at both ends, and what no order changes.
        """
        rows = host(self.units).astype(np.float64)
        mean = rows.mean(axis=0)
        rest = rows - mean
        along = rest @ mean
        # |z|^2 is 1 - m.m on average: scaled by it, rows have about unit length again
        self.square = 1 / max(1 - self.random, 1e-13)
        self.rows, self.ends = rest * np.sqrt(self.square), -along * self.square
        self.mean = np.zeros(rows.shape[1])
        self.largest = max(1.0, float((self.rows**2).sum(axis=1).max()), float(np.abs(self.ends).max()))
        # m.m for each of n - 1 edges, z.m from both sides of an item; `ends` gives back what the ends miss
        self.common = (self.n - 1) * float(mean @ mean) + 2 * float(along.sum())
        self.rounding = 8 * self.n * (rows.shape[1] + 8) * certificate.DOUBLE

    def gap(self) -> float:
        """Return the normalised gap of the best path."""
        return _gap(self.total, self.bound, self.random, self.n)

    def begin(self, quick: bool = False) -> None:
        """Price on reduced vectors where that is cheaper, then exactly, and make the first tour."""
        if self.n >= REDUCED_FROM and self.units.shape[1] >= 2 * REDUCED and not self.narrow:
            reduced, share = self._project()
            # flat spectra hide the opposites: such lists only set the level of the prices
            for _ in range(2 if share >= INFORMATIVE and not quick else 1):
                self._reduced_pass(reduced)
            self._exact_pass()
        else:
            deadline, self.deadline = self.deadline, np.inf  # without one pass there is no tour
            self._exact_pass()
            self.deadline = deadline
        self._new_tour()

    def step(self) -> bool:
        """Do what promises most: tighten the bound or shorten the tour; False when nothing is left."""
        if time.monotonic() > self.deadline:
            return False
        passes_left = self.exact_passes < EXACT_PASSES
        kicks_left = self.kicks < KICKS * self.n and self.idle_batches < IDLE_BATCHES
        # an exact pass also improves the tour, so it is worth more than the slack it removes
        loose = 4 * (self.sparse_bound - self.bound) > self.total - self.sparse_bound
        if passes_left and (loose or not kicks_left):
            if self._exact_pass():
                self._new_tour()
            return True
        if kicks_left:
            self._kick(max(self.n // 4, 200))
        return kicks_left

    def _project(self) -> tuple[np.ndarray, float]:
        """Return the centred rows along their principal directions, found on a sample, and their share."""
        sample = self.rows[self.rng.permutation(self.n)[:PCA_ROWS]] - self.mean
        # eigenvalues rise: the principal directions are the last columns
        spectrum, directions = np.linalg.eigh(sample.T @ sample)
        if namespace(self.columns) is np and (spectrum > NOISE * spectrum[-1]).mean() < FEW_DIMENSIONS:
            self._leave_out_dimensions(sample)
        reduced = np.empty((self.n, REDUCED), self.rows.dtype)
        for start in range(0, self.n, PROJECTED_ROWS):
            block = slice(start, start + PROJECTED_ROWS)
            reduced[block] = (self.rows[block] - self.mean) @ directions[:, -REDUCED:]
        return reduced, float(spectrum[-REDUCED:].sum() / max(spectrum.sum(), np.finfo(np.float32).tiny))

    def _leave_out_dimensions(self, sample: np.ndarray) -> None:
        """Make products in the few dimensions that the rows span, if no row is farther than `NEAR` from them.

        With x = Q z + e, |e| <= r, and Q orthonormal: |x_i.x_j - z_i.z_j| <= 2 r (|z| + r) + r^2.
        """
        seen = np.vstack([sample, self.mean]).astype(np.float64)
        spectrum, directions = np.linalg.eigh(seen.T @ seen)
        basis = directions[:, spectrum > NEAR**2 * spectrum[-1]]
        if basis.shape[1] > FEW_DIMENSIONS * basis.shape[0]:
            return
        few = np.empty((self.n, basis.shape[1]), np.float32)
        farthest = longest = 0.0
        for start in range(0, self.n, PROJECTED_ROWS):
            block = self.rows[start : start + PROJECTED_ROWS].astype(np.float64)
            few[start : start + PROJECTED_ROWS] = block @ basis
            placed = few[start : start + PROJECTED_ROWS].astype(np.float64)
            farthest = max(farthest, float(np.linalg.norm(block - placed @ basis.T, axis=1).max()))
            longest = max(longest, float(np.linalg.norm(placed, axis=1).max()))
        if farthest <= NEAR:
            # Q is orthonormal up to rounding only; 1.01 covers the rounding of this bound itself
            oblique = float(np.abs(basis.T @ basis - np.eye(basis.shape[1])).sum(axis=1).max())
            self.lost = 1.01 * (2 * farthest * (longest + farthest) + farthest**2 + oblique * longest**2)
            self.columns = few

    def _reduced_pass(self, reduced: np.ndarray) -> None:
        shifted = self.prices - np.append(self.along, 0.0)  # c_ij = z_i.z_j + along_i + along_j
        k = CANDIDATES["reduced"]
        candidates = lists.search(reduced, shifted, k, offsets=self.along, kinds=self.kinds)
        left, right, _ = lists.candidate_edges(candidates, candidates.reduced)
        self._price((left, right, tours.pair_costs(self.rows, left, right)))

    def _exact_pass(self) -> bool:
        """Find candidates among all products and certify the prices; False if time ran out."""
        try:
            candidates = self._exact_candidates()
            rows = self.rows if self.narrow else host(self.units)
            proved = certificate.certified_bound(
                rows, candidates, self.prices, ends=self.ends, square=self.largest, lost=self.lost
            )
        except lists.OutOfTime:
            return False
        # back from the spread rows to cosines; a bound of an earlier pass may have been better
        self.bound = max(self.bound, proved / self.square + self.common - self.rounding)
        self.exact_passes += 1
        self._price(lists.candidate_edges(candidates, candidates.reduced + self.prices[candidates.columns]))
        return True

    def _exact_candidates(self) -> lists.Candidates:
        """Return the cheapest neighbours at these prices, from what earlier passes made if that is enough."""
        k, limits = CANDIDATES["exact"], {"ends": self.ends, "deadline": self.deadline}
        if self.known is not None:
            candidates = lists.search_again(self.columns, *self.known, self.prices, k, **limits)
            if candidates is not None:
                return candidates
        # longer than needed, so that `search_again` can do without most products at the next prices
        longer = lists.search(self.columns, self.prices, CANDIDATES["known"], kinds=self.kinds, **limits)
        if namespace(self.columns) is np and longer.columns.shape[1] > k:
            self.known = (longer, self.prices)
        return longer.first(k)

    def _price(self, edges: lists.Edges) -> None:
        """Make the sparse graph of new and kept edges, and the prices that belong to it."""
        parts = [edges, self.random_edges]
        if self.graph is not None:
            parts.append(lists.kept_edges(self.graph, self.prices))
        self.graph = lists.sparse_graph(self.n + 1, *parts, kind=self.rows.dtype)
        self.prices, value = lists.sweep_prices(self.graph, self.prices)
        self.sparse_bound = value / self.square + self.common

    def _new_tour(self) -> None:
        """Make a tour from the prices and improve it; keep the better of its path and the last."""
        tour = tours.greedy_tour(self.columns, self.graph, self.prices)
        near = lists.cheapest_neighbours(self.graph, self.prices, tours.NEIGHBOURS)
        self.local = tours.search_from(self.rows, self.prices, tour, near)
        tours.descend(self.local)
        if self.deep:
            self.local = tours.with_table(self.local)
            tours.descend_deep(self.local)
        self._keep()

    def count_repeats(self) -> None:
        """Solve over distinct rows, each with the number of its copies, where many rows repeat."""
        if self.kinds is None and not self.narrow:
            return
        # all that a perfect order could gain over a random one
        matters = self.random * (self.n - 1) - self.bound
        path, bound = certificate.repeated_path(self.units, matters=matters, deadline=self.deadline)
        self.bound = max(self.bound, bound)
        if path is not None:
            self._take(path)

    def compare_greedy(self, quick: bool) -> None:
        """Take the greedy order if it is cheaper, where that can be and is worth the time."""
        cheap = self.n * self.n * self.units.shape[1] <= CHEAP_GREEDY
        room = not self.gap() <= ROOM_FOR_GREEDY and (not quick or self.n <= QUICK_ITEMS)
        if (cheap or room) and time.monotonic() < self.deadline:
            self._take(greedy_path(self.units))

    def _take(self, path: np.ndarray) -> None:
        # in double precision on the rows as they were given, whatever the search computed with
        total = float(edge_cosines(self.units, path).sum())
        if total < self.total:
            self.total = total
            self.path = path

    def _kick(self, count: int) -> None:
        # both runs and the nodes at their ends must fit on the ring
        longest = max(1, min(tours.KICK_RUN, (self.n - 2) // 2))
        draws = self.rng.integers([0, 1, 1], [self.n + 1, longest + 1, longest + 1], (count, 3))
        tours.kick(self.local, draws, self.deep)
        self.kicks += count
        before = self.total
        self._keep()
        little = before - self.total < IDLE_GAIN * (self.total - self.bound)
        if little:
            self.idle_batches += 1
        else:
            self.idle_batches = 0

    def _keep(self) -> None:
        """Cut the tour at the dummy: what is left is a path."""
        begin = -int(self.local.place[self.n])
        self._take(np.roll(self.local.tour, begin)[1:].astype(np.int64))
