"""Search at test time with a scorer of steps, as AIRL-S (arXiv 2508.14313) uses its reward, and baselines."""

from hammerlib.systems.search.policy import PolicySpace
from hammerlib.systems.search.trees import (
    AGGREGATES,
    Account,
    Found,
    Space,
    baselines,
    beam,
    best_of_n,
    mcts,
)

__all__ = ["AGGREGATES", "Account", "Found", "PolicySpace", "Space", "baselines", "beam", "best_of_n", "mcts"]
