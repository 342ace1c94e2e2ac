"""A softmax policy over a few ways to answer one prompt: does training keep all the right ones?

A mode is a way to answer; its completions share one embedding. Then everything a GRPO step does to a group
depends on how often each mode occurs in it, and the expected step is a sum over all such counts: exact, no
sampling. The adjustment under test is passed in, so that nothing here knows DRA.
"""

from __future__ import annotations

from itertools import product
from math import lgamma
from typing import TYPE_CHECKING

import numpy as np

from hammerlib.diversity.advantages import batched_advantages
from hammerlib.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Adjust = Callable[[np.ndarray, np.ndarray], np.ndarray]

MOST_GROUPS = 100_000


def equicosine(modes: int, cosine: float) -> np.ndarray:
    """Return unit vectors with the same cosine between any two.

    Parameters
    ----------
    modes : int
    cosine : float
        In [0, 1): 0 is the block kernel, in which modes have nothing in common.

    Returns
    -------
    (modes, modes) float64 array

    Raises
    ------
    InputError
        A cosine outside [0, 1).

    Examples
    --------
    >>> vectors = equicosine(3, 0.9)
    >>> (vectors @ vectors.T).round(3)[0].tolist()
    [1.0, 0.9, 0.9]
    """
    if not 0 <= cosine < 1:
        raise InputError("cosine", cosine, "is no similarity of different modes", "use 0 <= cosine < 1")
    return np.linalg.cholesky(np.full((modes, modes), float(cosine)) + (1 - cosine) * np.eye(modes))


def effective_modes(policy: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the effective number of right modes: exp of the entropy of the policy among them.

    Parameters
    ----------
    policy : (..., M) array
        Chances of the modes.
    right : (M,) bool array

    Returns
    -------
    (...) array
        From 1 to the number of right modes; independent of how often the policy is right.

    Examples
    --------
    >>> effective_modes(np.array([0.2, 0.2, 0.6]), np.array([True, True, False])).round(6)
    np.float64(2.0)
    """
    part = np.asarray(policy)[..., np.asarray(right, dtype=bool)]
    part = part / part.sum(axis=-1, keepdims=True)
    return np.exp(-(part * np.log(np.where(part > 0, part, 1.0))).sum(axis=-1))


def exact_policy(
    start: np.ndarray,
    right: np.ndarray,
    vectors: np.ndarray,
    adjust: Adjust | None = None,
    *,
    placebo: bool = False,
    group_size: int = 8,
    scale_rewards: str = "group",
    rate: float = 0.5,
    steps: int = 1000,
) -> np.ndarray:
    """Train the policy by the expected step of one group, summed over every group there can be.

    The step of logit m is ``rate / G`` times the sum of the advantages of m's completions, which is the
    policy gradient of GRPO on its own samples (advantages of a group sum to zero); no KL term, no clipping.

    Parameters
    ----------
    start : (M,) array
        Chances of the modes before training, all above 0, sum 1.
    right : (M,) bool array
        Modes that earn 1; the others earn 0.
    vectors : (M, d) array
        Embedding of each mode's completions.
    adjust : callable (rewards (B, G), vectors (B, G, d)) -> (B, G), optional
        For example `hammerlib.adjust_rewards`; default: rewards as they are.
    placebo : bool
        Shuffle the weights (what `adjust` makes of rewards of 1) among the completions of a group before they
        multiply the rewards; the expectation is over all shuffles.
    group_size : int
    scale_rewards : {"group", "none"}
        As in `batched_advantages`.
    rate : float
        Constant step size.
    steps : int

    Returns
    -------
    (steps + 1, M) float64 array
        Chances of the modes before training and after each step.

    Raises
    ------
    InputError
        Arrays of different numbers of modes, chances that are none, or more than 100,000 different groups.

    Examples
    --------
    >>> start, right = np.array([0.4, 0.1, 0.5]), np.array([True, True, False])
    >>> told = exact_policy(start, right, np.eye(3), steps=200)
    >>> effective_modes(told[[0, -1]], right).round(2).tolist()
    [1.65, 1.08]
    """
    start, right = checked_modes(start, right, vectors)
    counts = _counts(group_size, len(start))
    pull = _pull(counts, right, vectors, adjust, placebo, scale_rewards)
    orders = lgamma(group_size + 1) - np.array([lgamma(k + 1) for k in range(group_size + 1)])[counts].sum(1)
    logits, told = np.log(start), [start]
    for _ in range(steps):
        chances = np.exp(orders + counts @ np.log(np.maximum(told[-1], 1e-300)))
        logits = logits + rate * chances @ pull
        told.append(softmax(logits))
    return np.stack(told)


def checked_modes(start: np.ndarray, right: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `start` and `right` as arrays, or refuse what `exact_policy` refuses.

    Parameters
    ----------
    start, right, vectors
        As in `exact_policy`.

    Raises
    ------
    InputError
        Arrays of different numbers of modes, or chances that are none.

    Examples
    --------
    >>> checked_modes([0.5, 0.5], [1, 0], np.eye(2))[1].tolist()
    [True, False]
    """
    start, right = np.asarray(start, dtype=np.float64), np.asarray(right, dtype=bool)
    if not start.shape == right.shape == (len(vectors),):
        shapes = (start.shape, right.shape, np.shape(vectors))
        raise InputError("start, right, vectors", shapes, "are of different modes", "give one of each a mode")
    if (start <= 0).any() or abs(start.sum() - 1) > 1e-9:
        raise InputError("start", start.tolist(), "are no chances", "use numbers above 0 that sum to 1")
    return start, right


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the chances that belong to logits, along the last axis.

    Examples
    --------
    >>> softmax(np.zeros(2)).tolist()
    [0.5, 0.5]
    """
    grown = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


def _counts(group_size: int, modes: int) -> np.ndarray:
    """Every way to spread a group over the modes, shape (ways, modes)."""

    def spread(left: int, places: int) -> Iterator[tuple[int, ...]]:
        if places == 1:
            yield (left,)
            return
        for here in range(left + 1):
            for rest in spread(left - here, places - 1):
                yield (here, *rest)

    ways = round(np.exp(lgamma(group_size + modes) - lgamma(group_size + 1) - lgamma(modes)))
    if ways > MOST_GROUPS:
        problem = f"make {ways} different groups"
        raise InputError("group_size, modes", (group_size, modes), problem, f"stay below {MOST_GROUPS}")
    return np.array(list(spread(group_size, modes)))


def _pull(
    counts: np.ndarray,
    right: np.ndarray,
    vectors: np.ndarray,
    adjust: Adjust | None,
    placebo: bool,
    scale_rewards: str,
) -> np.ndarray:
    """Sum of the advantages of each mode's completions over G, for each group: shape of `counts`."""
    modes, size = counts.shape[1], int(counts[0].sum())
    members = np.stack([np.repeat(np.arange(modes), row) for row in counts])
    rewards = right[members].astype(np.float64)
    if placebo and adjust is not None:
        weights = adjust(np.ones(members.shape), np.asarray(vectors)[members])
        advantages = np.stack(
            [_over_shuffles(*group, scale_rewards) for group in zip(rewards, weights, strict=True)]
        )
    else:
        adjusted = rewards if adjust is None else adjust(rewards, np.asarray(vectors)[members])
        advantages = batched_advantages(adjusted, scale_rewards=scale_rewards)
    return np.stack([np.where(members == m, advantages, 0).sum(axis=1) for m in range(modes)], axis=1) / size


def _over_shuffles(rewards: np.ndarray, weights: np.ndarray, scale_rewards: str) -> np.ndarray:
    """Expected advantages over all shuffles of the weights; completions of one reward are alike.

    Only which weights fall on right completions matters. Weights come in a few values with their counts, so
    the sum runs over how many of each value do: a multivariate hypergeometric expectation.
    """
    good = rewards > 0
    values, counts = np.unique(weights.round(12), return_counts=True)
    expected, total = np.zeros(len(rewards)), 0.0
    for drawn in product(*(range(count + 1) for count in counts)):
        if sum(drawn) != good.sum():
            continue
        ways = np.exp(sum(_log_binomial(count, some) for count, some in zip(counts, drawn, strict=True)))
        one = rewards.copy()
        one[good] *= np.repeat(values, drawn)
        advantages = batched_advantages(one, scale_rewards=scale_rewards)
        expected += ways * np.where(good, advantages[good].mean() if good.any() else 0.0, advantages)
        total += ways
    return expected / total


def _log_binomial(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
