"""Every named order: what it looks at, which options it knows, how it permutes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from hammerlib.errors import InputError, check_fields, check_name, unknown
from hammerlib.ordering.greedy import check_eta, farthest_first, greedy_path, logdet_first
from hammerlib.ordering.order import Order
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
        from hammerlib.ordering.solve import check_limits, min_path  # compiles on first use

        check_limits(gap, seconds)
        wished = (content_hash(host(self.units)), gap, seconds, seed)
        if wished not in _SOLVED:
            while len(_SOLVED) >= SOLVED_KEPT:
                del _SOLVED[next(iter(_SOLVED))]
            with writing("cache of compiled code"):  # all that a solver writes, at its first use
                _SOLVED[wished] = min_path(self.units, gap=gap, seconds=seconds, seed=seed)
        return _SOLVED[wished]

    @property
    def shift(self) -> Array | None:
        """The mean, where greedy's choice subtracts it."""
        return self.units.mean(axis=0) if self.centre == "argmin" and self.n else None

    def column(self, strategy: str) -> list[Any]:
        """Return the column that a strategy reads, or raise an InputError that says what is missing."""
        name = COLUMNS[strategy]
        if self.problems is None:
            remedy = f"pass problems= with a column {name!r}"
            raise InputError("problems", None, f"are needed by strategy {strategy!r}", remedy)
        if name not in self.problems.column_names:
            found = list(self.problems.column_names)
            raise InputError("problems", found, f"have no column {name!r} for {strategy!r}", f"add {name!r}")
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


def _random(task: Task) -> np.ndarray:
    return np.random.default_rng(task.seed).permutation(task.n)


def _dataset(task: Task) -> np.ndarray:
    return np.arange(task.n)


def _easy_to_hard(task: Task, pass_rate: Array | None = None) -> np.ndarray:
    return _by_ease(task, pass_rate, "easy-to-hard", easy_first=True)


def _hard_to_easy(task: Task, pass_rate: Array | None = None) -> np.ndarray:
    return _by_ease(task, pass_rate, "hard-to-easy", easy_first=False)


def _by_ease(task: Task, pass_rate: Array | None, strategy: str, easy_first: bool) -> np.ndarray:
    """Sort by difficulty or falling pass rate; equals in an order drawn from the seed, not the file's."""
    name = COLUMNS[strategy] if pass_rate is None else "pass_rate"
    given = task.column(strategy) if pass_rate is None else pass_rate
    try:
        hardness = np.asarray(host(given), dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(name, given, "are not numbers", f"give {task.n}, one a problem") from None
    if hardness.shape != (task.n,) or not np.isfinite(hardness).all():
        bad = (
            np.flatnonzero(~np.isfinite(hardness))[:5].tolist()
            if hardness.shape == (task.n,)
            else hardness.shape
        )
        raise InputError(name, bad, f"is not one finite number for each of {task.n} problems", "complete it")
    if (pass_rate is not None) == easy_first:
        hardness = -hardness
    return np.lexsort((_random(task), hardness))


def _topic_cycle(task: Task) -> np.ndarray:
    """Round-robin over topics (sorted by name), each topic shuffled by seed; large topics fill the end."""
    topics = np.asarray(task.column("topic-cycle"), dtype=object).astype(str)
    shuffled = _random(task)
    rounds = np.zeros(task.n, dtype=np.int64)
    for name in np.unique(topics):
        members = shuffled[topics[shuffled] == name]
        rounds[members] = np.arange(len(members))
    return np.lexsort((topics, rounds))


@dataclass(frozen=True)
class Strategy:
    """How a named order is made."""

    make: Callable[..., np.ndarray]  # from a Task and options to an (n,) permutation
    options: tuple[str, ...] = ()
    needs_vectors: bool = False
    chooses_greedily: bool = False  # whether centre="argmin" means anything to it


_TABLE = {
    "hammer": Strategy(_hammer, ("start", "eta", "eta_mode"), needs_vectors=True, chooses_greedily=True),
    "min-path": Strategy(_min_path, ("gap", "seconds"), needs_vectors=True),
    "random": Strategy(_random),
    "dataset": Strategy(_dataset),
    "similar": Strategy(_similar, ("start",), needs_vectors=True, chooses_greedily=True),
    "easy-to-hard": Strategy(_easy_to_hard, ("pass_rate",)),
    "hard-to-easy": Strategy(_hard_to_easy, ("pass_rate",)),
    "farthest-first": Strategy(_farthest_first, ("start",), needs_vectors=True),
    "logdet": Strategy(_logdet, ("ridge", "start"), needs_vectors=True),
    "batch-diverse": Strategy(_batch_diverse, ("window",), needs_vectors=True),
    "topic-cycle": Strategy(_topic_cycle),
}
_DERIVED = ("reversed", "batch-shuffled")
STRATEGIES = (*_TABLE, *_DERIVED)


def check_names(strategy: str, centre: str) -> None:
    """Refuse a strategy or a centre that does not exist."""
    check_name("strategy", strategy, STRATEGIES)
    check_name("centre", centre, CENTRES)


def permute(strategy: str, task: Task, options: dict[str, Any]) -> np.ndarray:
    """Return the permutation of a known strategy after checking that it can use what it was given."""
    if strategy in _DERIVED:
        return _derive(strategy, task, **options)
    entry = _TABLE[strategy]
    unknown = sorted(set(options) - set(entry.options))
    if unknown:
        known = ", ".join(entry.options) or "none"
        raise InputError("options", unknown, f"are not known to {strategy!r}", f"its options: {known}")
    if task.centre == "argmin" and not entry.chooses_greedily:
        problem = f"changes nothing in {strategy!r}, which makes no greedy choice"
        raise InputError("centre", "argmin", problem, "use centre='none' or 'renormalise'")
    if entry.needs_vectors and task.units is None:
        raise InputError(
            "embeddings", None, f"are needed by strategy {strategy!r}", "pass embed(problems, backbone)"
        )
    return entry.make(task, **options) if task.n else np.arange(0)


def _derive(
    strategy: str, task: Task, /, of: str | Order = "hammer", window: int = 8, **options: Any
) -> np.ndarray:
    """Return another order reversed, or with its windows shuffled."""
    if not isinstance(of, Order):
        check_names(of, task.centre)
        made = permute(of, task, options)
    elif options or task.centre == "argmin":
        named = sorted(options) or ["centre"]
        raise InputError("options", named, "come too late for an order that is already made", "drop them")
    elif len(of) != task.n:
        problem = f"is an order of another number of items than {task.n}"
        raise InputError("of", len(of), problem, "use its own items")
    else:
        made = of.permutation
    if strategy == "reversed":
        return made[::-1]
    from hammerlib.ordering.windows import shuffle_windows

    return shuffle_windows(made, window, task.seed)


Count = Annotated[int, Field(ge=1)]
ALWAYS = ("centre", "certify")  # parameters of order_by itself
# Strategies made of another one (option `of`), with the options that are their own.
DERIVED: dict[str, tuple[str, ...]] = {"reversed": (), "batch-shuffled": ("window",)}


@dataclass(frozen=True)
class OrderOptions:
    """Every option of any strategy, the study's controls among them; None where it is not given."""

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


def check_order_options(
    strategy: str,
    options: object,
    *,
    field: str = "order_options",
    derived: Mapping[str, tuple[str, ...]] = DERIVED,
    always: tuple[str, ...] = ALWAYS,
) -> None:
    """Refuse options that a strategy does not know, or values that it cannot use."""
    known, name = [*always], strategy
    given = options if isinstance(options, Mapping) else {}
    if name in derived:
        known += [*derived[name], "of"]
        name = given.get("of", "hammer")
        if not isinstance(name, str) or name not in (*_TABLE, *derived):
            raise unknown(f"{field}.of", name, (*_TABLE, *derived))
    if name in derived:  # twice derived: the inner one is made of its default
        known, name = [*known, *derived[name]], "hammer"
    known += _TABLE[name].options
    for one in given:
        if one not in known:
            raise unknown(field, one, known, f"is no option of {strategy!r}")
    check_fields(OrderOptions, options, "order_options", inside=field)
    if "eta" in given:
        check_eta(given["eta"], given.get("eta_mode", "epsilon"))
    if given.get("centre") == "argmin" and not _TABLE[name].chooses_greedily:
        problem = f"changes nothing in {name!r}, which makes no greedy choice"
        raise InputError(f"{field}.centre", "argmin", problem, "use centre: none or renormalise")
