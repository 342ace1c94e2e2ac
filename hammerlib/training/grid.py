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
    configs are trained once. A run that fails, or whose process dies, does not stop the others.
    """
    configs = list(configs)
    if not configs:
        raise InputError("configs", configs, "holds no run", "give at least one TrainConfig")
    for config in configs:
        config.validate()
    given = {"problems": problems, "plugs": plugs, "algorithms": algorithms}
    for name, one in given.items():
        if one is not None and len(one) != len(configs):
            raise InputError(
                name, len(one), f"are not one for each of {len(configs)} configs", "give as many"
            )
    folder = Path(root or results_root())
    alone = all(one is None for one in given.values())
    # Beside tables, plugs or algorithms of their own, equal configs are other runs.
    first = [configs.index(config) if alone else place for place, config in enumerate(configs)]
    distinct = sorted(set(first))
    told = [{name: one[place] for name, one in given.items() if one is not None} for place in distinct]
    jobs = [
        (configs[place], folder, *([more] if more else []))
        for place, more in zip(distinct, told, strict=True)
    ]
    names = [f"{config.order}-{config.adjustment}-s{config.seed}" for config, *_ in jobs]
    results = map_named("configs", _train, names, jobs, workers, backend, label="train")
    return [results[distinct.index(place)] for place in first]


def _train(job: tuple) -> RunRecord:
    from hammerlib.training import train

    config, root, *more = job
    return train(config, root=root, progress=False, **(more[0] if more else {}))
