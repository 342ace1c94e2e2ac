"""Savings in a training step change its work, never its numbers: gradients, metrics and runs are compared."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from test_seams import a_trainer
from test_training import SMALL

from hammerlib.errors import InputError
from hammerlib.training import TrainConfig, train
from hammerlib.training.trainer import PolicyTrainer

LOSSES = ("grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo")


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> PolicyTrainer:
    return a_trainer(tmp_path_factory.mktemp("runs"), skip_zero_advantage=True, max_completion_length=24)


@pytest.fixture(scope="module")
def batch(trainer: PolicyTrainer) -> dict[str, torch.Tensor]:
    """Eight completions, sampled; their tokens' probabilities were other ones, so that ratios are clipped."""
    torch.manual_seed(0)
    rows = [row for row in trainer.train_dataset for _ in range(4)]
    inputs = trainer._generate_and_score_completions(rows)
    with torch.no_grad():
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
        mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
        width = inputs["completion_ids"].shape[1]
        logps = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, width)[0]
    inputs["old_per_token_logps"] = logps + 0.2 * torch.randn_like(logps)
    return inputs


def step(trainer: PolicyTrainer, batch: dict, accumulation: int) -> tuple[torch.Tensor, float, dict]:
    """Gradient, loss and logged metrics of one optimizer step over so many micro-batches."""
    trainer.current_gradient_accumulation_steps = accumulation
    trainer.args.steps_per_generation = accumulation
    trainer._metrics["train"].clear()
    trainer.model.zero_grad()
    total = 0.0
    for rows in torch.arange(8).chunk(accumulation):
        micro = {name: value[rows] if value.dim() else value for name, value in batch.items()}
        loss = trainer._compute_loss(trainer.model, micro)
        loss.backward()
        total += loss.item()
    gradient = torch.cat([weight.grad.flatten() for weight in trainer.model.parameters()])
    return gradient, total, {name: list(values) for name, values in trainer._metrics["train"].items()}


def compared(trainer: PolicyTrainer, batch: dict, accumulation: int, option: str) -> tuple[dict, dict]:
    """Assert equal gradients and losses with and without an option; return the metrics of both."""
    before = getattr(trainer, option)
    setattr(trainer, option, False)
    whole, loss, metrics = step(trainer, batch, accumulation)
    setattr(trainer, option, True)
    less, same, of_less = step(trainer, batch, accumulation)
    setattr(trainer, option, before)
    assert (whole - less).norm() <= 1e-6 * whole.norm()
    assert same == pytest.approx(loss, rel=1e-5, abs=1e-7)
    return metrics, of_less


@pytest.mark.parametrize("loss_type", LOSSES)
@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("zeros", ["none", "some", "a micro-batch", "all"])
def test_rows_without_advantage_leave_and_the_gradient_stays(
    trainer: PolicyTrainer, batch: dict, loss_type: str, accumulation: int, zeros: str
) -> None:
    advantages = torch.tensor([1.0, -1.0, 0.5, -0.5, 1.5, -0.5, -0.5, -0.5])
    blank = {"none": [], "some": [1, 2, 6], "a micro-batch": [0, 1, 2, 3], "all": range(8)}[zeros]
    advantages[list(blank)] = 0.0
    trainer.loss_type = loss_type
    whole, less = compared(trainer, batch | {"advantages": advantages}, accumulation, "skip_zero_advantage")
    for name, values in whole.items():
        if name.startswith("clip_ratio"):
            assert less[name] == pytest.approx(values, rel=1e-5), name
    if zeros == "none":
        assert less["hammer/entropy_trained"] == pytest.approx(whole["entropy"], rel=1e-5)
    assert "entropy" not in less
    shares = [
        1 - (advantages[rows] == 0).float().mean().item() for rows in torch.arange(8).chunk(accumulation)
    ]
    assert less["hammer/trained_share"] == pytest.approx(shares)


def test_advantages_a_token_and_masked_rows_count_as_they_are(trainer: PolicyTrainer, batch: dict) -> None:
    trainer.loss_type = "grpo"
    advantages = torch.randn(batch["completion_mask"].shape)
    advantages[2] = 0.0
    mask = batch["completion_mask"].clone()
    mask[5] = 0  # as of a truncated completion
    by_token = batch | {"advantages": advantages, "completion_mask": mask}
    _, less = compared(trainer, by_token, 1, "skip_zero_advantage")
    assert less["hammer/trained_share"] == [0.75]


def test_a_run_without_those_rows_is_the_same_run(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, max_steps=3, gradient_accumulation=2, num_iterations=2)
    whole, less = (
        train(dataclasses.replace(config, skip_zero_advantage=skip), root=tmp_path, progress=False)
        for skip in (False, True)
    )
    assert whole.run_id != less.run_id
    tables = [
        pd.read_csv(run.folder / "metrics.csv").pivot_table("value", "step", "metric")
        for run in (whole, less)
    ]
    for name in ("reward", "loss", "grad_norm", "mean_length", "clip_share", "clip_share_high_max"):
        np.testing.assert_allclose(tables[1][name], tables[0][name], rtol=1e-4, atol=1e-6, err_msg=name)
    assert tables[1]["trained_share"].min() < 1 and "entropy" not in tables[1]


def test_what_acts_on_every_row_is_refused() -> None:
    for values in ({"beta": 0.1}, {"entropy_coef": 0.01}):
        with pytest.raises(InputError, match="skip_zero_advantage"):
            TrainConfig(skip_zero_advantage=True, **values).validate()
