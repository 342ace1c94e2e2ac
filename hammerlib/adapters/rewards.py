"""Grades and DRA as functions with the signatures of other trainers.

A trainer that loads a reward function from a file is pointed at this one (`docs/adapters.md` has the lines).
TRL takes the functions of `hammerlib.rewards` as they are. DRA needs the completions of a prompt together: it
stands where the trainer has them.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import os
import threading
import zlib
from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar

import numpy as np

from hammerlib.dra import adjust_rewards, check_options
from hammerlib.errors import InputError, check_whole
from hammerlib.rewards import DRAReward, accuracy_reward

Embed = Callable[[list[str]], np.ndarray]
Adjust = Callable[[list[str], Sequence[float | None]], list[float]]
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


def adjuster(embedder: str = "words", **options: Any) -> Adjust:
    """Return DRA of one group: from its completions and their rewards to adjusted rewards."""
    embed = embedder_named(embedder)
    check_options(options)  # now, not in the first step
    return lambda texts, values: adjust_rewards(values, embed(texts), **options).tolist()


class Waiting:
    """The completions of one prompt until all of them are there, where a trainer asks for each by itself.

    The calls of a prompt must come to one event loop; they wait in it, in no thread, so that none keeps
    another from its turn.
    """

    groups: ClassVar[dict[Hashable, Waiting]] = {}

    def __init__(self, size: int | None, adjust: Adjust, patience: float | None = None) -> None:
        self.size = size if size is None else check_whole("group_size", size, 1, "give rollout.n")
        self.adjust = adjust
        self.texts: list[str] = []
        self.values: list[float] = []
        self.places: list[asyncio.Future] = []
        self.expected = 0
        self.over = False
        if patience is not None:
            self.alarm = asyncio.get_running_loop().call_later(patience, self.finish)

    @classmethod
    def at(cls, key: Hashable, *about: Any) -> Waiting:
        """The group that takes the next completion of a prompt."""
        group = cls.groups.get(key)
        if group is None or group.expected == group.size:
            group = cls.groups[key] = cls(*about)
        group.expected += 1
        return group

    async def add(self, text: str, value: float) -> float:
        future = asyncio.get_running_loop().create_future()
        self.texts.append(text)
        self.values.append(value)
        self.places.append(future)
        if self.over or len(self.places) == self.size:
            self.finish()
        return await future

    def finish(self) -> None:
        self.over = True  # who is already expected but late is compared with all who came
        for key in [key for key, group in self.groups.items() if group is self]:
            del self.groups[key]  # who comes anew opens a group
        if not self.places:
            return
        try:
            rewards = self.adjust(self.texts, self.values)
        except Exception as error:
            for future in self.places:
                if not future.done():
                    future.set_exception(error)
            return
        for future, reward in zip(self.places, rewards, strict=True):
            if not future.done():
                future.set_result(reward)


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
    group = Waiting.at((extra_info or {})["id"], group_size, adjuster(embedder, **options), patience)
    value = await asyncio.get_running_loop().run_in_executor(None, score, solution_str, ground_truth)
    return {
        "score": await group.add(solution_str, value),
        "acc": value,
        "position": int((extra_info or {}).get("index", -1)),
    }


# OpenRLHF


def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """Grades for OpenRLHF (``--reward.remote_url .../hammerlib/adapters/rewards.py``).

    OpenRLHF keeps no log of completions: with the environment variable ``HAMMER_ROLLOUTS=FILE`` they are
    appended to a file, as JSON lines.
    """
    import torch

    texts = [
        query[len(prompt) :] if query.startswith(prompt) else query
        for query, prompt in zip(queries, prompts, strict=True)
    ]
    values = [score(text, label) for text, label in zip(texts, labels, strict=True)]
    _log(prompts, texts, values)
    rewards = torch.tensor(values)
    return {"rewards": rewards, "scores": rewards, "extra_logs": {"accuracy": rewards}}


def _log(prompts: Sequence[str], texts: Sequence[str], values: Sequence[float]) -> None:
    if file := os.environ.get(LOG):
        lines = [
            json.dumps({"prompt": prompt, "completion": text, "score": value}) + "\n"
            for prompt, text, value in zip(prompts, texts, values, strict=True)
        ]
        with open(file, "a", encoding="utf-8") as stream:
            stream.write("".join(lines))


def openrlhf_dra(embedder: str = "words", **options: Any) -> type:
    """Return the class that OpenRLHF looks for as `AgentExecutor` in the file ``--train.agent_func_path``.

    `RolloutRayActor.generate_responses` gathers one call of `execute` for every completion of a prompt, in
    the event loop of one process. (A `reward_func` is called in a pool of ``cores + 4`` threads, where calls
    that wait would keep those that they wait for from starting.)
    """
    from openrlhf.utils.agent import SingleTurnAgentExecutor

    adjust = adjuster(embedder, **options)

    class AgentExecutor(SingleTurnAgentExecutor):
        """A completion of one turn; its reward is DRA's, its score the grade."""

        async def execute(
            self, prompt: str, label: str, sampling_params: Any, **others: Any
        ) -> dict[str, Any]:
            # The object is one for the calls of one gathering, which all begin before any of them goes on.
            group = Waiting.at((id(sampling_params), prompt), None, adjust)
            await asyncio.sleep(0)
            group.size = group.expected
            output = await super().execute(prompt, label, sampling_params, **others)
            ((start, end),) = output["action_ranges"]
            tokens = output["observation_tokens"][start:end]
            text = others["hf_tokenizer"].decode(tokens, skip_special_tokens=True)
            value = await asyncio.to_thread(score, text, label)
            _log([prompt], [text], [value])
            reward = await group.add(text, value)
            return output | {"reward": reward, "scores": value, "extra_logs": {"accuracy": value}}

    return AgentExecutor


# Trinity-RFT


def _trinity_score() -> type:
    from trinity.common.rewards import RewardFn

    class TrinityScore(RewardFn):
        """Grade: ``default_reward_fn_type: hammerlib.adapters.rewards.TrinityScore``."""

        __qualname__ = "TrinityScore"  # by which it travels to Ray's processes

        def __init__(self, **options: Any) -> None:
            pass

        def __call__(self, response: str, truth: str | None = None, **more: Any) -> dict[str, float]:
            return {"accuracy": score(response, truth or "")}

    return TrinityScore


def _trinity_dra() -> type:
    from trinity.buffer.operators import ExperienceOperatorV1
    from trinity.common.experience import group_by

    class TrinityDRA(ExperienceOperatorV1):
        """DRA: an operator of the experience pipeline, before the advantages and over their groups."""

        __qualname__ = "TrinityDRA"

        def __init__(self, **options: Any) -> None:
            self.adjust = adjuster(**options)

        async def process(self, exps: list[Any]) -> tuple[list[Any], dict[str, float]]:
            for task, group in group_by(exps, id_type="task").items():
                texts = [one.response_text for one in group]
                if None in texts or any(one.eid.step for one in group):
                    problem = "has experiences that are not one completion each"
                    raise InputError("task", task, problem, "leave TrinityDRA out for this workflow")
                rewards = self.adjust(texts, [one.reward for one in group])
                for experience, reward in zip(group, rewards, strict=True):
                    if experience.reward is not None:
                        experience.reward = reward
            return exps, {}

    return TrinityDRA


# Made when Trinity-RFT asks for them, for their bases are its own.
_OF_TRINITY = {"TrinityScore": functools.cache(_trinity_score), "TrinityDRA": functools.cache(_trinity_dra)}


def __getattr__(name: str) -> type:
    if name in _OF_TRINITY:
        return _OF_TRINITY[name]()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# slime


async def slime_score(args: Any, sample: Any, **options: Any) -> float:
    """Grade for slime: ``--custom-rm-path hammerlib.adapters.rewards.slime_score``."""
    return await asyncio.get_running_loop().run_in_executor(None, score, sample.response, sample.label)


async def slime_dra(args: Any, samples: Sequence[Any], **options: Any) -> list[float]:
    """DRA for slime: ``--group-rm --custom-rm-path hammerlib.adapters.rewards.slime_dra``."""
    values = [await slime_score(args, sample) for sample in samples]
    return adjuster(**options)([sample.response for sample in samples], values)


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
