"""What a run would do and need, after the checks that the run itself makes: `hammer train --dry-run`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hammerlib.training.schedule import Plan

if TYPE_CHECKING:
    from hammerlib.training.run import Job

SHOWN_STEPS, SHOWN_IDS = 2, 4


def preview(job: Job) -> str:
    """Describe a job: what is trained, in which batches and steps, memory, checkpoints, warnings."""
    device = "cuda" if str(job.backbone.device).startswith("cuda") else "cpu"
    sections = [("run", _run(job)), ("batches", _batches(job.plan)), ("schedule", _schedule(job)),
             ("memory", _memory(job, device)), ("checkpoints", _checkpoints(job)),
             ("cautions", warnings_about(job, device=device) or ["none"])]  # fmt: skip
    lines = [
        f"{title if k == 0 else '':<13}{line}" for title, block in sections for k, line in enumerate(block)
    ]
    return "\n".join(lines)


def _run(job: Job) -> Iterator[str]:
    config = job.config
    model = job.backbone.model
    yield job.run_id
    yield (
        f"{job.backbone.name}, {model.num_parameters():,} parameters"
        + (f", LoRA of rank {config.lora_rank}" if config.lora_rank else "")
        + f"; {config.loss_type}, scale_rewards {config.scale_rewards}, beta {config.beta:g}; "
        f"{'+'.join(config.rewards)}, {', '.join([config.adjustment, *_algorithms(job)])}; sampling by "
        + ("transformers" if config.vllm == "off" else f"vLLM ({config.vllm})")
    )
    yield (
        f"{len(job.problems)} problems from {config.problems}, prompts of at most {job.longest_prompt} "
        f"tokens, completions of {config.max_completion_length}"
    )
    cost = "" if job.order.cost is None else f", mean cosine {job.order.cost:.4f}"
    yield f"order {job.order.strategy}, {job.order.hash[:12]}{cost}"


def _algorithms(job: Job) -> list[str]:
    names = [settings["name"] for settings in job.config.algorithms]
    names += [type(algorithm).__qualname__ for algorithm in job.algorithms[len(names) :]]
    if job.config.dynamic_sampling:
        names.append("dynamic-sampling")
    return names


def _batches(plan: Plan) -> Iterator[str]:
    rows = plan.processes * plan.rows * plan.accumulation
    prompts = plan.blocks * plan.prompts
    yield f"world size {plan.processes}"
    yield (
        f"{plan.processes} processes x {plan.rows} rows x {plan.accumulation} accumulated = {rows} "
        f"completions a step = {rows / plan.group:g} prompts x {plan.group}"
    )
    yield (
        f"{plan.prompts} prompts a generation batch, for {plan.block_length} micro-batches "
        f"({plan.block_length / plan.accumulation:g} steps)"
    )
    yield (
        f"{plan.steps} steps; one pass is {plan.steps_per_epoch} steps over {prompts} problems, "
        f"{plan.tail} left over"
    )


def _schedule(job: Job) -> Iterator[str]:
    plan = job.plan
    ids = job.problems["id"][:]
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
        positions: set[int] = set()
        for block in {micro_batch // plan.block_length for micro_batch in micro}:
            for process in range(plan.processes):
                positions.update(plan.positions(block, process))
        named = [ids[int(job.order.permutation[position])] for position in sorted(positions)]
        more = f", ... ({len(named)})" if len(named) > SHOWN_IDS else ""
        yield f"step {step + 1}, epoch {epoch}: {', '.join(named[:SHOWN_IDS])}{more}"


def _memory(job: Job, device: str) -> Iterator[str]:
    sizes = estimate_memory(job, device=device)
    what = "GPU memory" if device == "cuda" else "host memory"
    yield f"{what} a process, about {gigabytes(peak(sizes))} (right within a factor of two)"
    yield ", ".join(f"{name} {gigabytes(size)}" for name, size in sizes.items() if size)
    if job.plan.processes > 1:
        each = sharded(sizes, job.plan.processes)
        yield "by launch file: " + ", ".join(f"{name}.yaml {gigabytes(size)}" for name, size in each.items())


def _checkpoints(job: Job) -> Iterator[str]:
    every = job.config.save_steps
    if every is None:
        yield "none"
        return
    yield (
        f"every {every} steps ({(job.plan.steps - 1) // every} in all, two kept), "
        f"{gigabytes(checkpoint_bytes(job))} each; all between generation batches; "
        "removed when the run ends"
    )


FLOAT32, BFLOAT16 = 4, 2
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
    4 s C V 4, with c bytes a computed element. Within a factor of two of measured peaks (tests).
    """
    config = job.config
    plan = job.plan
    model = job.backbone.model
    shape = model.config.get_text_config()
    parameters = model.num_parameters()
    stored = parameters * (model.dtype.itemsize if config.lora_rank else FLOAT32)
    trained = adapter_parameters(model, config.lora_rank) if config.lora_rank else parameters
    computed, stored_per_token = (BFLOAT16, KEPT_CHECKPOINTED) if device == "cuda" else (FLOAT32, KEPT)
    tokens = job.longest_prompt + config.max_completion_length
    width = shape.num_key_value_heads * _head(shape)
    layers = shape.num_hidden_layers
    hidden = shape.hidden_size
    sampled = plan.rows * plan.per_generation
    activations = plan.rows * tokens * layers * hidden * stored_per_token * computed
    logits = plan.rows * config.max_completion_length * shape.vocab_size * FLOAT32 * LOGIT_COPIES
    return {
        "libraries": LIBRARIES[device],
        "policy": stored + (trained * FLOAT32 if config.lora_rank else 0),
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
    shards = {"ddp": (), "zero2": ("gradients", "optimizer")}
    shards["fsdp"] = shards["zero3"] = ("gradients", "optimizer", "policy")
    return {
        name: peak({kind: size / processes if kind in split else size for kind, size in parts.items()})
        for name, split in shards.items()
    }


def checkpoint_bytes(job: Job) -> float:
    """Return the bytes of one checkpoint: trained weights and the optimizer's state."""
    model = job.backbone.model
    rank = job.config.lora_rank
    trained = adapter_parameters(model, rank) if rank else model.num_parameters()
    return float(trained * FLOAT32 * (1 + ADAMW))


def adapter_parameters(model: Any, rank: int) -> int:
    """Return the number of parameters of LoRA adapters on all linear layers but the output head."""
    head = model.get_output_embeddings()
    linear = [layer for layer in model.modules() if type(layer).__name__ == "Linear" and layer is not head]
    return sum(rank * sum(layer.weight.shape) for layer in linear)


def gigabytes(size: float) -> str:
    """Return a size in words with two significant digits."""
    unit, name = (1e9, "GB") if size >= 1e9 else (1e6, "MB")
    scaled = size / unit
    digits = max(0, 1 - math.floor(math.log10(scaled))) if scaled > 0 else 0
    return f"{scaled:.{digits}f} {name}"


def _head(shape: Any) -> int:
    return getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads


# Parameters from which full training wants a smaller rate than nano's default, and a CPU takes long.
LARGE = 20e6
SIGNED = ("cosine", "released_cosine", "repetition", "length", "overlong", "log_score", "quadratic_score")


def warnings_about(job: Job, *, device: str = "cpu") -> list[str]:
    """Return what a user should know before a run that is allowed, each line beginning with its field."""
    return [*_of_objective(job), *_of_schedule(job), *_of_machine(job, device), *_of_record(job)]


cautions = warnings_about  # old spelling, one release


def _of_objective(job: Job) -> Iterator[str]:
    config = job.config
    dra = config.adjustment == "dra"
    if dra and config.scale_rewards == "group":
        yield (
            "scale_rewards: group divides by each group's deviation, so DRA's smaller rewards grow back, and "
            "groups of equal rewards, without gradient in GRPO, are trained on diversity alone at full "
            "strength; none or batch keeps the size"
        )
    signed = [name for name in config.rewards if name in SIGNED]
    options = config.adjustment_options
    if dra and signed and options.get("sign", "paper") == "paper" and not options.get("positives_only"):
        yield (
            f"adjustment_options: sign paper with rewards that may be negative ({', '.join(signed)}): "
            "the most redundant wrong answer loses least; sign: safe turns that around"
        )
    if config.loss_type == "dr_grpo" and config.scale_rewards != "none":
        yield (
            f"scale_rewards: {config.scale_rewards} with loss_type dr_grpo, whose authors do not divide "
            "(arXiv 2503.20783); set none"
        )
    large = job.backbone.model.num_parameters() > LARGE
    if large and not config.lora_rank and config.learning_rate > 2e-5:
        yield (
            f"learning_rate: {config.learning_rate:g} is high for all weights of a model of this size; "
            "published recipes use about 1e-6"
        )


def _of_schedule(job: Job) -> Iterator[str]:
    config = job.config
    plan = job.plan
    if plan.block_length > plan.accumulation:
        yield (
            f"steps_per_generation, num_iterations: {plan.prompts} prompts feed "
            f"{plan.block_length / plan.accumulation:g} optimizer steps, and TRL mixes them: the order holds "
            "between such blocks, inside one it is random"
        )
    if plan.tail:
        yield f"tail: the last {plan.tail} problems of the order do not fill a batch and are not trained"
    if plan.steps < plan.steps_per_epoch:
        yield (
            f"max_steps: {plan.steps} of the {plan.steps_per_epoch} steps of one pass: the order's end "
            "is not reached"
        )
    positions = getattr(job.backbone.model.config, "max_position_embeddings", 0)
    if job.longest_prompt > config.max_completion_length and config.template == "chat":
        yield (
            f"max_completion_length: {config.max_completion_length} tokens, fewer than the longest prompt "
            f"({job.longest_prompt}); the model reads {positions}. Watch clipped_ratio: a completion cut "
            "before its answer earns nothing"
        )


def _of_machine(job: Job, device: str) -> Iterator[str]:
    config = job.config
    if device == "cpu" and job.backbone.model.num_parameters() > LARGE:
        yield (
            "backbone: on a CPU all is float32 (bfloat16 is many times slower on most), and a step of a "
            "model of this size takes half a minute or more; on a GPU it runs in bfloat16, with other numbers"
        )
    if device == "cpu" and config.threads > 1:
        yield "threads: more than one is slower where other work runs on the same cores"
    if config.vllm != "off":
        yield (
            f"vllm: {config.vllm} samples in bfloat16 with its own random numbers: a resumed run is not the "
            "same run, and TRL reweights by the difference (sampling/... in metrics.csv)"
        )
    if config.vllm != "off" and device == "cpu":
        yield "vllm: its CPU build packs weights and cannot take new ones; vLLM is for GPUs"
    if job.plan.processes > 1 and config.save_steps:
        yield "save_steps: resuming gives identical weights on one process; on several it was not shown"


def _of_record(job: Job) -> Iterator[str]:
    config = job.config
    if config.save_steps is None:
        yield "save_steps: no checkpoints; a killed run starts again from the first step"
    elif 2 * checkpoint_bytes(job) > 10e9:
        yield f"save_steps: two checkpoints are kept, {gigabytes(checkpoint_bytes(job))} each"
    block = -(-job.plan.block_length // job.plan.accumulation)
    files = job.plan.steps // max(config.completions_every or job.plan.steps, block)
    if files > 5000:
        yield f"completions_every: {files} files of completions"
