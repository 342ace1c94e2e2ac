"""Profiles of an order: lags, windows, the table against random orders, and what an order goes along with."""

from __future__ import annotations

import datasets
import numpy as np
import pytest
import torch
from ordering_samples import gaussian, problem_table
from scipy.stats import spearmanr

from hammerlib.diversity import (
    LAGS,
    explain,
    explain_order,
    lag_profile,
    mean_pairwise_cosine,
    order_correlates,
    prefix_profile,
    random_reference,
    vendi_score,
    window_profile,
)
from hammerlib.errors import InputError
from hammerlib.ordering import edge_costs, order_by
from hammerlib.similarity import centred_rows, unit_rows


def two_sides(pairs: int) -> np.ndarray:
    """Points on two opposite sides in turn, so that in this order the lag-k cosine is (-1)^k, mean 0."""
    return np.array([[1.0, 0.0], [-1.0, 0.0]] * pairs)


class TestLags:
    def test_turn_about_is_minus_one_at_odd_and_one_at_even_lags(self) -> None:
        frame = lag_profile(np.arange(20), two_sides(10), lags=[1, 2, 3, 4])
        assert frame["lag"].tolist() == [1, 2, 3, 4]
        np.testing.assert_allclose(frame["value"], [-1, 1, -1, 1], atol=1e-7)

    def test_it_is_the_mean_over_all_pairs_of_centred_rows(self) -> None:
        rows, order = gaussian(2100, 3, mean=0.4), np.random.default_rng(1).permutation(2100)
        placed = centred_rows(unit_rows(rows))[order]  # more than one block of 1024
        frame = lag_profile(order, rows, lags=[1, 1030])
        for lag, value in zip(frame["lag"], frame["value"], strict=True):
            expected = (placed[:-lag] * placed[lag:]).sum(axis=1).mean()
            assert value == pytest.approx(expected, abs=1e-6)

    def test_lag_one_is_the_centred_edge_cost(self) -> None:
        rows = gaussian(40, 5, mean=1.0)
        order = order_by("hammer", rows)
        value = lag_profile(order, rows, lags=[1])["value"][0]
        assert value == pytest.approx(edge_costs(order.permutation, rows, centred=True).mean(), abs=1e-6)

    def test_the_minimum_path_goes_to_and_fro_and_a_random_order_does_not(self) -> None:
        rows = gaussian(300, 4, mean=0.5)
        told = lag_profile(order_by("min-path", rows), rows).set_index("lag")["value"]
        band = random_reference(rows, profile=lag_profile, seeds=10).set_index("lag")
        assert told[1] < band.loc[1, "low"] and told[2] > band.loc[2, "high"]
        assert (band["value"].abs() < 0.05).all()
        assert list(told.index) == list(LAGS)

    def test_distances_that_no_pair_has_are_left_out_and_others_refused(self) -> None:
        assert lag_profile(np.arange(4), gaussian(4, 2))["lag"].tolist() == [1, 2]
        with pytest.raises(InputError, match=r"lags = \[0\]"):
            lag_profile(np.arange(4), gaussian(4, 2), lags=[0, 1])
        with pytest.raises(InputError, match="order = 3"):
            lag_profile(np.arange(3), gaussian(4, 2))


class TestWindows:
    def test_every_number_is_that_of_its_windows(self) -> None:
        rows, table = gaussian(23, 4, mean=0.3), problem_table(23)
        order = np.random.default_rng(2).permutation(23)
        frame = window_profile(order, rows, window=5, problems=table).set_index(["metric", "part"])["value"]
        windows = [order[start : start + 5] for start in (0, 5, 10, 15)]  # the last three fill no window
        centred = centred_rows(unit_rows(rows))
        expected = {
            "mean_cosine": [mean_pairwise_cosine(rows[part]) for part in windows],
            "vendi": [vendi_score(rows[part]) for part in windows],
            "vendi_centred": [vendi_score(centred[part]) for part in windows],
            "topics": [len(set(table.select(part)["topic"])) for part in windows],
        }
        assert len(frame) == 12
        for metric, values in expected.items():
            found = [frame[metric, part] for part in ("mean", "min", "max")]
            assert found == pytest.approx([np.mean(values), min(values), max(values)], abs=1e-5)

    def test_copies_count_once_and_axes_all(self) -> None:
        # Two windows: four copies (1 direction), four axes (4 directions).
        rows = np.concatenate([np.repeat(np.eye(5)[:1], 4, axis=0), np.eye(5)[1:]])
        frame = window_profile(np.arange(8), rows, window=4).set_index(["metric", "part"])["value"]
        assert [frame["vendi", part] for part in ("min", "max")] == pytest.approx([1, 4])
        assert [frame["mean_cosine", part] for part in ("min", "mean", "max")] == pytest.approx([0, 0.5, 1])

    def test_batch_diverse_has_more_diverse_windows_than_random_orders(self) -> None:
        rows = gaussian(160, 4)
        reference = random_reference(rows, profile=window_profile, window=8, seeds=10)
        band = reference.set_index(["metric", "part"])
        told = window_profile(order_by("batch-diverse", rows, window=8), rows).set_index(["metric", "part"])
        for part in ("mean", "min"):
            assert told.loc[("vendi_centred", part), "value"] > band.loc[("vendi_centred", part), "high"]

    def test_many_windows_go_in_blocks(self) -> None:
        rows = gaussian(1200, 3)  # 600 windows of two: more than one block of 512
        frame = window_profile(np.arange(1200), rows, window=2).set_index(["metric", "part"])["value"]
        units = unit_rows(rows)
        expected = (units[::2] * units[1::2]).sum(axis=1).mean()
        assert frame["mean_cosine", "mean"] == pytest.approx(expected)

    def test_windows_that_hold_no_pair_are_refused(self) -> None:
        for window in (1, 5):
            with pytest.raises(InputError, match=f"window = {window}"):
                window_profile(np.arange(4), gaussian(4, 2), window=window)


class TestTable:
    def test_its_numbers_are_those_of_the_profiles(self) -> None:
        rows, table = gaussian(80, 5, mean=0.5), problem_table(80)
        order = order_by("hammer", rows)
        frame = explain_order(order, rows, problems=table, window=10, seeds=4)
        assert list(frame.columns) == ["measure", "part", "value", "random", "low", "high"]
        told = frame.set_index(["measure", "part"])
        assert told.loc[("edge cosine", "all"), "value"] == pytest.approx(order.cost)
        costs = edge_costs(order.permutation, rows)
        first_tenth = np.array_split(costs, 10)[0].mean()
        assert told.loc[("edge cosine", "tenth 1"), "value"] == pytest.approx(first_tenth)
        lags = lag_profile(order, rows).set_index("lag")["value"]
        assert told.loc[("centred cosine", "64 apart"), "value"] == pytest.approx(lags[64])
        windows = window_profile(order, rows, window=10, problems=table).set_index(["metric", "part"])
        found = told.loc[("topics", "windows of 10, min"), "value"]
        assert found == windows.loc[("topics", "min"), "value"]
        prefix = prefix_profile(order, rows, fractions=[0.1]).set_index("metric")["value"]
        found = told.loc[("vendi_centred", "first 10%: 8"), "value"]
        assert found == pytest.approx(prefix["vendi_centred"])

    def test_random_stands_beside_with_its_band(self) -> None:
        rows = gaussian(60, 4, mean=0.5)
        frame = explain_order(np.arange(60), rows, seeds=6)
        assert (frame["low"] <= frame["random"] + 1e-9).all()
        assert (frame["random"] <= frame["high"] + 1e-9).all()
        edges = frame.iloc[0]
        assert edges["random"] == pytest.approx(mean_pairwise_cosine(rows), abs=0.05)
        own = random_reference(rows, profile=lag_profile, seeds=6)
        rows_of_lags = frame[frame["measure"] == "centred cosine"]
        np.testing.assert_allclose(rows_of_lags["low"], own["low"])

    def test_large_orders_are_sampled_for_prefixes_and_say_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(explain, "MOST", 30)
        rows, table = gaussian(50, 3), problem_table(50)
        order = np.random.default_rng(4).permutation(50)
        frame = explain_order(order, rows, problems=table, seeds=2)
        parts = frame.loc[frame["measure"] == "topic_tv", "part"].tolist()
        assert parts[-1] == "first 50%: 15 (of 30 sampled)"
        sample = np.sort(np.random.default_rng(0).choice(50, 30, replace=False))
        kept = [item for item in order if item in set(sample)][:15]  # the sample in the order's own sequence
        found = frame.set_index(["measure", "part"]).loc[("mean_cosine", parts[-1]), "value"]
        assert found == pytest.approx(mean_pairwise_cosine(rows[kept]), abs=1e-6)

    @pytest.mark.parametrize("n", [2, 5])
    def test_a_few_items_have_a_table_too(self, n: int) -> None:
        rows = torch.from_numpy(gaussian(n, 3))
        frame = explain_order(np.arange(n), rows, seeds=2)
        assert frame.notna().all().all()
        assert f"windows of {n}, mean" in set(frame["part"])
        assert (frame["part"].str.startswith("tenth")).sum() == n - 1  # one edge each

    def test_bad_seeds_are_refused(self) -> None:
        with pytest.raises(InputError, match="seeds"):
            explain_order(np.arange(20), gaussian(20, 3), seeds=1)


class TestCorrelates:
    def rows(self, order: np.ndarray, table: datasets.Dataset) -> dict:
        frame = order_correlates(order, table, permutations=199)
        return {(row.property, row.measure): row for row in frame.itertuples()}

    def test_sorted_by_length_is_a_correlation_of_one_and_unlikely_by_chance(self) -> None:
        table = problem_table(30, prompt=["x" * (i + 1) for i in range(30)])
        told = self.rows(np.arange(30), table)["length", "Spearman correlation"]
        assert told.value == pytest.approx(1) and told.p == pytest.approx(1 / 200)
        assert told.chance == 0 and -0.5 < told.low < 0 < told.high < 0.5
        back = self.rows(np.arange(30)[::-1], table)["length", "Spearman correlation"]
        assert back.value == pytest.approx(-1)

    def test_correlations_are_those_of_scipy_with_ties(self) -> None:
        table, order = problem_table(40), np.random.default_rng(5).permutation(40)
        told = self.rows(order, table)["difficulty", "Spearman correlation"]
        expected = spearmanr(np.argsort(order), table["difficulty"]).statistic
        assert told.value == pytest.approx(expected)

    def test_blocks_and_turns_of_topics(self) -> None:
        # Places 0..3 | 4..7: means 1.5 and 5.5 about 3.5; between = 8 * 2^2 = 32 of 42 in all.
        table = problem_table(8, topic=list("aaaabbbb"))
        told = self.rows(np.arange(8), table)
        assert told["topic", "eta squared"].value == pytest.approx(32 / 42)
        assert told["topic", "eta squared"].chance == pytest.approx(1 / 7)
        assert told["topic", "neighbours alike"].value == pytest.approx(6 / 7)
        assert told["topic", "neighbours alike"].chance == pytest.approx(2 * 4 * 3 / (8 * 7))
        turns = self.rows(np.array([0, 4, 1, 5, 2, 6, 3, 7]), table)
        assert turns["topic", "neighbours alike"].value == 0

    def test_the_chance_is_the_mean_of_random_orders(self) -> None:
        table, generator = problem_table(12), np.random.default_rng(0)
        chance, found = {}, {}
        for _ in range(300):
            for row in order_correlates(generator.permutation(12), table, permutations=19).itertuples():
                chance[row.property, row.measure] = row.chance
                found.setdefault((row.property, row.measure), []).append(row.value)
        for name, values in found.items():
            assert np.mean(values) == pytest.approx(chance[name], abs=4 * np.std(values) / np.sqrt(300))

    def test_random_orders_are_seldom_found_remarkable(self) -> None:
        table, generator = problem_table(30), np.random.default_rng(1)
        p = [
            order_correlates(generator.permutation(30), table, permutations=99).set_index("property")["p"][
                "difficulty"
            ]
            for _ in range(100)
        ]
        assert 0 <= np.mean(np.array(p) <= 0.1) < 0.22  # expected 0.1, standard error 0.03

    def test_what_does_not_vary_has_no_row(self) -> None:
        table = problem_table(6, difficulty=[1.0] * 6, topic=["one"] * 6, prompt=["same"] * 6)
        assert len(order_correlates(np.arange(6), table, permutations=19)) == 0
        without = problem_table(6).remove_columns("difficulty")
        assert set(order_correlates(np.arange(6), without, permutations=19)["property"]) == {"topic"}

    def test_orders_of_others_and_too_few_permutations_are_refused(self) -> None:
        with pytest.raises(InputError, match="order = 5"):
            order_correlates(np.arange(5), problem_table(6))
        with pytest.raises(InputError, match="permutations"):
            order_correlates(np.arange(6), problem_table(6), permutations=5)


def test_tensors_give_the_numbers_of_arrays() -> None:
    rows, order = gaussian(20, 4, mean=0.2), np.random.default_rng(0).permutation(20)
    tensor = torch.from_numpy(rows)
    for profile in (lag_profile, window_profile):
        one, two = profile(order, rows)["value"], profile(order, tensor)["value"]
        np.testing.assert_allclose(one, two, atol=1e-6)
