"""What GRPO and Dr. GRPO make of the rewards of many groups of one size, without a trainer."""

from __future__ import annotations

import numpy as np

from hammerlib.errors import InputError

# TRL and the released DRA code add this to a group's standard deviation.
STD_EPS = 1e-4
SCALES = ("group", "none")


def batched_advantages(rewards: np.ndarray, *, scale_rewards: str = "group") -> np.ndarray:
    """Return the advantages of groups of completions: rewards less their mean, divided or not.

    For many equal groups at once. `hammerlib.advantages` takes groups of different size and missing
    rewards; where both apply they agree.

    Parameters
    ----------
    rewards : (..., G) array
        Finite; the last axis is one group.
    scale_rewards : {"group", "none"}
        ``group`` divides by the group's standard deviation (G - 1 in its denominator) plus 1e-4: GRPO.
        ``none`` does not: Dr. GRPO.

    Returns
    -------
    (..., G) float64 array

    Raises
    ------
    InputError
        Groups of fewer than two, rewards that are not finite, or an unknown `scale_rewards`.

    Notes
    -----
    Source: arXiv 2402.03300 (GRPO) and 2503.20783 (Dr. GRPO) with the constants of TRL.

    Examples
    --------
    >>> batched_advantages(np.array([1.0, 1.0, 0.0]), scale_rewards="none").round(4).tolist()
    [0.3333, 0.3333, -0.6667]
    """
    values = np.asarray(rewards, dtype=np.float64)
    if values.ndim < 1 or values.shape[-1] < 2:
        raise InputError("rewards", values.shape, "hold no group of two or more", "give (..., G) rewards")
    if not np.isfinite(values).all():
        raise InputError("rewards", "NaN or infinity", "must be finite", "leave unscorable completions out")
    if scale_rewards not in SCALES:
        raise InputError("scale_rewards", scale_rewards, "is unknown", f"use one of {', '.join(SCALES)}")
    centred = values - values.mean(axis=-1, keepdims=True)
    if scale_rewards == "none":
        return centred
    return centred / (values.std(axis=-1, ddof=1, keepdims=True) + STD_EPS)
