"""What a prefix stands for: sources and scorers of rooms below are named here and imported when asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from hammerlib.errors import InputError


class Entry(NamedTuple):
    """What a prefix leads to.

    Attributes
    ----------
    target : callable or str
        The function itself, or ``"module:function"``, imported at the first call.
    package : str
        Distribution whose version decides what the function returns.
    audited : bool or frozenset of str
        Of a scorer: whether, or for which names behind the prefix, it was read and found never to evaluate an
        answer as code. All others run only where code may be run.

    Examples
    --------
    >>> Entry("math:sqrt").function()(9.0)
    3.0
    """

    target: Callable[..., Any] | str
    package: str = "hammerlib"
    audited: bool | frozenset[str] = False

    def function(self) -> Callable[..., Any]:
        """Return the function."""
        if not isinstance(self.target, str):
            return self.target
        module, _, name = self.target.partition(":")
        return getattr(import_module(module), name)


SOURCES: dict[str, Entry] = {
    "reasoning-gym": Entry("hammerlib.problems.gym:load_gym", "reasoning_gym"),
    "file": Entry("hammerlib.problems.files:load_file"),
    "hub": Entry("hammerlib.problems.files:load_hub"),
    "evolmath": Entry("hammerlib.systems.evolmath.source:load_evolved"),
    "puzzles": Entry("hammerlib.systems.puzzles.source:load_puzzles", "z3-solver"),
}
# The scorers of the built-in mixes. Each `score_answer` of reasoning-gym 0.1.25 was read: none calls eval,
# exec or a parser of SymPy (which evaluates), as ten others do. A new mix enters here after the same reading.
AUDITED = frozenset(
    {
        "base_conversion",
        "basic_arithmetic",
        "calendar_arithmetic",
        "chain_sum",
        "complex_arithmetic",
        "count_bits",
        "count_primes",
        "decimal_chain_sum",
        "dice",
        "fraction_simplification",
        "gcd",
        "gsm_symbolic",
        "lcm",
        "leg_counting",
        "nano_sequence",
        "nano_story",
        "number_sequence",
        "prime_factorization",
        "products",
        "simple_equations",
        "simple_geometry",
        "time_intervals",
    }
)
# Scorer cells read <prefix>:<name>; the maker is called with the whole cell.
SCORERS: dict[str, Entry] = {
    "reasoning-gym": Entry("hammerlib.problems.gym:scorer", "reasoning_gym", AUDITED),
    "puzzles": Entry("hammerlib.systems.puzzles.scoring:scorer", audited=True),
}
CODE = "code:"  # programs with tests, see hammerlib.grading.code
_UNCONFINED = Entry("hammerlib.grading.code:refused")


def runs_code(scorer: str) -> bool:
    """Tell whether a scorer cell may lead to code that a model wrote: all but the audited ones.

    Parameters
    ----------
    scorer : str
        Cell of a problem table.

    Examples
    --------
    >>> runs_code("reasoning-gym:gcd"), runs_code("reasoning-gym:puzzle24"), runs_code("code:human-eval")
    (False, True, True)
    """
    prefix, _, name = scorer.partition(":")
    audited = SCORERS[prefix].audited if prefix in SCORERS else False
    return audited is False or (audited is not True and name not in audited)


def refuse_code(
    scorer: object,
    run_code: bool,
    remedy: str = "pass run_code=True (--run-code) on a machine where nothing can be lost",
) -> None:
    """Refuse a scorer cell that names nothing, or code that may not be run.

    Parameters
    ----------
    scorer : object
        Cell of a problem table; None and "" are no scorer.
    run_code : bool
        Whether what a model wrote may be run.
    remedy : str
        What the caller can do.

    Raises
    ------
    InputError
        Not a text or an unknown prefix; the scorer may run code and `run_code` is false; it runs programs,
        and this machine has too few means to confine them.

    Examples
    --------
    >>> refuse_code("reasoning-gym:products", run_code=False)
    """
    if scorer is None or scorer == "":
        return
    known = ", ".join([*(f"{prefix}:" for prefix in SCORERS), CODE])
    if not isinstance(scorer, str):
        raise InputError("scorer", scorer, "is no text", f"name one that begins with {known}")
    if not scorer.startswith(CODE) and scorer.partition(":")[0] not in SCORERS:
        raise InputError("scorer", scorer, "is unknown", f"name one that begins with {known}")
    if not run_code and runs_code(scorer):
        problem = "runs programs that a model wrote"
        if not scorer.startswith(CODE):
            problem = "is not audited: it may run what a model wrote"
        raise InputError("scorer", scorer, problem, remedy)
    if run_code and scorer.startswith(CODE) and (why := _UNCONFINED.function()()):
        remedy = "run on Linux with user name spaces or Landlock; hammer doctor says what holds"
        raise InputError("scorer", scorer, f"runs programs that cannot be confined here ({why})", remedy)
