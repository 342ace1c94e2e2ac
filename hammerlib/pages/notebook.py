"""An executed notebook as one HTML file that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.runs.storage import atomic_path

if TYPE_CHECKING:
    import nbformat

TEMPLATE = Path(__file__).parent / "templates" / "notebook.html.j2"


def write_page(notebook: nbformat.NotebookNode, path: Path, folder: Path) -> None:
    """Write a notebook as HTML, images inside, without a single reference to a server.

    Parameters
    ----------
    notebook : NotebookNode
        Executed notebook.
    path : Path
        HTML file; written whole or not at all.
    folder : Path
        Where relative image links of its text start.

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
    resources = {"metadata": {"name": path.parent.name, "path": str(folder)}}
    text, _ = exporter.from_notebook_node(notebook, resources=resources)
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")
