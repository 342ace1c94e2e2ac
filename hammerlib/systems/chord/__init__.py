"""CHORD (arXiv 2508.11408): supervised learning on an expert's solutions inside on-policy GRPO.

One loss, (1 - mu) of GRPO and mu of a supervised term, with a schedule for mu and a weight for every expert
token: phi = p (1 - p), detached, leaves alone what the policy already does and what it cannot reach yet.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hammerlib.errors import InputError, check_name
from hammerlib.moved import old_names

if TYPE_CHECKING:
    import torch


# The paper's two variants for mathematics, as arguments of `Chord`.
PRESETS: dict[str, dict[str, float | int | str]] = {
    "chord-mu": {"peak": 0.9, "valley": 0.05, "warmup": 0, "decay": 200, "weighting": "none"},
    "chord-phi": {"peak": 0.1, "valley": 0.1, "warmup": 0, "decay": 0, "weighting": "phi"},
}


def mu_at(step: int, *, peak: float, valley: float, warmup: int = 0, decay: int = 0) -> float:
    """Return mu at an optimizer step: a linear rise to `peak`, a cosine fall to `valley`, then `valley`.

    `warmup` and `decay` are the steps of rise and fall; 0 leaves it out. From the authors' code (Trinity-RFT,
    ``mu_schedule_function``); arXiv 2508.11408 only says that mu decays. CHORD-mu: 0.9 to 0.05 over 200
    steps; CHORD-phi: constant 0.1.
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
    # from peak at the end of the rise (cos 0) to valley (cos pi)
    return valley + (peak - valley) * (1 + math.cos(math.pi * (step - warmup) / decay)) / 2


def adaptive_mu(mean_reward: float, *, tau: float = 0.5) -> float:
    """Return max(0, tau - mean reward): imitate while the policy fails, and not at all once it does not.

    From the appendix, which finds tau = 0.5 good and 0.7 worse; cut at 1 where rewards are negative.
    """
    if not 0 < tau <= 1:
        raise InputError("tau", tau, "is outside (0, 1]", "use 0.5")
    if math.isnan(mean_reward):
        raise InputError("mean_reward", mean_reward, "is not a number", "give the mean of scored rewards")
    return min(1.0, max(0.0, tau - mean_reward))  # mu = max(0, tau - mean R)


WEIGHTINGS = ("none", "is", "phi")


def token_weights(logps: torch.Tensor, weighting: str = "phi") -> torch.Tensor:
    """Return the weight of every expert token, without gradient."""
    check_name("weighting", weighting, WEIGHTINGS, "is unknown")
    # Detached: with a gradient through phi, a token at p = 0.1 would be pushed *down*.
    probabilities = logps.detach().exp()
    if weighting == "none":  # supervised learning, eq. 1
        return probabilities.new_ones(probabilities.shape)
    if weighting == "is":  # importance sampling with the expert's density taken as 1, eq. 4
        return probabilities
    return probabilities * (1 - probabilities)  # phi, eq. 5


def expert_loss(
    logps: torch.Tensor,
    mask: torch.Tensor,
    *,
    weighting: str = "phi",
    cutoff: float = 1.0,
    tokens: int | None = None,
) -> torch.Tensor:
    """Return the mean over expert tokens of -w log p, in nats a token; `logps` and `mask` are (m, T).

    Tokens with p above `cutoff` give no gradient (``cutoff_prob`` of the authors' code, 1: off). `tokens` is
    the divisor where this is a part of a batch: those of the whole. arXiv 2508.11408 eq. 6, which writes a
    sum; the authors' code takes the mean, as here.
    """
    if not 0 < cutoff <= 1:
        raise InputError("cutoff", cutoff, "is outside (0, 1]", "use 1 for no cutoff")
    count = int(mask.sum()) if tokens is None else tokens
    if count < 1:
        raise InputError("mask", count, "marks no token", "give at least one expert token")
    # before the cut below: w belongs to the policy's own p
    weights = token_weights(logps, weighting)
    if cutoff < 1:
        # Clamped log-probabilities have no gradient; the weight stays that of the uncut probability.
        logps = logps.clamp(max=math.log(cutoff))
    # eq. 6: L = mean_t [- w_t log p_t] over the expert's tokens
    return -(weights * logps * mask).sum() / count


def mixed_loss(grpo: torch.Tensor, expert: torch.Tensor, mu: float) -> torch.Tensor:
    """Return (1 - mu) grpo + mu expert, the convex mixture."""
    if not 0 <= mu <= 1:
        raise InputError("mu", mu, "is outside [0, 1]", "give the share of the supervised term")
    return (1 - mu) * grpo + mu * expert  # L = (1 - mu) L_GRPO + mu L_SFT-phi


__getattr__ = old_names(__name__)
