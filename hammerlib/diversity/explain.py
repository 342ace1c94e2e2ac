"""All profiles of an order in one table, each number beside those of random orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hammerlib.diversity.prefixes import fitting, prefix_profile
from hammerlib.diversity.profiles import lag_profile, random_reference, window_profile
from hammerlib.embeddings import Embeddings
from hammerlib.ordering import Order, edge_costs, used_vectors
from hammerlib.similarity import Array

if TYPE_CHECKING:
    import datasets
    import pandas as pd

EXPLAINED = (0.02, 0.1, 0.25, 0.5)  # prefixes of the table
MOST = 4000  # items whose prefixes are measured: Vendi and coverage of 20,000 for 20 seeds take minutes


def explain_order(
    order: Order | Array,
    embeddings: Embeddings | Array,
    *,
    problems: datasets.Dataset | None = None,
    window: int = 8,
    seeds: int = 20,
) -> pd.DataFrame:
    """Return all profiles of an order in one table, each number beside those of random orders.

    Parameters
    ----------
    order, embeddings
        As in :func:`~hammerlib.diversity.profiles.lag_profile`.
    problems : datasets.Dataset, optional
        Adds what looks at topics.
    window : int
        Items of a window: problems of a training step; all items where there are fewer.
    seeds : int
        Random orders, at least 2.

    Returns
    -------
    DataFrame
        Columns measure, part, value, random (mean over the seeds), low, high (95 % of the seeds). Measures:
        edge cosine (all, and by tenth of the order), centred cosine by lag, windows, and prefixes. Prefixes
        of more than 4,000 items are those of 4,000 drawn from all (seed 0), in their order; the part says so.

    Raises
    ------
    InputError
        What the profiles refuse.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(40, 3))
    >>> explain_order(np.arange(40), rows, seeds=3).columns.tolist()
    ['measure', 'part', 'value', 'random', 'low', 'high']
    """
    import pandas as pd

    units = used_vectors(embeddings)
    permutation = fitting(order, len(units))
    sample = np.arange(len(units))
    if len(units) > MOST:
        sample = np.sort(np.random.default_rng(0).choice(len(units), MOST, replace=False))
    rank = np.full(len(units), -1)
    rank[sample] = np.arange(len(sample))
    kept = rank[permutation][rank[permutation] >= 0]
    some = problems if problems is None or len(sample) == len(units) else problems.select(sample)
    parts = [
        _beside(permutation, units, seeds, _edges),
        _beside(permutation, units, seeds, lag_profile),
        _beside(permutation, units, seeds, window_profile, window=min(window, len(units)), problems=problems),
        _beside(kept, units[sample], seeds, prefix_profile, fractions=EXPLAINED, problems=some),
    ]
    frame = pd.concat([_named(part, len(units)) for part in parts], ignore_index=True)
    return frame[["measure", "part", "value", "random", "low", "high"]]


def _edges(permutation: np.ndarray, units: Array) -> pd.DataFrame:
    """Return mean edge cosines of the whole order (tenth 0) and of its tenths."""
    import pandas as pd

    costs = edge_costs(permutation, units)
    parts = [costs, *(part for part in np.array_split(costs, 10) if len(part))]
    return pd.DataFrame({"tenth": range(len(parts)), "value": [part.mean() for part in parts]})


def _beside(
    permutation: np.ndarray, units: Array, seeds: int, profile: Callable[..., pd.DataFrame], **options: Any
) -> pd.DataFrame:
    """Return a profile of the order and, in the same rows, that of random orders."""
    found = profile(permutation, units, **options)
    reference = random_reference(units, profile=profile, seeds=seeds, **options)
    return found.assign(random=reference["value"], low=reference["low"], high=reference["high"])


def _named(frame: pd.DataFrame, n: int) -> pd.DataFrame:
    """Put what a row of a profile measures, and where, into words."""
    if "tenth" in frame:
        parts = ["all" if tenth == 0 else f"tenth {tenth}" for tenth in frame["tenth"]]
        return frame.assign(measure="edge cosine", part=parts)
    if "lag" in frame:
        return frame.assign(measure="centred cosine", part=[f"{lag} apart" for lag in frame["lag"]])
    if "window" in frame:
        parts = [f"windows of {row.window}, {row.part}" for row in frame.itertuples()]
        return frame.assign(measure=frame["metric"], part=parts)
    sampled = f" (of {MOST} sampled)" if n > MOST else ""
    firsts = zip(frame["fraction"], frame["count"], strict=True)
    parts = [f"first {fraction:.0%}: {count}{sampled}" for fraction, count in firsts]
    return frame.assign(measure=frame["metric"], part=parts)
