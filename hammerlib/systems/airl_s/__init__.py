"""AIRL-S (arXiv 2508.14313): a reward learnt from correct traces, for training and for search.

A discriminator D = sigmoid(f - log pi) tells steps of correct traces from the policy's own; f - log pi is a
reward of every step, and f alone, which knows no policy, scores steps in `hammerlib.systems.search`. No code
of it is public: the algebra is that of AIRL (arXiv 1710.11248), all else a switch.
"""

from hammerlib.systems.airl_s.algorithm import AirlS
from hammerlib.systems.airl_s.reward import (
    Recovery,
    discriminator,
    discriminator_loss,
    policy_reward,
    recover,
    step_advantages,
    step_ends,
)
from hammerlib.systems.airl_s.scorer import StepScorer, load_scorer, score_steps

__all__ = [
    "AirlS",
    "Recovery",
    "StepScorer",
    "discriminator",
    "discriminator_loss",
    "load_scorer",
    "policy_reward",
    "recover",
    "score_steps",
    "step_advantages",
    "step_ends",
]
