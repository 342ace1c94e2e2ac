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
    """Evaluate every model (name or folder) on the same problems, several at a time; the records in order.

    `backend` is one of `workers.map_tasks`, with one compute thread a worker; `options` are those of
    `evaluate`. Where some fail, one error names them all after the others have finished.
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
