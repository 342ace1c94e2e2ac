"""Trinity-RFT itself: its taskset scheduler for two epochs with a tail and a resume, and a reward of ours.

Run by `make test-adapters` in an environment that holds the package.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import yaml
from trainer_cases import BATCH, Handed, finds_all, shown
from trinity.buffer.operators.experience_operator import create_operators
from trinity.buffer.pipelines.experience_pipeline import ExperiencePipeline
from trinity.buffer.task_scheduler import TasksetScheduler
from trinity.common.config import Config, DataSelectorConfig, FormatConfig, OperatorConfig, TasksetConfig
from trinity.common.experience import Experience
from trinity.common.workflows import Task

from hammerlib.adapters import rewards
from hammerlib.adapters.trinity import TRAINER
from hammerlib.dra import adjust_rewards
from hammerlib.errors import InputError
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
        default_reward_fn_type=next(
            line.split(": ")[1] for line in handed.handed.settings if "reward_fn" in line
        ),
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


# Rewards


def tasks(handed: Handed) -> list[Task]:
    """The first tasks of the order, with the reward function that the settings name."""
    return asyncio.run(scheduler(handed).read())


def rollouts(task: Task, number: int, said: list[str]) -> list[Experience]:
    """What the workflow makes of completions; numbered as its runner does."""

    class Model:
        def chat(self, messages: list[dict], **about: object) -> list[Experience]:
            return [
                Experience(tokens=[1, 2, 3], prompt_length=1, response_text=text, logprobs=[0.0, 0.0])
                for text in said
            ]

    workflow = task.to_workflow(Model())
    workflow.set_repeat_times(len(said), 0)
    made = workflow.run()
    for experience in made:
        experience.eid.batch, experience.eid.task = 1, number
    return made


def answers(task: Task) -> list[str]:
    """Two alike and right, one right in other words, one wrong."""
    gold = task.raw_task["answer"]
    return [f"so it is \\boxed{{{gold}}}"] * 2 + [f"\\boxed{{{gold}}}", "so it is \\boxed{-1}"]


def operator_name() -> str:
    """The operator that the page names."""
    page = yaml.safe_load(shown("buffer:"))
    (operator,) = page["data_processor"]["experience_pipeline"]["operators"]
    return operator["name"]


def pipeline(**args: object) -> ExperiencePipeline:
    """Trinity's pipeline with our operator and the advantages of its algorithm; it writes into a list."""

    class Written(list):
        async def write(self, experiences: list[Experience]) -> None:
            self.extend(experiences)

    made = object.__new__(ExperiencePipeline)
    made.input_store, made.output, made.auxiliary_models = None, Written(), {}
    made.operators = create_operators([OperatorConfig(name=operator_name(), args=args)], {})
    algorithm = Config().algorithm
    algorithm.algorithm_type, algorithm.advantage_fn, algorithm.advantage_fn_args = "grpo", "grpo", {}
    made._set_algorithm_operators(algorithm)
    assert len(made.operators) == 2
    return made


def processed(chunks: list[list[Experience]], **args: object) -> list[Experience]:
    """Experiences after the pipeline, which gets them in chunks from the runners."""
    made = pipeline(**args)
    asyncio.run(made.process_serialized_chunks([Experience.serialize_many(chunk) for chunk in chunks]))
    return made.output


def by_hand(said: list[str], grades: list[float], **options: object) -> dict[str, list[float]]:
    return dict(zip(said, adjust_rewards(grades, rewards.word_counts(said), **options).tolist(), strict=True))


def test_the_grade_is_the_reward_of_its_workflow(tmp_path: Path) -> None:
    task = tasks(Handed("trinity-rft", tmp_path, 14))[0]
    assert pickle.loads(pickle.dumps(task.reward_fn)) is task.reward_fn  # it travels to Ray's processes
    made = rollouts(task, 0, answers(task))
    assert [experience.reward for experience in made] == [1.0, 1.0, 1.0, 0.0]
    assert made[0].metrics["accuracy"] == 1.0


@pytest.mark.parametrize("sequence", ["by task", "backwards", "mixed"])
def test_dra_is_ours_in_any_sequence_and_the_advantages_are_over_it(sequence: str, tmp_path: Path) -> None:
    two = tasks(Handed("trinity-rft", tmp_path, 14))[:2]
    made = [one for number, task in enumerate(two) for one in rollouts(task, number, answers(task))]
    if sequence == "backwards":
        made.reverse()
    if sequence == "mixed":
        random.Random(0).shuffle(made)
    # a task's runs may come from several runners: `max_repeat_times_per_runner`
    done = processed([made[:3], made[3:5], made[5:]])
    for number, task in enumerate(two):
        group = [one for one in done if one.eid.task == number]
        ours = by_hand(answers(task), [1.0, 1.0, 1.0, 0.0])
        assert len(group) == 4 and ours[answers(task)[2]] > ours[answers(task)[0]]
        found = np.array([one.reward for one in group])
        assert found == pytest.approx([ours[one.response_text] for one in group])
        credit = (found - found.mean()) / (found.std(ddof=1) + 1e-6)
        assert [one.advantages[0].item() for one in group] == pytest.approx(credit, abs=1e-4)


def test_options_go_to_dra_and_unknown_ones_are_refused_before_the_first_step(tmp_path: Path) -> None:
    task = tasks(Handed("trinity-rft", tmp_path, 14))[0]
    made = rollouts(task, 0, answers(task))
    ours = by_hand(answers(task), [1.0, 1.0, 1.0, 0.0], positives_only=True, normalize=True)
    for one in processed([made], positives_only=True, normalize=True):
        assert one.reward == pytest.approx(ours[one.response_text])
    with pytest.raises(InputError, match="normalise"):
        pipeline(normalise=True)


def test_a_group_that_lost_a_run_is_adjusted_with_who_came(tmp_path: Path) -> None:
    task = tasks(Handed("trinity-rft", tmp_path, 14))[0]
    done = processed([rollouts(task, 0, answers(task))[1:]])
    ours = by_hand(answers(task)[1:], [1.0, 1.0, 0.0])
    assert [one.reward for one in done] == pytest.approx([ours[one.response_text] for one in done])


def test_an_experience_without_a_reward_stays_without_and_counts_as_a_member(tmp_path: Path) -> None:
    task = tasks(Handed("trinity-rft", tmp_path, 14))[0]
    made = rollouts(task, 0, answers(task))
    made[1].reward = None
    (operator,) = create_operators([OperatorConfig(name=operator_name())], {})
    done, _ = asyncio.run(operator.process(made))
    whole = adjust_rewards([1.0, 1.0, 1.0, 0.0], rewards.word_counts(answers(task)))
    assert done[1].reward is None and done[0].reward == pytest.approx(whole[0])


def test_what_is_not_one_completion_each_is_refused_and_a_broken_embedder_stops_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tasks(Handed("trinity-rft", tmp_path, 14))[0]
    made = rollouts(task, 0, answers(task))
    made[1].eid.step = 1
    with pytest.raises(InputError, match="task = '1/0': has experiences that are not one completion each"):
        processed([made])

    def broken(texts: list[str]) -> None:
        raise RuntimeError("no embedding")

    monkeypatch.setattr(rewards, "embedder_named", lambda name: broken)
    with pytest.raises(RuntimeError, match="no embedding"):
        processed([rollouts(task, 0, answers(task))])
