"""Variance components and sample sizes: closed forms, known spreads, and the half-width that results."""

from __future__ import annotations

import numpy as np
import pytest

from hammerlib.errors import InputError
from hammerlib.evaluation.intervals import mean_interval
from hammerlib.evaluation.significance import (
    Components,
    required_problems,
    sampling_variance,
    variance_components,
)


def test_the_variance_of_one_sample_is_unbiased():
    counts = np.random.default_rng(0).binomial(4, 0.3, 100_000)
    assert sampling_variance(counts, 4).mean() == pytest.approx(0.21, abs=0.002)
    assert sampling_variance([1, 2], [2, 4]).tolist() == pytest.approx([0.5, 1 / 3])


def test_components_of_two_levels():
    generator = np.random.default_rng(0)
    counts = generator.binomial(4, generator.beta(0.5, 0.5, 20_000))
    found = variance_components(counts / 4, sampling_variance(counts, 4), k=4)
    # Beta(1/2, 1/2): variance 1/8 between problems, 1/4 - 1/8 inside.
    assert found.problems == pytest.approx(1 / 8, abs=0.003)
    assert found.samples == pytest.approx(1 / 8, abs=0.003)
    assert found.seeds is found.mixed is None


def test_components_of_crossed_seeds():
    generator = np.random.default_rng(0)
    table = 0.3 * generator.normal(size=(200, 1)) + 0.5 * generator.normal(size=(1, 400))
    found = variance_components(table + 0.2 * generator.normal(size=(200, 400)))
    assert found.samples is None
    assert [found.problems, found.seeds, found.mixed] == pytest.approx([0.25, 0.09, 0.04], rel=0.2)


def test_components_below_zero_are_zero():
    found = variance_components([0.5, 0.5, 0.5], [0.25, 0.25, 0.25], k=2)
    assert found == Components(0.0, 0.25, None, None)


def test_without_an_end_of_the_scale_the_size_is_walds():
    values = np.array([0.0, 1.0] * 500)
    variance = values.var(ddof=1)
    found = required_problems(values, half_width=0.03, beyond=0)
    assert found["problems"].tolist() == [np.ceil(1.959964**2 * variance / 0.03**2)]


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (2, 2)])
def test_the_planned_size_gives_the_wished_half_width(alpha, beta):
    generator = np.random.default_rng(1)
    pilot = generator.binomial(4, generator.beta(alpha, beta, 4000))
    plan = required_problems(pilot / 4, sampling_variance(pilot, 4), k=4, half_width=0.05)
    assert plan["problems"].is_monotonic_decreasing and (plan["low"] <= plan["problems"]).all()
    for row in plan.itertuples():
        widths = []
        for _ in range(10):
            rates = generator.beta(alpha, beta, int(row.problems))
            _, low, high = mean_interval(generator.binomial(row.samples, rates) / row.samples)
            widths.append((high - low) / 2)
        assert np.mean(widths) == pytest.approx(0.05, rel=0.06)


def test_a_small_pilot_says_how_little_it_knows():
    generator = np.random.default_rng(0)

    def spread(n: int) -> float:
        counts = generator.binomial(4, generator.beta(0.5, 0.5, n))
        row = required_problems(counts / 4, sampling_variance(counts, 4), k=4, half_width=0.02, samples=[16])
        return float((row["high"] - row["low"]).iloc[0] / row["problems"].iloc[0])

    assert spread(20) > 2 * spread(1000) > 0


def test_seeds_that_spread_more_than_the_wish_are_never_enough():
    generator = np.random.default_rng(0)
    table = np.array([[0.3], [0.5], [0.7]]) + 0.05 * generator.normal(size=(3, 200))
    found = required_problems(table, half_width=0.02, seeds=(3, 10_000)).set_index("seeds")["problems"]
    assert np.isnan(found[3]) and 2 <= found[10_000] < 10**6


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: sampling_variance([1], 1), "k"),
        (lambda: variance_components([0.5]), "values"),
        (lambda: variance_components([0.5, 1.0], [0.1]), "noise"),
        (lambda: required_problems([0.5, 1.0], half_width=0), "half_width"),
        (lambda: required_problems([0.5, 1.0], half_width=0.1, samples=[0]), "samples"),
    ],
)
def test_bad_input_is_one_clear_error(call, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        call()
