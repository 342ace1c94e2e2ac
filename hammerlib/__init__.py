"""Order reasoning problems by meaning, reward diverse answers, and measure what it changes.

Every public name is imported on first use, so that ``import hammerlib`` is fast and needs neither torch
nor trl.

Examples
--------
>>> import hammerlib
>>> round(hammerlib.pass_at_k(4, 1, 2), 3)
0.5
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from hammerlib.moved import install as _install_old_names

__version__ = "0.1.0"

# Public name -> module that holds it, in the order in which problems flow.
_HOMES = {
    "load_problems": "hammerlib.problems",
    "load_backbone": "hammerlib.models",
    "embed": "hammerlib.models.embeddings",
    "order_by": "hammerlib.ordering",
    "Order": "hammerlib.ordering",
    "vendi_score": "hammerlib.diversity",
    "prefix_profile": "hammerlib.diversity",
    "grade": "hammerlib.grading",
    "diversity_weights": "hammerlib.dra",
    "adjust_rewards": "hammerlib.dra",
    "accuracy_reward": "hammerlib.rewards",
    "format_reward": "hammerlib.rewards",
    "cosine_reward": "hammerlib.rewards",
    "DRAReward": "hammerlib.rewards",
    "TrainConfig": "hammerlib.training",
    "train": "hammerlib.training",
    "schedule_table": "hammerlib.training",
    "load_benchmark": "hammerlib.evaluation",
    "evaluate": "hammerlib.evaluation",
    "pass_at_k": "hammerlib.evaluation",
    "majority_at_k": "hammerlib.evaluation",
    "bootstrap_interval": "hammerlib.evaluation",
    "paired_bootstrap": "hammerlib.evaluation",
    "interquartile_mean": "hammerlib.evaluation",
}
__all__ = [*_HOMES, "__version__"]

if TYPE_CHECKING:
    from hammerlib.diversity import prefix_profile, vendi_score
    from hammerlib.dra import adjust_rewards, diversity_weights
    from hammerlib.evaluation import (
        bootstrap_interval,
        evaluate,
        interquartile_mean,
        load_benchmark,
        majority_at_k,
        paired_bootstrap,
        pass_at_k,
    )
    from hammerlib.grading import grade
    from hammerlib.models import load_backbone
    from hammerlib.models.embeddings import embed
    from hammerlib.ordering import Order, order_by
    from hammerlib.problems import load_problems
    from hammerlib.rewards import DRAReward, accuracy_reward, cosine_reward, format_reward
    from hammerlib.training import TrainConfig, schedule_table, train


_install_old_names()


def __getattr__(name: str) -> object:
    """Import a public name from its room on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hammerlib' has no attribute {name!r}; it has {', '.join(_HOMES)}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names beside what is already imported."""
    return sorted({*globals(), *__all__})
