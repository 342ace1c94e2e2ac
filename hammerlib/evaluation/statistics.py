"""The bootstrap over problems, by a method that the caller names."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError, check_whole
from hammerlib.evaluation.aggregates import interquartile_mean
from hammerlib.evaluation.intervals import (
    SHARES,
    Interval,
    check_bounds,
    checked,
    differences,
    mean_interval,
    paired_interval,
    student_ends,
    with_seeds,
)

__all__ = ["Interval", "bootstrap_interval", "interquartile_mean", "paired_bootstrap"]

DRAWS_AT_ONCE = 2_000_000  # resampled values held in memory at a time (16 MB)
FEWEST = 10  # problems; below, resamples hold too few distinct values to be studentised
DRAWN = ("bootstrap-t", "bca", "percentile")
METHODS = (*DRAWN, "student", "dirichlet")
RESAMPLES, SEED = 2000, 0


def bootstrap_interval(
    values: ArrayLike,
    *,
    method: str = "bootstrap-t",
    bounds: tuple[float, float] | None = None,
    level: float = 0.95,
    resamples: int | None = None,
    seed: int | None = None,
) -> Interval:
    """Return the mean with its bootstrap interval over problems, and over seeds where given.

    The method is what the caller names, whatever the values:

    ``bootstrap-t`` (default)
        Studentised resamples; their quantiles are taken as far out as Student's law is wider than the normal
        one. For values whose scale has no known end (tokens, seconds). Fewer than ten problems get Student's
        interval.
    ``bca``, ``percentile``
        Those of `scipy.stats.bootstrap`; too narrow for few problems, to compare with other work.
    ``student``
        Mean and Student's law, without draws.
    ``dirichlet``
        `mean_interval`: for shares and other values with known ends, near the ends too, without draws.

    Parameters
    ----------
    values : array-like, (n,) or (seeds, n)
        One number a problem, or one a seed and problem; n >= 2, finite.
    method : {"bootstrap-t", "bca", "percentile", "student", "dirichlet"}
        See above.
    bounds : (float, float), optional
        ``dirichlet``: ends of the scale, (0, 1) if absent. Other methods: where the ends are cut, (0, inf)
        for a number of tokens.
    level : float
        Nominal coverage in (0, 1).
    resamples : int, optional
        Draws, at least 100 (2,000 if absent); refused by methods that draw nothing.
    seed : int, optional
        Of an own generator (0 if absent): equal seeds give equal intervals, and no global state is touched.
        Refused by methods that draw nothing.

    Returns
    -------
    Interval
        Mean of `values` and the two ends. The ends are NaN (unknown) where all values are equal and the
        method knows no ends of the scale: nothing varies that could be drawn again. An end of ``bootstrap-t``
        is infinite, or that of `bounds`, where all but few values are equal: many resamples lack those.

    Raises
    ------
    InputError
        Another method, fewer than two values, a value that is not finite or outside the bounds of
        ``dirichlet``, a level or a number of resamples out of range, draws for a method that has none.

    Notes
    -----
    Coverage of forty skewed values: ``results/benchmarks/intervals.md``. Use ``dirichlet`` or `mean_interval`
    for shares: near 0 and 1 resamples of few problems hold too few of the rarer outcome.

    References
    ----------
    Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 12.5 (bootstrap-t); DiCiccio & Efron
    1996, section 4; levels: Hesterberg 2015, What teachers should know about the bootstrap, section 3.2.

    Examples
    --------
    >>> bootstrap_interval([0, 1] * 50, method="dirichlet")
    Interval(value=0.5, low=0.398..., high=0.601...)
    """
    resamples, seed = _draws(method, resamples, seed)
    table = np.atleast_2d(checked("values", values, level=level))
    if method == "dirichlet":
        return mean_interval(table, bounds=SHARES if bounds is None else bounds, level=level)
    cut = (-np.inf, np.inf) if bounds is None else check_bounds(bounds, finite=False)
    return _interval(table, method, cut, level, resamples, seed)


def paired_bootstrap(
    a: ArrayLike,
    b: ArrayLike,
    *,
    method: str = "bootstrap-t",
    level: float = 0.95,
    resamples: int | None = None,
    seed: int | None = None,
) -> Interval:
    """Return the mean of b - a over the same problems, with its bootstrap interval.

    Parameters
    ----------
    a, b : array-like, (n,) or (seeds, n)
        One number a problem (and seed), the same problem (and seed) at the same place.
    method : {"bootstrap-t", "bca", "percentile", "student", "dirichlet"}
        As in `bootstrap_interval`, of the differences; ``dirichlet``: `paired_interval` of shares, guarded at
        both ends.
    level, resamples, seed
        As in `bootstrap_interval`.

    Returns
    -------
    Interval
        Above zero where `b` is better at this level.

    Raises
    ------
    InputError
        Different lengths, or as in `bootstrap_interval`.

    References
    ----------
    As `bootstrap_interval`; for shares see `paired_interval`.

    Examples
    --------
    >>> paired_bootstrap([3.0, 5.0, 2.0] * 9, [4.0, 9.0, 4.0] * 9).low > 0
    True
    """
    resamples, seed = _draws(method, resamples, seed)
    difference = differences(a, b)
    if method == "dirichlet":
        return paired_interval(a, b, method="guarded", level=level)
    table = np.atleast_2d(checked("a", difference, level=level))
    return _interval(table, method, (-np.inf, np.inf), level, resamples, seed)


def _draws(method: str, resamples: int | None, seed: int | None) -> tuple[int, int]:
    """Check method and draws; return how many resamples, from which seed."""
    if method not in METHODS:
        raise InputError("method", method, "is not known", f"use one of {', '.join(METHODS)}")
    for name, given in (("resamples", resamples), ("seed", seed)):
        if given is not None and method not in DRAWN:
            raise InputError(name, given, f"means nothing to {method!r}, which draws nothing", "leave it out")
    resamples = check_whole("resamples", RESAMPLES if resamples is None else resamples, 100, "use 2000")
    return resamples, check_whole("seed", SEED if seed is None else seed, 0, "use seed=0, 1, ...")


def _interval(
    table: np.ndarray, method: str, cut: tuple[float, float], level: float, resamples: int, seed: int
) -> Interval:
    means = table.mean(axis=0)
    if np.ptp(means) <= 1e-12 * (1 + np.abs(means).max()):
        return Interval(float(table.mean()), float("nan"), float("nan"))
    if method == "student" or (method == "bootstrap-t" and len(means) < FEWEST):
        ends = student_ends(means, level)
    elif method == "bootstrap-t":
        ends = _studentised(means, level, resamples, seed)
    else:
        ends = _of_scipy(means, method, level, resamples, seed)
    return with_seeds(table, ends, level, cut)


def _of_scipy(means: np.ndarray, method: str, level: float, resamples: int, seed: int) -> tuple[float, float]:
    from scipy.stats import bootstrap

    name = {"bca": "BCa", "percentile": "percentile"}[method]
    batch = max(1, DRAWS_AT_ONCE // len(means))
    found = bootstrap(
        (means,),
        np.mean,
        n_resamples=resamples,
        batch=batch,
        confidence_level=level,
        method=name,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def _studentised(means: np.ndarray, level: float, resamples: int, seed: int) -> tuple[float, float]:
    """Bootstrap-t: quantiles of (mean* - mean) / error*, put around the mean with the error at hand."""
    from scipy.stats import norm, t

    n, centre, generator = len(means), means.mean(), np.random.default_rng(seed)
    error = means.std(ddof=1) / np.sqrt(n)
    share = norm.cdf(np.sqrt(n / (n - 1)) * t.ppf((1 - level) / 2, n - 1))  # a little further out
    step, found = max(1, DRAWS_AT_ONCE // n), []
    for start in range(0, resamples, step):
        drawn = means[generator.integers(n, size=(min(step, resamples - start), n))]
        errors = drawn.std(axis=1, ddof=1) / np.sqrt(n)
        moved, seen = drawn.mean(axis=1) - centre, errors > 1e-12 * np.abs(means).max()
        # a draw of one value n times has no error: any distance is infinitely many of them
        found.append(np.where(seen, moved / np.where(seen, errors, 1.0), np.copysign(np.inf, moved)))
    ratios = np.concatenate(found)
    low = np.quantile(ratios, share, method="lower")  # outwards: between two draws may lie an infinite one
    high = np.quantile(ratios, 1 - share, method="higher")
    return float(centre - high * error), float(centre - low * error)
