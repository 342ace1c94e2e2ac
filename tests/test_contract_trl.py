"""What hammerlib takes from TRL and transformers, by name and signature: fails first after an upgrade."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import re
from collections.abc import Callable

import pytest
import torch
import transformers
import trl
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import RepeatSampler, get_callable_name

from hammerlib.models import load_backbone
from hammerlib.training import build
from hammerlib.training.build import quiet
from hammerlib.training.dynamic import Reorder
from hammerlib.training.telemetry import NAMES, Watcher
from hammerlib.training.trainer import PolicyTrainer

DRIFT = f"DRIFT (trl {trl.__version__}, transformers {transformers.__version__}): "

# Overridden or called: name of the method and its parameters after self.
METHODS = {
    "_prepare_inputs": ["generation_batch"],
    "_calculate_rewards": ["inputs", "prompts", "completions", "completion_ids_list"],
    "_generate_and_score_completions": ["inputs"],
    "_compute_loss": ["model", "inputs"],
    "_tokenize_prompts": ["prompts"],
    "_generate_single_turn": [
        "prompt_ids",
        "images",
        "multimodal_fields",
        "num_generations",
        "has_tool_images",
    ],
    "_load_from_checkpoint": ["resume_from_checkpoint", "model"],
    "_get_train_sampler": ["dataset"],
    "_log_metric": ["name", "value"],
    "add_callback": ["callback"],
    "train": ["resume_from_checkpoint", "trial", "ignore_keys_for_eval"],
    "save_model": ["output_dir", "_internal_call"],
    "remove_callback": ["callback"],
}
INIT = [
    "model", "reward_funcs", "args", "train_dataset", "processing_class", "callbacks", "peft_config",
    "rollout_func", "tools", "environment_factory",
]  # fmt: skip
# Arguments left at TRL's default because it is what we want: a changed default must be noticed.
DEFAULTS = {
    "remove_unused_columns": False, "multi_objective_aggregation": "sum_then_normalize", "top_p": 1.0,
    "top_k": 0, "min_p": None, "repetition_penalty": 1.0, "generation_kwargs": None, "disable_dropout": False,
    "importance_sampling_level": "token", "mask_truncated_completions": False, "generation_batch_size": None,
    "reward_weights": None, "use_vllm": False, "pad_to_multiple_of": "auto", "max_grad_norm": 1.0,
    "weight_decay": 0.0, "warmup_steps": 0, "dataloader_num_workers": 0, "ignore_data_skip": False,
    "log_completions": False, "delta": None, "top_entropy_quantile": 1.0, "entropy_coef": 0.0,
    "use_adaptive_entropy": False, "off_policy_mask_threshold": None, "use_bias_correction_kl": True,
    "sync_ref_model": False, "num_generations_eval": None, "optim": "adamw_torch_fused", "adam_beta1": 0.9,
    "adam_beta2": 0.999, "adam_epsilon": 1e-8, "data_seed": None, "full_determinism": False,
    "save_only_model": False, "accelerator_config": None, "cast_lm_head_to_fp32": False,
    "neftune_noise_alpha": None, "use_transformers_continuous_batching": False, "use_liger_kernel": False,
    # Of a user's own config, for `schedule_table`.
    "shuffle_dataset": True, "num_generations": 8, "num_iterations": 1, "steps_per_generation": None,
    "max_steps": -1, "num_train_epochs": 3.0, "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1, "seed": 42,
}  # fmt: skip


def fields() -> dict[str, dataclasses.Field]:
    return {one.name: one for one in dataclasses.fields(GRPOConfig)}


@pytest.mark.parametrize("name", METHODS)
def test_methods_keep_their_signature(name: str) -> None:
    method = getattr(GRPOTrainer, name, None)
    assert method is not None, f"{DRIFT}GRPOTrainer.{name} is gone"
    found = [one for one in inspect.signature(method).parameters if one != "self"]
    assert found == METHODS[name], f"{DRIFT}GRPOTrainer.{name} takes {found}"


def test_the_constructor_takes_what_we_pass() -> None:
    missing = set(INIT) - set(inspect.signature(GRPOTrainer.__init__).parameters)
    assert not missing, f"{DRIFT}GRPOTrainer() no longer takes {missing}"


def test_every_argument_we_set_is_a_field_of_the_config() -> None:
    source = inspect.getsource(build.grpo_arguments)
    used = set(re.findall(r"(\w+)=", source.split("return GRPOConfig(")[1])) | set(build.SAME_IN_TRL)
    assert len(used) > 20
    assert used <= fields().keys(), f"{DRIFT}GRPOConfig lost {used - fields().keys()}"


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_we_rely_on_are_unchanged(name: str) -> None:
    assert name in fields(), f"{DRIFT}GRPOConfig.{name} is gone"
    assert fields()[name].default == DEFAULTS[name], (
        f"{DRIFT}GRPOConfig.{name} defaults to {fields()[name].default!r}"
    )


def test_the_seams_override_nothing_else() -> None:
    ours = {
        name
        for name, one in vars(PolicyTrainer).items()
        if inspect.isfunction(one) and hasattr(GRPOTrainer, name)
    }
    assert ours == {
        "__init__",
        "_load_from_checkpoint",
        "_prepare_inputs",
        "_calculate_rewards",
        "_generate_and_score_completions",
        "_compute_loss",
        "_tokenize_prompts",
        "_generate_single_turn",
        "_get_per_token_logps_and_entropies",
    }


def test_the_order_passes_the_sampler_unchanged_and_the_tail_is_dropped() -> None:
    found = list(RepeatSampler(range(7), mini_repeat_count=2, batch_size=3, repeat_count=2, shuffle=False))
    assert found == [0, 0, 1, 1, 2, 2] * 2 + [3, 3, 4, 4, 5, 5] * 2, f"{DRIFT}RepeatSampler hands out {found}"


@dataclasses.dataclass
class Watched:
    """A stock trainer that has trained, what it did in which sequence, and what it logged."""

    trainer: GRPOTrainer
    events: list[tuple[str, object]]
    reward_arguments: set[str]
    checkpoint: list[str]  # files by the time they were written


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Two epochs of four prompts with two completions each; a generation batch serves two steps."""
    events: list[tuple[str, object]] = []
    arguments: set[str] = set()

    class Recording(GRPOTrainer):
        def _generate_and_score_completions(self, inputs: list[dict]) -> dict:
            events.append(("generate", [row["number"] for row in inputs]))
            return super()._generate_and_score_completions(inputs)

        def _calculate_rewards(self, *args: object, **kwargs: object) -> torch.Tensor:
            rewards = super()._calculate_rewards(*args, **kwargs)
            events.append(("rewards", rewards.isnan().all(dim=1).tolist()))
            return rewards

        def training_step(self, *args: object, **kwargs: object) -> torch.Tensor:
            events.append(("micro-batch", self._step))
            return super().training_step(*args, **kwargs)

    class Epochs(transformers.TrainerCallback):
        def on_epoch_begin(self, args: object, state: object, control: object, **kwargs: object) -> None:
            events.append(("epoch", None))

    def reward(completions: list, number: list[int], log_metric: Callable, **kwargs: object) -> list:
        arguments.update(kwargs, ["completions", "number", "log_metric"])
        log_metric("of_the_reward", 1.0)
        lengths = [float(len(text) % 3) for text in completions]
        return [None if one == 3 else length for one, length in zip(number, lengths, strict=True)]

    folder = tmp_path_factory.mktemp("watched")
    backbone = load_backbone("nano")
    args = GRPOConfig(
        str(folder), per_device_train_batch_size=2, gradient_accumulation_steps=2, steps_per_generation=4,
        num_generations=2, max_completion_length=4, num_train_epochs=2, shuffle_dataset=False,
        logging_steps=1, save_steps=2, report_to=[], disable_tqdm=True, use_cpu=True, beta=0.01,
        loss_type="dapo",
    )  # fmt: skip
    with quiet():
        trainer = Recording(
            model=copy.deepcopy(backbone.model), reward_funcs=[reward], args=args, callbacks=[Epochs()],
            train_dataset=Dataset.from_list([{"prompt": f"{i} + 1 = ?", "number": i} for i in range(4)]),
            processing_class=copy.deepcopy(backbone.tokenizer),
        )  # fmt: skip
        trainer.train()
    written = sorted((folder / "checkpoint-2").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return Watched(trainer, events, arguments, [path.name for path in written])


def test_the_order_is_followed_and_a_generation_serves_its_micro_batches(watched: Watched) -> None:
    generated = [seen for kind, seen in watched.events if kind == "generate"]
    # Four prompts twice in a generation batch, in the order of the data set, once an epoch.
    assert generated == [[0, 0, 1, 1, 2, 2, 3, 3]] * 2, f"{DRIFT}generates {generated}"
    steps = [seen for kind, seen in watched.events if kind == "micro-batch"]
    assert steps == list(range(8)), f"{DRIFT}counts micro-batches as {steps}"


def test_every_epoch_begins_before_it_generates(watched: Watched) -> None:
    kinds = [kind for kind, _ in watched.events]
    one_epoch = ["epoch", "micro-batch", "generate", "rewards", "micro-batch", "micro-batch", "micro-batch"]
    assert kinds == one_epoch * 2, f"{DRIFT}the sequence of an epoch is {kinds}"


def test_the_sampler_repeats_a_generation_batch_for_its_iterations(watched: Watched) -> None:
    args = copy.deepcopy(watched.trainer.args)
    trainer = copy.copy(watched.trainer)
    trainer.args, trainer.num_iterations = args, 2
    args.generation_batch_size, args.steps_per_generation = 4, 2
    found = list(trainer._get_train_sampler())
    assert found == [0, 0, 1, 1] * 4 + [2, 2, 3, 3] * 4, f"{DRIFT}_get_train_sampler hands out {found}"


def test_unscorable_rows_are_nan_and_get_no_advantage(watched: Watched) -> None:
    for kind, seen in watched.events:
        if kind == "rewards":
            assert seen == [False] * 6 + [True] * 2, f"{DRIFT}None is no longer NaN: {seen}"


def test_rewards_get_the_columns_and_the_log_we_use(watched: Watched) -> None:
    needed = {"prompts", "completions", "completion_ids", "number", "log_metric"}
    assert needed <= watched.reward_arguments, f"{DRIFT}rewards get {watched.reward_arguments}"
    assert any("of_the_reward" in row for row in watched.trainer.state.log_history)
    assert get_callable_name(lambda: None) == "<lambda>"


@pytest.mark.parametrize("name", NAMES)
def test_every_log_name_we_translate_is_still_logged(name: str, watched: Watched) -> None:
    assert any(name in row for row in watched.trainer.state.log_history), f"{DRIFT}nothing logs {name!r}"


def test_the_state_is_written_after_everything_a_checkpoint_needs(watched: Watched) -> None:
    last = watched.checkpoint[-1]
    assert last == "trainer_state.json", f"{DRIFT}{last} is the last file of a checkpoint"
    assert {"optimizer.pt", "scheduler.pt", "rng_state.pth"} <= set(watched.checkpoint)


def test_what_we_take_from_accelerate_is_there() -> None:
    from accelerate.utils import broadcast_object_list, gather_object

    assert list(inspect.signature(gather_object).parameters) == ["object"]
    assert next(iter(inspect.signature(broadcast_object_list).parameters)) == "object_list"
    assert gather_object([1]) == [1] and broadcast_object_list([1]) == [1]


def test_callbacks_keep_their_hooks() -> None:
    for name in ("on_train_begin", "on_epoch_begin", "on_log", "on_train_end"):
        found = list(inspect.signature(getattr(transformers.TrainerCallback, name)).parameters)
        assert found[:4] == ["self", "args", "state", "control"], f"{DRIFT}{name} takes {found}"
        assert name in {*vars(Watcher), *vars(Reorder)}


@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "dapo"])
def test_our_loss_types_are_known(loss_type: str, watched: Watched) -> None:
    trainer = copy.copy(watched.trainer)
    trainer.loss_type = loss_type
    batch = trainer._generate_and_score_completions([{"prompt": "1 + 1 = ?", "number": 1}] * 2)
    batch["num_items_in_batch"] = batch["completion_mask"].sum()
    assert trainer._compute_loss(trainer.model, batch).isfinite()
    trainer.loss_type = "none of them"
    with pytest.raises(ValueError, match="none of them"):
        trainer._compute_loss(trainer.model, batch)
