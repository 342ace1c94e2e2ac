"""A study's file: what it may say, what it refuses, and which cells it makes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from hammerlib.errors import InputError
from hammerlib.models.warm import WARM_UP
from hammerlib.study.endpoints import Curve, area
from hammerlib.study.plan import Study, Trial, cells, evaluation_noise, held_out_needed, read_study
from hammerlib.study.records import start_name
from hammerlib.study.trial import origin_of, replicate

ARMS = {"random": {}, "hammer": {"order": "hammer"}}
MAIN = Path(__file__).parents[1] / "configs" / "study" / "main.yaml"


def study(**changes) -> Study:
    given = {"study": "s", "replicates": 2, "starts": {"backbone": "nano"}, "arms": ARMS}
    return Study(**{**given, **changes})


def test_cells_come_replicate_by_replicate_and_arms_may_have_fewer():
    plan = study(replicates=3, first=100, arms={**ARMS, "few": {"replicates": 1}}).validate()
    names = [cell.name for cell in cells(plan)]
    assert names[:3] == ["random__r100", "hammer__r100", "few__r100"]
    assert names[3:] == ["random__r101", "hammer__r101", "random__r102", "hammer__r102"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"replicates": 0}, "replicates = 0"),
        ({"arms": {}}, "arms = .*is empty"),
        ({"starts": {"seeds": [0]}}, "starts = .*give seeds and stops"),
        ({"starts": {"backbone": "nano", "seeds": [0]}}, r"starts.seeds = \[0\]: are no part of 'nano'"),
        ({"starts": {"backbone": "smollm2-135m-warm", "seeds": [1, 1]}}, "starts.seeds = .*a start twice"),
        ({"starts": {"backbone": "smollm2-135m-warm", "seeds": []}}, "starts.seeds"),
        ({"starts": {"backbone": "smollm2-135m-warm", "stops": [1]}}, "stops"),
        ({"arms": {"a": {"twin": "b"}}}, "arms.a.twin = 'b': is not an arm"),
        ({"arms": {"random": {"seed": 3}}}, "belongs to the replicate"),
        ({"base": {"backbone": "nano"}}, "belongs to the replicate"),
        ({"arms": {"random": {"order": "best"}}}, "order = 'best'"),
        ({"arms": {"random": {"lerning_rate": 1.0}}}, "lerning_rate"),
        ({"arms": {"random": {"bonus": {"name": "luck"}}}}, "bonus = 'luck'"),
        ({"arms": {"random": {"window": [0.9, 0.1]}}}, "window"),
        ({"arms": {"random": {"replicates": 3}}}, "arms.random.replicates = 3"),
        ({"primaries": [["hammer", "best"]]}, "primaries = 'best': is not an arm"),
        ({"primaries": [["hammer"]]}, "primaries"),
        ({"primary_endpoint": "luck"}, "primary_endpoint = 'luck'"),
        ({"primary_endpoint": "probe_entropy"}, "is not measured without a probe; set probe"),
        ({"probe": 999}, "probe = 999: is above the 320 held-out problems"),
        ({"starts": {"seeds": [0], "stops": [2], "syntheses": 1.5}}, "starts.syntheses = 1.5"),
        ({"arms": {"random": {"replicates": 1}, "b": {"replicates": 2}}}, "as many as its twin has"),
    ],
)
def test_a_study_that_cannot_run_is_refused_by_name(changes, message):
    with pytest.raises(InputError, match=message):
        study(**changes).validate()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study: [", "cannot be read"),
        ("study: s", "replicates = None: is missing"),
        ("- 1", "holds no names with values"),
        ("{study: s, replicates: 1, starts: {}, arms: {}, sceds: 1}", "'sceds': is no known parameter"),
    ],
)
def test_a_broken_file_is_one_clear_error(tmp_path, text, message):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_study(tmp_path / "s.yaml")


def test_identity_follows_what_decides_the_result_and_nothing_else():
    cell = Trial(study(), "hammer", 1)
    same = Trial(study(replicates=9, arms={**ARMS, "third": {}}, study="other"), "hammer", 1)
    assert same.identity == cell.identity
    judged = study(primaries=[["hammer", "random"]], primary_endpoint="pass@k")
    assert Trial(judged, "hammer", 1).identity == cell.identity
    placebo = {"order": "hammer", "bonus": {"name": "permuted-rewards"}}
    others = [
        Trial(study(), "hammer", 0),
        Trial(study(), "random", 1),
        Trial(study(n_problems=64), "hammer", 1),
        Trial(study(probe=4), "hammer", 1),
        Trial(study(base={"learning_rate": 1e-4}), "hammer", 1),
        Trial(study(arms={**ARMS, "hammer": {"order": "hammer", "vectors": "tfidf"}}), "hammer", 1),
        Trial(study(arms={**ARMS, "hammer": placebo}), "hammer", 1),
    ]
    assert len({one.identity for one in [cell, *others]}) == len(others) + 1


def test_the_committed_study_compares_what_its_protocol_says():
    plan = read_study(MAIN)
    assert list(plan.arms)[:4] == ["random", "hammer", "min-path", "dra"]
    primaries = {cell.arm for cell in cells(plan) if cell.replicate == plan.replicates - 1}
    causes = {"reversed", "batch-shuffled", "random-batches", "stretch-shuffled", "matched", "matched-topic"}
    assert primaries == {"random", "hammer", "min-path", "dra", "dra-placebo"} | causes
    starts = len(plan.starts["seeds"]) * len(plan.starts["stops"])
    assert plan.replicates % starts == 0  # every start equally often
    for name, arm in plan.arms.items():
        assert arm.get("replicates", plan.replicates) % starts == 0, name
        assert Trial(plan, name, 0).control in plan.arms


def test_every_study_file_of_the_repository_can_run():
    files = sorted(MAIN.parent.glob("*.yaml"))
    assert MAIN in files
    for file in files:
        plan = read_study(file)
        assert cells(plan), file.name
        assert yaml.safe_load(file.read_text())["study"] == file.stem


@pytest.mark.parametrize(("problems", "samples", "points"), [(40, 1, 1), (60, 4, 10), (200, 2, 5)])
def test_the_noise_of_examinations_is_that_of_simulated_arms(problems: int, samples: int, points: int):
    rng = np.random.default_rng(0)
    shape = (4000, 2, points + 1)  # studies, arms, points
    heights = rng.binomial(problems * samples, 0.5, shape) / (problems * samples)
    heights[:, 1, 0] = heights[:, 0, 0]  # the start is one model, sampled once
    axis = np.linspace(0, 1, points + 1)
    areas = np.array([[area(Curve(axis, arm)) for arm in study] for study in heights])
    seen = (areas[:, 0] - areas[:, 1]).std()
    assert evaluation_noise(problems, samples, points) == pytest.approx(seen, rel=0.05)


def test_a_plan_states_its_noise_and_is_refused_above_it():
    assert evaluation_noise(320, 4, 10) == pytest.approx((2 * 0.0925 / 4 / 1280) ** 0.5)
    needed = held_out_needed(0.005, points=10)
    assert evaluation_noise(needed, 1, 10) <= 0.005 < evaluation_noise(needed - 1, 1, 10)
    plan = study(n_held_out=needed, samples=1, evaluation_noise=0.005).validate()
    with pytest.raises(InputError, match=f"evaluation_noise = 0.005: .*use n_held_out: {needed}"):
        study(n_held_out=needed - 1, samples=1, evaluation_noise=0.005).validate()
    with pytest.raises(InputError, match="evaluation_noise = 0"):
        study(evaluation_noise=0).validate()
    unsaid = study(n_held_out=needed, samples=1).validate()
    assert [cell.identity for cell in cells(plan)] == [cell.identity for cell in cells(unsaid)]


def test_every_replicate_of_a_warmed_backbone_has_a_checkpoint_of_its_own(monkeypatch) -> None:
    made = []
    monkeypatch.setattr(
        "hammerlib.study.trial.warm_start", lambda recipe: made.append(recipe) or Path("warm")
    )
    starts = {"backbone": "smollm2-135m-warm", "seeds": [5, 6, 7]}
    plan = study(starts=starts, problems="reasoning-gym:one-digit").validate()
    origins = [origin_of(plan, number) for number in range(4)]
    assert [origin["seed"] for origin in origins] == [5, 6, 7, 5]
    assert len({start_name({"start": origin}) for origin in origins}) == 3
    assert replicate(dataclasses.replace(plan, n_problems=8, n_held_out=8), 1).start == "warm"
    assert made == [dataclasses.replace(WARM_UP, seed=6)]
