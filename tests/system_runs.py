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
from accelerate import PartialState

from hammerlib.advantages import group_advantages
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
        model = trainer.accelerator.unwrap_model(model)
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

TWO = dataclasses.replace(SMALL, n_problems=4, prompts_per_step=4, max_steps=1, seed=2)
# Variants are judged by their true answer, so that nano solves some.
SCRIPTED = {"name": "svs", "task": "system_runs:scripted", "gold": "truth", "low": 0.2, "high": 0.8,
            "useful_low": 0.2, "useful_high": 0.8}  # fmt: skip
SYSTEMS: dict[str, dict[str, Any]] = {
    "dars": {"algorithms": ({"name": "dars", "schedule": "hw", "limit": 12},)},
    "svs": {"algorithms": (SCRIPTED,)},
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


def of_groups(rollout: Rollout) -> np.ndarray:
    """Each reward less the mean of its group; or what there is of each token."""
    if rollout.advantages.dim() == 2:
        pairs = zip(rollout.advantages.cpu().numpy(), rollout.completion_ids, strict=True)
        return [row[: len(ids)] for row, ids in pairs]
    return group_advantages(rollout.rewards, rollout.groups, scale="none")


def make(root: Path, names: Sequence[str]) -> None:
    """Train systems on all processes and leave what each saw, with the errors of its gradients."""
    for name in names:
        hand = Hand(of_groups, planned=8)  # of the 16 rows that two processes plan
        config = dataclasses.replace(TWO, **SYSTEMS[name])
        train(config, root=root / name, algorithms=[hand], progress=False)
        seen = []
        for rollout in hand.seen:
            step = {"ids": [row["id"] for row in rollout.rows], "tasks": rollout.tasks}
            arrays = {"groups": rollout.groups, "rewards": rollout.rewards, "advantages": rollout.advantages}
            seen.append(step | {key: values.tolist() for key, values in arrays.items()})
        found = {"errors": hand.errors, "norms": hand.norms, "seen": seen}
        (root / f"{name}-{PartialState().process_index}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    make(Path(sys.argv[1]), sys.argv[2:])
