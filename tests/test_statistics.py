"""Intervals: deterministic, honest about coverage, closed to bad input."""

from __future__ import annotations

import numpy as np
import pytest

from hammerlib.errors import InputError
from hammerlib.evaluation.statistics import Interval, bootstrap_interval, interquartile_mean, paired_bootstrap


def test_equal_seeds_give_equal_intervals_and_touch_no_global_state():
    values = np.random.default_rng(0).random(200)
    np.random.seed(1)
    before = np.random.get_state()[1].tolist()
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)
    assert np.random.get_state()[1].tolist() == before


def test_the_interval_meets_the_normal_one_for_many_problems():
    values = np.random.default_rng(0).normal(2.0, 3.0, 4000)
    value, low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert value == pytest.approx(values.mean())
    assert [low, high] == pytest.approx([value - half, value + half], abs=0.1 * half)


def test_memory_blocks_do_not_depend_on_how_many_problems_there_are(monkeypatch):
    values = np.random.default_rng(0).random(500)
    whole = bootstrap_interval(values, resamples=300)
    monkeypatch.setattr("hammerlib.evaluation.statistics.DRAWS_AT_ONCE", 7 * len(values))
    assert bootstrap_interval(values, resamples=300) == whole


@pytest.mark.parametrize(("n", "alpha", "beta"), [(128, 1.0, 1.0), (256, 0.5, 0.5), (500, 2.0, 1.0)])
def test_nominal_95_percent_covers_the_truth(n, alpha, beta):
    """Two levels as in an evaluation: a solve rate per problem, 8 samples each; truth is the mean rate."""
    generator = np.random.default_rng(n)
    hits = 0
    for trial in range(400):
        rates = generator.beta(alpha, beta, n)
        _, low, high = bootstrap_interval(generator.binomial(8, rates) / 8, resamples=400, seed=trial)
        hits += low <= alpha / (alpha + beta) <= high
    # Three standard errors of 400 trials around .94: 400 resamples cost about a point.
    assert 0.905 <= hits / 400 <= 0.98


def test_pairing_removes_what_two_runs_share():
    generator = np.random.default_rng(0)
    difficulty = generator.random(300)
    a, b = difficulty, difficulty + generator.normal(0.05, 0.05, 300)
    paired = paired_bootstrap(a, b)
    assert paired.value == pytest.approx((b - a).mean())
    assert paired.low > 0, "the paired interval sees the gain"
    assert bootstrap_interval(a).high > bootstrap_interval(b).low, "two separate intervals do not"


def test_paired_bootstrap_changes_sign_with_its_arguments():
    a, b = np.random.default_rng(0).random((2, 100))
    forth, back = paired_bootstrap(a, b), paired_bootstrap(b, a)
    assert forth == pytest.approx(Interval(-back.value, -back.high, -back.low))


def test_interquartile_mean_meets_the_values_of_rliable():
    assert interquartile_mean([[1, 2], [2, 2], [1, 1], [2, 1]]) == 1.5
    assert interquartile_mean([[1, 1], [2, 2], [3, 3]]) == 2.0
    assert interquartile_mean([0, 0, 1, 2, 3, 1000, 4, 5]) == 2.5, "outliers do not count"
    assert interquartile_mean([7.0]) == 7.0


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: bootstrap_interval([]), "values"),
        (lambda: bootstrap_interval([0.5]), "values"),
        (lambda: bootstrap_interval([0.5, float("nan")]), "values"),
        (lambda: bootstrap_interval([[[0.5, 0.1]]]), "values"),
        (lambda: bootstrap_interval([0.5, 0.1], level=1.0), "level"),
        (lambda: bootstrap_interval([0.5, 0.1], resamples=10), "resamples"),
        (lambda: paired_bootstrap([0.5, 0.1], [0.5, 0.1, 0.2]), "b"),
        (lambda: paired_bootstrap([[0.5, 0.1]], [0.5, 0.1]), "b"),
        (lambda: interquartile_mean([]), "values"),
    ],
)
def test_bad_input_is_one_clear_error(call, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        call()


def test_one_seed_as_a_row_equals_the_plain_interval() -> None:
    values = np.random.default_rng(1).random(50)
    assert bootstrap_interval(values[None]) == bootstrap_interval(values)


def test_differing_seeds_widen_the_interval() -> None:
    values = np.random.default_rng(1).random(200)
    same = bootstrap_interval(np.stack([values] * 4))
    apart = bootstrap_interval(np.stack([values + shift for shift in (-0.3, -0.1, 0.1, 0.3)]))
    assert apart.high - apart.low > 2 * (same.high - same.low)
    assert apart.value == pytest.approx(same.value)


def test_crossed_interval_covers_the_grand_mean() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for trial in range(200):
        table = rng.normal(size=(8, 1)) + rng.normal(size=(1, 60)) + rng.normal(size=(8, 60))
        low, high = bootstrap_interval(table, resamples=400, seed=trial)[1:]
        hits += low <= 0 <= high
    assert 0.80 <= hits / 200 <= 0.99  # eight seeds: a percentile interval runs a little narrow
