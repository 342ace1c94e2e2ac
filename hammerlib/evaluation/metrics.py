"""Estimators over the samples of one problem: pass@k, pass^k, majority@k, cons@k; no order counts."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from hammerlib.errors import InputError, check_whole

MORE_SAMPLES = "draw more samples or ask for a smaller k"
NONE = "\0none"  # any string that no extractor returns


def pass_at_k(n: int | np.ndarray, c: int | np.ndarray, k: int) -> float | np.ndarray:
    """Return the probability that k of n samples, drawn without replacement, hold a correct one.

    Unbiased for pass@k when the n samples are independent. Computed as a sum of logarithms over the
    shorter of the two products, so that neither large n nor tiny probabilities lose digits.

    Parameters
    ----------
    n, c : int or integer array
        Samples drawn and samples correct, per problem; arrays broadcast.
    k : int
        Samples of one attempt, 1 <= k <= n.

    Returns
    -------
    float or ndarray
        In [0, 1]; an array where `n` or `c` is one.

    Raises
    ------
    InputError
        When n < k (the estimate does not exist), c outside [0, n], k < 1, or no whole numbers of one shape.

    References
    ----------
    Chen et al. 2021 (arXiv 2107.03374), section 2.1: 1 - C(n-c, k) / C(n, k).

    Examples
    --------
    >>> import numpy as np
    >>> round(pass_at_k(10, 3, 5), 8)
    0.91666667
    >>> pass_at_k(4, np.array([0, 1, 4]), 2).round(6).tolist()
    [0.0, 0.5, 1.0]
    """
    return _estimated(n, c, k, _pass_at_k)


def pass_hat_k(n: int | np.ndarray, c: int | np.ndarray, k: int) -> float | np.ndarray:
    """Return the probability that all of k of n samples, drawn without replacement, are correct: pass^k.

    Unbiased for the chance that k independent samples are all right, for whoever needs every answer.

    Parameters
    ----------
    n, c : int or integer array
        Samples drawn and samples correct, per problem; arrays broadcast.
    k : int
        Samples of one attempt, 1 <= k <= n.

    Returns
    -------
    float or ndarray
        In [0, 1]; an array where `n` or `c` is one. pass^1 is pass@1.

    Raises
    ------
    InputError
        When n < k (the estimate does not exist), c outside [0, n], k < 1, or no whole numbers of one shape.

    References
    ----------
    Yao et al. 2024 (arXiv 2406.12045, tau-bench), section 3: C(c, k) / C(n, k).

    Examples
    --------
    >>> round(pass_hat_k(4, 3, 2), 6), pass_hat_k(4, 3, 4)
    (0.5, 0.0)
    """
    return _estimated(n, c, k, _pass_hat_k)


def _estimated(
    n: int | np.ndarray, c: int | np.ndarray, k: int, estimate: Callable[[int, int, int], float]
) -> float | np.ndarray:
    """Check, and estimate once for each distinct pair of counts."""
    k = check_whole("k", k, 1, "ask for one sample or more")
    try:
        counts, hits = np.broadcast_arrays(n, c)
    except ValueError:  # shapes that do not fit, or rows of different lengths
        counts = hits = np.asarray(None)
    # whole floats pass: so a table with gaps holds them
    if any(
        one.dtype.kind not in "iubf" or not np.isfinite(one).all() or (one != np.floor(one)).any()
        for one in (counts, hits)
    ):
        raise InputError("n, c", (n, c), "are no whole numbers of one shape", "count each problem's samples")
    if counts.size and counts.min() < k:
        raise InputError("n", int(counts.min()), f"fewer samples than k={k}", MORE_SAMPLES)
    if counts.size and (hits.min() < 0 or (hits > counts).any()):
        raise InputError("c", hits.tolist(), "correct samples outside [0, n]", "count each sample once")
    pairs, where = np.unique(np.stack([counts.ravel(), hits.ravel()]), axis=1, return_inverse=True)
    values = np.array([estimate(int(total), int(right), k) for total, right in pairs.T])
    result = values[where.ravel()].reshape(counts.shape)
    return float(result) if result.ndim == 0 else result


def _pass_at_k(n: int, c: int, k: int) -> float:
    if n - c < k:
        return 1.0
    # C(n-c,k)/C(n,k) is symmetric in c and k: take the product with fewer factors.
    few, many = sorted((c, k))
    factors = np.arange(n - few + 1, n + 1, dtype=np.float64)
    return float(0.0 - np.expm1(np.log1p(-many / factors).sum()))  # 0.0 - 0.0 is not -0.0


def _pass_hat_k(n: int, c: int, k: int) -> float:
    # C(c,k)/C(n,k) = C(n-k,n-c)/C(n,n-c): take the product with fewer factors.
    few, many = sorted((n - c, k))
    if c < k:
        return 0.0
    factors = np.arange(n - few + 1, n + 1, dtype=np.float64)
    return float(np.exp(np.log1p(-many / factors).sum()))


def majority_at_k(answers: Sequence[str | None], gold: str, k: int) -> float:
    """Return the probability that the most frequent answer among k of n samples is the gold one.

    The expectation is exact over which k of the n samples are drawn (without replacement) and over ties,
    where each of the most frequent answers is chosen with the same probability. So the order of the samples
    cannot matter. A sample without an answer uses up a draw and has no vote; k draws without any answer
    count as wrong. `cons_at_k` differs in this one point: there, missing answers vote too.

    Parameters
    ----------
    answers : sequence of str or None
        One entry a sample, length n. Equal strings vote together: give equivalent answers one spelling. Whole
        numbers count as their text.
    gold : str
        The right answer in that spelling.
    k : int
        Votes of one attempt, 1 <= k <= n.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    InputError
        When k is outside [1, n] or no whole number, `answers` is no list, an answer or the gold is no text.

    Notes
    -----
    For every vote count v of the gold answer, the ways to draw the rest with no other answer above v are the
    coefficients of a product of truncated binomials; an answer that ties with v carries a factor x, and
    1/(1 + ties) is the integral of x**ties over [0, 1], which Gauss-Legendre nodes give exactly. Cost
    O(n**2 * k) at most, instead of C(n, k) subsets. Source: ours.

    Examples
    --------
    >>> majority_at_k(["4", "4", "5", None], "4", k=4)
    1.0
    >>> round(majority_at_k(["4", "5", "4", "6"], "4", k=2), 6)
    0.5
    """
    given, right_one = _texts(answers), _text("gold", gold)
    n = len(given)
    if check_whole("k", k, 1, "ask for one vote or more") > n:
        raise InputError("k", k, f"must lie between 1 and the {n} samples", MORE_SAMPLES)
    counts = Counter(answer for answer in given if answer is not None)
    right = counts.pop(right_one, 0)
    return _majority(right, tuple(sorted(counts.values())), n, k)


def _texts(answers: Sequence[str | None]) -> list[str | None]:
    """Answers as texts that can be compared; 4 and "4" would be two answers, and the gold neither."""
    listed = isinstance(answers, Sequence) or hasattr(answers, "tolist")  # lists, arrays, columns of a frame
    if isinstance(answers, str | bytes) or not listed:
        raise InputError("answers", answers, "is no list of answers", "give one entry a sample")
    return [None if one is None else _text("answers", one) for one in answers]


def _text(field: str, value: object) -> str:
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise InputError(field, value, "is no text", "give answers as text, None where there is none")
    return str(value)


@functools.lru_cache(maxsize=65_536)  # cons@k asks again, and so do problems with equal votes
def _majority(right: int, rest: tuple[int, ...], n: int, k: int) -> float:
    if k == n:
        top = max(rest, default=0)
        return 0.0 if right < max(top, 1) else 1 / (1 + rest.count(right))
    silent, mine = n - right - sum(rest), _draws(right, n, k)
    won = sum(mine[votes] * _ways(votes, rest, silent, n, k) for votes in range(1, min(right, k) + 1))
    return float(min(max(won / _draws(n, n, k)[k], 0.0), 1.0))


def cons_at_k(answers: Sequence[str | None], gold: str, k: int) -> float:
    """Return the probability that the consensus of k of n samples is the gold answer.

    As `majority_at_k`, but samples without an answer vote together for having none, and lose with it: the
    rule of NeMo-RL's ``cons@k``, without its dependence on the sequence of samples. So it never exceeds
    majority@k, and equals it where every sample has an answer; the two names are one thing in most papers.

    Parameters
    ----------
    answers : sequence of str or None
        One entry a sample, length n; equal strings vote together, and so do all None.
    gold : str
        The right answer in that spelling.
    k : int
        Votes of one attempt, 1 <= k <= n.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    InputError
        When k is outside [1, n] or no whole number, `answers` is no list, an answer or the gold is no text.

    Examples
    --------
    >>> cons_at_k(["4", None, None, "5"], "4", k=4)  # majority@4 is 0.5
    0.0
    """
    return majority_at_k([NONE if answer is None else answer for answer in _texts(answers)], gold, k)


def distinct_answers(answers: Sequence[str | None]) -> int:
    """Return how many different answers the samples give; a missing answer is none.

    Examples
    --------
    >>> distinct_answers(["4", "4", "5", None])
    2
    """
    return len(set(_texts(answers)) - {None})


def answer_entropy(answers: Sequence[str | None]) -> float:
    """Return the entropy of the answers given, in nats; 0 where there is one answer or none.

    The plug-in estimate from the shares: too small for few samples (by about (answers - 1) / 2n), so compare
    it at equal numbers of samples only.

    Parameters
    ----------
    answers : sequence of str or None
        One entry a sample; missing answers are left out.

    Returns
    -------
    float
        In [0, log(n)].

    References
    ----------
    Shannon 1948; bias: Miller 1955.

    Examples
    --------
    >>> round(answer_entropy(["4", "4", "5", "5", None]), 6)  # log 2
    0.693147
    """
    counts = np.array(list(Counter(answer for answer in _texts(answers) if answer is not None).values()))
    shares = counts / max(counts.sum(), 1)
    return float(0.0 - (shares * np.log(shares)).sum()) if len(counts) > 1 else 0.0


@functools.lru_cache(maxsize=4096)
def _draws(m: int, n: int, k: int) -> np.ndarray:
    """Weights of drawing j = 0..m of m samples, as those of a binomial law of rate k/n, k < n.

    Nothing overflows so, and any common rate cancels in the final ratio.
    """
    rate, j = k / n, np.arange(m + 1)
    logs = [math.lgamma(m + 1) - math.lgamma(i + 1) - math.lgamma(m - i + 1) for i in j]
    return np.exp(np.array(logs) + j * math.log(rate) + (m - j) * math.log1p(-rate))


def _ways(votes: int, rest: tuple[int, ...], silent: int, n: int, k: int) -> float:
    """Weight of the draws of k - votes other samples that leave gold on top, ties shared."""
    size = k - votes
    rivals = [m for m in rest if m >= votes]
    nodes, weights = _gauss(min(len(rivals), size // votes) // 2 + 1)
    drawn = np.zeros((len(nodes), size + 1))
    # Answers that cannot reach the votes are drawn freely, like samples without an answer.
    first = _draws(silent + sum(rest) - sum(rivals), n, k)[: size + 1]
    drawn[:, : len(first)] = first
    for m in rivals:
        row, before = _draws(m, n, k), drawn
        drawn = np.zeros_like(before)
        for j in range(min(m, votes, size) + 1):
            share = nodes[:, None] if j == votes else 1.0
            drawn[:, j:] += before[:, : size + 1 - j] * row[j] * share
    return float(weights @ drawn[:, size])


@functools.cache
def _gauss(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (nodes + 1) / 2, weights / 2
