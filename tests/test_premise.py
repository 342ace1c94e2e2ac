"""DRA's premise: correlations that scipy confirms, a count whose chance and power are known, clear errors."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from hammerlib.diversity.premise import (
    label_agreement,
    pair_correlations,
    premise_power,
    premise_summary,
)
from hammerlib.errors import InputError


def drawn(prompts: int, size: int, strength: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rewards that follow the position of a completion as strongly as asked for, and its vectors."""
    generator = np.random.default_rng(seed)
    position, noise = generator.normal(size=(2, prompts, size))
    rewards = strength * position + np.sqrt(1 - strength**2) * noise
    return rewards, np.stack([np.cos(0.2 * position), np.sin(0.2 * position)], axis=-1)


def pairs_of(rewards: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reward differences and distances of one prompt's pairs, pair by pair."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [(i, j) for i in range(len(rewards)) for j in range(i)]
    apart = np.array([1 - units[i] @ units[j] for i, j in pairs])
    return np.array([abs(rewards[i] - rewards[j]) for i, j in pairs]), apart


class TestPairCorrelations:
    def test_rho_and_p_are_those_of_scipy(self) -> None:
        rewards, vectors = drawn(20, 6, 0.6)
        found = pair_correlations(rewards, vectors)
        expected = [spearmanr(*pairs_of(*prompt)) for prompt in zip(rewards, vectors, strict=True)]
        np.testing.assert_allclose(found["rho"], [one.statistic for one in expected])
        np.testing.assert_allclose(found["p"], [one.pvalue for one in expected])

    def test_ties_have_their_mean_rank(self) -> None:
        vectors = drawn(1, 6, 0.0)[1]
        rewards = np.array([[0.0, 1.0, 0.0, 1.0, 1.0, 0.0]])
        told = pair_correlations(rewards, vectors)["rho"][0]
        assert told == pytest.approx(spearmanr(*pairs_of(rewards[0], vectors[0])).statistic)

    def test_the_shuffled_p_is_that_of_all_permutations(self) -> None:
        rewards, vectors = drawn(3, 5, 0.8, seed=4)
        found = pair_correlations(rewards, vectors, permutations=4000)
        for prompt in range(3):
            rho = spearmanr(*pairs_of(rewards[prompt], vectors[prompt])).statistic
            every = [
                spearmanr(*pairs_of(rewards[prompt][list(order)], vectors[prompt])).statistic
                for order in permutations(range(5))
            ]
            exact = (np.abs(every) >= abs(rho) - 1e-12).mean()
            assert found["p_shuffled"][prompt] == pytest.approx(exact, abs=0.03)

    def test_without_a_relation_the_shuffled_p_finds_five_per_cent(self) -> None:
        found = pair_correlations(*drawn(2000, 8, 0.0), permutations=199)
        assert 0.035 < (found["p_shuffled"] < 0.05).mean() < 0.065  # standard error 0.005
        # Pairs share completions, so the usual p finds more; how much more is what `chance` says.
        usual = (found["p"] < 0.05).mean()
        assert usual == pytest.approx(found["chance"].mean(), abs=0.02) and usual > 0.055
        assert abs(found["rho"].mean()) < 0.02 and abs(found["shuffled"].mean()) < 0.02

    def test_a_strong_relation_is_found(self) -> None:
        found = pair_correlations(*drawn(200, 8, 0.97), permutations=199)
        assert (found["p"] < 0.05).mean() > 0.9 and (found["p_shuffled"] < 0.05).mean() > 0.9
        assert found["shuffled"].median() < 0.2 < found["rho"].median()

    def test_prompts_without_variance_are_left_out_and_keep_their_row(self) -> None:
        rewards, vectors = drawn(4, 5, 0.5)
        rewards[1], vectors[3] = 1.0, vectors[3, 0]
        assert pair_correlations(rewards, vectors)["prompt"].tolist() == [0, 2]
        none = pair_correlations(rewards[1:2], vectors[1:2])
        assert none.empty and {"rho", "p", "p_shuffled"} <= set(none.columns)

    def test_rounding_of_the_same_text_is_a_tie(self) -> None:
        rewards, vectors = np.array([[0.0, 0.0, 1.0, 1.0, 0.0]]), drawn(1, 5, 0.0)[1]
        vectors[0, 1] = vectors[0, 0]
        vectors[0, 3] = vectors[0, 2]
        moved = vectors * (1 + 1e-7 * np.random.default_rng(0).normal(size=vectors.shape))
        one, other = pair_correlations(rewards, vectors), pair_correlations(rewards, moved)
        pd.testing.assert_frame_equal(one, other)

    def test_scale_and_offset_of_rewards_do_not_matter(self) -> None:
        rewards, vectors = drawn(5, 6, 0.5)
        one, other = pair_correlations(rewards, vectors), pair_correlations(3 * rewards - 7, 2 * vectors)
        pd.testing.assert_frame_equal(one, other)

    @pytest.mark.parametrize(
        ("rewards", "vectors", "options", "field"),
        [
            (np.zeros((2, 4)), np.ones((2, 5, 3)), {}, "rewards, vectors"),
            (np.zeros((2, 2)), np.ones((2, 2, 3)), {}, "rewards, vectors"),
            (np.full((1, 4), np.nan), np.ones((1, 4, 3)), {}, "NaN or infinity"),
            (np.zeros((1, 4)), np.ones((1, 4, 3)), {"permutations": 9}, "permutations = 9"),
        ],
    )
    def test_what_cannot_be_correlated_is_refused(
        self, rewards: np.ndarray, vectors: np.ndarray, options: dict, field: str
    ) -> None:
        with pytest.raises(InputError, match=field):
            pair_correlations(rewards, vectors, **options)


class TestSummary:
    def test_the_pooled_correlation_is_that_of_centred_ranks(self) -> None:
        rewards, vectors = drawn(30, 6, 0.7)
        told = premise_summary(pair_correlations(rewards, vectors)).loc["pooled correlation"]
        pooled = [
            [pd.Series(side).rank() - 8 for side in pairs_of(*prompt)]  # 15 pairs: mean rank 8
            for prompt in zip(rewards, vectors, strict=True)
        ]
        difference, distance = (np.concatenate(side) for side in zip(*pooled, strict=True))
        assert told["value"] == pytest.approx(np.corrcoef(difference, distance)[0, 1])
        assert told["low"] < told["value"] < told["high"]

    def test_the_interval_holds_zero_without_a_relation_and_not_with_one(self) -> None:
        nothing = premise_summary(pair_correlations(*drawn(400, 6, 0.0, seed=1))).loc["pooled correlation"]
        something = premise_summary(pair_correlations(*drawn(400, 6, 0.7, seed=1))).loc["pooled correlation"]
        assert nothing["low"] < 0 < nothing["high"] < 0.06
        assert something["low"] > 0.15

    def test_the_interval_is_over_prompts(self) -> None:
        # Every prompt four times over: a bootstrap over prompts believes it, with half the width.
        found = pair_correlations(*drawn(100, 6, 0.5))
        widths = [
            float(told["high"] - told["low"])
            for told in (
                premise_summary(each).loc["pooled correlation"] for each in (found, pd.concat([found] * 4))
            )
        ]
        assert widths[1] == pytest.approx(widths[0] / 2, rel=0.15)

    def test_no_prompt_is_refused(self) -> None:
        with pytest.raises(InputError, match="no prompt"):
            premise_summary(pair_correlations(np.ones((2, 4)), drawn(2, 4, 0.0)[1]))


class TestPower:
    def test_more_is_found_where_there_is_more_and_in_larger_groups(self) -> None:
        small, large = premise_power(6, prompts=600), premise_power(12, prompts=600)
        assert small["found"].is_monotonic_increasing and small["found_shuffled"].is_monotonic_increasing
        assert (large["found"] > small["found"]).loc[0.1:].all()
        # The paper's groups: half of a strong relation stays unseen, and a sixth of prompts is a weak one.
        assert (
            0.4 < small.loc[0.5, "found"] < 0.62 and small.loc[0.1, "found"] < 0.16 < small.loc[0.3, "found"]
        )

    def test_the_correlation_is_the_true_one(self) -> None:
        # Spearman over many pairs that share no completion, at the strength that the simulation takes for .3.
        from hammerlib.diversity.premise import _calibration

        strengths, reached = _calibration()
        strength = float(np.interp(0.3, reached, strengths))
        rewards, vectors = drawn(40_000, 2, strength, seed=9)
        apart = 1 - (vectors[:, 0] * vectors[:, 1]).sum(axis=1)
        told = spearmanr(np.abs(rewards[:, 0] - rewards[:, 1]), apart).statistic
        assert told == pytest.approx(0.3, abs=0.015)

    def test_grades_hide_more(self) -> None:
        graded = premise_power(6, (0.0, 0.5), graded=True, prompts=600)
        assert graded.loc[0.5, "found"] < premise_power(6, (0.5,), prompts=600).loc[0.5, "found"] - 0.1
        assert (graded["prompts"] < 600).all()  # all right or all wrong: nothing to correlate

    def test_it_repeats_by_seed(self) -> None:
        one, other = (premise_power(6, (0.3,), prompts=50, seed=seed) for seed in (1, 1))
        pd.testing.assert_frame_equal(one, other)

    def test_an_impossible_correlation_is_refused(self) -> None:
        with pytest.raises(InputError, match="correlations"):
            premise_power(6, (1.0,))


def test_agreement_is_the_share_of_pairs_won_counted_one_by_one() -> None:
    generator = np.random.default_rng(3)
    vectors = generator.integers(1, 3, size=(9, 2)).astype(float)  # few directions: pairs tie
    labels = generator.integers(0, 3, size=9)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [(i, j) for i in range(9) for j in range(i)]
    cosines = np.array([units[i] @ units[j] for i, j in pairs])
    same = np.array([labels[i] == labels[j] for i, j in pairs])
    won = [(np.sign(round(a - b, 9)) + 1) / 2 for a in cosines[same] for b in cosines[~same]]
    assert 0.5 in won and label_agreement(vectors, labels) == pytest.approx(np.mean(won))
    apart = np.repeat(np.eye(3), 3, axis=0)
    assert label_agreement(apart, list("aaabbbccc")) == 1.0
    assert label_agreement(apart, list("abcabcabc")) < 0.5
    assert np.isnan(label_agreement(apart, ["a"] * 9)) and np.isnan(label_agreement(apart, range(9)))


@pytest.mark.parametrize(
    ("vectors", "labels", "words"),
    [
        (np.ones((3, 2)), ["a", "b"], "give each vector its label"),
        (np.ones((2, 3, 2)), ["a", "b"], "give each vector its label"),
        (np.zeros((2, 2)), ["a", "b"], "have no cosine"),
        (np.full((2, 2), np.nan), ["a", "b"], "have no cosine"),
    ],
)
def test_vectors_without_labels_or_length_are_one_line(vectors: np.ndarray, labels: list, words: str) -> None:
    with pytest.raises(InputError, match=words):
        label_agreement(vectors, labels)
