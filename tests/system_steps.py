"""What tests of several systems do with a run: train it, look inside a step, break it off and resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from hammerlib.models import load_backbone
from hammerlib.runs import RunRecord
from hammerlib.training import Algorithm, Rollout, TrainConfig, train
from hammerlib.training.trainer import PolicyTrainer


class Watch(Algorithm):
    """Keeps every rollout as it was trained."""

    def __init__(self) -> None:
        self.rollouts: list[Rollout] = []

    def observe(self, rollout: Rollout) -> dict[str, float]:
        self.rollouts.append(rollout)
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def table(record: RunRecord) -> pd.DataFrame:
    """Metrics by step."""
    return record.table("metrics.csv").pivot_table(
        index="step", columns="metric", values="value", dropna=False
    )


def weights(record: RunRecord) -> dict[str, torch.Tensor]:
    return load_backbone(str(record.folder / "model")).model.state_dict()


def same_weights(one: RunRecord, other: RunRecord) -> bool:
    theirs = weights(other)
    return all(torch.equal(value, theirs[name]) for name, value in weights(one).items())


def broken_off_and_resumed(
    config: TrainConfig, root: Path, monkeypatch: pytest.MonkeyPatch, call: int, **given: Any
) -> RunRecord:
    """Train until the loss is asked for the `call`-th time, break off, and train the same run to its end."""
    before, calls = PolicyTrainer._compute_loss, []

    def stop(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return before(*arguments, **named)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PolicyTrainer, "_compute_loss", stop)
        train(config, root=root, progress=False, **given)
    return train(config, root=root, progress=False, **given)
