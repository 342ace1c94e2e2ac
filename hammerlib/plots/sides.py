"""Completions of two runs side by side: one searchable table for a page that needs no network."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.runs.storage import atomic_path, content_hash

if TYPE_CHECKING:
    import pandas as pd

    from hammerlib.evaluation.comparison import Answer

HEAD, TAIL = 700, 500  # characters kept of a long text: it ends with the answer
_SAID = 4  # different completions of a run and problem
_STYLE = """
#ID {font: 13px/1.4 sans-serif; color: #222}
#ID .bar {display: flex; gap: 1em; align-items: center; margin: .5em 0}
#ID input {width: 24em; max-width: 60%; padding: .3em}
#ID .frame {max-height: 34em; overflow: auto; border: 1px solid #ccc}
#ID table {border-collapse: collapse; width: 100%; table-layout: fixed; margin: 0}
#ID th, #ID td {overflow-wrap: anywhere}
#ID th {position: sticky; top: 0; background: #f3f3f3; text-align: left; padding: .4em}
#ID td {vertical-align: top; text-align: left; padding: .4em; border-top: 1px solid #ddd; overflow: hidden}
#ID tr {background: #fff}
#ID pre {white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; margin: 0 0 .4em;
  padding: .2em .4em; border-left: 4px solid #D55E00; background: #fafafa; color: #222; font-size: 12px;
  max-height: 14em; overflow: auto}
#ID pre.right {border-color: #0072B2}
#ID pre.asked {border-color: #999}
#ID small {color: #555}
"""
# Only shows and hides rows: without scripts (a page on the web that strips them) the whole table stands.
_SCRIPT = """
(() => {
  const root = document.getElementById("ID"), rows = [...root.querySelectorAll("tbody tr")];
  const words = rows.map((row) => row.textContent.toLowerCase());
  const text = root.querySelector("input"), kind = root.querySelector("select");
  const shown = root.querySelector("output");
  const filter = () => {
    const asked = text.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let count = 0;
    rows.forEach((row, i) => {
      const wanted = !kind.value || row.dataset.outcome === kind.value;
      const fits = wanted && asked.every((word) => words[i].includes(word));
      row.hidden = !fits;
      count += fits;
    });
    shown.textContent = count + " of " + rows.length + " rows";
  };
  text.addEventListener("input", filter);
  kind.addEventListener("change", filter);
  filter();
})();
"""


@dataclass(frozen=True, repr=False)
class Sides:
    """A table of two runs' completions, shown by Jupyter as HTML.

    Attributes
    ----------
    html : str
        A ``<div>`` with its own style and script; everything a model wrote is escaped.
    rows : int
        Problems in it.

    Examples
    --------
    >>> Sides("<div></div>", 0)
    Sides(rows=0)
    """

    html: str
    rows: int

    def __repr__(self) -> str:
        return f"Sides(rows={self.rows})"

    def _repr_html_(self) -> str:
        return self.html

    def write(self, file: str | Path, title: str = "Won and lost") -> Path:
        """Write the table as one page, whole or not at all, and return its path.

        Raises
        ------
        OSError
            `file` cannot be written.
        """
        head = f'<!doctype html><meta charset="utf-8"><title>{_shown(title)}</title>'
        top = f'<h1 style="font: 1.2em sans-serif">{_shown(title)}</h1>'
        with atomic_path(file) as part:
            part.write_text(f"{head}{top}{self.html}\n", encoding="utf-8")
        return Path(file)


def side_by_side(rows: pd.DataFrame, a: str, b: str, *, most: int = 200) -> Sides:
    """Draw what two runs answered as a table to search and to filter by won and lost.

    Long texts keep their beginning and end, a run's completions of a problem are the first four that differ,
    and both say what is left out. Characters without a shape of their own (controls, marks of direction, half
    surrogates) are written as their code.

    Parameters
    ----------
    rows : DataFrame
        As `hammerlib.evaluation.comparison` gives it.
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
    place = rows.groupby("outcome").cumcount()  # so that the rarer outcome is not cut off
    kept = rows.loc[place.sort_values(kind="stable").index[:most].sort_values()]
    counts = rows["outcome"].value_counts()
    told = f"{counts.get('won', 0)} problems won by {_shown(b)}, {counts.get('lost', 0)} lost"
    if len(kept) < len(rows):
        told += f"; the {len(kept)} with the largest differences of either kind are shown"
    body = "".join(_row(one) for one in kept.to_dict("records"))
    heads = "".join(f"<th>{name}</th>" for name in ("problem", _shown(a), _shown(b)))
    key = "sides-" + content_hash([heads, body])[:10]
    bar = (
        '<div class="bar"><input type="search" placeholder="search prompts, answers, topics, verdicts" '
        'aria-label="search"><select aria-label="outcome"><option value="">won and lost</option>'
        '<option value="won">won</option><option value="lost">lost</option></select><output></output></div>'
    )
    html = (
        f'<div id="{key}"><style>{_STYLE.replace("ID", key)}</style><p>{told}. Blue: right; orange: not.</p>'
        f'{bar}<div class="frame"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
        f"<script>{_SCRIPT.replace('ID', key)}</script></div>"
    )
    return Sides(html, len(kept))


def _row(row: dict) -> str:
    asked = "" if row["prompt"] is None else f'<pre class="asked">{_shown(str(row["prompt"]))}</pre>'
    gold = "" if row["gold"] is None else f"answer: {_shown(str(row['gold']))}<br>"
    about = f"<small>{gold}{_shown(row['topic'])}, {_shown(row['id'])}</small>"
    cells = "".join(
        f"<td><small>{row[side]:.0%} right</small>{_side(row[f'answers_{side}'])}</td>" for side in "ab"
    )
    outcome = "won" if row["outcome"] == "won" else "lost"
    return f'<tr data-outcome="{outcome}"><td><b>{outcome}</b>{asked}{about}</td>{cells}</tr>\n'


def _side(answers: Sequence[Answer]) -> str:
    found = "".join(
        f'<pre class="{"right" if one.correct else "other"}">{_shown(one.text)}</pre>'
        f"<small>{_shown(one.reason)}, {one.count} x</small>"
        for one in answers[:_SAID]
    )
    left = sum(one.count for one in answers[_SAID:])
    return found + (f"<br><small>and {left} more samples</small>" if left else "")


def _shown(text: str) -> str:
    """Text for a page: clipped, unprintable characters as their codes, markup escaped."""
    if len(text) > HEAD + TAIL:
        left = len(text) - HEAD - TAIL
        text = f"{text[:HEAD]} [... {left:,} characters left out ...] {text[-TAIL:]}"
    return escape("".join(_visible(one) for one in text))


def _visible(character: str) -> str:
    hidden = unicodedata.category(character)[0] == "C" or character in "\u2028\u2029"
    return f"\\u{ord(character):04x}" if hidden and character not in "\n\t" else character
