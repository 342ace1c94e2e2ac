"""Odd input to the statistics: a right value or one clear error, never a warning, a zero or a traceback."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from hammerlib.errors import InputError
from hammerlib.evaluation import (
    benjamini_hochberg,
    bootstrap_interval,
    equivalence_test,
    holm,
    interquartile_interval,
    interquartile_mean,
    mean_interval,
    paired_bootstrap,
    paired_interval,
    permutation_test,
    probability_of_improvement,
    required_problems,
    standard_error,
    variance_components,
)

NAN, INF = float("nan"), float("inf")
NO_VALUES = [
    ([], "nothing"),
    ([1], "one"),
    (0.5, "a scalar"),
    (["1", "0"], "text"),
    ([None, 1.0], "None"),
    ([0.5, NAN], "NaN"),
    ([0.5, INF], "inf"),
    ({1: 2}, "a dict"),
    ([[1, 0], [1]], "ragged"),
    (np.zeros((2, 3, 4)), "three axes"),
    ([1j, 0], "complex"),
    ([1e300, 0], "too large"),
]
TAKE_VALUES = {
    "mean_interval": mean_interval,
    "bootstrap_interval": bootstrap_interval,
    "paired_interval": lambda v: paired_interval(v, v),
    "paired_bootstrap": lambda v: paired_bootstrap(v, v),
    "permutation_test": lambda v: permutation_test(v, v),
    "equivalence_test": lambda v: equivalence_test(v, v, margin=1),
    "standard_error": standard_error,
    "variance_components": variance_components,
    "required_problems": lambda v: required_problems(v, half_width=0.1),
    "interquartile_interval": lambda v: interquartile_interval([v, v]),
}


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("values", [v for v, _ in NO_VALUES], ids=[name for _, name in NO_VALUES])
@pytest.mark.parametrize("call", TAKE_VALUES.values(), ids=TAKE_VALUES)
def test_what_are_no_values_is_refused(call, values):
    with pytest.raises(InputError):
        call(values)


OPTIONS = [
    (lambda: mean_interval([0, 1], level="95"), "level"),
    (lambda: mean_interval([0, 1], level=NAN), "level"),
    (lambda: mean_interval([0, 1], level=95), "level"),
    (lambda: mean_interval([0, 1], bounds=(0, 1, 2)), "bounds"),
    (lambda: mean_interval([0, 1], bounds="01"), "bounds"),
    (lambda: mean_interval([0, 1], bounds=None), "bounds"),
    (lambda: mean_interval([0, 1], bounds=(NAN, 1)), "bounds"),
    (lambda: mean_interval([-0.5, 0.5]), "values"),
    (lambda: paired_interval([0, 1], [1, 1], method=None), "method"),
    (lambda: paired_interval([0, 1], [1, 1], method=["adjusted"]), "method"),
    (lambda: paired_interval([[0, 1], [1, 1]], [0, 1]), "b"),
    (lambda: bootstrap_interval([0, 1, 2], method=None), "method"),
    (lambda: bootstrap_interval([0, 1, 2], resamples=1e3), "resamples"),
    (lambda: bootstrap_interval([0, 1, 2], resamples="1"), "resamples"),
    (lambda: bootstrap_interval([0, 1, 2], seed=True), "seed"),
    (lambda: bootstrap_interval([0, 1, 2], bounds="x"), "bounds"),
    (lambda: permutation_test([1, 0], [0, 1], permutations="x"), "permutations"),
    (lambda: permutation_test([1, 0], [0, 1], seed=-1), "seed"),
    (lambda: permutation_test([[1, 0]], [[0, 1]]), "a"),
    (lambda: equivalence_test([1, 2], [0, 5], margin="1"), "margin"),
    (lambda: equivalence_test([1, 2], [0, 5], margin=NAN), "margin"),
    (lambda: equivalence_test([1, 2], [0, 5], margin=INF), "margin"),
    (lambda: equivalence_test([1, 2], [0, 1], margin=1), "b"),
    (lambda: holm([]), "p"),
    (lambda: holm(["a"]), "p"),
    (lambda: holm([0.1, NAN]), "p"),
    (lambda: benjamini_hochberg([]), "p"),
    (lambda: interquartile_mean([[1], [1, 2]]), "values"),
    (lambda: interquartile_interval([[1.0, 2], [2.0, 3]], seed=-1), "seed"),
    (lambda: interquartile_interval([[1.0, 2], [2.0, 3]], resamples="a"), "resamples"),
    (lambda: interquartile_interval(3), "strata"),
    (lambda: probability_of_improvement(1, 2), "a"),
    (lambda: probability_of_improvement([], []), "b"),
    (lambda: probability_of_improvement([[1], [2]], [[1]]), "b"),
    (lambda: probability_of_improvement([[1]], [[NAN]]), "scores"),
    (lambda: variance_components([1, 2], [1, 2, 3]), "noise"),
    (lambda: variance_components([1, 2], [-1, 0]), "noise"),
    (lambda: variance_components([1, 2], [NAN, 0]), "noise"),
    (lambda: variance_components([1, 2], [0.1, 0], k=0), "k"),
    (lambda: required_problems([0, 1], half_width="a"), "half_width"),
    (lambda: required_problems([0, 1], half_width=NAN), "half_width"),
    (lambda: required_problems([0, 1], half_width=0.1, samples="ab"), "samples"),
    (lambda: required_problems([0, 1], half_width=0.1, seeds=(0,)), "seeds"),
]


@pytest.mark.parametrize(("call", "field"), OPTIONS)
def test_an_option_of_no_use_is_one_clear_error(call, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        call()


@pytest.mark.parametrize(
    ("call", "right"),
    [
        (lambda: permutation_test([1, 1], [1, 1]).p, 1.0),
        (lambda: permutation_test([1e-14] * 6, [2e-14] * 6).p, 2 / 64),  # small is not nothing
        (lambda: permutation_test([1e100] * 6, [-1e100] * 6).p, 2 / 64),
        (lambda: permutation_test([0.1 + 0.2] * 6, [0.3] * 6).p, 1.0),  # rounding is
        (lambda: standard_error([1, 1]), 0.0),
        (lambda: mean_interval([True, False, True]).value, 2 / 3),
        (lambda: mean_interval([1, 1]).low, 0.025**0.5),
        (lambda: mean_interval([-0.5, 0.5], bounds=(-1, 1)).value, 0.0),
        (lambda: paired_interval([0] * 30, [1] * 30).high, 1.0),
        (lambda: paired_interval([0, 1], [1, 1]).low, -1.0),
        (lambda: float(holm(0.5)[0]), 0.5),
        (lambda: bootstrap_interval([0] * 29 + [1]).high, INF),  # most resamples of so few lack the one
        (lambda: bootstrap_interval([0] * 29 + [1], bounds=(0, 1)).high, 1.0),
    ],
)
def test_a_borderline_case_has_its_right_value(call, right):
    assert call() == pytest.approx(right, abs=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda: bootstrap_interval([7.0] * 20),
        lambda: bootstrap_interval([1.0, 1.0], method="student"),
        lambda: paired_bootstrap([3.0] * 12, [3.0] * 12),
        lambda: interquartile_interval([[1.0, 1.0], [2.0, 2.0]]),
        lambda: probability_of_improvement([[1]], [[2]]),
    ],
)
def test_what_does_not_vary_has_unknown_ends(call):
    found = call()
    assert np.isfinite(found.value) and np.isnan([found.low, found.high]).all()
