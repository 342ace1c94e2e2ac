"""PuzzleClone (arXiv 2508.15180): families of puzzles as specifications, solved by z3, rebuilt from records.

A specification says what is drawn at random, which constraints hold and what is asked. z3 finds all solutions
over all declared symbols; a puzzle is kept if its answer follows. Every random choice is recorded, and the
record rebuilds the puzzle, which checks specification and answer alike.
"""

from hammerlib.systems.puzzles.build import Puzzle, State, build
from hammerlib.systems.puzzles.choices import Choices, Rejected
from hammerlib.systems.puzzles.formulas import evaluate, render
from hammerlib.systems.puzzles.generate import (
    Harvest,
    check_seed,
    cut,
    deduplicate,
    difficulties,
    generate,
    read_jsonl,
    rebuild,
    released_difference,
    signature,
    write_jsonl,
)
from hammerlib.systems.puzzles.scoring import hard_score, scorer, soft_score
from hammerlib.systems.puzzles.source import load_puzzles
from hammerlib.systems.puzzles.spec import Spec, read_spec, seed_names

__all__ = [
    "Choices",
    "Harvest",
    "Puzzle",
    "Rejected",
    "Spec",
    "State",
    "build",
    "check_seed",
    "cut",
    "deduplicate",
    "difficulties",
    "evaluate",
    "generate",
    "hard_score",
    "load_puzzles",
    "read_jsonl",
    "read_spec",
    "rebuild",
    "released_difference",
    "render",
    "scorer",
    "seed_names",
    "signature",
    "soft_score",
    "write_jsonl",
]
