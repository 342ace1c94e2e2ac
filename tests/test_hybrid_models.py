"""Models that keep more than keys and values: sampling goes through `generate`, by the same law."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from transformers import GenerationConfig

from hammerlib.evaluation.engines import Sampling, open_engine
from hammerlib.models.decoding import keeps_attention_only
from hammerlib.models.embeddings import pooled_states
from hammerlib.models.nano.tokenizer import build_tokenizer

TOKENIZER = build_tokenizer()
EDGES = {"vocab_size": len(TOKENIZER), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
SIZE = EDGES | {"hidden_size": 32, "num_hidden_layers": 4}
HEADS = {
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
EXPERTS = {"num_experts": 2, "num_experts_per_tok": 1}
MIXED = ["linear_attention", "full_attention"] * 2
LINEAR = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
SMALL = {"moe_intermediate_size": 16, "shared_expert_intermediate_size": 16}
# Class and settings of tiny models; the second table keeps keys and values only and must not change.
STATEFUL = {
    "Mamba": SIZE | {"state_size": 8},
    "Mamba2": SIZE | {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 2, "chunk_size": 8},
    "FalconMamba": SIZE | {"state_size": 8},
    "Jamba": SIZE | HEADS | EXPERTS | {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 8},
    "Qwen3Next": SIZE | HEADS | EXPERTS | LINEAR | SMALL | {"head_dim": 8, "layer_types": MIXED},
    "Lfm2": SIZE | HEADS | {"layer_types": ["conv", "full_attention"] * 2},
    "Rwkv": SIZE | {"attention_hidden_size": 32, "intermediate_size": 48, "context_length": 256},
}
PLAIN = {
    "Llama": SIZE | HEADS,
    "Mistral": SIZE | HEADS | {"sliding_window": 8},
}
PROMPTS = ["1 + 2 = ?", "7 = ?", "1 + 2 + 3 + 4 + 5 = ?", "7 = ?"]


def tiny(name: str, **settings: object) -> SimpleNamespace:
    config = getattr(transformers, f"{name}Config")(**settings)
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    torch.manual_seed(0)
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.3)
    return SimpleNamespace(name=name, model=model, tokenizer=TOKENIZER, device="cpu", dtype="float32")


def alone(backbone: SimpleNamespace, ids: list[int], room: int) -> list[int]:
    """Greedy tokens without any cache: the whole text is read again at every step."""
    row = torch.tensor([ids])
    for _ in range(room):
        with torch.inference_mode():
            best = backbone.model(input_ids=row, use_cache=False).logits[:, -1:].argmax(-1)
        row = torch.cat([row, best], 1)
        if best.item() == 1:
            break
    return row[0, len(ids) :].tolist()


@pytest.mark.parametrize("name", [*STATEFUL, *PLAIN])
def test_greedy_completions_are_those_without_a_cache(name: str) -> None:
    backbone = tiny(name, **(STATEFUL | PLAIN)[name])
    assert keeps_attention_only(backbone.model) == (name in PLAIN)
    engine = open_engine("transformers", backbone, Sampling(0.0, 1.0, 8, 0))
    ids = engine.encode(PROMPTS)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = engine.generate(ids, [("a", i) for i in range(len(ids))])
        engine.generate(ids[:1], [("a", 0)])
    lines = [str(one.message) for one in told if "transformers' generate" in str(one.message)]
    assert len(lines) == (name in STATEFUL)  # said once, in one line
    assert not any("\n" in line for line in lines)
    for row, completion in zip(ids, found, strict=True):
        tokens = alone(backbone, row, 8)
        assert completion.text == TOKENIZER.decode(tokens, skip_special_tokens=True)
        assert completion.n_tokens == len(tokens)


@pytest.mark.parametrize("name", ["Mamba", "Qwen3Next", "Rwkv"])
def test_a_sample_has_random_numbers_of_its_own(name: str) -> None:
    backbone = tiny(name, **STATEFUL[name])
    engine = open_engine("transformers", backbone, Sampling(1.0, 0.9, 8, 0, ("7",)))
    ids = engine.encode(PROMPTS)
    names = [(f"p{i}", i) for i in range(len(ids))]
    torch.manual_seed(5)
    state = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = engine.generate(ids, names)
        single = [engine.generate([row], [one])[0] for row, one in zip(ids, names, strict=True)]
    assert found == single
    assert torch.equal(state, torch.get_rng_state())
    assert len({completion.text for completion in found}) == len(found)


def test_the_law_is_that_of_the_decoding_loop() -> None:
    """On a model that both can sample from they give the same; a checkpoint's own settings stay out."""
    from functools import partial

    from hammerlib.models.decoding import decode, draw, generate

    backbone = tiny("Llama", **PLAIN["Llama"])
    backbone.model.generation_config = GenerationConfig(
        repetition_penalty=5.0, temperature=0.1, eos_token_id=1
    )
    ids = [TOKENIZER(text)["input_ids"] for text in PROMPTS * 4]
    numbers = np.random.default_rng(0).random((len(ids), 12))
    pick = partial(draw, temperature=1.0, top_p=0.95)
    inputs = (backbone.model, ids, numbers, pick, lambda row: row[-1] == 1 or len(row) > 9, 0)
    assert generate(*inputs) == decode(*inputs)
    assert backbone.model.generation_config.repetition_penalty == 5.0


@pytest.mark.parametrize("name", ["Mamba", "Jamba", "Qwen3Next", "Rwkv"])
def test_vectors_do_not_hang_on_the_batch(name: str) -> None:
    backbone = tiny(name, **STATEFUL[name])
    rows = [TOKENIZER(text)["input_ids"] for text in PROMPTS[:3]]
    last = backbone.model.config.num_hidden_layers
    for layer in (0, last):
        together = pooled_states(rows, backbone, layer, "mean", 1024)
        single = np.concatenate([pooled_states([row], backbone, layer, "mean", 1024) for row in rows])
        np.testing.assert_allclose(together, single, atol=1e-5)
