"""The embedding cache cannot lie, and bad input leaves nothing in it."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from embedding_samples import LAYERS, make_backbone, sentences, spoil

from hammerlib.errors import InputError
from hammerlib.models.embeddings import Embeddings, embed, encode


def files(folder: Path) -> list[Path]:
    """What lies in a cache folder beside its claims."""
    return [path for path in folder.iterdir() if path.suffix != ".lock"]


@pytest.fixture(scope="module")
def backbone() -> SimpleNamespace:
    return make_backbone()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HAMMER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "embeddings"


def embed_in_process(folder: str) -> list[list[float]]:
    return embed(sentences(20), make_backbone(), cache_dir=folder).vectors.tolist()


class TestCache:
    def test_the_second_call_runs_no_model(
        self, backbone: SimpleNamespace, own_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = embed(sentences(6), backbone)
        assert [path.stem for path in files(own_cache)] == [first.key]
        ran = "the model ran"
        monkeypatch.setattr("hammerlib.models.embeddings.pooled_states", lambda *_: pytest.fail(ran))
        np.testing.assert_array_equal(embed(sentences(6), backbone).vectors, first.vectors)

    def test_every_text_weight_and_option_has_a_key_of_its_own(self) -> None:
        one, two = make_backbone(0, chat=True), make_backbone(1, chat=True)
        newer = make_backbone(0)
        newer.revision = "other"
        keys = [
            embed(texts, model, **options).key
            for texts, model, options in [
                (["1 + 2"], one, {}),
                (["1 + 3"], one, {}),
                (["1 + 2", "1 + 3"], one, {}),
                (["1 + 3", "1 + 2"], one, {}),
                (["1 + 2"], two, {}),
                (["1 + 2"], newer, {}),
                (["1 + 2"], one, {"layer": 0}),
                (["1 + 2"], one, {"pooling": "last"}),
                (["1 + 2"], one, {"template": "chat"}),
            ]
        ]
        assert len(set(keys)) == len(keys)

    def test_what_does_not_change_the_vectors_does_not_change_the_key(
        self, backbone: SimpleNamespace
    ) -> None:
        plain = embed(["1 + 2"], backbone).key
        assert embed(["1 + 2"], backbone, layer=LAYERS, tokens_per_batch=7).key == plain

    @pytest.mark.parametrize("damage", ["cut", "flip", "text", "other"])
    def test_a_damaged_file_is_computed_again_with_a_warning(
        self, backbone: SimpleNamespace, own_cache: Path, damage: str
    ) -> None:
        made = embed(sentences(6), backbone)
        path = own_cache / f"{made.key}.safetensors"
        if damage == "other":
            path.write_bytes((own_cache / f"{embed(['1'], backbone).key}.safetensors").read_bytes())
        else:
            spoil(path, damage)
        with pytest.warns(UserWarning, match="computed again"):
            again = embed(sentences(6), backbone)
        np.testing.assert_array_equal(again.vectors, made.vectors)
        assert Embeddings.load(path).key == made.key

    def test_two_writers_leave_one_whole_file(self, tmp_path: Path) -> None:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            one, two = pool.map(embed_in_process, [str(tmp_path / "shared")] * 2)
        assert one == two
        assert [path.suffix for path in files(tmp_path / "shared")] == [".safetensors"]

    def test_encode_leaves_nothing_behind(self, backbone: SimpleNamespace, own_cache: Path) -> None:
        encode(["1 + 2"], backbone)
        assert not own_cache.exists() or not files(own_cache)


class TestBadInput:
    @pytest.mark.parametrize(
        ("texts", "options", "field"),
        [
            ([], {}, "texts"),
            (["1 + 2", " "], {}, "texts"),
            (["1 + 2", None], {}, r"texts\[1\]"),
            ("1 + 2", {}, "texts"),
            (["1 " * 65], {}, "texts"),
            (["1 + 2"], {"layer": LAYERS + 1}, "layer"),
            (["1 + 2"], {"layer": -LAYERS - 2}, "layer"),
            (["1 + 2"], {"pooling": "max"}, "pooling"),
            (["1 + 2"], {"tokens_per_batch": 0}, "tokens_per_batch"),
        ],
    )
    def test_is_one_named_error(
        self, backbone: SimpleNamespace, own_cache: Path, texts: list, options: dict, field: str
    ) -> None:
        with pytest.raises(InputError, match=f"^{field} = "):
            embed(texts, backbone, **options)
        assert not own_cache.exists() or not files(own_cache)

    def test_a_text_that_is_too_long_is_named(self, backbone: SimpleNamespace) -> None:
        with pytest.raises(InputError, match=r"\['1'\]: 1 rows are longer than the 64 tokens"):
            embed(["1 + 2", "1 " * 65], backbone)

    def test_vectors_that_are_not_numbers_are_refused(self, own_cache: Path) -> None:
        broken = make_backbone()
        with torch.no_grad():
            broken.model.model.norm.weight.fill_(float("nan"))
        with pytest.raises(InputError, match="NaN"):
            embed(["1 + 2"], broken)
        assert not own_cache.exists() or not files(own_cache)
