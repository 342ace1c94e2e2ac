"""DRA weights and rewards: the reference vectors of the released code, and what must hold for any input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hammerlib.dra import KERNELS, METHODS, adjust_rewards, check_options, diversity_weights
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


# Other mutual informations ---------------------------------------------------------------------------

# smi -> weights of e1, e1, e2; of G copies (as 1 / D); of e1, -e1; eps 0.
# Facility location on e1, e1, e2: for a copy, v = itself and v = its twin each give min(1, 1) = 1, v = e2
# gives 0, so 1 + SMI = 3; for e2 every minimum is 0. G copies: G minima of 1. Opposite: both minima are
# min(1, -1) = -1, so 1 + SMI = -1.
# Log-det: (I + [[1, 1], [1, 1]])^-1 = [[2, -1], [-1, 2]] / 3, so SMI = log(2 * 2/3) = log(4/3), and for e2
# log(2 * 1/2) = 0. G copies: the diagonal is G / (G + 1). Opposite: the same matrix up to a sign.
KINDS = {
    "graph_cut": ([1 / 2, 1 / 2, 1], lambda size: size, None),
    "facility_location": ([1 / 3, 1 / 3, 1], lambda size: size + 1, [-1, -1]),
    "log_det": (
        [1 / (1 + math.log(4 / 3))] * 2 + [1],
        lambda size: 1 + math.log(2 * size / (size + 1)),
        [1 / (1 + math.log(4 / 3))] * 2,
    ),
}


@pytest.mark.parametrize("smi", KERNELS)
def test_every_mutual_information_has_its_hand_made_values(smi: str) -> None:
    pair, copies, opposite = KINDS[smi]
    assert diversity_weights([E1, E1, E2], smi=smi, eps=0) == pytest.approx(pair)
    assert diversity_weights(np.eye(5), smi=smi, eps=0) == pytest.approx([1] * 5)
    assert diversity_weights([[3.0, 4.0]], smi=smi, eps=0) == pytest.approx([1])
    for size in (2, 3, 7):
        assert diversity_weights([E1] * size, smi=smi, eps=0) == pytest.approx([1 / copies(size)] * size)
    if opposite:
        assert diversity_weights([E1, [-1.0, 0.0]], smi=smi, eps=0) == pytest.approx(opposite)


@pytest.mark.parametrize("smi", KERNELS)
def test_every_mutual_information_is_its_definition(smi: str) -> None:
    """I({i}; rest) = f({i}) + f(rest) - f(group), with f written out for sets."""
    vectors = np.random.default_rng(3).uniform(0.1, 1, size=(5, 4))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T

    def f(chosen: list[int]) -> float:
        inside = np.ix_(chosen, chosen)
        if smi == "graph_cut":  # lambda = 1/2; the sum over all pairs of the group counts each pair twice
            return cosines[:, chosen].sum() - 0.5 * cosines[inside].sum()
        if smi == "facility_location":
            return cosines[:, chosen].max(axis=1).sum()
        return np.linalg.slogdet(np.eye(len(chosen)) + cosines[inside])[1]

    everyone = list(range(5))
    expected = [f([i]) + f([j for j in everyone if j != i]) - f(everyone) for i in everyone]
    assert 1 / diversity_weights(vectors, smi=smi, eps=0) - 1 == pytest.approx(expected)


# Options ---------------------------------------------------------------------------------------------


def test_clamping_takes_opposite_completions_for_unrelated_ones() -> None:
    for smi in ("graph_cut", "facility_location"):
        assert diversity_weights([E1, [-1.0, 0.0]], smi=smi, clamp=True, eps=0).tolist() == [1, 1]
    # Row sums of e1, e1, -e1: 1 + 1 - 1 as published, 1 + 1 + 0 when clamped; of -e1: 1 - 2 and 1.
    group = [E1, E1, [-1.0, 0.0]]
    assert diversity_weights(group, eps=0) == pytest.approx([1, 1, -1])
    assert diversity_weights(group, eps=0, clamp=True) == pytest.approx([0.5, 0.5, 1])


def test_centring_spreads_a_group_in_which_all_is_alike() -> None:
    # (9, 1) twice and (9, -1) twice: cosines of 80/82 become 1 within and -1 across once the mean is gone.
    group = np.array([[9.0, 1.0], [9.0, 1.0], [9.0, -1.0], [9.0, -1.0]])
    assert diversity_weights(group, eps=0) == pytest.approx([1 / (2 + 2 * 80 / 82)] * 4)
    assert diversity_weights(group, eps=0, clamp=True, centre=True) == pytest.approx([0.5] * 4)


def test_centring_is_defined_where_nothing_is_left_after_it() -> None:
    assert diversity_weights([E1] * 4, clamp=True, centre=True, eps=0) == pytest.approx([0.25] * 4)
    assert diversity_weights([E1], clamp=True, centre=True, eps=0) == pytest.approx([1])
    # e1, -e1, e2 around their mean (0, 1/3): all three inner products are negative, hence clamped.
    found = diversity_weights([E1, [-1.0, 0.0], E2], clamp=True, centre=True, eps=0)
    assert found == pytest.approx([1, 1, 1])


def test_normalised_weights_have_mean_one_so_that_dr_grpo_keeps_its_scale() -> None:
    # Weights 1/2, 1/2, 1 have mean 2/3.
    assert diversity_weights([E1, E1, E2], normalize=True, eps=0) == pytest.approx([0.75, 0.75, 1.5])
    # A group of copies is not shrunk by G any more.
    assert adjust_rewards([1, 1, 0], [E1] * 3, normalize=True) == pytest.approx([1, 1, 0])
    # Safe, rewards 1, -1, 1: factors 1/2, mirrored 1/2 * 1 / (1/2) = 1, and 1; their mean is 5/6.
    found = adjust_rewards([1, -1, 1], [E1, E1, E2], sign="safe", normalize=True, eps=0)
    assert found == pytest.approx([0.6, -1.2, 1.2])


def test_positives_only_compares_right_answers_with_right_answers() -> None:
    # The two right ones are orthogonal, the wrong one is a copy of the first: nothing is redundant.
    assert adjust_rewards([2, -1, 1], [E1, E1, E2], positives_only=True, eps=0) == pytest.approx([2, -1, 1])
    # Two right copies halve each other; the wrong copy keeps its reward, and so does a reward of zero.
    found = adjust_rewards([2, 2, -1, 0], [E1, E1, E1, E2], positives_only=True, eps=0)
    assert found == pytest.approx([1, 1, -1, 0])
    assert adjust_rewards([2, 0], [E1, E1], positives_only=True, eps=0) == pytest.approx([2, 0])
    assert adjust_rewards([2, 2, -1, 0], [E1] * 4, positives_only=True, normalize=True).tolist() == (
        pytest.approx([2, 2, -1, 0])
    )
    # Groups are independent, and one without a positive reward is untouched.
    both = adjust_rewards([[1, 1, -3], [-1, np.nan, 0]], [[E1, E1, E2]] * 2, positives_only=True, eps=0)
    assert both.ravel() == pytest.approx([0.5, 0.5, -3, -1, np.nan, 0], nan_ok=True)


def test_the_safe_sign_punishes_a_redundant_wrong_answer_more_and_leaves_positive_rewards() -> None:
    # Weights 1/2, 1/2, 1: mirrored 1/2 * 1 / w = 1, 1, 1/2.
    assert adjust_rewards([-1] * 3, [E1, E1, E2], sign="safe", eps=0) == pytest.approx([-1, -1, -0.5])
    assert adjust_rewards([1] * 3, [E1, E1, E2], sign="safe", eps=0) == pytest.approx([0.5, 0.5, 1])
    assert adjust_rewards([-1] * 3, [E1] * 3, sign="safe", eps=0) == pytest.approx([-1 / 3] * 3)
    assert adjust_rewards([-2.0], [E1], sign="safe", eps=0) == pytest.approx([-2])
    # Row sums 0 (opposite pair) and -1 (e1, e1, -e1) neither explode nor flip a negative reward.
    assert adjust_rewards([-1, -1], [E1, [-1.0, 0.0]], sign="safe") == pytest.approx([-1, -1])
    assert (adjust_rewards([-1] * 3, [E1, E1, [-1.0, 0.0]], sign="safe") < 0).all()


def test_the_official_scope_repeats_the_released_codes_position_signal() -> None:
    """Three processes with four rows each, G = 6: AAAA, AABB, BBBB; equal rewards, A and B orthogonal."""
    local = [[E1] * 4, [E1, E1, E2, E2], [E2] * 4]
    weights = np.concatenate([diversity_weights(rows, scope="official-local") for rows in local])
    # Row sums over local rows: 4 on the outer processes, 2 in the middle.
    assert weights == pytest.approx([1 / 4] * 4 + [1 / 2] * 4 + [1 / 4] * 4, rel=1e-5)
    # Of group A (1/4 x 4, 1/2 x 2): mean 1/3, unbiased variance (4/144 + 2/36) / 5 = 1/60.
    deviation = math.sqrt(1 / 60) + 1e-4
    expected = [-1 / 12 / deviation] * 4 + [1 / 6 / deviation] * 2
    assert grpo_advantages(weights[:6]) == pytest.approx(expected, abs=1e-4)
    assert expected == pytest.approx([-0.645] * 4 + [1.290] * 2, abs=1e-3)
    # The whole group gives no such signal.
    assert grpo_advantages(adjust_rewards([1] * 6, [E1] * 6)) == pytest.approx([0] * 6, abs=1e-6)


def test_the_official_scope_takes_all_rows_for_one_group() -> None:
    groups = np.random.default_rng(4).uniform(size=(3, 2, 5))
    rewards = np.arange(6.0).reshape(3, 2)
    found = adjust_rewards(rewards, groups, scope="official-local")
    assert found.shape == (3, 2)
    assert np.allclose(found.ravel(), adjust_rewards(rewards.ravel(), groups.reshape(6, 5)))


# The other methods

# Embeddings, rewards, options, adjusted. A half is sigmoid(0), the weight of equal rewards.
RIGHT, MIXED = 0.5, 1 / (1 + math.exp(-math.sqrt(2) / 3))  # weights of [1, 1, 1] and of [1, 0, 1]
OTHER_METHODS = {
    "mmr: the copy comes last": ([E1, E1, E2], [1, 1, 1], {"method": "mmr"}, [1, 2 * RIGHT - 1, RIGHT]),
    "mmr: right before wrong": ([E1, E1, E2], [1, 0, 1], {"method": "mmr"}, [1, MIXED - 1, MIXED]),
    "mmr: wrong ones too": ([E1, E1, E2], [0, 0, 0], {"method": "mmr", "relevance": 0.7}, [0, -0.3, 0]),
    "mmr: negative": ([E1, E1, E2], [-1, -1, -1], {"method": "mmr"}, [-1, -0.5 - 0.5, -0.5]),
    "mmr: opposite": ([E1, [-1, 0]], [1, 1], {"method": "mmr"}, [1, 0.5 + 0.5]),
    "mmr: clamped": ([E1, [-1, 0]], [1, 1], {"method": "mmr", "clamp": True}, [1, 0.5]),
    "mmr: reward alone": ([E1, E1, E2], [3, 1, 2], {"method": "mmr", "relevance": 1}, [3, 1, 2]),
    "mmr: the best, not the first": ([E1, E2, E2], [0, 2, 1], {"method": "mmr", "relevance": 0.5}, [0, 2, 0]),
    "dsdr: right ones": ([E1, E1, E2], [1, 1, 0], {"method": "dsdr", "bonus": 0.1}, [1.0125, 1.0125, 0]),
    "dsdr: the other one": ([E1, E1, E2], [1, 1, 1], {"method": "dsdr"}, [1.000125, 1.000125, 1.00025]),
    "dsdr: bounded": ([E1, [-1, 0]], [1, 1], {"method": "dsdr", "bonus": 1, "bound": 0.3}, [1.3, 1.3]),
    "dsdr: opposite": ([E1, [-1, 0]], [1, -1], {"method": "dsdr", "bonus": 1}, [1.5, -1]),
}


@pytest.mark.parametrize("name", OTHER_METHODS)
def test_other_methods_are_their_papers_by_hand(name: str) -> None:
    embeddings, rewards, options, adjusted = OTHER_METHODS[name]
    assert adjust_rewards(rewards, embeddings, **options) == pytest.approx(adjusted, abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 1000), size=st.integers(1, 7))
def test_where_no_rewards_are_equal_the_sequence_of_a_group_does_not_matter(
    method: str, seed: int, size: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(2, size, 4))
    rewards = rng.normal(size=(2, size))
    rewards[0, 0] = np.nan
    sequence = rng.permutation(size)
    adjusted = adjust_rewards(rewards, vectors, method=method)
    assert np.isnan(adjusted).tolist() == np.isnan(rewards).tolist()
    moved = adjust_rewards(rewards[:, sequence], vectors[:, sequence], method=method)
    np.testing.assert_allclose(moved, adjusted[:, sequence], rtol=1e-6)
    np.testing.assert_allclose(adjust_rewards(rewards[1], vectors[1], method=method), adjusted[1])


def test_one_completion_and_copies_under_the_other_methods() -> None:
    for method in ("mmr", "dsdr"):
        assert adjust_rewards([-2.0], [E1], method=method).tolist() == [-2.0]
    assert adjust_rewards([1, 1, 1], [E1] * 3, method="dsdr") == pytest.approx([1, 1, 1], abs=1e-12)
    assert adjust_rewards([1, 1, 1], [E1] * 3, method="mmr").tolist() == [1, 0, 0]  # as published


def test_mmr_over_a_batch_is_its_released_code() -> None:
    """Two prompts that share no reward: the second finds its only right answer taken for a copy."""
    rewards, groups = [[1.0, 0.0], [1.0, 0.0]], [[E1, E2], [E1, E2]]
    apart = adjust_rewards(rewards, groups, method="mmr", relevance=0.5)
    assert apart.tolist() == [[1, 0], [1, 0]]
    mixed = adjust_rewards(rewards, groups, method="mmr", relevance=0.5, scope="official-local")
    assert mixed.tolist() == [[1, 0], [0, -0.5]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "ucpo"}, "dra, mmr, dsdr"),
        ({"method": "mmr", "sign": "safe"}, "no option of method mmr; leave it out; .*: relevance, clamp"),
        ({"method": "dsdr", "clamp": True}, "no option of method dsdr"),
        ({"relevance": 0.7}, "no option of method dra"),
        ({"method": "mmr", "relevance": 1.5}, "from 0 to 1"),
        ({"method": "mmr", "relevance": "high"}, "from 0 to 1"),
        ({"method": "dsdr", "bonus": -1}, "at least 0"),
        ({"method": "dsdr", "bound": math.inf}, "at least 0"),
        ({"method": "dsdr", "bound": True}, "at least 0"),
    ],
)
def test_options_of_another_method_are_refused(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_options(options)


def test_option_sets_that_mean_the_same_are_the_same() -> None:
    plain = {"smi": "graph_cut", "sign": "paper", "clamp": False, "eps": 1e-6}
    assert check_options(plain) == check_options({}) == {}
    assert check_options({"sign": "safe", "clamp": True}) == check_options({"clamp": True, "sign": "safe"})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"smy": "graph_cut"}, "known: sign, positives_only, smi"),
        ({"smi": "magic"}, "facility_location"),
        ({"sign": "odd"}, "safe"),
        ({"scope": "world"}, "official-local"),
        ({"clamp": "yes"}, "true or false"),
        ({"positives_only": 1}, "true or false"),
        ({"eps": -1.0}, "at least 0"),
        ({"eps": True}, "at least 0"),
        ({"eps": "1e-6"}, "at least 0"),
        ({"smi": "log_det", "clamp": True}, "indefinite"),
        ({"centre": True}, "set clamp"),
    ],
)
def test_options_that_cannot_work_are_refused_in_one_line(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        check_options(options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: diversity_weights(np.ones((2, 0, 3))), "none of them 0"),
        (lambda: diversity_weights([E1, [0.0, 0.0]]), "zero vector"),
        (lambda: diversity_weights([E1, [np.nan, 1.0]]), "finite"),
        (lambda: diversity_weights([1.0, 2.0]), "shape"),
        (lambda: diversity_weights("x"), "are not numbers"),
        (lambda: diversity_weights([E1, [1.0]]), "are not numbers"),
        (lambda: adjust_rewards("x", [E1]), "rewards = 'x': are not numbers"),
        (lambda: diversity_weights([E1], smi="magic"), "graph_cut"),
        (lambda: adjust_rewards([1.0], [E1], sign="odd"), "paper"),
        (lambda: adjust_rewards([1.0, 2.0], [E1]), "one reward per embedded completion"),
    ],
)
def test_bad_input_is_told_in_one_line(call: object, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


GROUPS = st.integers(1, 6).flatmap(
    lambda size: st.lists(st.lists(st.floats(0.01, 5), min_size=4, max_size=4), min_size=size, max_size=size)
)


# Keyword sets whose kernels have no negative cosine on vectors of positive numbers.
NON_NEGATIVE = [{"smi": smi} for smi in KERNELS] + [
    {"clamp": True},
    {"smi": "facility_location", "clamp": True},
]
# Everything a config can ask for, for what must hold under any of it.
ANY_OPTIONS = st.fixed_dictionaries(
    {
        "kernel": st.sampled_from(
            [*NON_NEGATIVE, {"clamp": True, "centre": True}, {"smi": "log_det", "centre": True}]
        ),
        "sign": st.sampled_from(["paper", "safe"]),
        "normalize": st.booleans(),
        "positives_only": st.booleans(),
    }
).map(lambda drawn: drawn.pop("kernel") | drawn)


@settings(max_examples=60, deadline=None)
@given(GROUPS, st.sampled_from(NON_NEGATIVE), st.randoms(use_true_random=False))
def test_weights_follow_the_completions_and_a_duplicate_lowers_both(
    group: list, options: dict, chance: object
) -> None:
    vectors = np.array(group)
    order = list(range(len(vectors)))
    chance.shuffle(order)
    weights = diversity_weights(vectors, **options)
    assert np.allclose(diversity_weights(vectors[order], **options), weights[order])
    assert (weights > 0).all() and (weights <= 1).all()
    doubled = diversity_weights(np.vstack([vectors, vectors[:1]]), **options)
    assert doubled[0] < weights[0] and doubled[-1] == pytest.approx(doubled[0])


@settings(max_examples=80, deadline=None)
@given(GROUPS, ANY_OPTIONS, st.floats(0.1, 10), st.randoms(use_true_random=False))
def test_under_any_options_rewards_scale_follow_their_completions_and_keep_their_sign(
    group: list, options: dict, factor: float, chance: object
) -> None:
    vectors = np.array(group)
    rewards = np.linspace(-1, 1, len(vectors))
    order = list(range(len(vectors)))
    chance.shuffle(order)
    found = adjust_rewards(rewards, vectors, **options)
    assert np.isfinite(found).all() and (np.sign(found) == np.sign(rewards)).all()
    assert np.allclose(adjust_rewards(factor * rewards, vectors, **options), factor * found)
    assert np.allclose(adjust_rewards(rewards[order], vectors[order], **options), found[order])


@settings(max_examples=60, deadline=None)
@given(GROUPS, ANY_OPTIONS, st.integers(1, 6))
def test_copies_are_treated_alike_under_any_options(group: list, options: dict, size: int) -> None:
    vectors = np.array([group[0]] * size)
    for reward in (-1.0, 1.0):
        found = adjust_rewards([reward] * size, vectors, **options)
        assert np.allclose(found, found[0]) and 0 < found[0] / reward <= 1 + 1e-9
    assert not adjust_rewards([0.0] * size, vectors, **options).any()
    assert np.isnan(adjust_rewards([np.nan] * size, vectors, **options)).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.sampled_from(KERNELS))
def test_the_safe_sign_never_flips_a_negative_reward_whatever_the_cosines(
    seed: int, size: int, smi: str
) -> None:
    vectors = np.random.default_rng(seed).normal(size=(size, 2))
    found = adjust_rewards(-np.ones(size), vectors, smi=smi, sign="safe")
    assert (found < 0).all() and (found >= -1).all()


@settings(max_examples=40, deadline=None)
@given(GROUPS, st.sampled_from(KERNELS))
def test_a_wrong_copy_is_never_punished_less_under_the_safe_sign(group: list, smi: str) -> None:
    vectors = np.array(group)
    weights = diversity_weights(vectors, smi=smi)
    paper, safe = (
        adjust_rewards(-np.ones(len(vectors)), vectors, smi=smi, sign=s) for s in ("paper", "safe")
    )
    assert paper[weights.argmin()] == paper.max() and safe[weights.argmin()] == safe.min()


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


@pytest.mark.parametrize("apart", [1e-2, 1e-4, 1e-7])
def test_centring_sees_directions_however_close_to_the_mean(apart: float) -> None:
    # Two completions on either side of a third: centred, they point apart and share nothing.
    either_side = np.array([[1.0, apart], [1.0, -apart]])
    assert diversity_weights(either_side, centre=True, clamp=True) == pytest.approx([1, 1], abs=1e-5)
    copies = np.array([[1.0, apart], [1.0, apart]])
    assert diversity_weights(copies, centre=True, clamp=True) == pytest.approx([0.5, 0.5], abs=1e-5)
