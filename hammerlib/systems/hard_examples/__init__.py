"""Hard Examples Are All You Need (arXiv 2508.14094): which problems are worth a label under a fixed budget.

The model is probed on the whole pool, a share of it is chosen by measured pass rate, and equal numbers of
GRPO steps on each choice are compared with a random choice of the same size.
"""

from hammerlib.moved import old_names
from hammerlib.systems.hard_examples.algorithm import LearnableShare
from hammerlib.systems.hard_examples.selection import SUBSETS, probe, same_budget, select, subset_config

__all__ = ["SUBSETS", "LearnableShare", "probe", "same_budget", "select", "subset_config"]

__getattr__ = old_names(__name__)
