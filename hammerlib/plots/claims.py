"""Figures of what the paper claims about orders."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from hammerlib.plots.style import axes_or_new, colour

DISTANCES = {
    "radius": "covering radius: largest distance of a held-out item",
    "distance": "mean distance of a held-out item",
}


def coverage_scatter(frame: pd.DataFrame, measure: str, *, fraction: float, ax: Axes | None = None) -> Axes:
    """Draw the gap of a nearest neighbour against the coverage of the same first part, one mark an order.

    Parameters
    ----------
    frame : DataFrame
        `diversity.claims.coverage_gaps`; orders whose name begins with ``random`` are the reference.
    measure : {"radius", "distance"}
    fraction : float
        First part of the orders.

    Examples
    --------
    >>> frame = {"order": ["hammer", "random 1"], "fraction": 0.1, "radius": [1.2, 1.0], "gap_neighbour": 0.1}
    >>> len(coverage_scatter(pd.DataFrame(frame), "radius", fraction=0.1).collections)
    2
    """
    ax = axes_or_new(ax)
    rows = frame[frame["fraction"] == fraction]
    random = rows["order"].str.startswith("random")
    reference, named = rows[random], rows[~random]
    label = f"{len(reference)} random orders"
    ax.scatter(reference[measure], reference["gap_neighbour"], s=14, color="#999999", label=label)
    for position, row in enumerate(named.itertuples()):
        where = (getattr(row, measure), row.gap_neighbour)
        ax.scatter(*where, s=42, color=colour(row.order, position), label=row.order)
    ax.set(xlabel=DISTANCES[measure], ylabel="gap: mean |error| of a neighbour")
    return ax
