"""Diversity of a set of vectors, and of the groups of completions that one training step compares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from hammerlib.errors import InputError
from hammerlib.models.embeddings import Embeddings
from hammerlib.ordering import used_vectors
from hammerlib.similarity import Array, host, mean_cosine, namespace, product_blocks, row_reduce, unit_rows


def vendi_score(vectors: Embeddings | Array, *, q: float = 1.0) -> float:
    """Return the effective number of different rows: exp of the entropy of the cosine kernel's spectrum.

    Source: Friedman & Dieng 2023 (arXiv 2210.02410); orders q: Pasarkar & Dieng 2023 (arXiv 2310.12952).
    Uses the smaller of the (n, n) and the (d, d) form, which have the same spectrum.

    Parameters
    ----------
    vectors : Embeddings or (n, d) array or tensor
    q : float
        Order of the entropy, 0 to infinity: 0 counts directions, 1 is Shannon, infinity sees the largest.

    Returns
    -------
    float
        1 (all rows point the same way) to n (all orthogonal).

    Raises
    ------
    InputError
        No rows, zero or NaN rows, or a q that is no number from 0 to infinity.

    Examples
    --------
    >>> round(vendi_score([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]]), 4)
    1.8899
    """
    return vendi_of_units(used_vectors(vectors), q)


def vendi_of_units(units: Array, q: float = 1.0) -> float:
    """Return the Vendi score of rows that already have length one, in the smaller of its two forms."""
    units = host(units).astype(np.float64)
    n, d = units.shape
    kernel = units @ units.T if n <= d else units.T @ units  # both have the same spectrum
    return vendi_from_kernel(kernel, q=q, n=n)


def vendi_from_kernel(kernel: np.ndarray, *, q: float = 1.0, n: int | None = None) -> float:
    """Return the Vendi score of any symmetric positive kernel with ones on its diagonal.

    Parameters
    ----------
    kernel : (n, n) array
        Or the (d, d) covariance form with the same spectrum, and then `n`.
    q : float
    n : int, optional
        Number of items; the kernel's size when absent.

    Raises
    ------
    InputError
        A kernel that is not square or of no item, or a q that is no number from 0 to infinity.

    Examples
    --------
    >>> import numpy as np
    >>> round(vendi_from_kernel(np.array([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]])), 6)
    2.1573
    """
    kernel = np.asarray(kernel, dtype=np.float64)
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1]:
        raise InputError("kernel", kernel.shape, "is not square", "pass an (n, n) kernel")
    if isinstance(q, bool) or not isinstance(q, int | float | np.number) or not q >= 0:
        raise InputError("q", q, "is no order of an entropy", "use a number from 0 to infinity")
    n = len(kernel) if n is None else n
    if n == 0:
        raise InputError("vectors", 0, "rows have no diversity", "pass at least one")
    # exp of the Renyi entropy of order q of the spectrum of K / n: Shannon's at q = 1
    # divided by n the eigenvalues sum to one, as the diagonal of ones does to n
    spectrum = np.linalg.eigvalsh(kernel / n)
    shares = spectrum[spectrum > len(kernel) * np.finfo(np.float64).eps]  # the rest is rounding
    if q == 1:
        return float(np.exp(-(shares * np.log(shares)).sum()))
    if np.isinf(q):
        return float(1 / shares.max())
    return float((shares**q).sum() ** (1 / (1 - q)))


def mean_pairwise_cosine(vectors: Embeddings | Array) -> float:
    """Return the mean cosine over all pairs of different rows, in closed form.

    Parameters
    ----------
    vectors : Embeddings or (n, d) array or tensor

    Returns
    -------
    float
        In [-1, 1], low is diverse; NaN for fewer than two rows.

    Raises
    ------
    InputError
        Zero or NaN rows.

    Examples
    --------
    >>> mean_pairwise_cosine([[1.0, 0.0], [0.0, 1.0]])
    0.0
    """
    return mean_cosine(used_vectors(vectors))


def dcscore(vectors: Embeddings | Array, *, tau: float = 1.0) -> float:
    """Return DCScore: how surely each row is told from all others, summed over the rows.

    Source: Zhu et al. 2025 (arXiv 2502.08512): P = row-softmax(K / tau) of the cosine kernel K, score = trace
    of P. Computed as the sum over i of 1 / (sum over j of exp((K_ij - 1) / tau)), in blocks of rows.

    Parameters
    ----------
    vectors : Embeddings or (n, d) array or tensor
    tau : float
        Temperature, above 0; small ones count only near copies as alike.

    Returns
    -------
    float
        1 (all rows point the same way) to n (tau towards 0, all different).

    Raises
    ------
    InputError
        No rows, zero or NaN rows, or a temperature that is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> round(dcscore(np.eye(2)), 4)  # 2 / (1 + exp(-1))
    1.4621
    """
    if not isinstance(tau, int | float | np.number) or not tau > 0:
        raise InputError("tau", tau, "is no temperature", "use a number above 0")
    units = used_vectors(vectors)
    if not len(units):
        raise InputError("vectors", 0, "rows have no diversity", "pass at least one")
    # trace of the row-softmax of K / tau: sum_i 1 / sum_j exp((K_ij - 1) / tau)
    masses = row_reduce(units, units, lambda block: namespace(block).exp((block - 1) / tau).sum(axis=1))
    return float((1 / masses.astype(np.float64)).sum())


def coverage_radius(prefix: Embeddings | Array, everything: Embeddings | Array) -> float:
    """Return how far (1 - cosine) the worst served row of a set lies from the nearest row of its part.

    Parameters
    ----------
    prefix : Embeddings or (m, d) array or tensor, m >= 1
    everything : Embeddings or (n, d) array or tensor

    Returns
    -------
    float
        In [0, 2], low is good cover; 0 when the part holds every direction.

    Raises
    ------
    InputError
        Zero or NaN rows, or an empty part.

    Examples
    --------
    >>> coverage_radius([[1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]])
    1.0
    """
    prefix_rows, rows = used_vectors(prefix), used_vectors(everything)
    if not len(prefix_rows):
        raise InputError("prefix", [], "covers nothing", "pass at least one row")
    return 1.0 - float(row_reduce(rows, prefix_rows, lambda block: block.max(axis=1)).min())


def neighbour_purity(
    vectors: Embeddings | Array, labels: Sequence[object], *, neighbours: int = 10
) -> tuple[float, float]:
    """Return how often a row's nearest rows carry its own label, and how often chance would have it.

    Parameters
    ----------
    vectors : Embeddings or (n, d) array or tensor
    labels : sequence of n values
        For example topics.
    neighbours : int
        Nearest rows by cosine to look at, 1 to n - 1.

    Returns
    -------
    (float, float)
        Mean share of equal labels among the neighbours, and among all other rows; both in [0, 1].

    Raises
    ------
    InputError
        Zero or NaN rows, labels of another number, or more neighbours than other rows.

    Examples
    --------
    >>> neighbour_purity([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]], list("aabb"), neighbours=1)
    (1.0, 0.3333333333333333)
    """
    units = used_vectors(vectors)
    n = len(units)
    if len(labels) != n:
        raise InputError("labels", len(labels), f"do not fit {n} vectors", "pass one label per vector")
    if not 1 <= neighbours < n:
        raise InputError("neighbours", neighbours, f"cannot be found among {n} rows", f"use 1 to {n - 1}")
    _, codes, sizes = np.unique(np.asarray(labels, dtype=str), return_inverse=True, return_counts=True)
    same = 0
    for start, products in product_blocks(units, units):
        block = np.array(host(products))
        block[np.arange(len(block)), start + np.arange(len(block))] = -np.inf  # nobody is its own neighbour
        # unordered: which of them is nearest does not matter
        nearest = np.argpartition(-block, neighbours - 1, axis=1)[:, :neighbours]
        same += int((codes[nearest] == codes[start : start + len(block), None]).sum())
    # chance: sum_c n_c (n_c - 1) / (n (n - 1)), two rows drawn at random hold one label
    return same / (n * neighbours), float((sizes * (sizes - 1)).sum() / (n * (n - 1)))


def group_telemetry(
    vectors: Array, answers: Sequence[Sequence[str | None]], correct: Array
) -> dict[str, float]:
    """Return how different the completions inside the groups of one training step are.

    Parameters
    ----------
    vectors : (B, G, d) array or tensor
        Embedded completions.
    answers : B lists of G str or None
        Extracted answers; None where there is none.
    correct : (B, G) bool array

    Returns
    -------
    dict of str to float
        Means over the B groups: `mean_cosine` (NaN for G = 1), `vendi` (1 to G), `distinct_answers`,
        `distinct_wrong` (different wrong answers), `zero_variance_share` (groups all right or all wrong),
        `effective_group_size` (inverse Simpson index of the answers, 1 to G: G equal answers count as one;
        missing answers are one answer; ours).

    Raises
    ------
    InputError
        Shapes that do not fit, an empty step, or zero or NaN vectors.

    Examples
    --------
    >>> import numpy as np
    >>> told = group_telemetry(np.eye(2)[None], [["4", "5"]], np.array([[True, False]]))
    >>> told["vendi"], told["distinct_wrong"], told["zero_variance_share"]
    (2.0, 1.0, 0.0)
    """
    right = host(correct).astype(bool)
    # (B, G) of vectors, of verdicts and of answers
    shapes = [tuple(vectors.shape[:2]), right.shape, (len(answers), len(answers[0]) if len(answers) else 0)]
    if len(set(shapes)) > 1 or vectors.ndim != 3 or not right.size or len({len(row) for row in answers}) > 1:
        problem = "are not of the same B groups of G"
        raise InputError("vectors, answers, correct", shapes, problem, "regroup them")
    rows = [_one_group(*group) for group in zip(vectors, answers, right, strict=True)]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _one_group(vectors: Array, answers: Sequence[str | None], right: np.ndarray) -> dict[str, float]:
    units = unit_rows(vectors)
    # inverse Simpson index: G^2 / sum_a n_a^2
    counts = np.array(list(Counter(answers).values()))
    wrong = {answer for answer, is_right in zip(answers, right, strict=True) if not is_right}
    return {
        "mean_cosine": mean_cosine(units),
        "vendi": vendi_of_units(units),
        "distinct_answers": len(set(answers) - {None}),
        "distinct_wrong": len(wrong - {None}),
        "zero_variance_share": bool(right.all() or not right.any()),
        "effective_group_size": len(answers) ** 2 / (counts**2).sum(),
    }
