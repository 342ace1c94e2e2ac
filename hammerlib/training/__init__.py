"""Training: which problem in which step, with which reward. The only room that imports trl."""

from hammerlib.training.completions import read_completions
from hammerlib.training.config import TrainConfig
from hammerlib.training.run import train
from hammerlib.training.schedule import schedule_table
from hammerlib.training.seams import Plugs, Rollout

__all__ = ["Plugs", "Rollout", "TrainConfig", "read_completions", "schedule_table", "train"]
