"""CHORD (arXiv 2508.11408): supervised learning on an expert's solutions inside on-policy GRPO.

One loss, (1 - mu) of GRPO and mu of a supervised term, with a schedule for mu and a weight for every expert
token: phi = p (1 - p), detached, leaves alone what the policy already does and what it cannot reach yet.
"""

from hammerlib.exact.flow import expert_flow
from hammerlib.systems.chord.algorithm import Chord
from hammerlib.systems.chord.experts import Experts, load_experts, nano_experts
from hammerlib.systems.chord.loss import (
    PRESETS,
    WEIGHTINGS,
    adaptive_mu,
    expert_loss,
    mixed_loss,
    mu_at,
    token_weights,
)

__all__ = [
    "PRESETS",
    "WEIGHTINGS",
    "Chord",
    "Experts",
    "adaptive_mu",
    "expert_flow",
    "expert_loss",
    "load_experts",
    "mixed_loss",
    "mu_at",
    "nano_experts",
    "token_weights",
]
