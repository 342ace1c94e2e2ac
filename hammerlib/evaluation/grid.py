"""Evaluation over workers: many models on the same problems, several at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hammerlib.errors import InputError
from hammerlib.runs.record import RunRecord
from hammerlib.runs.storage import results_root
from hammerlib.runs.trials import run_cells  # noqa: F401  hammerlib.sweep held all three
from hammerlib.runs.workers import map_named
from hammerlib.training.run import run_grid  # noqa: F401


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
        Processes, each with one compute thread; 1: this process itself.
    backend : {"process", "ray"}
        As for `workers.map_tasks`; machines of a Ray cluster must share the folder of runs.
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
    results = map_named("models", _evaluate, named, jobs, workers, backend, label="evaluate")
    return [results[distinct.index(str(model))] for model in models]


def _evaluate(job: tuple[str, str, Path, dict]) -> RunRecord:
    from hammerlib.evaluation import evaluate

    model, benchmark, root, options = job
    return evaluate(model, benchmark, root=root, **options)
