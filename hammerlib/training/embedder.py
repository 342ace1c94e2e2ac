"""Completion embeddings for DRA and telemetry: the frozen backbone, the policy itself, or another encoder."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hammerlib.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hammerlib.models import Backbone

EMBEDDERS = ("backbone", "policy", "official")
SENTENCE = "sentence-transformers:"
EXTRA = "hammerlib[embedders]"
# The released DRA code's encoder, and the word pieces after which it cuts a text.
OFFICIAL, OFFICIAL_LENGTH = "jinaai/jina-embeddings-v2-small-en", 3584
Embed = Callable[[list[str]], np.ndarray]


def check_embedder(name: str, remote_code: bool = False) -> None:
    """Refuse a `TrainConfig.embedder` that cannot be made here, without loading anything."""
    if name == "official" and not remote_code:
        problem = f"runs Python code of {OFFICIAL} from the hub on this machine"
        remedy = "set embedder_remote_code: true if you trust it, or use embedder: backbone"
        raise InputError("embedder", name, problem, remedy)
    if name in EMBEDDERS:
        return
    if not name.startswith(SENTENCE) or not name.removeprefix(SENTENCE).strip():
        known = ", ".join([*EMBEDDERS, f"{SENTENCE}MODEL"])
        raise InputError("embedder", name, "is unknown", f"use one of {known}")
    if importlib.util.find_spec("sentence_transformers") is None:
        raise InputError("embedder", name, "needs an extra that is not installed", f"pip install '{EXTRA}'")


def make_embedder(
    name: str, backbone: Backbone, policy: PreTrainedModel, *, remote_code: bool = False
) -> Embed:
    """Return the callable that embeds completion texts for DRA."""
    check_embedder(name, remote_code)
    if name == "backbone":
        return CompletionEmbedder(backbone)
    if name == "policy":
        return _of_policy(backbone, policy)
    device = str(backbone.device)
    try:
        model = _official(device) if name == "official" else _sentence(name.removeprefix(SENTENCE), device)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        remedy = "download the model first, or use embedder: backbone"
        raise InputError(
            "embedder", name, f"does not load ({type(error).__name__}: {reason})", remedy
        ) from error
    options: dict[str, Any] = (
        {"max_length": OFFICIAL_LENGTH, "device": device}
        if name == "official"
        else {"show_progress_bar": False, "convert_to_numpy": True}
    )
    return lambda texts: np.asarray(model.encode(texts, **options), dtype=np.float32)


def _sentence(model: str, device: str) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(model, device=device, trust_remote_code=False)


def _official(device: str) -> Any:
    from transformers import AutoModel

    return AutoModel.from_pretrained(OFFICIAL, trust_remote_code=True).to(device).eval()


def _of_policy(backbone: Backbone, policy: PreTrainedModel) -> Embed:
    now = dataclasses.replace(backbone, name=f"policy from {backbone.name}", model=policy)

    def embed(texts: list[str]) -> np.ndarray:
        training = policy.training
        policy.eval()  # without dropout
        try:
            return CompletionEmbedder(now)(texts)  # a new one: the weights have moved since the last call
        finally:
            policy.train(training)

    return embed


class CompletionEmbedder:
    """Mean-pooled last hidden states of completion texts under frozen weights, once per text and step."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self._known: dict[str, np.ndarray] = {}

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Return (n, d) float32 vectors, unnormalised; a text
        without a visible character is embedded as the end-of-text token."""
        from hammerlib.models.embeddings import encode

        if not set(texts) <= self._known.keys():
            unique = list(dict.fromkeys(texts))
            end = self.backbone.tokenizer.eos_token
            vectors = encode([text if text.strip() else end for text in unique], self.backbone)
            # Earlier steps are forgotten: rounding depends on what else stands in a batch, and a resumed run
            # must see the same batches as an unbroken one.
            self._known = dict(zip(unique, vectors, strict=True))
        return np.stack([self._known[text] for text in texts])
