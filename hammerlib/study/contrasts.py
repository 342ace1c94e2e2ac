"""Differences between an arm and its twin: paired by replicate, with interval, tests and corrections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hammerlib.errors import InputError
from hammerlib.evaluation import (
    benjamini_hochberg,
    equivalence_test,
    holm,
    mean_interval,
    permutation_test,
    variance_components,
)
from hammerlib.evaluation.intervals import Interval
from hammerlib.study.curves import THRESHOLD
from hammerlib.study.endpoints import endpoints_of
from hammerlib.study.records import Records, start_name
from hammerlib.study.spread import deviation, student_interval

# The primary contrasts and the smallest effect of interest of results/PROTOCOL.md.
PRIMARIES = (("hammer", "random"), ("min-path", "random"), ("dra", "random"))
MARGIN = 0.01
# Beside each arm and its twin: DRA against its placebo, and what HAMMER's paper compares its order with.
FURTHER = (
    ("dra", "dra-placebo"),
    ("hammer", "similar"),
    ("hammer", "easy-to-hard"),
    ("min-path", "hammer"),
    ("hammer-dra", "hammer"),
)
CUT = ("rollouts", "paid", "tokens")  # axes on which both arms of a pair are cut at the same place


def paired_endpoints(records: Records, arm: str, twin: str, *, threshold: float = THRESHOLD) -> pd.DataFrame:
    """Return every endpoint of an arm and of its twin, replicate by replicate.

    Where one of the two used more, both curves are cut where the other ends (rollouts; with probes for
    ``auc_paid``, tokens for ``auc_tokens``): both are judged at the same budget.

    Parameters
    ----------
    records : Records
    arm, twin : str
    threshold : float
        Pass@1 whose first crossing is timed.

    Returns
    -------
    DataFrame
        Columns ``replicate, start, endpoint, arm, twin, difference``; only replicates that hold both.

    Examples
    --------
    >>> paired_endpoints(Records("demo", (), pd.DataFrame()), "hammer", "random").empty
    True
    """
    ours, theirs = records.of(arm), records.of(twin)
    rows = []
    for replicate in sorted(set(ours) & set(theirs)):
        pair = ours[replicate], theirs[replicate]
        ends = {axis: min(_end(cell, axis) for cell in pair) for axis in CUT}
        a, b = (endpoints_of(cell, ends=ends, threshold=threshold) for cell in pair)
        named = {"replicate": replicate, "start": start_name(pair[0])}
        rows += [
            named | {"endpoint": name, "arm": a[name], "twin": b[name], "difference": a[name] - b[name]}
            for name in a
        ]
    return pd.DataFrame(rows, columns=["replicate", "start", "endpoint", "arm", "twin", "difference"])


def _end(cell: dict, axis: str) -> float:
    last = cell["curve"][-1]
    if axis == "tokens":
        return float(last["tokens"])
    return float(last["rollouts"] + (cell.get("probe_rollouts", 0) if axis == "paid" else 0))


def judged(differences: ArrayLike, starts: Sequence[object], *, margin: float) -> dict[str, float]:
    """Return what one set of paired differences says.

    Parameters
    ----------
    differences : array-like, (n,)
        Arm less twin, one a replicate.
    starts : sequence, (n,)
        Which start each replicate trained from.
    margin : float
        Largest difference that does not matter, above 0.

    Returns
    -------
    dict of str to float
        ``n, value, low, high`` (Student over replicates), ``p`` (paired t), ``p_signs`` (exact flips of
        signs), ``p_equivalent`` (two one-sided tests), ``sd, sd_low, sd_high``, ``starts``,
        ``between, within`` (standard deviations between starts and inside them), ``starts_low, starts_high``
        (Student's interval with a start as the unit), ``wins, wins_low, wins_high`` (share of replicates in
        which the arm is ahead). NaN where it cannot be known from so few.

    Raises
    ------
    InputError
        A margin that is not above 0.

    Examples
    --------
    >>> found = judged([0.0, 0.02, 0.01, 0.03], ["a", "a", "b", "b"], margin=0.01)
    >>> round(found["value"], 3), round(found["p"], 3), found["wins"]
    (0.015, 0.103, 0.875)
    """
    if not margin > 0:
        raise InputError("margin", margin, "must be above 0", "name the largest difference that is none")
    given = np.asarray(differences, dtype=np.float64)
    given, starts = given[np.isfinite(given)], np.array(starts, dtype=object)[np.isfinite(given)]
    mean, sd = student_interval(given), deviation(given)
    by_start = pd.Series(given).groupby(pd.Series(starts)).mean()
    apart = student_interval(by_start)
    wins = (given > 0) + 0.5 * (given == 0)
    won = mean_interval(wins) if len(wins) > 1 else Interval(*[float("nan")] * 3)
    return {
        "n": len(given),
        **mean._asdict(),
        **_tests(given, margin),
        **{"sd": sd.value, "sd_low": sd.low, "sd_high": sd.high},
        "starts": len(by_start),
        **_components(given, starts),
        **{"starts_low": apart.low, "starts_high": apart.high},
        **{"wins": won.value, "wins_low": won.low, "wins_high": won.high},
    }


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


def _components(given: np.ndarray, starts: np.ndarray) -> dict[str, float]:
    """One-way analysis of variance: a start stands for a problem, its replicates for samples of it."""
    groups = [given[starts == name] for name in dict.fromkeys(starts)]
    if len(groups) < 2 or min(map(len, groups)) < 2:
        return {"between": float("nan"), "within": float("nan")}
    inside = deviation(given, list(starts)).value ** 2
    size = len(groups) / sum(1 / len(group) for group in groups)
    means = [group.mean() for group in groups]
    found = variance_components(means, [inside] * len(groups), k=size)
    return {"between": float(np.sqrt(found.problems)), "within": float(np.sqrt(inside))}


def contrast_table(
    records: Records,
    pairs: Sequence[tuple[str, str]] | None = None,
    *,
    endpoint: str = "auc",
    primaries: Sequence[tuple[str, str]] = PRIMARIES,
    margin: float = MARGIN,
    threshold: float = THRESHOLD,
) -> pd.DataFrame:
    """Return one row a contrast of an arm with its twin, p-values corrected for their number.

    Holm's correction over the primary contrasts, Benjamini and Hochberg's over all others.

    Parameters
    ----------
    records : Records
    pairs : sequence of (arm, twin), optional
        Default every arm with the twin that its record names, and those of `FURTHER`.
    endpoint : str
        One of `endpoints.ENDPOINTS`.
    primaries : sequence of (arm, twin)
        Contrasts named before any run.
    margin : float
        Largest difference that does not matter, in the unit of the endpoint.
    threshold : float
        Pass@1 whose first crossing is timed.

    Returns
    -------
    DataFrame
        Columns ``contrast, arm, twin, primary``, those of `judged`, ``adjusted`` and ``correction``. Pairs
        without a common replicate are left out.

    Examples
    --------
    >>> contrast_table(Records("demo", (), pd.DataFrame())).empty
    True
    """
    rows = []
    named_twins = [*records.twins().items(), *FURTHER]
    for arm, twin in dict.fromkeys(named_twins if pairs is None else pairs):
        table = paired_endpoints(records, arm, twin, threshold=threshold)
        table = table[table["endpoint"] == endpoint]
        if len(table):
            named = {"contrast": f"{arm} - {twin}", "arm": arm, "twin": twin}
            named["primary"] = (arm, twin) in set(primaries)
            rows.append(named | judged(table["difference"], table["start"], margin=margin))
    return corrected(pd.DataFrame(rows))


def corrected(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of contrasts with ``adjusted`` p-values and the ``correction`` used.

    Parameters
    ----------
    table : DataFrame
        Columns ``primary`` (bool) and ``p``; a p of NaN takes no part.

    Examples
    --------
    >>> table = pd.DataFrame({"primary": [True, True, False], "p": [0.01, 0.04, 0.03]})
    >>> corrected(table)["adjusted"].tolist()
    [0.02, 0.04, 0.03]
    """
    table = table.assign(adjusted=float("nan"), correction="")
    if table.columns.isin(["primary", "p"]).sum() < 2:
        return table
    rules = ((True, "Holm", holm), (False, "Benjamini-Hochberg", benjamini_hochberg))
    for primary, name, rule in rules:
        among = (table["primary"] == primary) & table["p"].notna()
        table.loc[table["primary"] == primary, "correction"] = name
        if among.any():
            table.loc[among, "adjusted"] = rule(table.loc[among, "p"])
    return table
