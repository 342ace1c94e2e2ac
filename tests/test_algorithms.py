"""GRPO, Dr. GRPO and DAPO by configuration: what reaches TRL, what it does to the loss, and the recipes."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import torch
import yaml
from trl import GRPOConfig

from hammerlib.errors import InputError
from hammerlib.runs import RunRecord
from hammerlib.training import Hooks, Rollout, TrainConfig, train
from hammerlib.training.build import build_trainer, quiet
from hammerlib.training.generation import score_tokens
from hammerlib.training.run import prepare
from hammerlib.training.trainer import PolicyTrainer

ONE = TrainConfig(
    n_problems=2, order="random", prompts_per_step=2, group_size=4, max_completion_length=12, beta=0.0
)
ALGORITHMS = {
    "grpo": {"loss_type": "grpo", "scale_rewards": "group"},
    "dr_grpo": {"loss_type": "dr_grpo", "scale_rewards": "none"},
    "dapo": {"loss_type": "dapo", "scale_rewards": "group", "epsilon_high": 0.28},
}
RECIPES = sorted((Path(__file__).parents[1] / "configs" / "recipes").glob("*.yaml"))


def a_trainer(folder: Path, **changes: object) -> PolicyTrainer:
    with quiet():
        job = prepare(dataclasses.replace(ONE, **changes), progress=False)
        return build_trainer(job, RunRecord("demo", folder, {}))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_configuration_reaches_trl(algorithm: str, tmp_path: Path) -> None:
    values = ALGORITHMS[algorithm]
    told = {"weight_decay": 0.1, "mask_truncated_completions": True, "warmup_steps": 3.0, "beta": 0.0}
    trainer = a_trainer(tmp_path, **values, **told, rewards=("accuracy", "format"), reward_weights=(2, 0.5))
    for name, value in (values | told).items():
        assert getattr(trainer.args, name) == value
    assert trainer.loss_type == values["loss_type"] and trainer.scale_rewards == values["scale_rewards"]
    assert (trainer.epsilon_low, trainer.epsilon_high) == (0.2, values.get("epsilon_high", 0.2))
    assert trainer.reward_weights.tolist() == [2.0, 0.5] and trainer.mask_truncated_completions


@pytest.mark.parametrize(
    ("algorithm", "ratio"), [("grpo", 1.25), ("dr_grpo", 1.25), ("dapo", 1.25), ("dapo", 1.4)]
)
def test_the_loss_is_the_papers_by_hand(algorithm: str, ratio: float, tmp_path: Path) -> None:
    """Four rows of made advantages, sampled by a policy `ratio` times less likely to say each token."""
    found = []

    def loss(trainer: PolicyTrainer, model: torch.nn.Module, inputs: dict, default: Callable) -> torch.Tensor:
        mask = inputs["completion_mask"].float()
        prompts = [ids[seen.bool()].tolist() for ids, seen in
                   zip(inputs["prompt_ids"], inputs["prompt_mask"], strict=True)]  # fmt: skip
        said = [ids[seen.bool()].tolist() for ids, seen in zip(inputs["completion_ids"], mask, strict=True)]
        with torch.no_grad():
            inputs["old_per_token_logps"] = score_tokens(model, prompts, said)[0] - math.log(ratio)
        inputs["advantages"] = advantages = torch.tensor([1.0, -1.0, 0.5, -2.0] * 2)
        high = 1 + values.get("epsilon_high", 0.2)
        token = -torch.minimum(ratio * advantages, min(ratio, high) * advantages)[:, None] * mask
        by_hand = {
            "grpo": (token.sum(1) / mask.sum(1)).mean(),  # mean over sequences of token means
            "dr_grpo": token.sum() / (8 * 12),  # a constant: rows x longest completion
            "dapo": token.sum() / mask.sum(),  # mean over all tokens
        }[algorithm]
        found.append((default(), by_hand))
        return found[0][0]

    values = ALGORITHMS[algorithm]
    train(dataclasses.replace(ONE, **values), root=tmp_path, algorithms=[Hooks(loss=loss)], progress=False)
    theirs, ours = found[0]
    assert theirs.item() == pytest.approx(ours.item(), abs=1e-4)
    assert abs(ours) > 0.05


@pytest.mark.parametrize(("name", "values"), [
    ("gspo", {"loss_type": "grpo", "importance_sampling_level": "sequence"}),
    ("cispo", {"loss_type": "cispo", "epsilon_high": 1.1}),
    ("bnpo", {"loss_type": "bnpo"}),
    ("sapo", {"loss_type": "sapo"}),
    ("luspo", {"loss_type": "luspo", "importance_sampling_level": "sequence"}),
    ("vespo", {"loss_type": "vespo"}),
])  # fmt: skip
def test_trls_other_losses_are_what_their_papers_say(name: str, values: dict, tmp_path: Path) -> None:
    """Ratios of 1.4 and 1 in turn along a completion, so that token and sequence levels differ."""
    found = []

    def loss(trainer: PolicyTrainer, model: torch.nn.Module, inputs: dict, default: Callable) -> torch.Tensor:
        mask = inputs["completion_mask"].float()
        prompts = [ids[seen.bool()].tolist() for ids, seen in
                   zip(inputs["prompt_ids"], inputs["prompt_mask"], strict=True)]  # fmt: skip
        said = [ids[seen.bool()].tolist() for ids, seen in zip(inputs["completion_ids"], mask, strict=True)]
        with torch.no_grad():
            logps = score_tokens(model, prompts, said)[0]
        ratio = torch.where(torch.arange(mask.shape[1]) % 2 == 0, 1.4, 1.0).expand_as(mask)
        inputs["old_per_token_logps"] = logps - ratio.log()
        inputs["advantages"] = torch.tensor([1.0, -1.0, 0.5, -2.0] * 2)
        advantages = inputs["advantages"][:, None]
        whole = ((ratio.log() * mask).sum(1) / mask.sum(1)).exp()[:, None]  # geometric mean
        clipped = -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages) * mask
        sequence = -torch.minimum(whole * advantages, whole.clamp(0.8, 1.2) * advantages)
        gate = torch.where(
            advantages > 0, trainer.args.sapo_temperature_pos, trainer.args.sapo_temperature_neg
        )
        soft = -torch.sigmoid(gate * (ratio - 1)) * 4 / gate * advantages * mask
        by_hand = {
            "gspo": sequence.mean(),
            "cispo": -(ratio.clamp(max=1.1) * advantages * logps * mask).sum() / mask.sum(),
            "bnpo": clipped.sum() / mask.sum(),
            "sapo": (soft.sum(1) / mask.sum(1)).mean(),
            "luspo": (sequence * mask).sum(1).mean(),
        }
        found.append((default(), by_hand.get(name)))
        return found[0][0]

    record = train(
        dataclasses.replace(ONE, **values), root=tmp_path, algorithms=[Hooks(loss=loss)], progress=False
    )
    theirs, ours = found[0]
    assert record.status == "success" and torch.isfinite(theirs)
    if ours is not None:  # vespo's weights are TRL's own
        assert theirs.item() == pytest.approx(ours.item(), abs=1e-4) and abs(ours) > 0.02


def test_every_loss_of_trl_is_a_choice() -> None:
    documented = set(
        re.findall(r'- `"(\w+)"`', GRPOConfig.__doc__.split("loss_type (`str`")[1].split("mask_")[0])
    )
    assert documented == set(get_args(get_type_hints(TrainConfig)["loss_type"]))


@pytest.mark.parametrize(("name", "words"), [
    ("num_generations", "is TRL's name of a field; set group_size"),
    ("use_liger_kernel", "that no configuration sets here; leave it out"),
    ("groupsize", "is no known parameter"),
])  # fmt: skip
def test_a_field_of_trls_is_named_with_ours(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        TrainConfig.from_dict({name: 4})


def test_truncated_completions_leave_the_loss(tmp_path: Path) -> None:
    seen = {}

    def loss(trainer: PolicyTrainer, model: torch.nn.Module, inputs: dict, default: Callable) -> torch.Tensor:
        seen.update(inputs)
        seen["ends"] = trainer.eos_token_ids
        return default()

    config = dataclasses.replace(
        ONE, mask_truncated_completions=True, loss_type="dapo", max_completion_length=36
    )
    record = train(config, root=tmp_path, algorithms=[Hooks(loss=loss)], progress=False)
    ended = torch.isin(seen["completion_ids"], torch.tensor(seen["ends"])).any(1)
    assert 0 < ended.sum() < len(ended)
    assert (seen["completion_mask"].sum(1) > 0).equal(ended) and seen["num_items_in_batch"] == seen[
        "completion_mask"
    ].sum()
    assert record.status == "success"


def test_the_overlong_punishment_falls_over_its_buffer(tmp_path: Path) -> None:
    changes = {"rewards": ("accuracy", "overlong"), "overlong_buffer": 4}
    overlong = a_trainer(tmp_path, **changes).reward_funcs[1]
    assert overlong(completion_ids=[[7] * n for n in (1, 8, 9, 10, 12, 13)]) == [0, 0, -0.25, -0.5, -1, -1]


@pytest.mark.parametrize("adjustment", ["none", "dra"])
def test_reward_weights_weigh_the_rewards(adjustment: str, tmp_path: Path) -> None:
    seen: list[Rollout] = []
    weighed = {"rewards": ("accuracy", "overlong"), "overlong_buffer": 11, "reward_weights": (2.0, 0.5)}
    config = dataclasses.replace(ONE, **weighed, adjustment=adjustment)
    train(config, root=tmp_path, algorithms=[Hooks(observe=lambda r: seen.append(r) or {})], progress=False)
    lengths = [len(ids) for ids in seen[0].completion_ids]
    right = [bool(one and one.correct) for one in seen[0].verdicts]
    by_hand = [2 * good + 0.5 * -(n - 1) / 11 for good, n in zip(right, lengths, strict=True)]
    assert seen[0].raw.tolist() == pytest.approx(by_hand, abs=1e-6)


def test_the_rate_warms_up_and_falls_to_its_floor(tmp_path: Path) -> None:
    trainer = a_trainer(
        tmp_path, scheduler="cosine_with_min_lr", min_lr_rate=0.1, warmup_steps=0.1, learning_rate=1.0
    )
    trainer.create_optimizer_and_scheduler(100)
    rates = []
    for _ in range(101):
        rates.append(trainer.lr_scheduler.get_last_lr()[0])
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
    assert rates[0] == 0 and rates[5] == pytest.approx(0.5) and rates[10] == pytest.approx(1)
    assert rates[55] == pytest.approx(0.1 + 0.9 * 0.5) and rates[100] == pytest.approx(0.1)


@pytest.mark.parametrize(("values", "words"), [
    ({"reward_weights": (1.0, 2.0)}, "one number for each of 1"),
    ({"reward_weights": ("a",)}, "must be a number"),
    ({"reward_weights": (float("nan"),)}, "must be a finite number"),
    ({"rewards": ("accuracy", "overlong")}, "name both or none"),
    ({"overlong_buffer": 4}, "name both or none"),
    ({"rewards": ("overlong",), "overlong_buffer": 48}, "not below max_completion_length"),
    ({"scheduler": "cosine_with_min_lr"}, "needs it"),
    ({"min_lr_rate": 0.1}, "needs it"),
    ({"scheduler": "cosine_with_min_lr", "min_lr_rate": 1.5}, "above 1"),
    ({"scheduler": "constant", "warmup_steps": 10}, "constant_with_warmup"),
    ({"weight_decay": -0.1}, "at least 0"),
    ({"refill_rounds": 0}, "at least 1"),
    ({"loss_type": "cispo"}, "set epsilon_high: 5.0"),
    ({"loss_type": "luspo"}, "importance_sampling_level: sequence"),
    ({"dynamic_sampling": True, "rewards": ("format",)}, "add one of accuracy"),
    ({"dynamic_sampling": True, "epochs": 2, "epoch_order": "reorder"}, "epoch_order: repeat"),
])  # fmt: skip
def test_settings_that_contradict_each_other_are_told_in_one_line(values: dict, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        TrainConfig(**values).validate()
    assert "\n" not in str(caught.value) and caught.value.remedy


def test_a_run_keeps_its_name_until_a_new_setting_counts() -> None:
    plain = TrainConfig(rewards=("accuracy", "format"))
    assert (
        dataclasses.replace(plain, reward_weights=(1.0, 1.0), refill_rounds=3).identity() == plain.identity()
    )
    for change in (
        {"reward_weights": (1.0, 2.0)},
        {"weight_decay": 0.1},
        {"dynamic_sampling": True},
        {"warmup_steps": 1.0},
    ):
        assert dataclasses.replace(plain, **change).identity() != plain.identity()


# Recipes


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_line_of_a_recipe_names_its_source(path: Path) -> None:
    config = TrainConfig.from_yaml(path)
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert [line.split(":")[0] for line in lines] == list(yaml.safe_load(path.read_text()))
    for line in lines:
        assert re.search(
            r"  # (source: \S.{8,}|not (stated|as published \(\".+\"\)); chosen because .{8,})$", line
        ), line
    assert config.validate() == config and path.read_text().startswith("# ")


def test_the_recipes_are_the_published_ones() -> None:
    found = {path.stem: TrainConfig.from_yaml(path) for path in RECIPES}
    assert set(found) >= {"cure", "etmr", "g2rpo-a", "dars", "svs", "airl-s"}
    assert set(found) >= {"hammer", "dra-grpo", "dra-dr-grpo", "dapo"}
    grpo, doctor = found["dra-grpo"].effective(), found["dra-dr-grpo"].effective()
    assert {name for name in grpo if grpo[name] != doctor[name]} == {
        "loss_type",
        "scale_rewards",
        "seed",
        "save_steps",
    }
    assert grpo["prompts_per_step"] * grpo["group_size"] == 48
    from hammerlib.training.schedule import plan

    published = plan(found["dra-grpo"], 7000, processes=3)
    assert (published.rows, published.accumulation, published.steps) == (4, 4, 500)
    dapo = plan(found["dapo"], found["dapo"].n_problems)
    assert dapo.prompts == 512 and dapo.block_length // dapo.accumulation == 16
