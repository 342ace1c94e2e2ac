"""A share of a pool by measured pass rate: hard, medium, easy, or a random one of the same size."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError

SUBSETS = ("hard", "medium", "easy", "random")


def select(rates: ArrayLike, share: float, subset: str, *, seed: int = 0) -> np.ndarray:
    """Return the rows of a subset of the pool.

    Parameters
    ----------
    rates : (n,) array-like
        Pass rates in [0, 1].
    share : float
        Of the pool, in (0, 1]; the subset has round(share n) rows.
    subset : str
        ``hard``: the lowest rates; ``easy``: the highest; ``medium``: the window of the same size centred on
        the median rank (how the paper cuts it is not public); ``random``: without looking at the rates.
    seed : int
        Of the shuffle that breaks ties, and of ``random``.

    Returns
    -------
    (m,) int64 array
        Rows in ascending order, each once.

    Raises
    ------
    InputError
        An unknown subset; rates outside [0, 1] or missing; a share that leaves no row.

    Notes
    -----
    Source: arXiv 2508.14094 (share 0.1); shuffled ties are ours: a pool has many problems at 0 and at 1.

    Examples
    --------
    >>> select([0.9, 0.1, 0.5, 0.7], 0.5, "hard").tolist()
    [1, 2]
    """
    rates = np.asarray(rates, dtype=float)
    if subset not in SUBSETS:
        raise InputError("subset", subset, "is unknown", f"use one of {', '.join(SUBSETS)}")
    if rates.ndim != 1 or not rates.size or not ((rates >= 0) & (rates <= 1)).all():
        raise InputError("rates", rates.shape, "must be n numbers in [0, 1]", "give the probe's pass rates")
    n, m = len(rates), round(share * len(rates))
    if not 0 < share <= 1 or m < 1:
        raise InputError("share", share, f"leaves {m} of {n} problems", "choose a share in (0, 1]")
    shuffled = np.random.default_rng(seed).permutation(n)
    ranked = shuffled[np.argsort(rates[shuffled], kind="stable")]
    first = {"hard": 0, "medium": (n - m) // 2, "easy": n - m, "random": 0}[subset]
    return np.sort((shuffled if subset == "random" else ranked)[first : first + m])
