"""Calibration: does an answer given with confidence c turn out right with frequency c?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError
from hammerlib.evaluation.intervals import Interval

if TYPE_CHECKING:
    import pandas as pd

BINS = 10  # of equal width


def vote_confidence(answers: Sequence[str | None]) -> np.ndarray:
    """Return for each sample the share of the *other* samples that give the same answer.

    The sample's own vote is left out: with it, a lone answer among k would have confidence 1/k, though no
    other supports it. Left out, the share is unbiased for the chance that one more sample agrees.

    Parameters
    ----------
    answers : sequence of str or None
        One entry a sample, two or more; equal strings agree.

    Returns
    -------
    ndarray, (n,)
        In [0, 1]; NaN for a sample without an answer, which has nothing to be confident of. Other samples
        without one count as disagreeing.

    Raises
    ------
    InputError
        Fewer than two samples: there are no others.

    Examples
    --------
    >>> vote_confidence(["4", "4", "5", None]).round(3).tolist()
    [0.333, 0.333, 0.0, nan]
    """
    if len(answers) < 2:
        raise InputError("answers", len(answers), "samples: no others to agree", "draw two or more")
    counts = Counter(answers)
    others = [np.nan if one is None else counts[one] - 1 for one in answers]
    return np.array(others, dtype=np.float64) / (len(answers) - 1)


def brier_score(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Return the mean squared distance between confidence and outcome.

    Parameters
    ----------
    confidence : array-like, (n,)
        Stated probabilities or vote shares, in [0, 1].
    correct : array-like of bool, (n,)
        Whether each answer was right.

    Returns
    -------
    float
        In [0, 1]; 0 is best, always saying one half gives 0.25.

    Raises
    ------
    InputError
        Different lengths, no value, confidence outside [0, 1].

    References
    ----------
    Brier 1950, Verification of forecasts expressed in terms of probability.

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

    Raises
    ------
    InputError
        As in `brier_score`, bins < 1, or problems of another length.

    Notes
    -----
    Answers of one problem go together, so that the interval is Clopper's and Pearson's with the number of
    problems, weighted by their answers: (sum w)^2 / sum w^2. It runs wide where answers of a problem differ.

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

    stated, right = _pairs(confidence, correct)
    of = np.arange(len(stated)) if problems is None else np.unique(problems, return_inverse=True)[1]
    if of.shape != stated.shape:
        raise InputError("problems", list(of.shape), "one for each answer", "join them by sample")
    n, sums, hits = _binned(stated, right, bins)
    edges = np.arange(bins + 1) / bins
    with np.errstate(invalid="ignore"):
        means = {"confidence": sums / n, "accuracy": hits / n}
    weights = np.zeros((bins, of.max() + 1))
    np.add.at(weights, (_places(stated, bins), of), 1)
    low, high = _cluster_ends(weights, means["accuracy"])
    ends = {"accuracy_low": low, "accuracy_high": high}
    counts = {"n": n.astype(int), "problems": (weights > 0).sum(axis=1)}
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], **counts, **means, **ends})


def _cluster_ends(weights: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends at 95 % of each row's share, from the answers of its problems (bins, problems)."""
    from scipy.stats import beta

    with np.errstate(invalid="ignore"):
        number = weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1)
    hits = share * number
    low = np.where(hits > 0, beta.ppf(0.025, hits, number - hits + 1), 0 * number)
    high = np.where(number - hits > 0, beta.ppf(0.975, hits + 1, number - hits), 1 + 0 * number)
    return np.minimum(low, share), np.maximum(high, share)


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, *, bins: int = BINS) -> float:
    """Return the mean distance between confidence and accuracy over bins, weighted by their answers.

    Parameters
    ----------
    confidence, correct, bins
        As in `reliability_table`.

    Returns
    -------
    float
        In [0, 1]; noise in each bin's accuracy makes it too large for few answers, never zero.

    Raises
    ------
    InputError
        As in `reliability_table`.

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


def calibration_interval(
    groups: Sequence[tuple[ArrayLike, ArrayLike]],
    *,
    bins: int = BINS,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Return the expected calibration error of all problems with a bootstrap interval over problems.

    Parameters
    ----------
    groups : sequence of (confidence, correct)
        One pair of arrays a problem: samples of a problem are resampled together.
    bins : int
    level : float
    resamples : int
        Bootstrap draws.
    seed : int
        Of an own generator.

    Returns
    -------
    Interval
        The basic bootstrap interval (percentiles mirrored at the value), because resampling adds to the
        error's upward bias what sampling added before; stretched to hold the value, cut to [0, 1].

    Raises
    ------
    InputError
        No answer at all, or as in `reliability_table`.

    References
    ----------
    Davison & Hinkley 1997, Bootstrap Methods and their Application, section 5.2.

    Examples
    --------
    >>> found = calibration_interval([([1.0, 1.0], [1, 1]), ([0.5], [0])] * 20)
    >>> found.low <= found.value <= found.high
    True
    """
    filled = [pair for pair in groups if len(pair[0])]
    if not filled:
        raise InputError("groups", len(groups), "problems without an answer", "see the unextracted share")
    cells = np.stack([np.concatenate(_binned(*_pairs(*pair), bins)) for pair in filled])
    value = float(_error_of(cells.sum(axis=0), bins))
    generator, n = np.random.default_rng(seed), len(cells)
    chosen = generator.multinomial(n, np.full(n, 1 / n), size=resamples)
    found = _error_of(chosen @ cells, bins)
    low, high = 2 * value - np.quantile(found, [(1 + level) / 2, (1 - level) / 2])
    return Interval(value, float(min(max(low, 0.0), value)), float(max(min(high, 1.0), value)))


def _error_of(cells: np.ndarray, bins: int) -> np.ndarray:
    n, sums, hits = np.split(cells, [bins, 2 * bins], axis=-1)
    return np.abs(sums - hits).sum(axis=-1) / n.sum(axis=-1)


def _binned(stated: np.ndarray, right: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers, summed confidence and right answers of each bin."""
    if bins < 1:
        raise InputError("bins", bins, "must be at least 1", "use 10")
    places = _places(stated, bins)
    n, sums, hits = (np.bincount(places, weights, bins) for weights in (None, stated, right))
    return n.astype(np.float64), sums, hits


def _places(stated: np.ndarray, bins: int) -> np.ndarray:
    # 0.3 * 10 is 3.0000000000000004: rounded, so that an upper edge stays in its bin.
    return np.clip(np.ceil(np.round(stated * bins, 9)).astype(int) - 1, 0, bins - 1)


def _pairs(confidence: ArrayLike, correct: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    stated, right = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    if stated.shape != right.shape or stated.ndim != 1 or not len(stated):
        problem = f"needs one outcome a confidence ({list(stated.shape)}), one or more"
        raise InputError("correct", list(right.shape), problem, "join both by sample")
    if not ((stated >= 0) & (stated <= 1)).all():
        raise InputError("confidence", stated[:5].tolist(), "outside [0, 1]", "divide percentages by 100")
    return stated, right
