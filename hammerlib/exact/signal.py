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
    """Return the chance that a group holds right and wrong answers, 1 - p^G - (1 - p)^G.

    Parameters
    ----------
    rate : array-like
        Pass rates p in [0, 1], any shape.
    group : int
        Completions a prompt, G; at least 2.

    Returns
    -------
    float64 array of the shape of `rate`
        Symmetric in p and 1 - p: a hard problem has no more signal than an easy one at the start.

    Raises
    ------
    InputError
        Rates outside [0, 1], a group below 2.

    Notes
    -----
    Source: arXiv 2508.14094's reason (only groups with variance teach), for independent samples.

    Examples
    --------
    >>> mixed_probability([0.1, 0.5, 0.9]).round(5).tolist()
    [0.56953, 0.99219, 0.56953]
    """
    rates = np.asarray(rate, dtype=float)
    if not ((rates >= 0) & (rates <= 1)).all():
        raise InputError("rate", rates.tolist(), "is outside [0, 1]", "give pass rates")
    if group < 2:
        raise InputError("group", group, "is below 2", "GRPO compares completions of a group")
    return 1 - rates**group - (1 - rates) ** group


def expected_path(rate: float, *, group: int = 8, pace: float = 0.2, steps: int = 100) -> np.ndarray:
    """Return the pass rate of one problem over expected GRPO steps on its own logit.

    A policy that is right with probability p = sigmoid(z) takes steps of `pace` times the mean over the
    group's outcomes of (1/G) sum A_i d log pi(o_i) / dz, with A as in TRL (deviation of ddof 1, plus 1e-4).

    Parameters
    ----------
    rate : float
        Pass rate at the start, in [0, 1]; 0 and 1 never move.
    group : int
        G, at least 2.
    pace : float
        Learning rate on the logit.
    steps : int

    Returns
    -------
    (steps + 1,) float64 array

    Raises
    ------
    InputError
        As for `mixed_probability`.

    Notes
    -----
    Source: ours. Advantages sum to 0, so the sum is c A_right for c right answers of G.

    Examples
    --------
    >>> bool(expected_path(0.1, steps=100)[-1] > 0.9), float(expected_path(0.0)[-1])
    (True, 0.0)
    """
    mixed_probability(rate, group)
    right = np.arange(1, group)
    # c right of G: deviation sqrt(c (G - c) / (G (G - 1))), A_right = (1 - c / G) / (deviation + eps)
    spread = np.sqrt(right * (group - right) / (group * (group - 1)))
    step = right * (1 - right / group) / (spread + EPS) / group
    with np.errstate(divide="ignore"):
        logits = [float(logit(rate))]
    for _ in range(steps):
        logits.append(logits[-1] + pace * float(binom.pmf(right, group, expit(logits[-1])) @ step))
    return expit(np.array(logits))


class Learnable(NamedTuple):
    """Learnable percentage at both levels, as shares in [0, 1].

    Attributes
    ----------
    steps : float
        Of steps with at least one group whose rewards vary.
    groups : float
        Of groups whose rewards vary, mean over steps. With one prompt a step both are the same.

    Notes
    -----
    Source: arXiv 2508.14094, "learnable percentage".

    Examples
    --------
    >>> Learnable(1.0, 0.5).groups
    0.5
    """

    steps: float
    groups: float


def learnable_share(zero_variance: ArrayLike) -> Learnable:
    """Return the learnable percentage of a run from its shares of groups without variance.

    Parameters
    ----------
    zero_variance : (steps,) array-like
        One share in [0, 1] a step (``zero_variance_share``, TRL's ``frac_reward_zero_std``).

    Raises
    ------
    InputError
        No step, or shares outside [0, 1].

    Notes
    -----
    Source: arXiv 2508.14094, "learnable percentage": share of training steps whose rewards vary within the
    group. With several prompts a step the paper's word covers both readings; both are returned.

    Examples
    --------
    >>> learnable_share([1.0, 0.5])
    Learnable(steps=0.5, groups=0.25)
    """
    shares = np.asarray(zero_variance, dtype=float)
    if shares.ndim != 1 or not shares.size or not ((shares >= 0) & (shares <= 1)).all():
        problem = "must be one share in [0, 1] a step"
        raise InputError("zero_variance", shares.shape, problem, "see metrics.csv")
    return Learnable(float((shares < 1).mean()), float(1 - shares.mean()))


def learnable(record: RunRecord) -> Learnable:
    """Return the learnable percentage of a training run, of rewards as graded.

    Notes
    -----
    Source: arXiv 2508.14094, see `learnable_share`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from hammerlib import TrainConfig, train
    >>> config = TrainConfig(n_problems=8, order="random", max_completion_length=4)
    >>> learnable(train(config, root=Path(tempfile.mkdtemp()), progress=False))
    Learnable(steps=0.0, groups=0.0)
    """
    table = record.table("metrics.csv")
    return learnable_share(table.loc[table["metric"] == "zero_variance_share", "value"])
