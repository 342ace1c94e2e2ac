"""DRA as a reward function over TRL's public interface."""

from __future__ import annotations

import asyncio
import functools
import inspect
import itertools
import json
import math
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from hammerlib.advantages import EXCLUDED, rows_by_size
from hammerlib.dra import adjust_rewards, check_options, diversity_weights
from hammerlib.errors import InputError, check_whole
from hammerlib.rewards.shape import Completion, Reward, check_rows, text_of


@dataclass(frozen=True)
class Scored:
    """What DRA needs of n completions: their raw rewards and their embeddings."""

    raw: np.ndarray  # (n,) weighted sum of the base rewards; NaN where none applies
    vectors: np.ndarray  # (n, d) float64
    blank: np.ndarray  # (n,) bool, completions without a visible character whose vector is zero
    groups: np.ndarray | None = None  # (n,) names, -1: in none; None: runs of the group size


@dataclass(frozen=True)
class Given:
    """What a rollout says of the n completions of one call; None is found out as without a rollout."""

    rewards: np.ndarray | None = None  # (n,) in place of the weighted sum; NaN where base rewards decide
    groups: np.ndarray | None = None  # (n,) names of groups of any size and place, -1: in none
    texts: list[str] | None = None  # to embed


# Options of `adjust_rewards` that are not options of the kernel.
REWARD_OPTIONS = ("sign", "positives_only")


class DRAReward:
    """DRA as one TRL reward function: the weighted sum of `base_rewards`, adjusted within each group.

    It must be the trainer's *only* reward function, because the adjustment multiplies the sum. Groups are
    read from runs of equal problem ids (or prompts); the raw mean of every base reward goes to
    ``log_metric``.

    Parameters
    ----------
    base_rewards : callable or sequence of callables
        TRL reward functions; coroutine functions are awaited together.
    embed : callable, list of n str -> array (n, d)
        Embeds completion texts (without the prompt). A vector of zeros is allowed for completions without a
        visible character: they count as copies of each other, unlike anything else.
    group_size : int
        Completions per prompt in training (TRL's ``num_generations``).
    weights : sequence of float, optional
        One per base reward; default all 1.
    group_size_eval : int, optional
        TRL's ``num_generations_eval`` where it differs.
    deferred : bool
        Return the raw sums only and keep embeddings in ``self.scored``: a trainer that sees all processes
        calls `adjusted` on the parts of all of them, so that groups may straddle processes.
    local_rows : int, optional
        With ``scope="official-local"``: rows that one process of the released code saw at once, its
        ``per_device_train_batch_size``; default all rows of a call.
    **options
        Of `hammerlib.dra.adjust_rewards`: sign, positives_only, smi, clamp, centre, normalize, scope, eps;
        method with relevance, bonus and bound.

    Raises
    ------
    InputError
        No base rewards, or no functions; weights of another number, a group size or `local_rows` below 1, an
        option that `adjust_rewards` refuses; when called: lists of different lengths, rows that do not form
        whole groups (with the formula that the batch must satisfy), an embedder that returns another number
        of rows.

    Notes
    -----
    Source: arXiv 2505.09655 Section 3.2 as a wrapper over TRL's public interface (ours). It sees this
    process's rows only, hence the need for whole groups (not asked for under ``scope="official-local"``). TRL
    1.16 takes plain and coroutine reward functions and runs the latter on a loop of its own; this one is
    plain, runs either kind inside, and can be pickled if its parts can. Base rewards that do not apply
    (None) drop out of the sum; where none applies the result is None.

    Before a call a trainer may set ``given`` (`Given`): rewards in place of the sum, names of groups of any
    size and place, and other texts to embed.

    Examples
    --------
    >>> import numpy as np
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
        deferred: bool = False,
        local_rows: int | None = None,
        **options: object,
    ) -> None:
        if not isinstance(base_rewards, Sequence):
            base_rewards = [base_rewards]
        self.base_rewards: list[Reward] = list(base_rewards)
        for name, function in [("embed", embed), *(("base_rewards", reward) for reward in self.base_rewards)]:
            if not callable(function):
                raise InputError(name, function, "is no function", "give functions, as in the example")
        self.embed = embed
        self.deferred = deferred
        self.local_rows = local_rows
        self.options = check_options(options)
        self.by_process = self.options.pop("scope", "group") == "official-local"
        self.weights = np.ones(len(self.base_rewards)) if weights is None else np.asarray(weights)
        sizes = [group_size] if group_size_eval is None else [group_size, group_size_eval]
        remedy = "use the trainer's num_generations"
        self.group_sizes = [check_whole("group_size", size, 1, remedy) for size in sizes]
        self.scored = Scored(np.zeros(0), np.zeros((0, 1)), np.zeros(0, bool))
        self.given = Given()  # a trainer says it anew before each call
        fitting = self.weights.shape == (len(self.base_rewards),) and self.weights.dtype.kind in "fiu"
        if not self.base_rewards or not fitting:
            problem = f"do not fit {len(self.base_rewards)} base rewards"
            remedy = "give at least one reward function and one weight for each"
            raise InputError("weights", self.weights.tolist(), problem, remedy)
        if local_rows is not None:
            check_whole("local_rows", local_rows, 1, "use per_device_train_batch_size, or leave it out")

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

        The raw sums stay in ``self.raw`` (n,) for telemetry; `deferred` returns them as they are.
        """
        check_rows(completions, prompts=prompts, completion_ids=completion_ids)
        # Groups are looked for in the rows only where nobody names them: a deferred call is adjusted over the
        # rows of all processes later, the released code's scope takes whatever a process holds.
        size = 1
        if not (self.deferred or self.by_process or self.given.groups is not None):
            size = self._group_size(columns.get("id") or prompts)
        arguments = {"prompts": prompts, "completions": completions, "completion_ids": completion_ids}
        arguments |= {"log_metric": log_metric, **columns}
        scores = _finished([base(**arguments) for base in self.base_rewards])
        for reward, row in zip(self.base_rewards, scores, strict=True):
            check_rows(completions, **{_name(reward): row})
        # (F, n); where a reward does not apply it is NaN, which the sum leaves out
        table = np.array([[math.nan if r is None else r for r in row] for row in scores], dtype=float)
        raw = raw_sum(table.T, self.weights)
        if self.given.rewards is not None:
            own = ~np.isnan(self.given.rewards)
            raw[own] = self.given.rewards[own]
            table[:, own] = math.nan  # no base reward judged these
        self.scored = self._embedded(raw, self.given.texts or list(map(text_of, completions)))
        rewards = self.raw
        if not self.deferred:
            rewards, weights = self.adjusted([self.scored], size)
        if log_metric is not None:
            for reward, row in zip(self.base_rewards, table, strict=True):
                if not np.isnan(row).all():
                    log_metric(f"raw/{_name(reward)}", float(np.nanmean(row)))
            if not self.deferred and not np.isnan(weights).all():
                log_metric("dra/mean_weight", float(np.nanmean(weights)))
        return [None if math.isnan(value) else float(value) for value in rewards]

    @property
    def raw(self) -> np.ndarray:
        """Raw sums (n,) of the last call."""
        return self.scored.raw

    def adjusted(self, parts: Sequence[Scored], group_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return adjusted rewards and weights (N,) of the completions of all `parts`, in their sequence.

        A completion in no group keeps its reward; its weight is NaN, as all are under other methods than DRA.
        """
        raw = np.concatenate([scored.raw for scored in parts])
        vectors = np.concatenate([scored.vectors for scored in parts])
        blank = np.concatenate([scored.blank for scored in parts])
        size = (self.local_rows or len(parts[0].raw)) if self.by_process else group_size
        if not self.by_process and any(scored.groups is not None for scored in parts):
            batches = rows_by_size(_names(parts, size))
        elif len(raw) % size == 0:
            batches = [np.arange(len(raw)).reshape(-1, size)]
        else:
            problem = f"do not make groups of {size} from {len(raw)} completions"
            raise InputError("embed", vectors.shape, problem, "return one vector per text, of whole groups")
        if blank.any():  # they share a dimension of their own: copies of each other, unlike anything else
            vectors = np.hstack([vectors, blank[:, None]])
        kernel = {name: value for name, value in self.options.items() if name not in REWARD_OPTIONS}
        rewards = raw.copy()  # of a completion in no group, as it is
        weights = np.full(len(raw), math.nan)
        for rows in batches:  # (B, G)
            rewards[rows] = adjust_rewards(raw[rows], vectors[rows], **self.options)
            if "method" not in self.options:  # the others know no weights
                weights[rows] = diversity_weights(vectors[rows], **kernel)
        return rewards, weights

    def _embedded(self, raw: np.ndarray, texts: list[str]) -> Scored:
        vectors = np.asarray(self.embed(texts), dtype=float)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            problem = f"is not one vector for each of {len(texts)} completions"
            raise InputError("embed", vectors.shape, problem, "return one vector per text, of whole groups")
        blank = ~vectors.any(axis=1) & np.array([not text.strip() for text in texts])
        return Scored(raw, vectors, blank, self.given.groups)

    def _group_size(self, keys: Sequence) -> int:
        texts = [key if isinstance(key, str) else json.dumps(key, sort_keys=True) for key in keys]
        # TRL puts the G completions of a prompt in a row; the same problem twice in a row is a run of 2 G
        runs = [len(list(rows)) for _, rows in itertools.groupby(texts)]
        for size in self.group_sizes:
            if all(run % size == 0 for run in runs):
                return size
        shapes = f"runs of equal problems: {runs[:12]}"
        here = f"here {len(texts)} rows on each of {os.environ.get('WORLD_SIZE', '1')} processes"
        raise InputError(
            "group_size",
            self.group_sizes[0],
            f"{len(texts)} rows on this process are not whole groups ({shapes})",
            "choose per_device_train_batch_size x steps_per_generation as a multiple of num_generations "
            f"({here}), or train with hammerlib's dra_route: trainer",
        )


def _names(parts: Sequence[Scored], size: int) -> np.ndarray:
    """Names of the groups of all parts, each part's its own; -1: in none."""
    names = []
    first = 0
    for scored in parts:
        groups = np.arange(len(scored.raw)) // size if scored.groups is None else scored.groups
        # processes number their groups alike: no two of them may share a name
        own = np.unique(groups, return_inverse=True)[1] + first
        names.append(np.where(groups == EXCLUDED, EXCLUDED, own))
        first += len(groups)
    return np.concatenate(names)


def raw_sum(table: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted sum (n,) of a reward table (n, F): NaN cells drop out, rows of NaN stay NaN.

    Source: TRL's ``nansum`` over reward functions.
    """
    total = np.nansum(table * weights, axis=1)
    total[np.isnan(table).all(axis=1)] = math.nan
    return total


def _finished(scores: list) -> list[list[float | None]]:
    """Rewards as they are, coroutines awaited together on a thread without a loop of its own."""
    waiting: list[Awaitable] = [score for score in scores if inspect.isawaitable(score)]
    if not waiting:
        return scores

    async def together() -> list:
        return await asyncio.gather(*waiting)

    # the caller may be inside a loop already (a notebook is), where asyncio.run would refuse
    with ThreadPoolExecutor(1) as thread:
        done = iter(thread.submit(asyncio.run, together()).result())
    return [next(done) if inspect.isawaitable(score) else score for score in scores]


def _name(reward: Reward) -> str:
    # a partial has no name of its own
    while isinstance(reward, functools.partial):
        reward = reward.func
    return getattr(reward, "__name__", type(reward).__name__)
