"""Group-relative advantages for groups of any size, from arrays to arrays."""

from __future__ import annotations

import numpy as np

from hammerlib.errors import InputError

EXCLUDED = -1  # the group of a completion that is recorded but not trained
SCALES = ("group", "batch", "none")
EPS = 1e-4  # TRL's; verl and the papers' own code use 1e-6


def group_advantages(
    rewards: np.ndarray, groups: np.ndarray, *, scale: str = "group", eps: float = EPS
) -> np.ndarray:
    """Return each reward minus its group's mean, divided by a standard deviation.

    Parameters
    ----------
    rewards : (n,) float array
        NaN where a completion could not be scored: it is left out of mean and deviation and gets 0.
    groups : (n,) int array
        Group of every completion, in any order and of any size; -1 is not trained: left out, gets 0.
    scale : str
        Divide by the sample standard deviation (ddof 1) of the ``group``, of the whole ``batch``, or by
        nothing (``none``, Dr. GRPO).
    eps : float
        Added to the deviation.

    Returns
    -------
    (n,) float64 array
        0 for a group with one scorable completion.

    Raises
    ------
    InputError
        Another scale, or arrays that are not of one length.

    Notes
    -----
    Source: arXiv 2402.03300 Section 4.1 (group), arXiv 2503.20783 (none); at equal group sizes it equals TRL
    1.16's ``_generate_and_score_completions`` (sum_then_normalize).

    Examples
    --------
    >>> said = group_advantages(np.array([1.0, 0.0, 0.0, 1.0, 3.0]), np.array([0, 0, 0, 1, 1]), scale="none")
    >>> said.round(3).tolist()
    [0.667, -0.333, -0.333, -1.0, 1.0]
    """
    rewards, groups = np.asarray(rewards, dtype=float), np.asarray(groups)
    if scale not in SCALES:
        raise InputError("scale", scale, "is unknown", f"use one of {', '.join(SCALES)}")
    if rewards.ndim != 1 or rewards.shape != groups.shape:
        shapes = [rewards.shape, groups.shape]
        raise InputError("rewards, groups", shapes, "must both be of length n", "give one group per reward")
    # A completion without a reward is no failure: it must not pull the baseline of its group down.
    counted = ~np.isnan(rewards) & (groups != EXCLUDED)
    advantages = np.zeros(len(rewards))
    for name in np.unique(groups[counted]):
        rows = np.flatnonzero(counted & (groups == name))
        advantages[rows] = rewards[rows] - rewards[rows].mean()
        if scale == "group" and len(rows) > 1:
            # ddof 1 as TRL has it; numpy's default of 0 makes advantages of G = 8 larger by 7 %.
            advantages[rows] /= rewards[rows].std(ddof=1) + eps
    # The deviation of the rewards, not of the centred ones: differences between problems count in it.
    if scale == "batch" and counted.sum() > 1:
        advantages /= rewards[counted].std(ddof=1) + eps
    return advantages


def rows_by_size(groups: np.ndarray) -> list[np.ndarray]:
    """Return the rows of all groups, by name: one (B, G) int array for each group size G; -1 is none."""
    names = np.unique(groups[groups != EXCLUDED])
    members = [np.flatnonzero(groups == name) for name in names]
    sizes = sorted({len(rows) for rows in members})
    return [np.stack([rows for rows in members if len(rows) == size]) for size in sizes]


def batched_advantages(rewards: np.ndarray, *, scale_rewards: str = "group") -> np.ndarray:
    """Return the advantages (..., G) of many groups of one size: rewards less their mean, divided or not.

    ``group`` divides by the group's standard deviation (ddof 1) plus `EPS`: GRPO (arXiv 2402.03300). ``none``
    does not: Dr. GRPO (arXiv 2503.20783). Where `group_advantages` applies too, they agree.
    """
    values = np.asarray(rewards, dtype=np.float64)
    if values.ndim < 1 or values.shape[-1] < 2:
        raise InputError("rewards", values.shape, "hold no group of two or more", "give (..., G) rewards")
    if not np.isfinite(values).all():
        raise InputError("rewards", "NaN or infinity", "must be finite", "leave unscorable completions out")
    if scale_rewards not in ("group", "none"):
        raise InputError("scale_rewards", scale_rewards, "is unknown", "use one of group, none")
    centred = values - values.mean(axis=-1, keepdims=True)
    if scale_rewards == "none":
        return centred
    # A_i = (r_i - mean) / (std + eps)
    return centred / (values.std(axis=-1, ddof=1, keepdims=True) + EPS)
