"""Certificates: no gap where none is known, no bound above the optimum, no greedy order below min-path."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from hammerlib import order_by
from hammerlib.ordering import Order
from hammerlib.ordering.candidates import search
from hammerlib.ordering.certificate import certified_bound, distinct_rows, repeated_path
from hammerlib.ordering.order import normalised_gap
from hammerlib.ordering.solve import min_path
from hammerlib.ordering.tour import exact_path
from hammerlib.similarity import edge_cosines, mean_cosine, unit_rows


def total(rows: np.ndarray, order: np.ndarray) -> float:
    return float(edge_cosines(rows, np.asarray(order)).sum())


def near_one(n: int, d: int, scale: float, seed: int = 0) -> np.ndarray:
    return 1 + scale * np.random.default_rng(seed).normal(size=(n, d))


def repeated(kinds: int, n: int, d: int, seed: int, mean: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(kinds, d)) + mean)[rng.integers(0, kinds, n)]


def copies(many: int, others: int, d: int = 64) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([np.repeat(rng.normal(size=(1, d)), many, axis=0), rng.normal(size=(others, d))])


# The gap


@pytest.mark.parametrize(
    ("cost", "bound", "random", "gap"),
    [
        (0.75, 0.5, 1.0, 0.5),
        (0.5, 0.5, 1.0, 0.0),
        (0.5, 0.5, 0.5, 0.0),  # proved: the cost is the bound
        (0.5 + 5e-14, 0.5, 0.5 + 1e-13, None),  # nothing to tell cost from random orders by
        (0.5 + 2e-7, 0.5, 0.5 + 4e-7, 0.5),  # small, but known
        (0.5, -np.inf, 0.6, None),
    ],
)
def test_a_gap_is_known_or_not_a_number(cost, bound, random, gap):
    found = normalised_gap(cost, bound, random)
    assert np.isnan(found) if gap is None else found == pytest.approx(gap, rel=1e-6)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [3e-2, 1e-2, 1e-3])
def test_rows_that_all_lie_near_one_another_are_told_apart(scale, kind):
    rows = near_one(1500, 64, scale).astype(kind)
    random, greedy, path = (order_by(name, rows) for name in ("random", "hammer", "min-path"))
    assert 0.9 < random.gap < 1.1
    assert path.gap <= 0.002 and path.cost <= greedy.cost
    assert path.lower_bound <= path.cost < random.cost


@pytest.mark.parametrize("scale", [1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-12])
@pytest.mark.parametrize("n", [5, 40, 300])
def test_rows_nearer_than_numbers_resolve_have_an_unknown_gap_or_a_true_one(n, scale):
    rows = near_one(n, 32, scale)
    random, path = order_by("random", rows), order_by("min-path", rows)
    assert random.gap is None or random.gap > 0.3
    assert path.gap is None or 0 <= path.gap <= 1.001
    assert path.cost <= order_by("hammer", rows).cost + 1e-15


def test_an_unknown_gap_is_recorded_as_none(tmp_path):
    made = order_by("random", near_one(60, 16, 1e-9))
    made.save(tmp_path / "order.json")
    assert made.gap is Order.load(tmp_path / "order.json").gap is None
    assert '"gap": null' in (tmp_path / "order.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("n", [2, 3, 12, 13, 200])
def test_equal_rows_are_proved_to_cost_the_same_in_every_order(n):
    assert order_by("random", np.full((n, 3), 0.7)).gap == order_by("min-path", np.full((n, 3), 0.7)).gap == 0


# The bound


def exact_dual(rows: np.ndarray, prices: np.ndarray) -> Fraction:
    """What the prices prove, in whole numbers: the sum of prices and half the two cheapest offers a node."""
    vectors = [[Fraction(float(x)) for x in row] for row in rows]
    vectors.append([Fraction(0)] * rows.shape[1])
    worth = [Fraction(float(price)) for price in prices]
    value = sum(worth)
    for i, one in enumerate(vectors):
        offers = sorted(
            sum(x * y for x, y in zip(one, other, strict=True)) - worth[j]
            for j, other in enumerate(vectors)
            if j != i
        )
        value += (offers[0] + offers[1]) / 2
    return value


@pytest.mark.parametrize("seed", range(12))
def test_the_bound_is_never_above_what_the_prices_prove(seed):
    """Single precision may put the wrong candidates first, and double precision rounds."""
    rng = np.random.default_rng(seed)
    rows = unit_rows(near_one(24, 7, 3e-4, seed))  # products differ by about a rounding of single precision
    prices = np.append(0.5 + 1e-8 * rng.normal(size=24), -0.5)
    short = certified_bound(rows, search(rows.astype(np.float32), prices, 8), prices)
    whole = certified_bound(rows, search(rows.astype(np.float32), prices, 24), prices)
    exact = exact_dual(rows, prices)
    assert Fraction(short) <= exact and Fraction(whole) <= exact
    assert float(exact) - whole < 1e-11 and float(exact) - short < 1e-4


@pytest.mark.parametrize("seed", range(60))
def test_no_bound_is_above_the_optimum_of_small_instances(seed):
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(13, 15)), int(rng.integers(1, 5))
    rows = rng.normal(size=(n, d)) * rng.choice([1.0, 1e-3]) + rng.choice([0.0, 1.0, 3.0])
    rows = unit_rows(rows[rng.integers(0, rng.integers(2, n + 1), n)])
    best, found = total(rows, exact_path(rows)), min_path(rows, seed=seed)
    assert found.lower_bound <= best + 1e-12
    assert best - 1e-12 <= found.total <= best + 0.01 * abs(mean_cosine(rows) * (n - 1) - best) + 1e-7


# Rows that repeat


@pytest.mark.parametrize("seed", range(80))
def test_the_programme_over_distinct_rows_finds_the_optimum_and_proves_it(seed):
    rng = np.random.default_rng(seed)
    n, kinds = int(rng.integers(3, 12)), int(rng.integers(2, 6))
    rows = unit_rows(repeated(kinds, n, int(rng.integers(1, 5)), seed, float(rng.choice([0, 0, 2]))))
    best = total(rows, exact_path(rows))
    path, bound = repeated_path(rows, matters=1.0)
    assert bound <= best + 1e-12
    if path is not None:
        assert sorted(path) == list(range(n))
        assert total(rows, path) == pytest.approx(best, abs=1e-6)
        assert bound >= best - 0.35 * max(1.0, abs(best))  # fractions of few rows leave some


def test_few_repeats_or_many_kinds_are_left_to_the_sweeps():
    for rows in (np.eye(20), repeated(2000, 2300, 3, 0), np.ones((5, 2))):
        assert repeated_path(unit_rows(rows)) == (None, -np.inf)


def test_kinds_are_numbered_as_they_appear_and_zeros_have_no_sign():
    kinds, counts = distinct_rows(np.array([[2.0, 0.0], [1.0, 0.0], [2.0, -0.0], [0.5, 1.0]]))
    assert kinds.tolist() == [0, 1, 0, 2] and counts.tolist() == [2, 1, 1]


@pytest.mark.parametrize(
    ("rows", "most"),
    [
        (copies(900, 600), 0.005),
        (repeated(40, 400, 16, 0), 0.003),
        (repeated(40, 400, 64, 1), 0.003),
        (repeated(60, 2000, 64, 0), 0.003),
        (repeated(300, 900, 32, 2, mean=1.0), 0.003),
        (np.repeat(np.random.default_rng(0).normal(size=(5, 8)), 200, axis=0), 0.003),
    ],
    ids=["900 + 600", "40 x 400", "40 x 400, wide", "60 x 2000", "300 x 900, common", "5 x 1000"],
)
def test_repeated_rows_are_certified(rows, most):
    path = order_by("min-path", rows)
    assert 0 <= path.gap <= most
    assert path.cost <= order_by("hammer", rows).cost
    again = min_path(unit_rows(rows))
    assert np.array_equal(again.permutation, path.permutation)


# Greedy


def family(name: str, n: int) -> np.ndarray:
    rng = np.random.default_rng(n)
    return {
        "line": rng.normal(size=(n, 1)),
        "plane": rng.normal(size=(n, 2)),
        "rank two in sixty": rng.normal(size=(n, 2)) @ rng.normal(size=(2, 60)),
        "two opposite rows": np.resize([[1.0, 0.0], [-1.0, 0.0]], (n, 2)),
        "signs": rng.choice([-1.0, 1.0], size=(n, 6)),
        "axes": np.eye(8)[rng.integers(0, 8, n)],
        "negative": -np.abs(rng.normal(size=(n, 9))),
        "tiny": 1e-30 * rng.normal(size=(n, 5)),
        "huge": 1e30 * rng.normal(size=(n, 5)),
        "near one": near_one(n, 12, 1e-3, n),
        "nearer": near_one(n, 12, 1e-6, n),
        "clusters": rng.normal(size=(4, 20))[rng.integers(0, 4, n)] + 0.05 * rng.normal(size=(n, 20)),
        "tight clusters": rng.normal(size=(4, 20))[rng.integers(0, 4, n)] + 1e-6 * rng.normal(size=(n, 20)),
        "repeats": repeated(max(1, n // 3), n, 4, n),
        "one far": np.concatenate([np.ones((n - 1, 3)), [[-1.0, 0, 0]]]),
    }[name]


FAMILIES = ("line", "plane", "rank two in sixty", "two opposite rows", "signs", "axes", "negative", "tiny")
MORE = ("huge", "near one", "nearer", "clusters", "tight clusters", "repeats", "one far")


@pytest.mark.parametrize("n", [2, 3, 4, 7, 10, 13, 30, 120, 700])
@pytest.mark.parametrize("name", [*FAMILIES, *MORE])
def test_min_path_is_never_worse_than_greedy(name, n):
    rows = family(name, n)
    path, greedy = order_by("min-path", rows), order_by("hammer", rows)
    assert path.cost <= greedy.cost + 1e-15
    assert path.lower_bound <= path.cost + 1e-15
    assert path.gap is None or path.gap >= -1e-9
    quick = min_path(unit_rows(rows), gap=None)
    assert quick.total <= greedy.cost * (n - 1) + 1e-12
