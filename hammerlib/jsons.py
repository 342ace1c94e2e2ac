"""The one reader of JSON that others wrote: what has no value or two of them is refused, with its place.

Python's own reader takes ``NaN`` and ``Infinity``, the last of two equal keys, half a surrogate pair and
``1e999`` in silence, and stops at 4,300 digits or a thousand brackets with an exception of another kind.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

__all__ = ["parse_json"]

HALF = re.compile("[\ud800-\udfff]")
MAX_DEPTH = 100
MAX_DIGITS = 4300  # of a whole number; Python reads no longer ones


class _NoNumber:
    """Stands where a text said NaN or Infinity, until its place is known."""

    def __init__(self, text: str) -> None:
        self.text = text


def parse_json(text: str | bytes, *, halves: str = "refuse") -> Any:
    """Read JSON strictly.

    Parameters
    ----------
    text : str or bytes
        UTF-8 if bytes.
    halves : {"refuse", "replace"}
        What becomes of half a surrogate pair, as a model leaves it that was cut off inside a character:
        refused, or U+FFFD.

    Returns
    -------
    object
        dict, list, str, int, float, bool or None. A number of more digits than a float holds is its own text.

    Raises
    ------
    ValueError
        One line that names the place: no JSON, NaN, Infinity or a number beyond floats, a key twice in one
        object, half a surrogate pair, more than 4,300 digits, nested more than 100 deep.

    Examples
    --------
    >>> parse_json('{"answer": 0.5}')
    {'answer': 0.5}
    >>> parse_json('{"meta": [{"answer": NaN}]}')
    Traceback (most recent call last):
    ValueError: holds NaN at meta[0].answer, which is no number
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        content = json.loads(
            text, object_pairs_hook=_once, parse_constant=_NoNumber, parse_float=_float, parse_int=_int
        )
        if halves == "replace":
            content = _mended(content)
        _check(content)
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8") from error
    except RecursionError as error:
        raise ValueError(f"is nested more than {MAX_DEPTH} deep") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON, or cut off ({error})") from error
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"has the key {twice[:40]!r} twice in one object")
    return found


def _float(text: str) -> float | str | _NoNumber:
    value = float(text)
    if not math.isfinite(value):
        return _NoNumber(text if len(text) < 20 else text[:17] + "...")
    # 3.14159265358979323846 as a gold: the digits that a float drops are kept, as text.
    return value if Decimal(text) == Decimal(repr(value)) else text


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"has a whole number of {len(text)} digits")
    return int(text)


def _check(content: Any) -> None:
    # Level by level, so that no depth of nesting is a depth of calls.
    level = [("", content)]
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return
        level = [inner for place, value in level for inner in _inside(place, value)]
    raise ValueError(f"is nested more than {MAX_DEPTH} deep")


def _inside(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            _whole(f"a key of {place or 'its top'}", name)
            yield (f"{place}.{name}" if place else name), inner
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield f"{place}[{number}]", inner
    elif isinstance(value, str):
        _whole(place, value)
    elif isinstance(value, _NoNumber):
        raise ValueError(f"holds {value.text} at {place or 'its top'}, which is no number")


def _mended(content: Any) -> Any:
    if isinstance(content, dict):
        return {_mended(key): _mended(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_mended(value) for value in content]
    if isinstance(content, str) and not content.isascii():
        return HALF.sub("\ufffd", content)
    return content


def _whole(place: str, text: str) -> None:
    if not text.isascii() and HALF.search(text):
        raise ValueError(f"holds half a surrogate pair at {place or 'its top'}")
