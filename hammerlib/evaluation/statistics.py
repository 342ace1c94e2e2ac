"""Intervals over problems: the bootstrap, paired differences and a robust mean."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError

DRAWS_AT_ONCE = 2_000_000  # resampled values held in memory at a time (16 MB)


class Interval(NamedTuple):
    """A number with the interval around it.

    Attributes
    ----------
    value, low, high : float
        Point estimate and the two ends, in the unit of the input; low <= high.

    Examples
    --------
    >>> Interval(0.5, 0.4, 0.6).high
    0.6
    """

    value: float
    low: float
    high: float


def bootstrap_interval(
    values: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Return the mean with its percentile bootstrap interval over problems, and over seeds where given.

    Problems are resampled with replacement, each with all its samples: `values` holds one number a problem.
    With a leading axis of seeds, both are resampled, crossed: every draw takes some seeds and some problems.
    Few seeds give too narrow an interval. Values that are all equal give one of width zero, which then says
    nothing about other problems.

    Parameters
    ----------
    values : array-like, (n,) or (seeds, n)
        One number a problem, or one a seed and problem; n >= 2, finite.
    level : float
        Nominal coverage in (0, 1).
    resamples : int
        Bootstrap draws, at least 100.
    seed : int
        Of an own generator: equal seeds give equal intervals, and no global state is touched.

    Returns
    -------
    Interval
        Mean of `values` and the two percentiles.

    Raises
    ------
    InputError
        Fewer than two values, a value that is not finite, a level or a number of resamples out of range.

    References
    ----------
    Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 13.3.

    Examples
    --------
    >>> low = bootstrap_interval([0, 1] * 50).low
    >>> 0.38 < low < 0.43
    True
    """
    values = _checked("values", values)
    if not 0 < level < 1:
        raise InputError("level", level, "must lie between 0 and 1", "use 0.95")
    if resamples < 100:
        raise InputError("resamples", resamples, "too few for percentiles", "use 2000")
    table = np.atleast_2d(values)
    generator, (seeds, n) = np.random.default_rng(seed), table.shape
    step = max(1, DRAWS_AT_ONCE // (seeds * n))
    blocks = [min(step, resamples - start) for start in range(0, resamples, step)]
    means = np.concatenate([_draw(table, draws, generator) for draws in blocks])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def _draw(table: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Means of `draws` crossed resamples; each seed's mean is the same sum of problem counts."""
    seeds, n = table.shape
    problems = generator.integers(n, size=(draws, n))
    if seeds == 1:
        return table[0][problems].mean(axis=1)
    chosen = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws) / seeds
    return np.einsum("ds,sdn->d", chosen, table[:, problems]) / n


def paired_bootstrap(
    a: ArrayLike, b: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Return the mean of b - a over the same problems, with its bootstrap interval.

    Parameters
    ----------
    a, b : array-like, (n,) or (seeds, n)
        One number a problem (and seed), the same problem (and seed) at the same place.
    level, resamples, seed
        As in `bootstrap_interval`.

    Returns
    -------
    Interval
        Positive where `b` is better; an interval without zero is a difference at this level.

    Raises
    ------
    InputError
        Different lengths, or as in `bootstrap_interval`.

    Examples
    --------
    >>> paired_bootstrap([0.0, 0.5, 0.25], [0.5, 1.0, 0.75])
    Interval(value=0.5, low=0.5, high=0.5)
    """
    first, second = _checked("a", a), _checked("b", b)
    if first.shape != second.shape:
        problem = f"needs the shape of a ({list(first.shape)})"
        raise InputError("b", list(second.shape), problem, "join both by id")
    return bootstrap_interval(second - first, level=level, resamples=resamples, seed=seed)


def interquartile_mean(values: ArrayLike) -> float:
    """Return the mean of the middle half of all values.

    Parameters
    ----------
    values : array-like, any shape
        Scores, e.g. (runs, tasks); flattened. floor(count / 4) values are cut from each end.

    Returns
    -------
    float
        In the unit of the input.

    Raises
    ------
    InputError
        No value, or one that is not finite.

    References
    ----------
    Agarwal et al. 2021 (arXiv 2108.13264), section 4.3, as in the package rliable.

    Examples
    --------
    >>> interquartile_mean([[1, 2], [2, 2], [1, 1], [2, 1]])
    1.5
    """
    ordered = np.sort(_checked("values", np.ravel(values), least=1))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def _checked(field: str, values: ArrayLike, least: int = 2) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim not in (1, 2) or array.shape[-1] < least or not len(array):
        problem = f"needs one number a problem, {least} or more"
        raise InputError(field, list(array.shape), problem, "evaluate more problems")
    lost = int((~np.isfinite(array)).sum())
    if lost:
        raise InputError(field, lost, "values that are not finite", "drop or repair those problems")
    return array
