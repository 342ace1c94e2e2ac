"""The rows of a micro-batch that carry a gradient, and what TRL's loss of all rows is of theirs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

# Tensors of a micro-batch with one column per completion token; all may be cut to the longest completion.
BY_TOKEN = ("completion_ids", "completion_mask", "tool_mask", "old_per_token_logps", "ref_per_token_logps")
BY_TOKEN += ("sampling_per_token_logps", "importance_sampling_ratio", "advantages")


def loss_mask(inputs: dict[str, Any]) -> torch.Tensor:
    """Return the (n, T) mask of the completion tokens that TRL's loss sums over."""
    mask = inputs["completion_mask"]
    return mask * inputs["tool_mask"] if "tool_mask" in inputs else mask


def with_gradient(inputs: dict[str, Any]) -> torch.Tensor:
    """Return the indices of the rows with a trained token whose advantage is not exactly zero.

    In every loss of TRL the advantage is a factor of a token's term, so that without KL and entropy terms
    all other rows add exactly nothing to the gradient.
    """
    advantages = inputs["advantages"]
    if advantages.dim() == 1:
        advantages = advantages[:, None]
    return ((advantages * loss_mask(inputs)) != 0).any(1).nonzero()[:, 0]


def sequence_weights(policy: torch.Tensor, sampled: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return p / q of every completion, (n, 1), from its tokens' (n, T) log-probabilities.

    `policy` are those of p, `sampled` those of q, NaN where a token was not sampled: such a token weighs 1.
    TRL's ``vllm_importance_sampling_mode="sequence_truncate"`` before its cap.
    """
    return ((policy - sampled) * mask).nan_to_num(0.0).sum(1, keepdim=True).exp()


def common_rows(trained: Iterable[int], planned: int, multiple: int) -> int:
    """Return the rows that every process's batch has: as planned, or more where one trains more.

    TRL gathers, splits and groups them, so that all have the same number, a multiple of
    G x ``steps_per_generation``.
    """
    most = max(trained)
    return planned if most <= planned else -(-most // multiple) * multiple


def planned_share(loss_type: str, inputs: dict[str, Any], planned: int) -> float:
    """Return the factor that makes a mean over a micro-batch's rows one over those that were planned."""
    by_rows = loss_type in ("grpo", "dr_grpo", "sapo", "luspo")
    return len(inputs["completion_ids"]) / planned if by_rows else 1.0


def take_rows(inputs: dict[str, Any], rows: torch.Tensor) -> dict[str, Any]:
    """Return the micro-batch of these rows, cut to their longest completion.

    Without any row it is the first one with all its completion masked: the model must still run, so that
    every parameter gets its gradient of zero (AdamW skips those without one, and moves the others by their
    momentum) and processes that wait for each other's gradients are not left waiting.
    """
    n = len(inputs["completion_ids"])
    chosen = rows if len(rows) else torch.zeros(1, dtype=torch.long, device=inputs["completion_ids"].device)
    taken = {
        name: value[chosen] if torch.is_tensor(value) and value.dim() and len(value) == n else value
        for name, value in inputs.items()
    }
    if not len(rows):
        taken["completion_mask"] = torch.zeros_like(taken["completion_mask"])
    width = max(1, int(taken["completion_mask"].sum(1).max()))
    for name in BY_TOKEN:
        if name in taken and taken[name].dim() == 2:
            taken[name] = taken[name][:, :width]
    return taken


def loss_share(loss_type: str, inputs: dict[str, Any], taken: dict[str, Any], rows: int) -> float:
    """Return the factor that makes TRL's loss of `rows` rows that of the whole micro-batch.

    ``grpo``, ``sapo``, ``luspo`` and ``dr_grpo`` divide by rows, ``bnpo`` by trained tokens; ``dapo``,
    ``cispo`` and ``vespo`` by the tokens of the generation batch, whatever rows they are handed.
    """
    if loss_type in ("dapo", "cispo", "vespo"):
        return 1.0
    if loss_type == "bnpo":
        return float(loss_mask(taken).sum() / loss_mask(inputs).sum().clamp(min=1))
    return rows / len(inputs["completion_ids"])
