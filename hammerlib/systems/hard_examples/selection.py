"""Subsets of a pool by measured pass rate: a share of it (hard, medium, easy, random), or one level."""

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
    rates = _checked(rates)
    if subset not in SUBSETS:
        raise InputError("subset", subset, "is unknown", f"use one of {', '.join(SUBSETS)}")
    n, m = len(rates), round(share * len(rates))
    if not 0 < share <= 1 or m < 1:
        raise InputError("share", share, f"leaves {m} of {n} problems", "choose a share in (0, 1]")
    shuffled = np.random.default_rng(seed).permutation(n)
    ranked = shuffled[np.argsort(rates[shuffled], kind="stable")]
    first = {"hard": 0, "medium": (n - m) // 2, "easy": n - m, "random": 0}[subset]
    return np.sort((shuffled if subset == "random" else ranked)[first : first + m])


def select_level(rates: ArrayLike, level: float, *, up_to: bool = False) -> np.ndarray:
    """Return the rows of one measured pass rate, or of all rates up to it, as the released subsets are cut.

    Of a probe with one sample a problem, level 0 is "base wrong" and level 1 "base right". A random subset of
    the same size: ``select(rates, len(rows) / len(rates), "random")``.

    Parameters
    ----------
    rates : (n,) array-like
        Pass rates in [0, 1].
    level : float
        In [0, 1]; of a probe with K samples a multiple of 1/K.
    up_to : bool
        Rates at or below the level; the released subsets of GSM8K are exact levels, those of Tracking
        Shuffled Objects reach up to one.

    Returns
    -------
    (m,) int64 array
        Rows in ascending order.

    Raises
    ------
    InputError
        Rates outside [0, 1] or missing; a level that no problem has.

    Notes
    -----
    Source: the released ``create_subset.py`` of arXiv 2508.14094. Rates within 1e-9 of each other are equal.

    Examples
    --------
    >>> [select_level([0.0, 0.3, 0.1, 0.3], 0.3, up_to=up_to).tolist() for up_to in (False, True)]
    [[1, 3], [0, 1, 2, 3]]
    """
    rates = _checked(rates)
    rows = np.flatnonzero(rates <= level + 1e-9 if up_to else np.abs(rates - level) <= 1e-9)
    if not rows.size:
        known = ", ".join(f"{one:g}" for one in np.unique(rates.round(9)))
        raise InputError("level", level, "has no problem in the pool", f"choose from {known}")
    return rows


def _checked(rates: ArrayLike) -> np.ndarray:
    """Pass rates as an array, or an error."""
    rates = np.asarray(rates, dtype=float)
    if rates.ndim != 1 or not rates.size or not ((rates >= 0) & (rates <= 1)).all():
        raise InputError("rates", rates.shape, "must be n numbers in [0, 1]", "give the probe's pass rates")
    return rates
