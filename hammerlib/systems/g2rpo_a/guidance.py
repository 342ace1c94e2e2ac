"""G2RPO-A as pure functions: who is guided, how far, how the length follows the accuracy, where it rests."""

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
    """Return how many rows of a group are guided, ceil(alpha G).

    Parameters
    ----------
    alpha : float
        Share, in [0, 1].
    size : int
        G.

    Returns
    -------
    int
        0 with alpha 0 alone; the same in every group. (The released code deals the pattern "2 of 12" over
        groups of 10, whose guided rows are then 2, 2, 2, 2, 2, 0, 2.)

    Raises
    ------
    InputError
        A share outside [0, 1].

    Notes
    -----
    Source: arXiv 2508.13023.

    Examples
    --------
    >>> [guided_count(alpha, 10) for alpha in (0, 0.25, 0.3, 0.7, 1)]
    [0, 3, 3, 7, 10]
    """
    if not (isfinite(alpha) and 0 <= alpha <= 1):
        raise InputError("alpha", alpha, "is outside [0, 1]", "give the share of guided rows, such as 0.25")
    return ceil(round(alpha * size, 9))  # 0.7 x 10 is 7.000000000000001


def before_answer(text: str) -> str:
    """Return a trace up to its last boxed answer, all of it where there is no box."""
    place = text.rfind(BOX)
    return text if place < 0 else text[:place]


def guidance(trace: Sequence[int], length: float, *, most: int | None = None) -> list[int]:
    """Return the tokens of a trace that are put before a completion.

    Parameters
    ----------
    trace : sequence of T int
        Token ids of a correct solution, two or more.
    length : float
        Tokens to give, rounded down.
    most : int, optional
        Tokens before the answer, which guidance must not tell; default: all but the last token.

    Returns
    -------
    list of int
        The first min(length, most, T - 1) ids of the trace: nothing is padded.

    Raises
    ------
    InputError
        A trace of fewer than two tokens.

    Notes
    -----
    Source: arXiv 2508.13023. The released code pads short traces with pad ids inside the completion, and
    decodes and tokenises the guidance again; here ids stay ids.

    Examples
    --------
    >>> guidance([5, 6, 7, 8], 2.9), guidance([5, 6, 7, 8], 9), guidance([5, 6, 7, 8], 9, most=2)
    ([5, 6], [5, 6, 7], [5, 6])
    """
    if len(trace) < 2:
        remedy = "leave this problem out, or give its solution"
        raise InputError("trace", len(trace), "tokens cannot be cut: fewer than 2", remedy)
    last = len(trace) - 1 if most is None else min(most, len(trace) - 1)
    return list(trace[: min(int(length), last)])


def released_length(length: float, accuracies: Sequence[float], *, longest: float) -> float:
    """Return the next length by the released code's rule of three steps.

    Two steps are collected; at the third, with avg the mean of their accuracies and cur its own, the length
    is multiplied by avg / cur: worse than before lengthens it, better shortens it.

    Parameters
    ----------
    length : float
        Of the step that has just been graded, in tokens.
    accuracies : sequence of k float
        Of all steps so far, this one last.
    longest : float
        Upper end, in the code the initial length.

    Returns
    -------
    float
        A whole number from 1 on where it moves; as it was in the first two steps of a cycle, where cur equals
        avg, or where one of them is 0.

    Notes
    -----
    Source: ``g2rpoa_trainer.py`` of arXiv 2508.13023's code, where the rule moves only if a reward function
    is named ``accuracy_reward``; in the released configuration none is, and the length never changes.

    Examples
    --------
    >>> released_length(100, [0.6, 0.4, 0.4], longest=3072)
    125
    """
    if len(accuracies) % 3 or not accuracies:
        return length
    current = accuracies[-1]
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
    """Return the next length by the paper's rule, ``l (1/m) sum_{tau=1..m} r_{k-tau} / r_k``.

    Parameters
    ----------
    length : float
        Of the step that has just been graded, in tokens; not rounded, so that small moves add up.
    accuracies : sequence of k + 1 float
        Of all steps so far, this one, r_k, last.
    window : int
        T; m = min(T, k).
    longest, shortest : float
        Ends of the length (ours).

    Returns
    -------
    float
        As it was without any earlier step, or where r_k is 0 (ours: the rule divides by it).

    Raises
    ------
    InputError
        A window below 1.

    Notes
    -----
    Source: arXiv 2508.13023, second-hand: symbols and direction from the authors' article, the form from
    their code and a reproduction. T is not known.

    Examples
    --------
    >>> paper_length(100.0, [0.75, 0.25, 0.5], window=2, longest=200)  # (0.25 + 0.75) / 2 = 0.5: no move
    100.0
    >>> paper_length(100.0, [0.75, 0.25, 0.25], window=2, longest=300)
    200.0
    """
    check_whole("window", window, 1, "use 2, as many steps as the released rule")
    earlier = accuracies[:-1][-window:]
    if not earlier or not accuracies[-1]:
        return length
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
    """Return the lengths of a controller whose signal follows its own length, exactly.

    Rows guided by l of L tokens are right with probability u^(1 - l / L), the others with u. The signal of
    all rows, ``alpha u^(1 - l/L) + (1 - alpha) u``, rises with the length that it steers; that of unguided
    ones does not.

    Parameters
    ----------
    unguided : (K,) array
        u of every step, in (0, 1].
    trace : float
        L, tokens of a solution; also the longest guidance.
    length : float
        Guidance of the first step.
    alpha : float
        Share of guided rows.
    rule : str
        ``paper`` or ``released``.
    window : int
        T of the paper's rule.
    signal : str
        ``all`` or ``unguided``.

    Returns
    -------
    (K,) float array
        Length of every step, the first as given.

    Notes
    -----
    Source: ours. With T = 1 and away from its ends the rule keeps ``l_{k+1} r_k`` as it is: the length is the
    first step's product over the accuracy, whatever the accuracy ought to be (`resting_length`).

    Examples
    --------
    >>> feedback_path([0.2, 0.2, 0.4, 0.4], trace=40, length=20, alpha=0.5, signal="unguided").tolist()
    [20.0, 20.0, 20.0, 10.0]
    """
    lengths = [float(length)]
    accuracies: list[float] = []
    for rate in unguided:
        accuracy = float(rate)
        if signal == "all":
            guided = guided_accuracy(rate, min(lengths[-1], trace) / trace)
            accuracy = float(alpha * guided + (1 - alpha) * rate)
        accuracies.append(accuracy)
        if rule == "released":
            lengths.append(float(released_length(lengths[-1], accuracies, longest=trace)))
        else:
            lengths.append(paper_length(lengths[-1], accuracies, window=window, longest=trace, shortest=0))
    return np.array(lengths[:-1])


def resting_length(product: float, unguided: float, *, trace: float, alpha: float) -> float:
    """Return the length l at which ``l r(l) = product``, r the accuracy of all rows: the rule's fixed point.

    Parameters
    ----------
    product : float
        Length times accuracy of the step before, which the paper's rule with T = 1 keeps.
    unguided : float
        u, in (0, 1].
    trace : float
        L; no length is longer.
    alpha : float
        Share of guided rows; 0: a signal of unguided rows alone.

    Returns
    -------
    float
        At most L. The point is reached only where ``l r'(l) / r(l) < 1``: otherwise the length swings.

    Notes
    -----
    Source: ours, for the model of `feedback_path`.

    Examples
    --------
    >>> round(resting_length(4.0, 0.4, trace=40, alpha=0.0), 6)
    10.0
    >>> resting_length(4.0, 0.4, trace=40, alpha=0.5) < 10
    True
    """

    def excess(length: float) -> float:
        accuracy = alpha * guided_accuracy(unguided, length / trace) + (1 - alpha) * unguided
        return float(length * accuracy - product)

    if excess(trace) <= 0:
        return float(trace)
    return float(brentq(excess, 0.0, trace))


def noise_growth(rate: float, rollouts: int, *, window: int = 2) -> float:
    """Return what sampling noise alone does to the guidance: the mean of log(avg / cur) in a step.

    Parameters
    ----------
    rate : float
        Accuracy, the same at every step, in (0, 1).
    rollouts : int
        Completions whose mean is an accuracy.
    window : int
        Earlier steps that are averaged.

    Returns
    -------
    float
        Above 0 the length grows: a mean of several steps varies less than one. Below 0 where a step often has
        no right completion at all: the rules leave the length then, and the others look too good.

    Notes
    -----
    Source: ours, exact binomial sums, for a length away from its ends and unrounded.

    Examples
    --------
    >>> [round(noise_growth(rate, 64), 3) for rate in (0.02, 0.1, 0.5)]
    [-0.267, 0.042, 0.004]
    """
    if not 0 < rate < 1:
        raise InputError("rate", rate, "is outside (0, 1)", "give an accuracy")

    def mean_log(trials: int) -> float:
        right = np.arange(1, trials + 1)
        chances = binom.pmf(right, trials, rate)
        return float(chances @ np.log(right / trials) / chances.sum())

    return mean_log(window * rollouts) - mean_log(rollouts)
