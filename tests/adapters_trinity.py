"""Trinity-RFT itself: its taskset scheduler for two epochs with a tail and a resume, and a reward of ours.

Run by `make test-adapters` in an environment that holds the package.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
from pathlib import Path

import pytest
from trainer_cases import BATCH, Handed, finds_all
from trinity.buffer.task_scheduler import TasksetScheduler
from trinity.common.config import Config, DataSelectorConfig, FormatConfig, TasksetConfig
from trinity.common.rewards import REWARD_FUNCTIONS

from hammerlib.adapters.trinity import TRAINER
from hammerlib.problems.files import write_records


def scheduler(handed: Handed, state: dict | None = None, selector: str = "sequential") -> TasksetScheduler:
    """The scheduler over the file, as `handed.settings` describe it."""
    assert (
        f"data_selector: {{selector_type: {selector}}}" in "\n".join(handed.handed.settings)
        or selector == "shuffle"
    )
    taskset = TasksetConfig(
        name="ordered", path=str(handed.path.parent), split="train", batch_size=BATCH, total_epochs=2,
        format=FormatConfig(prompt_key="question", response_key="answer"),
        data_selector=DataSelectorConfig(selector_type=selector),
        default_workflow_type="math_workflow",
        default_reward_fn_type="hammerlib.adapters.rewards.TrinityScore",
    )  # fmt: skip
    config = Config()
    config.buffer.batch_size = BATCH
    config.buffer.total_epochs = 2
    config.buffer.explorer_input.tasksets = [taskset.to_storage_config()]
    return TasksetScheduler(state or {}, config)


def steps(made: TasksetScheduler, most: int = 99) -> list[list[str]]:
    """Prompts of every step until the scheduler stops."""

    async def walk() -> list[list[str]]:
        found = []
        try:
            while len(found) < most:
                found.append([task.raw_task["question"] for task in await made.read()])
        except StopAsyncIteration:
            pass
        return found

    return asyncio.run(walk())


def test_this_is_the_version_that_the_adapter_names() -> None:
    assert importlib.metadata.version("trinity-rft") == TRAINER.version


def test_two_epochs_follow_the_order_and_wrap(tmp_path: Path) -> None:
    handed = Handed("trinity-rft", tmp_path, 14)
    made = steps(scheduler(handed))
    assert [len(step) for step in made] == [4] * 7
    assert [prompt for step in made for prompt in step] == handed.prompts * 2


def test_another_selector_loses_the_order(tmp_path: Path) -> None:
    handed = Handed("trinity-rft", tmp_path, 14)
    made = steps(scheduler(handed, selector="shuffle"))
    assert [prompt for step in made for prompt in step] != handed.prompts * 2


@pytest.mark.parametrize("done", [1, 3, 4])
def test_a_resume_goes_on_where_it_stopped(done: int, tmp_path: Path) -> None:
    handed = Handed("trinity-rft", tmp_path, 14)
    first = scheduler(handed)
    steps(first, done)
    # what the explorer saves: the states of its tasksets and its step
    state = {"taskset_states": first.state_dict(), "latest_iteration": done}
    again = steps(scheduler(handed, state))
    assert [prompt for step in again for prompt in step] == (handed.prompts * 2)[done * BATCH :]


def test_every_planted_fault_is_found_in_a_log_of_its_tasks(tmp_path: Path) -> None:
    """Trinity keeps no completions as files; a workflow of one's own may log the task that it is given."""
    handed = Handed("trinity-rft", tmp_path, 24)

    def write(damaged: list[list[str]], folder: Path) -> Path:
        rows = [{"step": 1 + k, "question": prompt} for k, step in enumerate(damaged) for prompt in step * 2]
        write_records(rows, folder.with_suffix(".jsonl"))
        return folder.with_suffix(".jsonl")

    finds_all(
        handed, steps(scheduler(handed)), lambda row: handed.place_of[row],
        lambda row: row.replace("cows", "goats"), write,
    )  # fmt: skip


def test_the_grade_is_a_reward_function() -> None:
    reward = REWARD_FUNCTIONS.get("hammerlib.adapters.rewards.TrinityScore")()
    assert reward(response="so \\boxed{4}", prompt="2 + 2?", truth="4") == {"accuracy": 1.0}
