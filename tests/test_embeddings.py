"""Embeddings: the right hidden states, whatever the batch."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from embedding_samples import LAYERS, make_backbone, sentences, spoil
from hypothesis import given, settings
from hypothesis import strategies as st

from hammerlib.errors import InputError
from hammerlib.models.embeddings import Embeddings, batches_by_length, embed, encode, pooled_states
from hammerlib.problems import item_hashes


@pytest.fixture(scope="module")
def backbone() -> SimpleNamespace:
    return make_backbone()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HAMMER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "embeddings"


def states_of(backbone: SimpleNamespace, text: str) -> list[torch.Tensor]:
    """Hidden states of one text alone, collected by hooks where the layers hand them on."""
    seen: list[torch.Tensor] = []
    decoder = backbone.model.model
    places = [decoder.embed_tokens, *decoder.layers[:-1], decoder.norm]
    hooks = [
        place.register_forward_hook(lambda _, __, out: seen.append(out[0] if isinstance(out, tuple) else out))
        for place in places
    ]
    with torch.no_grad():
        backbone.model(torch.tensor([backbone.tokenizer(text)["input_ids"]]))
    for hook in hooks:
        hook.remove()
    return [state.reshape(-1, state.shape[-1]) for state in seen]


class TestValues:
    @pytest.mark.parametrize("layer", range(-LAYERS - 1, LAYERS + 1))
    @pytest.mark.parametrize("pooling", ["mean", "last", "first"])
    def test_are_the_pooled_states_that_hooks_see(
        self, backbone: SimpleNamespace, layer: int, pooling: str
    ) -> None:
        text = "tom has 3 apples and gets 4 more"
        state = states_of(backbone, text)[layer]
        expected = {"mean": state.mean(dim=0), "last": state[-1], "first": state[0]}[pooling]
        found = embed([text, *sentences(5)], backbone, layer=layer, pooling=pooling).vectors[0]
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)

    def test_the_last_layer_is_after_the_final_norm(self, backbone: SimpleNamespace) -> None:
        vectors = embed(["tom has 3"], backbone, layer=-1, pooling="last").vectors
        assert np.sqrt((vectors**2).mean()) == pytest.approx(1, abs=1e-3)  # a fresh RMSNorm has weight one

    @given(st.integers(1, 12), st.integers(0, 99), st.sampled_from([1, 50, 200, 5000]))
    @settings(max_examples=25, deadline=None)
    def test_do_not_depend_on_the_batch(self, n: int, seed: int, tokens_per_batch: int) -> None:
        backbone, texts = SHARED, sentences(n, seed)
        for pooling in ("mean", "last", "first"):
            together = encode(texts, backbone, pooling=pooling, tokens_per_batch=tokens_per_batch)
            alone = [encode([text], backbone, pooling=pooling)[0] for text in texts]
            np.testing.assert_allclose(together, np.stack(alone), atol=1e-5)

    def test_do_not_depend_on_the_padding_side(self) -> None:
        left, right = make_backbone(), make_backbone()
        right.tokenizer.padding_side = "right"
        np.testing.assert_array_equal(encode(sentences(9), left), encode(sentences(9), right))

    def test_never_run_the_language_model_head(self, backbone: SimpleNamespace) -> None:
        def refuse(*_: object) -> None:
            raise AssertionError("the head ran")

        hook = backbone.model.lm_head.register_forward_pre_hook(refuse)
        try:
            assert encode(["tom has 3"], backbone).shape == (1, 32)
        finally:
            hook.remove()

    def test_equal_texts_are_computed_once_and_are_equal(self, backbone: SimpleNamespace) -> None:
        rows: list[int] = []
        hook = backbone.model.model.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
        vectors = encode(["tom has 3", "1 + 2", "tom has 3"], backbone)
        hook.remove()
        assert sum(rows) == 2
        np.testing.assert_array_equal(vectors[0], vectors[2])

    def test_chat_reads_the_rendered_turn(self) -> None:
        backbone = make_backbone(chat=True)
        chat = encode(["1 + 2"], backbone, template="chat")
        np.testing.assert_allclose(chat, encode(["tom 1 + 2 <eos>"], backbone), atol=1e-6)
        with pytest.raises(InputError, match="chat template"):
            embed(["1 + 2"], make_backbone(), template="chat")


SHARED = make_backbone()


class TestBatches:
    @given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 300))
    @settings(max_examples=60, deadline=None)
    def test_hold_every_row_once_within_the_budget(self, lengths: list[int], budget: int) -> None:
        batches = list(batches_by_length(lengths, budget))
        assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
        for batch in batches:
            assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= budget

    def test_waste_little_on_padding(self) -> None:
        lengths = np.random.default_rng(0).integers(5, 200, size=500).tolist()
        padded = sum(len(batch) * lengths[batch[0]] for batch in batches_by_length(lengths, 1024))
        assert padded < 1.05 * sum(lengths)


class TestRecord:
    def test_names_rows_and_origin(self, backbone: SimpleNamespace) -> None:
        made = embed(["1 + 2", "tom has 3"], backbone, layer=-2)
        assert made.vectors.dtype == np.float32 and made.vectors.shape == (2, 32)
        assert made.ids == ["0", "1"] and made.item_hashes is None
        assert (made.info["backbone"], made.info["layer"], made.info["pooling"]) == (
            "tiny0",
            LAYERS - 1,
            "mean",
        )

    def test_of_problems_keeps_their_ids_and_hashes(self, backbone: SimpleNamespace) -> None:
        rows = {"id": ["a", "b"], "prompt": ["1 + 2", "3 + 4"], "answer": ["3", "7"]}
        table = datasets.Dataset.from_dict(rows | {"source": ["s"] * 2, "topic": ["t"] * 2})
        made = embed(table, backbone)
        assert made.ids == ["a", "b"] and made.item_hashes == item_hashes(table)
        np.testing.assert_array_equal(made.vectors, embed(rows["prompt"], backbone).vectors)

    def test_saves_and_loads_whole(self, backbone: SimpleNamespace, tmp_path: Path) -> None:
        made = embed(sentences(4), backbone)
        made.item_hashes = list("abcd")
        made.save(tmp_path / "e.safetensors")
        again = Embeddings.load(tmp_path / "e.safetensors")
        np.testing.assert_array_equal(again.vectors, made.vectors)
        assert (again.ids, again.key, again.info, again.item_hashes) == (
            made.ids,
            made.key,
            made.info,
            list("abcd"),
        )

    @pytest.mark.parametrize("damage", ["cut", "flip", "text", "absent"])
    def test_a_damaged_file_is_refused(self, backbone: SimpleNamespace, tmp_path: Path, damage: str) -> None:
        path = tmp_path / "e.safetensors"
        embed(sentences(4), backbone).save(path)
        spoil(path, damage)
        with pytest.raises(InputError, match="embeddings"):
            Embeddings.load(path)


def test_padding_positions_cannot_leak(backbone: SimpleNamespace) -> None:
    short, long = [5, 6, 7], list(range(2, 21))
    both = pooled_states([short, long], backbone, LAYERS, "mean", 1000)
    alone = pooled_states([short], backbone, LAYERS, "mean", 1000)
    np.testing.assert_allclose(both[0], alone[0], atol=1e-6)
