"""Engines that turn prompts into sampled completions, in batches that any run can repeat."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from hammerlib.errors import InputError
from hammerlib.storage import content_hash

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig

    from hammerlib.backbones import Backbone

ENGINES = ("transformers",)
Batch = list[tuple[int, int]]  # (problem, sample)
# Prompt plus new tokens of a batch. A key-value cache costs 46 kB a token for SmolLM2-135M in float32 and
# 28 kB for a 1.5B Qwen in bfloat16: below 1 GB and 8 GB.
TOKENS_PER_BATCH = {"cpu": 16_384, "gpu": 262_144}


class Sampling(NamedTuple):
    """How completions are drawn.

    Attributes
    ----------
    temperature : float
        0 is greedy.
    top_p : float
        Nucleus in (0, 1]; 1 is all of the distribution. Never a top-k cut.
    max_new_tokens : int
        Length limit in tokens.
    seed : int
        Base of every batch's seed.

    Examples
    --------
    >>> Sampling(1.0, 1.0, 48, 0).temperature
    1.0
    """

    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int

    def check(self) -> Sampling:
        """Return itself; InputError for a value out of range."""
        if not 0 <= self.temperature < float("inf"):
            raise InputError("temperature", self.temperature, "must be 0 (greedy) or more", "use 1.0")
        if not 0 < self.top_p <= 1:
            raise InputError("top_p", self.top_p, "must lie in (0, 1]", "use 1.0 for the whole distribution")
        if self.max_new_tokens < 1:
            raise InputError("max_new_tokens", self.max_new_tokens, "must be at least 1", "use 48 or more")
        return self


class Completion(NamedTuple):
    """One sampled completion.

    Attributes
    ----------
    text : str
        Without special tokens.
    n_tokens : int
        Tokens generated, the end token included.
    truncated : bool
        True when the length limit came before the end token.

    Examples
    --------
    >>> Completion("7", 2, False).n_tokens
    2
    """

    text: str
    n_tokens: int
    truncated: bool


def plan_batches(lengths: Sequence[int], k: int, room: int, tokens_per_batch: int) -> list[Batch]:
    """Cut k samples of every prompt into batches of similar prompt length.

    The plan depends on nothing but its arguments, so a resumed run meets the same batches.

    Parameters
    ----------
    lengths : sequence of int
        Prompt tokens per problem.
    k : int
        Samples a problem.
    room : int
        New tokens allowed to each.
    tokens_per_batch : int
        Limit on rows times (longest prompt + room); a single row may exceed it.

    Returns
    -------
    list of list of (int, int)
        (problem, sample) pairs; longest prompts first, so that memory runs out at once or not at all.

    Examples
    --------
    >>> plan_batches([2, 9], k=2, room=1, tokens_per_batch=20)
    [[(1, 0), (1, 1)], [(0, 0), (0, 1)]]
    """
    batches: list[Batch] = []
    limit = 0
    for row in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        for sample in range(k):
            if not batches or len(batches[-1]) >= limit:
                batches.append([])
                limit = max(1, tokens_per_batch // (lengths[row] + room))
            batches[-1].append((row, sample))
    return batches


def open_engine(name: str, backbone: Backbone, sampling: Sampling) -> TransformersEngine:
    """Return the engine of this name.

    Parameters
    ----------
    name : str
        One of `ENGINES`.
    backbone : Backbone
    sampling : Sampling

    Raises
    ------
    InputError
        Unknown name, or sampling parameters out of range.

    Examples
    --------
    >>> open_engine("abacus", None, Sampling(1.0, 1.0, 8, 0))
    Traceback (most recent call last):
    ...
    hammerlib.errors.InputError: engine = 'abacus': is unknown; use one of transformers
    """
    if name not in ENGINES:
        raise InputError("engine", name, "is unknown", f"use one of {', '.join(ENGINES)}")
    return TransformersEngine(backbone, sampling.check())


class TransformersEngine:
    """Sampling with ``model.generate``: left padding, a seed a batch, nothing inherited from the checkpoint.

    Parameters
    ----------
    backbone : Backbone
        Model and tokenizer; runs where the model lies.
    sampling : Sampling
        Temperature, nucleus, length limit and base seed.

    Examples
    --------
    >>> from hammerlib import load_backbone
    >>> engine = TransformersEngine(load_backbone("nano"), Sampling(0.0, 1.0, 4, 0))
    >>> len(engine.generate(engine.encode(["What is 2 + 3?"]), key="first"))
    1
    """

    def __init__(self, backbone: Backbone, sampling: Sampling) -> None:
        self.model, self.tokenizer, self.sampling = backbone.model, backbone.tokenizer, sampling
        self.stops = _stop_tokens(backbone)

    @property
    def threads(self) -> int:
        """Compute threads of torch on this CPU."""
        import torch

        return torch.get_num_threads()

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return token ids per prompt; InputError where prompt and completion exceed the model's positions.

        Prompts that already hold their special tokens (chat template) get no second set.
        """
        start = self.tokenizer.bos_token
        ready = bool(start) and all(prompt.startswith(start) for prompt in prompts)
        ids = self.tokenizer(list(prompts), add_special_tokens=not ready)["input_ids"]
        limit = getattr(self.model.config, "max_position_embeddings", None)
        longest = max(range(len(ids)), key=lambda i: len(ids[i]))
        room, most = self.sampling.max_new_tokens, len(ids[longest])
        if limit and most + room > limit:
            problem = f"with the {most} tokens of prompt {longest} it exceeds the model's {limit} positions"
            raise InputError("max_new_tokens", room, problem, "lower it or drop long problems")
        return ids

    def generate(self, batch: Sequence[Sequence[int]], key: object) -> list[Completion]:
        """Sample one completion per row of token ids.

        Parameters
        ----------
        batch : sequence of sequences of int
            Prompt token ids.
        key : JSON-like
            What the batch holds; with the base seed it gives the batch's own seed. torch's random state
            outside is left as it was.

        Returns
        -------
        list of Completion
            In the order of `batch`.
        """
        import torch

        device = self.model.device
        width = max(len(row) for row in batch)
        ids = torch.full((len(batch), width), self.tokenizer.pad_token_id, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(batch):
            ids[i, width - len(row) :] = torch.tensor(row, dtype=torch.long)
            mask[i, width - len(row) :] = 1
        forked = [device] if device.type == "cuda" else []
        with torch.inference_mode(), torch.random.fork_rng(devices=forked), self._own_settings() as settings:
            torch.manual_seed(int(content_hash(self.sampling.seed, key)[:15], 16))
            moved = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
            out = self.model.generate(**moved, generation_config=settings)
        return [self._completion(row) for row in out[:, width:].tolist()]

    @contextlib.contextmanager
    def _own_settings(self) -> Iterator[GenerationConfig]:
        # generate() fills every unset field from the checkpoint's own generation config (temperature, top_k,
        # repetition penalty ...): for the time of the call the model has none.
        from transformers import GenerationConfig

        ours = self.sampling
        greedy = ours.temperature == 0
        drawn = {} if greedy else {"temperature": ours.temperature, "top_p": ours.top_p, "top_k": 0}
        kept, self.model.generation_config = self.model.generation_config, GenerationConfig()
        try:
            yield GenerationConfig(
                do_sample=not greedy,
                max_new_tokens=ours.max_new_tokens,
                eos_token_id=self.stops,
                pad_token_id=self.tokenizer.pad_token_id,
                **drawn,
            )
        finally:
            self.model.generation_config = kept

    def _completion(self, tokens: list[int]) -> Completion:
        end = next((i for i, token in enumerate(tokens) if token in self.stops), None)
        used = tokens if end is None else tokens[: end + 1]
        return Completion(self.tokenizer.decode(used, skip_special_tokens=True), len(used), end is None)


def default_budget(device: torch.device | str) -> int:
    """Return the tokens of a batch where none are asked for.

    Examples
    --------
    >>> default_budget("cpu"), default_budget("cuda:0")
    (16384, 262144)
    """
    return TOKENS_PER_BATCH["cpu" if str(device).startswith("cpu") else "gpu"]


def _stop_tokens(backbone: Backbone) -> list[int]:
    own = backbone.model.generation_config.eos_token_id
    listed = own if isinstance(own, list) else [own]
    found = {token for token in [*listed, backbone.tokenizer.eos_token_id] if token is not None}
    if not found or backbone.tokenizer.pad_token_id is None:
        remedy = "set eos_token and pad_token"
        raise InputError("model", backbone.name, "names no end or padding token", remedy)
    return sorted(found)
