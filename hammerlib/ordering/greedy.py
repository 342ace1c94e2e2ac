"""Construction of orders one item after the other, in memory that grows with n, not n squared.

The unvisited rows lie packed at the front of one buffer; a visited row is overwritten by the last one.
A step is one matrix-vector product over what is left: n^2 d / 2 multiplications in all, O(n d) memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from tqdm.auto import tqdm

from hammerlib.errors import InputError, check_name
from hammerlib.ordering.threads import Crew
from hammerlib.runs.storage import progress_off
from hammerlib.similarity import Array, host, like, namespace

ETA_MODES = ("epsilon", "pool", "subsample")
STARTS = ("least-similar", "first", "random")
SHARED_SIZE = 1 << 22  # numbers; what takes less than a millisecond is not shared out
PART_ROWS = 2048
TIE_ROUNDINGS = 8  # products closer than this many rounding errors count as equal: the lower index wins


class Unvisited:
    """The rows that an order has not taken yet, packed so that products touch nothing else."""

    crew: Crew | None = None  # shares out what is worth it

    def __init__(self, units: Array) -> None:
        xp = namespace(units)
        self._rows = units.clone() if xp is not np else np.array(units, order="C")
        self._index = np.arange(len(units))
        self._slot = np.arange(len(units))
        self._left = len(units)
        self.tie = TIE_ROUNDINGS * float(xp.finfo(units.dtype).eps)

    @property
    def index(self) -> np.ndarray:
        """Item numbers of the packed rows, in the order that :meth:`products` answers."""
        return self._index[: self._left]

    def products(self, query: Array) -> np.ndarray:
        """Return the product of every packed row with `query`, shape (number left,)."""
        rows = self._rows[: self._left]
        if self.crew is None or namespace(rows) is not np or rows.size < SHARED_SIZE:
            return host(rows @ query)
        products = np.empty(len(rows), np.result_type(rows, query))
        # the rest goes with the last part: the product of a row or two takes another way through the library
        begins = range(0, max(len(rows) - PART_ROWS, 1), PART_ROWS)

        def multiply(begin: int) -> None:
            end = len(rows) if begin == begins[-1] else begin + PART_ROWS
            np.matmul(rows[begin:end], query, out=products[begin:end])

        self.crew.share_out(multiply, begins)
        return products

    def take(self, item: int) -> None:
        """Remove `item` and move the last row into its place."""
        # the last row fills the gap, so that products touch one block without holes
        slot = self._slot[item]
        last_slot = self._left - 1
        self._rows[slot] = self._rows[last_slot]
        self._index[slot] = self._index[last_slot]
        self._slot[self._index[slot]] = slot
        self._left = last_slot

    def lowest(self, costs: np.ndarray) -> int:
        """Return the item of the smallest cost; among costs equal to rounding the lowest number."""
        return int(self.index[costs <= costs.min() + self.tie].min())


def start_item(units: Array, start: str, rng: np.random.Generator) -> int:
    """Return the first item of an order (arXiv 2509.25240 does not name one)."""
    check_name("start", start, STARTS)
    if start == "first":
        return 0
    if start == "random":
        return int(rng.integers(len(units)))
    left = Unvisited(units)
    # the smallest product with the mean is the smallest summed cosine to all
    return left.lowest(left.products(units.mean(axis=0)))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def check_eta(eta: float, eta_mode: str) -> None:
    """Refuse an eta that its reading cannot use."""
    check_name("eta_mode", eta_mode, ETA_MODES)
    if not _is_number(eta) or not 0 <= eta < math.inf or (eta_mode == "epsilon" and eta > 1):
        raise InputError("eta", eta, f"cannot be used in mode {eta_mode}", "use a number from 0 to 1")
    if eta_mode != "epsilon" and eta > 1 and eta != int(eta):
        raise InputError("eta", eta, "is above 1 and not a whole count", "use a fraction or a whole number")


def _choose(left: Unvisited, costs: np.ndarray, eta: float, eta_mode: str, rng: np.random.Generator) -> int:
    """Return the next item under one of three readings of eta, which arXiv 2509.25240 does not define."""
    if eta == 0:
        return left.lowest(costs)
    if eta_mode == "epsilon":
        return int(rng.choice(left.index)) if rng.random() < eta else left.lowest(costs)
    # a count, or a fraction of what is left
    size = int(eta) if eta >= 1 else math.ceil(eta * len(costs))
    size = min(size, len(costs))
    if eta_mode == "pool":
        pool = left.index[np.argpartition(costs, size - 1)[:size]]
        # sorted: the draw must not depend on how the partition left them
        return int(np.sort(pool)[rng.integers(size)])
    looked_at = np.full(len(costs), np.inf)
    sample = rng.choice(len(costs), size=size, replace=False)
    looked_at[sample] = costs[sample]
    return left.lowest(looked_at)


def _grow(left: Unvisited, item: int, choose: Callable[[int], int]) -> np.ndarray:
    """Return an order made one item after the other: `choose` names the next one after the last one taken."""
    permutation = np.empty(len(left.index), dtype=np.int64)
    with Crew() as left.crew:
        for step in tqdm(range(len(permutation)), "ordering", unit="item", delay=3, disable=progress_off()):
            permutation[step] = item
            left.take(item)
            if len(left.index):
                item = choose(item)
    return permutation


def greedy_path(
    units: Array,
    *,
    start: str = "least-similar",
    largest: bool = False,
    shift: Array | None = None,
    eta: float = 0.0,
    eta_mode: str = "epsilon",
    seed: int = 0,
) -> np.ndarray:
    """Return the order in which each item is followed by the least similar one that is left.

    Source: HAMMER section 1.2 ("eta-greedy"); start, ties and the meaning of eta are our readings.

    Parameters
    ----------
    units : (n, d) array or tensor
        Rows of length one, n >= 1.
    start : {"least-similar", "first", "random"}
    largest : bool
        Take the most similar item instead (the paper's ablation).
    shift : (d,) array, optional
        Subtracted from the rows inside the choice only (``centre="argmin"``).
    eta : float
        0 is the plain greedy. Mode "epsilon": probability of a random step. Mode "pool": choose at random
        among the eta least similar. Mode "subsample": look at eta random candidates only. In the last two,
        eta below 1 is a fraction of what is left and from 1 upwards a count.
    eta_mode : {"epsilon", "pool", "subsample"}
    seed : int

    Returns
    -------
    (n,) int64 array

    Raises
    ------
    InputError
        Unknown `start` or `eta_mode`, or an eta outside its range.

    Examples
    --------
    >>> import numpy as np
    >>> greedy_path(np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]), start="first").tolist()
    [0, 2, 1]
    """
    check_eta(eta, eta_mode)
    rng = np.random.default_rng(seed)
    sign = -1.0 if largest else 1.0
    left = Unvisited(units)

    def least_similar(item: int) -> int:
        # HAMMER section 1.2: next is argmin_j cos(x_i, x_j) over the items left. Less a mean m that is
        # (x_j - m).(x_i - m) = x_j.(x_i - m) - a constant, so only the query needs the shift
        query = units[item] if shift is None else units[item] - shift
        return _choose(left, sign * left.products(query), eta, eta_mode, rng)

    return _grow(left, start_item(units, start, rng), least_similar)


def farthest_first(units: Array, *, start: str = "least-similar", seed: int = 0) -> np.ndarray:
    """Return the order in which each item is the one farthest from all before it (k-centre greedy).

    Source: Gonzalez 1985, a 2-approximation of the smallest covering radius for every prefix.

    Parameters
    ----------
    units : (n, d) array or tensor
        Rows of length one, n >= 1.
    start : {"least-similar", "first", "random"}
    seed : int

    Returns
    -------
    (n,) int64 array

    Raises
    ------
    InputError
        Unknown `start`.

    Examples
    --------
    >>> import numpy as np
    >>> farthest_first(np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]), start="first").tolist()
    [0, 2, 1]
    """
    left = Unvisited(units)
    nearest = np.full(len(units), -np.inf)  # by item: largest cosine to anything taken so far

    def farthest(item: int) -> int:
        # argmax_j min_{i taken} (1 - cos(x_i, x_j)): the largest cosine to anything taken is smallest
        nearest[left.index] = np.maximum(nearest[left.index], left.products(units[item]))
        return left.lowest(nearest[left.index])

    return _grow(left, start_item(units, start, np.random.default_rng(seed)), farthest)


def logdet_first(
    units: Array, *, ridge: float = 0.1, start: str = "least-similar", seed: int = 0
) -> np.ndarray:
    """Return the order in which each item adds most to ``log det(I + X_S X_S^T / ridge)`` of the set so far.

    Source: greedy maximum a posteriori inference of a determinantal point process (Chen, Zhang & Zhou 2018),
    with the ridge that keeps it defined beyond d items.
    """
    if not _is_number(ridge) or not 0 < ridge < math.inf:
        raise InputError("ridge", ridge, "is no positive number", "use ridge=0.1")
    left = Unvisited(units)
    added = np.full(len(units), 1.0)  # by item: x^T (I + X_S^T X_S / ridge)^-1 x
    inverse = np.eye(units.shape[1])

    def most_added(item: int) -> int:
        row = host(units[item]).astype(np.float64)
        # A^-1 with A = I + X^T X / ridge loses a a^T / (ridge + x.a), where a = A^-1 x
        along = inverse @ row
        along /= math.sqrt(ridge + float(row @ along))
        inverse[...] -= np.outer(along, along)  # Sherman and Morrison 1950
        # log det grows by log(1 + x^T A^-1 x / ridge): the largest x^T A^-1 x is the next item
        added[left.index] -= left.products(like(along, units)).astype(np.float64) ** 2
        return left.lowest(-added[left.index])

    return _grow(left, start_item(units, start, np.random.default_rng(seed)), most_added)
