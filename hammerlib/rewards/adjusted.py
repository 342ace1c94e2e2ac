"""DRA as a reward function over TRL's public interface."""

from __future__ import annotations

import functools
import inspect
import itertools
import json
import math
import os
from collections.abc import Callable, Sequence

import numpy as np

from hammerlib.dra import PAPER_EPS, adjust_rewards, diversity_weights
from hammerlib.errors import InputError
from hammerlib.rewards.graded import Completion, Reward, text_of


class DRAReward:
    """DRA as one TRL reward function: the weighted sum of `base_rewards`, adjusted within each group.

    It must be the trainer's *only* reward function, because the adjustment multiplies the sum. Groups are
    read from runs of equal problem ids (or prompts); the raw mean of every base reward goes to
    ``log_metric``.

    Parameters
    ----------
    base_rewards : callable or sequence of callables
        TRL reward functions (not coroutines).
    embed : callable, list of n str -> array (n, d)
        Embeds completion texts (without the prompt).
    group_size : int
        Completions per prompt in training (TRL's ``num_generations``).
    weights : sequence of float, optional
        One per base reward; default all 1.
    group_size_eval : int, optional
        TRL's ``num_generations_eval`` where it differs.
    sign, eps
        See `hammerlib.dra.adjust_rewards`.

    Raises
    ------
    InputError
        No or coroutine base rewards, weights of another number, a group size below 1; when called: rows that
        do not form whole groups (with the formula that the batch must satisfy).

    Notes
    -----
    Source: arXiv 2505.09655 Section 3.2 as a wrapper over TRL's public interface (ours). It sees this
    process's rows only, hence the need for whole groups. Base rewards that do not apply (None) drop out of
    the sum; where none applies the result is None.

    Examples
    --------
    >>> from hammerlib.rewards import accuracy_reward
    >>> reward = DRAReward(accuracy_reward, lambda texts: np.ones((len(texts), 2)), group_size=3)
    >>> said = [r"\\boxed{4}", r"\\boxed{4}", r"\\boxed{5}"]
    >>> [round(r, 3) for r in reward(["2+2"] * 3, said, answer=["4"] * 3)]
    [0.333, 0.333, 0.0]
    """

    __name__ = "dra"

    def __init__(
        self,
        base_rewards: Reward | Sequence[Reward],
        embed: Callable[[list[str]], np.ndarray],
        group_size: int,
        weights: Sequence[float] | None = None,
        *,
        group_size_eval: int | None = None,
        sign: str = "paper",
        eps: float = PAPER_EPS,
    ) -> None:
        self.base_rewards: list[Reward] = [base_rewards] if callable(base_rewards) else list(base_rewards)
        self.embed, self.sign, self.eps = embed, sign, eps
        self.weights = (
            np.ones(len(self.base_rewards)) if weights is None else np.asarray(weights, dtype=float)
        )
        self.group_sizes = [group_size] if group_size_eval is None else [group_size, group_size_eval]
        self.raw = np.zeros(0)
        if not self.base_rewards or len(self.weights) != len(self.base_rewards):
            raise InputError(
                "weights",
                self.weights.tolist(),
                f"do not fit {len(self.base_rewards)} base rewards",
                "give at least one reward function and one weight for each",
            )
        if any(inspect.iscoroutinefunction(reward) for reward in self.base_rewards):
            raise InputError(
                "base_rewards",
                "coroutine function",
                "cannot be awaited inside a synchronous reward",
                "wrap it in a plain function that runs it to its end",
            )
        if min(self.group_sizes) < 1:
            raise InputError(
                "group_size", min(self.group_sizes), "must be at least 1", "use the trainer's num_generations"
            )

    def __call__(
        self,
        prompts: Sequence,
        completions: Sequence[Completion],
        completion_ids: Sequence | None = None,
        *,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: object,
    ) -> list[float | None]:
        """Return the adjusted reward of each of n completions (None where no base reward applies).

        The raw sums stay in ``self.raw`` (n,) for telemetry.
        """
        size = self._group_size(columns.get("id") or prompts)
        table = np.array(
            [
                [
                    math.nan if r is None else r
                    for r in reward(
                        prompts=prompts,
                        completions=completions,
                        completion_ids=completion_ids,
                        log_metric=log_metric,
                        **columns,
                    )
                ]
                for reward in self.base_rewards
            ],
            dtype=float,
        )
        self.raw = raw_sum(table.T, self.weights)
        vectors = np.asarray(self.embed([text_of(said) for said in completions]), dtype=float)
        grouped = vectors.reshape(-1, size, vectors.shape[-1])
        adjusted = adjust_rewards(self.raw.reshape(-1, size), grouped, sign=self.sign, eps=self.eps).ravel()
        if log_metric is not None:
            self._log(log_metric, table, diversity_weights(grouped, eps=self.eps))
        return [None if math.isnan(value) else float(value) for value in adjusted]

    def _log(self, log_metric: Callable[[str, float], None], table: np.ndarray, weights: np.ndarray) -> None:
        for reward, row in zip(self.base_rewards, table, strict=True):
            if not np.isnan(row).all():
                log_metric(f"raw/{_name(reward)}", float(np.nanmean(row)))
        log_metric("dra/mean_weight", float(weights.mean()))

    def _group_size(self, keys: Sequence) -> int:
        texts = [key if isinstance(key, str) else json.dumps(key, sort_keys=True) for key in keys]
        runs = [len(list(rows)) for _, rows in itertools.groupby(texts)]
        for size in self.group_sizes:
            if all(run % size == 0 for run in runs):
                return size
        raise InputError(
            "group_size",
            self.group_sizes[0],
            f"{len(texts)} rows on this process are not whole groups (runs of equal problems: {runs[:12]})",
            "choose per_device_train_batch_size x steps_per_generation as a multiple of num_generations "
            f"(here {len(texts)} rows on each of {os.environ.get('WORLD_SIZE', '1')} processes)",
        )


def raw_sum(table: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted sum (n,) of a reward table (n, F): NaN cells drop out, rows of NaN stay NaN.

    Source: TRL's ``nansum`` over reward functions.

    Examples
    --------
    >>> raw_sum(np.array([[1.0, np.nan], [np.nan, np.nan]]), np.array([2.0, 1.0])).tolist()
    [2.0, nan]
    """
    total = np.nansum(table * weights, axis=1)
    total[np.isnan(table).all(axis=1)] = math.nan
    return total


def _name(reward: Reward) -> str:
    while isinstance(reward, functools.partial):
        reward = reward.func
    return getattr(reward, "__name__", type(reward).__name__)
