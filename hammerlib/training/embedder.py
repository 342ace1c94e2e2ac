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

    Notes
    -----
    Source: completion text only and mean pooling, as in the released DRA code; the backbone instead of a
    second encoder is ours.

    Examples
    --------
    >>> from hammerlib.backbones import load_backbone
    >>> CompletionEmbedder(load_backbone("nano"))(["4", ""]).shape[0]
    2
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self._known: dict[str, np.ndarray] = {}

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Return (n, d) float32 vectors, unnormalised; a text
        without a visible character is embedded as the end-of-text token."""
        from hammerlib.embeddings import encode

        if not set(texts) <= self._known.keys():
            unique = list(dict.fromkeys(texts))
            end = self.backbone.tokenizer.eos_token
            vectors = encode([text if text.strip() else end for text in unique], self.backbone)
            # Earlier steps are forgotten: rounding depends on what else stands in a batch, and a resumed run
            # must see the same batches as an unbroken one.
            self._known = dict(zip(unique, vectors, strict=True))
        return np.stack([self._known[text] for text in texts])
