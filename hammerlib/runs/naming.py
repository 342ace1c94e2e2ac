"""Names of callables and classes by what they do, so that runs of one name ran the same code.

A run is found again by its content, and code handed over from Python, or named as ``module:object``, is part
of that content. What is hashed is bytecode with constants (comments and blank lines change nothing) and the
settings that can be read without running anything. What may change while training (lists, arrays, models,
private attributes) is left out: a run would otherwise lose its name while it trains.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable

from hammerlib.runs.storage import content_hash

HASH = 8  # hexadecimal digits


def name_of(called: Callable | None) -> str | None:
    """Return module, name and a hash of bytecode and settings of a callable, None for None."""
    # Settings: arguments of a partial, fields of a dataclass (without those marked repr=False), and numbers,
    # texts, tuples and functions among a function's defaults and enclosed variables or an object's public
    # attributes.
    if called is None:
        return None
    if isinstance(called, functools.partial):
        settings = content_hash(repr(called.args), repr(sorted(called.keywords.items())))
        return f"{name_of(called.func)}({settings[:HASH]})"
    name = getattr(called, "__qualname__", type(called).__name__)
    named = f"{getattr(called, '__module__', '')}.{name}"
    code = getattr(called, "__code__", None) or getattr(type(called).__call__, "__code__", None)
    if code is None:  # of a library in C: its module and name have to do
        return named
    if dataclasses.is_dataclass(called):
        return f"{named}#{content_hash(repr(called), *_code(code))[:HASH]}"
    # The object that the callable is, or whose method it is.
    owner = getattr(called, "__self__", None) if hasattr(called, "__code__") else called
    return f"{named}#{content_hash(*_code(code), *_settings(called), *_attributes(owner))[:HASH]}"


def code_hash(thing: Callable, base: type = object) -> str:
    """Return a hash of a function's bytecode, or of that of all methods that a class has above `base`."""
    if not isinstance(thing, type):
        return str(name_of(thing)).rpartition("#")[2]
    parts = []
    for kind in thing.__mro__:
        if kind in (object, base):
            continue
        for name, member in sorted(vars(kind).items()):
            # The function inside a property, a classmethod or a staticmethod.
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if isinstance(function, types.FunctionType):
                parts += [name, *_code(function.__code__), *_settings(function)]
            elif not name.startswith("__") and (text := _setting_text(member)) is not None:
                parts += [name, text]
    return content_hash(*parts)[:HASH]


def object_name(thing: object, base: type = object) -> str:
    """Return module, class and a hash of settings and code of an object."""
    kind = type(thing)
    settings = [repr(thing)] if dataclasses.is_dataclass(thing) else _attributes(thing)
    return f"{kind.__module__}.{kind.__qualname__}#{content_hash(*settings, code_hash(kind, base))[:HASH]}"


def _settings(called: Callable) -> list[str]:
    """Defaults and enclosed variables of a function."""
    empty = types.CellType()  # a variable that is filled later
    filled = [cell for cell in getattr(called, "__closure__", None) or () if cell != empty]
    enclosed = [cell.cell_contents for cell in filled]
    defaults = getattr(called, "__defaults__", None) or ()
    by_name = sorted((getattr(called, "__kwdefaults__", None) or {}).items())
    texts = [_setting_text(value) for value in (*defaults, *by_name, *enclosed)]
    return [text for text in texts if text is not None]


def _attributes(owner: object) -> list[str]:
    """Public attributes of an object; of a class or a function without one, none."""
    values = {} if isinstance(owner, type) else getattr(owner, "__dict__", {})
    texts = {name: _setting_text(value) for name, value in sorted(values.items()) if not name.startswith("_")}
    return [f"{name}={text}" for name, text in texts.items() if text is not None]


def _setting_text(value: object) -> str | None:
    """A setting in words; None for what may change while it is used, or has no words of its own."""
    if isinstance(value, types.FunctionType):
        return " ".join([value.__qualname__, *_code(value.__code__)])
    if isinstance(value, tuple | frozenset):
        texts = [_setting_text(item) for item in value]
        if None in texts:
            return None
        if isinstance(value, frozenset):  # whose sequence differs between processes
            texts = sorted(texts)
        return str(texts)
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return repr(value)
    return None


def _code(code: types.CodeType) -> list[str]:
    """Bytecode and constants; the code of inner functions in place of their addresses."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    plain = tuple(constant for constant in code.co_consts if not isinstance(constant, types.CodeType))
    return [code.co_code.hex(), str(plain), *(text for constant in inner for text in _code(constant))]
