"""An executed notebook as one HTML file that needs no network."""

from __future__ import annotations

import copy
import html
import re
from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.runs.storage import atomic_path

if TYPE_CHECKING:
    import nbformat

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

    notebook = _with_described_figures(_with_drawn_formulas(notebook))
    exporter = HTMLExporter(raw_template=TEMPLATE.read_text(encoding="utf-8"), embed_images=True)
    beside = sorted(page.name for page in path.parent.glob("*.html") if page.name != path.name)
    resources = {"metadata": {"name": path.parent.name, "path": str(folder)}, "pages": beside}
    text, _ = exporter.from_notebook_node(notebook, resources=resources)
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def _with_drawn_formulas(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the notebook with the LaTeX of its prose as pictures, for a page that loads no MathJax."""
    if not any(cell.cell_type == "markdown" and "$" in cell.source for cell in notebook.cells):
        return notebook
    from hammerlib.plots.formula import with_formulas

    drawn = copy.deepcopy(notebook)
    for cell in drawn.cells:
        if cell.cell_type == "markdown":
            cell.source = with_formulas(cell.source)
    return drawn


def _with_described_figures(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the notebook whose figures carry their words, for readers who do not see them."""
    described = copy.deepcopy(notebook)
    for cell in described.cells:
        for output in cell.get("outputs", []):
            drawn = output.get("data", {}).get("image/svg+xml")
            if drawn is not None:
                # Letters are drawn as outlines; what they spell stands in a comment before each text.
                texts = map(html.unescape, re.findall(r"<!-- (.*?) -->", drawn))
                words = dict.fromkeys(text for text in texts if re.search(r"[^\W\d]{2}", text))
                output.metadata["alt"] = "figure: " + "; ".join(words)
    return described
