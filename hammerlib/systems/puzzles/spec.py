"""The specification language: what a family of puzzles consists of, read from YAML and checked.

Fields are those of PuzzleClone (arXiv 2508.15180, specification reference). Formulas are a subset of
Python's expressions (`hammerlib.systems.puzzles.formulas`): nothing in a specification is ever executed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


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
