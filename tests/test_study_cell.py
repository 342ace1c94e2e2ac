"""A cell of a study: real training and examination of a nano model, one record, the same every time."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hammerlib import load_backbone
from hammerlib.errors import InputError
from hammerlib.study.endpoints import endpoint_table, family_table, frontier_table
from hammerlib.study.plan import Study, Trial
from hammerlib.study.records import collected, unpack_counts
from hammerlib.study.trial import Curve, Probe, done, examine, nano_start, origin_of, replicate, run_trial

TINY = Study(
    "tiny",
    2,
    {"seeds": [0, 1], "stops": [2, 3], "width": 16, "heads": 2, "inner": 16, "batch_size": 2, "problems": 16},
    {
        "random": {},
        "hammer": {"order": "hammer", "order_options": {"start": "random"}},
        "dra": {"adjustment": "dra"},
        "placebo": {"bonus": {"name": "permuted-rewards"}},
        "window": {"window": [0.0, 1.0]},
        "filter": {"dynamic_sampling": True},
        "adapters": {"lora_rank": 2},
    },
    base={"prompts_per_step": 2, "group_size": 2, "max_completion_length": 6, "learning_rate": 1e-2},
    unseen=["sequence"],
    n_problems=8,
    n_held_out=8,
    samples=2,
    points=2,
    final_samples=2,
)
NANO = dataclasses.replace(TINY, starts={"backbone": "nano"})


def record(study: Study, arm: str, root, number: int = 0) -> dict:
    found = json.loads(run_trial(Trial(study, arm, number), root).read_text())
    unpack_counts(found)
    return found


def timeless(found: dict) -> dict:
    points = [{name: value for name, value in point.items() if name != "seconds"} for point in found["curve"]]
    return {name: value for name, value in found.items() if name != "seconds"} | {"curve": points}


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    root = tmp_path_factory.mktemp("studies")
    return {arm: record(TINY, arm, root) for arm in TINY.arms}


def test_arms_of_a_replicate_share_start_problems_and_examination(arms):
    for name in ("start", "problems", "held_out", "topics", "unseen", "replicate", "packages"):
        assert len({json.dumps(one[name]) for one in arms.values()}) == 1, name
    assert len({json.dumps(one["curve"][0]["correct"]) for one in arms.values()}) == 1
    assert len({one["identity"] for one in arms.values()}) == len(arms)


@pytest.mark.long
def test_the_budget_is_the_same_in_rollouts(arms):
    for name, one in arms.items():
        assert one["curve"][0]["rollouts"] == 0 and one["curve"][-1]["rollouts"] == 16, name
        assert one["curve"][-1]["prompts"] == 8, name
        assert sum(one["training"]["generated"]) == 16, name
    assert arms["window"]["probe_rollouts"] == 64 and arms["random"]["probe_rollouts"] == 0


def test_points_are_those_of_the_policy_between_the_rollouts(arms):
    points = arms["random"]["curve"]
    assert [point["step"] for point in points] == [0, 2, 4]
    assert [point["rollouts"] for point in points] == [0, 8, 16]
    assert all(len(point["correct"]) == 8 and max(point["correct"]) <= 2 for point in points)
    assert points[1]["tokens"] < points[2]["tokens"]


def test_a_cell_run_again_is_the_same_record(arms, tmp_path):
    assert timeless(record(TINY, "hammer", tmp_path)) == timeless(arms["hammer"])


def test_a_record_is_kept_and_one_of_other_settings_is_never_taken_for_it(arms, tmp_path):
    path = run_trial(Trial(TINY, "random", 0), tmp_path)
    before = path.read_bytes()
    assert run_trial(Trial(TINY, "random", 0), tmp_path).read_bytes() == before
    other = dataclasses.replace(TINY, base={**TINY.base, "learning_rate": 1e-3})
    assert done(Trial(TINY, "random", 0), tmp_path) and not done(Trial(other, "random", 0), tmp_path)


def test_training_reaches_the_policy_that_is_examined(tmp_path):
    whole = {**NANO.base, "max_completion_length": 40, "group_size": 4, "learning_rate": 2e-4}
    found = record(dataclasses.replace(NANO, n_held_out=32, samples=4, base=whole), "random", tmp_path)
    first, last = (np.array(found["curve"][place]["correct"]) for place in (0, -1))
    assert (first != last).any() and first.sum() > 0
    assert 0 < found["final"]["strategies"]["columns"] <= sum(found["final"]["correct"])


def test_replicates_differ_in_everything_that_is_fresh():
    first, second = replicate(TINY, 0), replicate(TINY, 1)
    assert not set(first.problems["prompt"]) & set(second.problems["prompt"])
    assert set(first.held_out["prompt"]) != set(second.held_out["prompt"])
    assert first.start != second.start and first.origin != second.origin
    assert "sequence" in set(first.held_out["topic"]) and "sequence" not in set(first.problems["topic"])


def test_starts_go_through_seeds_then_stops_then_again():
    origins = [tuple(origin_of(TINY, number).values()) for number in range(5)]
    assert origins == [(0, 2), (1, 2), (0, 3), (1, 3), (0, 2)]


def test_the_snapshot_of_a_longer_training_is_the_shorter_one():
    alone = dataclasses.replace(TINY, starts={**TINY.starts, "stops": [2]})
    both, one = (load_backbone(str(nano_start(plan, {"seed": 0, "stop": 2}))) for plan in (TINY, alone))
    assert both.weights_hash == one.weights_hash


def test_a_sample_hangs_on_its_problem_and_number_alone():
    table = replicate(NANO, 0).held_out
    whole = examine(load_backbone("nano"), table, samples=2, seed=5)["correct"]
    part = examine(load_backbone("nano"), table.select([3, 1]), samples=2, seed=5)["correct"]
    assert part == [whole[3], whole[1]]


def test_a_start_that_can_rewrite_is_another_start_and_has_seen_syntheses():
    rewriting = dataclasses.replace(TINY, starts={**TINY.starts, "syntheses": 0.5}).validate()
    plain, other = (nano_start(plan, {"seed": 0, "stop": 3}) for plan in (TINY, rewriting))
    assert plain != other
    hashes = {load_backbone(str(folder)).weights_hash for folder in (plain, other)}
    assert len(hashes) == 2


def test_a_probe_is_the_entropy_over_the_answers_of_the_start(tmp_path):
    plan = dataclasses.replace(
        NANO,
        probe=6,
        primaries=[["filter", "random"]],
        primary_endpoint="probe_entropy",
        base={**NANO.base, "max_completion_length": 40, "group_size": 4, "token_budget": 600},
    ).validate()
    shared = replicate(plan, 0)
    nano = load_backbone("nano", dtype="float32")
    probe = Probe.of(nano, shared.held_out.select(range(6)), seed=0, max_new_tokens=40, template="raw")
    # One row at a time, without padding; entropy by hand.
    total = tokens = 0
    for prompt, answer in zip(probe.prompt_ids, probe.completion_ids, strict=True):
        with torch.no_grad():
            logits = nano.model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        total += torch.distributions.Categorical(logits=logits.double()).entropy().sum().item()
        tokens += len(answer)
    found = {arm: record(plan, arm, tmp_path) for arm in ("random", "filter")}
    for one in found.values():
        assert one["curve"][0]["probe_entropy"] == pytest.approx(total / tokens, abs=1e-5)
        assert one["primaries"] == [["filter", "random"]] and one["primary_endpoint"] == "probe_entropy"
    assert found["random"]["curve"][-1]["probe_entropy"] != found["random"]["curve"][0]["probe_entropy"]
    both = collected([*found.values()])
    assert both.primaries == (("filter", "random"),) and both.probed


def test_the_end_is_examined_on_trained_problems_and_at_other_temperatures(tmp_path):
    base = {**NANO.base, "max_completion_length": 40, "epochs": 2, "epoch_order": "reorder"}
    more = {"final_temperatures": [0.7], "trained_samples": 3, "primary_endpoint": "gap", "unseen": []}
    small = {"arms": {name: NANO.arms[name] for name in ("random", "hammer")}, "base": base, "unseen": []}
    plan = dataclasses.replace(NANO, **small | more, primaries=[["hammer", "random"]]).validate()
    found = record(plan, "random", tmp_path)
    plain = record(dataclasses.replace(NANO, **small), "random", tmp_path / "plain")
    assert found["curve"][-1]["rollouts"] == 32, "two epochs of 8 problems and groups of 2"
    for name in ("final", "curve"):
        assert timeless(found)[name] == timeless(plain)[name], "what is examined besides changes nothing"
    assert plain.keys() == found.keys() - {"temperatures", "trained", "primaries", "primary_endpoint"}
    assert len(found["temperatures"]["0.7"]) == len(found["topics"]) == 8
    assert len(found["trained"]["correct"]) == 8 and max(found["trained"]["correct"]) <= 3
    held_out = np.mean(found["final"]["correct"]) / 2
    gap = np.mean(found["trained"]["correct"]) / 3 - held_out
    both = collected([found, found | {"replicate": 1}])
    assert endpoint_table(both)["gap"].tolist() == pytest.approx([gap, gap]) and both.measures("gap")
    table = frontier_table(both).query("temperature == 1 and replicate == 0").iloc[0]
    assert table["pass@1"] == pytest.approx(held_out)
    cold = frontier_table(both).query("temperature == 0.7")["pass@1"]
    assert cold.tolist() == pytest.approx([np.mean(found["temperatures"]["0.7"]) / 2] * 2)


def test_shares_of_topics_are_those_of_the_training_problems_alone(tmp_path):
    topics = ["take_story", "change_story", "compare_story", "join_story", "sum"]
    shares = dict(zip(topics, [60, 20, 10, 5, 5], strict=True))
    more = {"problems": "reasoning-gym:one-digit", "unseen": [], "n_problems": 21, "n_held_out": 10}
    plan = dataclasses.replace(NANO, shares=shares, primary_endpoint="worst", **more).validate()
    shared = replicate(plan, 0)
    # 12.6, 4.2, 2.1, 1.05 and 1.05 of 21: the one that is left goes to the largest remainder.
    assert Counter(shared.problems["topic"]) == dict(zip(topics, [13, 4, 2, 1, 1], strict=True))
    assert Counter(shared.held_out["topic"]) == dict.fromkeys(topics, 2)
    assert len(set(shared.problems["id"])) == 21
    assert shared.problems["topic"][:13] != ["take_story"] * 13, "in the order in which they were drawn"
    found = record(plan, "random", tmp_path)
    both = collected([found, found | {"replicate": 1}])
    ends = endpoint_table(both)
    finals = family_table(both).query("replicate == 0")["final"]
    assert ends["macro"][0] == pytest.approx(finals.mean()) and ends["worst"][0] == finals.min()
    wrong = dataclasses.replace(plan, shares={"sum": 1.0})
    with pytest.raises(InputError, match="are not the topics of these problems; give shares of change_story"):
        replicate(wrong, 0)


def test_an_endpoint_that_a_plan_does_not_measure_is_refused():
    for endpoint, field in (("gap", "trained_samples"), ("macro", "shares"), ("worst", "shares")):
        with pytest.raises(InputError, match=f"is not measured without {field}"):
            dataclasses.replace(NANO, primary_endpoint=endpoint).validate()
    with pytest.raises(InputError, match="leaves out topics that shares count"):
        dataclasses.replace(NANO, shares={"sum": 1.0, "sequence": 2.0}).validate()


def test_a_record_holds_what_the_arms_algorithms_log(tmp_path):
    arms = {
        "random": {},
        "branching": {"algorithms": [{"name": "cure", "n1": 1, "n2": 1, "min_token_chars": 1}]},
    }
    plan = dataclasses.replace(NANO, arms=arms, base={**NANO.base, "loss_type": "dapo"}).validate()
    found = record(plan, "branching", tmp_path)
    assert len(found["training"]["cure/prefix_share"]) == found["curve"][-1]["step"]


def test_a_curve_counts_rollouts_that_were_left_out():
    class Said:
        step, trainer = 0, SimpleNamespace(tokens={"sampled_tokens": 21})
        rows = [{}] * 4

        class excluded:
            rows = [{}] * 2

    curve = Curve(None, [7])  # no mark is reached, so that nothing is examined
    curve.observe(Said())
    assert curve.rollouts == 6 and curve.tokens == 21 and curve.points == []
