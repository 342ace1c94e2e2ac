"""NeMo-RL: a sorted file and `data.shuffle=false`; the last prompts are dropped every epoch."""

from __future__ import annotations

from pathlib import Path

from hammerlib.adapters.trainer import Row, Trainer, of_batch


def _row(problem: Row, position: int) -> Row:
    return {
        "input": problem["prompt"],
        "output": problem["answer"],
        "id": problem["id"],
        "position": position,
    }


def _settings(file: Path, batch: int | None) -> list[str]:
    return [
        "data.shuffle=false",
        "data.use_multiple_dataloader=false",
        # The named set of the example's configuration comes with a split of its own.
        "~data.train.dataset_name",
        f"++data.train.data_path={file}",
        "data.train.split_validation_size=0",
        "++data.default.dataset_name=ResponseDataset",
        "++data.default.input_key=input",
        "++data.default.output_key=output",
        "grpo.use_dynamic_sampling=false",
        *of_batch(batch, "grpo.num_prompts_per_step={}"),
    ]


TRAINER = Trainer("nemo-rl", "0.6.0 (commit 7ea279a)", "source", ".jsonl", "dropped", _row, _settings)
