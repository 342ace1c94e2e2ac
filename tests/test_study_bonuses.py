"""Placebo and bonuses: hand-worked values, and real steps in which their advantages reach the loss."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from hammerlib.advantages import batched_advantages, group_advantages, pass_at_k_advantages, ucpo_weights
from hammerlib.dra import adjust_rewards, diversity_weights
from hammerlib.errors import InputError
from hammerlib.grading import grade
from hammerlib.runs import RunRecord
from hammerlib.study.algorithms import (
    DistinctAnswers,
    DRAAblation,
    PassAtK,
    PermutedRewards,
    UniformCorrect,
    bonus_of,
)
from hammerlib.training import Hooks, Rollout, TrainConfig, train
from hammerlib.training.generation import score_tokens
from hammerlib.training.hooks import make_algorithms, names_of

SMALL = TrainConfig(n_problems=4, order="random", prompts_per_step=2, group_size=4, max_completion_length=40)


def said(texts: list[str], raw: list[float], vectors: np.ndarray, size: int, **changes: object) -> Rollout:
    n = len(texts)
    verdicts = [grade(text, "4") for text in texts]
    rewards, rows = np.array(raw, dtype=float), [{"id": "a"}] * n
    given = {"advantages": torch.zeros(n), "trainer": SimpleNamespace(scale_rewards="none")} | changes
    return Rollout(0, rows, texts, [[7]] * n, verdicts, rewards, rewards, vectors, size, **given)


def boxed(*answers: str) -> list[str]:
    return [rf"so \boxed{{{answer}}}" for answer in answers]


# DRA in parts


def test_dra_in_solved_mixed_or_all_groups_by_hand() -> None:
    vectors = np.tile([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], (3, 1))  # weights 1/2, 1/2, 1 in every group
    raw = [1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]  # solved, mixed, without reward
    rollout = said(boxed(*"444454555"), raw, vectors, 3)
    half, ones = [0.5, 0.5, 1.0], [1.0, 1.0, 1.0]
    expected = {"all": half * 3, "solved": half + ones * 2, "mixed": ones + half + ones}
    for groups, weights in expected.items():
        np.testing.assert_allclose(DRAAblation(groups=groups).weights(rollout), weights, atol=1e-5)
    unsolved = said(boxed("5", "5", "5"), [0, 0, 0], vectors[:3], 3)
    assert DRAAblation(groups="solved").weights(unsolved).tolist() == ones
    advantages = DRAAblation(groups="solved").advantage(rollout).numpy()
    np.testing.assert_allclose(advantages[:3], [-1 / 6, -1 / 6, 1 / 3], atol=1e-5)
    np.testing.assert_allclose(advantages[3:], [1 / 3, -2 / 3, 1 / 3, 0, 0, 0], atol=1e-6)


def test_dra_in_all_groups_is_dra() -> None:
    rng = np.random.default_rng(4)
    vectors, raw = rng.normal(size=(12, 6)) + 1.5, rng.choice([0.0, 1.0], 12)
    rollout = said(boxed(*"444444444444"), raw.tolist(), vectors, 4)
    adjusted = adjust_rewards(raw.reshape(3, 4), vectors.reshape(3, 4, 6))
    np.testing.assert_allclose(raw * DRAAblation().weights(rollout), adjusted.ravel(), rtol=1e-12)


def test_equal_texts_are_the_kernel_and_vectors_are_not_read() -> None:
    vectors = np.random.default_rng(1).normal(size=(5, 3))
    rollout = said(["a ", "a", "b", "", "a"], [1, 1, 1, 0, 1], vectors, 5)
    weights = DRAAblation(similarity="text").weights(rollout)
    np.testing.assert_allclose(weights, [1 / 3, 1 / 3, 1, 1, 1 / 3], atol=1e-5)


@pytest.mark.parametrize(("options", "words"), [
    ({"similarity": "txt"}, "similarity = 'txt': .*text"),
    ({"groups": "right"}, "groups = 'right': .*solved"),
])  # fmt: skip
def test_parts_of_dra_that_do_not_exist_are_one_line(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        DRAAblation(**options)


# The placebo


def test_the_placebo_deals_each_groups_own_weights() -> None:
    vectors = np.random.default_rng(0).normal(size=(12, 6)) + 1.5
    rollout = said(boxed(*"444444444444"), [1.0] * 12, vectors, 4)
    true = diversity_weights(vectors.reshape(3, 4, 6))
    dealt = [PermutedRewards(seed).weights(rollout).reshape(3, 4) for seed in range(20)]
    for weights in dealt:
        np.testing.assert_allclose(np.sort(weights), np.sort(true), rtol=1e-12)
    assert len({tuple(weights.ravel()) for weights in dealt}) == 20
    # Every completion of a group gets every weight of it about as often.
    assert np.std([weights[0, 0] for weights in dealt]) > 0.3 * true[0].std()
    later = dataclasses.replace(rollout, step=1)
    assert PermutedRewards(0).weights(rollout).tolist() == dealt[0].ravel().tolist()
    assert PermutedRewards(0).weights(later).tolist() != dealt[0].ravel().tolist()


def test_a_permuted_weight_multiplies_the_raw_reward_as_dra_does() -> None:
    vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # weights 1/2, 1/2, 1
    rollout = said(boxed("4", "4", "4"), [1, 1, 1], vectors, 3)
    advantages = PermutedRewards(0).advantage(rollout).numpy()
    np.testing.assert_allclose(np.sort(advantages), [-1 / 6, -1 / 6, 1 / 3], atol=1e-5)
    mixed = said(boxed("4", "5", "4"), [1, 0, 1], vectors, 3)
    assert mixed.raw.tolist() == [1, 0, 1]  # what other plugs and telemetry read stays
    # The wrong one keeps its 1/2, so that the right ones share 1/2 and 1: rewards {1/2, 0, 1}, as DRA's.
    found = {tuple(np.round(PermutedRewards(seed).advantage(mixed).tolist(), 4)) for seed in range(20)}
    assert found == {(0.0, -0.5, 0.5), (0.5, -0.5, 0.0)}


def test_the_adjusted_rewards_of_every_group_are_dras_own_numbers() -> None:
    rng = np.random.default_rng(2)
    vectors, raw = rng.normal(size=(12, 6)) + 1.5, rng.choice([0.0, 0.5, 1.0], 12)
    rollout = said(boxed(*"444444444444"), raw.tolist(), vectors, 4)
    dealt = (raw * PermutedRewards(3).weights(rollout)).reshape(3, 4)
    true = np.stack([adjust_rewards(raw[rows], vectors[rows]) for rows in np.arange(12).reshape(3, 4)])
    np.testing.assert_allclose(np.sort(dealt), np.sort(true), rtol=1e-9)
    assert not np.allclose(dealt, true)


def test_where_all_weights_are_alike_the_placebo_is_dra() -> None:
    vectors = np.tile([[0.6, 0.8]], (4, 1))
    raw = [1.0, 0.0, 1.0, 0.0]
    rollout = said(boxed(*"4545"), raw, vectors, 4, trainer=SimpleNamespace(scale_rewards="group"))
    dra = group_advantages(adjust_rewards(raw, vectors), np.zeros(4, int))
    np.testing.assert_allclose(PermutedRewards(1).advantage(rollout).numpy(), dra, atol=1e-6)


def test_the_placebo_takes_blank_and_untrained_completions_as_dra_does() -> None:
    vectors = np.array([[1.0, 0], [1.0, 0], [0, 0], [0, 0], [1.0, 0]])
    texts, groups = [*boxed("4", "4"), "", " ", *boxed("4")], np.array([0, 0, 0, 0, -1])
    rollout = said(texts, [1, 1, 0, 0, np.nan], vectors, 4, groups=groups)
    assert sorted(PermutedRewards(0).weights(rollout).round(3).tolist()) == [0.5, 0.5, 0.5, 0.5, 1.0]
    assert PermutedRewards(0).advantage(rollout)[4] == 0
    bad = said(boxed("4", "5"), [1, 0], np.array([[1.0, 0], [0, 0]]), 2)
    with pytest.raises(InputError, match="zero vector"):
        PermutedRewards(0).advantage(bad)


# Distinct answers


def test_a_repeated_answer_pays_by_hand() -> None:
    rollout = said([*boxed("4", "4", "5", "6"), "no", "idea"], [1, 1, 0, 0, 0, 0], np.eye(6), 6)
    plug = DistinctAnswers(0.6)
    np.testing.assert_allclose(plug.penalties(rollout), [0.1, 0.1, 0, 0, 0.1, 0.1])  # None twice
    rewards = np.array([0.9, 0.9, 0, 0, -0.1, -0.1])
    np.testing.assert_allclose(plug.advantage(rollout).numpy(), rewards - rewards.mean(), atol=1e-6)


def test_right_answers_that_differ_in_the_way_are_told_apart_by_their_text() -> None:
    texts = [r" tens:1;\boxed{4}", r" tens:1;\boxed{4} ", r" check:2;\boxed{4}", r" columns:3;\boxed{4}"]
    rollout = said(texts, [1, 1, 1, 1], np.eye(4), 4)
    assert DistinctAnswers(1.0).penalties(rollout).tolist() == [0.75] * 4
    assert DistinctAnswers(1.0, of="text").penalties(rollout).tolist() == [0.25, 0.25, 0, 0]
    advantages = DistinctAnswers(1.0, of="text").advantage(rollout).numpy()
    np.testing.assert_allclose(advantages, [-0.125, -0.125, 0.125, 0.125], atol=1e-6)
    assert DistinctAnswers(1.0).advantage(rollout).abs().max() < 1e-6


def test_groups_do_not_count_each_others_answers() -> None:
    rollout = said(boxed("4", "5", "4", "4"), [1, 0, 1, 1], np.eye(4), 2, groups=np.array([0, 0, 1, -1]))
    assert DistinctAnswers(1.0).penalties(rollout).tolist() == [0, 0, 0, 0]


# From an arm's settings, or a configuration's, to algorithms


def test_an_arm_names_its_bonus() -> None:
    assert bonus_of(None, 4) == []
    assert bonus_of({"name": "permuted-rewards"}, 4) == [PermutedRewards(4)]
    told = {"name": "distinct-answers", "weight": 0.5, "of": "text"}
    assert bonus_of(told, 4) == [DistinctAnswers(0.5, "text")]
    names = [names_of(bonus_of({"name": "permuted-rewards"}, seed)) for seed in (1, 2)]
    assert names[0] != names[1]  # another seed is another run


def test_a_training_configuration_names_them_too() -> None:
    named = ({"name": "permuted-rewards"}, {"name": "distinct-answers", "weight": 0.5})
    made = [*(make_algorithms(dataclasses.replace(SMALL, algorithms=(one,)).validate())[0] for one in named)]
    assert made == [PermutedRewards(), DistinctAnswers(0.5)]
    vectors = np.random.default_rng(0).normal(size=(4, 6)) + 1.5
    trainer = SimpleNamespace(scale_rewards="none", args=SimpleNamespace(seed=7))
    rollout = said(boxed(*"4444"), [1.0] * 4, vectors, 4, trainer=trainer)
    assert made[0].weights(rollout).tolist() == PermutedRewards(7).weights(rollout).tolist()


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"name": "curiosity"}, "bonus = 'curiosity'"),
        ({"name": "entropy", "weight": 0.01}, "entropy_coef"),
        ({"name": "permuted-rewards", "weight": 1}, "are not the settings"),
        ({"name": "distinct-answers"}, "are not the settings"),
        ({"name": "distinct-answers", "weight": 0}, "weight = 0"),
        ({"name": "distinct-answers", "weight": 1.0, "of": "idea"}, "of = 'idea'"),
    ],
)
def test_a_bonus_of_no_use_is_refused(told: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        bonus_of(told, 0)


# Real steps


def pairs(completions: list[list[int]], advantages: torch.Tensor) -> list[tuple[list[int], float]]:
    """Completions with their advantages, sorted: TRL shuffles a batch before it trains it."""
    return sorted((ids, round(value, 5)) for ids, value in zip(completions, advantages.tolist(), strict=True))


class Watched:
    """An advantage plug that keeps what it returned, and a loss seam that keeps what arrived."""

    def __init__(self, inner: object) -> None:
        self.inner, self.made, self.arrived = inner, [], []

    def advantage(self, rollout: Rollout) -> torch.Tensor:
        self.made.append((self.inner.advantage(rollout), rollout))
        return self.made[-1][0]

    def loss(self, trainer: object, model: object, inputs: dict, default: object) -> torch.Tensor:
        ids = zip(inputs["completion_ids"], inputs["completion_mask"], strict=True)
        self.arrived.append(pairs([row[seen.bool()].tolist() for row, seen in ids], inputs["advantages"]))
        return default()


def steps(record: RunRecord) -> pd.DataFrame:
    return pd.read_csv(record.folder / "metrics.csv").pivot(index="step", columns="metric", values="value")


@pytest.mark.parametrize(
    "plug", [PermutedRewards(0), DistinctAnswers(0.5, "text")], ids=lambda one: type(one).__name__
)
def test_two_real_steps_train_on_its_advantages(plug: object, tmp_path: Path) -> None:
    watched = Watched(plug)
    plugs = Hooks(advantage=watched.advantage, loss=watched.loss)
    record = train(SMALL, root=tmp_path, algorithms=[plugs], progress=False)
    assert record.status == "success" and len(watched.made) == len(watched.arrived) == 2
    changed = []
    for (made, rollout), arrived in zip(watched.made, watched.arrived, strict=True):
        assert pairs(rollout.completion_ids, made) == arrived
        plain = group_advantages(rollout.rewards, rollout.groups)
        changed.append(np.abs(made.numpy() - plain).max())
        weights = PermutedRewards(0).weights(rollout).reshape(2, 4)
        true = diversity_weights(rollout.vectors.reshape(2, 4, -1))
        np.testing.assert_allclose(np.sort(weights), np.sort(true), rtol=1e-6)
    assert max(changed) > 0.01  # another gradient than without it


@pytest.mark.long
def test_the_entropy_bonus_is_trls_and_raises_the_entropy(tmp_path: Path) -> None:
    one = dataclasses.replace(SMALL, n_problems=16, learning_rate=3e-4)
    plain, more = (
        steps(train(dataclasses.replace(one, entropy_coef=value), root=tmp_path, progress=False))
        for value in (0.0, 0.5)
    )
    assert len(plain) == len(more) == 8
    # The same policy and completions in step 1, so the loss differs by the bonus alone.
    assert plain.loss[1] - more.loss[1] == pytest.approx(0.5 * plain.entropy[1], rel=0.02)
    assert more.entropy[4:].mean() > plain.entropy[4:].mean() + 0.02
    names = [TrainConfig(entropy_coef=value).identity() for value in (0.0, 0.01)]
    assert "entropy_coef" not in names[0] and names[1]["entropy_coef"] == 0.01
    with pytest.raises(InputError, match="entropy_coef"):
        TrainConfig(entropy_coef=-0.1).validate()


# Advantages for diversity


def sets_of(rewards: np.ndarray, k: int) -> np.ndarray:
    """Pass@k advantages by all sets of k: their best reward, standardised, meaned over one's own sets."""
    sets = list(combinations(range(len(rewards)), k))
    best = np.array([rewards[list(members)].max() for members in sets])
    standard = (best - best.mean()) / (best.std() or 1.0)
    own = [[value for members, value in zip(sets, standard, strict=True) if row in members]
           for row in range(len(rewards))]  # fmt: skip
    return np.array([np.mean(values) for values in own])


@pytest.mark.parametrize(("rewards", "k", "advantages"), [
    ([1, 0, 0, 0], 2, [1, -1 / 3, -1 / 3, -1 / 3]),
    ([1, 1, 0, 0], 2, [5**-0.5, 5**-0.5, -(5**-0.5), -(5**-0.5)]),
    ([1, 1, 1, 0], 2, [0, 0, 0, 0]),  # every pair holds a right one
    ([0, 1], 1, [-1, 1]),
    ([1, math.nan, 0], 1, [1, 0, -1]),
    ([1], 1, [0]),
])  # fmt: skip
def test_pass_at_k_advantages_by_hand(rewards: list, k: int, advantages: list) -> None:
    assert pass_at_k_advantages(rewards, k) == pytest.approx(advantages, abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_pass_at_k_advantages_are_those_of_all_sets(k: int) -> None:
    rewards = np.tril(np.ones((7, 6)), -1)  # none to all of six right
    advantages = pass_at_k_advantages(rewards, k)
    np.testing.assert_allclose(advantages, [sets_of(row, k) for row in rewards], atol=1e-12)
    # Taken for rewards, GRPO leaves them as they are, or, where it divides, k is lost.
    np.testing.assert_allclose(batched_advantages(advantages, scale_rewards="none"), advantages, atol=1e-12)
    trained = advantages.any(axis=1)
    divided = batched_advantages(advantages)[trained], batched_advantages(rewards)[trained]
    np.testing.assert_allclose(*divided, atol=2e-3)


def test_ucpo_moves_advantage_to_the_less_likely_right_ones_by_hand() -> None:
    log_probs = np.log([[0.6, 0.2, 0.9], [0.1, 0.2, 0.3], [0.5, 0.5, 0.5]])  # of the right: 3/4 and 1/4
    rewards = np.array([[1, 1, 0], [0, 1, math.nan], [0, 0, -1]])
    expected = np.array([[0.5, 1.5, 1], [1, 1, 1], [1, 1, 1]])
    np.testing.assert_allclose(ucpo_weights(rewards, log_probs, 1.0), expected)
    np.testing.assert_allclose(ucpo_weights(rewards, log_probs), 0.8 + 0.2 * expected)


@pytest.mark.parametrize(("make", "words"), [
    (lambda: pass_at_k_advantages([0.5, 1.0], 1), "must be 0 or 1; train with the accuracy alone"),
    (lambda: pass_at_k_advantages([1.0, 0.0], 3), "k = 3: is more than the 2 completions"),
    (lambda: PassAtK(0), "k = 0"),
    (lambda: PassAtK(5).check(TrainConfig(group_size=4)), "is more than group_size 4"),
    (lambda: UniformCorrect(1.5), "tau = 1.5: .*from 0 to 1"),
])  # fmt: skip
def test_what_these_advantages_cannot_be_is_one_line(make: Callable, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.parametrize("first", ["mmr", "pass-at-k"])
def test_every_method_trains_by_configuration(first: str, tmp_path: Path) -> None:
    ucpo = {"name": "ucpo", "tau": 0.5}
    fields = {
        "mmr": {"adjustment": "dra", "adjustment_options": {"method": "mmr"}, "algorithms": (ucpo,)},
        "pass-at-k": {"algorithms": ({"name": "pass-at-k", "k": 2}, ucpo)},
    }[first]
    config = TrainConfig(
        n_problems=16, order="random", prompts_per_step=16, group_size=4, max_steps=1, **fields
    )
    seen: list[Rollout] = []

    def observe(rollout: Rollout) -> dict[str, float]:
        model, texts = rollout.trainer.model, rollout.completion_ids
        with torch.no_grad():
            logps, _, mask = score_tokens(model, rollout.prompt_ids, texts, temperature=1.0)
        means = (logps.double().sum(1) / mask.sum(1)).numpy().reshape(16, 4)
        raw = rollout.raw.reshape(16, 4)
        rewards = raw
        if first == "mmr":
            rewards = adjust_rewards(raw, rollout.vectors.reshape(16, 4, -1), method="mmr")
        np.testing.assert_allclose(rollout.rewards, rewards.ravel(), atol=1e-5)
        before = pass_at_k_advantages(raw, 2) if first == "pass-at-k" else batched_advantages(rewards)
        expected = before * ucpo_weights(raw, means, 0.5)
        np.testing.assert_allclose(rollout.advantages.numpy(), expected.ravel(), atol=2e-4)
        assert len(np.unique(np.abs(expected))) > 3  # some group has several right ones, not equally likely
        seen.append(rollout)
        return {}

    record = train(config, root=tmp_path, algorithms=[Hooks(observe=observe)], progress=False)
    assert len(seen) == 1
    if first == "mmr":
        assert config.identity()["adjustment_options"] == {"method": "mmr"}
        assert "dra/mean_weight" not in (record.folder / "metrics.csv").read_text()  # MMR knows no weights
