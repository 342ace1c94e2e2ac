"""DARS as an algorithm: ``algorithms: [{name: dars, schedule: hw, limit: 64}]``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hammerlib.errors import InputError, check_name, check_whole
from hammerlib.systems.branching import by_problem, check_graded, over_processes, problems_of, right_of
from hammerlib.systems.dars import SCHEDULES, UNSOLVED, extra_rollouts, kept_groups, merged_groups, signal
from hammerlib.training.generation import generate, judge
from hammerlib.training.hooks import Algorithm, Generation, Rollout

if TYPE_CHECKING:
    from hammerlib.training.config import TrainConfig
    from hammerlib.training.trainer import PolicyTrainer

PASSES = 2  # over the full batch under breadth, the code's ppo_epochs


@dataclass
class Dars(Algorithm):
    """A second stage of rollouts for the problems that the first solved in less than half of its G.

    Both stages of a problem are one group: advantages subtract the mean of all its rewards. Groups without a
    right or without a wrong answer are dropped. Which S the schedule restores follows ``scale_rewards``.

    Source: arXiv 2508.13755 and its code. A step that drops all groups has no gradient; the code skips it,
    here AdamW still moves by its momentum. TRL adds 1e-4 to the deviation, which S leaves out.

    Parameters
    ----------
    schedule : str
        ``et``, ``hw`` or ``none`` (the first stage alone), see `extra_rollouts`.
    limit : int
        N_max, most rollouts of a problem; the code takes 32 with ``et``, 64 with ``hw``. Equal to the group
        size nothing is added or dropped: stock GRPO.
    unsolved : str
        See `extra_rollouts`.
    upper : float
        Groups with at least this accuracy are dropped; 1 in the code.
    breadth : bool
        Ask for the full batch in one update, trained twice: nothing is changed, other settings are refused.
    """

    METRICS: ClassVar[dict[str, str]] = {
        "dars/extra": "rollouts of the second stage, a problem",
        "dars/hard": "share of problems that got a second stage",
        "dars/dropped": "share of problems whose merged group is all right or all wrong",
        "dars/mass_before": "sum of |A| of a problem after the first stage, without eps",
        "dars/mass_after": "sum of |A| of a problem after both stages, without eps",
    }

    STATELESS: ClassVar[bool] = True  # counts are of one generation batch

    schedule: str = "et"
    limit: int = 32
    unsolved: str = "half"
    upper: float = 1.0
    breadth: bool = False

    def __post_init__(self) -> None:
        check_name("schedule", self.schedule, SCHEDULES)
        check_name("unsolved", self.unsolved, UNSOLVED)
        check_whole("limit", self.limit, 2, "use 32, or 64 with hw")
        if not 0 < self.upper <= 1:
            raise InputError("upper", self.upper, "is outside (0, 1]", "use 1")
        # Of each problem of the batch: right and all rollouts, before and after; whether it is kept.
        self._counts: list[tuple[int, ...]] = []

    def check(self, config: TrainConfig) -> None:
        """Refuse a configuration that the schedule does not fit."""
        if self.limit < config.group_size:
            raise InputError("limit", self.limit, f"is below the group size {config.group_size}", "raise it")
        if config.scale_rewards == "batch":
            problem = "divides by the batch's deviation, which no S of the schedules is of"
            raise InputError("scale_rewards", "batch", problem, "use none, or group")
        check_graded(config, "the schedule looks at")
        # breadth: one update sees the full batch, so that its gradient is of the mean over all problems
        if self.breadth and (config.steps_per_generation or 1) > 1:
            problem = "trains a generation batch in several updates, which is no breadth"
            remedy = "leave it out, and split micro-batches by gradient_accumulation"
            raise InputError("steps_per_generation", config.steps_per_generation, problem, remedy)
        if self.breadth and config.num_iterations < PASSES:
            remedy = f"set num_iterations: {PASSES}"
            raise InputError("num_iterations", config.num_iterations, "trains the full batch once", remedy)

    def most_rows(self, config: TrainConfig) -> int:
        """Return N_max."""
        return self.limit

    def rollout(self, rows: list[dict[str, Any]], trainer: PolicyTrainer) -> Generation:
        """Return both stages, the rollouts of a problem in a row and in one group."""
        size = trainer.num_generations
        problems = problems_of(rows, size)
        first = generate(trainer, rows)
        # to the last bit what GRPO does
        if self.limit == size:
            return first
        right = np.array(right_of(judge(trainer, first)[1])).reshape(-1, size).sum(1)
        rules = {"schedule": self.schedule, "unsolved": self.unsolved}
        rules["std"] = trainer.scale_rewards == "group"
        extra = [extra_rollouts(count, size, self.limit, **rules) for count in right.tolist()]
        total = right
        both = first
        # All processes sample again, or none does; one that needs nothing asks for nothing.
        if over_processes(trainer, sum(extra)):
            again = [row for row, count in zip(problems, extra, strict=True) for _ in range(count)]
            second = generate(trainer, again)
            solved = right_of(judge(trainer, second)[1]) if again else []
            of_problem = np.repeat(np.arange(len(problems)), extra)
            # right ones of both stages by problem
            total = right + np.bincount(of_problem, solved, len(problems)).astype(int)
            both = by_problem(first, second)
        sizes = size + np.array(extra)
        kept = kept_groups(total, sizes, upper=self.upper)
        counts = (right, [size] * len(problems), total, sizes, kept)
        # several generation batches may come before one report
        self._counts += [tuple(map(int, count)) for count in zip(*counts, strict=True)]
        # Groups of its own on every process or on none. None: as TRL has them, to the last bit.
        if over_processes(trainer, sum(extra) + int((~kept).sum())):
            both.groups = merged_groups(size, extra, kept)
        return both

    def observe(self, rollout: Rollout) -> dict[str, float]:
        """Return what the second stage took and gave."""
        if not self._counts:  # nothing was looked at: limit is the group size
            return dict.fromkeys(self.METRICS, float("nan"))
        right, before, total, after, kept = np.array(self._counts, dtype=float).T
        self._counts.clear()
        std = rollout.trainer.scale_rewards == "group"
        return {
            "dars/extra": float((after - before).mean()),
            "dars/hard": float((after > before).mean()),
            "dars/dropped": float(1 - kept.mean()),
            # N S(u): the sum of |A| without eps
            "dars/mass_before": float((before * signal(right / before, std=std)).mean()),
            "dars/mass_after": float((after * signal(total / after, std=std)).mean()),
        }
