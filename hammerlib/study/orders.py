"""The order of an arm: any of `order_by`, controls that separate its causes, and what stands around it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError, check_name, need
from hammerlib.models import untrained_like
from hammerlib.models.embeddings import Embeddings, embed
from hammerlib.ordering import Order, order_by, used_vectors
from hammerlib.ordering.controls import COURSES, matched, random_batches, strata  # noqa: F401  once here
from hammerlib.ordering.strategies import DERIVED
from hammerlib.problems import item_hashes
from hammerlib.runs.storage import content_hash
from hammerlib.similarity import edge_cosines, mean_cosine
from hammerlib.study.plan import BY_EASE, OrderSettings, check_interval

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.models import Backbone

KINDS = ("backbone", "untrained", "tfidf")
# Streams of randomness beside those of `hammerlib.ordering.controls`, so that no two of them draw alike.
TAIL, DIRECTION = 1, 2
# Words, numbers and single signs: scikit-learn's own pattern drops every digit and sign of "3 + 4 =".
TERM = r"(?u)\w+|[^\w\s]"
TERMS_KEPT = 4096  # most frequent ones: at most 16 kB a prompt

# What an order is made from


def order_vectors(
    kind: str,
    problems: Dataset,
    backbone: Backbone,
    *,
    seed: int = 0,
    **options: Any,
) -> Embeddings:
    """Return the vectors of the problems from which an arm's order is made, for each of `KINDS`."""
    check_name("vectors", kind, KINDS)
    if kind == "tfidf":  # from the words alone
        return tfidf_vectors(problems)
    # Random weights of the same architecture: what comes from the words and the shape of the network alone.
    model = backbone if kind == "backbone" else untrained_like(backbone, seed)
    return embed(problems, model, **options)


def tfidf_vectors(problems: Dataset) -> Embeddings:
    """Return each prompt's words, numbers and signs, counted and weighted by how rare they are."""
    need("sklearn")
    from sklearn.feature_extraction.text import TfidfVectorizer

    # Its defaults (smoothed inverse document frequency, lower case, rows of length one) but for `TERM`.
    made = TfidfVectorizer(token_pattern=TERM, max_features=TERMS_KEPT, dtype=np.float32)
    vectors = made.fit_transform(problems["prompt"][:]).toarray()
    hashes = item_hashes(problems)
    info = {"backbone": "tfidf", "d": vectors.shape[1], "n": len(vectors)}
    return Embeddings(vectors, list(map(str, problems["id"])), content_hash(info, hashes), info, hashes)


# Learnability window: train only what the initial checkpoint solves now and then


@dataclass(frozen=True)
class Window:
    """The problems of a learnability window and how long they are trained."""

    rows: np.ndarray  # of the whole table, ascending
    problems: Dataset  # these rows
    # Passes, and optimizer steps, that consume as many prompts as one pass over the whole table.
    epochs: int
    max_steps: int


def learnable_window(
    problems: Dataset,
    pass_rates: ArrayLike,
    interval: tuple[float, float] | list[float],
    *,
    samples: int,
    prompts_per_step: int,
    seed: int = 0,
) -> Window:
    """Select the problems whose pass rate lies in an interval, ends included; match the prompts consumed.

    `pass_rates` (n,) are those of the initial checkpoint over `samples` completions each. The selection of
    arXiv 2506.09016 (SPEED-RL) and arXiv 2508.14094, before training instead of in between. A GRPO step
    learns from a group with probability ``1 - p^G - (1 - p)^G``. Measured rates regress: problems chosen for
    a rate in the middle have true rates nearer the pool's mean.
    """
    low, high = check_interval("window", interval)
    n = len(problems)
    rates = _measured(pass_rates, samples, n)
    if isinstance(prompts_per_step, bool) or not 1 <= prompts_per_step <= n:
        raise InputError("prompts_per_step", prompts_per_step, f"is no step of {n} problems", "use 8")
    inside = np.flatnonzero((rates >= low - 1e-9) & (rates <= high + 1e-9))
    # whole steps only: a short step would be another batch size
    kept = len(inside) // prompts_per_step * prompts_per_step
    if kept == 0:
        problem = f"holds {len(inside)} of {n} problems, not one step of {prompts_per_step}"
        raise InputError("window", interval, problem, "widen it")
    # What fills no whole step is left out by lot, so that every pass trains every kept problem once.
    rows = np.sort(np.random.default_rng(seed).permutation(inside)[:kept])
    steps = n // prompts_per_step
    return Window(
        rows=rows,
        problems=problems.select(rows),
        epochs=-(-steps // (kept // prompts_per_step)),
        max_steps=steps,
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
        problem = f"cannot have given a pass rate of {odd:.4g}"
        raise InputError("samples", samples, problem, "give their number")
    return rates


# The order of an arm


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

    `vectors_of` is called once, with ``settings.vectors``; `pass_rates` (n,) are needed where
    ``settings.needs_pass_rates``. Cost and random cost are of the vectors it was made from. The provenance
    also tells `vectors`, `direction` (``forward`` or ``reversed``) and, where there is one, `tail` (problems
    that come last at random), `path_correlation` (of place and place on the path) and `moved` (share of
    places with another problem).
    """
    n = len(problems)
    options = dict(settings.options)
    rates = _needed(pass_rates, n, settings) if settings.needs_pass_rates else None
    part = _Part(problems, vectors_of(settings.vectors), rates, seed, settings.window)
    head, tail = _head_and_tail(part, options.pop("cooldown", None), options.pop("inside", None))
    notes: dict[str, Any] = {"direction": "forward"}
    made = _ordered(settings.order, options, part.select(head), notes)
    ordered = made.permutation
    if settings.direction == "either" and np.random.default_rng([seed, DIRECTION]).integers(2):
        notes["direction"] = "reversed"
        # Of windows the whole ones only, so that they keep their make-up.
        window = options.get("window", settings.window) if settings.order == "batch-diverse" else 1
        whole = len(ordered) // window * window
        ordered = np.concatenate([ordered[:whole][::-1], ordered[whole:]])

    # from places inside the head to rows of the whole table
    permutation = np.concatenate([head[ordered], tail])
    units = used_vectors(part.vectors, made.provenance["centre"])
    changed: dict[str, Any] = {}
    if n > 1:
        changed["cost"] = float(edge_cosines(units, permutation).mean())
        changed["random_cost"] = mean_cosine(units)
        if len(tail):
            changed |= {"lower_bound": None, "gap": None}
    plain = {
        name: list(value) if isinstance(value, tuple) else value for name, value in settings.options.items()
    }
    notes |= {"strategy": settings.order, "options": plain, "vectors": settings.vectors}
    notes |= {"embeddings": part.vectors.key, "n": n}
    if len(tail):
        notes["tail"] = len(tail)
    provenance = {name: value for name, value in made.provenance.items() if name != "repeats"} | notes
    changed |= {"strategy": settings.order, "provenance": provenance, "item_hashes": item_hashes(problems)}
    return dataclasses.replace(made, permutation=permutation, **changed)


def _needed(pass_rates: np.ndarray | None, n: int, settings: OrderSettings) -> np.ndarray:
    rates = np.asarray([] if pass_rates is None else pass_rates, dtype=float)
    if rates.shape != (n,) or not ((rates >= 0) & (rates <= 1)).all():
        problem = f"are not one pass rate in [0, 1] for each of {n} problems, which {settings.order!r} needs"
        raise InputError("pass_rates", rates.shape, problem, "sample the start on these problems")
    return rates


def _head_and_tail(part: _Part, cooldown: float | None, inside: Any) -> tuple[np.ndarray, np.ndarray]:
    """The problems that are put in order, ascending, and those that follow, in random order."""
    n = len(part.problems)
    rng = np.random.default_rng([part.seed, TAIL])
    if cooldown is not None:
        shuffled = rng.permutation(n)
        count = (n - round(cooldown * n)) // part.window * part.window
        if count == 0:
            problem = f"leaves no whole step of {n} problems"
            raise InputError("cooldown", cooldown, problem, "use a smaller share")
        return np.sort(shuffled[:count]), shuffled[count:]
    if inside is not None:
        low, high = check_interval("inside", inside)
        within = (part.pass_rates >= low) & (part.pass_rates <= high)
        if not within.any():
            raise InputError("inside", inside, "holds no problem's pass rate", "widen it")
        return np.flatnonzero(within), rng.permutation(np.flatnonzero(~within))
    return np.arange(n), np.arange(0)


def _ordered(name: str, options: dict[str, Any], part: _Part, notes: dict[str, Any]) -> Order:
    """The order of a part, without what stands around it; `notes` gets what is worth a record."""
    if name not in DERIVED:
        given: dict[str, Any] = {}
        if name == "batch-diverse":
            given["window"] = part.window
        if name in BY_EASE:
            given["pass_rate"] = part.pass_rates
        given |= options
        return order_by(name, part.vectors, problems=part.problems, seed=part.seed, certify=False, **given)
    own = {key: options[key] for key in DERIVED[name] if key in options}
    rest = {key: value for key, value in options.items() if key not in (*own, "of")}
    base = _ordered(options.get("of", "hammer"), rest, part, notes)
    if "window" in DERIVED[name]:
        own.setdefault("window", part.window)
    if name == "matched" and own.get("by", COURSES[0]) == COURSES[0]:
        own["pass_rate"] = part.pass_rates
    path = base.permutation
    given = {"problems": part.problems, "seed": part.seed, "certify": False, "of": base}
    made = order_by(name, part.vectors, **given, **own).permutation
    if name == "batch-shuffled":
        notes.pop("path_correlation", None)  # of the order that is shuffled here
    elif name == "random-batches":
        on_path = np.argsort(path)[made]
        notes["path_correlation"] = float(np.corrcoef(np.arange(len(made)), on_path)[0, 1])
    elif name == "matched":
        notes["moved"] = float((made != path).mean())
    # Cost and provenance stay the base's (`arm_order` pays anew); its bound is not this order's.
    return dataclasses.replace(base, permutation=made, strategy=name, lower_bound=None, gap=None)
