"""Sampling by transformers' ``generate``, for models whose state our decoding loop cannot select from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from transformers import (
    DynamicCache,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)

PROBED = 8  # tokens that tell whether a model can be given a batch
Pick = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def keeps_attention_only(model: PreTrainedModel) -> bool:
    """Return whether all that the model keeps between tokens is keys and values, row by row.

    Linear attention, state spaces, convolutions and caches of a model's own (Mamba, Jamba, Qwen3-Next, RWKV)
    cannot be dealt out to the samples of a prompt, and RWKV would ignore our cache without a word.

    Parameters
    ----------
    model : PreTrainedModel

    Examples
    --------
    >>> from hammerlib import load_backbone
    >>> keeps_attention_only(load_backbone("nano").model)
    True
    """
    if model._is_stateful or not model._supports_default_dynamic_cache():
        return False
    layers = DynamicCache(config=model.config).layers
    return all(hasattr(layer, "batch_select_indices") for layer in layers)


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    numbers: np.ndarray,
    pick: Pick,
    ended: Callable[[list[int]], bool],
    pad: int,
) -> list[list[int]]:
    """Continue every prompt as `decode` does, by the same law and the same random numbers.

    Prompts of one length go together, so that no state ever sees padding; one by one where the model is wrong
    about batches (in transformers 5.23 RWKV gives other tokens for two rows than for one).

    Parameters
    ----------
    model, prompts, numbers, pick, ended, pad
        As for `hammerlib.evaluation.engines.decoding.decode`.

    Examples
    --------
    >>> from hammerlib import load_backbone
    >>> nano = load_backbone("nano", device="cpu")
    >>> greedy = lambda logits, _: logits.argmax(-1)
    >>> [len(row) for row in generate(nano.model, [[3, 4]], np.zeros((1, 5)), greedy, lambda row: False, 0)]
    [5]
    """
    found: list[list[int]] = [[] for _ in prompts]
    lengths: dict[int, list[int]] = {}
    for row, prompt in enumerate(prompts):
        lengths.setdefault(len(prompt), []).append(row)
    whole = len(prompts) > 1 and _batches(model, prompts[0], pad)
    groups = list(lengths.items())
    if not whole:
        groups = [(length, [row]) for length, rows in groups for row in rows]
    for length, rows in groups:
        ids = torch.tensor([list(prompts[row]) for row in rows], device=model.device)
        law = _Law(length, numbers[rows], pick)
        stop = _Ended(length, ended, len(rows))
        with _plain_settings(model):
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                generation_config=GenerationConfig(
                    do_sample=False, max_new_tokens=numbers.shape[1], pad_token_id=pad
                ),
                logits_processor=LogitsProcessorList([law]),
                stopping_criteria=StoppingCriteriaList([stop]),
            )
        for row, tokens, count in zip(rows, out[:, length:].tolist(), stop.lengths, strict=True):
            found[row] = tokens[: count or len(tokens)]
    return found


def _batches(model: PreTrainedModel, prompt: Sequence[int], pad: int) -> bool:
    """Whether two equal rows are continued as one alone is."""
    config = GenerationConfig(do_sample=False, max_new_tokens=PROBED, pad_token_id=pad)
    found = []
    for rows in (1, 2):
        ids = torch.tensor([list(prompt)] * rows, device=model.device)
        try:
            with _plain_settings(model):
                out = model.generate(
                    input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config
                )
        except (ValueError, RuntimeError):
            return False
        found.append(out[0, len(prompt) :].tolist())
    return found[0] == found[1]


class _Law(LogitsProcessor):
    """Leaves one token a row: the one that `pick` takes at the row's own random number."""

    def __init__(self, length: int, numbers: np.ndarray, pick: Pick) -> None:
        self.length, self.numbers, self.pick = length, torch.from_numpy(numbers), pick

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        step = input_ids.shape[1] - self.length
        tokens = self.pick(scores, self.numbers[:, step])
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)


class _Ended(StoppingCriteria):
    """Notes how many tokens each row had when it was complete; generation goes on until all are."""

    def __init__(self, length: int, ended: Callable[[list[int]], bool], rows: int) -> None:
        self.length, self.ended, self.lengths = length, ended, [0] * rows

    def __call__(self, input_ids: torch.Tensor, scores: object, **kwargs: object) -> torch.Tensor:
        new = input_ids[:, self.length :].tolist()
        for row, tokens in enumerate(new):
            if not self.lengths[row] and self.ended(tokens):
                self.lengths[row] = len(tokens)
        return torch.tensor([bool(count) for count in self.lengths], device=input_ids.device)


@contextlib.contextmanager
def _plain_settings(model: PreTrainedModel) -> Iterator[None]:
    """``generate`` fills what is not asked for from the checkpoint (a repetition penalty, say): not here."""
    own = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own
