"""The picture of an audit: where on the order every problem stood that was trained."""

from __future__ import annotations

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hammerlib.plots.style import axes_or_new, caption

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
