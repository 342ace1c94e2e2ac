"""Calibration: hand-made bins, closed forms, confidence from votes without a sample's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from hammerlib.errors import InputError
from hammerlib.evaluation.metrics import (
    brier_score,
    calibration_interval,
    expected_calibration_error,
    reliability_table,
    vote_confidence,
)

answers = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=2, max_size=10)


def test_bins_hold_their_upper_edge_and_the_first_holds_zero():
    table = reliability_table([0.0, 0.1, 0.3, 0.30001, 1.0], [0, 1, 1, 0, 1])
    assert table["n"].tolist() == [2, 0, 1, 1, 0, 0, 0, 0, 0, 1]
    assert table["low"][3] == pytest.approx(0.3) and table["high"][2] == pytest.approx(0.3)
    assert table["accuracy"][[0, 2, 3, 9]].tolist() == [0.5, 1.0, 0.0, 1.0]
    assert table["confidence"][0] == pytest.approx(0.05)
    assert table["accuracy"].isna().sum() == 6


def test_a_bin_of_single_answers_has_the_exact_interval():
    table = reliability_table([0.05] * 12 + [0.95] * 5, [1] * 3 + [0] * 9 + [1] * 5)
    for place, (hits, n) in ((0, (3, 12)), (9, (5, 5))):
        low, high = binomtest(hits, n).proportion_ci(0.95, method="exact")
        assert table.loc[place, ["accuracy_low", "accuracy_high"]].tolist() == pytest.approx([low, high])
    assert table["accuracy_low"].isna().sum() == 8 and table["problems"].tolist() == [12, *[0] * 8, 5]


def test_answers_of_one_problem_are_no_new_evidence():
    once = reliability_table([0.5] * 8, [1, 0] * 4, bins=1)
    twice = reliability_table([0.5] * 16, [1, 0] * 8, problems=np.arange(16) % 8, bins=1)
    ends = ["problems", "accuracy", "accuracy_low", "accuracy_high"]
    assert twice.loc[0, ends].tolist() == pytest.approx(once.loc[0, ends].tolist())
    uneven = reliability_table([0.5] * 16, [1, 0] * 8, problems=[0] * 9 + list(range(1, 8)), bins=1)
    assert uneven.loc[0, "accuracy_high"] > twice.loc[0, "accuracy_high"]


@pytest.mark.parametrize("centre", [0.03, 0.5, 0.97])
def test_intervals_of_bins_cover_thirty_problems_with_answers_of_their_own(centre):
    generator = np.random.default_rng(7)
    covered = 0
    for _ in range(400):
        rates = generator.beta(2 * centre, 2 * (1 - centre), 30)
        counts = generator.integers(1, 5, 30)
        of = np.repeat(np.arange(30), counts)
        row = reliability_table(
            np.full(len(of), 0.5), generator.random(len(of)) < rates[of], problems=of, bins=1
        )
        covered += row["accuracy_low"][0] <= centre <= row["accuracy_high"][0]
    assert covered / 400 >= 0.93


def test_error_and_score_by_hand():
    said, right = [0.9, 0.8, 0.3, 0.2], [1, 0, 0, 1]
    assert expected_calibration_error(said, right, bins=2) == pytest.approx(0.5 * 0.35 + 0.5 * 0.25)
    assert brier_score(said, right) == pytest.approx((0.01 + 0.64 + 0.09 + 0.64) / 4)
    assert expected_calibration_error([1, 1, 0], [1, 1, 0]) == brier_score([1, 1, 0], [1, 1, 0]) == 0
    assert expected_calibration_error([1, 1], [0, 0]) == brier_score([1, 1], [0, 0]) == 1


def test_a_calibrated_speaker_has_a_small_error_and_the_known_brier_score():
    generator = np.random.default_rng(0)
    said = generator.random(50_000)
    right = generator.random(50_000) < said
    assert expected_calibration_error(said, right) < 0.01
    assert brier_score(said, right) == pytest.approx(1 / 6, abs=0.005)  # E[c (1 - c)] of the uniform law


def test_confidence_is_the_share_of_the_others():
    assert vote_confidence(["a", "a", "a", "b", None])[:4].tolist() == [0.5, 0.5, 0.5, 0.0]
    assert np.isnan(vote_confidence(["a", None])[1])


@given(answers, st.randoms())
def test_confidence_follows_its_sample_and_not_its_place(given_answers, random):
    places = random.sample(range(len(given_answers)), len(given_answers))
    found = vote_confidence([given_answers[i] for i in places])
    assert found == pytest.approx(vote_confidence(given_answers)[places], nan_ok=True)


def test_confidence_is_unbiased_for_the_agreement_of_one_more_sample():
    """With its own vote a sample's share would be .75 on average for two fair answers and k = 2."""
    generator = np.random.default_rng(0)
    drawn = generator.choice(["a", "b"], size=(4000, 2))
    assert np.mean([vote_confidence(list(pair)) for pair in drawn]) == pytest.approx(0.5, abs=0.03)


def test_the_interval_resamples_problems_whole():
    generator = np.random.default_rng(0)
    said = generator.random(100).round(1)
    right = generator.random(100) < said
    apart = calibration_interval([([s], [r]) for s, r in zip(said, right, strict=True)])
    joined = calibration_interval([([s] * 9, [r] * 9) for s, r in zip(said, right, strict=True)])
    assert apart == pytest.approx(joined), "nine copies of a sample are no more evidence than one"
    assert apart.value == pytest.approx(expected_calibration_error(said, right))
    assert 0 <= apart.low <= apart.value <= apart.high <= 1
    assert calibration_interval([([0.5], [1]), ([], [])] * 3).value == 0.5


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: vote_confidence(["a"]), "answers"),
        (lambda: brier_score([], []), "correct"),
        (lambda: brier_score([0.5], [1, 0]), "correct"),
        (lambda: brier_score([50], [1]), "confidence"),
        (lambda: brier_score([float("nan")], [1]), "confidence"),
        (lambda: reliability_table([0.5], [1], bins=0), "bins"),
        (lambda: calibration_interval([([], [])]), "groups"),
    ],
)
def test_bad_input_is_one_clear_error(call, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        call()
