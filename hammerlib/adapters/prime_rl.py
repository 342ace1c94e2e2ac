"""prime-rl: its standard sampler cycles through a verifiers taskset in source order and saves its place."""

from __future__ import annotations

from pathlib import Path

from hammerlib.adapters import verifiers
from hammerlib.adapters.trainer import Trainer, of_batch


def _settings(file: Path, batch: int | None) -> list[str]:
    return [
        *verifiers.MODULE,
        "# and in the configuration, with one source: several are mixed at random",
        "[[orchestrator.train.source]]",
        'name = "ordered"',
        "[orchestrator.train.source.env.taskset]",
        'id = "ordered-problems"',
        f'path = "{file}"',
        "[orchestrator.train.source.curriculum.sampler]",
        'type = "standard"',
        *of_batch(batch, "# batch_size / group_size must be {} tasks a step"),
    ]


TRAINER = Trainer("prime-rl", "0.8.0 (commit 559b447)", "source", ".jsonl", "wraps", verifiers.row, _settings)
