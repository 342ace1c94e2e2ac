"""Drawings of what happens: boxes and arrows, samples of a problem, weights of three answers."""

from __future__ import annotations

import base64
import io
import itertools
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import math_to_image
from matplotlib.patches import FancyBboxPatch

from hammerlib.errors import InputError, printable
from hammerlib.plots.style import caption

LETTER = 0.076  # inches of a letter
LINE = 0.17  # inches of a line
BETWEEN = (0.62, 0.2)  # inches between boxes, across and down
QUIET, MARKED = "#F2F2F2", "#FCE3D0"  # boxes; those in *stars* are what a notebook is about
RIGHT, WRONG = "#0072B2", "#D9D9D9"


def diagram(text: str, *, ax: Axes | None = None) -> Axes:
    """Draw steps as boxes from left to right, with arrows between them.

    Parameters
    ----------
    text : str
        One chain of steps a line, ``problems -> embeddings -> order``; a step that returns is the same box.
        ``|`` breaks a box's text, ``*step*`` marks a box, and ``a -> b : words`` writes words at the line's
        last arrow.
    ax : Axes, optional
        Default a new figure, as large as the boxes need.

    Examples
    --------
    >>> ax = diagram("problems -> embeddings -> *order*"); len(ax.patches), len(ax.texts)
    (3, 5)
    """
    arrows, rows, marked = _chains(text)
    names = list(rows)
    column = {name: 0 for name in names}
    for _ in names:  # a box stands right of everything that leads to it
        for start, end in arrows:
            column[end] = max(column[end], column[start] + 1)
    if max(column.values()) >= len(names):
        raise InputError("text", text, "its arrows run in a circle", "leave out the arrow that leads back")
    lines = {name: [printable(line) for line in name.split("|")] for name in names}
    size = {}
    for name, texts in lines.items():
        size[name] = (0.26 + LETTER * max(map(len, texts)), 0.2 + LINE * len(texts))
    places, width, height = _places(rows, column, size, [len(words) for words in arrows.values()])
    if ax is None:
        figure = plt.figure(figsize=(width, height), layout="none")
        ax = figure.add_axes((0, 0, 1, 1))
    for name in names:
        (x, y), (wide, high) = places[name], size[name]
        corner = (x - wide / 2, y - high / 2)
        fill = MARKED if name in marked else QUIET
        ax.add_patch(
            FancyBboxPatch(corner, wide, high, "round,pad=0,rounding_size=0.06", fc=fill, ec="#555555")
        )
        ax.text(x, y, "\n".join(lines[name]), ha="center", va="center", fontsize=9)
    for (start, end), words in arrows.items():
        begin = (places[start][0] + size[start][0] / 2, places[start][1])
        to = (places[end][0] - size[end][0] / 2, places[end][1])
        ax.annotate(
            "", to, begin, arrowprops={"arrowstyle": "-|>", "color": "#555555", "shrinkA": 1, "shrinkB": 1}
        )
        if words:
            x = (begin[0] + to[0]) / 2
            y = (begin[1] + to[1]) / 2 + 0.05
            ax.text(x, y, printable(words), ha="center", va="bottom", fontsize=7.5, color="#444444")
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    return ax


def _chains(text: str) -> tuple[dict[tuple[str, str], str], dict[str, list[int]], set[str]]:
    """The arrows of a drawing with their words, the lines in which each box stands, and the marked boxes."""
    arrows: dict[tuple[str, str], str] = {}
    rows: dict[str, list[int]] = {}
    marked: set[str] = set()
    for row, line in enumerate(filter(None, map(str.strip, text.splitlines()))):
        chain, _, words = line.partition(" : ")
        boxes = [box.strip() for box in chain.split("->")]
        if len(boxes) < 2 or not all(boxes):
            raise InputError("text", line, "is no chain of steps", "write a -> b -> c")
        marked |= {box.strip("*") for box in boxes if re.fullmatch(r"\*.+\*", box)}
        boxes = [box.strip("*") for box in boxes]
        for box in boxes:
            rows.setdefault(box, []).append(row)
        pairs = list(itertools.pairwise(boxes))
        arrows |= {pair: arrows.get(pair, "") for pair in pairs}
        if words:
            arrows[pairs[-1]] = words.strip()
    if not arrows:
        raise InputError("text", text, "holds no arrow", "write a -> b")
    return arrows, rows, marked


def _places(
    rows: Mapping[str, Sequence[int]],
    column: Mapping[str, int],
    size: Mapping[str, tuple[float, float]],
    words: Sequence[int],
) -> tuple[dict[str, tuple[float, float]], float, float]:
    """Centre of each box (one of two lines stands between them), and width and height in inches."""
    margin = 0.06
    pitch = max(high for _, high in size.values()) + BETWEEN[1]
    gap = max(BETWEEN[0], 0.06 * max(words) + 0.3 if any(words) else 0.0)
    lowest = max(row for several in rows.values() for row in several)
    height = (lowest + 1) * pitch - BETWEEN[1] + 2 * margin
    places = {}
    left = margin
    for number in range(max(column.values()) + 1):
        boxes = [name for name in rows if column[name] == number]
        wide = max(size[name][0] for name in boxes)
        for name in boxes:
            row = sum(rows[name]) / len(rows[name])
            places[name] = (left + wide / 2, height - margin - (pitch - BETWEEN[1]) / 2 - pitch * row)
        left += wide + gap
    return places, left - gap + margin, height


def sample_strips(
    counts: Mapping[str, tuple[int, int]], *, title: str, note: str, ax: Axes | None = None
) -> Axes:
    """Draw the samples of a few problems as dots, the right ones filled.

    Parameters
    ----------
    counts : mapping of str to (n, c)
        Problem to its samples and how many of them are right.

    Examples
    --------
    >>> ax = sample_strips({"p": (4, 1)}, title="t", note="n"); len(ax.collections[0].get_offsets())
    4
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 0.7 + 0.34 * len(counts)))
    for row, (n, c) in enumerate(reversed(list(counts.values()))):
        shades = [RIGHT] * c + [WRONG] * (n - c)
        ax.scatter(np.arange(n), np.full(n, row), s=70, color=shades, edgecolors="#555555", linewidths=0.6)
        ax.annotate(f"{c} of {n}", (n, row), va="center", fontsize=8, color="#444444")
    ax.set_yticks(range(len(counts)), [printable(name) for name in reversed(list(counts))])
    widest = max(n for n, _ in counts.values())
    ax.set(xticks=[], xlim=(-0.7, widest + 1.2), ylim=(-0.6, len(counts) - 0.4))
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.grid(False)
    return caption(ax, title, note, below=8)  # there is no axis between


def answer_fan(
    vectors: np.ndarray, weights: np.ndarray, *, names: Sequence[str] = (), title: str, note: str,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw answers as arrows in the plane, each as long as its weight.

    Parameters
    ----------
    vectors : float array, shape (n, 2)
        Directions of the answers.
    weights : float array, shape (n,)
        What the reward of each is multiplied by.
    names : sequence of str
        Of the answers; default their numbers.

    Examples
    --------
    >>> ax = answer_fan(np.eye(2), np.ones(2), title="t", note="n"); len(ax.texts) >= 2
    True
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(4.2, 3.4))
    unit = np.asarray(vectors, dtype=float) / np.linalg.norm(vectors, axis=1, keepdims=True)
    around = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(around), np.sin(around), color="#DDDDDD", linewidth=1)
    names = list(names) or [str(number + 1) for number in range(len(unit))]
    seen: dict[tuple[float, ...], int] = {}
    for direction, weight, name in zip(unit, weights, names, strict=True):
        place = tuple(np.round(direction, 2))
        turns = seen[place] = seen.get(place, 0) + 1  # answers in one direction are written under each other
        ax.annotate(
            "", weight * direction, (0, 0), arrowprops={"arrowstyle": "-|>", "color": RIGHT, "linewidth": 2}
        )
        x, y = 1.12 * direction - np.array([0, 0.13 * (turns - 1)])
        ax.text(x, y, f"{printable(name)}: weight {weight:.2f}", fontsize=8, ha="center", va="center")
    # What lies below all answers stays blank, so it is cut.
    lowest = min(0.0, float(unit[:, 1].min())) - 0.13 * max(seen.values()) - 0.1
    ax.set(xlim=(-1.6, 1.6), ylim=(lowest, 1.25), aspect="equal", xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return caption(ax, title, note, below=8)  # there is no axis between


# LaTeX formulas as pictures inside a page: no script, no font and no server is needed to read them


SIZE = 11.5  # points: the x-height of the page's 14 px text
LARGE = 13.0  # of a formula on a line of its own
# A fenced block, a code span, a display formula, a formula in the line; what comes first counts.
PARTS = re.compile(
    r"(?P<code>```.*?```|`[^`\n]*`)|\$\$(?P<block>.+?)\$\$|(?<![\\\w])\$(?P<line>[^\s$](?:[^$\n]*[^\s$\\])?)\$(?!\d)",
    re.S,
)


@lru_cache(maxsize=512)
def formula(tex: str, size: float = SIZE) -> tuple[bytes, float]:
    """Return LaTeX without dollars as SVG, and how far it reaches below the line (points)."""
    # As far as Matplotlib's mathtext knows LaTeX: fractions, sums, roots, accents, brackets, no environments.
    drawn = io.BytesIO()
    try:
        with matplotlib.rc_context(
            {"mathtext.fontset": "cm", "svg.hashsalt": "hammerlib", "svg.fonttype": "path"}
        ):
            depth = math_to_image(f"${tex}$", drawn, prop=FontProperties(size=size), format="svg")
    except ValueError as error:
        problem = f"cannot be drawn ({str(error).strip().splitlines()[-1]})"
        raise InputError(
            "formula", tex, problem, "write it in the LaTeX that Matplotlib's mathtext knows"
        ) from error
    svg = drawn.getvalue()
    svg = re.sub(rb"<metadata>.*?</metadata>", b"", svg, flags=re.S)  # holds the date
    return svg[svg.index(b"<svg") :], float(depth)


def with_formulas(text: str) -> str:
    """Return Markdown whose ``$...$`` and ``$$...$$`` are pictures with the LaTeX as their alternative text.

    Examples
    --------
    >>> with_formulas("costs `$5`")
    'costs `$5`'
    """

    def drawn(found: re.Match) -> str:
        if found["code"] is not None:
            return found[0]
        tex = " ".join((found["block"] or found["line"]).split())
        # On a line of its own there is room for whole fractions.
        svg, depth = formula(tex) if found["line"] else formula(tex.replace(r"\frac", r"\dfrac"), LARGE)
        source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
        style = f"vertical-align:-{depth:.1f}pt;display:inline"
        picture = f'<img class="formula" alt="{escape(tex)}" style="{style}" src="{source}"/>'
        return picture if found["line"] else f'<p class="formula" style="text-align:center">{picture}</p>'

    return PARTS.sub(drawn, text)
