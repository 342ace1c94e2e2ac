"""Colours, captions and files that all figures share."""

from __future__ import annotations

import re
import textwrap
import tomllib
from collections.abc import Iterable
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hammerlib.errors import printable
from hammerlib.runs import RunRecord
from hammerlib.runs.storage import atomic_path, file_name

_TABLE = tomllib.loads(Path(__file__).with_name("colours.toml").read_text(encoding="utf-8"))
COLOURS: dict[str, str] = _TABLE["methods"]
CYCLE = tuple(_TABLE["cycle"])
MUTED = _TABLE["muted"]


def colour(name: str, position: int | None = None) -> str:
    """Return the fixed colour of a method; for other names one from the cycle, or grey without a position.

    An arm's metric (``hammer: pass@1``) and its difference (``hammer - random``) take the colour of the arm,
    a variant of it too (``hammer-centred``). An arm with DRA takes DRA's.

    Examples
    --------
    >>> colour("hammer: pass@1") == colour("hammer - random") == colour("hammer") != colour("hammer + dra")
    True
    >>> colour("min-path-tfidf") == colour("min-path"), colour("another") == MUTED
    (True, True)
    """
    method = re.split(r" - |: ", name)[0]
    if method.lower().endswith(" + dra"):
        return COLOURS["dra"]
    method = method.partition(" + ")[0]
    known = [order for order in COLOURS if method == order or method.startswith(f"{order}-")]
    if known:
        return COLOURS[max(known, key=len)]
    return MUTED if position is None else CYCLE[position % len(CYCLE)]


def palette(names: Iterable[str], most: int = 4) -> dict[str, str]:
    """Return a colour for each name, no two alike; those after the first `most` are grey."""
    names = list(dict.fromkeys(names))
    fixed = {name: colour(name) for name in names[:most]}
    taken = {shade for shade in fixed.values() if shade != MUTED}
    free = iter([shade for shade in CYCLE if shade not in taken])
    shades: dict[str, str] = {}
    for name in names:
        shade = fixed.get(name, MUTED)
        if name in fixed and (shade == MUTED or shade in shades.values()):
            shade = next(free, MUTED)
        shades[name] = shade
    return shades


def style() -> None:
    """Set the house style for this session: vector figures, no top or right spine, light grid.

    Examples
    --------
    >>> style(); matplotlib.rcParams["axes.spines.top"]
    False
    """
    matplotlib.rcParams.update(
        {
            "figure.figsize": (6.4, 4.0),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.prop_cycle": plt.cycler(color=CYCLE),
            "grid.alpha": 0.2,
            "axes.axisbelow": True,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "font.size": 9,
            "legend.frameon": False,
            "legend.fontsize": 8,
            "svg.hashsalt": "hammerlib",
            "figure.constrained_layout.use": True,
            "text.parse_math": False,  # a topic or name of others, such as "$5 or $x_{"
        }
    )
    if "inline" in matplotlib.get_backend():
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg")


def panels(count: int, *, columns: int = 2, width: float = 5.2, height: float = 3.4) -> list[Axes]:
    """Return `count` Axes on one grid.

    Parameters
    ----------
    count, columns : int
        Panels, and panels in a row.
    width, height : float
        Inches a panel.

    Examples
    --------
    >>> len(panels(3))
    3
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    _, axes = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False)
    for ax in axes.flat[count:]:
        ax.set_visible(False)
    return list(axes.flat[:count])


def dashes(name: str) -> str:
    """Return the line style of an arm: dashed with DRA, for readers who see no colours."""
    return "--" if "+ dra" in name else "-"


def axes_or_new(ax: Axes | None) -> Axes:
    """Return `ax`, or the Axes of a new figure."""
    return plt.subplots()[1] if ax is None else ax


def plain_ticks(ax: Axes) -> None:
    """Write a logarithmic axis' numbers as they are: powers would be LaTeX, which the style leaves alone."""
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("")


def legend_beside(ax: Axes) -> None:
    """Put the legend to the right of the Axes, where it hides nothing."""
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def caption(ax: Axes, title: str, note: str, *, below: int = 34) -> Axes:
    """Put the finding above the Axes and what it rests on in grey, so many points below them."""
    ax.set_title("\n".join(map(printable, title.split("\n"))), loc="left")
    ax.annotate(
        textwrap.fill(printable(note), 80),
        xy=(0, 0),
        xycoords="axes fraction",
        xytext=(0, -below),
        textcoords="offset points",
        fontsize=7,
        color="#666666",
        va="top",
    )
    return ax


def save(drawn: Axes | Figure, run: RunRecord, name: str) -> Path:
    """Write the figure as ``figures/<name>.svg`` of the run and record it as an artefact; no label is cut.

    Parameters
    ----------
    drawn : Axes or Figure
        Any Axes of the figure will do.
    run : RunRecord
        Its folder takes the file.
    name : str
        File name without ending.

    Examples
    --------
    >>> import tempfile
    >>> from hammerlib.runs import start_run
    >>> run = start_run("demo", parameters={}, root=Path(tempfile.mkdtemp()))
    >>> save(axes_or_new(None), run, "empty").name
    'empty.svg'
    """
    figure = drawn if isinstance(drawn, Figure) else drawn.figure
    path = run.folder / "figures" / f"{file_name('figure', name)}.svg"
    with atomic_path(path) as part:
        # No date: the same figure is the same file. Dots are those of rasterised bands; all else is vectors.
        figure.savefig(part, metadata={"Date": None}, bbox_inches="tight", dpi=120)
    run.artefact(path)
    return path
