"""OpenRLHF itself: its data set, its loader for two epochs with a tail and a resume, its reward path.

Its modules cannot be imported whole without a GPU build of flash-attn and vLLM. What they do with prompts is
taken out of the files of the wheel, function by function, and runs as it stands there.

Run by `make test-adapters` in an environment that holds the package.
"""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import importlib.util
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch.distributed as dist
from openrlhf.datasets import PromptDataset
from openrlhf.datasets.utils import blending_datasets
from torchdata.stateful_dataloader import StatefulDataLoader
from trainer_cases import BATCH, Handed, finds_all

from hammerlib.adapters import openrlhf as adapter
from hammerlib.adapters import rewards

FILES = Path(importlib.util.find_spec("openrlhf").origin).parent


def taken(file: str, name: str, **around: object) -> object:
    """A function of a file of the wheel, among the names that it uses."""
    tree = ast.parse((FILES / file).read_text())
    node = next(one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and one.name == name)
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
