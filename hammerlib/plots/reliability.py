"""Figure of calibration: is an answer as often right as its samples agree on it?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from matplotlib.axes import Axes

from hammerlib.plots.style import axes_or_new, caption, colour

if TYPE_CHECKING:
    import pandas as pd

SHIFT = 0.012  # between models, so that their intervals do not hide one another


def reliability_curves(
    tables: Mapping[str, pd.DataFrame], *, title: str, note: str, ax: Axes | None = None
) -> Axes:
    """Draw accuracy over confidence with its intervals; the diagonal is perfect calibration.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Model to a `reliability_table`; bins without answers are left out, larger dots: more answers.
    title, note : str
        Finding, and what it rests on.
    ax : Axes, optional

    Examples
    --------
    >>> from hammerlib.evaluation import reliability_table
    >>> table = reliability_table([0.2, 0.4, 0.9], [0, 1, 1], bins=2)
    >>> ax = reliability_curves({"before": table}, title="t", note="n"); len(ax.collections)
    2
    """
    ax = axes_or_new(ax)
    ax.plot([0, 1], [0, 1], ":", color="#000000", linewidth=1, zorder=1)
    most = max(table["n"].max() for table in tables.values())
    for place, (name, table) in enumerate(tables.items()):
        seen, shade = table[table["n"] > 0], colour(name, place)
        across = seen["confidence"] + SHIFT * (place - (len(tables) - 1) / 2)
        dashed = "--" if "+ dra" in name else "-"
        ax.plot(across, seen["accuracy"], dashed, color=shade, linewidth=1, alpha=0.7, label=name)
        ax.vlines(across, seen["accuracy_low"], seen["accuracy_high"], color=shade, linewidth=1.2, alpha=0.6)
        ax.scatter(across, seen["accuracy"], s=10 + 60 * seen["n"] / most, color=shade, linewidths=0)
    label = "confidence: share of the other samples with the same answer"
    ax.set(xlabel=label, ylabel="accuracy (share of answers)", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    ax.legend(loc="upper left")
    caption(ax, title, note)
    return ax
