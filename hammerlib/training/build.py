"""From a checked job to a trainer with its arguments, and from the trained trainer to a model on disk."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import os
import socket
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import PrinterCallback, TrainerCallback
from transformers.utils import get_json_schema
from trl import GRPOConfig
from trl.chat_template_utils import add_response_schema, supports_tool_calling
from trl.rewards import get_soft_overlong_punishment

from hammerlib.errors import InputError
from hammerlib.models.backbone import check_finite, first_line, no_file_bars, save_backbone
from hammerlib.models.embedder import CompletionEmbedder, Embed, make_embedder
from hammerlib.models.quantized import merged, quantized
from hammerlib.rewards import REWARDS, DRAReward, Reward
from hammerlib.runs import RunRecord
from hammerlib.runs.storage import atomic_path, discard, progress_off, write_sums
from hammerlib.training.checkpoints import FOLDER, NoLastCheckpoint, Seal
from hammerlib.training.config import own_tools, vllm_arguments
from hammerlib.training.dynamic import DynamicSampling, EpochTable, Reorder, TokenBudget
from hammerlib.training.generation import shards_of
from hammerlib.training.hooks import Algorithm, GivenRewards, compose, own_reward
from hammerlib.training.logs import IndexLog, tokens_until
from hammerlib.training.schedule import ids_of, is_main
from hammerlib.training.telemetry import Watcher, tensorboard_writer
from hammerlib.training.trainer import PolicyTrainer

if TYPE_CHECKING:
    from accelerate import Accelerator
    from datasets import Dataset

    from hammerlib.training.config import TrainConfig
    from hammerlib.training.run import Job

# TRL 1.16 calls names that transformers 5.23 has renamed, and warns that our rollout hook is experimental.
MUTED = (
    ".*gradient_checkpointing.* is deprecated and will be removed in v6.*",
    ".*'(rollout_func|environment_factory)', which is an experimental feature.*",
)

# Fields of TrainConfig that TRL knows by the same name and with the same meaning.
SAME_IN_TRL = ("num_iterations", "max_completion_length", "temperature", "loss_type", "scale_rewards")
SAME_IN_TRL += ("beta", "epsilon", "epsilon_high", "learning_rate", "seed", "warmup_steps", "weight_decay")
SAME_IN_TRL += ("mask_truncated_completions", "entropy_coef", "importance_sampling_level")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Mute what every run says and nobody can act on: upstream's own deprecations and file progress bars."""
    with no_file_bars(), warnings.catch_warnings():
        for message in MUTED:
            warnings.filterwarnings("ignore", message=message)
        yield


def build_trainer(job: Job, record: RunRecord, first_step: int = 0) -> PolicyTrainer:
    """Return a trainer for `job` that writes into `record`'s folder.

    The policy is a copy: the job's own backbone stays frozen and embeds the completions.
    """
    config = job.config
    embed = CompletionEmbedder(job.backbone)
    ids = ids_of(job.problems, job.order)
    process = int(os.environ.get("RANK", "0"))
    index_log = IndexLog(record.folder, job.plan, ids, job.order.permutation.tolist(), process)
    if config.load_in_4bit:
        policy = quantized(job.backbone.model, record.folder).train()
    else:
        policy = copy.deepcopy(job.backbone.model).requires_grad_(True).train()
    if config.beta > 0 and not config.lora_rank:
        # TRL loads the KL reference from the path in the policy's config: give it the weights trained from.
        reference = record.folder / "reference"
        if not reference.is_dir():
            with atomic_path(reference) as unfinished:
                job.backbone.model.save_pretrained(unfinished)
        policy.config._name_or_path = str(reference)
    algorithms = list(job.algorithms)
    if config.adjustment == "dra":  # last: it wraps the rewards of all others
        dra_embed = job.embedder or embed  # the telemetry's, where both embed by the backbone
        if job.embedder is None and config.embedder != "backbone":
            allowed = config.embedder_remote_code
            dra_embed = make_embedder(config.embedder, job.backbone, policy, remote_code=allowed)
        algorithms.append(DRA(dra_embed, job.plan.rows))
    hooks = compose(algorithms)
    callbacks: list[TrainerCallback] = [
        Watcher(record, record.run_id, job.plan.steps, quiet=progress_off() or not job.progress)
    ]
    if config.dynamic_sampling:
        sampling = DynamicSampling(record.folder, job.plan, config, index_log.index, hooks)
        callbacks.append(sampling)
        hooks = replace(hooks, rollout=sampling.rollout, observe=sampling.observe)
    callbacks += [algorithm for algorithm in algorithms if isinstance(algorithm, TrainerCallback)]
    own = own_tools(config)
    if config.vllm == "server" and is_main():
        check_port(config.vllm_group_port)
    table = None
    if config.epoch_order == "reorder" and config.epochs > 1:
        table = EpochTable(_with_turns(job.problems, config), job.order)
        dataset = table.places
    else:
        dataset = _with_turns(job.order.apply(job.problems), config)
    with _server_named(config):
        trainer = PolicyTrainer(
            model=policy,
            reward_funcs=_rewards(config, algorithms),
            args=grpo_arguments(job, record.folder),
            train_dataset=dataset,
            processing_class=copy.deepcopy(job.backbone.tokenizer),
            peft_config=_lora(config),
            tools=[tool for _, tool in own["tools"]] or None,
            environment_factory=own["environment"][0][1] if own["environment"] else None,
            hooks=hooks,
            embed=embed,
            index_log=index_log,
            folder=record.folder,
            settings=config,
            most_rows=job.most_rows,
            callbacks=callbacks,
        )
    if config.vllm == "server" and trainer.accelerator.is_main_process:
        trainer.server_reads = _check_server(job, trainer.vllm_generation.vllm_client.get_server_info())
    trainer.unfinished = not _with_thoughts(config)
    trainer.tokens = tokens_until(record.folder, first_step)
    check_shards(config, trainer.accelerator)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(NoLastCheckpoint())
    if config.token_budget is not None:
        trainer.add_callback(TokenBudget(trainer, job.plan, config.token_budget))
    trainer.add_callback(Seal(job.algorithms))
    if "tensorboard" in config.report_to and trainer.accelerator.is_main_process:
        trainer.add_callback(tensorboard_writer(record.folder, first_step))
    if table is not None:
        trainer.add_callback(Reorder(job, record, policy, table, index_log))
    return trainer


@contextlib.contextmanager
def _server_named(config: TrainConfig) -> Iterator[None]:
    """Say what TRL's client finds wrong with a vLLM server, or with a machine that cannot send it weights."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
        found = str(error)
        if not any(words in found for words in ("vLLM server", "Weight synchronization")):
            raise
        remedy = (
            "start `trl vllm-serve --model MODEL` on a GPU of its own and train on another, or set vllm: off"
        )
        raise InputError("vllm_server", config.vllm_server, found.rstrip("."), remedy) from error


def check_port(port: int) -> None:
    """Refuse a port at which TRL could not offer the weights, before it waits for a server there."""
    with socket.socket() as one:
        # as the store binds: one that ended just now does not count
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("", port))
        except OSError as error:
            remedy = "set another, such as 51217; every trainer on this machine needs its own"
            raise InputError("vllm_group_port", port, f"cannot be used: {error.strerror}", remedy) from None


def _check_server(job: Job, info: dict[str, Any]) -> int:
    """Return how many tokens a server reads; refuse one that would answer long prompts with an error.

    vLLM in this process cuts short instead.
    """
    reads = info["model_config"]["max_model_len"]
    needed = job.longest_prompt + job.config.max_completion_length
    if needed > reads:
        problem = f"reads {reads} tokens, and the longest prompt with a whole completion has {needed}"
        remedy = "start it with a larger --max-model-len"
        raise InputError("vllm_server", job.config.vllm_server, problem, remedy)
    return reads


def grpo_arguments(job: Job, folder: Path) -> GRPOConfig:
    """Return TRL's arguments for `job`; everything not named here keeps TRL's default.

    On a CPU: float32, or bfloat16 autocast where the config asks for it, and no gradient checkpointing. On a
    GPU: bfloat16 autocast with float32 weights.
    """
    config = job.config
    cpu = not torch.cuda.is_available()
    # Under DRA the weights belong to the rewards it wraps: TRL sees one reward.
    weights = [float(weight) for weight in config.reward_weights if config.adjustment == "none"]
    return GRPOConfig(
        output_dir=str(folder / FOLDER),
        use_cpu=cpu,
        bf16=config.bf16 or not cpu,
        gradient_checkpointing=not cpu,
        per_device_train_batch_size=job.plan.rows,
        gradient_accumulation_steps=config.gradient_accumulation,
        steps_per_generation=job.plan.per_generation,
        max_steps=job.plan.steps,
        trust_remote_code=False,
        num_generations=config.group_size,
        shuffle_dataset=False,
        vllm_importance_sampling_mode="sequence_truncate" if config.int8_sampling else "sequence_mask",
        lr_scheduler_type=config.scheduler,
        lr_scheduler_kwargs={} if config.min_lr_rate is None else {"min_lr_rate": config.min_lr_rate},
        reward_weights=weights or None,
        **{name: getattr(config, name) for name in SAME_IN_TRL},
        **vllm_arguments(config, job.longest_prompt),
        logging_steps=1,
        save_strategy="steps" if config.save_steps else "no",
        save_steps=config.save_steps or 500,
        save_total_limit=2,
        report_to=[tracker for tracker in config.report_to if tracker != "tensorboard"] or "none",
        run_name=folder.name,
        disable_tqdm=True,
        dataloader_pin_memory=not cpu,
        ddp_find_unused_parameters=False,
    )


def tool_tokens(config: TrainConfig, tokenizer: Any) -> int:
    """Return by how many tokens the tools' descriptions lengthen a prompt, or refuse what TRL cannot use."""
    own = own_tools(config)
    functions = {f"tools[{k}]": [tool] for k, (_, tool) in enumerate(own["tools"])}
    for _, kind in own["environment"]:
        members = inspect.getmembers(kind, inspect.isfunction)
        public = [part for name, part in members if not name.startswith("_")]
        functions["environment"] = [part for part in public if part.__name__ not in ("reset", "get_reward")]
    if not functions:
        return 0
    if not supports_tool_calling(tokenizer):
        field = "tools" if config.tools else "environment"
        problem = "are described to the model by its chat template, which does not know of tools"
        raise InputError(field, getattr(config, field), problem, "use a model that was made to call tools")
    schemas = []
    for field, parts in functions.items():
        for part in parts:
            try:
                schemas.append(get_json_schema(part))
            except Exception as error:  # of three types, by what is missing
                remedy = "give it type hints and a docstring with a line for each argument (Args:)"
                raise InputError(field, part.__qualname__, first_line(error), remedy) from error
    try:
        add_response_schema(copy.deepcopy(tokenizer))
    except ValueError as error:
        remedy = "use a model whose calls TRL can parse, such as Qwen3"
        raise InputError(field, config.backbone, first_line(error), remedy) from error
    turns = [{"role": "user", "content": "x"}]
    how = {"add_generation_prompt": True, "return_dict": False}
    with_tools = tokenizer.apply_chat_template(turns, tools=schemas, **how)
    return len(with_tools) - len(tokenizer.apply_chat_template(turns, **how))


def save_model(trainer: PolicyTrainer, job: Job, folder: Path) -> None:
    """Write the trained policy and its tokenizer to ``<folder>/model``, whole or not at all (LoRA merged)."""
    if not job.config.lora_rank and trainer.accelerator.num_processes > 1:
        trainer.save_model(str(folder / "model.part"))  # gathers sharded weights, so every process takes part
        if trainer.accelerator.is_main_process:
            job.backbone.tokenizer.save_pretrained(folder / "model.part")
            (folder / "model.part" / "training_args.bin").unlink(missing_ok=True)
            write_sums(folder / "model.part")
            discard(folder / "model")
            os.replace(folder / "model.part", folder / "model")
        trainer.accelerator.wait_for_everyone()
        return
    model = trainer.accelerator.unwrap_model(trainer.model)
    if job.config.load_in_4bit:
        model = merged(model, job.backbone.model)
    elif job.config.lora_rank:
        model = model.merge_and_unload()
    remedy = "lower it, and see grad_norm in metrics.csv for the step where it began"
    check_finite(model, "learning_rate", job.config.learning_rate, remedy)
    if trainer.accelerator.is_main_process:
        discard(folder / "model")  # of a run that ended here and lost its manifest
        save_backbone(model, job.backbone.tokenizer, folder / "model")
    trainer.accelerator.wait_for_everyone()


def _with_turns(table: Dataset, config: TrainConfig) -> Dataset:
    """The problems, as message lists where TRL shall apply a chat template to them."""
    if config.template != "chat":
        return table
    return table.map(
        lambda row: {"prompt": [{"role": "user", "content": row["prompt"]}]}, load_from_cache_file=False
    )


def _rewards(config: TrainConfig, algorithms: Sequence[Algorithm]) -> list[Reward]:
    """The config's rewards, and what the algorithms make of them."""
    longest = config.max_completion_length
    bound = {name: functools.partial(REWARDS[name], max_len=longest) for name in ("cosine", "length")}
    for name in ("accuracy", "cosine", "partial", "released_cosine") if _with_thoughts(config) else ():
        bound[name] = functools.partial(bound.get(name) or REWARDS[name], unfinished=False)
    bound["overlong"] = get_soft_overlong_punishment(longest, config.overlong_buffer or 0)
    functions: list[Reward] = [
        bound.get(name) or own_reward(name) or REWARDS[name] for name in config.rewards
    ]
    # What was handed over from Python stands in place of the config's; the others make something of it.
    for algorithm in sorted(algorithms, key=lambda one: not isinstance(one, GivenRewards)):
        functions = algorithm.rewards(functions, config)
    if config.adjustment == "none" and config.reward_weights and len(functions) != len(config.reward_weights):
        problem = f"are not one number for each of the {len(functions)} rewards that algorithms leave"
        raise InputError("reward_weights", config.reward_weights, problem, "leave them out")
    return functions


@dataclass(frozen=True)
class DRA(Algorithm):
    """DRA, the algorithm ``dra``: all rewards wrapped in one `DRAReward`, as the configuration says."""

    embed: Embed
    local_rows: int

    def rewards(self, functions: list[Reward], config: TrainConfig) -> list[Reward]:
        """Return the one reward whose value in a group depends on what the others say."""
        reward = DRAReward(
            functions,
            self.embed,
            config.group_size,
            config.reward_weights or None,
            deferred=config.dra_route == "trainer",
            local_rows=self.local_rows,
            **config.adjustment_options,
        )
        return [reward]


def _with_thoughts(config: TrainConfig) -> bool:
    """Whether a recipe rewards think tags; there an answer in a thought without end is none."""
    return bool({"tags", "released_format"} & set(config.rewards))


def _lora(config: TrainConfig) -> Any:
    rank = config.lora_rank
    if not rank:
        return None
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")


def check_shards(config: TrainConfig, accelerator: Accelerator) -> None:
    """Refuse, before the first step, what would fail or be wrong with sharded parameters."""
    how = shards_of(accelerator)
    if how is None:
        return
    if config.lora_rank:
        problem, remedy = f"cannot be merged from {how} shards", "launch with ddp.yaml or zero2.yaml"
        raise InputError("lora_rank", config.lora_rank, problem, remedy)
    if config.sampler == "decoding":
        problem, remedy = f"cannot sample while {how} keeps the policy in shards", "use sampler: trl"
        raise InputError("sampler", config.sampler, problem, remedy)
    if config.adjustment == "dra" and config.embedder == "policy":
        problem, remedy = f"cannot embed while {how} keeps it in shards", "use embedder: backbone"
        raise InputError("embedder", config.embedder, problem, remedy)
