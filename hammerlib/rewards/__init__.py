"""Reward functions with TRL's signature, and the DRA wrapper around them."""

from hammerlib.moved import old_names
from hammerlib.rewards.adjusted import DRAReward
from hammerlib.rewards.graded import (
    accuracy_reward,
    cosine_reward,
    log_score_reward,
    partial_reward,
    quadratic_score_reward,
    released_cosine_reward,
    verdicts,
)
from hammerlib.rewards.shape import (
    Completion,
    Reward,
    format_reward,
    length_reward,
    released_format_reward,
    repetition_reward,
    tags_reward,
)

# Names for configs; `released_*` repeat the released DRA code, for comparison.
REWARDS: dict[str, Reward] = {
    "accuracy": accuracy_reward,
    "format": format_reward,
    "cosine": cosine_reward,
    "tags": tags_reward,
    "repetition": repetition_reward,
    "length": length_reward,
    "partial": partial_reward,
    "log_score": log_score_reward,
    "quadratic_score": quadratic_score_reward,
    "released_format": released_format_reward,
    "released_cosine": released_cosine_reward,
}

__all__ = [
    "REWARDS",
    "Completion",
    "DRAReward",
    "Reward",
    "accuracy_reward",
    "cosine_reward",
    "format_reward",
    "length_reward",
    "partial_reward",
    "repetition_reward",
    "tags_reward",
    "verdicts",
]

__getattr__ = old_names(__name__)
