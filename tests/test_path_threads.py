"""The path solver on any number of threads: the same lists, prices, order and bound, bit for bit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from ordering_samples import clusters, gaussian
from threadpoolctl import threadpool_limits

from hammerlib.errors import InputError
from hammerlib.ordering import candidates, greedy, solve
from hammerlib.ordering.candidates import Candidates, search, search_again, sparse_graph, sweep_prices
from hammerlib.ordering.greedy import greedy_path
from hammerlib.ordering.solve import min_path, repeated_kinds
from hammerlib.ordering.threads import Crew, thread_count
from hammerlib.ordering.tour import descend_deep, kick, search_from, with_table
from hammerlib.similarity import unit_rows


def plain_search(rows: np.ndarray, prices: np.ndarray, k: int) -> Candidates:
    """All costs, sorted: among equal ones the dummy first, then counted from a column of the row's own."""
    n = len(rows)
    single = prices.astype(rows.dtype)
    columns, reduced = np.empty((n + 1, k), np.int32), np.empty((n + 1, k), rows.dtype)
    products = rows @ rows.T
    for item in range(n):
        values = np.append(products[item] - single[:n], -single[n])
        place = np.append((np.arange(n) - item * candidates.SPREAD) % n, -1)
        order = np.lexsort((place, values))
        columns[item] = order[order != item][:k]
        reduced[item] = values[columns[item]]
    columns[n] = np.argsort(-prices[:n], kind="stable")[:k]
    reduced[n] = -prices[columns[n]]
    return Candidates(columns, reduced)


def rows_of_exact_products(n: int) -> np.ndarray:
    """Rows of multiples of 1/1024: their products are exact, whatever block a BLAS multiplies them in."""
    return (np.round(unit_rows(gaussian(n, 12)) * 1024) / 1024).astype(np.float32)


def same(first: Candidates, second: Candidates) -> bool:
    return np.array_equal(first.columns, second.columns) and np.array_equal(first.reduced, second.reduced)


# How many there are


def test_threads_are_what_the_environment_says_or_what_the_process_may_use(monkeypatch):
    monkeypatch.setenv("HAMMER_THREADS", "3")
    monkeypatch.setenv("OMP_NUM_THREADS", "5,2")
    assert thread_count() == 3
    monkeypatch.delenv("HAMMER_THREADS")
    assert thread_count() == 5
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert thread_count() >= 1
    for wrong in ("0", "-1", "two"):
        monkeypatch.setenv("HAMMER_THREADS", wrong)
        with pytest.raises(InputError, match="HAMMER_THREADS"):
            thread_count()


def test_an_error_in_a_thread_is_told(monkeypatch):
    monkeypatch.setenv("HAMMER_THREADS", "2")

    def fail(piece: int) -> None:
        if piece == 3:
            raise ValueError("piece three")

    with pytest.raises(ValueError, match="piece three"), Crew() as crew:
        crew.share_out(fail, range(8))


# The same on all of them


def test_order_cost_and_bound_are_the_same_on_one_two_and_three_threads(monkeypatch):
    monkeypatch.setattr(candidates, "BLOCK_ROWS", 300)
    rows = unit_rows(clusters(2200, 140))
    paths = []
    for threads in (1, 2, 3):
        monkeypatch.setenv("HAMMER_THREADS", str(threads))
        with threadpool_limits(threads, user_api="blas"):
            paths.append(min_path(rows, gap=3e-4))
    assert paths[0].exact_passes > 1
    for path in paths[1:]:
        assert np.array_equal(path.permutation, paths[0].permutation)
        assert (path.total, path.lower_bound) == (paths[0].total, paths[0].lower_bound)


def test_the_greedy_order_is_the_same_on_one_two_and_three_threads(monkeypatch):
    rows = unit_rows(clusters(700, 40))
    expected = greedy_path(rows)  # too few to be shared out
    monkeypatch.setattr(greedy, "SHARED_SIZE", 1)
    monkeypatch.setattr(greedy, "PART_ROWS", 64)
    for threads in (1, 2, 3):
        monkeypatch.setenv("HAMMER_THREADS", str(threads))
        assert np.array_equal(greedy_path(rows), expected)


# The same as without the savings


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("copies", [1, 4])
@pytest.mark.parametrize("k", [1, 7, 40])
def test_half_of_the_products_give_the_lists_of_all(copies, kind, k, monkeypatch):
    monkeypatch.setattr(candidates, "BLOCK_ROWS", 64)
    rng = np.random.default_rng(copies)
    # small whole numbers: products are exact, so that many of them are equal
    rows = rng.integers(-2, 3, (300 // copies, 6)).astype(kind)[rng.integers(0, 300 // copies, 300)]
    prices = rng.integers(-3, 4, 301) / 4
    expected = plain_search(rows, prices, k)
    assert same(search(rows, prices, k), expected)


@pytest.mark.parametrize("k", [2, 20])
def test_lists_at_new_prices_come_from_longer_ones_at_earlier_prices(k, monkeypatch):
    monkeypatch.setattr(candidates, "BLOCK_ROWS", 64)
    monkeypatch.setattr(candidates, "WORTH", 1.0)
    rng = np.random.default_rng(0)
    rows = rows_of_exact_products(500)
    before = np.append(0.1 * rng.normal(size=500), 0.0)
    known = search(rows, before, 50)
    for moved in (0.0, 1e-3, 3e-2, 0.3):
        prices = before + moved * rng.normal(size=501)
        again = search_again(rows, known, before, prices, k)
        assert again is not None and same(again, search(rows, prices, k))


def test_products_that_cannot_matter_are_not_made_and_too_many_are_left_to_a_search(monkeypatch):
    rng = np.random.default_rng(0)
    rows = unit_rows(clusters(1500, 24))
    before = np.append(rows @ rows.mean(axis=0), 0.0)
    known = search(rows, before, 80)
    made = []
    real = candidates._offer_rest
    monkeypatch.setattr(candidates, "_offer_rest", lambda *given: made.append(given[0].size) or real(*given))
    assert search_again(rows, known, before, before, 40) is not None and not made
    assert search_again(rows, known, before, before + 1e-2 * rng.normal(size=1501), 40) is not None
    assert 0 < sum(made) < 0.5 * 1500**2
    assert search_again(rows, known, before, before + rng.normal(size=1501), 40) is None


def test_sweeps_that_look_at_few_edges_give_the_prices_of_all_edges():
    rng = np.random.default_rng(0)
    rows = unit_rows(clusters(400, 30))
    left, right = rng.integers(0, 400, (2, 16_000))
    left, right = left[left != right], right[left != right]
    costs = (rows[left] * rows[right]).sum(axis=1)
    dummy = np.arange(0, 400, 5)
    graph = sparse_graph(401, (left, right, costs), (dummy, np.full(80, 400), np.zeros(80)))
    prices = np.append(rows @ rows.mean(axis=0), 0.0)
    found, value = sweep_prices(graph, prices)
    best, best_value = all_edges(graph, prices)
    assert np.array_equal(found, best) and value == best_value


def all_edges(graph: candidates.Graph, prices: np.ndarray) -> tuple[np.ndarray, float]:
    """The sweeps in plain numpy."""
    starts, neighbours, costs = graph
    now, moved = prices.copy(), np.zeros(len(prices))
    best, best_value, before = now, -np.inf, -np.inf
    for sweep in range(candidates.SWEEPS + 1):
        offers = costs - now[neighbours]
        cheapest = np.array([np.sort(offers[a:b])[:3] for a, b in pairwise(starts)])
        value = 0.0
        for term in now + 0.5 * (cheapest[:, 0] + cheapest[:, 1]):
            value += term
        if value > best_value:
            best, best_value = now, value
        if sweep % candidates.BLOCK == candidates.BLOCK - 1:
            if best_value - before < candidates.STILL * len(prices) * float(costs.std()):
                break
            before = best_value
        proposed = 0.5 * now + 0.25 * (cheapest[:, 1] + cheapest[:, 2])
        moved = proposed + candidates.MOMENTUM * moved - now
        now = now + moved
    return best, best_value


@pytest.mark.parametrize("distinct", [2, 40, 250])
def test_equal_rows_are_looked_at_once_and_get_the_lists_they_had(distinct, monkeypatch):
    monkeypatch.setattr(candidates, "BLOCK_ROWS", 64)
    rng = np.random.default_rng(distinct)
    rows = rows_of_exact_products(distinct)[rng.integers(0, distinct, 300)]
    kinds = repeated_kinds(rows)
    for prices in (np.round(rng.normal(size=301), 1), 0.2 * rng.normal(size=301), np.zeros(301)):
        assert same(search(rows, prices, 40, kinds=kinds), search(rows, prices, 40))
    assert repeated_kinds(unit_rows(gaussian(300, 12))) is None


def test_rows_in_few_dimensions_are_multiplied_there_and_the_certificate_stays_true(monkeypatch):
    """The same path within rounding: a total of 2,400 cosines within 1e-4, and either bound below both."""
    rng = np.random.default_rng(0)
    rows = unit_rows((clusters(2400, 48) @ rng.normal(size=(48, 160))).astype(np.float32))
    widths = []
    real = candidates.search
    monkeypatch.setattr(
        candidates, "search", lambda rows, *a, **k: widths.append(rows.shape[1]) or real(rows, *a, **k)
    )
    few = min_path(rows)
    assert 48 in widths and 160 not in widths
    monkeypatch.setattr(solve, "FEW_DIMENSIONS", 0.0)
    whole = min_path(rows)
    assert 160 in widths
    assert few.gap <= 1e-3 and whole.gap <= 1e-3
    assert max(few.lower_bound, whole.lower_bound) <= min(few.total, whole.total)
    assert few.total == pytest.approx(whole.total, abs=1e-3 * abs(whole.total - whole.lower_bound) + 1e-4)


def test_products_in_few_dimensions_miss_no_more_than_the_certificate_allows_for():
    rng = np.random.default_rng(1)
    rows = unit_rows((clusters(2400, 48) @ rng.normal(size=(48, 160))).astype(np.float32))
    work = solve._Solve(rows, 0, np.inf, 0.0)
    work._project()
    assert work.columns.shape == (2400, 48)
    exact = rows.astype(np.float64) @ rows.T.astype(np.float64)
    few = work.columns.astype(np.float64)
    assert np.abs(few @ few.T - exact).max() <= work.lost < 1e-5
    full = solve._Solve(unit_rows(clusters(2400, 160)), 0, np.inf, 0.0)
    full._project()
    assert full.columns.shape == (2400, 160) and full.lost == 0


# Longer chains of exchanges


@pytest.mark.parametrize("seed", range(3))
def test_chains_keep_a_tour_and_count_what_they_gain(seed):
    rng = np.random.default_rng(seed)
    rows = unit_rows(gaussian(120, 6, seed).astype(np.float32))
    prices = np.append(0.1 * rng.normal(size=120), 0.0)
    near = search(rows, prices, 11).columns
    near = np.array(
        [[other for other in row if other != node][:10] for node, row in enumerate(near)], np.int32
    )
    tour = np.append(rng.permutation(120), 120).astype(np.int32)
    costs = np.zeros((121, 121))
    costs[:120, :120] = rows.astype(np.float64) @ rows.T

    def total(tour: np.ndarray) -> float:
        return float(costs[tour, np.roll(tour, -1)].sum())

    worth = costs - prices - prices[:, None]
    near = np.take_along_axis(near, np.argsort(np.take_along_axis(worth, near, 1), axis=1), axis=1)
    state = with_table(search_from(rows, prices, tour, near))
    steps = [descend_deep, lambda state: kick(state, rng.integers([0, 1, 1], [121, 31, 31], (200, 3)), True)]
    for step in steps:
        before = total(state.tour)
        gain = step(state)
        assert gain > 0 and before - total(state.tour) == pytest.approx(gain, abs=1e-4)
        assert sorted(state.tour) == list(range(121)) and np.array_equal(
            state.tour[state.place], np.arange(121)
        )


@pytest.mark.parametrize("rows", [gaussian(600, 48), clusters(600, 64)], ids=["isotropic", "clusters"])
def test_a_gap_below_the_usual_one_is_reached(rows):
    assert min_path(unit_rows(rows.astype(np.float32)), gap=3e-4).gap <= 3e-4
