"""Training over workers: many configs, several at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.errors import InputError
from hammerlib.runs.record import RunRecord
from hammerlib.runs.storage import results_root
from hammerlib.runs.workers import map_named

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.training import Algorithm, Plugs, TrainConfig


def run_grid(
    configs: Sequence[TrainConfig],
    *,
    problems: Sequence[Dataset] | None = None,
    plugs: Sequence[Plugs | None] | None = None,
    algorithms: Sequence[Sequence[Algorithm]] | None = None,
    workers: int = 2,
    backend: str = "process",
    root: Path | None = None,
) -> list[RunRecord]:
    """Train every config, several at a time, and return the records in the order of `configs`.

    Runs that are on disk with success are reused and interrupted ones resumed, because `train` does so. Equal
    configs are trained once. A run that fails, or whose process dies, does not stop the others. One worker is
    this process itself.
    """
    configs = list(configs)
    if not configs:
        raise InputError("configs", configs, "holds no run", "give at least one TrainConfig")
    for config in configs:
        config.validate()
    given = {"problems": problems, "plugs": plugs, "algorithms": algorithms}
    given = {name: values for name, values in given.items() if values is not None}
    for name, values in given.items():
        if len(values) != len(configs):
            problem = f"are not one for each of {len(configs)} configs"
            raise InputError(name, len(values), problem, "give as many")
    folder = Path(root or results_root())
    # Equal configs are one run, unless tables, plugs or algorithms of their own make them others.
    first = list(range(len(configs))) if given else [configs.index(config) for config in configs]
    distinct = sorted(set(first))
    jobs = [(configs[k], folder, {name: values[k] for name, values in given.items()}) for k in distinct]
    names = [f"{config.order}-{config.adjustment}-s{config.seed}" for config, *_ in jobs]
    results = map_named("configs", _train, names, jobs, workers, backend, label="train")
    return [results[distinct.index(k)] for k in first]


def _train(job: tuple) -> RunRecord:
    from hammerlib.training import train

    config, root, own = job
    return train(config, root=root, progress=False, **own)
