"""Figures of groups of completions: their similarities, their advantages under DRA, what a policy keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hammerlib.errors import printable
from hammerlib.plots.style import COLOURS, CYCLE, axes_or_new, caption, palette, plain_ticks

PLACES = 160  # steps drawn of a curve over many
ARMS = {
    "none": ("rewards as they are", COLOURS["random"]),
    "dra": ("DRA", COLOURS["dra"]),
    "placebo": ("placebo: DRA's weights, shuffled", COLOURS["placebo"]),
}


def group_panel(
    similarity: np.ndarray, labels: list[str], *, title: str = "", ax: Axes | None = None
) -> Axes:
    """Draw the cosine similarities of one group's completions with the numbers written in."""
    ax = axes_or_new(ax)
    # The scale begins at the tenth below the smallest, so that the differences of a group are seen.
    least = np.floor(10 * float(similarity.min())) / 10
    drawn = ax.imshow(similarity, cmap="cividis", vmin=least, vmax=max(1.0, least + 0.1))
    ax.figure.colorbar(drawn, ax=ax, fraction=0.046, pad=0.02, label="cosine")
    for row, col in np.ndindex(similarity.shape):
        cosine = similarity[row, col]
        # Readable on the light and on the dark end of the map.
        shade = "black" if cosine > 0.4 * least + 0.6 else "white"
        ax.text(col, row, f"{cosine:.2f}", ha="center", va="center", fontsize=7, color=shade)
    ticks = range(len(labels))
    ax.set_xticks(ticks, [str(i + 1) for i in ticks])
    ax.set_yticks(ticks, labels)
    ax.grid(False)
    ax.set_xlabel("completion")
    ax.set_title(printable(title), loc="left")
    return ax


def token_bars(
    tokens: Sequence[str],
    heights: np.ndarray,
    marked: Mapping[str, Sequence[int]],
    *,
    label: str,
    title: str,
    note: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw one bar for each token of a completion; `marked` names the positions that stand out."""
    ax = axes_or_new(ax)
    places = np.arange(len(tokens))
    ax.bar(places, heights, color="#BBBBBB")
    for number, (name, positions) in enumerate(marked.items()):
        chosen = np.asarray(positions, dtype=int)
        ax.bar(chosen, np.asarray(heights)[chosen], color=CYCLE[number], label=name)
    ax.set_xticks(places, [printable(token) for token in tokens], fontsize=6, rotation=90)
    ax.set(xlabel="", ylabel=label, xlim=(-1, len(tokens)))
    ax.grid(False, axis="x")
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(marked))  # beside the title
    return caption(ax, title, note)


def advantage_dots(
    advantages: pd.DataFrame,
    *,
    label: str = "advantage",
    title: str = "",
    note: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the advantage of every completion of one group, once for each column."""
    ax = axes_or_new(ax)
    rows = np.arange(len(advantages))[::-1]
    shades = palette(advantages)
    for column, name in enumerate(advantages):
        second = column % 2  # smaller and lower, so that it does not hide the first
        heights = rows + 0.15 * (0.5 - second)
        ax.scatter(advantages[name], heights, s=42 - 16 * second, color=shades[name], zorder=3, label=name)
    ax.axvline(0, color="#999999", linewidth=1)
    ax.set_yticks(rows, list(advantages.index))
    ax.set(xlabel=label, ylim=(-0.6, len(rows) - 0.4))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=2)  # below the note
    return caption(ax, title, note)


def rho_histogram(
    correlations: pd.DataFrame, *, title: str = "", note: str = "", ax: Axes | None = None
) -> Axes:
    """Draw each prompt's correlation of reward difference and distance beside that of shuffled rewards."""
    ax = axes_or_new(ax)
    bins = np.linspace(-1, 1, 21)
    ax.hist(
        correlations["shuffled"], bins, color="#999999", alpha=0.6, label="rewards shuffled in the prompt"
    )
    ax.hist(correlations["rho"], bins, histtype="step", color="#0072B2", linewidth=1.6, label="as measured")
    ax.axvline(0, color="#999999", linewidth=1)
    ax.set(xlabel="Spearman correlation over a prompt's pairs", ylabel="prompts")
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.24), ncols=2)
    return caption(ax, title, note)


def power_curves(
    powers: Mapping[str, pd.DataFrame],
    shares: Mapping[str, float],
    *,
    title: str = "",
    note: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of prompts that a test finds over the true correlation, and the shares found."""
    ax = axes_or_new(ax)
    shades = palette(powers)
    for name, frame in powers.items():
        ax.plot(frame.index, frame["found"], marker="o", markersize=3, color=shades[name], label=name)
    for position, (name, share) in enumerate(shares.items()):
        ax.axhline(share, color="#666666", linestyle=(":", "--")[position % 2], linewidth=1.2, label=name)
    ax.set(xlabel="true rank correlation", ylabel="share of prompts with p < .05", ylim=(0, 1))
    ax.legend(loc="upper left")
    return caption(ax, title, note)


def mode_curves(
    arms: pd.DataFrame,
    *,
    scale_rewards: str,
    kernel: str,
    title: str = "",
    note: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw how many right strategies each arm keeps: exact as a line, sampled runs as a band."""
    ax = axes_or_new(ax)
    panel = arms[(arms["scale_rewards"] == scale_rewards) & (arms["kernel"] == kernel) & (arms["step"] > 0)]
    # Steps that lie less than a pixel apart on the logarithmic axis are one.
    panel = panel[
        panel["step"].isin(np.unique(np.geomspace(1, panel["step"].max(), PLACES).round().astype(int)))
    ]
    for arm, rows in panel.groupby("arm", sort=False):
        name, shade = ARMS[arm]
        dashed = "--" if arm == "placebo" else "-"
        ax.plot(rows["step"], rows["modes"], dashed, color=shade, linewidth=1.6, label=name)
        ax.fill_between(
            rows["step"], rows["low"], rows["high"], color=shade, alpha=0.13, linewidth=0, rasterized=True
        )
    ax.set_xscale("log")
    plain_ticks(ax)
    ax.set(xlabel="training step (one group each)", ylabel="effective number of right strategies")
    ax.set(ylim=(0.95, 1.05 * max(2.0, arms["high"].max(), arms["modes"].max())))
    return caption(ax, title, note)
