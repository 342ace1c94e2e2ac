"""Equal weights with another tokenizer or configuration are another model, also in one folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hammerlib import TrainConfig, embed, evaluate, load_backbone
from hammerlib.models.backbone import own_parts
from hammerlib.models.nano.recipe import CHECKPOINT
from hammerlib.training.run import prepare

CONFIG = TrainConfig(n_problems=8, order="random", max_completion_length=4)


def _edited(name: str, change: Callable[[dict], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))

    return edit


def _swap(content: dict) -> None:
    """Two words change their ids; neither stands in the prompts below."""
    vocabulary = content["model"]["vocab"]
    one, other = "even", "odd"
    if one not in vocabulary:
        one, other = sorted(word for word in vocabulary if word.isalpha())[-2:]
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]


CHANGES = {
    "words of the tokenizer": _edited("tokenizer.json", _swap),
    "chat template": lambda folder: (folder / "chat_template.jinja").write_text("{{ messages[0].content }}"),
    "rotary base": _edited("config.json", lambda one: one.update(rope_parameters=_rope(one))),
    "epsilon of the norm": _edited("config.json", lambda one: one.update(rms_norm_eps=0.1)),
}


def _rope(content: dict) -> dict:
    return {**(content.get("rope_parameters") or {"rope_type": "default"}), "rope_theta": 17.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(CHECKPOINT, tmp_path / "mine")
    (tmp_path / "mine" / "sums.json").unlink(missing_ok=True)
    return tmp_path / "mine"


@pytest.mark.parametrize("change", CHANGES)
def test_another_tokenizer_or_configuration_is_another_run(change: str, folder: Path) -> None:
    config = TrainConfig(**{**vars(CONFIG), "backbone": str(folder)})
    first = load_backbone(folder)
    before, asked = prepare(config).run_id, own_parts(first)
    assert prepare(config).run_id == before and own_parts(load_backbone(folder)) == asked
    CHANGES[change](folder)
    changed = load_backbone(folder)
    assert changed.weights_hash == first.weights_hash
    assert prepare(config).run_id != before and own_parts(changed) != asked


def test_vectors_of_a_changed_folder_are_computed_again(folder: Path, tmp_path: Path) -> None:
    texts = ["Tom has 3 apples and gets 4 more .", "17 + 25 ="]
    first = embed(texts, folder, cache_dir=tmp_path / "cache")
    CHANGES["epsilon of the norm"](folder)
    found = embed(texts, folder, cache_dir=tmp_path / "cache")
    assert found.key != first.key and not np.allclose(found.vectors, first.vectors)


def test_an_evaluation_of_a_changed_folder_is_another(folder: Path, tmp_path: Path) -> None:
    asked = {"n": 2, "k": 1, "max_new_tokens": 4, "root": tmp_path / "runs"}
    first = evaluate(folder, "reasoning-gym:nano", **asked)
    assert evaluate(folder, "reasoning-gym:nano", **asked).run_id == first.run_id
    CHANGES["words of the tokenizer"](folder)
    assert evaluate(folder, "reasoning-gym:nano", **asked).run_id != first.run_id


@pytest.mark.parametrize("name", ["nano", "nano-untrained"])
def test_named_backbones_keep_the_names_of_their_runs(name: str) -> None:
    assert own_parts(load_backbone(name)) == []


def test_use_does_not_change_a_backbones_parts(folder: Path) -> None:
    backbone = load_backbone(folder)
    asked = own_parts(backbone)
    backbone.tokenizer(["a", "b c"], padding=True, truncation=True, max_length=2)
    assert own_parts(backbone) == asked
