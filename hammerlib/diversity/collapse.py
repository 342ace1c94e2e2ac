"""Which arm keeps the right modes of `modes`: reward as it is, adjusted, and a placebo; exact and sampled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hammerlib.diversity.advantages import SCALES, batched_advantages
from hammerlib.diversity.modes import checked_modes, effective_modes, exact_policy, softmax

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from hammerlib.diversity.modes import Adjust

# Middle 90 % of the sampled runs.
BAND = (0.05, 0.95)


def sampled_policies(
    start: np.ndarray,
    right: np.ndarray,
    vectors: np.ndarray,
    adjust: Adjust | None = None,
    *,
    runs: int = 100,
    placebo: bool = False,
    group_size: int = 8,
    scale_rewards: str = "group",
    rate: float = 0.5,
    steps: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """Train the policy as `exact_policy` does, but on one sampled group a step, in many runs.

    Parameters
    ----------
    start, right, vectors, adjust, placebo, group_size, scale_rewards, rate, steps
        As in `exact_policy`; the placebo draws one shuffle a group.
    runs : int
        Independent trainings.
    seed : int

    Returns
    -------
    (steps + 1, runs, M) float64 array

    Raises
    ------
    InputError
        As in `exact_policy`.

    Examples
    --------
    >>> start, right = np.array([0.4, 0.1, 0.5]), np.array([True, True, False])
    >>> sampled_policies(start, right, np.eye(3), steps=5, runs=2).shape
    (6, 2, 3)
    """
    start, right = checked_modes(start, right, vectors)
    generator = np.random.default_rng(seed)
    every = np.arange(len(start))
    logits = np.tile(np.log(start), (runs, 1))
    told = [softmax(logits)]
    for _ in range(steps):
        bounds = told[-1].cumsum(axis=1)[:, None, :-1]
        members = (generator.random((runs, group_size, 1)) > bounds).sum(axis=2)
        rewards = right[members].astype(np.float64)
        if placebo and adjust is not None:
            weights = adjust(np.ones(members.shape), np.asarray(vectors)[members])
            rewards *= generator.permuted(weights, axis=1)
        elif adjust is not None:
            rewards = adjust(rewards, np.asarray(vectors)[members])
        advantages = batched_advantages(rewards, scale_rewards=scale_rewards)
        pull = (advantages[..., None] * (members[..., None] == every)).sum(axis=1)
        logits = logits + rate / group_size * pull
        told.append(softmax(logits))
    return np.stack(told)


def mode_arms(
    start: np.ndarray,
    right: np.ndarray,
    kernels: Mapping[str, np.ndarray],
    adjust: Adjust,
    *,
    group_size: int = 8,
    rate: float = 0.5,
    steps: int = 1000,
    runs: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """Train three arms under every kernel and scaling, exactly and in sampled runs.

    Arms: `none` (rewards as they are), `dra` (rewards through `adjust`), `placebo` (the weights of `adjust`,
    shuffled within the group: the same numbers, without a bearing on redundancy).

    Parameters
    ----------
    start, right, adjust, group_size, rate, steps, runs, seed
        As in `exact_policy` and `sampled_policies`.
    kernels : mapping of str to (M, d) array
        Embeddings of the modes, by name.

    Returns
    -------
    DataFrame
        Columns scale_rewards (`group`, `none`), kernel, arm, step, modes (effective number of right modes of
        the exact policy), low, high (middle 90 % of the sampled runs), share_right (of the exact policy).

    Raises
    ------
    InputError
        As in `exact_policy`.

    Examples
    --------
    >>> from hammerlib.diversity.modes import equicosine
    >>> start, right = np.array([0.4, 0.1, 0.5]), np.array([True, True, False])
    >>> square = lambda rewards, vectors: rewards**2
    >>> frame = mode_arms(start, right, {"block": equicosine(3, 0)}, square, steps=2, runs=3)
    >>> len(frame), frame["arm"].unique().tolist()
    (18, ['none', 'dra', 'placebo'])
    """
    import pandas as pd

    found = []
    shared = {"group_size": group_size, "rate": rate, "steps": steps}
    for scale in SCALES:
        for kernel, vectors in kernels.items():
            for arm in ("none", "dra", "placebo"):
                options = {"placebo": arm == "placebo", "scale_rewards": scale, **shared}
                weigh = None if arm == "none" else adjust
                exact = exact_policy(start, right, vectors, weigh, **options)
                sampled = sampled_policies(start, right, vectors, weigh, runs=runs, seed=seed, **options)
                low, high = np.quantile(effective_modes(sampled, right), BAND, axis=1)
                rows = {"scale_rewards": scale, "kernel": kernel, "arm": arm, "step": np.arange(steps + 1)}
                rows |= {"modes": effective_modes(exact, right), "low": low, "high": high}
                found.append(pd.DataFrame(rows | {"share_right": exact[:, np.asarray(right)].sum(axis=1)}))
    return pd.concat(found, ignore_index=True)


def right_ways(completions: pd.DataFrame) -> pd.DataFrame:
    """Return how many ways the right completions of each training step were found in, effectively.

    Parameters
    ----------
    completions : DataFrame
        Columns step, correct (rows that are not True are left out) and way (any label).

    Returns
    -------
    DataFrame
        Columns step, metric (`right_ways`), value: exp of the entropy of the ways among the step's right
        completions, at least 1; steps without any are left out. It reads few completions as fewer ways.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = {"step": 1, "correct": [True, True, False], "way": ["tens", "columns", "check"]}
    >>> right_ways(pd.DataFrame(rows))["value"].round(6).tolist()
    [2.0]
    """
    right = completions[completions["correct"].eq(True)]
    counts = right.groupby("step")["way"].value_counts().unstack(fill_value=0)
    values = effective_modes(counts.to_numpy(dtype=np.float64), np.ones(counts.shape[1], dtype=bool))
    return counts[[]].reset_index().assign(metric="right_ways", value=values)
