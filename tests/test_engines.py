"""The transformers engine: what it draws, how it stops, and that nothing outside changes it."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hammerlib.errors import InputError
from hammerlib.evaluation.engines import Sampling, TransformersEngine, open_engine, plan_batches

WORDS = ["<pad>", "<eos>", "<unk>", *"0123456789", "+", "-", "=", "?"]


@pytest.fixture(scope="module")
def backbone():
    """A random Llama of 20 thousand parameters over single words; it ends about one token in twenty."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    plain = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        eos_token_id=1,
        pad_token_id=0,
        initializer_range=0.3,
    )
    return SimpleNamespace(name="tiny", model=LlamaForCausalLM(config).eval(), tokenizer=tokenizer)


def engine(backbone, temperature=1.0, top_p=1.0, room=12, seed=0):
    return open_engine("transformers", backbone, Sampling(temperature, top_p, room, seed))


def test_a_batch_with_padding_gives_what_each_prompt_gives_alone(backbone):
    greedy = engine(backbone, temperature=0.0)
    ids = greedy.encode(["1 + 2 = ?", "7 = ?", "1 + 2 + 3 + 4 + 5 + 6 = ?"])
    assert greedy.generate(ids, key=0) == [greedy.generate([row], key=0)[0] for row in ids]


def test_a_batch_draws_by_seed_and_key_alone(backbone):
    import torch

    ids = engine(backbone).encode(["1 + 2 = ?"] * 8)
    first = engine(backbone).generate(ids, key=[["a", 0]])
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert engine(backbone).generate(ids, key=[["a", 0]]) == first
    assert torch.equal(torch.get_rng_state(), before), "the caller's random state is untouched"
    assert engine(backbone).generate(ids, key=[["a", 1]]) != first
    assert engine(backbone, seed=1).generate(ids, key=[["a", 0]]) != first


def test_samples_follow_the_whole_distribution_of_the_model(backbone):
    import torch

    one = engine(backbone, room=1)
    ids = one.encode(["1 + 2 = ?"])
    with torch.inference_mode():
        exact = torch.softmax(backbone.model(torch.tensor(ids)).logits[0, -1], -1).double().numpy()
    drawn = Counter(sample.text for key in range(5) for sample in one.generate(ids * 1000, key=key))
    seen = np.array([drawn[word] for word in WORDS[3:]]) / 5000
    assert np.abs(seen - exact[3:]).max() < 4 * np.sqrt(0.25 / 5000)
    assert (seen > 0).sum() > 10, "no top-k cut"


def test_a_cold_or_narrow_draw_is_greedy(backbone):
    ids = engine(backbone).encode(["1 + 2 = ?", "9 - 4 = ?"])
    greedy = engine(backbone, temperature=0.0).generate(ids, key=0)
    assert engine(backbone, temperature=1e-4).generate(ids, key=0) == greedy
    assert engine(backbone, top_p=1e-6).generate(ids, key=0) == greedy


def test_settings_that_a_checkpoint_ships_are_not_inherited_and_stay_as_they_were(backbone):
    from transformers import GenerationConfig

    ids = engine(backbone).encode(["1 + 2 = ?"] * 8)
    plain = engine(backbone).generate(ids, key=0)
    kept = backbone.model.generation_config
    shipped = GenerationConfig(
        do_sample=True,
        temperature=0.1,
        top_k=1,
        repetition_penalty=3.0,
        min_new_tokens=5,
        eos_token_id=1,
        pad_token_id=0,
    )
    backbone.model.generation_config = shipped
    try:
        assert engine(backbone).generate(ids, key=0) == plain
        assert backbone.model.generation_config is shipped
    finally:
        backbone.model.generation_config = kept


def test_a_completion_ends_at_the_end_token_or_counts_as_truncated(backbone):
    room = 12
    one = engine(backbone, room=room)
    found = one.generate(one.encode(["1 + 2 = ?"] * 200), key=0)
    assert {sample.truncated for sample in found} == {True, False}
    for sample in found:
        words = sample.text.split()
        assert not set(words) & set(WORDS[:2])
        assert sample.n_tokens == room if sample.truncated else sample.n_tokens <= room
        assert len(words) <= sample.n_tokens


def test_a_second_stop_token_of_the_checkpoint_ends_a_completion_too(backbone):
    kept, equals = backbone.model.generation_config.eos_token_id, WORDS.index("=")
    backbone.model.generation_config.eos_token_id = [1, equals]
    try:
        one = engine(backbone)
        found = one.generate(one.encode(["1 + 2"] * 100), key=0)
    finally:
        backbone.model.generation_config.eos_token_id = kept
    assert all("=" not in sample.text.split()[:-1] for sample in found)
    assert any(sample.text.endswith("=") and not sample.truncated for sample in found)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(1, 5), st.integers(1, 400))
def test_a_plan_holds_every_sample_once_within_the_budget(lengths, k, budget):
    plan = plan_batches(lengths, k, 10, budget)
    wanted = [(i, j) for i in range(len(lengths)) for j in range(k)]
    assert sorted(pair for batch in plan for pair in batch) == wanted
    widest = [max(lengths[i] for i, _ in batch) for batch in plan]
    assert widest == sorted(widest, reverse=True)
    for batch, width in zip(plan, widest, strict=True):
        assert len(batch) == 1 or len(batch) * (width + 10) <= budget


def test_a_prompt_that_outgrows_the_model_is_refused(backbone):
    one = engine(backbone, room=60)
    with pytest.raises(InputError, match=r"max_new_tokens = 60: with the 5 tokens of prompt 1 .* 64"):
        one.encode(["1 ?", "1 + 2 = ?"])


def test_a_model_without_an_end_token_is_refused(backbone):
    class Endless(SimpleNamespace):
        pass

    bare = Endless(
        name="bare",
        model=SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=None)),
        tokenizer=SimpleNamespace(eos_token_id=None, pad_token_id=0),
    )
    with pytest.raises(InputError, match="model = 'bare': names no end or padding token"):
        TransformersEngine(bare, Sampling(1.0, 1.0, 4, 0))


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ((-1.0, 1.0, 4, 0), "temperature"),
        ((float("nan"), 1.0, 4, 0), "temperature"),
        ((1.0, 0.0, 4, 0), "top_p"),
        ((1.0, 1.5, 4, 0), "top_p"),
        ((1.0, 1.0, 0, 0), "max_new_tokens"),
    ],
)
def test_sampling_out_of_range_is_refused(values, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        Sampling(*values).check()
