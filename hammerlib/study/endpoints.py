"""The held-out curve of a trial, and what one number says of it: areas, ends, thresholds, falls."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hammerlib.errors import InputError
from hammerlib.evaluation import pass_at_k
from hammerlib.exact.modes import effective_modes
from hammerlib.study.records import Records, filtered, samples_of, start_name

LATE = (
    0.2  # share of the axis whose mean is the final value: the last checkpoint alone is biased by its batch
)
THRESHOLD = 0.70  # pass@1 whose first crossing is timed


class Curve(NamedTuple):
    """Held-out pass@1 of a cell along one axis."""

    axis: np.ndarray
    values: np.ndarray


class Crossing(NamedTuple):
    """When a curve first reaches a threshold."""

    at: float
    reached: bool


def curve_of(cell: dict, *, axis: str = "rollouts", family: str | None = None, unseen: bool = False) -> Curve:
    """Return a cell's held-out pass@1 along an axis."""
    topics = np.array(cell["topics"])
    kept = topics == family if family is not None else np.isin(topics, cell["unseen"]) == unseen
    if not kept.any():
        what = family or ("unseen families" if unseen else "trained families")
        raise InputError("family", what, "has no held-out problem", "choose another")
    samples = samples_of(cell)
    values = np.array([np.array(point["correct"])[kept].mean() / samples for point in cell["curve"]])
    column = "rollouts" if axis == "paid" else axis
    places = np.array([point[column] for point in cell["curve"]], dtype=np.float64)
    probe = cell.get("probe_rollouts", 0) if axis == "paid" else 0
    if probe:
        places, values = np.append(0.0, places + probe), np.append(values[0], values)
    return Curve(places, values)


def cut(curve: Curve, end: float | None) -> Curve:
    """Return the curve up to `end`, where its value lies on the straight line between two points."""
    axis, values = curve
    end = float(axis[-1] if end is None else end)
    if not axis[0] < end <= axis[-1] * (1 + 1e-12):
        raise InputError("end", end, f"the curve runs from {axis[0]:g} to {axis[-1]:g}", "choose it inside")
    inside = axis < end
    return Curve(np.append(axis[inside], end), np.append(values[inside], np.interp(end, axis, values)))


def area(curve: Curve) -> float:
    """Return the mean height of a curve: its area by the trapezoid rule over the length of the axis."""
    return float(np.trapezoid(curve.values, curve.axis) / (curve.axis[-1] - curve.axis[0]))


def late_mean(axis: ArrayLike, values: ArrayLike) -> float:
    """Return the mean of the values in the last fifth of an axis that starts at 0 (its ends included)."""
    places = np.asarray(axis, dtype=np.float64)
    return float(np.asarray(values)[places >= (1 - LATE) * places[-1] - 1e-9].mean())


def crossing(curve: Curve, threshold: float = THRESHOLD) -> Crossing:
    """Return where a curve first reaches the threshold."""
    axis, values = curve
    above = np.flatnonzero(values >= threshold)
    if not len(above):
        return Crossing(float(axis[-1]), False)
    after = above[0]
    if after == 0:
        return Crossing(float(axis[0]), True)
    risen = (threshold - values[after - 1]) / (values[after] - values[after - 1])
    return Crossing(float(axis[after - 1] + risen * (axis[after] - axis[after - 1])), True)


def drawdown(values: ArrayLike) -> float:
    """Return the largest fall below the running maximum; noise alone makes it positive (module `noise`)."""
    given = np.asarray(values, dtype=np.float64)
    return float((np.maximum.accumulate(given) - given).max())


DRAWS = 1000
SEED = 0


def point_errors(cell: dict) -> np.ndarray:
    """Return the standard error of each point of the curve, from its samples alone."""
    samples, seen = samples_of(cell), ~np.isin(cell["topics"], cell["unseen"])
    if samples < 2:
        return np.full(len(cell["curve"]), np.nan)
    rates = np.array([point["correct"] for point in cell["curve"]])[:, seen] / samples
    return np.sqrt((rates * (1 - rates) / (samples - 1)).sum(axis=1)) / seen.sum()


def drawdown_of_noise(cell: dict) -> float:
    """Return the drawdown to expect of a curve that never falls, from the noise of its samples."""
    from scipy.optimize import isotonic_regression

    errors = point_errors(cell)
    if np.isnan(errors).any():
        return float("nan")
    rising = isotonic_regression(curve_of(cell).values).x
    drawn = rising + errors * np.random.default_rng(SEED).standard_normal((DRAWS, len(rising)))
    return float((np.maximum.accumulate(drawn, axis=1) - drawn).max(axis=1).mean())


# Endpoint -> what it is, in words for tables.
ENDPOINTS = {
    "auc": "area under held-out pass@1 over rollouts generated in training, divided by their number",
    "final": "mean pass@1 of the last fifth of the rollouts",
    "pass@k": "pass@k of the last checkpoint, k = all samples drawn there",
    "greedy": "greedy accuracy of the last checkpoint",
    "auc_unseen": "as auc, on families that RL does not train on",
    "final_unseen": "as final, on those families",
    "auc_paid": "as auc, with the rollouts of a probe of the start before training; none where the probe "
    "alone is the budget",
    "auc_tokens": "as auc, over tokens of the batches trained on, prompts included; none where groups are "
    "filtered, whose tokens the record does not hold",
    "entropy": "token entropy in training, nats, mean over all steps: each arm of one pass trains on the "
    "same problems",
    "answers": "different answers among the samples of a held-out problem, unseen families too, mean of the "
    "last fifth",
    "strategies": "effective number of solution strategies among right samples of the last checkpoint, all "
    "held-out problems pooled, unseen families too",
    "rollouts_to_threshold": "rollouts until pass@1 first reaches the threshold; else the budget",
    "steps_to_threshold": "optimizer steps until then; else all steps",
    "drawdown": "largest fall of the curve below its highest point so far",
    "drawdown_noise": "drawdown that the noise of its samples alone would give a curve that never falls",
    "zero_variance_share": "groups all right or all wrong, as graded, among those trained on, mean over "
    "steps; none where they are filtered out, for it is 0 there by construction",
    "zero_variance_share_adjusted": "groups whose rewards are all equal after DRA: they teach nothing; none "
    "for the placebo and bonuses, which change advantages, so that the record does not hold it",
    "strategies_start": "as strategies, of the samples of the start",
}


def effective_strategies(counts: Mapping[str, int]) -> float:
    """Return exp of the entropy of the strategies' shares among right samples; NaN where there are none."""
    found = np.array(list(counts.values()), dtype=np.float64)
    if not found.sum():
        return float("nan")
    return float(effective_modes(found, np.ones(len(found), dtype=bool)))


def endpoints_of(
    cell: dict, *, ends: Mapping[str, float] | None = None, threshold: float = THRESHOLD
) -> dict[str, float]:
    """Return every endpoint of a cell."""
    ends = ends or {}
    main = cut(curve_of(cell), ends.get("rollouts"))
    steps = curve_of(cell, axis="step")
    first = crossing(main, threshold)
    # In steps up to the same moment as in rollouts: a curve that is cut counts no step behind the cut.
    behind = np.interp(main.axis[-1], curve_of(cell).axis, steps.axis)
    return {
        "auc": area(main),
        "final": late_mean(*main),
        **_of_last(cell),
        **_of_unseen(cell, ends),
        "auc_paid": _paid(cell, ends),
        "auc_tokens": _over_tokens(cell, ends),
        **_of_process(cell),
        "rollouts_to_threshold": first.at,
        "steps_to_threshold": min(crossing(steps, threshold).at, float(behind)),
        "reached": float(first.reached),
        "drawdown": drawdown(main.values),
        "drawdown_noise": drawdown_of_noise(cell),
        "start": float(main.values[0]),
    }


def _paid(cell: dict, ends: Mapping[str, float]) -> float:
    paid = cut(curve_of(cell, axis="paid"), ends.get("paid"))
    # Where the probe alone is the budget there is no training to judge, only the start.
    return area(paid) if paid.axis[-1] > cell.get("probe_rollouts", 0) else float("nan")


def _over_tokens(cell: dict, ends: Mapping[str, float]) -> float:
    # The trainer counts the tokens it trains on; those of filtered groups are in no record.
    return float("nan") if filtered(cell) else area(cut(curve_of(cell, axis="tokens"), ends.get("tokens")))


def _of_unseen(cell: dict, ends: Mapping[str, float]) -> dict[str, float]:
    if not np.isin(cell["topics"], cell["unseen"]).any():
        return {"auc_unseen": float("nan"), "final_unseen": float("nan")}
    curve = cut(curve_of(cell, unseen=True), ends.get("rollouts"))
    return {"auc_unseen": area(curve), "final_unseen": late_mean(*curve)}


def _of_last(cell: dict) -> dict[str, float]:
    last, seen = cell["final"], ~np.isin(cell["topics"], cell["unseen"])
    right, samples = np.array(last["correct"])[seen], last["samples"]
    return {
        "pass@k": float(np.mean(pass_at_k(samples, right, samples))),
        "greedy": float(np.array(last["greedy"])[seen].mean()),
        "strategies": effective_strategies(last.get("strategies") or {}),
    }


def _of_process(cell: dict) -> dict[str, float]:
    log, points = cell["training"], cell["curve"]
    nothing = [float("nan")]
    entropy = np.array(log.get("entropy") or nothing, dtype=np.float64)
    flat, flat_adjusted = (
        np.array(log.get(name) or nothing, dtype=np.float64)
        for name in ("zero_variance_share", "zero_variance_share_adjusted")
    )
    answers = [point.get("answers") for point in points]
    told = not any(value is None for value in answers)
    return {
        "entropy": float(np.mean(entropy)),
        "zero_variance_share": float("nan") if filtered(cell) else float(np.mean(flat)),
        # A bonus changes the advantages behind the rewards that telemetry saw: its groups do teach.
        "zero_variance_share_adjusted": float("nan")
        if filtered(cell) or cell["settings"].get("bonus")
        else float(np.mean(flat_adjusted)),
        "strategies_start": effective_strategies(points[0].get("strategies") or {}),
        "answers": late_mean([p["rollouts"] for p in points], answers) if told else float("nan"),
    }


def endpoint_table(records: Records, *, threshold: float = THRESHOLD) -> pd.DataFrame:
    """Return the endpoints of every cell, each over the whole of its own axis; kept for the next call."""
    return _endpoint_table(records, threshold).copy()


@lru_cache(maxsize=8)
def _endpoint_table(records: Records, threshold: float) -> pd.DataFrame:
    rows = [
        {"arm": cell["arm"], "replicate": cell["replicate"], "start_name": start_name(cell)}
        | endpoints_of(cell, threshold=threshold)
        for cell in records.cells
    ]
    return pd.DataFrame(rows)


def family_table(records: Records) -> pd.DataFrame:
    """Return ``auc`` and ``final`` of every cell by family of problems."""
    rows = []
    for cell in records.cells:
        for family in sorted(set(cell["topics"])):
            curve = curve_of(cell, family=family)
            named = {"arm": cell["arm"], "replicate": cell["replicate"], "family": family}
            named["unseen"] = family in cell["unseen"]
            rows.append(named | {"auc": area(curve), "final": late_mean(*curve)})
    return pd.DataFrame(rows, columns=["arm", "replicate", "family", "unseen", "auc", "final"])
