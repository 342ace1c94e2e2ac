"""The one place that speaks to z3: all solutions of a puzzle, instantiations of a quantified problem.

Formulas may mix z3 terms with plain values: every connective returns a plain value when all its arguments are
plain, so that the same formula states a constraint over symbols or a fact about one solution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from hammerlib.errors import InputError, need

need("z3")

import z3  # noqa: E402

MOST_SOLUTIONS = 6000
MILLISECONDS = 15_000  # of a call that enumerates or optimises
LIMIT = 100_000  # z3's resource units for a call: some tens of milliseconds, counted alike on every machine
KINDS = ("bool", "int", "float", "enum")
_SORTS: dict[tuple[str, ...], Any] = {}  # the same values are the same sort; z3 keeps sorts for ever


class Undecided(RuntimeError):
    """z3 gave neither a model nor a refutation, mostly because its time was up."""


class TooMany(RuntimeError):
    """There are more solutions than asked for."""


# Symbols and connectives


def symbol(name: str, kind: str, values: Sequence[str] = ()) -> Any:
    """Declare an unknown of a kind (`KINDS`; ``float`` is a real number), an enum with two values or more."""
    if kind == "enum":
        if len(values) < 2:
            raise InputError("values", list(values), f"enum {name} needs two or more", "name its values")
        key = tuple(values)
        if key not in _SORTS:
            _SORTS[key] = z3.EnumSort(f"enum{len(_SORTS)}", list(key))[0]
        return z3.Const(name, _SORTS[key])
    makers = {"bool": z3.Bool, "int": z3.Int, "float": z3.Real}
    if kind not in makers:
        raise InputError("type", kind, f"symbol {name} has an unknown type", f"use one of {', '.join(KINDS)}")
    return makers[kind](name)


def is_term(value: object) -> bool:
    """Tell whether a value is (or a list holds) a z3 term."""
    if isinstance(value, list | tuple):
        return any(map(is_term, value))
    return z3.is_expr(value)


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


def _either(plain: Callable[..., Any], symbolic: Callable[..., Any]) -> Callable[..., Any]:
    """Make a connective over any number of values, or over one list of values."""

    def connective(*values: Any) -> Any:
        flat = list(_flat(values))
        # one term among plain values makes the whole a term
        return symbolic(flat) if is_term(flat) else plain(flat)

    return connective


def _if(condition: Any, then: Any, otherwise: Any) -> Any:
    if is_term(condition):
        return z3.If(condition, then, otherwise)
    return then if condition else otherwise


def _number(value: Any) -> Any:
    if is_term(value):
        # z3 adds no truth values: true counts 1
        return z3.If(value, 1, 0) if z3.is_bool(value) else value
    return int(value) if isinstance(value, bool) else value


def _total(values: list[Any]) -> Any:
    return z3.Sum([_number(value) for value in values])


CONNECTIVES: dict[str, Callable[..., Any]] = {
    "And": _either(all, z3.And),
    "Or": _either(any, z3.Or),
    "Not": _either(lambda values: not values[0], lambda values: z3.Not(values[0])),
    "Xor": _either(lambda values: bool(values[0]) != bool(values[1]), lambda values: z3.Xor(*values)),
    "Implies": _either(lambda values: not values[0] or bool(values[1]), lambda values: z3.Implies(*values)),
    "Sum": _either(sum, _total),
    "Count": _either(lambda values: sum(map(bool, values)), _total),
    "Distinct": _either(lambda values: len(set(values)) == len(values), lambda values: z3.Distinct(*values)),
    "If": _if,
}


def compare(relation: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """Apply ``operator.eq``, ``lt`` and so on; the name of an enum's value stands for the value."""
    if isinstance(right, str) and is_term(left):
        right = _enum_value(left.sort(), right)
    elif isinstance(left, str) and is_term(right):
        left = _enum_value(right.sort(), left)
    return relation(left, right)


def _enum_value(sort: Any, name: str) -> Any:
    values = {}
    for i in range(sort.num_constructors()):
        values[sort.constructor(i).name()] = sort.constructor(i)
    if name not in values:
        raise InputError("value", name, "is no value of this enum", f"use {', '.join(values)}")
    return values[name]()


# Solutions


def _plain(value: Any) -> bool | int | Fraction | str:
    if z3.is_bool(value):
        return z3.is_true(value)
    if z3.is_int_value(value):
        return value.as_long()
    if z3.is_rational_value(value):
        return Fraction(value.numerator_as_long(), value.denominator_as_long())
    return value.decl().name()


def _solver(constraints: Iterable[Any], solver: Any = None) -> Any:
    solver = solver or z3.Solver()
    solver.set("timeout", MILLISECONDS)
    # A constraint may have come out plain: False excludes everything, True nothing.
    solver.add([fact if is_term(fact) else z3.BoolVal(bool(fact)) for fact in _flat(constraints)])
    return solver


def _models(
    symbols: Mapping[str, Any], constraints: Iterable[Any], limit: int, *, complete: bool
) -> list[dict[str, Any]]:
    """Enumerate models by blocking clauses; see `solutions` and `released_solutions`."""
    solver = _solver(constraints)
    names = {str(term): name for name, term in symbols.items()}
    models: list[dict[str, Any]] = []
    while (verdict := solver.check()) == z3.sat:
        model = solver.model()
        if complete:
            values = {name: model.eval(term, model_completion=True) for name, term in symbols.items()}
        else:
            # the slip: symbols that z3 left out are not in the blocking clause either
            mentioned = [symbol for symbol in model.decls() if symbol.name() in names]
            values = {names[symbol.name()]: model[symbol] for symbol in mentioned}
        models.append(dict.fromkeys(symbols) | {name: _plain(value) for name, value in values.items()})
        # counted while it enumerates: a puzzle with millions of solutions ends here
        if len(models) > limit:
            raise TooMany(f"more than {limit} solutions")
        # The blocking clause: at least one symbol must differ from this model.
        solver.add(z3.Or([symbols[name] != value for name, value in values.items()]))
    if verdict == z3.unknown:
        raise Undecided(solver.reason_unknown())
    return models


def solutions(
    symbols: Mapping[str, Any], constraints: Iterable[Any], *, limit: int = MOST_SOLUTIONS
) -> list[dict[str, Any]]:
    """Return every assignment of *all* symbols that meets the constraints, sorted: symbol to plain value.

    PuzzleClone's blocking clauses (arXiv 2508.15180), mended: z3's models leave out symbols that do not
    matter; they are completed, and each clause speaks of every declared symbol (see `released_solutions`).
    More than `limit` are `TooMany`; where z3 gives up, after `MILLISECONDS` a call, it is `Undecided`.
    """
    models = _models(symbols, constraints, limit, complete=True)
    return sorted(models, key=lambda values: [(type(value).__name__, value) for value in values.values()])


def released_solutions(
    symbols: Mapping[str, Any], constraints: Iterable[Any], *, limit: int = MOST_SOLUTIONS
) -> list[dict[str, Any]]:
    """Enumerate as PuzzleClone's released loop does, which loses solutions; kept for comparison.

    It excludes what a model mentions, and reads None (false in formulas: our assumption) for what none does.
    """
    return _models(symbols, constraints, limit, complete=False)


def optimum(constraints: Iterable[Any], goal: Any, *, largest: bool) -> Any:
    """Return the largest or smallest value of a term under constraints; None when they exclude each other.

    Raises `Undecided` when z3 gives up, or the goal has no bound.
    """
    solver = _solver(constraints, z3.Optimize())
    (solver.maximize if largest else solver.minimize)(goal)
    verdict = solver.check()
    if verdict == z3.unknown:
        raise Undecided(solver.reason_unknown())
    if verdict == z3.unsat:
        return None
    value = _plain(solver.model().eval(goal, model_completion=True))
    # An unbounded goal still gets a model: a value counts only if nothing better is possible.
    better = goal > value if largest else goal < value
    if _solver([*constraints, better]).check() != z3.unsat:
        raise Undecided("the goal has no bound")
    return value


# Quantified problems


class Term(NamedTuple):
    """A ground term: function (or constant, or numeral), its sort, its arguments (our reading of SMT-LIB)."""

    name: str
    sort: str
    arguments: tuple[Term, ...] = ()

    def __str__(self) -> str:
        """Write it as a function call."""
        return f"{self.name}({', '.join(map(str, self.arguments))})" if self.arguments else self.name


Binding = tuple[Term, ...]


class Problem:
    """Assertions in SMT-LIB 2 with quantifiers, and what e-matching makes of them (ours).

    Calls of z3 end by its count of resource units (``rlimit``), not by the clock: the same problem and seed
    give the same verdict and instantiations on a busy machine too. `universals` are the closed universal
    formulas in which no other is nested, with whether each is asserted itself: its instances are then
    implied; elsewhere an instance needs the formula as its premise.
    """

    def __init__(self, text: str) -> None:
        try:
            self.assertions = list(z3.parse_smt2_string(text))
        except z3.Z3Exception as error:
            first = str(error).splitlines()[0]
            raise InputError("problem", text, first, "write SMT-LIB 2 declarations and assertions") from error
        self.universals: list[tuple[Any, bool]] = []
        self.functions: dict[tuple, Any] = {}
        for formula in self.assertions:
            self.universals += _universals(formula, asserted=True)
            self._note(formula)

    def sorts(self, place: int) -> list[str]:
        """Return the sorts of a universal formula's variables."""
        formula, _ = self.universals[place]
        return [str(formula.var_sort(i)) for i in range(formula.num_vars())]

    def observe(self, *, limit: int = LIMIT, seed: int = 0) -> tuple[str, list[tuple[str, Binding]]]:
        """Run e-matching without its rescue strategies; return the verdict and each instantiation.

        An instantiation is its formula in SMT-LIB and what the variables were bound to. Bindings with terms
        that z3 made up (Skolem functions) or interprets (sums) are left out.
        """
        instantiations: list[tuple[str, Binding]] = []
        read: dict[int, tuple[Any, Term | None]] = {}

        def listen(hint: Any, _: Any, __: Any) -> None:
            if not z3.is_app(hint) or hint.decl().name() != "inst":
                return
            for child in hint.children():
                if z3.is_app(child) and child.decl().name() == "bind":
                    terms = tuple(self._term(expression, read) for expression in child.children())
                    if None not in terms:
                        instantiations.append((hint.arg(0).sexpr(), terms))

        solver = self._solver(limit, seed, rescue=False)
        watch = z3.OnClause(solver, listen)  # must outlive the check
        verdict = str(solver.check())
        del watch
        return verdict, instantiations

    def check(self, *, rescue: bool = False) -> str:
        """Return ``sat``, ``unsat`` or ``unknown``; `rescue` allows model-based instantiation."""
        return str(self._solver(LIMIT, 0, rescue=rescue).check())

    def add_instance(self, place: int, terms: Iterable[Term]) -> None:
        """Assert an instance of a universal formula, with the formula as its premise where that is nested."""
        formula, asserted = self.universals[place]
        ground = [self._expression(term) for term in terms]
        # z3 numbers bound variables from the innermost.
        instance = z3.substitute_vars(formula.body(), *reversed(ground))
        self.assertions.append(instance if asserted else z3.Implies(formula, instance))

    def _solver(self, limit: int, seed: int, *, rescue: bool) -> Any:
        solver = z3.Solver() if rescue else z3.SimpleSolver()
        solver.set("rlimit", limit)
        solver.set("random_seed", seed)
        if not rescue:
            solver.set("auto_config", False)
            solver.set("mbqi", False)
        solver.add(self.assertions)
        return solver

    def _note(self, term: Any) -> None:
        """Remember the functions, constants and numerals that occur, which terms are built from."""
        if z3.is_quantifier(term):
            self._note(term.body())
        elif z3.is_app(term):
            for child in term.children():
                self._note(child)
            if z3.is_int_value(term):
                self.functions[_key(term)] = term
            elif term.decl().kind() == z3.Z3_OP_UNINTERPRETED and not z3.is_bool(term):
                self.functions[_key(term)] = term.decl()

    def _term(self, expression: Any, read: dict[int, tuple[Any, Term | None]]) -> Term | None:
        """Read a z3 term, shared subterms once; None where it holds a function z3 made up or interprets."""
        key = expression.get_id()
        if key not in read:
            term = None
            if z3.is_app(expression) and _key(expression) in self.functions:
                arguments = tuple(self._term(child, read) for child in expression.children())
                if None not in arguments:
                    term = Term(_name(expression), str(expression.sort()), arguments)
            read[key] = expression, term  # the expression is kept alive, so that no other gets its number
        return read[key][1]

    def _expression(self, term: Term) -> Any:
        function = self.functions[term.name, term.sort, tuple(argument.sort for argument in term.arguments)]
        return function(*map(self._expression, term.arguments)) if z3.is_func_decl(function) else function


def _universals(formula: Any, *, asserted: bool) -> Iterator[tuple[Any, bool]]:
    if z3.is_quantifier(formula):
        if formula.is_forall():
            yield formula, asserted
        return
    for child in formula.children():
        if z3.is_bool(child):
            yield from _universals(child, asserted=asserted and z3.is_and(formula))


def _name(term: Any) -> str:
    return str(term) if z3.is_int_value(term) else term.decl().name()


def _key(term: Any) -> tuple:
    return _name(term), str(term.sort()), tuple(str(child.sort()) for child in term.children())
