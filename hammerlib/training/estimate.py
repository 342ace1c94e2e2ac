"""How much memory and disk a training run needs, from a formula that tests compare with measured runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hammerlib.training.run import Job

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

    Parameters
    ----------
    job : Job
        As `prepare` returns it.
    device : str
        ``cpu``: float32 everywhere, host memory. ``cuda``: weights in float32 (LoRA: as stored) under
        bfloat16 autocast with gradient checkpointing, GPU memory.

    Returns
    -------
    dict of str to float
        ``libraries``, ``policy``, ``start model`` (embeds the completions), ``reference`` (beta > 0 without
        LoRA), ``gradients``, ``optimizer`` (AdamW), ``generation`` (KV cache) and ``training`` (activations
        and logits of one micro-batch); the last two do not coincide.

    Notes
    -----
    P parameters, P_t of them trained, b bytes a stored parameter, s rows, L layers, h hidden size, k KV
    width, T tokens of prompt and completion, C of them completion, V vocabulary: weights P b each, gradients
    4 P_t, optimizer 8 P_t, KV cache 2 s T L k c, activations s T L h 17 c (checkpointed: 1) and logits
    4 s C V 4, with c bytes a computed element. Within a factor of two of measured peaks (tests).

    Examples
    --------
    >>> from hammerlib.training import TrainConfig
    >>> from hammerlib.training.run import prepare
    >>> parts = estimate_memory(prepare(TrainConfig(n_problems=8, order="random")))
    >>> parts["optimizer"] == 2 * parts["gradients"]
    True
    """
    config, plan, model = job.config, job.plan, job.backbone.model
    shape = model.config.get_text_config()
    parameters = model.num_parameters()
    stored = parameters * (model.dtype.itemsize if config.lora_rank else FLOAT32)
    trained = adapter_parameters(model, config.lora_rank) if config.lora_rank else parameters
    computed, kept = (BFLOAT16, KEPT_CHECKPOINTED) if device == "cuda" else (FLOAT32, KEPT)
    tokens = job.longest_prompt + config.max_completion_length
    width = shape.num_key_value_heads * _head(shape)
    layers, hidden, sampled = shape.num_hidden_layers, shape.hidden_size, plan.rows * plan.per_generation
    activations = plan.rows * tokens * layers * hidden * kept * computed
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
    """Return the bytes needed at once: sampling and the training of a micro-batch take turns.

    Examples
    --------
    >>> peak({"policy": 4.0, "generation": 3.0, "training": 5.0})
    9.0
    """
    lasting = sum(size for name, size in parts.items() if name not in ("generation", "training"))
    return lasting + max(parts["generation"], parts["training"])


def sharded(parts: dict[str, float], processes: int) -> dict[str, float]:
    """Return the peak bytes of a process for each file of ``launch/``.

    Parameters
    ----------
    parts : dict of str to float
        From `estimate_memory`.
    processes : int

    Examples
    --------
    >>> parts = {"policy": 4.0, "gradients": 4.0, "optimizer": 8.0, "generation": 0.0, "training": 0.0}
    >>> sharded(parts, 4)
    {'ddp': 16.0, 'zero2': 7.0, 'fsdp': 4.0, 'zero3': 4.0}
    """
    shards = {"ddp": (), "zero2": ("gradients", "optimizer")}
    shards["fsdp"] = shards["zero3"] = ("gradients", "optimizer", "policy")
    return {
        name: peak({part: size / processes if part in split else size for part, size in parts.items()})
        for name, split in shards.items()
    }


def checkpoint_bytes(job: Job) -> float:
    """Return the bytes of one checkpoint: trained weights and the optimizer's state.

    Examples
    --------
    >>> from hammerlib.training import TrainConfig
    >>> from hammerlib.training.run import prepare
    >>> checkpoint_bytes(prepare(TrainConfig(n_problems=8, order="random"))) > 1e6
    True
    """
    model, rank = job.backbone.model, job.config.lora_rank
    trained = adapter_parameters(model, rank) if rank else model.num_parameters()
    return float(trained * FLOAT32 * (1 + ADAMW))


def adapter_parameters(model: Any, rank: int) -> int:
    """Return the number of parameters of LoRA adapters on all linear layers but the output head.

    Parameters
    ----------
    model : transformers model
    rank : int

    Examples
    --------
    >>> from hammerlib.models import load_backbone
    >>> adapter_parameters(load_backbone("nano").model, 2)
    17664
    """
    head = model.get_output_embeddings()
    shapes = [
        one.weight.shape for one in model.modules() if type(one).__name__ == "Linear" and one is not head
    ]
    return sum(rank * (rows + columns) for rows, columns in shapes)


def gigabytes(size: float) -> str:
    """Return a size in words with two significant digits.

    Examples
    --------
    >>> gigabytes(1.234e9), gigabytes(35e6)
    ('1.2 GB', '35 MB')
    """
    unit, name = (1e9, "GB") if size >= 1e9 else (1e6, "MB")
    scaled = size / unit
    digits = max(0, 1 - math.floor(math.log10(scaled))) if scaled > 0 else 0
    return f"{scaled:.{digits}f} {name}"


def _head(shape: Any) -> int:
    return getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
