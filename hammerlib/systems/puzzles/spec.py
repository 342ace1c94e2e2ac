"""The specification language: what a family of puzzles consists of, read from YAML and checked.

Fields are those of PuzzleClone (arXiv 2508.15180, specification reference). A formula is a subset of Python's
expressions (`hammerlib.systems.puzzles.formulas`), a text holds formulas in braces: nothing in a
specification is ever executed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from hammerlib.errors import InputError, check_fields
from hammerlib.runs.reading import read_yaml
from hammerlib.systems.puzzles.scoring import scorer

SEEDS = Path(__file__).with_name("seeds")
GOALS = ("minimize", "maximize")
_FORMULA_LISTS = ("source", "amount", "values", "type", "attr", "order", "duplicate")
_ENTRIES = {"optimize": ("type", "formula"), "post_generation": ("post_gen_vars", "post_gen_conditions")}
entry = dataclasses.dataclass(frozen=True, kw_only=True)


@entry
class Variable:
    """A parameter of a puzzle: drawn from a domain, or computed."""

    type: str = ""  # int or float (domain: lowest and highest; a float has one decimal), bool, enum (values)
    domain: str = ""  # formula
    # Instead of type and domain; may call sample(list, n), shuffled(list), pick(list), randint(low, high).
    formula: str = ""
    diff_factor: Literal[-1, 0, 1] = 0  # 1: larger is harder, -1: easier, 0: neither


@entry
class Draw:
    """What is drawn at random for a condition, a derived symbol or an option."""

    source: tuple[str, ...] = ()  # formulas: lists to draw from
    amount: tuple[str, ...] = ()  # formulas: items from each; empty: one each, _sym[0] and not _sym[0][0]
    order: tuple[bool, ...] = ()  # whether the sequence of items matters (yes; for options not in the first)
    duplicate: tuple[bool, ...] = ()  # whether an item may come twice (no)
    domain: str = "1"  # formula: how many draws, a number, or lowest and highest
    domain_cond: bool = True  # no two draws are equal
    dim: str = "1"  # formula: parts of a draw; with more than one, _sym[part][source][item]
    # Parts must differ within each group of sources; default: within all sources together.
    dim_cond: tuple[tuple[int, ...], ...] = ()
    # scope (domain or dim), fields (places of sources), constraint: a lambda of the values
    # l[draw][part][field][item] (scope dim: l[part][field][item]).
    custom_cond: tuple[Mapping[str, Any], ...] = ()


@entry
class Symbol:
    """Unknowns, one for each element of the product of the sources; without a source a single one."""

    source: tuple[str, ...] = ()  # formulas
    type: tuple[str, ...] = ("int",)  # bool, int, float or enum; one, or one for each attribute
    attr: tuple[str, ...] = ()  # attributes: pet[name]['colour']
    values: tuple[str, ...] = ()  # formulas: values of enums, in the place of the attribute


@entry
class Derived(Draw):
    """Statements about symbols, made from random draws."""

    formula: str  # of _sym, for each draw; later formulas read the list under the symbol's name
    desc: str = ""  # text for each draw; later texts read the list as <name>_text


@entry
class Mixed:
    """Derived symbols of several templates, together `total`, in random shares and sequence."""

    templates: tuple[Derived, ...]
    total: str


@entry
class Condition(Draw):
    """A constraint: static, or (with a source) one for each random draw ``_sym``."""

    formula: str
    desc: str = ""


@entry
class Option(Draw):
    """How options of a choice are made: true if `opt_formula` holds in ``any`` or in ``all`` solutions."""

    opt_formula: str
    opt_text: str
    cond: Literal["any", "all"] = "all"


@entry
class Query:
    """A question: open (`ans_formula`), or a choice (`templates`)."""

    desc: str
    ans_formula: str = ""  # of the first solution; _solutions holds all
    ans_text: str = "{_ans}"
    ans_assertion: str = ""  # must hold, or the puzzle is rejected (one solution, where any are computed)
    eval_type: str = ""  # how the answer is scored, see `scoring`; default by its kind
    templates: tuple[Option, ...] = ()
    opt_num: Any = 4  # options, 2 to 26
    select_type: bool = True  # ask for what is true, or for what is not
    # multiple_choice: two to all but one are asked for
    query_type: Literal["single_choice", "multiple_choice"] = "single_choice"


@entry
class Spec:
    """A family of puzzles; its parts are worked out in this order."""

    name: str
    desc: str  # the puzzle; reads each condition and query by name, all as conditions and queries
    custom_operator: Mapping[str, str] = dataclasses.field(default_factory=dict)  # functions, as lambdas
    variables: Mapping[str, Variable] = dataclasses.field(default_factory=dict)
    symbols: Mapping[str, Symbol | Derived | Mixed] = dataclasses.field(default_factory=dict)
    conditions: Mapping[str, Condition] = dataclasses.field(default_factory=dict)
    # post_gen_vars (name to formula of one solution, drawn at random) and post_gen_conditions (name to
    # formula): the puzzle is solved again with these added.
    post_generation: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    # type (minimize, maximize) and formula; two best solutions reject the puzzle.
    optimize: Mapping[str, str] = dataclasses.field(default_factory=dict)
    queries: Mapping[str, Query] = dataclasses.field(default_factory=dict)
    calc_solution: bool = True  # False: nothing to solve, answers come from the variables
    max_solution: Annotated[int, Field(ge=1)] = 6000  # more solutions reject the puzzle
    # The hand-written puzzle that the specification must reproduce: config, problem, answer.
    seed: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def read_spec(source: str | Path | Mapping[str, Any]) -> Spec:
    """Read and check a specification.

    Parameters
    ----------
    source : str, path or mapping
        Name of a shipped one (see `seed_names`), a YAML file, or what such a file holds.

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
    content = {name: value for name, value in content.items() if value is not None}  # a name left empty
    readers: dict[str, Callable[[Any, str], Any]] = {
        "variables": _variable,
        "symbols": _symbol,
        "conditions": lambda value, where: _make(Condition, value, where),
        "queries": _query,
    }
    for section, reader in readers.items():
        entries = content.get(section) or {}
        if not isinstance(entries, dict):
            raise InputError(section, entries, "must map names to entries", "write name: {...}")
        content[section] = {name: reader(value, f"{section}.{name}") for name, value in entries.items()}
    spec = _make(Spec, content, str(content.get("name")))
    if not spec.queries:
        raise InputError("queries", spec.name, "asks nothing", "add a query")
    _check_solving(spec)
    return spec


def _check_solving(spec: Spec) -> None:
    """Refuse what would be ignored, or fail only when puzzles are drawn."""
    for section, known in _ENTRIES.items():
        strange = sorted(set(getattr(spec, section)) - set(known))
        if strange:
            raise InputError(section, strange, "are unknown fields", f"use {', '.join(known)}")
    if not all(isinstance(entries, Mapping) for entries in spec.post_generation.values()):
        remedy = "write name: formula lines under each"
        raise InputError("post_generation", dict(spec.post_generation), "maps no names to formulas", remedy)
    if spec.optimize and ("formula" not in spec.optimize or spec.optimize.get("type") not in GOALS):
        remedy = f"give type ({' or '.join(GOALS)}) and formula"
        raise InputError("optimize", dict(spec.optimize), "names no goal", remedy)
    if spec.calc_solution:
        return
    unsolved = {
        "symbols": any(isinstance(rule, Symbol) for rule in spec.symbols.values()),
        "conditions": spec.conditions,
        "post_generation": spec.post_generation,
        "optimize": spec.optimize,
        "queries with options": any(query.templates for query in spec.queries.values()),
    }
    for section, used in unsolved.items():
        if used:
            raise InputError(
                "calc_solution", False, f"{section} need solutions", f"leave it out, or the {section}"
            )


def _variable(value: Any, where: str) -> Variable:
    variable = _make(Variable, value, where)
    if bool(variable.formula) == bool(variable.type and variable.domain):
        remedy = "give type and domain, or a formula"
        raise InputError(where, variable.formula, "is defined twice or not at all", remedy)
    if variable.diff_factor and variable.type not in ("int", "float"):
        remedy = "give it only to an int or a float with a domain"
        raise InputError(f"{where}.diff_factor", variable.diff_factor, "cannot be used", remedy)
    return variable


def _symbol(value: Any, where: str) -> Symbol | Derived | Mixed:
    if isinstance(value, dict) and "templates" in value:
        return _make(Mixed, {**value, "templates": _templates(Derived, value, where)}, where)
    if isinstance(value, dict) and "formula" in value:
        return _make(Derived, value, where)
    symbol = _make(Symbol, value, where)
    if symbol.attr and len(symbol.type) != len(symbol.attr):
        raise InputError(where, symbol.type, "needs a type for each attribute", f"give {len(symbol.attr)}")
    return symbol


def _templates(kind: type, value: dict[str, Any], where: str) -> tuple[Any, ...]:
    return tuple(
        _make(kind, content, f"{where}.templates[{i}]") for i, content in enumerate(value["templates"])
    )


def _query(value: Any, where: str) -> Query:
    """An open question, or a choice whose one template may stand beside its other fields."""
    if isinstance(value, dict):
        value = dict(value)
        if "opt_formula" in value:
            own = {field.name for field in dataclasses.fields(Query)}
            value["templates"] = [{name: value.pop(name) for name in list(value) if name not in own}]
        if "templates" in value:
            value["templates"] = _templates(Option, value, where)
    query = _make(Query, value, where)
    if bool(query.templates) == bool(query.ans_formula):
        remedy = "give ans_formula, or opt_formula and opt_text"
        raise InputError(where, query.desc, "is neither open nor a choice", remedy)
    if query.eval_type:
        scorer(f"puzzles:{query.eval_type}")  # refuses an unknown type
    if not isinstance(query.opt_num, int) or query.opt_num not in range(2, 27):
        raise InputError(where, query.opt_num, "is no number of options", "set opt_num from 2 to 26")
    return query


def _make(kind: type, value: Any, where: str) -> Any:
    """Build a class of the language; formulas may be written as plain YAML values."""
    if not isinstance(value, Mapping):
        raise InputError(where, value, "must map fields to values", "write field: value")
    types = {field.name: field.type for field in dataclasses.fields(kind)}
    values = {name: _typed(name, types.get(name, ""), content) for name, content in value.items()}
    check_fields(kind, values, "specification", inside="" if kind is Spec else where)
    return kind(**values)


def _typed(name: str, kind: str, value: Any) -> Any:
    if name in ("dim_cond", "custom_cond", "templates"):
        return tuple(tuple(item) if isinstance(item, list) else item for item in value)
    if name in _FORMULA_LISTS and kind.startswith("tuple"):
        values = value if isinstance(value, list) else [value]
        return tuple(item if isinstance(item, bool) and "bool" in kind else str(item) for item in values)
    return str(value) if kind == "str" else value
