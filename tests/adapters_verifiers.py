"""verifiers itself: our taskset by its name, selections, its scoring, episodes of groups, a log.

Run by `make test-adapters` in an environment that holds the package.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import itertools
import json
import sys
from pathlib import Path

import pytest
import verifiers.v1 as vf
from aiohttp import web
from trainer_cases import BATCH, Handed, finds_all, shown
from verifiers.v1.clients import ModelContext
from verifiers.v1.configs.client import EvalClientConfig
from verifiers.v1.configs.select import SelectConfig
from verifiers.v1.episode import EnvInfo, Episode
from verifiers.v1.graph import MessageNode
from verifiers.v1.trace import AgentInfo, Trace, TraceTask
from verifiers.v1.types import AssistantMessage
from verifiers.v1.utils.loaders import (
    load_environment,
    load_taskset,
    resolve_env_config,
    taskset_config_type,
)

from hammerlib.adapters import rewards
from hammerlib.adapters.verifiers import MODULE, TRAINER
from hammerlib.dra import adjust_rewards
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


# DRA

# A harness that asks once: one of verifiers' own would fetch its program from the network.
ASKS = """
import httpx
import verifiers.v1 as vf
from verifiers.v1.runtimes import ProgramResult

class Asks(vf.Harness[vf.HarnessConfig]):
    EXECUTES_CODE = NEEDS_CONTAINER = False

    async def launch(self, ctx, trace, runtime, endpoint, secret, mcp_urls, data):
        asked = {"model": ctx.model, "messages": [{"role": "user", "content": data.prompt}]}
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {secret}"}) as http:
            (await http.post(f"{endpoint}/chat/completions", json=asked)).raise_for_status()
        return ProgramResult(0, "", "")

__all__ = ["Asks"]
"""


def answers(task: vf.Task) -> list[str]:
    """Two alike and right, one right in other words, one wrong."""
    gold = task.data.answer
    return [f"so it is \\boxed{{{gold}}}"] * 2 + [f"\\boxed{{{gold}}}", "so it is \\boxed{-1}"]


def played(
    folder: Path, path: Path, said: dict[str, list[str]], waits: list[float], together: int = 4
) -> list[Episode]:
    """Episodes of the first tasks, all at once, from the environment that belongs to our taskset."""
    (folder / "grouped_problems.py").write_text(shown("# ordered_problems.py"))
    (folder / "asks.py").write_text(ASKS)
    sys.modules.pop("grouped_problems", None)  # of another test
    turns = {prompt: iter(zip(texts, waits, strict=True)) for prompt, texts in said.items()}

    async def complete(request: web.Request) -> web.Response:
        text, wait = next(turns[(await request.json())["messages"][-1]["content"]])
        await asyncio.sleep(wait)
        if text == "breaks":
            return web.Response(status=400, text="no")
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return web.json_response(
            {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        )

    async def run() -> list[Episode]:
        app = web.Application()
        app.router.add_post("/chat/completions", complete)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        agent = {"harness": {"id": "asks"}, "runtime": {"type": "subprocess"}}
        env = load_environment(
            resolve_env_config(
                {
                    "taskset": {"id": "grouped-problems", "path": str(path)},
                    "n": len(waits),
                    "max_concurrent_agents": together,
                    "agent": agent,
                }
            )
        )
        client = EvalClientConfig(base_url=f"http://127.0.0.1:{port}", api_key_var="NO_KEY")
        context = ModelContext(model="m", client=client)
        try:
            async with env.serving():
                slots = [env.slots(task)[0] for task in itertools.islice(env.taskset, len(said))]
                return await asyncio.wait_for(
                    asyncio.gather(*(env.run_slot(slot, context) for slot in slots)), 120
                )
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def by_hand(said: list[str], grades: list[float]) -> dict[str, float]:
    return dict(zip(said, adjust_rewards(grades, rewards.word_counts(said)), strict=True))


@pytest.mark.parametrize(
    ("waits", "together"), [([0.0] * 4, 1), ([0.0, 0.1, 0.2, 0.3], 4), ([0.3, 0.2, 0.1, 0.0], 4)]
)
def test_dra_of_two_groups_at_once_is_ours_in_any_sequence(
    waits: list[float], together: int, handed: Handed, tmp_path: Path
) -> None:
    tasks = list(itertools.islice(taskset(handed), 2))
    said = {task.data.prompt: answers(task) for task in tasks}
    for task, made in zip(tasks, played(tmp_path, handed.path, said, waits, together), strict=True):
        ours = by_hand(answers(task), [1.0, 1.0, 1.0, 0.0])
        assert made.ok and len(made.traces) == 4 and made.env.id == "grouped-problems"
        for trace in made.traces:
            assert trace.reward == pytest.approx(ours[trace.last_reply])
            assert trace.rewards["accuracy"].score == float("-1" not in trace.last_reply)
        assert ours[answers(task)[2]] > ours[answers(task)[0]]


def test_an_attempt_that_failed_has_no_part_in_the_group(handed: Handed, tmp_path: Path) -> None:
    task = next(iter(taskset(handed)))
    said = [*answers(task)[1:], "breaks"]
    (made,) = played(tmp_path, handed.path, {task.data.prompt: said}, [0.0] * 4)
    ours = by_hand(said[:3], [1.0, 1.0, 0.0])
    assert not made.ok and [trace.ok for trace in made.traces].count(False) == 1
    for trace in made.traces:
        assert trace.reward == pytest.approx(ours[trace.last_reply] if trace.ok else 0.0)
    (none,) = played(tmp_path, handed.path, {task.data.prompt: ["breaks"] * 2}, [0.0] * 2)
    assert [trace.reward for trace in none.traces] == [0.0, 0.0]


def test_a_broken_embedder_fails_the_episode_and_does_not_hang(
    handed: Handed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(texts: list[str]) -> None:
        raise RuntimeError("no embedding")

    monkeypatch.setattr(rewards, "embedder_named", lambda name: broken)
    task = next(iter(taskset(handed)))
    (made,) = played(tmp_path, handed.path, {task.data.prompt: answers(task)}, [0.0] * 4)
    assert not made.ok and "no embedding" in made.last_error.message
