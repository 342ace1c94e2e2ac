"""The exact policy over modes: equal to brute force, a closed form and a sampled twin; and who collapses."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
import torch

from hammerlib.advantages import group_advantages, ucpo_weights
from hammerlib.dra import adjust_rewards
from hammerlib.errors import InputError
from hammerlib.exact.modes import (
    advantage_policy,
    batched_advantages,
    effective_modes,
    equicosine,
    exact_policy,
    mode_arms,
    right_ways,
    sampled_policies,
)

START = np.array([0.25, 0.15, 0.10, 0.25, 0.25])
RIGHT = np.array([True, True, True, False, False])
Adjust = Callable[[np.ndarray, np.ndarray], np.ndarray]


class TestAdvantages:
    @pytest.mark.parametrize(
        ("rewards", "divided", "plain"),
        [  # the released code's numbers, worked out by hand
            ([0.5, 0.5, 0.999999], [-0.5772, -0.5772, 1.1543], [-0.1667, -0.1667, 0.3333]),
            ([-0.5, -0.5, -0.999999], [0.5772, 0.5772, -1.1543], [0.1667, 0.1667, -0.3333]),
            ([1, 1, 0], [0.5773, 0.5773, -1.1545], [0.3333, 0.3333, -0.6667]),
            ([1e6, 1e6], [0, 0], [0, 0]),
        ],
    )
    def test_reference_vectors(self, rewards: list, divided: list, plain: list) -> None:
        np.testing.assert_allclose(batched_advantages(rewards), divided, atol=1e-4)
        np.testing.assert_allclose(batched_advantages(rewards, scale_rewards="none"), plain, atol=1e-4)

    def test_groups_are_apart_and_the_deviation_is_torchs(self) -> None:
        rewards = np.random.default_rng(0).normal(size=(4, 3, 6))
        told, tensor = batched_advantages(rewards), torch.tensor(rewards)
        expected = (tensor - tensor.mean(-1, keepdim=True)) / (tensor.std(-1, keepdim=True) + 1e-4)
        np.testing.assert_allclose(told, expected.numpy())
        np.testing.assert_allclose(told.sum(axis=-1), 0, atol=1e-12)

    @pytest.mark.parametrize("scale", ["group", "none"])
    def test_they_are_those_of_training(self, scale: str) -> None:
        rewards = np.random.default_rng(1).normal(size=(5, 4))
        told = group_advantages(rewards.ravel(), np.repeat(np.arange(5), 4), scale=scale)
        np.testing.assert_allclose(batched_advantages(rewards, scale_rewards=scale), told.reshape(5, 4))

    @pytest.mark.parametrize(
        ("rewards", "scale", "problem"),
        [([1.0], "group", "two or more"), ([1.0, np.nan], "group", "finite"), ([1.0, 0.0], "sd", "unknown")],
    )
    def test_what_is_no_group_is_refused(self, rewards: list, scale: str, problem: str) -> None:
        with pytest.raises(InputError, match=problem):
            batched_advantages(rewards, scale_rewards=scale)


class TestMeasures:
    def test_the_kernel_is_the_one_asked_for(self) -> None:
        vectors = equicosine(4, 0.93)
        np.testing.assert_allclose(vectors @ vectors.T, 0.93 + 0.07 * np.eye(4))
        with pytest.raises(InputError, match="cosine = 1"):
            equicosine(3, 1.0)

    def test_effective_modes_count_right_ones_only(self) -> None:
        policies = np.array([[0.1, 0.1, 0.1, 0.7, 0], [0.2, 0, 0, 0.4, 0.4], [0.25, 0.15, 0.10, 0.25, 0.25]])
        entropy = -sum(share * np.log(share) for share in (0.5, 0.3, 0.2))
        np.testing.assert_allclose(effective_modes(policies, RIGHT), [3, 1, np.exp(entropy)])


def brute_force(
    start: np.ndarray, right: np.ndarray, vectors: np.ndarray, adjust: Adjust, **how
) -> np.ndarray:
    """Expected logit step: a sum over all ordered groups and, for the placebo, over all shuffles."""
    step, size = np.zeros(len(start)), how["size"]
    for members in product(range(len(start)), repeat=size):
        members = np.array(members)
        rewards = right[members].astype(float)
        if how["placebo"]:
            weights = adjust(np.ones((1, size)), vectors[members][None])[0]
            made = [rewards * weights[list(order)] for order in permutations(range(size))]
        else:
            made = [adjust(rewards[None], vectors[members][None])[0]]
        for adjusted in made:
            advantages = batched_advantages(adjusted, scale_rewards=how["scale"])
            np.add.at(step, members, np.prod(start[members]) * advantages / len(made))
    return step / size


class TestExactPolicy:
    @pytest.mark.parametrize("scale", ["group", "none"])
    @pytest.mark.parametrize("placebo", [False, True])
    @pytest.mark.parametrize("cosine", [0.0, 0.9])
    def test_one_step_is_that_of_brute_force(self, scale: str, placebo: bool, cosine: float) -> None:
        start, right = np.array([0.4, 0.1, 0.3, 0.2]), np.array([True, True, False, False])
        vectors = equicosine(4, cosine)
        vectors[1] = 0.7 * vectors[1] + 0.3 * vectors[2]  # not all pairs alike
        told = exact_policy(
            start, right, vectors, adjust_rewards, placebo=placebo, group_size=4, scale_rewards=scale, steps=1
        )
        step = brute_force(start, right, vectors, adjust_rewards, size=4, placebo=placebo, scale=scale)
        expected = start * np.exp(0.5 * step)
        np.testing.assert_allclose(told[1], expected / expected.sum(), rtol=1e-9)

    @pytest.mark.parametrize("placebo", [False, True])
    @pytest.mark.parametrize("method", ["mmr", "dsdr", "ucpo"])
    def test_one_step_of_other_methods_is_that_of_brute_force(self, method: str, placebo: bool) -> None:
        start, right = np.array([0.4, 0.1, 0.3, 0.2]), np.array([True, True, False, False])
        vectors = equicosine(4, 0.4)

        def advantages(rewards: np.ndarray, kernel: np.ndarray, log_probs: np.ndarray) -> np.ndarray:
            if method == "ucpo":
                return batched_advantages(rewards) * ucpo_weights(rewards, log_probs, 0.7)
            return batched_advantages(adjust_rewards(rewards, kernel, method=method))

        on_policy = method == "ucpo"
        told = advantage_policy(
            start, right, vectors, advantages, placebo=placebo, group_size=4, steps=1, on_policy=on_policy
        )
        step = np.zeros(4)
        for group in product(range(4), repeat=4):  # every sequence of every group
            members = np.array(group)
            rewards = right[members].astype(float)
            given = advantages(rewards[None], vectors[members][None], np.log(start[members])[None])[0]
            if placebo:
                given = np.array([given[rewards == reward].mean() for reward in rewards])
            np.add.at(step, members, np.prod(start[members]) * given / 4)
        expected = start * np.exp(0.5 * step)
        np.testing.assert_allclose(told[1], expected / expected.sum(), rtol=1e-9)

    def test_advantages_of_rewards_give_the_policy_of_rewards(self) -> None:
        def advantages(rewards: np.ndarray, kernel: np.ndarray, log_probs: np.ndarray) -> np.ndarray:
            return batched_advantages(adjust_rewards(rewards, kernel))

        vectors = equicosine(5, 0.5)
        told = advantage_policy(START, RIGHT, vectors, advantages, group_size=4, steps=20)
        one = exact_policy(START, RIGHT, vectors, adjust_rewards, group_size=4, steps=20)
        np.testing.assert_allclose(told, one)

    def test_without_division_the_step_is_the_policy_gradient(self) -> None:
        # The group's mean holds the completion itself, which takes 1 / G of the gradient pi (r - J).
        told = exact_policy(
            START, RIGHT, equicosine(5, 0), group_size=6, scale_rewards="none", rate=2, steps=1
        )
        gradient = START * (RIGHT - START[RIGHT].sum())
        expected = START * np.exp(2 * 5 / 6 * gradient)
        np.testing.assert_allclose(told[1], expected / expected.sum())

    def test_names_of_modes_do_not_matter(self) -> None:
        order, vectors = np.array([3, 0, 4, 2, 1]), equicosine(5, 0.5)
        one = exact_policy(START, RIGHT, vectors, adjust_rewards, steps=20, group_size=4)
        other = exact_policy(
            START[order], RIGHT[order], vectors[order], adjust_rewards, steps=20, group_size=4
        )
        np.testing.assert_allclose(one[:, order], other)

    def test_a_placebo_of_equal_weights_is_no_adjustment(self) -> None:
        same = np.ones((5, 2))  # every completion like every other: one weight for all
        plain = exact_policy(START, RIGHT, same, steps=30, group_size=4)
        placebo = exact_policy(START, RIGHT, same, adjust_rewards, placebo=True, steps=30, group_size=4)
        # The division cancels the common factor, but for the 1e-4 beside it.
        np.testing.assert_allclose(plain, placebo, atol=1e-3)

    @pytest.mark.parametrize(
        ("start", "right", "size", "problem"),
        [
            ([0.5, 0.5], [True, False, False], 4, "different modes"),
            ([0.5, 0.6, 0.1], [True, False, False], 4, "no chances"),
            ([1.0, 0.0, 0.0], [True, False, False], 4, "no chances"),
            ([0.4, 0.3, 0.3], [True, False, False], 500, "different groups"),
        ],
    )
    def test_what_is_no_policy_is_refused(self, start: list, right: list, size: int, problem: str) -> None:
        with pytest.raises(InputError, match=problem):
            exact_policy(np.array(start), np.array(right), np.eye(3), group_size=size, steps=1)


class TestSampledPolicies:
    @pytest.mark.parametrize("placebo", [False, True])
    def test_its_first_step_is_the_exact_one_on_average(self, placebo: bool) -> None:
        how = {"placebo": placebo, "group_size": 5, "rate": 0.1, "steps": 1}
        vectors = equicosine(5, 0.5)
        exact = np.log(exact_policy(START, RIGHT, vectors, adjust_rewards, **how)[1])
        runs = np.log(sampled_policies(START, RIGHT, vectors, adjust_rewards, runs=20_000, **how)[1])
        moved = runs - runs.mean(axis=1, keepdims=True)  # logits up to a constant
        error = moved.std(axis=0) / np.sqrt(len(runs))
        assert (np.abs(moved.mean(axis=0) - (exact - exact.mean())) < 4.5 * error).all()

    def test_it_repeats_by_seed_and_stays_a_policy(self) -> None:
        one, same, other = (
            sampled_policies(START, RIGHT, equicosine(5, 0), adjust_rewards, runs=3, steps=40, seed=seed)
            for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, other)
        np.testing.assert_allclose(one.sum(axis=-1), 1)


class TestWhoKeepsTheModes:
    """What the picture shows, as numbers: three right modes, 50 : 30 : 20 at the start, groups of eight."""

    def test_grpo_collapses_dra_does_not_and_the_placebo_does(self) -> None:
        frame = mode_arms(START, RIGHT, {"unlike": equicosine(5, 0)}, adjust_rewards, steps=400, runs=40)
        last = frame[frame["step"] == 400].set_index(["scale_rewards", "arm"])
        for scale in ("group", "none"):
            assert last.loc[(scale, "dra"), "modes"] > 2.95 and last.loc[(scale, "dra"), "low"] > 2.6
            assert last.loc[(scale, "none"), "modes"] < 1.4 and last.loc[(scale, "none"), "high"] < 2
            assert last.loc[(scale, "placebo"), "modes"] < 1.9
        assert (last["share_right"] > 0.95).all()
        np.testing.assert_allclose(
            frame[(frame["arm"] == "none") & (frame["scale_rewards"] == "group")]["modes"],
            effective_modes(exact_policy(START, RIGHT, equicosine(5, 0), steps=400), RIGHT),
        )

    def test_at_real_cosines_only_the_division_by_the_deviation_keeps_them(self) -> None:
        vectors = equicosine(5, 0.93)
        kept = {
            (scale, placebo): effective_modes(
                exact_policy(START, RIGHT, vectors, adjust_rewards, scale_rewards=scale, placebo=placebo)[-1],
                RIGHT,
            )
            for scale in ("group", "none")
            for placebo in (False, True)
        }
        assert kept["group", False] > 2.95 and kept["group", True] < 1.2
        assert kept["none", False] < 2 and kept["none", False] - kept["none", True] < 0.4


def test_right_ways_of_a_training_log_are_counted_step_by_step() -> None:
    rows = [(1, True, "a"), (1, True, "b"), (1, False, "c"), (2, True, "a"), (2, True, "a"), (2, None, "b")]
    rows += [(3, False, "a"), *[(4, True, "a")] * 3, (4, True, "b")]
    told = right_ways(pd.DataFrame(rows, columns=["step", "correct", "way"]))
    assert told["step"].tolist() == [1, 2, 4] and set(told["metric"]) == {"right_ways"}
    mixed = np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25))
    np.testing.assert_allclose(told["value"], [2, 1, mixed])
