"""Savings in a training step change its work, never its numbers: gradients, metrics and runs are compared."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from test_seams import a_trainer
from test_training import SMALL
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)
from two_processes import trained_on_two

from hammerlib.errors import InputError
from hammerlib.models import load_backbone
from hammerlib.models.prefixes import prefix_tree, score_tree, share_prefixes
from hammerlib.runs import RunRecord
from hammerlib.training import TrainConfig, read_completions, train
from hammerlib.training.trainer import PolicyTrainer

TINY = {
    "vocab_size": 11,
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
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
    trained = [weight for weight in trainer.model.parameters() if weight.requires_grad]
    gradient = torch.cat([weight.grad.flatten() for weight in trained])
    return gradient, total, {name: list(values) for name, values in trainer._metrics["train"].items()}


def compared(
    trainer: PolicyTrainer, batch: dict, accumulation: int, option: str, within: float = 1e-6
) -> tuple[dict, dict]:
    """Assert equal gradients and losses with and without an option; return the metrics of both."""
    before = getattr(trainer, option)
    setattr(trainer, option, False)
    whole, loss, metrics = step(trainer, batch, accumulation)
    setattr(trainer, option, True)
    less, same, of_less = step(trainer, batch, accumulation)
    setattr(trainer, option, before)
    assert (whole - less).norm() <= within * whole.norm()
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


def test_our_loop_samples_what_the_policy_says_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    """Adapters are merged for sampling: chances are the adapted policy's, its weights the same after."""
    trainer = a_trainer(tmp_path, sampler="decoding", lora_rank=2, num_iterations=2, temperature=1.5)
    torch.manual_seed(0)
    for name, weight in trainer.model.named_parameters():
        if "lora_B" in name:
            weight.data = 0.02 * torch.randn_like(weight)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    rows = [row for row in trainer.train_dataset for _ in range(4)]
    output = trainer._generate_and_score_completions(rows)
    assert trainer._sampled_logps_agree, "the extra forward pass is spared from now on"
    after = trainer.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert trainer.model.training and all(
        "lora" in n for n, w in trainer.model.named_parameters() if w.requires_grad
    )
    ids = torch.cat([output["prompt_ids"], output["completion_ids"]], 1)
    mask = torch.cat([output["prompt_mask"], output["completion_mask"]], 1)
    with torch.no_grad():
        logps, *_ = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, mask, output["completion_ids"].shape[1]
        )
    assert (logps - output["old_per_token_logps"]).abs().max() < 1e-4
    assert len({tuple(row) for row in output["completion_ids"].tolist()}) > 4


def test_a_sample_of_our_loop_depends_on_its_step_and_row_alone(tmp_path: Path) -> None:
    trainer = a_trainer(tmp_path, sampler="decoding")
    prompts, _, fields = trainer._tokenize_prompts(
        [row["prompt"] for row in trainer.train_dataset for _ in range(4)]
    )
    whole, logps = trainer._generate_single_turn(prompts, None, fields, 4)
    again, _ = trainer._generate_single_turn(prompts, None, fields, 4)
    trainer.state.global_step = 1
    other, _ = trainer._generate_single_turn(prompts, None, fields, 4)
    trainer.state.global_step = 0
    first, _ = trainer._generate_single_turn(prompts[:3], None, fields, 4)
    assert first == whole[:3] and again != whole and other != whole
    assert [*map(len, whole)] == [*map(len, logps)]


def test_runs_of_our_loop_repeat_and_need_no_extra_forward_pass(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, max_steps=4, num_iterations=2, sampler="decoding")
    run = train(config, root=tmp_path / "one", progress=False)
    again = train(config, root=tmp_path / "two", progress=False)
    tables = [
        pd.read_csv(one.folder / "metrics.csv").query("not metric.str.startswith('seconds')")
        for one in (run, again)
    ]
    pd.testing.assert_frame_equal(*tables)
    loss = tables[0].query("metric == 'loss' and step == 1").value.item()
    assert abs(loss) < 1e-4, "in the first pass over a generation the ratio is one"


@pytest.fixture(scope="module")
def sharing(tmp_path_factory: pytest.TempPathFactory) -> PolicyTrainer:
    folder = tmp_path_factory.mktemp("runs")
    made = a_trainer(folder, shared_prefixes=True, skip_zero_advantage=True, max_completion_length=24)
    made._generate_and_score_completions([row for row in made.train_dataset for _ in range(4)])
    assert made._prefixes_agree
    return made


@pytest.mark.parametrize("loss_type", LOSSES)
@pytest.mark.parametrize("skip", [False, True])
def test_every_prefix_once_gives_the_gradient_of_whole_rows(
    sharing: PolicyTrainer, batch: dict, loss_type: str, skip: bool
) -> None:
    advantages = torch.tensor([1.0, 0.0, 0.5, -0.5, 0.0, 0.0, 0.0, 0.0])
    mask = batch["completion_mask"].clone()
    mask[3] = 0  # as of a truncated completion
    ids = batch["completion_ids"].clone()
    ids[1] = ids[0]  # the same completion twice
    changes = {"advantages": advantages, "completion_mask": mask, "completion_ids": ids}
    sharing.loss_type, sharing.skip_zero_advantage = loss_type, skip
    whole, less = compared(sharing, batch | changes, 2, "shared_prefixes", within=1e-5)
    for name, values in whole.items():
        assert less[name] == pytest.approx(values, rel=1e-4, abs=1e-6, nan_ok=True), name


def test_a_tree_has_a_node_for_every_distinct_prefix_but_the_last_tokens() -> None:
    prompts = [[1, 2], [1, 2], [1, 2], [1, 3], [4]]
    completions = [[5, 6], [5, 7, 8], [5, 6], [5], []]
    tree = prefix_tree(prompts, completions, 3, torch.device("cpu"))
    assert tree.tokens.tolist() == [1, 2, 5, 7, 3] and tree.positions.tolist() == [0, 1, 2, 3, 1]
    assert tree.paths.tolist() == [[0, 1, 2, 3], [0, 4, 0, 0]]
    asked = [
        (tree.tokens[k].item(), token) for k, token in zip(tree.parents, tree.targets.tolist(), strict=True)
    ]
    assert asked == [(2, 5), (5, 6), (5, 7), (7, 8), (3, 5)]
    assert tree.asked.tolist() == [[0, 1, 5], [0, 2, 3], [0, 1, 5], [4, 5, 5], [5, 5, 5]]


def test_models_that_cannot_share_say_so_in_one_line() -> None:
    window = MistralForCausalLM(MistralConfig(**TINY, sliding_window=4))
    absolute = GPT2LMHeadModel(GPT2Config(vocab_size=11, n_embd=8, n_layer=1, n_head=2, n_positions=32))
    state = MambaForCausalLM(MambaConfig(vocab_size=11, hidden_size=8, num_hidden_layers=1))
    assert "all tokens" in share_prefixes(window)
    assert "more than keys and values" in share_prefixes(state)
    assert share_prefixes(absolute) is None, (
        "it is tried; left padding gives it other positions in whole rows"
    )


@pytest.mark.parametrize("wrong", ["numbers", "arguments"])
def test_what_comes_out_otherwise_is_trained_on_whole_rows(
    sharing: PolicyTrainer, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(*arguments: object) -> tuple:
        if wrong == "arguments":
            raise TypeError("unexpected keyword")
        return tuple(values + 1 for values in score_tree(*arguments))

    monkeypatch.setattr("hammerlib.training.trainer.score_tree", other)
    sharing.shared_prefixes, sharing._prefixes_agree = True, None
    with pytest.warns(UserWarning, match="whole, without shared prefixes"):
        sharing._generate_and_score_completions([row for row in sharing.train_dataset for _ in range(4)])
    assert not sharing.shared_prefixes and sharing.model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    "savings", [{}, {"skip_zero_advantage": True, "shared_prefixes": True, "sampler": "decoding"}]
)
def test_bfloat16_on_a_cpu_moves_the_numbers_a_little_and_no_weight_type(
    tmp_path: Path, batch: dict, savings: dict
) -> None:
    gradients, logps = {}, {}
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    for half in (False, True):
        other = a_trainer(tmp_path / str(half), bf16=half, max_completion_length=24, **savings)
        with torch.no_grad():
            width = batch["completion_ids"].shape[1]
            logps[half] = other._get_per_token_logps_and_entropies(other.model, ids, mask, width)[0]
        spread = torch.tensor([1.0, -1.0, 0.5, -0.5] * 2)
        gradients[half] = step(other, batch | {"advantages": spread}, 1)[0]
        assert {weight.dtype for weight in other.model.parameters()} == {torch.float32}
        rows = [row for row in other.train_dataset for _ in range(4)]
        assert other._generate_and_score_completions(rows)["completion_ids"].shape[0] == 8  # it samples too
    cosine = torch.nn.functional.cosine_similarity(gradients[False], gradients[True], 0)
    assert 0.99 < cosine < 1 - 1e-6  # .9996 where it was written
    kept = batch["completion_mask"].bool()
    apart = (logps[False] - logps[True])[kept].abs().mean()
    assert 1e-5 < apart < 0.02  # .0018 nats


def test_bfloat16_names_another_run() -> None:
    assert "bf16" not in TrainConfig().identity()
    assert TrainConfig(bf16=True).identity()["bf16"] is True


@pytest.mark.long
def test_two_processes_with_every_saving_take_the_steps_of_one_without(tmp_path: Path) -> None:
    plain = {"order": "random", "n_problems": 8, "prompts_per_step": 4, "group_size": 4,
             "sampler": "decoding", "max_completion_length": 24, "learning_rate": 2e-4,
             "loss_type": "dapo"}  # fmt: skip
    saving = {"skip_zero_advantage": True, "shared_prefixes": True}
    runs = {
        1: train(TrainConfig(**plain), root=tmp_path / "one", progress=False),
        2: launched(plain | saving, tmp_path / "two"),
    }
    first, changes, norms = {}, {}, {}
    start = load_backbone("nano", device="cpu").model.state_dict()
    for processes, record in runs.items():
        written = read_completions(record.folder)
        first[processes] = sorted(written.loc[written["step"] == 0, "completion"])
        trained = load_file(record.folder / "model" / "model.safetensors")
        changes[processes] = torch.cat([(trained[name] - start[name]).flatten() for name in sorted(trained)])
        table = pd.read_csv(record.folder / "metrics.csv")
        norms[processes] = table.loc[table["metric"] == "grad_norm", "value"].tolist()
    assert first[1] == first[2]  # a sample's random stream is named by step and row, not by process
    assert norms[1][0] == pytest.approx(norms[2][0], rel=1e-4) and norms[1][0] > 0
    # AdamW divides by the gradient's size, so that weights whose gradient is rounding move either way.
    assert torch.nn.functional.cosine_similarity(changes[1], changes[2], 0) > 0.99


def launched(values: dict, root: Path) -> RunRecord:
    """Train on two processes, as a user does."""
    root.mkdir()
    path = root / "train.yaml"
    path.write_text(json.dumps(values))
    return trained_on_two(path, HAMMER_RESULTS=str(root))
