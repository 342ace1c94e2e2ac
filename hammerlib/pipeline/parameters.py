"""What a notebook's parameters cell declares, and whether a value fits it.

Papermill only warns about a misspelt name, and injects the string ``"false"`` for a flag; here both are
errors.
"""

from __future__ import annotations

import ast
import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hammerlib.errors import InputError, check_fields, check_whole, unknown
from hammerlib.runs.reading import parse_yaml

SCALARS: dict[str, type] = {"bool": bool, "int": int, "float": float, "str": str}


@dataclass(frozen=True)
class Parameter:
    """One line ``name: kind = default`` of a parameters cell.

    Attributes
    ----------
    name : str
    kind : str
        ``bool``, ``int``, ``float``, ``str`` or ``list[...]`` of one of them.
    default : object
        Literal that the cell holds.

    Examples
    --------
    >>> Parameter("seed", "int", 0).kind
    'int'
    """

    name: str
    kind: str
    default: object


def check_value(name: str, value: object, kind: str) -> object:
    """Return `value` as `kind`, or say why it does not fit.

    Parameters
    ----------
    name : str
        Parameter, for the message.
    value : object
        An int is accepted for a float and becomes one; a bool is never a number.
    kind : str
        ``bool``, ``int``, ``float``, ``str`` or ``list[<one of them>]``.

    Raises
    ------
    InputError
        Wrong type, or a kind that parameters cannot have.

    Examples
    --------
    >>> check_value("learning_rate", 1, "float"), check_value("seeds", [0, 1], "list[int]")
    (1.0, [0, 1])
    """
    kind = kind.replace(" ", "")
    if kind.startswith("list[") and kind.endswith("]"):
        if not isinstance(value, list | tuple):
            raise _wrong_type(name, value, kind)
        return [check_value(f"{name}[{place}]", item, kind[5:-1]) for place, item in enumerate(value)]
    if kind not in SCALARS:
        raise InputError(
            name, kind, "is no type of a parameter", f"use {', '.join(SCALARS)} or list[...] of these"
        )
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, SCALARS[kind]) or (isinstance(value, bool) and kind != "bool"):
        raise _wrong_type(name, value, kind)
    return value


def _wrong_type(name: str, value: object, kind: str) -> InputError:
    examples = {
        "bool": "true or false",
        "int": "a whole number",
        "float": "a number such as 0.0002 or 2.0e-4",
        "str": "text, in quotes if it looks like a number",
    }
    remedy = examples.get(kind, f"a list such as [{', '.join(2 * [examples.get(kind[5:-1], 'value')])}]")
    return InputError(name, value, f"must be {kind}, not {type(value).__name__}", f"give {remedy}")


def declared(notebook: Path) -> dict[str, Parameter]:
    """Read the parameters that a notebook's cell tagged ``parameters`` declares.

    Parameters
    ----------
    notebook : Path
        ``.ipynb`` file.

    Returns
    -------
    dict of str to Parameter
        In the order of the cell.

    Raises
    ------
    InputError
        Unreadable file, not exactly one such cell, or a line that is not ``name: type = literal``.

    Examples
    --------
    >>> import tempfile
    >>> cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "seed: int = 0  # any"}
    >>> path = Path(tempfile.mkdtemp()) / "a.ipynb"
    >>> _ = path.write_text(json.dumps({"cells": [cell]}))
    >>> declared(path)
    {'seed': Parameter(name='seed', kind='int', default=0)}
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        tagged = [
            "".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", [])
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"is no readable notebook ({type(error).__name__})"
        raise InputError(
            "notebook", notebook.name, problem, "open it in Jupyter and save it again"
        ) from error
    if len(tagged) != 1:
        raise InputError(
            "notebook", notebook.name, f"has {len(tagged)} cells tagged 'parameters'", "tag exactly one"
        )
    try:
        body = ast.parse(tagged[0]).body
        return {line.name: line for line in map(_parameter, body)}
    except InputError:
        raise
    except (SyntaxError, ValueError) as error:
        raise InputError(
            "notebook",
            notebook.name,
            "its parameters cell holds more than lines of literals",
            "write each line as name: type = literal  # unit, allowed values",
        ) from error


def _parameter(node: ast.stmt) -> Parameter:
    if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name) or node.value is None:
        raise ValueError("not an annotated assignment")
    name, kind = node.target.id, ast.unparse(node.annotation)
    return Parameter(name, kind, check_value(name, ast.literal_eval(node.value), kind))


def read_settings(pairs: Iterable[str], known: Mapping[str, Parameter]) -> dict[str, object]:
    """Turn ``name=value`` words of a command line into typed values.

    Parameters
    ----------
    pairs : iterable of str
        Values are YAML (``true``, ``[0, 1]``), except that a ``str`` parameter takes its text as it stands.
    known : mapping of str to Parameter
        Every parameter that may be set.

    Raises
    ------
    InputError
        No ``=``, unknown name, a name twice, or a value of the wrong type.

    Examples
    --------
    >>> known = {"seed": Parameter("seed", "int", 0), "name": Parameter("name", "str", "")}
    >>> read_settings(["seed=3", "name=007"], known)
    {'seed': 3, 'name': '007'}
    """
    settings: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InputError("--set", pair, "has no '='", "write --set name=value")
        check_name(name, text, known)
        if name in settings:
            raise InputError("--set", pair, f"{name} is set twice", "set it once")
        settings[name] = check_value(name, _from_text(text, known[name].kind), known[name].kind)
    return settings


def _from_text(text: str, kind: str) -> object:
    if kind == "str":
        return text
    try:
        return parse_yaml(text, text)
    except InputError:
        return text  # the type check names the value and the remedy


# Whole numbers that count something: at least 1.
COUNTS = ("n_problems", "n_second", "n_eval", "k", "workers", "random_orders", "probe_samples")

# Lists whose items are runs or columns of their own.
DISTINCT = ("strategies", "adjustments", "train_seeds", "map_seeds")


def check_values(values: Mapping[str, object]) -> None:
    """Refuse values that a notebook could not use, before anything runs: choices and ranges by name.

    Parameters
    ----------
    values : mapping of str to object
        Parameters by name; names without a rule pass.

    Raises
    ------
    InputError
        For the first value that is no choice, out of range, or twice in a list of runs.

    Examples
    --------
    >>> check_values({"order": "hamer"})
    Traceback (most recent call last):
    hammerlib.errors.InputError: order = 'hamer': is unknown; did you mean hammer? use one of hammer, ...
    """
    from hammerlib.ordering import STRATEGIES
    from hammerlib.problems.registry import find_source
    from hammerlib.training.config import TrainConfig

    # A part may be empty here: that of the source; sizes are checked with the others below.
    shared = {one.name for one in dataclasses.fields(TrainConfig)} - {"split", "n_problems"}
    check_fields(TrainConfig, {name: values[name] for name in values if name in shared}, "parameter")
    for name, known in (("order", STRATEGIES), ("strategies", STRATEGIES), ("adjustments", ("none", "dra"))):
        given = values.get(name, ())
        for one in [given] if isinstance(given, str) else given:
            if one not in known:
                raise unknown(name, one, known)
    for name in COUNTS:
        if name in values:
            check_whole(name, values[name], 1, "choose a larger value")
    for name in DISTINCT:
        given = list(values.get(name, ()))
        if twice := [one for one in given if given.count(one) > 1]:
            raise InputError(name, given, f"holds {twice[0]} twice, which is no second run", "name it once")
    for name in ("problems", "second_problems"):
        if source := values.get(name):
            find_source(source, name)


def check_name(name: str, value: object, known: Mapping[str, Parameter]) -> None:
    """Refuse a parameter that no notebook declares.

    Parameters
    ----------
    name : str
    value : object
        What it should be set to, for the message.
    known : mapping of str to Parameter
        Every parameter that may be set.

    Raises
    ------
    InputError
        Unknown name; lists those that exist.

    Examples
    --------
    >>> check_name("seed", 0, {"seed": Parameter("seed", "int", 0)})
    """
    if name not in known:
        raise InputError(
            name, value, "no notebook has this parameter", f"choose from {', '.join(sorted(known))}"
        )
