"""How diverse a set, the first part of an order, or a group of completions is."""

from __future__ import annotations

from hammerlib.diversity.groups import group_telemetry
from hammerlib.diversity.prefixes import FRACTIONS, METRICS, prefix_profile, random_reference
from hammerlib.diversity.scores import (
    coverage_radius,
    mean_pairwise_cosine,
    neighbour_purity,
    vendi_from_kernel,
    vendi_score,
)

__all__ = [
    "FRACTIONS",
    "METRICS",
    "coverage_radius",
    "group_telemetry",
    "mean_pairwise_cosine",
    "neighbour_purity",
    "prefix_profile",
    "random_reference",
    "vendi_from_kernel",
    "vendi_score",
]
