"""Sampling in 8 bits: what it multiplies, and that importance weights make up for it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
import torch
from test_seams import a_trainer
from test_training import SMALL
from transformers import MambaConfig, MambaForCausalLM
from trl import GRPOTrainer

from hammerlib.errors import InputError
from hammerlib.models.backbone import save_backbone
from hammerlib.models.decoding import int8_layers
from hammerlib.models.nano.tokenizer import build_tokenizer
from hammerlib.training import TrainConfig, train
from hammerlib.training.trainer import PolicyTrainer, sequence_weights

INT8 = {"sampler": "decoding", "int8_sampling": True, "max_completion_length": 24}


@pytest.mark.parametrize("bias", [False, True])
def test_products_are_close_and_those_of_a_row_alone(bias: bool) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(160, 48, bias=bias)
    x = torch.randn(5, 3, 160)
    x[0, 0] = 0.0
    x[1, 0, 7] = 300.0  # an outlier, as hidden states of language models have them
    with torch.no_grad():
        exact = layer(x)
        with int8_layers(layer):
            rounded, alone = layer(x), layer(x[1:2, :1])
        assert torch.equal(layer(x), exact)
    assert torch.equal(alone[0, 0], rounded[1, 0])
    assert torch.allclose(rounded[0, 0], exact[0, 0], atol=1e-7)
    # Weights within half of 1/127 of a row's largest, inputs far closer: one part in 200, outlier or not.
    apart = (rounded - exact).norm(dim=-1) / exact.norm(dim=-1).clamp(min=1e-6)
    assert 1e-4 < apart[1:].max() < 0.02


def test_weights_of_whole_completions_make_the_mean_that_of_the_policy() -> None:
    """All two-token completions of a vocabulary of three, whose chances under p and q are known."""
    torch.manual_seed(0)
    logps = {name: (torch.randn(3).log_softmax(0), torch.randn(3, 3).log_softmax(1)) for name in "pq"}
    all_pairs = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    by_token = {
        name: torch.stack([first[all_pairs[:, 0]], second[all_pairs[:, 0], all_pairs[:, 1]]], 1)
        for name, (first, second) in logps.items()
    }
    chances = {name: values.sum(1).exp() for name, values in by_token.items()}
    weights = sequence_weights(by_token["p"], by_token["q"], torch.ones(9, 2))[:, 0]
    score = torch.randn(9)  # any function of a completion, a component of the gradient, say
    assert (chances["q"] * weights * score).sum() == pytest.approx((chances["p"] * score).sum().item())
    assert abs(((chances["q"] - chances["p"]) * score).sum()) > 0.05
    unknown = by_token["q"].clone()
    unknown[0, 0] = torch.nan
    masked = sequence_weights(by_token["p"], unknown, torch.tensor([[1, 1]] * 8 + [[0, 0]]))[:, 0]
    assert masked[0] == pytest.approx((by_token["p"] - by_token["q"])[0, 1].exp().item())
    assert masked[8] == 1


@pytest.mark.parametrize("savings", [{}, {"skip_zero_advantage": True, "shared_prefixes": True}])
def test_the_gradient_is_that_of_trls_own_correction(
    tmp_path: Path, savings: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hammerlib.models.decoding.STEPS", 15)  # far from the policy, so that weights matter
    trainer = a_trainer(tmp_path, **INT8, **savings, lora_rank=2)
    assert trainer.vllm_importance_sampling_mode == "sequence_truncate"
    torch.manual_seed(0)
    for name, weight in trainer.model.named_parameters():
        if "lora_B" in name:
            weight.data = 0.05 * torch.randn_like(weight)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    # A cap that half of them reach, so that truncation is compared as well.
    trainer.vllm_importance_sampling_clip_max = trainer.args.vllm_importance_sampling_clip_max = 1.0
    rows = [row for row in trainer.train_dataset for _ in range(4)]
    trainer.use_vllm = True
    theirs = GRPOTrainer._generate_and_score_completions(trainer, rows)
    trainer.use_vllm = False
    after = trainer.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    linear = [module for module in trainer.model.modules() if type(module) is torch.nn.Linear]
    assert linear and not any("forward" in vars(layer) for layer in linear)
    ratios = theirs["importance_sampling_ratio"]
    assert ratios.shape == (8, 1) and 0 < (ratios == 1).float().mean() < 1
    theirs["advantages"] = torch.tensor([1.0, -1.0, 0.0, -0.5] * 2)
    ours = {name: value for name, value in theirs.items() if "ratio" not in name and "old" not in name}
    trainer._generate_and_score_completions(rows)  # finds out that prefixes can be shared
    assert trainer.shared_prefixes == bool(savings)
    expected = gradient(trainer, theirs, as_vllm=True)
    assert (gradient(trainer, ours) - expected).norm() <= 1e-5 * expected.norm()
    trainer.int8_sampling = False
    assert (gradient(trainer, ours) - expected).norm() > 1e-3 * expected.norm()
    assert trainer._metrics["train"]["sampling/truncated_share"][0] > 0


def gradient(trainer: PolicyTrainer, inputs: dict, as_vllm: bool = False) -> torch.Tensor:
    trainer.model.zero_grad()
    trainer.current_gradient_accumulation_steps = 1
    if as_vllm:
        shared, trainer.shared_prefixes, trainer.use_vllm = trainer.shared_prefixes, False, True
        loss = GRPOTrainer._compute_loss(trainer, trainer.model, inputs)
        trainer.shared_prefixes, trainer.use_vllm = shared, False
    else:
        loss = trainer._compute_loss(trainer.model, inputs)
    loss.backward()
    return torch.cat([w.grad.flatten() for w in trainer.model.parameters() if w.requires_grad])


def test_samples_in_8_bits_are_another_policys(tmp_path: Path) -> None:
    trainer = a_trainer(tmp_path, **INT8)
    prompts, _, fields = trainer._tokenize_prompts([row["prompt"] for row in trainer.train_dataset] * 8)

    def chances(int8: bool) -> list:
        trainer._calls = (-1, 0)
        trainer.int8_sampling = int8
        return trainer._generate_single_turn(prompts, None, fields, 8)[1]

    rounded = chances(True)
    assert chances(True) == rounded != chances(False)


def test_a_run_tells_how_far_its_samples_are_from_the_policy(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, **INT8, max_steps=2, num_iterations=2)
    record = train(config, root=tmp_path, progress=False)
    table = pd.read_csv(record.folder / "metrics.csv").pivot_table("value", "step", "metric")
    assert (table["sampling/sampling_logp_difference/mean"].between(1e-5, 0.01)).all()
    assert (table["sampling/importance_sampling_ratio/mean"].between(0.9, 1.1)).all()
    assert (table["sampling/truncated_share"] == 0).all()
    assert abs(table["loss"].iloc[0]) < 0.05
    assert config.identity()["int8_sampling"] is True and "int8_sampling" not in SMALL.identity()


def test_rollouts_that_tell_no_chances_are_not_weighed(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, **INT8, max_steps=1, dynamic_sampling=True)
    record = train(config, root=tmp_path, progress=False)
    values = pd.read_csv(record.folder / "metrics.csv").set_index("metric")["value"]
    assert values["sampling/importance_sampling_ratio/mean"] == pytest.approx(1, abs=0.1)


def test_what_cannot_be_sampled_in_8_bits_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="set sampler: decoding"):
        TrainConfig(int8_sampling=True).validate()
    tokenizer = build_tokenizer()
    state = MambaForCausalLM(MambaConfig(vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=1))
    save_backbone(state, tokenizer, tmp_path / "mamba")
    with pytest.raises(InputError, match="more than keys and values"):
        a_trainer(tmp_path, **INT8, backbone=str(tmp_path / "mamba"))
    trainer = a_trainer(tmp_path, **INT8)
    monkeypatch.setattr(type(trainer.accelerator), "device", torch.device("cuda"))
    with pytest.raises(InputError, match="on a CPU only, not on cuda"):
        trainer._check_int8()
