"""One offline HTML page: its data packed inside, one script that it allows, nothing from a server."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.errors import printable
from hammerlib.runs.storage import atomic_path

if TYPE_CHECKING:
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
