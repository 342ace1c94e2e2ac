"""Figures of training and evaluation: curves over steps, k and confidence, dots and bars by arm."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hammerlib.errors import printable
from hammerlib.evaluation import Interval
from hammerlib.plots.style import CYCLE, MUTED, axes_or_new, caption, colour, dashes, legend_beside, palette

Dot = tuple[float, float, float]  # value, low, high
MOST = 6  # series with a colour of their own; a walk's figure has four at most
SHIFT = 0.012  # between models, so that their intervals do not hide one another


def training_curves(
    runs: dict[str, Sequence[pd.DataFrame]],
    metric: str,
    *,
    label: str = "",
    window: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Draw one logged metric over steps: the mean over seeds, and the range over seeds as a band.

    Parameters
    ----------
    runs : dict of str to sequence of DataFrame
        Arm to one ``metrics.csv`` table (columns step, metric, value) per seed.
    metric : str
        Which metric.
    label : str
        Axis label with unit; default the metric's name.
    window : int
        Steps of the running mean.

    Examples
    --------
    >>> log = pd.DataFrame({"step": [1, 2], "metric": "reward", "value": [0.1, 0.2]})
    >>> len(training_curves({"random": [log, log]}, "reward").lines)
    1
    """
    ax = axes_or_new(ax)
    shades = palette(runs, MOST)
    for name, tables in runs.items():
        seeds = []
        for table in tables:
            values = table[table["metric"] == metric].set_index("step")["value"]
            seeds.append(values.rolling(window, min_periods=1).mean())
        frame = pd.concat(seeds, axis=1)
        shade = shades[name]
        ax.plot(frame.index, frame.mean(axis=1), dashes(name), color=shade, label=name, linewidth=1.4)
        if len(seeds) > 1:
            band = {"color": shade, "alpha": 0.12, "linewidth": 0}
            ax.fill_between(frame.index, frame.min(axis=1), frame.max(axis=1), **band)
    ax.set(xlabel="optimizer step", ylabel=label or metric)
    return ax


def pass_at_k_curves(
    curves: dict[str, dict[int, Interval]], *, title: str, note: str, ax: Axes | None = None
) -> Axes:
    """Draw unbiased pass@k for all k with 95 % intervals over problems.

    Parameters
    ----------
    curves : dict of str to dict of int to Interval
        Model to {k: (value, low, high)}.

    Examples
    --------
    >>> curve = {1: Interval(0.5, 0.4, 0.6)}
    >>> ax = pass_at_k_curves({"before": curve}, title="t", note="n"); ax.get_xlabel()
    'k (samples a problem)'
    """
    ax = axes_or_new(ax)
    shades = palette(curves, MOST)
    for name, curve in curves.items():
        ks = sorted(curve)
        values, lows, highs = zip(*(curve[k] for k in ks), strict=True)
        shade = shades[name]
        ax.plot(ks, values, dashes(name), marker="o", markersize=3, color=shade, label=name)
        ax.fill_between(ks, lows, highs, color=shade, alpha=0.15, linewidth=0)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set(xlabel="k (samples a problem)", ylabel="pass@k (share of problems)", ylim=(None, 1.0))
    ax.legend(loc="lower right")
    return caption(ax, title, note)


def forest(
    differences: dict[str, Interval],
    *,
    scale: float = 1.0,
    label: str,
    title: str,
    note: str,
    filled: Collection[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw differences to the control arm with their intervals, filled where a verdict finds a difference.

    Parameters
    ----------
    differences : dict of str to Interval
        Comparison to (value, low, high). Rows named ``a − b``, with a minus sign, are grey: no single arm's.
    scale : float
        What the numbers are multiplied by: 100 draws shares in points.
    filled : collection of str, optional
        Comparisons whose corrected test finds a difference; default those whose interval excludes zero.

    Examples
    --------
    >>> arms = {"hammer": Interval(1.0, -1.0, 3.0)}
    >>> len(forest(arms, label="points", title="t", note="n").get_yticks())
    1
    """
    ax = axes_or_new(ax)
    names = list(differences)
    arms = list(dict.fromkeys(map(_arm, names)))
    # Rows are named, so colours of many unknown arms would say nothing.
    shades = palette(arms, MOST) if len(arms) <= MOST else {arm: colour(arm) for arm in arms}
    shades |= {arm: "#555555" for arm, shade in shades.items() if shade == MUTED or " − " in arm}
    for row, name in enumerate(reversed(names)):
        value, low, high = (scale * number for number in differences[name])
        shade = shades[_arm(name)]
        ax.plot([low, high], [row, row], color=shade, linewidth=1.6)
        is_found = low > 0 or high < 0 if filled is None else name in filled
        ax.plot(value, row, "o", color=shade, markerfacecolor=shade if is_found else "white", markersize=6)
        # An end that is not zero is not written as one.
        digits = 2 if any(end and abs(end) < 0.05 for end in (low, high)) else 1
        numbers = f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}  # lines stop at the numbers
        ax.annotate(numbers, (high, row), xytext=(6, -3), textcoords="offset points", fontsize=7, bbox=paper)
    ax.axvline(0, color="#999999", linewidth=1)
    ax.set_yticks(range(len(names)), list(reversed(names)))
    low, high = ax.get_xlim()
    ax.set(xlabel=label, xlim=(low, high + 0.35 * (high - low)), ylim=(-0.6, len(names) - 0.4))
    return caption(ax, title, note)


def _arm(name: str) -> str:
    """The arm of a row such as ``hammer: pass@1`` or ``hammer - random (n = 6)``: its rows share a colour."""
    return re.split(r" - |: ", name)[0]


def curve_table(curves: dict[str, dict[int, Interval]], ks: Sequence[int]) -> pd.DataFrame:
    """Return pass@k of each model as text ``value [low, high]`` for some k."""
    rows = {}
    for name, curve in curves.items():
        rows[name] = {f"pass@{k}": f"{Interval(*curve[k]):.3f}" for k in ks if k in curve}
    return pd.DataFrame.from_dict(rows, orient="index").replace(np.nan, "")


def arm_dots(
    values: Mapping[str, Mapping[str, Dot]], *, label: str, title: str, note: str, ax: Axes | None = None
) -> Axes:
    """Draw a row for each group and in it a dot with its interval for each arm.

    Parameters
    ----------
    values : mapping of str to mapping of str to (value, low, high)
        Group to arm to number and interval; a group may lack arms. Value, low and high alike: no interval.
    label : str
        What the numbers are, with their unit.

    Examples
    --------
    >>> dots = {"easy": {"ours": (0.5, 0.4, 0.6), "theirs": (0.2, 0.1, 0.3)}}
    >>> len(arm_dots(dots, label="share", title="t", note="n = 1").get_legend().get_texts())
    2
    """
    ax = axes_or_new(ax)
    arms = list(dict.fromkeys(arm for group in values.values() for arm in group))
    step = 0.7 / max(1, len(arms))
    shades = palette(arms, MOST)
    for row, group in enumerate(reversed(values)):
        is_first = row == len(values) - 1
        for position, arm in enumerate(arms):
            if arm not in values[group]:
                continue
            value, low, high = values[group][arm]
            height = row + step * ((len(arms) - 1) / 2 - position)
            shade = shades[arm]
            ax.plot([low, high], [height, height], color=shade, linewidth=1.5)
            ax.plot(value, height, "o", color=shade, markersize=4.5, label=arm if is_first else None)
    ax.set_yticks(range(len(values)), list(reversed(values)))
    ax.set(xlabel=label, ylim=(-0.5, len(values) - 0.5))
    legend_beside(ax)
    return caption(ax, title, note)


def stacked_bars(
    values: Mapping[str, Mapping[str, float]], *, label: str, title: str, note: str, ax: Axes | None = None
) -> Axes:
    """Draw one bar a group, divided into what became of its cases."""
    ax = axes_or_new(ax)
    shares: dict[str, float] = {}
    for group in values.values():
        for outcome, share in group.items():
            shares[outcome] = max(share, shares.get(outcome, 0.0))
    outcomes = [
        outcome for outcome, share in shares.items() if share > 0
    ]  # what never happened has no colour
    shades = palette(outcomes, len(CYCLE))
    groups = list(reversed(values))
    rows = range(len(groups))
    left = np.zeros(len(groups))
    for outcome in outcomes:
        widths = np.array([values[group].get(outcome, 0.0) for group in groups])
        ax.barh(rows, widths, left=left, height=0.7, color=shades[outcome], label=outcome)
        left = left + widths
    ax.set_yticks(rows, groups)
    ax.set(xlabel=label)
    legend_beside(ax)
    return caption(ax, title, note)


def topic_bars(
    values: Mapping[str, Dot], *, label: str, title: str, note: str, ax: Axes | None = None
) -> Axes:
    """Draw one horizontal bar per topic with its interval.

    Parameters
    ----------
    values : mapping of str to (value, low, high)
        Shares in [0, 1].

    Examples
    --------
    >>> ax = topic_bars({"sum": (0.5, 0.4, 0.6)}, label="pass@1", title="t", note="n = 1"); len(ax.patches)
    1
    """
    ax = axes_or_new(ax)
    names = sorted(values, key=lambda name: values[name][0])
    for row, name in enumerate(names):
        value, low, high = values[name]
        ax.barh(row, value, color="#0072B2", alpha=0.75, height=0.7)
        ax.plot([low, high], [row, row], color="#000000", linewidth=1.2)
    ax.set_yticks(range(len(names)), [printable(name) for name in names])
    ax.set(xlabel=label, xlim=(0, 1))
    return caption(ax, title, note)


def spreads(
    values: Mapping[str, Sequence[float]], *, label: str, title: str, note: str, ax: Axes | None = None
) -> Axes:
    """Draw each group's numbers as a box (quartiles, median) with whiskers (5 to 95 %)."""
    ax = axes_or_new(ax)
    groups = list(reversed(values))
    rows = range(len(groups))
    ax.boxplot(
        [list(values[group]) for group in groups], orientation="horizontal", positions=rows, widths=0.55,
        whis=(5, 95), showfliers=False, medianprops={"color": "#D55E00"},
    )  # fmt: skip
    ax.set_yticks(rows, groups)
    ax.set(xlabel=label)
    return caption(ax, title, note)


def reliability_curves(
    tables: Mapping[str, pd.DataFrame], *, title: str, note: str, ax: Axes | None = None
) -> Axes:
    """Draw accuracy over confidence with its intervals; the diagonal is perfect calibration."""
    ax = axes_or_new(ax)
    ax.plot([0, 1], [0, 1], ":", color="#000000", linewidth=1, zorder=1)
    most = max(table["n"].max() for table in tables.values())
    shades = palette(tables, MOST)
    for position, (name, table) in enumerate(tables.items()):
        bins = table[table["n"] > 0]
        shade = shades[name]
        across = bins["confidence"] + SHIFT * (position - (len(tables) - 1) / 2)
        ax.plot(across, bins["accuracy"], dashes(name), color=shade, linewidth=1, alpha=0.7, label=name)
        ax.vlines(across, bins["accuracy_low"], bins["accuracy_high"], color=shade, linewidth=1.2, alpha=0.6)
        ax.scatter(across, bins["accuracy"], s=10 + 60 * bins["n"] / most, color=shade, linewidths=0)
    label = "confidence: share of the other samples with the same answer"
    ax.set(xlabel=label, ylabel="accuracy (share of answers)", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    ax.legend(loc="upper left")
    return caption(ax, title, note)
