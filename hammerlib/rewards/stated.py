"""Rewards for a stated probability: proper scores of what then happened."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError
from hammerlib.grading import final_answer
from hammerlib.rewards.graded import Column
from hammerlib.rewards.shape import Completion, check_rows, text_of

SCORES = ("log", "quadratic")
LOWEST = 0.01  # what a completion without a readable percentage is taken to say about what happened


def proper_score(probability: ArrayLike, outcome: ArrayLike, score: str = "log") -> np.ndarray:
    """Return the reward of a stated probability of a binary outcome; only the true one maximises its mean.

    ``log``: a log p + (1 - a) log(1 - p), in nats, at most 0. ``quadratic`` (Brier 1950): -(a - p)^2.
    Source: arXiv 2508.11800; Gneiting & Raftery 2007.
    """
    stated, happened = np.asarray(probability, float), np.asarray(outcome, float)
    if score not in SCORES:
        raise InputError("score", score, "is unknown", f"use one of {', '.join(SCORES)}")
    inside = (stated > 0) & (stated < 1) if score == "log" else (stated >= 0) & (stated <= 1)
    if not inside.all():
        raise InputError("probability", stated[~inside].ravel()[0], "is not inside (0, 1)", "clip it before")
    if not np.isin(happened, (0.0, 1.0)).all():
        raise InputError("outcome", np.unique(happened)[:5].tolist(), "must be 0 or 1", "give what happened")
    if score == "log":
        return np.where(happened == 1, np.log(stated), np.log1p(-stated))
    return -((happened - stated) ** 2)


def stated_probability(text: str) -> float | None:
    """Return the whole percentage from 1 to 99 that a completion marks as its answer, as a share."""
    marked = final_answer(text) if "\\boxed{" in text else None
    if marked is None or not (marked.isascii() and marked.isdigit()) or not 1 <= int(marked) <= 99:
        return None
    return int(marked) / 100


def log_score_reward(
    *, completions: Sequence[Completion], answer: Column, **columns: object
) -> list[float | None]:
    """Return the log score of every stated percentage, in [log 0.01, log 0.99]; None without an outcome.

    The ``answer`` column holds the outcome, "0" or "1"; log 0.01 without a readable percentage, as in arXiv
    2508.11800 (perturb-seq task; the answer tags there are ``\\boxed`` here).
    """
    return _scored(completions, answer, "log", math.log(LOWEST))


def quadratic_score_reward(
    *, completions: Sequence[Completion], answer: Column, **columns: object
) -> list[float | None]:
    """Return minus the squared distance of every stated percentage to the outcome; -1 without one (ours)."""
    return _scored(completions, answer, "quadratic", -1.0)


def _scored(
    completions: Sequence[Completion], answer: Column, score: str, lowest: float
) -> list[float | None]:
    check_rows(completions, answer=answer)
    rewards: list[float | None] = []
    for completion, outcome in zip(completions, answer, strict=True):
        if outcome not in (None, "", "0", "1"):
            raise InputError("answer", outcome, "is not an outcome, 0 or 1", "train this reward on forecasts")
        stated = stated_probability(text_of(completion))
        if not outcome:
            rewards.append(None)
        elif stated is None:
            rewards.append(lowest)
        else:
            rewards.append(float(proper_score(stated, int(outcome), score)))
    return rewards
