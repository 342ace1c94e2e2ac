"""pass@k, pass^k, majority@k, cons@k, answers: published values, brute force, and what must not matter."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hammerlib.errors import InputError
from hammerlib.evaluation.metrics import (
    answer_entropy,
    cons_at_k,
    distinct_answers,
    majority_at_k,
    pass_at_k,
    pass_hat_k,
)

PUBLISHED = [
    (10, 3, 5, 0.91666667),
    (10, 2, 3, 0.53333333),
    (5, 2, 3, 0.9),
    (4, 1, 4, 1.0),
    (4, 1, 2, 0.5),
    (20, 10, 5, 0.98374613),
    (64, 1, 8, 0.125),
]
votes = st.lists(st.sampled_from(["gold", "b", "c", "d", None]), min_size=1, max_size=9)


def majority_by_enumeration(answers: list[str | None], gold: str, k: int) -> Fraction:
    """All C(n, k) subsets, each tie shared equally."""
    won = Fraction(0)
    for subset in itertools.combinations(answers, k):
        given_answers = [answer for answer in subset if answer is not None]
        counts = {answer: given_answers.count(answer) for answer in given_answers}
        top = [answer for answer, count in counts.items() if count == max(counts.values())]
        won += Fraction(gold in top, max(len(top), 1))
    return won / math.comb(len(answers), k)


@pytest.mark.parametrize(("n", "c", "k", "value"), PUBLISHED)
def test_pass_at_k_meets_published_values(n, c, k, value):
    assert pass_at_k(n, c, k) == pytest.approx(value, abs=5e-9)


@given(st.integers(1, 400), st.data())
@settings(max_examples=200, deadline=None)
def test_pass_at_k_is_exact(n, data):
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    exact = 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
    assert pass_at_k(n, c, k) == pytest.approx(float(exact), rel=1e-11)


LARGE = [(10**9, 1, 1), (10**6, 999_000, 1), (100_000, 50_000, 50_000), (5000, 1, 4999)]


@pytest.mark.parametrize(("n", "c", "k"), LARGE)
def test_pass_at_k_stays_exact_for_large_n(n, c, k):
    missing = Fraction(1)
    for i in range(min(c, k)):
        missing *= Fraction(max(n - max(c, k) - i, 0), n - i)
        if missing < Fraction(1, 10**30):
            break
    assert pass_at_k(n, c, k) == pytest.approx(float(1 - missing), rel=1e-9)


@pytest.mark.parametrize(("n", "k"), [(n, k) for n in (1, 2, 5, 8) for k in range(1, n + 1)])
def test_pass_at_k_is_the_share_of_subsets_that_hold_a_right_sample(n, k):
    for c in range(n + 1):
        right = [sample < c for sample in range(n)]
        share = np.mean([any(subset) for subset in itertools.combinations(right, k)])
        assert pass_at_k(n, c, k) == pytest.approx(share, abs=1e-12)


def test_pass_at_k_is_not_the_estimate_with_replacement():
    assert pass_at_k(4, 1, 4) == 1.0 != pytest.approx(1 - 0.75**4)


def test_pass_at_k_keeps_the_shape_of_arrays():
    assert pass_at_k(np.array([4, 8]), np.array([[0, 8], [4, 0]]), 2).tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert isinstance(pass_at_k(4, 2, 1), float)


@pytest.mark.parametrize(
    ("n", "c", "k", "field"),
    [
        (3, 1, 4, "n"),
        (4, 5, 1, "c"),
        (4, -1, 1, "c"),
        (4, 1, 0, "k"),
        (np.array([8, 3]), 1, 4, "n"),
        ("4", 1, 2, "n, c"),
        (4, 1.5, 2, "n, c"),
        (None, 1, 2, "n, c"),
        ([4, 4], [1, 2, 3], 2, "n, c"),
        ([4, [4]], 1, 2, "n, c"),
        (4, 1, "2", "k"),
        (4, 1, 1.5, "k"),
    ],
)
def test_pass_at_k_refuses_what_has_no_estimate(n, c, k, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        pass_at_k(n, c, k)


@given(votes, st.data())
@settings(max_examples=200, deadline=None)
def test_majority_is_the_mean_over_all_subsets_and_ties(answers, data):
    k = data.draw(st.integers(1, len(answers)))
    exact = float(majority_by_enumeration(answers, "gold", k))
    assert majority_at_k(answers, "gold", k) == pytest.approx(exact, abs=1e-12)


@given(votes, st.randoms(), st.data())
@settings(max_examples=50, deadline=None)
def test_majority_ignores_the_order_of_samples(answers, random, data):
    k = data.draw(st.integers(1, len(answers)))
    shuffled = random.sample(answers, len(answers))
    assert majority_at_k(shuffled, "gold", k) == majority_at_k(answers, "gold", k)


@pytest.mark.parametrize("answers", ["ABAC", "CABA", "AABC"])
def test_majority_of_two_is_one_value_where_first_occurrence_rules_give_two(answers):
    assert majority_at_k(list(answers), "A", 2) == pytest.approx(1 / 2)


def test_majority_of_one_is_pass_at_one_and_of_all_is_the_plurality():
    answers = ["A"] * 5 + ["B"] * 4 + [None] * 7
    assert majority_at_k(answers, "A", 1) == pytest.approx(pass_at_k(16, 5, 1))
    assert majority_at_k(answers, "A", 16) == 1.0
    assert majority_at_k(answers, "B", 16) == 0.0
    assert majority_at_k([None, None], "A", 2) == 0.0
    assert majority_at_k(["A", "B", "C"], "A", 3) == pytest.approx(1 / 3)


def test_majority_of_half_of_many_samples_is_fast_and_finite():
    even = ["A", "B"] * 1000
    assert majority_at_k(even, "A", 1000) == pytest.approx(0.5, abs=1e-9)
    spread = ["A"] * 3 + [f"wrong {i}" for i in range(61)]
    shares = sum(majority_at_k(spread, answer, 32) for answer in dict.fromkeys(spread))
    assert shares == pytest.approx(1.0, abs=1e-10), "one answer wins every draw"


@pytest.mark.parametrize("k", [0, 4, 1.5, "1"])
def test_majority_refuses_more_votes_than_samples(k):
    with pytest.raises(InputError, match=f"^k = {k!r}"):
        majority_at_k(["A", "B", "C"], "A", k)


@pytest.mark.parametrize("answers", [None, "AB"])
def test_majority_refuses_what_is_no_list_of_answers(answers):
    with pytest.raises(InputError, match=r"^answers = "):
        majority_at_k(answers, "A", 1)


@given(st.integers(1, 300), st.data())
@settings(max_examples=100, deadline=None)
def test_pass_hat_k_is_exact(n, data):
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    exact = Fraction(math.comb(c, k), math.comb(n, k))
    assert pass_hat_k(n, c, k) == pytest.approx(float(exact), rel=1e-11)


def test_pass_hat_k_is_the_share_of_subsets_that_are_all_right():
    for n, k in ((1, 1), (5, 2), (6, 6)):
        for c in range(n + 1):
            right = [sample < c for sample in range(n)]
            share = np.mean([all(subset) for subset in itertools.combinations(right, k)])
            assert pass_hat_k(n, c, k) == pytest.approx(share, abs=1e-12)


def test_pass_hat_of_one_is_pass_at_one_and_arrays_keep_their_shape():
    counts = np.array([[0, 3], [7, 8]])
    assert pass_hat_k(8, counts, 1) == pytest.approx(pass_at_k(8, counts, 1))
    assert pass_hat_k(8, counts, 8).tolist() == [[0.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(("n", "c", "k", "field"), [(3, 1, 4, "n"), (4, 5, 1, "c"), (4, 1, 0, "k")])
def test_pass_hat_k_refuses_what_has_no_estimate(n, c, k, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        pass_hat_k(n, c, k)


@given(votes, st.randoms(), st.data())
@settings(max_examples=100, deadline=None)
def test_cons_lets_missing_answers_vote_and_majority_does_not(answers, random, data):
    k = data.draw(st.integers(1, len(answers)))
    spelled = ["missing" if answer is None else answer for answer in answers]
    exact = float(majority_by_enumeration(spelled, "gold", k))
    shuffled = random.sample(answers, len(answers))
    assert cons_at_k(shuffled, "gold", k) == pytest.approx(exact, abs=1e-12)
    assert cons_at_k(answers, "gold", k) <= majority_at_k(answers, "gold", k) + 1e-12
    if None not in answers:
        assert cons_at_k(answers, "gold", k) == majority_at_k(answers, "gold", k)


def test_votes_of_a_thousand_problems_and_64_samples_sum_to_one():
    generator = np.random.default_rng(0)
    answers = [f"{i}" for i in generator.integers(0, 20, 64) ** 2 // 20]
    for k in (2, 31, 63, 64):
        assert sum(majority_at_k(answers, one, k) for one in set(answers)) == pytest.approx(1, abs=1e-9)


@given(votes, st.randoms())
def test_distinct_answers_and_entropy_ignore_the_order_of_samples(answers, random):
    shuffled = random.sample(answers, len(answers))
    assert distinct_answers(shuffled) == distinct_answers(answers)
    assert answer_entropy(shuffled) == pytest.approx(answer_entropy(answers))
    assert 0 <= answer_entropy(answers) <= math.log(max(distinct_answers(answers), 1)) + 1e-12


def test_distinct_answers_and_entropy_have_their_closed_forms():
    assert distinct_answers([None, None]) == 0 and answer_entropy([None, None]) == 0
    assert answer_entropy(["A"] * 9) == 0
    assert answer_entropy([*"ABCD", None]) == pytest.approx(math.log(4))
    assert answer_entropy(list("AAAB")) == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


@pytest.mark.parametrize("metric", [majority_at_k, cons_at_k])
def test_whole_numbers_vote_as_their_text_and_nothing_else_that_is_no_text_votes(metric) -> None:
    for answers in (
        [4, 4, 5],
        ["4", 4, "5"],
        np.array([4, 4, 5]),
        [np.int64(4), "4", None],
        pd.Series([4, 4, 5]),
    ):
        assert metric(answers, "4", 3) == metric(answers, 4, 3) == 1.0
    for answers in (
        [4.0, 4.0],
        [True, True],
        [float("nan"), "4"],
        [b"4", b"4"],
        [["4"], "4"],
        "44",
        {"4": 1},
        b"44",
    ):
        with pytest.raises(InputError, match="answers = "):
            metric(answers, "4", 2)
    for gold in (None, 4.0, True, b"4", ["4"], float("nan")):
        with pytest.raises(InputError, match="gold = "):
            metric(["4", "4"], gold, 2)
    assert distinct_answers([4, "4", None, "5"]) == 2
    assert answer_entropy([4, "4", None]) == 0.0
    for counted in (distinct_answers, answer_entropy):
        with pytest.raises(InputError, match="answers = "):
            counted([4.0])


@pytest.mark.parametrize("metric", [pass_at_k, pass_hat_k])
@pytest.mark.parametrize(
    ("n", "c"), [(math.inf, 1), (4, math.inf), (math.nan, 1), (4, math.nan), ("4", 1), (4, None)]
)
def test_counts_that_are_no_numbers_are_refused_in_one_line(metric, n, c) -> None:
    with pytest.raises(InputError) as refused:
        metric(n, c, 1)
    assert "\n" not in str(refused.value)
