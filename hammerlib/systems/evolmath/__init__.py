"""EvolMathEval (arXiv 2508.13003): linear systems that evolve into harder problems, without a language model.

Seeds have exact solutions over fractions and an exact test that the first equation is needed; operators add
what does not bind, crossover chains problems, fitness selects what evolves again. Every problem knows its
binding equations and its distractors, so that the share of answers that follow a distractor can be counted.
Public problems such as GSM8K's evolve in the same way as texts. Where the paper lets a language model write
(noise and stories), phrase banks do here; its last rewording by a model (polish) is left out.
"""

from hammerlib.moved import old_names
from hammerlib.systems.evolmath.evolution import cross, evolve, evolve_table
from hammerlib.systems.evolmath.following import follow_metrics, follow_table
from hammerlib.systems.evolmath.operators import OPERATORS, disturb_table
from hammerlib.systems.evolmath.problem import is_necessary, seed_problem

__all__ = [
    "OPERATORS",
    "cross",
    "disturb_table",
    "evolve",
    "evolve_table",
    "follow_metrics",
    "follow_table",
    "is_necessary",
    "seed_problem",
]

__getattr__ = old_names(__name__)
