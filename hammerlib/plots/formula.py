"""LaTeX formulas as pictures inside a page: no script, no font and no server is needed to read them."""

from __future__ import annotations

import base64
import io
import re
from functools import lru_cache
from html import escape

import matplotlib
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import math_to_image

from hammerlib.errors import InputError

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
