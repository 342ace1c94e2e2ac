"""Diversity-aware reward adjustment (DRA): arrays in, arrays out, no framework.

Source: DRA-GRPO, arXiv 2505.09655, Section 3.2 (reward divided by one plus the graph-cut mutual information
of a completion with the rest of its group) and the released code (weights ``1 / (row sum + 1e-6)``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hammerlib.errors import InputError

KERNELS = ("graph_cut",)
SIGNS = ("paper",)
# The released code's guard against a division by zero; the paper's formula has none.
PAPER_EPS = 1e-6


def diversity_weights(
    embeddings: npt.ArrayLike, *, smi: str = "graph_cut", eps: float = PAPER_EPS
) -> np.ndarray:
    """Return the weight of every completion: one over its summed similarity to its group.

    ``w_i = 1 / (sum_j cos(e_i, e_j) + eps)``, the sum running over the whole group including ``i`` itself,
    which is the paper's ``1 / (1 + SMI_i)`` because ``cos(e_i, e_i) = 1``. Nothing is clamped: with opposite
    embeddings a row sum can reach zero (weight ``1 / eps``) or become negative, exactly as published.

    Parameters
    ----------
    embeddings : array, shape (B, G, d) or (G, d)
        One vector per completion, B groups of G; any non-zero length, normalised here.
    smi : str
        Submodular mutual information; ``graph_cut`` is the paper's.
    eps : float
        Added to every row sum.

    Returns
    -------
    ndarray of float64, shape (B, G) or (G,)
        For kernels without negative cosines in (0, 1]; 1 / (1 + eps) for G = 1 and for orthogonal groups,
        1 / (G + eps) where all completions are the same.

    Raises
    ------
    InputError
        Unknown `smi`, another number of dimensions, a value that is not finite, a vector of length zero.

    Notes
    -----
    Source: arXiv 2505.09655 Section 3.2 and its released code.

    Examples
    --------
    >>> diversity_weights([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).round(4).tolist()
    [0.5, 0.5, 1.0]
    """
    if smi not in KERNELS:
        raise InputError("smi", smi, "is not a known mutual information", f"use one of {', '.join(KERNELS)}")
    vectors = np.asarray(embeddings, dtype=np.float64)
    if vectors.ndim not in (2, 3):
        raise InputError(
            "embeddings",
            vectors.shape,
            "must have shape (B, G, d) or (G, d)",
            "reshape to one row of G vectors per group",
        )
    if not np.isfinite(vectors).all():
        raise InputError("embeddings", "NaN or infinity", "must be finite", "check the embedder's output")
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if (lengths == 0).any():
        raise InputError(
            "embeddings",
            "zero vector",
            "has no direction, so no cosine",
            "give empty completions a token to embed",
        )
    unit = vectors / lengths
    # The row sum of E E^T is E times the sum of the group's vectors: O(G d) instead of O(G^2 d).
    return 1.0 / ((unit * unit.sum(axis=-2, keepdims=True)).sum(axis=-1) + eps)


def adjust_rewards(
    rewards: npt.ArrayLike, embeddings: npt.ArrayLike, *, sign: str = "paper", eps: float = PAPER_EPS
) -> np.ndarray:
    """Return the rewards multiplied by their diversity weights.

    Parameters
    ----------
    rewards : array, shape (B, G) or (G,)
        The weighted sum of all reward functions, one per completion; NaN (not scorable) stays NaN.
    embeddings : array, shape (B, G, d) or (G, d)
        See `diversity_weights`.
    sign : str
        ``paper``: negative rewards are divided as well, so that a redundant wrong answer is punished *less*
        than a novel one (a property of the published formula, not a choice of ours).
    eps : float
        See `diversity_weights`.

    Returns
    -------
    ndarray of float64, shape of `rewards`

    Raises
    ------
    InputError
        Unknown `sign`, shapes that do not fit, or what `diversity_weights` refuses.

    Notes
    -----
    Source: arXiv 2505.09655 Section 3.2 and its released code.

    Examples
    --------
    >>> adjust_rewards([1.0, 1.0, 0.0], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).round(4).tolist()
    [0.5, 0.5, 0.0]
    """
    if sign not in SIGNS:
        raise InputError(
            "sign", sign, "is not a known policy for negative rewards", f"use one of {', '.join(SIGNS)}"
        )
    values = np.asarray(rewards, dtype=np.float64)
    weights = diversity_weights(embeddings, eps=eps)
    if values.shape != weights.shape:
        raise InputError(
            "rewards",
            values.shape,
            f"do not fit embeddings of groups {weights.shape}",
            "give one reward per embedded completion",
        )
    return values * weights
