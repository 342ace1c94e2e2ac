"""Diversity of the first part of an order, against random orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from hammerlib.diversity.scores import vendi_of_units
from hammerlib.embeddings import Embeddings
from hammerlib.errors import InputError
from hammerlib.ordering import Order, used_vectors
from hammerlib.similarity import Array, centred_rows, mean_cosine, row_reduce
from hammerlib.storage import progress_off

if TYPE_CHECKING:
    import datasets
    import pandas as pd

FRACTIONS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
METRICS = ("mean_cosine", "vendi", "vendi_centred", "coverage_radius", "topic_tv")


def prefix_profile(
    order: Order | Array,
    embeddings: Embeddings | Array,
    *,
    fractions: Sequence[float] = FRACTIONS,
    problems: datasets.Dataset | None = None,
) -> pd.DataFrame:
    """Return how diverse the first part of an order is, at several lengths.

    Parameters
    ----------
    order : Order or (n,) int array
    embeddings : Embeddings or (n, d) array or tensor
    fractions : sequence of float
        Parts of the whole in (0, 1]; a part has at least two items.
    problems : datasets.Dataset, optional
        Its `topic` column adds the metric `topic_tv`.

    Returns
    -------
    DataFrame
        Columns fraction, count, metric, value. Metrics: `mean_cosine` (pairs of the part, low is diverse),
        `vendi` and `vendi_centred` (effective numbers, raw and with the mean of **all** rows subtracted),
        `coverage_radius` (1 - cosine, low is good), `topic_tv` (total variation between the part's topics
        and all topics, 0 to 1).

    Raises
    ------
    InputError
        Zero or NaN rows, rows that equal the mean, fractions outside (0, 1], or items that do not fit.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(10, 3))
    >>> prefix_profile(np.arange(10), rows, fractions=[1.0])["metric"].tolist()
    ['mean_cosine', 'vendi', 'vendi_centred', 'coverage_radius']
    """
    import pandas as pd

    units = used_vectors(embeddings)
    permutation = order.permutation if isinstance(order, Order) else np.asarray(order)
    counts = _counts(len(units), fractions)
    if len(permutation) != len(units):
        raise InputError(
            "order", len(permutation), f"does not fit {len(units)} vectors", "use its own vectors"
        )
    centred = centred_rows(units)
    topics = None if problems is None else np.unique(list(problems["topic"]), return_inverse=True)[1]
    covered = np.full(len(units), -np.inf)
    rows, done = [], 0
    for fraction, count in counts:
        part = permutation[:count]
        if count > done:  # products with the new items only: one full pass over all fractions together
            newest = row_reduce(units, units[permutation[done:count]], lambda block: block.max(axis=1))
            covered, done = np.maximum(covered, newest), count
        values = [mean_cosine(units[part]), vendi_of_units(units[part]), vendi_of_units(centred[part])]
        values.append(1.0 - float(covered.min()))
        if topics is not None:
            values.append(_topic_variation(topics, part))
        rows += [(fraction, count, name, value) for name, value in zip(METRICS, values, strict=False)]
    return pd.DataFrame(rows, columns=["fraction", "count", "metric", "value"])


def _counts(n: int, fractions: Sequence[float]) -> list[tuple[float, int]]:
    """Return sorted (fraction, number of items)."""
    if n < 2:
        raise InputError("embeddings", n, "leave no pair to measure", "pass at least two rows")
    wrong = [fraction for fraction in fractions if not 0 < fraction <= 1]
    if wrong or not len(fractions):
        raise InputError("fractions", wrong, "are not parts of a whole", "use numbers above 0 and up to 1")
    return [(float(fraction), max(2, round(fraction * n))) for fraction in sorted(fractions)]


def _topic_variation(topics: np.ndarray, part: np.ndarray) -> float:
    size = topics.max() + 1
    mixes = [np.bincount(some, minlength=size) / len(some) for some in (topics, topics[part])]
    return float(np.abs(mixes[0] - mixes[1]).sum() / 2)


def random_reference(
    embeddings: Embeddings | Array,
    *,
    fractions: Sequence[float] = FRACTIONS,
    problems: datasets.Dataset | None = None,
    seeds: int = 20,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return the prefix profile of random orders: their mean, and the band that holds most of them.

    Parameters
    ----------
    embeddings, fractions, problems
        As in :func:`prefix_profile`.
    seeds : int
        Random orders, seeds 0, 1, ..., at least 2.
    level : float
        Share of orders between `low` and `high` (quantiles over the seeds), in (0, 1).

    Returns
    -------
    DataFrame
        Columns fraction, count, metric, value, low, high.

    Raises
    ------
    InputError
        Fewer than two seeds, a level outside (0, 1), or what `prefix_profile` refuses.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(10, 3))
    >>> frame = random_reference(rows, fractions=[0.5], seeds=4)
    >>> bool((frame["low"] <= frame["value"]).all() and (frame["value"] <= frame["high"]).all())
    True
    """
    import pandas as pd

    if seeds < 2 or not 0 < level < 1:
        raise InputError("seeds, level", (seeds, level), "make no band", "use seeds=20, level=0.95")
    n = len(used_vectors(embeddings))
    frames = [
        prefix_profile(
            np.random.default_rng(seed).permutation(n), embeddings, fractions=fractions, problems=problems
        )
        for seed in tqdm(range(seeds), "random orders", delay=3, disable=progress_off())
    ]
    together = pd.concat(frames).groupby(["fraction", "count", "metric"], sort=False)["value"]
    tail = (1 - level) / 2
    return together.agg(
        value="mean", low=lambda values: values.quantile(tail), high=lambda values: values.quantile(1 - tail)
    ).reset_index()
