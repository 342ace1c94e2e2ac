"""Diversity of sets, prefixes and groups."""

from __future__ import annotations

from collections.abc import Callable

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ordering_samples import gaussian, problem_table

from hammerlib.diversity import (
    METRICS,
    coverage_radius,
    dcscore,
    group_telemetry,
    mean_pairwise_cosine,
    neighbour_purity,
    prefix_profile,
    random_reference,
    vendi_from_kernel,
    vendi_score,
)
from hammerlib.errors import InputError
from hammerlib.ordering import order_by
from hammerlib.similarity import centred_rows, unit_rows


def clusters(sizes: list[int], d: int = 12, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Tight clusters around orthogonal axes, and the name of each row's cluster."""
    axes = np.repeat(np.eye(d)[: len(sizes)], sizes, axis=0)
    names = [f"t{c}" for c, size in enumerate(sizes) for _ in range(size)]
    return axes + 0.02 * gaussian(len(names), d, seed), names


class TestVendi:
    @pytest.mark.parametrize(
        ("kernel", "score"),
        [
            (
                np.exp(-np.abs(np.subtract.outer([0, 0, 10, 10, 20, 20], [0, 0, 10, 10, 20, 20]))),
                2.999999995878,
            ),
            (np.array([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]]), 2.157300483373),
        ],
    )
    def test_published_numbers(self, kernel: np.ndarray, score: float) -> None:
        assert vendi_from_kernel(kernel) == pytest.approx(score, abs=1e-9)

    @pytest.mark.filterwarnings("ignore:Please import `csr_matrix`:DeprecationWarning")
    @pytest.mark.parametrize("q", [0.5, 1.0, 2.0])
    def test_agrees_with_the_authors_package(self, q: float) -> None:
        from vendi_score import vendi as reference

        units = unit_rows(gaussian(20, 6))
        assert vendi_score(units, q=q) == pytest.approx(reference.score_K(units @ units.T, q=q), rel=1e-6)

    @given(st.integers(1, 25), st.integers(1, 25), st.sampled_from([0.5, 1.0, 2.0, np.inf]))
    @settings(max_examples=40, deadline=None)
    def test_both_forms_agree(self, n: int, d: int, q: float) -> None:
        units = unit_rows(gaussian(n, d, seed=n + 100 * d))
        full = vendi_from_kernel(units @ units.T, q=q)
        assert vendi_score(units, q=q) == pytest.approx(full, rel=1e-6)
        assert 1 - 1e-9 <= full <= min(n, d) + 1e-9

    @pytest.mark.parametrize("q", [0, 0.5, 1, 2, np.inf])
    def test_identical_rows_count_once_and_orthogonal_rows_all(self, q: float) -> None:
        assert vendi_score(np.ones((7, 3)), q=q) == pytest.approx(1)
        assert vendi_score(np.eye(7), q=q) == pytest.approx(7)

    def test_a_larger_order_never_counts_more(self) -> None:
        scores = [vendi_score(gaussian(30, 10), q=q) for q in (0, 0.5, 1, 2, 5, np.inf)]
        assert scores == sorted(scores, reverse=True)

    def test_length_and_row_order_do_not_matter(self) -> None:
        rows = gaussian(15, 6)
        assert vendi_score(rows[::-1] * 3) == pytest.approx(vendi_score(rows))
        assert vendi_score(torch.from_numpy(rows)) == pytest.approx(vendi_score(rows))

    @pytest.mark.parametrize("score", [vendi_score, dcscore])
    def test_no_rows_have_no_score(self, score: Callable) -> None:
        with pytest.raises(InputError, match="pass at least one"):
            score(np.zeros((0, 4)))

    def test_bad_input_is_named(self) -> None:
        with pytest.raises(InputError, match="q = -1"):
            vendi_score(np.eye(2), q=-1)
        with pytest.raises(InputError, match="q = 'a'"):
            vendi_score(np.eye(2), q="a")
        with pytest.raises(InputError, match="different lengths"):
            vendi_score([[1.0, 2.0], [3.0]])
        with pytest.raises(InputError, match="square"):
            vendi_from_kernel(np.zeros((2, 3)))
        with pytest.raises(InputError, match="row 1"):
            vendi_score(np.array([[1.0], [0.0]]))


class TestDCScore:
    def test_axes_and_copies_by_hand(self) -> None:
        # n orthogonal rows: each row of P holds 1 / (1 + (n - 1) exp(-1 / tau)) on the diagonal.
        for tau in (0.5, 1.0, 3.0):
            assert dcscore(np.eye(6), tau=tau) == pytest.approx(6 / (1 + 5 * np.exp(-1 / tau)))
        assert dcscore(np.ones((6, 3))) == pytest.approx(1)

    def test_it_is_the_trace_of_the_row_softmax(self) -> None:
        rows = gaussian(1100, 4, mean=0.3)  # more than one block of rows
        units = unit_rows(rows)
        powers = np.exp(units @ units.T / 0.7)
        expected = np.trace(powers / powers.sum(axis=1, keepdims=True))
        assert dcscore(rows, tau=0.7) == pytest.approx(expected)
        assert dcscore(torch.from_numpy(rows), tau=0.7) == pytest.approx(expected)

    def test_small_temperatures_count_what_is_not_a_copy(self) -> None:
        rows = np.eye(4)[[0, 0, 1, 2, 3]]
        assert dcscore(rows, tau=0.01) == pytest.approx(4)  # the two copies share one

    def test_a_temperature_of_zero_is_refused(self) -> None:
        with pytest.raises(InputError, match="tau = 0"):
            dcscore(np.eye(2), tau=0)


class TestSets:
    def test_mean_pairwise_cosine_is_the_mean_off_the_diagonal(self) -> None:
        units = unit_rows(gaussian(9, 4))
        full = units @ units.T
        assert mean_pairwise_cosine(units * 7) == pytest.approx(full[np.triu_indices(9, 1)].mean())

    def test_radius_is_the_distance_of_the_worst_served_row(self) -> None:
        rows = gaussian(40, 5)
        units = unit_rows(rows)
        expected = 1 - (units @ units[:6].T).max(axis=1).min()
        assert coverage_radius(rows[:6], rows) == pytest.approx(expected)
        assert coverage_radius(rows, rows) == pytest.approx(0, abs=1e-9)

    def test_radius_of_nothing_is_refused(self) -> None:
        with pytest.raises(InputError, match="prefix"):
            coverage_radius(np.zeros((0, 2)), np.eye(2))

    def test_purity_sees_clusters_and_chance_counts_pairs(self) -> None:
        rows, names = clusters([20, 10, 10])
        purity, chance = neighbour_purity(rows, names, neighbours=5)
        assert purity == 1
        assert chance == pytest.approx((20 * 19 + 2 * 10 * 9) / (40 * 39))

    def test_purity_of_shuffled_labels_is_chance(self) -> None:
        rows, names = clusters([100, 100, 100])
        shuffled = np.random.default_rng(0).permutation(names)
        purity, chance = neighbour_purity(rows, shuffled, neighbours=10)
        assert purity == pytest.approx(chance, abs=0.05)

    def test_purity_refuses_what_does_not_fit(self) -> None:
        with pytest.raises(InputError, match="labels"):
            neighbour_purity(np.eye(3), ["a"])
        with pytest.raises(InputError, match="neighbours = 3"):
            neighbour_purity(np.eye(3), list("abc"), neighbours=3)


class TestPrefixes:
    def test_every_metric_is_that_of_the_prefix(self) -> None:
        rows, names = clusters([30, 20, 10])
        table = datasets.Dataset.from_dict({"topic": names})
        order = np.random.default_rng(3).permutation(60)
        frame = prefix_profile(order, rows, fractions=[0.5, 0.1], problems=table)
        part, units = order[:6], unit_rows(rows)
        found = frame[frame["fraction"] == 0.1].set_index("metric")["value"]
        assert list(found.index) == list(METRICS)
        assert set(frame.loc[frame["fraction"] == 0.1, "count"]) == {6}
        assert found["mean_cosine"] == pytest.approx(mean_pairwise_cosine(rows[part]))
        assert found["vendi"] == pytest.approx(vendi_score(rows[part]))
        assert found["vendi_centred"] == pytest.approx(vendi_score(centred_rows(units)[part]))
        assert found["coverage_radius"] == pytest.approx(coverage_radius(rows[part], rows))
        mix = [np.mean(np.array(names)[part] == name) for name in ("t0", "t1", "t2")]
        assert found["topic_tv"] == pytest.approx(np.abs(np.array([3, 2, 1]) / 6 - mix).sum() / 2)

    def test_the_radius_accumulates_over_fractions(self) -> None:
        rows, order = gaussian(50, 4), np.random.default_rng(0).permutation(50)
        frame = prefix_profile(order, rows, fractions=[0.1, 0.3, 0.9, 1.0])
        radii = frame[frame["metric"] == "coverage_radius"]
        for count, value in zip(radii["count"], radii["value"], strict=True):
            assert value == pytest.approx(coverage_radius(rows[order[:count]], rows), abs=1e-9)

    def test_the_whole_set_is_the_same_for_every_order(self) -> None:
        rows = gaussian(30, 4)
        one, two = (
            prefix_profile(order_by(s, rows), rows, fractions=[1.0])["value"] for s in ("hammer", "random")
        )
        np.testing.assert_allclose(one, two, atol=1e-9)

    def test_farthest_first_covers_faster_than_random_orders(self) -> None:
        rows, _ = clusters([80, 10, 10, 10, 10], seed=1)
        reference = random_reference(rows, fractions=[0.05], seeds=10).set_index("metric")
        frame = prefix_profile(order_by("farthest-first", rows), rows, fractions=[0.05]).set_index("metric")
        assert frame.loc["coverage_radius", "value"] < reference.loc["coverage_radius", "low"]

    def test_the_band_holds_the_mean_and_narrows_with_the_prefix(self) -> None:
        reference = random_reference(gaussian(80, 6), fractions=[0.1, 1.0], seeds=8)
        assert (reference["low"] <= reference["value"] + 1e-12).all()
        assert (reference["value"] <= reference["high"] + 1e-12).all()
        width = (reference["high"] - reference["low"])[reference["metric"] == "vendi"].tolist()
        assert width[0] > width[1] == pytest.approx(0, abs=1e-9)
        assert list(reference.columns) == ["fraction", "count", "metric", "value", "low", "high"]

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"fractions": [0.0]}, "fractions"),
            ({"fractions": [1.5]}, "fractions"),
            ({"fractions": []}, "fractions"),
            ({"fractions": 0.5}, "fractions"),
            ({"fractions": "x"}, "fractions"),
            ({"problems": "x"}, "problems"),
            ({"problems": problem_table(3)}, "problems"),
        ],
    )
    def test_parts_that_are_no_parts_are_refused(self, change: dict, field: str) -> None:
        with pytest.raises(InputError, match=field):
            prefix_profile(np.arange(4), np.eye(4), **change)

    @pytest.mark.parametrize(
        "order", ["x", None, [0, 1, 1], [0, 1, 5], [0.0, 1.0, 2.0], list("abc"), [[0], [1, 2]]]
    )
    def test_what_is_no_order_is_refused(self, order: object) -> None:
        with pytest.raises(InputError, match=r"^order = .*every item exactly once"):
            prefix_profile(order, np.eye(3))

    def test_an_order_of_other_items_is_refused(self) -> None:
        with pytest.raises(InputError, match="order = 3"):
            prefix_profile(np.arange(3), np.eye(4))
        with pytest.raises(InputError, match="no pair"):
            prefix_profile(np.arange(1), np.eye(1))
        with pytest.raises(InputError, match="seeds"):
            random_reference(np.eye(4), seeds=1)


class TestGroups:
    def test_a_group_of_equal_completions_counts_as_one(self) -> None:
        told = group_telemetry(np.ones((1, 4, 3)), [["7"] * 4], np.ones((1, 4), dtype=bool))
        assert told == pytest.approx(
            {
                "mean_cosine": 1.0,
                "vendi": 1.0,
                "distinct_answers": 1.0,
                "distinct_wrong": 0.0,
                "zero_variance_share": 1.0,
                "effective_group_size": 1.0,
            }
        )

    def test_a_group_of_different_completions_counts_as_many(self) -> None:
        told = group_telemetry(np.eye(4)[None], [list("1234")], np.array([[True, False, False, False]]))
        assert told["vendi"] == told["effective_group_size"] == pytest.approx(4)
        assert (told["distinct_answers"], told["distinct_wrong"], told["mean_cosine"]) == (4, 3, 0)

    def test_missing_answers_are_no_distinct_answers(self) -> None:
        told = group_telemetry(
            np.eye(4)[None], [["5", None, None, "6"]], np.array([[True, False, False, False]])
        )
        assert (told["distinct_answers"], told["distinct_wrong"]) == (2, 1)
        assert told["effective_group_size"] == pytest.approx(16 / (1 + 4 + 1))

    def test_the_step_is_the_mean_of_its_groups(self) -> None:
        vectors = gaussian(6, 5).reshape(2, 3, 5)
        answers, right = [["1", "2", "2"], ["3", "3", "3"]], np.array([[1, 0, 0], [0, 0, 0]], dtype=bool)
        both = group_telemetry(vectors, answers, right)
        alone = [group_telemetry(vectors[i : i + 1], answers[i : i + 1], right[i : i + 1]) for i in (0, 1)]
        assert both == pytest.approx({name: (alone[0][name] + alone[1][name]) / 2 for name in both})
        assert both["zero_variance_share"] == 0.5

    def test_tensors_give_the_numbers_of_arrays(self) -> None:
        vectors, right = gaussian(8, 5).reshape(2, 4, 5), np.eye(2, 4, dtype=bool)
        answers = [list("abcd"), list("aabb")]
        told = group_telemetry(torch.from_numpy(vectors), answers, torch.from_numpy(right))
        assert told == pytest.approx(group_telemetry(vectors, answers, right))

    @pytest.mark.parametrize(
        ("shape", "answers", "right"),
        [
            ((1, 2, 3), [["1"]], np.ones((1, 2))),
            ((0, 0, 3), [], np.ones((0, 0))),
            ((2, 3), [["1"]], np.ones((1, 2))),
        ],
    )
    def test_shapes_that_do_not_fit_are_refused(self, shape: tuple, answers: list, right: np.ndarray) -> None:
        with pytest.raises(InputError, match="groups"):
            group_telemetry(np.ones(shape), answers, right)
