"""What a callable is called in a run's name and manifest: changing it, or its settings, changes the run."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable

from hammerlib.runs.storage import content_hash


def name_of(plug: Callable | None) -> str | None:
    """Return module, name and a hash of bytecode and settings of a callable, None for None.

    Settings are the arguments of a ``functools.partial``, the fields of a dataclass (without those marked
    ``repr=False``), and numbers, strings, tuples and functions among a function's defaults and enclosed
    variables or an object's public attributes.

    Examples
    --------
    >>> name_of(len)
    'builtins.len'
    """
    if plug is None:
        return None
    if isinstance(plug, functools.partial):
        settings = content_hash(repr(plug.args), repr(sorted(plug.keywords.items())))
        return f"{name_of(plug.func)}({settings[:8]})"
    named = f"{getattr(plug, '__module__', '')}.{getattr(plug, '__qualname__', type(plug).__name__)}"
    if dataclasses.is_dataclass(plug):
        return f"{named}#{content_hash(repr(plug), *_code(type(plug).__call__.__code__))[:8]}"
    owner = plug if not hasattr(plug, "__code__") else getattr(plug, "__self__", None)
    code = getattr(plug, "__code__", None) or getattr(type(plug).__call__, "__code__", None)
    if code is None:
        return named
    return f"{named}#{content_hash(*_code(code), *_settings(plug), *_attributes(owner))[:8]}"


def _settings(plug: Callable) -> list[str]:
    """Defaults and enclosed variables of a function."""
    cells = [one.cell_contents for one in getattr(plug, "__closure__", None) or () if one != types.CellType()]
    defaults = [*(getattr(plug, "__defaults__", None) or ())]
    by_name = sorted((getattr(plug, "__kwdefaults__", None) or {}).items())
    return [said for one in (*defaults, *by_name, *cells) if (said := _told(one)) is not None]


def _attributes(owner: object) -> list[str]:
    """Public attributes of the object that a callable is, or belongs to."""
    found = getattr(owner, "__dict__", {}) if not isinstance(owner, type) else {}
    told = {name: _told(value) for name, value in sorted(found.items()) if not name.startswith("_")}
    return [f"{name}={said}" for name, said in told.items() if said is not None]


def _told(value: object) -> str | None:
    """A setting in words; None for what may change while it is used, or has no words of its own."""
    if isinstance(value, types.FunctionType):
        return " ".join([value.__qualname__, *_code(value.__code__)])
    if isinstance(value, tuple | frozenset):
        parts = [_told(one) for one in value]
        return None if None in parts else str(sorted(parts) if isinstance(value, frozenset) else parts)
    return repr(value) if value is None or isinstance(value, bool | int | float | str | bytes) else None


def _code(code: types.CodeType) -> list[str]:
    """Bytecode and constants; the code of inner functions in place of their addresses."""
    inner = [one for one in code.co_consts if isinstance(one, types.CodeType)]
    plain = tuple(one for one in code.co_consts if not isinstance(one, types.CodeType))
    return [code.co_code.hex(), str(plain), *(part for one in inner for part in _code(one))]
