"""One offline HTML page: its data packed inside, one script that it allows, nothing from a server."""

from __future__ import annotations

import base64
import copy
import functools
import gzip
import hashlib
import html
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.errors import printable
from hammerlib.runs.storage import atomic_path

if TYPE_CHECKING:
    import nbformat
    import pandas as pd
    from jinja2 import Environment

# Of figures too; `hammerlib.plots.style` takes matplotlib to import.
COLOURS = Path(__file__).parents[1] / "plots" / "colours.toml"
_TABLE = tomllib.loads(COLOURS.read_text(encoding="utf-8"))
CYCLE = tuple(_TABLE["cycle"])


@dataclass(frozen=True, repr=False)
class Page:
    """A whole HTML page that needs no network; Jupyter shows it in a frame.

    Its data is compressed and its texts are never read as HTML; a policy in its head forbids every other
    script and every connection.

    Examples
    --------
    >>> Page("Empty", "<!doctype html>")
    Page('Empty')
    """

    title: str
    html: str  # from <!doctype html> on
    height: int = 640  # pixels of the frame in a notebook

    def __repr__(self) -> str:
        return f"Page({self.title!r})"

    def _repr_html_(self) -> str:
        # Of its own origin: what the page does cannot reach the notebook around it.
        return (
            f'<iframe srcdoc="{escape(self.html)}" sandbox="allow-scripts" title="{escape(self.title)}" '
            f'style="width: 100%; height: {self.height}px; border: 1px solid #ccc"></iframe>'
        )

    def write(self, file: str | Path) -> Path:
        """Write the page, whole or not at all, and return its path."""
        with atomic_path(file) as unfinished:
            unfinished.write_text(self.html, encoding="utf-8")
        return Path(file)


def make_page(
    name: str,
    title: str,
    data: Mapping[str, Any],
    values: Mapping[str, Any] | None = None,
    *,
    height: int = 640,
) -> Page:
    """Fill the templates ``<name>.html.j2`` and ``<name>.js.j2``.

    `data` maps element ids to JSON values, which the script unpacks; `values` are written into its text.
    """
    script = environment().get_template(f"{name}.js.j2").render(values or {})
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = {key: pack(content) for key, content in data.items()}
    shown = printable(title)
    frame = {"title": shown, "script": script, "allowed": allowed, "parts": parts}
    html = environment().get_template(f"{name}.html.j2").render(frame)
    return Page(shown, html, height)


def pack(content: Any) -> str:
    """Return a JSON value as gzip in base64: small, and without a character that HTML could read."""
    # ASCII alone, so that half a surrogate pair passes; no time stamp: the same data is the same page.
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


@functools.cache
def environment() -> Environment:
    """The templates of this room; what they are given is escaped."""
    from jinja2 import Environment, PackageLoader

    made = Environment(loader=PackageLoader("hammerlib.pages"), autoescape=True, lstrip_blocks=True)
    made.globals.update(cycle=CYCLE, colours=_TABLE["methods"])
    return made


# An executed notebook as one HTML file


TEMPLATE = Path(__file__).parent / "templates" / "notebook.html.j2"


def write_page(notebook: nbformat.NotebookNode, path: Path, folder: Path) -> None:
    """Write an executed notebook as HTML, images inside, without a single reference to a server.

    Other pages in its folder, such as the groups of a run, are linked at its top. Relative image links of its
    text start in `folder`.

    Parameters
    ----------
    notebook : NotebookNode
    path : Path
        HTML file; written whole or not at all.
    folder : Path

    Examples
    --------
    >>> import tempfile, nbformat
    >>> page = Path(tempfile.mkdtemp()) / "a.html"
    >>> write_page(nbformat.v4.new_notebook(), page, page.parent)
    >>> "<script src" in page.read_text()
    False
    """
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(raw_template=TEMPLATE.read_text(encoding="utf-8"), embed_images=True)
    beside = sorted(page.name for page in path.parent.glob("*.html") if page.name != path.name)
    resources = {"metadata": {"name": path.parent.name, "path": str(folder)}, "pages": beside}
    text, _ = exporter.from_notebook_node(_readable(notebook), resources=resources)
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def _readable(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy whose formulas are pictures and whose figures carry their words.

    The page loads no MathJax, and some of its readers do not see.
    """
    copied = copy.deepcopy(notebook)
    for cell in copied.cells:
        if cell.cell_type == "markdown" and "$" in cell.source:
            from hammerlib.plots.drawings import with_formulas  # takes matplotlib to import

            cell.source = with_formulas(cell.source)
        for output in cell.get("outputs", []):
            drawn = output.get("data", {}).get("image/svg+xml")
            if drawn is not None:
                # Letters are drawn as outlines; what they spell stands in a comment before each text.
                texts = map(html.unescape, re.findall(r"<!-- (.*?) -->", drawn))
                words = dict.fromkeys(text for text in texts if re.search(r"[^\W\d]{2}", text))
                output.metadata["alt"] = "figure: " + "; ".join(words)
    return copied


# The page of an audit: the verdict, what was found, the picture and a table by step


MOST = 200  # steps in the table


def write_audit(
    file: str | Path, title: str, lines: Sequence[str], kept: bool, picture: str, steps: pd.DataFrame
) -> Path:
    """Write one HTML file that needs no network, whole or not at all, and return its path."""
    from jinja2 import Environment, PackageLoader

    shown = steps
    if len(steps) > MOST:
        shown = steps.loc[steps["displacement"].nlargest(MOST).index].sort_values("step")
    environment = Environment(loader=PackageLoader("hammerlib.pages"), autoescape=True, trim_blocks=True)
    text = environment.get_template("audit.html.j2").render(
        title=title,
        verdict=lines[-1],
        lines=lines[:-1],
        kept=kept,
        picture=picture,
        columns=list(steps.columns),
        rows=shown.to_numpy().tolist(),
        left_out=len(steps) - len(shown),
    )
    with atomic_path(file) as part:
        part.write_text(text + "\n", encoding="utf-8")
    return Path(file)
