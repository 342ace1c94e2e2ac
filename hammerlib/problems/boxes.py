"""Find ``\\boxed{...}`` with a scan that balances braces."""

from __future__ import annotations

import re

_BOX = re.compile(r"\\boxed(?![A-Za-z])\s*")

_TOKEN = re.compile(r"\\[A-Za-z]+|-?\d+(?:\.\d+)?|\S")


def last_box(text: str) -> str | None:
    r"""Return the content of the last complete ``\boxed{...}``, stripped.

    The last box counts, because a completion with several boxes has moved on (math-verify would read the
    set of all of them). A box that is never closed, as in a truncated completion, does not count. Escaped
    braces (``\{``) are content. ``\boxed 5`` without braces yields that one token.

    Parameters
    ----------
    text : str
        A completion or a worked solution.

    Returns
    -------
    str or None
        None without a complete box; "" for an empty one.

    Examples
    --------
    >>> last_box(r"first \boxed{5}, no: \boxed{\frac{1}{2}}.")
    '\\frac{1}{2}'
    >>> last_box(r"so \boxed{5 and then") is None
    True
    """
    for match in reversed(list(_BOX.finditer(text))):
        start = match.end()
        if start >= len(text):
            continue
        if text[start] != "{":
            return _TOKEN.match(text, start)[0]
        end = _closing_brace(text, start)
        if end is not None:
            return text[start + 1 : end].strip()
    return None


def _closing_brace(text: str, start: int) -> int | None:
    depth, index = 0, start
    while index < len(text):
        letter = text[index]
        if letter == "\\":
            index += 2
            continue
        depth += (letter == "{") - (letter == "}")
        if depth == 0:
            return index
        index += 1
    return None
