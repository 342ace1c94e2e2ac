"""Numbers of a study as text: with intervals, as p-values, as Markdown tables."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from hammerlib.errors import printable

NONE = "–"
_MARKUP = str.maketrans({"<": "&lt;", "|": r"\|", "[": r"\["})


class Measured(Protocol):
    """Anything with ``value``, ``low`` and ``high``, such as a row of a table.

    Examples
    --------
    >>> from hammerlib.evaluation import Interval
    >>> found: Measured = Interval(0.1, 0.0, 0.2)
    """

    value: float
    low: float
    high: float


def interval(found: Measured, *, unit: float = 100, digits: int = 1) -> str:
    """Return ``value [low, high]``; without ends where there are none.

    Parameters
    ----------
    found : Measured
    unit : float
        What all are multiplied with: 100 for points.
    digits : int
        After the point.

    Examples
    --------
    >>> from hammerlib.evaluation import Interval
    >>> interval(Interval(0.012, -0.004, 0.028))
    '1.2 [-0.4, 2.8]'
    """
    return shown((found.value, found.low, found.high), unit, digits)


def shown(found: tuple[float, float, float], unit: float, digits: int) -> str:
    """Return ``value [low, high]`` as `interval` does, of three numbers.

    Parameters
    ----------
    found : (float, float, float)
    unit, digits
        As in `interval`.

    Examples
    --------
    >>> shown((0.5, float("nan"), float("nan")), 1, 2)
    '0.50'
    """
    value, low, high = (unit * one + 0.0 for one in found)
    if np.isnan(value):
        return NONE
    text = f"{value:.{digits}f}"
    return text if np.isnan(low) else f"{text} [{low:.{digits}f}, {high:.{digits}f}]"


def p_value(p: float) -> str:
    """Return a p-value with three digits.

    Examples
    --------
    >>> p_value(0.0301), p_value(0.00001), p_value(0.9999)
    ('p = .030', 'p < .001', 'p = 1')
    """
    if np.isnan(p):
        return NONE
    return "p < .001" if p < 0.001 else "p = 1" if p >= 0.9995 else f"p = {p:.3f}".replace("0.", ".", 1)


def foreign(text: object) -> str:
    """Return what others wrote (a topic, an error) as words of a Markdown page: no tag, link, cell or line.

    Pages are shown in notebooks too, where a tag would be obeyed.

    Examples
    --------
    >>> foreign("sums"), foreign("<script>\\n# a | b")
    ('sums', '&lt;script>\\\\n# a \\\\| b')
    """
    return printable(text).translate(_MARKUP)


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table.

    Parameters
    ----------
    header : list of str
    rows : list of list of str
        As many cells each.

    Examples
    --------
    >>> print(markdown(["a"], [["1"]]))
    | a |
    | --- |
    | 1 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
