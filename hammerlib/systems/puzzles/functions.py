"""What formulas may call, besides the operators a specification defines itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hammerlib.systems.smt import CONNECTIVES, is_term

# A bank for specifications to draw from.
PEOPLE = (
    *("Ada", "Bruno", "Carla", "David", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Liam"),
    *("Mona", "Nils", "Olga", "Pavel", "Quinn", "Rosa", "Samir", "Tessa", "Uwe", "Vera", "Wanda", "Yusuf"),
)


def show(value: Any) -> str:
    """Write a value as a reader would: lists with commas, whole fractions as integers.

    Examples
    --------
    >>> from fractions import Fraction
    >>> show([Fraction(3, 1), Fraction(1, 2), True])
    '3, 1/2, yes'
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(show, value))
    return str(value)


def _sum(parts: Any) -> Any:
    return CONNECTIVES["Sum"](list(parts))


def _join(parts: Any, between: str = ", ", last: str | None = None) -> str:
    words = [show(part) for part in parts]
    if last is None or len(words) < 2:
        return between.join(words)
    return f"{between.join(words[:-1])}{last}{words[-1]}"


FUNCTIONS: dict[str, Callable[..., Any]] = CONNECTIVES | {
    "abs": lambda x: CONNECTIVES["If"](x >= 0, x, -x) if is_term(x) else abs(x),
    "all": lambda parts: CONNECTIVES["And"](list(parts)),
    "any": lambda parts: CONNECTIVES["Or"](list(parts)),
    "enumerate": lambda parts: [list(pair) for pair in enumerate(parts)],
    "int": int,
    "join": _join,
    "len": len,
    "list": list,
    "max": max,
    "min": min,
    "range": lambda *ends: list(range(*ends)),
    "sorted": sorted,
    "str": show,
    "sum": _sum,
    "values": lambda symbols: list(symbols.values()),
    "zip": lambda *parts: [list(row) for row in zip(*parts, strict=True)],
}
