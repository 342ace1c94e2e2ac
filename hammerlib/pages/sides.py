"""Completions of two runs side by side: one searchable table for a page that needs no network."""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.pages.page import environment
from hammerlib.runs.storage import atomic_path, content_hash

if TYPE_CHECKING:
    import pandas as pd
    from jinja2 import Template

HEAD, TAIL = 700, 500  # characters kept of a long text: it ends with the answer
ANSWERS = 4  # different completions shown of a run and problem


@dataclass(frozen=True, repr=False)
class Sides:
    """A table of two runs' completions, shown by Jupyter as HTML.

    Examples
    --------
    >>> Sides("<div></div>", 0)
    Sides(rows=0)
    """

    html: str  # a <div> with its own style and script; everything a model wrote is escaped
    rows: int  # problems

    def __repr__(self) -> str:
        return f"Sides(rows={self.rows})"

    def _repr_html_(self) -> str:
        return self.html

    def write(self, file: str | Path, title: str = "Won and lost") -> Path:
        """Write the table as one page, whole or not at all, and return its path."""
        title = escape(clip(title))
        head = f'<!doctype html><meta charset="utf-8"><title>{title}</title>'
        top = f'<h1 style="font: 1.2em sans-serif">{title}</h1>'
        with atomic_path(file) as part:
            part.write_text(f"{head}{top}{self.html}\n", encoding="utf-8")
        return Path(file)


def side_by_side(rows: pd.DataFrame, a: str, b: str, *, most: int = 200) -> Sides:
    """Draw what two runs answered as a table to search and to filter by won and lost.

    Long texts keep their beginning and end, a run's completions of a problem are the first four that differ,
    and both say what is left out.

    Parameters
    ----------
    rows : DataFrame
        As `hammerlib.evaluation.transcripts` gives it.
    a, b : str
        Names of the runs for the head.
    most : int
        Problems; the first ones won and the first ones lost, and the line above says of how many.

    Examples
    --------
    >>> import pandas as pd
    >>> from hammerlib.evaluation.comparison import Answer
    >>> row = {"id": "p-1", "topic": "sum", "prompt": "1+1?", "gold": "2", "outcome": "won", "a": 0, "b": 1}
    >>> row |= {"answers_a": [Answer("<b>3</b>", False, "wrong", 1)], "answers_b": []}
    >>> table = side_by_side(pd.DataFrame([row]), "before", "after")
    >>> table.rows, "&lt;b&gt;3" in table.html, "<b>3" in table.html
    (1, True, False)
    """
    rank = rows.groupby("outcome").cumcount()  # so that the rarer outcome is not cut off
    kept = rows.loc[rank.sort_values(kind="stable").index[:most].sort_values()]
    counts = rows["outcome"].value_counts()
    summary = f"{counts.get('won', 0)} problems won by {clip(b)}, {counts.get('lost', 0)} lost"
    if len(kept) < len(rows):
        summary += f"; the {len(kept)} with the largest differences of either kind are shown"
    content: dict[str, Any] = {"a": a, "b": b, "summary": summary, "rows": kept.to_dict("records")}
    # Two tables in one notebook must not share an id, and the same table keeps its own.
    key = "sides-" + content_hash(ascii(content))[:10]
    return Sides(_template().render(key=key, shown_answers=ANSWERS, **content), len(kept))


@functools.cache
def _template() -> Template:
    made = environment()
    made.filters["clip"] = clip
    return made.get_template("sides.html.j2")


def clip(text: str) -> str:
    """Shorten a long text in its middle, and write unprintable characters as their codes."""
    if len(text) > HEAD + TAIL:
        left = len(text) - HEAD - TAIL
        text = f"{text[:HEAD]} [... {left:,} characters left out ...] {text[-TAIL:]}"
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    hidden = unicodedata.category(character)[0] == "C" or character in "\u2028\u2029"
    return f"\\u{ord(character):04x}" if hidden and character not in "\n\t" else character
