"""What a user should know before a run that is allowed: each caution names the field and what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hammerlib.training.estimate import checkpoint_bytes, gigabytes

if TYPE_CHECKING:
    from hammerlib.training.run import Job

# Parameters from which full training wants a smaller rate than nano's default, and a CPU takes long.
LARGE = 20e6
SIGNED = ("cosine", "released_cosine", "repetition", "length", "overlong", "log_score", "quadratic_score")


def cautions(job: Job, *, device: str = "cpu") -> list[str]:
    """Return every caution for a job, one line each.

    Parameters
    ----------
    job : Job
        As `prepare` returns it.
    device : str
        ``cpu`` or ``cuda``.

    Returns
    -------
    list of str
        Each begins with the field it is about.

    Examples
    --------
    >>> from hammerlib.training import TrainConfig
    >>> from hammerlib.training.run import prepare
    >>> [one.split(":")[0] for one in cautions(prepare(TrainConfig(n_problems=8, order="random")))]
    ['save_steps']
    """
    return [*_of_objective(job), *_of_schedule(job), *_of_machine(job, device), *_of_record(job)]


def _of_objective(job: Job) -> list[str]:
    config, said = job.config, []
    dra = config.adjustment == "dra"
    if dra and config.scale_rewards == "group":
        said.append(
            "scale_rewards: group divides by each group's deviation, so DRA's smaller rewards grow back, and "
            "groups of equal rewards, without gradient in GRPO, are trained on diversity alone at full "
            "strength; none or batch keeps the size"
        )
    signed = [name for name in config.rewards if name in SIGNED]
    options = config.adjustment_options
    if dra and signed and options.get("sign", "paper") == "paper" and not options.get("positives_only"):
        said.append(
            f"adjustment_options: sign paper with rewards that may be negative ({', '.join(signed)}): "
            "the most redundant wrong answer loses least; sign: safe turns that around"
        )
    if config.loss_type == "dr_grpo" and config.scale_rewards != "none":
        said.append(
            f"scale_rewards: {config.scale_rewards} with loss_type dr_grpo, whose authors do not divide "
            "(arXiv 2503.20783); set none"
        )
    large = job.backbone.model.num_parameters() > LARGE
    if large and not config.lora_rank and config.learning_rate > 2e-5:
        said.append(
            f"learning_rate: {config.learning_rate:g} is high for all weights of a model of this size; "
            "published recipes use about 1e-6"
        )
    return said


def _of_schedule(job: Job) -> list[str]:
    config, plan, said = job.config, job.plan, []
    if plan.block_length > plan.accumulation:
        said.append(
            f"steps_per_generation, num_iterations: {plan.prompts} prompts feed "
            f"{plan.block_length / plan.accumulation:g} optimizer steps, and TRL mixes them: the order holds "
            "between such blocks, inside one it is random"
        )
    if plan.tail:
        said.append(
            f"tail: the last {plan.tail} problems of the order do not fill a batch and are not trained"
        )
    if plan.steps < plan.steps_per_epoch:
        said.append(
            f"max_steps: {plan.steps} of the {plan.steps_per_epoch} steps of one pass: the order's end "
            "is not reached"
        )
    positions = getattr(job.backbone.model.config, "max_position_embeddings", 0)
    if job.longest_prompt > config.max_completion_length and config.template == "chat":
        said.append(
            f"max_completion_length: {config.max_completion_length} tokens, fewer than the longest prompt "
            f"({job.longest_prompt}); the model reads {positions}. Watch clipped_ratio: a completion cut "
            "before its answer earns nothing"
        )
    return said


def _of_machine(job: Job, device: str) -> list[str]:
    config, said = job.config, []
    if device == "cpu" and job.backbone.model.num_parameters() > LARGE:
        said.append(
            "backbone: on a CPU all is float32 (bfloat16 is many times slower on most), and a step of a "
            "model of this size takes half a minute or more; on a GPU it runs in bfloat16, with other numbers"
        )
    if device == "cpu" and config.threads > 1:
        said.append("threads: more than one is slower where other work runs on the same cores")
    if config.vllm != "off":
        said.append(
            f"vllm: {config.vllm} samples in bfloat16 with its own random numbers: a resumed run is not the "
            "same run, and TRL reweights by the difference (sampling/... in metrics.csv)"
        )
    if config.vllm != "off" and device == "cpu":
        said.append("vllm: its CPU build packs weights and cannot take new ones; vLLM is for GPUs")
    if job.plan.processes > 1 and config.save_steps:
        said.append(
            "save_steps: resuming gives identical weights on one process; on several it was not shown"
        )
    return said


def _of_record(job: Job) -> list[str]:
    config, said = job.config, []
    if config.save_steps is None:
        said.append("save_steps: no checkpoints; a killed run starts again from the first step")
    elif 2 * checkpoint_bytes(job) > 10e9:
        said.append(f"save_steps: two checkpoints are kept, {gigabytes(checkpoint_bytes(job))} each")
    block = -(-job.plan.block_length // job.plan.accumulation)
    files = job.plan.steps // max(config.completions_every or job.plan.steps, block)
    if files > 5000:
        said.append(f"completions_every: {files} files of completions")
    return said
