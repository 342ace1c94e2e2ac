"""The mean of given values under Dirichlet(1, ..., 1) weights: its distribution, without random draws."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

TAIL = 30.0  # exponential tails of the weighted sum are followed to exp(-30)
SMALL = 1e-10  # terms of the series below this are left out
MOST_TERMS = 20_000  # reached for two or three values only, where the error is then below 1e-6
AT_ONCE = 4_000_000  # numbers held in memory at a time (32 MB)


def weighted_mean_cdf(values: ArrayLike, at: float) -> float:
    """Return P(sum of w_i x_i <= at) for w uniform on the simplex.

    Dirichlet weights are exponential variables over their sum, so the event is that a sum of exponentials
    with factors x_i - at is not positive; its characteristic function is inverted as a series.

    Parameters
    ----------
    values : array-like, (n,)
        The x_i, finite, n >= 2.
    at : float
        In the unit of `values`.

    Returns
    -------
    float
        In [0, 1]; absolute error about 1e-8.

    References
    ----------
    Davies 1973, Numerical inversion of a characteristic function, Biometrika 60.

    Examples
    --------
    >>> round(weighted_mean_cdf([0.0, 0.0, 1.0], 0.5), 6)  # Beta(1, 2)
    0.75
    """
    points, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    if at <= points[0] or at >= points[-1]:
        return float(at >= points[-1])
    return _not_positive(points - at, counts.astype(np.float64))


def weighted_mean_quantile(values: ArrayLike, share: float) -> float:
    """Return the value below which the weighted mean lies with probability `share`.

    Parameters
    ----------
    values : array-like, (n,)
        As in `weighted_mean_cdf`.
    share : float
        In (0, 1).

    Returns
    -------
    float
        Between the smallest and the largest value; two distinct values give the quantile of a beta law.

    Examples
    --------
    >>> round(weighted_mean_quantile([0.0] * 30 + [1.0], 0.975), 6)  # 1 - 0.025 ** (1 / 30)
    0.115703
    """
    from scipy.optimize import brentq
    from scipy.stats import beta

    points, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    if len(points) == 1:
        return float(points[0])
    if len(points) == 2:
        return float(points[0] + (points[1] - points[0]) * beta.ppf(share, counts[1], counts[0]))
    factors = counts.astype(np.float64)
    ends = points[0], points[-1]
    return float(
        brentq(lambda at: _miss(points, factors, at) - share, *ends, xtol=1e-8 * (ends[1] - ends[0]))
    )


def _miss(points: np.ndarray, counts: np.ndarray, at: float) -> float:
    if at <= points[0] or at >= points[-1]:
        return float(at >= points[-1])
    return _not_positive(points - at, counts)


def _not_positive(factors: np.ndarray, counts: np.ndarray) -> float:
    """P(sum of factor * Gamma(count) <= 0), factors of both signs."""
    largest = np.abs(factors).max()
    spread = np.sqrt(counts @ factors**2)
    step = 2 * np.pi / (abs(counts @ factors) + 8 * spread + TAIL * largest)
    block, total, start = max(16, min(128, AT_ONCE // len(factors))), 0.0, 0
    while start < MOST_TERMS:
        places = np.arange(start, start + block) + 0.5
        turned = step * places[:, None] * factors
        sizes = np.exp(-0.5 * (np.log1p(turned**2) @ counts)) / places
        total += float(np.sin(np.arctan(turned) @ counts) @ sizes)
        if sizes[-1] < SMALL:
            break
        start += block
    return float(np.clip(0.5 - total / np.pi, 0.0, 1.0))
