"""What every name in ``metrics.csv`` means, in which unit and range; the table in results/README.md."""

from __future__ import annotations

import re

# Name -> (meaning, unit or range). Means are over the groups or completions of a generation batch.
METRICS: dict[str, tuple[str, str]] = {
    "reward_raw": ("mean reward as graded: the weighted sum, before any adjustment", "reward"),
    "reward": ("mean reward of trained completions, after the adjustment", "reward"),
    "raw/NAME": (
        "mean of one reward function before weighting, also of untrained completions in the batch",
        "reward",
    ),
    "unscorable_share": ("completions that no reward could score; they carry no gradient", "[0, 1]"),
    "timeout_share": ("completions whose grading passed its wall-clock limit", "[0, 1]"),
    "grading_error_share": ("completions on which the grader failed", "[0, 1]"),
    "grading/timeouts": ("their number, per process and reward, in steps that have any", "completions"),
    "grading/errors": ("likewise for failures of the grader", "completions"),
    "zero_variance_share": (
        "groups whose rewards as graded are all equal: plain GRPO learns nothing from them",
        "[0, 1]",
    ),
    "zero_variance_share_adjusted": ("the same for the rewards as trained", "[0, 1]"),
    "mean_cosine": (
        "mean pairwise cosine of the completions of a group, embedded by the frozen start model",
        "[-1, 1]",
    ),
    "vendi": (
        "Vendi score of a group: exponential of the entropy of its similarity spectrum "
        "(Friedman and Dieng, arXiv 2210.02410)",
        "[1, G]",
    ),
    "distinct_answers": ("different extracted answers in a group", "[0, G]"),
    "distinct_wrong": ("different wrong answers in a group", "[0, G]"),
    "effective_group_size": (
        "inverse Simpson index of a group's answers, 1 / sum of squared shares (Hill number of order 2); "
        "missing answers are one answer",
        "[1, G]",
    ),
    "effective_advantages": (
        "completions of a group that carry the gradient: (sum of abs A)^2 / sum of A^2 (Kish), over groups "
        "that have one",
        "[1, G]",
    ),
    "dra/mean_weight": (
        "mean of DRA's weights over the whole batch, before `sign` and `positives_only`",
        "[0, 1] unless normalised",
    ),
    "generated": ("completions generated, all processes; some rollouts train fewer", "completions"),
    "generated_tokens": ("their tokens, without prompts", "tokens"),
    "trained": ("completions that were trained, all processes", "completions"),
    "skipped": ("groups that dynamic sampling left out", "groups"),
    "refill_rounds": ("samplings that dynamic sampling took to fill the batch", "samplings"),
    "mu": ("CHORD only: share of the supervised term in the loss", "[0, 1]"),
    "expert_loss": ("CHORD only: mean of -w log p over the step's expert tokens", "nats a token"),
    "expert_probability": ("CHORD only: mean probability of the step's expert tokens", "[0, 1]"),
    "loss": ("what the optimizer minimised", "–"),
    "kl": ("mean estimate of the KL divergence to the start model, k3; only where beta > 0", "nats a token"),
    "entropy": ("mean entropy of the policy's next-token distribution", "nats a token"),
    "clip_share": ("tokens whose ratio was clipped, either side", "[0, 1]"),
    "clip_share_low": ("tokens clipped from below (negative advantage)", "[0, 1]"),
    "clip_share_high": ("tokens clipped from above (positive advantage)", "[0, 1]"),
    "clip_share_low_min": ("smallest of the processes", "[0, 1]"),
    "clip_share_high_max": ("largest of the processes", "[0, 1]"),
    "grad_norm": ("norm of the gradient before clipping", "–"),
    "learning_rate": ("of this step", "–"),
    "mean_length": ("mean length of completions", "tokens"),
    "clipped_ratio": ("completions cut at max_completion_length", "[0, 1]"),
    "tokens": ("prompt and completion tokens in batches since the start, all processes", "tokens"),
    "seconds": ("optimizer step: generation, rewards, forward and backward", "s"),
    "seconds_generation": (
        "sampling, with the forward pass of the reference (beta > 0) or of the sampling policy where TRL "
        "needs one",
        "s a generation batch",
    ),
    "seconds_embedding": (
        "completions under the frozen start model, for telemetry and DRA",
        "s a generation batch",
    ),
    "seconds_rewards": (
        "grading and rewards, with the embedding of an embedder of its own under DRA",
        "s a generation batch",
    ),
    "sampling/NAME": ("vLLM only: how far its token probabilities are from the trainer's", "–"),
}  # fmt: skip


def explained(name: str) -> bool:
    """Return True if a name of ``metrics.csv`` stands in `METRICS`, also under a pattern (``raw/NAME``).

    Examples
    --------
    >>> explained("raw/accuracy_reward"), explained("rewrad")
    (True, False)
    """
    patterns = (re.escape(one).replace("NAME", ".+") for one in METRICS)
    return any(re.fullmatch(one, name) for one in patterns)


def glossary_table() -> str:
    """Return `METRICS` as a Markdown table, as it stands in results/README.md.

    Examples
    --------
    >>> glossary_table().splitlines()[0]
    '| metric | meaning | unit or range |'
    """
    rows = [f"| `{name}` | {meaning} | {unit} |" for name, (meaning, unit) in METRICS.items()]
    return "\n".join(["| metric | meaning | unit or range |", "|---|---|---|", *rows])
