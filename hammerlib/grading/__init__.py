"""Grading: the final answer of a completion, and whether it equals the gold."""

from hammerlib.grading.extract import final_answer
from hammerlib.grading.pool import GradingPool, count_reasons, grade_many
from hammerlib.grading.verdict import REASONS, Verdict, grade, grader_version

__all__ = [
    "REASONS",
    "GradingPool",
    "Verdict",
    "count_reasons",
    "final_answer",
    "grade",
    "grade_many",
    "grader_version",
]
