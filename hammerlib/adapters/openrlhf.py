"""OpenRLHF: prompts are shuffled whatever the options say, so training starts through this module.

    python -m hammerlib.adapters.openrlhf OPTIONS-OF-openrlhf.cli.train_ppo_ray

0.11.2 passes ``shuffle=True`` for the prompts as a literal (``trainer/ppo_trainer.py``, ``prepare_datasets``)
and seeds no generator for it.
"""

from __future__ import annotations

import functools
import runpy
from pathlib import Path
from typing import Any

from hammerlib.adapters.trainer import Row, Trainer, of_batch


def _row(problem: Row, position: int) -> Row:
    return {
        "input": problem["prompt"],
        "label": problem["answer"],
        "id": problem["id"],
        "position": position,
    }


def _settings(file: Path, batch: int | None) -> list[str]:
    return [
        "python -m hammerlib.adapters.openrlhf  # openrlhf.cli.train_ppo_ray itself shuffles",
        f"--data.prompt_dataset {file}",
        "--data.input_key input --data.label_key label --data.apply_chat_template",
        "# leave out: --data.prompt_probs, --data.max_samples, --algo.dynamic_filtering_enable,",
        "#            --rollout.vllm_generate_batch_size",
        *of_batch(batch, "--rollout.batch_size {}"),
    ]


TRAINER = Trainer("openrlhf", "0.11.2", "package", ".jsonl", "short", _row, _settings)


def keep_order(strategy: Any) -> Any:
    """Let a strategy of OpenRLHF hand out prompts as they stand in the file; other data as before.

    The strategy travels to Ray's processes, and this with it.
    """
    strategy.setup_dataloader = functools.partial(_loader, strategy)
    return strategy


def _loader(
    strategy: Any,
    rows: Any,
    batch_size: int,
    pin_memory: bool = False,
    shuffle: bool = True,
    *rest: Any,
    **more: Any,
) -> Any:
    from openrlhf.datasets import PromptDataset

    shuffle = shuffle and not isinstance(rows, PromptDataset)
    return type(strategy).setup_dataloader(strategy, rows, batch_size, pin_memory, shuffle, *rest, **more)


def main() -> None:
    """Run OpenRLHF's command with prompts in order."""
    import openrlhf.utils

    plain = openrlhf.utils.get_strategy
    openrlhf.utils.get_strategy = lambda args: keep_order(plain(args))
    runpy.run_module("openrlhf.cli.train_ppo_ray", run_name="__main__")


if __name__ == "__main__":
    main()
