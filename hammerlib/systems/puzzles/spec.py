"""The specification language: what a family of puzzles consists of, read from YAML and checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hammerlib.errors import InputError
from hammerlib.runs.reading import read_yaml
from hammerlib.systems.puzzles.scoring import scorer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variable:
    """A parameter of a puzzle: drawn from a domain, or computed.

    Attributes
    ----------
    type : str, optional
        ``int`` or ``float`` (domain: lowest and highest; a float has one decimal), ``bool``, ``enum``
        (domain: the values).
    domain : formula, optional
    formula : formula, optional
        Instead of type and domain; may call ``sample(list, n)``, ``shuffled(list)``, ``pick(list)`` and
        ``randint(low, high)``.
    diff_factor : int
        1: larger is harder, -1: easier, 0: neither.

    Examples
    --------
    >>> Variable(type="int", domain="[2, 5]", diff_factor=1).diff_factor
    1
    """

    type: str = ""
    domain: str = ""
    formula: str = ""
    diff_factor: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draw:
    """What is drawn at random for a condition, a derived symbol or an option.

    Attributes
    ----------
    source : tuple of formulas
        Lists to draw from.
    amount : tuple of formulas
        Items from each; empty: one each, written ``_sym[0]`` instead of ``_sym[0][0]``.
    order : tuple of bool
        Whether the sequence of the items of a source matters (default: yes; for options not in the first).
    duplicate : tuple of bool
        Whether an item may come twice (default: no).
    domain : formula
        How many draws: a number, or lowest and highest (default: one).
    domain_cond : bool
        True: no two draws are equal.
    dim : formula
        Parts of a draw (default 1; with more, ``_sym[part][source][item]``).
    dim_cond : tuple of tuples of int
        Parts must differ within each group of sources (default: one group of all).
    custom_cond : tuple of mappings
        ``scope`` (``domain`` or ``dim``), ``fields`` (places of sources), ``constraint``: a lambda of the
        values ``l[draw][part][field][item]`` (scope ``dim``: ``l[part][field][item]``).

    Examples
    --------
    >>> Draw(source=("names",), amount=("2",)).domain_cond
    True
    """

    source: tuple[str, ...] = ()
    amount: tuple[str, ...] = ()
    order: tuple[bool, ...] = ()
    duplicate: tuple[bool, ...] = ()
    domain: str = "1"
    domain_cond: bool = True
    dim: str = "1"
    dim_cond: tuple[tuple[int, ...], ...] = ()
    custom_cond: tuple[Mapping[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Symbol:
    """Unknowns, one for each element of the product of the sources; without a source a single one.

    Attributes
    ----------
    source : tuple of formulas
    type : tuple of str
        ``bool``, ``int``, ``float`` or ``enum``; one, or one for each attribute.
    attr : tuple of str
        Attributes: ``pet[name]['colour']``.
    values : tuple of formulas
        Of enums, in the place of the attribute.

    Examples
    --------
    >>> Symbol(source=("people",), type=("bool",)).attr
    ()
    """

    source: tuple[str, ...] = ()
    type: tuple[str, ...] = ("int",)
    attr: tuple[str, ...] = ()
    values: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Derived(Draw):
    """Statements about symbols, made from random draws.

    Attributes
    ----------
    formula : formula
        Of ``_sym``, for each draw; later formulas read the list under the symbol's name.
    desc : text
        For each draw; later texts read the list as ``<name>_text``.

    Examples
    --------
    >>> Derived(source=("people",), formula="knight[_sym[0]]").domain
    '1'
    """

    formula: str
    desc: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mixed:
    """Derived symbols of several templates, together `total`, in random shares and sequence.

    Examples
    --------
    >>> Mixed(templates=(Derived(formula="True"),), total="3").total
    '3'
    """

    templates: tuple[Derived, ...]
    total: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Condition(Draw):
    """A constraint: static, or (with a source) one for each random draw ``_sym``.

    Examples
    --------
    >>> Condition(formula="x < 10").source
    ()
    """

    formula: str
    desc: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option(Draw):
    """How options of a choice are made: true if `opt_formula` holds in ``any`` or in ``all`` solutions.

    Examples
    --------
    >>> Option(opt_formula="x[_opt[0]]", opt_text="{_opt[0]}", cond="any").cond
    'any'
    """

    opt_formula: str
    opt_text: str
    cond: str = "all"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Query:
    """A question: open (`ans_formula`), or a choice (`templates`).

    Attributes
    ----------
    desc : text
    ans_formula : formula
        Of the first solution; ``_solutions`` holds all.
    ans_text : text
        How the answer ``_ans`` is written.
    ans_assertion : formula
        Must hold, or the puzzle is rejected (default: one solution, where solutions are computed).
    eval_type : str
        How the answer is scored; default by its kind, see `hammerlib.systems.puzzles.scoring`.
    templates : tuple of Option
    opt_num : int
        Options, 2 to 26.
    select_type : bool
        Ask for what is true (or for what is not).
    query_type : str
        ``single_choice``, or ``multiple_choice``: two to all but one are asked for.

    Examples
    --------
    >>> Query(desc="How old is Ann?", ans_formula="age['Ann']").opt_num
    4
    """

    desc: str
    ans_formula: str = ""
    ans_text: str = "{_ans}"
    ans_assertion: str = ""
    eval_type: str = ""
    templates: tuple[Option, ...] = ()
    opt_num: int = 4
    select_type: bool = True
    query_type: str = "single_choice"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """A family of puzzles; its parts are worked out in the order of these attributes.

    Attributes
    ----------
    name : str
    custom_operator : mapping of str to formula
        Functions of its own, as lambdas.
    variables, symbols, conditions, queries : mappings by name
    post_generation : mapping
        ``post_gen_vars`` (name to formula of one solution, drawn at random) and ``post_gen_conditions``
        (name to formula): the puzzle is solved again with these added.
    optimize : mapping
        ``type`` (``minimize``, ``maximize``) and ``formula``; two best solutions reject the puzzle.
    calc_solution : bool
        False: nothing to solve, answers come from the variables.
    max_solution : int
        More solutions reject the puzzle.
    desc : text
        The puzzle; reads each condition and query by name, all as ``conditions`` and ``queries``.
    seed : mapping
        The hand-written puzzle that the specification must reproduce: ``config``, ``problem``, ``answer``.

    Examples
    --------
    >>> Spec(name="tiny", desc="{q}", queries={"q": Query(desc="1 + 1?", ans_formula="2")}).max_solution
    6000
    """

    name: str
    desc: str
    custom_operator: Mapping[str, str] = dataclasses.field(default_factory=dict)
    variables: Mapping[str, Variable] = dataclasses.field(default_factory=dict)
    symbols: Mapping[str, Symbol | Derived | Mixed] = dataclasses.field(default_factory=dict)
    conditions: Mapping[str, Condition] = dataclasses.field(default_factory=dict)
    post_generation: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    optimize: Mapping[str, str] = dataclasses.field(default_factory=dict)
    queries: Mapping[str, Query] = dataclasses.field(default_factory=dict)
    calc_solution: bool = True
    max_solution: int = 6000
    seed: Mapping[str, Any] = dataclasses.field(default_factory=dict)


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
