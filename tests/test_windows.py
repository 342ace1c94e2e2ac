"""Orders made of windows, and the determinantal order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ordering_samples import clusters, gaussian

from hammerlib.errors import InputError
from hammerlib.ordering import Order, order_by
from hammerlib.similarity import mean_cosine, unit_rows

K = 8


def diversity(order: Order, rows: np.ndarray) -> tuple[float, float]:
    """Mean pairwise cosine (low is diverse) and mean order-2 Vendi score of the full windows."""
    whole = [order.permutation[at : at + K] for at in range(0, len(rows) - K + 1, K)]
    cosines = [rows[window] @ rows[window].T for window in whole]
    return float(np.mean([mean_cosine(rows[w]) for w in whole])), float(
        np.mean([K**2 / (c**2).sum() for c in cosines])
    )


class TestBatchDiverse:
    @pytest.mark.parametrize("common", [0.0, 1.6])
    def test_its_windows_are_more_diverse_than_anyone_s_at_a_part_of_random_s_path(
        self, common: float
    ) -> None:
        rows = unit_rows(clusters(800, 64, common=common))
        ours = order_by("batch-diverse", rows, window=K)
        cosine, vendi = diversity(ours, rows)
        for strategy in ("random", "min-path", "hammer", "farthest-first"):
            other = order_by(strategy, rows)
            # Without a common direction opposites have negative cosines, which count as alike
            # in the Vendi score but not in the mean cosine: there path and greedy stay ahead.
            assert cosine < diversity(other, rows)[0] or not common, strategy
            assert vendi > diversity(other, rows)[1], strategy
        assert ours.gap < 0.6  # 1 is random, 0 the minimum path

    def test_two_directions_are_never_together_when_they_need_not_be(self) -> None:
        # Four pairs of equal rows in four directions: every window of four can hold each direction once.
        rows = np.repeat(np.eye(4), 2, axis=0)
        order = order_by("batch-diverse", rows, window=4)
        assert sorted(order.permutation[:4] // 2) == sorted(order.permutation[4:] // 2) == [0, 1, 2, 3]

    @given(st.integers(0, 40), st.integers(2, 9), st.integers(0, 99))
    def test_any_size_gives_a_permutation_with_the_short_window_last(
        self, n: int, window: int, seed: int
    ) -> None:
        order = order_by("batch-diverse", gaussian(n, 3, seed), window=window, seed=seed)
        assert sorted(order.permutation) == list(range(n))

    @pytest.mark.parametrize("window", [1, 0, -3, 2.5, True, "8"])
    def test_senseless_windows_are_refused(self, window: object) -> None:
        for strategy in ("batch-diverse", "batch-shuffled"):
            with pytest.raises(InputError, match="window"):
                order_by(strategy, gaussian(20, 3), window=window)


class TestBatchShuffled:
    def test_keeps_every_window_and_moves_them(self) -> None:
        rows = gaussian(83, 5)
        path = order_by("min-path", rows)
        mixed = order_by("batch-shuffled", rows, of=path, window=K)
        before = [tuple(path.permutation[at : at + K]) for at in range(0, 83, K)]
        after = [tuple(mixed.permutation[at : at + K]) for at in range(0, 83, K)]
        assert sorted(before) == sorted(after) and before != after
        assert before[-1] == after[-1]  # the short one stays last

    def test_gives_options_to_the_order_it_names(self) -> None:
        rows = gaussian(40, 5)
        named = order_by("batch-shuffled", rows, of="hammer", start="first", window=4, seed=2)
        made = order_by("batch-shuffled", rows, of=order_by("hammer", rows, start="first"), window=4, seed=2)
        assert np.array_equal(named.permutation, made.permutation)

    def test_another_seed_is_another_sequence(self) -> None:
        rows = gaussian(80, 5)
        first, second = (order_by("batch-shuffled", rows, seed=seed).permutation for seed in (0, 1))
        assert not np.array_equal(first, second)


class TestLogdet:
    @pytest.mark.parametrize("ridge", [0.1, 1.0])
    def test_every_item_adds_the_most(self, ridge: float) -> None:
        rows = unit_rows(gaussian(25, 3, mean=1.0))
        order = order_by("logdet", rows, ridge=ridge).permutation
        for at in range(1, 25):
            worth = []
            for item in order[at:]:
                chosen = rows[[*order[:at], item]]
                worth.append(np.linalg.slogdet(np.eye(at + 1) + chosen @ chosen.T / ridge)[1])
            assert worth[0] == pytest.approx(max(worth), abs=1e-6)

    def test_a_tensor_gives_the_same(self) -> None:
        torch = pytest.importorskip("torch")
        rows = gaussian(60, 8).astype(np.float32)
        ours, theirs = order_by("logdet", rows), order_by("logdet", torch.from_numpy(rows))
        assert np.array_equal(ours.permutation, theirs.permutation)

    def test_a_senseless_ridge_is_refused(self) -> None:
        with pytest.raises(InputError, match="ridge"):
            order_by("logdet", gaussian(5, 2), ridge=0.0)
