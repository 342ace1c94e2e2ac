"""Batch arithmetic: which place of the order is trained in which optimizer step, known before anything runs.

TRL 1.16 (``GRPOTrainer._get_train_sampler``, ``RepeatSampler``): generation batch i takes places iK ..
iK+K-1 of the dataset, each G times in a row, and repeats that chunk for every micro-batch that trains on it;
process p holds the p-th contiguous part of its rows; what does not fill a last chunk is left out of every
epoch.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hammerlib.errors import InputError, check_whole
from hammerlib.training.config import TrainConfig

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

    from hammerlib.models import Backbone
    from hammerlib.ordering import Order


@dataclasses.dataclass(frozen=True)
class Plan:
    """The arithmetic of one run, in micro-batches, generation batches ("blocks") and optimizer steps."""

    processes: int
    rows: int
    group: int
    accumulation: int
    per_generation: int
    iterations: int
    prompts: int
    blocks: int
    tail: int
    steps: int

    def with_steps(self, steps: int) -> Plan:
        """Return the same arithmetic for a run of `steps` optimizer steps."""
        return dataclasses.replace(self, steps=steps)

    @property
    def block_length(self) -> int:
        """Micro-batches trained on one generation batch."""
        return self.per_generation * self.iterations

    @property
    def micro_per_epoch(self) -> int:
        """Micro-batches per epoch."""
        return self.blocks * self.block_length

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps per epoch; the last one may accumulate fewer micro-batches."""
        return -(-self.micro_per_epoch // self.accumulation)

    def micro(self, step: int) -> tuple[int, range]:
        """Return (epoch, micro-batches within the epoch) of optimizer step `step`, counted from 0."""
        epoch, within = divmod(step, self.steps_per_epoch)
        # the Trainer starts a new accumulation with every epoch, so that its last step may be shorter
        first = within * self.accumulation
        return epoch, range(first, min(first + self.accumulation, self.micro_per_epoch))

    def block_of(self, step: int, offset: int) -> int:
        """Return the generation batch that micro-batch `offset` of optimizer step `step` trains on."""
        return self.micro(step)[1][offset] // self.block_length

    def generated(self, epoch: int, block: int) -> int:
        """Return the optimizer step, counted from 1, at which a generation batch of an epoch is generated."""
        return epoch * self.steps_per_epoch + block * self.block_length // self.accumulation + 1

    def positions(self, block: int, process: int) -> list[int]:
        """Return the places of the order whose completions process `process` holds of a generation batch."""
        local = self.rows * self.per_generation
        # A generation batch: prompt 0 G times, prompt 1 G times, ...; a process holds a contiguous part.
        rows = range(process * local, (process + 1) * local)
        return sorted({block * self.prompts + row // self.group for row in rows})

    def resumes_exactly(self, step: int) -> bool:
        """Return True if a checkpoint after `step` optimizer steps lies between two generation batches.

        TRL keeps generated completions in memory only: inside a block they would be sampled again.
        """
        # Micro-batches done in this epoch must be a whole number of generation batches.
        within = step % self.steps_per_epoch
        return within * self.accumulation % self.block_length == 0


def process_count() -> int:
    """Return the number of training processes (``WORLD_SIZE``, set by ``accelerate launch``; default 1)."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Return True on the process that writes the run's record (``RANK`` 0, or no launcher)."""
    return int(os.environ.get("RANK", "0")) == 0


def plan(config: TrainConfig, n: int, processes: int | None = None) -> Plan:
    """Return the batch arithmetic of `config` on `n` problems, or refuse it."""
    config.check_fields()
    processes = processes or process_count()
    if config.dynamic_sampling and processes > 1:
        remedy = "train with one process, or set dynamic_sampling: false"
        raise InputError("dynamic_sampling", True, f"walks on one process, not on {processes}", remedy)
    rows, per_generation = _batch(config, processes)
    group = config.group_size
    accumulation = config.gradient_accumulation
    batches = _arithmetic(n, processes, rows, group, accumulation, per_generation, config.num_iterations)
    prompts = batches.prompts
    if n < prompts:
        problem = f"is fewer than one generation batch of {prompts} prompts"
        remedy = f"use at least {prompts} problems, or lower prompts_per_step"
        raise InputError("n_problems", n, problem, remedy)
    if batches.tail and config.tail == "refuse":
        problem = f"leaves {batches.tail} problems untrained (generation batches of {prompts})"
        remedy = f"use {n - batches.tail} problems, or set tail: report to train without them and name them"
        raise InputError("n_problems", n, problem, remedy)
    # more steps would go round the order again, whatever `epochs` says
    available = batches.steps_per_epoch * config.epochs
    steps = config.max_steps or available
    if steps > available:
        problem = f"is more than the {available} steps of {config.epochs} epoch(s) over {n} problems"
        remedy = f"set epochs: {-(-steps // batches.steps_per_epoch)}, or lower max_steps"
        raise InputError("max_steps", steps, problem, remedy)
    batches = batches.with_steps(steps)
    _check_saves(config, batches)
    return batches


def _arithmetic(
    n: int, processes: int, rows: int, group: int, accumulation: int, per_generation: int, iterations: int
) -> Plan:
    """The plan of `n` problems, but for the number of its steps."""
    prompts = rows * per_generation * processes // group
    # RepeatSampler yields whole generation batches only; what is left over is never drawn
    blocks, tail = divmod(n, prompts)
    return Plan(
        processes, rows, group, accumulation, per_generation, iterations, prompts, blocks, tail, steps=0
    )


def _batch(config: TrainConfig, processes: int) -> tuple[int, int]:
    """Rows of a micro-batch on one process, and micro-batches that are generated at once."""
    accumulation = config.gradient_accumulation
    group = config.group_size
    per_generation = config.steps_per_generation or accumulation
    completions = config.prompts_per_step * group
    if completions % (processes * accumulation):
        parts = f"{processes} processes x {accumulation} accumulated micro-batches"
        problem = f"x group_size {group} = {completions} completions do not split over {parts}"
        remedy = f"make prompts_per_step x group_size a multiple of {processes * accumulation}"
        raise InputError("prompts_per_step", config.prompts_per_step, problem, remedy)
    # rows = K G / (processes x accumulation); a generation batch holds rows x per_generation of each process.
    rows = completions // (processes * accumulation)
    local = rows * per_generation
    # DRA inside the reward function sees the rows of one process only.
    local_dra = config.adjustment_options.get("scope") == "official-local"
    whole_groups = config.adjustment == "dra" and config.dra_route == "reward" and not local_dra
    if local * processes % group or (local % group and whole_groups):
        problem = f"does not divide the {local} completions that one process generates"
        remedy = "choose prompts_per_step, gradient_accumulation and steps_per_generation so that it does"
        if local * processes % group == 0:
            remedy += ", or set dra_route: trainer"
        problem = f"{problem} ({rows} rows x {per_generation} steps_per_generation)"
        raise InputError("group_size", group, problem, remedy)
    return rows, per_generation


def _check_saves(config: TrainConfig, batches: Plan) -> None:
    every = config.save_steps
    if every is None:
        return
    for step in range(every, batches.steps, every):  # none is written at the last step
        if not batches.resumes_exactly(step):
            larger = range(every + 1, every + batches.block_length * batches.steps_per_epoch + 1)
            fits = next(
                k for k in larger if all(batches.resumes_exactly(s) for s in range(k, batches.steps, k))
            )
            problem = f"puts a checkpoint inside a generation batch (step {step})"
            problem += ", where a resumed run would sample other completions"
            raise InputError("save_steps", every, problem, f"use save_steps: {fits}")


# Columns of `schedule_table` and of the index log, which has the problem's id as well, behind its index.
COLUMNS = {
    "step": "optimizer step that trained it, from 1; -1 where it was dropped",
    "epoch": "pass over the order, from 0",
    "process": "rank of the process that held its completions",
    "position": "place of the problem in the order, from 0; -1 for one that is not in it",
    "index": "row of the problem table, -1 likewise",
    "generated": "step of the trainer, from 1, whose weights it was sampled with",
    "finished": "step of the trainer at which its last completion was there",
    "dropped": "why it was generated and never trained; empty where it was trained",
}


def schedule_table(
    config: TrainConfig | Any,
    n: int,
    *,
    permutation: Sequence[int] | Sequence[Sequence[int]] | None = None,
    processes: int | None = None,
) -> pd.DataFrame:
    """Return which problem is trained in which optimizer step, on which process: what the index log must say.

    Where a generation batch feeds several optimizer steps, TRL mixes its completions, so every one of its
    prompts is listed in each of these steps, with the one step that generated it.

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
        `COLUMNS`: ``step`` and ``epoch`` of training, ``process``, ``position`` in the order, ``index`` (row
        of the problem table; missing where ``epoch_order: reorder`` will only find it out), ``generated``
        and ``finished`` (here one step) and ``dropped`` (missing: nothing is planned to be).

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
    arithmetic = plan if isinstance(config, TrainConfig) else trl_plan
    batches = arithmetic(config, n, processes)
    epochs = batches.micro(batches.steps - 1)[0] + 1
    rows = pd.DataFrame(_places(batches), columns=["step", "epoch", "process", "position", "generated"])
    # the order of each epoch, then the row that stands at each place
    index = np.stack([_rows_of(config, n, permutation, epoch) for epoch in range(epochs)])
    indices = index[rows["epoch"], rows["position"]]
    if not (indices >= 0).all():
        indices = pd.Series(indices, dtype="Int64").mask(indices < 0)
    return rows.assign(index=indices, finished=rows["generated"], dropped=np.nan)[list(COLUMNS)]


def trl_plan(config: Any, n: int, processes: int | None = None) -> Plan:
    """Return the batch arithmetic of TRL's own config."""
    needed = ("per_device_train_batch_size", "num_generations", "steps_per_generation", "num_iterations")
    if any(not hasattr(config, name) for name in needed):
        raise InputError("config", type(config).__name__, "is no config", "give a TrainConfig or GRPOConfig")
    if getattr(getattr(config, "accelerator_config", None), "split_batches", False):
        remedy = "set accelerator_config.split_batches: false"
        raise InputError("split_batches", True, "changes what a process is handed", remedy)
    processes = processes or process_count()
    rows = config.per_device_train_batch_size
    accumulation = config.gradient_accumulation_steps
    per_generation = config.steps_per_generation or accumulation
    completions = rows * per_generation * processes
    group = config.num_generations
    prompts, rest = divmod(completions, group)
    if rest or n < prompts:
        problem = f"does not divide the {completions} completions of a generation batch"
        problem = problem if rest else f"is fewer than one generation batch of {prompts} prompts"
        remedy = "change per_device_train_batch_size or steps_per_generation"
        raise InputError("num_generations" if rest else "n", group if rest else n, problem, remedy)
    batches = _arithmetic(n, processes, rows, group, accumulation, per_generation, config.num_iterations)
    # as transformers rounds: part of an epoch counts as its next whole step
    steps = math.ceil(config.num_train_epochs * batches.steps_per_epoch)
    return batches.with_steps(config.max_steps if config.max_steps > 0 else steps)


def _places(batches: Plan) -> Iterator[tuple[int, int, int, int, int]]:
    """(step, epoch, process, position, step of generation) of the prompts of every batch of every step."""
    for step in range(batches.steps):
        epoch, micro = batches.micro(step)
        for block in sorted({micro_batch // batches.block_length for micro_batch in micro}):
            for process in range(batches.processes):
                for position in batches.positions(block, process):
                    yield step + 1, epoch, process, position, batches.generated(epoch, block)


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
    # TRL's RepeatSampler draws one permutation an epoch from one generator: all before must be drawn too.
    drawn = [torch.randperm(n, generator=generator) for _ in range(epoch + 1)]
    return rows[drawn[-1].numpy()]


def make_order(
    config: TrainConfig,
    problems: Dataset,
    backbone: Backbone,
    *,
    epoch: int = 0,
    cache_dir: str | Path | None = None,
) -> Order:
    """Return the config's order of `problems` in the embeddings of `backbone`."""
    from hammerlib.models.embeddings import embed
    from hammerlib.ordering import order_by

    how = {"layer": config.layer, "pooling": config.pooling, "template": config.template}
    vectors = embed(problems, backbone, cache_dir=cache_dir, **how)
    seed = config.seed + epoch
    return order_by(config.order, vectors, problems=problems, seed=seed, **config.order_options)


def ids_of(problems: Dataset, order: Order) -> list[str]:
    """Return the problem id at each place of an order."""
    ids = problems["id"][:]
    return [ids[row] for row in order.permutation.tolist()]


def order_path(folder: Path, epoch: int) -> Path:
    """Return where the order of an epoch stands in a run's folder."""
    return folder / (f"order-{epoch}.json" if epoch else "order.json")


def forget_orders(folder: Path, step: int, steps_per_epoch: int) -> None:
    """Remove the orders of epochs that begin after optimizer step `step`: they will be made again."""
    for path in folder.glob("order-*.json"):
        if int(path.stem.removeprefix("order-")) * steps_per_epoch > step:
            path.unlink()
