"""Every named order: what it looks at, which options it knows, how it permutes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from hammerlib.errors import InputError, check_fields, check_name, import_function, need, unknown
from hammerlib.ordering.controls import COURSES, matched, random_batches, shuffle_windows, strata
from hammerlib.ordering.greedy import check_eta, farthest_first, greedy_path, logdet_first
from hammerlib.ordering.order import Order, as_permutation
from hammerlib.runs.storage import content_hash, writing
from hammerlib.similarity import Array, host

if TYPE_CHECKING:
    import datasets

    from hammerlib.ordering.solve import Path

SOLVED_KEPT = 8  # orders of one set of vectors share their bound
_SOLVED: dict[tuple[str, float | None, float | None, int], Path] = {}
CENTRES = ("none", "argmin", "renormalise")
# What a strategy sorts problems by; `pass_rate` takes the place of the difficulty where it is given.
COLUMNS = {"easy-to-hard": "difficulty", "hard-to-easy": "difficulty", "topic-cycle": "topic"}


@dataclass(frozen=True)
class Task:
    """What a strategy may look at."""

    n: int
    units: Array | None  # (n, d), rows of length one
    problems: datasets.Dataset | None  # row i is item i
    seed: int
    centre: str

    def solve(self, gap: float | None = 1e-3, seconds: float | None = None, seed: int = 0) -> Path:
        """Return the certified minimum path of the vectors; the last few are remembered by content."""
        need("numba")
        from hammerlib.ordering.solve import check_limits, min_path

        check_limits(gap, seconds)
        key = (content_hash(host(self.units)), gap, seconds, seed)
        if key not in _SOLVED:
            while len(_SOLVED) >= SOLVED_KEPT:
                # oldest first: dictionaries keep their sequence
                del _SOLVED[next(iter(_SOLVED))]
            with writing("cache of compiled code"):  # all that a solver writes, at its first use
                _SOLVED[key] = min_path(self.units, gap=gap, seconds=seconds, seed=seed)
        return _SOLVED[key]

    @property
    def shift(self) -> Array | None:
        """The mean, where greedy's choice subtracts it."""
        return self.units.mean(axis=0) if self.centre == "argmin" and self.n else None

    def shuffled(self) -> np.ndarray:
        """The items in an order drawn from the seed."""
        return np.random.default_rng(self.seed).permutation(self.n)

    def column(self, strategy: str, name: str | None = None) -> list[Any]:
        """Return the column that a strategy reads, or raise an InputError that says what is missing."""
        name = name or COLUMNS[strategy]
        if self.problems is None:
            remedy = f"pass problems= with a column {name!r}"
            raise InputError("problems", None, f"are needed by strategy {strategy!r}", remedy)
        columns = list(self.problems.column_names)
        if name not in columns:
            problem = f"have no column {name!r} for {strategy!r}"
            raise InputError("problems", columns, problem, f"add {name!r}")
        return list(self.problems[name])


def _hammer(
    task: Task, start: str = "least-similar", eta: float = 0.0, eta_mode: str = "epsilon"
) -> np.ndarray:
    return greedy_path(task.units, start=start, shift=task.shift, eta=eta, eta_mode=eta_mode, seed=task.seed)


def _similar(task: Task, start: str = "least-similar") -> np.ndarray:
    return greedy_path(task.units, start=start, shift=task.shift, largest=True, seed=task.seed)


def _farthest_first(task: Task, start: str = "least-similar") -> np.ndarray:
    return farthest_first(task.units, start=start, seed=task.seed)


def _min_path(task: Task, gap: float | None = 1e-3, seconds: float | None = None) -> np.ndarray:
    return task.solve(gap=gap, seconds=seconds, seed=task.seed).permutation


def _logdet(task: Task, ridge: float = 0.1, start: str = "least-similar") -> np.ndarray:
    return logdet_first(task.units, ridge=ridge, start=start, seed=task.seed)


def _batch_diverse(task: Task, window: int = 8) -> np.ndarray:
    from hammerlib.ordering.windows import batch_diverse  # compiles on first use

    return batch_diverse(task.units, window, task.solve().permutation, task.seed)


def _easy_to_hard(task: Task, pass_rate: Array | None = None) -> np.ndarray:
    return _by_ease(task, pass_rate, "easy-to-hard", easy_first=True)


def _hard_to_easy(task: Task, pass_rate: Array | None = None) -> np.ndarray:
    return _by_ease(task, pass_rate, "hard-to-easy", easy_first=False)


def _by_ease(task: Task, pass_rate: Array | None, strategy: str, easy_first: bool) -> np.ndarray:
    """Sort by difficulty or falling pass rate; equals in an order drawn from the seed, not the file's."""
    hardness = _measured(task, pass_rate, strategy)
    # a high pass rate is easy, a high difficulty hard
    if (pass_rate is not None) == easy_first:
        hardness = -hardness
    return np.lexsort((task.shuffled(), hardness))


def _measured(task: Task, pass_rate: Array | None, strategy: str) -> np.ndarray:
    """The pass rates, else the column of difficulties, as one finite number for each problem."""
    name = "difficulty" if pass_rate is None else "pass_rate"
    values = task.column(strategy, name) if pass_rate is None else pass_rate
    try:
        numbers = np.asarray(host(values), dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(name, values, "are not numbers", f"give {task.n}, one a problem") from None
    problem = f"is not one finite number for each of {task.n} problems"
    if numbers.shape != (task.n,):
        raise InputError(name, numbers.shape, problem, "complete it")
    if not np.isfinite(numbers).all():
        raise InputError(name, np.flatnonzero(~np.isfinite(numbers))[:5].tolist(), problem, "complete it")
    return numbers


def _topic_cycle(task: Task) -> np.ndarray:
    """Round-robin over topics (sorted by name), each topic shuffled by seed; large topics fill the end."""
    topics = np.asarray(task.column("topic-cycle"), dtype=object).astype(str)
    shuffled = task.shuffled()
    rounds = np.zeros(task.n, dtype=np.int64)
    # the k-th problem of a topic comes in round k
    for name in np.unique(topics):
        members = shuffled[topics[shuffled] == name]
        rounds[members] = np.arange(len(members))
    # by round, and inside a round by topic: one of each that is left
    return np.lexsort((topics, rounds))


@dataclass(frozen=True)
class Strategy:
    """How an order is made."""

    make: Callable[..., np.ndarray]  # from a Task and options to an (n,) permutation
    needs_vectors: bool = False
    chooses_greedily: bool = False  # whether centre="argmin" means anything to it
    function: Callable | None = None  # one's own, called by `make`

    @property
    def options(self) -> tuple[str, ...]:
        """Names of its options; ``**`` stands for any."""
        parameters = inspect.signature(self.function or self.make).parameters.values()
        names = tuple("**" if each.kind is each.VAR_KEYWORD else each.name for each in parameters)
        # a Task comes first in the strategies of the house, vectors, problems and seed in one's own
        return names[3 if self.function else 1 :]

    def check_options(self, given: Iterable[str], field: str, strategy: str) -> None:
        """Refuse options that the strategy does not take."""
        strange = sorted(set(given) - set(self.options))
        # a function that takes ** answers for its options itself
        if strange and "**" not in self.options:
            remedy = f"its options: {', '.join(self.options) or 'none'}"
            raise InputError(field, strange, f"are not known to {strategy!r}", remedy)


_TABLE = {
    "hammer": Strategy(_hammer, needs_vectors=True, chooses_greedily=True),
    "min-path": Strategy(_min_path, needs_vectors=True),
    "random": Strategy(Task.shuffled),
    "dataset": Strategy(lambda task: np.arange(task.n)),
    "similar": Strategy(_similar, needs_vectors=True, chooses_greedily=True),
    "easy-to-hard": Strategy(_easy_to_hard),
    "hard-to-easy": Strategy(_hard_to_easy),
    "farthest-first": Strategy(_farthest_first, needs_vectors=True),
    "logdet": Strategy(_logdet, needs_vectors=True),
    "batch-diverse": Strategy(_batch_diverse, needs_vectors=True),
    "topic-cycle": Strategy(_topic_cycle),
}


def _reversed(task: Task, path: np.ndarray) -> np.ndarray:
    return path[::-1]


def _batch_shuffled(task: Task, path: np.ndarray, window: int = 8) -> np.ndarray:
    return shuffle_windows(path, window, task.seed)


def _random_batches(task: Task, path: np.ndarray, window: int = 8, block: int | None = None) -> np.ndarray:
    return random_batches(path, window, task.seed, block=block)


def _matched(
    task: Task, path: np.ndarray, by: str = "length-and-pass-rate", bins: int = 4, pass_rate: Any = None
) -> np.ndarray:
    check_name("by", by, COURSES)
    if by == "topic":
        stratum = np.unique(task.column("matched", "topic"), return_inverse=True)[1]
    else:
        lengths = np.array([len(text) for text in task.column("matched", "prompt")])
        stratum = strata(lengths, _measured(task, pass_rate, "matched"), bins)
    return matched(path, stratum, task.seed)


# Strategies made of another one (option `of`).
_MADE_OF: dict[str, Callable[..., np.ndarray]] = {
    "reversed": _reversed,
    "batch-shuffled": _batch_shuffled,
    "random-batches": _random_batches,
    "matched": _matched,
}
# Their own options; all others are the other strategy's.
DERIVED = {name: tuple(inspect.signature(make).parameters)[2:] for name, make in _MADE_OF.items()}
STRATEGIES = (*_TABLE, *DERIVED)


def strategy_name(strategy: str | Callable) -> str:
    """Return the name under which a strategy is recorded: ``module:function`` of one's own."""
    return strategy if isinstance(strategy, str) else f"{strategy.__module__}:{strategy.__qualname__}"


def own_strategy(strategy: object, field: str = "strategy") -> Strategy | None:
    """Return the strategy that a function, or the name ``module:function``, stands for; None for others."""
    if isinstance(strategy, str) and ":" in strategy:
        remedy = "name a function (vectors, problems, seed, **options) -> permutation"
        function = import_function(strategy, field, remedy)
    elif inspect.isroutine(strategy):
        function = strategy
    else:
        return None

    def make(task: Task, **options: Any) -> np.ndarray:
        permutation = as_permutation(function(task.units, task.problems, task.seed, **options), field)
        if len(permutation) != task.n:
            problem = f"returns {len(permutation)} numbers for {task.n} items"
            raise InputError(field, strategy_name(function), problem, "name every item once")
        return permutation

    return Strategy(make, function=function)


def check_strategy(field: str, value: object, problem: str = "is unknown") -> None:
    """Refuse what is neither a known strategy nor a function of one's own."""
    if own_strategy(value, field) is None:
        check_name(field, value, STRATEGIES, problem)


def permute(strategy: str | Callable, task: Task, options: dict[str, Any]) -> np.ndarray:
    """Return the permutation of a known strategy after checking that it can use what it was given."""
    name = strategy_name(strategy)
    if name in DERIVED:
        return _derive(name, task, **options)
    entry = own_strategy(strategy) or _TABLE[name]
    entry.check_options(options, "options", name)
    if task.centre == "argmin" and not entry.chooses_greedily:
        problem = f"changes nothing in {name!r}, which makes no greedy choice"
        raise InputError("centre", "argmin", problem, "use centre='none' or 'renormalise'")
    if entry.needs_vectors and task.units is None:
        problem = f"are needed by strategy {name!r}"
        raise InputError("embeddings", None, problem, "pass embed(problems, backbone)")
    return entry.make(task, **options) if task.n else np.arange(0)


def _derive(
    strategy: str, task: Task, /, of: str | Callable | Order = "hammer", **options: Any
) -> np.ndarray:
    """Return what a strategy makes of another order."""
    own = {name: options.pop(name) for name in DERIVED[strategy] if name in options}
    if not isinstance(of, Order):
        check_strategy("strategy", of, problem="is not known")
        # the rates order the path and bin the strata: both get the same ones
        if "pass_rate" in own and COLUMNS.get(of) == "difficulty":
            options["pass_rate"] = own["pass_rate"]  # both look at it
        path = permute(of, task, options)
    elif options or task.centre == "argmin":
        names = sorted(options) or ["centre"]
        raise InputError("options", names, "come too late for an order that is already made", "drop them")
    elif len(of) != task.n:
        problem = f"is an order of another number of items than {task.n}"
        raise InputError("of", len(of), problem, "use its own items")
    else:
        path = of.permutation
    if not task.n:
        return path
    return _MADE_OF[strategy](task, path, **own)


Count = Annotated[int, Field(ge=1)]
ALWAYS = ("centre", "certify")  # parameters of order_by itself


@dataclass(frozen=True)
class OrderOptions:
    """Every option of any strategy; None where it is not given."""

    centre: Literal["none", "argmin", "renormalise"] = CENTRES[0]
    certify: bool = True
    start: Literal["least-similar", "first", "random"] = "least-similar"
    eta: Annotated[float, Field(ge=0)] = 0.0
    eta_mode: Literal["epsilon", "pool", "subsample"] = "epsilon"
    gap: Annotated[float, Field(ge=0)] | None = None
    seconds: Annotated[float, Field(gt=0)] | None = None
    ridge: Annotated[float, Field(gt=0)] = 0.1
    pass_rate: Any = None
    of: str = "hammer"
    window: Count | None = None
    block: Count | None = None
    bins: Count | None = None
    by: Literal["length-and-pass-rate", "topic"] | None = None
    cooldown: Annotated[float, Field(gt=0, lt=1)] | None = None
    inside: Any = None


def check_order_options(strategy: str, options: object, *, always: tuple[str, ...] = ALWAYS) -> None:
    """Refuse options that a strategy does not know, or values that it cannot use."""
    field = "order_options"
    known = [*always]
    name = strategy
    given = options if isinstance(options, Mapping) else {}
    if name in DERIVED:
        known += [*DERIVED[name], "of"]
        name = given.get("of", "hammer")
        check_strategy(f"{field}.of", name)
    if name in DERIVED:  # twice derived: the inner one is made of its default
        known += DERIVED[name]
        name = "hammer"
    own = own_strategy(name)
    if own is not None:
        own.check_options(set(given) - set(known), field, name)
        return
    known += _TABLE[name].options
    for option in given:
        if option not in known:
            raise unknown(field, option, known, f"is no option of {strategy!r}")
    check_fields(OrderOptions, options, "order_options", inside=field)
    if "eta" in given:
        check_eta(given["eta"], given.get("eta_mode", "epsilon"))
    if given.get("centre") == "argmin" and not _TABLE[name].chooses_greedily:
        problem = f"changes nothing in {name!r}, which makes no greedy choice"
        raise InputError(f"{field}.centre", "argmin", problem, "use centre: none or renormalise")
