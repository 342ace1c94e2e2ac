"""Trinity-RFT: the `sequential` selector walks a taskset as it stands and wraps at the end of an epoch."""

from __future__ import annotations

from pathlib import Path

from hammerlib.adapters.trainer import Row, Trainer, of_batch


def _row(problem: Row, position: int) -> Row:
    return {
        "question": problem["prompt"],
        "answer": problem["answer"],
        "id": problem["id"],
        "position": position,
    }


def _settings(file: Path, batch: int | None) -> list[str]:
    return [
        "buffer:",
        *of_batch(batch, "  batch_size: {}"),
        "  explorer_input:",
        "    tasksets:",
        "      - name: ordered",
        "        storage_type: file",
        f"        path: {file.absolute().parent}  # a folder of its own: all files in it are read",
        "        split: train",
        "        format: {prompt_key: question, response_key: answer}",
        "        data_selector: {selector_type: sequential}",
        "        default_reward_fn_type: hammerlib.adapters.rewards.TrinityScore",
    ]


TRAINER = Trainer("trinity-rft", "0.6.0", "package", ".jsonl", "wraps", _row, _settings, reads_folder=True)
