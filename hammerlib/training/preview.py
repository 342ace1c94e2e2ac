"""What a run would do and need, after the checks that the run itself makes: `hammer train --dry-run`."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.models.quantized import bytes_of, linear_layers
from hammerlib.runs.reading import read_yaml
from hammerlib.runs.trials import span
from hammerlib.training.machines import (
    BFLOAT16,
    FLOAT32,
    Device,
    device_name,
    devices_named,
    expected,
    most_tokens,
    shape_of,
)

if TYPE_CHECKING:
    from hammerlib.training.run import Job

SHOWN_STEPS, SHOWN_IDS = 2, 4


def preview(job: Job, gpu: str | None = None) -> str:
    """Describe a job: what is trained, in which batches and steps, time, memory, disk, warnings.

    With `gpu` (``24 GB``, ``RTX 4090``) it is planned for such a one, which need not be at hand.
    """
    devices = None if gpu is None else devices_named(gpu)
    memory = None if devices is None else devices[0].memory
    on_gpu = memory is not None or str(job.backbone.device).startswith("cuda")
    device = "cuda" if on_gpu else "cpu"
    sections = {
        "run": _run(job),
        "batches": _batches(job),
        "schedule": _schedule(job),
        "time": _time(job, devices),
        "memory": _memory(job, device, memory),
        "disk": _disk(job),
        "checkpoints": _checkpoints(job),
        "cautions": warnings_about(job, device=device) or ["none"],
    }
    # The title stands before the first line of its section only.
    indented = [f"{title:<13}" + f"\n{'':<13}".join(lines) for title, lines in sections.items()]
    return "\n".join(indented)


def _run(job: Job) -> Iterator[str]:
    config = job.config
    model = job.backbone.model
    adapters = f", LoRA of rank {config.lora_rank}" if config.lora_rank else ""
    adapters += " on 4 bits" if config.load_in_4bit else ""
    sampler = "transformers" if config.vllm == "off" else f"vLLM ({config.vllm})"
    named = [str(settings["name"]) for settings in config.algorithms]
    named += [type(algorithm).__qualname__ for algorithm in job.algorithms[len(named) :]]
    if config.dynamic_sampling:
        named.append("dynamic-sampling")
    if job.order is not None:
        yield job.run_id
    yield (
        f"{job.backbone.name}, {model.num_parameters():,} parameters{adapters}; "
        f"{config.loss_type}, scale_rewards {config.scale_rewards}, beta {config.beta:g}; "
        f"{'+'.join(config.rewards)}, {', '.join([config.adjustment, *named])}; sampling by {sampler}"
    )
    yield (
        f"{len(job.problems)} problems from {config.problems}, prompts of at most {job.longest_prompt} "
        f"tokens, completions of {config.max_completion_length}"
    )
    if job.order is None:
        yield f"order {config.order}, not made here"
        return
    cost = "" if job.order.cost is None else f", mean cosine {job.order.cost:.4f}"
    yield f"order {job.order.strategy}, {job.order.hash[:12]}{cost}"


def _batches(job: Job) -> Iterator[str]:
    plan = job.plan
    rows = plan.processes * plan.rows * plan.accumulation
    yield f"world size {plan.processes}"
    yield (
        f"{plan.processes} processes x {plan.rows} rows x {plan.accumulation} accumulated = {rows} "
        f"completions a step = {rows / plan.group:g} prompts x {plan.group}"
    )
    yield (
        f"{plan.prompts} prompts a generation batch, for {plan.block_length} micro-batches "
        f"({plan.block_length / plan.accumulation:g} steps)"
    )
    if job.most_rows > plan.group:
        yield (
            f"a rollout may train {job.most_rows} completions of a prompt: up to "
            f"{rows * job.most_rows // plan.group} a step, divided as the {rows} that are planned"
        )
    one_pass = f"one pass is {plan.steps_per_epoch} steps over {plan.blocks * plan.prompts} problems"
    yield f"{plan.steps} steps; {one_pass}, {plan.tail} left over"
    if job.config.token_budget is not None:
        yield f"ends before, after {job.config.token_budget:,} sampled tokens"


def _schedule(job: Job) -> Iterator[str]:
    plan = job.plan
    ids = job.problems["id"][:]
    if job.order is None:
        yield "of an order that is not made here"
        return
    if job.config.dynamic_sampling:
        yield "found out while training: dynamic sampling fills each batch along the order; see index_log.csv"
        return
    head = range(min(SHOWN_STEPS, plan.steps))
    tail = range(max(len(head), plan.steps - SHOWN_STEPS), plan.steps)
    for step in (*head, *tail):
        if step == tail.start and tail.start > len(head):
            yield "..."
        epoch, micro = plan.micro(step)
        if epoch and job.config.epoch_order == "reorder":
            yield f"step {step + 1}, epoch {epoch}: in an order made anew when this epoch begins"
            continue
        blocks = {micro_batch // plan.block_length for micro_batch in micro}
        held = [plan.positions(block, process) for block in blocks for process in range(plan.processes)]
        named = [ids[int(job.order.permutation[position])] for position in sorted(set().union(*held))]
        more = f", ... ({len(named)})" if len(named) > SHOWN_IDS else ""
        yield f"step {step + 1}, epoch {epoch}: {', '.join(named[:SHOWN_IDS])}{more}"


def _time(job: Job, devices: list[Device] | None) -> Iterator[str]:
    guess = expected(job.config, job.plan, shape_of(job.backbone.model), devices, prompt=job.longest_prompt)
    if guess is None:
        where = device_name() if devices is None else devices[0].name
        if devices is not None:
            where = f"{where} of {gigabytes(devices[0].memory)}"
        yield f"unknown: nothing is known of {where}; name a GPU, or run a few steps there"
        return
    tokens = most_tokens(job.config, job.plan.steps)
    yield f"{guess.words(span)}: {tokens:,} tokens, were every completion of full length"
    yield guess.by


def _memory(job: Job, device: str, memory: float | None) -> Iterator[str]:
    sizes = estimate_memory(job, device=device)
    what = "GPU memory" if device == "cuda" else "host memory"
    yield f"{what} a process, about {gigabytes(peak(sizes))} (right within a factor of two)"
    yield ", ".join(f"{name} {gigabytes(size)}" for name, size in sizes.items() if size)
    if memory is not None:
        engine = job.config.vllm_memory * memory if job.config.vllm == "colocate" else 0.0
        needed = peak(sizes) + engine
        verdict = "fits" if needed <= memory else "does not fit"
        with_engine = f" with vLLM's {gigabytes(engine)}" if engine else ""
        yield f"{verdict} into {gigabytes(memory)}: {gigabytes(needed)}{with_engine}"
        if needed > memory:
            yield "smaller: lora_rank 16, more gradient_accumulation, a shorter max_completion_length"
    if job.plan.processes > 1:
        each = sharded(sizes, job.plan.processes)
        yield "by launch file: " + ", ".join(f"{name}.yaml {gigabytes(size)}" for name, size in each.items())


def _disk(job: Job) -> Iterator[str]:
    model = job.backbone.model
    weights = model.num_parameters() * FLOAT32
    kept = 2 * checkpoint_bytes(job) if job.config.save_steps else 0.0
    yield f"{gigabytes(weights + kept)}: trained model {gigabytes(weights)}, checkpoints {gigabytes(kept)}"
    if job.backbone.device == "meta" and not Path(job.backbone.name).is_dir():
        size = gigabytes(model.num_parameters() * BFLOAT16)
        yield f"download of about {size} where the hub's cache does not hold {job.backbone.name}"


def _checkpoints(job: Job) -> Iterator[str]:
    every = job.config.save_steps
    if every is None:
        yield "none"
        return
    number = (job.plan.steps - 1) // every
    size = gigabytes(checkpoint_bytes(job))
    kept = f"every {every} steps ({number} in all, two kept), {size} each"
    yield f"{kept}; all between generation batches; removed when the run ends"


# AdamW keeps two moments of each trained parameter.
ADAMW = 2
# Elements kept per token and layer for the backward pass, in hidden sizes: 34 bytes at two bytes each
# (Korthikanti et al., arXiv 2205.05198, equation 1, without the attention matrix, which fused kernels do not
# keep); with gradient checkpointing only the layer's input.
KEPT, KEPT_CHECKPOINTED = 17, 1
# Copies of the logits at the height of a step: logits, log-softmax, entropy, and their gradients.
LOGIT_COPIES = 4
# Interpreter, torch, transformers and trl on a CPU (measured); CUDA's context.
LIBRARIES = {"cpu": 0.75e9, "cuda": 0.6e9}
FACTOR = 2.0  # the estimate is meant to be right within this factor, either way


def estimate_memory(job: Job, *, device: str = "cpu") -> dict[str, float]:
    """Return the bytes that one process of plain data parallelism needs, by what they are for.

    P parameters, P_t of them trained, b bytes a stored parameter, s rows, L layers, h hidden size, k KV
    width, T tokens of prompt and completion, C of them completion, V vocabulary: weights P b each, gradients
    4 P_t, optimizer 8 P_t, KV cache 2 s T L k c, activations s T L h 17 c (checkpointed: 1) and logits
    4 s C V 4, with c bytes a computed element. Where a rollout trains more than G completions of a prompt, s
    grows alike. Within a factor of two of measured peaks (tests).
    """
    config = job.config
    plan = job.plan
    model = job.backbone.model
    shape = model.config.get_text_config()
    parameters = model.num_parameters()
    stored = parameters * (model.dtype.itemsize if config.lora_rank else FLOAT32)
    trained = trained_parameters(model, config.lora_rank)
    policy = bytes_of(model) if config.load_in_4bit else stored
    if config.lora_rank:
        policy += trained * FLOAT32
    computed = BFLOAT16 if device == "cuda" else FLOAT32
    stored_per_token = KEPT_CHECKPOINTED if device == "cuda" else KEPT
    tokens = job.longest_prompt + config.max_completion_length
    head = getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
    width = shape.num_key_value_heads * head
    layers = shape.num_hidden_layers
    hidden = shape.hidden_size
    # a batch grows where a rollout trains more than G of a prompt
    rows = plan.rows * job.most_rows / plan.group
    sampled = rows * plan.per_generation
    activations = rows * tokens * layers * hidden * stored_per_token * computed
    logits = rows * config.max_completion_length * shape.vocab_size * FLOAT32 * LOGIT_COPIES
    return {
        "libraries": LIBRARIES[device],
        "policy": policy,
        "start model": stored,
        "reference": stored if config.beta > 0 and not config.lora_rank else 0.0,
        "gradients": trained * FLOAT32,
        "optimizer": trained * FLOAT32 * ADAMW,
        "generation": 0.0 if config.vllm != "off" else 2.0 * sampled * tokens * layers * width * computed,
        "training": float(activations + logits),
    }


def peak(parts: dict[str, float]) -> float:
    """Return the bytes needed at once: sampling and the training of a micro-batch take turns."""
    lasting = sum(size for name, size in parts.items() if name not in ("generation", "training"))
    return lasting + max(parts["generation"], parts["training"])


def sharded(parts: dict[str, float], processes: int) -> dict[str, float]:
    """Return the peak bytes of a process for each file of ``launch/``."""
    whole = ("gradients", "optimizer", "policy")
    shards = {"ddp": (), "zero2": whole[:2], "fsdp": whole, "zero3": whole}
    peaks = {}
    for name, split in shards.items():
        divided = {kind: parts[kind] / processes for kind in split}
        peaks[name] = peak(parts | divided)
    return peaks


def checkpoint_bytes(job: Job) -> float:
    """Return the bytes of one checkpoint: trained weights and the optimizer's state."""
    trained = trained_parameters(job.backbone.model, job.config.lora_rank)
    return float(trained * FLOAT32 * (1 + ADAMW))


def trained_parameters(model: Any, rank: int | None) -> int:
    """Return how many parameters are trained: all, or LoRA adapters on linear layers but the output head."""
    if not rank:
        return model.num_parameters()
    return sum(rank * sum(layer.weight.shape) for layer in linear_layers(model))


def gigabytes(size: float) -> str:
    """Return a size in words with two significant digits."""
    unit, name = (1e9, "GB") if size >= 1e9 else (1e6, "MB")
    scaled = size / unit
    digits = max(0, 1 - math.floor(math.log10(scaled))) if scaled > 0 else 0
    return f"{scaled:.{digits}f} {name}"


# Parameters from which full training wants a smaller rate than nano's default, and a CPU takes long.
LARGE = 20e6
SIGNED = ("cosine", "released_cosine", "repetition", "length", "overlong", "log_score", "quadratic_score")
MANY_BYTES = 10e9  # of the two checkpoints that are kept
MANY_FILES = 5000


def warnings_about(job: Job, *, device: str = "cpu") -> list[str]:
    """Return what a user should know before a run that is allowed, each line beginning with its field.

    ``warnings.yaml`` holds the texts; here stands when each is told.
    """
    config = job.config
    plan = job.plan
    model = job.backbone.model
    on_cpu = device == "cpu"
    large = model.num_parameters() > LARGE
    dra = config.adjustment == "dra"
    options = config.adjustment_options
    published_sign = options.get("sign", "paper") == "paper" and not options.get("positives_only")
    divides = options.get("method", "dra") == "dra"
    signed = ", ".join(name for name in config.rewards if name in SIGNED)
    saved = checkpoint_bytes(job)
    batch_steps = -(-plan.block_length // plan.accumulation)
    files = plan.steps // max(config.completions_every or plan.steps, batch_steps)
    short = job.longest_prompt > config.max_completion_length and config.template == "chat"
    holds = {
        "dra_by_group": dra and config.scale_rewards == "group",
        "dra_of_negative": dra and divides and signed and published_sign,
        "divided_dr_grpo": config.loss_type == "dr_grpo" and config.scale_rewards != "none",
        "high_rate": large and not config.lora_rank and config.learning_rate > 2e-5,
        "mixed_steps": plan.block_length > plan.accumulation,
        "tail": plan.tail,
        "short": plan.steps < plan.steps_per_epoch,
        "short_completions": short,
        "large_on_cpu": on_cpu and large,
        "slow_bf16": on_cpu and config.bf16 and not multiplies_bfloat16(),
        "threads": on_cpu and config.threads > 1,
        "vllm": config.vllm != "off",
        "vllm_missing": config.vllm != "off" and importlib.util.find_spec("vllm") is None,
        "vllm_on_cpu": config.vllm != "off" and on_cpu,
        "several_processes": plan.processes > 1 and config.save_steps,
        "no_checkpoints": config.save_steps is None,
        "large_checkpoints": config.save_steps is not None and 2 * saved > MANY_BYTES,
        "many_files": files > MANY_FILES,
    }
    facts = {
        "job": job,
        "config": config,
        "plan": plan,
        "signed": signed,
        "steps": plan.block_length / plan.accumulation,
        "positions": getattr(model.config, "max_position_embeddings", 0),
        "checkpoint": gigabytes(saved),
        "files": files,
    }
    texts = read_yaml(Path(__file__).with_name("warnings.yaml"), field="warnings")
    return [text.format(**facts) for name, text in texts.items() if holds[name]]


def multiplies_bfloat16() -> bool:
    """Return whether this processor has instructions for products of bfloat16 numbers."""
    import torch

    able = torch.cpu.get_capabilities()
    # the names that x86 and Arm have for them
    return any(able.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16", "arm_bf16", "sve_bf16"))


cautions = warnings_about  # old spelling, one release
