"""Figures of training and evaluation: curves over steps and over k, and differences between arms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hammerlib.evaluation import Interval
from hammerlib.plots.style import axes_or_new, caption, colour


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
    for position, (name, tables) in enumerate(runs.items()):
        series = [
            t[t["metric"] == metric].set_index("step")["value"].rolling(window, min_periods=1).mean()
            for t in tables
        ]
        frame = pd.concat(series, axis=1)
        dashed = "--" if "+ dra" in name else "-"
        ax.plot(
            frame.index, frame.mean(axis=1), dashed, color=colour(name, position), label=name, linewidth=1.4
        )
        if frame.shape[1] > 1:
            ax.fill_between(
                frame.index,
                frame.min(axis=1),
                frame.max(axis=1),
                color=colour(name, position),
                alpha=0.12,
                linewidth=0,
            )
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
    for position, (name, curve) in enumerate(curves.items()):
        ks = sorted(curve)
        shade = colour(name, position)
        ax.plot(
            ks,
            [curve[k].value for k in ks],
            "--" if "+ dra" in name else "-",
            marker="o",
            markersize=3,
            color=shade,
            label=name,
        )
        ax.fill_between(
            ks, [curve[k].low for k in ks], [curve[k].high for k in ks], color=shade, alpha=0.15, linewidth=0
        )
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set(xlabel="k (samples a problem)", ylabel="pass@k (share of problems)", ylim=(None, 1.0))
    ax.legend(loc="lower right")
    caption(ax, title, note)
    return ax


def forest(
    differences: dict[str, Interval], *, label: str, title: str, note: str, ax: Axes | None = None
) -> Axes:
    """Draw differences to the twin with their intervals; filled where the interval excludes zero.

    Parameters
    ----------
    differences : dict of str to Interval
        Comparison to (value, low, high), in points of a share times 100.

    Examples
    --------
    >>> arms = {"hammer": Interval(1.0, -1.0, 3.0)}
    >>> len(forest(arms, label="points", title="t", note="n").get_yticks())
    1
    """
    ax = axes_or_new(ax)
    names = list(differences)
    for row, name in enumerate(reversed(names)):
        value, low, high = differences[name]
        shade = colour(name)
        ax.plot([low, high], [row, row], color=shade, linewidth=1.6)
        ax.plot(
            value,
            row,
            "o",
            color=shade,
            markerfacecolor=shade if low > 0 or high < 0 else "white",
            markersize=6,
        )
        ax.annotate(
            f"{value:+.1f} [{low:+.1f}, {high:+.1f}]",
            (high, row),
            xytext=(6, -3),
            textcoords="offset points",
            fontsize=7,
        )
    ax.axvline(0, color="#999999", linewidth=1)
    ax.set_yticks(range(len(names)), list(reversed(names)))
    low, high = ax.get_xlim()
    ax.set(xlabel=label, xlim=(low, high + 0.35 * (high - low)), ylim=(-0.6, len(names) - 0.4))
    caption(ax, title, note)
    return ax


def curve_table(curves: dict[str, dict[int, Interval]], ks: Sequence[int]) -> pd.DataFrame:
    """Return pass@k of each model as text ``value [low, high]`` for some k.

    Examples
    --------
    >>> curve_table({"before": {1: Interval(0.5, 0.4, 0.6)}}, [1]).loc["before", "pass@1"]
    '0.500 [0.400, 0.600]'
    """
    rows = {
        name: {f"pass@{k}": "{:.3f} [{:.3f}, {:.3f}]".format(*curve[k]) for k in ks if k in curve}
        for name, curve in curves.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").replace(np.nan, "")
