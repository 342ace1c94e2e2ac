"""verl itself: its loader for two epochs with a tail and a resume, its dump, its reward manager.

Run by `make test-adapters` in an environment that holds the package.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from trainer_cases import Handed, finds_all
from transformers import AutoTokenizer
from verl import DataProto
from verl.trainer.ppo.ray_trainer import RayPPOTrainer
from verl.trainer.ppo.reward import load_reward_manager
from verl.trainer.ppo.v1.trainer_base import PPOTrainer as Trainer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync as Sync

import hammerlib
from hammerlib.adapters.verl import TRAINER
from hammerlib.dra import adjust_rewards

ROOT = Path(hammerlib.__file__).parent
NANO = ROOT / "models" / "nano" / "checkpoint"
TEMPLATE = "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}\n{% endfor %}"


def tokenizer() -> AutoTokenizer:
    """The tokenizer of the model in this repository, with a chat template."""
    made = AutoTokenizer.from_pretrained(NANO)
    made.chat_template = TEMPLATE
    return made


def loader(handed: Handed, **changes: object) -> torch.utils.data.DataLoader:
    """The loader that verl's own trainer makes of what `hand_over` says."""
    stated = dict(line.split("=", 1) for line in handed.handed.settings)
    data = {key.removeprefix("data."): value for key, value in stated.items() if key.startswith("data.")}
    options = OmegaConf.from_dotlist([f"{key}={value}" for key, value in {**data, **changes}.items()])
    base = OmegaConf.load(
        Path(importlib.metadata.distribution("verl").locate_file("verl/trainer/config/data/legacy_data.yaml"))
    )
    merged = OmegaConf.merge(
        base,
        options,
        {
            "val_files": str(handed.path),
            "dataloader_num_workers": 0,
            "cache_dir": str(handed.folder / "cache"),
        },
    )
    trainer = object.__new__(RayPPOTrainer)
    trainer.config = OmegaConf.create(
        {"data": merged, "trainer": {"total_epochs": 2, "total_training_steps": None}}
    )
    trainer.tokenizer, trainer.processor = tokenizer(), None
    trainer._create_dataloader(None, None, None, None)
    return trainer.train_dataloader


def indices(batch: dict) -> list[int]:
    return [int(index) for index in batch["index"]]


def test_this_is_the_version_that_the_adapter_names() -> None:
    assert importlib.metadata.version("verl") == TRAINER.version


def test_two_epochs_follow_the_order_and_lose_the_tail_that_was_told(tmp_path: Path) -> None:
    handed = Handed("verl", tmp_path, 14)
    data = loader(handed)
    for _ in range(2):
        assert [indices(batch) for batch in data] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    ids = handed.order.apply(handed.problems)["id"]
    assert handed.handed.lost == ids[12:]


def test_without_the_settings_the_order_is_lost(tmp_path: Path) -> None:
    handed = Handed("verl", tmp_path, 14)
    shuffled = [index for batch in loader(handed, **{"shuffle": True, "seed": 1}) for index in indices(batch)]
    assert shuffled != sorted(shuffled)
    # The filter that the settings switch off drops prompts in silence.
    words = tokenizer()
    lengths = [
        len(
            words(words.apply_chat_template([{"role": "user", "content": text}], tokenize=False))["input_ids"]
        )
        for text in handed.prompts
    ]
    kept = loader(
        handed,
        **{
            "filter_overlong_prompts": True,
            "max_prompt_length": sorted(lengths)[6],
            "filter_overlong_prompts_workers": 1,
        },
    )
    assert len(kept.dataset) < 14


def saved(handed: Handed, steps: int, folder: Path) -> dict:
    """The loader's state as verl saves it after so many steps."""
    data = loader(handed)
    done = 0
    while True:
        for _ in data:
            done += 1
            if done == steps:
                torch.save(data.state_dict(), folder / "data.pt")
                return torch.load(folder / "data.pt", weights_only=False)


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_a_resume_of_the_trainer_goes_on_where_it_stopped(steps: int, tmp_path: Path) -> None:
    handed = Handed("verl", tmp_path, 14)
    trainer = object.__new__(Sync)
    trainer.train_dataloader, trainer.train_dataloader_it = loader(handed), None
    trainer.train_dataloader.load_state_dict(saved(handed, steps, tmp_path))
    again = [list(trainer._fetch_one_gen_batch()["index"]) for _ in range(steps, 6)]
    assert (
        again
        == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]][steps:]
    )


def test_the_older_trainer_skips_an_epoch_after_a_checkpoint_at_the_end_of_one(tmp_path: Path) -> None:
    """`RayPPOTrainer.fit` walks the restored loader, which is at its end; an audit says what is missing."""
    handed = Handed("verl", tmp_path, 14)
    data = loader(handed)
    data.load_state_dict(saved(handed, 3, tmp_path))
    assert [indices(batch) for _ in range(3 // len(data), 2) for batch in data] == []


@pytest.mark.parametrize("trainer", [RayPPOTrainer, Trainer])
def test_every_planted_fault_is_found_in_its_dump(trainer: type, tmp_path: Path) -> None:
    handed = Handed("verl", tmp_path, 24)
    words = tokenizer()
    data = loader(handed)
    batches = [
        [
            words.apply_chat_template(list(row), tokenize=False, add_generation_prompt=True)
            for row in batch["raw_prompt"]
        ]
        for _ in range(2)
        for batch in data
    ]

    def write(damaged: list[list[str]], folder: Path) -> Path:
        for step, prompts in enumerate(damaged, start=1):
            # the v1 trainer sorts a step by random names: no sequence inside it is left
            rows = [prompt for prompt in np.random.default_rng(step).permutation(prompts) for _ in range(2)]
            columns = [[text] * len(rows) for text in ("so 4", "4", 1.0)]
            trainer._write_generations(rows, *columns, {}, str(folder), step)
        return folder

    finds_all(
        handed, batches, lambda row: handed.places([row])[0], lambda row: row.replace("cows", "goats"), write
    )


def manager(name: str, **options: object) -> object:
    """verl's own reward manager around a function of ours, as its configuration names it."""
    wanted = {"path": str(ROOT / "adapters" / "rewards.py"), "name": name, "reward_kwargs": options}
    config = {
        "reward": {
            "custom_reward_function": wanted,
            "sandbox_fusion": None,
            "reward_manager": {"source": "register", "name": "naive"},
        }
    }
    return load_reward_manager(OmegaConf.create(config), tokenizer())


def rollouts(texts: list[str], answers: list[str], ids: list[str]) -> DataProto:
    """Completions as verl's rollout hands them to the reward manager."""
    words = tokenizer()
    tokens = [words(text)["input_ids"] for text in texts]
    width = max(map(len, tokens))
    padded = torch.tensor([one + [words.pad_token_id] * (width - len(one)) for one in tokens])
    mask = torch.tensor([[1] * len(one) + [0] * (width - len(one)) for one in tokens])
    extra = np.array([{"index": 7, "id": name} for name in ids], dtype=object)
    models = np.array([{"ground_truth": answer} for answer in answers], dtype=object)
    return DataProto.from_dict(
        {"responses": padded, "attention_mask": mask},
        non_tensors={
            "data_source": np.array(["x"] * len(ids), dtype=object),
            "reward_model": models,
            "extra_info": extra,
        },
    )


async def scores(held: object, data: DataProto) -> list[dict]:
    return await asyncio.gather(*(held.run_single(data[k : k + 1]) for k in range(len(data))))


TEXTS = ["1 + 1 = 2", "1 + 1 = 2", "2", "3"]


def test_the_grade_is_a_custom_reward() -> None:
    async def run() -> list[dict]:
        return await scores(manager("verl_score"), rollouts(TEXTS, ["2"] * 4, ["a"] * 4))

    found = asyncio.run(run())
    assert [one["reward_score"] for one in found] == [1.0, 1.0, 1.0, 0.0]
    assert [one["reward_extra_info"]["position"] for one in found] == [7] * 4


def test_dra_is_a_custom_reward_and_the_same_as_ours() -> None:
    async def run() -> list[dict]:
        data = rollouts(TEXTS + TEXTS[::-1], ["2"] * 8, ["a"] * 4 + ["b"] * 4)
        return await scores(manager("verl_dra", group_size=4), data)

    found = [one["reward_score"] for one in asyncio.run(run())]
    from hammerlib.adapters.rewards import word_counts

    words = tokenizer()
    said = [words.decode(words(text)["input_ids"], skip_special_tokens=True) for text in TEXTS]
    ours = adjust_rewards([1.0, 1.0, 1.0, 0.0], word_counts(said)).tolist()
    assert found == pytest.approx(ours + ours[::-1])
    assert found[2] > found[0]  # the one that is unlike the others


def test_a_group_that_never_fills_is_adjusted_with_who_came() -> None:
    async def run() -> list[dict]:
        return await scores(
            manager("verl_dra", group_size=8, patience=0.5), rollouts(TEXTS, ["2"] * 4, ["c"] * 4)
        )

    assert asyncio.run(run())[0]["reward_score"] < 1.0
