"""Figures of a study: curves with bands over replicates, paired differences, times to a threshold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hammerlib.evaluation import Interval
from hammerlib.plots.curves import forest
from hammerlib.plots.style import axes_or_new, caption, legend_beside, palette, panels
from hammerlib.study.contrasts import LEVELS, crossing_times, student_interval, survival_steps
from hammerlib.study.endpoints import THRESHOLD, Curve, curve_of
from hammerlib.study.records import Records, counts_samples

UNITS = {
    "rollouts": "completions generated in training",
    "paid": "completions generated, probes of the start too",
    "tokens": "tokens of the batches trained on, prompts included",
    "seconds": "seconds of training",
    "step": "optimizer steps",
    "prompts": "prompts consumed",
}
SAMPLED = "tokens sampled in training"  # what `tokens` are in records that hold them
POINTS = 21  # places of a common axis


def _unit(records: Records, axis: str) -> str:
    if axis == "tokens" and records.cells and counts_samples(records.cells[0]):
        return SAMPLED
    return UNITS[axis]


def replicate_curves(
    records: Records,
    arms: Sequence[str],
    *,
    axis: str = "rollouts",
    unseen: bool = False,
    band: bool = True,
    title: str,
    note: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw held-out pass@1 of some arms: the mean over replicates, and Student's 95 % band at each place.

    Parameters
    ----------
    records : Records
    arms : sequence of str
        Those that have no record are left out.
    axis : str
        As in `study.curves.curve_of`; replicates are read off at the same places of it.
    unseen : bool
        Families that RL does not train on, instead of the others.
    band : bool
        False: means alone, where the spread of starts would hide them and paired differences stand beside.

    Examples
    --------
    >>> nothing = Records("demo", (), pd.DataFrame())
    >>> len(replicate_curves(nothing, ["random"], title="t", note="n").lines)
    0
    """
    ax = axes_or_new(ax)
    shades = palette(arms)
    for arm in arms:
        curves = [curve_of(cell, axis=axis, unseen=unseen) for cell in records.of(arm).values()]
        if curves:
            _mean(ax, _places(curves), curves, arm, shades[arm], band=band)
    ax.set(xlabel=_unit(records, axis), ylabel="held-out pass@1 (share of samples)")
    if ax.lines:
        ax.legend(loc="lower right")
    return caption(ax, title, note)


def difference_curves(
    records: Records,
    pairs: Sequence[tuple[str, str]],
    *,
    axis: str = "rollouts",
    margin: float | None = None,
    title: str,
    note: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw arm less control arm along an axis: mean over replicates, Student's 95 % band at each place."""
    ax = axes_or_new(ax)
    shades = palette(f"{arm} - {control}" for arm, control in pairs)
    for arm, control in pairs:
        trials = records.of(arm)
        control_trials = records.of(control)
        common = sorted(set(trials) & set(control_trials))
        if not common:
            continue
        ours = [curve_of(trials[replicate], axis=axis) for replicate in common]
        theirs = [curve_of(control_trials[replicate], axis=axis) for replicate in common]
        places = _places([*ours, *theirs])
        differences = [
            Curve(places, np.interp(places, *a) - np.interp(places, *b))
            for a, b in zip(ours, theirs, strict=True)
        ]
        name = f"{arm} - {control}"
        _mean(ax, places, differences, name, shades[name], unit=100.0, bounds=(-100.0, 100.0))
    if margin is not None:
        ax.axhspan(-100 * margin, 100 * margin, color="#999999", alpha=0.15, linewidth=0)
    ax.axhline(0, color="#999999", linewidth=1)
    ax.set(xlabel=_unit(records, axis), ylabel="difference in held-out pass@1 (points)")
    if ax.get_legend_handles_labels()[0]:
        legend_beside(ax)
    return caption(ax, title, note)


def _places(curves: Sequence[Curve]) -> np.ndarray:
    """Places up to where the shortest curve ends: the common ones where all have the same, else even ones."""
    first = curves[0].axis
    if all(len(curve.axis) == len(first) and np.allclose(curve.axis, first) for curve in curves):
        return first
    return np.linspace(0, min(curve.axis[-1] for curve in curves), POINTS)


def _mean(
    ax: Axes,
    places: np.ndarray,
    curves: Sequence[Curve],
    name: str,
    shade: str,
    *,
    unit: float = 1.0,
    bounds: tuple[float, float] = (0.0, 1.0),
    band: bool = True,
) -> None:
    table = unit * np.stack([np.interp(places, *curve) for curve in curves])
    intervals = [student_interval(column, bounds=bounds) for column in table.T]
    means, lows, highs = zip(*intervals, strict=True)
    ax.plot(places, means, "-o", color=shade, markersize=2.5, linewidth=1.4, label=name)
    if band and len(curves) > 1:
        ax.fill_between(places, lows, highs, color=shade, alpha=0.13, linewidth=0)


def contrast_forest(
    table: pd.DataFrame,
    *,
    margin: float | None = None,
    name: str = "contrast",
    label: str = "difference in area under held-out pass@1 (points)",
    title: str,
    note: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw contrasts with their intervals in points; filled where the corrected test finds a difference.

    Parameters
    ----------
    table : DataFrame
        Columns ``value, low, high`` (shares) and the one that names the rows; rows without an interval are
        left out. A column ``n`` (replicates) is written behind the names. With the columns ``adjusted`` and
        ``primary`` a mark is filled by the verdict: corrected p below its level and an interval without zero;
        without them by the interval alone.
    margin : float, optional
        Largest difference that does not matter, as a share; shaded.
    name : str
        Column with a row's name.
    label, title, note : str
        Axis, finding, and what it rests on.
    ax : Axes, optional
        Default a new figure, as high as its rows need.

    Examples
    --------
    >>> table = pd.DataFrame({"contrast": ["a - b"], "value": [0.01], "low": [0.0], "high": [0.02]})
    >>> len(contrast_forest(table, margin=0.01, title="t", note="n").patches)
    1
    """
    differences = {}
    filled: list[str] = []
    for row in table.dropna(subset=["low", "high"]).to_dict("records"):
        replicates = f" (n = {row['n']:.0f})" if "n" in row else ""
        written = row[name] + replicates
        differences[written] = Interval.of(row)
        if row.get("adjusted") is not None:
            level = LEVELS["primary" if row.get("primary") else "other"]
            is_found = row["adjusted"] < level and not row["low"] <= 0 <= row["high"]
            filled += [written] if is_found else []
    if ax is None:
        (ax,) = panels(1, width=8.5, height=1.4 + 0.27 * max(2, len(differences)))
    judged = filled if "adjusted" in table else None
    ax = forest(differences, scale=100, label=label, title=title, note=note, filled=judged, ax=ax)
    if margin is not None:
        ax.axvspan(-100 * margin, 100 * margin, color="#999999", alpha=0.15, linewidth=0)
    return ax


def waiting_curves(
    records: Records,
    arms: Sequence[str],
    *,
    threshold: float = THRESHOLD,
    title: str,
    note: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of replicates that have not reached the threshold yet (Kaplan-Meier)."""
    ax = axes_or_new(ax)
    shades = palette(arms)
    for arm in arms:
        if records.of(arm):
            places, left = survival_steps(crossing_times(records, arm, threshold=threshold))
            ax.step(places, left, where="post", color=shades[arm], label=arm)
    ax.set(xlabel=UNITS["rollouts"], ylabel=f"replicates below {threshold:g} (share)", ylim=(0.0, 1.02))
    if ax.lines:
        ax.legend(loc="lower left")
    return caption(ax, title, note)
