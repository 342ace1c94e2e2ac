"""Grades and DRA as functions with the signatures of other trainers.

A trainer that loads a reward function from a file is pointed at this one (`docs/adapters.md` has the lines).
TRL takes the functions of `hammerlib.rewards` as they are.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import os
import threading
import zlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from hammerlib.dra import adjust_rewards
from hammerlib.errors import check_whole
from hammerlib.rewards import DRAReward, accuracy_reward

Embed = Callable[[list[str]], np.ndarray]
WIDTH = 4096  # dimensions that word counts are folded into
LOG = "HAMMER_ROLLOUTS"  # environment variable: file that completions are appended to
# Trainers call from several threads; the graders' workers answer one call at a time.
_GRADER = threading.Lock()


def score(completion: str, answer: str, scorer: str | None = None, metadata: str | None = None) -> float:
    """Return 1.0 for a correct completion, else 0.0.

    Where no verdict is possible (a gold that cannot be read, a time-out) it is 0.0 too, with a warning in the
    log: these trainers know no reward that does not apply.
    """
    columns = {"scorer": [scorer], "metadata": [metadata]} if scorer else {}
    with _GRADER:
        return accuracy_reward(None, [completion], answer=[answer], **columns)[0] or 0.0


# verl


def verl_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict | None = None, **options: Any
) -> dict[str, float]:
    """Grade for verl (``reward.custom_reward_function.name=verl_score``), with the position for its dump."""
    value = score(solution_str, ground_truth)
    return {"score": value, "acc": value, "position": int((extra_info or {}).get("index", -1))}


async def verl_dra(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: dict | None = None,
    *,
    group_size: int,
    embedder: str = "words",
    patience: float = 600.0,
    **options: Any,
) -> dict[str, float]:
    """DRA for verl (``name=verl_dra``, ``reward_kwargs.group_size`` = ``rollout.n``).

    verl scores completions one by one. They wait here for the others of their prompt, so that all must come
    to one process: ``reward.num_workers=1``. After `patience` seconds those that came are
    taken for the group.
    """
    group = _Waiting.at((extra_info or {})["id"], group_size, embedder, patience, options)
    value = await asyncio.get_running_loop().run_in_executor(None, score, solution_str, ground_truth)
    return {
        "score": await group.add(solution_str, value),
        "acc": value,
        "position": int((extra_info or {}).get("index", -1)),
    }


class _Waiting:
    """The completions of one prompt until all of them are there."""

    groups: ClassVar[dict[str, _Waiting]] = {}

    def __init__(self, size: int, embedder: str, patience: float, options: dict[str, Any]) -> None:
        self.size = check_whole("group_size", size, 1, "give rollout.n")
        self.embed = embedder_named(embedder)
        self.options = options
        self.texts: list[str] = []
        self.values: list[float] = []
        self.places: list[asyncio.Future] = []
        self.expected = 0
        self.alarm = asyncio.get_running_loop().call_later(patience, self.finish)

    @classmethod
    def at(cls, key: str, size: int, *rest: Any) -> _Waiting:
        """The group that takes the next completion of a prompt."""
        group = cls.groups.get(key)
        if group is None or group.expected == group.size:
            group = cls.groups[key] = cls(size, *rest)
        group.expected += 1
        return group

    async def add(self, text: str, value: float) -> float:
        future = asyncio.get_running_loop().create_future()
        self.texts.append(text)
        self.values.append(value)
        self.places.append(future)
        if len(self.places) == self.size:
            self.finish()
        return await future

    def finish(self) -> None:
        self.alarm.cancel()
        for key in [key for key, group in self.groups.items() if group is self]:
            del self.groups[key]
        self.expected = self.size  # who comes later opens a group of its own
        if not self.places:
            return
        try:
            rewards = adjust_rewards(self.values, self.embed(self.texts), **self.options)
        except Exception as error:
            for future in self.places:
                future.set_exception(error)
            return
        for future, reward in zip(self.places, rewards, strict=True):
            future.set_result(float(reward))


# OpenRLHF


def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """Grades for OpenRLHF (``--reward.remote_url .../hammerlib/adapters/rewards.py``).

    It scores completions one by one, in threads, so that there is no DRA. It keeps no log of completions
    either: with the environment variable ``HAMMER_ROLLOUTS=FILE`` they are appended to a file, as JSON lines.
    """
    import torch

    texts = [
        query[len(prompt) :] if query.startswith(prompt) else query
        for query, prompt in zip(queries, prompts, strict=True)
    ]
    values = [score(text, label) for text, label in zip(texts, labels, strict=True)]
    if file := os.environ.get(LOG):
        lines = [
            json.dumps({"prompt": prompt, "completion": text, "score": value}) + "\n"
            for prompt, text, value in zip(prompts, texts, values, strict=True)
        ]
        with open(file, "a", encoding="utf-8") as stream:
            stream.write("".join(lines))
    rewards = torch.tensor(values)
    return {"rewards": rewards, "scores": rewards, "extra_logs": {"accuracy": rewards}}


# Trinity-RFT


class TrinityScore:
    """Grade for Trinity-RFT: ``default_reward_fn_type: hammerlib.adapters.rewards.TrinityScore``."""

    def __init__(self, **options: Any) -> None:
        pass

    def __call__(self, response: str, truth: str | None = None, **more: Any) -> dict[str, float]:
        return {"accuracy": score(response, truth or "")}


# slime


async def slime_score(args: Any, sample: Any, **options: Any) -> float:
    """Grade for slime: ``--custom-rm-path hammerlib.adapters.rewards.slime_score``."""
    return await asyncio.get_running_loop().run_in_executor(None, score, sample.response, sample.label)


async def slime_dra(args: Any, samples: Sequence[Any], **options: Any) -> list[float]:
    """DRA for slime: ``--group-rm --custom-rm-path hammerlib.adapters.rewards.slime_dra``."""
    values = [await slime_score(args, sample) for sample in samples]
    vectors = embedder_named("words")([sample.response for sample in samples])
    return adjust_rewards(values, vectors, **options).tolist()


# Embedders


@functools.cache
def embedder_named(name: str) -> Embed:
    """Return the function that embeds completions: ``words``, or the name of a backbone."""
    if name == "words":
        return word_counts
    from hammerlib.models import load_backbone
    from hammerlib.models.embedder import CompletionEmbedder

    return CompletionEmbedder(load_backbone(name))


def word_counts(texts: list[str]) -> np.ndarray:
    """Return (n, 4096) counts of words and of pairs of words, folded by a checksum: no model is needed."""
    counts = np.zeros((len(texts), WIDTH))
    for row, text in zip(counts, texts, strict=True):
        words = text.split() or [""]
        for part in [*words, *map(" ".join, itertools.pairwise(words))]:
            row[zlib.crc32(part.encode("utf-8", "replace")) % WIDTH] += 1.0
    return counts


def trl_dra(group_size: int, *, embedder: str = "words", **options: Any) -> DRAReward:
    """Return DRA over the accuracy as TRL's and ms-swift's one reward function."""
    return DRAReward(accuracy_reward, embedder_named(embedder), group_size, **options)
