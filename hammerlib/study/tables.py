"""Tables of a study as Markdown: numbers with intervals, p-values, words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from hammerlib.study.contrasts import PRIMARIES, contrast_table
from hammerlib.study.endpoints import family_table
from hammerlib.study.families import family_table_of
from hammerlib.study.records import Records
from hammerlib.study.spread import spread_table, student_interval
from hammerlib.study.thresholds import threshold_table
from hammerlib.study.verdicts import OTHER_LEVEL, verdict

NONE = "–"
SHARES = (0.0, 1.0)


class Measured(Protocol):
    """Anything with ``value``, ``low`` and ``high``, such as a row of a table.

    Examples
    --------
    >>> from hammerlib.evaluation import Interval
    >>> found: Measured = Interval(0.1, 0.0, 0.2)
    """

    value: float
    low: float
    high: float


def interval(found: Measured, *, unit: float = 100, digits: int = 1) -> str:
    """Return ``value [low, high]``; without ends where there are none.

    Parameters
    ----------
    found : Measured
    unit : float
        What all are multiplied with: 100 for points.
    digits : int
        After the point.

    Examples
    --------
    >>> from hammerlib.evaluation import Interval
    >>> interval(Interval(0.012, -0.004, 0.028))
    '1.2 [-0.4, 2.8]'
    """
    return _shown((found.value, found.low, found.high), unit, digits)


def _shown(found: tuple[float, float, float], unit: float, digits: int) -> str:
    value, low, high = (unit * one + 0.0 for one in found)
    if np.isnan(value):
        return NONE
    text = f"{value:.{digits}f}"
    return text if np.isnan(low) else f"{text} [{low:.{digits}f}, {high:.{digits}f}]"


def p_value(p: float) -> str:
    """Return a p-value with three digits.

    Examples
    --------
    >>> p_value(0.0301), p_value(0.00001), p_value(0.9999)
    ('p = .030', 'p < .001', 'p = 1')
    """
    if np.isnan(p):
        return NONE
    return "p < .001" if p < 0.001 else "p = 1" if p >= 0.9995 else f"p = {p:.3f}".replace("0.", ".", 1)


def shown_arms(endpoints: pd.DataFrame, names: Sequence[str], *, shares: bool = True) -> str:
    """Return one line an arm with the mean of some endpoints over its replicates.

    Parameters
    ----------
    endpoints : DataFrame
        `endpoints.endpoint_table`.
    names : sequence of str
        Its columns.
    shares : bool
        They are shares, told in per cent.

    Examples
    --------
    >>> shown_arms(pd.DataFrame({"arm": ["a", "a"], "auc": [0.5, 0.5]}), ["auc"]).splitlines()[-1]
    '| a | 2 | 50.0 [50.0, 50.0] |'
    """
    rows = []
    for arm, part in endpoints.groupby("arm", sort=False):
        found = [
            student_interval(part[name].dropna(), bounds=SHARES if shares else (0.0, np.inf))
            for name in names
        ]
        cells = [_shown(one, 100 if shares else 1, 1 if shares else 3) for one in found]
        rows.append([str(arm), str(len(part)), *cells])
    return _markdown(["arm", "n", *names], rows)


def shown_contrasts(table: pd.DataFrame) -> str:
    """Return one line a contrast, the primary ones first and bold.

    Parameters
    ----------
    table : DataFrame
        `contrasts.contrast_table`.

    Examples
    --------
    >>> shown_contrasts(pd.DataFrame()).count("|")
    22
    """
    header = ["contrast", "n", "difference", "test", "corrected", "signs", "equivalence"]
    header += ["interval by starts", "ahead", "verdict"]
    rows = []
    ordered = table.sort_values("primary", ascending=False, kind="stable") if len(table) else table
    for one in ordered.itertuples():
        starts = f"[{100 * one.starts_low:.1f}, {100 * one.starts_high:.1f}]"
        mark = "H" if one.correction == "Holm" else "BH"
        rows.append(
            [
                f"**{one.contrast}**" if one.primary else one.contrast,
                str(one.n),
                interval(one),
                p_value(one.p),
                f"{p_value(one.adjusted)} ({mark})",
                p_value(one.p_signs),
                p_value(one.p_equivalent),
                NONE if np.isnan(one.starts_low) else starts,
                NONE if np.isnan(one.wins) else f"{100 * one.wins:.0f} %",
                _told(one),
            ]
        )
    return _markdown(header, rows)


def _told(one: Any) -> str:
    if one.n < 2:
        return NONE
    if one.primary:
        return verdict(one.low, one.high, one.adjusted, one.p_equivalent)
    told = verdict(one.low, one.high, one.adjusted, one.p_equivalent, level=OTHER_LEVEL)
    return f"{told} (exploratory)" if one.adjusted < OTHER_LEVEL else told


def shown_endpoints(records: Records, names: Sequence[str]) -> str:
    """Return one line a contrast with its difference in several endpoints that are shares.

    Parameters
    ----------
    records : Records
    names : sequence of str
        Of `endpoints.ENDPOINTS`.

    Examples
    --------
    >>> shown_endpoints(Records("demo", (), pd.DataFrame()), ["final"]).splitlines()[0]
    '| contrast | final |'
    """
    columns: dict[str, dict[str, str]] = {}
    for name in names:
        for one in contrast_table(records, endpoint=name, primaries=()).itertuples():
            told = NONE if np.isnan(one.value) else f"{interval(one)}, {p_value(one.adjusted)}"
            columns.setdefault(one.contrast, {})[name] = told
    rows = [[contrast, *(found.get(name, NONE) for name in names)] for contrast, found in columns.items()]
    return _markdown(["contrast", *names], rows)


def shown_families(records: Records) -> str:
    """Return the primary contrasts in every family that RL trains on, and over them.

    Parameters
    ----------
    records : Records

    Examples
    --------
    >>> shown_families(Records("demo", (), pd.DataFrame())).splitlines()[0]
    '| contrast |'
    """
    families = family_table(records)
    trained = families[~families["unseen"].astype(bool)]
    table = family_table_of(trained, PRIMARIES)
    names = list(dict.fromkeys(table["family"]))
    rows = []
    for contrast, part in table.groupby("contrast", sort=False):
        found = {one.family: one for one in part.itertuples()}
        rows.append([str(contrast), *(_family(name, found[name]) for name in names)])
    return _markdown(["contrast", *names], rows)


def _family(name: str, found: Measured) -> str:
    return interval(found, unit=1, digits=2) if name == "improvement" else interval(found)


def shown_thresholds(records: Records) -> str:
    """Return one line an arm: how many replicates reach the threshold, and how soon.

    Parameters
    ----------
    records : Records

    Examples
    --------
    >>> shown_thresholds(Records("demo", (), pd.DataFrame())).count("|")
    12
    """
    rows = []
    for arm, one in threshold_table(records).iterrows():
        mean = _shown((one["mean"], one["low"], one["high"]), 1, 0)
        sooner = _shown((one["sooner"], one["sooner_low"], one["sooner_high"]), 1, 0)
        reached = f"{one['reached']:.0f} of {one['n']:.0f}"
        rows.append([str(arm), reached, mean, sooner, p_value(one["p_logrank"])])
    return _markdown(["arm", "reached", "restricted mean", "sooner than twin", "log-rank"], rows)


def shown_spreads(endpoints: pd.DataFrame, twins: Mapping[str, str]) -> str:
    """Return one line an arm: how far its replicates lie apart at the end, in points.

    Parameters
    ----------
    endpoints, twins
        As in `spread.spread_table`.

    Examples
    --------
    >>> table = pd.DataFrame({"arm": ["a"] * 2, "replicate": [0, 1], "start_name": "s", "final": [0.5, 0.5]})
    >>> shown_spreads(table, {}).splitlines()[-1]
    '| a | 2 | 0.0 [0.0, 0.0] | 0.0 [0.0, 0.0] | – | – |'
    """
    rows = []
    for arm, one in spread_table(endpoints, twins).iterrows():
        whole = _shown((one["sd"], one["low"], one["high"]), 100, 1)
        inside = _shown((one["inside"], one["inside_low"], one["inside_high"]), 100, 1)
        ratio = NONE if np.isnan(one["ratio"]) else f"{one['ratio']:.2f}"
        rows.append([str(arm), f"{one['n']:.0f}", whole, inside, ratio, p_value(one["p"])])
    return _markdown(["arm", "n", "over replicates", "inside a start", "ratio to twin", "test"], rows)


def shown_causes(table: pd.DataFrame) -> str:
    """Return one line a cause.

    Parameters
    ----------
    table : DataFrame
        `decomposition.decomposition_table`.

    Examples
    --------
    >>> shown_causes(pd.DataFrame()).splitlines()[0]
    '| cause | contrast | what differs | n | difference | corrected | expected | reading |'
    """
    rows = []
    for one in table.itertuples():
        found = [interval(one), p_value(one.adjusted), one.expected, one.reading]
        rows.append([one.cause, one.contrast, one.differs, str(one.n), *found])
    header = ["cause", "contrast", "what differs", "n", "difference", "corrected", "expected", "reading"]
    return _markdown(header, rows)


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
