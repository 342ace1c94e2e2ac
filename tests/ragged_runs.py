"""Runs that train more rows than planned, in groups of any size; under a launcher, on every process."""

from __future__ import annotations

import dataclasses
import string
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from hammerlib.training import Algorithm, Generation, Rollout, TrainConfig, train

SIZES = (5, 4, 7, 5)  # completions of the four problems of the step
PLANNED = 16
STEP = TrainConfig(
    n_problems=4,
    order="random",
    prompts_per_step=4,
    group_size=4,
    gradient_accumulation=2,
    max_completion_length=12,
    learning_rate=1e-3,
    loss_type="grpo",
    scale_rewards="none",
    max_steps=1,
)
SIGNS = string.printable
SAFE = {"sign": "safe", "normalize": True}
RUNS = {
    "grpo": STEP,
    "dr_grpo": dataclasses.replace(STEP, loss_type="dr_grpo", skip_zero_advantage=True),
    "dra": dataclasses.replace(
        STEP, adjustment="dra", adjustment_options={"sign": "safe", "normalize": True}
    ),
    "dra-trainer": dataclasses.replace(STEP, adjustment="dra", dra_route="trainer"),
}


def completion(problem: int, number: int) -> list[int]:
    return [250 + (3 * problem + number + place) % 19 for place in range(3 + (problem + 2 * number) % 6)]


def reward(problem: int, number: int) -> float:
    return ((5 * problem + 3 * number) % 7) / 2 - 1


def embed(texts: list[str]) -> np.ndarray:
    """One vector a text, from its letters; alike for alike beginnings."""
    return np.array([[1.0 + text.count(sign) for sign in SIGNS] for text in texts])


@dataclasses.dataclass
class Ragged(Algorithm, TrainerCallback):
    """As many completions for each problem as `SIZES` says, groups mixed, one row in three left out."""

    file: str = ""

    def most_rows(self, config: TrainConfig) -> int:
        return max(SIZES)

    def rollout(self, rows: list[dict[str, Any]], trainer: Any) -> Generation:
        problems = rows[:: trainer.num_generations]
        first = trainer.accelerator.process_index * len(problems)
        made = [(k, number) for k in range(len(problems)) for number in range(SIZES[first + k])]
        made += [(0, 20), (len(problems) - 1, 21)]  # not trained
        made = [made[place] for place in np.random.default_rng(first).permutation(len(made))]
        generation = Generation(
            [problems[k] for k, _ in made],
            trainer.processing_class([problems[k]["prompt"] for k, _ in made])["input_ids"],
            [completion(first + k, number) for k, number in made],
            groups=np.array([k if number < 20 else -1 for k, number in made]),
            rewards=[reward(first + k, number) for k, number in made],
            forced=[1] * len(made),
        )
        trainer.count_tokens(generation)
        return generation

    def observe(self, rollout: Rollout) -> dict[str, float]:
        return {"rows": float(len(rollout.rows))}

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        if state.is_world_process_zero:
            gradients = {name: weight.grad.clone() for name, weight in more["model"].named_parameters()}
            torch.save(gradients, self.file)


def make(root: Path) -> None:
    """Make all runs in folders below `root`, the step's gradient beside each."""
    for name, config in RUNS.items():
        root.joinpath(name).mkdir(parents=True, exist_ok=True)
        embedder = embed if config.adjustment == "dra" else None
        algorithms = [Ragged(str(root / name / "gradient.pt"))]
        train(config, root=root / name, algorithms=algorithms, embedder=embedder, progress=False)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
