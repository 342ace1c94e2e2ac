"""slime: rows of `--prompt-data` are handed out as they stand unless `--rollout-shuffle` is given."""

from __future__ import annotations

from pathlib import Path

from hammerlib.adapters.trainer import Row, Trainer, of_batch


def _row(problem: Row, position: int) -> Row:
    return {
        "prompt": problem["prompt"],
        "label": problem["answer"],
        "metadata": {"id": problem["id"], "position": position},
    }


def _settings(file: Path, batch: int | None) -> list[str]:
    return [
        f"--prompt-data {file}",
        "--input-key prompt --label-key label --metadata-key metadata --apply-chat-template",
        "# leave out: --rollout-shuffle, --rollout-max-prompt-len (drops prompts), --partial-rollout,",
        "#            --dynamic-sampling-filter-path, --disable-rollout-global-dataset",
        *of_batch(batch, "--rollout-batch-size {0} --over-sampling-batch-size {0}"),
        "--dump-details rollouts",
    ]


TRAINER = Trainer("slime", "0.3.1 (commit 624b824)", "source", ".jsonl", "wraps", _row, _settings)
