"""The names of the bootstrap: which interval they give, and that it is repeatable and closed to bad input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap, ttest_1samp

from hammerlib.errors import InputError
from hammerlib.evaluation.intervals import (
    DRAWN,
    METHODS,
    Interval,
    bootstrap_interval,
    interquartile_mean,
    mean_interval,
    paired_bootstrap,
    paired_interval,
)
from hammerlib.evaluation.metrics import COUNTS, described


def test_shares_get_the_interval_that_holds_near_the_ends_by_its_name():
    values = np.random.default_rng(0).random(40)
    assert bootstrap_interval(values, method="dirichlet") == mean_interval(values)
    assert bootstrap_interval([0] * 30, method="dirichlet").high == pytest.approx(1 - 0.025 ** (1 / 30))
    guarded = paired_interval(values, values[::-1], method="guarded")
    assert paired_bootstrap(values, values[::-1], method="dirichlet") == guarded


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("small", [[0.0] * 20 + [1.0] * 20, np.random.default_rng(3).random(40)])
def test_one_value_that_moves_a_little_moves_the_interval_a_little(method, small):
    moved = np.array(small)
    moved[0] = 1.0000001 if moved[0] in (0, 1) else moved[0]
    moved[-1] = 1.0000001
    kept = np.minimum(moved, 1.0)
    assert bootstrap_interval(moved, method=method) == pytest.approx(
        bootstrap_interval(kept, method=method), abs=1e-5
    )
    other = np.roll(kept, 7)
    found = paired_bootstrap(moved, other, method=method), paired_bootstrap(kept, other, method=method)
    assert found[0] == pytest.approx(found[1], abs=1e-5)


@pytest.mark.parametrize("call", [bootstrap_interval, lambda v, **k: paired_bootstrap(v, v[::-1], **k)])
@pytest.mark.parametrize("method", METHODS)
def test_draws_do_something_or_are_refused(method, call):
    shares = np.random.default_rng(0).random(40) ** 2
    if method in DRAWN:
        assert call(shares, method=method, seed=1) != call(shares, method=method, seed=2)
        assert call(shares, method=method, resamples=200) != call(shares, method=method)
    else:
        for option in ({"seed": 1}, {"resamples": 500}):
            with pytest.raises(InputError, match=f"^{next(iter(option))} = "):
                call(shares, method=method, **option)


def test_bca_and_percentile_are_those_of_scipy():
    values = np.random.default_rng(0).exponential(3, 60)
    for method, name in (("bca", "BCa"), ("percentile", "percentile")):
        oracle = bootstrap((values,), np.mean, n_resamples=2000, method=name, rng=np.random.default_rng(5))
        found = bootstrap_interval(values, method=method, seed=5)
        assert found[1:] == pytest.approx(tuple(oracle.confidence_interval))


def test_student_is_scipy_s_t_interval():
    values = np.random.default_rng(0).normal(3, 2, 25)
    oracle = ttest_1samp(values, 0).confidence_interval()
    assert bootstrap_interval(values, method="student")[1:] == pytest.approx((oracle.low, oracle.high))


def test_equal_seeds_give_equal_intervals_and_touch_no_global_state():
    values = 10 * np.random.default_rng(0).random(200)
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


def test_few_values_without_known_ends_get_students_interval():
    found = bootstrap_interval([1.0, 2.0, 3.0])  # 2 +- 4.302653 / sqrt(3)
    assert found == pytest.approx((2.0, 2 - 2.484138, 2 + 2.484138), abs=1e-5)


@pytest.mark.parametrize("tokens", [[6.0, 61.0], [0.0] * 15 + [400.0], [0.0, 1.0, 0.5]])
def test_a_count_is_never_below_nothing(tokens):
    free, cut = bootstrap_interval([*tokens, 2.0]), bootstrap_interval([*tokens, 2.0], bounds=(0, np.inf))
    assert free.low < 0 == cut.low and cut[::2] == free[::2]
    assert described(np.array(tokens), COUNTS)["low"] == 0


def test_long_tails_widen_the_upper_end_only():
    lengths = np.random.default_rng(0).exponential(100, 40)
    value, low, high = bootstrap_interval(lengths)
    assert high - value > 1.2 * (value - low)


def test_memory_blocks_do_not_depend_on_how_many_problems_there_are(monkeypatch):
    values = 10 * np.random.default_rng(0).random(500)
    whole = bootstrap_interval(values, resamples=300)
    monkeypatch.setattr("hammerlib.evaluation.intervals.DRAWS_AT_ONCE", 7 * len(values))
    assert bootstrap_interval(values, resamples=300) == whole


@pytest.mark.parametrize("method", [name for name in METHODS if name != "dirichlet"])
@pytest.mark.parametrize("values", [[7.0] * 20, [0, 0], [[0.1, 0.2], [0.2, 0.1]]])
def test_equal_values_without_known_ends_have_unknown_ends(method, values):
    value, low, high = bootstrap_interval(values, method=method)
    assert value == pytest.approx(np.mean(values)) and np.isnan([low, high]).all()
    assert np.isnan([described(np.array([7.0] * 20), COUNTS)[end] for end in ("low", "high")]).all()


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
    assert forth == pytest.approx(Interval(-back.value, -back.high, -back.low), abs=1e-6)


def test_interquartile_mean_meets_the_values_of_rliable():
    assert interquartile_mean([[1, 2], [2, 2], [1, 1], [2, 1]]) == 1.5
    assert interquartile_mean([[1, 1], [2, 2], [3, 3]]) == 2.0
    assert interquartile_mean([0, 0, 1, 2, 3, 1000, 4, 5]) == 2.5, "outliers do not count"
    assert interquartile_mean([7.0]) == 7.0


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: bootstrap_interval([0.5, 0.1], method="guess"), "method"),
        (lambda: bootstrap_interval([0.5, 3.0], method="dirichlet"), "values"),
        (lambda: bootstrap_interval([0.5, 3.0], bounds=(1, 0)), "bounds"),
        (lambda: bootstrap_interval([0.5, 3.0], method="dirichlet", bounds=(0, np.inf)), "bounds"),
        (lambda: bootstrap_interval([0.5, 3.0], seed=-1), "seed"),
        (lambda: bootstrap_interval([0.5, np.inf]), "values"),
        (lambda: paired_bootstrap([0.5, 3.0], [0.5, 1.0], method="guess"), "method"),
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
    values = 10 * np.random.default_rng(1).random(200)
    same = bootstrap_interval(np.stack([values] * 4))
    apart = bootstrap_interval(np.stack([values + shift for shift in (-3, -1, 1, 3)]))
    assert apart.high - apart.low > 2 * (same.high - same.low)
    assert apart.value == pytest.approx(same.value)
