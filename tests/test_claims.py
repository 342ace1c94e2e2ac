"""The paper's claims in exact models: hand-derived numbers, and what must hold for any order."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from ordering_samples import gaussian

from hammerlib.diversity import coverage_radius, dcscore, mean_pairwise_cosine, vendi_score
from hammerlib.errors import InputError
from hammerlib.exact.claims import (
    against_subsets,
    beside_random,
    coverage_correlations,
    coverage_gaps,
    exact_training,
    order_spread,
    poles,
    same_optimum,
)
from hammerlib.ordering import order_by
from hammerlib.ordering.tour import exact_path
from hammerlib.similarity import centred_rows, edge_cosines, unit_rows


class TestExactTraining:
    def test_one_step_by_hand(self) -> None:
        # Two actions, logits 0: J = 1/2, gradient = (1/4, -1/4); rate 2 gives logits (1/2, -1/2).
        told = exact_training(np.eye(1), np.array([0]), np.array([[0]]), actions=2, epochs=1, rate=2.0)
        np.testing.assert_allclose(told[:, 0, 0], [0.5, 1 / (1 + np.exp(-1))])

    def test_the_step_is_the_gradient_of_the_expected_reward(self) -> None:
        # One problem, x = (1, 2): d J / d W by central differences, from the logits that step one left.
        x, rate, small = np.array([1.0, 2.0]), 0.3, 1e-6

        def chance(weights: np.ndarray) -> float:
            logits = np.exp(x @ weights)
            return float(logits[1] / logits.sum())

        weights = np.zeros((2, 3))
        for _ in range(2):
            gradient = np.zeros_like(weights)
            for at in np.ndindex(2, 3):
                off = np.zeros_like(weights)
                off[at] = small
                gradient[at] = (chance(weights + off) - chance(weights - off)) / (2 * small)
            weights = weights + rate * gradient
        told = exact_training(x[None], np.array([1]), np.array([[0]]), actions=3, epochs=2, rate=rate)
        assert told[-1, 0, 0] == pytest.approx(chance(weights), abs=1e-8)

    def test_tabular_learning_does_not_know_the_order(self) -> None:
        orders = np.array(list(permutations(range(4))))
        told = exact_training(np.eye(4), np.array([0, 1, 2, 0]), orders, actions=3, epochs=30)
        assert (told == told[:, :1]).all()  # to the last bit
        assert (np.diff(told[:, 0], axis=0) > 0).all()

    def test_two_problems_alike_with_one_answer_reach_the_optimum_in_both_orders(self) -> None:
        features, right = np.array([[1.0, 0.2], [1.0, -0.2]]), np.array([1, 1])
        told = exact_training(features, right, np.array([[0, 1], [1, 0]]), actions=3, epochs=400)
        assert (told[-1] > 0.995).all()
        early, late = (np.abs(told[epoch, 0] - told[epoch, 1]).max() for epoch in (1, -1))
        assert late < early / 20

    def test_two_problems_of_one_feature_and_two_answers_end_where_the_order_says(self) -> None:
        # The same x, different right actions: any mix has mean reward 1/2, so the optimum is a whole line and
        # the step back, from p off 1/2, is the smaller one: p (1 - p) < 1/4. What comes first ends ahead.
        orders = np.array([[0, 1], [1, 0]])
        told = exact_training(np.ones((2, 1)), np.array([0, 1]), orders, actions=2, epochs=50, rate=4.0)
        np.testing.assert_allclose(told[-1].sum(axis=1), 1)
        assert told[-1, 0, 0] > 0.95 and told[-1, 1, 1] > 0.95
        np.testing.assert_allclose(told[-1, 0], told[-1, 1, ::-1])

    def test_other_numbers_of_problems_are_refused(self) -> None:
        with pytest.raises(InputError, match="different problems"):
            exact_training(np.eye(3), np.array([0, 0]), np.array([[0, 1, 2]]), actions=2)


class TestSameOptimum:
    def test_order_matters_only_where_parameters_are_shared(self) -> None:
        rows = gaussian(24, 6, mean=0.5)
        orders = {
            "hammer": order_by("hammer", rows).permutation,
            "random": np.random.default_rng(0).permutation(24),
        }
        frame = same_optimum(rows, orders, dimensions=4, actions=3, epochs=150, rates=(1.0,))
        by = frame.groupby("model")
        assert by["difference"].max()["tabular"] == 0
        assert by["last"].min()["tabular"] > 0.99
        assert by["last"].min()["shared, realisable"] > by["last"].max()["shared, too small"]
        early = frame[frame["model"] == "shared, too small"]["first_pass"]
        assert early.max() - early.min() > 1e-4
        assert frame["difference"].groupby(frame["order"]).max()["hammer"] == 0  # measured against itself

    def test_every_rate_is_a_training_of_its_own(self) -> None:
        rows = gaussian(6, 4)
        both = same_optimum(rows, {"a": np.arange(6)}, dimensions=3, epochs=3, rates=(0.5, 2.0))
        alone = same_optimum(rows, {"a": np.arange(6)}, dimensions=3, epochs=3, rates=(2.0,))
        np.testing.assert_allclose(both[both["rate"] == 2.0]["last"], alone["last"])

    def test_more_directions_than_there_are_is_refused(self) -> None:
        with pytest.raises(InputError, match="dimensions = 5"):
            same_optimum(gaussian(9, 4), {"a": np.arange(9)}, dimensions=5)

    def test_the_spread_is_over_orders_and_the_largest_over_teachers(self) -> None:
        rows = {
            "model": "m",
            "rate": 1.0,
            "order": ["a", "b", "a", "b"],
            "first_pass": [0.1, 0.3, 0.2, 0.25],
            "last": [0.9, 0.8, 0.6, 0.95],
            "difference": [0.0, 0.4, 0.0, 0.7],
            "teacher": [0, 0, 1, 1],
        }
        told = order_spread(pd.DataFrame(rows)).loc[("m", 1.0)]
        # Ranges: early 0.2 and 0.05, late 0.1 and 0.35.
        expected = {"early": 0.2, "late": 0.35, "lowest": 0.6, "highest": 0.95, "problem": 0.7}
        assert told.to_dict() == pytest.approx(expected)


class TestCoverage:
    def test_distances_and_errors_are_those_of_the_nearest_item(self) -> None:
        rows = gaussian(40, 3)
        order = np.random.default_rng(0).permutation(30)
        told = coverage_gaps(rows[:30], rows[30:], {"one": order}, fractions=[0.2]).iloc[0]
        centred = centred_rows(unit_rows(rows))
        apart = np.linalg.norm(centred[30:, None] - centred[order[:6]][None], axis=2).min(axis=1)
        assert told["count"] == 6
        assert (told["radius"], told["distance"]) == pytest.approx((apart.max(), apart.mean()))
        worst = 1 - coverage_radius(centred[order[:6]], np.concatenate([centred[order[:6]], centred[30:]]))
        assert told["radius"] == pytest.approx(np.sqrt(2 - 2 * worst))

    def test_the_nearest_neighbour_errs_by_no_more_than_the_lipschitz_bound(self) -> None:
        rows = gaussian(200, 3)
        orders = {s: order_by(s, rows[:150]).permutation for s in ("hammer", "random", "farthest-first")}
        frame = coverage_gaps(rows[:150], rows[150:], orders)
        assert (frame["gap_neighbour"] <= 3 * frame["distance"]).all()
        assert (frame["worst_neighbour"] <= 3 * frame["radius"]).all()

    def test_more_of_an_order_covers_and_learns_better(self) -> None:
        rows = gaussian(300, 3)
        frame = coverage_gaps(rows[:200], rows[200:], {"random": np.arange(200)}, fractions=[0.05, 0.3, 1.0])
        for column in ("radius", "distance", "gap_neighbour", "gap_ridge"):
            assert frame[column].is_monotonic_decreasing, column
        assert frame["gap_ridge"].iloc[0] > 0

    def test_held_out_copies_of_the_part_have_no_gap(self) -> None:
        rows = gaussian(20, 4)
        told = coverage_gaps(rows, rows, {"all": np.arange(20)}, fractions=[1.0]).iloc[0]
        assert told["gap_neighbour"] == pytest.approx(0, abs=1e-12)
        assert told["gap_ridge"] == pytest.approx(0, abs=1e-12)

    def test_named_orders_stand_beside_the_random_ones(self) -> None:
        columns = {
            "order": ["hammer", "random 0", "random 1", "random 2", "random 3"],
            "fraction": 0.1,
            "radius": [2.5, 1.0, 2.0, 3.0, 4.0],
            "distance": [1.0, 1.0, 2.0, 3.0, 4.0],
            "gap_neighbour": [0.5, 0.1, 0.3, 0.2, 0.4],
            "gap_ridge": [0.0, 4.0, 3.0, 2.0, 1.0],
        }
        frame = pd.DataFrame(columns)
        told = beside_random(frame)
        assert told.loc[(0.1, "hammer"), "larger_radius"] == 0.5
        assert told.loc[(0.1, "hammer"), "larger_gap"] == 0
        assert told.loc[(0.1, "random, mean"), "radius"] == 2.5
        # Ranks 1 2 3 4 against 1 3 2 4: 1 - 6 * 2 / (4 * 15) = 0.8; against 4 3 2 1: -1. Hammer is left out.
        found = coverage_correlations(frame)
        assert found.loc[(0.1, "radius"), "gap_neighbour"] == pytest.approx(0.8)
        assert found.loc[(0.1, "distance"), "gap_ridge"] == pytest.approx(-1)

    def test_parts_that_are_no_parts_are_refused(self) -> None:
        with pytest.raises(InputError, match="fractions"):
            coverage_gaps(gaussian(5, 2), gaussian(3, 2), {"a": np.arange(5)}, fractions=[0.0])


class TestMinimumPathAndDiversity:
    def test_a_score_of_the_whole_set_is_the_same_for_every_order(self) -> None:
        rows = gaussian(30, 5, mean=0.3)
        for score in (dcscore, vendi_score, mean_pairwise_cosine):
            found = [
                score(rows[order_by(s, rows).permutation])
                for s in ("hammer", "min-path", "similar", "random")
            ]
            assert found == pytest.approx([score(rows)] * 4, abs=1e-6)

    def test_the_best_path_of_the_poles_costs_what_was_derived(self) -> None:
        # Two axes, three steps of -1 each; two junctions of -tilt; three steps between the others.
        rows = poles(0.2)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1)
        path = exact_path(rows)
        between = 2 * 0.2**2 - (1 - 2 * 0.2**2) / 3
        assert edge_cosines(rows, path).sum() == pytest.approx(-6 - 2 * 0.2 + 3 * between)

    def test_both_its_ends_are_less_diverse_than_every_other_part(self) -> None:
        rows = poles()
        path = exact_path(rows)
        for end in (path[:4], path[-4:]):
            told = against_subsets(rows, end).set_index("measure")
            # (+, -, +, -): one direction, Vendi 1; cosines 1, 1 and four times -1; DCScore 4 / (2 + 2 e^-2).
            assert told.loc["vendi", "value"] == pytest.approx(1)
            assert told.loc["vendi", "less_diverse"] == 0 and told.loc["vendi", "random"] > 2.5
            assert told.loc["mean_cosine", "value"] == pytest.approx(-1 / 3)
            assert told.loc["dcscore", "value"] == pytest.approx(4 / (2 + 2 * np.exp(-2)))
            assert told.loc["dcscore", "value"] < told.loc["dcscore", "random"]
            assert told.loc["mean_cosine", "less_diverse"] > 0.9  # the measures do not agree

    def test_parts_are_compared_with_all_of_their_size(self) -> None:
        # Rows e1, e1, e2: pairs {0,1} alike, {0,2} and {1,2} orthogonal.
        told = against_subsets(np.eye(2)[[0, 0, 1]], [0, 2]).set_index("measure")
        assert told.loc["vendi", "value"] == pytest.approx(2)
        assert told.loc["vendi", "random"] == pytest.approx((1 + 2 + 2) / 3)
        assert told.loc["vendi", "less_diverse"] == pytest.approx(1 / 3)
        assert told.loc["coverage_radius", "less_diverse"] == pytest.approx(1 / 3)

    def test_too_many_parts_are_refused(self) -> None:
        with pytest.raises(InputError, match="vectors = 40"):
            against_subsets(gaussian(40, 3), range(10))
