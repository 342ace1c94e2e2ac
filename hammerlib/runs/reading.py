"""Strict readers of YAML and JSON that others wrote: what can be read in two ways is refused in one line.

YAML: studies, training files, profiles, recipes, puzzles and ``--set`` values.

The core schema of YAML 1.2, strictly. ``010`` is ten (YAML 1.1 says eight), ``1e-4`` is a number; ``off``,
``yes``, ``1:30`` and ``2026-11-29`` are text. What could be read in two ways is refused in one line: a key
that stands twice, a second document, a tag such as ``!!python/object``, a number that is not finite.

JSON: Python's own reader takes ``NaN`` and ``Infinity``, the last of two equal keys, half a surrogate pair
and ``1e999`` in silence, and stops at 4,300 digits or a thousand brackets with an exception of another kind.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hammerlib.errors import InputError

if TYPE_CHECKING:
    from ruamel.yaml.error import YAMLError

__all__ = ["parse_json", "parse_yaml", "read_yaml"]

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
MAX_VALUES = 100_000  # with every alias written out: eight lines of aliases can stand for a billion values
MAX_BITS = 128  # of a whole number; every seed and every count fits


def read_yaml(path: str | Path, *, field: str = "file") -> Any:
    """Read a YAML file.

    Parameters
    ----------
    path : str or Path
        UTF-8, with or without a byte-order mark.
    field : str
        What the file is to the user (``"config"``, ``"study"``), for error messages.

    Returns
    -------
    object
        dict, list, str, int, float, bool or None, nested; None for an empty file.

    Raises
    ------
    InputError
        The file cannot be read, or `parse_yaml` refuses its text.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "train.yaml"
    >>> _ = path.write_text("vllm: off\\nlearning_rate: 1e-4\\n")
    >>> read_yaml(path)
    {'vllm': 'off', 'learning_rate': 0.0001}
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"cannot be read (byte {error.start} is no UTF-8)"
        raise InputError(field, str(path), problem, "save the file as UTF-8") from error
    except (OSError, ValueError, TypeError) as error:  # TypeError: no path at all
        problem = f"cannot be read ({' '.join(str(error).split())})"
        named = str(path) if isinstance(path, str | Path) else path
        raise InputError(field, named, problem, "give a YAML file") from error
    return parse_yaml(text, str(path), field=field)


def parse_yaml(text: str, name: str, *, field: str = "yaml") -> Any:
    """Read YAML text by the core schema of YAML 1.2.

    Parameters
    ----------
    text : str
    name : str
        Of the file or parameter that it came from, for error messages.
    field : str
        What it is to the user, for error messages.

    Returns
    -------
    object
        dict, list, str, int, float, bool or None, nested; None for empty text.

    Raises
    ------
    InputError
        No YAML, more than one document, a key twice, a tag, another YAML version, values nested in themselves
        or more than 50 deep, aliases that stand for more than 100,000 values, a number that is not finite or
        has more than 128 bits, half a surrogate pair.

    Examples
    --------
    >>> parse_yaml("{seed: 010, order: off}", "example")
    {'seed': 10, 'order': 'off'}
    >>> parse_yaml("seed: 1\\nseed: 2", "a.yaml")
    Traceback (most recent call last):
    hammerlib.errors.InputError: yaml = 'a.yaml': cannot be read (line 2: the key 'seed' is there twice)...
    """
    try:
        if version := re.search(r"^%YAML\s+(?!1\.2\s*$)(\S+)", text, re.MULTILINE):
            raise ValueError(f"YAML {version[1]} is declared, read is YAML 1.2")
        content = _load(text)
        _check_yaml(content, 0, {})
    except RecursionError:
        reason = f"nested more than {YAML_DEPTH} deep"
    except ValueError as error:
        reason = str(error)
    else:
        return content
    raise InputError(field, name, f"cannot be read ({reason})", "mend the YAML")


def _load(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    reader = YAML(typ="safe", pure=True)
    reader.Resolver, reader.Constructor = _classes()
    reader.composer.warn_double_anchors = False  # YAML 1.2 says which counts: the last one above
    try:
        return reader.load(text)
    except YAMLError as error:
        raise ValueError(_reason(error)) from error
    except (ValueError, LookupError) as error:  # of int(), chr() and the like, inside of ruamel.yaml
        if "integer string conversion" in str(error):
            raise ValueError(f"a whole number has more than {MAX_BITS} bits") from error
        raise ValueError("a value does not fit its tag, or an escape is no character") from error


@functools.cache
def _classes() -> tuple[type, type]:
    """Resolver and constructor that know the core schema and nothing else."""
    from ruamel.yaml.constructor import SafeConstructor
    from ruamel.yaml.resolver import VersionedResolver

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

    table: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for kind, pattern, starts in CORE_SCHEMA:
        for start in starts:
            rule = (f"tag:yaml.org,2002:{kind}", re.compile(rf"(?:{pattern})\Z"))
            table.setdefault(start, []).append(rule)
    return CoreResolver, CoreConstructor


def _check_yaml(value: Any, depth: int, sizes: dict[int, int]) -> int:
    """Count the values in `value`, aliases written out; ValueError for what no setting can be."""
    if isinstance(value, bool) or value is None:
        return 1
    if isinstance(value, str):
        if re.search("[\ud800-\udfff]", value):
            raise ValueError("a text holds half a surrogate pair")
        return 1
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is no finite number")
        return 1
    if isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise ValueError(f"a whole number has more than {MAX_BITS} bits")
        return 1
    if depth >= YAML_DEPTH:
        raise ValueError(f"nested more than {YAML_DEPTH} deep")
    if id(value) in sizes:
        if not sizes[id(value)]:  # not yet counted: we are inside it
            raise ValueError("a value holds itself")
        return sizes[id(value)]
    sizes[id(value)] = 0
    parts = value
    if isinstance(value, dict):
        if any(isinstance(key, tuple) for key in value):
            raise ValueError("a key is a list")
        parts = [*value.keys(), *value.values()]
    size = 1 + sum(_check_yaml(part, depth + 1, sizes) for part in parts)
    if size > MAX_VALUES:
        raise ValueError(f"aliases make more than {MAX_VALUES:,} values of it")
    sizes[id(value)] = size
    return size


def _reason(error: YAMLError) -> str:
    """One line, with the line of the text where the reader knows it."""
    problem = getattr(error, "problem", None) or str(error)
    if found := re.match(r"found duplicate key (.+?) with value", problem, re.DOTALL):
        problem = f"the key {found[1].replace(chr(34), chr(39))} is there twice"
    if found := re.match(r"could not determine a constructor for the tag '(.+)'", problem, re.DOTALL):
        problem = f"the tag {found[1].replace('tag:yaml.org,2002:', '!!')} is not allowed"
    problem = " ".join(str(problem).split())[:160]
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return f"line {mark.line + 1}: {problem}" if mark is not None else problem


HALF = re.compile("[\ud800-\udfff]")
JSON_DEPTH = 100
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
            text, object_pairs_hook=_distinct, parse_constant=_NoNumber, parse_float=_float, parse_int=_int
        )
        if halves == "replace":
            content = _mended(content)
        _check_json(content)
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8") from error
    except RecursionError as error:
        raise ValueError(f"is nested more than {JSON_DEPTH} deep") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON, or cut off ({error})") from error
    return content


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
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


def _check_json(content: Any) -> None:
    # Level by level, so that no depth of nesting is a depth of calls.
    level = [("", content)]
    for _ in range(JSON_DEPTH + 1):
        if not level:
            return
        level = [inner for place, value in level for inner in _inside(place, value)]
    raise ValueError(f"is nested more than {JSON_DEPTH} deep")


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
