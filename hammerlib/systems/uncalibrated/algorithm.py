"""RLOO as an algorithm: ``algorithms: [{name: rloo}]``, with ``scale_rewards: none``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hammerlib.advantages import group_advantages
from hammerlib.errors import InputError
from hammerlib.training.hooks import Algorithm, Rollout

if TYPE_CHECKING:
    import torch

    from hammerlib.training.config import TrainConfig


@dataclass(frozen=True)
class LeaveOneOut(Algorithm):
    """Each reward minus the mean of the others of its group (RLOO); needs no setting.

    It takes the place of the advantages so far.

    Source: Ahmadian et al. 2024 (arXiv 2402.14740); one of the arms of arXiv 2508.11800.
    """

    FROM_REWARDS: ClassVar[bool] = True

    def check(self, config: TrainConfig) -> None:
        """Refuse a division of advantages that would not happen."""
        _check_scale(config.scale_rewards)

    def advantage(self, rollout: Rollout) -> torch.Tensor:
        """Return one advantage for each completion, 0 where none can be compared."""
        _check_scale(rollout.trainer.scale_rewards)
        advantages = group_advantages(rollout.rewards, rollout.groups, scale="none")
        for rows in rollout.by_size():
            # R minus the mean of the other n - 1 is n / (n - 1) times R minus the mean of all n.
            counted = (~np.isnan(rollout.rewards[rows])).sum(1, keepdims=True)
            advantages[rows] *= counted / np.maximum(counted - 1, 1)
        return rollout.advantages.new_tensor(advantages)

    __call__ = advantage  # as a hook of its own


def _check_scale(scale: str) -> None:
    if scale != "none":
        raise InputError("scale_rewards", scale, "does nothing under leave-one-out", "set it to none")
