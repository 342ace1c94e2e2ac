"""Grading: the final answer of a completion, and whether it equals the gold."""

from hammerlib.grading.extract import final_answer
from hammerlib.grading.pool import GradingPool, grade_many, open_pool
from hammerlib.grading.verdict import NO_GOLD, REASONS, Verdict, grade, grader_version, with_truncation

__all__ = [
    "NO_GOLD",
    "REASONS",
    "GradingPool",
    "Verdict",
    "final_answer",
    "grade",
    "grade_many",
    "grader_version",
    "open_pool",
    "with_truncation",
]
