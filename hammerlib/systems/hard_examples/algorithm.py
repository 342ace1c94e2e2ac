"""The learnable percentage while a run trains: ``algorithms: [{name: learnable}]``."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from hammerlib.training.hooks import Algorithm, Rollout


class LearnableShare(Algorithm):
    """Watches how many groups, and how many generation batches, have something to teach.

    Only a group whose rewards differ moves the policy. `hammerlib.exact.signal.learnable` says the same of a
    finished run. Of several processes each counts its own groups.

    Source: arXiv 2508.14094, "learnable percentage", at both levels that the word may mean.
    """

    METRICS: ClassVar[dict[str, str]] = {
        "learnable/groups": "share of this batch's groups whose rewards differ",
        "learnable/steps": "share of the batches so far with at least one such group",
    }

    def __init__(self) -> None:
        self.batches = 0
        self.learnable = 0

    def observe(self, rollout: Rollout) -> dict[str, float]:
        """Count the groups whose rewards, as graded, are not all the same."""
        differ = []
        for rows in rollout.by_size():
            for rewards in rollout.raw[rows]:
                # a completion that no grader judged says nothing of its group
                graded = rewards[~np.isnan(rewards)]
                differ.append(len(graded) > 0 and bool(graded.max() > graded.min()))
        self.batches += 1
        self.learnable += any(differ)
        return {
            "learnable/groups": float(np.mean(differ)) if differ else 0.0,
            "learnable/steps": self.learnable / self.batches,
        }

    def state_dict(self) -> dict[str, int]:
        """Return the counts so far."""
        return {"batches": self.batches, "learnable": self.learnable}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on counting from a checkpoint."""
        self.batches = state["batches"]
        self.learnable = state["learnable"]
