"""EvolMathEval (arXiv 2508.13003): linear systems that evolve into harder problems, without a language model.

Seeds have exact solutions over fractions and an exact test that the first equation is needed; operators add
what does not bind, crossover chains problems, fitness selects what evolves again. Every problem knows its
binding equations and its distractors, so that the share of answers that follow a distractor can be counted.
Where the paper lets a language model write (noise, stories, polish), phrase banks do here.
"""

from hammerlib.systems.evolmath.crossover import cross, cross_pairs, first_number, is_linked, ratio
from hammerlib.systems.evolmath.evolution import Evolution, evolve
from hammerlib.systems.evolmath.fitness import WEIGHTS, is_low, measure, scores
from hammerlib.systems.evolmath.following import follow_metrics, follow_table, simulate
from hammerlib.systems.evolmath.linear import is_necessary, rank, released_is_necessary, value_of
from hammerlib.systems.evolmath.operators import (
    approximate,
    background,
    confused,
    irrelevant,
    is_needed,
    misleading,
    translate,
    useless,
)
from hammerlib.systems.evolmath.problem import Item, Link, Part, Relation, Statement
from hammerlib.systems.evolmath.public import OPERATORS, disturb, disturb_table
from hammerlib.systems.evolmath.seeds import draw_rows, seed_problem
from hammerlib.systems.evolmath.source import load_evolved

__all__ = [
    "OPERATORS",
    "WEIGHTS",
    "Evolution",
    "Item",
    "Link",
    "Part",
    "Relation",
    "Statement",
    "approximate",
    "background",
    "confused",
    "cross",
    "cross_pairs",
    "disturb",
    "disturb_table",
    "draw_rows",
    "evolve",
    "first_number",
    "follow_metrics",
    "follow_table",
    "irrelevant",
    "is_linked",
    "is_low",
    "is_necessary",
    "is_needed",
    "load_evolved",
    "measure",
    "misleading",
    "rank",
    "ratio",
    "released_is_necessary",
    "scores",
    "seed_problem",
    "simulate",
    "translate",
    "useless",
    "value_of",
]
