"""The systems as algorithms that a configuration names: refusals, composition, state; arms."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hammerlib.errors import InputError
from hammerlib.models.backbone import load_backbone
from hammerlib.problems import load_problems
from hammerlib.runs import RunRecord
from hammerlib.systems.arms import compare_arms, over_seeds
from hammerlib.systems.chord.algorithm import Chord
from hammerlib.systems.chord.experts import (
    NANO_SOLUTIONS,
    expert_table,
    load_experts,
    nano_experts,
    tokenised,
)
from hammerlib.systems.cure.algorithm import Cure
from hammerlib.systems.etmr.algorithm import TreeVotes
from hammerlib.systems.g2rpo_a.algorithm import GuidedGroups
from hammerlib.systems.hard_examples.algorithm import LearnableShare
from hammerlib.systems.ttrl.algorithm import EntropyReshape, VoteThenSample
from hammerlib.systems.uncalibrated.algorithm import LeaveOneOut
from hammerlib.training import Rollout, TrainConfig, train
from hammerlib.training.hooks import make_algorithms

ONE = TrainConfig(n_problems=4, order="random", prompts_per_step=2, group_size=4, max_completion_length=12)
BY_NAME = {
    "chord": (Chord("nano:tens", batch_size=3), {"experts": "nano:tens", "batch_size": 3}),
    "ttrl": (VoteThenSample(8), {"votes": 8}),
    "ettrl": (EntropyReshape("clip", beta=1.5), {"kind": "clip", "beta": 1.5}),
    "rloo": (LeaveOneOut(), {}),
    "cure": (Cure(1, 3, top_k=5), {"n1": 1, "n2": 3, "top_k": 5}),
    "etmr": (TreeVotes(2, 1, 2, "first"), {"trees": 2, "forks": 1, "branches": 2, "train": "first"}),
    "g2rpo-a": (GuidedGroups(6, alpha=0.5), {"length": 6, "alpha": 0.5}),
}
SOUND = {"chord": {"loss_type": "dapo"}, "cure": {"loss_type": "dapo"}, "rloo": {"scale_rewards": "none"}}


@pytest.mark.parametrize("name", BY_NAME)
def test_a_configuration_makes_what_python_would(name: str) -> None:
    known, options = BY_NAME[name]
    config = dataclasses.replace(ONE, algorithms=({"name": name, **options},), **SOUND.get(name, {}))
    assert make_algorithms(config.validate()) == [known]


@pytest.mark.parametrize(("settings", "changes", "words"), [
    ({"name": "chord", "experts": "nano:check"}, {}, "loss_type = 'grpo'.*set loss_type: dapo"),
    ({"name": "chord", "experts": "hub:x"}, SOUND["chord"], r"algorithms\[0\].experts = 'hub:x': is unknown"),
    ({"name": "chord", "experts": "nano:long"}, SOUND["chord"], "columns, tens, check"),
    ({"name": "chord", "experts": 5}, SOUND["chord"], r"algorithms\[0\].experts = 5: is not experts"),
    ({"name": "chord", "experts": "file:none.jsonl"}, SOUND["chord"], "cannot be read"),
    ({"name": "ttrl", "votes": 3}, {}, "votes = 3: are fewer than the group size 4"),
    ({"name": "ettrl", "kind": "both"}, {}, "use one of residual, clip"),
    ({"name": "rloo"}, {}, "scale_rewards = 'group'.*set it to none"),
])  # fmt: skip
def test_what_a_system_cannot_train_with_is_one_line(settings: dict, changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        dataclasses.replace(ONE, algorithms=(settings,), **changes).validate()


def weights(record: RunRecord) -> dict[str, torch.Tensor]:
    return load_backbone(str(record.folder / "model")).model.state_dict()


@pytest.mark.systems
def test_chord_by_name_trains_as_the_object(tmp_path: Path) -> None:
    config = dataclasses.replace(ONE, loss_type="dapo", n_problems=2)
    settings = {"name": "chord", "experts": "nano:check", "batch_size": 4, "peak": 0.5, "valley": 0.5}
    named = train(dataclasses.replace(config, algorithms=(settings,)), root=tmp_path / "a", progress=False)
    nano = load_backbone("nano")
    problems = load_problems("reasoning-gym:nano", split="supervised", n=NANO_SOLUTIONS)
    experts = load_experts(nano_experts(problems, strategy="check"), nano)
    chord = Chord(experts, batch_size=4, peak=0.5, valley=0.5)
    made = train(config, algorithms=[chord], root=tmp_path / "b", progress=False)
    assert all(torch.equal(weights(named)[name], value) for name, value in weights(made).items())
    assert set(Chord.METRICS) <= set(named.table("metrics.csv")["metric"])
    assert named.run_id != made.run_id


def test_experts_of_a_file_are_named_by_its_contents(tmp_path: Path) -> None:
    path = tmp_path / "experts.jsonl"
    rows = [{"prompt": "2+2", "solution": " 4"}, {"prompt": "3+3", "solution": " 6"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    for name in (f"file:{path}", f"file:{path}@00000000"):
        with pytest.raises(InputError, match=f"write file:.*@{digits}"):
            Chord(name)
    nano = load_backbone("nano")
    source = f"file:{path}@{digits}"
    assert Chord(source).experts == source
    found = tokenised(source, nano.tokenizer, 512, "raw")
    assert found == load_experts(expert_table(source), nano) and found.ids == ("expert-0", "expert-1")
    path.write_text(json.dumps({"prompt": "2+2"}) + "\n")
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    with pytest.raises(InputError, match="has no column solution"):
        Chord(f"file:{path}@{digits}")


@pytest.mark.systems
def test_systems_compose_and_explain_what_they_report(tmp_path: Path) -> None:
    settings = ({"name": "ttrl", "votes": 6}, {"name": "ettrl"}, {"name": "learnable"})
    config = dataclasses.replace(ONE, max_completion_length=40, algorithms=settings)
    record = train(config, root=tmp_path, progress=False)
    table = record.table("metrics.csv").pivot_table(index="step", columns="metric", values="value")
    assert (table["generated"] == 12).all() and (table["trained"] == 8).all() and len(table) == 2
    described = {name for one in make_algorithms(config) for name in one.METRICS}
    assert {name for name in table.columns if name.startswith(("vote/", "learnable/"))} == described
    assert table["learnable/groups"].tolist() == pytest.approx((1 - table["zero_variance_share"]).tolist())


def test_the_learnable_percentage_goes_on_counting_after_a_checkpoint() -> None:
    watch = LearnableShare()
    taught, untaught = np.array([1.0, 0, 1, 1]), np.array([0.0, 0, np.nan, np.nan])
    rollouts = [
        Rollout(0, [{}] * 4, ["4"] * 4, [[7]] * 4, [None] * 4, raw, raw, np.eye(4), 2)
        for raw in (taught, untaught, taught)
    ]
    found = [watch.observe(rollout) for rollout in rollouts]
    assert [one["learnable/groups"] for one in found] == [0.5, 0.0, 0.5]
    assert [one["learnable/steps"] for one in found] == [1.0, 0.5, pytest.approx(2 / 3)]
    again = LearnableShare()
    again.observe(rollouts[0])
    state = json.loads(json.dumps(again.state_dict()))
    resumed = LearnableShare()
    resumed.load_state_dict(state)
    assert [resumed.observe(rollout) for rollout in rollouts[1:]] == found[1:]


# Arms


@pytest.mark.systems
def test_arms_differ_in_what_they_change_alone(tmp_path: Path) -> None:
    shared = dataclasses.replace(ONE, n_problems=2, scale_rewards="none", max_completion_length=40)
    arms = {"name": {"algorithms": [{"name": "rloo"}]}, "object": {"algorithms": [LeaveOneOut()]}}
    made = compare_arms(arms, shared, seeds={0: {}, 3: {"learning_rate": 1e-5}}, root=tmp_path)
    seeds = [[one.manifest["parameters"]["seed"] for one in each] for each in made.records.values()]
    assert seeds == [[0, 3], [0, 3]]
    rates = [one.manifest["parameters"]["learning_rate"] for one in made.records["name"]]
    assert rates == [ONE.learning_rate, 1e-5]
    by_name, by_object = (weights(made.records[arm][0]) for arm in arms)
    assert all(torch.equal(by_name[name], value) for name, value in by_object.items())
    first, other = made.metric("name", "reward_raw")
    assert made.last("name", "reward_raw", 1).tolist() == [first[-1], other[-1]]
    asked = {"n": 2, "k": 2, "max_new_tokens": 40, "root": tmp_path}
    tested = made.evaluate("reasoning-gym:nano", before={"before": ["nano"]}, **asked)
    assert tested.shares["before"].shape == (1, 2) and tested.shares["name"].shape == (2, 2)
    assert tested.gain("name", "object").value == 0 and len(tested.completions("name")) == 2 * 2 * 2
    expected = tested.shares["name"].mean() - tested.shares["before"].mean()
    assert tested.gain("name", "before").value == pytest.approx(expected)
    assert tested.means["name"].low <= tested.means["name"].value <= tested.means["name"].high


def test_the_interval_over_seeds_is_students() -> None:
    # Mean 2, deviation 1, t(0.975, 2) = 4.3027: half a width of 4.3027 / sqrt(3) = 2.4841.
    assert over_seeds([1, 2, 3]) == pytest.approx((2, 2 - 2.4841, 2 + 2.4841), abs=1e-4)
    assert over_seeds([1, 2, 3], low=0, high=4) == (2, 0, 4)
