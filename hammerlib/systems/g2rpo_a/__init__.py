"""G2RPO-A (arXiv 2508.13023): part of every group starts from the beginning of a correct solution.

How much of it is given follows the accuracy: less as training succeeds, more as it fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isfinite

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

from hammerlib.errors import InputError, check_whole

RULES = ("released", "paper", "linear", "fixed")
BOX = "\\boxed"


def guided_count(alpha: float, size: int) -> int:
    """Return how many rows of every group are guided, ceil(alpha G); 0 with alpha 0 alone.

    (The released code deals the pattern "2 of 12" over groups of 10, whose guided rows are then 2, 2, 2, 2,
    2, 0, 2.)
    """
    if not (isfinite(alpha) and 0 <= alpha <= 1):
        raise InputError("alpha", alpha, "is outside [0, 1]", "give the share of guided rows, such as 0.25")
    return ceil(round(alpha * size, 9))  # 0.7 x 10 is 7.000000000000001


def before_answer(text: str) -> str:
    """Return a trace up to its last boxed answer, all of it where there is no box."""
    place = text.rfind(BOX)
    return text if place < 0 else text[:place]


def guidance(trace: Sequence[int], length: float, *, most: int | None = None) -> list[int]:
    """Return the first min(length, most, T - 1) token ids of a trace; `most` of them come before the answer.

    Nothing is padded: the released code of arXiv 2508.13023 puts pad ids inside the completion, and decodes
    and tokenises the guidance again.
    """
    if len(trace) < 2:
        remedy = "leave this problem out, or give its solution"
        raise InputError("trace", len(trace), "tokens cannot be cut: fewer than 2", remedy)
    # one token at least is left to be sampled
    last = len(trace) - 1 if most is None else min(most, len(trace) - 1)
    return list(trace[: min(int(length), last)])


def released_length(length: float, accuracies: Sequence[float], *, longest: float) -> float:
    """Return the next length by the released code's rule of three steps, from all accuracies so far.

    Two steps are collected; at the third, with avg the mean of their accuracies and cur its own, the length
    is multiplied by avg / cur: worse than before lengthens it, better shortens it. It stays where cur equals
    avg, or one of them is 0. In ``g2rpoa_trainer.py`` the rule moves only if a reward function is named
    ``accuracy_reward``; in the released configuration none is, and the length never changes.
    """
    # two steps are looked at, the third one moves
    if len(accuracies) % 3 or not accuracies:
        return length
    current = accuracies[-1]
    # l <- l avg / cur
    average = (accuracies[-3] + accuracies[-2]) / 2
    if current == average or not current or not average:
        return length
    moved = length * (average / current)
    if current < average:
        return int(min(moved, longest))
    return int(max(int(moved), 1))


def paper_length(
    length: float, accuracies: Sequence[float], *, window: int, longest: float, shortest: float = 1
) -> float:
    """Return the next length by the paper's rule, ``l (1/m) sum_{tau=1..m} r_{k-tau} / r_k``, m = min(T, k).

    `accuracies` are of all steps so far, this one, r_k, last; `window` is T, which is not known. The length
    is not rounded, so that small moves add up; it stays without an earlier step, or where r_k is 0 (ours).
    arXiv 2508.13023, second-hand: symbols and direction from the authors' article, the form from their code
    and a reproduction.
    """
    check_whole("window", window, 1, "use 2, as many steps as the released rule")
    earlier = accuracies[:-1][-window:]
    if not earlier or not accuracies[-1]:
        return length
    # l <- l (1/m) sum_tau r_{k - tau} / r_k
    moved = length * (float(np.mean(earlier)) / accuracies[-1])  # equal ones: exactly as it was
    return float(min(max(moved, shortest), longest))


def decayed_length(initial: float, step: int, steps: int) -> float:
    """Return the length that falls along a line from `initial` at step 0 to 0 at step `steps`, and stays."""
    return initial * max(0.0, 1 - step / steps)


# What the controller does by itself


def guided_accuracy(unguided: float | np.ndarray, share: float | np.ndarray) -> np.ndarray:
    """Return u^(1 - share): mistakes come at a constant rate, and none in the guided share of a solution."""
    return np.asarray(unguided, dtype=float) ** (1 - np.asarray(share, dtype=float))


def feedback_path(
    unguided: Sequence[float] | np.ndarray,
    *,
    trace: float,
    length: float,
    alpha: float,
    rule: str = "paper",
    window: int = 1,
    signal: str = "all",
) -> np.ndarray:
    """Return the lengths (K,) of a controller whose signal follows its own length, exactly (ours).

    Rows guided by l of L tokens (`trace`) are right with probability u^(1 - l / L), the others with u
    (`unguided`, of every step). The signal of all rows, ``alpha u^(1 - l/L) + (1 - alpha) u``, rises with the
    length that it steers; that of unguided ones does not. With T = 1 and away from its ends the rule keeps
    ``l_{k+1} r_k`` as it is: the length is the first step's product over the accuracy, whatever the accuracy
    ought to be (`resting_length`).
    """
    lengths = [float(length)]
    accuracies: list[float] = []
    for rate in unguided:
        accuracy = float(rate)
        if signal == "all":
            guided = guided_accuracy(rate, min(lengths[-1], trace) / trace)
            # r(l) = alpha u^(1 - l/L) + (1 - alpha) u
            accuracy = float(alpha * guided + (1 - alpha) * rate)
        accuracies.append(accuracy)
        if rule == "released":
            lengths.append(float(released_length(lengths[-1], accuracies, longest=trace)))
        else:
            lengths.append(paper_length(lengths[-1], accuracies, window=window, longest=trace, shortest=0))
    return np.array(lengths[:-1])


def resting_length(product: float, unguided: float, *, trace: float, alpha: float) -> float:
    """Return the length l, at most L, at which ``l r(l) = product``, r the accuracy of all rows (ours).

    It is the fixed point of the paper's rule with T = 1, which keeps length times accuracy; reached only
    where ``l r'(l) / r(l) < 1``: otherwise the length swings. `alpha` 0 is a signal of unguided rows alone.
    """

    def excess(length: float) -> float:
        accuracy = alpha * guided_accuracy(unguided, length / trace) + (1 - alpha) * unguided
        return float(length * accuracy - product)

    # l r(l) grows with l: one root, or the end
    if excess(trace) <= 0:
        return float(trace)
    return float(brentq(excess, 0.0, trace))


def noise_growth(rate: float, rollouts: int, *, window: int = 2) -> float:
    """Return what noise alone does to the guidance: the mean of log(avg / cur) in a step, exact (ours).

    Above 0 the length grows: a mean of several steps varies less than one. Below 0 where a step often has no
    right completion at all: the rules leave the length then, and the others look too good. For a length away
    from its ends and unrounded, and `rollouts` completions of one accuracy `rate` in (0, 1).
    """
    if not 0 < rate < 1:
        raise InputError("rate", rate, "is outside (0, 1)", "give an accuracy")

    def mean_log(trials: int) -> float:
        # a step without a right completion moves nothing: given that there is one
        right = np.arange(1, trials + 1)
        chances = binom.pmf(right, trials, rate)
        return float(chances @ np.log(right / trials) / chances.sum())

    # E log avg - E log cur: log is concave, so the noisier of the two is the lower
    return mean_log(window * rollouts) - mean_log(rollouts)
