"""verifiers: a taskset that loads the ordered file, graded by hammerlib. prime-rl trains any such taskset.

A module of one's own makes it a taskset by its name (``hammer order --for verifiers`` prints it)::

    from hammerlib.adapters.verifiers import ordered_taskset

    Ordered = ordered_taskset()
    __all__ = ["Ordered"]
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

from hammerlib.adapters.trainer import Row, Trainer


def row(problem: Row, position: int) -> Row:
    """Return a task's data: the problem, its id and its place in the order."""
    return {
        "id": problem["id"],
        "prompt": problem["prompt"],
        "answer": problem["answer"],
        "position": position,
    }


# What stands in ordered_problems.py, importable where verifiers runs.
MODULE = (
    "# ordered_problems.py, importable where verifiers runs:",
    "from hammerlib.adapters.verifiers import ordered_taskset",
    "Ordered = ordered_taskset()",
    '__all__ = ["Ordered"]',
)


def _settings(file: Path, batch: int | None) -> list[str]:
    return [
        *MODULE,
        "# and then, without --select.shuffle:",
        f"eval ordered-problems --env.taskset.path {file}",
    ]


TRAINER = Trainer("verifiers", "0.4.0", "package", ".jsonl", "wraps", row, _settings)


@functools.cache
def ordered_taskset() -> type:
    """Return the taskset class: `path` names the file, rows are tasks, the grade is the reward."""
    import verifiers.v1 as vf

    class OrderedConfig(vf.TasksetConfig):
        path: str = ""

    class OrderedData(vf.TaskData):
        answer: str
        position: int

    class OrderedTask(vf.Task[OrderedData, vf.State, vf.TaskConfig]):
        @property
        def key(self) -> str:
            """The problem's id, so that a record names it."""
            return self.data.id

        @vf.reward
        async def accuracy(self, trace: vf.Trace) -> float:
            from hammerlib.adapters.rewards import score

            return score(trace.last_reply, self.data.answer)

    class Ordered(vf.Taskset[OrderedTask, OrderedConfig]):
        def load(self) -> Iterator[OrderedTask]:
            from hammerlib.problems.files import read_records

            for row in read_records(Path(self.config.path)):
                yield OrderedTask(OrderedData(**row), self.config.task)

    return Ordered
