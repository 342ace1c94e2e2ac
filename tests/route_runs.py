"""The runs that compare DRA's two routes; under a launcher, `main` makes them on every process."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import yaml
from accelerate import PartialState

from hammerlib.training import Generation, Hooks, TrainConfig, launch, train

WHOLE = TrainConfig(
    n_problems=8,
    order="random",
    prompts_per_step=4,
    group_size=3,
    gradient_accumulation=2,
    max_completion_length=24,
    learning_rate=2e-4,
    adjustment="dra",
    rewards=("accuracy", "cosine", "repetition"),
    adjustment_options={"sign": "safe"},
)
# Three rows on each of two processes for groups of two: the middle group lies on both.
SPLIT = dataclasses.replace(
    WHOLE, n_problems=6, prompts_per_step=3, group_size=2, gradient_accumulation=1, dra_route="trainer"
)


# Trained from a file, as users launch it.
LAUNCHED = {
    "order": "random",
    "n_problems": 8,
    "prompts_per_step": 4,
    "group_size": 2,
    "adjustment": "dra",
    "max_completion_length": 8,
}


def tokens(place: int) -> list[int]:
    """A completion of 3 to 6 tokens without its end; one in three differs from its neighbours."""
    return [7 + (place + shift) % 9 for shift in range(3 + place % 4)]


def by_place(rows: list[dict], trainer: Any) -> Generation:
    """Completions that depend on a row's place in the whole generation batch, not on the process."""
    first = trainer.accelerator.process_index * len(rows)
    prompts = trainer.processing_class([row["prompt"] for row in rows])["input_ids"]
    return Generation(rows, prompts, list(map(tokens, range(first, first + len(rows)))))


def make(root: Path) -> None:
    """Train both routes and the split groups into folders below `root`."""
    for route in ("reward", "trainer"):
        train(dataclasses.replace(WHOLE, dra_route=route), root=root / route, progress=False)
    train(SPLIT, root=root / "split", algorithms=[Hooks(rollout=by_place)], progress=False)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
    # Starting processes takes longer than training: the entry point for launchers is called in the same ones.
    file = Path(sys.argv[1]) / f"train-{PartialState().process_index}.yaml"
    file.write_text(yaml.safe_dump(LAUNCHED))
    raise SystemExit(launch.main(["--config", str(file)]))
