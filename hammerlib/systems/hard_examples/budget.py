"""Equal budgets: the same optimizer steps and samples for every subset, set before and checked after."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hammerlib.errors import InputError
from hammerlib.training.schedule import plan

if TYPE_CHECKING:
    from hammerlib.runs import RunRecord
    from hammerlib.training import TrainConfig


def subset_config(config: TrainConfig, size: int, steps: int) -> TrainConfig:
    """Return a config that trains `size` problems for exactly `steps` optimizer steps, in as many epochs.

    Parameters
    ----------
    config : TrainConfig
        Any order, adjustment and loss.
    size : int
        Problems of the subset; a multiple of the prompts of a generation batch, or ``tail: report``.
    steps : int
        Optimizer steps, at least 1.

    Returns
    -------
    TrainConfig
        With `n_problems`, `max_steps` and `epochs` set.

    Raises
    ------
    InputError
        Dynamic sampling, which takes another number of samples on each subset; what `TrainConfig.validate`
        refuses.

    Notes
    -----
    Source: arXiv 2508.14094 trains every subset for the same number of steps.

    Examples
    --------
    >>> from hammerlib import TrainConfig
    >>> subset_config(TrainConfig(prompts_per_step=4), size=20, steps=12).epochs
    3
    """
    if config.dynamic_sampling:
        problem = "takes another number of samples on each subset"
        raise InputError("dynamic_sampling", True, problem, "set dynamic_sampling: false")
    if steps < 1:
        raise InputError("steps", steps, "is below 1", "give optimizer steps")
    once = dataclasses.replace(config, n_problems=size, max_steps=None, epochs=1)
    epochs = -(-steps // plan(once, size).steps_per_epoch)
    return dataclasses.replace(once, max_steps=steps, epochs=epochs).validate()


def same_budget(records: Sequence[RunRecord]) -> dict[str, float]:
    """Return the optimizer steps and generated completions that all runs share.

    Parameters
    ----------
    records : sequence of RunRecord
        Training runs.

    Returns
    -------
    dict of str to float
        ``steps`` and ``completions``.

    Raises
    ------
    InputError
        No run, or runs that differ in either number.

    Notes
    -----
    Source: ours, the check of arXiv 2508.14094's equal number of steps.

    Examples
    --------
    >>> same_budget([])
    Traceback (most recent call last):
    hammerlib.errors.InputError: records = 0: hold no run; give at least one training run
    """
    if not records:
        raise InputError("records", 0, "hold no run", "give at least one training run")
    found = {}
    for record in records:
        table = record.table("metrics.csv")
        generated = table.loc[table["metric"] == "generated", "value"]
        found[record.run_id] = {
            "steps": float(table["step"].nunique()),
            "completions": float(generated.sum()),
        }
    different = {tuple(one.values()) for one in found.values()}
    if len(different) > 1:
        raise InputError("records", found, "differ in steps or completions", "see subset_config")
    return next(iter(found.values()))
