"""Our decoding loop: prompts read once for all their samples, finished rows out of the batch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel

from hammerlib.errors import InputError
from hammerlib.evaluation.engines.cache import spread

SCANNED = 1 << 22  # probabilities handled at once when drawing
LIKELIEST = 1024  # tokens looked at first for a nucleus; a whole sort only where they do not fill it


@torch.inference_mode()
def decode(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    numbers: np.ndarray,
    pick: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ended: Callable[[list[int]], bool],
    pad: int,
) -> list[list[int]]:
    """Continue every prompt until it has ended or its random numbers are used up.

    Parameters
    ----------
    model : PreTrainedModel
        Decoder-only causal language model.
    prompts : sequence of sequences of int
        Token ids of each row; equal ones are read once.
    numbers : (rows, steps) float64
        Each row's random numbers in [0, 1), one a step.
    pick : callable
        (rows, vocabulary) logits and (rows,) random numbers to (rows,) tokens, such as `draw`.
    ended : callable
        Whether a row's new tokens are complete.
    pad : int
        Id of the padding token.

    Returns
    -------
    list of list of int
        New tokens per row, in the order of `prompts`.

    Examples
    --------
    >>> from hammerlib import load_backbone
    >>> nano = load_backbone("nano", device="cpu")
    >>> greedy = lambda logits, _: logits.argmax(-1)
    >>> [len(row) for row in decode(nano.model, [[3, 4]] * 2, np.zeros((2, 5)), greedy, lambda row: False, 0)]
    [5, 5]
    """
    device, steps = model.device, numbers.shape[1]
    distinct = {ids: place for place, ids in enumerate(dict.fromkeys(map(tuple, prompts)))}
    source = torch.tensor([distinct[tuple(ids)] for ids in prompts], device=device)
    tokens, mask = (part.to(device) for part in _padded(list(distinct), pad))
    cache = DynamicCache(config=model.config)
    logits = _forward(model, tokens, mask, cache)[source]
    mask = mask[source]
    spread(cache, source, steps)
    found: list[list[int]] = [[] for _ in prompts]
    rows = list(range(len(prompts)))
    for step in range(steps):
        drawn = pick(logits, torch.from_numpy(numbers[rows, step]))
        for row, token in zip(rows, drawn.tolist(), strict=True):
            found[row].append(token)
        keep = _closed_up([not ended(found[row]) for row in rows])
        if not keep or step + 1 == steps:
            break
        if len(keep) < len(rows):
            kept = torch.tensor(keep, device=device)
            cache.batch_select_indices(kept)
            rows, mask, drawn = [rows[place] for place in keep], mask[kept], drawn[kept]
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        logits = _forward(model, drawn[:, None], mask, cache)
    return found


def draw(logits: torch.Tensor, numbers: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """Draw one token a row by inverting the distribution function at the row's own random number.

    A row's token depends on no other row: not on their number, their order or their random numbers.

    Parameters
    ----------
    logits : (rows, vocabulary) tensor
    numbers : (rows,) float64 tensor
        In [0, 1).
    temperature : float
        0 takes the likeliest token.
    top_p : float
        In (0, 1]: the fewest likeliest tokens that hold this much probability; 1 is all of them.

    Returns
    -------
    (rows,) long tensor

    Examples
    --------
    >>> even = torch.zeros(3, 2)
    >>> draw(even, torch.tensor([0.1, 0.49, 0.51], dtype=torch.float64), 1.0, 1.0).tolist()
    [0, 0, 1]
    """
    if torch.isnan(logits).any():
        remedy = "load weights from before they diverged, or use float32"
        raise InputError("model", "logits", "are NaN", remedy)
    if temperature == 0:
        return logits.argmax(-1)
    size = max(1, SCANNED // logits.shape[-1])
    parts = zip(logits.split(size), numbers.to(logits.device, _wide(logits)).split(size), strict=True)
    return torch.cat([_draw(part.float() / temperature, own, top_p) for part, own in parts])


def _draw(scaled: torch.Tensor, numbers: torch.Tensor, top_p: float) -> torch.Tensor:
    probabilities = torch.softmax(scaled, -1)
    if top_p == 1:
        return _inverse(probabilities, numbers)
    values, order = probabilities.topk(min(LIKELIEST, probabilities.shape[-1]))
    if (values.sum(-1) < top_p).any():
        values, order = probabilities.sort(descending=True)
    before = values.cumsum(-1) - values
    inside = (before < top_p).index_fill(-1, torch.zeros(1, dtype=torch.long, device=values.device), True)
    return order.gather(-1, _inverse(values * inside, numbers)[:, None])[:, 0]


def _inverse(weights: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """First place where the running sum exceeds number times total: never one of weight 0."""
    sums = weights.to(numbers.dtype).cumsum(-1)
    found = torch.searchsorted(sums, (numbers * sums[:, -1])[:, None], right=True)
    return found[:, 0].clamp_(max=weights.shape[-1] - 1)


def _wide(logits: torch.Tensor) -> torch.dtype:
    return torch.float32 if logits.device.type == "mps" else torch.float64


def _padded(prompts: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, (prompts, longest), padded on the left."""
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt, dtype=torch.long)
        mask[row, width - len(prompt) :] = 1
    return ids, mask


def _forward(
    model: PreTrainedModel, tokens: torch.Tensor, mask: torch.Tensor, cache: DynamicCache
) -> torch.Tensor:
    """Logits of the last position, (rows, vocabulary); the cache grows."""
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
    offered = {"position_ids": positions, "logits_to_keep": 1}
    known = inspect.signature(model.forward).parameters
    options = {name: value for name, value in offered.items() if name in known}
    out = model(input_ids=tokens, attention_mask=mask, past_key_values=cache, use_cache=True, **options)
    return out.logits[:, -1]


def _closed_up(alive: Sequence[bool]) -> list[int]:
    """Places to keep, closed up: the last living rows fill the holes, the others stay where they are."""
    count = sum(alive)
    spare = iter([place for place in range(count, len(alive)) if alive[place]])
    return [place if alive[place] else next(spare) for place in range(count)]
