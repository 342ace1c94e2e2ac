"""The order of an arm: any of `order_by`, controls that separate its causes, and what stands around it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hammerlib.errors import InputError
from hammerlib.ordering import Order, order_by, used_vectors
from hammerlib.ordering.windows import shuffle_windows
from hammerlib.problems import item_hashes
from hammerlib.similarity import edge_cosines, mean_cosine
from hammerlib.study.controls import matched, random_batches, strata
from hammerlib.study.settings import BY_EASE, COURSES, DERIVED, OrderSettings, check_interval

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.embeddings import Embeddings

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
        Called once, with ``settings.vectors``; `hammerlib.study.vectors.order_vectors` as a partial.
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

    Examples
    --------
    >>> from functools import partial
    >>> from hammerlib import load_backbone, load_problems
    >>> from hammerlib.study.vectors import order_vectors
    >>> problems = load_problems("reasoning-gym:nano", split="rl", n=8)
    >>> vectors_of = partial(order_vectors, problems=problems, backbone=load_backbone("nano"))
    >>> order = arm_order(OrderSettings("random-batches", window=4), problems, vectors_of, seed=3)
    >>> order.strategy, order.provenance["direction"], len(order)
    ('random-batches', 'forward', 8)
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
