"""From texts to pooled hidden states: tokens, batches of similar length, one pass without the head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from hammerlib.errors import InputError, check_is, check_name
from hammerlib.runs.storage import progress_off
from hammerlib.tokens import prompt_ids

if TYPE_CHECKING:
    import torch

    from hammerlib.backbones import Backbone

POOLINGS = ("mean", "last", "first")
TOKENS_PER_BATCH = 1024  # measured best on one CPU thread (benchmarks/embedding.py); a GPU wants more


def tokenise(texts: list[str], ids: list[str], backbone: Backbone, template: str) -> list[list[int]]:
    """Return token ids per text, as `prompt_ids` makes them everywhere.

    Parameters
    ----------
    texts, ids : list of n str
    backbone : Backbone
    template : {"raw", "chat"}

    Returns
    -------
    list of n lists of int

    Raises
    ------
    InputError
        Texts without a token or longer than the backbone reads, named by id; no chat template.

    Examples
    --------
    >>> from hammerlib.backbones import load_backbone
    >>> len(tokenise(["17 + 25"], ["a"], load_backbone("nano"), "raw"))
    1
    """
    tokens = prompt_ids(backbone.tokenizer, texts, template, names=ids)
    longest = getattr(backbone.model.config, "max_position_embeddings", None) or max(map(len, tokens))
    named = [name for name, row in zip(ids, tokens, strict=True) if len(row) > longest]
    if named:
        problem = f"{len(named)} rows are longer than the {longest} tokens {backbone.name!r} reads"
        raise InputError("texts", named[:5], problem, "shorten or remove these rows")
    return tokens


def check_options(backbone: Backbone, layer: int, pooling: str, tokens_per_batch: int) -> int:
    """Return the hidden state's index counted from 0.

    Parameters
    ----------
    backbone : Backbone
    layer : int
        From -(L + 1) to L for L decoder layers.
    pooling : {"mean", "last", "first"}
    tokens_per_batch : int

    Raises
    ------
    InputError
        A value outside these.

    Examples
    --------
    >>> from hammerlib.backbones import load_backbone
    >>> check_options(load_backbone("nano"), 0, "mean", 1024)
    0
    """
    last = backbone.model.config.num_hidden_layers
    check_is("layer", layer, (int, np.integer), "a whole number", f"use {-last - 1} to {last}")
    if not -last - 1 <= layer <= last:
        raise InputError(
            "layer", layer, f"is not a hidden state of {backbone.name!r}", f"use {-last - 1} to {last}"
        )
    check_name("pooling", pooling, POOLINGS)
    if tokens_per_batch < 1:
        raise InputError("tokens_per_batch", tokens_per_batch, "leaves no room for a token", "use 1024")
    return layer % (last + 1)


def batches_by_length(lengths: Sequence[int], tokens_per_batch: int) -> Iterator[list[int]]:
    """Yield row numbers in batches of similar length, longest first, under a budget of padded tokens.

    Parameters
    ----------
    lengths : sequence of n int
        Tokens per row.
    tokens_per_batch : int
        Largest rows x longest row; a longer single row makes a batch of its own.

    Examples
    --------
    >>> list(batches_by_length([1, 4, 2], tokens_per_batch=4))
    [[1], [2, 0]]
    """
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > tokens_per_batch:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def pooled_states(
    tokens: list[list[int]], backbone: Backbone, index: int, pooling: str, tokens_per_batch: int
) -> np.ndarray:
    """Return (n, d) float32 vectors; equal token rows are computed once.

    Padding stands on the right and decoders look left only, so no token ever sees it: no mask is needed, and
    without one the attention kernel takes its fast causal path.

    Parameters
    ----------
    tokens : list of n lists of int
    backbone : Backbone
    index : int
        Hidden state from 0 (token embedding) to L (after the final norm).
    pooling : {"mean", "last", "first"}
    tokens_per_batch : int
        Largest padded batch.

    Returns
    -------
    (n, d) float32 array

    Raises
    ------
    InputError
        The backbone gives NaN or infinity, rows named by number.

    Examples
    --------
    >>> from hammerlib.backbones import load_backbone
    >>> pooled_states([[5, 6], [7]], load_backbone("nano"), 0, "mean", 1024).shape[0]
    2
    """
    import torch

    rows = list(dict.fromkeys(map(tuple, tokens)))
    network = backbone.model.get_decoder()  # without the language-model head
    all_layers = index != backbone.model.config.num_hidden_layers
    parts: dict[tuple[int, ...], np.ndarray] = {}
    bar = tqdm(
        total=len(rows), desc=f"embedding with {backbone.name}", unit="text", delay=3, disable=progress_off()
    )
    with torch.inference_mode(), bar:
        for batch in batches_by_length([len(row) for row in rows], tokens_per_batch):
            chosen = [rows[row] for row in batch]
            lengths = torch.tensor([len(row) for row in chosen], device=backbone.device)
            padded = torch.zeros(len(chosen), len(chosen[0]), dtype=torch.long)
            for place, row in enumerate(chosen):
                padded[place, : len(row)] = torch.tensor(row)
            answer = network(padded.to(backbone.device), use_cache=False, output_hidden_states=all_layers)
            states = answer.hidden_states[index] if all_layers else answer.last_hidden_state
            parts.update(zip(chosen, _pool(states, lengths, pooling).cpu().numpy(), strict=True))
            bar.update(len(batch))
    vectors = np.stack([parts[tuple(row)] for row in tokens])
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist()
    if broken:
        problem = f"{len(broken)} rows of {backbone.name!r} hold NaN or infinity"
        raise InputError("embeddings", broken[:5], problem, "use dtype float32, or check the weights")
    return vectors


def _pool(states: torch.Tensor, lengths: torch.Tensor, pooling: str) -> torch.Tensor:
    """Return (b, d) float32 from right-padded (b, t, d) hidden states."""
    import torch

    if pooling == "first":
        return states[:, 0].float()
    if pooling == "last":
        return states[torch.arange(len(states), device=states.device), lengths - 1].float()
    real = torch.arange(states.shape[1], device=states.device)[None] < lengths[:, None]
    return (states.float() * real[..., None]).sum(dim=1) / lengths[:, None]
