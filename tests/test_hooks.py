"""The door for algorithms: registry, composition, refusals, state in checkpoints, import strings."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from hammerlib.cli import main
from hammerlib.errors import InputError
from hammerlib.pipeline.parameters import arm_algorithms
from hammerlib.problems.registry import find_source
from hammerlib.runs import RunRecord
from hammerlib.study.algorithms import DistinctAnswers, DRAAblation, PermutedRewards
from hammerlib.study.plan import Study, Trial
from hammerlib.training import Algorithm, Generation, Hooks, Plugs, Rollout, TrainConfig, build, hooks, train
from hammerlib.training.checkpoints import check_state, read_states, write_states
from hammerlib.training.generation import generate
from hammerlib.training.hooks import algorithm_class, compose, make_algorithms, names_of
from hammerlib.training.launch import read_job
from hammerlib.training.run import prepare
from hammerlib.training.trainer import PolicyTrainer, same_everywhere

CONFIG = TrainConfig(
    n_problems=4, order="random", prompts_per_step=1, group_size=4, max_completion_length=8, save_steps=1
)
KEPT = dataclasses.replace(CONFIG, algorithms=({"name": f"{__name__}:Momentum"},))
OWN = '''
import dataclasses

import torch

from hammerlib.training import Algorithm


def short(completions, completion_ids, **columns):
    """Reward with TRL's signature."""
    return [1.0 / len(ids) for ids in completion_ids]


@dataclasses.dataclass
class Scaled(Algorithm):
    by: float = 2.0

    METRICS = {"scaled_by": "factor of the advantages"}

    def check(self, config):
        print(f"checked {config.order}")

    def advantage(self, rollout):
        return rollout.advantages * self.by

    def observe(self, rollout):
        return {"scaled_by": self.by}


class NoAlgorithm:
    pass


number = 7
'''


@dataclasses.dataclass
class Times(Algorithm):
    """Advantages times a number."""

    by: float

    def advantage(self, rollout: Rollout) -> torch.Tensor:
        return rollout.advantages * self.by


@dataclasses.dataclass
class Plus(Algorithm):
    """Advantages, and losses, plus a number; the losses so far are reported."""

    by: float

    def advantage(self, rollout: Rollout) -> torch.Tensor:
        return rollout.advantages + self.by

    def loss(self, trainer: Any, model: Any, inputs: dict, default: Callable) -> torch.Tensor:
        return 2 * default() + self.by


@dataclasses.dataclass
class Says(Algorithm):
    """Reports one number under a name."""

    name: str
    value: float = 1.0

    def observe(self, rollout: Rollout) -> dict[str, float]:
        return {self.name: self.value}


class Samples(Algorithm):
    """Generates as the trainer would."""

    def rollout(self, rows: list[dict], trainer: PolicyTrainer) -> Generation:
        return generate(trainer, rows)


class Momentum(Algorithm):
    """Advantages times a mean of earlier ones' sizes: with a tensor, an array, random numbers, a count."""

    def __init__(self) -> None:
        self.size = torch.ones(2, 3)
        self.noise = np.random.default_rng(3)
        self.seen = np.zeros(2, dtype=np.int64)
        self.words: dict[int, tuple] = {}

    def advantage(self, rollout: Rollout) -> torch.Tensor:
        self.size = 0.5 * self.size + rollout.advantages.abs().mean().cpu()
        self.seen += 1
        self.words[int(self.seen[0])] = ("step", rollout.step)
        factor = float(self.size.mean()) * (1 + self.noise.random()) + len(self.words)
        return rollout.advantages * factor

    def state_dict(self) -> dict[str, Any]:
        return {**vars(self), "noise": self.noise.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.noise.bit_generator.state = state.pop("noise")
        vars(self).update(state)


class Hidden(Algorithm):
    """A list that no checkpoint holds."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def observe(self, rollout: Rollout) -> dict[str, float]:
        self.seen.append(1.0)
        return {"seen": float(len(self.seen))}


@dataclasses.dataclass
class Counts(Algorithm):
    """A number that changes."""

    count: int = 0

    def advantage(self, rollout: Rollout) -> torch.Tensor:
        self.count += 1
        return rollout.advantages * self.count


def a_rollout() -> Rollout:
    ones = np.ones(2)
    rows = [{"id": "a"}] * 2
    return Rollout(0, rows, ["4"] * 2, [[7]] * 2, [None] * 2, ones, ones, np.eye(2), 2, torch.ones(2))


def own_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "my_pkg").mkdir()
    (folder / "my_pkg" / "__init__.py").write_text("")
    (folder / "my_pkg" / "mod.py").write_text(OWN)
    (folder / "my_pkg" / "needs.py").write_text("import no_such_library")
    (folder / "my_pkg" / "breaks.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(folder))
    for name in ("my_pkg", "my_pkg.mod"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def weights(record: RunRecord) -> bytes:
    return (record.folder / "model" / "model.safetensors").read_bytes()


# Composition


def test_advantages_chain_and_losses_nest_in_the_order_given() -> None:
    rollout = a_rollout()
    assert compose([Times(3.0), Plus(1.0)]).advantage(rollout).tolist() == [4.0, 4.0]
    assert compose([Plus(1.0), Times(3.0)]).advantage(rollout).tolist() == [6.0, 6.0]
    assert rollout.advantages.tolist() == [1.0, 1.0]  # the trainer's own stay
    loss = compose([Plus(1.0), Plus(5.0)]).loss
    assert loss(None, None, {}, lambda: torch.tensor(10.0)).item() == 2 * (2 * 10 + 1) + 5


def test_observers_merge_and_a_name_twice_is_refused() -> None:
    assert compose([Says("a"), Says("b", 2.0)]).observe(a_rollout()) == {"a": 1.0, "b": 2.0}
    with pytest.raises(InputError, match=r"algorithms = \['a'\]: are reported by two algorithms"):
        compose([Says("a"), Says("a")]).observe(a_rollout())
    declared = type("Declared", (Algorithm,), {"METRICS": {"mu": "share"}})
    with pytest.raises(InputError, match=r"'mu'.*reported by two"):
        compose([declared(), declared()])


def test_two_rollouts_are_refused_and_hooks_without_a_class_take_part() -> None:
    with pytest.raises(InputError, match=r"'Samples', 'Samples'.*generate in two ways"):
        compose([Samples(), Samples()])
    with pytest.raises(InputError, match="generate in two ways"):
        compose([Samples(), Hooks(rollout=lambda rows, trainer: None)])
    alone = Hooks(advantage=lambda rollout: rollout.advantages - 1)
    assert compose([alone]) == alone and Plugs is Hooks
    assert compose([Times(3.0), alone]).advantage(a_rollout()).tolist() == [2.0, 2.0]


@pytest.mark.parametrize("settings", [
    {"name": "rloo"}, {"name": "pass-at-k", "k": 2}, {"name": "permuted-rewards"}, {"name": "dra-ablation"},
    {"name": "distinct-answers", "weight": 0.5},
], ids=lambda settings: settings["name"])  # fmt: skip
def test_advantages_are_never_lost_in_silence(settings: dict) -> None:
    name = settings["name"]
    chain = {"scale_rewards": "none" if name == "rloo" else "group", "n_problems": 4, "prompts_per_step": 2}
    behind = TrainConfig(**chain, algorithms=({"name": "ettrl"}, settings))
    with pytest.raises(
        InputError, match=r"'EntropyReshape', .* would be lost; name .* first, or leave one out"
    ):
        behind.validate()
    TrainConfig(**chain, algorithms=(settings, {"name": "ettrl"})).validate()
    with pytest.raises(InputError, match=r"would be lost; leave one out$"):
        TrainConfig(**chain, algorithms=(settings, {"name": "pass-at-k", "k": 4})).validate()
    with pytest.raises(InputError, match="would be lost"):
        compose([Plus(1.0), make_algorithms(TrainConfig(**chain, algorithms=(settings,)))[0]])
    dra = TrainConfig(**chain, adjustment="dra", algorithms=(settings,))
    if name in ("rloo", "distinct-answers"):  # of the rewards that DRA has adjusted
        dra.validate()
    else:
        with pytest.raises(InputError, match=r"adjustment = 'dra': would be without effect.*raw rewards"):
            dra.validate()


def test_a_name_that_differs_between_processes_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hammerlib.training.trainer.gather_object", lambda own: [*own, ["other"]])
    with pytest.raises(InputError, match=r"metrics differ from those of process 1: \['other'\]"):
        same_everywhere("algorithms.observe", ["mine"], "metrics")
    monkeypatch.setattr("hammerlib.training.trainer.gather_object", lambda own: own * 2)
    same_everywhere("algorithms.observe", ["mine"], "metrics")


# Registry and configuration


@pytest.mark.parametrize("name", hooks.REGISTRY)
def test_every_name_of_the_registry_is_an_algorithm(name: str) -> None:
    assert issubclass(algorithm_class(name), Algorithm)


def test_entry_points_of_packages_are_names_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    point = EntryPoint("theirs", f"{__name__}:Times", hooks.ENTRY_POINTS)
    found = {hooks.ENTRY_POINTS: [point]}
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: found.get(group, []))
    (made,) = make_algorithms(TrainConfig(algorithms=({"name": "theirs", "by": 2.0},)))
    assert made.by == 2.0 and type(made).__name__ == "Times"


@pytest.mark.parametrize(("settings", "words"), [
    ({"by": 2.0}, r"algorithms\[0\] = .*: has no name"),
    ({"name": "nonesuch"}, r"algorithms\[0\].name = 'nonesuch': is unknown; use one of .*my_module:Class"),
    ({"name": "no_such_package.mod:f"}, "its module cannot be imported .ModuleNotFoundError"),
    ({"name": "my_pkg.mod:Scald"}, "my_pkg.mod has no 'Scald'; did you mean my_pkg.mod:Scaled"),
    ({"name": "my_pkg.mod:NoAlgorithm"}, "is no algorithm; name a subclass"),
    ({"name": "my_pkg.mod:Scaled", "bye": 2}, r"algorithms\[0\] = 'bye': is no option .*did you mean by"),
    ({"name": "my_pkg.mod:Scaled", "by": "2"}, r"algorithms\[0\].by = '2': must be a number"),
    ({"name": f"{__name__}:Times"}, r"algorithms\[0\].by = None: is missing"),
])  # fmt: skip
def test_a_wrong_algorithm_is_one_line(
    settings: dict, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_package(tmp_path, monkeypatch)
    with pytest.raises(InputError, match=words):
        TrainConfig.from_dict({"n_problems": 8, "algorithms": [settings]})


@pytest.mark.parametrize(("name", "words"), [
    ("my_pkg.mod:shrt", "my_pkg.mod has no 'shrt'; did you mean my_pkg.mod:short"),
    ("my_pkg.mod:Scaled", "is no function"),
    ("acuracy", "did you mean accuracy"),
])  # fmt: skip
def test_a_wrong_reward_is_one_line(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_package(tmp_path, monkeypatch)
    with pytest.raises(InputError, match=rf"rewards\[1\] = .*{words}"):
        TrainConfig.from_dict({"rewards": ["format", name]})


DOORS = {
    "problems": find_source,
    "order": lambda name: TrainConfig(order=name).validate(),
    "rewards[0]": lambda name: TrainConfig(rewards=(name,)).validate(),
    "algorithms[0].name": lambda name: TrainConfig(algorithms=({"name": name},)).validate(),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("name", "words"), [
    ("no_such_package.mod:f", r"(its module cannot be imported \(ModuleNotFoundError|unknown source)"),
    ("my_pkg.needs:f", r"no_such_library.*install what it needs"),
    ("my_pkg.breaks:f", r"its module cannot be imported \(ZeroDivisionError: division by zero\)"),
    ("my_pkg.mod:shrt", r"my_pkg.mod has no .*shrt.*did you mean my_pkg.mod:short"),
    ("my_pkg.mod:number", r"is no (function|algorithm)"),
])  # fmt: skip
def test_every_door_refuses_what_it_cannot_import_in_the_same_words(
    door: str, name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_package(tmp_path, monkeypatch)
    with pytest.raises(InputError, match=rf"^{re.escape(door)} = '{name}': .*{words}") as caught:
        DOORS[door](name)
    assert "\n" not in str(caught.value)


def test_own_parts_are_found_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_package(tmp_path, monkeypatch)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(tmp_path))])
    monkeypatch.chdir(tmp_path)
    config = TrainConfig.from_dict(
        {"rewards": ["my_pkg.mod:short"], "algorithms": [{"name": "my_pkg.mod:Scaled"}]}
    )
    assert config.rewards == ("my_pkg.mod:short",) and sys.path[-1] == str(tmp_path)


def test_own_parts_name_the_run_by_settings_and_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_package(tmp_path, monkeypatch)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # an edit within a second looks like none to Python
    given = {"rewards": ("my_pkg.mod:short",), "algorithms": ({"name": "my_pkg.mod:Scaled", "by": 3.0},)}
    first = TrainConfig(**given).identity()
    assert (
        first["rewards"][0].startswith("my_pkg.mod:short#") and "algorithms" not in TrainConfig().identity()
    )
    (settings,) = first["algorithms"]
    assert settings["by"] == 3.0 and len(settings["code"]) == 8
    text = OWN.replace("1.0 / len(ids)", "2.0 / len(ids)").replace(
        "advantages * self.by", "advantages - self.by"
    )
    (tmp_path / "my_pkg" / "mod.py").write_text(text)
    for name in ("my_pkg", "my_pkg.mod"):
        sys.modules.pop(name)
    changed = TrainConfig(**given).identity()
    assert changed["rewards"] != first["rewards"] and changed["algorithms"] != first["algorithms"]
    assert names_of([Times(2.0)]) == names_of([Times(2.0)]) != names_of([Times(3.0)])


def test_an_algorithm_refuses_a_configuration_before_anything_is_loaded() -> None:
    class Picky(Algorithm):
        def check(self, config: TrainConfig) -> None:
            raise InputError("loss_type", config.loss_type, "is not mine", "set loss_type: dapo")

    with pytest.raises(InputError, match="loss_type = 'grpo': is not mine"):
        prepare(CONFIG, algorithms=[Picky()])
    with pytest.raises(InputError, match=r"algorithms = .*is not an algorithm"):
        prepare(CONFIG, algorithms=[len])


# DRA, its placebo, the bonus and dynamic sampling by name

FOUR = dataclasses.replace(
    CONFIG, n_problems=8, prompts_per_step=2, max_completion_length=40, save_steps=None
)
DYNAMIC = {"name": "dynamic-sampling"}
PAID = {"name": "distinct-answers", "weight": 0.5, "of": "text"}
# The spelling in fields, algorithms given as objects -> the spelling by name.
SPELLINGS = {
    "dra": ({"adjustment": "dra"}, [], [{"name": "dra"}]),
    "dra, options": ({"adjustment": "dra", "adjustment_options": {"sign": "safe"}, "embedder": "policy"}, [],
                     [{"name": "dra", "sign": "safe", "embedder": "policy"}]),
    "dynamic": ({"dynamic_sampling": True, "refill_rounds": 2}, [],
                [DYNAMIC | {"refill_rounds": 2}]),
    "placebo": ({}, [PermutedRewards()], [{"name": "permuted-rewards"}]),
    "part of dra": ({}, [DRAAblation(groups="solved")], [{"name": "dra-ablation", "groups": "solved"}]),
    "all": ({"adjustment": "dra", "dynamic_sampling": True}, [DistinctAnswers(0.5, "text")],
            [DYNAMIC, PAID, {"name": "dra"}]),
}  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_name_trains_what_its_field_trains_to_the_last_bit(spelling: str, tmp_path: Path) -> None:
    fields, objects, names = SPELLINGS[spelling]
    by_field = train(
        dataclasses.replace(FOUR, **fields), algorithms=objects, root=tmp_path / "field", progress=False
    )
    named = dataclasses.replace(FOUR, algorithms=tuple(names))
    by_name = train(named, root=tmp_path / "name", progress=False)
    assert weights(by_name) == weights(by_field)
    tables = [
        record.table("metrics.csv").set_index(["step", "metric"])["value"] for record in (by_name, by_field)
    ]
    timeless = [table[~table.index.get_level_values("metric").str.contains("second")] for table in tables]
    pd.testing.assert_series_equal(*timeless, check_exact=True)
    assert timeless[0].index.get_level_values("step").max() >= (1 if "dynamic_sampling" in fields else 4)
    index = [(record.folder / "index_log.csv").read_bytes() for record in (by_name, by_field)]
    assert index[0] == index[1]
    if not objects:  # an object names the run by its code as well
        assert by_name.run_id == by_field.run_id and named == dataclasses.replace(FOUR, **fields)


@pytest.mark.parametrize(("values", "words"), [
    ({"adjustment": "dra", "algorithms": [{"name": "dra"}]}, r"algorithms\[0\] = .*adjustment is 'dra'"),
    ({"algorithms": [PAID, {"name": "dra"}, {"name": "dra"}]}, r"algorithms\[2\] = .*adjustment is 'dra'"),
    ({"dynamic_sampling": True, "algorithms": [DYNAMIC]}, "dynamic_sampling is True already"),
    ({"embedder": "policy", "algorithms": [{"name": "dra", "embedder": "backbone"}]}, "embedder is 'policy'"),
    ({"algorithms": [{"name": "dra", "sgin": "safe"}]}, r"algorithms\[0\] = 'sgin': .*did you mean sign"),
    ({"algorithms": [{"name": "dra", "sign": "odd"}]}, "sign = 'odd': is not a known sign"),
    ({"algorithms": [DYNAMIC | {"rounds": 2}]}, r"algorithms\[0\] = 'rounds'.*refill_rounds"),
    ({"algorithms": [DYNAMIC], "rewards": ["format"]}, "add one of accuracy"),
])  # fmt: skip
def test_a_name_beside_its_field_and_a_wrong_option_are_one_line(values: dict, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        TrainConfig.from_dict({"n_problems": 8, **values})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("arm", ["dra", "dynamic-sampling", "permuted-rewards", str(PAID)])
def test_every_way_into_training_takes_the_names(arm: str, capsys: pytest.CaptureFixture) -> None:
    (settings,) = arm_algorithms(arm)  # notebooks 04 and 05
    words = ["n_problems=8", "order=random", f"algorithms=[{json.dumps(settings)}]"]
    config, _ = read_job(None, settings=words)  # accelerate launch
    assert main(["train", *(word for pair in words for word in ("--set", pair)), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert settings["name"] in told and prepare(config).run_id in told
    study = Study(
        "names", 1, {"backbone": "nano"}, {"random": {}, "arm": {"algorithms": [settings]}}
    ).validate()
    assert study.config("arm").identity() != study.config("random").identity()
    in_fields = {"dra": {"adjustment": "dra"}, "dynamic-sampling": {"dynamic_sampling": True}}.get(arm)
    if in_fields:
        same = dataclasses.replace(study, arms={"random": {}, "arm": in_fields})
        assert Trial(study, "arm", 0).identity == Trial(same, "arm", 0).identity


# State


def test_states_come_back_as_they_were(tmp_path: Path) -> None:
    state = {
        "half": torch.ones(2, dtype=torch.bfloat16), "array": np.arange(3), "none": None, "nan": float("inf"),
        "nested": [(1, "a"), {"deep": torch.tensor(3)}], "keys": {1: "one", 2: (2,)},
        "rng": torch.get_rng_state(),
        "big": np.random.default_rng(0).bit_generator.state, "scalar": np.float64(0.1),
        "$odd": {"$tensor": "x"},
    }  # fmt: skip
    write_states(tmp_path, {"algorithms[0]": state}, 0)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"]
    back = read_states(tmp_path, 0)["algorithms[0]"]
    assert back.keys() == state.keys() and read_states(tmp_path, 1) == {}
    for name in ("none", "nan", "keys", "big", "scalar", "$odd"):
        assert back[name] == state[name]
    assert torch.equal(back["half"], state["half"]) and torch.equal(back["rng"], state["rng"])
    assert back["array"].tolist() == [0, 1, 2] and back["nested"][0] == (1, "a")
    assert back["nested"][1]["deep"].item() == 3
    twins = {"a/b": torch.ones(1), "a": {"b": torch.zeros(1)}}
    write_states(tmp_path, {"algorithms[0]": twins}, 2)
    back = read_states(tmp_path, 2)["algorithms[0]"]
    assert back["a/b"].item() == 1 and back["a"]["b"].item() == 0
    with pytest.raises(InputError, match=r"algorithms\[0\]/x = 'set': cannot be kept in a checkpoint"):
        write_states(tmp_path, {"algorithms[0]": {"x": {1}}}, 0)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """A run with two algorithms that keep state, one of them named by the configuration."""
    return train(KEPT, root=tmp_path_factory.mktemp("whole"), algorithms=[Momentum()], progress=False)


@pytest.mark.parametrize(("place", "call", "step"), [("save_model", 1, 3), ("_compute_loss", 3, 2)])
def test_a_killed_run_goes_on_with_the_state_of_its_algorithms(
    place: str, call: int, step: int, unbroken: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = build if place == "save_model" else PolicyTrainer
    before, calls = getattr(owner, place), []

    def stop(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return before(*given)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(owner, place, stop)
        train(KEPT, root=tmp_path, algorithms=[Momentum()], progress=False)
    (folder,) = tmp_path.glob(f"train__*/checkpoints/checkpoint-{step}")
    assert set(read_states(folder, 0)) == {"algorithms[0]", "algorithms[1]"}
    again = train(KEPT, root=tmp_path, algorithms=[Momentum()], progress=False)
    assert again.manifest["resumed_from_step"] == step and again.run_id == unbroken.run_id
    assert weights(again) == weights(unbroken)
    assert len(again.manifest["algorithms"]) == 2


def test_hidden_state_is_refused_together_with_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"algorithms\[0\].seen = 'Hidden': keeps state of its own.*save_steps"
    ):
        prepare(CONFIG, algorithms=[Hidden()])
    assert prepare(dataclasses.replace(CONFIG, save_steps=None), algorithms=[Hidden()]).algorithms
    check_state([Times(2.0), Momentum()])
    # A plain number looks like a setting until it changes.
    with pytest.raises(InputError, match=r"algorithms\[0\] = .*keeps state of its own"):
        train(CONFIG, root=tmp_path, algorithms=[Counts()], progress=False)
    assert not list(tmp_path.glob("train__*/checkpoints/*/sums.json"))


# Through the trainer and the command line


def test_several_algorithms_train_together(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, save_steps=None, max_steps=1, scale_rewards="none")
    parts = [Samples(), Times(0.0), Plus(0.25), Says("a"), Says("b", 2.0)]
    seen: list[Rollout] = []
    plugs = Hooks(observe=lambda rollout: seen.append(rollout) or {"c": 3.0})
    record = train(config, root=tmp_path, algorithms=[*parts, plugs], progress=False)
    values = pd.read_csv(record.folder / "metrics.csv").set_index("metric")["value"]
    assert [values[name] for name in "abc"] == [1.0, 2.0, 3.0]
    assert seen[0].advantages.tolist() == [0.25] * 4


def test_two_sets_of_callables_are_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"algorithms = .Hooks.: .*put all callables into one"):
        train(CONFIG, root=tmp_path, algorithms=[Hooks(), Hooks()], progress=False)


def test_own_parts_train_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    own_package(tmp_path, monkeypatch)
    lines = [
        "n_problems: 2", "order: random", "prompts_per_step: 1", "group_size: 2", "max_completion_length: 4",
        "rewards: [accuracy, my_pkg.mod:short]", "algorithms:", "  - {name: my_pkg.mod:Scaled, by: 3.0}",
    ]  # fmt: skip
    path = tmp_path / "train.yaml"
    path.write_text("\n".join(lines))
    assert main(["train", "--config", str(path), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "accuracy+my_pkg.mod:short" in told and "my_pkg.mod:Scaled" in told
    # As `accelerate launch` starts it, in a process that finds the package by PYTHONPATH alone.
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    given = os.environ | {"PYTHONPATH": paths, "HAMMER_RESULTS": str(tmp_path / "results")}
    command = [sys.executable, "-m", "hammerlib.training.launch", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=given, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    record = RunRecord.load(Path(done.stdout.strip().splitlines()[-1]))
    values = record.table("metrics.csv").groupby("metric")["value"].mean()
    assert values["scaled_by"] == 3.0 and values["raw/short"] > 0
    assert record.run_id in told
    assert record.manifest["metric_meanings"] == {"scaled_by": "factor of the advantages"}


def test_a_wrong_own_part_ends_the_command_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    own_package(tmp_path, monkeypatch)
    (tmp_path / "train.yaml").write_text("algorithms: [{name: my_pkg.mod:Scald}]")
    assert main(["train", "--config", str(tmp_path / "train.yaml")]) == 2
    assert "did you mean my_pkg.mod:Scaled?" in capsys.readouterr().err


def test_an_algorithm_takes_the_place_of_the_rewards(tmp_path: Path) -> None:
    class Constant(Algorithm):
        def rewards(self, functions: list, config: TrainConfig) -> list:
            return [lambda completion_ids, **columns: [0.5] * len(completion_ids)]

    config = dataclasses.replace(CONFIG, save_steps=None, max_steps=1)
    record = train(config, root=tmp_path, algorithms=[Constant()], progress=False)
    values = pd.read_csv(record.folder / "metrics.csv").set_index("metric")["value"]
    assert values["reward_raw"] == 0.5 and values["zero_variance_share"] == 1.0
    # The same without a class; another function is another run.
    half, whole = (
        (lambda completion_ids, value=value, **_: [value] * len(completion_ids)) for value in (0.5, 1.0)
    )
    again = train(config, root=tmp_path, rewards=[half], progress=False)
    assert pd.read_csv(again.folder / "metrics.csv").set_index("metric")["value"]["reward_raw"] == 0.5
    assert again.run_id != prepare(config, rewards=[whole]).run_id
    with pytest.raises(InputError, match=r"rewards = 3: is no function"):
        prepare(config, rewards=[3])
    two = dataclasses.replace(config, rewards=("accuracy", "format"), reward_weights=(1.0, 2.0))
    with pytest.raises(InputError, match=r"reward_weights = .*each of the 1 rewards that algorithms leave"):
        train(two, root=tmp_path, algorithms=[Constant()], progress=False)
