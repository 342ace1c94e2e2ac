"""The paper's greedy, its readings of eta, and what an order costs."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ordering_samples import BY_VECTORS, gaussian

from hammerlib.errors import InputError
from hammerlib.ordering import edge_costs, edge_profile, order_by, used_vectors
from hammerlib.ordering.greedy import TIE_ROUNDINGS
from hammerlib.similarity import unit_rows


def oracle(
    units: np.ndarray, start: int, largest: bool = False, shift: np.ndarray | float = 0.0
) -> list[int]:
    """Return the greedy path by the full matrix; costs equal to rounding go to the lowest number."""
    costs = (units - shift) @ (units - shift).T * (-1 if largest else 1)
    path, left = [start], set(range(len(units))) - {start}
    while left:
        row = costs[path[-1]]
        least = min(row[item] for item in left)
        path.append(min(i for i in left if row[i] <= least + TIE_ROUNDINGS * np.finfo(units.dtype).eps))
        left.remove(path[-1])
    return path


class TestGreedy:
    @given(st.integers(1, 30), st.integers(1, 6), st.integers(0, 10**6), st.booleans(), st.booleans())
    @settings(max_examples=80, deadline=None)
    def test_equals_the_full_matrix_greedy(
        self, n: int, d: int, seed: int, largest: bool, argmin: bool
    ) -> None:
        rows = gaussian(n, d, seed, mean=1.0)
        units = unit_rows(rows)
        strategy, centre = ("similar" if largest else "hammer"), ("argmin" if argmin else "none")
        order = order_by(strategy, rows, start="first", centre=centre)
        assert order.permutation.tolist() == oracle(units, 0, largest, units.mean(axis=0) if argmin else 0.0)

    def test_equals_the_full_matrix_greedy_on_a_thousand_float32_rows(self) -> None:
        rows = gaussian(1000, 24, mean=0.5).astype(np.float32)
        assert order_by("hammer", rows, start="first").permutation.tolist() == oracle(unit_rows(rows), 0)

    @given(st.integers(2, 8), st.integers(0, 10**6))
    @settings(max_examples=20, deadline=None)
    def test_never_beats_the_best_of_all_orders(self, n: int, seed: int) -> None:
        units = unit_rows(gaussian(n, 3, seed))
        full = units @ units.T
        best = min(
            sum(full[a, b] for a, b in itertools.pairwise(p)) for p in itertools.permutations(range(n))
        )
        assert order_by("hammer", units).cost * (n - 1) >= best - 1e-9

    def test_is_cheaper_than_random_and_similar_dearer(self) -> None:
        rows = gaussian(300, 16, mean=0.3)
        costs = {strategy: order_by(strategy, rows).cost for strategy in ("hammer", "random", "similar")}
        assert costs["hammer"] < costs["random"] - 0.1 < costs["similar"] - 0.2

    def test_borrows_from_the_end_as_the_reference_says(self) -> None:
        rows = gaussian(800, 24, mean=0.5)
        profile = edge_profile(order_by("hammer", rows).permutation, rows)
        assert profile[0] < order_by("random", rows).random_cost < profile[-1]

    @given(
        st.integers(3, 25), st.integers(0, 10**6), st.sampled_from(["hammer", "similar", "farthest-first"])
    )
    @settings(max_examples=40, deadline=None)
    def test_does_not_depend_on_the_row_order(self, n: int, seed: int, strategy: str) -> None:
        rows = gaussian(n, 6, seed)
        mixed = np.random.default_rng(seed).permutation(n)
        expected = order_by(strategy, rows).permutation.tolist()
        assert mixed[order_by(strategy, rows[mixed]).permutation].tolist() == expected

    def test_ties_go_to_the_lower_number(self) -> None:
        assert order_by("hammer", np.ones((5, 2))).permutation.tolist() == [0, 1, 2, 3, 4]
        assert order_by("hammer", np.tile(np.eye(2), (3, 1)), start="first").permutation.tolist() == [
            0,
            1,
            2,
            3,
            4,
            5,
        ]

    def test_starts_where_it_is_told(self) -> None:
        rows = np.array([[1.0, 0.1], [1.0, 0.0], [1.0, 0.2], [-0.1, 1.0]])
        assert order_by("hammer", rows, start="first").permutation[0] == 0
        assert order_by("hammer", rows, start="least-similar").permutation[0] == 3
        assert {int(order_by("hammer", rows, start="random", seed=s).permutation[0]) for s in range(30)} == {
            0,
            1,
            2,
            3,
        }

    def test_the_mean_matters_to_greedy_but_not_under_argmin(self) -> None:
        units = unit_rows(gaussian(120, 10))
        moved = np.hstack(
            [units, np.full((120, 1), 2.0)]
        )  # one shared coordinate: equal norms, same directions
        plain, shifted = (order_by("hammer", v, start="first", centre="argmin") for v in (units, moved))
        assert plain.permutation.tolist() == shifted.permutation.tolist()
        assert shifted.cost > plain.cost + 0.5  # the cost stays that of the vectors used


class TestEta:
    @pytest.mark.parametrize("mode", ["epsilon", "pool", "subsample"])
    def test_zero_is_the_plain_greedy(self, mode: str) -> None:
        rows = gaussian(60, 5)
        plain = order_by("hammer", rows)
        for seed in range(3):
            order = order_by("hammer", rows, eta=0.0, eta_mode=mode, seed=seed)
            assert order.permutation.tolist() == plain.permutation.tolist()

    @pytest.mark.parametrize(("mode", "eta"), [("pool", 1), ("subsample", 60), ("subsample", 1.0 - 1e-12)])
    def test_limits_that_leave_no_choice_are_the_plain_greedy(self, mode: str, eta: float) -> None:
        rows = gaussian(60, 5)
        order = order_by("hammer", rows, eta=eta, eta_mode=mode)
        assert order.permutation.tolist() == order_by("hammer", rows).permutation.tolist()

    @pytest.mark.parametrize("mode", ["epsilon", "pool"])
    def test_more_eta_costs_more(self, mode: str) -> None:
        rows = gaussian(300, 10, mean=0.3)
        costs = [order_by("hammer", rows, eta=eta, eta_mode=mode).cost for eta in (0.0, 0.2, 0.9)]
        assert costs == sorted(costs)

    def test_looking_at_fewer_costs_more(self) -> None:
        rows = gaussian(300, 10, mean=0.3)
        costs = [order_by("hammer", rows, eta=eta, eta_mode="subsample").cost for eta in (0, 30, 3, 1)]
        assert costs == sorted(costs)
        assert costs[-1] == pytest.approx(order_by("hammer", rows).random_cost, abs=0.06)

    @given(
        st.sampled_from(["epsilon", "pool", "subsample"]),
        st.floats(0, 1),
        st.integers(1, 20),
        st.integers(0, 99),
    )
    @settings(max_examples=40, deadline=None)
    def test_every_reading_names_every_item_once(self, mode: str, eta: float, n: int, seed: int) -> None:
        order = order_by("hammer", gaussian(n, 3, seed), eta=eta, eta_mode=mode, seed=seed)
        assert sorted(order.permutation) == list(range(n))

    @pytest.mark.parametrize(
        ("options", "field"),
        [
            ({"eta": -0.1}, "eta"),
            ({"eta": 1.5}, "eta"),
            ({"eta": float("nan")}, "eta"),
            ({"eta": 2.5, "eta_mode": "pool"}, "eta"),
            ({"eta": 0.1, "eta_mode": "other"}, "eta_mode"),
            ({"start": "middle"}, "start"),
        ],
    )
    def test_what_it_cannot_use_is_refused(self, options: dict, field: str) -> None:
        with pytest.raises(InputError, match=f"^{field} ="):
            order_by("hammer", np.eye(3), **options)


class TestCost:
    @given(st.integers(2, 25), st.integers(0, 10**6), st.sampled_from(["none", "argmin", "renormalise"]))
    @settings(max_examples=40, deadline=None)
    def test_is_the_mean_edge_of_the_vectors_used(self, n: int, seed: int, centre: str) -> None:
        rows = gaussian(n, 5, seed, mean=1.0)
        order = order_by("hammer", rows, centre=centre)
        edges = edge_costs(order.permutation, rows, centred=centre == "renormalise")
        assert order.cost == pytest.approx(edges.mean(), abs=1e-9)
        used = used_vectors(rows, centre)
        full = used @ used.T
        assert order.random_cost == pytest.approx(full[~np.eye(n, dtype=bool)].mean(), abs=1e-9)
        assert order.provenance["centre"] == centre

    @given(st.integers(3, 12), st.integers(0, 10**6))
    @settings(max_examples=30, deadline=None)
    def test_mean_shift_changes_a_closed_tour_by_a_constant(self, n: int, seed: int) -> None:
        units = unit_rows(gaussian(n, 4, seed, mean=1.0))
        mean = units.mean(axis=0)
        tour = np.random.default_rng(seed).permutation(n)
        raw, moved = (
            sum(v[a] @ v[b] for a, b in zip(tour, np.roll(tour, 1), strict=True))
            for v in (units, units - mean)
        )
        assert raw == pytest.approx(n * mean @ mean + moved, abs=1e-9)

    def test_profile_bins_are_the_stretches_of_the_edges(self) -> None:
        rows, path = gaussian(23, 4), np.random.default_rng(0).permutation(23)
        edges = edge_costs(path, rows)
        profile = edge_profile(path, rows, bins=2)
        assert profile.tolist() == pytest.approx([edges[:11].mean(), edges[11:].mean()])
        assert np.isnan(edge_profile(path[:0], rows[:0], bins=3)).all()
        assert np.isfinite(edge_profile(path, rows, bins=22)).all()

    def test_what_does_not_fit_is_refused(self) -> None:
        with pytest.raises(InputError, match="permutation = 2"):
            edge_costs(np.arange(2), np.eye(3))
        with pytest.raises(InputError, match="bins = 0"):
            edge_profile(np.arange(3), np.eye(3), bins=0)

    def test_identical_rows_cannot_be_centred(self) -> None:
        with pytest.raises(InputError, match="equal the mean"):
            order_by("hammer", np.ones((3, 2), dtype=np.float32), centre="renormalise")


@pytest.mark.parametrize("strategy", BY_VECTORS)
def test_memory_grows_with_rows_not_with_pairs(strategy: str) -> None:
    peaks = []
    for n in (2000, 4000):
        rows = gaussian(n, 8).astype(np.float32)
        tracemalloc.start()
        order_by(strategy, rows)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2.5 * peaks[0]  # pairs would be four times as many
