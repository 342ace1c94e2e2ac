"""ETMR: the reference's vectors, the exact vote of relatives, and tree rollouts in the house."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from hammerlib.errors import InputError
from hammerlib.systems.etmr import effective_votes, fork_points, leaf_count, token_ratio, tree_vote
from hammerlib.systems.etmr.trees import leaf_order

# Forks and leaves


def test_the_budget_of_the_reference() -> None:
    assert leaf_count(12, 2, 2) == 60 and token_ratio(2, 2) == pytest.approx(0.6)
    assert token_ratio(3, 2) == pytest.approx(4 / 7)  # the other note's "about 60 %" is 57 %
    assert token_ratio(2, 2, depth=0.0) == 1  # forks at the first token save nothing


def test_forks_are_the_positions_of_highest_entropy_in_their_order() -> None:
    entropies = np.array([0.5, 2.0, 0.3, 1.5, 3.0])
    allowed = np.array([True, True, True, True, False])  # the last is a special token
    assert fork_points(entropies, allowed, 2) == [1, 3]
    assert fork_points(entropies, allowed, 3) == [0, 1, 3]  # the first token may fork, unlike in CURE
    assert fork_points(np.ones(4), np.ones(4, bool), 2) == [0, 1]  # of equal ones the earlier
    assert fork_points(entropies, allowed, 0) == []


def test_missing_forks_are_completions_of_their_own() -> None:
    assert fork_points(np.array([1.0, 2.0]), np.array([False, True]), 3) == [0, 0, 1]
    assert fork_points(np.array([1.0]), np.array([False]), 2) == [0, 0]


@given(st.lists(st.floats(0, 3), min_size=1, max_size=12), st.integers(0, 5))
def test_forks_are_distinct_and_as_many_as_asked(entropies: list[float], forks: int) -> None:
    points = fork_points(np.array(entropies), np.ones(len(entropies), bool), forks)
    assert len(points) == forks and points == sorted(points)
    assert len(set(points)) == min(forks, len(entropies)) or 0 in points


def test_forks_refuse_what_does_not_fit() -> None:
    for arguments in ((np.ones(2), np.ones(3, bool)), (np.array([np.inf]), np.ones(1, bool))):
        with pytest.raises(InputError):
            fork_points(*arguments, 1)


def test_the_first_leaves_are_of_as_many_trees_as_may_be() -> None:
    # Two trees, N = 2, B = 2. Made: trunks 0, 1; branches 2-5 of the first, 6-9 of the second.
    assert leaf_order(2, 2, 2).tolist() == [0, 1, 2, 6, 3, 7, 4, 8, 5, 9]
    assert sorted(leaf_order(12, 2, 2)) == list(range(60)) and leaf_order(3, 0, 2).tolist() == [0, 1, 2]


# What a vote of relatives is worth


def summed(right: float, cuts: list[float], trees: int, branches: int) -> tuple[float, float]:
    """Chance that the majority is right, and the variance of the mean, over all trees there can be."""
    tree: dict[int, float] = {}
    edges = [0.0, *cuts, 1.0]
    states = [(right**low - right**high, k, False) for k, (low, high) in enumerate(pairwise(edges))]
    for chance, live, whole in [*states, (right, len(cuts), True)]:
        for outcome in product([0, 1], repeat=branches * live):
            p = chance
            for place, one in enumerate(outcome):
                comes_through = right ** (1 - cuts[place // branches])
                p *= comes_through if one else 1 - comes_through
            count = sum(outcome) + whole
            tree[count] = tree.get(count, 0.0) + p
    n = trees * (1 + branches * len(cuts))
    accuracy = mean = square = 0.0
    for counts in product(tree, repeat=trees):
        p = float(np.prod([tree[count] for count in counts]))
        total = sum(counts)
        accuracy += p * (1.0 if 2 * total > n else 0.5 if 2 * total == n else 0.0)
        mean += p * total / n
        square += p * (total / n) ** 2
    assert mean == pytest.approx(right)  # every leaf alone is right with p
    return accuracy, square - mean**2


@pytest.mark.parametrize("cuts", [[0.25, 0.75], [0.0, 0.5], [0.5]])
def test_the_vote_of_trees_is_the_sum_over_all_trees(cuts: list[float]) -> None:
    accuracy, variance = summed(0.6, cuts, 2, 2)
    vote = tree_vote(0.6, cuts, trees=2, branches=2)
    assert vote.accuracy == pytest.approx(accuracy) and vote.effective_votes == pytest.approx(0.24 / variance)
    assert vote.tokens == pytest.approx(2 * (1 + 2 * sum(1 - cut for cut in cuts)))


def test_separate_completions_are_the_binomial_vote() -> None:
    vote = tree_vote(0.55, [], trees=9, branches=1)
    assert vote.accuracy == pytest.approx(1 - binom.cdf(4, 9, 0.55))
    assert vote.effective_votes == pytest.approx(9) and vote.tokens == 9
    # Cut at the first token, every branch is a completion of its own: 3 (1 + 2) votes.
    whole = tree_vote(0.55, [0.0], trees=3, branches=2)
    assert whole.accuracy == pytest.approx(vote.accuracy) and whole.tokens == 9


@given(st.floats(0.05, 0.95), st.lists(st.floats(0.01, 0.99), min_size=1, max_size=3))
def test_relatives_are_worth_less_than_as_many_strangers(right: float, cuts: list[float]) -> None:
    vote = tree_vote(right, cuts, trees=3, branches=2)
    assert 3 * (1 - 1e-9) <= vote.effective_votes < 3 * (1 + 2 * len(cuts))
    mirrored = (
        tree_vote(right, [], trees=4, branches=1).accuracy
        + tree_vote(1 - right, [], trees=4, branches=1).accuracy
    )
    assert mirrored == pytest.approx(1)


def test_at_equal_tokens_a_published_tree_labels_worse_where_the_vote_helps() -> None:
    # Forks at 1/4 and 3/4: 12 trees cost 36 completions and count like 25 of them.
    tree = tree_vote(0.6, [0.25, 0.75], trees=12, branches=2)
    separate = tree_vote(0.6, [], trees=36, branches=2)
    assert tree.tokens == separate.tokens == 36
    assert tree.accuracy < separate.accuracy and tree.effective_votes < 26


def test_a_vote_refuses_nonsense() -> None:
    for arguments in (
        {"right": 1.0},
        {"cuts": [1.0]},
        {"trees": 0},
        {"branches": 0},
        {"right": float("nan")},
    ):
        with pytest.raises(InputError):
            tree_vote(**{"right": 0.5, "cuts": [0.5], "trees": 2, "branches": 1, **arguments})


def test_effective_votes_of_separate_completions_are_their_number() -> None:
    correct = np.random.default_rng(0).random((50, 7, 1)) < 0.4
    assert effective_votes(correct) == pytest.approx(7)  # exactly, whatever is right
    assert effective_votes(np.repeat(correct, 3, axis=2)) == pytest.approx(7)  # copies add nothing
    assert np.isnan(effective_votes(np.ones((2, 3, 2), bool)))
    for shape in ((2, 3), (2, 1, 4)):
        with pytest.raises(InputError):
            effective_votes(np.ones(shape))


def test_effective_votes_find_those_of_the_exact_model() -> None:
    rng = np.random.default_rng(1)
    right, cuts = 0.6, (0.25, 0.75)
    mistake = np.log(rng.random((4000, 6))) / np.log(right)  # place of the first mistake, in completions
    leaves = [mistake > 1]
    for cut in cuts:
        survives = rng.random((2, 4000, 6)) < right ** (1 - cut)
        leaves += [(mistake > cut) & one for one in survives]
    exact = tree_vote(right, cuts, trees=6, branches=2).effective_votes
    assert effective_votes(np.stack(leaves, axis=2)) == pytest.approx(exact, rel=0.04)
