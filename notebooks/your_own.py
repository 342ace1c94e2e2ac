"""One problem source, one strategy, one reward and one algorithm of your own: what notebook 07 trains with.

Copy this file and change it. Its parts are named ``your_own:market``, ``your_own:typical_first``, ...
wherever a configuration, a command or a notebook takes a name.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hammerlib import accuracy_reward
from hammerlib.training import Algorithm, Rollout

if TYPE_CHECKING:
    import torch


def market(split: str = "rl", n: int | None = None, seed: int = 0) -> list[dict[str, str]]:
    """Sums in a sentence that nano was not taught; first numbers that end in 0 or 5 are held out."""
    sums = [(a, b) for a in range(11, 60) for b in range(11, 40) if (a % 5 == 0) == (split == "heldout")]
    chosen = random.Random(seed).sample(sums, n or len(sums))
    text = "In the kitchen, Ana buys {} eggs and Ben buys {}. How many eggs are there in all?"
    return [{"prompt": text.format(a, b), "answer": str(a + b)} for a, b in chosen]


def typical_first(vectors: np.ndarray, problems: object, seed: int) -> np.ndarray:
    """From the problem that is most like all others to the one that is least like them."""
    mean = vectors.mean(axis=0)
    return np.argsort(-(vectors @ mean), kind="stable")


def brief(completions: list, completion_ids: list, answer: list, **columns: object) -> list[float | None]:
    """Right answers earn 1, less a hundredth for every token; wrong ones earn nothing."""
    right = accuracy_reward(completions=completions, answer=answer)
    rewards = []
    for reward, ids in zip(right, completion_ids, strict=True):
        rewards.append(None if reward is None else reward * (1 - len(ids) / 100))
    return rewards


@dataclass
class LessPraise(Algorithm):
    """Learn less from what was better than its group than from what was worse."""

    weight: float = 0.5  # factor of positive advantages
    METRICS: ClassVar = {"praised_share": "completions with an advantage above 0, [0, 1]"}

    def advantage(self, rollout: Rollout) -> torch.Tensor:
        """Return the advantages, those above 0 made smaller."""
        return rollout.advantages.clamp(max=0) + self.weight * rollout.advantages.clamp(min=0)

    def observe(self, rollout: Rollout) -> dict[str, float]:
        """Return what goes into metrics.csv."""
        return {"praised_share": (rollout.advantages > 0).float().mean().item()}
