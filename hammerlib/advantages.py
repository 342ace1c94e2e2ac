"""Group-relative advantages for groups of any size, from arrays to arrays."""

from __future__ import annotations

import numpy as np
from scipy.special import comb, softmax

from hammerlib.errors import InputError, check_whole

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


def pass_at_k_advantages(rewards: np.ndarray, k: int) -> np.ndarray:
    """Return the advantages (..., G) of pass@k training for rewards of 0 and 1.

    Their sum over a group is 0. Without the division by a deviation, GRPO's advantages of them are therefore
    they themselves; with it, GRPO's of any two values are those of 0 and 1, and k would do nothing. Hence an
    advantage and no method of `adjust_rewards`.

    Source: arXiv 2508.10751, analytical derivation, as its authors' repository states it
    (RUCAIBox/Passk_Training, c3ba575; its code adds 1e-6 to the deviation). NaN is left out and gets 0.
    """
    values = np.asarray(rewards, dtype=np.float64)
    counted = ~np.isnan(values)
    if not np.isin(values[counted], (0.0, 1.0)).all():
        problem, remedy = "must be 0 or 1", "train with the accuracy alone"
        raise InputError("rewards", np.unique(values[counted]).tolist()[:5], problem, remedy)
    if check_whole("k", k, 1, "use 4") > values.shape[-1]:
        raise InputError("k", k, f"is more than the {values.shape[-1]} completions of a group", "use fewer")
    size = counted.sum(axis=-1, keepdims=True)
    wrong = (values == 0).sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = 1.0 - comb(wrong, k) / comb(size, k)
        deviation = np.sqrt(mean * (1.0 - mean))
        right = (1.0 - mean) / deviation
        # k - 1 more of the others: the chance that a set with this wrong one holds no right one
        others = (1.0 - mean - comb(wrong - 1, k - 1) / comb(size - 1, k - 1)) / deviation
    # all right, all wrong, or too few wrong ones for a set without a right one: nothing to tell
    return np.where(counted & (deviation > 0), np.where(values == 1, right, others), 0.0)


def ucpo_weights(rewards: np.ndarray, log_probs: np.ndarray, tau: float = 0.2) -> np.ndarray:
    """Return what UCPO multiplies the advantages (..., G) of a group by: mean 1 over its right completions.

    With q the softmax over the right completions of their mean log-probability a token, the weight of one is
    ``1 - tau + tau * n * (1 / q_i) / sum_j (1 / q_j)``; that of all others (reward 0, below or NaN) is 1.

    Source: arXiv 2605.00365; the formula is that of the released code (AnamikaLochab/UCPO, 93ce506, estimator
    ``iq`` with tau 0.2 and alpha 0, q of at least 1e-6).
    """
    right = np.asarray(rewards, dtype=np.float64) > 0
    if not isinstance(tau, int | float) or isinstance(tau, bool) or not 0 <= tau <= 1:
        raise InputError("tau", tau, "must be a number from 0 to 1", "the released runs have 0.2")
    found = right.any(axis=-1, keepdims=True)
    # where nothing is right any number does
    chances = softmax(np.where(right | ~found, log_probs, -np.inf), axis=-1)
    inverse = np.where(right, 1.0 / np.maximum(chances, 1e-6), 0.0)
    shares = inverse / np.where(found, inverse.sum(axis=-1, keepdims=True), 1.0)
    return np.where(right, 1.0 - tau + tau * right.sum(axis=-1, keepdims=True) * shares, 1.0)
