"""Engines that turn prompts into sampled completions, each sample with random numbers of its own."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from hammerlib.errors import InputError, check_name, check_whole
from hammerlib.models.tokens import prompt_ids

if TYPE_CHECKING:
    import torch

    from hammerlib.models import Backbone

Batch = list[tuple[int, int]]  # (problem, sample)
# Prompt plus new tokens of a batch. A key-value cache costs 46 kB a token for SmolLM2-135M in float32 and
# 28 kB for a 1.5B Qwen in bfloat16: below 1 GB and 8 GB.
TOKENS_PER_BATCH = {"cpu": 16_384, "gpu": 262_144}
ENGINES = ("transformers", "vllm")


class Sampling(NamedTuple):
    """How completions are drawn: greedy at temperature 0, nucleus of top_p in (0, 1], never a top-k cut."""

    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int
    stop: tuple[str, ...] = ()  # texts that end a completion beside the end token, and are cut off it

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

    text: str  # without special tokens, and without the stop text
    n_tokens: int  # those of the end included
    truncated: bool  # the length limit came before the end


def cut_at(text: str, stop: Sequence[str]) -> str:
    """Return the text before the first stop text."""
    ends = [text.find(end) for end in stop if end in text]
    return text[: min(ends, default=len(text))]


def stop_tokens(backbone: Backbone) -> list[int]:
    """Return the ids that end a completion: the checkpoint's and the tokenizer's."""
    own = backbone.model.generation_config.eos_token_id
    ids = [*(own if isinstance(own, list) else [own]), backbone.tokenizer.eos_token_id]
    known = sorted({token for token in ids if token is not None})
    if not known or backbone.tokenizer.pad_token_id is None:
        remedy = "set eos_token and pad_token"
        raise InputError("model", backbone.name, "names no end or padding token", remedy)
    return known


def plan_batches(lengths: Sequence[int], k: int, room: int, tokens_per_batch: int) -> list[Batch]:
    """Cut k samples of every prompt into batches: rows times (longest prompt + room) <= tokens_per_batch."""
    # The plan depends on nothing but its arguments, so that a resumed or sharded run meets the same batches.
    # The longest prompts come first: memory runs out at once or not at all. A single row may exceed the
    # limit.
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


class Engine:
    """What every engine offers: sampling, threads, encode and generate."""

    def __init__(self, backbone: Backbone, sampling: Sampling) -> None:
        self.tokenizer = backbone.tokenizer
        self.sampling = sampling
        self.stops = stop_tokens(backbone)
        self.limit = getattr(backbone.model.config, "max_position_embeddings", None)

    @property
    def threads(self) -> int:
        """Compute threads of torch on this CPU."""
        import torch

        return torch.get_num_threads()

    def encode(self, prompts: Sequence[str], template: str = "raw") -> list[list[int]]:
        """Return token ids per prompt; InputError where they and the completion exceed the model."""
        ids = prompt_ids(self.tokenizer, prompts, template)
        longest = max(range(len(ids)), key=lambda row: len(ids[row]))
        most = len(ids[longest])
        room = self.sampling.max_new_tokens
        if self.limit and most + room > self.limit:
            problem = (
                f"with the {most} tokens of prompt {longest} it exceeds the model's {self.limit} positions"
            )
            raise InputError("max_new_tokens", room, problem, "lower it or drop long problems")
        return ids

    def generate(
        self, prompts: Sequence[Sequence[int]], names: Sequence[tuple[str, int]]
    ) -> list[Completion]:
        """Sample one completion per row of token ids, in order.

        `names` are (problem id, sample number) of each row: with the seed they are all its randomness.
        torch's random state is not touched.
        """
        raise NotImplementedError


class TransformersEngine(Engine):
    """Sampling with a loop of our own, which reads equal prompts once."""

    def __init__(self, backbone: Backbone, sampling: Sampling) -> None:
        super().__init__(backbone, sampling)
        # `model.generate` reads a prompt once a sample and computes finished rows to the end; continuous
        # batching is slower still on a CPU and has one seed for all requests
        # (``results/benchmarks/evaluation.md``). Of the checkpoint's generation config only the end tokens
        # count.
        self.model = backbone.model
        self._warned = False
        # A stop text of n bytes spans at most n tokens; a few more: a decoder may drop a leading space.
        self._window = 4 + max((len(end.encode()) for end in sampling.stop), default=0)

    def generate(
        self, prompts: Sequence[Sequence[int]], names: Sequence[tuple[str, int]]
    ) -> list[Completion]:
        """Sample one completion per row of token ids (see `Engine.generate`)."""
        from hammerlib.models.decoding import decode, draw, generate, keeps_attention_only, random_numbers

        loop = decode if keeps_attention_only(self.model) else generate
        if loop is generate and not self._warned:
            warnings.warn(
                f"{type(self.model).__name__} keeps more than keys and values between tokens: sampling goes "
                "through transformers' generate, which is slower",
                stacklevel=2,
            )
            self._warned = True
        pick = partial(draw, temperature=self.sampling.temperature, top_p=self.sampling.top_p)
        # Each sample has random numbers of its own in [0, 1): (samples, max_new_tokens).
        numbers = random_numbers(self.sampling.seed, names, self.sampling.max_new_tokens)
        rows = loop(self.model, prompts, numbers, pick, self._ended, self.tokenizer.pad_token_id)
        return [
            Completion(cut_at(self._text(row), self.sampling.stop), len(row), not self._ended(row))
            for row in rows
        ]

    def _text(self, tokens: list[int]) -> str:
        return self.tokenizer.decode(tokens, skip_special_tokens=True)

    def _ended(self, tokens: list[int]) -> bool:
        if tokens[-1] in self.stops:
            return True
        if not self.sampling.stop:
            return False
        text = self._text(tokens[-self._window :])
        return any(end in text for end in self.sampling.stop)


def open_engine(name: str, backbone: Backbone, sampling: Sampling) -> Engine:
    """Return the engine of this name, one of `ENGINES`."""
    sampling.check()
    check_name("engine", name, ENGINES, "is unknown")
    if name == "vllm":
        from hammerlib.evaluation.engines.vllm import VLLMEngine

        return VLLMEngine(backbone, sampling)
    return TransformersEngine(backbone, sampling)
