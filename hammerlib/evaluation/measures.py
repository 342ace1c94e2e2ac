"""Every metric of an evaluation, one number a problem, from its graded samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from hammerlib.evaluation.calibration import calibration_interval, vote_confidence
from hammerlib.evaluation.intervals import SHARES, Interval, mean_interval
from hammerlib.evaluation.metrics import (
    answer_entropy,
    cons_at_k,
    distinct_answers,
    majority_at_k,
    pass_at_k,
    pass_hat_k,
)
from hammerlib.evaluation.statistics import bootstrap_interval

# Any string that no extractor returns: right answers of different spelling vote together.
RIGHT = "\0right"
COUNTS = (0.0, math.inf)  # scale of tokens
SHARE, SAMPLES = "share", "share of samples"
Groups = Sequence[Sequence[dict]]


class Measure(NamedTuple):
    """One metric of every problem.

    Attributes
    ----------
    values : ndarray, (n,)
        By problem; NaN where a problem has none.
    k : int
        Samples of one attempt.
    unit : str
    bounds : (float, float)
        Ends of the scale; the upper one is infinite for counts without a limit.

    Examples
    --------
    >>> Measure(np.array([0.5]), 1, "share", (0.0, 1.0)).k
    1
    """

    values: np.ndarray
    k: int
    unit: str
    bounds: tuple[float, float]


def measures(groups: Groups, k: int) -> dict[str, Measure]:
    """Return every metric that the samples at hand allow.

    Parameters
    ----------
    groups : sequence of sequences of dict
        Samples by problem, k or more each, with ``correct`` and, where known, ``extracted``, ``n_tokens``
        and ``truncated``.
    k : int
        Largest number of samples of one attempt.

    Returns
    -------
    dict
        ``pass@1`` ... ``pass@k``; ``majority@j`` and ``cons@j`` for j = 2, 4, ... k; ``avg@k`` (where every
        problem has k samples: the mean of all, which is pass@1 under the field's other name); ``pass^j``;
        ``truncated_share``, ``unextracted_share``, ``mean_tokens``, ``distinct_answers``,
        ``answer_entropy`` (nats), ``brier`` (of the confidences of `confidences`; problems without an answer
        have none).

    Raises
    ------
    InputError
        A problem with fewer than k samples.

    Examples
    --------
    >>> rows = [{"correct": True, "extracted": "4"}, {"correct": False, "extracted": "5"}]
    >>> {name: float(found.values[0]) for name, found in measures([rows], 2).items()}["pass@2"]
    1.0
    """
    counts = np.array([len(group) for group in groups])
    correct = np.array([sum(bool(row["correct"]) for row in group) for group in groups])
    found = {f"pass@{j}": Measure(pass_at_k(counts, correct, j), j, SHARE, SHARES) for j in range(1, k + 1)}
    whole = bool((counts == k).all())
    votes = [[_vote(row) for row in group] for group in groups] if _known(groups, "extracted") else None
    if votes:
        for name, rule in (("majority", majority_at_k), ("cons", cons_at_k)):
            for j in doubling(k):
                each = np.array([rule(vote, RIGHT, j) for vote in votes])
                found[f"{name}@{j}"] = Measure(each, j, SHARE, SHARES)
    if whole:
        found[f"avg@{k}"] = Measure(correct / counts, k, SHARE, SHARES)
    for j in doubling(k)[k == 1 :]:
        found[f"pass^{j}"] = Measure(pass_hat_k(counts, correct, j), j, SHARE, SHARES)
    found |= _means(groups, k)
    if votes and whole:
        found |= _answers(votes, k)
    if votes and counts.min() > 1:
        found["brier"] = Measure(_brier(groups, votes), k, "squared share", SHARES)
    return found


def doubling(k: int) -> list[int]:
    """Return 2, 4, 8, ... up to k, and k itself.

    Examples
    --------
    >>> doubling(6), doubling(1)
    ([2, 4, 6], [1])
    """
    return sorted({2**i for i in range(1, k.bit_length())} | {k})


def confidences(groups: Groups) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return confidence and correctness of the answered samples of each problem.

    The confidence of an answer is the share of the problem's other samples that agree, right answers of any
    spelling with each other (`calibration.vote_confidence`).

    Examples
    --------
    >>> rows = [{"correct": True, "extracted": "4"}, {"correct": True, "extracted": "4.0"}]
    >>> confidences([rows])
    [(array([1., 1.]), array([1., 1.]))]
    """
    return _confidences(groups, [[_vote(row) for row in group] for group in groups])


def interval_of(measure: Measure, *, seed: int = 0) -> Interval | None:
    """Return the mean over problems with its interval; None for the ends of a single problem.

    Parameters
    ----------
    measure : Measure
    seed : int
        Of the bootstrap of counts without a limit.

    Returns
    -------
    Interval or None
        None when fewer than two problems have a value, or all are equal on a scale without known ends.

    Examples
    --------
    >>> interval_of(Measure(np.array([0.0, 1.0]), 1, "share", (0.0, 1.0))).value
    0.5
    """
    values = measure.values[~np.isnan(measure.values)]
    if len(values) < 2:
        return None
    if measure.bounds == COUNTS:
        found = bootstrap_interval(values, bounds=COUNTS, seed=seed)
        return None if np.isnan(found.low) else found
    return mean_interval(values, bounds=measure.bounds)


def calibration_error(groups: Groups, *, seed: int = 0) -> Interval | None:
    """Return the expected calibration error of all answered samples, with its interval over problems.

    Returns
    -------
    Interval or None
        None where no problem has an answer and a second sample.

    Examples
    --------
    >>> rows = [{"correct": True, "extracted": "4"}, {"correct": True, "extracted": "4"}]
    >>> calibration_error([rows, rows]).value
    0.0
    """
    known = _known(groups, "extracted") and min(map(len, groups)) > 1
    pairs = [pair for pair in confidences(groups) if len(pair[0])] if known else []
    return calibration_interval(pairs, seed=seed) if pairs else None


def _vote(row: dict) -> str | None:
    return RIGHT if row["correct"] else row["extracted"]


def _known(groups: Groups, field: str) -> bool:
    return all(field in row for group in groups for row in group)


def _means(groups: Groups, k: int) -> dict[str, Measure]:
    rules: tuple[tuple[str, str, Callable[[dict], float], str], ...] = (
        ("truncated_share", "truncated", lambda row: row["truncated"], SAMPLES),
        ("unextracted_share", "extracted", lambda row: row["extracted"] is None, SAMPLES),
        ("mean_tokens", "n_tokens", lambda row: row["n_tokens"], "tokens"),
    )
    found = {}
    for name, field, of, unit in rules:
        if _known(groups, field):
            each = np.array([np.mean([of(row) for row in group]) for group in groups])
            found[name] = Measure(each, k, unit, SHARES if unit == SAMPLES else COUNTS)
    return found


def _answers(votes: list[list[str | None]], k: int) -> dict[str, Measure]:
    distinct = np.array([float(distinct_answers(vote)) for vote in votes])
    entropy = np.array([answer_entropy(vote) for vote in votes])
    return {
        "distinct_answers": Measure(distinct, k, "answers", (0.0, float(k))),
        "answer_entropy": Measure(entropy, k, "nats", (0.0, max(math.log(k), 1e-9))),
    }


def _brier(groups: Groups, votes: list[list[str | None]]) -> np.ndarray:
    pairs = _confidences(groups, votes)
    return np.array([np.mean((said - right) ** 2) if len(said) else np.nan for said, right in pairs])


def _confidences(groups: Groups, votes: list[list[str | None]]) -> list[tuple[np.ndarray, np.ndarray]]:
    found = []
    for group, vote in zip(groups, votes, strict=True):
        said, right = vote_confidence(vote), np.array([float(row["correct"]) for row in group])
        answered = ~np.isnan(said)
        found.append((said[answered], right[answered]))
    return found
