"""order_by: from vectors and problems to an Order record."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from hammerlib.errors import InputError, MissingExtra, check_name, check_whole
from hammerlib.models.embeddings import Embeddings
from hammerlib.ordering.order import Order, normalised_gap
from hammerlib.ordering.strategies import CENTRES, Task, check_strategy, permute, strategy_name
from hammerlib.runs.storage import content_hash
from hammerlib.similarity import Array, as_rows, centred_rows, edge_cosines, host, mean_cosine, unit_rows

if TYPE_CHECKING:
    import datasets


def order_by(
    strategy: str | Callable[..., np.ndarray],
    embeddings: Embeddings | Array | None,
    *,
    problems: datasets.Dataset | None = None,
    seed: int = 0,
    centre: str = "none",
    certify: bool = True,
    **options: Any,
) -> Order:
    """Put the problems into the order that a strategy names.

    Parameters
    ----------
    strategy : str or callable
        ``hammer`` (the paper's least-similar greedy; options `start`, `eta`, `eta_mode` of
        :func:`~hammerlib.ordering.greedy_path`), ``min-path`` (the same objective nearly at its optimum;
        `gap`, `seconds` of :func:`~hammerlib.ordering.solve.min_path`), ``similar`` (most similar next;
        `start`), ``farthest-first`` (k-centre; `start`), ``logdet`` (determinantal greedy; `ridge`, `start`),
        ``batch-diverse`` (every `window` of items a diverse set, default 8), ``random``, ``dataset`` (as
        given), ``easy-to-hard`` and ``hard-to-easy`` (column `difficulty`, or `pass_rate`: n numbers, high is
        easy; equals by seed), ``topic-cycle`` (round-robin over column `topic`, shuffled inside by seed),
        or a function of your own, ``function(vectors, problems, seed, **options) -> permutation`` with unit
        rows as vectors, or its name ``my_package.my_module:function``. Made of another order (option `of`, an
        Order or a strategy, default ``hammer``, which gets the options that are not theirs): ``reversed``;
        ``batch-shuffled`` (its windows of `window` items in random sequence); ``random-batches`` (windows of
        random make-up in the sequence of its path; `window`, and `block`, within whose stretches they are
        drawn, see :func:`~hammerlib.ordering.controls.random_batches`); ``matched`` (random but for what `by`
        says of every place: ``length-and-pass-rate``, in `bins` each, from `pass_rate` or the column
        `difficulty`; or ``topic``).
    embeddings : Embeddings, (n, d) array or tensor, or None
        None only for strategies that do not look at vectors; the order then has no cost.
    problems : datasets.Dataset, optional
        Table whose row i is item i; ties the order to these problems (`Order.verify`).
    seed : int
        For everything random; at least 0.
    centre : {"none", "argmin", "renormalise"}
        ``argmin`` subtracts the mean inside greedy's choice only (hammer, similar); ``renormalise`` subtracts
        it from the vectors and scales them to length one again, and the cost is then that of these vectors.
    certify : bool
        Add the lower bound and the gap, for which the minimum path of the vectors is solved when they, or the
        saved record, are first asked for (17,000 items: about ten seconds). ``min-path`` always has them. The
        gap is None (unknown) where bound and random orders lie too close to tell.
    **options
        Options of the strategy.

    Raises
    ------
    InputError
        Unknown strategy, option or centre; a value that an option cannot use; a seed that is no whole number
        or negative; vectors that are not (n, d) numbers, zero or NaN (rows named); missing vectors, problems
        or column; vectors and problems of different items.

    References
    ----------
    ``hammer`` and ``similar``: arXiv 2509.25240, section 1.2; the others are named where they are made
    (`hammerlib.ordering.greedy`, `solve`, `windows`).

    Examples
    --------
    >>> order = order_by("hammer", [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], start="first")
    >>> order.permutation.tolist(), round(order.cost, 2), round(order.random_cost, 2)
    ([0, 2, 1], 0.3, 0.47)
    """
    check_strategy("strategy", strategy, problem="is not known")
    check_name("centre", centre, CENTRES)
    seed = check_whole("seed", seed, 0, "choose seed=0, 1, ...")
    if embeddings is not None and not isinstance(embeddings, Embeddings):
        # bare vectors: their key is their content
        as_rows(embeddings, "embeddings")  # refused before anything counts them
        rows = host(embeddings)
        ids = [f"row {row}" for row in range(len(rows))]
        embeddings = Embeddings(embeddings, ids, "array:" + content_hash(rows), {})
    name = strategy_name(strategy)
    units = None if embeddings is None else used_vectors(embeddings, centre)
    task = Task(_count(name, embeddings, problems, options), units, problems, seed, centre)
    # as int64: what is hashed and written must not depend on the platform
    permutation = np.asarray(permute(strategy, task, options), dtype=np.int64)
    return Order(
        permutation=permutation,
        strategy=name,
        **_costs(name, task, permutation, certify, options),
        provenance={**_provenance(name, task, embeddings, options), **_repeats(units, permutation)},
        item_hashes=_hashes(embeddings, problems),
    )


def _costs(
    strategy: str, task: Task, permutation: np.ndarray, certify: bool, options: dict[str, Any]
) -> dict[str, Any]:
    """Return cost, random cost, bound and gap of an order, as far as there are vectors to tell."""
    if task.units is None or task.n < 2:
        return {}
    cost = float(edge_cosines(task.units, permutation).mean())
    random = mean_cosine(task.units)
    costs = {"cost": cost, "random_cost": random}
    if strategy != "min-path" and not certify:
        return costs
    limits = {}
    # its own limits: the bound must be that of the path it returned, found in the cache
    if strategy == "min-path":
        limits = {name: options[name] for name in ("gap", "seconds") if name in options}
        limits["seed"] = task.seed

    # Solved when asked for: the solver compiles at its first use, and an order alone needs none.
    @cache
    def bound() -> float | None:
        try:
            return task.solve(**limits).lower_bound / (task.n - 1)
        except MissingExtra as error:
            warnings.warn(f"no bound for this order: {error}", stacklevel=2)
            return None

    def gap() -> float | None:
        if bound() is None:
            return None
        # (cost - bound) / (random - bound)
        share = normalised_gap(cost, bound(), random)
        return share if np.isfinite(share) else None

    return {**costs, "lower_bound": bound, "gap": gap}


def _repeats(units: Array | None, permutation: np.ndarray) -> dict[str, dict[str, int]]:
    """Return how many rows repeat an earlier one, and how often the order puts such rows side by side."""
    if units is None or len(permutation) < 2:
        return {}
    rows = np.ascontiguousarray(host(units))
    # equal rows are equal bytes
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    kinds = np.unique(keys, return_inverse=True)[1][permutation]
    repeated = len(kinds) - int(kinds.max()) - 1
    # n rows of so many kinds: all others are copies
    return {"repeats": {"rows": repeated, "side by side": int((kinds[1:] == kinds[:-1]).sum())}}


def used_vectors(embeddings: Embeddings | Array, centre: str = "none") -> Array:
    """Return the unit rows whose cosines an order is made of and paid in.

    Parameters
    ----------
    embeddings : Embeddings or (n, d) array or tensor
    centre : {"none", "argmin", "renormalise"}
        Only ``renormalise`` changes the vectors (for n < 2 there is no mean to speak of).

    Returns
    -------
    (n, d) array or tensor

    Raises
    ------
    InputError
        Zero or NaN rows, or rows that equal the mean under ``renormalise``; named by id.

    Examples
    --------
    >>> used_vectors([[2.0, 0.0], [0.0, 2.0]]).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    ids = None
    if isinstance(embeddings, Embeddings):
        ids = embeddings.ids
        embeddings = embeddings.vectors
    units = unit_rows(embeddings, ids, "embeddings")
    return centred_rows(units, ids) if centre == "renormalise" and len(units) > 1 else units


def _count(strategy: str, embeddings: Embeddings | None, problems: Any, options: dict[str, Any]) -> int:
    """Return n after checking that vectors and problems are of the same items."""
    if problems is not None and not hasattr(problems, "column_names"):
        raise InputError("problems", problems, "are no table of problems", "make one with load_problems")
    if embeddings is None and problems is None:
        if isinstance(options.get("of"), Order):
            return len(options["of"])
        problem = f"leave {strategy!r} nothing to order"
        raise InputError("embeddings", None, problem, "pass embeddings or problems")
    if embeddings is None:
        return len(problems)
    if problems is None:
        return len(embeddings.vectors)
    if len(problems) != len(embeddings.vectors):
        problem = f"do not fit {len(problems)} problems"
        raise InputError("embeddings", len(embeddings.vectors), problem, "embed these problems")
    if embeddings.item_hashes is not None and embeddings.item_hashes != _hashes(None, problems):
        problem = "were made for other problems"
        raise InputError("embeddings", embeddings.key[:12], problem, "embed these problems")
    return len(problems)


def _hashes(embeddings: Embeddings | None, problems: Any) -> list[str] | None:
    """Return one hash per problem, from the table or from what the embeddings remember of it."""
    if problems is None:
        return None if embeddings is None else embeddings.item_hashes
    from hammerlib.problems import item_hashes  # here, because arrays can be ordered without `datasets`

    return item_hashes(problems)


def _provenance(
    strategy: str, task: Task, made_of: Embeddings | None, options: dict[str, Any]
) -> dict[str, Any]:
    """Return where the order came from; arrays and orders among the options by their hash."""
    info = {} if made_of is None else made_of.info
    try:
        release = version("hammerlib")
    except PackageNotFoundError:  # a checkout on the path
        release = "not installed"
    return {
        "strategy": strategy,
        "seed": task.seed,
        "options": {name: _recorded(value) for name, value in sorted(options.items())},
        "centre": task.centre,
        "embeddings": None if made_of is None else made_of.key,
        **{name: info.get(name) for name in ("backbone", "layer", "pooling", "template")},
        "n": task.n,
        "hammerlib": release,
    }


def _recorded(value: Any) -> Any:
    """Return an option as it stands in the record: orders and arrays by their hash, functions by name."""
    if isinstance(value, Order):
        return {"strategy": value.strategy, "hash": value.hash}
    if isinstance(value, str | int | float | None):
        return value
    if inspect.isroutine(value):
        return strategy_name(value)
    return "array:" + content_hash(host(value))
