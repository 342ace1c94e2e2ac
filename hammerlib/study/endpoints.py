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
from hammerlib.study import PROTOCOL
from hammerlib.study import records as reading
from hammerlib.study.records import Records, columns_of, filtered, samples_of

ENDPOINTS: dict[str, str] = PROTOCOL["endpoints"]  # name -> what it is, in words for tables
THRESHOLD = PROTOCOL["threshold"]
LATE = PROTOCOL["late"]
DRAWS = 1000  # of curves with noise, from seed 0
NAN = float("nan")


class Curve(NamedTuple):
    """Held-out pass@1 of a trial along one axis, which rises from 0."""

    axis: np.ndarray
    values: np.ndarray


class Crossing(NamedTuple):
    """Where a curve first reaches a threshold; the end of its axis where it never does."""

    at: float
    reached: bool


def curve_of(
    trial: dict, *, axis: str = "rollouts", family: str | None = None, unseen: bool = False
) -> Curve:
    """Return a trial's held-out pass@1 along an axis, over the families that RL trains on.

    `axis` is ``rollouts`` (generated in training, filtered ones too), ``paid`` (with those of a probe of the
    start), ``step``, ``prompts``, ``tokens`` (sampled in training; in older records those of the batches
    trained on) or ``seconds``. `family` asks for one family, `unseen` for those that RL does not train on.
    """
    topics = np.array(trial["topics"])
    kept = topics == family if family is not None else np.isin(topics, trial["unseen"]) == unseen
    if not kept.any():
        what = family or ("unseen families" if unseen else "trained families")
        raise InputError("family", what, "has no held-out problem", "choose another")
    points = trial["curve"]
    samples = samples_of(trial)
    values = np.array([np.array(point["correct"])[kept].mean() / samples for point in points])
    column = "rollouts" if axis == "paid" else columns_of(trial)[axis]
    positions = np.array([point[column] for point in points], dtype=np.float64)
    # During the probe the model stays as it was.
    if axis == "paid" and trial.get("probe_rollouts", 0):
        positions = np.append(0.0, positions + trial["probe_rollouts"])
        values = np.append(values[0], values)
    return Curve(positions, values)


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
    positions = np.asarray(axis, dtype=np.float64)
    return float(np.asarray(values)[positions >= (1 - LATE) * positions[-1] - 1e-9].mean())


def crossing(curve: Curve, threshold: float = THRESHOLD) -> Crossing:
    """Return where a curve first reaches the threshold, by straight lines between its points."""
    axis, values = curve
    above = np.flatnonzero(values >= threshold)
    if not len(above):
        return Crossing(float(axis[-1]), False)
    after = above[0]
    if after == 0:
        return Crossing(float(axis[0]), True)
    # linear between the last point below and the first above
    share = (threshold - values[after - 1]) / (values[after] - values[after - 1])
    return Crossing(float(axis[after - 1] + share * (axis[after] - axis[after - 1])), True)


def drawdown(values: ArrayLike) -> float:
    """Return the largest fall below the running maximum; noise alone makes it positive."""
    given = np.asarray(values, dtype=np.float64)
    return float((np.maximum.accumulate(given) - given).max())


def point_errors(trial: dict) -> np.ndarray:
    """Return the standard error of each point of the curve, from its samples alone; NaN for single ones."""
    samples = samples_of(trial)
    trained = ~np.isin(trial["topics"], trial["unseen"])
    if samples < 2:
        return np.full(len(trial["curve"]), np.nan)
    rates = np.array([point["correct"] for point in trial["curve"]])[:, trained] / samples
    # The problems are fixed: all points share them. Each one's p(1 - p) is estimated without bias by its own
    # samples, as r(1 - r) k / (k - 1), and the variance of its rate is p(1 - p) / k: the two k cancel.
    return np.sqrt((rates * (1 - rates) / (samples - 1)).sum(axis=1)) / trained.sum()


def drawdown_of_noise(trial: dict) -> float:
    """Return the drawdown to expect of a curve that never falls, from the noise of its samples."""
    from scipy.optimize import isotonic_regression

    errors = point_errors(trial)
    if np.isnan(errors).any():
        return NAN
    # The nearest curve that never falls, with normal errors. The points of a trial are examined with the same
    # random numbers, so that their real noise moves together: this is an upper bound rather than a mean.
    rising = isotonic_regression(curve_of(trial).values).x
    drawn = rising + errors * np.random.default_rng(0).standard_normal((DRAWS, len(rising)))
    return float((np.maximum.accumulate(drawn, axis=1) - drawn).max(axis=1).mean())


def effective_strategies(counts: Mapping[str, int]) -> float:
    """Return exp of the entropy of the strategies' shares among right samples; NaN where there are none."""
    numbers = np.array(list(counts.values()), dtype=np.float64)
    if not numbers.sum():
        return NAN
    return float(effective_modes(numbers, np.ones(len(numbers), dtype=bool)))


def endpoints_of(
    trial: dict, *, ends: Mapping[str, float] | None = None, threshold: float = THRESHOLD
) -> dict[str, float]:
    """Return every endpoint of a trial: the names of `ENDPOINTS`, ``start`` and ``reached`` (1 or 0).

    `ends` says where the curves along an axis (``rollouts``, ``paid``, ``tokens``) are cut, for two trials
    that used unequal amounts. NaN where the record holds nothing to measure an endpoint by.
    """
    ends = ends or {}
    main = cut(curve_of(trial), ends.get("rollouts"))
    first = crossing(main, threshold)
    # In steps up to the same moment as in rollouts: a curve that is cut counts no step behind the cut.
    steps = curve_of(trial, axis="step")
    last_step = float(np.interp(main.axis[-1], curve_of(trial).axis, steps.axis))

    # Where the probe alone is the budget there is no training to judge, only the start.
    paid = cut(curve_of(trial, axis="paid"), ends.get("paid"))
    auc_paid = area(paid) if paid.axis[-1] > trial.get("probe_rollouts", 0) else NAN
    auc_tokens = auc_unseen = final_unseen = NAN
    # Older records count the tokens trained on; those of filtered groups are in none of these.
    if reading.counts_samples(trial) or not filtered(trial):
        auc_tokens = area(cut(curve_of(trial, axis="tokens"), ends.get("tokens")))
    trained = ~np.isin(trial["topics"], trial["unseen"])
    if not trained.all():
        unseen = cut(curve_of(trial, unseen=True), ends.get("rollouts"))
        auc_unseen = area(unseen)
        final_unseen = late_mean(*unseen)

    final = trial["final"]
    correct = np.array(final["correct"])[trained]
    points = trial["curve"]
    answers = [point.get("answers") for point in points]
    answers_known = all(value is not None for value in answers)
    # Filtered groups make the share 0 by construction. A bonus changes the advantages behind the rewards that
    # telemetry saw: its groups do teach.
    flat = NAN if filtered(trial) else _mean_of_steps(trial, "zero_variance_share")
    unknown = filtered(trial) or reading.adjusts_advantages(trial)
    flat_adjusted = NAN if unknown else _mean_of_steps(trial, "zero_variance_share_adjusted")
    return {
        "auc": area(main),
        "final": late_mean(*main),
        "pass@k": float(np.mean(pass_at_k(final["samples"], correct, final["samples"]))),
        "greedy": float(np.array(final["greedy"])[trained].mean()),
        "strategies": effective_strategies(final.get("strategies") or {}),
        "auc_unseen": auc_unseen,
        "final_unseen": final_unseen,
        "auc_paid": auc_paid,
        "auc_tokens": auc_tokens,
        "entropy": _mean_of_steps(trial, "entropy"),
        "zero_variance_share": flat,
        "zero_variance_share_adjusted": flat_adjusted,
        "strategies_start": effective_strategies(points[0].get("strategies") or {}),
        "probe_entropy": _probe_entropy(trial, ends.get("tokens")),
        "answers": late_mean([point["rollouts"] for point in points], answers) if answers_known else NAN,
        "rollouts_to_threshold": first.at,
        "steps_to_threshold": min(crossing(steps, threshold).at, last_step),
        "reached": float(first.reached),
        "drawdown": drawdown(main.values),
        "drawdown_noise": drawdown_of_noise(trial),
        "start": float(main.values[0]),
        **_by_family(trial),
        "gap": _gap(trial),
    }


def _by_family(trial: dict) -> dict[str, float]:
    """`final` of the families, where a study shares out its training problems: their mean, and the lowest."""
    if not trial["settings"].get("shares"):
        return {"macro": NAN, "worst": NAN}
    families = sorted(set(trial["topics"]) - set(trial["unseen"]))
    finals = [late_mean(*curve_of(trial, family=family)) for family in families]
    return {"macro": float(np.mean(finals)), "worst": min(finals)}


def _gap(trial: dict) -> float:
    """Pass@1 of the last checkpoint on the problems it was trained on, less that on held-out ones."""
    if "trained" not in trial:
        return NAN
    seen = ~np.isin(trial["topics"], trial["unseen"])
    # families that are never trained on would widen the gap by what they are
    held_out = np.array(trial["final"]["correct"])[seen].mean() / trial["final"]["samples"]
    return float(np.mean(trial["trained"]["correct"]) / trial["trained"]["samples"] - held_out)


def frontier_table(records: Records) -> pd.DataFrame:
    """Return pass@1 and pass@k of the last checkpoint at each temperature, a row a trial and temperature."""
    rows = []
    for trial in records.cells:
        seen = ~np.isin(trial["topics"], trial["unseen"])
        samples = trial["final"]["samples"]
        for temperature, counts in {"1": trial["final"]["correct"], **trial.get("temperatures", {})}.items():
            correct = np.array(counts)[seen]
            row = {"arm": trial["arm"], "replicate": trial["replicate"], "temperature": float(temperature)}
            row |= {"pass@1": float(correct.mean() / samples)}
            rows.append(row | {"pass@k": float(np.mean(pass_at_k(samples, correct, samples)))})
    return pd.DataFrame(rows)


def _probe_entropy(trial: dict, end: float | None) -> float:
    """The entropy over fixed answers at the end of the budget, at equal tokens where `end` cuts."""
    points = trial["curve"]
    if any("probe_entropy" not in point for point in points):
        return NAN
    column = columns_of(trial)["tokens"]
    values = [point["probe_entropy"] for point in points]
    curve = Curve(np.array([point[column] for point in points], dtype=np.float64), np.array(values))
    return late_mean(*cut(curve, end))


def _mean_of_steps(trial: dict, metric: str) -> float:
    return float(np.mean(np.array(trial["training"].get(metric) or [NAN], dtype=np.float64)))


def endpoint_table(records: Records) -> pd.DataFrame:
    """Return ``arm, replicate, start_name`` and the endpoints of every trial, over the whole of its axis."""
    return _endpoint_table(records).copy()


@lru_cache(maxsize=8)
def _endpoint_table(records: Records) -> pd.DataFrame:
    rows = [
        {"arm": trial["arm"], "replicate": trial["replicate"], "start_name": reading.start_name(trial)}
        | endpoints_of(trial)
        for trial in records.cells
    ]
    return pd.DataFrame(rows)


def family_table(records: Records) -> pd.DataFrame:
    """Return ``arm, replicate, family, unseen, auc, final``: one row a trial and family of problems."""
    rows = []
    for trial in records.cells:
        for family in sorted(set(trial["topics"])):
            curve = curve_of(trial, family=family)
            named = {"arm": trial["arm"], "replicate": trial["replicate"], "family": family}
            named["unseen"] = family in trial["unseen"]
            rows.append(named | {"auc": area(curve), "final": late_mean(*curve)})
    return pd.DataFrame(rows, columns=["arm", "replicate", "family", "unseen", "auc", "final"])
