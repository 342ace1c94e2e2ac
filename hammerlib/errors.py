"""The one error that a user's bad input raises, and the checks of single values."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import importlib.util
import os
import sys
import tomllib
import typing
import unicodedata
from collections.abc import Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

_TABLES = tomllib.loads(Path(__file__).with_name("errors.toml").read_text(encoding="utf-8"))
EXTRAS: dict[str, list[str]] = _TABLES["extras"]
_PROBLEMS: dict[str, list[str]] = _TABLES["problems"]
_STRICT: Any = {"strict": True, "allow_inf_nan": False}  # of pydantic: text is no number, nor is true


def printable(text: object) -> str:
    """Return text of others as one line; what a terminal would obey, or cannot show, stands as escapes."""
    return "".join(char if _harmless(char) else char.encode("unicode_escape").decode() for char in str(text))


def _harmless(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs"


class InputError(ValueError):
    """Input that cannot be used, told in one line: what it was, what is wrong, what helps.

    `field` names the parameter, column or file, `value` is what was found there (shortened to 120
    characters). The command line prints it after ``error:`` and exits with code 2.

    Examples
    --------
    >>> str(InputError("group_size", 0, "must be at least 1", "set group_size: 8"))
    'group_size = 0: must be at least 1; set group_size: 8'
    """

    def __init__(self, field: str, value: object, problem: str, remedy: str) -> None:
        self.field, self.value, self.problem, self.remedy = field, value, problem, remedy
        try:
            shown = repr(value)
        except Exception as error:  # an object that cannot even be shown, or is nested too deep
            shown = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
        shown = " ".join(shown[:1000].split())  # one line, also of arrays
        if len(shown) > 120:
            shown = shown[:117] + "..."
        # A library's message over several lines becomes one; what was found there stands in `shown`.
        advice = " ".join(f"{problem}; {remedy}".split())
        super().__init__(printable(f"{field} = {shown}: {advice}"))

    def __reduce__(self) -> tuple[type[InputError], tuple[Any, ...]]:
        """Rebuild from the four parts, so that the error crosses process borders whole."""
        return type(self), (self.field, self.value, self.problem, self.remedy)

    def _render_traceback_(self) -> list[str]:
        """Return what IPython prints in place of a traceback: the line that the command line prints."""
        return [f"error: {self}"]


class MissingExtra(InputError, ImportError):
    """A library that an extra of the package brings is not installed."""

    def __init__(self, module: str) -> None:
        extra = next((name for name, modules in EXTRAS.items() if module in modules), None)
        remedy = f"pip install 'hammerlib[{extra}]'" if extra else f"pip install {module}"
        super().__init__("package", module, "is not installed", remedy)

    def __reduce__(self) -> tuple[type[InputError], tuple[Any, ...]]:
        """Rebuild from the module's name."""
        return type(self), (self.value,)


def need(*modules: str) -> None:
    """Raise `MissingExtra` for the first library that is not installed; nothing is imported."""
    for module in modules:
        try:
            spec = sys.modules.get(module) or importlib.util.find_spec(module)
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            raise MissingExtra(module)


def check_is(field: str, value: object, kind: type | tuple[type, ...], what: str, remedy: str) -> None:
    """Refuse what is not of a kind; True is no number."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(field, value, f"is not {what}", remedy)


def check_name(field: str, value: object, known: Iterable[str], problem: str = "is not known") -> None:
    """Refuse what is not one of the known names, of whatever type it is."""
    if not isinstance(value, str) or value not in known:
        raise unknown(field, value, known, problem)


def check_whole(field: str, value: object, least: int, remedy: str) -> int:
    """Return a whole number (numpy's too; True and 2.0 are none) of at least `least`, or refuse the value."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(field, value, "is no whole number", remedy)
    if value < least:
        raise InputError(field, value, f"must be at least {least}", remedy)
    return int(value)


def unknown(field: str, value: object, known: Iterable[str], problem: str = "is unknown") -> InputError:
    """Return the error for a name that is not among the known ones; it names the nearest one first."""
    names = list(known)
    near = difflib.get_close_matches(value[:100], names, n=1) if isinstance(value, str) else []
    hint = f"did you mean {near[0]}? " if near else ""
    return InputError(field, value, problem, f"{hint}use one of {', '.join(names) or 'none'}")


def import_from(folder: str | os.PathLike) -> None:
    """Let modules in a folder be imported; at the end of the path they hide no installed one."""
    path = os.path.abspath(folder)
    if path not in sys.path:
        sys.path.append(path)


class NoSuchModule(InputError):
    """The module of ``module:object`` is neither installed nor in the working folder."""


def import_object(name: str, field: str, missing: str = "has no {!r}") -> Any:
    """Return what ``module:object`` names, also in the working folder; an InputError where there is none.

    This is the only way to parts of one's own: sources, strategies, rewards and algorithms come through here.
    """
    module, _, path = name.partition(":")
    remedy = "write my_package.my_module:name, installed, in the working folder or on PYTHONPATH"
    import_from(os.getcwd())
    try:
        target: Any = importlib.import_module(module)
    except Exception as error:  # whatever the user's module raises
        reason = " ".join(str(error).split())[:160]
        problem = f"its module cannot be imported ({type(error).__name__}: {reason})"
        if not isinstance(error, ModuleNotFoundError):
            raise InputError(field, name, problem, remedy) from error
        # What is not found is the module itself or a package around it; else a library that it imports.
        if f"{module}.".startswith(f"{error.name}."):
            raise NoSuchModule(field, name, problem, remedy) from error
        raise InputError(field, name, problem, "install what it needs") from error
    for attribute in path.split("."):
        try:
            target = getattr(target, attribute)
        except AttributeError:
            mine = (each for each, value in vars(target).items() if getattr(value, "__module__", 0) == module)
            own = [each for each in mine if not each.startswith("_")]
            names = [f"{module}:{each}" for each in own]
            raise unknown(field, name, names, f"{module} {missing.format(attribute)}") from None
    return target


def import_function(name: str, field: str, remedy: str) -> Any:
    """Return the function that ``module:function`` names, or refuse what is none."""
    function = import_object(name, field)
    if not callable(function) or isinstance(function, type):
        raise InputError(field, name, "is no function", remedy)
    return function


def check_type(field: str, value: object, kind: Any) -> Any:
    """Return a value as a type such as ``list[int]``, whole numbers as floats where these are asked for."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind, config=_STRICT).validate_python(value)
    except ValidationError as error:
        raise _field_error(error.errors(include_url=False, include_context=True)[0], field) from None


def check_fields(kind: type, values: object, what: str, *, inside: str = "") -> None:
    """Refuse values that do not fit the annotated fields of a dataclass: names, types, choices and ranges."""
    # Types are strict: text is no number, 3.0 and true are no whole numbers; a whole number passes for a
    # float. Nothing is converted. `inside` says where the values stand, such as arms.hammer.
    from pydantic import ValidationError

    if not isinstance(values, Mapping):
        raise InputError(inside or what, values, "holds no names with values", "write lines of name: value")
    try:
        _model(kind).model_validate(dict(values))
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=True)
    else:
        return
    # A misspelt name first: that another field is missing follows from it.
    for problem in problems:
        if problem["type"] == "extra_forbidden":
            names = [field.name for field in dataclasses.fields(kind)]
            raise unknown(inside or what, problem["loc"][0], names, "is no known parameter")
    raise _field_error(problems[0], inside)


@functools.cache
def _model(kind: type) -> Any:
    """The pydantic model of a dataclass's fields."""
    import pydantic

    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {}
    for field in dataclasses.fields(kind):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        fields[field.name] = (hints[field.name], ... if default is dataclasses.MISSING else default)
    settings = pydantic.ConfigDict(**_STRICT, extra="forbid", protected_namespaces=())
    return pydantic.create_model(kind.__name__, __config__=settings, **fields)


def _field_error(problem: Mapping[str, Any], inside: str) -> InputError:
    """One of pydantic's errors as ours."""
    field = inside
    for step in problem["loc"]:
        if isinstance(step, int):
            field += f"[{step}]"
        elif step != "[key]":
            field += f".{step}" if field else step
    kind = problem["type"]
    context = problem.get("ctx", {})
    value = None if kind == "missing" else problem["input"]
    if kind == "literal_error":
        names = context["expected"].replace(" or ", ", ").split(", ")
        return unknown(field, value, [name.strip("'") for name in names])
    if isinstance(context.get("error"), InputError):  # of a check that the field's annotation holds
        return InputError(field, value, context["error"].problem, context["error"].remedy)
    if kind not in _PROBLEMS:
        return InputError(
            field, value, f"cannot be used ({problem['msg']})", "see the documentation of the field"
        )
    wrong, remedy = _PROBLEMS[kind]
    return InputError(field, value, wrong.format(**context), remedy.format(**context))
