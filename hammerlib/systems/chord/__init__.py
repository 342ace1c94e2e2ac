"""CHORD (arXiv 2508.11408): supervised learning on an expert's solutions inside on-policy GRPO.

One loss, (1 - mu) of GRPO and mu of a supervised term, with a schedule for mu and a weight for every expert
token: phi = p (1 - p), detached, leaves alone what the policy already does and what it cannot reach yet.
"""

from hammerlib.moved import old_names
from hammerlib.systems.chord.algorithm import Chord
from hammerlib.systems.chord.experts import Experts, load_experts, nano_experts
from hammerlib.systems.chord.loss import PRESETS, expert_loss, mu_at

__all__ = ["PRESETS", "Chord", "Experts", "expert_loss", "load_experts", "mu_at", "nano_experts"]

__getattr__ = old_names(__name__)
