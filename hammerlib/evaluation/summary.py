"""From graded samples to metrics and tables of one evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from hammerlib.errors import InputError
from hammerlib.evaluation.metrics import (
    Measure,
    calibration_error,
    confidences,
    described,
    expected_calibration_error,
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
    """Write every metric, with its interval over problems, and the tables into an open run."""
    groups: dict[str, list[dict]] = {name: [] for name in problems["id"]}
    for row in rows:
        groups[row["id"]].append(row)
    samples = list(groups.values())
    metrics = measures(samples, k)
    for name, metric in metrics.items():
        known = metric.values[~np.isnan(metric.values)]
        if len(known):
            numbers = described(known, metric.bounds, seed=seed)
            # An end that is not known, or infinite, is null in the record.
            finite = {key: number for key, number in numbers.items() if np.isfinite(number)}
            run.metric(name, **finite, n=len(known), k=metric.k, unit=metric.unit)
    calibration = calibration_error(samples, seed=seed)
    if calibration:
        value, low, high = calibration
        run.metric("calibration_error", value, low=low, high=high, n=len(samples), k=k, unit="share")
    run.note(reasons=dict(Counter(row["reason"] for row in rows).most_common()))
    _write_tables(run, problems, samples, metrics)


def outcomes(record: RunRecord) -> pd.DataFrame:
    """Return ``id, n, correct, topic`` of each problem of a finished evaluation, in their order.

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
    """Return pass@1 by topic, hardest first: ``topic, problems, value, se, low, high`` (shares).

    The intervals are over the topic's problems; a topic of one has none, and no standard error.

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
    import pandas as pd

    rows = []
    for topic, table in outcomes(record).groupby("topic", sort=True):
        shares = (table["correct"] / table["n"]).to_numpy()
        rows.append({"topic": topic, "problems": len(table), **described(shares)})
    return pd.DataFrame(rows).sort_values(["value", "topic"], ignore_index=True)


def reason_counts(record: RunRecord) -> dict[str, int]:
    """Return how many samples got each kind of verdict (`grading.REASONS`), zeros too, errors as one."""
    counts = {reason.partition(":")[0]: 0 for reason in REASONS}
    for reason, count in record.manifest["reasons"].items():
        counts[reason.partition(":")[0]] += count
    return counts


def reliability(record: RunRecord) -> pd.DataFrame:
    """Return accuracy by confidence (votes) of a finished evaluation, as `reliability_table`."""
    if not (record.folder / "reliability.csv").is_file():
        remedy = "evaluate with k of 2 or more"
        raise InputError("run", record.run_id, "has no confidences: no second sample, or no answer", remedy)
    table = record.table("reliability.csv")
    if "accuracy_low" not in table:
        remedy = f"run `hammer regrade {record.run_id}`"
        raise InputError("run", record.run_id, "has bins without intervals: an older summary", remedy)
    return table


def levels_of(difficulty: Sequence[float | None]) -> list[str]:
    """Return a level for each difficulty: the value itself, or its fifth where there are more than ten."""
    import pandas as pd

    values = np.array(difficulty, dtype=np.float64)  # None becomes NaN
    if len(np.unique(values[~np.isnan(values)])) <= MOST_LEVELS:
        return ["unknown" if np.isnan(value) else f"{value:g}" for value in values]
    # Ties at a quantile merge fifths: an edge that stands twice would make an empty one.
    fifths, edges = pd.qcut(values, 5, labels=False, retbins=True, duplicates="drop")
    names = [f"{i}: {low:g} to {high:g}" for i, (low, high) in enumerate(pairwise(edges), start=1)]
    return ["unknown" if np.isnan(fifth) else names[int(fifth)] for fifth in fifths]


def _write_tables(
    run: RunRecord, problems: Dataset, samples: list[list[dict]], metrics: dict[str, Measure]
) -> None:
    """Write outcomes by problem, all metrics by topic and by level, and the reliability table."""
    import pandas as pd

    n = [len(group) for group in samples]
    table = pd.DataFrame({"id": problems["id"][:], "n": n})
    table["correct"] = [sum(row["correct"] for row in group) for group in samples]
    table["topic"] = [topic or "unknown" for topic in problems["topic"][:]]
    pairs = confidences(samples) if min(n) > 1 else []
    tables = {"outcomes.csv": table, "topics.csv": _all_by("topic", table["topic"], pairs, metrics)}
    if "difficulty" in problems.column_names:
        table["difficulty"] = problems["difficulty"][:]
        levels = pd.Series(levels_of(problems["difficulty"][:]))
        tables["levels.csv"] = _all_by("level", levels, pairs, metrics)
    confidence, right = _joined(pairs)
    if len(confidence):
        problem_of = np.repeat(np.arange(len(pairs)), [len(stated) for stated, _ in pairs])
        tables["reliability.csv"] = reliability_table(confidence, right, problems=problem_of)
    run.artefact("samples.jsonl")
    for name, frame in tables.items():
        write_table(run, name, frame)


def write_table(run: RunRecord, name: str, frame: pd.DataFrame) -> None:
    """Write a table into an open run, whole or not at all; what UTF-8 cannot hold is escaped."""
    with atomic_path(run.folder / name) as file:
        frame.to_csv(file, index=False, errors="backslashreplace")
    run.artefact(name)


def _all_by(name: str, labels: pd.Series, pairs: Pairs, metrics: dict[str, Measure]) -> pd.DataFrame:
    """One row a label: problems, pass@1 (value, se, low, high), and the mean of each metric."""
    import pandas as pd

    rows = []
    for label, chosen in labels.groupby(labels, sort=True).indices.items():
        row = {name: label, "problems": len(chosen), **described(metrics["pass@1"].values[chosen])}
        for metric, measure in metrics.items():
            known = measure.values[chosen][~np.isnan(measure.values[chosen])]
            row[metric] = known.mean() if len(known) else np.nan
        confidence, right = _joined([pairs[i] for i in chosen] if pairs else [])
        error = expected_calibration_error(confidence, right) if len(confidence) else np.nan
        rows.append(row | {"calibration_error": error})
    table = pd.DataFrame(rows)
    if name == "level":
        first = table[name].str.partition(":")[0].replace("unknown", "inf").astype(float)
        return table.loc[first.sort_values().index].reset_index(drop=True)
    return table.sort_values(["value", name], ignore_index=True)


def _joined(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    # The empty arrays stand for no pair at all.
    confidence, right = zip((np.zeros(0), np.zeros(0)), *pairs, strict=True)
    return np.concatenate(confidence), np.concatenate(right)
