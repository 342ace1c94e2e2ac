"""Engines that turn prompts into sampled completions, each sample with random numbers of its own."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from hammerlib.errors import InputError, check_name, check_whole
from hammerlib.models.tokens import prompt_ids
from hammerlib.runs.storage import content_hash

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from hammerlib.models import Backbone

Batch = list[tuple[int, int]]  # (problem, sample)
# Prompt plus new tokens of a batch. A key-value cache costs 46 kB a token for SmolLM2-135M in float32 and
# 28 kB for a 1.5B Qwen in bfloat16: below 1 GB and 8 GB.
TOKENS_PER_BATCH = {"cpu": 16_384, "gpu": 262_144}
ENGINES = ("transformers", "vllm")


class Sampling(NamedTuple):
    """How completions are drawn."""

    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int
    stop: tuple[str, ...] = ()

    def check(self) -> Sampling:
        """Return itself; InputError for a value out of range."""
        if not 0 <= self.temperature < float("inf"):
            raise InputError("temperature", self.temperature, "must be 0 (greedy) or more", "use 1.0")
        if not 0 < self.top_p <= 1:
            raise InputError("top_p", self.top_p, "must lie in (0, 1]", "use 1.0 for the whole distribution")
        check_whole("max_new_tokens", self.max_new_tokens, 1, "use 48 or more")
        if not all(self.stop):
            raise InputError("stop", self.stop, "holds an empty text", "leave it out")
        return self


class Completion(NamedTuple):
    """One sampled completion."""

    text: str
    n_tokens: int
    truncated: bool


def sample_seed(seed: int, name: str, sample: int) -> int:
    """Return the seed of one sample, the same wherever and beside whatever it is drawn."""
    return int(content_hash(seed, name, sample)[:32], 16)


def uniforms(sampling: Sampling, names: Sequence[tuple[str, int]]) -> np.ndarray:
    """Return each sample's own stream of random numbers."""
    keys = [sample_seed(sampling.seed, *name) for name in names]
    streams = [np.random.Generator(np.random.Philox(key=key)) for key in keys]
    return np.stack([stream.random(sampling.max_new_tokens) for stream in streams])


def cut_at(text: str, stop: Sequence[str]) -> str:
    """Return the text before the first stop text."""
    ends = [place for place in (text.find(one) for one in stop) if place >= 0]
    return text[: min(ends, default=len(text))]


def stop_tokens(backbone: Backbone) -> list[int]:
    """Return the ids that end a completion: the checkpoint's and the tokenizer's."""
    own = backbone.model.generation_config.eos_token_id
    listed = own if isinstance(own, list) else [own]
    found = {token for token in [*listed, backbone.tokenizer.eos_token_id] if token is not None}
    if not found or backbone.tokenizer.pad_token_id is None:
        remedy = "set eos_token and pad_token"
        raise InputError("model", backbone.name, "names no end or padding token", remedy)
    return sorted(found)


def plan_batches(lengths: Sequence[int], k: int, room: int, tokens_per_batch: int) -> list[Batch]:
    """Cut k samples of every prompt into batches of similar prompt length."""
    batches: list[Batch] = []
    limit = 0
    for row in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        for sample in range(k):
            if not batches or len(batches[-1]) >= limit:
                batches.append([])
                limit = max(1, tokens_per_batch // (lengths[row] + room))
            batches[-1].append((row, sample))
    return batches


def default_budget(device: torch.device | str) -> int:
    """Return the tokens of a batch where none are asked for."""
    return TOKENS_PER_BATCH["cpu" if str(device).startswith("cpu") else "gpu"]


class TransformersEngine:
    """Sampling with a loop of our own, because ``model.generate`` reads a prompt once a sample and computes
    finished rows to the end, and transformers' continuous batching is slower still on a CPU and has one seed
    for all requests (``results/benchmarks/evaluation.md``)."""

    def __init__(self, backbone: Backbone, sampling: Sampling) -> None:
        self.model, self.tokenizer, self.sampling = backbone.model, backbone.tokenizer, sampling
        self.stops = frozenset(stop_tokens(backbone))
        self._told = False
        # A stop text of n bytes spans at most n tokens; a few more: a decoder may drop a leading space.
        self._window = 4 + max((len(one.encode()) for one in sampling.stop), default=0)

    @property
    def threads(self) -> int:
        """Compute threads of torch on this CPU."""
        import torch

        return torch.get_num_threads()

    def encode(self, prompts: Sequence[str], template: str = "raw") -> list[list[int]]:
        """Return token ids per prompt; InputError where they and the completion exceed the model."""
        limit = getattr(self.model.config, "max_position_embeddings", None)
        return encode_prompts(self.tokenizer, prompts, template, self.sampling.max_new_tokens, limit)

    def generate(
        self, prompts: Sequence[Sequence[int]], names: Sequence[tuple[str, int]]
    ) -> list[Completion]:
        """Sample one completion per row of token ids."""
        from hammerlib.evaluation.engines.decoding import decode, draw, generate, keeps_attention_only

        loop = decode if keeps_attention_only(self.model) else generate
        if loop is generate and not self._told:
            warnings.warn(
                f"{type(self.model).__name__} keeps more than keys and values between tokens: sampling goes "
                "through transformers' generate, which is slower",
                stacklevel=2,
            )
            self._told = True
        ours = self.sampling
        pick = partial(draw, temperature=ours.temperature, top_p=ours.top_p)
        pad = self.tokenizer.pad_token_id
        found = loop(self.model, prompts, uniforms(ours, names), pick, self._ended, pad)
        return [self._completion(tokens) for tokens in found]

    def _ended(self, tokens: list[int]) -> bool:
        if tokens[-1] in self.stops:
            return True
        return bool(self.sampling.stop) and self._stopped(tokens[-self._window :])

    def _stopped(self, tokens: list[int]) -> bool:
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return any(one in text for one in self.sampling.stop)

    def _completion(self, tokens: list[int]) -> Completion:
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return Completion(cut_at(text, self.sampling.stop), len(tokens), not self._ended(tokens))


def encode_prompts(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], template: str, room: int, limit: int | None
) -> list[list[int]]:
    """Return token ids per prompt, as `prompt_ids` makes them everywhere."""
    ids = prompt_ids(tokenizer, prompts, template)
    longest = max(range(len(ids)), key=lambda i: len(ids[i]))
    most = len(ids[longest])
    if limit and most + room > limit:
        problem = f"with the {most} tokens of prompt {longest} it exceeds the model's {limit} positions"
        raise InputError("max_new_tokens", room, problem, "lower it or drop long problems")
    return ids


class Engine(Protocol):
    """What an engine offers: sampling, threads, encode and generate."""

    sampling: Sampling

    @property
    def threads(self) -> int:
        """Compute threads of torch on this CPU."""

    def encode(self, prompts: Sequence[str], template: str = "raw") -> list[list[int]]:
        """Return token ids per prompt, by `hammerlib.models.tokens.prompt_ids`."""

    def generate(
        self, prompts: Sequence[Sequence[int]], names: Sequence[tuple[str, int]]
    ) -> list[Completion]:
        """Sample one completion per row of token ids; names are (problem id, sample number)."""


def open_engine(name: str, backbone: Backbone, sampling: Sampling) -> Engine:
    """Return the engine of this name."""
    sampling.check()
    check_name("engine", name, ENGINES, "is unknown")
    if name == "vllm":
        from hammerlib.evaluation.engines.vllm import VLLMEngine

        return VLLMEngine(backbone, sampling)
    return TransformersEngine(backbone, sampling)
