"""The adaptive sampler: counts and choices by hand, what it does to a stream of problems, and real steps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import beta
from system_runs import SMALL
from system_steps import broken_off_and_resumed, same_weights, table

from hammerlib.errors import InputError
from hammerlib.study.adaptive import AdaptiveSampler
from hammerlib.training import TrainConfig, train
from hammerlib.training.logs import read_completions
from hammerlib.training.run import prepare

# Counts and choices


@pytest.mark.parametrize(("decay", "expected"), [
    # After 6 of 8 and then 2 of 8: alpha = 1 + 6 d + 2, beta = 1 + 2 d + 6; the released update,
    # alpha d + prior (1 - d) + right, is the same number.
    (1.0, (9.0, 9.0)), (0.5, (6.0, 8.0)), (0.0, (3.0, 7.0)),
])  # fmt: skip
def test_counts_decay_towards_the_prior(decay: float, expected: tuple[float, float]) -> None:
    sampler = AdaptiveSampler(decay=decay)
    sampler.update([("a", 6, 8)])
    released = [
        decay * value + (1 - decay) + new for value, new in zip(sampler.beta_of("a"), (2, 6), strict=True)
    ]
    sampler.update([("a", 2, 8)])
    assert sampler.beta_of("a") == expected == tuple(released)


def test_what_is_known_to_be_near_the_target_is_chosen() -> None:
    sampler = AdaptiveSampler(candidates=100)
    problems = ["easy", "even", "hard"]
    sampler.update([("easy", 9_900, 10_000), ("even", 5_000, 10_000), ("hard", 100, 10_000)])
    for seed in range(20):
        assert problems[sampler.choose(problems, 1, np.random.default_rng(seed))[0]] == "even"
        far = dataclasses.replace(sampler, target=0.95)
        far.counts = sampler.counts
        assert problems[far.choose(problems, 1, np.random.default_rng(seed))[0]] == "easy"


def test_an_unseen_problem_is_chosen_as_often_as_its_prior_says() -> None:
    # Unseen: U uniform; seen: B of Beta(1 + 3, 1 + 3). Chosen with the chance that |U - .5| < |B - .5|.
    sampler = AdaptiveSampler()
    sampler.update([("seen", 3, 6)])
    rng = np.random.default_rng(0)
    chosen = np.mean([sampler.choose(["unseen", "seen"], 1, rng)[0] == 0 for _ in range(4000)])
    grid = (np.arange(20_000) + 0.5) / 20_000
    expected = (2 * np.abs(grid - 0.5) * beta.pdf(grid, 4, 4)).mean()
    assert abs(chosen - expected) < 4 * np.sqrt(expected * (1 - expected) / 4000)


def test_no_problem_twice_in_a_batch_and_all_of_a_small_table() -> None:
    sampler = AdaptiveSampler(candidates=3)
    problems = list("abcdefgh")
    for seed in range(10):
        chosen = sampler.choose(problems, 4, np.random.default_rng(seed))
        assert len(set(chosen.tolist())) == 4
        assert sorted(sampler.choose(problems, 8, np.random.default_rng(seed))) == list(range(8))


def test_of_the_learnable_the_ones_far_apart_are_trained() -> None:
    sampler = AdaptiveSampler(candidates=10, spread=2)
    problems = list("abcdef")
    # a to d are learnable, two by two alike; e and f are solved.
    sampler.update([(name, 500, 1000) for name in "abcd"] + [(name, 1000, 1000) for name in "ef"])
    sampler._vectors = np.array([[1, 0], [1, 0.01], [0, 1], [0.01, 1], [-1, 0], [0, -1]], dtype=float)
    for seed in range(20):
        chosen = {problems[place] for place in sampler.choose(problems, 2, np.random.default_rng(seed))}
        assert len(chosen & set("ab")) == 1 and len(chosen & set("cd")) == 1


def test_a_policy_that_learns_gets_fewer_groups_without_a_gradient_than_at_random() -> None:
    rng = np.random.default_rng(1)
    success = rng.beta(0.3, 0.3, 200)  # most problems are solved or hopeless
    problems = [str(place) for place in range(200)]
    flat = {"adaptive": 0, "random": 0}
    sampler = AdaptiveSampler(decay=0.9)
    for _ in range(60):
        choices = {"adaptive": sampler.choose(problems, 8, rng), "random": rng.choice(200, 8, replace=False)}
        for name, chosen in choices.items():
            right = rng.binomial(8, success[chosen])
            flat[name] += int(((right == 0) | (right == 8)).sum())
            if name == "adaptive":
                pairs = zip(chosen, right, strict=True)
                sampler.update([(problems[place], int(count), 8) for place, count in pairs])
    assert flat["adaptive"] < 0.6 * flat["random"]


@pytest.mark.parametrize(("options", "words"), [
    ({"target": 1.5}, "target = 1.5"), ({"decay": -0.1}, "decay = -0.1"), ({"decay": True}, "decay = True"),
    ({"target": float("nan")}, "target.* = nan"), ({"candidates": 0}, "candidates = 0"),
    ({"spread": 0}, "spread = 0"), ({"spread": 17}, "spread = 17: .*16 candidates"),
])  # fmt: skip
def test_values_out_of_range_are_one_line(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        TrainConfig.from_dict({"algorithms": [{"name": "adaptive", **options}]})
        prepare(dataclasses.replace(SMALL, algorithms=({"name": "adaptive", **options},)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("changes", "words"), [
    ({"dynamic_sampling": True}, "adaptive.*dynamic_sampling"),
    ({"algorithms": ({"name": "adaptive"}, {"name": "cure"})}, "generate in two ways"),
])  # fmt: skip
def test_a_second_chooser_or_rollout_is_refused(changes: dict, words: str) -> None:
    config = dataclasses.replace(SMALL, **{"algorithms": ({"name": "adaptive"},), **changes})
    with pytest.raises(InputError, match=words):
        prepare(config)


# In the house


@pytest.mark.parametrize("options", [{}, {"spread": 2, "decay": 0.5}])
def test_the_index_log_is_the_order_it_made(options: dict, tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, epochs=2, algorithms=({"name": "adaptive", **options},))
    record = train(config, root=tmp_path, progress=False)
    metrics = table(record)
    log = record.table("index_log.csv")
    trained = read_completions(record.folder)
    assert set(zip(trained["step"], trained["id"], strict=True)) == set(
        zip(log["step"], log["id"], strict=True)
    )
    steps = log.groupby("step")["id"]
    assert (steps.nunique() == 2).all() and len(steps) == len(metrics) == 6
    # The first batch is unseen; what was seen counts from the next one on.
    assert metrics["adaptive/seen"].iloc[0] == 0 and metrics["adaptive/predicted"].iloc[0] == 0.5
    assert metrics["adaptive/seen"].max() > 0
    known: set[str] = set()
    for step, names in steps:
        assert metrics["adaptive/seen"][step] == np.mean([name in known for name in names])
        known |= set(names)


def test_killed_and_resumed_it_chooses_the_same_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"name": "adaptive", "spread": 2, "decay": 0.9}
    config = dataclasses.replace(SMALL, epochs=2, algorithms=(settings,), save_steps=2)
    again = broken_off_and_resumed(config, tmp_path / "a", monkeypatch, 4)
    whole = train(config, root=tmp_path / "b", progress=False)
    assert again.manifest["resumed_from_step"] == 2 and same_weights(again, whole)
    logs = [(record.folder / "index_log.csv").read_bytes() for record in (again, whole)]
    assert logs[0] == logs[1]
