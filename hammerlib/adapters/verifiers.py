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
from typing import Any

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
        f"vf-eval ordered-problems --env.taskset.path {file}",
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


def dra_env(**options: Any) -> type:
    """Return the environment class that pays DRA: an episode is the group, `env.n` attempts at one task.

    A reward of a task sees one trace, but an environment sees all traces of an episode when they are graded.
    The adjustment is a reward of its own, `dra`, beside the grades; attempts that failed have no part in it.
    """
    from verifiers.v1.envs.best_of_n.env import BestOfNEnv

    from hammerlib.adapters.rewards import adjuster

    adjust = adjuster(**options)

    class Grouped(BestOfNEnv):
        async def finalize(self, task: Any, episode: Any) -> None:
            await super().finalize(task, episode)
            traces = [trace for trace in episode.traces if trace.ok]
            if not traces:
                return
            adjusted = adjust([_said(trace) for trace in traces], [trace.reward for trace in traces])
            for trace, reward in zip(traces, adjusted, strict=True):
                trace.record_reward("dra", reward - trace.reward)

    return Grouped


def _said(trace: Any) -> str:
    """All that the model wrote, its reasoning too."""
    parts = [(said.reasoning_content, said.content) for said in trace.assistant_messages]
    return "\n".join(part for pair in parts for part in pair if part)
