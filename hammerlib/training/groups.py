"""Whole groups where a prompt's completions lie on several processes: DRA's trainer route and telemetry."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate.utils import gather_object

from hammerlib.errors import InputError
from hammerlib.training.hooks import Rollout

if TYPE_CHECKING:
    from hammerlib.rewards import DRAReward


def adjust_all(reward: DRAReward, group_size: int, first: int) -> tuple[np.ndarray, float]:
    """Return the adjusted rewards of all processes and the mean weight of this one's rows.

    Parameters
    ----------
    reward : DRAReward
        Deferred, and just called on this process's rows.
    group_size : int
        Completions per prompt.
    first : int
        Place of this process's first row among all.

    Returns
    -------
    (N,) float64 array, float

    Examples
    --------
    >>> from hammerlib.rewards import accuracy_reward, DRAReward
    >>> reward = DRAReward(accuracy_reward, lambda texts: np.ones((len(texts), 2)), 2, deferred=True)
    >>> reward(["2+2"] * 2, [r"\\boxed{4}"] * 2, answer=["4"] * 2)
    [1.0, 1.0]
    >>> adjust_all(reward, 2, first=0)[0].round(3).tolist()
    [0.5, 0.5]
    """
    adjusted, weights = reward.adjusted(gather_object([reward.scored]), group_size)
    return adjusted, float(weights[first : first + len(reward.raw)].mean())


def same_everywhere(field: str, value: object, what: str) -> None:
    """Refuse what is not the same on all processes, on each of them, before they wait for each other."""
    for rank, other in enumerate(gather_object([value])):
        if other != value:
            problem = f"{what} differ from those of process {rank}: {other}"
            raise InputError(field, value, problem, "let them depend on nothing but the configuration")


def whole_groups(rollout: Rollout, process: int) -> tuple[Rollout, slice | None]:
    """Return a rollout of whole groups, and where this process's rows stand in it (None: it is the whole).

    Parameters
    ----------
    rollout : Rollout
        Of this process.
    process : int
        Its rank.

    Returns
    -------
    Rollout, slice or None
        `rollout` itself where no group straddles processes, else the generation batch of all processes.

    Examples
    --------
    >>> one = np.ones(2)
    >>> rollout = Rollout(0, [{"id": "a"}] * 2, ["4"] * 2, [[7]] * 2, [None] * 2, one, one, np.eye(2), 2)
    >>> whole_groups(rollout, 0)[1] is None
    True
    """
    held = len(rollout.rows)
    rows_in_a_row = np.array_equal(rollout.groups, np.arange(held) // rollout.group_size)
    if held % rollout.group_size == 0 or not rows_in_a_row:  # a rollout seam's own groups lie on one process
        return rollout, None
    parts = gather_object([dataclasses.replace(rollout, trainer=None, spare=None)])
    joined = {name: _joined([getattr(part, name) for part in parts]) for name in BY_ROW}
    whole = dataclasses.replace(rollout, **joined, groups=None)  # G in a row of the whole batch
    return whole, slice(process * held, (process + 1) * held)


# Fields of a rollout with one entry per completion.
BY_ROW = ("rows", "completions", "completion_ids", "prompt_ids", "verdicts", "raw", "rewards", "vectors")
BY_ROW += ("advantages", "mask", "reasons")


def _joined(parts: Sequence) -> object:
    if parts[0] is None:
        return None
    if isinstance(parts[0], list):
        return [row for part in parts for row in part]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return torch.cat([part.cpu() for part in parts]).to(parts[0].device)
