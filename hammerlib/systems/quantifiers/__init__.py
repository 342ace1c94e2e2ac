"""Quantifier Instantiations: To Mimic or To Revolt? (arXiv 2508.13811): a reconstruction from the abstract.

The abstract says: terms that a solver's own techniques instantiate with are samples of an unknown language; a
probabilistic grammar fitted to them generates new terms; their probabilities are kept (mimic) or inverted
(revolt). Everything else is ours: one non-terminal per sort, the two inversions, sampling with a depth limit,
refitting each round, z3. No number of the paper is claimed or compared with.
"""

from hammerlib.systems.quantifiers.examples import EXAMPLES
from hammerlib.systems.quantifiers.grammar import STRATEGIES, Grammar, Production
from hammerlib.systems.quantifiers.loop import Outcome, instantiate

__all__ = ["EXAMPLES", "STRATEGIES", "Grammar", "Outcome", "Production", "instantiate"]
