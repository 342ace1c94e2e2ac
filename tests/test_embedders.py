"""What embeds completions for DRA: the frozen backbone, the policy, other encoders, and their absence."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hammerlib.errors import InputError
from hammerlib.models import Backbone, load_backbone
from hammerlib.models.embedder import check_embedder, make_embedder
from hammerlib.training import TrainConfig

TEXTS = ["3 + 4 = 7", "", "so 12", "3 + 4 = 7"]


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("nano")


def test_the_frozen_backbone_ignores_what_happens_to_the_policy(backbone: Backbone) -> None:
    policy = copy.deepcopy(backbone.model)
    embed = make_embedder("backbone", backbone, policy)
    before = embed(TEXTS)
    _move(policy)
    embed(["another step"])  # which clears what is remembered of the one before
    assert np.allclose(embed(TEXTS), before, atol=1e-6)


def test_the_policy_is_embedded_as_it_is_now_and_left_as_it_was(backbone: Backbone) -> None:
    policy = copy.deepcopy(backbone.model).train()
    embed = make_embedder("policy", backbone, policy)
    before = embed(TEXTS)
    assert np.allclose(before, make_embedder("backbone", backbone, policy)(TEXTS), atol=1e-5)
    _move(policy)
    after = embed(TEXTS)
    assert after.dtype == np.float32 and not np.allclose(after, before, atol=1e-3)
    assert np.allclose(after[0], after[3], atol=1e-6)
    assert policy.training and all(one.grad is None for one in policy.parameters())
    policy.eval()
    embed(TEXTS)
    assert not policy.training
    # Gradients still flow: nothing that inference mode made is left inside the model.
    ids = torch.tensor([backbone.tokenizer("3 + 4")["input_ids"]])
    policy(ids, labels=ids).loss.backward()


def _move(policy: torch.nn.Module) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        for one in policy.parameters():
            one.add_(0.1 * torch.randn_like(one))


def test_a_sentence_transformer_from_a_folder_embeds(backbone: Backbone, tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    backbone.model.save_pretrained(tmp_path)
    backbone.tokenizer.save_pretrained(tmp_path)
    embed = make_embedder(f"sentence-transformers:{tmp_path}", backbone, backbone.model)
    found = embed(["3 + 4 = 7", "so 12", "3 + 4 = 7"])
    assert found.dtype == np.float32 and found.shape[0] == 3
    assert np.allclose(found[0], found[2], atol=1e-5) and not np.allclose(found[0], found[1], atol=1e-2)


def test_a_missing_extra_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(InputError, match=r"pip install 'hammerlib\[embedders\]'") as caught:
        check_embedder("sentence-transformers:all-MiniLM-L6-v2")
    assert "\n" not in str(caught.value)
    check_embedder("policy")


@pytest.mark.parametrize("name", ["magic", "", "sentence-transformers:", "sentence-transformers: ", "jina"])
def test_an_unknown_embedder_lists_the_known(name: str) -> None:
    with pytest.raises(InputError, match="backbone, policy, official, sentence-transformers:MODEL"):
        check_embedder(name)


@pytest.mark.parametrize("name", ["official", "sentence-transformers:no/such-model"])
def test_a_model_that_does_not_load_is_told_in_one_line(
    name: str, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*arguments: object, **options: object) -> None:
        raise OSError("the hub\nis away")

    monkeypatch.setattr("transformers.AutoModel.from_pretrained", away)
    monkeypatch.setattr("sentence_transformers.SentenceTransformer", away)
    with pytest.raises(InputError, match="OSError: the hub is away") as caught:
        make_embedder(name, backbone, backbone.model, remote_code=True)
    assert "\n" not in str(caught.value) and "embedder: backbone" in caught.value.remedy


def test_code_of_the_hub_runs_only_where_it_was_allowed_in_so_many_words(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.AutoModel.from_pretrained", lambda *_, **__: pytest.fail("loaded"))
    asked = {"adjustment": "dra", "embedder": "official"}
    with pytest.raises(InputError, match="embedder_remote_code: true"):
        TrainConfig.from_dict(asked)
    with pytest.raises(InputError, match="embedder_remote_code: true"):
        make_embedder("official", backbone, backbone.model)
    allowed = TrainConfig.from_dict({**asked, "embedder_remote_code": True})
    assert "embedder_remote_code" not in allowed.identity()  # a permission is no other run


def test_the_official_embedder_is_called_as_the_released_code_calls_it(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple] = []

    class Jina:
        """Stands for the model's own code on the hub."""

        def to(self, device: str) -> Jina:
            return self

        def eval(self) -> Jina:
            return self

        def encode(self, texts: list[str], max_length: int, device: str) -> np.ndarray:
            calls.append((texts, max_length, device))
            return np.ones((len(texts), 4))

    def load(name: str, **options: object) -> Jina:
        calls.append((name, options))
        return Jina()

    monkeypatch.setattr("transformers.AutoModel.from_pretrained", load)
    found = make_embedder("official", backbone, backbone.model, remote_code=True)(TEXTS)
    assert found.shape == (4, 4) and found.dtype == np.float32
    assert calls == [
        ("jinaai/jina-embeddings-v2-small-en", {"trust_remote_code": True}),
        (TEXTS, 3584, backbone.device),
    ]
