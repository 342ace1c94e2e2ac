"""Interquartile mean and probability of improvement: rliable's values, closed forms, coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, trim_mean

from hammerlib.errors import InputError
from hammerlib.evaluation.intervals import (
    interquartile_interval,
    interquartile_mean,
    probability_of_improvement,
)

X, Y = (
    np.array([[1, 2], [2, 2], [1, 1], [2, 1]]),
    np.array([[1, 1], [2, 2], [3, 3]]),
)  # rliable: (runs, tasks)


def test_values_of_rliable():
    assert interquartile_mean(X) == 1.5 and interquartile_mean(Y) == 2.0
    assert probability_of_improvement(list(Y.T), list(X.T)).value == pytest.approx(1 / 3)


def test_the_interquartile_mean_is_the_trimmed_mean_of_all_scores():
    scores = np.random.default_rng(0).random((7, 5))
    assert interquartile_mean(scores) == pytest.approx(trim_mean(scores, 0.25, axis=None))
    assert interquartile_interval(list(scores.T)).value == pytest.approx(interquartile_mean(scores))


def test_improvement_is_the_mean_of_mann_whitney_over_benchmarks():
    generator = np.random.default_rng(0)
    a = [generator.integers(0, 5, 6), generator.integers(0, 5, 9)]
    b = [generator.integers(0, 6, 7), generator.integers(0, 6, 4)]
    expected = [mannwhitneyu(y, x).statistic / (len(x) * len(y)) for x, y in zip(a, b, strict=True)]
    found = probability_of_improvement(a, b)
    assert found.value == pytest.approx(np.mean(expected))
    assert found.low <= found.value <= found.high
    assert probability_of_improvement(b, a).value == pytest.approx(1 - found.value)


def test_benchmarks_are_resampled_apart():
    """Between nearly equal runs only the benchmark differs: resampling inside each leaves next to nothing."""
    found = interquartile_interval([[0.1, *[value] * 4] for value in (0.1, 0.5, 0.9)])
    near = interquartile_interval([[value, value + 1e-6, value] for value in (0.1, 0.5, 0.9)])
    assert near.high - near.low < 1e-5 < found.high - found.low
    assert np.isnan(interquartile_interval([[0.1] * 5, [0.5] * 5]).low), "nothing varies: unknown"
    assert interquartile_interval([[0.1, 0.5, 0.9] * 5]).low < 0.5


def test_benchmarks_of_different_numbers_of_scores_are_allowed():
    found = interquartile_interval([np.arange(4.0), np.arange(8.0)])
    assert found.value == interquartile_mean([*range(4), *range(8)])


@pytest.mark.parametrize("runs", [5, 10])
def test_the_stratified_interval_covers_with_few_runs_a_benchmark(runs):
    """Symmetric scores around a common centre, where the true interquartile mean is that centre."""
    generator, held, plain = np.random.default_rng(runs), 0, 0
    for trial in range(250):
        scores = [generator.normal(0, scale, runs) for scale in (0.5, 1, 1, 1, 2)]
        low, high = interquartile_interval(scores, resamples=500, seed=trial)[1:]
        held += low <= 0 <= high
        low, high = interquartile_interval(scores, resamples=500, seed=trial, widened=False)[1:]
        plain += low <= 0 <= high
    assert held / 250 >= 0.93 and plain < held


def test_equal_runs_have_even_chances():
    scores = np.random.default_rng(0).random((4, 12))
    found = probability_of_improvement(list(scores), list(scores))
    assert found.value == 0.5 and found.low < 0.5 < found.high


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: interquartile_interval([]), "strata"),
        (lambda: interquartile_interval([[0.5, 1], [1]]), "strata"),
        (lambda: interquartile_interval([[0.5, 1]], resamples=5), "resamples"),
        (lambda: probability_of_improvement([[1, 2]], [[1, 2], [1, 2]]), "b"),
        (lambda: probability_of_improvement([[]], [[1]]), "scores"),
    ],
)
def test_bad_input_is_one_clear_error(call, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        call()
