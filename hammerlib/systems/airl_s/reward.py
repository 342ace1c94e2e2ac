"""Adversarial inverse reinforcement learning as mathematics: D, the reward, the loss, advantages by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, log_expit, softmax

from hammerlib.advantages import EPS
from hammerlib.errors import InputError, check_name
from hammerlib.exact.flow import adam

if TYPE_CHECKING:
    import torch

REWARDS = ("airl", "gail")


def discriminator(values: ArrayLike, logps: ArrayLike) -> np.ndarray:
    """Return D = exp f / (exp f + pi), the chance that a step is the expert's.

    Parameters
    ----------
    values, logps : array-like
        f of every step, and log pi of it under the policy.

    Returns
    -------
    float64 array
        In (0, 1).

    Notes
    -----
    Source: Fu et al. 2018 (arXiv 1710.11248); D = sigmoid(f - log pi).

    Examples
    --------
    >>> import math
    >>> round(float(discriminator(0.7, math.log(0.2))), 6)
    0.909656
    """
    return expit(np.asarray(values, dtype=float) - np.asarray(logps, dtype=float))


def policy_reward(values: ArrayLike, logps: ArrayLike, kind: str = "airl") -> np.ndarray:
    """Return what a step earns: log D - log(1 - D) = f - log pi.

    Parameters
    ----------
    values, logps : array-like
        As for `discriminator`.
    kind : str
        ``airl``; or for comparison ``gail``, -log(1 - D) of a discriminator D = sigmoid(f) that leaves the
        policy out: never negative, and its f is no reward.

    Returns
    -------
    float64 array

    Raises
    ------
    InputError
        Another kind.

    Notes
    -----
    Source: Fu et al. 2018 (arXiv 1710.11248); ``gail``: Ho and Ermon 2016 (arXiv 1606.03476).

    Examples
    --------
    >>> import math
    >>> round(float(policy_reward(0.7, math.log(0.2))), 6)
    2.309438
    """
    check_name("reward", kind, REWARDS)
    values = np.asarray(values, dtype=float)
    if kind == "gail":
        return -log_expit(-values)
    return values - np.asarray(logps, dtype=float)


def discriminator_loss(
    expert: tuple[torch.Tensor, torch.Tensor],
    policy: tuple[torch.Tensor, torch.Tensor],
    *,
    smoothing: float = 0.0,
) -> torch.Tensor:
    """Return -E_expert[log D] - E_policy[log(1 - D)], each a mean over its steps, so that both weigh alike.

    Parameters
    ----------
    expert, policy : pairs of float tensors
        f and log pi of the steps. Gradients flow through f alone.
    smoothing : float
        In [0, 1/2): labels are 1 - s and s in place of 1 and 0. Not in the paper's abstract, ours.

    Returns
    -------
    scalar tensor
        2 log 2 where f = log pi.

    Raises
    ------
    InputError
        Smoothing out of range, a side without a step.

    Notes
    -----
    Source: Fu et al. 2018 (arXiv 1710.11248), equation of the discriminator.

    Examples
    --------
    >>> import torch
    >>> same = torch.zeros(3), torch.zeros(3)
    >>> round(discriminator_loss(same, same).item(), 6)
    1.386294
    """
    if not 0 <= smoothing < 0.5:
        raise InputError("smoothing", smoothing, "is outside [0, 1/2)", "use 0.1, or 0 for none")
    losses = []
    for label, (values, logps) in ((1.0, expert), (0.0, policy)):
        if not len(values):
            raise InputError("steps", label, "has no step on one side", "give steps of both")
        logits = values - logps.detach()  # log pi is the policy's, not the discriminator's to move
        nothing = logits.new_zeros(())
        target = smoothing + (1 - 2 * smoothing) * label
        # -log sigmoid(x) = log(1 + exp -x), and -log(1 - sigmoid(x)) = log(1 + exp x)
        losses.append(
            (target * (-logits).logaddexp(nothing) + (1 - target) * logits.logaddexp(nothing)).mean()
        )
    return losses[0] + losses[1]


# Steps


def step_ends(tokens: Sequence[str], separator: str = "\n") -> list[int]:
    """Return the place of the last token of every step.

    A step ends with the token that holds the separator; a rest without any visible sign, such as an end of
    text, belongs to the step before.

    Parameters
    ----------
    tokens : sequence of T str
        Decoded one by one, special tokens as "".
    separator : str
        One sign or several.

    Returns
    -------
    list of int
        Rising; the last is T - 1.

    Raises
    ------
    InputError
        No token, an empty separator.

    Notes
    -----
    Source: ours; the paper's splitter is unknown.

    Examples
    --------
    >>> step_ends(["7", "*", "2", ";", "1", "4", ""], ";")
    [3, 6]
    """
    if not tokens or not separator:
        raise InputError("tokens, separator", [len(tokens), separator], "cannot be split", "give both")
    ends = [place for place, token in enumerate(tokens) if separator in token]
    last = len(tokens) - 1
    rest = "".join(tokens[ends[-1] + 1 :]) if ends else "".join(tokens)
    if ends and not rest.strip():
        ends.pop()
    return [*ends, last]


def step_advantages(rewards: Sequence[ArrayLike], *, eps: float = EPS) -> list[np.ndarray]:
    """Return the advantage of every step of one group's responses: suffix sums of pooled, normalised rewards.

    Parameters
    ----------
    rewards : sequence of G (S_i,) array-like
        Reward of each step of each response.
    eps : float
        Added to the deviation.

    Returns
    -------
    list of G (S_i,) float64 arrays
        All 0 for a group with a single step.

    Raises
    ------
    InputError
        A response without a step, rewards that are not finite.

    Notes
    -----
    Source: arXiv 2402.03300, process supervision: r~ = (r - mean) / std (ddof 1) over all steps of the group,
    A of a token = sum of r~ over the steps that end at it or later.

    Examples
    --------
    >>> [row.round(3).tolist() for row in step_advantages([[0, 2], [1, 1]], eps=0)]
    [[0.0, 1.225], [0.0, 0.0]]
    """
    rows = [np.asarray(row, dtype=float) for row in rewards]
    if not rows or not all(len(row) and np.isfinite(row).all() for row in rows):
        problem, remedy = "are not finite rewards of one or more steps each", "see learning_rate of f"
        raise InputError("rewards", [row.tolist() for row in rows], problem, remedy)
    pooled = np.concatenate(rows)
    if len(pooled) < 2:
        return [np.zeros(len(row)) for row in rows]
    spread = pooled.std(ddof=1) + eps
    mean = pooled.mean()
    if not spread:
        return [np.zeros(len(row)) for row in rows]
    # suffix sums: a step is good for what comes after it as well
    return [((row - mean) / spread)[::-1].cumsum()[::-1] for row in rows]


def over_tokens(advantages: Sequence[np.ndarray], ends: Sequence[Sequence[int]]) -> np.ndarray:
    """Return step advantages as (n, T): all tokens of a step share its value, padding is 0."""
    table = np.zeros((len(ends), max(row[-1] for row in ends) + 1))
    for row, (values, places) in enumerate(zip(advantages, ends, strict=True)):
        lengths = np.diff([-1, *places])
        table[row, : places[-1] + 1] = np.repeat(values, lengths)
    return table


def mixed_advantages(steps: np.ndarray, outcome: np.ndarray, mix: float) -> np.ndarray:
    """Return lambda A_step + (1 - lambda) A_outcome, (n, T), from (n, T) and (n,) or (n, T)."""
    if not 0 <= mix <= 1:
        raise InputError("mix", mix, "is outside [0, 1]", "give the share of the step advantages")
    outcome = outcome if outcome.ndim == 2 else outcome[:, None]
    width = steps.shape[1]
    if outcome.shape[1] > 1:  # an algorithm before may have left padding of its own
        outcome = outcome[:, :width]
    return mix * steps + (1 - mix) * outcome


# The exact companion: one state, several actions


class Recovery(NamedTuple):
    """Where the alternation ends.

    Attributes
    ----------
    policies : (steps + 1, K) float64 array
        The policy after every step.
    values : (K,) float64 array
        f at the end.
    loss : float
        Discriminator's at the end.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> Recovery(np.ones((1, 1)), np.zeros(1), 1.386).loss
    1.386
    """

    policies: np.ndarray
    values: np.ndarray
    loss: float


def recover(
    expert: ArrayLike, *, reward: str = "airl", steps: int = 4000, rate: float = 0.05, updates: int = 1
) -> Recovery:
    """Alternate exact expected steps of a tabular f and a softmax policy in a bandit, without sampling.

    Parameters
    ----------
    expert : (K,) array-like
        The expert's distribution over the actions.
    reward : str
        As for `policy_reward`; ``gail`` also takes D = sigmoid(f).
    steps : int
        Policy steps.
    rate : float
        Of Adam, for both.
    updates : int
        Discriminator steps before each.

    Returns
    -------
    Recovery

    Raises
    ------
    InputError
        No distribution, an unknown reward, counts below 1.

    Notes
    -----
    Source: ours. Of L = -sum q log D - sum pi log(1 - D): dL / df = -q (1 - D) + pi D; of the expected
    reward: dJ / d theta = pi (r - sum pi r). At the end f = log q = log pi: D = 1/2, L = 2 log 2.

    Examples
    --------
    >>> recover([0.7, 0.2, 0.1]).policies[-1].round(3).tolist()
    [0.7, 0.2, 0.1]
    """
    check_name("reward", reward, REWARDS)
    target = np.asarray(expert, dtype=float)
    if target.ndim != 1 or (target < 0).any() or not np.isclose(target.sum(), 1):
        raise InputError("expert", target.tolist(), "is no distribution", "give chances that sum to 1")
    if steps < 1 or updates < 1:
        raise InputError("steps, updates", [steps, updates], "are below 1", "give one or more")
    values = np.zeros(len(target))
    logits = np.zeros(len(target))
    moments = np.zeros((2, 2, len(target)))
    policies = [softmax(logits)]
    done = 0
    for step in range(1, steps + 1):
        policy = policies[-1]
        logps = np.log(policy) if reward == "airl" else np.zeros(len(target))
        for _ in range(updates):
            chance = discriminator(values, logps)
            done += 1
            values -= rate * adam(-target * (1 - chance) + policy * chance, moments[0], done)
        earned = policy_reward(values, logps, reward)
        logits += rate * adam(policy * (earned - policy @ earned), moments[1], step)
        policies.append(softmax(logits))
    scores = values - (np.log(policies[-1]) if reward == "airl" else 0.0)
    loss = -target @ log_expit(scores) - policies[-1] @ log_expit(-scores)
    return Recovery(np.stack(policies), values, float(loss))
