"""Tables of a study as Markdown. What has a single replicate has no interval and stands in none of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hammerlib.study.contrasts import PRIMARIES
from hammerlib.study.discoveries import ADJUSTED, COMPARED, SPREAD, WAITING, adjusted_of, main_contrasts
from hammerlib.study.endpoints import family_table
from hammerlib.study.families import family_table_of
from hammerlib.study.formats import NONE, Measured, interval, markdown, p_value, shown
from hammerlib.study.records import Records
from hammerlib.study.spread import spread_table, student_interval
from hammerlib.study.thresholds import threshold_table
from hammerlib.study.verdicts import OTHER_LEVEL, verdict

SHARES = (0.0, 1.0)
# `discoveries.study_tests` has no row of these where they are the same as another endpoint.
SAME = {"auc_paid": "as auc", ADJUSTED: "as graded"}
BY_RUN = "°"  # an interval without zero that holds it with one number a supervised run


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
        cells = [shown(one, 100 if shares else 1, 1 if shares else 3) for one in found]
        if len(part) > 1:
            rows.append([str(arm), str(len(part)), *cells])
    return markdown(["arm", "n", *names], rows)


def shown_contrasts(table: pd.DataFrame) -> str:
    """Return one line a contrast, the primary ones first and bold.

    Parameters
    ----------
    table : DataFrame
        `discoveries.main_contrasts`.

    Examples
    --------
    >>> shown_contrasts(pd.DataFrame()).count("|")
    22
    """
    header = ["contrast", "n", "difference", "test", "corrected", "signs", "equivalence"]
    header += ["interval by supervised seeds", "ahead", "verdict"]
    rows = []
    ordered = table.sort_values("primary", ascending=False, kind="stable") if len(table) else table
    for one in ordered.itertuples():
        if one.n < 2:
            continue
        seeds = f"[{100 * one.seeds_low:.1f}, {100 * one.seeds_high:.1f}] (n = {one.seeds})"
        mark = "H" if one.correction == "Holm" else "BH"
        rows.append(
            [
                f"**{one.contrast}**" if one.primary else one.contrast,
                f"{one.n}",
                interval(one),
                p_value(one.p),
                f"{p_value(one.adjusted)} ({mark})",
                p_value(one.p_signs),
                p_value(one.p_equivalent),
                NONE if np.isnan(one.seeds_low) else seeds,
                NONE if np.isnan(one.wins) else f"{100 * one.wins:.0f} %",
                _told(one),
            ]
        )
    return markdown(header, rows)


def _told(one: Any) -> str:
    if one.primary:
        return verdict(one.low, one.high, one.adjusted, one.p_equivalent)
    told = verdict(one.low, one.high, one.adjusted, one.p_equivalent, level=OTHER_LEVEL)
    return f"{told} (exploratory)" if told.startswith(("better", "worse")) else told


def shown_endpoints(
    tests: pd.DataFrame, names: Sequence[str] = COMPARED, *, unit: float = 100, digits: int = 1
) -> str:
    """Return one line a contrast with its difference in several endpoints.

    Parameters
    ----------
    tests : DataFrame
        `discoveries.study_tests`.
    names : sequence of str
        Of `endpoints.ENDPOINTS`.
    unit, digits
        As in `formats.interval`: 100 for shares, told in points.

    Examples
    --------
    >>> shown_endpoints(pd.DataFrame(), ["final"]).splitlines()[0]
    '| contrast | n | final |'
    """
    columns: dict[str, dict[str, str]] = {}
    for name in names:
        for one in main_contrasts(tests, name).itertuples():
            found = f"{interval(one, unit=unit, digits=digits)}{_by_run(one)}, {p_value(one.adjusted)}"
            columns.setdefault(one.contrast, {})[name] = NONE if np.isnan(one.value) else found
    several = main_contrasts(tests).query("n > 1") if len(tests) else tests
    rows = [
        [one.contrast, str(one.n), *(columns[one.contrast].get(name, SAME.get(name, NONE)) for name in names)]
        for one in several.itertuples()
    ]
    return markdown(["contrast", "n", *names], rows)


def _by_run(one: Any) -> str:
    return BY_RUN if not one.low <= 0 <= one.high and one.seeds_low <= 0 <= one.seeds_high else ""


def shown_families(records: Records) -> str:
    """Return the primary contrasts in every family that RL trains on, and over them.

    Parameters
    ----------
    records : Records

    Examples
    --------
    >>> shown_families(Records("demo", (), pd.DataFrame())).splitlines()[0]
    '| contrast | n |'
    """
    families = family_table(records)
    trained = families[~families["unseen"].astype(bool)]
    table = family_table_of(trained, PRIMARIES)
    names = list(dict.fromkeys(table["family"]))
    rows = []
    for contrast, part in table.groupby("contrast", sort=False):
        found = {one.family: one for one in part.itertuples()}
        rows.append([str(contrast), str(part["n"].iloc[0]), *(_family(name, found[name]) for name in names)])
    return markdown(["contrast", "n", *names], rows)


def _family(name: str, found: Measured) -> str:
    return interval(found, digits=0) + " %" if name == "ahead" else interval(found)


def shown_thresholds(records: Records, tests: pd.DataFrame) -> str:
    """Return one line an arm: how many replicates reach the threshold, and how soon, in rollouts and steps.

    Parameters
    ----------
    records : Records
    tests : DataFrame
        `discoveries.study_tests`.

    Examples
    --------
    >>> shown_thresholds(Records("demo", (), pd.DataFrame()), pd.DataFrame()).count("|")
    16
    """
    rows, adjusted, twins = [], adjusted_of(tests, WAITING), records.twins()
    steps = threshold_table(records, axis="step")
    for arm, one in threshold_table(records).iterrows():
        if one["n"] < 2:
            continue
        lengths = [shown((row["mean"], row["low"], row["high"]), 1, 0) for row in (one, steps.loc[arm])]
        sooner = [shown(_sooner(row), 1, 0) for row in (one, steps.loc[arm])]
        p = adjusted.get(f"{arm} - {twins.get(arm)}", float("nan"))
        reached = f"{one['reached']:.0f} of {one['n']:.0f}"
        rows.append([str(arm), reached, lengths[0], sooner[0], p_value(p), lengths[1], sooner[1]])
    header = ["arm", "reached", "rollouts, restricted mean", "sooner than twin", "corrected"]
    return markdown([*header, "steps, restricted mean", "sooner than twin, steps"], rows)


def _sooner(row: pd.Series) -> tuple[float, float, float]:
    return row["sooner"], row["sooner_low"], row["sooner_high"]


def shown_spreads(endpoints: pd.DataFrame, twins: Mapping[str, str], tests: pd.DataFrame) -> str:
    """Return one line an arm: how far its replicates lie apart at the end, in points.

    Parameters
    ----------
    endpoints, twins
        As in `spread.spread_table`.
    tests : DataFrame
        `discoveries.study_tests`.

    Examples
    --------
    >>> table = pd.DataFrame({"arm": ["a"] * 2, "replicate": [0, 1], "start_name": "s", "final": [0.5, 0.5]})
    >>> shown_spreads(table, {}, pd.DataFrame()).splitlines()[-1]
    '| a | 2 | 0.0 [0.0, 0.0] | 0.0 [0.0, 0.0] | – | – |'
    """
    rows, adjusted = [], adjusted_of(tests, SPREAD)
    for arm, one in spread_table(endpoints, twins).iterrows():
        if one["n"] < 2:
            continue
        whole = shown((one["sd"], one["low"], one["high"]), 100, 1)
        inside = shown((one["inside"], one["inside_low"], one["inside_high"]), 100, 1)
        ratio = NONE if np.isnan(one["ratio"]) else f"{one['ratio']:.2f}"
        p = p_value(adjusted.get(f"{arm} - {twins.get(arm)}", float("nan")))
        rows.append([str(arm), f"{one['n']:.0f}", whole, inside, ratio, p])
    return markdown(["arm", "n", "over replicates", "inside a start", "ratio to twin", "corrected"], rows)


def shown_causes(table: pd.DataFrame, tests: pd.DataFrame) -> str:
    """Return one line a cause that has two replicates or more.

    Parameters
    ----------
    table : DataFrame
        `decomposition.decomposition_table`.
    tests : DataFrame
        `discoveries.study_tests`.

    Examples
    --------
    >>> shown_causes(pd.DataFrame(), pd.DataFrame()).count("|")
    20
    """
    rows, adjusted = [], adjusted_of(tests)
    for one in table.itertuples():
        if one.n > 1:
            there = shown((one.whole, one.whole_low, one.whole_high), 100, 1)
            there += f" (n = {one.whole_n})" if one.whole_n != one.n else ""
            found = [interval(one), p_value(adjusted.get(one.contrast, float("nan"))), there]
            cells = [one.cause, one.contrast, one.differs, str(one.n), *found, one.expected, one.reading]
            rows.append(cells)
    header = ["cause", "contrast", "what differs", "n", "difference", "corrected"]
    return markdown([*header, "whole effect there", "expected", "reading"], rows)


def shown_interactions(table: pd.DataFrame) -> str:
    """Return one line an interaction.

    Parameters
    ----------
    table : DataFrame
        Rows of `discoveries.study_tests` of that kind.

    Examples
    --------
    >>> shown_interactions(pd.DataFrame()).splitlines()[0]
    '| difference of differences | n | points | corrected |'
    """
    rows = [
        [one.contrast, f"{one.n:.0f}", interval(one), p_value(one.adjusted)] for one in table.itertuples()
    ]
    return markdown(["difference of differences", "n", "points", "corrected"], rows)
