"""Diversity of the first part of an order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hammerlib.diversity.scores import vendi_of_units
from hammerlib.embeddings import Embeddings
from hammerlib.errors import InputError
from hammerlib.ordering import Order, used_vectors
from hammerlib.ordering.record import as_permutation
from hammerlib.similarity import Array, centred_rows, mean_cosine, row_reduce

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
        Zero or NaN rows, rows that equal the mean, fractions outside (0, 1], an order that does not name
        every item once, or problems that do not fit.

    Notes
    -----
    Source: ours, of known measures: `vendi_score` (arXiv 2210.02410), and the radius that the k-centre
    problem minimises (Gonzalez 1985).

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(10, 3))
    >>> prefix_profile(np.arange(10), rows, fractions=[1.0])["metric"].tolist()
    ['mean_cosine', 'vendi', 'vendi_centred', 'coverage_radius']
    """
    import pandas as pd

    units = used_vectors(embeddings)
    counts = _counts(len(units), fractions)
    permutation = fitting(order, len(units))
    centred = centred_rows(units)
    topics = None if problems is None else topics_of(problems, len(units))
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


def fitting(order: Order | Array, n: int) -> np.ndarray:
    """Return the permutation of an order of n items.

    Raises
    ------
    InputError
        No order, or one of another number of items.

    Examples
    --------
    >>> fitting([1, 0], 2).tolist()
    [1, 0]
    """
    permutation = order.permutation if isinstance(order, Order) else as_permutation(order, "order")
    if len(permutation) != n:
        raise InputError("order", len(permutation), f"does not fit {n} items", "use its own items")
    return permutation


def topics_of(problems: datasets.Dataset, n: int) -> np.ndarray:
    """Return the topic of each of n problems as a number, (n,).

    Raises
    ------
    InputError
        Problems without a column `topic`, or another number of them.

    Examples
    --------
    >>> from hammerlib.problems import load_problems
    >>> topics_of(load_problems("reasoning-gym:nano", n=4), 4).shape
    (4,)
    """
    if "topic" not in getattr(problems, "column_names", ()):
        raise InputError("problems", problems, "have no column 'topic'", "make them with load_problems")
    if len(problems) != n:
        raise InputError("problems", len(problems), f"do not fit {n} vectors", "pass one problem per vector")
    return np.unique(list(problems["topic"]), return_inverse=True)[1]


def _counts(n: int, fractions: Sequence[float]) -> list[tuple[float, int]]:
    """Return sorted (fraction, number of items)."""
    if n < 2:
        raise InputError("embeddings", n, "leave no pair to measure", "pass at least two rows")
    numbers = np.ndim(fractions) == 1 and np.asarray(fractions).dtype.kind in "fiu"
    if not numbers or not all(0 < fraction <= 1 for fraction in fractions) or not len(fractions):
        raise InputError(
            "fractions", fractions, "are not parts of a whole", "use numbers above 0 and up to 1"
        )
    return [(float(fraction), max(2, round(fraction * n))) for fraction in sorted(fractions)]


def _topic_variation(topics: np.ndarray, part: np.ndarray) -> float:
    size = topics.max() + 1
    mixes = [np.bincount(some, minlength=size) / len(some) for some in (topics, topics[part])]
    return float(np.abs(mixes[0] - mixes[1]).sum() / 2)
