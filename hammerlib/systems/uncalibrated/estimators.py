"""Advantage estimators, their expectation in closed form, and the clipped surrogate."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError
from hammerlib.rewards.stated import proper_score

ESTIMATORS = ("grpo", "grpo-no-std", "rloo", "ppo", "reinforce")
EPS = 1e-5  # the paper's code


def advantages(rewards: ArrayLike, estimator: str, *, value: ArrayLike = 0.0) -> np.ndarray:
    """Return the advantage of every rollout of each question.

    Parameters
    ----------
    rewards : (n, G) array-like
        G rollouts of n questions.
    estimator : str
        ``grpo``: (R - mean) / (std + 1e-5) with ddof 1; ``grpo-no-std``: R - mean; ``rloo``: R minus the mean
        of the *other* G - 1; ``ppo``: R - `value`; ``reinforce``: R.
    value : array-like
        A critic's V, broadcast to (n, G); only ``ppo`` reads it.

    Returns
    -------
    (n, G) float64 array

    Raises
    ------
    InputError
        Another estimator, or G = 1 where rollouts are compared with each other.

    Notes
    -----
    Source: arXiv 2508.11800. The released notebook's RLOO subtracts the mean of all G, this one that of the
    others.

    Examples
    --------
    >>> advantages([[0.0, 1.0, 2.0]], "rloo").tolist()
    [[-1.5, 0.0, 1.5]]
    """
    rewards = np.asarray(rewards, float)
    if estimator not in ESTIMATORS:
        raise InputError("estimator", estimator, "is unknown", f"use one of {', '.join(ESTIMATORS)}")
    if estimator == "reinforce":
        return rewards.copy()
    if estimator == "ppo":
        return rewards - np.asarray(value, float)
    size = rewards.shape[-1]
    if size < 2:
        raise InputError("rollouts", size, f"{estimator} compares rollouts", "give two or more a question")
    centred = rewards - rewards.mean(axis=-1, keepdims=True)
    if estimator == "rloo":
        return centred * size / (size - 1)
    return centred if estimator == "grpo-no-std" else centred / (rewards.std(-1, ddof=1, keepdims=True) + EPS)


def expected_advantage(
    policy: ArrayLike, probabilities: ArrayLike, chance: float, *, std: bool, score: str = "log"
) -> np.ndarray:
    """Return the mean advantage of every prediction over the outcome, for infinitely many rollouts.

    ``A(p) = q (R1(p) - m1) / s1 + (1 - q) (R0(p) - m0) / s0``, with m and s the policy's mean and standard
    deviation of the reward given that outcome; without `std` both s are 1, the true advantage.

    Parameters
    ----------
    policy : (P,) array-like
        Probability, or weight, of every prediction; normalised here.
    probabilities : (P,) array-like
        The predictions, in (0, 1).
    chance : float
        q, the true chance of outcome 1, in [0, 1].
    std : bool
        Divide by the deviations, as GRPO does.
    score : str
        Of `proper_score`.

    Returns
    -------
    (P,) float64 array
        With `std`, a deviation of 0 counts as GRPO's 1e-5.

    Raises
    ------
    InputError
        A chance outside [0, 1], weights that are no policy, or see `proper_score`.

    Notes
    -----
    Source: arXiv 2508.11800, Figure 3 and its notebook.

    Examples
    --------
    >>> two = [0.7, 0.9]
    >>> [expected_advantage([1, 1], two, 0.7, std=std).round(3).tolist() for std in (False, True)]
    [[0.077, -0.077], [-0.4, 0.4]]
    """
    weights, stated = np.asarray(policy, float), np.asarray(probabilities, float)
    if not 0 <= chance <= 1:
        raise InputError("chance", chance, "is outside [0, 1]", "give a probability")
    if weights.shape != stated.shape or (weights < 0).any() or not weights.sum() > 0:
        raise InputError("policy", weights.shape, "is not one weight per prediction", "give weights from 0")
    weights, found = weights / weights.sum(), np.zeros(len(stated))
    for happened, share in ((1, chance), (0, 1 - chance)):
        rewards = proper_score(stated, happened, score)
        centred = rewards - weights @ rewards
        deviation = np.sqrt(weights @ centred**2)
        found += share * centred / (max(deviation, EPS) if std else 1.0)
    return found


def surrogate(
    ratio: ArrayLike, advantage: ArrayLike, clip: float | None, *, released: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return PPO's clipped objective of every rollout, and its derivative with respect to the ratio.

    ``min(r A, clip(r, 1 - c, 1 + c) A)``; the derivative is A, and 0 where the clip holds.

    Parameters
    ----------
    ratio : array-like
        New over old probability of each rollout, at least 0.
    advantage : array-like
    clip : float or None
        c, above 0; None: not clipped.
    released : bool
        As the released notebook has it, for comparison only: the clipped objective is computed and then
        overwritten by the plain one, so that `clip` changes nothing.

    Returns
    -------
    objective, slope : float64 arrays
        To be maximised.

    Raises
    ------
    InputError
        A clip that is not above 0.

    Notes
    -----
    Source: arXiv 1707.06347, equation 7; the defect: ``prediction.ipynb`` of arXiv 2508.11800's code.

    Examples
    --------
    >>> [one.tolist() for one in surrogate([1.5, 1.5, 0.5], [1.0, -1.0, 1.0], 0.2)]
    [[1.2, -1.5, 0.5], [0.0, -1.0, 1.0]]
    """
    ratio, advantage = np.asarray(ratio, float), np.asarray(advantage, float)
    if clip is not None and not clip > 0:
        raise InputError("clip", clip, "must be above 0", "use None for no clip")
    plain = ratio * advantage
    if clip is None or released:
        return plain, advantage + np.zeros_like(ratio)
    clipped = np.clip(ratio, 1 - clip, 1 + clip) * advantage
    return np.minimum(plain, clipped), np.where(plain > clipped, 0.0, advantage)
