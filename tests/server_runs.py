"""Training runs that sample from a vLLM server; under a launcher, on every process."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

from hammerlib.systems.branching import by_problem
from hammerlib.training import Algorithm, Generation, TrainConfig, train
from hammerlib.training.generation import generate

PLAIN = TrainConfig(
    n_problems=16,
    order="random",
    prompts_per_step=4,
    group_size=4,
    max_completion_length=24,
    learning_rate=2e-4,
    scheduler="constant",
    loss_type="grpo",
    vllm="server",
    vllm_server="http://127.0.0.1:8000",
)
BRANCHES = (3, 0, 2, 1)  # of each trunk, by step and process


class Uneven(Algorithm):
    """Two trunks of each problem, branched from the middle: by each process as often as `BRANCHES` says."""

    def most_rows(self, config: TrainConfig) -> int:
        return 2 + 2 * max(BRANCHES)

    def rollout(self, rows: list[dict], trainer: object) -> Generation:
        problems = rows[:: trainer.num_generations]
        trunks = generate(trainer, [row for row in problems for _ in range(2)])
        times = BRANCHES[(trainer.state.global_step + trainer.accelerator.process_index) % len(BRANCHES)]
        parents = [trunk for trunk in range(len(trunks.rows)) for _ in range(times)]
        begun = [trunks.completion_ids[trunk][: len(trunks.completion_ids[trunk]) // 2] for trunk in parents]
        branches = generate(trainer, [trunks.rows[trunk] for trunk in parents], prefixes=begun)
        joined = by_problem(trunks, branches)
        joined.groups = np.unique([row["id"] for row in joined.rows], return_inverse=True)[1]
        joined.rewards = np.array([float(sum(ids) % 7) for ids in joined.completion_ids])
        return joined


def make(root: Path, server: str) -> None:
    """Train plainly, then with `Uneven`, into folders below `root`; weights travel without NCCL."""
    from weight_store import free_port, through_the_store

    config = dataclasses.replace(PLAIN, vllm_server=server, vllm_group_port=free_port())
    again = dataclasses.replace(config, vllm_group_port=free_port())
    with pytest.MonkeyPatch.context() as patch:
        through_the_store(patch)
        train(config, root=root / "plain", progress=False)
        train(again, root=root / "uneven", algorithms=[Uneven()], progress=False)


if __name__ == "__main__":
    make(Path(sys.argv[1]), sys.argv[2])
