"""The one place that speaks to z3: all solutions of a puzzle, instantiations of a quantified problem."""
# ruff: noqa: E402

from hammerlib.errors import need

need("z3")  # before the modules below import it

from hammerlib.systems.smt.finite import (
    CONNECTIVES,
    TooMany,
    Undecided,
    compare,
    is_term,
    optimum,
    released_solutions,
    solutions,
    symbol,
)
from hammerlib.systems.smt.matching import LIMIT, Problem, Term

__all__ = [
    "CONNECTIVES",
    "LIMIT",
    "Problem",
    "Term",
    "TooMany",
    "Undecided",
    "compare",
    "is_term",
    "optimum",
    "released_solutions",
    "solutions",
    "symbol",
]
