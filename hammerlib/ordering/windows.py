"""Orders made of windows: what one training step sees together, and in which sequence the steps come."""

from __future__ import annotations

import numpy as np
from tqdm.auto import tqdm

from hammerlib.ordering.candidates import compiled, compiled_sums
from hammerlib.ordering.controls import check_window, shuffle_windows  # noqa: F401  once here
from hammerlib.ordering.solve import min_path
from hammerlib.ordering.tour import LARGEST, exact_path
from hammerlib.runs.storage import progress_off
from hammerlib.similarity import Array, host

SWEEPS = 6  # times that every item may look for an exchange
PARTNERS = 24  # items of other windows that it looks at each time


@compiled_sums
def _square(rows: np.ndarray, left: int, right: int) -> float:
    total = np.float32(0.0)
    for column in range(rows.shape[1]):
        total += rows[left, column] * rows[right, column]
    # squared: in a set an opposite is as redundant as a copy
    return np.float64(total) * total


@compiled
def _energy(rows: np.ndarray, item: int, members: np.ndarray, without: int) -> float:
    """Sum of squared cosines between an item and a window, without one member."""
    total = 0.0
    for number in range(len(members)):
        if number != without:
            total += _square(rows, item, members[number])
    return total


@compiled
def _exchange_items(rows: np.ndarray, order: np.ndarray, window: int, draws: np.ndarray) -> float:
    """Exchange items between windows where that lowers the summed energy; return by how much."""
    gained, n = 0.0, len(order)
    for number in range(len(draws)):
        at = draws[number, 0]
        first = at // window * window
        own = order[first : min(first + window, n)]
        here = _energy(rows, order[at], own, at - first)
        for rank in range(1, draws.shape[1]):
            to = draws[number, rank]
            second = to // window * window
            if second == first:
                continue
            other = order[second : min(second + window, n)]
            # both without their own window, less both in the other's; the pair itself counts in neither
            gain = here + _energy(rows, order[to], other, to - second)
            gain -= _energy(rows, order[at], other, to - second) + _energy(rows, order[to], own, at - first)
            # rows in single precision: less is rounding
            if gain > 1e-6:
                order[at], order[to] = order[to], order[at]
                gained += gain
                here = _energy(rows, order[at], own, at - first)
    return gained


def batch_diverse(units: Array, window: int, begin: np.ndarray, seed: int) -> np.ndarray:
    """Return an order whose windows are diverse sets, each a short path, chained end to end (ours).

    Objective: minimise the summed squared cosines of the pairs inside windows, which is to maximise each
    window's Vendi score of order 2 (``K^2 / sum_ij cos_ij^2``), by exchanges from the windows of the minimum
    path. Then each window is put in the sequence of its own minimum path, and windows follow one another
    greedily, turned round where that joins less similar ends.
    """
    check_window(window)
    rows = np.ascontiguousarray(host(units), np.float32)
    n = len(rows)
    order = np.array(begin)
    rng = np.random.default_rng(seed)
    for _ in tqdm(range(SWEEPS), "batch-diverse", delay=3, disable=progress_off()):
        items = rng.permutation(n)[:, None]
        # every item once, each with partners drawn from all
        draws = np.concatenate([items, rng.integers(0, n, (n, PARTNERS))], axis=1)
        if _exchange_items(rows, order, window, draws) == 0.0:
            break
    return _chain(rows, [_inside(rows, order[at : at + window]) for at in range(0, n, window)])


def _inside(rows: np.ndarray, items: np.ndarray) -> np.ndarray:
    if len(items) <= LARGEST:
        return items[exact_path(rows[items])]
    return items[min_path(rows[items], gap=None).permutation]


def _chain(rows: np.ndarray, windows: list[np.ndarray]) -> np.ndarray:
    """Put windows one after another, the next one where its nearer end is least similar; a short one last."""
    whole = len(windows) if len(windows[-1]) == len(windows[0]) else len(windows) - 1
    ends = np.array([[window[0], window[-1]] for window in windows[:whole]])
    taken = np.zeros(whole, bool)
    chain = []
    at = 0
    turned = False
    for _ in range(whole):
        taken[at] = True
        chain.append(windows[at][::-1] if turned else windows[at])
        costs = rows[ends] @ rows[chain[-1][-1]]
        # windows that stand there already
        costs[taken] = np.inf
        # two ends a window: the second one means that it is entered from behind
        at, turned = divmod(int(costs.argmin()), 2)
    return np.concatenate([*chain, *windows[whole:]])
