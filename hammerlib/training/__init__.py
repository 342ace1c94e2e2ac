"""Training: which problem in which step, with which reward. The only room that imports trl."""

import os

# TRL reports its own use to the hub; a research run does not, unless its user wants it to.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from hammerlib.training.config import TrainConfig
from hammerlib.training.hooks import Algorithm, Generation, Hooks, Plugs, Rollout
from hammerlib.training.logs import read_completions
from hammerlib.training.run import train
from hammerlib.training.schedule import schedule_table

__all__ = [
    "Algorithm",
    "Generation",
    "Hooks",
    "Plugs",
    "Rollout",
    "TrainConfig",
    "read_completions",
    "schedule_table",
    "train",
]
