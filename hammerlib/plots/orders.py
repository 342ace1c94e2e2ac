"""Figures of an order: what its steps cost, how it comes back, and how diverse its first part is."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hammerlib.plots.style import MUTED, axes_or_new, caption, colour, palette, plain_ticks

METRIC_LABELS = {
    "mean_cosine": "mean pairwise cosine",
    "vendi": "Vendi score (effective number)",
    "vendi_centred": "Vendi, mean removed (number)",
    "coverage_radius": "covering radius (1 - cosine)",
    "topic_tv": "total variation to the topic mix",
}
RANDOM_BAND = {"color": "#999999", "alpha": 0.35, "linewidth": 0, "label": "random, 95 % of seeds"}
NAMED = ("hammer", "min-path", "similar")  # of many orders, those that a figure colours
DISTANCES = {
    "radius": "covering radius: largest distance of a held-out item",
    "distance": "mean distance of a held-out item",
}


def _lines(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """How each order is drawn: the first four in colour and on top, the others grey under one name."""
    shades = palette(names)
    others = [name for name, shade in shades.items() if shade == MUTED]
    lines: dict[str, dict[str, Any]] = {}
    for name, shade in shades.items():
        label = name
        if shade == MUTED:
            label = f"others: {', '.join(others)}" if name == others[0] else f"_{name}"
            label = textwrap.fill(label, 30)
        lines[name] = {"color": shade, "label": label, "zorder": 2.0 if shade == MUTED else 3.0}
    return lines


def edge_deciles(
    profiles: dict[str, np.ndarray],
    random_cost: float,
    *,
    n: int,
    title: str = "Cost of each step along the order",
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean cosine between neighbours along each order, in bins from first to last.

    Parameters
    ----------
    profiles : dict of str to float array, shape (bins,)
        Strategy to mean edge cosine per bin, see `ordering.edge_profile`.
    random_cost : float
        Expected mean edge cosine of a random order, in closed form.
    n : int
        Number of problems, for the caption.

    Examples
    --------
    >>> edge_deciles({"hammer": np.linspace(0, 1, 10)}, 0.5, n=11).get_ylabel()
    'mean cosine between neighbours'
    """
    ax = axes_or_new(ax)
    for name, line in _lines(profiles).items():
        where = (np.arange(len(profiles[name])) + 0.5) / len(profiles[name])
        ax.plot(where, profiles[name], marker="o", markersize=3, **line)
    ax.axhline(random_cost, color="#999999", linestyle="--", linewidth=1, label="random, expected")
    label = "position on the order (share of its edges)"
    ax.set(xlabel=label, ylabel="mean cosine between neighbours", xlim=(0, 1))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    note = f"n = {n} problems, means of tenths; dashed: exact expectation of a random order"
    return caption(ax, title, note)


def prefix_curves(
    frames: dict[str, pd.DataFrame], reference: pd.DataFrame, metric: str, *, ax: Axes | None = None
) -> Axes:
    """Draw one diversity measure of the first share of each order against random orders.

    Parameters
    ----------
    frames : dict of str to DataFrame
        Strategy to `diversity.prefix_profile` (columns fraction, metric, value).
    reference : DataFrame
        `diversity.random_reference` (columns fraction, metric, value, low, high).
    metric : str
        One of the profile's metrics.

    Examples
    --------
    >>> rows = pd.DataFrame({"fraction": [0.1, 1.0], "metric": "vendi", "value": 2.0, "low": 1, "high": 4})
    >>> prefix_curves({"hammer": rows}, rows, "vendi").get_xlabel()
    'share of the problems seen'
    """
    ax = axes_or_new(ax)
    band = reference[reference["metric"] == metric].sort_values("fraction")
    ax.fill_between(band["fraction"], band["low"], band["high"], **RANDOM_BAND)
    for name, line in _lines(frames).items():
        rows = frames[name][frames[name]["metric"] == metric].sort_values("fraction")
        ax.plot(rows["fraction"], rows["value"], linewidth=1.4, **line)
    ax.set(xlabel="share of the problems seen", ylabel=METRIC_LABELS.get(metric, metric), xscale="log")
    plain_ticks(ax)
    return ax


def lag_curves(
    frames: dict[str, pd.DataFrame],
    reference: pd.DataFrame,
    *,
    n: int,
    seeds: int,
    title: str = "How an order comes back to where it was",
    ax: Axes | None = None,
) -> Axes:
    """Draw how alike items are that stand k places apart, for each order against random orders."""
    ax = axes_or_new(ax)
    ax.fill_between(reference["lag"], reference["low"], reference["high"], **RANDOM_BAND)
    for name, line in _lines(frames).items():
        ax.plot(frames[name]["lag"], frames[name]["value"], marker="o", markersize=3, **line)
    ax.axhline(0, color="#999999", linewidth=1)
    ax.set_xscale("log", base=2)
    lags = reference["lag"].tolist()
    ax.set_xticks(lags, [str(lag) for lag in lags])
    ax.set(xlabel="distance along the order (problems)", ylabel="mean cosine, mean of all removed")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    note = f"n = {n} problems; band: {seeds} random orders. Below zero: opposite sides; above: the same side"
    return caption(ax, title, note)


def gap_dots(
    gaps: dict[str, tuple[float, float]], *, n: int, title: str, note: str = "", ax: Axes | None = None
) -> Axes:
    """Draw how far each order is from the certified bound, on a scale where random orders are at 100.

    Parameters
    ----------
    gaps : dict of str to (gap, cost)
        Strategy to `Order.gap` (0 at the bound, 1 for random orders) and `Order.cost`.
    n : int
        Problems, for the caption.
    note : str
        What else the caption says, such as the seed.

    Examples
    --------
    >>> ax = gap_dots({"hammer": (0.2, 0.91), "min-path": (0.001, 0.9)}, n=128, title="t")
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['hammer', 'min-path']
    """
    ax = axes_or_new(ax)
    names = sorted(gaps, key=lambda name: -gaps[name][0])
    for row, name in enumerate(names):
        gap = gaps[name][0]
        shade = colour(name) if name in NAMED else MUTED
        ax.plot([0, 100 * gap], [row, row], color=shade, linewidth=1.2, alpha=0.6)
        ax.plot(100 * gap, row, "o", color=shade, markersize=6)
        label = f"{100 * gap:.2f} %" if gap < 0.01 else f"{100 * gap:.0f} %"
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        ax.annotate(label, (100 * gap, row), xytext=(7, -3), textcoords="offset points", fontsize=7, bbox=box)
    ax.axvline(0, color="#000000", linewidth=1)
    ax.axvline(100, color="#999999", linestyle="--", linewidth=1, zorder=0)
    ax.set_yticks(range(len(names)), names)
    widest = 100 * max(gap for gap, _ in gaps.values())
    label = "gap (%): 0 = certified lower bound, 100 = random order, expected"
    ax.set(xlabel=label, xlim=(-0.02 * widest, 1.15 * widest))
    basis = f"n = {n} problems; no path costs less than the bound; one order each"
    return caption(ax, title, f"{basis}, {note}" if note else basis)


def path_on_circle(
    points: np.ndarray, permutation: np.ndarray, *, name: str, cost: float, ax: Axes | None = None
) -> Axes:
    """Draw an order of unit points in the plane as a numbered path across the circle they lie on."""
    ax = axes_or_new(ax)
    around = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(around), np.sin(around), color="#DDDDDD", linewidth=1)
    ax.plot(*points[permutation].T, color=colour(name), linewidth=1.1, marker="o", markersize=4)
    angles = np.arctan2(points[permutation, 1], points[permutation, 0])
    radii = np.full(len(angles), 1.13)
    for point in np.argsort(angles, kind="stable"):
        # Numbers of close points go outwards in turn; angles differ by at most pi, around the circle.
        close = np.abs(np.angle(np.exp(1j * (angles - angles[point])))) < 0.13
        radii[point] += 0.15 * int((close & (angles < angles[point])).sum())
    for number, (angle, radius) in enumerate(zip(angles, radii, strict=True), 1):
        ax.text(
            radius * np.cos(angle), radius * np.sin(angle), str(number), fontsize=8, ha="center", va="center"
        )
    ax.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal", xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.set_title(f"{name}: summed cosine {cost:.3f}", loc="left")
    return ax


def coverage_scatter(frame: pd.DataFrame, measure: str, *, fraction: float, ax: Axes | None = None) -> Axes:
    """Draw the error of a nearest neighbour against the coverage of each order's first part."""
    ax = axes_or_new(ax)
    rows = frame[frame["fraction"] == fraction]
    random = rows["order"].str.startswith("random")
    reference = rows[random]
    named = rows[~random]
    label = f"{len(reference)} random orders"
    inset = ax.inset_axes((0.62, 0.06, 0.36, 0.36))  # the random orders alone: they lie close together
    for axes in (ax, inset):
        axes.scatter(reference[measure], reference["gap_neighbour"], s=14, color="#999999", label=label)
    inset.tick_params(labelsize=6)
    inset.set_title("random orders alone", fontsize=7)
    shades = palette(named["order"])
    for row in named.itertuples():
        ax.scatter(getattr(row, measure), row.gap_neighbour, s=42, color=shades[row.order], label=row.order)
    ax.set(xlabel=DISTANCES[measure], ylabel="held-out error: mean |error| of a neighbour")
    return ax


# The picture of an audit


# What a trained problem is -> its colour and how it is called; the later are drawn over the earlier.
MARKS = {
    "kept": ("#0072B2", "as ordered"),
    "moved": ("#D55E00", "in another step"),
    "repeated": ("#E69F00", "again"),
    "unknown": ("#CC79A7", "not in the order"),
}


def trained_positions(rows: pd.DataFrame, n: int, *, late: int = 0, ax: Axes | None = None) -> Axes:
    """Draw the position on the order of every trained problem (`Audit.rows`) against its step."""
    ax = axes_or_new(ax)
    kinds = np.select(
        [rows["position"] < 0, rows["repeated"], rows["late"].abs() > late],
        ["unknown", "repeated", "moved"],
        "kept",
    )
    for kind, (tint, label) in MARKS.items():
        part = rows[kinds == kind]
        if len(part):
            # Thousands of points are a picture inside the vector figure.
            ax.scatter(part["step"], part["position"], s=9, color=tint, label=f"{label} ({len(part):,})",
                       linewidths=0, rasterized=len(rows) > 5000)  # fmt: skip
    ax.set(xlabel="step", ylabel="position on the order", ylim=(-0.03 * n - 1.5, n * 1.03))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    caption(ax, "What was trained, against the order", f"one point a trained problem; the order has {n:,}")
    return ax


def as_svg(drawn: Axes | Figure) -> str:
    """Close a figure and return it as the text of an ``<svg>`` element, the same on a rerun."""
    figure = drawn if isinstance(drawn, Figure) else drawn.figure
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)
    text = stream.getvalue()
    return text[text.index("<svg") :]
