"""AIRL-S: algebra of the reference, steps and their advantages, a bandit, and training in the house."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hammerlib.errors import InputError
from hammerlib.systems.airl_s import (
    discriminator,
    discriminator_loss,
    policy_reward,
    recover,
    step_advantages,
    step_ends,
)
from hammerlib.systems.airl_s.reward import mixed_advantages, over_tokens

# The algebra


def test_the_reward_of_the_reference_and_not_gails() -> None:
    values, logps = 0.7, math.log(0.2)
    chance = discriminator(values, logps)
    assert chance == pytest.approx(0.909656, abs=1e-6)
    found = policy_reward(values, logps)
    assert found == pytest.approx(2.309438, abs=1e-6) == pytest.approx(0.7 - math.log(0.2))
    assert found == pytest.approx(math.log(chance) - math.log(1 - chance))
    # log D and -log(1 - D) are the wrong ones in the wild
    assert -math.log(1 - chance) == pytest.approx(2.404127, abs=1e-6)
    assert math.log(chance) == pytest.approx(-0.094689, abs=1e-6)


def test_gails_discriminator_leaves_the_policy_out() -> None:
    for logps in (-0.1, -5.0):
        assert policy_reward(0.7, logps, "gail") == pytest.approx(-math.log(1 - 1 / (1 + math.exp(-0.7))))


def test_at_the_optimum_nothing_is_earned() -> None:
    logps = np.log([0.7, 0.2, 0.1])
    assert (
        discriminator(logps, logps).tolist() == [0.5] * 3 and policy_reward(logps, logps).tolist() == [0] * 3
    )
    side = torch.tensor(logps), torch.tensor(logps)
    assert discriminator_loss(side, side).item() == pytest.approx(2 * math.log(2))


def test_the_loss_by_hand() -> None:
    # Expert logits 0.5, -1; policy's 2: mean of -log sigmoid(x), and -log(1 - sigmoid(2)).
    expert = torch.tensor([0.5, 0.0]), torch.tensor([0.0, 1.0])
    policy = torch.tensor([1.0]), torch.tensor([-1.0])
    plus, minus = (
        [-math.log(1 / (1 + math.exp(-x))) for x in (0.5, -1)],
        -math.log(1 - 1 / (1 + math.exp(-2))),
    )
    assert discriminator_loss(expert, policy).item() == pytest.approx(sum(plus) / 2 + minus, rel=1e-6)
    # Labels .9 and .1: -log sigmoid(-x) = -log sigmoid(x) + x.
    smooth = sum(0.9 * loss + 0.1 * (loss + x) for loss, x in zip(plus, (0.5, -1), strict=True)) / 2
    smooth += 0.9 * minus + 0.1 * (minus - 2)
    assert discriminator_loss(expert, policy, smoothing=0.1).item() == pytest.approx(smooth, rel=1e-6)


def test_the_loss_stays_finite_far_out_and_moves_f_alone() -> None:
    values = torch.tensor([300.0, -300.0], requires_grad=True)
    logps = torch.tensor([0.0, -1.0], requires_grad=True)
    loss = discriminator_loss((values, logps), (values, logps))
    loss.backward()
    assert loss.isfinite() and values.grad.isfinite().all() and logps.grad is None


@given(st.floats(-20, 20), st.floats(-20, 0), st.floats(0, 0.49))
def test_the_gradient_is_d_minus_the_label(value: float, logp: float, smoothing: float) -> None:
    f = torch.tensor([value], dtype=torch.float64, requires_grad=True)
    other = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    logps = torch.tensor([logp], dtype=torch.float64)
    discriminator_loss((f, logps), other, smoothing=smoothing).backward()
    assert f.grad.item() == pytest.approx(discriminator(value, logp) - (1 - smoothing), abs=1e-9)


# Recovery


def test_a_bandits_expert_is_recovered() -> None:
    expert = np.array([0.7, 0.2, 0.1])
    found = recover(expert)
    assert found.policies[-1] == pytest.approx(expert, abs=0.01)
    assert found.values - np.log(expert) == pytest.approx(np.zeros(3), abs=0.01)
    assert discriminator(found.values, np.log(found.policies[-1])) == pytest.approx([0.5] * 3, abs=0.01)
    assert found.loss == pytest.approx(2 * math.log(2), abs=1e-3)
    assert recover(expert, updates=3).policies[-1] == pytest.approx(expert, abs=0.01)


def test_gails_reward_does_not_settle() -> None:
    found = recover([0.7, 0.2, 0.1], reward="gail")
    late = found.policies[-500:]
    assert np.ptp(late[:, 0]) > 0.05 and np.abs(late - [0.7, 0.2, 0.1]).max() > 0.1
    assert np.abs(found.values - np.log([0.7, 0.2, 0.1])).max() > 0.5


# Steps


def test_steps_end_with_their_separator() -> None:
    tokens = [" tens", ":", "1", "+", "2", ";", "3", ";", "\\boxed{", "3", "}", ""]
    assert step_ends(tokens, ";") == [5, 7, 11]
    assert step_ends(tokens, ",") == [11]
    assert step_ends(["a", "\n", "b", "\n", ""], "\n") == [1, 4]  # an end of text is no step of its own
    assert step_ends(["a", "\n", "b", "\n"], "\n") == [1, 3]
    assert step_ends(["\n", "\n"], "\n") == [0, 1]


@given(st.lists(st.sampled_from(["1", ";", "2;", " ", ""]), min_size=1, max_size=20))
def test_steps_part_a_completion(tokens: list[str]) -> None:
    ends = step_ends(tokens, ";")
    assert ends == sorted(set(ends)) and ends[-1] == len(tokens) - 1
    pieces = ["".join(tokens[start + 1 : end + 1]) for start, end in zip([-1, *ends], ends, strict=False)]
    assert "".join(pieces) == "".join(tokens)
    if len(ends) > 1:
        assert all(";" in piece for piece in pieces[:-1]) and pieces[-1].strip()


def test_step_advantages_by_hand() -> None:
    # Rewards 1 2 3 and 0 -1 1: pooled mean 1, squares 0 1 4 1 4 0, deviation sqrt(10 / 5) = 1.41421.
    s = math.sqrt(2)
    first, second = step_advantages([[1.0, 2.0, 3.0], [0.0, -1.0, 1.0]], eps=0)
    assert first == pytest.approx([3 / s, 3 / s, 2 / s]) and second == pytest.approx([-3 / s, -2 / s, 0])
    # prefix sums, or the population's deviation, are other numbers
    assert np.cumsum([0, 1 / s, 2 / s]) != pytest.approx(first)
    assert np.array([3, 3, 2]) / math.sqrt(10 / 6) != pytest.approx(first)


def test_all_tokens_of_a_step_share_its_value() -> None:
    table = over_tokens([np.array([3.0, 1.0]), np.array([2.0])], [[1, 4], [2]])
    assert table.tolist() == [[3, 3, 1, 1, 1], [2, 2, 2, 0, 0]]


@given(st.lists(st.lists(st.floats(-5, 5), min_size=1, max_size=4), min_size=2, max_size=5))
def test_step_advantages_add_up(rewards: list[list[float]]) -> None:
    found = step_advantages(rewards)
    pooled = np.concatenate([-np.diff([*row, 0.0]) for row in found])  # suffix sums taken back
    assert pooled.sum() == pytest.approx(0, abs=1e-6)
    shift = step_advantages([[value + 3 for value in row] for row in rewards])
    for row, other in zip(found, shift, strict=True):
        assert row == pytest.approx(other, abs=1e-5)


def test_a_group_of_one_step_or_of_equal_rewards_has_none() -> None:
    assert [row.tolist() for row in step_advantages([[5.0]])] == [[0.0]]
    assert [row.tolist() for row in step_advantages([[2.0, 2.0], [2.0]], eps=0)] == [[0, 0], [0]]


def test_both_advantages_are_mixed() -> None:
    steps = np.array([[2.0, 1.0], [0.0, -1.0]])
    found = mixed_advantages(steps, np.array([1.0, -1.0]), 0.5)
    assert found.tolist() == [[1.5, 1.0], [-0.5, -1.0]]
    assert mixed_advantages(steps, np.array([[1.0, 3.0, 0], [-1, -1, 0]]), 0.0).tolist() == [[1, 3], [-1, -1]]


def test_nonsense_is_refused() -> None:
    side = torch.zeros(1), torch.zeros(1)
    nothing = torch.zeros(0), torch.zeros(0)
    for call in (
        lambda: policy_reward(0.0, 0.0, "log"),
        lambda: discriminator_loss(side, side, smoothing=0.5),
        lambda: discriminator_loss(side, nothing),
        lambda: step_ends([], ";"),
        lambda: step_ends(["a"], ""),
        lambda: step_advantages([[1.0], []]),
        lambda: step_advantages([[math.nan]]),
        lambda: mixed_advantages(np.zeros((1, 1)), np.zeros(1), 1.5),
        lambda: recover([0.5, 0.6]),
        lambda: recover([1.0], steps=0),
    ):
        with pytest.raises(InputError):
            call()
