"""The order of an arm: any of `order_by`, controls that separate its causes, and what stands around it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError
from hammerlib.models import untrained_like
from hammerlib.models.embeddings import Embeddings, embed
from hammerlib.ordering import Order, order_by, used_vectors
from hammerlib.ordering.windows import check_window, shuffle_windows
from hammerlib.problems import item_hashes
from hammerlib.runs.storage import content_hash
from hammerlib.similarity import edge_cosines, mean_cosine
from hammerlib.study.plan import BY_EASE, COURSES, DERIVED, OrderSettings, check_interval

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.models import Backbone

KINDS = ("backbone", "untrained", "tfidf")
# Words, numbers and single signs: scikit-learn's own pattern drops every digit and sign of "3 + 4 =".
TERM = r"(?u)\w+|[^\w\s]"
TERMS_KEPT = 4096  # most frequent ones: at most 16 kB a prompt


def order_vectors(
    kind: str,
    problems: Dataset,
    backbone: Backbone,
    *,
    seed: int = 0,
    cache_dir: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Embeddings:
    """Return the vectors of the problems from which an arm's order is made."""
    if kind not in KINDS:
        raise InputError("vectors", kind, "are not known", f"use one of {', '.join(KINDS)}")
    if kind == "tfidf":
        return tfidf_vectors(problems)
    model = backbone if kind == "backbone" else untrained_like(backbone, seed)
    return embed(problems, model, cache_dir=cache_dir, **options)


def tfidf_vectors(problems: Dataset) -> Embeddings:
    """Return each prompt's words, numbers and signs, counted and weighted by how rare they are."""
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError as error:
        problem, remedy = "needs scikit-learn, which is not installed", "pip install 'hammerlib[notebooks]'"
        raise InputError("vectors", "tfidf", problem, remedy) from error
    made = TfidfVectorizer(token_pattern=TERM, max_features=TERMS_KEPT, dtype=np.float32)
    vectors = made.fit_transform(problems["prompt"][:]).toarray()
    hashes = item_hashes(problems)
    info = {"backbone": "tfidf", "d": vectors.shape[1], "n": len(vectors)}
    return Embeddings(vectors, list(map(str, problems["id"])), content_hash(info, hashes), info, hashes)


BINS = 4


def random_batches(path: np.ndarray, window: int, seed: int, *, block: int | None = None) -> np.ndarray:
    """Return batches of random make-up in the sequence of a path."""
    check_window(window)
    n, rng = len(path), np.random.default_rng([seed, 3])
    block = max(n, 1) if block is None else block
    if isinstance(block, bool) or not isinstance(block, int) or block < 1 or (block < n and block % window):
        remedy = f"use a multiple of {window}, or leave it out"
        raise InputError("block", block, "does not hold whole batches", remedy)
    places = [np.arange(0)]
    for first in range(0, n, block):
        drawn = first + rng.permutation(min(block, n - first))
        whole = len(drawn) // window * window
        batches = drawn[:whole].reshape(-1, window)
        places += [batches[np.argsort(batches.mean(axis=1), kind="stable")].ravel(), drawn[whole:]]
    return path[np.concatenate(places)]


def strata(lengths: np.ndarray, pass_rates: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Return the stratum of every problem: a quantile bin of length crossed with one of pass rate."""
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise InputError("bins", bins, "is no number of bins", "use 4")
    return _quantile_bin(lengths, bins) * bins + _quantile_bin(pass_rates, bins)


def _quantile_bin(values: np.ndarray, bins: int) -> np.ndarray:
    above = values[values > values.min()]
    if not above.size:
        return np.zeros(len(values), dtype=np.int64)
    edges = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1], method="higher")
    # Where most values tie at the lowest, they are one bin and the rest are others.
    return np.searchsorted(np.unique(np.maximum(edges, above.min())), values, side="right")


def matched(path: np.ndarray, stratum: np.ndarray, seed: int) -> np.ndarray:
    """Return an order in which every place holds a random problem of the stratum that the path has there."""
    rng, found = np.random.default_rng([seed, 4]), np.array(path)
    for name in np.unique(stratum):
        places = np.flatnonzero(stratum[path] == name)
        found[places] = rng.permutation(path[places])
    return found


@dataclass(frozen=True)
class Window:
    """The problems of a learnability window and how long they are trained.

    Attributes
    ----------
    rows : (m,) int array
        Rows of the whole table, ascending.
    problems : Dataset
        These rows.
    epochs : int
        Passes that consume at least as many prompts as one pass over the whole table.
    max_steps : int
        Optimizer steps that consume as many prompts as one pass over the whole table.
    inside : int
        Problems whose pass rate lies in the window; those above m fill no whole step and were left out.
    probe_rollouts : int
        Completions spent on measuring the pass rates of the whole table: part of the arm's budget.
    """

    rows: np.ndarray
    problems: Dataset
    epochs: int
    max_steps: int
    inside: int
    probe_rollouts: int


def learnable_window(
    problems: Dataset,
    pass_rates: ArrayLike,
    interval: tuple[float, float] | list[float],
    *,
    samples: int,
    prompts_per_step: int,
    seed: int = 0,
) -> Window:
    """Select the problems whose measured pass rate lies in an interval, and match the prompts consumed.

    Parameters
    ----------
    problems : Dataset
        Problem table of n rows.
    pass_rates : (n,) array-like
        Of the start, in [0, 1], such as `hammerlib.systems.hard_examples.selection` measures.
    interval : two floats
        Lowest and highest pass rate, both included.
    samples : int
        Completions a problem behind the pass rates, at least 1.
    prompts_per_step : int
        Prompts of one optimizer step, at least 1. What fills no whole step of a pass is left out, drawn by
        `seed`, so that every pass trains every kept problem once.
    seed : int

    Returns
    -------
    Window
        Give `problems` to `train` with its `epochs` and `max_steps`.

    Raises
    ------
    InputError
        Rates that are not n numbers in [0, 1] or no multiples of 1 / samples, an interval that is none, a
        window with fewer problems than a step, or a table smaller than a step.

    Notes
    -----
    Source: the selection of arXiv 2506.09016 (SPEED-RL) and arXiv 2508.14094, before training instead of in
    between. A GRPO step learns from a group with probability ``1 - p^G - (1 - p)^G``. Measured rates regress:
    problems chosen for a rate in the middle have true rates nearer the pool's mean.
    """
    low, high = check_interval("window", interval)
    rates, n = _measured(pass_rates, samples, len(problems)), len(problems)
    if isinstance(prompts_per_step, bool) or not 1 <= prompts_per_step <= n:
        raise InputError("prompts_per_step", prompts_per_step, f"is no step of {n} problems", "use 8")
    inside = np.flatnonzero((rates >= low - 1e-9) & (rates <= high + 1e-9))
    kept = len(inside) // prompts_per_step * prompts_per_step
    if kept == 0:
        problem = f"holds {len(inside)} of {n} problems, not one step of {prompts_per_step}"
        raise InputError("window", interval, problem, "widen it")
    rows = np.sort(np.random.default_rng(seed).permutation(inside)[:kept])
    steps = n // prompts_per_step
    return Window(
        rows=rows,
        problems=problems.select(rows),
        epochs=-(-steps // (kept // prompts_per_step)),
        max_steps=steps,
        inside=len(inside),
        probe_rollouts=samples * n,
    )


def _measured(pass_rates: ArrayLike, samples: int, n: int) -> np.ndarray:
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise InputError("samples", samples, "is no number of completions", "use 8")
    rates = np.asarray(pass_rates, dtype=float)
    if rates.shape != (n,) or not ((rates >= 0) & (rates <= 1)).all():
        remedy = "sample the start on these problems"
        raise InputError("pass_rates", rates.shape, f"are not {n} numbers in [0, 1]", remedy)
    counts = rates * samples
    if not np.allclose(counts, np.round(counts), atol=1e-6):
        odd = float(rates[np.abs(counts - np.round(counts)).argmax()])
        raise InputError(
            "samples", samples, f"cannot have given a pass rate of {odd:.4g}", "give their number"
        )
    return rates


# Streams of randomness beside the strategies' own, so that no two of them draw alike.
TAIL, DIRECTION = 1, 2


@dataclass(frozen=True)
class _Part:
    """The problems that a strategy puts in order."""

    problems: Dataset
    vectors: Embeddings
    pass_rates: np.ndarray | None
    seed: int
    window: int

    def select(self, rows: np.ndarray) -> _Part:
        """Return the part of `rows`; its vectors have another key, as they are others."""
        if len(rows) == len(self.problems):
            return self
        given = self.vectors
        kept = {"vectors": given.vectors[rows], "key": f"{given.key}[{len(rows)} of {len(self.problems)}]"}
        for name in ("ids", "item_hashes"):
            values = getattr(given, name)
            kept[name] = None if values is None else [values[row] for row in rows]
        rates = None if self.pass_rates is None else self.pass_rates[rows]
        vectors = dataclasses.replace(given, **kept)
        return dataclasses.replace(
            self, problems=self.problems.select(rows), vectors=vectors, pass_rates=rates
        )


def arm_order(
    settings: OrderSettings,
    problems: Dataset,
    vectors_of: Callable[[str], Embeddings],
    *,
    pass_rates: np.ndarray | None = None,
    seed: int = 0,
) -> Order:
    """Return the order in which an arm trains the problems of a replicate.

    Parameters
    ----------
    settings : OrderSettings
    problems : Dataset
        Problem table of n rows.
    vectors_of : callable, str -> Embeddings
        Called once, with ``settings.vectors``; `hammerlib.study.orders.order_vectors` as a partial.
    pass_rates : (n,) array, optional
        Measured on the start, in [0, 1]; needed where ``settings.needs_pass_rates``.
    seed : int
        The replicate's: starts, ties, directions, shuffles. An order made of another one (``of: hammer``) is
        made of the very order that this seed gives that strategy with the same options.

    Returns
    -------
    Order
        Cost and random cost are of the vectors it was made from. The provenance also tells `vectors`,
        `direction` (``forward`` or ``reversed``) and, where there is one, `tail` (problems that come last at
        random), `path_correlation` (``random-batches``: of place and place on the path) and `moved`
        (``matched``: share of places with another problem).

    Raises
    ------
    InputError
        Missing pass rates, options of no use, or an interval that no problem lies in.
    """
    options = dict(settings.options)
    part = _Part(
        problems,
        vectors_of(settings.vectors),
        _checked(settings, pass_rates, len(problems)),
        seed,
        settings.window,
    )
    head, tail = _parted(part, options.pop("cooldown", None), options.pop("inside", None))
    told: dict[str, Any] = {"direction": "forward"}
    made = _ordered(settings.order, options, part.select(head), told)
    if settings.direction == "either" and np.random.default_rng([seed, DIRECTION]).integers(2):
        told["direction"] = "reversed"
        made = dataclasses.replace(made, permutation=_backwards(settings, made.permutation))
    return _whole(settings, part, made, head, tail, told)


def _backwards(settings: OrderSettings, permutation: np.ndarray) -> np.ndarray:
    """Return the order backwards; of windows the whole ones only, so that they keep their make-up."""
    window = settings.options.get("window", settings.window) if settings.order == "batch-diverse" else 1
    whole = len(permutation) // window * window
    return np.concatenate([permutation[:whole][::-1], permutation[whole:]])


def _checked(settings: OrderSettings, pass_rates: np.ndarray | None, n: int) -> np.ndarray | None:
    if not settings.needs_pass_rates:
        return None
    found = np.asarray([] if pass_rates is None else pass_rates, dtype=float)
    if found.shape != (n,) or not ((found >= 0) & (found <= 1)).all():
        problem = f"are not one pass rate in [0, 1] for each of {n} problems, which {settings.order!r} needs"
        raise InputError("pass_rates", found.shape, problem, "sample the start on these problems")
    return found


def _parted(part: _Part, cooldown: float | None, inside: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the problems that are put in order, ascending, and those that follow, in random order."""
    n, rng = len(part.problems), np.random.default_rng([part.seed, TAIL])
    if cooldown is not None:
        shuffled, count = rng.permutation(n), (n - round(cooldown * n)) // part.window * part.window
        if count == 0:
            raise InputError(
                "cooldown", cooldown, f"leaves no whole step of {n} problems", "use a smaller share"
            )
        return np.sort(shuffled[:count]), shuffled[count:]
    if inside is not None:
        low, high = check_interval("inside", inside)
        within = (part.pass_rates >= low) & (part.pass_rates <= high)
        if not within.any():
            raise InputError("inside", inside, "holds no problem's pass rate", "widen it")
        return np.flatnonzero(within), rng.permutation(np.flatnonzero(~within))
    return np.arange(n), np.arange(0)


def _ordered(name: str, options: dict[str, Any], part: _Part, told: dict[str, Any]) -> Order:
    """Return the order of a part, without what stands around it; `told` gets what is worth a record."""
    if name not in DERIVED:
        given = {"window": part.window} if name == "batch-diverse" else {}
        given |= {"pass_rate": part.pass_rates} if name in BY_EASE else {}
        known = {"problems": part.problems, "seed": part.seed, "certify": False}
        return order_by(name, part.vectors, **known, **(given | options))
    own = {key: options[key] for key in DERIVED[name] if key in options}
    rest = {key: value for key, value in options.items() if key not in (*own, "of")}
    base = _ordered(options.get("of", "hammer"), rest, part, told)
    window = own.get("window", part.window)
    if name == "reversed":
        found = base.permutation[::-1]
    elif name == "batch-shuffled":
        found = shuffle_windows(base.permutation, window, part.seed)
        told.pop("path_correlation", None)  # of the order that is shuffled here
    elif name == "random-batches":
        found = random_batches(base.permutation, window, part.seed, block=own.get("block"))
        places = np.argsort(base.permutation)[found]
        told["path_correlation"] = float(np.corrcoef(np.arange(len(found)), places)[0, 1])
    else:
        found = matched(base.permutation, _strata(part, **own), part.seed)
        told["moved"] = float((found != base.permutation).mean())
    return dataclasses.replace(base, permutation=found, strategy=name, lower_bound=None, gap=None)


def _strata(part: _Part, by: str = COURSES[0], **bins: int) -> np.ndarray:
    """Stratum of every problem: what ``matched`` keeps the course of."""
    if by == "topic":
        return np.unique(part.problems["topic"], return_inverse=True)[1]
    lengths = np.array([len(text) for text in part.problems["prompt"]])
    return strata(lengths, part.pass_rates, **bins)


def _whole(
    settings: OrderSettings, part: _Part, made: Order, head: np.ndarray, tail: np.ndarray, told: dict
) -> Order:
    """Return the order of all problems with its own costs and where it came from."""
    permutation = np.concatenate([head[made.permutation], tail])
    units = used_vectors(part.vectors, made.provenance["centre"])
    costs = {"cost": float(edge_cosines(units, permutation).mean()), "random_cost": mean_cosine(units)}
    if len(tail):
        costs |= {"lower_bound": None, "gap": None}
    shown = {
        name: list(value) if isinstance(value, tuple) else value for name, value in settings.options.items()
    }
    told |= {"strategy": settings.order, "options": shown, "vectors": settings.vectors}
    told |= {"embeddings": part.vectors.key, "n": len(permutation)} | (
        {"tail": len(tail)} if len(tail) else {}
    )
    kept = {name: value for name, value in made.provenance.items() if name != "repeats"}
    return dataclasses.replace(
        made,
        permutation=permutation,
        strategy=settings.order,
        provenance={**kept, **told},
        item_hashes=item_hashes(part.problems),
        **(costs if len(permutation) > 1 else {}),
    )
