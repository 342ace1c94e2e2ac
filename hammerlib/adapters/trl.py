"""TRL: `GRPOConfig(shuffle_dataset=False)` trains rows as they stand, whole generation batches of them."""

from __future__ import annotations

from pathlib import Path

from hammerlib.adapters.trainer import Row, Trainer, of_batch


def _row(problem: Row, position: int) -> Row:
    # Every column reaches the reward functions; `answer` is what hammerlib's read.
    return {key: problem[key] for key in ("prompt", "answer", "id")} | {"position": position}


def _settings(file: Path, batch: int | None) -> list[str]:
    return [
        f'train_dataset = datasets.load_dataset("parquet", data_files="{file}", split="train")',
        "GRPOConfig(shuffle_dataset=False,  # the default draws a new order every epoch",
        "           log_completions=True,   # what `hammer audit OUTPUT_DIR/completions` reads",
        "           logging_steps=1,        # a file of completions is written where a step is logged",
        *of_batch(batch, "           # generation_batch_size // num_generations must be {} prompts"),
        "           ...)",
    ]


TRAINER = Trainer("trl", "1.16.0", "package", ".parquet", "dropped", _row, _settings)
