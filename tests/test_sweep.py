"""Grids of runs: order kept, equal runs done once, failures named after the others have finished."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pytest

from hammerlib import sweep
from hammerlib.errors import InputError


def _fail_on_two(x: int) -> int:
    if x == 2:
        raise InputError("item", x, "is two", "use three")
    return x


@dataclass(frozen=True)
class Arm:
    """Stands in for TrainConfig: what run_grid reads of it."""

    seed: int
    order: str = "hammer"
    adjustment: str = "none"
    options: dict = field(default_factory=dict)

    def validate(self) -> Arm:
        if self.seed < 0:
            raise InputError("seed", self.seed, "must be 0 or more", "use 0")
        return self


def _train_arm(job: tuple[Arm, object]) -> tuple[int, int]:
    arm, _ = job
    if arm.seed == 3:
        raise InputError("problems", 7, "fewer than one batch", "add problems")
    return arm.seed, os.getpid()


def test_results_keep_the_order_of_the_items_and_failures_their_reason():
    assert sweep._run_pool(_fail_on_two, [3, 2, 1], 2, label="t") == [
        3,
        "InputError: item = 2: is two; use three",
        1,
    ]


def test_a_grid_returns_records_by_config_and_trains_equal_configs_once(monkeypatch, tmp_path):
    monkeypatch.setattr(sweep, "_train", _train_arm)
    records = sweep.run_grid([Arm(2), Arm(0), Arm(2)], workers=1, root=tmp_path)
    assert [seed for seed, _ in records] == [2, 0, 2]
    assert records[0] is records[2]


def test_a_grid_names_its_failed_runs_after_the_others_have_finished(monkeypatch, tmp_path):
    monkeypatch.setattr(sweep, "_train", _train_arm)
    with pytest.raises(InputError) as caught:
        sweep.run_grid([Arm(3), Arm(1), Arm(2, adjustment="dra")], workers=2, root=tmp_path)
    line = str(caught.value)
    assert "1 of 3 runs failed (hammer-none-s3: InputError: problems = 7: fewer than one batch" in line
    assert "\n" not in line


def _evaluate_model(job: tuple[str, str, object, dict]) -> tuple[str, int]:
    model, benchmark, _, options = job
    if model == "absent":
        raise InputError("model", model, "is not there", "train it")
    return f"{model} on {benchmark}", options["k"]


def test_models_are_evaluated_once_each_and_returned_in_order(monkeypatch, tmp_path):
    monkeypatch.setattr(sweep, "_evaluate", _evaluate_model)
    records = sweep.evaluate_grid(["b", "a", "b"], "x", workers=2, root=tmp_path, k=4)
    assert records == [("b on x", 4), ("a on x", 4), ("b on x", 4)]
    with pytest.raises(InputError, match="1 of 2 runs failed \\(absent: InputError: model = 'absent'"):
        sweep.evaluate_grid(["absent", "a"], "x", workers=1, root=tmp_path, k=4)


def test_two_configs_that_share_a_name_stay_two_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(sweep, "_train", _train_options)
    records = sweep.run_grid(
        [Arm(1, options={"rate": 1}), Arm(1, options={"rate": 2})], workers=1, root=tmp_path
    )
    assert records == [{"rate": 1}, {"rate": 2}]


def _train_options(job: tuple[Arm, object]) -> dict:
    return job[0].options


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: sweep.evaluate_grid([], "x"), "models"),
        (lambda: sweep.run_grid([]), "configs"),
        (lambda: sweep.run_grid([Arm(0), Arm(-1)]), "seed"),
        (lambda: sweep.run_grid([Arm(0)], workers=0), "workers"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(call, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        call()
