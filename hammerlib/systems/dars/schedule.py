"""Depth by difficulty as pure functions: how many more rollouts a problem gets, and what that does."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom

from hammerlib.advantages import EXCLUDED
from hammerlib.errors import InputError, check_name, check_whole

SCHEDULES = ("et", "hw", "none")
UNSOLVED = ("half", "limit")
SOLVED = 0.5  # accuracy from which on a problem gets nothing more
NEVER = 1e-6  # accuracy up to which the code takes a problem as never solved
# Total rollouts at 0 to 4 right of N = 8 in an earlier commit of the code, which looked them up.
EARLIER_TOTALS = {"et": (32, 18, 11, 9, 8), "hw": (48, 24, 12, 9, 8)}


def signal(accuracy: ArrayLike, *, std: bool = False) -> np.ndarray:
    """Return S(u), the cumulative advantage of a group a rollout: sum of |A| over N rollouts is N S(u).

    Parameters
    ----------
    accuracy : array-like
        u, share of right rollouts in [0, 1], any shape.
    std : bool
        Advantages are divided by the group's deviation (GRPO): 2 sqrt(u (1 - u)), at most 1. Without
        (Dr. GRPO): 2 u (1 - u), at most 1/2.

    Returns
    -------
    float64 array of the shape of `accuracy`

    Raises
    ------
    InputError
        A share outside [0, 1].

    Notes
    -----
    Source: arXiv 2508.13755 and its code. Exact for the deviation of ddof 0 without eps.

    Examples
    --------
    >>> (8 * signal([0.125, 0.25, 0.5])).tolist()
    [1.75, 3.0, 4.0]
    """
    shares = np.asarray(accuracy, dtype=float)
    if not ((shares >= 0) & (shares <= 1)).all():
        raise InputError("accuracy", shares.tolist(), "is outside [0, 1]", "give shares of right rollouts")
    spread = shares * (1 - shares)
    return 2 * np.sqrt(spread) if std else 2 * spread


def extra_rollouts(
    correct: int,
    rollouts: int,
    limit: int,
    *,
    schedule: str = "et",
    std: bool = False,
    unsolved: str = "half",
) -> int:
    """Return how many rollouts a problem gets in the second stage.

    ``et`` gives every hard problem the sum of |A| of one at u = 1/2, N S*; ``hw`` gives it
    2 (1 - u) N S*, more to harder ones: ``ceil((target - N S(u)) / S(u))``, at most ``limit - rollouts``.

    Parameters
    ----------
    correct, rollouts : int
        Right rollouts of the first stage, out of N.
    limit : int
        N_max, most rollouts of a problem over both stages, at least N.
    schedule : str
        ``et`` (equal treatment), ``hw`` (hardness weighted), ``none``.
    std : bool
        Which S, see `signal`; that of the advantages which are trained.
    unsolved : str
        A problem without a right rollout: ``half`` takes u = 0.5 / N (the code), ``limit`` gives all that is
        allowed (a line commented out there).

    Returns
    -------
    int
        0 from u = 1/2 on.

    Raises
    ------
    InputError
        An unknown schedule or word, counts that do not fit.

    Notes
    -----
    Source: ``schedule_ET`` and ``schedule_HW`` of the code of arXiv 2508.13755.

    Examples
    --------
    >>> [extra_rollouts(correct, 8, 32) for correct in range(5)]
    [24, 11, 3, 1, 0]
    >>> [extra_rollouts(correct, 8, 64, schedule="hw") for correct in range(5)]
    [56, 24, 8, 3, 0]
    """
    check_name("schedule", schedule, SCHEDULES)
    check_name("unsolved", unsolved, UNSOLVED)
    check_whole("rollouts", rollouts, 1, "sample at least one rollout")
    if not 0 <= correct <= rollouts:
        raise InputError("correct", correct, f"of {rollouts} rollouts", "count the right ones")
    if limit < rollouts:
        raise InputError("limit", limit, f"is below the {rollouts} rollouts of the first stage", "raise it")
    accuracy = correct / rollouts
    if schedule == "none" or accuracy >= SOLVED:
        return 0
    if accuracy <= NEVER:
        if unsolved == "limit":
            return limit - rollouts
        accuracy = 0.5 / rollouts
    now = float(signal(accuracy, std=std))
    target = float(signal(SOLVED, std=std))  # S*, the peak of S
    if schedule == "hw":
        target *= 2 * (1 - accuracy)
    # (N + dN) S(u) = N S* (et) or 2 (1 - u) N S* (hw). The rounding keeps 16.000000000000004 from being 17.
    missing = math.ceil(round(rollouts * (target - now) / now, 9))
    return min(missing, limit - rollouts)


def kept_groups(rewarded: ArrayLike, totals: ArrayLike, *, upper: float = 1.0) -> np.ndarray:
    """Return which merged groups are trained: with accuracy above 0 and below `upper` (the code's 1)."""
    rewarded = np.asarray(rewarded)
    totals = np.asarray(totals)
    return (rewarded > 0) & (rewarded < upper * totals)


def merged_groups(first: int, extra: ArrayLike, kept: ArrayLike) -> np.ndarray:
    """Return the group of every rollout: `first` of the problem, then its `extra`; -1 where it is dropped."""
    # One name for both stages: the mean that advantages subtract is that of all N + dN rollouts.
    names = np.where(np.asarray(kept), np.arange(len(np.asarray(kept))), EXCLUDED)
    return np.repeat(names, first + np.asarray(extra))


class Depth(NamedTuple):
    """What one problem gives in one step, in the mean over all outcomes; exact.

    Attributes
    ----------
    rollouts : float
        Of both stages.
    mass : float
        Sum of |A| over them.
    mixed : float
        Chance that the merged group holds right and wrong ones.

    Notes
    -----
    Source: ours, from the binomial distributions of both stages.

    Examples
    --------
    >>> Depth(8.0, 1.5, 0.6).rollouts
    8.0
    """

    rollouts: float
    mass: float
    mixed: float


def expected_depth(
    rate: float,
    rollouts: int,
    limit: int | None = None,
    *,
    schedule: str = "et",
    std: bool = False,
    unsolved: str = "half",
) -> Depth:
    """Return what a problem of pass rate p gives after both stages, without sampling.

    The first stage has X of N right, binomial; the second Y of dN(X). Of N + dN rollouts with X + Y right the
    sum of |A| is (N + dN) S((X + Y) / (N + dN)).

    Parameters
    ----------
    rate : float
        p in [0, 1].
    rollouts : int
        N.
    limit : int, optional
        N_max; default N: plain GRPO.
    schedule, std, unsolved
        As for `extra_rollouts`.

    Returns
    -------
    Depth

    Raises
    ------
    InputError
        A rate outside [0, 1], and what `extra_rollouts` refuses.

    Notes
    -----
    Source: ours; what arXiv 2508.13755 argues from S(u) at the estimated u, here in the mean over X and Y.

    Examples
    --------
    >>> plain = expected_depth(0.1, 8)
    >>> deep = expected_depth(0.1, 8, 32)
    >>> [round(value, 3) for value in plain], [round(value, 3) for value in deep]
    ([8.0, 1.26, 0.57], [23.02, 3.931, 0.966])
    """
    if not 0 <= rate <= 1:
        raise InputError("rate", rate, "is outside [0, 1]", "give a pass rate")
    limit = rollouts if limit is None else limit
    mean_rollouts = mass = mixed = 0.0
    for right in range(rollouts + 1):
        chance = binom.pmf(right, rollouts, rate)
        extra = extra_rollouts(right, rollouts, limit, schedule=schedule, std=std, unsolved=unsolved)
        total = rollouts + extra
        more = np.arange(extra + 1)
        chances = binom.pmf(more, extra, rate)
        merged = right + more
        mean_rollouts += chance * total
        mass += chance * total * float(chances @ signal(merged / total, std=std))
        mixed += chance * float(chances[(merged > 0) & (merged < total)].sum())
    return Depth(float(mean_rollouts), float(mass), float(mixed))
