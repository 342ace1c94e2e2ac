"""`hammer train --dry-run`: what a run would do, after the checks that the run itself makes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hammerlib.training.cautions import cautions
from hammerlib.training.estimate import checkpoint_bytes, estimate_memory, gigabytes, peak, sharded
from hammerlib.training.schedule import Plan

if TYPE_CHECKING:
    from hammerlib.training.run import Job

SHOWN_STEPS, SHOWN_IDS = 2, 4


def preview(job: Job) -> str:
    """Describe a job: what is trained, batches, which problem in which step, memory, checkpoints, cautions.

    Parameters
    ----------
    job : Job
        As `prepare` returns it, so that everything that `train` refuses has been refused.

    Returns
    -------
    str
        Lines of text. Nothing is written.

    Examples
    --------
    >>> from hammerlib.training import TrainConfig
    >>> from hammerlib.training.run import prepare
    >>> preview(prepare(TrainConfig(n_problems=8, order="random"))).splitlines()[0].split()[0]
    'run'
    """
    device = "cuda" if str(job.backbone.device).startswith("cuda") else "cpu"
    parts = [("run", _run(job)), ("batches", _batches(job.plan)), ("schedule", _schedule(job)),
             ("memory", _memory(job, device)), ("checkpoints", _checkpoints(job)),
             ("cautions", cautions(job, device=device) or ["none"])]  # fmt: skip
    lines = [
        f"{title if place == 0 else '':<13}{line}"
        for title, block in parts
        for place, line in enumerate(block)
    ]
    return "\n".join(lines)


def _run(job: Job) -> Iterator[str]:
    config, model = job.config, job.backbone.model
    yield job.run_id
    yield (
        f"{job.backbone.name}, {model.num_parameters():,} parameters"
        + (f", LoRA of rank {config.lora_rank}" if config.lora_rank else "")
        + f"; {config.loss_type}, scale_rewards {config.scale_rewards}, beta {config.beta:g}; "
        f"{'+'.join(config.rewards)}, {config.adjustment}; sampling by "
        + ("transformers" if config.vllm == "off" else f"vLLM ({config.vllm})")
    )
    yield (
        f"{len(job.problems)} problems from {config.problems}, prompts of at most {job.longest_prompt} "
        f"tokens, completions of {config.max_completion_length}"
    )
    cost = "" if job.order.cost is None else f", mean cosine {job.order.cost:.4f}"
    yield f"order {job.order.strategy}, {job.order.hash[:12]}{cost}"


def _batches(plan: Plan) -> Iterator[str]:
    rows, prompts = plan.processes * plan.rows * plan.accumulation, plan.blocks * plan.prompts
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
    plan, ids = job.plan, job.problems["id"][:]
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
        blocks = sorted({one // plan.block_length for one in micro})
        places = sorted(
            {place for one in blocks for p in range(plan.processes) for place in plan.positions(one, p)}
        )
        named = [ids[int(job.order.permutation[place])] for place in places]
        more = f", ... ({len(named)})" if len(named) > SHOWN_IDS else ""
        yield f"step {step + 1}, epoch {epoch}: {', '.join(named[:SHOWN_IDS])}{more}"


def _memory(job: Job, device: str) -> Iterator[str]:
    parts = estimate_memory(job, device=device)
    what = "GPU memory" if device == "cuda" else "host memory"
    yield f"{what} a process, about {gigabytes(peak(parts))} (right within a factor of two)"
    yield ", ".join(f"{name} {gigabytes(size)}" for name, size in parts.items() if size)
    if job.plan.processes > 1:
        each = sharded(parts, job.plan.processes)
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
