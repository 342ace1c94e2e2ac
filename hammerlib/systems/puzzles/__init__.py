"""PuzzleClone (arXiv 2508.15180): families of puzzles as specifications, solved by z3, rebuilt from records.

A specification says what is drawn at random, which constraints hold and what is asked. z3 finds all solutions
over all declared symbols; a puzzle is kept if its answer follows. Every random choice is recorded, and the
record rebuilds the puzzle, which checks specification and answer alike.
"""

from hammerlib.moved import old_names
from hammerlib.systems.puzzles.generate import check_seed, cut, difficulties, generate, rebuild
from hammerlib.systems.puzzles.scoring import soft_score
from hammerlib.systems.puzzles.spec import read_spec, seed_names

__all__ = [
    "check_seed",
    "cut",
    "difficulties",
    "generate",
    "read_spec",
    "rebuild",
    "seed_names",
    "soft_score",
]

__getattr__ = old_names(__name__)
