"""OpenRLHF itself: its data set, its loader for two epochs with a tail and a resume, its reward path.

Its modules cannot be imported whole without a GPU build of flash-attn and vLLM. What they do with prompts is
taken out of the files of the wheel, function by function, and runs as it stands there.

Run by `make test-adapters` in an environment that holds the package.
"""

from __future__ import annotations

import ast
import asyncio
import copy
import functools
import importlib.metadata
import importlib.util
import pickle
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from openrlhf.datasets import PromptDataset
from openrlhf.datasets.utils import blending_datasets
from openrlhf.utils.agent import AgentExecutorBase
from torchdata.stateful_dataloader import StatefulDataLoader
from trainer_cases import BATCH, Handed, finds_all, shown
from transformers import AutoModelForCausalLM, AutoTokenizer

import hammerlib
from hammerlib.adapters import openrlhf as adapter
from hammerlib.adapters import rewards
from hammerlib.dra import adjust_rewards

FILES = Path(importlib.util.find_spec("openrlhf").origin).parent


def taken(file: str, name: str, **around: object) -> object:
    """A function of a file of the wheel, among the names that it uses."""
    tree = ast.parse((FILES / file).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    node = next(one for one in ast.walk(tree) if isinstance(one, kinds) and one.name == name)
    node.returns = None
    for argument in ast.walk(node.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    space = dict(around)
    exec(compile(ast.Module([node], []), str(FILES / file), "exec"), space)
    return space[name]


class Strategy:
    """What `prepare_datasets` asks of a strategy; the loader is DeepspeedStrategy's own method."""

    setup_dataloader = taken(
        "utils/deepspeed/deepspeed.py", "setup_dataloader", dist=dist, StatefulDataLoader=StatefulDataLoader
    )

    def __init__(self, path: Path) -> None:
        data = SimpleNamespace(
            prompt_dataset=str(path), prompt_probs=None, max_samples=10**8, prompt_split="train",
            input_key="input", label_key="label", apply_chat_template=False, input_template=None,
            dataloader_num_workers=0,
        )  # fmt: skip
        self.args = SimpleNamespace(
            data=data, train=SimpleNamespace(seed=42, batch_size=BATCH, num_episodes=2, max_epochs=1),
            eval=SimpleNamespace(dataset=None), rollout=SimpleNamespace(n_samples_per_prompt=1), use_ms=False,
        )  # fmt: skip

    def print(self, *words: object) -> None:
        print(*words)

    def is_rank_0(self) -> bool:
        return True


def loader(strategy: Strategy) -> StatefulDataLoader:
    """The prompts' loader as the trainer makes it."""
    prepare = taken(
        "trainer/ppo_trainer.py",
        "prepare_datasets",
        blending_datasets=blending_datasets,
        PromptDataset=PromptDataset,
    )
    return prepare(strategy, None)[0]


collect = taken("trainer/ppo_utils/samples_generator.py", "_collect_prompt_batch")


def batches(data: StatefulDataLoader) -> list[list[str]]:
    """Prompts of every rollout batch of one episode."""
    walk, made, ended = iter(data), [], False
    while not ended:
        prompts, _, _, ended = collect(walk, BATCH)
        made += [prompts] if prompts else []
    return made


def test_this_is_the_version_that_the_adapter_names() -> None:
    assert importlib.metadata.version("openrlhf") == adapter.TRAINER.version


def test_by_itself_it_shuffles_whatever_the_options_say(tmp_path: Path) -> None:
    handed = Handed("openrlhf", tmp_path, 14)
    assert [prompt for batch in batches(loader(Strategy(handed.path))) for prompt in batch] != handed.prompts


def test_two_epochs_follow_the_order_and_train_the_tail(tmp_path: Path) -> None:
    handed = Handed("openrlhf", tmp_path, 14)
    # as it travels to Ray's processes
    strategy = pickle.loads(pickle.dumps(adapter.keep_order(Strategy(handed.path))))
    data = loader(strategy)
    for _ in range(2):
        made = batches(data)
        assert [len(batch) for batch in made] == [4, 4, 4, 2]
        assert [prompt for batch in made for prompt in batch] == handed.prompts


def test_other_data_are_shuffled_as_before(tmp_path: Path) -> None:
    strategy = adapter.keep_order(Strategy(tmp_path))
    assert list(strategy.setup_dataloader(list(range(50)), 1, False, True)) != list(range(50))


@pytest.mark.parametrize("steps", [1, 2])
def test_a_resume_goes_on_where_it_stopped(steps: int, tmp_path: Path) -> None:
    handed = Handed("openrlhf", tmp_path, 14)
    data = loader(adapter.keep_order(Strategy(handed.path)))
    walk = iter(data)
    for _ in range(steps):
        collect(walk, BATCH)
    state = pickle.loads(pickle.dumps(data.state_dict()))
    again = loader(adapter.keep_order(Strategy(handed.path)))
    again.load_state_dict(state)
    assert [prompt for batch in batches(again) for prompt in batch] == handed.prompts[steps * BATCH :]
    assert [prompt for batch in batches(again) for prompt in batch] == handed.prompts


def scored(prompts: list[str], labels: list[str], monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Rewards as the executor of a single turn loads the function from the file and calls it."""
    source = (FILES / "utils/agent.py").read_text()
    assert 'spec_from_file_location("reward_func", self.reward_endpoints[0])' in source
    spec = importlib.util.spec_from_file_location("reward_func", rewards.__file__)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "reward_func", module)
    spec.loader.exec_module(module)
    return [
        module.reward_func([prompt + "\n\\boxed{4}"], [prompt], [label])
        for prompt, label in zip(prompts, labels, strict=True)
    ]


def test_the_reward_is_loaded_from_its_file_and_gives_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    right, wrong = scored(["2 + 2?", "2 + 3?"], ["4", "5"], monkeypatch)
    assert right["rewards"][0].item() == 1.0 and wrong["scores"][0].item() == 0.0


def test_every_planted_fault_is_found_in_the_log_of_rewards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenRLHF keeps no completions: the reward function's own log is what an audit reads."""
    handed = Handed("openrlhf", tmp_path, 24)
    data = loader(adapter.keep_order(Strategy(handed.path)))

    def write(damaged: list[list[str]], folder: Path) -> Path:
        # one file for the real function, whose lines are then those of every damaged run
        monkeypatch.setenv("HAMMER_ROLLOUTS", str(folder.with_suffix(".jsonl")))
        for prompts in damaged:
            for prompt in prompts:
                rewards.reward_func([f"{prompt} 4"] * 2, [prompt] * 2, ["4"] * 2)
        return folder.with_suffix(".jsonl")

    planted = functools.partial(finds_all, handed, [*batches(data), *batches(data)], per_step=BATCH)
    planted(
        place=lambda row: handed.place_of[row], stranger=lambda row: row.replace("cows", "goats"), write=write
    )


# DRA

NANO = Path(hammerlib.__file__).parent / "models" / "nano" / "checkpoint"
SAID = ["1 + 1 = 2", "1 + 1 = 2", "2", "3"]  # the first two alike, the last wrong


@functools.cache
def tokenizer() -> AutoTokenizer:
    return AutoTokenizer.from_pretrained(NANO)


class Actor:
    """`RolloutRayActor` without vLLM: its own `generate_responses` around completions that are given."""

    generate_responses = taken("trainer/ray/vllm_engine.py", "generate_responses", asyncio=asyncio)

    def __init__(self, folder: Path, said: dict[str, list[str]], waits: list[float]) -> None:
        file = folder / "agent.py"
        file.write_text(shown("# dra_agent.py"))
        load = taken(
            "trainer/ray/vllm_engine.py", "_load_agent_executor", AgentExecutorBase=AgentExecutorBase
        )
        self.executor = load(str(file))
        self.turns = {
            tuple(tokenizer()(text=prompt)["input_ids"]): iter(zip(texts, waits, strict=True))
            for prompt, texts in said.items()
        }

    async def generate(self, tokens: list[int], *about: object, **more: object) -> SimpleNamespace:
        text, wait = next(self.turns[tuple(tokens)])
        await asyncio.sleep(wait)
        if text == "breaks":
            raise RuntimeError("the engine is gone")
        said = SimpleNamespace(
            token_ids=tokenizer()(text=text)["input_ids"], text=text, finish_reason="stop", logprobs=None
        )
        return SimpleNamespace(outputs=[said])

    async def ask(self, prompt: str, samples: int = 4, **own: object) -> list[dict]:
        # every call of an actor gets parameters of its own from Ray
        own = own or {"sampling_params": SimpleNamespace(max_tokens=16, logprobs=None)}
        answers = self.generate_responses(
            prompt=prompt, label="2", max_length=200, hf_tokenizer=tokenizer(), num_samples=samples, **own
        )
        return await asyncio.wait_for(answers, 60)


def by_hand(said: list[str]) -> list[float]:
    read = [
        tokenizer().decode(tokenizer()(text=text)["input_ids"], skip_special_tokens=True) for text in said
    ]
    return adjust_rewards([float(text != "3") for text in said], rewards.word_counts(read)).tolist()


class Sampling:
    """vLLM's engine as the actor calls it, with nano sampling in its place: one output a token."""

    def __init__(self) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(NANO)

    async def generate(self, prompt: dict, params: SimpleNamespace, request_id: str) -> AsyncIterator[Any]:
        ids = list(prompt["prompt_token_ids"])
        said: list[int] = []
        while len(said) < params.max_tokens and tokenizer().eos_token_id not in said:
            with torch.no_grad():
                chances = self.model(torch.tensor([ids + said])).logits[0, -1].softmax(-1)
            said.append(int(torch.multinomial(chances, 1)))
            await asyncio.sleep(0)  # the others of the prompt go on meanwhile
            text = tokenizer().decode(said, skip_special_tokens=True)
            end = "stop" if said[-1] == tokenizer().eos_token_id else "length"
            output = SimpleNamespace(token_ids=list(said), text=text, finish_reason=end, logprobs=None)
            yield SimpleNamespace(outputs=[output])


class SamplingActor(Actor):
    """`RolloutRayActor` with its own `generate` too; vLLM alone is another's."""

    generate = taken(
        "trainer/ray/vllm_engine.py",
        "generate",
        TokensPrompt=dict,
        deepcopy=copy.deepcopy,
        random_uuid=lambda: uuid.uuid4().hex,
    )
    _mm_pad_token_ids = None

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, {}, [])
        self.llm = Sampling()


def test_dra_of_what_a_model_samples_in_the_actors_own_rollout(tmp_path: Path) -> None:
    torch.manual_seed(0)
    prompts = ["9-7=", "5-3="]  # of which 2 is the answer, as `Actor.ask` says

    async def run() -> list[list[dict]]:
        actor = SamplingActor(tmp_path)
        return await asyncio.gather(*map(actor.ask, prompts))

    seen = set()
    for prompt, answers in zip(prompts, asyncio.run(run()), strict=True):
        texts = []
        for one in answers:
            ((begin, end),) = one["action_ranges"]
            assert one["observation_tokens"][:begin] == tokenizer()(text=prompt)["input_ids"]
            texts.append(tokenizer().decode(one["observation_tokens"][begin:end], skip_special_tokens=True))
        grades = [rewards.score(text, "2") for text in texts]
        seen.add((len(set(texts)) > 1, any(grades)))
        expected = adjust_rewards(grades, rewards.word_counts(texts)).tolist()
        assert [one["reward"] for one in answers] == pytest.approx(expected)
        assert [one["scores"] for one in answers] == grades
    assert rewards.Waiting.groups == {}
    assert (True, True) in seen  # there was something to adjust: answers that differ, and a right one


@pytest.mark.parametrize("waits", [[0.0] * 4, [0.0, 0.02, 0.04, 0.06], [0.06, 0.04, 0.02, 0.0]])
def test_dra_of_two_prompts_at_once_is_ours_in_any_sequence(waits: list[float], tmp_path: Path) -> None:
    said = {"1 + 1 = ?": SAID, "4 / 2 = ?": SAID[::-1]}

    async def run() -> list[list[dict]]:
        actor = Actor(tmp_path, said, waits)
        return await asyncio.gather(*map(actor.ask, said))

    for prompt, answers in zip(said, asyncio.run(run()), strict=True):
        assert [one["reward"] for one in answers] == pytest.approx(by_hand(said[prompt]))
        assert [one["scores"] for one in answers] == [float(text != "3") for text in said[prompt]]
    assert by_hand(SAID)[2] > by_hand(SAID)[0]
    assert rewards.Waiting.groups == {}


def test_a_prompt_that_comes_twice_makes_two_groups(tmp_path: Path) -> None:
    async def run() -> list[list[dict]]:
        actor = Actor(tmp_path, {"1 + 1 = ?": ["2", "2", "1 + 1 = 2", "2"]}, [0.0, 0.01, 0.02, 0.03])
        return await asyncio.gather(actor.ask("1 + 1 = ?", 2), actor.ask("1 + 1 = ?", 2))

    first, second = asyncio.run(run())
    assert [one["reward"] for one in first] == pytest.approx(by_hand(["2", "2"]))
    assert [one["reward"] for one in second] == pytest.approx(by_hand(["1 + 1 = 2", "2"]))


def test_more_groups_than_threads_do_not_wait_for_each_other(tmp_path: Path) -> None:
    said = {f"{k} + 1 = ?": SAID for k in range(50)}

    async def run() -> list[list[dict]]:
        # all have three that wait when the first of the last ones comes
        actor = Actor(tmp_path, said, [0.0, 0.0, 0.0, 0.5])
        return await asyncio.gather(*map(actor.ask, said))

    for answers in asyncio.run(run()):
        assert [one["reward"] for one in answers] == pytest.approx(by_hand(SAID))


def test_what_breaks_stops_the_prompt_and_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(said: list[str]) -> list[dict]:
        return await Actor(tmp_path, {"1 + 1 = ?": said}, [0.0] * 4).ask("1 + 1 = ?")

    with pytest.raises(RuntimeError, match="the engine is gone"):
        asyncio.run(run([*SAID[:3], "breaks"]))

    def broken(texts: list[str]) -> None:
        raise RuntimeError("no embedding")

    monkeypatch.setattr(rewards, "embedder_named", lambda name: broken)
    with pytest.raises(RuntimeError, match="no embedding"):
        asyncio.run(run(SAID))


def test_the_trainer_trains_the_adjusted_reward_and_filters_by_the_grade(tmp_path: Path) -> None:
    async def run() -> list[dict]:
        return await Actor(tmp_path, {"1 + 1 = ?": SAID}, [0.0] * 4).ask("1 + 1 = ?")

    made = taken(
        "trainer/ppo_utils/samples_generator.py",
        "_process_response_into_experience",
        torch=torch,
        Experience=SimpleNamespace,
    )
    experiences = [made(None, answer) for answer in asyncio.run(run())]
    assert [one.rewards.item() for one in experiences] == pytest.approx(by_hand(SAID))
    assert [one.scores[0].item() for one in experiences] == [1.0, 1.0, 1.0, 0.0]
    assert [one.info["accuracy"].item() for one in experiences] == [1.0, 1.0, 1.0, 0.0]
