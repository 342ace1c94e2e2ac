"""When a group teaches something: the chance of mixed outcomes, its course over training, and its count."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from scipy.stats import binom

from hammerlib.errors import InputError
from hammerlib.runs import RunRecord

EPS = 1e-4  # beside the deviation, TRL's


def mixed_probability(rate: ArrayLike, group: int = 8) -> np.ndarray:
    """Return the chance that a group holds right and wrong answers, 1 - p^G - (1 - p)^G, for pass rates p.

    Symmetric in p and 1 - p: a hard problem has no more signal than an easy one at the start. arXiv
    2508.14094's reason (only groups with variance teach), for independent samples.
    """
    rates = np.asarray(rate, dtype=float)
    if not ((rates >= 0) & (rates <= 1)).all():
        raise InputError("rate", rates.tolist(), "is outside [0, 1]", "give pass rates")
    if group < 2:
        raise InputError("group", group, "is below 2", "GRPO compares completions of a group")
    # 1 - all right - all wrong
    return 1 - rates**group - (1 - rates) ** group


def expected_path(rate: float, *, group: int = 8, pace: float = 0.2, steps: int = 100) -> np.ndarray:
    """Return the pass rate (steps + 1,) of one problem over expected GRPO steps on its own logit (ours).

    A policy that is right with probability p = sigmoid(z) takes steps of `pace` times the mean over the
    group's outcomes of (1/G) sum A_i d log pi(o_i) / dz, with A as in TRL (ddof 1, plus 1e-4). Advantages sum
    to 0, so that the sum is c A_right for c right answers of G; rates of 0 and 1 never move.
    """
    mixed_probability(rate, group)
    right = np.arange(1, group)
    # c right of G: deviation sqrt(c (G - c) / (G (G - 1))), A_right = (1 - c / G) / (deviation + eps)
    spread = np.sqrt(right * (group - right) / (group * (group - 1)))
    step = right * (1 - right / group) / (spread + EPS) / group
    with np.errstate(divide="ignore"):
        logits = [float(logit(rate))]
    for _ in range(steps):
        # dz = pace sum_c P(c of G right) c A_right(c) / G
        logits.append(logits[-1] + pace * float(binom.pmf(right, group, expit(logits[-1])) @ step))
    return expit(np.array(logits))


class Learnable(NamedTuple):
    """Learnable percentage as shares in [0, 1]: of steps with a group whose rewards vary, and of such groups.

    With one prompt a step both are the same; with several, the word of arXiv 2508.14094 covers both.
    """

    steps: float
    groups: float


def learnable_share(zero_variance: ArrayLike) -> Learnable:
    """Return the learnable percentage of a run from one share of groups without variance a step."""
    shares = np.asarray(zero_variance, dtype=float)
    if shares.ndim != 1 or not shares.size or not ((shares >= 0) & (shares <= 1)).all():
        problem = "must be one share in [0, 1] a step"
        raise InputError("zero_variance", shares.shape, problem, "see metrics.csv")
    return Learnable(float((shares < 1).mean()), float(1 - shares.mean()))


def learnable(record: RunRecord) -> Learnable:
    """Return the learnable percentage of a training run, of rewards as graded."""
    table = record.table("metrics.csv")
    return learnable_share(table.loc[table["metric"] == "zero_variance_share", "value"])
