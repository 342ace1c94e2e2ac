"""Training: which problem in which step, with which reward. The only room that imports trl."""

from hammerlib.training.config import TrainConfig
from hammerlib.training.run import train
from hammerlib.training.schedule import schedule_table
from hammerlib.training.seams import Generation, Plugs, Rollout

__all__ = ["Generation", "Plugs", "Rollout", "TrainConfig", "schedule_table", "train"]
