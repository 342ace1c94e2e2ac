"""A grid of training runs over a few worker processes of one machine."""

from __future__ import annotations

import contextlib
import multiprocessing.connection
import os
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.errors import InputError
from hammerlib.runs import RunRecord
from hammerlib.storage import environment, progress_off, results_root, tell_progress

if TYPE_CHECKING:
    from hammerlib.training import TrainConfig

# Read by OpenMP, MKL and OpenBLAS once, when a worker first imports numpy or torch: two workers whose
# threads spin for the same cores are up to ten times slower than one thread each.
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
ONE_THREAD |= {"TOKENIZERS_PARALLELISM": "false"}


def run_grid(
    configs: Sequence[TrainConfig], *, workers: int = 2, root: Path | None = None
) -> list[RunRecord]:
    """Train every config, several at a time, and return the records in the order of `configs`.

    Runs that are on disk with success are reused and interrupted ones resumed, because `train` does so. Equal
    configs are trained once. A run that fails, or whose process dies, does not stop the others.

    Parameters
    ----------
    configs : sequence of TrainConfig
        All are validated before the first one starts.
    workers : int
        Processes, each with one compute thread; at least 1.
    root : Path, optional
        Folder of runs, default `storage.results_root()`.

    Returns
    -------
    list of RunRecord
        One a config, each with status ``success``.

    Raises
    ------
    InputError
        No config, a config that cannot be trained, fewer than one worker; or, after all other runs have
        finished, failed runs with their names and reasons.

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
    distinct: list[TrainConfig] = []
    for config in configs:
        if config not in distinct:
            distinct.append(config)
    folder = Path(root or results_root())
    names = [f"{config.order}-{config.adjustment}-s{config.seed}" for config in distinct]
    results = _all_or_names(
        "configs", _train, names, [(config, folder) for config in distinct], workers, label="train"
    )
    return [results[distinct.index(config)] for config in configs]


def evaluate_grid(
    models: Sequence[str | Path],
    benchmark: str,
    *,
    workers: int = 2,
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
    results = _all_or_names(
        "models", _evaluate, [Path(model).name for model in distinct], jobs, workers, label="evaluate"
    )
    return [results[distinct.index(str(model))] for model in models]


def _all_or_names(
    field: str, task: Callable, names: list[str], jobs: list[tuple], workers: int, *, label: str
) -> list[RunRecord]:
    """Run named jobs; when some fail, one error names them all after the others have finished."""
    results = _run_pool(task, jobs, workers, label=label)
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


def _train(job: tuple[TrainConfig, Path]) -> RunRecord:
    from hammerlib.training import train

    config, root = job
    return train(config, root=root, progress=False)


def _run_pool(task: Callable, items: Sequence, workers: int, *, label: str) -> list:
    """Apply `task` to every item in worker processes; a failure gives its reason (str) instead of a result.

    Each of the `workers` threads owns one process, reuses it for item after item (imports are paid once) and
    replaces it when it has died, so that one killed process takes no other item with it.
    """
    from tqdm.auto import tqdm

    if workers < 1:
        raise InputError("workers", workers, "must be at least 1", "use one worker per idle core")
    todo: queue.SimpleQueue = queue.SimpleQueue()
    done: queue.SimpleQueue = queue.SimpleQueue()
    for pair in enumerate(items):
        todo.put(pair)
    results: list = [None] * len(items)
    with environment(**ONE_THREAD):
        for _ in range(min(workers, len(items))):
            threading.Thread(target=_serve, args=(task, todo, done), daemon=True).start()
        try:
            for count, _ in enumerate(tqdm(items, desc=label, unit="run", disable=progress_off())):
                tell_progress(f"{label} {count + 1}/{len(items)}")
                index, results[index] = done.get()
        finally:  # after an interrupt nothing new starts
            with contextlib.suppress(queue.Empty):
                while True:
                    todo.get_nowait()
    return results


def _serve(task: Callable, todo: queue.SimpleQueue, done: queue.SimpleQueue) -> None:
    pool: ProcessPoolExecutor | None = None
    while True:
        try:
            index, item = todo.get_nowait()
        except queue.Empty:
            break
        # Spawn, not fork: a forked copy of a process that has used torch can hang in its thread pool.
        pool = pool or ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _end_with_parent)
        try:
            done.put((index, pool.submit(task, item).result()))
        except BrokenProcessPool:
            pool = None
            done.put((index, "its process was killed or ran out of memory"))
        except Exception as error:
            done.put((index, " ".join(f"{type(error).__name__}: {error}".split())))
    if pool is not None:
        pool.shutdown(wait=False)


def _end_with_parent() -> None:
    """Stop this worker when its parent is killed: it would train on beside the run that starts again."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    if parent is not None:
        threading.Thread(target=wait, daemon=True).start()
