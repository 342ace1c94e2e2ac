"""From graded samples to metrics and tables of one evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hammerlib.errors import InputError
from hammerlib.evaluation.intervals import mean_interval, standard_error
from hammerlib.evaluation.metrics import (
    Measure,
    calibration_error,
    confidences,
    expected_calibration_error,
    interval_of,
    measures,
    reliability_table,
)
from hammerlib.evaluation.samples import read_outcomes
from hammerlib.grading import REASONS
from hammerlib.runs.storage import atomic_path

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

    from hammerlib.runs import RunRecord

MOST_LEVELS = 10  # of difficulty; more are put into fifths
Pairs = list[tuple[np.ndarray, np.ndarray]]  # confidence and correctness by problem


def summarise(run: RunRecord, problems: Dataset, rows: Sequence[dict], k: int, seed: int) -> None:
    """Write every metric, with its interval over problems, and the tables into the run."""
    groups: dict[str, list[dict]] = {name: [] for name in problems["id"]}
    for row in rows:
        groups[row["id"]].append(row)
    each = list(groups.values())
    found = measures(each, k)
    for name, one in found.items():
        known = one.values[~np.isnan(one.values)]
        _, low, high = interval_of(one, seed=seed) or (None, None, None)
        if len(known):
            low, high = (end if end is not None and np.isfinite(end) else None for end in (low, high))
            ends = {"low": low, "high": high, "se": standard_error(known) if len(known) > 1 else None}
            run.metric(name, float(known.mean()), **ends, n=len(known), k=one.k, unit=one.unit)
    error = calibration_error(each, seed=seed)
    if error:
        value, low, high = error
        run.metric("calibration_error", value, low=low, high=high, n=len(each), k=k, unit="share")
    run.note(reasons=dict(Counter(row["reason"] for row in rows).most_common()))
    _write_tables(run, problems, each, found)


def outcomes(record: RunRecord) -> pd.DataFrame:
    """Return one row a problem of a finished evaluation.

    Returns
    -------
    DataFrame
        Columns ``id, n, correct, topic``: samples drawn and samples right, in the order of the problems.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from hammerlib import evaluate
    >>> folder = Path(tempfile.mkdtemp())
    >>> run = evaluate("nano", "reasoning-gym:nano", n=2, k=3, max_new_tokens=4, root=folder)
    >>> outcomes(run)["n"].tolist()
    [3, 3]
    """
    return read_outcomes(record.check("outcomes.csv").folder / "outcomes.csv")


def topic_table(record: RunRecord) -> pd.DataFrame:
    """Return pass@1 by topic, hardest first, with intervals over the topic's problems.

    Parameters
    ----------
    record : RunRecord
        A finished run of `evaluate`.

    Returns
    -------
    DataFrame
        Columns ``topic, problems, value, se, low, high`` (shares); neither standard error nor interval for a
        topic of one problem.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from hammerlib.runs import start_run
    >>> run = start_run("demo", parameters={}, root=Path(tempfile.mkdtemp()))
    >>> _ = (run.folder / "outcomes.csv").write_text("id,n,correct,topic\\na,4,1,sums\\n")
    >>> topic_table(run)[["topic", "problems", "value"]].values.tolist()
    [['sums', 1, 0.25]]
    """
    return _by_topic(outcomes(record))


def reason_counts(record: RunRecord) -> dict[str, int]:
    """Return how many samples of a finished evaluation got each kind of verdict."""
    counts = {reason.partition(":")[0]: 0 for reason in REASONS}
    for reason, count in record.manifest["reasons"].items():
        counts[reason.partition(":")[0]] += count
    return counts


def reliability(record: RunRecord) -> pd.DataFrame:
    """Return accuracy by confidence of a finished evaluation."""
    path = record.folder / "reliability.csv"
    if not path.is_file():
        remedy = "evaluate with k of 2 or more"
        raise InputError("run", record.run_id, "has no confidences: no second sample, or no answer", remedy)
    table = record.table("reliability.csv")
    if "accuracy_low" not in table:
        remedy = f"run `hammer regrade {record.run_id}`"
        raise InputError("run", record.run_id, "has bins without intervals: an older summary", remedy)
    return table


def _by_topic(table: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    found = []
    for topic, rows in table.groupby("topic", sort=True):
        shares = (rows["correct"] / rows["n"]).to_numpy()
        found.append({"topic": topic, "problems": len(rows), "value": shares.mean(), **_ends(shares)})
    return pd.DataFrame(found).sort_values(["value", "topic"], ignore_index=True)


def _ends(values: np.ndarray) -> dict[str, float | None]:
    if len(values) < 2:
        return {"se": None, "low": None, "high": None}
    _, low, high = mean_interval(values)
    return {"se": standard_error(values), "low": low, "high": high}


def levels_of(difficulty: Sequence[float | None]) -> list[str]:
    """Return a level for each difficulty: the value itself, or its fifth where there are more than ten."""
    known = np.array([np.nan if one is None else one for one in difficulty], dtype=np.float64)
    distinct = np.unique(known[~np.isnan(known)])
    if len(distinct) <= MOST_LEVELS:
        return ["unknown" if np.isnan(one) else f"{one:g}" for one in known]
    edges = np.unique(np.nanquantile(known, np.linspace(0, 1, 6)))
    places = np.clip(np.searchsorted(edges, known, side="left") - 1, 0, len(edges) - 2)
    names = [f"{i + 1}: {edges[i]:g} to {edges[i + 1]:g}" for i in range(len(edges) - 1)]
    return ["unknown" if np.isnan(one) else names[i] for one, i in zip(known, places, strict=True)]


def _write_tables(
    run: RunRecord, problems: Dataset, each: list[list[dict]], found: dict[str, Measure]
) -> None:
    """Write outcomes by problem, all metrics by topic and by level, and the reliability table."""
    import pandas as pd

    n, correct = [len(group) for group in each], [sum(row["correct"] for row in group) for group in each]
    table = pd.DataFrame({"id": problems["id"][:], "n": n, "correct": correct})
    table["topic"] = [one or "unknown" for one in problems["topic"][:]]
    pairs = confidences(each) if min(n) > 1 else []
    tables = {"outcomes.csv": table, "topics.csv": _all_by("topic", table["topic"], pairs, found)}
    if "difficulty" in problems.column_names:
        table["difficulty"] = problems["difficulty"][:]
        levels = pd.Series(levels_of(problems["difficulty"][:]))
        tables["levels.csv"] = _all_by("level", levels, pairs, found)
    said, right = _joined(pairs)
    if len(said):
        of = np.repeat(np.arange(len(pairs)), [len(one) for one, _ in pairs])
        tables["reliability.csv"] = reliability_table(said, right, problems=of)
    run.artefact("samples.jsonl")
    for name, frame in tables.items():
        write_table(run, name, frame)


def write_table(run: RunRecord, name: str, frame: pd.DataFrame) -> None:
    """Write a table into an open run, whole or not at all; what UTF-8 cannot hold is escaped."""
    with atomic_path(run.folder / name) as part:
        frame.to_csv(part, index=False, errors="backslashreplace")
    run.artefact(name)


def _all_by(name: str, labels: pd.Series, pairs: Pairs, found: dict[str, Measure]) -> pd.DataFrame:
    """One row a label: problems, pass@1 (value, se, low, high), and the mean of each metric."""
    import pandas as pd

    rows = []
    for label, places in labels.groupby(labels, sort=True).indices.items():
        row = {name: label, "problems": len(places), "value": found["pass@1"].values[places].mean()}
        row |= _ends(found["pass@1"].values[places])
        for metric, one in found.items():
            known = one.values[places][~np.isnan(one.values[places])]
            row[metric] = known.mean() if len(known) else np.nan
        said, right = _joined([pairs[i] for i in places] if pairs else [])
        row["calibration_error"] = expected_calibration_error(said, right) if len(said) else np.nan
        rows.append(row)
    if name == "level":
        return pd.DataFrame(rows).sort_values(name, key=lambda found: found.map(_rank), ignore_index=True)
    return pd.DataFrame(rows).sort_values(["value", name], ignore_index=True)


def _joined(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    said, right = zip(*pairs, strict=True) if pairs else ([np.zeros(0)], [np.zeros(0)])
    return np.concatenate(said), np.concatenate(right)


def _rank(level: str) -> float:
    return np.inf if level == "unknown" else float(level.partition(":")[0])
