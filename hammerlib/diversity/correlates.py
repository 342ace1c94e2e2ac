"""What an order goes along with besides meaning: length, difficulty, topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hammerlib.diversity.profiles import fitting
from hammerlib.errors import InputError
from hammerlib.ordering import Order
from hammerlib.similarity import Array

if TYPE_CHECKING:
    from collections.abc import Callable

    import datasets
    import pandas as pd

    Statistic = Callable[[np.ndarray], float]


def order_correlates(
    order: Order | Array, problems: datasets.Dataset, *, permutations: int = 999, seed: int = 0
) -> pd.DataFrame:
    """Return how the position in an order goes along with what is known of the problems.

    Parameters
    ----------
    order : Order or (n,) int array
    problems : datasets.Dataset
        Row i is item i: `prompt`, `topic`, and `difficulty` where there is one.
    permutations : int
        Random orders behind intervals and p-values, at least 19.
    seed : int

    Returns
    -------
    DataFrame
        Columns property, measure, value, chance (exact expectation of a random order), low, high (95 % of the
        random orders), p (two-sided, at least 1 / (permutations + 1); not corrected for several rows). Rows:
        Spearman correlation of the position with the prompt's characters and with difficulty, share of the
        position's variance that lies between topics (eta squared), and share of neighbours of one topic.
        A property that is the same for all problems has no row.

    Raises
    ------
    InputError
        An order of other items, fewer than three problems, or too few permutations.

    Examples
    --------
    >>> import datasets
    >>> import numpy as np
    >>> table = datasets.Dataset.from_dict({"prompt": ["a", "bb", "ccc", "dddd"], "topic": list("xxyy")})
    >>> order_correlates(np.arange(4), table)["value"].round(2).tolist()
    [1.0, 0.8, 0.67]
    """
    import pandas as pd

    n = len(problems)
    if n < 3 or permutations < 19:
        problem = "leave nothing to compare with"
        raise InputError("problems, permutations", (n, permutations), problem, "use 3 or more and 999")
    positions = np.empty(n)
    positions[fitting(order, n)] = np.arange(n)
    generator = np.random.default_rng(seed)
    shuffled = [generator.permutation(n).astype(float) for _ in range(permutations)]
    rows = []
    for label, (chance, statistic) in _statistics(problems).items():
        value = statistic(positions)
        others = np.array([statistic(other) for other in shuffled])
        as_far = np.abs(others - chance) >= abs(value - chance) - 1e-12
        low, high = np.quantile(others, [0.025, 0.975])
        rows.append((*label, value, chance, low, high, (1 + as_far.sum()) / (permutations + 1)))
    return pd.DataFrame(rows, columns=["property", "measure", "value", "chance", "low", "high", "p"])


def _statistics(problems: datasets.Dataset) -> dict[tuple[str, str], tuple[float, Statistic]]:
    """Return for each (property, measure) the expectation under chance and the function of the places."""
    numbers = {"length": [len(prompt) for prompt in problems["prompt"]]}
    if "difficulty" in problems.column_names:
        numbers["difficulty"] = list(problems["difficulty"])
    statistics: dict[tuple[str, str], tuple[float, Statistic]] = {
        (name, "Spearman correlation"): (0.0, _spearman(np.asarray(values, dtype=float)))
        for name, values in numbers.items()
        if len(set(values)) > 1
    }
    topics, sizes = np.unique(list(problems["topic"]), return_inverse=True, return_counts=True)[1:]
    if len(sizes) > 1:
        n = len(topics)
        statistics["topic", "eta squared"] = ((len(sizes) - 1) / (n - 1), _eta_squared(topics, sizes))
        together = float((sizes * (sizes - 1)).sum() / (n * (n - 1)))
        statistics["topic", "neighbours alike"] = (together, _neighbours_alike(topics))
    return statistics


def _spearman(values: np.ndarray) -> Statistic:
    from scipy.stats import rankdata  # here, because it takes a second to import

    ranks = rankdata(values)
    ranks = (ranks - ranks.mean()) / np.linalg.norm(ranks - ranks.mean())
    # The places are their own ranks; only their length is missing.
    return lambda positions: float(ranks @ positions / np.linalg.norm(positions - positions.mean()))


def _eta_squared(topics: np.ndarray, sizes: np.ndarray) -> Statistic:
    def share(positions: np.ndarray) -> float:
        off = positions - positions.mean()
        return float((np.bincount(topics, weights=off) ** 2 / sizes).sum() / (off @ off))

    return share


def _neighbours_alike(topics: np.ndarray) -> Statistic:
    def share(positions: np.ndarray) -> float:
        along = np.empty_like(topics)
        along[positions.astype(np.int64)] = topics
        return float((along[1:] == along[:-1]).mean())

    return share
