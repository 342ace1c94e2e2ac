"""The engine on a transformers model: any machine, no settings inherited from the checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from hammerlib.errors import InputError
from hammerlib.evaluation.engines.sampling import Completion, Sampling, cut_at, stop_tokens, uniforms
from hammerlib.tokens import prompt_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from hammerlib.backbones import Backbone


class TransformersEngine:
    """Sampling with a loop of our own, because ``model.generate`` reads a prompt once a sample and computes
    finished rows to the end, and transformers' continuous batching is slower still on a CPU and has one seed
    for all requests (``results/benchmarks/evaluation.md``).

    Parameters
    ----------
    backbone : Backbone
        Model and tokenizer; runs where the model lies.
    sampling : Sampling
        Temperature, nucleus, length limit, seed and stop texts. The checkpoint's generation config is not
        read, but for its end tokens.

    Examples
    --------
    >>> from hammerlib import load_backbone
    >>> engine = TransformersEngine(load_backbone("nano"), Sampling(0.0, 1.0, 4, 0))
    >>> len(engine.generate(engine.encode(["What is 2 + 3?"]), [("first", 0)]))
    1
    """

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
        """Sample one completion per row of token ids.

        Parameters
        ----------
        prompts : sequence of sequences of int
            Prompt token ids; equal ones are read once.
        names : sequence of (str, int)
            Problem id and sample number of each row: with the seed they are all its randomness. torch's
            random state is not touched.

        Returns
        -------
        list of Completion
            In the order of `prompts`.
        """
        from hammerlib.evaluation.engines.decoding import decode, draw
        from hammerlib.evaluation.engines.generating import generate, keeps_attention_only

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
    """Return token ids per prompt, as `prompt_ids` makes them everywhere.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
    prompts : sequence of str
        Not yet rendered.
    template : {"raw", "chat"}
    room : int
        New tokens that follow.
    limit : int, optional
        Positions of the model.

    Returns
    -------
    list of list of int

    Raises
    ------
    InputError
        A prompt and its completion exceed the limit.

    Examples
    --------
    >>> from hammerlib import load_backbone
    >>> len(encode_prompts(load_backbone("nano").tokenizer, ["2 + 3 ="], "raw", room=4, limit=256)[0])
    7
    """
    ids = prompt_ids(tokenizer, prompts, template)
    longest = max(range(len(ids)), key=lambda i: len(ids[i]))
    most = len(ids[longest])
    if limit and most + room > limit:
        problem = f"with the {most} tokens of prompt {longest} it exceeds the model's {limit} positions"
        raise InputError("max_new_tokens", room, problem, "lower it or drop long problems")
    return ids
