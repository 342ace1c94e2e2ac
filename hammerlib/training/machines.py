"""How long a run takes: tokens a second from a table of machines, which every finished run adds to.

For a GPU that nothing was measured on, arithmetic from its data sheet gives a range instead.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hammerlib.errors import InputError
from hammerlib.runs import RunRecord
from hammerlib.runs.reading import read_yaml
from hammerlib.runs.storage import results_root
from hammerlib.runs.trials import Guess

if TYPE_CHECKING:
    from hammerlib.training.config import TrainConfig
    from hammerlib.training.run import Job
    from hammerlib.training.schedule import Plan

TABLE = Path(__file__).with_name("machines.yaml")
SHEETS = Path(__file__).with_name("devices.yaml")
FLOAT32, BFLOAT16 = 4, 2


class Device(NamedTuple):
    """A GPU by its data sheet (`devices.yaml`); without one only the memory is known."""

    name: str
    memory: float  # bytes
    flops: float | None = None  # dense bfloat16, a second
    bandwidth: float | None = None  # bytes a second
    also: tuple[str, ...] = ()

    def is_called(self, name: str) -> bool:
        """Return whether a name, torch's or a person's, is this device's."""
        own = _words(self.name)
        return own <= _words(name) <= own | set(self.also) | {"nvidia", "gpu"}


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", re.sub(r"(\d) *gi?b\b", r"\1", name.lower())))


def known_devices() -> list[Device]:
    """Return the devices whose data sheets are in the table."""
    return [
        Device(row["name"], row["memory"] * 1e9, row["tflops"] * 1e12, row["bandwidth"] * 1e9, tuple(
            str(word) for word in row.get("also", ())))
        for row in read_yaml(SHEETS, field="devices")["devices"]
    ]  # fmt: skip


def device_name() -> str:
    """The name under which this machine's runs stand in the table."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def memory_of(device: str) -> float | None:
    """Return the bytes that words such as ``24 GB`` say, or None where they are no size."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(GB|GiB)", device.strip(), re.IGNORECASE)
    if match is None or not float(match[1]):
        return None
    return float(match[1]) * (1e9 if match[2].upper() == "GB" else 2**30)


def devices_named(device: str) -> list[Device]:
    """Return the GPU of that name, or all known ones of a size such as ``24 GB``; never none."""
    known = known_devices()
    memory = memory_of(device)
    if memory is not None:
        # 80 GB and 80 GiB are sold as the same
        alike = [one._replace(memory=memory) for one in known if abs(one.memory / memory - 1) < 0.08]
        return alike or [Device("a GPU", memory)]
    named = [one for one in known if one.is_called(device)]
    if not named:
        names = ", ".join(one.name for one in known)
        remedy = f"write a size such as '24 GB', or one of {names}"
        raise InputError("device", device, "says no memory, nor the name of a known GPU", remedy)
    return named


def measured(job: Job, record: RunRecord) -> dict[str, Any]:
    """The row that a finished run adds to the table."""
    sums = record.table("metrics.csv").groupby("metric")["value"].sum()
    return {
        "device": device_name(),
        "parameters": job.backbone.model.num_parameters(),
        "savings": job.config.shared_prefixes,
        "vllm": job.config.vllm,
        "training": round(float(sums["sampled_tokens"] / sums["seconds"]), 1),
    }


def _rows() -> Iterator[dict[str, Any]]:
    yield from read_yaml(TABLE, field="machines")
    for file in sorted(results_root().glob("train__*/manifest.json")):
        row = RunRecord.load(file.parent).manifest.get("machine")
        if row:
            yield row | {"source": file.parent.name}


def nearest(
    config: TrainConfig, parameters: float, devices: Sequence[Device] | None, rate: str = "training"
) -> dict[str, Any] | None:
    """Return the measurement that is most like a run: of its device, its sampler, its model's size.

    Without `devices` those of this machine count.
    """

    def unlike(row: dict[str, Any]) -> tuple[bool, bool, float]:
        other_sampler = row.get("vllm", "off") != config.vllm
        other_savings = row.get("savings", False) != config.shared_prefixes
        # of equals the later one, which is a run's own
        return other_sampler, other_savings, round(abs(math.log(row["parameters"] / parameters)), 3)

    here = device_name() if devices is None else ""

    def on_device(name: str) -> bool:
        return name == here if devices is None else any(one.is_called(name) for one in devices)

    kind = [row for row in _rows() if rate in row and on_device(row["device"])]
    return min(reversed(kind), key=unlike) if kind else None


class Shape(NamedTuple):
    """What of a model decides its speed."""

    parameters: float
    cached: float = 0.0  # bytes of keys and values that are kept of a token
    named: bool = False  # the size is that of the model's name


def shape_of(model: Any) -> Shape:
    """Return a loaded or outlined model's shape."""
    text = model.config.get_text_config()
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    cached = 2 * text.num_hidden_layers * text.num_key_value_heads * head * BFLOAT16
    return Shape(model.num_parameters(), cached)


def expected(
    config: TrainConfig,
    plan: Plan,
    shape: Shape,
    devices: Sequence[Device] | None = None,
    *,
    prompt: int | None = None,
    answers: int = 0,
) -> Guess | None:
    """Return how long a run takes if every completion has full length; None where nothing is known.

    Measured tokens a second decide, cost growing with parameters; where there are none for the device, its
    data sheet. `answers` are completions of evaluations beside the training, `prompt` its tokens where they
    are known.
    """
    row = nearest(config, shape.parameters, devices)
    named = f"; {shape.parameters / 1e9:g} billion parameters by the model's name" if shape.named else ""
    if row is not None:
        seconds = train_seconds(config, plan.steps, shape.parameters, row) / plan.processes
        # where evaluation was not measured, as slow as training
        seen = nearest(config, shape.parameters, devices, "sampling") or row | {"sampling": row["training"]}
        slower = shape.parameters / seen["parameters"]
        seconds += answers * config.max_completion_length / seen["sampling"] * slower
        size = f"{row['parameters']:,} parameters on {row['device']} ({row['source']})"
        by = f"by {row['training']:,} tokens a second with {size}; cost grows with parameters{named}"
        return Guess(seconds, seconds, by)
    if devices is None:
        devices = [one for one in known_devices() if one.is_called(device_name())]
    ends = [
        sheet_seconds(config, plan, shape, device, end=end, prompt=prompt, answers=answers)
        for device in devices
        if device.flops
        for end in (0, 1)
    ]
    if not ends:
        return None
    names = ", ".join(device.name for device in devices)
    by = f"not measured: arithmetic from the data sheet of {names}; the first run on it replaces this{named}"
    return Guess(min(ends), max(ends), by)


def sheet_seconds(
    config: TrainConfig,
    plan: Plan,
    shape: Shape,
    device: Device,
    *,
    end: int,
    prompt: int | None = None,
    answers: int = 0,
) -> float:
    """Return the seconds of a run by a device's data sheet, at the worst (0) or the best (1) `end`.

    P parameters, s rows at once, T tokens a completion, F FLOP/s, B bytes a second, u their share: a step
    samples T times the larger of (P b + s c) / B and 2 P s / (u F), with b bytes a weight and c of keys and
    values so far, after a wait; and computes each token of prompt and completion in 2 P / (u F) a pass.
    Neither communication nor attention's own products are counted.
    """
    table = read_yaml(SHEETS, field="devices")
    flops = device.flops * table["utilisation"][end]
    wait = table["between_tokens"][end]
    length = config.max_completion_length
    if prompt is None:
        # unknown: none at best, at worst as long as the completion
        prompt = 0 if end else length
    weight = FLOAT32 if config.vllm == "off" and not config.lora_rank else BFLOAT16

    def sampling(rows: float) -> float:
        cache = rows * shape.cached * (prompt + length / 2)
        read = (shape.parameters * weight + cache) / device.bandwidth
        return length * (wait + max(read, 2 * shape.parameters * rows / flops))

    # forward, forward again (checkpointing), and backward, under LoRA without the gradients of weights
    passes = 3 if config.lora_rank else 4
    # the reference; log-probabilities to compare with vLLM's; DRA's embeddings
    passes += (config.beta > 0) + (config.vllm != "off") + (config.adjustment == "dra")
    rows = most_tokens(config, plan.steps) / length / plan.processes
    batch = plan.rows * plan.per_generation
    seconds = rows / batch * sampling(batch)
    seconds += rows * (prompt + length) * passes * 2 * shape.parameters / flops
    return seconds + answers / EVALUATED * sampling(EVALUATED)


EVALUATED = 256  # answers at once (`study.trial.ROWS`)


def train_seconds(config: TrainConfig, steps: int, parameters: float, row: dict[str, Any]) -> float:
    """Seconds that the steps take if every completion has full length and cost grows with parameters."""
    return most_tokens(config, steps) / row["training"] * parameters / row["parameters"]


def most_tokens(config: TrainConfig, steps: int) -> int:
    """Sampled tokens if every completion has full length."""
    tokens = steps * config.prompts_per_step * config.group_size * config.max_completion_length
    return min(tokens, config.token_budget or tokens)
