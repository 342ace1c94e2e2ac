"""ETMR, the tree rollouts of ETTRL (arXiv 2508.11356): votes that share their beginnings, for fewer tokens.

The label is that of TTRL (`hammerlib.systems.ttrl`), which also holds ETTRL's reshaped advantages. No code of
ETTRL is public; what its two notes leave open stands with each function.
"""

from hammerlib.systems.etmr.algorithm import TreeVotes
from hammerlib.systems.etmr.trees import effective_votes, fork_points, leaf_count, token_ratio, tree_vote

__all__ = ["TreeVotes", "effective_votes", "fork_points", "leaf_count", "token_ratio", "tree_vote"]
