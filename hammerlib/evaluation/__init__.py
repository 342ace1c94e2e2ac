"""Evaluation: samples, metrics with intervals, tests between runs, one record per run."""

from hammerlib.evaluation.aggregates import (
    interquartile_interval,
    interquartile_mean,
    probability_of_improvement,
)
from hammerlib.evaluation.benchmarks import BENCHMARKS, gold_version, load_benchmark
from hammerlib.evaluation.calibration import brier_score, expected_calibration_error, reliability_table
from hammerlib.evaluation.comparison import compare, power_table
from hammerlib.evaluation.imports import import_completions
from hammerlib.evaluation.intervals import Interval, mean_interval, paired_interval, standard_error
from hammerlib.evaluation.ledger import order_ledger
from hammerlib.evaluation.metrics import cons_at_k, majority_at_k, pass_at_k, pass_hat_k
from hammerlib.evaluation.overlap import known_overlap, overlap_line, training_overlap
from hammerlib.evaluation.power import required_problems, variance_components
from hammerlib.evaluation.prompts import RECIPES, format_prompts
from hammerlib.evaluation.regrade import regrade
from hammerlib.evaluation.run import evaluate
from hammerlib.evaluation.scores import read_scores
from hammerlib.evaluation.significance import benjamini_hochberg, equivalence_test, holm, permutation_test
from hammerlib.evaluation.statistics import bootstrap_interval, paired_bootstrap
from hammerlib.evaluation.summary import outcomes, reason_counts, reliability, topic_table
from hammerlib.evaluation.transcripts import transcripts

__all__ = [
    "RECIPES",
    "format_prompts",
    "gold_version",
    "import_completions",
    "known_overlap",
    "training_overlap",
    "regrade",
    "BENCHMARKS",
    "Interval",
    "benjamini_hochberg",
    "bootstrap_interval",
    "brier_score",
    "compare",
    "cons_at_k",
    "equivalence_test",
    "evaluate",
    "expected_calibration_error",
    "holm",
    "interquartile_interval",
    "interquartile_mean",
    "load_benchmark",
    "majority_at_k",
    "mean_interval",
    "order_ledger",
    "outcomes",
    "overlap_line",
    "paired_bootstrap",
    "paired_interval",
    "pass_at_k",
    "pass_hat_k",
    "permutation_test",
    "power_table",
    "probability_of_improvement",
    "read_scores",
    "reason_counts",
    "reliability",
    "reliability_table",
    "required_problems",
    "standard_error",
    "topic_table",
    "transcripts",
    "variance_components",
]
