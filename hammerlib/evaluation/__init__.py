"""Evaluation: samples, metrics with intervals, tests between runs, one record per run."""

from hammerlib.evaluation.benchmarks import BENCHMARKS, load_benchmark, overlap_line
from hammerlib.evaluation.comparison import compare, power_table, read_scores, transcripts
from hammerlib.evaluation.evaluator import Evaluator, evaluate
from hammerlib.evaluation.imports import import_completions, regrade
from hammerlib.evaluation.intervals import (
    Interval,
    bootstrap_interval,
    interquartile_interval,
    interquartile_mean,
    mean_interval,
    paired_bootstrap,
    paired_interval,
    probability_of_improvement,
    standard_error,
)
from hammerlib.evaluation.ledger import order_ledger
from hammerlib.evaluation.metrics import (
    brier_score,
    cons_at_k,
    expected_calibration_error,
    majority_at_k,
    pass_at_k,
    pass_hat_k,
    reliability_table,
)
from hammerlib.evaluation.significance import (
    benjamini_hochberg,
    equivalence_test,
    holm,
    permutation_test,
    required_problems,
    variance_components,
)
from hammerlib.evaluation.summary import outcomes, topic_table
from hammerlib.moved import old_names

# fmt: off
__all__ = [  # by file
    "BENCHMARKS", "load_benchmark", "overlap_line",
    "compare", "power_table", "read_scores", "transcripts",
    "Evaluator", "evaluate",
    "import_completions", "regrade",
    "Interval", "bootstrap_interval", "interquartile_interval", "interquartile_mean", "mean_interval",
    "paired_bootstrap", "paired_interval", "probability_of_improvement", "standard_error",
    "order_ledger",
    "brier_score", "cons_at_k", "expected_calibration_error", "majority_at_k", "pass_at_k", "pass_hat_k",
    "reliability_table",
    "benjamini_hochberg", "equivalence_test", "holm", "permutation_test", "required_problems",
    "variance_components",
    "outcomes", "topic_table",
]
# fmt: on

__getattr__ = old_names(__name__)
