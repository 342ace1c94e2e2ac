"""Formulas of a specification, evaluated without ``eval``; texts with formulas in braces.

The same formula states a constraint where names are bound to symbols, and a fact where they are bound to the
values of one solution.
"""

from __future__ import annotations

from typing import Any

from hammerlib.errors import InputError
from hammerlib.systems.puzzles.functions import show
from hammerlib.systems.puzzles.syntax import Env, compiled


def evaluate(text: str, env: Env) -> Any:
    """Return the value of a formula.

    Parameters
    ----------
    text : str
        Numbers, texts, names, ``+ - * / // % **``, comparisons, ``and or not``, ``a if b else c``, lists,
        tuples, comprehensions, ``x[i]``, ``lambda``, and calls of the functions in `FUNCTIONS` or `env`.
        A quotient is exact.
    env : mapping of str to value
        What the names mean.

    Raises
    ------
    InputError
        No such syntax, an unknown name, ``and``, ``or``, ``not`` or ``if`` about a symbol (use ``And`` and so
        on), or a formula that fails.

    Examples
    --------
    >>> evaluate("[n // 2 for n in sizes if n > 3]", {"sizes": [2, 4, 6]})
    [2, 3]
    """
    try:
        return compiled(text)(env)
    except InputError:
        raise
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        problem = f"fails ({type(error).__name__}: {error})"
        raise InputError("formula", text, problem, "mend the formula or its sources") from error


def render(template: str, env: Env) -> str:
    """Fill the formulas in braces into a text.

    Parameters
    ----------
    template : str
        A formula may hold brackets and quotes, but no braces.
    env : mapping of str to value

    Raises
    ------
    InputError
        A brace that is not closed, or as in `evaluate`.

    Examples
    --------
    >>> render("{name} has {n} {'cat' if n == 1 else 'cats'}.", {"name": "Ann", "n": 2})
    'Ann has 2 cats.'
    """
    parts = template.split("{")
    shown = [parts[0]]
    for part in parts[1:]:
        formula, closed, rest = part.partition("}")
        if not closed:
            raise InputError("text", template, "has a brace that is not closed", "close it")
        shown += [show(evaluate(formula, env)), rest]
    return "".join(shown)
