"""Controls: orders that keep one property of another order and draw everything else at random (ours).

Where an order helps, they tell which of its properties does: the batches, the sequence of batches, the drift
from its front to its tail, or the course that length and difficulty take along it.
"""

from __future__ import annotations

import numpy as np

from hammerlib.errors import InputError

# Streams of randomness beside those of other strategies, so that no two of them draw alike from one seed.
BATCHES, MATCHED = 3, 4
BINS = 4
# What ``matched`` keeps of the course of the order that it is made of.
COURSES = ("length-and-pass-rate", "topic")


def check_window(window: int) -> None:
    """Refuse a window that is no whole number of at least two."""
    if isinstance(window, bool) or not isinstance(window, int | np.integer) or window < 2:
        raise InputError("window", window, "is no window", "use the number of prompts per step, at least 2")


def shuffle_windows(permutation: np.ndarray, window: int, seed: int) -> np.ndarray:
    """Return an order whose windows hold the same items in the same sequence, but come in random sequence."""
    check_window(window)
    whole = len(permutation) // window
    shuffled = np.random.default_rng(seed).permutation(whole)
    # items that fill no window stay last, as a schedule leaves them out
    windows = permutation[: whole * window].reshape(whole, window)[shuffled]
    return np.concatenate([windows.ravel(), permutation[whole * window :]])


def random_batches(path: np.ndarray, window: int, seed: int, *, block: int | None = None) -> np.ndarray:
    """Return batches of random make-up in the sequence of a path, a permutation as `path`.

    The counterpart of ``batch-shuffled``, which keeps the batches and draws their sequence. Batches are drawn
    without looking at the path and then sorted by the mean place of their problems on it. (A path over their
    centroids, which all lie near the mean, would follow noise.) A problem's place then correlates with its
    place on the path by about 1 / sqrt(window) only, because batches drawn from all problems are alike. With
    `block` they are drawn within each stretch of the path of that many problems, a multiple of `window`: the
    drift from the path's front to its tail stays, while neighbours and the make-up of batches are lost. What
    fills no batch comes last.
    """
    check_window(window)
    n = len(path)
    rng = np.random.default_rng([seed, BATCHES])
    if block is None:
        block = max(n, 1)
    if isinstance(block, bool) or not isinstance(block, int) or block < 1 or (block < n and block % window):
        remedy = f"use a multiple of {window}, or leave it out"
        raise InputError("block", block, "does not hold whole batches", remedy)
    rows = [np.arange(0)]
    for first in range(0, n, block):
        drawn = first + rng.permutation(min(block, n - first))
        whole = len(drawn) // window * window
        batches = drawn[:whole].reshape(-1, window)
        rows += [batches[np.argsort(batches.mean(axis=1), kind="stable")].ravel(), drawn[whole:]]
    return path[np.concatenate(rows)]


def strata(lengths: np.ndarray, pass_rates: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Return the stratum of every problem: a quantile bin of length crossed with one of pass rate.

    Values that tie share a bin, so there may be fewer than `bins`.
    """
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise InputError("bins", bins, "is no number of bins", "use 4")
    return _quantile_bin(lengths, bins) * bins + _quantile_bin(pass_rates, bins)


def _quantile_bin(values: np.ndarray, bins: int) -> np.ndarray:
    above = values[values > values.min()]
    if not above.size:
        return np.zeros(len(values), dtype=np.int64)
    edges = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1], method="higher")
    # Where most values tie at the lowest, they are one bin and the rest are others.
    return np.searchsorted(np.unique(np.maximum(edges, above.min())), values, side="right")


def matched(path: np.ndarray, stratum: np.ndarray, seed: int) -> np.ndarray:
    """Return an order in which every place holds a random problem of the stratum that the path has there.

    So length and difficulty follow the same course as along the path, position by position, and of the rest
    only what goes with them: where stories are longer than sums, most of the topic's course stays too.
    """
    rng = np.random.default_rng([seed, MATCHED])
    order = np.array(path)
    for name in np.unique(stratum):
        same = np.flatnonzero(stratum[path] == name)
        order[same] = rng.permutation(path[same])
    return order
