"""Tests between runs: exact counts, known values, and the size of the test under its null hypothesis."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_1samp

from hammerlib.errors import InputError
from hammerlib.evaluation.significance import (
    _flipped,
    benjamini_hochberg,
    equivalence_test,
    holm,
    permutation_test,
)


def p_by_enumeration(differences: np.ndarray) -> float:
    """All 2**n sign flips."""
    signs = np.array(list(itertools.product((-1, 1), repeat=len(differences))))
    return float(np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9))


@given(st.lists(st.integers(-8, 8), min_size=2, max_size=10), st.sampled_from([1, 3, 8, 64]))
def test_p_is_the_share_of_all_sign_flips(steps, k):
    differences = np.array(steps) / k
    found = permutation_test(np.zeros(len(steps)), differences)
    assert found.exact and found.difference == pytest.approx(differences.mean())
    assert found.p == pytest.approx(p_by_enumeration(differences), abs=1e-12)


def test_shares_of_different_numbers_of_samples_are_counted_exactly_too():
    a, b = np.array([1 / 3, 0.0, 2 / 3, 1.0]), np.array([1 / 4, 0.5, 0.75, 0.0])
    found = permutation_test(a, b)
    assert found.exact and found.p == pytest.approx(p_by_enumeration(b - a))


@pytest.mark.parametrize(("won", "lost", "tied"), [(5, 0, 0), (12, 3, 85), (400, 350, 569), (1, 1, 1)])
def test_single_samples_give_the_exact_test_of_mcnemar(won, lost, tied):
    a = np.repeat([0, 1, 1], [won, lost, tied])
    b = np.repeat([1, 0, 1], [won, lost, tied])
    oracle = binomtest(won, won + lost).pvalue
    assert permutation_test(a, b).p == pytest.approx(oracle, rel=1e-9)


def test_a_thousand_problems_with_64_samples_are_counted_exactly_and_meet_the_t_test():
    generator = np.random.default_rng(0)
    rates = generator.beta(0.5, 0.5, 1000)
    a, b = (generator.binomial(64, np.clip(rates + gain, 0, 1)) / 64 for gain in (0, 0.003))
    found = permutation_test(a, b)
    assert found.exact
    assert found.p == pytest.approx(ttest_1samp(b - a, 0).pvalue, rel=0.02)


def test_few_other_numbers_are_counted_exactly():
    a, b = np.random.default_rng(0).random((2, 12))
    found = permutation_test(a, b)
    assert found.exact and found.p == pytest.approx(p_by_enumeration(b - a))
    assert permutation_test(*np.random.default_rng(0).random((2, 20)), permutations=100).exact


def test_other_numbers_are_drawn_and_never_give_zero():
    generator = np.random.default_rng(0)
    a, b = generator.random((2, 21))
    found = permutation_test(a, b)
    assert not found.exact
    assert found.p == pytest.approx(_flipped(np.abs(b - a), abs((b - a).sum())), abs=0.02)
    assert permutation_test(a, b, seed=1) == permutation_test(a, b, seed=1)
    assert permutation_test(a, a + generator.random(21) + 99, permutations=100).p == pytest.approx(
        1 / 101, abs=0.01
    )
    assert permutation_test(a, a + np.pi, permutations=100).p > 0


@pytest.mark.parametrize("k", [1, 8])
@pytest.mark.parametrize("p", [0.02, 0.5])
def test_the_test_keeps_its_level_with_thirty_problems(p, k):
    generator = np.random.default_rng(k)
    found = []
    for _ in range(400):
        rates = generator.beta(p, 1 - p, 30)
        a, b = generator.binomial(k, rates, size=(2, 30)) / k
        found.append(permutation_test(a, b).p)
    assert np.mean(np.array(found) <= 0.05) <= 0.075  # 0.05 and two standard errors


@pytest.mark.parametrize("call", [permutation_test, lambda a, b: equivalence_test(a, b, margin=0.1)])
def test_seeds_are_refused_with_a_remedy_that_holds(call):
    """One a problem averaged over seeds is a trap: it takes one lucky seed for many findings."""
    with pytest.raises(InputError, match=r"one number a seed \(its mean over the problems\), not"):
        call(np.zeros((3, 20)), np.ones((3, 20)))


def test_one_number_a_seed_keeps_the_level_and_one_averaged_a_problem_does_not():
    generator = np.random.default_rng(0)
    by_seed, by_problem = [], []
    for _ in range(150):
        a, b = 0.1 * generator.normal(size=(2, 8, 1)) + 0.1 * generator.normal(size=(2, 8, 100))
        by_seed.append(permutation_test(a.mean(axis=1), b.mean(axis=1)).p)
        by_problem.append(permutation_test(a.mean(axis=0), b.mean(axis=0), permutations=200).p)
    assert np.mean(np.array(by_seed) <= 0.05) <= 0.085  # .05 and two standard errors
    assert np.mean(np.array(by_problem) <= 0.05) >= 0.28


def test_nothing_differs_and_the_sign_does_not_matter():
    a, b = np.array([0.0, 0.5, 0.25, 1.0]), np.array([0.5, 0.5, 0.75, 0.0])
    assert permutation_test(a, a) == (0.0, 1.0, True)
    assert permutation_test(a, b).p == permutation_test(b, a).p


def test_equivalence_is_two_one_sided_t_tests():
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 25))
    lower = ttest_1samp(b - a, -0.8, alternative="greater").pvalue
    upper = ttest_1samp(b - a, 0.8, alternative="less").pvalue
    assert equivalence_test(a, b, margin=0.8) == pytest.approx(max(lower, upper))
    assert equivalence_test(a, b + 5, margin=0.8) > 0.999
    assert equivalence_test(a, b, margin=50) < 1e-9


def test_holm_meets_its_known_values():
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])  # R: p.adjust
    assert holm([0.5, 0.9, 0.8]).tolist() == [1, 1, 1]
    assert holm([0.02]).tolist() == [0.02]


def test_benjamini_hochberg_meets_the_example_of_its_paper():
    given_p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    given_p += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert (benjamini_hochberg(given_p) <= 0.05).sum() == 4  # section 3: four hypotheses are rejected
    assert (holm(given_p) <= 0.05).sum() == 3  # Bonferroni's three there
    assert benjamini_hochberg([0.01, 0.02, 0.03, 0.04]).tolist() == pytest.approx([0.04] * 4)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.randoms())
def test_corrections_only_raise_and_follow_their_places(p, random):
    places = random.sample(range(len(p)), len(p))
    for correct in (holm, benjamini_hochberg):
        found = correct(p)
        assert (found >= np.array(p) - 1e-12).all() and found.max() <= 1
        assert correct([p[i] for i in places]) == pytest.approx(found[places])
    assert (holm(p) >= benjamini_hochberg(p) - 1e-12).all()


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: permutation_test([0.5], [0.5]), "a"),
        (lambda: permutation_test([0.5, 1], [0.5, 1, 1]), "b"),
        (lambda: permutation_test([[0.5, 1], [0, 1]], [[0.5, 1], [0, 1]]), "a"),
        (lambda: permutation_test([0, 1], [1, 0], permutations=10), "permutations"),
        (lambda: equivalence_test([0, 1], [1, 0], margin=0), "margin"),
        (lambda: equivalence_test([0, 1], [1, 2], margin=1), "b"),
        (lambda: equivalence_test([[0, 1], [0, 1]], [[1, 3], [1, 2]], margin=1), "a"),
        (lambda: holm([0.5, 1.5]), "p"),
        (lambda: benjamini_hochberg([-0.1]), "p"),
    ],
)
def test_bad_input_is_one_clear_error(call, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        call()
