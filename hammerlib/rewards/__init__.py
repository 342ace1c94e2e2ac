"""Reward functions with TRL's signature, and the DRA wrapper around them."""

from hammerlib.rewards.adjusted import DRAReward, raw_sum
from hammerlib.rewards.graded import (
    REWARDS,
    Completion,
    Reward,
    accuracy_reward,
    cosine_reward,
    format_reward,
    text_of,
    verdicts,
)

__all__ = [
    "REWARDS",
    "Completion",
    "DRAReward",
    "Reward",
    "accuracy_reward",
    "cosine_reward",
    "format_reward",
    "raw_sum",
    "text_of",
    "verdicts",
]
