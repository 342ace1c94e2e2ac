"""TTRL (arXiv 2504.16084) and the advantage side of ETTRL (arXiv 2508.11356): learning without labels.

The majority of a problem's own completions is its answer; metrics alone see the truth. ETTRL reshapes the
advantages by the entropy of the responses; no code of it is public, so that its formulas are second-hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binom

from hammerlib.advantages import EXCLUDED
from hammerlib.errors import InputError
from hammerlib.grading import grade
from hammerlib.moved import old_names


class Vote(NamedTuple):
    """The outcome of a vote."""

    label: str | None
    ratio: float


def majority_vote(answers: Sequence[str | None]) -> Vote:
    """Return the most frequent answer; equal strings agree, of a tie the answer seen first wins.

    None, where no answer could be read, does not vote. arXiv 2504.16084, equation 2; tie and None as in its
    code.
    """
    if not answers:
        raise InputError("answers", [], "hold no vote", "sample one or more completions")
    # counters keep the sequence of insertion, and so the first of equals
    counts = Counter(answer for answer in answers if answer is not None)
    if not counts:
        return Vote(None, 0.0)
    # eq. 2: argmax_a of the number of completions with the answer a
    label, count = counts.most_common(1)[0]
    return Vote(label, count / len(answers))


def agrees(answer: str | None, label: str | None) -> bool:
    """Say whether an answer is mathematically the label; never where one of them is missing."""
    if answer is None or label is None:
        return False
    return answer == label or grade(f"\\boxed{{{answer}}}", label).correct


def pseudo_rewards(answers: Sequence[str | None], label: str | None) -> list[float]:
    """Return 1 for every answer that equals the label mathematically, else 0; None rewards nobody."""
    # The vote is by string, the reward by equivalence, as in the code of arXiv 2504.16084 (equation 3).
    return [float(agrees(answer, label)) for answer in answers]


def vote_metrics(
    answers: Sequence[str | None], right: Sequence[bool], *, label_right: bool, kept: int | None = None
) -> dict[str, float]:
    """Return what a vote is worth; for watching only, since it needs the truth (TTRL's ``ttt_metrics.py``).

    ``reward_accuracy`` is the share of votes whose pseudo-reward is the true one; it is high for scattered
    answers even when the label is wrong. Metrics of the first `kept`, which are trained, come with ``post_``;
    the label stays that of all votes.
    """
    if len(right) != len(answers):
        raise InputError("right", len(right), f"judgements for {len(answers)} answers", "judge every answer")
    if kept is not None and not 1 <= kept <= len(answers):
        raise InputError("kept", kept, f"of {len(answers)} votes", "keep from 1 to all of them")
    label = majority_vote(answers).label
    rewards = pseudo_rewards(answers, label)
    voted = [answer is not None and answer == label for answer in answers]
    faithful = [reward == float(true) for reward, true in zip(rewards, right, strict=True)]
    metrics = {"label_accuracy": float(label_right)}
    for prefix, n in (("", len(answers)), ("post_", kept)):
        if n is None:
            continue
        # the label stays that of all votes, also where fewer are trained
        metrics[f"{prefix}reward_accuracy"] = sum(faithful[:n]) / n
        metrics[f"{prefix}majority_ratio"] = sum(voted[:n]) / n
        metrics[f"{prefix}ground_truth_ratio"] = sum(map(bool, right[:n])) / n
        metrics[f"{prefix}pass"] = float(any(right[:n]))
    return metrics


def expected_push(right: float, votes: int) -> tuple[float, float]:
    """Return how far a group moves the logit of the right one of two answers, by majority and by true labels.

    With X of N completions right and rewards for one of the answers, ``(1/N) sum (r_i - mean r)(x_i - p)`` is
    X (N - X) / N^2 when the right answer is rewarded, and minus that when the other is; a tie is rewarded
    either way. By majority the mean is below 0 where p < 1/2 (N above 2), which locks the wrong answer in.
    Ours, exact; advantages are not divided. For N = 3: 2/3 p (1 - p) (2 p - 1) and 2/3 p (1 - p).
    """
    if not 0 <= right <= 1:
        raise InputError("right", right, "is outside [0, 1]", "give a probability")
    if votes < 1:
        raise InputError("votes", votes, "must be at least 1", "use 64")
    # rewards for the right answer push its logit by X (N - X) / N^2, for the other by minus that
    x = np.arange(votes + 1)
    # E[X (N - X) / N^2], with the sign of the answer that the majority rewards
    size = binom.pmf(x, votes, right) * x * (votes - x) / votes**2
    return float(size @ np.sign(2 * x - votes)), float(size.sum())


def entropy_scale(entropies: np.ndarray, groups: np.ndarray, *, clamp_min: float | None = None) -> np.ndarray:
    """Return what multiplies each advantage, (n,): ``Y = 2 - H / mean of the group's H`` (Adv-Res of ETTRL).

    Confident responses are amplified, uncertain ones damped, for both signs of the advantage. The mean of Y
    over a group is 1, but reshaped advantages no longer sum to 0. A response with more than twice the mean
    entropy gets a negative Y, which *reverses* its gradient: the formula as reported (arXiv 2508.11356, two
    notes) has no clamp; `clamp_min` is ours. Completions that are not trained, and groups without any
    entropy, get 1.
    """
    entropies = np.asarray(entropies, float)
    groups = np.asarray(groups)
    if entropies.ndim != 1 or entropies.shape != groups.shape:
        shapes = [entropies.shape, groups.shape]
        remedy = "give one of each a response"
        raise InputError("entropies, groups", shapes, "must both be of length n", remedy)
    if not (entropies >= 0).all():
        raise InputError("entropies", entropies.min(), "are not all at least 0", "give mean token entropies")
    scale = np.ones(len(entropies))
    for group in np.unique(groups[groups != EXCLUDED]):
        rows = groups == group
        mean = entropies[rows].mean()
        if mean > 0:
            scale[rows] = 2 - entropies[rows] / mean  # Adv-Res: Y = 2 - H / mean H
    return scale if clamp_min is None else np.maximum(scale, clamp_min)


def clip_advantages(advantages: np.ndarray, beta: float = 2.0) -> np.ndarray:
    """Return advantages cut to [-beta, beta]: Adv-Clip of ETTRL (arXiv 2508.11356), 2 in one note on it."""
    if not beta > 0:
        raise InputError("beta", beta, "must be above 0", "use 2")
    return np.clip(np.asarray(advantages, float), -beta, beta)


__getattr__ = old_names(__name__)
