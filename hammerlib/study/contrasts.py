"""Differences between an arm and its twin: paired by replicate, with interval and tests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hammerlib.errors import InputError
from hammerlib.evaluation import equivalence_test, permutation_test, variance_components
from hammerlib.evaluation.intervals import Interval
from hammerlib.study.curves import THRESHOLD
from hammerlib.study.endpoints import endpoints_of
from hammerlib.study.records import Records, lineage, start_name
from hammerlib.study.spread import deviation, student_interval

# The primary contrasts and the smallest effect of interest of results/PROTOCOL.md.
PRIMARIES = (("hammer", "random"), ("min-path", "random"), ("dra", "random"))
MARGIN = 0.01
PRIMARY_ENDPOINT = "auc"
# Beside each arm and its twin: DRA against its placebo, what HAMMER's paper compares its order with, and ours
# against what they are made of.
FURTHER = (
    ("dra", "dra-placebo"),
    ("hammer", "similar"),
    ("hammer", "easy-to-hard"),
    ("min-path", "hammer"),
    ("hammer-dra", "hammer"),
    ("hammer-cooldown", "hammer"),
    ("min-path-inside", "random-inside"),
    ("min-path-inside", "window"),
)
COLUMNS = ["replicate", "start", "lineage", "endpoint", "arm", "twin", "difference"]
CUT = ("rollouts", "paid", "tokens")  # axes on which both arms of a pair are cut at the same place


def paired_endpoints(records: Records, arm: str, twin: str, *, threshold: float = THRESHOLD) -> pd.DataFrame:
    """Return every endpoint of an arm and of its twin, replicate by replicate.

    Where one of the two used more, both curves are cut where the other ends (rollouts; with probes for
    ``auc_paid``, tokens for ``auc_tokens``): both are judged at the same budget. The table is kept for
    the next call, so leave it as it is.

    Parameters
    ----------
    records : Records
    arm, twin : str
    threshold : float
        Pass@1 whose first crossing is timed.

    Returns
    -------
    DataFrame
        Columns ``replicate, start, lineage, endpoint, arm, twin, difference``; replicates that hold both.

    Examples
    --------
    >>> paired_endpoints(Records("demo", (), pd.DataFrame()), "hammer", "random").empty
    True
    """
    return _paired_endpoints(records, arm, twin, threshold).copy()


@lru_cache(maxsize=256)
def _paired_endpoints(records: Records, arm: str, twin: str, threshold: float) -> pd.DataFrame:
    ours, theirs = records.of(arm), records.of(twin)
    rows = []
    for replicate in sorted(set(ours) & set(theirs)):
        pair = ours[replicate], theirs[replicate]
        ends = {axis: min(_end(cell, axis) for cell in pair) for axis in CUT}
        a, b = (endpoints_of(cell, ends=ends, threshold=threshold) for cell in pair)
        named = {"replicate": replicate, "start": start_name(pair[0]), "lineage": lineage(pair[0])}
        rows += [
            named | {"endpoint": name, "arm": a[name], "twin": b[name], "difference": a[name] - b[name]}
            for name in a
        ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _end(cell: dict, axis: str) -> float:
    last = cell["curve"][-1]
    if axis == "tokens":
        return float(last["tokens"])
    return float(last["rollouts"] + (cell.get("probe_rollouts", 0) if axis == "paid" else 0))


def judged(
    differences: ArrayLike, starts: Sequence[object], lineages: Sequence[object], *, margin: float
) -> dict[str, float]:
    """Return what one set of paired differences says.

    Parameters
    ----------
    differences : array-like, (n,)
        Arm less twin, one a replicate.
    starts : sequence, (n,)
        Which start each replicate trained from.
    lineages : sequence, (n,)
        Which supervised run that start is a checkpoint of: checkpoints of one run are not several runs.
    margin : float
        Largest difference that does not matter, above 0.

    Returns
    -------
    dict of str to float
        ``n, value, low, high`` (Student over replicates), ``p`` (paired t), ``p_signs`` (exact flips of
        signs), ``p_equivalent`` (two one-sided tests), ``sd, sd_low, sd_high``, ``starts``,
        ``between, within`` (standard deviations between supervised runs and inside them), ``seeds, seeds_low,
        seeds_high`` (Student's interval with a supervised run as the unit: one number a run, the mean over
        its checkpoints), ``wins`` (share of replicates in which the arm is ahead, ties a half). NaN where it
        cannot be known from so few.

    Raises
    ------
    InputError
        A margin that is not above 0.

    Examples
    --------
    >>> found = judged([0.0, 0.02, 0.01, 0.03], ["a", "a", "b", "b"], ["a", "a", "b", "b"], margin=0.01)
    >>> round(found["value"], 3), round(found["p"], 3), found["wins"]
    (0.015, 0.103, 0.875)
    """
    if not margin > 0:
        raise InputError("margin", margin, "must be above 0", "name the largest difference that is none")
    table = pd.DataFrame({"gap": differences, "start": list(starts), "lineage": list(lineages)})
    table = table[np.isfinite(table["gap"].astype(np.float64))]
    given = table["gap"].to_numpy(dtype=np.float64)
    mean, sd, apart = student_interval(given), deviation(given), _by_lineage(table)
    wins = (given > 0) + 0.5 * (given == 0)
    return {
        "n": len(given),
        **mean._asdict(),
        **_tests(given, margin),
        **{"sd": sd.value, "sd_low": sd.low, "sd_high": sd.high},
        "starts": table["start"].nunique(),
        **_components(given, table["lineage"].to_numpy()),
        **{"seeds": table["lineage"].nunique(), "seeds_low": apart.low, "seeds_high": apart.high},
        "wins": float(wins.mean()) if len(wins) > 1 else float("nan"),
    }


def _by_lineage(table: pd.DataFrame) -> Interval:
    """Student over the supervised runs; the stopping point is a fixed factor, each counts alike in a run."""
    cells = table.groupby(["lineage", "start"], sort=False)["gap"].mean()
    return student_interval(cells.groupby("lineage", sort=False).mean())


def _tests(given: np.ndarray, margin: float) -> dict[str, float]:
    from scipy.stats import ttest_1samp

    if len(given) < 2:
        return {"p": float("nan"), "p_signs": float("nan"), "p_equivalent": float("nan")}
    zeros = np.zeros(len(given))
    signs = permutation_test(zeros, given).p
    if given.std() < 1e-12:  # no spread to judge by: the t-tests do not exist
        return {"p": float("nan"), "p_signs": signs, "p_equivalent": float("nan")}
    p = float(ttest_1samp(given, 0.0).pvalue)
    return {"p": p, "p_signs": signs, "p_equivalent": equivalence_test(zeros, given, margin=margin)}


def _components(given: np.ndarray, runs: np.ndarray) -> dict[str, float]:
    """One-way analysis of variance: a run stands for a problem, its replicates for samples of it."""
    groups = [given[runs == name] for name in dict.fromkeys(runs)]
    if len(groups) < 2 or min(map(len, groups)) < 2:
        return {"between": float("nan"), "within": float("nan")}
    inside = deviation(given, list(runs)).value ** 2
    size = len(groups) / sum(1 / len(group) for group in groups)
    means = [group.mean() for group in groups]
    found = variance_components(means, [inside] * len(groups), k=size)
    return {"between": float(np.sqrt(found.problems)), "within": float(np.sqrt(inside))}


def pairs_of(records: Records) -> list[tuple[str, str]]:
    """Return the contrasts of a study: every arm with the twin that its record names, and those of `FURTHER`.

    Examples
    --------
    >>> pairs_of(Records("demo", (), pd.DataFrame()))
    []
    """
    known = [(arm, twin) for arm, twin in FURTHER if records.of(arm) and records.of(twin)]
    return list(dict.fromkeys([*records.twins().items(), *known]))


def contrast_table(
    records: Records,
    pairs: Sequence[tuple[str, str]] | None = None,
    *,
    endpoints: Sequence[str] = (PRIMARY_ENDPOINT,),
    primaries: Sequence[tuple[str, str]] = PRIMARIES,
    margin: float = MARGIN,
    threshold: float = THRESHOLD,
) -> pd.DataFrame:
    """Return one row a contrast and endpoint; no p-value is corrected yet (`discoveries.study_tests` does).

    Parameters
    ----------
    records : Records
    pairs : sequence of (arm, twin), optional
        Default `pairs_of`.
    endpoints : sequence of str
        Of `endpoints.ENDPOINTS`.
    primaries : sequence of (arm, twin)
        Contrasts named before any run; they are primary in `auc` alone.
    margin : float
        Largest difference that does not matter, in the unit of the endpoint.
    threshold : float
        Pass@1 whose first crossing is timed.

    Returns
    -------
    DataFrame
        Columns ``contrast, arm, twin, endpoint, primary`` and those of `judged`. Pairs without a common
        replicate are left out.

    Examples
    --------
    >>> contrast_table(Records("demo", (), pd.DataFrame())).empty
    True
    """
    rows = []
    for arm, twin in pairs_of(records) if pairs is None else dict.fromkeys(pairs):
        table = paired_endpoints(records, arm, twin, threshold=threshold)
        for endpoint in endpoints if len(table) else ():
            part = table[table["endpoint"] == endpoint]
            named = {"contrast": f"{arm} - {twin}", "arm": arm, "twin": twin, "endpoint": endpoint}
            named["primary"] = endpoint == PRIMARY_ENDPOINT and (arm, twin) in set(primaries)
            rows.append(named | judged(part["difference"], part["start"], part["lineage"], margin=margin))
    return pd.DataFrame(rows)
