"""G2RPO-A: controllers by hand, guidance, the exact feedback of the length, and steps in the house."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from hammerlib.errors import InputError
from hammerlib.systems.g2rpo_a import (
    feedback_path,
    guidance,
    guided_count,
    noise_growth,
    paper_length,
    released_length,
    resting_length,
)
from hammerlib.systems.g2rpo_a.guidance import before_answer, decayed_length, guided_accuracy

# Who is guided, and by what


@pytest.mark.parametrize(("alpha", "size", "guided"), [
    (0.25, 10, 3), (0.75, 10, 8), (0.2, 10, 2), (0.3, 10, 3), (0.7, 10, 7), (0.25, 8, 2), (0.01, 4, 1),
    (0, 8, 0), (1, 8, 8),
])  # fmt: skip
def test_every_group_has_as_many_guided_rows(alpha: float, size: int, guided: int) -> None:
    assert guided_count(alpha, size) == guided


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_share_outside_the_group_is_refused(alpha: float) -> None:
    with pytest.raises(InputError, match="alpha"):
        guided_count(alpha, 8)


def test_guidance_is_the_beginning_of_the_trace_and_leaves_the_answer() -> None:
    trace = [5, 6, 7, 8]
    assert guidance(trace, 2) == [5, 6] and guidance(trace, 2.9) == [5, 6]
    assert guidance(trace, 4) == guidance(trace, 3072) == [5, 6, 7]  # one token is left to say
    assert guidance(trace, 4, most=2) == [5, 6] and guidance(trace, 0) == []
    for short in ([], [5]):
        with pytest.raises(InputError, match="fewer than 2"):
            guidance(short, 1)
    assert before_answer(r"3+4=7;\boxed{7} or \boxed{8}") == r"3+4=7;\boxed{7} or "
    assert before_answer("3+4=7") == "3+4=7"


# The released rule


def test_the_released_rule_by_hand() -> None:
    # Worse: avg 0.5, cur 0.4: 100 x 1.25. Better: avg 3/16, cur 1/4: 100 x 0.75.
    assert released_length(100, [0.6, 0.4, 0.4], longest=3072) == 125
    assert released_length(100, [0.125, 0.25, 0.25], longest=3072) == 75
    assert released_length(101, [0.25, 0.25, 0.5], longest=3072) == 50  # 50.5 is cut
    assert released_length(3, [0.25, 0.25, 1.0], longest=3072) == 1  # 0.75: at least one token
    assert released_length(3000, [0.6, 0.4, 0.25], longest=3072) == 3072  # 6000 meets its end


@pytest.mark.parametrize("accuracies", [
    [], [0.5], [0.5, 0.1], [0.5, 0.5, 0.5], [0.5, 0.5, 0.0], [0.0, 0.0, 0.5], [0.6, 0.4, 0.4, 0.1],
    [0.6, 0.4, 0.4, 0.1, 0.9],
])  # fmt: skip
def test_the_released_rule_leaves_the_length(accuracies: list[float]) -> None:
    """In the first two steps of a cycle, at equality, and where an accuracy is 0."""
    assert released_length(100, accuracies, longest=3072) == 100


def test_the_released_rule_looks_at_its_own_cycle_alone() -> None:
    assert released_length(100, [0.9, 0.9, 0.9, 0.6, 0.4, 0.4], longest=3072) == 125


# The paper's rule


def test_the_papers_rule_by_hand() -> None:
    # T = 2: (0.2 + 0.8) / 2 / 0.4 = 1.25; T = 1: 0.2 / 0.4 = 0.5; T = 9 takes what is there.
    rates = [0.8, 0.2, 0.4]
    assert paper_length(100, rates, window=2, longest=1000) == pytest.approx(125)
    assert paper_length(100, rates, window=1, longest=1000) == pytest.approx(50)
    assert paper_length(100, rates, window=9, longest=1000) == pytest.approx(125)
    assert paper_length(100, rates[:2], window=5, longest=1000) == pytest.approx(400)  # k = 1: one value


def test_the_papers_rule_at_its_ends() -> None:
    assert paper_length(100, [0.5], window=3, longest=1000) == 100  # no history
    assert paper_length(100, [0.5, 0.0], window=3, longest=1000) == 100  # r_k = 0
    assert paper_length(100, [0.9, 0.1], window=3, longest=200) == 200
    assert paper_length(100, [0.0, 0.5], window=3, longest=200) == 1
    with pytest.raises(InputError, match="window"):
        paper_length(100, [0.5, 0.5], window=0, longest=200)


rates_of_steps = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3)


@given(rates_of_steps)
def test_a_better_step_never_lengthens_and_a_worse_one_never_shortens(rates: list[float]) -> None:
    """An inverted ratio fails here."""
    average = (rates[0] + rates[1]) / 2
    for moved in (
        paper_length(100, rates, window=2, longest=10**6),
        released_length(100, rates, longest=10**6),
    ):
        assert moved <= 100 if rates[2] > average else moved >= 100


def test_the_length_decays_along_a_line() -> None:
    assert [decayed_length(40, step, 4) for step in range(6)] == [40, 30, 20, 10, 0, 0]


# What the controller does by itself


def test_the_rule_keeps_the_product_of_length_and_accuracy() -> None:
    rates = np.linspace(0.2, 0.7, 12)
    lengths = feedback_path(rates, trace=1000, length=400, alpha=0.5)
    guided = guided_accuracy(rates, lengths / 1000)
    products = lengths[1:] * (0.5 * guided + 0.5 * rates)[:-1]
    assert products == pytest.approx([products[0]] * 11) and lengths[0] == lengths[1]


def test_the_length_comes_to_rest_where_length_times_accuracy_is_that_product() -> None:
    rates = [0.2] * 3 + [0.4] * 60
    lengths = feedback_path(rates, trace=40, length=20, alpha=0.5)
    product = 20 * (0.5 * 0.2**0.5 + 0.5 * 0.2)
    rest = resting_length(product, 0.4, trace=40, alpha=0.5)
    assert lengths[-1] == pytest.approx(rest) and lengths[3] == pytest.approx(20)
    assert rest * (0.5 * 0.4 ** (1 - rest / 40) + 0.5 * 0.4) == pytest.approx(product)
    # Its own guidance flatters the signal: by unguided rows alone 20 x 0.2 / 0.4 = 10 tokens would be left.
    alone = feedback_path(rates, trace=40, length=20, alpha=0.5, signal="unguided")
    assert alone[-1] == pytest.approx(10) and rest > 10
    assert resting_length(100.0, 0.4, trace=40, alpha=0.5) == 40  # no longer than the trace


def test_a_steep_signal_makes_the_length_swing() -> None:
    # All rows guided, u = 0.001: l r'/r = l log(1/u) / L = 20 x 6.9 / 40 = 3.5 at half the trace.
    rates = [0.001, 0.0011] + [0.001] * 30
    lengths = feedback_path(rates, trace=40, length=20, alpha=1.0)
    assert np.ptp(lengths[-6:]) > 10
    calm = feedback_path(rates, trace=40, length=20, alpha=0.0)
    assert np.ptp(calm[-6:]) == pytest.approx(0)


def test_the_released_rule_moves_at_every_third_step() -> None:
    lengths = feedback_path(np.linspace(0.1, 0.8, 12), trace=40, length=20, alpha=0.5, rule="released")
    assert (lengths.reshape(4, 3) == lengths[::3, None]).all() and (np.diff(lengths[::3]) < 0).all()


def test_noise_alone_moves_the_length_by_the_sum_over_all_outcomes() -> None:
    n, p = 3, 0.4
    total = weight = 0.0
    for counts in product(range(n + 1), repeat=3):
        average, current = (counts[0] + counts[1]) / 2 / n, counts[2] / n
        if average and current:
            chance = np.prod(binom.pmf(counts, n, p))
            total += chance * np.log(average / current)
            weight += chance
    assert noise_growth(p, n) == pytest.approx(total / weight)
    assert noise_growth(0.5, 64) > 0 > noise_growth(0.02, 64)
    with pytest.raises(InputError, match="rate"):
        noise_growth(1.0, 8)
