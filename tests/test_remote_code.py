"""Code that a stranger's model brings is never run or asked about; hooks keep their state or are refused."""

from __future__ import annotations

import ast
import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_house import PACKAGE

from hammerlib import TrainConfig, load_backbone, train
from hammerlib.cli import main
from hammerlib.errors import InputError
from hammerlib.models.embedder import make_embedder
from hammerlib.models.nano.recipe import CHECKPOINT
from hammerlib.runs import RunRecord
from hammerlib.training import Hooks
from hammerlib.training.checkpoints import Seal, fingerprints

EVIL = "import pathlib\npathlib.Path(__file__).with_name('RAN').touch()\n"
CONFIG = TrainConfig(
    n_problems=4, order="random", prompts_per_step=1, group_size=4, max_completion_length=4, save_steps=1
)


def _edited(folder: Path, name: str, **values: object) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


MODEL = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M", "AutoModel": "evil.M"}
KINDS = {
    "model": lambda folder: _edited(folder, "config.json", auto_map=MODEL, model_type="evil"),
    "model of another repository": lambda folder: _edited(
        folder, "config.json", model_type="evil", auto_map={key: f"a/b--{one}" for key, one in MODEL.items()}
    ),
    "tokenizer": lambda folder: _edited(
        folder,
        "tokenizer_config.json",
        tokenizer_class="Evil",
        auto_map={"AutoTokenizer": ["evil.T", "evil.T"]},
    ),
    "tokenizer by config": lambda folder: _edited(
        folder, "config.json", auto_map=MODEL | {"AutoTokenizer": ["evil.T", "evil.T"]}, model_type="evil"
    ),
    "both": lambda folder: (KINDS["model"](folder), KINDS["tokenizer"](folder)),
}


@pytest.fixture(params=KINDS)
def stranger(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with code beside its weights."""
    folder = tmp_path / "theirs"
    shutil.copytree(CHECKPOINT, folder)
    (folder / "sums.json").unlink(missing_ok=True)
    (folder / "evil.py").write_text(EVIL)
    KINDS[request.param](folder)
    return folder


def test_code_of_a_model_is_refused_in_one_line(stranger: Path) -> None:
    with pytest.raises(InputError, match="brings code of its own, which is never run"):
        load_backbone(stranger)
    assert not (stranger / "RAN").exists()


@pytest.mark.parametrize("stranger", ["both"], indirect=True)
def test_yes_on_the_terminal_runs_no_code(stranger: Path, tmp_path: Path) -> None:
    words = [
        "evaluate",
        "--model",
        str(stranger),
        "--benchmark",
        "reasoning-gym:nano",
        "--n",
        "1",
        "--samples",
        "1",
    ]
    command = [sys.executable, "-m", "hammerlib.cli", *words, "--results", str(tmp_path / "r")]
    done = subprocess.run(command, input="y\n" * 50, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "[y/N]" not in done.stdout + done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("error: backbone")]
    assert not list(tmp_path.rglob("RAN"))


def test_training_order_and_embedding_refuse_it_too(
    stranger: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HAMMER_DATA", raising=False)
    (tmp_path / "train.yaml").write_text(f"n_problems: 8\nbackbone: {stranger}\n")
    asked = ["reasoning-gym:nano", "--split", "rl", "--n", "2", "--backbone", str(stranger), "--out"]
    for words in (
        ["train", "--config", str(tmp_path / "train.yaml")],
        ["order", *asked, str(tmp_path / "o.json")],
        ["embed", *asked, str(tmp_path / "e.safetensors")],
    ):
        assert main(words) == 2
        assert "brings code of its own" in capsys.readouterr().err
    assert not list(tmp_path.rglob("RAN"))


def test_a_known_type_that_also_names_code_is_loaded_without_it(tmp_path: Path) -> None:
    shutil.copytree(CHECKPOINT, tmp_path / "m")
    (tmp_path / "m" / "sums.json").unlink(missing_ok=True)
    (tmp_path / "m" / "evil.py").write_text(EVIL)
    _edited(tmp_path / "m", "config.json", auto_map=MODEL)
    assert load_backbone(tmp_path / "m").weights_hash == load_backbone("nano").weights_hash
    assert not (tmp_path / "m" / "RAN").exists()


LOADERS = {"from_pretrained", "from_config", "SentenceTransformer", "CrossEncoder", "LLM", "AsyncLLM"}


def test_every_call_that_loads_a_model_says_that_its_code_is_not_trusted() -> None:
    silent, trusted = [], []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        safe = {
            node.targets[0].id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and "trust_remote_code': False" in ast.unparse(node.value)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or ast.unparse(node.func).rpartition(".")[2] not in LOADERS:
                continue
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            where = f"{path.name}:{ast.unparse(node.func)}"
            if given.get("trust_remote_code") == "True":
                trusted.append(where)
            elif given.get("trust_remote_code") != "False" and given.get(None) not in safe:
                silent.append(where)
    assert not silent
    # The authors' own embedder, which `embedder_remote_code: true` asks for by name.
    assert trusted == ["embedder.py:AutoModel.from_pretrained"]


def test_an_encoder_that_brings_code_is_refused(tmp_path: Path) -> None:
    backbone = load_backbone("nano")
    backbone.model.save_pretrained(tmp_path)
    backbone.tokenizer.save_pretrained(tmp_path)
    (tmp_path / "evil.py").write_text(EVIL + "class Module: ...\n")
    modules = [{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(InputError, match="executes third-party code"):
        make_embedder(f"sentence-transformers:{tmp_path}", backbone, backbone.model)
    assert not (tmp_path / "RAN").exists()


# Hooks with state


class Counting:
    """An advantage hook that remembers how often it was called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, rollout: Any) -> Any:
        self.calls += 1
        return rollout.advantages * self.calls


class Kept(Counting):
    """The same with its state in checkpoints."""

    def state_dict(self) -> dict:
        return {"calls": self.calls}

    def load_state_dict(self, state: dict) -> None:
        self.calls = state["calls"]


def _closure() -> Any:
    calls = 0

    def scale(rollout: Any) -> Any:
        nonlocal calls
        calls += 1
        return rollout.advantages * calls

    return scale


CALLS: list[int] = []


def _through_its_module(rollout: Any) -> Any:
    CALLS.append(1)
    return rollout.advantages * len(CALLS)


@dataclasses.dataclass
class Noisy:
    """A hook whose noise goes on from call to call."""

    noise: Any = dataclasses.field(default_factory=lambda: np.random.default_rng(0), repr=False)

    def __call__(self, rollout: Any) -> Any:
        return rollout.advantages * self.noise.random()


def _plain(rollout: Any) -> Any:
    return rollout.advantages * 2


@pytest.mark.parametrize(
    "hook", [Counting(), Counting().__call__, _closure(), _through_its_module, Noisy()],
    ids=["object", "method", "closure", "module", "random numbers"],
)  # fmt: skip
def test_a_hook_with_state_that_no_checkpoint_holds_is_refused(hook: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"plugs.advantage = .*keeps state of its own.*leave save_steps out"):
        train(CONFIG, root=tmp_path, algorithms=[Hooks(advantage=hook)], progress=False)
    (folder,) = tmp_path.glob("train__*")
    assert RunRecord.load(folder).status == "error"
    assert not list(folder.glob("checkpoints/*/sums.json"))  # nothing to resume from


@pytest.mark.long
@pytest.mark.parametrize("hook", [_plain, Kept()], ids=["stateless", "kept"])
def test_a_hook_without_state_or_with_its_methods_is_resumed_exactly(
    hook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hammerlib.training import build

    fresh = type(hook) if isinstance(hook, Kept) else lambda: hook
    whole = train(CONFIG, root=tmp_path / "whole", algorithms=[Hooks(advantage=fresh())], progress=False)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(build, "save_model", stop)
        train(CONFIG, root=tmp_path / "cut", algorithms=[Hooks(advantage=fresh())], progress=False)
    again = train(CONFIG, root=tmp_path / "cut", algorithms=[Hooks(advantage=fresh())], progress=False)
    assert again.manifest["resumed_from_step"] == 3
    weights = [(one.folder / "model" / "model.safetensors").read_bytes() for one in (whole, again)]
    assert weights[0] == weights[1]


def test_without_save_steps_any_hook_may_count(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, save_steps=None)
    assert (
        train(config, root=tmp_path, algorithms=[Hooks(advantage=Counting())], progress=False).status
        == "success"
    )


def test_what_a_hook_holds_is_seen_at_any_depth() -> None:
    held = {"a": [{"b": (1, {2})}], "rng": np.random.default_rng(1)}

    def hook(rollout: Any) -> dict:
        return held

    plugs = Hooks(observe=hook)
    parts = Seal([plugs]).parts
    before = fingerprints(parts)
    assert before == fingerprints(parts) and list(before) == ["plugs.observe"]
    held["a"][0]["b"][1].add(3)
    changed = fingerprints(parts)
    held["rng"].random()
    assert before != changed != fingerprints(parts)
