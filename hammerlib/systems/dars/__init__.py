"""DARS (arXiv 2508.13755): more rollouts for hard problems, so that their groups weigh as much as others'.

The sum of |A| over a group of binary rewards starves what is rarely solved. A second stage samples as many
more rollouts as restore it; both stages are one group. Breadth is a full batch, trained twice.
"""

from hammerlib.systems.dars.algorithm import Dars
from hammerlib.systems.dars.schedule import Depth, expected_depth, extra_rollouts, signal

__all__ = ["Dars", "Depth", "expected_depth", "extra_rollouts", "signal"]
