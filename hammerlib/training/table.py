"""`schedule_table`: which problem is trained in which optimizer step, for our configs and for TRL's own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hammerlib.errors import InputError, check_whole
from hammerlib.training.config import TrainConfig
from hammerlib.training.schedule import Plan, plan, process_count

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("step", "epoch", "process", "position", "index")


def schedule_table(
    config: TrainConfig | Any,
    n: int,
    *,
    permutation: Sequence[int] | Sequence[Sequence[int]] | None = None,
    processes: int | None = None,
) -> pd.DataFrame:
    """Return which problem is trained in which optimizer step, on which process: what the index log must say.

    Where a generation batch feeds several optimizer steps, TRL mixes its completions, so every one of its
    prompts is listed in each of these steps.

    Parameters
    ----------
    config : TrainConfig or trl.GRPOConfig
        Of TRL's config its batch, generation, epoch and step fields count, and ``shuffle_dataset``: the rows
        that its sampler will draw are computed. A run that TRL resumes draws them anew and leaves this table.
    n : int
        Number of problems.
    permutation : sequence of int, or one such per epoch, optional
        Row of the problem table at each place of the dataset that is trained; default the identity.
    processes : int, optional
        Default `process_count()`. A GRPOConfig keeps its ``steps_per_generation``.

    Returns
    -------
    DataFrame
        ``step`` (from 1), ``epoch`` (from 0), ``process``, ``position`` (place in the order, from 0) and
        ``index`` (row of the problem table; missing where ``epoch_order: reorder`` will only find it out).

    Raises
    ------
    InputError
        See `plan`; a config of another kind; a permutation that does not fit `n`; dynamic sampling, which
        finds out during training which problems fill a step.

    Notes
    -----
    Source: TRL 1.16's ``RepeatSampler`` and ``_get_train_sampler``; ours, tested against both and against the
    logs of real runs.

    Examples
    --------
    >>> from hammerlib import TrainConfig
    >>> schedule_table(TrainConfig(prompts_per_step=2, group_size=4), 4).position.tolist()
    [0, 1, 2, 3]
    """
    import pandas as pd

    n = check_whole("n", n, 1, "give the number of problems")
    if getattr(config, "dynamic_sampling", False):
        remedy = "read index_log.csv and skipped.csv of the run"
        raise InputError("dynamic_sampling", True, "cannot be scheduled before it is trained", remedy)
    found = plan(config, n, processes) if isinstance(config, TrainConfig) else trl_plan(config, n, processes)
    epochs = found.micro(found.steps - 1)[0] + 1
    rows = pd.DataFrame(_places(found), columns=list(COLUMNS[:-1]))
    index = np.stack([_rows_of(config, n, permutation, epoch) for epoch in range(epochs)])
    said = index[rows["epoch"], rows["position"]]
    rows["index"] = said if (said >= 0).all() else pd.array(said, dtype="Int64")
    return rows if (said >= 0).all() else rows.assign(index=rows["index"].mask(said < 0))


def trl_plan(config: Any, n: int, processes: int | None = None) -> Plan:
    """Return the batch arithmetic of TRL's own config.

    Parameters
    ----------
    config : trl.GRPOConfig
    n : int
        Number of prompts in the training set.
    processes : int, optional
        Default `process_count()`.

    Raises
    ------
    InputError
        Not a GRPOConfig, a generation batch without whole groups, fewer prompts than one generation batch,
        batches that accelerate splits.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> theirs = SimpleNamespace(per_device_train_batch_size=8, num_generations=4, num_iterations=1,
    ...     gradient_accumulation_steps=1, steps_per_generation=1, max_steps=-1, num_train_epochs=1.0,
    ...     shuffle_dataset=False, seed=42)
    >>> trl_plan(theirs, 10).tail
    0
    """
    needed = ("per_device_train_batch_size", "num_generations", "steps_per_generation", "num_iterations")
    if any(not hasattr(config, name) for name in needed):
        raise InputError("config", type(config).__name__, "is no config", "give a TrainConfig or GRPOConfig")
    if getattr(getattr(config, "accelerator_config", None), "split_batches", False):
        remedy = "set accelerator_config.split_batches: false"
        raise InputError("split_batches", True, "changes what a process is handed", remedy)
    processes, rows = processes or process_count(), config.per_device_train_batch_size
    accumulation = config.gradient_accumulation_steps
    per_generation = config.steps_per_generation or accumulation
    completions, group = rows * per_generation * processes, config.num_generations
    prompts, rest = divmod(completions, group)
    if rest or n < prompts:
        problem = f"does not divide the {completions} completions of a generation batch"
        problem = problem if rest else f"is fewer than one generation batch of {prompts} prompts"
        remedy = "change per_device_train_batch_size or steps_per_generation"
        raise InputError("num_generations" if rest else "n", group if rest else n, problem, remedy)
    blocks, tail = divmod(n, prompts)
    iterations = config.num_iterations
    found = Plan(
        processes, rows, group, accumulation, per_generation, iterations, prompts, blocks, tail, steps=0
    )
    steps = math.ceil(config.num_train_epochs * found.steps_per_epoch)
    return found.with_steps(config.max_steps if config.max_steps > 0 else steps)


def _places(found: Plan) -> Iterator[tuple[int, int, int, int]]:
    """(step, epoch, process, position) of every prompt of every generation batch of every step."""
    for step in range(found.steps):
        epoch, micro = found.micro(step)
        for block in sorted({one // found.block_length for one in micro}):
            for process in range(found.processes):
                for place in found.positions(block, process):
                    yield step + 1, epoch, process, place


def _rows_of(config: TrainConfig | Any, n: int, permutation: Sequence | None, epoch: int) -> np.ndarray:
    """Row of the problem table at each place in an epoch; -1 where it is not known beforehand."""
    rows = np.arange(n) if permutation is None else np.asarray(permutation, dtype=int)
    known = rows.ndim == 2 or epoch == 0 or getattr(config, "epoch_order", "repeat") == "repeat"
    rows = rows[epoch] if rows.ndim == 2 and epoch < len(rows) else rows
    if rows.shape != (n,):
        raise InputError("permutation", rows.shape, f"is not one of {n} rows for every epoch", "pass all n")
    if not getattr(config, "shuffle_dataset", False):
        return rows if known else np.full(n, -1)
    import torch

    generator = torch.Generator().manual_seed(config.seed)
    drawn = [torch.randperm(n, generator=generator) for _ in range(epoch + 1)]
    return rows[drawn[-1].numpy()]
