"""The path solver on any number of threads: the same lists, prices, order and bound, bit for bit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from ordering_samples import clusters, gaussian
from threadpoolctl import threadpool_limits

from hammerlib.errors import InputError
from hammerlib.ordering import candidates, greedy
from hammerlib.ordering.candidates import Candidates, search, search_again, sparse_graph, sweep_prices
from hammerlib.ordering.greedy import greedy_path
from hammerlib.ordering.solve import min_path
from hammerlib.ordering.threads import Crew, thread_count
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
    rows = unit_rows(gaussian(500, 12).astype(np.float32))
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
