"""Uncalibrated GRPO (arXiv 2508.11800): dividing by the group's deviation makes stated chances overconfident.

Exact table: five estimators, the expected advantage in closed form, a clip that clips. With a language model
the fix is ``scale_rewards: none`` of `hammerlib.TrainConfig`, with rewards ``log_score`` or
``quadratic_score``; `LeaveOneOut` is RLOO as an algorithm (``rloo``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax
from scipy.stats import rankdata

from hammerlib.errors import InputError, check_name
from hammerlib.evaluation import brier_score, expected_calibration_error
from hammerlib.exact.modes import adam
from hammerlib.moved import old_names
from hammerlib.rewards.graded import proper_score

ESTIMATORS = ("grpo", "grpo-no-std", "rloo", "ppo", "reinforce")
EPS = 1e-5  # the paper's code


def advantages(rewards: ArrayLike, estimator: str, *, value: ArrayLike = 0.0) -> np.ndarray:
    """Return the advantage of every rollout of each question, (n, G).

    ``grpo``: (R - mean) / (std + 1e-5) with ddof 1; ``grpo-no-std``: R - mean; ``rloo``: R minus the mean of
    the *other* G - 1 (the released notebook's subtracts that of all G); ``ppo``: R - `value`, a critic's;
    ``reinforce``: R. arXiv 2508.11800.
    """
    rewards = np.asarray(rewards, float)
    check_name("estimator", estimator, ESTIMATORS, "is unknown")
    if estimator == "reinforce":
        return rewards.copy()
    if estimator == "ppo":
        return rewards - np.asarray(value, float)
    size = rewards.shape[-1]
    if size < 2:
        raise InputError("rollouts", size, f"{estimator} compares rollouts", "give two or more a question")
    centred = rewards - rewards.mean(axis=-1, keepdims=True)
    if estimator == "rloo":
        # R_i less the mean of the other G - 1 is G / (G - 1) times R_i less the mean of all G
        return centred * size / (size - 1)
    if estimator == "grpo-no-std":
        return centred
    return centred / (rewards.std(-1, ddof=1, keepdims=True) + EPS)


def expected_advantage(
    policy: ArrayLike, probabilities: ArrayLike, chance: float, *, std: bool, score: str = "log"
) -> np.ndarray:
    """Return the mean advantage of every prediction over the outcome, for infinitely many rollouts, (P,).

    ``A(p) = q (R1(p) - m1) / s1 + (1 - q) (R0(p) - m0) / s0``, q the true `chance`, m and s the policy's mean
    and standard deviation of the reward given that outcome; without `std` both s are 1, the true advantage. A
    deviation of 0 counts as GRPO's 1e-5. arXiv 2508.11800, Figure 3 and its notebook.
    """
    weights = np.asarray(policy, float)
    stated = np.asarray(probabilities, float)
    if not 0 <= chance <= 1:
        raise InputError("chance", chance, "is outside [0, 1]", "give a probability")
    if weights.shape != stated.shape or (weights < 0).any() or not weights.sum() > 0:
        raise InputError("policy", weights.shape, "is not one weight per prediction", "give weights from 0")
    weights = weights / weights.sum()
    expected = np.zeros(len(stated))
    for happened, share in ((1, chance), (0, 1 - chance)):
        # R1 and R0: what each prediction earns if the outcome is 1, or 0
        rewards = proper_score(stated, happened, score)
        centred = rewards - weights @ rewards  # R(p) - m
        deviation = np.sqrt(weights @ centred**2)  # s
        expected += share * centred / (max(deviation, EPS) if std else 1.0)
    return expected


def surrogate(
    ratio: ArrayLike, advantage: ArrayLike, clip: float | None, *, released: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return PPO's clipped objective of every rollout (arXiv 1707.06347), and its derivative by the ratio.

    ``min(r A, clip(r, 1 - c, 1 + c) A)``; the derivative is A, and 0 where the clip holds. `released`, for
    comparison: the notebook of arXiv 2508.11800's code overwrites the clipped objective by the plain one.
    """
    ratio = np.asarray(ratio, float)
    advantage = np.asarray(advantage, float)
    if clip is not None and not clip > 0:
        raise InputError("clip", clip, "must be above 0", "use None for no clip")
    plain = ratio * advantage
    if clip is None or released:
        return plain, advantage + np.zeros_like(ratio)
    clipped = np.clip(ratio, 1 - clip, 1 + clip) * advantage
    # min(r A, clip(r, 1 - c, 1 + c) A): where the clipped one is smaller, r moves nothing
    return np.minimum(plain, clipped), np.where(plain > clipped, 0.0, advantage)


STATED = np.arange(1, 100) / 100  # what the policy can say


@dataclass(frozen=True)
class Outcomes:
    """Questions of K categories, each with one outcome that was drawn once."""

    chances: np.ndarray  # (K,) true chance of outcome 1
    categories: np.ndarray  # (n,) category of every question
    outcomes: np.ndarray  # (n,) 0 or 1


def draw_outcomes(n: int = 10_000, *, categories: int = 20, seed: int = 2) -> Outcomes:
    """Draw chances from U(0, 1) and one outcome for each question; categories take turns.

    As in arXiv 2508.11800 (10,000 questions, 20 categories, seed 2), by another generator.
    """
    if not n >= categories >= 1:
        raise InputError("n", n, f"questions do not cover {categories} categories", "draw more")
    rng = np.random.default_rng(seed)
    chances = rng.random(categories)
    # every category as often as any other, give or take one
    kinds = np.arange(n) % categories
    return Outcomes(chances, kinds, (rng.random(n) < chances[kinds]).astype(int))


def fit_table(
    data: Outcomes,
    estimator: str,
    *,
    score: str = "log",
    rollouts: int = 10,
    questions: int = 1000,
    steps: int = 1500,
    learning_rate: float = 0.05,
    updates: int = 1,
    clip: float | None = None,
    released_clip: bool = False,
    value_rate: float = 0.05,
    seed: int = 0,
) -> np.ndarray:
    """Train a softmax table (K, 99) over 0.01 to 0.99 by policy gradient and return it.

    A step draws so many `questions`, with replacement; all `rollouts` of one share its outcome. With
    `updates` above 1 the later steps on a batch are off-policy, and `clip` matters. The critic of ``ppo``,
    one number a category, moves by `value_rate` towards the batch's mean reward. arXiv 2508.11800 has AdamW
    at 3e-3 and 50,000 full batches of 10,000; here Adam at 0.05 on 1,500 batches of 1,000, as converged and
    in seconds.
    """
    rng = np.random.default_rng(seed)
    kinds = len(data.chances)
    reward_of = np.stack([proper_score(STATED, outcome, score) for outcome in (0, 1)])
    logits = np.zeros((kinds, len(STATED)))
    moments = np.zeros((2, *logits.shape))
    values = np.zeros(kinds)  # the critic's
    update = 0
    for _ in range(steps):
        chosen = rng.integers(len(data.outcomes), size=questions)
        kind = data.categories[chosen]
        old = softmax(logits, axis=1)
        stated = _sample(old, kind, rng.random((questions, rollouts)))
        rewards = reward_of[data.outcomes[chosen][:, None], stated]
        gain = advantages(rewards, estimator, value=values[kind][:, None])
        for _ in range(updates):
            new = softmax(logits, axis=1)
            ratio = (new / np.maximum(old, 1e-300))[kind[:, None], stated]
            _, slope = surrogate(ratio, gain, clip, released=released_clip)
            update += 1
            # d ratio / d logits = ratio times d log pi / d logits
            gradient = _gradient(new, kind, stated, slope * ratio)
            logits += learning_rate * adam(gradient, moments, update)
        asked = np.bincount(kind, minlength=kinds)
        mean = np.bincount(kind, rewards.mean(1), kinds) / np.maximum(asked, 1)
        values += np.where(asked > 0, value_rate * (mean - values), 0.0)
    return softmax(logits, axis=1)


def calibration(table: np.ndarray, data: Outcomes) -> dict[str, float]:
    """Return how well a table's mean statements fit the outcomes.

    ``ece`` (ten bins), ``brier``, ``auroc`` and ``accuracy`` at one half as in arXiv 2508.11800; ``distance``
    (mean over categories of that to the true chance) and ``extreme`` (share of categories stated outside
    [0.05, 0.95]) are ours.
    """
    means = np.clip(table @ STATED, 0.0, 1.0)
    stated = means[data.categories]
    happened = data.outcomes
    return {
        "ece": expected_calibration_error(stated, happened),
        "brier": brier_score(stated, happened),
        "auroc": auroc(stated, happened),
        "accuracy": float(((stated > 0.5) == happened).mean()),
        "distance": float(np.abs(means - data.chances).mean()),
        "extreme": float(((means < 0.05) | (means > 0.95)).mean()),
    }


def auroc(stated: np.ndarray, happened: np.ndarray) -> float:
    """Return how often a question with outcome 1 is given more than one with outcome 0; ties count half.

    NaN when only one outcome occurs.
    """
    positive = np.asarray(happened, bool)
    m = int(positive.sum())
    n = int((~positive).sum())
    if not m or not n:
        return float("nan")
    # The Mann-Whitney statistic (Hanley and McNeil 1982): the rank sum less its smallest value.
    return float((rankdata(stated)[positive].sum() - m * (m + 1) / 2) / (m * n))


def _sample(policy: np.ndarray, kind: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Places of the statements: every category's distribution function, laid end to end, searched once."""
    kinds, count = policy.shape
    # rising over all categories, so that one sorted search serves them all
    ends = np.minimum(policy.cumsum(1), 1.0) + np.arange(kinds)[:, None]
    ends[:, -1] = np.arange(kinds) + 1.0
    return np.searchsorted(ends.ravel(), draws + kind[:, None], side="right") - kind[:, None] * count


def _gradient(policy: np.ndarray, kind: np.ndarray, stated: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over rollouts of weight times the gradient of log softmax."""
    # one number for a pair of category and prediction
    places = (kind[:, None] * policy.shape[1] + stated).ravel()
    # d log softmax_j = 1[j stated] - pi_j, added up by category
    taken = np.bincount(places, weights.ravel(), policy.size).reshape(policy.shape)
    return (taken - taken.sum(1, keepdims=True) * policy) / stated.size


__getattr__ = old_names(__name__)
