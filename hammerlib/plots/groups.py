"""Figures of one group of completions, and of topics."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from hammerlib.errors import printable
from hammerlib.plots.style import axes_or_new, caption


def group_panel(
    similarity: np.ndarray, labels: list[str], *, title: str = "", ax: Axes | None = None
) -> Axes:
    """Draw the cosine similarities of one group's completions with the numbers written in.

    Parameters
    ----------
    similarity : float array, shape (group, group)
        Cosines in [-1, 1].
    labels : list of str, length group
        One short label per completion, e.g. its strategy and whether it is right.

    Examples
    --------
    >>> len(group_panel(np.eye(2), ["right", "wrong"]).texts)
    4
    """
    ax = axes_or_new(ax)
    ax.imshow(similarity, cmap="cividis", vmin=min(0.0, float(similarity.min())), vmax=1.0)
    for row, col in np.ndindex(similarity.shape):
        ax.text(
            col,
            row,
            f"{similarity[row, col]:.2f}",
            ha="center",
            va="center",
            fontsize=7,
            color="black" if similarity[row, col] > 0.6 else "white",
        )
    ticks = range(len(labels))
    ax.set_xticks(ticks, [str(i + 1) for i in ticks])
    ax.set_yticks(ticks, labels)
    ax.grid(False)
    ax.set_xlabel("completion")
    ax.set_title(printable(title), loc="left")
    return ax


def topic_bars(
    values: dict[str, tuple[float, float, float]],
    *,
    label: str,
    title: str,
    note: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw one horizontal bar per topic with its interval.

    Parameters
    ----------
    values : dict of str to (value, low, high)
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
    caption(ax, title, note)
    return ax
