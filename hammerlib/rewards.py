"""Reward functions with TRL's signature, on top of `hammerlib.grading`, and the DRA wrapper."""

from __future__ import annotations

import functools
import inspect
import itertools
import json
import math
import os
import re
from collections.abc import Callable, Sequence

import numpy as np
from hammerlib.grading import Verdict, grade

from hammerlib.dra import PAPER_EPS, adjust_rewards, diversity_weights
from hammerlib.errors import InputError

Completion = str | list[dict[str, str]]
Reward = Callable[..., list[float | None]]
_FINAL = re.compile(r"\\boxed\s*\{\s*[^\s}]|<answer>\s*\S.*?</answer>", re.DOTALL)


def text_of(completion: Completion) -> str:
    """Return a completion's text: the string itself, or all turns' content joined by one space.

    Source: the released DRA code joins turns that way.

    Examples
    --------
    >>> text_of([{"role": "assistant", "content": "4"}])
    '4'
    """
    return completion if isinstance(completion, str) else " ".join(turn["content"] for turn in completion)


@functools.lru_cache(maxsize=16384)
def _verdict(text: str, answer: str, scorer: str | None, metadata: str | None) -> Verdict:
    extra = {"scorer": scorer, "metadata": metadata} if scorer else {}
    return grade(text, {"answer": answer, **extra})


def verdicts(
    completions: Sequence[Completion],
    answer: Sequence[str | None],
    scorer: Sequence[str | None] | None = None,
    metadata: Sequence[str | None] | None = None,
) -> list[Verdict | None]:
    """Grade completions against their problems' columns; repeated pairs are graded once.

    Parameters
    ----------
    completions : sequence of str or message lists, length n
    answer, scorer, metadata : sequences of length n
        Columns of the problem table, repeated per completion.

    Returns
    -------
    list of Verdict or None, length n
        None where the problem has no gold answer, so nothing can be said.

    Examples
    --------
    >>> [v.correct for v in verdicts([r"so \\boxed{4}", "no idea"], ["4", "4"])]
    [True, False]
    """
    count = len(completions)
    columns = zip(completions, answer, scorer or [None] * count, metadata or [None] * count, strict=True)
    return [
        _verdict(text_of(said), gold, by, data) if gold is not None and str(gold).strip() else None
        for said, gold, by, data in columns
    ]


def accuracy_reward(
    prompts: Sequence | None = None,
    completions: Sequence[Completion] = (),
    completion_ids: Sequence | None = None,
    *,
    answer: Sequence[str | None],
    scorer: Sequence[str | None] | None = None,
    metadata: Sequence[str | None] | None = None,
    **columns: object,
) -> list[float | None]:
    """Return 1.0 for a correct completion, 0.0 for a wrong one, None where there is no gold answer.

    Parameters
    ----------
    prompts, completion_ids, **columns
        Passed by TRL, not used.
    completions, answer, scorer, metadata
        See `verdicts`.

    Returns
    -------
    list of float or None
        In {0, 1}; TRL leaves rows of None out of baseline and gradient.

    Examples
    --------
    >>> accuracy_reward(None, [r"\\boxed{4}", r"\\boxed{5}", r"\\boxed{4}"], answer=["4", "4", None])
    [1.0, 0.0, None]
    """
    return [
        None if one is None else float(one.correct) for one in verdicts(completions, answer, scorer, metadata)
    ]


def format_reward(
    prompts: Sequence | None = None,
    completions: Sequence[Completion] = (),
    completion_ids: Sequence | None = None,
    **columns: object,
) -> list[float | None]:
    r"""Return 1.0 where a completion states exactly one final answer, else 0.0.

    A final answer is a non-empty ``\boxed{...}`` or ``<answer>...</answer>``; two of them are as bad as none,
    because a grader must then guess. Source: ours.

    Returns
    -------
    list of float
        In {0, 1}.

    Examples
    --------
    >>> format_reward(None, ["\\boxed{4}", "<answer>4</answer>", "4", "\\boxed{4} or \\boxed{5}"])
    [1.0, 1.0, 0.0, 0.0]
    """
    return [float(len(_FINAL.findall(text_of(said))) == 1) for said in completions]


def cosine_reward(
    prompts: Sequence | None = None,
    completions: Sequence[Completion] = (),
    completion_ids: Sequence | None = None,
    *,
    answer: Sequence[str | None],
    scorer: Sequence[str | None] | None = None,
    metadata: Sequence[str | None] | None = None,
    max_len: int = 1000,
    correct_range: tuple[float, float] = (0.5, 1.0),
    wrong_range: tuple[float, float] = (-1.0, -0.5),
    **columns: object,
) -> list[float | None]:
    """Return a correctness reward scaled by length: short right answers gain most, short wrong ones lose most.

    ``r = low + (high - low) (1 + cos(pi t / max_len)) / 2`` with t the number of completion tokens, clamped at
    `max_len`; for a wrong completion the bounds swap. Source: "Demystifying Long Chain-of-Thought Reasoning"
    (arXiv 2502.03373, Appendix C.1) as clamped by TRL's ``get_cosine_scaled_reward``, with its default bounds.

    Parameters
    ----------
    completions, answer, scorer, metadata
        See `verdicts`.
    completion_ids : sequence of token id lists
        Their lengths are t.
    max_len : int
        Length in tokens where the schedule ends.
    correct_range, wrong_range : (low, high)
        Bounds of the reward.

    Returns
    -------
    list of float or None
        None where there is no gold answer.

    Raises
    ------
    InputError
        `max_len` below 1, or `completion_ids` missing.

    Examples
    --------
    >>> cosine_reward(None, [r"\\boxed{4}", r"\\boxed{5}"], [[0] * 50] * 2, answer=["4", "4"], max_len=100)
    [0.75, -0.75]
    """
    if max_len < 1:
        raise InputError("max_len", max_len, "must be at least 1 token", "use max_completion_length")
    if completion_ids is None:
        raise InputError(
            "completion_ids", None, "are needed to measure length", "pass the completions' token ids"
        )
    rewards: list[float | None] = []
    for one, ids in zip(verdicts(completions, answer, scorer, metadata), completion_ids, strict=True):
        if one is None:
            rewards.append(None)
            continue
        low, high = correct_range if one.correct else wrong_range[::-1]
        share = (1 + math.cos(math.pi * min(len(ids) / max_len, 1.0))) / 2
        rewards.append(low + (high - low) * share)
    return rewards


REWARDS: dict[str, Reward] = {"accuracy": accuracy_reward, "format": format_reward, "cosine": cosine_reward}


class DRAReward:
    """DRA as one TRL reward function: the weighted sum of `base_rewards`, adjusted within each group.

    It must be the trainer's *only* reward function, because the adjustment multiplies the sum. Groups are read
    from runs of equal problem ids (or prompts); the raw mean of every base reward goes to ``log_metric``.

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
        No or coroutine base rewards, weights of another number, a group size below 1; when called: rows that do
        not form whole groups (with the formula that the batch must satisfy).

    Notes
    -----
    Source: arXiv 2505.09655 Section 3.2 as a wrapper over TRL's public interface (ours). It sees this process's
    rows only, hence the need for whole groups. Base rewards that do not apply (None) drop out of the sum; where
    none applies the result is None.

    Examples
    --------
    >>> def one_hot(texts): return np.eye(9)[[len(text) for text in texts]]
    >>> reward = DRAReward(accuracy_reward, one_hot, group_size=3)
    >>> said = [r"\\boxed{4}", r"\\boxed{4}", r"\\boxed{5}"]
    >>> [round(r, 3) for r in reward(["2+2"] * 3, [s[:8] for s in said], answer=["4"] * 3)]
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
            f"the {len(texts)} rows of this process are not whole groups (runs of equal problems: {runs[:12]})",
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
