"""TTRL (arXiv 2504.16084) and the advantage side of ETTRL (arXiv 2508.11356): learning without labels.

The majority of a problem's own completions is its answer; metrics alone see the truth. ETTRL reshapes the
advantages by the entropy of the responses; no code of it is public, so that its formulas are second-hand.
"""

from hammerlib.moved import old_names
from hammerlib.systems.ttrl.algorithm import EntropyReshape, VoteThenSample
from hammerlib.systems.ttrl.votes import entropy_scale, expected_push, majority_vote, vote_metrics

__all__ = [
    "EntropyReshape",
    "VoteThenSample",
    "entropy_scale",
    "expected_push",
    "majority_vote",
    "vote_metrics",
]

__getattr__ = old_names(__name__)
