"""Evaluation: samples, pass@k and majority@k with intervals, one record per run."""

from hammerlib.evaluation.benchmarks import BENCHMARKS, gold_version, load_benchmark
from hammerlib.evaluation.imports import import_completions
from hammerlib.evaluation.ledger import order_ledger
from hammerlib.evaluation.metrics import majority_at_k, pass_at_k
from hammerlib.evaluation.prompts import RECIPES, format_prompts
from hammerlib.evaluation.regrade import regrade
from hammerlib.evaluation.run import evaluate
from hammerlib.evaluation.statistics import Interval, bootstrap_interval, interquartile_mean, paired_bootstrap
from hammerlib.evaluation.summary import outcomes, topic_table

__all__ = [
    "RECIPES",
    "format_prompts",
    "gold_version",
    "import_completions",
    "regrade",
    "BENCHMARKS",
    "Interval",
    "bootstrap_interval",
    "evaluate",
    "interquartile_mean",
    "load_benchmark",
    "majority_at_k",
    "order_ledger",
    "outcomes",
    "paired_bootstrap",
    "pass_at_k",
    "topic_table",
]
