"""The transformers engine: what it draws, how it stops, and that nothing outside changes it."""

from __future__ import annotations

import importlib.util
from collections import Counter
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.cache_utils import DynamicLayer

from hammerlib.errors import InputError
from hammerlib.evaluation.engines import Sampling, TransformersEngine, open_engine, plan_batches
from hammerlib.models import decoding
from hammerlib.models.decoding import RoomyLayer, decode, draw

WORDS = ["<pad>", "<eos>", "<unk>", *"0123456789", "+", "-", "=", "?"]


@pytest.fixture(scope="module")
def backbone():
    """A random Llama of 20 thousand parameters over single words; it ends about one token in twenty."""
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


def engine(backbone, temperature=1.0, top_p=1.0, room=12, seed=0, stop=()):
    return open_engine("transformers", backbone, Sampling(temperature, top_p, room, seed, stop))


def names_of(rows, problem="p"):
    return [(problem, sample) for sample in range(len(rows))]


def test_a_greedy_batch_gives_what_generate_gives(backbone):
    """transformers' generate is the oracle: padding, positions, shared prompts and leaving rows are exact."""
    from transformers import GenerationConfig

    one = engine(backbone, temperature=0.0, room=20)
    ids = one.encode(["1 + 2 = ?", "7 = ?", "1 + 2 + 3 + 4 + 5 + 6 = ?", "7 = ?", "9 - 4 = ?"])
    found = one.generate(ids, names_of(ids))
    config = GenerationConfig(do_sample=False, max_new_tokens=20, eos_token_id=1, pad_token_id=0)
    for row, completion in zip(ids, found, strict=True):
        out = backbone.model.generate(input_ids=torch.tensor([row]), generation_config=config)
        tokens = out[0, len(row) :].tolist()
        assert completion.n_tokens == len(tokens)
        assert completion.text == backbone.tokenizer.decode(tokens, skip_special_tokens=True)
    assert len({completion.n_tokens for completion in found}) > 1, "rows left at different steps"


def test_a_sample_has_random_numbers_of_its_own(backbone):
    """Who else is in the batch, in which order, changes nothing; the caller's random state is not touched."""
    one = engine(backbone, room=30)
    ids = one.encode(["1 + 2 = ?", "7 = ?", "1 + 2 + 3 + 4 + 5 + 6 = ?"] * 20)
    names = [(f"p{i % 3}", i // 3) for i in range(60)]
    torch.manual_seed(99)
    before = torch.get_rng_state()
    whole = one.generate(ids, names)
    assert torch.equal(torch.get_rng_state(), before)
    assert [one.generate([row], [name])[0] for row, name in zip(ids, names, strict=True)] == whole
    assert one.generate(ids[::-1], names[::-1])[::-1] == whole
    assert len({completion.text for completion in whole[::3]}) > 10, "samples of one prompt differ"


def test_seed_problem_and_number_each_change_a_sample(backbone):
    ids = engine(backbone).encode(["1 + 2 = ?"] * 8)
    first = engine(backbone).generate(ids, names_of(ids))
    assert engine(backbone).generate(ids, names_of(ids)) == first
    assert engine(backbone, seed=1).generate(ids, names_of(ids)) != first
    assert engine(backbone).generate(ids, names_of(ids, "q")) != first
    assert engine(backbone).generate(ids, [("p", i + 8) for i in range(8)]) != first


def test_fewer_new_tokens_give_the_beginning_of_the_same_samples(backbone):
    ids = engine(backbone).encode(["1 + 2 = ?"] * 30)
    short, long = (engine(backbone, room=room).generate(ids, names_of(ids)) for room in (5, 12))
    assert all(b.text.startswith(a.text) for a, b in zip(short, long, strict=True))


def test_samples_follow_the_whole_distribution_of_the_model(backbone):
    one = engine(backbone, room=1)
    ids = one.encode(["1 + 2 = ?"])
    with torch.inference_mode():
        exact = torch.softmax(backbone.model(torch.tensor(ids)).logits[0, -1], -1).double().numpy()
    drawn = Counter(sample.text for sample in one.generate(ids * 5000, names_of(range(5000))))
    seen = np.array([drawn[word] for word in WORDS[3:]]) / 5000
    assert np.abs(seen - exact[3:]).max() < 4 * np.sqrt(0.25 / 5000)
    assert (seen > 0).sum() > 10, "no top-k cut"


def test_a_nucleus_holds_the_fewest_likeliest_tokens(monkeypatch):
    logits = torch.log(torch.tensor([[0.1, 0.5, 0.15, 0.25]])).repeat(1000, 1)
    numbers = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    drawn = Counter(draw(logits, numbers, 1.0, 0.7).tolist())
    assert {token: round(count / 1000, 2) for token, count in drawn.items()} == {1: 0.67, 3: 0.33}
    monkeypatch.setattr(decoding, "LIKELIEST", 1)  # too few looked at first: the whole row is sorted
    assert Counter(draw(logits, numbers, 1.0, 0.7).tolist()) == drawn


@given(
    st.lists(st.floats(-5, 5), min_size=2, max_size=9), st.floats(0, 1, exclude_max=True), st.floats(0.1, 3)
)
def test_a_draw_inverts_the_distribution_function(scores, number, temperature):
    weights = np.exp(np.array(scores) / temperature)
    sums = np.cumsum(weights / weights.sum())
    numbers = torch.tensor([number], dtype=torch.float64)
    token = draw(torch.tensor([scores]), numbers, temperature, 1.0).item()
    assert sums[token] > number - 1e-5 and (token == 0 or sums[token - 1] <= number + 1e-5)


def test_a_token_of_no_probability_is_never_drawn():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf]] * 2)
    edges = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    assert draw(logits, edges, 1.0, 1.0).tolist() == draw(logits, edges, 1.0, 0.5).tolist() == [1, 1]


def test_drawing_in_parts_is_drawing_at_once(monkeypatch):
    logits, numbers = torch.randn(50, 7), torch.rand(50, dtype=torch.float64)
    whole = draw(logits, numbers, 1.0, 1.0)
    monkeypatch.setattr(decoding, "SCANNED", 20)
    assert torch.equal(draw(logits, numbers, 1.0, 1.0), whole)


def test_equal_prompts_are_read_once(backbone):
    shapes = []
    forward = backbone.model.forward

    def counted(input_ids, **options):
        shapes.append(tuple(input_ids.shape))
        return forward(input_ids=input_ids, **options)

    one = engine(backbone, room=40)
    ids = one.encode(["1 + 2 = ?", "7 = ?"])
    backbone.model.forward = counted
    try:
        one.generate([ids[0]] * 30 + [ids[1]] * 30, names_of(range(60)))
    finally:
        del backbone.model.forward
    assert shapes[0] == (2, 5) and shapes[1][1] == 1
    rows = [rows for rows, _ in shapes[1:]]
    assert rows == sorted(rows, reverse=True) and rows[0] > rows[-1], "finished rows leave the batch"


def test_a_layer_with_room_is_transformers_own_layer_without_copies():
    """Updates and selections in any order, against the library's class on the same numbers."""
    torch.manual_seed(0)
    prompts = DynamicLayer()
    prompts.update(torch.randn(3, 2, 4, 5), torch.randn(3, 2, 4, 5))
    source = torch.tensor([0, 0, 1, 2, 2, 2])
    roomy, plain = RoomyLayer(prompts, source, room=9), DynamicLayer()
    plain.update(prompts.keys[source], prompts.values[source])
    for indices in ([0, 1, 2, 3, 4, 5], [0, 5, 2, 3], [3, 1, 2], [0, 2], [0]):
        for layer in (roomy, plain):
            layer.batch_select_indices(torch.tensor(indices))
        new = torch.randn(2, len(indices), 2, 1, 5)
        seen = [layer.update(*new) for layer in (roomy, plain)]
        assert torch.equal(seen[0][0], seen[1][0]) and torch.equal(seen[0][1], seen[1][1])
        assert roomy.get_seq_length() == plain.get_seq_length()


def test_a_model_with_sliding_windows_keeps_the_library_s_layers():
    """Layers of other kinds are spread and selected by transformers' own code, with generate's result."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig, GenerationConfig

    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "head_dim": 8}
    config = Gemma3TextConfig(
        vocab_size=17,
        num_hidden_layers=2,
        num_key_value_heads=1,
        sliding_window=4,
        initializer_range=0.5,
        **shape,
        layer_types=["sliding_attention", "full_attention"],
        eos_token_id=1,
        pad_token_id=0,
    )
    model = Gemma3ForCausalLM(config).eval()
    prompts = [[5, 6, 7, 8, 9, 10], [5, 6], [5, 6], [3]]
    greedy = partial(draw, temperature=0.0, top_p=1.0)
    found = decode(model, prompts, np.zeros((4, 15)), greedy, lambda row: row[-1] in (1, 4), 0)
    config = GenerationConfig(do_sample=False, max_new_tokens=15, eos_token_id=[1, 4], pad_token_id=0)
    for row, tokens in zip(prompts, found, strict=True):
        out = model.generate(input_ids=torch.tensor([row]), generation_config=config)
        assert out[0, len(row) :].tolist() == tokens


def test_a_cold_or_narrow_draw_is_greedy(backbone):
    ids = engine(backbone).encode(["1 + 2 = ?", "9 - 4 = ?"])
    greedy = engine(backbone, temperature=0.0).generate(ids, names_of(ids))
    assert engine(backbone, temperature=1e-4).generate(ids, names_of(ids)) == greedy
    assert engine(backbone, top_p=1e-6).generate(ids, names_of(ids)) == greedy


def test_settings_that_a_checkpoint_ships_are_not_inherited_and_stay_as_they_were(backbone):
    from transformers import GenerationConfig

    ids = engine(backbone).encode(["1 + 2 = ?"] * 8)
    plain = engine(backbone).generate(ids, names_of(ids))
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
        assert engine(backbone).generate(ids, names_of(ids)) == plain
        assert backbone.model.generation_config is shipped
    finally:
        backbone.model.generation_config = kept


def test_a_completion_ends_at_the_end_token_or_counts_as_truncated(backbone):
    room = 12
    one = engine(backbone, room=room)
    found = one.generate(one.encode(["1 + 2 = ?"] * 200), names_of(range(200)))
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
        found = one.generate(one.encode(["1 + 2"] * 100), names_of(range(100)))
    finally:
        backbone.model.generation_config.eos_token_id = kept
    assert all("=" not in sample.text.split()[:-1] for sample in found)
    assert any(sample.text.endswith("=") and not sample.truncated for sample in found)


def test_a_stop_text_ends_a_completion_and_is_cut_off(backbone):
    """The same samples as without it, up to the text; a text may span tokens."""
    ids = engine(backbone).encode(["1 + 2"] * 100)
    free = engine(backbone, room=30).generate(ids, names_of(ids))
    held = engine(backbone, room=30, stop=("= 7", "?")).generate(ids, names_of(ids))
    cut = 0
    for before, after in zip(free, held, strict=True):
        places = [place for place in (before.text.find("= 7"), before.text.find("?")) if place >= 0]
        assert after.text == before.text[: min(places, default=None)]
        if places:
            cut += 1
            assert not after.truncated and after.n_tokens <= before.n_tokens
        else:
            assert after == before
    assert 10 < cut < 100


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
        ((1.0, 1.0, 4, 0, ("",)), "stop"),
    ],
)
def test_sampling_out_of_range_is_refused(values, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        Sampling(*values).check()


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_vllm_that_is_not_installed_is_one_clear_error(backbone):
    with pytest.raises(InputError, match=r"^engine = 'vllm': is not installed; pip install"):
        open_engine("vllm", backbone, Sampling(1.0, 1.0, 4, 0))
