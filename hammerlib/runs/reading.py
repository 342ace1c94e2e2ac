"""Strict readers of YAML and JSON that others wrote: what can be read in two ways is refused in one line.

YAML (studies, training files, profiles, recipes, puzzles, ``--set`` values) by the core schema of YAML 1.2:
``010`` is ten (YAML 1.1 says eight), ``1e-4`` is a number; ``off``, ``yes``, ``1:30`` and ``2026-11-29`` are
text. Refused: a key that stands twice, a second document, a tag such as ``!!python/object``, a number that
is not finite.

JSON: Python's own reader takes ``NaN`` and ``Infinity``, the last of two equal keys, half a surrogate pair
and ``1e999`` in silence, and stops at 4,300 digits or a thousand brackets with an exception of another kind.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hammerlib.errors import InputError

if TYPE_CHECKING:
    from ruamel.yaml.error import YAMLError

# Section 10.3.2 of YAML 1.2.2: what an unquoted scalar is, and the characters with which it may begin. All
# else is text. (ruamel.yaml's own table adds 1_000, 0b1, dates and merge keys, which 1.2 does not know.)
CORE_SCHEMA = (
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN", list("-+.")),
)
CORE_TAGS = ("null", "bool", "int", "float", "str", "seq", "map")
YAML_DEPTH = 50
YAML_VALUES = 100_000  # with every alias written out: eight lines of aliases can stand for a billion values
YAML_BITS = 128  # of a whole number; every seed and every count fits
JSON_DEPTH = 100
JSON_DIGITS = 4300  # of a whole number; Python reads no longer ones
HALF = re.compile("[\ud800-\udfff]")  # half a surrogate pair: text that no file can hold as UTF-8


# YAML


def read_yaml(path: str | Path, *, field: str = "file") -> Any:
    """Read a YAML file (UTF-8); `field` is what it is to the user (``"config"``), for error messages."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"cannot be read (byte {error.start} is no UTF-8)"
        raise InputError(field, str(path), problem, "save the file as UTF-8") from error
    except (OSError, ValueError, TypeError) as error:  # TypeError: no path at all
        problem = f"cannot be read ({' '.join(str(error).split())})"
        value = str(path) if isinstance(path, str | Path) else path
        raise InputError(field, value, problem, "give a YAML file") from error
    return parse_yaml(text, str(path), field=field)


def parse_yaml(text: str, name: str, *, field: str = "yaml") -> Any:
    """Read YAML text of one document; `name` is the file or parameter it came from, for error messages."""
    try:
        if version := re.search(r"^%YAML\s+(?!1\.2\s*$)(\S+)", text, re.MULTILINE):
            raise ValueError(f"YAML {version[1]} is declared, read is YAML 1.2")
        content = _load_yaml(text)
        _count_values(content, 0, {})
    except RecursionError:
        reason = f"nested more than {YAML_DEPTH} deep"
    except ValueError as error:
        reason = str(error)
    else:
        return content
    raise InputError(field, name, f"cannot be read ({reason})", "mend the YAML")


def read_with_settings(path: str | Path | None, words: Sequence[str], *, field: str) -> Any:
    """Read a YAML file (None: an empty one) with ``name=value`` words on top; ``a.b=1`` reaches into a."""
    content = {} if path is None else read_yaml(path, field=field)
    settings = parse_settings(words)
    if not settings or not isinstance(content, dict):
        return content
    for name, value in settings.items():
        *outer, last = name.split(".")
        mapping = content
        for key in outer:
            mapping = mapping.setdefault(key, {})
            if not isinstance(mapping, dict):
                problem = f"{key} holds no names with values"
                raise InputError("set", f"{name}={value}", problem, f"set {key} as a whole")
        mapping[last] = value
    return content


def parse_settings(words: Sequence[str]) -> dict[str, Any]:
    """Return ``name=value`` words of a command line as a mapping, values read as YAML."""
    settings: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InputError("set", word, "is not name=value", "write for example --set window=8")
        if name in settings:
            raise InputError("set", word, f"{name} is set twice", "set it once")
        try:
            settings[name] = parse_yaml(value, value)
        except InputError as error:
            raise InputError(name, value, error.problem, "write a number or a word") from None
    return settings


def _load_yaml(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    reader = YAML(typ="safe", pure=True)
    reader.Resolver, reader.Constructor = _core_classes()
    reader.composer.warn_double_anchors = False  # YAML 1.2 says which counts: the last one above
    try:
        return reader.load(text)
    except YAMLError as error:
        raise ValueError(_yaml_reason(error)) from error
    except (ValueError, LookupError) as error:  # of int(), chr() and the like, inside of ruamel.yaml
        if "integer string conversion" in str(error):
            raise ValueError(f"a whole number has more than {YAML_BITS} bits") from error
        raise ValueError("a value does not fit its tag, or an escape is no character") from error


@functools.cache
def _core_classes() -> tuple[type, type]:
    """Resolver and constructor that know the core schema and nothing else."""
    from ruamel.yaml.constructor import SafeConstructor
    from ruamel.yaml.resolver import VersionedResolver

    table: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for kind, pattern, starts in CORE_SCHEMA:
        for start in starts:
            rule = (f"tag:yaml.org,2002:{kind}", re.compile(rf"(?:{pattern})\Z"))
            table.setdefault(start, []).append(rule)

    class CoreResolver(VersionedResolver):
        @property
        def versioned_resolver(self) -> dict[str, list[tuple[str, re.Pattern[str]]]]:
            return table

    class CoreConstructor(SafeConstructor):
        yaml_constructors: ClassVar = {
            tag: build
            for tag, build in SafeConstructor.yaml_constructors.items()
            if tag is None or str(tag).rpartition(":")[2] in CORE_TAGS
        }

    return CoreResolver, CoreConstructor


def _count_values(value: Any, depth: int, sizes: dict[int, int]) -> int:
    """Count the values in `value`, aliases written out; ValueError for what no setting can be."""
    if isinstance(value, str) and HALF.search(value):
        raise ValueError("a text holds half a surrogate pair")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no finite number")
    if isinstance(value, int) and value.bit_length() > YAML_BITS:
        raise ValueError(f"a whole number has more than {YAML_BITS} bits")
    if value is None or isinstance(value, str | float | int):
        return 1
    if depth >= YAML_DEPTH:
        raise ValueError(f"nested more than {YAML_DEPTH} deep")
    # An alias is the same object again: counted once, so that a billion values are found out in eight steps.
    if id(value) in sizes:
        if not sizes[id(value)]:  # not yet counted: we are inside it
            raise ValueError("a value holds itself")
        return sizes[id(value)]
    sizes[id(value)] = 0
    children = value
    if isinstance(value, dict):
        if any(isinstance(key, tuple) for key in value):
            raise ValueError("a key is a list")
        children = [*value.keys(), *value.values()]
    size = 1 + sum(_count_values(child, depth + 1, sizes) for child in children)
    if size > YAML_VALUES:
        raise ValueError(f"aliases make more than {YAML_VALUES:,} values of it")
    sizes[id(value)] = size
    return size


def _yaml_reason(error: YAMLError) -> str:
    """One line, with the line of the text where the reader knows it."""
    problem = getattr(error, "problem", None) or str(error)
    if match := re.match(r"found duplicate key (.+?) with value", problem, re.DOTALL):
        problem = f"the key {match[1].replace(chr(34), chr(39))} is there twice"
    if match := re.match(r"could not determine a constructor for the tag '(.+)'", problem, re.DOTALL):
        problem = f"the tag {match[1].replace('tag:yaml.org,2002:', '!!')} is not allowed"
    problem = " ".join(str(problem).split())[:160]
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return f"line {mark.line + 1}: {problem}" if mark is not None else problem


# JSON


class _NoNumber(str):
    """Stands where a text said NaN or Infinity, until its place is known."""


def parse_json(text: str | bytes, *, halves: str = "refuse") -> Any:
    """Read JSON strictly; ValueError says in one line what is wrong, and where."""
    # A number of more digits than a float holds is returned as its own text. Half a surrogate pair, as a
    # model leaves it that was cut off inside a character, becomes U+FFFD with halves="replace".
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        content = json.loads(
            text, object_pairs_hook=_distinct, parse_constant=_NoNumber, parse_float=_float, parse_int=_int
        )
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8") from error
    except RecursionError as error:
        raise ValueError(f"is nested more than {JSON_DEPTH} deep") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON, or cut off ({error})") from error
    return _plain(content, "", 0, replace=halves == "replace")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"has the key {twice[:40]!r} twice in one object")
    return content


def _float(text: str) -> float | str | _NoNumber:
    value = float(text)
    if not math.isfinite(value):
        return _NoNumber(text if len(text) < 20 else text[:17] + "...")
    # 3.14159265358979323846 as a gold: the digits that a float drops are kept, as text.
    return value if Decimal(text) == Decimal(repr(value)) else text


def _int(text: str) -> int:
    if len(text) > JSON_DIGITS:
        raise ValueError(f"has a whole number of {len(text)} digits")
    return int(text)


def _plain(value: Any, place: str, depth: int, *, replace: bool) -> Any:
    """The value, with half surrogates replaced where asked for; ValueError names a bad value's place."""
    if isinstance(value, dict | list) and depth >= JSON_DEPTH:
        raise ValueError(f"is nested more than {JSON_DEPTH} deep")
    if isinstance(value, dict):
        plain = {}
        for name, inner in value.items():
            name = _text(name, f"a key of {place or 'its top'}", replace)
            plain[name] = _plain(inner, f"{place}.{name}" if place else name, depth + 1, replace=replace)
        return plain
    if isinstance(value, list):
        for number, inner in enumerate(value):
            value[number] = _plain(inner, f"{place}[{number}]", depth + 1, replace=replace)
        return value
    if isinstance(value, _NoNumber):
        raise ValueError(f"holds {value} at {place or 'its top'}, which is no number")
    if isinstance(value, str):
        return _text(value, place or "its top", replace)
    return value


def _text(text: str, place: str, replace: bool) -> str:
    if text.isascii() or not HALF.search(text):
        return text
    if not replace:
        raise ValueError(f"holds half a surrogate pair at {place}")
    return HALF.sub("\ufffd", text)
