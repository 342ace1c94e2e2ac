"""verl: a sorted parquet with `data.shuffle=False`; since 0.8.0 it reads no sampler of one's own."""

from __future__ import annotations

from pathlib import Path

from hammerlib.adapters.trainer import Row, Trainer, chat, of_batch


def _row(problem: Row, position: int) -> Row:
    return {
        "data_source": problem.get("source") or "hammer",
        "prompt": chat(problem["prompt"]),
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": problem["answer"]},
        "extra_info": {"index": position, "id": problem["id"]},
    }


def _settings(file: Path, batch: int | None) -> list[str]:
    return [
        f"data.train_files={file}",
        "data.shuffle=False",
        "data.train_max_samples=-1",
        # What is too long stops the run instead of leaving the order in silence.
        "data.filter_overlong_prompts=False",
        "data.truncation=error",
        "algorithm.filter_groups.enable=False",
        "trainer.rollout_data_dir=rollouts",
        *of_batch(batch, "data.train_batch_size={}", "data.gen_batch_size={}"),
    ]


TRAINER = Trainer("verl", "0.9.1", "package", ".parquet", "dropped", _row, _settings)
