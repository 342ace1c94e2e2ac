"""Self-play with variants as pure functions: bands, rewards, which groups are trained, and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hammerlib.errors import InputError

SEEDS = (0.125, 0.5)  # accuracy of a problem whose correct responses are rewritten
USEFUL = (0.125, 0.625)  # accuracy on a variant that makes its synthesis good


def check_band(field: str, band: Sequence[float]) -> None:
    """Refuse what is no interval inside [0, 1]."""
    low, high = band
    if not 0 <= low <= high <= 1:
        raise InputError(field, list(band), "is no interval inside [0, 1]", "give its lower end first")


def in_band(correct: int, total: int, band: Sequence[float]) -> bool:
    """Say whether a group's accuracy lies in a band, both ends included.

    Parameters
    ----------
    correct, total : int
        Right responses of the group, and all of them.
    band : pair of float
        `SEEDS` for problems to rewrite, `USEFUL` for variants.

    Returns
    -------
    bool

    Raises
    ------
    InputError
        A band that is no interval inside [0, 1], counts that do not fit.

    Notes
    -----
    Source: arXiv 2508.14029 and its code, acc in [0.125, 0.500] and [0.125, 0.625].

    Examples
    --------
    >>> "".join("FT"[in_band(correct, 8, SEEDS)] for correct in range(9))
    'FTTTTFFFF'
    """
    check_band("band", band)
    if not 0 <= correct <= total or total < 1:
        raise InputError("correct", correct, f"of {total} responses", "count the right ones of a group")
    low, high = band
    # Both ends are included, in counts: a quotient may miss them by a rounding.
    return low * total - 1e-9 <= correct <= high * total + 1e-9


def synthesis_reward(correct: int | None, total: int, band: Sequence[float] = USEFUL) -> float:
    """Return 1 for a synthesis whose variant is solved now and then, else 0; None correct: it is invalid.

    Parameters
    ----------
    correct : int or None
        Responses to the variant with the inherited answer; None where no variant could be extracted, or its
        prompt was too long.
    total : int
        Responses to it.
    band : pair of float

    Returns
    -------
    float

    Raises
    ------
    InputError
        As for `in_band`.

    Notes
    -----
    Source: arXiv 2508.14029, R_v = 1[acc_l <= mean R_c <= acc_h]. Others are 0, negative only after the
    group's mean is subtracted.

    Examples
    --------
    >>> [int(synthesis_reward(correct, 8)) for correct in range(9)], synthesis_reward(None, 8)
    ([0, 1, 1, 1, 1, 1, 0, 0, 0], 0.0)
    """
    return float(correct is not None and in_band(correct, total, band))


def teaches(correct: int, total: int) -> bool:
    """Say whether a group of answers is trained: 0 < accuracy < 1."""
    return 0 < correct < total


def trained_syntheses(rewards: Sequence[float]) -> bool:
    """Say whether syntheses are trained: one of them is good; where all are, they stay, at advantage 0."""
    return any(reward > 0 for reward in rewards)


class Cost(NamedTuple):
    """Completions of one step: answers, syntheses, answers to variants.

    Attributes
    ----------
    answers, syntheses, variants : int

    Notes
    -----
    Source: arXiv 2508.14029's code: B n + s n + v n, v at most s n.

    Examples
    --------
    >>> sum(Cost(64, 32, 64))
    160
    """

    answers: int
    syntheses: int
    variants: int


def step_cost(problems: int, seeds: int, valid: int, n: int) -> Cost:
    """Return how many completions a step samples.

    Parameters
    ----------
    problems, seeds, valid : int
        Problems, correct responses that are rewritten, syntheses that hold a variant.
    n : int
        Rollouts of each prompt.

    Returns
    -------
    Cost

    Raises
    ------
    InputError
        More valid syntheses than there are.

    Notes
    -----
    Source: as `Cost`.

    Examples
    --------
    >>> step_cost(8, 4, 10, 8)
    Cost(answers=64, syntheses=32, variants=80)
    """
    if not 0 <= valid <= seeds * n:
        raise InputError("valid", valid, f"of {seeds * n} syntheses", "count those that hold a variant")
    return Cost(problems * n, seeds * n, valid * n)


def most_rows(n: int, band: Sequence[float] = SEEDS, seeds: int | None = None) -> int:
    """Return the largest number of completions that one problem can lead to in a step."""
    most = max((correct for correct in range(n + 1) if in_band(correct, n, band)), default=0)
    most = most if seeds is None else min(most, seeds)
    return n + most * n + most * n * n


def mislabelled_share(rewards: Sequence[float], golds: Sequence[str], truths: Sequence[str | None]) -> float:
    """Return the share of rewarded variants whose true answer is not the one they inherited; NaN without any.

    The method does not enforce that a rewriting keeps the answer; a policy that agrees with itself on a wrong
    one earns the reward all the same. Where a truth is unknown (None) the variant is left out.
    """
    wrong = [
        truth != gold
        for reward, gold, truth in zip(rewards, golds, truths, strict=True)
        if reward > 0 and truth is not None
    ]
    return float(np.mean(wrong)) if wrong else float("nan")
