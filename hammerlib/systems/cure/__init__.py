"""CURE (arXiv 2508.11016): completions are cut before a token of high entropy and continued from there.

Rollouts and branches of a prompt are one group. Plain rollouts may follow after so many steps, in the same
run.
"""

from hammerlib.systems.cure.algorithm import Cure
from hammerlib.systems.cure.critical import (
    critical_position,
    critical_positions,
    eligible_tokens,
    fork_training,
)

__all__ = ["Cure", "critical_position", "critical_positions", "eligible_tokens", "fork_training"]
