"""Runs of DARS, SvS and AIRL-S that tests compare: a gradient by hand, two processes."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hammerlib.training import Rollout, TrainConfig, train
from hammerlib.training.generation import score_tokens
from hammerlib.training.hooks import EXCLUDED, Algorithm

SMALL = TrainConfig(
    n_problems=6,
    order="random",
    prompts_per_step=2,
    group_size=4,
    max_completion_length=40,
    learning_rate=1e-3,
    loss_type="dr_grpo",
    scale_rewards="none",
)


class Hand(Algorithm):
    """Compares each gradient with that of - sum A log p / (planned rows x longest), written plainly."""

    def __init__(self, advantages: Callable[[Rollout], np.ndarray], planned: int) -> None:
        self.advantages = advantages
        self.planned = planned
        self.seen: list[Rollout] = []
        self.errors: list[float] = []
        self.norms: list[float] = []

    def loss(self, trainer: Any, model: Any, inputs: dict, default: Callable) -> torch.Tensor:
        """Return TRL's loss as it is."""
        loss = default()
        rollout = trainer.rollout
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        found = torch.autograd.grad(loss, weights, retain_graph=True)
        rows = np.flatnonzero(rollout.groups != EXCLUDED)
        total = loss.new_zeros(())
        advantages = self.advantages(rollout)
        for row in rows:  # each by itself, without padding
            ids = rollout.prompt_ids[row], rollout.completion_ids[row]
            logps = score_tokens(model, [ids[0]], [ids[1]], temperature=trainer.temperature)[0][0]
            own = loss.new_tensor(np.broadcast_to(np.asarray(advantages[row]), len(ids[1])).copy())
            total = total - (own * logps).sum()
        expected = torch.autograd.grad(total / (self.planned * trainer.max_completion_length), weights)
        norm = torch.cat([gradient.flatten() for gradient in expected]).norm()
        gaps = [(a - b).flatten() for a, b in zip(found, expected, strict=True)]
        self.seen.append(rollout)
        self.norms.append(norm.item())
        self.errors.append((torch.cat(gaps).norm() / norm.clamp(min=1e-8)).item())
        return loss


# On two processes, started by accelerate: `python system_runs.py FOLDER SYSTEM`

TWO = dataclasses.replace(SMALL, n_problems=4, prompts_per_step=4, max_steps=1)
SYSTEMS: dict[str, dict[str, Any]] = {
    "dars": {"algorithms": ({"name": "dars", "limit": 8},)},
    "svs": {"algorithms": ({"name": "svs", "task": "system_runs:scripted", "low": 0.2, "high": 0.8},)},
    "airl-s": {"algorithms": ({"name": "airl-s", "separator": ";"},)},
}


class Scripted:
    """A task whose every synthesis is a variant: the sum 1 + 2 and so on, whatever was written."""

    def prompt(self, response: str) -> str:
        """Return the response with a mark."""
        return f"{response.strip()} P?"

    def extract(self, synthesis: str) -> str | None:
        """Return a sum that depends on the length of what was written; a third is invalid."""
        return None if len(synthesis) % 3 == 0 else f"{len(synthesis)}+{len(synthesis) % 7}"

    def question(self, variant: str) -> str:
        """Return the question that nano knows."""
        return f"State the final answer to the following arithmetic problem: {variant.replace('+', ' + ')} ="

    def truth(self, variant: str) -> str:
        """Return the value of the sum."""
        return str(sum(map(int, variant.split("+"))))


scripted = Scripted()


def make(root: Path, names: Sequence[str]) -> None:
    """Train systems on all processes and leave the relative error of each gradient beside the run."""
    for name in names:
        train(dataclasses.replace(TWO, **SYSTEMS[name]), root=root / name, progress=False)


if __name__ == "__main__":
    make(Path(sys.argv[1]), sys.argv[2:])
    print(json.dumps(sys.argv[2:]))
