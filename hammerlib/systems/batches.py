"""What rollouts of several systems ask of a generation batch: its problems, what is right, all processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from accelerate.utils import gather_object

from hammerlib.errors import InputError
from hammerlib.training.config import GRADED

if TYPE_CHECKING:
    from hammerlib.grading import Verdict
    from hammerlib.training.config import TrainConfig
    from hammerlib.training.trainer import PolicyTrainer


def problems_of(rows: Sequence[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    """Return one row for each problem; refuse groups of `size` that straddle processes."""
    problems = list(rows[::size])
    if len(rows) % size or any(row["id"] != problems[k // size]["id"] for k, row in enumerate(rows)):
        remedy = "make prompts_per_step a multiple of processes and gradient_accumulation"
        raise InputError("plugs.rollout", len(rows), f"rows are not whole groups of {size}", remedy)
    return problems


def right_of(verdicts: Sequence[Verdict | None]) -> list[bool]:
    """Return which completions are right; one that nothing can be said of is not."""
    return [verdict is not None and verdict.correct for verdict in verdicts]


def over_processes(trainer: PolicyTrainer, count: int) -> int:
    """Return the sum of a number over all processes, which all must ask for."""
    return sum(gather_object([count])) if trainer.accelerator.num_processes > 1 else count


def check_graded(config: TrainConfig, why: str) -> None:
    """Refuse rewards of which none grades the answer."""
    if not set(GRADED) & set(config.rewards):
        remedy = f"add one of {', '.join(GRADED)} to rewards"
        raise InputError("rewards", list(config.rewards), f"grade no answer, which {why}", remedy)
