"""The plan of an evaluation: which samples are drawn together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Batch = list[tuple[int, int]]  # (problem, sample)
# Prompt plus new tokens of a batch. A key-value cache costs 46 kB a token for SmolLM2-135M in float32 and
# 28 kB for a 1.5B Qwen in bfloat16: below 1 GB and 8 GB.
TOKENS_PER_BATCH = {"cpu": 16_384, "gpu": 262_144}


def plan_batches(lengths: Sequence[int], k: int, room: int, tokens_per_batch: int) -> list[Batch]:
    """Cut k samples of every prompt into batches of similar prompt length.

    The plan depends on nothing but its arguments, so a resumed or sharded run meets the same batches.

    Parameters
    ----------
    lengths : sequence of int
        Prompt tokens per problem.
    k : int
        Samples a problem.
    room : int
        New tokens allowed to each.
    tokens_per_batch : int
        Limit on rows times (longest prompt + room); a single row may exceed it.

    Returns
    -------
    list of list of (int, int)
        (problem, sample) pairs; longest prompts first, so that memory runs out at once or not at all.

    Examples
    --------
    >>> plan_batches([2, 9], k=2, room=1, tokens_per_batch=20)
    [[(1, 0), (1, 1)], [(0, 0), (0, 1)]]
    """
    batches: list[Batch] = []
    limit = 0
    for row in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        for sample in range(k):
            if not batches or len(batches[-1]) >= limit:
                batches.append([])
                limit = max(1, tokens_per_batch // (lengths[row] + room))
            batches[-1].append((row, sample))
    return batches


def default_budget(device: torch.device | str) -> int:
    """Return the tokens of a batch where none are asked for.

    Examples
    --------
    >>> default_budget("cpu"), default_budget("cuda:0")
    (16384, 262144)
    """
    return TOKENS_PER_BATCH["cpu" if str(device).startswith("cpu") else "gpu"]
