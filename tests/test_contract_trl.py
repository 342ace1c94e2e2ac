"""What hammerlib takes from TRL and transformers, by name and signature: fails first after an upgrade."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import pytest
import transformers
import trl
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import RepeatSampler, get_callable_name

from hammerlib.training import build
from hammerlib.training.epochs import Reorder
from hammerlib.training.telemetry import NAMES, Watcher
from hammerlib.training.trainer import SeamTrainer

DRIFT = f"DRIFT (trl {trl.__version__}, transformers {transformers.__version__}): "

# Overridden or called: name of the method and its parameters after self.
METHODS = {
    "_prepare_inputs": ["generation_batch"],
    "_calculate_rewards": ["inputs", "prompts", "completions", "completion_ids_list"],
    "_generate_and_score_completions": ["inputs"],
    "_compute_loss": ["model", "inputs"],
    "_get_train_sampler": ["dataset"],
    "_get_eval_sampler": ["eval_dataset"],
    "_log_metric": ["name", "value"],
    "get_eval_dataloader": ["eval_dataset"],
    "add_callback": ["callback"],
    "train": ["resume_from_checkpoint", "trial", "ignore_keys_for_eval"],
    "save_model": ["output_dir", "_internal_call"],
    "remove_callback": ["callback"],
}
INIT = [
    "model", "reward_funcs", "args", "train_dataset", "processing_class", "callbacks", "peft_config",
    "rollout_func",
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
        for name, one in vars(SeamTrainer).items()
        if inspect.isfunction(one) and hasattr(GRPOTrainer, name)
    }
    assert ours == {
        "__init__",
        "_prepare_inputs",
        "_calculate_rewards",
        "_generate_and_score_completions",
        "_compute_loss",
        "_get_eval_sampler",
    }


def test_the_order_passes_the_sampler_unchanged_and_the_tail_is_dropped() -> None:
    found = list(RepeatSampler(range(7), mini_repeat_count=2, batch_size=3, repeat_count=2, shuffle=False))
    assert found == [0, 0, 1, 1, 2, 2] * 2 + [3, 3, 4, 4, 5, 5] * 2, f"{DRIFT}RepeatSampler hands out {found}"


@pytest.mark.parametrize(
    "phrase",
    [
        "repeat_count=self.num_iterations * self.args.steps_per_generation",
        "batch_size=self.args.generation_batch_size // self.num_generations",
    ],
)
def test_the_sampler_is_built_as_the_schedule_assumes(phrase: str) -> None:
    assert phrase in inspect.getsource(GRPOTrainer._get_train_sampler), f"{DRIFT}_get_train_sampler changed"


@pytest.mark.parametrize("name", [*NAMES, "log_metric"])
def test_every_log_name_we_translate_is_still_logged(name: str) -> None:
    text = "".join(
        Path(inspect.getsourcefile(one)).read_text() for one in (GRPOTrainer, transformers.Trainer)
    )
    assert f'"{name}"' in text, f"{DRIFT}nothing logs {name!r} any more"


def test_rewards_get_the_columns_and_the_log_we_use() -> None:
    source = inspect.getsource(GRPOTrainer._calculate_rewards)
    for phrase in (
        "prompts=prompts",
        "completions=completions",
        "completion_ids=completion_ids_list",
        'reward_kwargs["log_metric"]',
    ):
        assert phrase in source, f"{DRIFT}reward functions are no longer called with {phrase}"
    assert get_callable_name(lambda: None) == "<lambda>"


@pytest.mark.parametrize(
    ("method", "phrases"),
    [
        # A generation is reused for so many micro-batches, counted without regard to steps and epochs.
        ("_prepare_inputs", [
            "generate_every = self.args.steps_per_generation * self.num_iterations",
            "if self._step % generate_every == 0 or self._buffered_inputs is None:",
            "self._buffered_inputs[self._step % self.args.steps_per_generation]",
        ]),
        # DRA's trainer route returns what this returns: rewards of all processes, in the order of ranks.
        ("_calculate_rewards", ["rewards_per_func = gather(rewards_per_func)", "return rewards_per_func"]),
        # Metrics of rewards are flushed after them; unscorable rows are NaN; own rows are cut out by rank.
        ("_generate_and_score_completions", [
            "self._calculate_rewards(inputs, prompts, completions, completion_ids_list)",
            "unscorable_mask = torch.isnan(rewards_per_func).all(dim=1)",
            "self.accelerator.process_index * len(prompts),",
            "self._pending_metrics.clear()",
        ]),
        ("_get_eval_sampler", ["mini_repeat_count=self.num_generations_eval"]),
        ("training_step", ["self._step += 1"]),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)  # fmt: skip
def test_the_bodies_we_lean_on_still_say_so_in_this_order(method: str, phrases: list[str]) -> None:
    source = inspect.getsource(getattr(GRPOTrainer, method))
    places = [source.find(phrase) for phrase in phrases]
    assert -1 not in places and places == sorted(places), f"{DRIFT}{method} has changed: {places}"


def test_an_epoch_begins_before_its_first_batch_is_fetched() -> None:
    loop = inspect.getsource(transformers.Trainer._inner_training_loop)
    assert loop.index("on_epoch_begin(") < loop.index("self._run_epoch("), f"{DRIFT}on_epoch_begin moved"
    epoch = inspect.getsource(transformers.Trainer._run_epoch)
    assert "iter(train_dataloader)" in epoch, f"{DRIFT}batches are fetched elsewhere"
    state = inspect.getsource(transformers.Trainer._init_training_state)
    assert "self.state.global_step // num_update_steps_per_epoch" in state, f"{DRIFT}epochs resume otherwise"
    assert "*= self.args.gradient_accumulation_steps" in state, f"{DRIFT}skipped batches count otherwise"


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


def test_the_state_is_written_after_everything_a_checkpoint_needs() -> None:
    source = inspect.getsource(transformers.Trainer._save_checkpoint)
    places = [
        source.index(word)
        for word in ("save_model(", "_save_optimizer_and_scheduler(", "_save_rng_state(", "save_to_json(")
    ]
    assert places == sorted(places), f"{DRIFT}trainer_state.json is no longer the last file of a checkpoint"


@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "dapo"])
def test_our_loss_types_are_known(loss_type: str) -> None:
    assert f'"{loss_type}"' in inspect.getsource(GRPOTrainer._compute_loss), (
        f"{DRIFT}loss_type {loss_type} is gone"
    )
