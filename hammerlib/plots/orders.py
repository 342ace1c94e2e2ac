"""Figures of an order: what its steps cost, and how diverse its first part is."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hammerlib.plots.style import axes_or_new, caption, colour

METRIC_LABELS = {
    "mean_cosine": "mean pairwise cosine in the prefix",
    "vendi": "Vendi score of the prefix (effective number)",
    "vendi_centred": "Vendi score, mean removed (effective number)",
    "coverage_radius": "coverage radius (largest 1 - cosine to the prefix)",
    "topic_tv": "total variation to the topic mix",
}


def edge_deciles(
    profiles: dict[str, np.ndarray], random_cost: float, *, n: int, ax: Axes | None = None
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
    for position, (name, profile) in enumerate(profiles.items()):
        where = (np.arange(len(profile)) + 0.5) / len(profile)
        ax.plot(where, profile, marker="o", markersize=3, color=colour(name, position), label=name)
    ax.axhline(random_cost, color="#999999", linestyle="--", linewidth=1, label="random, expected")
    ax.set(
        xlabel="position on the order (share of its edges)",
        ylabel="mean cosine between neighbours",
        xlim=(0, 1),
    )
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    caption(
        ax,
        "Cost of each step along the order",
        f"n = {n} problems, means of tenths; dashed: exact expectation of a random order",
    )
    return ax


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
    ax.fill_between(
        band["fraction"],
        band["low"],
        band["high"],
        color="#999999",
        alpha=0.35,
        linewidth=0,
        label="random, 95 % of seeds",
    )
    for position, (name, frame) in enumerate(frames.items()):
        rows = frame[frame["metric"] == metric].sort_values("fraction")
        ax.plot(rows["fraction"], rows["value"], color=colour(name, position), label=name, linewidth=1.3)
    ax.set(xlabel="share of the problems seen", ylabel=METRIC_LABELS.get(metric, metric), xscale="log")
    return ax
