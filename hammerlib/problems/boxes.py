"""Find ``\\boxed{...}`` with a scan that balances braces."""

from __future__ import annotations

import operator
import re

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")

_TOKEN = re.compile(r"\\[A-Za-z]+|-?\d+(?:\.\d+)?|\S")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # an escaped character is no brace


def last_box(text: str) -> str | None:
    r"""Return the content of the last complete ``\boxed{...}``, stripped; None without one.

    The last box counts, because a completion with several boxes has moved on (math-verify would read the
    set of all of them). A box that is never closed, as in a truncated completion, does not count. Escaped
    braces (``\{``) are content. ``\boxed 5`` without braces yields that one token.

    Examples
    --------
    >>> last_box(r"first \boxed{5}, no: \boxed{\frac{1}{2}}.")
    '\\frac{1}{2}'
    >>> last_box(r"so \boxed{5 and then") is None
    True
    """
    complete = boxes(text)
    return text[complete[-1][1]].strip() if complete else None


def boxes(text: str) -> list[tuple[int, slice, int]]:
    r"""Return every complete ``\boxed{...}`` in the order in which they begin.

    One pass over the text and no copies, so that a megabyte of unclosed or nested boxes costs a second.

    Returns
    -------
    list of (int, slice, int)
        Position of ``\boxed``, where its content stands, position behind its end.

    Examples
    --------
    >>> boxes(r"\boxed{1} and \boxed{2}")[1]
    (14, slice(21, 22, None), 23)
    """
    begins = {match.end(): match.start() for match in _BOX.finditer(text)}
    complete = []
    for inside, begin in begins.items():
        if inside < len(text) and text[inside] != "{":
            token = _TOKEN.match(text, inside)
            complete.append((begin, slice(*token.span()), token.end()))
    opened: list[int] = []
    for match in _BRACE.finditer(text) if begins else ():
        if match[0] == "{":
            opened.append(match.start())
        elif match[0] == "}" and opened and (inside := opened.pop()) in begins:
            complete.append((begins[inside], slice(inside + 1, match.start()), match.end()))
    return sorted(complete, key=operator.itemgetter(0))
