"""A grid over worker processes of one machine, or over a Ray cluster: runs, or cells with a record each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.cells import (
    Cell,
    Progress,
    Survey,
    Turn,
    bury,
    read_record,
    refuse_others,
    survey,
    take_turn,
)
from hammerlib.errors import InputError
from hammerlib.executor import Failure, map_tasks
from hammerlib.runs import RunRecord
from hammerlib.storage import progress_off, results_root, tell_progress, writing

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.training import Plugs, TrainConfig

ROUNDS = 2  # in which a cell is tried anew, with fresh processes, after the machinery failed it
RETRIES = 2  # of a run of a grid whose process died; training resumes from its last checkpoint


def run_grid(
    configs: Sequence[TrainConfig],
    *,
    problems: Sequence[Dataset] | None = None,
    plugs: Sequence[Plugs | None] | None = None,
    workers: int = 2,
    backend: str = "process",
    root: Path | None = None,
) -> list[RunRecord]:
    """Train every config, several at a time, and return the records in the order of `configs`.

    Runs that are on disk with success are reused and interrupted ones resumed, because `train` does so. Equal
    configs are trained once. A run that fails, or whose process dies, does not stop the others.

    Parameters
    ----------
    configs : sequence of TrainConfig
        All are validated before the first one starts.
    problems : sequence of Dataset, optional
        A problem table for each config; default: what its config names.
    plugs : sequence of Plugs or None, optional
        For each config, or None where it has none; they must be picklable.
    workers : int
        Processes, each with one compute thread; at least 1.
    backend : {"process", "ray"}
        As for `executor.map_tasks`; machines of a Ray cluster must share the folder of runs.
    root : Path, optional
        Folder of runs, default `storage.results_root()`.

    Returns
    -------
    list of RunRecord
        One a config, each with status ``success``.

    Raises
    ------
    InputError
        No config, a config that cannot be trained, another number of tables or plugs, fewer than one worker;
        or, after all other runs have finished, failed runs with their names and reasons.

    Examples
    --------
    >>> run_grid([])
    Traceback (most recent call last):
    ...
    hammerlib.errors.InputError: configs = []: holds no run; give at least one TrainConfig
    """
    configs = list(configs)
    if not configs:
        raise InputError("configs", configs, "holds no run", "give at least one TrainConfig")
    for config in configs:
        config.validate()
    given = {"problems": problems, "plugs": plugs}
    for name, one in given.items():
        if one is not None and len(one) != len(configs):
            raise InputError(
                name, len(one), f"are not one for each of {len(configs)} configs", "give as many"
            )
    folder, alone = Path(root or results_root()), problems is None and plugs is None
    # Beside tables and plugs of their own, equal configs are other runs.
    first = [configs.index(config) if alone else place for place, config in enumerate(configs)]
    distinct = sorted(set(first))
    told = [{name: one[place] for name, one in given.items() if one is not None} for place in distinct]
    jobs = [
        (configs[place], folder, *([more] if more else []))
        for place, more in zip(distinct, told, strict=True)
    ]
    names = [f"{config.order}-{config.adjustment}-s{config.seed}" for config, *_ in jobs]
    results = _all_or_names("configs", _train, names, jobs, workers, backend, label="train")
    return [results[distinct.index(place)] for place in first]


def evaluate_grid(
    models: Sequence[str | Path],
    benchmark: str,
    *,
    workers: int = 2,
    backend: str = "process",
    root: Path | None = None,
    **options: object,
) -> list[RunRecord]:
    """Evaluate every model on the same problems, several at a time, and return the records in order.

    Parameters
    ----------
    models : sequence of str or Path
        Backbone names or folders.
    benchmark : str
        As for `evaluate`.
    workers : int
        Processes, each with one compute thread; at least 1.
    backend : {"process", "ray"}
        As for `executor.map_tasks`; machines of a Ray cluster must share the folder of runs.
    root : Path, optional
        Folder of runs, default `storage.results_root()`.
    **options
        As for `evaluate`: k, n, temperature, seed, ...

    Returns
    -------
    list of RunRecord

    Raises
    ------
    InputError
        As in `run_grid`.

    Examples
    --------
    >>> evaluate_grid([], "reasoning-gym:nano")
    Traceback (most recent call last):
    ...
    hammerlib.errors.InputError: models = []: holds no model; give at least one name or folder
    """
    if not models:
        raise InputError("models", list(models), "holds no model", "give at least one name or folder")
    folder = Path(root or results_root())
    distinct = list(dict.fromkeys(map(str, models)))
    jobs = [(model, benchmark, folder, options) for model in distinct]
    named = [Path(model).name for model in distinct]
    results = _all_or_names("models", _evaluate, named, jobs, workers, backend, label="evaluate")
    return [results[distinct.index(str(model))] for model in models]


def _all_or_names(
    field: str,
    task: Callable,
    names: list[str],
    jobs: list[tuple],
    workers: int,
    backend: str,
    *,
    label: str,
) -> list[RunRecord]:
    """Run named jobs; when some fail, one error names them all after the others have finished."""
    results = _run_pool(task, jobs, workers, backend, label=label)
    failed = [
        f"{name}: {result}" for name, result in zip(names, results, strict=True) if isinstance(result, str)
    ]
    if failed:
        problem = f"{len(failed)} of {len(jobs)} runs failed ({'; '.join(failed)})"
        raise InputError(field, names, problem, "repair these and call again: the finished runs are reused")
    return results


def _evaluate(job: tuple[str, str, Path, dict]) -> RunRecord:
    from hammerlib.evaluation import evaluate

    model, benchmark, root, options = job
    return evaluate(model, benchmark, root=root, **options)


def _train(job: tuple) -> RunRecord:
    from hammerlib.training import train

    config, root, *more = job
    return train(config, root=root, progress=False, **(more[0] if more else {}))


def _run_pool(task: Callable, items: Sequence, workers: int, backend: str = "process", *, label: str) -> list:
    """Apply `task` to every item; a failure gives its reason (str) instead of a result."""
    from tqdm.auto import tqdm

    results: list = [None] * len(items)
    found = map_tasks(task, items, workers=workers, backend=backend, retries=RETRIES)
    tell_progress(f"{label} 1/{len(items)}")
    with tqdm(total=len(items), desc=label, unit="run", disable=progress_off()) as bar:
        for count, (index, result) in enumerate(found, start=2):
            results[index] = result.reason if isinstance(result, Failure) else result
            bar.update()
            tell_progress(f"{label} {min(count, len(items))}/{len(items)}")
    return results


def run_cells(
    task: Callable[[Cell, Path], object],
    cells: Sequence[Cell],
    folder: Path,
    *,
    workers: int = 1,
    backend: str = "process",
    gpus: int = 0,
    hours: float | None = None,
) -> Survey:
    """Run the cells that have no record of success, several at a time; killed and called again, it goes on.

    Each cell is claimed while it runs, so that sweeps at once on one folder divide the cells between them. A
    cell that fails leaves a record of status ``error`` with the reason at once, stops no other, and runs
    again in the next sweep. One whose process or machine dies is tried again, at once and in two more rounds
    with new processes, before it is recorded so. A finished record of other settings is refused.

    Parameters
    ----------
    task : callable
        Importable; ``task(cell, folder)`` writes `cells.record_path` whole or not at all, with ``identity``
        and ``status: success``, and ``seconds`` for the estimates.
    cells : sequence of Cell
        Run in this order.
    folder : Path
        Of the records. Machines of a Ray cluster must share it.
    workers : int
        Processes, each with one compute thread; at least 1.
    backend : {"process", "ray"}
        As for `executor.map_tasks`.
    gpus : int
        As for `executor.map_tasks`.
    hours : float, optional
        After them no cell starts; what is under way is finished.

    Returns
    -------
    Survey
        Where the cells stand at the end.

    Raises
    ------
    InputError
        No cell, hours below 0, records of other settings, or what `executor.map_tasks` refuses, before
        anything starts; or a record that cannot be written.

    Examples
    --------
    >>> run_cells(print, [], Path("records"))
    Traceback (most recent call last):
    ...
    hammerlib.errors.InputError: cells = []: holds none; give at least one
    """
    if not cells:
        raise InputError("cells", [], "holds none", "give at least one")
    if hours is not None and not hours >= 0:
        raise InputError("hours", hours, "must be 0 or more", "leave it out to run until all is done")
    folder = Path(folder).resolve()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    found = survey(cells, folder)
    refuse_others(found)
    ends = None if hours is None else time.time() + 3600 * hours
    to_do, wait = found.to_do(), False
    before = {cell.name: read_record(cell, folder) for cell in to_do}
    pool = {"workers": workers, "backend": backend, "gpus": gpus, "retries": 1}
    lost: Counter[str] = Counter()
    with Progress(found, workers) as progress:
        while to_do:  # a second round waits for what other sweeps held in the first
            turns = [Turn(task, cell, folder, before[cell.name], wait, ends) for cell in to_do]
            taken, orphans = [], []
            for place, result in map_tasks(take_turn, _until(ends, turns), **pool):
                cell = to_do[place]
                if isinstance(result, Failure) and result.of_machinery and lost[cell.name] < ROUNDS:
                    lost[cell.name] += 1
                    orphans.append(cell)
                    continue
                ended = bury(turns[place], result.reason) if isinstance(result, Failure) else result
                progress.tell(cell, ended)
                taken += [cell] if ended.how == "taken" else []
            to_do, wait = orphans + ([] if wait else taken), True
    return survey(cells, folder)


def _until(ends: float | None, turns: list[Turn]) -> Iterator[Turn]:
    for turn in turns:
        if ends is not None and time.time() >= ends:
            return
        yield turn
