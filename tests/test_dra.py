"""DRA weights and rewards: the reference vectors of the released code, and what must hold for any input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hammerlib.dra import adjust_rewards, diversity_weights
from hammerlib.errors import InputError

E1, E2 = [1.0, 0.0], [0.0, 1.0]
THIRD = 1 / (3 + 1e-6)

# Embeddings, rewards, weights, adjusted, GRPO advantages (ddof 1, +1e-4), Dr. GRPO advantages.
VECTORS = {
    "a duplicate pair": (
        [E1, E1, E2],
        [1, 1, 1],
        [0.5, 0.5, 0.999999],
        [0.5, 0.5, 0.999999],
        [-0.5772, -0.5772, 1.1543],
        [-0.1667, -0.1667, 0.3333],
    ),
    "negative rewards invert": (
        [E1, E1, E2],
        [-1, -1, -1],
        [0.5, 0.5, 0.999999],
        [-0.5, -0.5, -0.999999],
        [0.5772, 0.5772, -1.1543],
        [0.1667, 0.1667, -0.3333],
    ),
    "all the same": (
        [E1, E1, E1],
        [1, 1, 0],
        [THIRD] * 3,
        [0.3333, 0.3333, 0],
        [0.5771, 0.5771, -1.1541],
        [0.1111, 0.1111, -0.2222],
    ),
    "orthogonal": (
        np.eye(3),
        [1, 1, 0],
        [1, 1, 1],
        [1, 1, 0],
        [0.5773, 0.5773, -1.1545],
        [0.3333, 0.3333, -0.6667],
    ),
    "opposite": ([E1, [-1.0, 0.0]], [1, 1], [1e6, 1e6], [1e6, 1e6], [0, 0], [0, 0]),
}


def grpo_advantages(rewards: np.ndarray) -> np.ndarray:
    return (rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-4)


@pytest.mark.parametrize("name", VECTORS)
def test_the_reference_vectors_hold(name: str) -> None:
    embeddings, rewards, weights, adjusted, grpo, dr = VECTORS[name]
    found = adjust_rewards(rewards, embeddings)
    assert diversity_weights(embeddings) == pytest.approx(weights, rel=1e-5)
    assert found == pytest.approx(adjusted, rel=1e-5, abs=4e-5)
    assert grpo_advantages(found) == pytest.approx(grpo, abs=1e-4)
    assert found - found.mean() == pytest.approx(dr, abs=1e-4)


def test_a_batch_of_groups_is_the_groups_one_by_one() -> None:
    vectors = np.random.default_rng(0).normal(size=(4, 5, 7))
    rewards = np.random.default_rng(1).normal(size=(4, 5))
    together = adjust_rewards(rewards, vectors)
    assert np.allclose(together, [adjust_rewards(r, v) for r, v in zip(rewards, vectors, strict=True)])


def test_the_row_sum_shortcut_equals_the_similarity_matrix() -> None:
    vectors = np.random.default_rng(2).normal(size=(6, 9))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert np.allclose(diversity_weights(vectors), 1 / ((unit @ unit.T).sum(1) + 1e-6))


def test_a_group_of_one_keeps_its_reward() -> None:
    assert adjust_rewards([[2.0]], [[[3.0, 4.0]]])[0, 0] == pytest.approx(2 / (1 + 1e-6))


def test_a_reward_that_is_not_a_number_passes_through_and_leaves_the_others() -> None:
    found = adjust_rewards([np.nan, 1.0, 1.0], [E1, E1, E2])
    assert np.isnan(found[0]) and found[1:] == pytest.approx([0.5, 0.999999])


def test_equal_wrong_answers_stay_at_zero() -> None:
    assert not adjust_rewards([0, 0, 0], [E1, E1, E2]).any()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: diversity_weights([E1, [0.0, 0.0]]), "zero vector"),
        (lambda: diversity_weights([E1, [np.nan, 1.0]]), "finite"),
        (lambda: diversity_weights([1.0, 2.0]), "shape"),
        (lambda: diversity_weights([E1], smi="magic"), "graph_cut"),
        (lambda: adjust_rewards([1.0], [E1], sign="odd"), "paper"),
        (lambda: adjust_rewards([1.0, 2.0], [E1]), "one reward per embedded completion"),
    ],
)
def test_bad_input_is_told_in_one_line(call: object, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


GROUPS = st.integers(2, 6).flatmap(
    lambda size: st.lists(st.lists(st.floats(0.01, 5), min_size=4, max_size=4), min_size=size, max_size=size)
)


@settings(max_examples=60, deadline=None)
@given(GROUPS, st.randoms(use_true_random=False))
def test_weights_follow_the_completions_and_a_duplicate_lowers_both(group: list, chance: object) -> None:
    vectors = np.array(group)
    order = list(range(len(vectors)))
    chance.shuffle(order)
    weights = diversity_weights(vectors)
    assert np.allclose(diversity_weights(vectors[order]), weights[order])
    assert (weights > 0).all() and (weights <= 1).all()
    doubled = diversity_weights(np.vstack([vectors, vectors[:1]]))
    assert doubled[0] < weights[0] and doubled[-1] == pytest.approx(doubled[0])


@settings(max_examples=40, deadline=None)
@given(GROUPS, st.floats(0.1, 10), st.floats(0.1, 10))
def test_scaling_rewards_commutes_and_scaling_vectors_changes_nothing(
    group: list, factor: float, length: float
) -> None:
    vectors = np.array(group)
    rewards = np.linspace(-1, 1, len(vectors))
    assert np.allclose(
        adjust_rewards(factor * rewards, length * vectors), factor * adjust_rewards(rewards, vectors)
    )
