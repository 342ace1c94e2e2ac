"""Completion embeddings for DRA and telemetry: the frozen backbone, the policy itself, or another encoder."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from hammerlib.errors import InputError, need, unknown

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hammerlib.models import Backbone

EMBEDDERS = ("backbone", "policy", "official")
SENTENCE = "sentence-transformers:"
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
        raise unknown("embedder", name, [*EMBEDDERS, f"{SENTENCE}MODEL"])
    need("sentence_transformers")


def make_embedder(
    name: str, backbone: Backbone, policy: PreTrainedModel, *, remote_code: bool = False
) -> Embed:
    """Return the callable that embeds completion texts for DRA.

    ``backbone``: hidden states of the frozen initial weights, no second model. ``policy``: of the weights as
    they are trained. ``sentence-transformers:MODEL``: a hub id or folder. ``official``: the encoder of the
    released code, from the hub; it runs Python code of that model, the only place where we do.
    """
    check_embedder(name, remote_code)
    if name == "backbone":
        return CompletionEmbedder(backbone)
    if name == "policy":
        return functools.partial(_embed_by_policy, backbone, policy)
    device = str(backbone.device)
    options: dict[str, Any]
    try:
        if name == "official":
            from transformers import AutoModel

            model = AutoModel.from_pretrained(OFFICIAL, trust_remote_code=True).to(device).eval()
            options = {"max_length": OFFICIAL_LENGTH, "device": device}
        else:
            from sentence_transformers import SentenceTransformer

            path = name.removeprefix(SENTENCE)
            model = SentenceTransformer(path, device=device, trust_remote_code=False)
            options = {"show_progress_bar": False, "convert_to_numpy": True}
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        problem = f"does not load ({type(error).__name__}: {reason})"
        remedy = "download the model first, or use embedder: backbone"
        raise InputError("embedder", name, problem, remedy) from error
    return lambda texts: np.asarray(model.encode(texts, **options), dtype=np.float32)


@contextlib.contextmanager
def policy_as_backbone(backbone: Backbone, policy: PreTrainedModel, **fields: Any) -> Iterator[Backbone]:
    """The policy as it is now, without dropout, to be embedded with."""
    training = policy.training
    policy.eval()
    try:
        yield dataclasses.replace(backbone, name=f"policy from {backbone.name}", model=policy, **fields)
    finally:
        policy.train(training)


def _embed_by_policy(backbone: Backbone, policy: PreTrainedModel, texts: list[str]) -> np.ndarray:
    with policy_as_backbone(backbone, policy) as now:
        return CompletionEmbedder(now)(texts)  # a new one: the weights have moved since the last call


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
