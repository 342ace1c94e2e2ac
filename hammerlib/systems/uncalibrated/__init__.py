"""Uncalibrated GRPO (arXiv 2508.11800): dividing by the group's deviation makes stated chances overconfident.

Exact table: five estimators, the expected advantage in closed form, a clip that clips. With a language model
the fix is ``scale_rewards: none`` of `hammerlib.TrainConfig`, with rewards ``log_score`` or
``quadratic_score``; `LeaveOneOut` is RLOO as a plug.
"""

from hammerlib.systems.uncalibrated.stating import (
    LeaveOneOut,
    forecast_problems,
    save_stating_model,
    statement_policy,
)
from hammerlib.systems.uncalibrated.tabular import (
    ESTIMATORS,
    STATED,
    Outcomes,
    advantages,
    auroc,
    calibration,
    draw_outcomes,
    expected_advantage,
    fit_table,
    surrogate,
)

__all__ = [
    "ESTIMATORS",
    "STATED",
    "LeaveOneOut",
    "Outcomes",
    "advantages",
    "auroc",
    "calibration",
    "draw_outcomes",
    "expected_advantage",
    "fit_table",
    "forecast_problems",
    "save_stating_model",
    "statement_policy",
    "surrogate",
]
