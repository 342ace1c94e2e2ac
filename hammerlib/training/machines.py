"""How long a run takes: tokens a second from a table of machines, which every finished run adds to."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError
from hammerlib.runs import RunRecord
from hammerlib.runs.reading import read_yaml
from hammerlib.runs.storage import results_root

if TYPE_CHECKING:
    from hammerlib.training.config import TrainConfig
    from hammerlib.training.run import Job

TABLE = Path(__file__).with_name("machines.yaml")
GPU = "a GPU"  # a device planned for, of which only the memory is known


def device_name() -> str:
    """The name under which this machine's runs stand in the table."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def memory_of(device: str) -> float:
    """Return the bytes that words such as ``24 GB`` say."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(GB|GiB)", device.strip(), re.IGNORECASE)
    if match is None or not float(match[1]):
        raise InputError("device", device, "says no memory", "write for example --device '24 GB'")
    return float(match[1]) * (1e9 if match[2].upper() == "GB" else 2**30)


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


def nearest(config: TrainConfig, parameters: float, device: str) -> dict[str, Any] | None:
    """Return the measurement that is most like a run: of its device, its sampler, its model's size."""

    def unlike(row: dict[str, Any]) -> tuple[bool, bool, float]:
        other_sampler = row.get("vllm", "off") != config.vllm
        other_savings = row.get("savings", False) != config.shared_prefixes
        # of equals the later one, which is a run's own
        return other_sampler, other_savings, round(abs(math.log(row["parameters"] / parameters)), 3)

    kind = [row for row in _rows() if row["device"] == device or (device == GPU and row["device"] != "cpu")]
    return min(reversed(kind), key=unlike) if kind else None


def train_seconds(config: TrainConfig, steps: int, parameters: float, row: dict[str, Any]) -> float:
    """Seconds that the steps take if every completion has full length and cost grows with parameters."""
    return most_tokens(config, steps) / row["training"] * parameters / row["parameters"]


def most_tokens(config: TrainConfig, steps: int) -> int:
    """Sampled tokens if every completion has full length."""
    tokens = steps * config.prompts_per_step * config.group_size * config.max_completion_length
    return min(tokens, config.token_budget or tokens)
