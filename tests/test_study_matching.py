"""Matched steps: advantages that DRA shrinks, and weights that move all the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from hammerlib.errors import InputError
from hammerlib.models import load_backbone, untrained_like
from hammerlib.study.algorithms import advantage_ratio, weight_change
from hammerlib.training import Plugs, Rollout, TrainConfig, train

DOCTOR = TrainConfig(
    n_problems=16,
    order="random",
    prompts_per_step=4,
    group_size=4,
    max_completion_length=40,
    loss_type="dr_grpo",
    scale_rewards="none",
    scheduler="constant",
)


def test_the_ratio_of_copies_is_the_group_size() -> None:
    vectors = np.tile([0.6, 0.8], (3, 5, 1))
    raw = np.array([[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1]], dtype=float)
    assert advantage_ratio(raw, vectors) == pytest.approx(5, rel=1e-5)
    assert advantage_ratio(raw, vectors, normalize=True) == pytest.approx(1, rel=1e-5)


def test_the_ratio_of_positives_by_hand() -> None:
    vectors = np.tile([0.6, 0.8], (1, 4, 1))
    # Three right ones weigh 1/3 each: deviations 1/12, 1/12, 1/12, 1/4 in place of 1/4, 1/4, 1/4, 3/4.
    assert advantage_ratio([[1, 1, 1, 0]], vectors, positives_only=True) == pytest.approx(3, rel=1e-5)
    assert advantage_ratio([[1, 1, np.nan, 0]], vectors) == pytest.approx(4, rel=1e-5)
    with pytest.raises(InputError, match="no group whose rewards differ"):
        advantage_ratio([[1, 1, 1, 1]], vectors)


def test_the_length_of_a_change_of_weights() -> None:
    nano = load_backbone("nano")
    moved = untrained_like(nano, 0)
    moved.model.load_state_dict(nano.model.state_dict())
    first = next(iter(moved.model.parameters()))
    first.data.view(-1)[:4] += 0.5
    assert weight_change(nano, moved) == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(InputError, match="other parameters"):
        weight_change(nano, dataclasses.replace(nano, model=nano.model.model))


@pytest.mark.long
def test_dra_shrinks_advantages_under_dr_grpo_and_adamw_takes_the_same_steps(tmp_path: Path) -> None:
    seen: list[Rollout] = []
    plugs = Plugs(observe=lambda rollout: seen.append(rollout) or {})
    runs = [
        train(dataclasses.replace(DOCTOR, adjustment=name), root=tmp_path, plugs=plugs, progress=False)
        for name in ("none", "dra")
    ]
    start = load_backbone("nano")
    plain, dra = (weight_change(start, load_backbone(str(run.folder / "model"))) for run in runs)
    raw = np.concatenate([rollout.raw.reshape(-1, 4) for rollout in seen[:4]])
    vectors = np.concatenate([rollout.vectors.reshape(len(rollout.raw) // 4, 4, -1) for rollout in seen[:4]])
    assert advantage_ratio(raw, vectors) > 2.5
    assert 0.8 < dra / plain < 1.25
