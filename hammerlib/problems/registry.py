"""What the entry strings of sources and scorers stand for; rooms below are named, and imported when used."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, NamedTuple

from hammerlib.errors import InputError, NoSuchModule, import_object

GROUP = "hammerlib.problems"  # entry points of packages that bring sources
_OWN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class Entry(NamedTuple):
    """What a prefix leads to."""

    # The function itself, or "module:function", imported at the first call.
    target: Callable[..., Any] | str
    # Distribution whose version decides what the function returns.
    package: str = "hammerlib"
    # Of a scorer: whether, or for which names behind the prefix, it was read and found never to evaluate an
    # answer as code. All others run only where code may be run.
    audited: bool | frozenset[str] = False
    # Of a source: "module:function" that refuses a name, split or size (None: whole) without loading rows.
    check: str = ""

    def function(self) -> Callable[..., Any]:
        """Return the function."""
        if not isinstance(self.target, str):
            return self.target
        module, _, name = self.target.partition(":")
        return getattr(import_module(module), name)


SOURCES: dict[str, Entry] = {
    "reasoning-gym": Entry(
        "hammerlib.problems.gym:load_gym", "reasoning_gym", check="hammerlib.problems.gym:check_gym"
    ),
    "champ": Entry(
        "hammerlib.problems.champ:load_champ", "champ-dataset", check="hammerlib.problems.champ:check_champ"
    ),
    "file": Entry("hammerlib.problems.files:load_file", check="hammerlib.problems.files:check_file"),
    "hub": Entry("hammerlib.problems.files:load_hub", check="hammerlib.problems.files:check_hub"),
    "evolmath": Entry("hammerlib.systems.evolmath.evolution:load_evolved"),
    "puzzles": Entry("hammerlib.systems.puzzles.generate:load_puzzles", "z3-solver"),
}
# The scorers of the built-in mixes. Each `score_answer` of reasoning-gym 0.1.25 was read: none calls eval,
# exec or a parser of SymPy (which evaluates), as ten others do. A new mix enters here after the same reading.
AUDITED = frozenset(
    re.findall(
        r"\w+",
        """base_conversion basic_arithmetic calendar_arithmetic chain_sum complex_arithmetic count_bits
        count_primes decimal_chain_sum dice fraction_simplification gcd gsm_symbolic lcm leg_counting
        nano_sequence nano_story number_sequence prime_factorization products simple_equations
        simple_geometry time_intervals""",
    )
)
# Scorer cells read <prefix>:<name>; the maker is called with the whole cell.
SCORERS: dict[str, Entry] = {
    "reasoning-gym": Entry("hammerlib.problems.gym:scorer", "reasoning_gym", AUDITED),
    "puzzles": Entry("hammerlib.systems.puzzles.scoring:scorer", audited=True),
}
CODE = "code:"  # programs with tests, see hammerlib.grading.code
_UNCONFINED = Entry("hammerlib.grading.code:refused")


def find_source(source: object, field: str = "problems") -> Callable[..., Any]:
    """Return the loader that an entry string names, to be called with split, n, seed and columns."""
    # Known prefixes come first, then those of installed packages, then ``module:function``.
    prefix, colon, name = source.partition(":") if isinstance(source, str) else ("", "", "")
    if colon and prefix not in SOURCES:
        for point in entry_points(group=GROUP, name=prefix):
            SOURCES[prefix] = Entry(point.value, point.dist.name if point.dist else "hammerlib")
    if colon and prefix in SOURCES:
        return functools.partial(SOURCES[prefix].function(), name)
    if isinstance(source, str) and _OWN.fullmatch(source):
        from hammerlib.problems.files import load_own

        with contextlib.suppress(NoSuchModule):  # then it was meant as a prefix
            function = import_object(source, field, "has no function {}")
            if not callable(function):
                raise InputError(field, source, "is no function", "name one that returns rows")
            return functools.partial(load_own, function, name)
    known = ", ".join(f"{known}:..." for known in sorted(SOURCES))
    raise InputError(field, source, "unknown source", f"use one of {known}, or my_package.my_module:function")


def check_source(
    source: str, split: str | None = None, n: int | None = None, *, fields: tuple[str, str]
) -> None:
    """Refuse a source, its part or a size before any row is loaded; `fields` name the source and the size."""
    field, size = fields
    load: Any = find_source(source, field)
    prefix, _, name = source.partition(":")
    if prefix not in SOURCES:  # a function of one's own
        from hammerlib.problems.files import check_own

        check_own(load.args[0], name, split)
        return
    check = SOURCES[prefix].check
    if not check:
        return
    try:
        Entry(check).function()(name, split, n)
    except InputError as error:
        if error.field == "split":
            raise
        if error.field == "n":
            raise InputError(size, n, error.problem, error.remedy) from None
        raise InputError(field, source, error.problem, error.remedy) from None


def runs_code(scorer: str) -> bool:
    """Tell whether a scorer cell may lead to code that a model wrote: all but the audited ones."""
    prefix, _, name = scorer.partition(":")
    audited = SCORERS[prefix].audited if prefix in SCORERS else False
    return name not in audited if isinstance(audited, frozenset) else not audited


def refuse_code(
    scorer: object,
    run_code: bool,
    remedy: str = "pass run_code=True (--run-code) on a machine where nothing can be lost",
) -> None:
    """Refuse a scorer cell that names nothing, code that may not be run, and code that cannot be confined."""
    if scorer is None or scorer == "":
        return
    remedy_name = f"name one that begins with {', '.join([*(f'{prefix}:' for prefix in SCORERS), CODE])}"
    if not isinstance(scorer, str):
        raise InputError("scorer", scorer, "is no text", remedy_name)
    if not scorer.startswith(CODE) and scorer.partition(":")[0] not in SCORERS:
        raise InputError("scorer", scorer, "is unknown", remedy_name)
    if not run_code and runs_code(scorer):
        problem = "runs programs that a model wrote"
        if not scorer.startswith(CODE):
            problem = "is not audited: it may run what a model wrote"
        raise InputError("scorer", scorer, problem, remedy)
    if run_code and scorer.startswith(CODE) and (why := _UNCONFINED.function()()):
        remedy = "run on Linux with user name spaces or Landlock; hammer doctor says what holds"
        raise InputError("scorer", scorer, f"runs programs that cannot be confined here ({why})", remedy)
