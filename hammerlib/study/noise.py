"""How far a curve would seem to fall if only its samples were noisy."""

from __future__ import annotations

import numpy as np

from hammerlib.study.curves import curve_of
from hammerlib.study.records import samples_of

DRAWS = 1000
SEED = 0


def point_errors(cell: dict) -> np.ndarray:
    """Return the standard error of each point of the curve, from its samples alone.

    The problems are fixed: all points share them. Each problem's variance p(1 - p) is estimated without bias
    by its own samples, so that problems of any difficulty may stand side by side.

    Parameters
    ----------
    cell : dict
        Its record.

    Returns
    -------
    (p,) float array
        As shares; NaN where a problem has a single sample.

    Examples
    --------
    >>> cell = {"topics": ["a", "a"], "unseen": [], "settings": {"samples": 2},
    ...         "curve": [{"rollouts": 0, "correct": [1, 2]}]}
    >>> point_errors(cell).tolist()  # one problem of two with variance 1/2 * 1/2 * 2 / 2
    [0.25]
    """
    samples, seen = samples_of(cell), ~np.isin(cell["topics"], cell["unseen"])
    if samples < 2:
        return np.full(len(cell["curve"]), np.nan)
    rates = np.array([point["correct"] for point in cell["curve"]])[:, seen] / samples
    return np.sqrt((rates * (1 - rates) / (samples - 1)).sum(axis=1)) / seen.sum()


def drawdown_of_noise(cell: dict) -> float:
    """Return the drawdown to expect of a curve that never falls, from the noise of its samples.

    The curve is replaced by the nearest one that never falls (isotonic regression); its points get normal
    errors of `point_errors`; the drawdown is averaged over draws of a fixed seed.

    Parameters
    ----------
    cell : dict
        Its record.

    Returns
    -------
    float
        As a share; NaN where a problem has a single sample.

    Notes
    -----
    The points of a cell are examined with the same random numbers, so their real noise moves together: the
    number is an upper bound rather than a mean. Where it is near the drawdown seen, the curve shows no fall.

    Examples
    --------
    >>> cell = {"topics": ["a"], "unseen": [], "settings": {"samples": 2},
    ...         "curve": [{"rollouts": 0, "correct": [0]}, {"rollouts": 8, "correct": [2]}]}
    >>> drawdown_of_noise(cell)  # no sample differs from its problem's others
    0.0
    """
    from scipy.optimize import isotonic_regression

    errors = point_errors(cell)
    if np.isnan(errors).any():
        return float("nan")
    rising = isotonic_regression(curve_of(cell).values).x
    drawn = rising + errors * np.random.default_rng(SEED).standard_normal((DRAWS, len(rising)))
    return float((np.maximum.accumulate(drawn, axis=1) - drawn).max(axis=1).mean())
