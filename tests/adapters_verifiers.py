"""verifiers itself: our taskset by its name, selections, its scoring, its episodes as a log.

Run by `make test-adapters` in an environment that holds the package.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import itertools
import json
from pathlib import Path

import pytest
import verifiers.v1 as vf
from trainer_cases import BATCH, Handed, finds_all
from verifiers.v1.configs.select import SelectConfig
from verifiers.v1.episode import EnvInfo, Episode
from verifiers.v1.graph import MessageNode
from verifiers.v1.trace import AgentInfo, Trace, TraceTask
from verifiers.v1.types import AssistantMessage
from verifiers.v1.utils.loaders import load_taskset, taskset_config_type

from hammerlib.adapters.verifiers import MODULE, TRAINER
from hammerlib.evaluation.imports import import_completions


@pytest.fixture
def handed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Handed:
    (tmp_path / "ordered_problems.py").write_text("\n".join(MODULE))
    monkeypatch.syspath_prepend(tmp_path)
    return Handed("verifiers", tmp_path, 14)


def taskset(handed: Handed) -> vf.Taskset:
    """The taskset as verifiers finds it by its name."""
    kind = taskset_config_type("ordered-problems")
    return load_taskset(kind(id="ordered-problems", path=str(handed.path)))


def episode(task: vf.Task, said: str) -> Episode:
    """A finished rollout of a task, scored by verifiers."""
    seat = AgentInfo(config=vf.AgentConfig())
    seed = TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash)
    trace = Trace(
        task=seed, agent=seat, nodes=[MessageNode(message=AssistantMessage(content=said), sampled=True)]
    )
    asyncio.run(task.score(trace))
    return Episode(task=seed, env=EnvInfo(id="single_agent"), traces=[trace])


def test_this_is_the_version_that_the_adapter_names() -> None:
    assert importlib.metadata.version("verifiers") == TRAINER.version


def test_two_epochs_follow_the_order(handed: Handed) -> None:
    tasks = taskset(handed)
    for _ in range(2):
        assert [task.data.prompt for task in tasks] == handed.prompts
        assert [task.data.position for task in tasks] == list(range(14))


def test_a_resume_skips_what_is_done(handed: Handed) -> None:
    left = taskset(handed).select(SelectConfig(skip=8))
    assert [task.data.prompt for task in left] == handed.prompts[8:]


def test_its_shuffle_loses_the_order(handed: Handed) -> None:
    mixed = taskset(handed).select(SelectConfig(shuffle=True, seed=0))
    assert [task.data.prompt for task in mixed] != handed.prompts


def test_the_grade_is_the_tasks_reward(handed: Handed) -> None:
    task = next(iter(taskset(handed)))
    assert episode(task, f"so \\boxed{{{task.data.answer}}}").traces[0].reward == 1.0
    assert episode(task, "so \\boxed{-1}").traces[0].reward == 0.0
    assert task.key == handed.order.apply(handed.problems)["id"][0]


def test_every_planted_fault_is_found_in_its_episodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ordered_problems.py").write_text("\n".join(MODULE))
    monkeypatch.syspath_prepend(tmp_path)
    handed = Handed("verifiers", tmp_path, 24)
    rows = [episode(task, "4").to_record() for task in taskset(handed)] * 2
    walk = iter(rows)
    batches = [list(itertools.islice(walk, BATCH)) for _ in range(len(rows) // BATCH)]

    def write(damaged: list[list[dict]], folder: Path) -> Path:
        for step, records in enumerate(damaged):
            file = folder / f"step_{step}" / "train" / "effective" / "traces.jsonl"
            file.parent.mkdir(parents=True)
            file.write_text("".join(json.dumps(record) + "\n" for record in records for _ in range(2)))
        return folder

    def stranger(record: dict) -> dict:
        data = record["task"]["data"]
        other = {"id": "elsewhere", "prompt": data["prompt"].replace("cows", "goats")}
        return record | {"task": record["task"] | {"data": data | other}}

    finds_all(handed, batches, lambda record: record["task"]["data"]["position"], stranger, write)


def test_its_episodes_become_a_run_of_ours(handed: Handed, tmp_path: Path) -> None:
    tasks = list(taskset(handed))
    records = [
        episode(task, f"\\boxed{{{task.data.answer if k else 'no'}}}").to_record()
        for k, task in enumerate(tasks)
    ]
    (tmp_path / "traces.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    run = import_completions(tmp_path / "traces.jsonl", handed.problems, root=tmp_path)
    assert run.metrics["pass@1"]["value"] == pytest.approx(13 / 14)
