"""Who follows the distractor: the share of answers that equal the shortcut ("Pseudo Aha Moment")."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hammerlib.errors import InputError
from hammerlib.evaluation.intervals import Interval, mean_interval
from hammerlib.grading import grade

if TYPE_CHECKING:
    from datasets import Dataset

RESAMPLES = 2000


def follow_table(problems: Dataset, samples: pd.DataFrame) -> pd.DataFrame:
    r"""Count per problem how many samples are right, and how many give the shortcut's answer.

    Parameters
    ----------
    problems : datasets.Dataset
        With a ``shortcut`` in the metadata; problems without one count only for accuracy.
    samples : pandas.DataFrame
        Columns ``id``, ``completion``, e.g. ``samples.jsonl`` of `hammerlib.evaluate`.

    Returns
    -------
    pandas.DataFrame
        One row a problem: ``id, n, correct, followed, targeted``. Graded afresh with `hammerlib.grade`: a
        missing answer is wrong and follows nothing.

    Raises
    ------
    InputError
        A sample of an unknown problem, or a problem without samples.

    Examples
    --------
    >>> from hammerlib import load_problems
    >>> table = load_problems("evolmath:targeted", n=2)
    >>> told = [{"id": row["id"], "completion": rf"\boxed{{{row['answer']}}}"} for row in table]
    >>> follow_table(table, pd.DataFrame(told))[["n", "correct", "followed"]].values.tolist()
    [[1, 1, 0], [1, 1, 0]]
    """
    rows = {row["id"]: row for row in problems}
    completions = samples.groupby("id", sort=False)["completion"].apply(list).to_dict()
    odd = sorted(set(completions) ^ set(rows))
    if odd:
        raise InputError("samples", odd[0], "is not in both problems and samples", "evaluate these problems")
    counts = []
    for name, problem in rows.items():
        texts = completions[name]
        shortcut = json.loads(problem.get("metadata") or "{}").get("shortcut", "")
        correct = sum(grade(text, problem).correct for text in texts)
        followed = sum(grade(text, shortcut).correct for text in texts) if shortcut else 0
        counts.append((name, len(texts), correct, followed, bool(shortcut)))
    return pd.DataFrame(counts, columns=["id", "n", "correct", "followed", "targeted"])


def follow_metrics(table: pd.DataFrame, *, seed: int = 0) -> dict[str, Interval]:
    """Return accuracy, the share that follows, and that share of all errors, with 95 % bootstraps.

    Problems are drawn again with all their samples.

    Parameters
    ----------
    table : pandas.DataFrame
        Of `follow_table`.
    seed : int

    Returns
    -------
    dict of str to Interval
        ``accuracy`` (all problems); ``followed`` and ``followed of errors`` (targeted problems), the last
        without a value (nan) where there is no error.

    Raises
    ------
    InputError
        Fewer than two problems, or two targeted ones.

    Examples
    --------
    >>> rows = [("a", 4, 2, 1, True), ("b", 4, 0, 3, True)]
    >>> found = follow_metrics(pd.DataFrame(rows, columns=["id", "n", "correct", "followed", "targeted"]))
    >>> round(found["followed of errors"].value, 3)
    0.667
    """
    aimed = table[table["targeted"]]  # problems with a shortcut
    result = {
        "accuracy": mean_interval(table["correct"] / table["n"]),
        "followed": mean_interval(aimed["followed"] / aimed["n"]),
    }
    errors = (aimed["n"] - aimed["correct"]).to_numpy()
    followed = aimed["followed"].to_numpy()
    if not errors.sum():
        return result | {"followed of errors": Interval(float("nan"), float("nan"), float("nan"))}
    # problems with all their samples: answers to one problem are not independent
    drawn = np.random.default_rng(seed).integers(len(aimed), size=(RESAMPLES, len(aimed)))
    below = errors[drawn].sum(axis=1)
    shares = followed[drawn].sum(axis=1)[below > 0] / below[below > 0]
    low, high = np.quantile(shares, [0.025, 0.975])
    value = float(followed.sum() / errors.sum())
    return result | {"followed of errors": Interval(value, float(low), float(high))}


def simulate(problems: Dataset, *, hasty: float, careless: float, k: int, seed: int = 0) -> pd.DataFrame:
    """Answer as a rule would that sometimes takes the shortcut: a policy whose rates are known."""
    rng = random.Random(seed)
    rows = []
    for problem in problems:
        shortcut = json.loads(problem["metadata"])["shortcut"]
        for _ in range(k):
            answer = problem["answer"]
            if shortcut and rng.random() < hasty:
                answer = shortcut
            elif rng.random() < careless:
                answer = str(int(answer) + 1)
            rows.append({"id": problem["id"], "completion": f"So the answer is \\boxed{{{answer}}}."})
    return pd.DataFrame(rows)
