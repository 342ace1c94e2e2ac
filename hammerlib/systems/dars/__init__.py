"""DARS (arXiv 2508.13755): more rollouts for hard problems, so that their groups weigh as much as others'.

The sum of |A| over a group of binary rewards starves what is rarely solved. A second stage samples as many
more rollouts as restore it; both stages are one group. Breadth is a full batch, trained twice.
"""

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
    """Return S(u): the sum of |A| over N rollouts of accuracy u is N S(u), for ddof 0 without eps.

    2 sqrt(u (1 - u)) where advantages are divided by the group's deviation (`std`, GRPO), 2 u (1 - u) where
    not (Dr. GRPO); arXiv 2508.13755.
    """
    shares = np.asarray(accuracy, dtype=float)
    if not ((shares >= 0) & (shares <= 1)).all():
        raise InputError("accuracy", shares.tolist(), "is outside [0, 1]", "give shares of right rollouts")
    # N u completions of |A| = 1 - u and N (1 - u) of |A| = u: 2 N u (1 - u), over the deviation with `std`
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
    """Return how many rollouts a problem with so many right of N gets in the second stage.

    ``et`` gives every hard problem the sum of |A| of one at u = 1/2, N S*; ``hw`` gives it 2 (1 - u) N S*,
    more to harder ones: ``ceil((target - N S(u)) / S(u))``; 0 from u = 1/2 on. Without a right rollout u is
    0.5 / N (``unsolved: half``, the code), or all that is allowed is given (``limit``, a line commented out
    there). ``schedule_ET`` and ``schedule_HW`` of the code of arXiv 2508.13755.
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
        # half a right rollout, for S(0) = 0 would ask for infinitely many
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
    # without both kinds of answers every advantage is 0
    return (rewarded > 0) & (rewarded < upper * totals)


def merged_groups(first: int, extra: ArrayLike, kept: ArrayLike) -> np.ndarray:
    """Return the group of every rollout: `first` of the problem, then its `extra`; -1 where it is dropped."""
    # One name for both stages: the mean that advantages subtract is that of all N + dN rollouts.
    names = np.where(np.asarray(kept), np.arange(len(np.asarray(kept))), EXCLUDED)
    return np.repeat(names, first + np.asarray(extra))


class Depth(NamedTuple):
    """What a problem gives in a step, in the mean: rollouts, their sum of |A|, chance of a mixed group."""

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
    """Return what a problem of pass rate p gives after both stages, exactly (ours); no `limit`: plain GRPO.

    The first stage has X of N right, binomial; the second Y of dN(X). Of N + dN rollouts with X + Y right the
    sum of |A| is (N + dN) S((X + Y) / (N + dN)).
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
        # Y of dN(X): the second stage is as often right as the first
        chances = binom.pmf(more, extra, rate)
        merged = right + more
        # E over X, then over Y given X: dN depends on the first stage alone
        mean_rollouts += chance * total
        mass += chance * total * float(chances @ signal(merged / total, std=std))
        mixed += chance * float(chances[(merged > 0) & (merged < total)].sum())
    return Depth(float(mean_rollouts), float(mass), float(mixed))
