"""G2RPO-A (arXiv 2508.13023): part of every group starts from the beginning of a correct solution.

How much of it is given follows the accuracy: less as training succeeds, more as it fails.
"""

from hammerlib.systems.g2rpo_a.algorithm import GuidedGroups
from hammerlib.systems.g2rpo_a.guidance import (
    feedback_path,
    guidance,
    guided_count,
    noise_growth,
    paper_length,
    released_length,
    resting_length,
)

__all__ = [
    "GuidedGroups",
    "feedback_path",
    "guidance",
    "guided_count",
    "noise_growth",
    "paper_length",
    "released_length",
    "resting_length",
]
