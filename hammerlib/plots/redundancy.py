"""Figures of DRA: advantages of one group, its premise with its power, and the ways a policy keeps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hammerlib.plots.style import CYCLE, axes_or_new, caption

ARMS = {
    "none": ("rewards as they are", "#000000"),
    "dra": ("DRA", "#0072B2"),
    "placebo": ("placebo: DRA's weights, shuffled", "#E69F00"),
}


def advantage_dots(
    advantages: pd.DataFrame,
    *,
    label: str = "advantage",
    title: str = "",
    note: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the advantage of every completion of one group, once for each column.

    Parameters
    ----------
    advantages : DataFrame
        Rows: completions, labelled; columns: what the advantage was computed from.
    label : str
        Of the horizontal axis.
    title, note : str
        Finding, and what it rests on.
    ax : Axes, optional

    Examples
    --------
    >>> frame = pd.DataFrame({"GRPO": [0.5, -0.5], "GRPO + DRA": [0.6, -0.6]}, index=["right", "wrong"])
    >>> len(advantage_dots(frame).collections)
    2
    """
    ax = axes_or_new(ax)
    rows = np.arange(len(advantages))[::-1]
    for place, name in enumerate(advantages):
        mark = {"s": 42 - 16 * (place % 2), "color": CYCLE[place], "zorder": 3, "label": name}
        ax.scatter(advantages[name], rows + 0.15 * (0.5 - place % 2), **mark)
    ax.axvline(0, color="#999999", linewidth=1)
    ax.set_yticks(rows, list(advantages.index))
    ax.set(xlabel=label, ylim=(-0.6, len(rows) - 0.4))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=2)  # below the note
    caption(ax, title, note)
    return ax


def rho_histogram(found: pd.DataFrame, *, title: str = "", note: str = "", ax: Axes | None = None) -> Axes:
    """Draw each prompt's correlation of reward difference and distance beside that of shuffled rewards.

    Parameters
    ----------
    found : DataFrame
        `diversity.premise.pair_correlations`.
    title, note : str

    Examples
    --------
    >>> len(rho_histogram(pd.DataFrame({"rho": [0.1, 0.4], "shuffled": [0.0, -0.2]})).lines)
    1
    """
    ax = axes_or_new(ax)
    bins = np.linspace(-1, 1, 21)
    ax.hist(found["shuffled"], bins, color="#999999", alpha=0.6, label="rewards shuffled in the prompt")
    ax.hist(found["rho"], bins, histtype="step", color="#0072B2", linewidth=1.6, label="as measured")
    ax.axvline(0, color="#999999", linewidth=1)
    ax.set(xlabel="Spearman correlation over a prompt's pairs", ylabel="prompts")
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.24), ncols=2)
    caption(ax, title, note)
    return ax


def power_curves(
    powers: Mapping[str, pd.DataFrame],
    shares: Mapping[str, float],
    *,
    title: str = "",
    note: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of prompts that a test finds against the true correlation, and shares that were found.

    Parameters
    ----------
    powers : mapping of str to DataFrame
        `diversity.premise.premise_power`, by name.
    shares : mapping of str to float
        Measured shares of prompts with p < .05, drawn as horizontal lines.
    title, note : str

    Examples
    --------
    >>> frame = pd.DataFrame({"found": [0.05, 0.5]}, index=[0.0, 0.5])
    >>> len(power_curves({"6 completions": frame}, {"found here": 0.16}).lines)
    2
    """
    ax = axes_or_new(ax)
    for place, (name, frame) in enumerate(powers.items()):
        ax.plot(frame.index, frame["found"], marker="o", markersize=3, color=CYCLE[place], label=name)
    for place, (name, share) in enumerate(shares.items()):
        ax.axhline(share, color="#666666", linestyle=(":", "--")[place % 2], linewidth=1.2, label=name)
    ax.set(xlabel="true rank correlation", ylabel="share of prompts with p < .05", ylim=(0, 1))
    ax.legend(loc="upper left")
    caption(ax, title, note)
    return ax


def mode_curves(
    arms: pd.DataFrame,
    *,
    scale_rewards: str,
    kernel: str,
    title: str = "",
    note: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw how many right ways each arm keeps over training: exact as a line, sampled runs as a band.

    Parameters
    ----------
    arms : DataFrame
        `diversity.collapse.mode_arms`.
    scale_rewards, kernel : str
        Which of its panels.
    title, note : str

    Examples
    --------
    >>> columns = {"scale_rewards": "none", "kernel": "block", "arm": "dra", "step": [0, 1]}
    >>> frame = pd.DataFrame(columns | {"modes": [2.0, 2.1], "low": 1.9, "high": 2.2})
    >>> len(mode_curves(frame, scale_rewards="none", kernel="block").lines)
    1
    """
    ax = axes_or_new(ax)
    panel = arms[(arms["scale_rewards"] == scale_rewards) & (arms["kernel"] == kernel) & (arms["step"] > 0)]
    for arm, rows in panel.groupby("arm", sort=False):
        name, shade = ARMS[arm]
        dashed = "--" if arm == "placebo" else "-"
        ax.plot(rows["step"], rows["modes"], dashed, color=shade, linewidth=1.6, label=name)
        ax.fill_between(rows["step"], rows["low"], rows["high"], color=shade, alpha=0.13, linewidth=0)
    ax.set_xscale("log")
    ax.set(xlabel="training step (one group each)", ylabel="effective number of right ways")
    ax.set(ylim=(0.95, 1.05 * max(2.0, arms["high"].max(), arms["modes"].max())))
    caption(ax, title, note)
    return ax
