"""Completion embeddings for DRA and telemetry, from the backbone as it was before training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hammerlib.backbones import Backbone


class CompletionEmbedder:
    """Mean-pooled last hidden states of completion texts under frozen weights, once per text and step.

    Parameters
    ----------
    backbone : Backbone
        Its weights must not change afterwards.
    tokens_per_batch : int
        Padded tokens per forward pass.

    Notes
    -----
    Source: mean over non-padding tokens as in the released DRA code, with the backbone instead of a second
    encoder (ours). The memory of a step is forgotten at the next one: rounding depends on what else stands
    in a batch, and a resumed run must see the same batches as an unbroken one.
    """

    def __init__(self, backbone: Backbone, *, tokens_per_batch: int = 16384) -> None:
        self.backbone, self.tokens_per_batch = backbone, tokens_per_batch
        self._known: dict[str, np.ndarray] = {}

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Return (n, d) float32 vectors, unnormalised; an empty text is embedded as the end-of-text token."""
        if not set(texts) <= self._known.keys():
            unique = list(dict.fromkeys(texts))
            self._known = dict(zip(unique, self._forward(unique), strict=True))
        return np.stack([self._known[text] for text in texts])

    def _forward(self, texts: list[str]) -> np.ndarray:
        tokenizer = self.backbone.tokenizer
        ids = [tokens or [tokenizer.eos_token_id] for tokens in tokenizer(texts)["input_ids"]]
        order = np.argsort([len(tokens) for tokens in ids], kind="stable")
        longest = len(ids[order[-1]])
        size = max(1, self.tokens_per_batch // longest)
        found: list[np.ndarray] = [np.zeros(0)] * len(ids)
        for start in range(0, len(ids), size):
            part = order[start : start + size]
            for place, vector in zip(part, self._pool([ids[i] for i in part]), strict=True):
                found[place] = vector
        return np.stack(found)

    def _pool(self, ids: list[list[int]]) -> np.ndarray:
        import torch

        model = self.backbone.model
        longest = max(map(len, ids))
        tokens = torch.tensor(
            [one + [self.backbone.tokenizer.pad_token_id] * (longest - len(one)) for one in ids]
        )
        mask = torch.arange(longest) < torch.tensor([len(one) for one in ids]).unsqueeze(1)
        tokens, mask = tokens.to(model.device), mask.to(model.device)
        with torch.inference_mode():
            states = model.base_model(
                input_ids=tokens, attention_mask=mask.long(), use_cache=False
            ).last_hidden_state
            weight = mask.unsqueeze(-1).to(torch.float32)
            return ((states.float() * weight).sum(1) / weight.sum(1)).cpu().numpy()
