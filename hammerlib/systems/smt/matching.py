"""Quantified problems: which ground terms z3's e-matching instantiates with, and instances of our own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import z3

from hammerlib.errors import InputError

LIMIT = 100_000  # z3's resource units for a call: some tens of milliseconds, counted alike on every machine


class Term(NamedTuple):
    """A ground term: function (or constant, or numeral), its sort, its arguments (our reading of SMT-LIB's).

    Examples
    --------
    >>> print(Term("f", "U", (Term("c", "U"),)))
    f(c)
    """

    name: str
    sort: str
    arguments: tuple[Term, ...] = ()

    def __str__(self) -> str:
        """Write it as a function call."""
        return f"{self.name}({', '.join(map(str, self.arguments))})" if self.arguments else self.name


Binding = tuple[Term, ...]


class Problem:
    """Assertions with quantifiers, and what e-matching makes of them: z3 for `quantifiers` (ours).

    Calls of z3 end by its count of resource units (``rlimit``), not by the clock: the same problem and seed
    give the same verdict and instantiations on a busy machine too.

    Parameters
    ----------
    text : str
        SMT-LIB 2 declarations and assertions; no ``check-sat``.

    Attributes
    ----------
    universals : list of (z3 quantifier, bool)
        Closed universal formulas in which no other is nested, and whether each is asserted itself: its
        instances are then implied; elsewhere an instance needs the formula as its premise.

    Raises
    ------
    InputError
        Text that z3 cannot parse.

    Examples
    --------
    >>> one = Problem("(declare-fun P (Int) Bool) (assert (forall ((x Int)) (P x))) (assert (not (P 3)))")
    >>> one.check(), one.sorts(0)
    ('unsat', ['Int'])
    """

    def __init__(self, text: str) -> None:
        try:
            self.assertions = list(z3.parse_smt2_string(text))
        except z3.Z3Exception as error:
            first = str(error).splitlines()[0]
            raise InputError("problem", text, first, "write SMT-LIB 2 declarations and assertions") from error
        self.universals = [one for formula in self.assertions for one in _universals(formula, asserted=True)]
        self.functions: dict[tuple, Any] = {}
        for formula in self.assertions:
            self._note(formula)

    def sorts(self, place: int) -> list[str]:
        """Return the sorts of a universal formula's variables."""
        formula, _ = self.universals[place]
        return [str(formula.var_sort(i)) for i in range(formula.num_vars())]

    def observe(self, *, limit: int = LIMIT, seed: int = 0) -> tuple[str, list[tuple[str, Binding]]]:
        """Run e-matching without its rescue strategies, for at most `limit` resource units.

        Returns
        -------
        (str, list of (str, tuple of Term))
            Verdict, and each instantiation: its formula in SMT-LIB and what the variables were bound to.
            Bindings with terms that z3 made up (Skolem functions) or interprets (sums) are left out.
        """
        seen: list[tuple[str, Binding]] = []
        read: dict[int, tuple[Any, Term | None]] = {}

        def listen(hint: Any, _: Any, __: Any) -> None:
            if not z3.is_app(hint) or hint.decl().name() != "inst":
                return
            for part in hint.children():
                if z3.is_app(part) and part.decl().name() == "bind":
                    terms = tuple(self._term(one, read) for one in part.children())
                    if None not in terms:
                        seen.append((hint.arg(0).sexpr(), terms))

        solver = self._solver(limit, seed, rescue=False)
        watch = z3.OnClause(solver, listen)  # must outlive the check
        verdict = str(solver.check())
        del watch
        return verdict, seen

    def check(self, *, limit: int = LIMIT, seed: int = 0, rescue: bool = False) -> str:
        """Return ``sat``, ``unsat`` or ``unknown``; `rescue` allows model-based instantiation."""
        return str(self._solver(limit, seed, rescue=rescue).check())

    def add_instance(self, place: int, terms: Iterable[Term]) -> None:
        """Assert an instance of a universal formula, with the formula as its premise where that is nested."""
        formula, asserted = self.universals[place]
        ground = [self._expression(term) for term in terms]
        # z3 numbers bound variables from the innermost.
        instance = z3.substitute_vars(formula.body(), *reversed(ground))
        self.assertions.append(instance if asserted else z3.Implies(formula, instance))

    def _solver(self, limit: int, seed: int, *, rescue: bool) -> Any:
        solver = z3.SimpleSolver() if not rescue else z3.Solver()
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
            for part in term.children():
                self._note(part)
            if _is_free(term) or z3.is_int_value(term):
                self.functions[_key(term)] = term if z3.is_int_value(term) else term.decl()

    def _term(self, expression: Any, read: dict[int, tuple[Any, Term | None]]) -> Term | None:
        """Read a z3 term once, shared parts included; what is kept in `read` keeps its number."""
        key = expression.get_id()
        if key not in read:
            read[key] = expression, self._fresh_term(expression, read)
        return read[key][1]

    def _fresh_term(self, expression: Any, read: dict[int, tuple[Any, Term | None]]) -> Term | None:
        """Read a z3 term; None when it holds a function that z3 made up or interprets."""
        if not z3.is_app(expression) or _key(expression) not in self.functions:
            return None
        parts = [self._term(part, read) for part in expression.children()]
        if any(part is None for part in parts):
            return None
        return Term(_name(expression), str(expression.sort()), tuple(parts))

    def _expression(self, term: Term) -> Any:
        key = (term.name, term.sort, tuple(part.sort for part in term.arguments))
        function = self.functions[key]
        return function(*map(self._expression, term.arguments)) if z3.is_func_decl(function) else function


def _universals(formula: Any, *, asserted: bool) -> Iterator[tuple[Any, bool]]:
    if z3.is_quantifier(formula):
        if formula.is_forall():
            yield formula, asserted
        return
    for part in formula.children():
        if z3.is_bool(part):
            yield from _universals(part, asserted=asserted and z3.is_and(formula))


def _is_free(term: Any) -> bool:
    return term.decl().kind() == z3.Z3_OP_UNINTERPRETED and not z3.is_bool(term)


def _name(term: Any) -> str:
    return str(term) if z3.is_int_value(term) else term.decl().name()


def _key(term: Any) -> tuple:
    return _name(term), str(term.sort()), tuple(str(part.sort()) for part in term.children())
