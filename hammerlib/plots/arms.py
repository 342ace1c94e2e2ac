"""Figures that compare arms of a small experiment: group by group, or as shares of a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from hammerlib.plots.style import axes_or_new, caption, colour

Dot = tuple[float, float, float]


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
    title, note : str
        Finding, and what it rests on.
    ax : Axes, optional

    Examples
    --------
    >>> dots = {"easy": {"ours": (0.5, 0.4, 0.6), "theirs": (0.2, 0.1, 0.3)}}
    >>> len(arm_dots(dots, label="share", title="t", note="n = 1").get_legend().get_texts())
    2
    """
    ax = axes_or_new(ax)
    arms = list(dict.fromkeys(arm for group in values.values() for arm in group))
    step = 0.7 / max(1, len(arms))
    for row, group in enumerate(reversed(values)):
        for place, arm in enumerate(arms):
            if arm not in values[group]:
                continue
            value, low, high = values[group][arm]
            height = row + step * ((len(arms) - 1) / 2 - place)
            ax.plot([low, high], [height, height], color=colour(arm, place), linewidth=1.5)
            first = row == len(values) - 1
            ax.plot(
                value, height, "o", color=colour(arm, place), markersize=4.5, label=arm if first else None
            )
    ax.set_yticks(range(len(values)), list(reversed(values)))
    ax.set(xlabel=label, ylim=(-0.5, len(values) - 0.5))
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    caption(ax, title, note)
    return ax


def stacked_bars(
    values: Mapping[str, Mapping[str, float]], *, label: str, title: str, note: str, ax: Axes | None = None
) -> Axes:
    """Draw one bar a group, divided into what became of its cases.

    Parameters
    ----------
    values : mapping of str to mapping of str to float
        Group to outcome to share or count, at least 0.
    label, title, note : str
        As for `arm_dots`.
    ax : Axes, optional

    Examples
    --------
    >>> bars = stacked_bars({"a": {"kept": 3, "lost": 1}}, label="draws", title="t", note="n = 4")
    >>> len(bars.patches)
    2
    """
    ax = axes_or_new(ax)
    outcomes = list(dict.fromkeys(one for group in values.values() for one in group))
    groups = list(reversed(values))
    left = [0.0] * len(groups)
    for place, outcome in enumerate(outcomes):
        widths = [values[group].get(outcome, 0.0) for group in groups]
        ax.barh(
            range(len(groups)), widths, left=left, height=0.7, color=colour(outcome, place), label=outcome
        )
        left = [start + width for start, width in zip(left, widths, strict=True)]
    ax.set_yticks(range(len(groups)), groups)
    ax.set(xlabel=label)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    caption(ax, title, note)
    return ax


def spreads(
    values: Mapping[str, Sequence[float]], *, label: str, title: str, note: str, ax: Axes | None = None
) -> Axes:
    """Draw the distribution of numbers in each group as a box (quartiles), whiskers (5 to 95 %) and median.

    Parameters
    ----------
    values : mapping of str to sequence of float
        Group to its numbers, one or more.
    label, title, note : str
        As for `arm_dots`.
    ax : Axes, optional

    Examples
    --------
    >>> len(spreads({"a": [1.0, 2.0], "b": [3.0]}, label="x", title="t", note="n = 3").get_yticks())
    2
    """
    ax = axes_or_new(ax)
    groups = list(reversed(values))
    ax.boxplot(
        [list(values[group]) for group in groups],
        orientation="horizontal",
        positions=range(len(groups)),
        whis=(5, 95),
        showfliers=False,
        widths=0.55,
        medianprops={"color": "#D55E00"},
    )
    ax.set_yticks(range(len(groups)), groups)
    ax.set(xlabel=label)
    caption(ax, title, note)
    return ax
