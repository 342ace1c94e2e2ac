"""Metrics of one evaluation, one number a problem; the order of its samples never counts."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError, check_whole
from hammerlib.evaluation import intervals
from hammerlib.evaluation.intervals import SHARES, Interval

if TYPE_CHECKING:
    import pandas as pd

MORE_SAMPLES = "draw more samples or ask for a smaller k"
NONE = "\0none"  # any string that no extractor returns
RIGHT = "\0right"  # another: right answers of different spelling vote together
BINS = 10  # of equal width
DRAWS = 1000  # bootstrap draws of the calibration error
COUNTS = (0.0, math.inf)  # scale of tokens
Groups = Sequence[Sequence[dict]]  # graded samples by problem


# Estimators over the samples of one problem


def pass_at_k(n: int | np.ndarray, c: int | np.ndarray, k: int) -> float | np.ndarray:
    """Return the probability that k of n samples, drawn without replacement, hold a correct one.

    Unbiased for pass@k when the n samples are independent.

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

    Parameters
    ----------
    n, c, k
        As for `pass_at_k`, with the same errors. pass^1 is pass@1.

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
        array.dtype.kind not in "iubf" or not np.isfinite(array).all() or (array != np.floor(array)).any()
        for array in (counts, hits)
    ):
        raise InputError("n, c", (n, c), "are no whole numbers of one shape", "count each problem's samples")
    if counts.size and counts.min() < k:
        raise InputError("n", int(counts.min()), f"fewer samples than k={k}", MORE_SAMPLES)
    if counts.size and (hits.min() < 0 or (hits > counts).any()):
        raise InputError("c", hits.tolist(), "correct samples outside [0, n]", "count each sample once")
    # Many problems share their pair of counts: each is estimated once.
    pairs, where = np.unique(np.stack([counts.ravel(), hits.ravel()]), axis=1, return_inverse=True)
    values = np.array([estimate(int(total), int(right), k) for total, right in pairs.T])
    result = values[where.ravel()].reshape(counts.shape)
    return float(result) if result.ndim == 0 else result


def _pass_at_k(n: int, c: int, k: int) -> float:
    if n - c < k:
        return 1.0
    return float(0.0 - np.expm1(_log_chance(n, c, k)))  # 0.0 - 0.0 is not -0.0


def _pass_hat_k(n: int, c: int, k: int) -> float:
    if c < k:
        return 0.0
    return float(np.exp(_log_chance(n, n - c, k)))


def _log_chance(n: int, left_out: int, k: int) -> float:
    """Log of the chance C(n - left_out, k) / C(n, k) that k of n samples hold none of those left out."""
    # Symmetric in both: the product with fewer factors, as a sum of logarithms, so that neither large n nor
    # tiny probabilities lose digits.
    few, many = sorted((left_out, k))
    return np.log1p(-many / np.arange(n - few + 1, n + 1, dtype=np.float64)).sum()


def majority_at_k(answers: Sequence[str | None], gold: str, k: int) -> float:
    """Return the probability that the majority of k of n samples is the gold answer.

    The k votes are drawn without replacement; a tie for the most votes goes to one of the tied answers with
    equal chances. The expectation over both is computed exactly: neither luck nor the order of the samples
    matters. A sample without an answer uses up a draw and has no vote; k draws without any answer count as
    wrong. `cons_at_k` differs in this one point: there, missing answers vote too.

    Parameters
    ----------
    answers : sequence of str or None
        One entry a sample, length n. Equal strings vote together: give equivalent answers one spelling.
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
    Source: ours. Cost O(n**2 * k) at most, instead of C(n, k) subsets.

    Examples
    --------
    >>> majority_at_k(["4", "4", "5", None], "4", k=4)
    1.0
    >>> round(majority_at_k(["4", "5", "4", "6"], "4", k=2), 6)
    0.5
    """
    votes = _texts(answers)
    gold = _text("gold", gold)
    n = len(votes)
    if check_whole("k", k, 1, "ask for one vote or more") > n:
        raise InputError("k", k, f"must lie between 1 and the {n} samples", MORE_SAMPLES)
    counts = Counter(answer for answer in votes if answer is not None)
    right = counts.pop(gold, 0)
    return _majority(right, tuple(sorted(counts.values())), n, k)


def cons_at_k(answers: Sequence[str | None], gold: str, k: int) -> float:
    """Return the probability that the consensus of k of n samples is the gold answer.

    As `majority_at_k`, but samples without an answer vote together for having none, and lose with it: the
    rule of NeMo-RL's ``cons@k``, without its dependence on the sequence of samples. So it never exceeds
    majority@k, and equals it where every sample has an answer; the two names are one thing in most papers.

    Parameters
    ----------
    answers, gold, k
        As for `majority_at_k`, with the same errors; all None vote together.

    Examples
    --------
    >>> cons_at_k(["4", None, None, "5"], "4", k=4)  # majority@4 is 0.5
    0.0
    """
    return majority_at_k([NONE if answer is None else answer for answer in _texts(answers)], gold, k)


def distinct_answers(answers: Sequence[str | None]) -> int:
    """Return how many different answers the samples give; a missing answer is none."""
    return len(set(_texts(answers)) - {None})


def answer_entropy(answers: Sequence[str | None]) -> float:
    """Return the entropy of the answers given, in nats; 0 where there is one answer or none."""
    from scipy.stats import entropy

    # The plug-in estimate from the shares (Shannon 1948): too small for few samples by about (answers - 1) /
    # 2n (Miller 1955), so compare it at equal numbers of samples only.
    counts = Counter(answer for answer in _texts(answers) if answer is not None)
    return float(entropy(list(counts.values()))) if counts else 0.0


def _texts(answers: Sequence[str | None]) -> list[str | None]:
    """Answers as texts that can be compared; 4 and "4" would be two answers, and the gold neither."""
    listed = isinstance(answers, Sequence) or hasattr(answers, "tolist")  # lists, arrays, columns of a frame
    if isinstance(answers, str | bytes) or not listed:
        raise InputError("answers", answers, "is no list of answers", "give one entry a sample")
    return [None if answer is None else _text("answers", answer) for answer in answers]


def _text(field: str, value: object) -> str:
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise InputError(field, value, "is no text", "give answers as text, None where there is none")
    return str(value)


@functools.lru_cache(maxsize=65_536)  # cons@k asks again, and so do problems with equal votes
def _majority(right: int, rest: tuple[int, ...], n: int, k: int) -> float:
    if k == n:  # one draw: all samples
        top = max(rest, default=0)
        return 0.0 if right < max(top, 1) else 1 / (1 + rest.count(right))
    silent = n - right - sum(rest)
    mine = _draws(right, n, k)
    # Sum over the votes of gold; the rate of the binomial laws cancels and only keeps the floats in range.
    won = sum(mine[votes] * _ways(votes, rest, silent, n, k) for votes in range(1, min(right, k) + 1))
    return float(min(max(won / _draws(n, n, k)[k], 0.0), 1.0))


@functools.lru_cache(maxsize=4096)
def _draws(m: int, n: int, k: int) -> np.ndarray:
    """Weights of drawing j = 0..m of m samples, as those of a binomial law of rate k/n, k < n."""
    from scipy.stats import binom

    return binom.pmf(np.arange(m + 1), m, k / n)


def _ways(votes: int, rest: tuple[int, ...], silent: int, n: int, k: int) -> float:
    """Weight of the draws of k - votes other samples that leave gold on top, ties shared."""
    # The ways to draw the rest with no other answer above `votes` are the coefficients of a product of
    # truncated binomials, in which an answer that ties carries a factor x.
    size = k - votes
    rivals = [m for m in rest if m >= votes]
    # Up to r rivals tie: 1 / (1 + ties) = integral of x**ties over [0, 1], exact with r // 2 + 1 nodes.
    nodes, weights = _gauss(min(len(rivals), size // votes) // 2 + 1)
    drawn = np.zeros((len(nodes), size + 1))
    # Answers that cannot reach the votes are drawn freely, like samples without an answer.
    first = _draws(silent + sum(rest) - sum(rivals), n, k)[: size + 1]
    drawn[:, : len(first)] = first
    for m in rivals:
        row = _draws(m, n, k)
        before = drawn
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


# Calibration: does an answer given with confidence c turn out right with frequency c?


def vote_confidence(answers: Sequence[str | None]) -> np.ndarray:
    """Return for each of two or more samples the share of the *other* samples that give the same answer."""
    if len(answers) < 2:
        raise InputError("answers", len(answers), "samples: no others to agree", "draw two or more")
    # The sample's own vote is left out: with it, a lone answer among k would have confidence 1/k, though no
    # other supports it. Left out, the share is unbiased for the chance that one more sample agrees.
    counts = Counter(answers)
    others = [np.nan if answer is None else counts[answer] - 1 for answer in answers]
    return np.array(others, dtype=np.float64) / (len(answers) - 1)


def brier_score(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Return the mean squared distance between confidence, in [0, 1], and outcome, both (n,).

    0 is best, always saying one half gives 0.25 (Brier 1950, Verification of forecasts expressed in terms of
    probability).

    Examples
    --------
    >>> brier_score([1.0, 0.5], [True, False])
    0.125
    """
    stated, right = _pairs(confidence, correct)
    return float(((stated - right) ** 2).mean())


def reliability_table(
    confidence: ArrayLike, correct: ArrayLike, *, problems: ArrayLike | None = None, bins: int = BINS
) -> pd.DataFrame:
    """Return accuracy beside confidence, in bins of equal width, with intervals over problems.

    Parameters
    ----------
    confidence, correct : array-like, (n,)
        As in `brier_score`.
    problems : array-like, (n,), optional
        Which problem each answer belongs to; default one problem an answer.
    bins : int
        Number of bins; bin i is (i / bins, (i + 1) / bins], the first takes 0 too.

    Returns
    -------
    DataFrame
        One row a bin: ``low, high, n, problems, confidence, accuracy, accuracy_low, accuracy_high`` (answers,
        problems with an answer there, means, 95 % interval of the accuracy; NaN where n is 0).

    References
    ----------
    Korn & Graubard 1998, Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data; Kish 1965, Survey Sampling, section 11.7 (effective number).

    Examples
    --------
    >>> reliability_table([0.2, 0.4, 0.9], [0, 1, 1], bins=2)["accuracy"].tolist()
    [0.5, 1.0]
    """
    import pandas as pd
    from scipy.stats import beta

    stated, right = _pairs(confidence, correct)
    of = np.arange(len(stated)) if problems is None else np.unique(problems, return_inverse=True)[1]
    if of.shape != stated.shape:
        raise InputError("problems", list(of.shape), "one for each answer", "join them by sample")
    n, sums, hits = _binned(stated, right, bins)
    edges = np.arange(bins + 1) / bins
    # Answers of one problem go together: Clopper's and Pearson's interval with the effective number of
    # problems, weighted by their answers: (sum w)^2 / sum w^2. It runs wide where answers of a problem
    # differ.
    weights = np.zeros((bins, of.max() + 1))
    np.add.at(weights, (_bins_of(stated, bins), of), 1)
    with np.errstate(invalid="ignore"):
        share = hits / n
        number = weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1)  # effective number of problems
        right_ones = share * number
        low = np.where(right_ones > 0, beta.ppf(0.025, right_ones, number - right_ones + 1), 0 * number)
        high = beta.ppf(0.975, right_ones + 1, number - right_ones)
        high = np.where(number - right_ones > 0, high, 1 + 0 * number)
        columns = {"low": edges[:-1], "high": edges[1:], "n": n.astype(int)}
        columns |= {"problems": (weights > 0).sum(axis=1), "confidence": sums / n, "accuracy": share}
    columns |= {"accuracy_low": np.minimum(low, share), "accuracy_high": np.maximum(high, share)}
    return pd.DataFrame(columns)


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, *, bins: int = BINS) -> float:
    """Return the mean distance between confidence and accuracy over bins, weighted by their answers.

    Parameters
    ----------
    confidence, correct, bins
        As in `reliability_table`. Noise in each bin's accuracy makes the error too large for few answers.

    References
    ----------
    Naeini et al. 2015; Guo et al. 2017 (arXiv 1706.04599), section 2.

    Examples
    --------
    >>> round(expected_calibration_error([0.2, 0.4, 0.9], [0, 1, 1], bins=2), 6)  # (2 * 0.2 + 0.1) / 3
    0.166667
    """
    n, sums, hits = _binned(*_pairs(confidence, correct), bins)
    return float(np.abs(sums - hits).sum() / n.sum())


def calibration_interval(groups: Sequence[tuple[ArrayLike, ArrayLike]], *, seed: int = 0) -> Interval:
    """Return the calibration error of (confidence, correct) by problem, with a bootstrap interval."""
    filled = [pair for pair in groups if len(pair[0])]
    if not filled:
        raise InputError("groups", len(groups), "problems without an answer", "see the unextracted share")
    cells = np.stack([np.concatenate(_binned(*_pairs(*pair), BINS)) for pair in filled])

    def error(sums: np.ndarray) -> np.ndarray:
        n, stated, right = np.split(sums, [BINS, 2 * BINS], axis=-1)
        return np.abs(stated - right).sum(axis=-1) / n.sum(axis=-1)

    value = float(error(cells.sum(axis=0)))
    generator = np.random.default_rng(seed)
    n = len(cells)
    # The basic bootstrap over problems (percentiles mirrored at the value), because resampling adds to the
    # error's upward bias what sampling added before (Davison & Hinkley 1997, section 5.2); stretched to hold
    # the value.
    chosen = generator.multinomial(n, np.full(n, 1 / n), size=DRAWS)
    low, high = 2 * value - np.quantile(error(chosen @ cells), intervals.TAILS[::-1])
    return Interval(value, float(min(max(low, 0.0), value)), float(max(min(high, 1.0), value)))


def _binned(stated: np.ndarray, right: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers, summed confidence and right answers of each bin."""
    if bins < 1:
        raise InputError("bins", bins, "must be at least 1", "use 10")
    bin_of = _bins_of(stated, bins)
    n, sums, hits = (np.bincount(bin_of, weights, bins) for weights in (None, stated, right))
    return n.astype(np.float64), sums, hits


def _bins_of(stated: np.ndarray, bins: int) -> np.ndarray:
    # 0.3 * 10 is 3.0000000000000004: rounded, so that an upper edge stays in its bin.
    return np.clip(np.ceil(np.round(stated * bins, 9)).astype(int) - 1, 0, bins - 1)


def _pairs(confidence: ArrayLike, correct: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    stated = np.asarray(confidence, np.float64)
    right = np.asarray(correct, np.float64)
    if stated.shape != right.shape or stated.ndim != 1 or not len(stated):
        problem = f"needs one outcome a confidence ({list(stated.shape)}), one or more"
        raise InputError("correct", list(right.shape), problem, "join both by sample")
    if not ((stated >= 0) & (stated <= 1)).all():
        raise InputError("confidence", stated[:5].tolist(), "outside [0, 1]", "divide percentages by 100")
    return stated, right


# Every metric of an evaluation, one number a problem, from its graded samples


class Measure(NamedTuple):
    """One metric of every problem."""

    values: np.ndarray  # (n,), NaN where a problem has none
    k: int  # samples of one attempt
    unit: str = "share"
    bounds: tuple[float, float] = SHARES  # ends of the scale; the upper one of counts is infinite


def measures(groups: Groups, k: int) -> dict[str, Measure]:
    """Return every metric that the samples at hand allow, of k or more samples a problem.

    Samples have ``correct`` and, where known, ``extracted``, ``n_tokens`` and ``truncated``.
    """
    counts = np.array([len(group) for group in groups])
    correct = np.array([sum(bool(row["correct"]) for row in group) for group in groups])
    metrics = {f"pass@{j}": Measure(pass_at_k(counts, correct, j), j) for j in range(1, k + 1)}
    whole = bool((counts == k).all())
    votes = []
    if _known(groups, "extracted"):
        votes = [[_vote(row) for row in group] for group in groups]
    if votes:
        for name, rule in (("majority", majority_at_k), ("cons", cons_at_k)):
            for j in doubling(k):
                values = np.array([rule(vote, RIGHT, j) for vote in votes])
                metrics[f"{name}@{j}"] = Measure(values, j)
    if whole:  # pass@1 under the field's other name
        metrics[f"avg@{k}"] = Measure(correct / counts, k)
    for j in doubling(k)[k == 1 :]:
        metrics[f"pass^{j}"] = Measure(pass_hat_k(counts, correct, j), j)

    def mean(of: Callable[[dict], float], unit: str, bounds: tuple[float, float]) -> Measure:
        return Measure(np.array([np.mean([of(row) for row in group]) for group in groups]), k, unit, bounds)

    if _known(groups, "truncated"):
        metrics["truncated_share"] = mean(lambda row: row["truncated"], "share of samples", SHARES)
    if votes:
        metrics["unextracted_share"] = mean(lambda row: row["extracted"] is None, "share of samples", SHARES)
    if _known(groups, "n_tokens"):
        metrics["mean_tokens"] = mean(lambda row: row["n_tokens"], "tokens", COUNTS)
    if votes and whole:
        distinct = np.array([float(distinct_answers(vote)) for vote in votes])
        entropy = np.array([answer_entropy(vote) for vote in votes])
        metrics["distinct_answers"] = Measure(distinct, k, "answers", (0.0, float(k)))
        metrics["answer_entropy"] = Measure(entropy, k, "nats", (0.0, max(math.log(k), 1e-9)))
    if votes and counts.min() > 1:
        pairs = confidences(groups)
        brier = [np.mean((stated - right) ** 2) if len(stated) else np.nan for stated, right in pairs]
        metrics["brier"] = Measure(np.array(brier), k, "squared share")
    return metrics


def doubling(k: int) -> list[int]:
    """Return 2, 4, 8, ... up to k, and k itself."""
    return sorted({2**i for i in range(1, k.bit_length())} | {k})


def confidences(groups: Groups) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return confidence (`vote_confidence`) and correctness of the answered samples of each problem."""
    pairs = []
    for group in groups:
        stated = vote_confidence(list(map(_vote, group)))
        right = np.array([float(row["correct"]) for row in group])
        answered = ~np.isnan(stated)
        pairs.append((stated[answered], right[answered]))
    return pairs


def described(values: np.ndarray, bounds: tuple[float, float] = SHARES, *, seed: int = 0) -> dict[str, float]:
    """Return ``value, se, low, high`` of values, (n,) or (seeds, n); `seed` is of the bootstrap of counts."""
    if values.shape[-1] < 2:  # NaN: not known
        value = float(values.mean()) if values.size else np.nan
        return {"value": value, "se": np.nan, "low": np.nan, "high": np.nan}
    if bounds == COUNTS:
        interval = intervals.bootstrap_interval(values, bounds=COUNTS, seed=seed)
    else:
        interval = intervals.mean_interval(values, bounds=bounds)
    value, low, high = interval
    return {"value": value, "se": intervals.standard_error(values), "low": low, "high": high}


def calibration_error(groups: Groups, *, seed: int = 0) -> Interval | None:
    """Return the expected calibration error of all answered samples; None without answer or second sample."""
    if not _known(groups, "extracted") or min(map(len, groups)) < 2:
        return None
    pairs = [pair for pair in confidences(groups) if len(pair[0])]
    return calibration_interval(pairs, seed=seed) if pairs else None


def _vote(row: dict) -> str | None:
    return RIGHT if row["correct"] else row["extracted"]


def _known(groups: Groups, field: str) -> bool:
    return all(field in row for group in groups for row in group)
