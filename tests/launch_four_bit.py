"""QLoRA with bitsandbytes: the 4-bit base, what is trained, saved and resumed. ``make test-launch``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import bitsandbytes
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_tools import Stops

from hammerlib import load_backbone
from hammerlib.models.quantized import BITS, bytes_of, linear_layers, quantized
from hammerlib.runs import RunRecord
from hammerlib.training import TrainConfig, train
from hammerlib.training.build import build_trainer, quiet, save_model
from hammerlib.training.run import prepare

QLORA = TrainConfig(
    n_problems=16, order="hammer", adjustment="dra", lora_rank=4, load_in_4bit=True, max_steps=2,
    prompts_per_step=4, group_size=4, learning_rate=1e-2, scheduler="constant", max_completion_length=24,
)  # fmt: skip


def test_weights_are_the_sixteen_values_of_nf4_times_a_scale(tmp_path: Path) -> None:
    backbone = load_backbone("nano")
    small = quantized(backbone.model, tmp_path)
    assert not list(tmp_path.iterdir())  # nothing is left of the weights it was read from
    for name, layer in small.named_modules():
        if not isinstance(layer, bitsandbytes.nn.Linear4bit):
            continue
        weight = layer.weight
        assert not weight.requires_grad and weight.quant_state.quant_type == "nf4"
        codes = bitsandbytes.functional.get_4bit_type("nf4", device="cpu")
        back = bitsandbytes.functional.dequantize_4bit(weight.data, weight.quant_state)
        blocks = back.flatten().view(-1, 64)
        largest = blocks.abs().amax(1, keepdim=True)
        apart = (blocks[:, :, None] / largest[:, :, None] - codes).abs().amin(2)
        assert apart.max() < 1e-5
        plain = backbone.model.get_submodule(name).weight
        assert (back - plain).norm() / plain.norm() < 0.12
    assert type(small.get_output_embeddings()) is torch.nn.Linear


def test_the_stated_bytes_are_those_it_takes(tmp_path: Path) -> None:
    model = load_backbone("smollm2-135m").model
    packed = sum(layer.weight.numel() for layer in linear_layers(model))
    assert pytest.approx(4.127, abs=1e-3) == BITS and packed > 0.7 * model.num_parameters()
    small = quantized(model, tmp_path)
    kept = sum(
        state.nbytes
        for layer in small.modules() if isinstance(layer, bitsandbytes.nn.Linear4bit)
        for state in (layer.weight.quant_state.absmax, layer.weight.quant_state.state2.absmax)
    )  # fmt: skip
    assert small.get_memory_footprint() + kept == pytest.approx(bytes_of(model), rel=0.01)


def test_only_adapters_move_and_what_is_saved_computes_what_was_trained(tmp_path: Path) -> None:
    with quiet():
        job = prepare(QLORA, progress=False)
        record = RunRecord("demo", tmp_path, {})
        trainer = build_trainer(job, record)
        trained = {name for name, weight in trainer.model.named_parameters() if weight.requires_grad}
        assert trained and all("lora_" in name for name in trained)
        trainer.train()
        save_model(trainer, job, tmp_path)
    policy = trainer.accelerator.unwrap_model(trainer.model).eval()
    saved = load_backbone(str(tmp_path / "model"))
    ids = saved.tokenizer(job.problems["prompt"][:4], return_tensors="pt", padding=True)
    with torch.no_grad():
        logps = [model(**ids).logits[:, -1].log_softmax(-1) for model in (policy, saved.model)]
        start = job.backbone.model(**ids).logits[:, -1].log_softmax(-1)
    # adapters multiply in bfloat16 while they are trained, in float32 once they are merged
    assert (logps[0] - logps[1]).abs().mean() < 0.02 < (logps[1] - start).abs().mean()


def test_a_stopped_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    config = dataclasses.replace(QLORA, save_steps=1, max_steps=3)
    whole = train(config, root=tmp_path / "a", progress=False)
    with pytest.raises(KeyboardInterrupt):
        train(config, root=tmp_path / "b", algorithms=[Stops(tmp_path / "mark")], progress=False)
    again = train(config, root=tmp_path / "b", algorithms=[Stops(tmp_path / "mark")], progress=False)
    assert again.manifest["resumed_from_step"] == 1
    weights = [load_file(run.folder / "model" / "model.safetensors") for run in (whole, again)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert np.isfinite(whole.table("metrics.csv")["value"]).any()
