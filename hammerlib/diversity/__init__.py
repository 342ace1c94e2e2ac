"""How diverse a set, the parts of an order, or a group of completions is."""

from __future__ import annotations

from hammerlib.diversity.profiles import (
    FRACTIONS,
    LAGS,
    METRICS,
    explain_order,
    lag_profile,
    order_correlates,
    prefix_profile,
    random_reference,
    window_profile,
)
from hammerlib.diversity.scores import (
    coverage_radius,
    dcscore,
    group_telemetry,
    mean_pairwise_cosine,
    neighbour_purity,
    vendi_from_kernel,
    vendi_score,
)

__all__ = [
    "FRACTIONS",
    "LAGS",
    "METRICS",
    "coverage_radius",
    "dcscore",
    "explain_order",
    "group_telemetry",
    "lag_profile",
    "mean_pairwise_cosine",
    "neighbour_purity",
    "order_correlates",
    "prefix_profile",
    "random_reference",
    "vendi_from_kernel",
    "vendi_score",
    "window_profile",
]
