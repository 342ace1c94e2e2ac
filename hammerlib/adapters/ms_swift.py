"""ms-swift: its loader and its GRPO trainer each shuffle unless `--dataset_shuffle false` says no to both."""

from __future__ import annotations

from pathlib import Path

from hammerlib.adapters.trainer import Row, Trainer, chat, of_batch


def _row(problem: Row, position: int) -> Row:
    # Further columns reach the reward functions; swift's own accuracy reads `solution`.
    answer = problem["answer"]
    return {
        "messages": chat(problem["prompt"]),
        "solution": answer,
        "answer": answer,
        "id": problem["id"],
        "position": position,
    }


def _settings(file: Path, batch: int | None) -> list[str]:
    return [
        "swift rlhf --rlhf_type grpo",
        f"--dataset {file}",
        "--dataset_shuffle false",
        "--train_dataloader_shuffle false",
        "--split_dataset_ratio 0",
        "--dynamic_sample false",
        # `raise` would put a prompt from elsewhere in the place of one that is too long
        "--truncation_strategy left",
        "--log_completions true --logging_steps 1",
        *of_batch(batch, "# generation_batch_size / num_generations must be {} prompts"),
    ]


TRAINER = Trainer("ms-swift", "4.6.0", "package", ".jsonl", "dropped", _row, _settings)
