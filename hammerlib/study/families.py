"""Arms compared over families of problems: the interquartile mean, and how often one is ahead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hammerlib.evaluation import interquartile_interval, interquartile_mean, mean_interval
from hammerlib.study.spread import student_interval


def family_differences(families: pd.DataFrame, arm: str, twin: str, *, endpoint: str = "auc") -> pd.DataFrame:
    """Return the paired difference of every replicate in every family.

    Parameters
    ----------
    families : DataFrame
        `endpoints.family_table`.
    arm, twin : str
    endpoint : str
        ``auc`` or ``final``.

    Returns
    -------
    DataFrame, (replicates, families)
        Arm less twin; replicates that hold both.

    Examples
    --------
    >>> table = pd.DataFrame({"arm": ["a", "b"], "replicate": 0, "family": "sums", "auc": [0.75, 0.5]})
    >>> family_differences(table, "a", "b").loc[0, "sums"]
    np.float64(0.25)
    """
    wide = families.pivot_table(index=["arm", "replicate"], columns="family", values=endpoint)
    known = set(wide.index.get_level_values("arm"))
    if not {arm, twin} <= known:
        return pd.DataFrame(columns=wide.columns)
    return (wide.loc[arm] - wide.loc[twin]).dropna()


def family_table_of(
    families: pd.DataFrame, pairs: Sequence[tuple[str, str]], *, endpoint: str = "auc", seed: int = 0
) -> pd.DataFrame:
    """Return contrasts over families: each family, their interquartile mean, and how often the arm is ahead.

    Parameters
    ----------
    families : DataFrame
        `endpoints.family_table`, of the families that are to count.
    pairs : sequence of (arm, twin)
    endpoint : str
        ``auc`` or ``final``.
    seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        Columns ``contrast, family, n, value, low, high``. Rows of a family: Student over replicates. Row
        ``IQM``: interquartile mean of all differences with the stratified bootstrap, as in rliable, whose
        strata count as independent. Row ``IQM by replicate``: the interquartile mean over the families of
        each replicate, Student over replicates, which makes no such assumption (families of one replicate
        share a training). Row ``ahead``: share of pairs (replicate, family) in which the arm is ahead of its
        twin, ties a half (one half: no improvement), with an interval over replicates.

    Examples
    --------
    >>> table = pd.DataFrame({"arm": ["a", "b"] * 2, "replicate": [0, 0, 1, 1], "family": "sums",
    ...                       "auc": [0.75, 0.5, 1.0, 0.5]})
    >>> family_table_of(table, [("a", "b")])["value"].tolist()
    [0.375, 0.375, 0.375, 1.0]
    """
    rows = []
    for arm, twin in pairs:
        gaps = family_differences(families, arm, twin, endpoint=endpoint)
        if len(gaps) < 2:
            continue
        found = {name: student_interval(gaps[name]) for name in gaps}
        found["IQM"] = interquartile_interval(list(gaps.to_numpy().T), seed=seed)
        found["IQM by replicate"] = student_interval(np.apply_along_axis(interquartile_mean, 1, gaps))
        # Paired, and one number a replicate: its families share a training, its twin start and problems.
        found["ahead"] = mean_interval(((gaps > 0) + 0.5 * (gaps == 0)).mean(axis=1))
        named = {"contrast": f"{arm} - {twin}", "n": len(gaps)}
        rows += [named | {"family": name} | interval._asdict() for name, interval in found.items()]
    return pd.DataFrame(rows, columns=["contrast", "family", "n", "value", "low", "high"])
