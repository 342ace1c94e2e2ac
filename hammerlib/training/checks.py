"""Checks of single fields of a config: type, choice, range."""

from __future__ import annotations

import math
import types
import typing

from hammerlib.errors import InputError


def check_type(name: str, value: object, hint: object) -> None:
    """Refuse a value of another type than the field's annotation, and numbers that are not finite.

    Parameters
    ----------
    name : str
        Of the field.
    value : object
    hint : object
        The field's type: a class, a generic or a union of these. A whole number passes for a float.

    Raises
    ------
    InputError
        With the remedy for floats that YAML reads as text.

    Examples
    --------
    >>> check_type("learning_rate", "2e-4", float)
    Traceback (most recent call last):
    hammerlib.errors.InputError: learning_rate = '2e-4': must be float; write 2.0e-4 instead of 2e-4
    """
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    wanted = [typing.get_origin(one) or one for one in options]
    whole_for_float = float in wanted and type(value) is int
    if not (type(value) in wanted or whole_for_float):
        # YAML reads 2e-4 as text: the commonest trap deserves its own words.
        remedy = (
            "write 2.0e-4 instead of 2e-4"
            if float in wanted and isinstance(value, str)
            else "see TrainConfig"
        )
        raise InputError(
            name, value, f"must be {hint if options == wanted else getattr(hint, '__name__', hint)}", remedy
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(name, value, "must be a finite number", "give a number")


def check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Refuse a value, or a value of a tuple, that is not among `allowed`.

    Parameters
    ----------
    name : str
        Of the field.
    value : object
    allowed : tuple of str

    Raises
    ------
    InputError
        Naming what is allowed.

    Examples
    --------
    >>> check_choice("tail", "report", ("refuse", "report"))
    """
    for one in value if isinstance(value, tuple) else (value,):
        if one not in allowed:
            raise InputError(name, one, "is unknown", f"use one of {', '.join(allowed)}")


def check_range(name: str, value: float | None, lowest: float, included: bool) -> None:
    """Refuse a number below `lowest`, or at it where that is not included; None passes.

    Parameters
    ----------
    name : str
        Of the field.
    value : float or None
    lowest : float
    included : bool

    Raises
    ------
    InputError
        Naming the bound.

    Examples
    --------
    >>> check_range("beta", 0.0, 0, True)
    """
    if value is not None and (value < lowest or (value == lowest and not included)):
        raise InputError(
            name,
            value,
            f"must be {'at least' if included else 'more than'} {lowest:g}",
            "choose a larger value",
        )
