"""Uncalibrated GRPO (arXiv 2508.11800): dividing by the group's deviation makes stated chances overconfident.

Exact table: five estimators, the expected advantage in closed form, a clip that clips. With a language model
the fix is ``scale_rewards: none`` of `hammerlib.TrainConfig`, with rewards ``log_score`` or
``quadratic_score``; `LeaveOneOut` is RLOO as an algorithm (``rloo``).
"""

from hammerlib.moved import old_names
from hammerlib.systems.uncalibrated.algorithm import LeaveOneOut
from hammerlib.systems.uncalibrated.stating import forecast_problems, save_stating_model, statement_policy
from hammerlib.systems.uncalibrated.tabular import (
    ESTIMATORS,
    advantages,
    calibration,
    draw_outcomes,
    expected_advantage,
    fit_table,
)

__all__ = [
    "ESTIMATORS",
    "LeaveOneOut",
    "advantages",
    "calibration",
    "draw_outcomes",
    "expected_advantage",
    "fit_table",
    "forecast_problems",
    "save_stating_model",
    "statement_policy",
]

__getattr__ = old_names(__name__)
