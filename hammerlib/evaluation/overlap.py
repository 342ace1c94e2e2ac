"""Which benchmark problems a model was trained on, as far as it can be known."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.errors import InputError
from hammerlib.evaluation.benchmarks import BENCHMARKS, load_benchmark
from hammerlib.problems.overlap import NGRAM, SHARE, overlap_counts, overlap_report
from hammerlib.runs import RunRecord

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset


def benchmarks_at_hand() -> dict[str, Dataset]:
    """Return every benchmark whose file stands in the data folder (``HAMMER_DATA``).

    Examples
    --------
    >>> set(benchmarks_at_hand()) <= set(BENCHMARKS)
    True
    """
    folder = os.environ.get("HAMMER_DATA")
    files = {name: entry.file for name, entry in BENCHMARKS.items() if entry.file}
    return {
        name: load_benchmark(name) for name, file in files.items() if folder and Path(folder, file).is_file()
    }


def known_overlap(
    train: Dataset, benchmarks: dict[str, Dataset] | None = None
) -> tuple[pd.DataFrame, dict[str, object]]:
    """Look for a training set's problems in benchmarks, before training on it.

    Parameters
    ----------
    train : datasets.Dataset
        Problem table.
    benchmarks : dict of str to datasets.Dataset, optional
        Default: `benchmarks_at_hand`.

    Returns
    -------
    (pandas.DataFrame, dict)
        `overlap_report`, and for the record: ``ngram`` (words), ``share``, ``benchmarks`` (`overlap_counts`).

    Examples
    --------
    >>> from hammerlib import load_problems
    >>> train = load_problems("reasoning-gym:nano", n=20)
    >>> known_overlap(train, {"itself": train})[1]["benchmarks"]
    {'itself': {'problems': 20, 'exact': 20, 'n_gram': 0}}
    """
    known = benchmarks_at_hand() if benchmarks is None else benchmarks
    report = overlap_report(train, known)
    return report, {"ngram": NGRAM, "share": SHARE, "benchmarks": overlap_counts(report, known)}


def training_overlap(model: object, problems: Dataset, label: str) -> dict[str, object]:
    """Say how much of an evaluation's problems its model was trained on.

    Parameters
    ----------
    model : object
        What `evaluate` was given.
    problems : datasets.Dataset
        The evaluation's problems.
    label : str
        Name of the benchmark.

    Returns
    -------
    dict
        For a training run: ``trained_on`` (source), ``ngram``, ``benchmarks`` and ``exact_ids``. For any
        other model ``trained_on`` is None: what it has seen is not known.

    Examples
    --------
    >>> from hammerlib import load_problems
    >>> training_overlap("nano", load_problems("reasoning-gym:nano", n=2), "demo")
    {'trained_on': None}
    """
    record = _training_run(model)
    if record is None:
        return {"trained_on": None}
    source = str(record.manifest["parameters"].get("problems"))
    train = _training_set(record, source)
    if source.startswith("file:"):
        source = f"file:{Path(source).name}"  # records name no folder of a machine
    if train is None:
        return {"trained_on": source, "benchmarks": None, "reason": "its problems cannot be loaded again"}
    report, found = known_overlap(train, {label: problems})
    exact = report[report["kind"] == "exact"]["benchmark_id"].unique().tolist()
    return {"trained_on": source, **found, "exact_ids": exact}


def overlap_line(overlap: dict) -> str:
    """Say in one line what a record knows of a model's training on the problems it answered.

    Parameters
    ----------
    overlap : dict
        Of a run's manifest, as `training_overlap` makes it.

    Examples
    --------
    >>> counts = {"demo": {"problems": 20, "exact": 0, "n_gram": 3}}
    >>> overlap_line({"trained_on": "file:mine.jsonl", "ngram": 13, "benchmarks": counts})
    'trained on file:mine.jsonl: of 20 problems 0 word for word and 3 by 13 words in a row'
    >>> overlap_line({"trained_on": None})
    'what it was trained on is not known here'
    """
    if overlap["trained_on"] is None:
        return "what it was trained on is not known here"
    if overlap["benchmarks"] is None:
        return f"trained on {overlap['trained_on']}: not compared, {overlap['reason']}"
    (found,) = overlap["benchmarks"].values()
    told = f"{found['exact']} word for word and {found['n_gram']} by {overlap['ngram']} words in a row"
    return f"trained on {overlap['trained_on']}: of {found['problems']} problems {told}"


def _training_run(model: object) -> RunRecord | None:
    if isinstance(model, str | Path) and (Path(model) / "manifest.json").exists():
        model = RunRecord.load(model)
    return model if isinstance(model, RunRecord) and model.manifest.get("kind") == "train" else None


def _training_set(record: RunRecord, source: str) -> Dataset | None:
    """The problems of a training run, if its source still gives the same ones."""
    from hammerlib.problems import fingerprint, load_problems

    asked = record.manifest["parameters"]
    try:
        options = {"split": asked.get("split"), "n": asked.get("n_problems"), "columns": asked.get("columns")}
        train = load_problems(source, seed=0, **options)
    except InputError:
        return None
    return train if fingerprint(train) == record.manifest.get("problems_fingerprint") else None
