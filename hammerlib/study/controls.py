"""Orders that keep one property of another order and draw everything else at random (ours)."""

from __future__ import annotations

import numpy as np

from hammerlib.errors import InputError
from hammerlib.ordering.windows import check_window

BINS = 4


def random_batches(path: np.ndarray, window: int, seed: int, *, block: int | None = None) -> np.ndarray:
    """Return batches of random make-up in the sequence of a path.

    The counterpart of ``batch-shuffled``, which keeps the batches and draws their sequence. Batches are drawn
    without looking at the path and then sorted by the mean place of their problems on it; inside a batch the
    sequence is random. A problem's place then correlates with its place on the path by about 1 / sqrt(window)
    only, because batches drawn from all problems are alike. With `block` they are drawn within each stretch
    of the path of that many problems: the drift from the path's front to its tail stays, while neighbours and
    the make-up of batches are lost.

    Parameters
    ----------
    path : (n,) int array
        The order whose sequence is followed.
    window : int
        Problems a batch, at least 2. What fills no batch comes last.
    seed : int
    block : int, optional
        Problems of a stretch, a multiple of `window`; default all n.

    Returns
    -------
    (n,) int array

    Raises
    ------
    InputError
        A window below 2, or a block that is not a multiple of it.

    Notes
    -----
    Source: ours. Sorting by mean place rather than a path over batch centroids: the centroids of random
    batches all lie near the mean, so a path over them would follow noise.

    Examples
    --------
    >>> sorted(random_batches(np.arange(6), 2, seed=0, block=4)[:4].tolist())
    [0, 1, 2, 3]
    """
    check_window(window)
    n, rng = len(path), np.random.default_rng([seed, 3])
    block = max(n, 1) if block is None else block
    if isinstance(block, bool) or not isinstance(block, int) or block < 1 or (block < n and block % window):
        remedy = f"use a multiple of {window}, or leave it out"
        raise InputError("block", block, "does not hold whole batches", remedy)
    places = [np.arange(0)]
    for first in range(0, n, block):
        drawn = first + rng.permutation(min(block, n - first))
        whole = len(drawn) // window * window
        batches = drawn[:whole].reshape(-1, window)
        places += [batches[np.argsort(batches.mean(axis=1), kind="stable")].ravel(), drawn[whole:]]
    return path[np.concatenate(places)]


def strata(lengths: np.ndarray, pass_rates: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Return the stratum of every problem: a quantile bin of length crossed with one of pass rate.

    Parameters
    ----------
    lengths : (n,) array
        Of the prompts.
    pass_rates : (n,) array
        In [0, 1].
    bins : int
        Of each of the two, at least 1; values that tie share a bin, so there may be fewer.

    Returns
    -------
    (n,) int array

    Raises
    ------
    InputError
        Fewer than one bin.

    Examples
    --------
    >>> strata(np.array([5, 5, 9, 9]), np.array([0.0, 1.0, 0.0, 1.0]), bins=2).tolist()
    [0, 1, 2, 3]
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

    Parameters
    ----------
    path : (n,) int array
        The order that is matched.
    stratum : (n,) int array
        Of every problem, see `strata`.
    seed : int

    Returns
    -------
    (n,) int array
        A permutation; a problem alone in its stratum keeps its place.

    Examples
    --------
    >>> order = matched(np.array([3, 0, 2, 1]), np.array([0, 0, 1, 1]), seed=0)
    >>> np.array([0, 0, 1, 1])[order].tolist()
    [1, 0, 1, 0]
    """
    rng, found = np.random.default_rng([seed, 4]), np.array(path)
    for name in np.unique(stratum):
        places = np.flatnonzero(stratum[path] == name)
        found[places] = rng.permutation(path[places])
    return found
