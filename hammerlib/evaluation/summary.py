"""From graded samples to metrics and tables of one evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hammerlib.evaluation.metrics import majority_at_k, pass_at_k
from hammerlib.evaluation.statistics import bootstrap_interval
from hammerlib.storage import atomic_path

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

    from hammerlib.runs import RunRecord

# Any string that no extractor returns: right answers of different spelling vote together.
RIGHT = "\0right"


def summarise(run: RunRecord, problems: Dataset, rows: Sequence[dict], k: int, seed: int) -> None:
    """Write every metric, with its interval over problems, and the tables into the run.

    Parameters
    ----------
    run : RunRecord
        Open record.
    problems : datasets.Dataset
        With ``id`` and ``topic``.
    rows : sequence of dict
        Graded samples, k for every problem.
    k : int
        Samples a problem.
    seed : int
        Of the bootstrap.

    Examples
    --------
    >>> import json, tempfile
    >>> from pathlib import Path
    >>> from hammerlib import evaluate, load_problems
    >>> problems = load_problems("reasoning-gym:nano", split="heldout", n=2)
    >>> run = evaluate("nano", problems, k=1, max_new_tokens=4, root=Path(tempfile.mkdtemp()))
    >>> rows = [json.loads(line) for line in (run.folder / "samples.jsonl").open(encoding="utf-8")]
    >>> summarise(run, problems, rows, k=1, seed=0)
    >>> run.metrics["pass@1"]["n"]
    2
    """
    groups: dict[str, list[dict]] = {name: [] for name in problems["id"]}
    for row in rows:
        groups[row["id"]].append(row)
    each = list(groups.values())
    correct = np.array([sum(row["correct"] for row in group) for group in each])
    values = {f"pass@{j}": (pass_at_k(k, correct, j), j, "share") for j in range(1, k + 1)}
    votes = [[_vote(row) for row in group] for group in each]
    for j in sorted({2**i for i in range(1, k.bit_length())} | {k}):
        values[f"majority@{j}"] = (np.array([majority_at_k(vote, RIGHT, j) for vote in votes]), j, "share")
    for name, of, unit in (
        ("truncated_share", lambda row: row["truncated"], "share of samples"),
        ("unextracted_share", lambda row: row["extracted"] is None, "share of samples"),
        ("mean_tokens", lambda row: row["n_tokens"], "tokens"),
    ):
        values[name] = (np.array([np.mean([of(row) for row in group]) for group in each]), k, unit)
    for name, (numbers, j, unit) in values.items():
        run.metric(name, float(numbers.mean()), **_ends(numbers, seed), n=len(numbers), k=j, unit=unit)
    run.note(reasons=dict(Counter(row["reason"] for row in rows).most_common()))
    _write_tables(run, problems, correct, k, seed)


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
    import pandas as pd

    return pd.read_csv(record.folder / "outcomes.csv", dtype={"id": str, "topic": str}, keep_default_na=False)


def topic_table(record: RunRecord, *, seed: int = 0) -> pd.DataFrame:
    """Return pass@1 by topic, hardest first, with intervals over the topic's problems.

    Parameters
    ----------
    record : RunRecord
        A finished run of `evaluate`.
    seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        Columns ``topic, problems, value, low, high`` (shares); no interval for a topic of one problem.

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
    return _by_topic(outcomes(record), seed)


def _vote(row: dict) -> str | None:
    return RIGHT if row["correct"] else row["extracted"]


def _ends(values: np.ndarray, seed: int) -> dict[str, float | None]:
    if len(values) < 2:
        return {"low": None, "high": None}
    _, low, high = bootstrap_interval(values, seed=seed)
    return {"low": low, "high": high}


def _by_topic(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    import pandas as pd

    found = []
    for topic, rows in table.groupby("topic", sort=True):
        shares = (rows["correct"] / rows["n"]).to_numpy()
        found.append({"topic": topic, "problems": len(rows), "value": shares.mean(), **_ends(shares, seed)})
    return pd.DataFrame(found).sort_values(["value", "topic"], ignore_index=True)


def _write_tables(run: RunRecord, problems: Dataset, correct: np.ndarray, k: int, seed: int) -> None:
    import pandas as pd

    table = pd.DataFrame({"id": problems["id"][:], "n": k, "correct": correct, "topic": problems["topic"][:]})
    for name, frame in (("outcomes.csv", table), ("topics.csv", _by_topic(table, seed))):
        with atomic_path(run.folder / name) as part:
            frame.to_csv(part, index=False)
    for name in ("samples.jsonl", "outcomes.csv", "topics.csv"):
        run.artefact(name)
