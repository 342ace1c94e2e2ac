"""Reading a specification: YAML to the classes of the language, with every slip named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hammerlib.errors import InputError
from hammerlib.runs.reading import read_yaml
from hammerlib.systems.puzzles.scoring import scorer
from hammerlib.systems.puzzles.spec import Condition, Derived, Mixed, Option, Query, Spec, Symbol, Variable

SEEDS = Path(__file__).with_name("seeds")
_ENTRIES = {"optimize": ("type", "formula"), "post_generation": ("post_gen_vars", "post_gen_conditions")}
_FORMULA_LISTS = ("source", "amount", "values", "type", "attr", "order", "duplicate")


def read_spec(source: str | Path | Mapping[str, Any]) -> Spec:
    """Read and check a specification.

    Parameters
    ----------
    source : str, path or mapping
        Name of a shipped one (see `seed_names`), a YAML file, or what such a file holds.

    Returns
    -------
    Spec

    Raises
    ------
    InputError
        No such file or name, unreadable YAML, an unknown or missing field, a wrong combination.

    Examples
    --------
    >>> read_spec({"name": "tiny", "desc": "{q}", "calc_solution": False,
    ...            "queries": {"q": {"desc": "1 + 1?", "ans_formula": "1 + 1"}}}).queries["q"].ans_formula
    '1 + 1'
    """
    if isinstance(source, Mapping):
        return _spec(dict(source))
    path = SEEDS / f"{source}.yaml" if str(source) in seed_names() else Path(source)
    try:
        content = read_yaml(path, field="specification")
    except InputError as error:
        if not isinstance(error.__cause__, OSError):
            raise InputError("specification", path.name, error.problem, error.remedy) from error
        remedy = f"name a YAML file, or one of {', '.join(seed_names())}"
        raise InputError("specification", str(source), "cannot be read", remedy) from error
    if not isinstance(content, dict):
        raise InputError("specification", path.name, "holds no fields", "write lines of name: value")
    return _spec({"name": path.stem, **content})


def seed_names() -> list[str]:
    """Return the names of the shipped specifications.

    Examples
    --------
    >>> len(seed_names()) >= 6
    True
    """
    return sorted(path.stem for path in SEEDS.glob("*.yaml"))


def _spec(content: dict[str, Any]) -> Spec:
    readers: dict[str, Callable[[Any, str], Any]] = {
        "variables": lambda value, where: _make(Variable, value, where),
        "symbols": _symbol,
        "conditions": lambda value, where: _make(Condition, value, where),
        "queries": _query,
    }
    for part, reader in readers.items():
        entries = content.get(part) or {}
        if not isinstance(entries, dict):
            raise InputError(part, entries, "must map names to entries", "write name: {...}")
        content[part] = {name: reader(value, f"{part}.{name}") for name, value in entries.items()}
    spec = _make(Spec, content, str(content.get("name")))
    if not spec.queries:
        raise InputError("queries", spec.name, "asks nothing", "add a query")
    for name, variable in spec.variables.items():
        if bool(variable.formula) == bool(variable.type and variable.domain):
            remedy = "give type and domain, or a formula"
            raise InputError(f"variables.{name}", variable.formula, "is defined twice or not at all", remedy)
        factor, ranged = variable.diff_factor, variable.type in ("int", "float")
        if factor not in (-1, 0, 1) or (factor and not ranged):
            remedy = "give -1, 0 or 1, and only to an int or a float with a domain"
            raise InputError(f"variables.{name}.diff_factor", factor, "cannot be used", remedy)
    _check_solving(spec)
    return spec


def _check_solving(spec: Spec) -> None:
    """Refuse what would be ignored, or fail only when puzzles are drawn."""
    for part, known in _ENTRIES.items():
        given = getattr(spec, part)
        odd = given if not isinstance(given, Mapping) else [name for name in given if name not in known]
        if odd:
            raise InputError(part, odd, "has an unknown field, or none", f"use {', '.join(known)}")
    if not all(isinstance(entries, Mapping) for entries in (spec.post_generation or {}).values()):
        remedy = "write name: formula lines under each"
        raise InputError("post_generation", dict(spec.post_generation), "maps no names to formulas", remedy)
    goal = spec.optimize
    if goal and (
        goal.get("type") not in ("minimize", "maximize") or not isinstance(goal.get("formula"), str)
    ):
        remedy = "give type (minimize or maximize) and formula"
        raise InputError("optimize", dict(goal), "names no goal", remedy)
    if not isinstance(spec.calc_solution, bool):
        raise InputError("calc_solution", spec.calc_solution, "is no truth value", "write true or false")
    if not _is_count(spec.max_solution):
        raise InputError("max_solution", spec.max_solution, "is no number of solutions", "give 1 or more")
    unsolved = {
        "symbols": any(isinstance(one, Symbol) for one in spec.symbols.values()),
        "conditions": spec.conditions,
        "post_generation": spec.post_generation,
        "optimize": spec.optimize,
        "queries with options": any(one.templates for one in spec.queries.values()),
    }
    if not spec.calc_solution and any(unsolved.values()):
        (part, *_) = (name for name, used in unsolved.items() if used)
        raise InputError("calc_solution", False, f"{part} need solutions", f"leave it out, or the {part}")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _symbol(value: Any, where: str) -> Symbol | Derived | Mixed:
    if isinstance(value, dict) and "templates" in value:
        parts = [_make(Derived, one, f"{where}.templates[{i}]") for i, one in enumerate(value["templates"])]
        return _make(Mixed, {**value, "templates": tuple(parts)}, where)
    if isinstance(value, dict) and "formula" in value:
        return _make(Derived, value, where)
    symbol = _make(Symbol, value, where)
    if symbol.attr and len(symbol.type) != len(symbol.attr):
        raise InputError(where, symbol.type, "needs a type for each attribute", f"give {len(symbol.attr)}")
    return symbol


def _query(value: Any, where: str) -> Query:
    """An open question, or a choice whose one template may stand beside its other fields."""
    value = dict(value) if isinstance(value, dict) else value
    own = {field.name for field in dataclasses.fields(Query)}
    if isinstance(value, dict) and "opt_formula" in value:
        template = {name: value.pop(name) for name in list(value) if name not in own}
        value["templates"] = [template]
    if isinstance(value, dict) and "templates" in value:
        value["templates"] = tuple(
            _make(Option, one, f"{where}.templates[{i}]") for i, one in enumerate(value["templates"])
        )
    query = _make(Query, value, where)
    if bool(query.templates) == bool(query.ans_formula):
        problem, remedy = "is neither open nor a choice", "give ans_formula, or opt_formula and opt_text"
        raise InputError(where, query.desc, problem, remedy)
    if query.eval_type:
        scorer(f"puzzles:{query.eval_type}")  # refuses an unknown type
    if not isinstance(query.select_type, bool):
        raise InputError(
            f"{where}.select_type", query.select_type, "is no truth value", "write true or false"
        )
    allowed = query.query_type in ("single_choice", "multiple_choice")
    allowed = allowed and _is_count(query.opt_num) and 2 <= query.opt_num <= 26
    if not allowed or any(one.cond not in ("any", "all") for one in query.templates):
        remedy = "use single_choice or multiple_choice, 2 to 26 options, cond any or all"
        raise InputError(where, query.query_type, "cannot be asked", remedy)
    return query


def _make(kind: type, value: Any, where: str) -> Any:
    """Build a class of the language; formulas may be written as plain YAML values."""
    if not isinstance(value, Mapping):
        raise InputError(where, value, "must map fields to values", "write field: value")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = [name for name in value if name not in fields]
    if unknown:
        raise InputError(where, unknown[0], "is an unknown field", f"use {', '.join(fields)}")
    missing = [
        name
        for name, field in fields.items()
        if name not in value
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise InputError(where, sorted(value), f"lacks {missing[0]}", "add it")
    return kind(**{name: _typed(name, fields[name].type, one) for name, one in value.items()})


def _typed(name: str, kind: str, value: Any) -> Any:
    if name in ("dim_cond", "custom_cond", "templates"):
        return tuple(tuple(one) if isinstance(one, list) else one for one in value)
    if name in _FORMULA_LISTS and kind.startswith("tuple"):
        parts = value if isinstance(value, list) else [value]
        return tuple(one if isinstance(one, bool) and "bool" in kind else str(one) for one in parts)
    return str(value) if kind == "str" else value
