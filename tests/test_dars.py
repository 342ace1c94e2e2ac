"""DARS: vectors of the reference, a second pair by hand, exact companions, and steps in the house."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from system_runs import SMALL, Hand
from system_steps import broken_off_and_resumed, same_weights, table
from trainer_cases import audited

from hammerlib.advantages import group_advantages
from hammerlib.errors import InputError
from hammerlib.evaluation import pass_at_k
from hammerlib.exact.signal import mixed_probability
from hammerlib.systems.dars import (
    EARLIER_TOTALS,
    expected_depth,
    extra_rollouts,
    kept_groups,
    merged_groups,
    signal,
)
from hammerlib.systems.dars.algorithm import Dars
from hammerlib.training import Generation, Rollout, train
from hammerlib.training.hooks import EXCLUDED, make_algorithms

# The schedules


@pytest.mark.parametrize(("schedule", "limit", "std", "expected"), [
    ("et", 32, False, [24, 11, 3, 1, 0]), ("hw", 64, False, [56, 24, 8, 3, 0]),
    ("et", 32, True, [9, 5, 2, 1, 0]), ("hw", 64, True, [23, 14, 6, 3, 0]),
])  # fmt: skip
def test_the_schedules_of_the_reference(schedule: str, limit: int, std: bool, expected: list[int]) -> None:
    found = [extra_rollouts(k, 8, limit, schedule=schedule, std=std) for k in range(9)]
    assert found == expected + [0] * 4


def test_the_cap_hides_27() -> None:
    # u = 1/16: S = 30/256, (8 / 2 - 8 S) / S = 26.13.
    assert extra_rollouts(0, 8, 1000) == 27 and extra_rollouts(0, 8, 32) == 24


@pytest.mark.parametrize(("schedule", "expected"), [
    # N = 4, N_max = 9, without deviation. k = 0: u = 1/8, S = 7/32: et (2 - 7/8) / S = 5.14, 6 and the cap 5;
    # hw (3.5 - 7/8) / S = 12, the cap 5. k = 1: u = 1/4, S = 3/8: et .5 / S = 1.33; hw (3 - 1.5) / S = 4.
    ("et", [5, 2, 0, 0, 0]), ("hw", [5, 4, 0, 0, 0]),
])  # fmt: skip
def test_a_second_pair_by_hand(schedule: str, expected: list[int]) -> None:
    assert [extra_rollouts(k, 4, 9, schedule=schedule) for k in range(5)] == expected
    assert extra_rollouts(0, 4, 1000, schedule=schedule) == {"et": 6, "hw": 12}[schedule]


def test_an_unsolved_problem_may_get_all_that_is_allowed() -> None:
    assert extra_rollouts(0, 8, 100, unsolved="limit") == 92
    assert extra_rollouts(1, 8, 100, unsolved="limit") == 11


def test_hardness_is_weighed_with_a_factor_of_two() -> None:
    # (8 + 24) S(1/8) = 7 = 2 (7/8) 4 exactly; at 1/4: (8 + 8) S = 6 = 2 (3/4) 4.
    totals = [8 + extra_rollouts(k, 8, 64, schedule="hw") for k in (1, 2)]
    assert totals * signal([1 / 8, 1 / 4]) == pytest.approx([7.0, 6.0], abs=1e-12)


@given(st.integers(1, 24), st.integers(0, 60), st.sampled_from(["et", "hw"]), st.booleans())
def test_the_mass_of_hard_problems_is_restored(n: int, more: int, schedule: str, std: bool) -> None:
    extra = [extra_rollouts(k, n, n + more, schedule=schedule, std=std) for k in range(n + 1)]
    assert all(0 <= count <= more for count in extra) and not any(extra[(n + 1) // 2 :])
    assert extra == sorted(extra, reverse=True)
    for k in range(1, (n + 1) // 2):
        if extra[k] < more:  # not capped: at least the target, and less than one rollout too much
            wanted = n * signal(0.5, std=std) * (2 * (1 - k / n) if schedule == "hw" else 1)
            one = signal(k / n, std=std)
            assert wanted - 1e-6 <= (n + extra[k]) * one < wanted + one + 1e-6


@pytest.mark.parametrize(("std", "expected"), [
    (False, [0, 1.75, 3, 3.75, 4, 3.75, 3, 1.75, 0]),
    (True, [0, 5.2915, 6.9282, 7.746, 8, 7.746, 6.9282, 5.2915, 0]),
])  # fmt: skip
def test_the_sum_of_advantages_is_n_times_s(std: bool, expected: list[float]) -> None:
    assert 8 * signal(np.arange(9) / 8, std=std) == pytest.approx(expected, abs=5e-5)
    for k in range(1, 8):
        rewards = np.array([1.0] * k + [0.0] * (8 - k))
        deviation = rewards.std() if std else 1.0  # S holds for ddof 0
        found = np.abs(group_advantages(rewards, np.zeros(8, int), scale="none") / deviation).sum()
        assert found == pytest.approx(8 * signal(k / 8, std=std))


def test_advantages_are_less_the_merged_mean() -> None:
    # 1 0 0 0 and then 0 0: mean 1/6. The mean of the first stage alone would give 3/4 and -1/4.
    groups = merged_groups(4, [2], [True])
    found = group_advantages(np.array([1.0, 0, 0, 0, 0, 0]), groups, scale="none")
    assert found == pytest.approx([5 / 6] + [-1 / 6] * 5)


def test_groups_without_contrast_are_dropped() -> None:
    assert kept_groups([0, 1, 5, 6], [6, 6, 6, 6]).tolist() == [False, True, True, False]
    assert kept_groups([4, 5], [6, 6], upper=0.8).tolist() == [True, False]
    assert merged_groups(2, [1, 0, 2], [True, False, True]).tolist() == [0, 0, 0, -1, -1, 2, 2, 2, 2]


def test_an_earlier_commit_looked_totals_up() -> None:
    formula = tuple(8 + extra_rollouts(k, 8, 32) for k in range(5))
    assert formula == (32, 19, 11, 9, 8) != EARLIER_TOTALS["et"] == (32, 18, 11, 9, 8)


def test_what_does_not_fit_is_refused() -> None:
    for arguments, options in (
        ((9, 8, 32), {}), ((-1, 8, 32), {}), ((1, 8, 7), {}), ((1, 0, 7), {}),
        ((1, 8, 32), {"schedule": "eh"}), ((1, 8, 32), {"unsolved": "all"}),
    ):  # fmt: skip
        with pytest.raises(InputError):
            extra_rollouts(*arguments, **options)
    for call in (lambda: signal(1.5), lambda: expected_depth(-0.1, 8)):
        with pytest.raises(InputError):
            call()


# Exact companions


@given(st.floats(0, 1), st.integers(2, 12), st.booleans())
def test_without_a_second_stage_depth_is_grpo(rate: float, n: int, std: bool) -> None:
    found = expected_depth(rate, n, std=std)
    assert found.rollouts == pytest.approx(n)
    assert found.mixed == pytest.approx(mixed_probability(rate, n), abs=1e-12)
    if not std:  # E[2 X (N - X) / N] = 2 (N - 1) p (1 - p)
        assert found.mass == pytest.approx(2 * (n - 1) * rate * (1 - rate), abs=1e-12)


def test_depth_is_the_mean_over_all_outcomes() -> None:
    # Brute force, N = 2 and N_max = 4 at p = .3: all first stages, then all seconds.
    p = 0.3
    expected = np.zeros(3)
    for first in itertools.product([0, 1], repeat=2):
        extra = extra_rollouts(sum(first), 2, 4)
        for second in itertools.product([0, 1], repeat=extra):
            rewards = np.array([*first, *second], float)
            chance = np.prod([p if right else 1 - p for right in (*first, *second)])
            mass = np.abs(rewards - rewards.mean()).sum()
            expected += chance * np.array([len(rewards), mass, 0 < rewards.sum() < len(rewards)])
    assert expected_depth(p, 2, 4) == pytest.approx(expected)


def test_hard_problems_gain_and_easy_ones_keep_theirs() -> None:
    for rate in (0.05, 0.1, 0.2):
        plain = expected_depth(rate, 8)
        deep = expected_depth(rate, 8, 32)
        assert deep.mass > 1.5 * plain.mass and deep.mixed > plain.mixed
    assert expected_depth(0.97, 8, 32).rollouts == pytest.approx(8, abs=1e-3)


def test_pass_at_k_of_the_reference() -> None:
    assert [pass_at_k(8, 2, 1), pass_at_k(8, 2, 4), pass_at_k(128, 1, 32)] == pytest.approx(
        [0.25, 0.785714, 0.25], abs=1e-6
    )


# In the house

GRPO = dataclasses.replace(SMALL, n_problems=4)


def a_policy(monkeypatch: pytest.MonkeyPatch, texts: Sequence[Sequence[str]]) -> SimpleNamespace:
    """A trainer whose completions are these texts, call by call."""
    calls = iter(texts)
    said: list[str] = []

    def sampled(trainer: object, rows: list[dict]) -> Generation:
        new = next(calls)
        assert len(new) == len(rows)
        said.extend(new)
        ids = [[place] for place in range(len(said) - len(new), len(said))]
        return Generation(rows, [[5]] * len(rows), ids)

    monkeypatch.setattr("hammerlib.systems.dars.algorithm.generate", sampled)
    read = SimpleNamespace(batch_decode=lambda ids, skip_special_tokens: [said[one] for (one,) in ids])
    alone = SimpleNamespace(num_processes=1)
    return SimpleNamespace(num_generations=4, scale_rewards="none", processing_class=read, accelerator=alone)


def asked(names: str) -> list[dict[str, str]]:
    return [{"id": name, "prompt": "p", "answer": "4"} for name in names for _ in range(4)]


R, W = r"\boxed{4}", r"\boxed{5}"


def test_both_stages_are_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    # Right of 4: 1, 4, 0. More rollouts with N_max = 9: 2, none, 5 (the cap). The third stays unsolved.
    trainer = a_policy(monkeypatch, [[R, W, W, W] + [R] * 4 + [W] * 4, [R, W] + [W] * 5])
    dars = Dars(limit=9)
    found = dars.rollout(asked("abc"), trainer)
    assert [row["id"] for row in found.rows] == list("a" * 6 + "b" * 4 + "c" * 9)
    assert found.groups.tolist() == [0] * 6 + [-1] * 4 + [-1] * 9
    places = [ids[0] for ids in found.completion_ids]
    assert places == [0, 1, 2, 3, 12, 13, *range(4, 12), *range(14, 19)]
    watched = dars.observe(SimpleNamespace(trainer=trainer))
    assert watched == {
        "dars/extra": pytest.approx(7 / 3),
        "dars/hard": pytest.approx(2 / 3),
        "dars/dropped": pytest.approx(2 / 3),
        # 4 S(1/4) = 1.5 and 6 S(2/6) = 8/3, the others 0
        "dars/mass_before": pytest.approx(1.5 / 3), "dars/mass_after": pytest.approx(8 / 9),
    }  # fmt: skip
    assert watched.keys() == Dars.METRICS.keys()


def test_an_empty_second_stage_leaves_the_batch_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = a_policy(monkeypatch, [[R, R, W, W, R, R, R, W]])
    found = Dars(limit=9).rollout(asked("ab"), trainer)
    assert found.groups is None and len(found.rows) == 8


def test_a_batch_without_contrast_trains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = a_policy(monkeypatch, [[R] * 4])
    assert Dars(limit=9).rollout(asked("a"), trainer).groups.tolist() == [-1] * 4


@pytest.mark.parametrize(("options", "changes", "words"), [
    ({"limit": 3}, {}, "limit = 3: is below the group size 4"),
    ({"limit": 1}, {}, r"algorithms\[0\].limit = 1"),
    ({"schedule": "depth"}, {}, "use one of et, hw, none"),
    ({"unsolved": "all"}, {}, "half, limit"),
    ({"upper": 0.0}, {}, r"upper = 0.0: is outside \(0, 1\]"),
    ({"upper": math.nan}, {}, "upper.*nan: must be a finite number"),
    ({}, {"scale_rewards": "batch"}, "scale_rewards = 'batch'.*use none, or group"),
    ({}, {"rewards": ("format",)}, "rewards = .'format'.: grade no answer"),
    ({"breadth": True}, {"steps_per_generation": 2}, "steps_per_generation = 2.*several updates"),
    ({"breadth": True}, {}, "num_iterations = 1: trains the full batch once"),
    ({"depth": 3}, {}, "is no option"),
])  # fmt: skip
def test_settings_that_are_no_dars_are_one_line(options: dict, changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        dataclasses.replace(GRPO, algorithms=({"name": "dars", **options},), **changes).validate()


def test_a_configuration_makes_what_python_would() -> None:
    settings = {"name": "dars", "schedule": "hw", "limit": 64, "breadth": True}
    config = dataclasses.replace(GRPO, algorithms=(settings,), num_iterations=2)
    (made,) = make_algorithms(config.validate())
    assert made == Dars("hw", 64, breadth=True) and made.most_rows(config) == 64


def test_groups_that_straddle_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="whole groups"):
        Dars(limit=9).rollout(asked("ab")[2:], a_policy(monkeypatch, []))


def merged(rollout: Rollout) -> np.ndarray:
    """Each reward less the mean of all rewards of its problem."""
    names = np.array([row["id"] for row in rollout.rows])
    trained = rollout.groups != EXCLUDED
    advantages = np.zeros(len(names))
    for name in set(names[trained]):
        rows = trained & (names == name)
        advantages[rows] = rollout.rewards[rows] - rollout.rewards[rows].mean()
    return advantages


def test_a_real_step_is_the_one_by_hand(tmp_path: Path) -> None:
    config = dataclasses.replace(GRPO, algorithms=({"name": "dars", "limit": 9},))
    hand = Hand(merged, planned=8)
    record = train(config, root=tmp_path, algorithms=[hand], progress=False)
    metrics = table(record)
    assert max(hand.errors) < 1e-4 and max(hand.norms) > 1e-3
    assert metrics["generated"].max() > 8 and metrics["dars/extra"].max() > 0
    log = record.table("index_log.csv")
    # every problem came once, and those whose answers are all right or all wrong were dropped as such
    assert sorted(log["position"]) == [0, 1, 2, 3] and audited(record.folder).kept
    why = log.query("step < 0").set_index("id")["dropped"].to_dict()
    right = {row["id"]: set() for rollout in hand.seen for row in rollout.rows}
    for rollout in hand.seen:
        for batch in (rollout, rollout.excluded) if rollout.excluded else (rollout,):
            for row, verdict in zip(batch.rows, batch.verdicts, strict=True):
                right.setdefault(row["id"], set()).add(verdict.correct)
    said = {frozenset({True}): "all correct", frozenset({False}): "none correct"}
    assert why == {name: said[frozenset(one)] for name, one in right.items() if len(one) == 1} and why
    for rollout in hand.seen:
        assert rollout.advantages.numpy() == pytest.approx(merged(rollout), abs=1e-5)
        sizes = [len(rows) for group in rollout.by_size() for rows in group]
        assert all(4 <= size <= 9 for size in sizes)


def test_a_limit_of_the_group_size_is_stock_to_the_last_bit(tmp_path: Path) -> None:
    config = dataclasses.replace(GRPO, algorithms=({"name": "dars", "limit": 4},))
    assert same_weights(
        train(config, root=tmp_path / "a", progress=False), train(GRPO, root=tmp_path / "b", progress=False)
    )


@pytest.mark.long
def test_killed_and_resumed_it_is_the_unbroken_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"name": "dars", "schedule": "hw", "limit": 9, "breadth": True}
    config = dataclasses.replace(SMALL, algorithms=(settings,), num_iterations=2, save_steps=2)
    again = broken_off_and_resumed(config, tmp_path / "a", monkeypatch, 3)
    assert again.manifest["resumed_from_step"] == 2
    assert same_weights(again, train(config, root=tmp_path / "b", progress=False))


@pytest.mark.long
@pytest.mark.parametrize("changes", [
    {"order": "hammer"}, {"adjustment": "dra"}, {"adjustment": "dra", "dra_route": "trainer"},
    {"dynamic_sampling": True}, {"scale_rewards": "group", "loss_type": "grpo"}, {"loss_type": "dapo"},
])  # fmt: skip
def test_it_trains_with_orders_dra_and_a_filter(changes: dict, tmp_path: Path) -> None:
    config = dataclasses.replace(GRPO, algorithms=({"name": "dars", "limit": 9},), **changes)
    metrics = table(train(config, root=tmp_path, progress=False))
    assert (metrics["trained"] <= metrics["generated"]).all() and metrics["grad_norm"].max() > 0
