"""Intervals hold what they promise: near 0 and 1, for thirty problems, for one sample and for many."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, binomtest, sem, t, ttest_rel

from hammerlib.errors import InputError
from hammerlib.evaluation.intervals import (
    PAIRED,
    Interval,
    bootstrap_interval,
    mean_interval,
    paired_bootstrap,
    paired_interval,
    standard_error,
    weighted_mean_cdf,
    weighted_mean_quantile,
)
from hammerlib.evaluation.significance import permutation_test

LEAST = 0.93  # coverage of a nominal 95 %, by the project's own rule


def coverage(make: Callable[[], tuple], truth: float, interval: Callable = mean_interval, trials: int = 250):
    """Share of trials whose interval holds the truth."""
    found = [interval(*make()) for _ in range(trials)]
    return np.mean([low - 1e-12 <= truth <= high + 1e-12 for _, low, high in found])


# The weighted mean


@pytest.mark.parametrize(("zeros", "ones"), [(30, 1), (29, 2), (1000, 1), (20, 20), (3, 2)])
def test_two_values_give_the_beta_law(zeros, ones):
    values = [0.0] * zeros + [1.0] * ones
    for at in (0.001, 0.01, 0.05, 0.5, 0.9):
        assert weighted_mean_cdf(values, at) == pytest.approx(beta.cdf(at, ones, zeros), abs=1e-6)


@pytest.mark.parametrize("n", [3, 30, 400])
def test_the_law_of_the_weighted_mean_meets_random_weights(n):
    generator = np.random.default_rng(n)
    values = generator.random(n) ** 3
    weights = generator.exponential(size=(20_000, n))
    means = np.sort(weights @ values / weights.sum(axis=1))
    for share in (0.025, 0.5, 0.975):
        assert np.mean(means <= weighted_mean_quantile(values, share)) == pytest.approx(share, abs=0.012)


@given(st.lists(st.floats(0, 1), min_size=4, max_size=40), st.floats(0.01, 0.99))
@settings(max_examples=60)
def test_the_quantile_undoes_the_law(values, share):
    found = weighted_mean_quantile(values, share)
    assert min(values) <= found <= max(values)
    if max(values) - min(values) > 1e-6:
        assert weighted_mean_cdf(values, found) == pytest.approx(share, abs=2e-3)


# One sample a problem: closed form and exact coverage


@pytest.mark.parametrize(("n", "right"), [(30, 0), (30, 1), (30, 15), (30, 30), (500, 499)])
def test_zeros_and_ones_get_the_exact_binomial_interval(n, right):
    oracle = binomtest(right, n).proportion_ci(0.95, method="exact")
    found = mean_interval([1] * right + [0] * (n - right))
    assert found == pytest.approx((right / n, oracle.low, oracle.high), abs=1e-9)


@pytest.mark.parametrize("n", [30, 200])
def test_coverage_of_single_samples_is_never_below_nominal(n):
    """By enumeration of all outcomes, so without simulation error."""
    found = [mean_interval([1] * c + [0] * (n - c)) for c in range(n + 1)]
    low, high = np.array([one.low for one in found]), np.array([one.high for one in found])
    for p in [*np.linspace(0, 1, 101), 1e-4, 1e-3, 0.999]:
        held = (low <= p + 1e-12) & (p - 1e-12 <= high)
        assert binom.pmf(np.arange(n + 1), n, p)[held].sum() >= 0.95 - 1e-9


# Several samples a problem


@pytest.mark.parametrize("k", [4, 16])
@pytest.mark.parametrize("alike", [0.3, 3.0, 1e6])
@pytest.mark.parametrize("p", [0.01, 0.5, 0.97])
def test_coverage_of_two_levels_with_thirty_problems(p, alike, k):
    """Solve rates differ by problem (little, much, not at all), k samples each."""
    generator = np.random.default_rng(int(1000 * p) + k)
    rates = (lambda: generator.beta(alike * p, alike * (1 - p), 30)) if alike < 1e5 else lambda: p
    assert coverage(lambda: (generator.binomial(k, rates(), size=30) / k,), p) >= LEAST


def test_more_samples_narrow_the_interval_down_to_what_problems_leave():
    generator = np.random.default_rng(0)
    rates = generator.beta(1, 1, 200)
    widths = []
    for k in (1, 4, 64, 1024):
        found = mean_interval(generator.binomial(k, rates) / k)
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)
    exact = 2 * 1.96 * rates.std() / np.sqrt(200)
    assert exact < widths[-1] < 1.15 * exact


def test_many_problems_give_the_normal_interval():
    values = np.random.default_rng(0).beta(1, 2, 4000)
    half = 1.96 * values.std() / np.sqrt(4000)
    assert mean_interval(values) == pytest.approx(
        (values.mean(), values.mean() - half, values.mean() + half), abs=0.05 * half
    )


@given(st.lists(st.integers(0, 8), min_size=2, max_size=12), st.randoms())
@settings(max_examples=40)
def test_neither_sequence_nor_scale_nor_direction_matters(counts, random):
    values = np.array(counts) / 8
    value, low, high = mean_interval(values)
    assert 0 <= low <= value <= high <= 1
    assert mean_interval(random.sample(list(values), len(values))) == pytest.approx((value, low, high))
    assert mean_interval(1 - values) == pytest.approx((1 - value, 1 - high, 1 - low), abs=1e-6)
    wide = mean_interval(10 * values - 5, bounds=(-5, 5))
    assert wide == pytest.approx((10 * value - 5, 10 * low - 5, 10 * high - 5), abs=1e-5)


# Differences


def rates_of(kind: str, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Solve rates of two runs on thirty problems, and the true mean difference."""
    p = generator.beta(0.5, 0.5, 30)
    rare = generator.beta(0.1, 4.9, 30)
    some = generator.random(30)
    return {
        "the same": (p, p, 0.0),
        "one run always wrong": (0 * rare, rare, 0.02),
        "a gain everywhere": (p, p + 0.1 * (1 - p), 0.05),
        "a tenth now always right": (p, np.where(some < 0.1, 1.0, p), 0.05),
        "both almost always right": (1 - rare, 1 - rare / 2, 0.01),
        "no noise, some change sides": (np.round(p), np.where(some < 0.08, 1.0, np.round(p)), 0.04),
    }[kind]


KINDS = [
    *("the same", "one run always wrong", "a gain everywhere", "a tenth now always right"),
    *("both almost always right", "no noise, some change sides"),
]


@pytest.mark.parametrize("k", [1, 4, 16])
@pytest.mark.parametrize("kind", KINDS)
def test_coverage_of_paired_differences_with_thirty_problems(kind, k):
    generator = np.random.default_rng(len(kind) + k)

    def make() -> tuple[np.ndarray, np.ndarray]:
        a, b, _ = rates_of(kind, generator)
        return generator.binomial(k, a) / k, generator.binomial(k, b) / k

    assert coverage(make, rates_of(kind, generator)[2], paired_interval, trials=200) >= LEAST


def test_pairing_keeps_what_it_gains():
    generator = np.random.default_rng(0)
    rates = generator.beta(0.5, 0.5, 300)
    a, b = (generator.binomial(16, np.clip(rates + gain, 0, 1)) / 16 for gain in (0, 0.05))
    paired, first = paired_interval(a, b), mean_interval(a)
    assert paired.low > 0, "the paired interval sees the gain"
    assert (paired.high - paired.low) < 0.6 * (first.high - first.low)
    student = 2 * t.ppf(0.975, 299) * (b - a).std(ddof=1) / np.sqrt(300)
    assert student < paired.high - paired.low < 1.25 * student


def test_paired_interval_changes_sign_with_its_arguments():
    a, b = np.random.default_rng(0).random((2, 50))
    forth, back = paired_interval(a, b), paired_interval(b, a)
    assert forth == pytest.approx(Interval(-back.value, -back.high, -back.low), abs=1e-6)


def test_no_difference_on_thirty_problems_is_not_no_difference():
    low, high = paired_interval([0.5] * 30, [0.5] * 30)[1:]
    assert [low, high] == pytest.approx([-(1 - 0.025 ** (1 / 30)), 1 - 0.025 ** (1 / 30)])


@pytest.mark.parametrize("method", PAIRED)
def test_the_method_is_what_the_caller_names(method):
    a, b = np.random.default_rng(0).random((2, 50))
    a[0], b[0] = 0.0, 1.0
    found, moved = (
        paired_interval(a, b, method=method),
        paired_interval(a, [1.0000001, *b[1:]], method=method),
    )
    assert moved == pytest.approx(found, abs=1e-5)
    back = paired_interval(b, a, method=method)
    assert found == pytest.approx(Interval(-back.value, -back.high, -back.low), abs=1e-6)
    assert len({paired_interval(a, b, method=name) for name in PAIRED}) == len(PAIRED)


def test_student_is_the_t_interval_of_the_differences():
    a, b = np.random.default_rng(0).random((2, 50))
    oracle = ttest_rel(b, a).confidence_interval()
    assert paired_interval(a, b, method="student")[1:] == pytest.approx((oracle.low, oracle.high))


@pytest.mark.parametrize(("n", "k", "gain"), [(30, 8, 0.1), (128, 2, 0.05), (1319, 1, 0.03)])
def test_a_difference_is_found_about_as_often_as_by_the_permutation_test(n, k, gain):
    generator = np.random.default_rng(n)
    sided, tested, held = [], [], []
    for _ in range(200):
        rates = generator.beta(1, 1, n) * (1 - gain)
        a, b = generator.binomial(k, rates) / k, generator.binomial(k, rates + gain) / k
        found = paired_interval(a, b)
        sided.append(found.low > 0)
        held.append(found.low <= gain <= found.high)
        tested.append(permutation_test(a, b).p < 0.05)
    assert np.mean(sided) >= np.mean(tested) - 0.05
    assert np.mean(held) >= 0.93  # 0.95 and a bit more than one standard error of 200 trials


def test_where_no_seed_moves_the_interval_hardly_widens():
    generator = np.random.default_rng(0)
    rates = generator.beta(1, 1, (1, 200))
    a, b = (generator.binomial(8, np.minimum(rates + up, 1) * np.ones((10, 1))) / 8 for up in (0, 0.02))
    crossed = paired_interval(a, b)
    pooled = paired_interval(a.mean(axis=0), b.mean(axis=0))
    doubled = paired_interval(a, b, method="guarded")
    assert pooled.low >= crossed.low and crossed.value - crossed.low < doubled.value - doubled.low


def test_standard_errors_are_those_of_the_mean():
    values = np.random.default_rng(0).random(40)
    assert standard_error(values) == pytest.approx(sem(values))
    assert standard_error([values] * 3) == pytest.approx(sem(values)), "equal seeds tell nothing new"
    shifts = np.array([-0.2, 0.1, 0.1])
    both = np.hypot(sem(values), sem(shifts))
    assert standard_error(values + shifts[:, None]) == pytest.approx(both), (
        "additive: nothing is counted twice"
    )


# Seeds


def test_one_seed_as_a_row_equals_the_plain_interval():
    values = np.random.default_rng(1).random(50)
    assert mean_interval(values[None]) == mean_interval(values)


def test_equal_seeds_change_nothing_and_differing_ones_follow_student():
    values = np.random.default_rng(1).random(200) / 2 + 0.25
    assert mean_interval(np.stack([values] * 4)) == pytest.approx(mean_interval(values))
    shifts = np.array([-0.2, -0.1, 0.1, 0.2])
    found = mean_interval(values + shifts[:, None])
    seeds = t.ppf(0.975, 3) * shifts.std(ddof=1) / 2
    assert found.high - found.value == pytest.approx(
        np.hypot(mean_interval(values).high - values.mean(), seeds)
    )


@pytest.mark.parametrize(("seeds", "spread", "mean"), [(2, 0.5, 0), (3, 0, 0), (3, 0.5, 0), (8, 0.5, -4)])
def test_coverage_of_crossed_seeds_and_problems(seeds, spread, mean):
    generator = np.random.default_rng(seeds)

    def rates(rows: int, n: int) -> np.ndarray:
        normal = generator.normal
        logits = (
            mean + spread * normal(size=(rows, 1)) + 2 * normal(size=(1, n)) + 0.5 * normal(size=(rows, n))
        )
        return 1 / (1 + np.exp(-logits))

    truth = np.mean([rates(1, 1) for _ in range(40_000)])
    assert coverage(lambda: (generator.binomial(4, rates(seeds, 60)) / 4,), truth, trials=150) >= LEAST


# Values without known ends


@pytest.mark.parametrize("draw", [lambda g: g.normal(5, 2, 30), lambda g: g.exponential(5, 30) + 1e-9])
def test_coverage_of_lengths_with_thirty_problems(draw):
    generator = np.random.default_rng(5)
    seeded = iter(range(10**6))
    found = coverage(lambda: (draw(generator),), 5.0, lambda v: bootstrap_interval(v, seed=next(seeded)), 300)
    assert found >= LEAST - 0.01  # 300 trials around .945


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: mean_interval([]), "values"),
        (lambda: mean_interval([0.5]), "values"),
        (lambda: mean_interval([0.5, 1.1]), "values"),
        (lambda: mean_interval([0.5, float("nan")]), "values"),
        (lambda: mean_interval([0.5, 0.1], level=1.0), "level"),
        (lambda: paired_interval([0.5, 0.1], [0.5, 0.1, 0.2]), "b"),
        (lambda: paired_interval([0.5, 0.1], [2.5, 0.1]), "bounds"),
        (lambda: paired_interval([0.5, 0.1], [0.5, 0.1], level=0), "level"),
        (lambda: paired_interval([0.5, 0.1], [0.5, 0.1], method="best"), "method"),
        (lambda: paired_interval([0.5, 0.1], [0.6, 0.2], method="student"), "b"),
        (lambda: paired_interval([0.5, 0.1], [0.6, 0.2], bounds=(1, 0)), "bounds"),
        (lambda: paired_interval([0.5, 0.1], [0.6, 0.2], bounds=(0, np.inf)), "bounds"),
        (lambda: paired_interval([0.5, np.nan], [0.6, 0.2]), "a"),
        (lambda: paired_interval([0.5], [0.6]), "a"),
        (lambda: paired_interval([], []), "a"),
        (lambda: mean_interval([0.5, 0.1], bounds=(0.0, 0.0)), "bounds"),
        (lambda: standard_error([1.0]), "values"),
        (lambda: paired_bootstrap([3, 4, 5], [3, 4, 5], level=2), "level"),
    ],
)
def test_bad_input_is_one_clear_error(call, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        call()


# The grid of the benchmark, smaller


def grid():
    path = Path(__file__).parents[1] / "benchmarks" / "intervals.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_intervals", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_coverage_and_power_over_a_grid_of_problems_samples_and_rates():
    draws = 80
    cells = list(grid().problem_cells(draws, 1, problems=(30, 128), samples=(1, 8), methods=("adjusted",)))
    coverage, chance = np.array([cell["coverage"] for cell in cells]), np.sqrt(0.94 * 0.06 / draws)
    assert coverage.mean() >= 0.955
    assert coverage.min() >= 0.94 - 3 * chance, "no cell is lower than chance explains"
    assert (coverage < 0.94 - chance).mean() < 0.05
    behind = np.array([cell["test"] - cell["power"] for cell in cells if cell["gain"]])
    assert (behind <= 0.05).mean() >= 0.97 and behind.mean() <= 0.01


def test_coverage_and_power_over_a_grid_of_seeds():
    draws = 60
    cells = list(grid().seed_cells(draws, 1, problems=(30,), samples=(8,), seeds=(2, 3, 10)))
    coverage = np.array([cell["coverage"] for cell in cells])
    assert coverage.mean() >= 0.955 and coverage.min() >= 0.94 - 3 * np.sqrt(0.94 * 0.06 / draws)
    behind = [cell["test"] - cell["power"] for cell in cells if cell["gain"] and cell["seeds"] == 10]
    assert np.mean(behind) <= 0.05


def test_coverage_of_forty_skewed_tokens():
    rows = grid().token_cells(200, 3, methods=("bootstrap-t",))
    found = {row["law"]: row["coverage"] for row in rows}
    assert min(found.values()) >= 0.94 - np.sqrt(0.94 * 0.06 / 200), found
