"""An executed notebook as one HTML file that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.runs.storage import atomic_path

if TYPE_CHECKING:
    import nbformat

# nbconvert's page loads require.js, MathJax, Mermaid and the widget manager from servers. The notebooks
# use none of them (formulas are Unicode, figures are SVG), so their blocks are emptied. Figures wider
# than the page shrink to it.
_OFFLINE = """{%- extends 'index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_css -%}{{ super() }}
<style>.jp-RenderedSVG svg, .jp-OutputArea-output img { max-width: 100%; height: auto; }</style>
{%- endblock -%}
"""


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

    Raises
    ------
    OSError
        `path` cannot be written.

    Examples
    --------
    >>> import tempfile, nbformat
    >>> page = Path(tempfile.mkdtemp()) / "a.html"
    >>> write_page(nbformat.v4.new_notebook(), page, page.parent)
    >>> "<script src" in page.read_text()
    False
    """
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(raw_template=_OFFLINE, embed_images=True)
    text, _ = exporter.from_notebook_node(
        notebook, resources={"metadata": {"name": path.parent.name, "path": str(folder)}}
    )
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")
