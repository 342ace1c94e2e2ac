"""Batch arithmetic: which place of the order is trained in which optimizer step, known before anything runs.

TRL 1.16 (``GRPOTrainer._get_train_sampler``, ``RepeatSampler``): generation batch i takes places iK ..
iK+K-1 of the dataset, each G times in a row, and repeats that chunk for every micro-batch that trains on it;
process p holds the p-th contiguous part of its rows; what does not fill a last chunk is left out of every
epoch.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from hammerlib.errors import InputError

if TYPE_CHECKING:
    from hammerlib.training.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class Plan:
    """The arithmetic of one run, in micro-batches, generation batches ("blocks") and optimizer steps.

    Attributes
    ----------
    processes, rows : int
        Number of processes; completions per process and micro-batch (``per_device_train_batch_size``).
    group : int
        Completions per prompt, G.
    accumulation, per_generation, iterations : int
        Micro-batches per optimizer step, per generation, and passes over each generation.
    prompts : int
        Prompts per generation batch, K.
    blocks, tail : int
        Generation batches per epoch; problems left over (n mod K).
    steps : int
        Optimizer steps of the whole run.

    Examples
    --------
    >>> from hammerlib.training.config import TrainConfig
    >>> plan(TrainConfig(prompts_per_step=4), 40).steps
    10
    """

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
    def straddles(self) -> bool:
        """Whether a prompt's group is split between processes."""
        return self.rows * self.per_generation % self.group != 0

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
        first = within * self.accumulation
        return epoch, range(first, min(first + self.accumulation, self.micro_per_epoch))

    def block_of(self, step: int, offset: int) -> int:
        """Return the generation batch that micro-batch `offset` of optimizer step `step` trains on."""
        return self.micro(step)[1][offset] // self.block_length

    def positions(self, block: int, process: int) -> list[int]:
        """Return the places of the order whose completions process `process` holds of a generation batch."""
        held = self.rows * self.per_generation
        rows = range(process * held, (process + 1) * held)
        return sorted({block * self.prompts + row // self.group for row in rows})

    def resumes_exactly(self, step: int) -> bool:
        """Return True if a checkpoint after `step` optimizer steps lies between two generation batches.

        TRL keeps generated completions in memory only: inside a block they would be sampled again.
        """
        within = step % self.steps_per_epoch
        return within * self.accumulation % self.block_length == 0


def process_count() -> int:
    """Return the number of training processes (``WORLD_SIZE``, set by ``accelerate launch``; default 1).

    Examples
    --------
    >>> process_count() >= 1
    True
    """
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Return True on the process that writes the run's record (``RANK`` 0, or no launcher).

    Examples
    --------
    >>> is_main()
    True
    """
    return int(os.environ.get("RANK", "0")) == 0


def plan(config: TrainConfig, n: int, processes: int | None = None) -> Plan:
    """Return the batch arithmetic of `config` on `n` problems, or refuse it.

    Parameters
    ----------
    config : TrainConfig
    n : int
        Number of problems.
    processes : int, optional
        Default `process_count()`.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        A field of the wrong type or out of range, a batch that does not divide, a group split between
        processes where DRA sits in the reward, fewer problems than one generation batch, a tail that `tail`
        refuses, more steps than the epochs hold, checkpoints that would not resume exactly, dynamic sampling
        on several processes.

    Examples
    --------
    >>> from hammerlib.training.config import TrainConfig
    >>> plan(TrainConfig(), 1000).prompts
    8
    """
    config.check_fields()
    processes = processes or process_count()
    if config.dynamic_sampling and processes > 1:
        remedy = "train with one process, or set dynamic_sampling: false"
        raise InputError("dynamic_sampling", True, f"walks on one process, not on {processes}", remedy)
    rows, per_generation, prompts = _batch(config, processes)
    if n < prompts:
        raise InputError(
            "n_problems",
            n,
            f"is fewer than one generation batch of {prompts} prompts",
            f"use at least {prompts} problems, or lower prompts_per_step",
        )
    blocks, tail = divmod(n, prompts)
    if tail and config.tail == "refuse":
        raise InputError(
            "n_problems",
            n,
            f"leaves {tail} problems untrained (generation batches of {prompts})",
            f"use {n - tail} problems, or set tail: report to train without them and name them",
        )
    found = Plan(
        processes,
        rows,
        config.group_size,
        config.gradient_accumulation,
        per_generation,
        config.num_iterations,
        prompts,
        blocks,
        tail,
        steps=0,
    )
    available = found.steps_per_epoch * config.epochs
    steps = config.max_steps or available
    if steps > available:
        raise InputError(
            "max_steps",
            steps,
            f"is more than the {available} steps of {config.epochs} epoch(s) over {n} problems",
            f"set epochs: {-(-steps // found.steps_per_epoch)}, or lower max_steps",
        )
    found = found.with_steps(steps)
    _check_saves(config, found)
    return found


def _batch(config: TrainConfig, processes: int) -> tuple[int, int, int]:
    accumulation, group = config.gradient_accumulation, config.group_size
    per_generation = config.steps_per_generation or accumulation
    completions = config.prompts_per_step * group
    if completions % (processes * accumulation):
        raise InputError(
            "prompts_per_step",
            config.prompts_per_step,
            f"x group_size {group} = {completions} completions do not split over {processes} processes x "
            f"{accumulation} accumulated micro-batches",
            f"make prompts_per_step x group_size a multiple of {processes * accumulation}",
        )
    rows = completions // (processes * accumulation)
    held = rows * per_generation
    if held * processes % group or (held % group and _needs_whole_groups(config)):
        problem = f"does not divide the {held} completions that one process generates"
        remedy = "choose prompts_per_step, gradient_accumulation and steps_per_generation so that it does"
        if held * processes % group == 0:
            remedy += ", or set dra_route: trainer"
        raise InputError(
            "group_size",
            group,
            f"{problem} ({rows} rows x {per_generation} steps_per_generation)",
            remedy,
        )
    return rows, per_generation, rows * per_generation * processes // group


def _needs_whole_groups(config: TrainConfig) -> bool:
    """DRA inside the reward function sees the rows of one process only."""
    local = config.adjustment_options.get("scope") == "official-local"
    return config.adjustment == "dra" and config.dra_route == "reward" and not local


def _check_saves(config: TrainConfig, found: Plan) -> None:
    every = config.save_steps
    if every is None:
        return
    for step in range(every, found.steps, every):  # none is written at the last step
        if not found.resumes_exactly(step):
            fits = next(
                k
                for k in range(every + 1, every + found.block_length * found.steps_per_epoch + 1)
                if all(found.resumes_exactly(s) for s in range(k, found.steps, k))
            )
            raise InputError(
                "save_steps",
                every,
                f"puts a checkpoint inside a generation batch (step {step}), where a "
                "resumed run would sample other completions",
                f"use save_steps: {fits}",
            )
