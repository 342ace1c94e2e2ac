"""The weight mu of the supervised term: by step, or by what the policy still fails."""

from __future__ import annotations

import math

from hammerlib.errors import InputError

# The paper's two variants for mathematics, as arguments of `Chord`.
PRESETS: dict[str, dict[str, float | int | str]] = {
    "chord-mu": {"peak": 0.9, "valley": 0.05, "warmup": 0, "decay": 200, "weighting": "none"},
    "chord-phi": {"peak": 0.1, "valley": 0.1, "warmup": 0, "decay": 0, "weighting": "phi"},
}


def mu_at(step: int, *, peak: float, valley: float, warmup: int = 0, decay: int = 0) -> float:
    """Return mu at an optimizer step: a linear rise to `peak`, a cosine fall to `valley`, then `valley`.

    Parameters
    ----------
    step : int
        Optimizer steps done, from 0.
    peak, valley : float
        In [0, 1].
    warmup, decay : int
        Optimizer steps of the rise (from 0) and of the fall; 0 leaves it out.

    Returns
    -------
    float

    Raises
    ------
    InputError
        A weight outside [0, 1], a negative number of steps.

    Notes
    -----
    Source: the authors' code (Trinity-RFT, ``mu_schedule_function``); arXiv 2508.11408 only says that mu
    decays. CHORD-mu: 0.9 to 0.05 over 200 steps; CHORD-phi: constant 0.1.

    Examples
    --------
    >>> [round(mu_at(step, peak=0.9, valley=0.05, decay=200), 4) for step in (0, 50, 100, 200)]
    [0.9, 0.7755, 0.475, 0.05]
    """
    for name, value in (("peak", peak), ("valley", valley)):
        if not 0 <= value <= 1:
            raise InputError(name, value, "is outside [0, 1]", "mu is the share of the supervised term")
    for name, value in (("step", step), ("warmup", warmup), ("decay", decay)):
        if value < 0:
            raise InputError(name, value, "is below 0", "count optimizer steps from 0")
    if step < warmup:
        return peak * step / warmup
    if step >= warmup + decay:
        return valley
    return valley + (peak - valley) * (1 + math.cos(math.pi * (step - warmup) / decay)) / 2


def adaptive_mu(mean_reward: float, *, tau: float = 0.5) -> float:
    """Return max(0, tau - mean reward): imitate while the policy fails, and not at all once it does not.

    Parameters
    ----------
    mean_reward : float
        Of the step's rollouts, reward 1 for a right answer; mu is cut at 1 where rewards are negative.
    tau : float
        In (0, 1]; the paper finds 0.5 good and 0.7 worse.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    InputError
        `tau` outside (0, 1], a mean reward that is not a number.

    Notes
    -----
    Source: arXiv 2508.11408, appendix.

    Examples
    --------
    >>> adaptive_mu(0.2), adaptive_mu(0.8)
    (0.3, 0.0)
    """
    if not 0 < tau <= 1:
        raise InputError("tau", tau, "is outside (0, 1]", "use 0.5")
    if math.isnan(mean_reward):
        raise InputError("mean_reward", mean_reward, "is not a number", "give the mean of scored rewards")
    return min(1.0, max(0.0, tau - mean_reward))
