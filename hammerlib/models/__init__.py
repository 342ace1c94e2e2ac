"""Models: a causal language model and its tokenizer, prompts as token ids, problems as vectors, nano."""

from hammerlib.models.backbone import Backbone, load_backbone, untrained_like, weights_hash
from hammerlib.models.embeddings import Embeddings, embed, encode
from hammerlib.models.tokens import prompt_ids

__all__ = [
    "Backbone",
    "Embeddings",
    "embed",
    "encode",
    "load_backbone",
    "prompt_ids",
    "untrained_like",
    "weights_hash",
]
