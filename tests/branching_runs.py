"""Steps of CURE, ETMR and G2RPO-A on every process of a launcher; each keeps its rollouts and gradients."""

from __future__ import annotations

import dataclasses
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from hammerlib.training import Algorithm, Hooks, Rollout, TrainConfig, train

BASE = TrainConfig(
    n_problems=8,
    order="random",
    prompts_per_step=4,
    group_size=4,
    max_completion_length=40,
    learning_rate=2e-4,
    loss_type="dapo",
    max_steps=2,
)
CONFIGS = {
    "cure": {"algorithms": ({"name": "cure", "n1": 2, "n2": 1, "min_token_chars": 1},)},
    "random": {"algorithms": ({"name": "cure", "n1": 2, "n2": 1, "min_token_chars": 1, "choice": "random"},),
               "adjustment": "dra"},
    "etmr": {"algorithms": ({"name": "etmr", "trees": 2, "forks": 1, "branches": 2, "train": "first"},)},
    "g2rpo-a": {"algorithms": ({"name": "g2rpo-a", "length": 6, "alpha": 0.5, "traces": "nano:columns",
                                "window": 1, "longest": 30},), "epochs": 2, "max_steps": 3},
}  # fmt: skip
BY_ROW = ("completion_ids", "prompt_ids", "rewards", "raw", "groups", "forced", "tasks", "mask")


class Kept(Algorithm):
    """What this process generated, and the gradient of its own loss, by step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []

    def observe(self, rollout: Rollout) -> dict[str, float]:
        kept = {name: getattr(rollout, name) for name in BY_ROW}
        kept["advantages"] = rollout.advantages.tolist()
        kept["ids"] = [row["id"] for row in rollout.rows]
        kept["right"] = [verdict is not None and verdict.correct for verdict in rollout.verdicts]
        self.steps.append(kept)
        return {}

    def loss(self, trainer: Any, model: torch.nn.Module, inputs: dict, default: Callable) -> torch.Tensor:
        trained = [one for one in model.parameters() if one.requires_grad]
        self.steps[-1]["gradient"] = torch.autograd.grad(default(), trained)
        return default()


def make(root: Path) -> None:
    """Train every configuration into a folder below `root`."""
    for name, changes in CONFIGS.items():
        kept = Kept()
        config = dataclasses.replace(BASE, **changes)
        train(
            config, root=root / name, algorithms=[Hooks(observe=kept.observe, loss=kept.loss)], progress=False
        )
        path = root / f"{name}-{PartialState().process_index}.pickle"
        path.write_bytes(pickle.dumps(kept.steps))


if __name__ == "__main__":
    make(Path(sys.argv[1]))
