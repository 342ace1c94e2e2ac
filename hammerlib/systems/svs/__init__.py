"""SvS (arXiv 2508.14029): the policy rewrites problems that it half solves, and solves what it wrote.

From a correct response a new problem is written, whose answer is by construction the old one; a synthesis is
good if the variant is solved sometimes and not always. Answers, syntheses and answers to variants train the
same policy in one update.
"""

from hammerlib.systems.svs.algorithm import Svs
from hammerlib.systems.svs.synthesis import Cost, in_band, step_cost, synthesis_reward
from hammerlib.systems.svs.tasks import TASKS, Task, extractions, with_syntheses

__all__ = [
    "TASKS",
    "Cost",
    "Svs",
    "Task",
    "extractions",
    "in_band",
    "step_cost",
    "synthesis_reward",
    "with_syntheses",
]
