"""CURE: the reference's vectors, the exact policy of two tokens, and steps in the house."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from hammerlib.advantages import group_advantages
from hammerlib.errors import InputError
from hammerlib.systems.cure import critical_position, critical_positions, eligible_tokens, fork_training
from hammerlib.systems.cure.critical import fork_gradient

TEXTS = ["So", " x", " ", "7", " but", " then", "<eos>"]
ENTROPIES = np.array([3.0, 0.1, 2.5, 0.2, 2.0, 1.9, 0.0])
SPECIAL = [False] * 6 + [True]


# The critical token


def test_the_selector_of_the_reference() -> None:
    # 0 is left out though its entropy is highest; " ", "7" and " x" have one character at most.
    eligible = eligible_tokens(TEXTS, SPECIAL)
    assert eligible.tolist() == [False, False, False, False, True, True, False]
    assert critical_positions(ENTROPIES, eligible, top_k=2).tolist() == [4, 5]
    assert critical_positions(ENTROPIES, eligible, top_k=1).tolist() == [4]
    position = critical_position(ENTROPIES, eligible, np.random.default_rng(0), top_k=1)
    assert TEXTS[:position] == ["So", " x", " ", "7"]  # without " but", which is drawn anew


def test_a_filter_of_one_character_lets_digits_pass_and_white_space_not() -> None:
    eligible = eligible_tokens(TEXTS, SPECIAL, min_chars=1)
    assert critical_positions(ENTROPIES, eligible).tolist() == [4, 5, 3, 1]


@pytest.mark.parametrize("choice", ["entropy", "random"])
def test_without_a_candidate_the_branch_is_a_rollout_from_the_prompt(choice: str) -> None:
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    assert critical_position(ENTROPIES, np.zeros(7, bool), rng, choice=choice) == 0
    assert critical_position(np.array([2.0]), eligible_tokens(["but"], [False]), rng, choice=choice) == 0
    assert rng.bit_generator.state == state


def test_every_candidate_is_picked_as_often_and_no_other_token() -> None:
    rng = np.random.default_rng(0)
    entropies = np.array([9.0, 0.1, 0.5, 0.4, 0.3, 0.2])
    eligible = np.array([False, True, True, True, True, True])
    picked = [critical_position(entropies, eligible, rng, top_k=3) for _ in range(3000)]
    counts = np.bincount(picked, minlength=6)
    assert counts[[0, 1, 5]].tolist() == [0, 0, 0]
    assert chisquare(counts[2:5]).pvalue > 1e-3  # the argmax alone would be at 2
    anywhere = [critical_position(entropies, eligible, rng, top_k=3, choice="random") for _ in range(3000)]
    counts = np.bincount(anywhere, minlength=6)
    assert counts[0] == 0 and chisquare(counts[1:]).pvalue > 1e-3


@given(st.lists(st.floats(0, 3), min_size=1, max_size=12), st.integers(1, 5))
def test_candidates_are_eligible_falling_and_the_highest(entropies: list[float], top_k: int) -> None:
    values = np.array(entropies)
    eligible = np.arange(len(values)) % 2 == 1
    candidates = critical_positions(values, eligible, top_k=top_k)
    assert eligible[candidates].all() and len(candidates) == min(top_k, eligible.sum())
    assert (np.diff(values[candidates]) <= 0).all()
    left = np.setdiff1d(np.flatnonzero(eligible), candidates)
    assert not len(left) or values[left].max() <= values[candidates].min()


def test_the_selector_refuses_what_does_not_fit() -> None:
    for arguments in (
        (np.ones(2), np.ones(3, bool)),
        (np.array([1.0, np.nan]), np.ones(2, bool)),
    ):
        with pytest.raises(InputError):
            critical_positions(*arguments)
    with pytest.raises(InputError, match="top_k"):
        critical_positions(np.ones(2), np.ones(2, bool), top_k=0)
    with pytest.raises(InputError, match="use one of entropy, random"):
        critical_position(np.ones(2), np.ones(2, bool), np.random.default_rng(0), choice="clip")
    with pytest.raises(InputError, match="different lengths"):
        eligible_tokens(["a"], [])


# Joint groups


def test_originals_and_branches_are_compared_with_each_other() -> None:
    # Two rollouts earn +1, -1; of their two branches each, all four -1. Jointly: mean -2/3, deviation
    # sqrt(((5/3)^2 + 5 (1/3)^2) / 5) = 0.8165, so +2.0412 and -0.4082. The rollouts alone: +-0.7071.
    rewards = np.array([1.0, -1, -1, -1, -1, -1])
    joint = group_advantages(rewards, np.zeros(6, int), eps=1e-6)
    assert joint == pytest.approx([2.0412, *[-0.4082] * 5], abs=1e-4)
    alone = group_advantages(rewards, np.array([0, 0, 1, 1, 1, 1]), eps=1e-6)
    assert alone == pytest.approx([0.7071, -0.7071, 0, 0, 0, 0], abs=1e-4)


def enumerated(prefix: np.ndarray, fork: np.ndarray, right: np.ndarray, n1: int, n2: int) -> tuple:
    """The gradient of the token mean, summed over every group of n1 families there can be."""
    first, second = np.zeros_like(prefix), np.zeros_like(fork)
    families = list(product(range(len(prefix)), *[range(fork.shape[1])] * (1 + n2)))
    tokens = 2 * n1 + n1 * n2
    for group in product(families, repeat=n1):
        chance = 1.0
        rows = []
        for a, *endings in group:
            chance *= prefix[a] * np.prod(fork[a, endings])
            rows += [(a, b, k == 0) for k, b in enumerate(endings)]
        rewards = np.array([float(right[a, b]) for a, b, _ in rows])
        advantages = group_advantages(rewards, np.zeros(len(rows), int))
        for (a, b, original), advantage in zip(rows, advantages, strict=True):
            second[a] += chance * advantage * (np.eye(fork.shape[1])[b] - fork[a]) / tokens
            if original:
                first += chance * advantage * (np.eye(len(prefix))[a] - prefix) / tokens
    return first, second


@pytest.mark.parametrize(("n1", "n2"), [(2, 1), (2, 2), (3, 0)])
def test_the_exact_gradient_is_the_sum_over_all_groups(n1: int, n2: int) -> None:
    prefix, fork = np.array([0.3, 0.7]), np.array([[0.2, 0.8], [0.6, 0.4]])
    right = np.array([[True, False], [False, True]])
    by_hand = enumerated(prefix, fork, right, n1, n2)
    for ours, theirs in zip(fork_gradient(prefix, fork, right, n1=n1, n2=n2), by_hand, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-12)
        assert abs(theirs).max() > 1e-3


def test_branches_keep_the_entropy_before_the_fork_and_spend_that_of_the_fork() -> None:
    start = (np.array([0.5, 0.3, 0.2]), np.full((3, 4), 0.25),
             np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]], bool))  # fmt: skip
    plain = fork_training(*start, n1=16, n2=0, steps=60)
    cure = fork_training(*start, n1=4, n2=3, steps=60)
    assert (cure.prefix_entropy[1:] > plain.prefix_entropy[1:]).all()
    assert (cure.fork_entropy[1:] < plain.fork_entropy[1:]).all()
    assert plain.right[0] == pytest.approx(0.5 * 0.25 + 0.3 * 0.5) and plain.right[-1] > 0.95


def test_the_exact_policy_refuses_nonsense() -> None:
    sound = {"prefix": np.array([0.5, 0.5]), "fork": np.full((2, 2), 0.5), "right": np.eye(2, dtype=bool)}
    for change in (
        {"prefix": np.array([0.5, 0.6])},
        {"fork": np.array([[1.0, 0.0], [0.5, 0.5]])},
        {"right": np.ones((3, 2), bool)},
        {"n1": 1, "n2": 0},
        {"n2": -1},
    ):
        with pytest.raises(InputError):
            fork_training(**{**sound, "n1": 2, "n2": 1, **change})
