"""Intervals by the names of the bootstrap: shares get the guarded one, other values the studentised one."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError
from hammerlib.evaluation.aggregates import interquartile_mean
from hammerlib.evaluation.intervals import (
    Interval,
    checked,
    differences,
    mean_interval,
    paired_interval,
    with_seeds,
)

__all__ = ["Interval", "bootstrap_interval", "interquartile_mean", "paired_bootstrap"]

DRAWS_AT_ONCE = 2_000_000  # resampled values held in memory at a time (16 MB)
FEWEST = 10  # problems; below, resamples hold too few distinct values to be studentised


def bootstrap_interval(
    values: ArrayLike,
    *,
    bounds: tuple[float, float] | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return the mean with its bootstrap interval over problems, and over seeds where given.

    Shares (every value in [0, 1]) get `mean_interval`: the bootstrap with Dirichlet weights and one more
    problem at each end of the scale, which a percentile bootstrap lacks near 0 and 1 and for few problems.
    Other values, whose scale has no known end (tokens, seconds), get the studentised bootstrap over problems.

    Parameters
    ----------
    values : array-like, (n,) or (seeds, n)
        One number a problem, or one a seed and problem; n >= 2, finite.
    bounds : (float, float), optional
        Where the ends are cut, for values that are no shares: (0, inf) for a number of tokens.
    level : float
        Nominal coverage in (0, 1).
    resamples : int
        Draws of the studentised bootstrap, at least 100; shares need none.
    seed : int
        Of an own generator: equal seeds give equal intervals, and no global state is touched.

    Returns
    -------
    Interval
        Mean of `values` and the two ends.

    Raises
    ------
    InputError
        Fewer than two values, a value that is not finite, a level or a number of resamples out of range.

    Notes
    -----
    Values without known ends that are all equal give an interval of width zero, which then says nothing about
    other problems. Fewer than ten values without known ends get Student's interval.

    References
    ----------
    Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 12.5 (bootstrap-t); DiCiccio & Efron
    1996, section 4.

    Examples
    --------
    >>> bootstrap_interval([0, 1] * 50)
    Interval(value=0.5, low=0.398..., high=0.601...)
    """
    table = np.atleast_2d(checked("values", values, level=level))
    if resamples < 100:
        raise InputError("resamples", resamples, "too few for percentiles", "use 2000")
    if bounds is None and table.min() >= 0 and table.max() <= 1:
        return mean_interval(table, level=level)
    ends = _studentised(table.mean(axis=0), level, resamples, seed)
    return with_seeds(table, ends, level, bounds or (-np.inf, np.inf))


def paired_bootstrap(
    a: ArrayLike, b: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Return the mean of b - a over the same problems, with its bootstrap interval.

    Shares (every value of both in [0, 1]) get `paired_interval`, other values the studentised bootstrap of
    their differences.

    Parameters
    ----------
    a, b : array-like, (n,) or (seeds, n)
        One number a problem (and seed), the same problem (and seed) at the same place.
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
    Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 12.5 (bootstrap-t), of the differences;
    for shares see `paired_interval`.

    Examples
    --------
    >>> paired_bootstrap([0.0, 0.5, 0.25] * 9, [0.5, 1.0, 0.75] * 9).low > 0
    True
    """
    difference = differences(a, b)
    ends = [(np.min(values), np.max(values)) for values in (a, b)]
    if all(low >= 0 and high <= 1 for low, high in ends):
        return paired_interval(a, b, level=level)
    table = np.atleast_2d(checked("a", difference, level=level))
    return with_seeds(table, _studentised(table.mean(axis=0), level, resamples, seed), level)


def _studentised(means: np.ndarray, level: float, resamples: int, seed: int) -> tuple[float, float]:
    """Bootstrap-t: quantiles of (mean* - mean) / error*, put around the mean with the error at hand."""
    from scipy.stats import t

    n, centre, generator = len(means), means.mean(), np.random.default_rng(seed)
    error = means.std(ddof=1) / np.sqrt(n)
    if n < FEWEST:
        half = t.ppf((1 + level) / 2, n - 1) * error
        return float(centre - half), float(centre + half)
    step, found = max(1, DRAWS_AT_ONCE // n), []
    for start in range(0, resamples, step):
        drawn = means[generator.integers(n, size=(min(step, resamples - start), n))]
        errors = drawn.std(axis=1, ddof=1) / np.sqrt(n)
        moved, seen = drawn.mean(axis=1) - centre, errors > 1e-12 * (1 + abs(centre))
        found.append(moved[seen] / errors[seen])  # a draw of one value n times has no error of its own
    ratios = np.concatenate(found)
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2]) if len(ratios) else (0.0, 0.0)
    return float(centre - high * error), float(centre - low * error)
