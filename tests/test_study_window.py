"""The learnability window: which problems, for how long, at which cost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ordering_samples import problem_table

from hammerlib.errors import InputError
from hammerlib.study.orders import learnable_window
from hammerlib.study.plan import Study, Trial
from hammerlib.study.trial import PROBES, run_trial
from hammerlib.training import TrainConfig
from hammerlib.training.schedule import plan

N, K, SAMPLES = 64, 4, 8
PROBLEMS = problem_table(N)
RATES = np.random.default_rng(0).binomial(SAMPLES, np.random.default_rng(1).beta(1, 1, N)) / SAMPLES
MIDDLE = [0.25, 0.75]


def window(interval: object = MIDDLE, seed: int = 0, rates: np.ndarray = RATES, **changes: object) -> object:
    told = {"samples": SAMPLES, "prompts_per_step": K} | changes
    return learnable_window(PROBLEMS, rates, interval, seed=seed, **told)


def test_only_problems_inside_are_kept_in_whole_steps() -> None:
    found = window()
    inside = np.flatnonzero((RATES >= 0.25) & (RATES <= 0.75))
    assert set(found.rows) <= set(inside)
    assert len(found.rows) == len(inside) // K * K and (np.diff(found.rows) > 0).all()
    assert found.problems["id"][:] == [f"p{row}" for row in found.rows]
    assert window().rows.tolist() == found.rows.tolist()


def test_what_fills_no_step_is_drawn_by_the_seed() -> None:
    rates = np.where(np.arange(N) < 10, 0.5, 0.0)
    kept = [set(window(rates=rates, seed=seed).rows) for seed in range(8)]
    assert (
        all(len(rows) == 8 and rows < set(range(10)) for rows in kept) and len(set(map(frozenset, kept))) > 1
    )


def test_as_many_prompts_are_consumed_as_by_the_whole_table() -> None:
    whole = plan(TrainConfig(prompts_per_step=K), N)
    for interval in (MIDDLE, [0.5, 0.5], [0.0, 1.0]):
        found = window(interval)
        config = TrainConfig(prompts_per_step=K, epochs=found.epochs, max_steps=found.max_steps)
        planned = plan(config, len(found.problems))
        assert planned.steps == whole.steps and planned.tail == 0
        assert (found.epochs - 1) * len(found.rows) < whole.steps * K <= found.epochs * len(found.rows)
    assert window([0.0, 1.0]).epochs == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"interval": [0.75, 0.25]}, "window"),
        ({"interval": "half"}, "window"),
        ({"interval": [0.26, 0.3]}, "holds 0 of 64"),
        ({"rates": RATES[:5]}, "pass_rates"),
        ({"rates": RATES + 2}, "pass_rates"),
        ({"samples": 3}, "cannot have given"),
        ({"samples": 0}, "samples = 0"),
        ({"prompts_per_step": 65}, "prompts_per_step"),
    ],
)
def test_a_window_of_no_use_is_refused(changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        window(**changes)


@pytest.mark.long
def test_a_cell_trains_its_window_and_pays_for_the_probe(tmp_path: Path) -> None:
    arms = {"random": {"order": "random"}, "window": {"order": "random", "window": [0.125, 0.875]}}
    sizes = {"n_problems": 12, "n_held_out": 4, "points": 1, "samples": 1, "final_samples": 1}
    base = {"group_size": 2, "prompts_per_step": 2}
    study = Study("s", 1, {"backbone": "nano"}, arms, base=base, **sizes).validate()
    record = json.loads(run_trial(Trial(study, "window", 0), tmp_path).read_text())
    assert record["status"] == "success" and record["probe_rollouts"] == PROBES * 12
    assert [point["rollouts"] for point in record["curve"]] == [0, 24]  # as one pass over all twelve
