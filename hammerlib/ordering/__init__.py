"""Orders of problems: construction, strategies, cost and the Order record."""

from __future__ import annotations

import numpy as np

from hammerlib.errors import InputError
from hammerlib.models.embeddings import Embeddings
from hammerlib.ordering.greedy import ETA_MODES, STARTS, farthest_first, greedy_path
from hammerlib.ordering.make import order_by, used_vectors
from hammerlib.ordering.order import Order
from hammerlib.ordering.strategies import CENTRES, STRATEGIES
from hammerlib.similarity import Array, edge_cosines

__all__ = [
    "CENTRES",
    "ETA_MODES",
    "STARTS",
    "STRATEGIES",
    "Order",
    "edge_costs",
    "edge_profile",
    "farthest_first",
    "greedy_path",
    "order_by",
    "used_vectors",
]


def edge_costs(permutation: np.ndarray, vectors: Embeddings | Array, centred: bool = False) -> np.ndarray:
    """Return the cosine of every step of an order.

    Parameters
    ----------
    permutation : (n,) int array
    vectors : Embeddings or (n, d) array or tensor
    centred : bool
        Subtract the mean of the unit rows and scale to length one again first.

    Returns
    -------
    (max(n - 1, 0),) float64 array
        In [-1, 1].

    Raises
    ------
    InputError
        Zero or NaN rows, or a permutation of another number of items.

    Examples
    --------
    >>> import numpy as np
    >>> edge_costs(np.array([0, 2, 1]), [[1.0, 0.0], [0.0, 2.0], [0.0, 1.0]]).tolist()
    [0.0, 1.0]
    """
    units = used_vectors(vectors, "renormalise" if centred else "none")
    permutation = np.asarray(permutation)
    if len(permutation) != len(units):
        raise InputError(
            "permutation", len(permutation), f"does not fit {len(units)} vectors", "use its own vectors"
        )
    return edge_cosines(units, permutation)


def edge_profile(permutation: np.ndarray, vectors: Embeddings | Array, bins: int = 10) -> np.ndarray:
    """Return the mean edge cosine in equal stretches of an order, first to last.

    Parameters
    ----------
    permutation : (n,) int array
    vectors : Embeddings or (n, d) array or tensor
    bins : int
        Number of stretches, at least 1; their lengths differ by at most one edge.

    Returns
    -------
    (bins,) float64 array
        NaN for stretches without an edge (fewer edges than bins).

    Raises
    ------
    InputError
        `bins` below 1, or what :func:`edge_costs` refuses.

    Examples
    --------
    >>> import numpy as np
    >>> edge_profile(np.array([0, 2, 1]), [[1.0, 0.0], [0.0, 2.0], [0.0, 1.0]], bins=2).tolist()
    [0.0, 1.0]
    """
    if bins < 1:
        raise InputError("bins", bins, "is not a positive number of stretches", "use bins=10")
    stretches = np.array_split(edge_costs(permutation, vectors), bins)
    return np.array([stretch.mean() if len(stretch) else np.nan for stretch in stretches])
