"""min-path: optimal where the optimum is known, never below its bound, and near it everywhere else."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ordering_samples import clusters, gaussian

from hammerlib import embed, load_problems, order_by
from hammerlib.errors import InputError
from hammerlib.ordering import candidates, solve
from hammerlib.ordering.candidates import search
from hammerlib.ordering.certificate import certified_bound, closed_bound
from hammerlib.ordering.solve import min_path
from hammerlib.ordering.tour import descend, exact_path, kick, search_from
from hammerlib.similarity import edge_cosines, mean_cosine, unit_rows

SIZES = st.integers(2, 60)
WIDTHS = st.integers(1, 6)
SEEDS = st.integers(0, 10**6)


def units_of(n: int, d: int, seed: int) -> np.ndarray:
    """Unit rows with a common part and repeated rows, both often."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d)) + rng.choice([0.0, 1.0, 3.0])
    return unit_rows(rows[rng.integers(0, n, n)] if seed % 3 == 0 else rows)


def total(rows: np.ndarray, order: np.ndarray) -> float:
    return float(edge_cosines(rows, np.asarray(order)).sum())


class TestOptimum:
    @given(st.integers(1, 7), WIDTHS, SEEDS)
    def test_the_dynamic_programme_finds_what_brute_force_finds(self, n: int, d: int, seed: int) -> None:
        rows = units_of(n, d, seed)
        costs = rows @ rows.T
        orders = np.array(list(itertools.permutations(range(n))))
        best = costs[orders[:, :-1], orders[:, 1:]].sum(axis=1).min()
        assert total(rows, exact_path(rows)) == pytest.approx(best, abs=1e-9)

    @pytest.mark.parametrize("seed", range(2))
    def test_also_for_nine_items(self, seed: int) -> None:
        rows = units_of(9, 3, seed)
        costs = rows @ rows.T
        best = min(
            sum(costs[order[i], order[i + 1]] for i in range(8)) for order in itertools.permutations(range(9))
        )
        assert total(rows, exact_path(rows)) == pytest.approx(best, abs=1e-9)

    @settings(max_examples=30)
    @given(st.integers(13, 15), WIDTHS, SEEDS)
    def test_the_heuristic_is_between_the_bound_and_a_little_above_the_optimum(
        self, n: int, d: int, seed: int
    ) -> None:
        rows = units_of(n, d, seed)
        found, best = min_path(rows), total(rows, exact_path(rows))
        span = mean_cosine(rows) * (n - 1) - best
        assert found.lower_bound <= best + 1e-9
        assert best - 1e-9 <= found.total <= best + 0.01 * span + 1e-6

    def test_is_used_up_to_twelve_items(self) -> None:
        order = order_by("min-path", gaussian(12, 3, seed=1))
        assert order.gap == pytest.approx(0, abs=1e-9)


class TestBound:
    @settings(max_examples=300)
    @given(SIZES, WIDTHS, SEEDS)
    def test_no_order_beats_it(self, n: int, d: int, seed: int) -> None:
        rows, rng = units_of(n, d, seed), np.random.default_rng(seed)
        found = min_path(rows, seed=seed)
        bound = found.lower_bound
        assert closed_bound(rows) <= total(rows, found.permutation) + 1e-9
        for strategy in ("hammer", "similar", "farthest-first"):
            assert total(rows, order_by(strategy, rows, certify=False).permutation) >= bound - 1e-9
        assert min(total(rows, rng.permutation(n)) for _ in range(10)) >= bound - 1e-9

    @given(st.integers(2, 10), WIDTHS, SEEDS)
    def test_any_prices_give_a_valid_one(self, n: int, d: int, seed: int) -> None:
        rows, rng = units_of(n, d, seed), np.random.default_rng(seed)
        prices = rng.normal(size=n + 1) * rng.choice([0.0, 0.3, 3.0])
        found = search(rows.astype(np.float32), prices, int(rng.integers(1, n + 1)))
        best = total(rows, exact_path(rows))
        assert certified_bound(rows, found, prices) <= best
        assert closed_bound(rows) <= best

    def test_rounding_of_single_precision_never_lifts_it_above_the_truth(self) -> None:
        # Rows equal up to the last bit: the optimum is 39 edges of about one. Prices of a half, and
        # the dummy's of minus a half, prove it: they sum to 40 / 2 - 1/2, forty rows have two offers of a
        # half each, the dummy two of minus a half: 19.5 + 20 - 0.5 = 39.
        rows = unit_rows(np.ones((40, 33)) + np.random.default_rng(0).normal(size=(40, 33)) * 1e-7)
        prices = np.append(np.full(40, 0.5), -0.5)
        bound = certified_bound(rows, search(rows.astype(np.float32), prices, 5), prices)
        assert 38.99 < bound <= total(rows, np.arange(40))

    def test_a_small_case_by_hand(self) -> None:
        # Rows e1, e2, -e1: products 0 and -1. Two cheapest with prices 0 (dummy 0): rows 0 and 2 have -1 + 0,
        # row 1 and the dummy 0 + 0, so half their sum is -1. The best path -e1 ... e1 beside each other: -1.
        rows = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        assert certified_bound(rows, search(rows, np.zeros(4), 3), np.zeros(4)) == pytest.approx(-1)
        assert total(rows, exact_path(rows)) == -1

    def test_mean_shift_changes_every_tour_by_the_same(self) -> None:
        # sum x_i.x_i+1 over a closed tour = n |m|^2 + sum (x_i - m).(x_i+1 - m): every x meets m twice.
        rows = units_of(20, 4, 1)
        mean, tour = rows.mean(axis=0), np.random.default_rng(0).permutation(20)
        closed = np.append(tour, tour[0])
        shifted = edge_cosines(rows - mean, closed).sum()
        assert edge_cosines(rows, closed).sum() == pytest.approx(20 * mean @ mean + shifted)


class TestQuality:
    @pytest.mark.parametrize(
        "rows",
        [gaussian(2000, 64), clusters(3000, 192), clusters(2500, 64, common=0.0)],
        ids=["isotropic", "anisotropic clusters", "centred clusters"],
    )
    def test_gap_on_synthetic_vectors(self, rows: np.ndarray) -> None:
        assert order_by("min-path", rows).gap <= 0.005

    def test_gap_on_a_backbone_s_vectors(self) -> None:
        table = load_problems("reasoning-gym:nano", n=2000)
        vectors = embed(table, "nano")
        path, greedy = order_by("min-path", vectors), order_by("hammer", vectors)
        assert path.gap <= 0.005
        assert path.lower_bound == greedy.lower_bound
        assert greedy.gap > 10 * path.gap

    def test_gap_on_texts_as_tfidf(self, data_dir: Path) -> None:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        texts = load_problems(f"file:{data_dir / 'gsm8k_train.jsonl'}", n=3000)["prompt"]
        sparse = TfidfVectorizer(min_df=2).fit_transform(texts)
        assert order_by("min-path", TruncatedSVD(256, random_state=0).fit_transform(sparse)).gap <= 0.005

    def test_more_work_is_no_worse(self) -> None:
        rows = unit_rows(gaussian(300, 16))
        quick, long = min_path(rows, gap=None), min_path(rows, gap=0.0)
        assert quick.exact_passes == 1 and long.exact_passes > 1
        assert long.total <= quick.total and long.lower_bound >= quick.lower_bound

    def test_kicks_that_gain_nothing_end(self) -> None:
        # Few words a text: most cosines are zero, and no proof gets below a gap of some per mille.
        words = np.random.default_rng(0).random((300, 60)) < 0.06
        words[:, 0] |= ~words.any(axis=1)
        rows = unit_rows(words)
        assert 0 < min_path(rows, gap=0.0).kicks < solve.KICKS * 300

    def test_the_quick_way_is_near_too(self) -> None:
        rows = unit_rows(clusters(3000, 192))
        quick, bound = min_path(rows, gap=None), min_path(rows).lower_bound
        assert quick.exact_passes == 1 and quick.kicks == 0
        span = mean_cosine(rows) * 2999 - bound
        assert (quick.total - bound) / span < 0.01

    def test_a_wished_gap_ends_the_work(self) -> None:
        rows = unit_rows(gaussian(300, 16))
        assert min_path(rows, gap=0.05).exact_passes < min_path(rows, gap=0.0).exact_passes


class TestLocalSearch:
    @given(st.integers(8, 50), WIDTHS, SEEDS)
    def test_never_worsens_and_gains_what_it_says(self, n: int, d: int, seed: int) -> None:
        rows, rng = units_of(n, d, seed).astype(np.float32), np.random.default_rng(seed)
        costs = np.zeros((n + 1, n + 1))
        costs[:n, :n] = rows.astype(np.float64) @ rows.T.astype(np.float64)
        prices = rng.normal(size=n + 1) * 0.3
        reduced = costs - prices - prices[:, None] + 9 * np.eye(n + 1)
        near = np.argsort(reduced, axis=1)[:, :6].astype(np.int32)
        tour = rng.permutation(n + 1).astype(np.int32)
        state = search_from(rows, prices, tour, near)

        def cost() -> float:
            return costs[tour, np.roll(tour, -1)].sum()

        for move in (
            lambda: descend(state),
            lambda: kick(state, rng.integers([0, 1, 1], [n + 1, 3, 3], (50, 3))),
        ):
            before = cost()
            gain = move()
            assert gain >= 0
            assert before - cost() == pytest.approx(gain, abs=1e-4)
            assert np.array_equal(state.place[tour], np.arange(n + 1))


class TestInput:
    @pytest.mark.parametrize("n", [0, 1, 2, 3])
    def test_few_items(self, n: int) -> None:
        order = order_by("min-path", gaussian(n, 3))
        assert sorted(order.permutation) == list(range(n))
        assert (order.gap is None) == (n < 2)

    def test_identical_rows_leave_nothing_to_gain(self) -> None:
        order = order_by("min-path", np.ones((30, 4)))
        assert order.gap == 0 and order.provenance["repeats"] == {"rows": 29, "side by side": 29}

    def test_duplicates_stand_apart_where_that_is_possible(self) -> None:
        thrice = np.repeat(gaussian(30, 5), 3, axis=0)
        assert order_by("min-path", thrice).provenance["repeats"] == {"rows": 60, "side by side": 0}

    def test_duplicates_stand_apart_as_far_as_is_possible(self) -> None:
        # Four others split ten equal rows into at most five runs: five pairs stay together.
        rows = np.concatenate([np.repeat([[1.0, 0, 0, 0]], 10, axis=0), -np.eye(4)])
        assert order_by("min-path", rows).provenance["repeats"]["side by side"] == 5

    def test_many_equal_rows_do_not_starve_the_candidates(self) -> None:
        # 400 copies each of two opposite vectors: the path alternates, at -1 an edge.
        rows = np.repeat([[1.0, 0.0], [-1.0, 0.0]], 400, axis=0)
        assert order_by("min-path", rows).cost == pytest.approx(-1)

    @pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
    def test_any_float(self, kind: type) -> None:
        order = order_by("min-path", gaussian(60, 8).astype(kind))
        assert order.gap < 0.05

    def test_a_tensor_gives_the_same_within_the_certificate(self) -> None:
        torch = pytest.importorskip("torch")
        rows = gaussian(700, 48).astype(np.float32)
        ours, theirs = order_by("min-path", rows), order_by("min-path", torch.from_numpy(rows))
        assert theirs.gap <= 0.001
        assert theirs.cost == pytest.approx(ours.cost, abs=0.002 * (ours.random_cost - ours.lower_bound))

    def test_a_memory_mapped_file(self, tmp_path: Path) -> None:
        rows = gaussian(200, 8).astype(np.float32)
        np.save(tmp_path / "rows.npy", rows)
        mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
        same = order_by("min-path", mapped).permutation, order_by("min-path", rows).permutation
        assert np.array_equal(*same)

    def test_zero_and_nan_rows_are_refused(self) -> None:
        for bad, word in ((0.0, "zero"), (np.nan, "NaN")):
            rows = gaussian(20, 3)
            rows[7] = bad
            with pytest.raises(InputError, match=rf"row 7.*{word}"):
                order_by("min-path", rows)

    def test_the_sequence_of_the_input_does_not_matter(self) -> None:
        rows, shuffled = unit_rows(gaussian(400, 12)), np.random.default_rng(1).permutation(400)
        ours, theirs = min_path(rows), min_path(rows[shuffled])
        span = mean_cosine(rows) * 399 - ours.lower_bound
        assert theirs.total == pytest.approx(ours.total, abs=0.002 * span)

    def test_one_seed_gives_one_result(self) -> None:
        rows = unit_rows(clusters(2100, 140))
        first, second = min_path(rows, seed=4), min_path(rows, seed=4)
        assert np.array_equal(first.permutation, second.permutation)
        assert first.lower_bound == second.lower_bound

    @pytest.mark.parametrize("option", [{"gap": -0.1}, {"gap": "small"}, {"seconds": 0}, {"seconds": "long"}])
    def test_senseless_wishes_are_refused(self, option: dict) -> None:
        with pytest.raises(InputError, match=next(iter(option))):
            order_by("min-path", gaussian(20, 3), **option)


class TestTimeBudget:
    def test_no_time_leaves_one_cheap_pass_a_tour_and_the_weak_bound(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = itertools.count(step=10)  # every look at the clock finds ten seconds gone
        for module in (candidates, solve):
            monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
        rows = unit_rows(clusters(2100, 140))
        found = min_path(rows, gap=0.0, seconds=1.0)
        assert found.exact_passes == found.kicks == 0
        assert sorted(found.permutation) == list(range(2100))
        assert closed_bound(rows) == found.lower_bound <= found.total < mean_cosine(rows) * 2099

    def test_enough_time_changes_nothing(self) -> None:
        rows = unit_rows(gaussian(100, 8))
        assert np.array_equal(min_path(rows, seconds=600).permutation, min_path(rows).permutation)


@pytest.mark.parametrize("quiet", [False, True])
def test_compilation_is_told_as_progress_is(
    quiet: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    cache = SimpleNamespace(cache_path=tmp_path)  # empty: nothing is compiled yet
    monkeypatch.setattr(candidates, "_gather", SimpleNamespace(_cache=cache))
    monkeypatch.setenv("HAMMER_PROGRESS", str(tmp_path / "progress"))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TQDM_DISABLE", "1" if quiet else "")
    candidates.tell_compilation.__wrapped__()
    assert "compiles" in (tmp_path / "progress").read_text()
    assert ("compiles" in capsys.readouterr().err) is not quiet


def test_a_dozen_items_are_solved_without_a_word_of_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(candidates, "tell_compilation", lambda: told.append(1))
    min_path(unit_rows(gaussian(12, 4)))
    assert not told
    min_path(unit_rows(gaussian(13, 4)))
    assert told
