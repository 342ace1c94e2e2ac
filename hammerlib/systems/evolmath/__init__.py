"""EvolMathEval (arXiv 2508.13003): linear systems that evolve into harder problems, without a language model.

Seeds have exact solutions over fractions and an exact test that the first equation is needed; operators add
what does not bind, crossover chains problems, fitness selects what evolves again. Every problem knows its
binding equations and its distractors, so that the share of answers that follow a distractor can be counted.
Public problems such as GSM8K's evolve in the same way as texts. Where the paper lets a language model write
(noise and stories), phrase banks do here; its last rewording by a model (polish) is left out.
"""

from hammerlib.systems.evolmath.evolution import (
    WEIGHTS,
    Evolution,
    can_cross,
    cross,
    cross_pairs,
    evolve,
    evolve_table,
    first_number,
    is_linked,
    is_low,
    measure,
    ratio,
    scores,
    stories_of,
)
from hammerlib.systems.evolmath.following import follow_metrics, follow_table, simulate
from hammerlib.systems.evolmath.operators import (
    OPERATORS,
    approximate,
    background,
    confused,
    disturb,
    disturb_table,
    irrelevant,
    is_needed,
    misleading,
    translate,
    useless,
)
from hammerlib.systems.evolmath.problem import (
    Item,
    Link,
    Part,
    Relation,
    Statement,
    draw_rows,
    is_necessary,
    rank,
    released_is_necessary,
    seed_problem,
    value_of,
)
from hammerlib.systems.evolmath.source import load_evolved
from hammerlib.systems.evolmath.stories import Passage, Story

__all__ = [
    "OPERATORS",
    "WEIGHTS",
    "Evolution",
    "Item",
    "Link",
    "Part",
    "Passage",
    "Relation",
    "Statement",
    "Story",
    "approximate",
    "background",
    "can_cross",
    "confused",
    "cross",
    "cross_pairs",
    "disturb",
    "disturb_table",
    "draw_rows",
    "evolve",
    "evolve_table",
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
    "stories_of",
    "translate",
    "useless",
    "value_of",
]
