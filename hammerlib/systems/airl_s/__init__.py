"""AIRL-S (arXiv 2508.14313): a reward learnt from correct traces, for training and for search.

A discriminator D = sigmoid(f - log pi) tells steps of correct traces from the policy's own; f - log pi is a
reward of every step, and f alone, which knows no policy, scores steps in `hammerlib.systems.search`. No code
of it is public: the algebra is that of AIRL (arXiv 1710.11248), all else a switch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, log_expit, softmax

from hammerlib.advantages import EPS
from hammerlib.errors import InputError, check_name
from hammerlib.exact.modes import adam

if TYPE_CHECKING:
    import torch


REWARDS = ("airl", "gail")


def discriminator(values: ArrayLike, logps: ArrayLike) -> np.ndarray:
    """Return D = exp f / (exp f + pi) = sigmoid(f - log pi): the chance that a step is the expert's."""
    return expit(np.asarray(values, dtype=float) - np.asarray(logps, dtype=float))


def policy_reward(values: ArrayLike, logps: ArrayLike, kind: str = "airl") -> np.ndarray:
    """Return what a step earns: log D - log(1 - D) = f - log pi (AIRL, arXiv 1710.11248).

    ``gail``, for comparison: -log(1 - D) of a D = sigmoid(f) that leaves the policy out (arXiv 1606.03476);
    it is never negative, and its f is no reward.
    """
    check_name("reward", kind, REWARDS)
    values = np.asarray(values, dtype=float)
    if kind == "gail":
        # -log(1 - sigmoid f) = -log sigmoid(-f), which does not overflow
        return -log_expit(-values)
    return values - np.asarray(logps, dtype=float)


def discriminator_loss(
    expert: tuple[torch.Tensor, torch.Tensor],
    policy: tuple[torch.Tensor, torch.Tensor],
    *,
    smoothing: float = 0.0,
) -> torch.Tensor:
    """Return -E_expert[log D] - E_policy[log(1 - D)], each a mean over its steps, so that both weigh alike.

    Both sides are pairs of f and log pi of their steps; gradients flow through f alone. `smoothing` in [0,
    1/2) makes the labels 1 - s and s (ours). 2 log 2 where f = log pi.
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
    """Return the place of the last token of every step, rising to T - 1 (ours; the paper's is unknown).

    A step ends with the token that holds the separator; a rest without any visible sign, such as an end of
    text, belongs to the step before.
    """
    if not tokens or not separator:
        raise InputError("tokens, separator", [len(tokens), separator], "cannot be split", "give both")
    ends = [place for place, token in enumerate(tokens) if separator in token]
    last = len(tokens) - 1
    rest = "".join(tokens[ends[-1] + 1 :]) if ends else "".join(tokens)
    # an end of text behind the last separator is no step of its own
    if ends and not rest.strip():
        ends.pop()
    return [*ends, last]


def step_advantages(rewards: Sequence[ArrayLike], *, eps: float = EPS) -> list[np.ndarray]:
    """Return the advantages (S_i,) of the steps of each response of a group: suffix sums of r~.

    r~ = (r - mean) / (std + eps), ddof 1, over all steps of the group; A of a token is the sum of r~ over the
    steps that end at it or later (process supervision of arXiv 2402.03300). 0 for a group with a single step.
    """
    rows = [np.asarray(row, dtype=float) for row in rewards]
    if not rows or not all(len(row) and np.isfinite(row).all() for row in rows):
        problem = "are not finite rewards of one or more steps each"
        raise InputError("rewards", [row.tolist() for row in rows], problem, "see learning_rate of f")
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
        # tokens of each step, from the end before to its own
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
    """Where the alternation ends: policies (steps + 1, K), f (K,), the discriminator's loss."""

    policies: np.ndarray
    values: np.ndarray
    loss: float


def recover(
    expert: ArrayLike, *, reward: str = "airl", steps: int = 4000, rate: float = 0.05, updates: int = 1
) -> Recovery:
    """Alternate exact expected steps of a tabular f and a softmax policy over K actions, nothing sampled.

    Of L = -sum q log D - sum pi log(1 - D): dL / df = -q (1 - D) + pi D; of the expected reward:
    dJ / d theta = pi (r - sum pi r). At the end f = log q = log pi: D = 1/2, L = 2 log 2.
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
            # down dL / df = -q (1 - D) + pi D
            values -= rate * adam(-target * (1 - chance) + policy * chance, moments[0], done)
        earned = policy_reward(values, logps, reward)
        # up dJ / d theta = pi (r - E r)
        logits += rate * adam(policy * (earned - policy @ earned), moments[1], step)
        policies.append(softmax(logits))
    scores = values - (np.log(policies[-1]) if reward == "airl" else 0.0)
    loss = -target @ log_expit(scores) - policies[-1] @ log_expit(-scores)
    return Recovery(np.stack(policies), values, float(loss))
