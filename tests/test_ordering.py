"""What every strategy promises, and what it leaves on record."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ordering_samples import BY_VECTORS, gaussian, problem_table

from hammerlib.errors import InputError
from hammerlib.models.embeddings import Embeddings
from hammerlib.ordering import STRATEGIES, Order, order_by
from hammerlib.ordering.strategies import DERIVED
from hammerlib.problems import item_hashes
from hammerlib.similarity import unit_rows
from hammerlib.training import TrainConfig

BLIND = sorted(set(STRATEGIES) - {*BY_VECTORS, *DERIVED})


class TestEveryStrategy:
    @given(st.sampled_from(STRATEGIES), st.integers(0, 12), st.integers(1, 5), st.integers(0, 10**6))
    @settings(max_examples=120, deadline=None)
    def test_names_every_item_once(self, strategy: str, n: int, d: int, seed: int) -> None:
        order = order_by(strategy, gaussian(n, d, seed), problems=problem_table(n), seed=seed)
        assert sorted(order.permutation) == list(range(n))
        assert order.permutation.dtype == np.int64
        assert (order.cost is None) == (n < 2)

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_is_the_same_again_for_the_same_seed(self, strategy: str) -> None:
        rows, table = gaussian(40, 5), problem_table(40)
        one, two = (order_by(strategy, rows, problems=table, seed=3) for _ in range(2))
        assert one.hash == two.hash
        assert one.permutation.tolist() == two.permutation.tolist()

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_identical_rows_work(self, strategy: str) -> None:
        order = order_by(strategy, np.ones((6, 3)), problems=problem_table(6))
        assert sorted(order.permutation) == list(range(6))
        assert order.cost == pytest.approx(1) == order.random_cost

    @pytest.mark.parametrize("strategy", BLIND)
    def test_needs_no_vectors_unless_it_looks_at_them(self, strategy: str) -> None:
        table = problem_table(15)
        blind = order_by(strategy, None, problems=table, seed=1)
        assert blind.cost is blind.random_cost is None
        assert (
            blind.permutation.tolist()
            == order_by(strategy, gaussian(15, 3), problems=table, seed=1).permutation.tolist()
        )

    @pytest.mark.parametrize("strategy", [*BY_VECTORS, "reversed"])
    def test_says_when_it_needs_vectors(self, strategy: str) -> None:
        with pytest.raises(InputError, match="embeddings = None"):
            order_by(strategy, None, problems=problem_table(4))

    @pytest.mark.parametrize("strategy", [*BY_VECTORS, "reversed", "random"])
    def test_takes_arrays_and_tensors_of_any_real_type(self, strategy: str) -> None:
        rows = gaussian(25, 4).astype(np.float16)
        orders = [
            order_by(strategy, given)
            for given in (rows, rows.astype(np.float64), torch.from_numpy(rows), rows.tolist())
        ]
        for order in orders[1:]:
            assert order.permutation.tolist() == orders[0].permutation.tolist()
            assert order.cost == pytest.approx(orders[0].cost, abs=1e-6)

    @pytest.mark.parametrize("bad", [0.0, np.nan])
    @pytest.mark.parametrize("strategy", ["hammer", "random"])
    def test_refuses_rows_without_direction_by_id(self, strategy: str, bad: float) -> None:
        rows = gaussian(3, 4).astype(np.float32)
        rows[1] = bad
        with pytest.raises(InputError, match="'q2'"):
            order_by(strategy, Embeddings(rows, ["q1", "q2", "q3"], "key", {}))


class TestOtherStrategies:
    def test_random_follows_the_seed_and_dataset_the_table(self) -> None:
        rows = gaussian(50, 3)
        assert order_by("dataset", rows).permutation.tolist() == list(range(50))
        assert order_by("random", rows, seed=0).hash != order_by("random", rows, seed=1).hash

    def test_random_orders_cost_what_the_closed_form_says(self) -> None:
        rows = gaussian(60, 6, mean=0.4)
        orders = [order_by("random", rows, seed=seed) for seed in range(200)]
        assert np.mean([order.cost for order in orders]) == pytest.approx(orders[0].random_cost, abs=0.01)

    def test_reversed_turns_a_strategy_or_an_order_round_at_the_same_cost(self) -> None:
        rows = gaussian(30, 4)
        forward = order_by("hammer", rows, eta=0.2, seed=5)
        for back in (
            order_by("reversed", rows, of=forward),
            order_by("reversed", rows, of="hammer", eta=0.2, seed=5),
        ):
            assert back.permutation.tolist() == forward.permutation[::-1].tolist()
            assert back.cost == pytest.approx(forward.cost, abs=1e-12)
        assert (
            order_by("reversed", rows).permutation.tolist()
            == order_by("hammer", rows).permutation[::-1].tolist()
        )

    def test_reversed_of_a_saved_order_needs_nothing_else(self) -> None:
        assert order_by("reversed", None, of=Order(np.array([2, 0, 1]), "x")).permutation.tolist() == [
            1,
            0,
            2,
        ]

    def test_easy_to_hard_follows_the_difficulty(self) -> None:
        table = problem_table(40)
        rise = np.array(table["difficulty"])[order_by("easy-to-hard", None, problems=table).permutation]
        fall = np.array(table["difficulty"])[order_by("hard-to-easy", None, problems=table).permutation]
        assert (np.diff(rise) >= 0).all() and (np.diff(fall) <= 0).all()

    def test_a_high_pass_rate_is_easy(self) -> None:
        rates = np.array([0.1, 0.9, 0.5])
        table = problem_table(3)
        assert order_by("easy-to-hard", None, problems=table, pass_rate=rates).permutation.tolist() == [
            1,
            2,
            0,
        ]
        assert order_by("hard-to-easy", None, problems=table, pass_rate=rates).permutation.tolist() == [
            0,
            2,
            1,
        ]

    def test_equally_hard_problems_follow_the_seed_not_the_file(self) -> None:
        table = problem_table(40, difficulty=[1.0] * 40)
        orders = [
            order_by("easy-to-hard", None, problems=table, seed=s).permutation.tolist() for s in range(2)
        ]
        assert orders[0] != orders[1] and orders[0] != list(range(40))

    def test_farthest_first_takes_the_item_farthest_from_all_before(self) -> None:
        units = unit_rows(gaussian(40, 5))
        path = order_by("farthest-first", units).permutation
        for step in range(1, 40):
            left = np.setdiff1d(np.arange(40), path[:step])
            nearest = (units[left] @ units[path[:step]].T).max(axis=1)
            assert path[step] in left[nearest <= nearest.min() + 1e-12]

    def test_topic_cycle_visits_every_topic_in_turn(self) -> None:
        table = problem_table(50)
        topics = np.array(table["topic"])[order_by("topic-cycle", None, problems=table).permutation]
        assert topics[:9].tolist() == ["add", "time", "word"] * 3
        left = {name: int((topics == name).sum()) for name in np.unique(topics)}
        for turn in range(10):
            assert sorted(topics[3 * turn : 3 * turn + 3]) == sorted(
                n for n, count in left.items() if count > turn
            )

    @pytest.mark.parametrize(
        ("strategy", "change", "field"),
        [
            ("shortest", {}, "strategy"),
            ("hammer", {"centre": "mean"}, "centre"),
            ("random", {"centre": "argmin"}, "centre"),
            ("farthest-first", {"centre": "argmin"}, "centre"),
            ("random", {"eta": 0.1}, "options"),
            ("hammer", {"etta": 0.1}, "options"),
            ("reversed", {"of": "shortest"}, "strategy"),
            ("reversed", {"of": Order(np.arange(2), "x")}, "of"),
            ("reversed", {"of": Order(np.arange(3), "x"), "eta": 0.5}, "options"),
            ("topic-cycle", {}, "problems"),
            ("easy-to-hard", {}, "problems"),
            ("easy-to-hard", {"pass_rate": [0.1, 0.2]}, "pass_rate"),
            ("easy-to-hard", {"pass_rate": [0.1, np.nan, 0.2]}, "pass_rate"),
            ("easy-to-hard", {"problems": problem_table(3).remove_columns("difficulty")}, "problems"),
            ("hammer", {"problems": problem_table(4)}, "embeddings"),
            ("hammer", {"problems": "abc"}, "problems"),
            ("hammer", {"eta": "abc"}, "eta"),
            ("hammer", {"eta": True}, "eta"),
            ("logdet", {"ridge": "a"}, "ridge"),
            ("easy-to-hard", {"pass_rate": ["a", "b", "c"]}, "pass_rate"),
            ("easy-to-hard", {"pass_rate": [[1], [2, 3]]}, "pass_rate"),
            ("reversed", {"task": 1}, "options"),
            ("random-batches", {"window": 1}, "window"),
            ("random-batches", {"block": 0}, "block"),
            ("random-batches", {"block": 9, "bins": 2}, "options"),
            ("matched", {}, "problems"),
            ("matched", {"problems": problem_table(3), "by": "mood"}, "by"),
            ("matched", {"problems": problem_table(3), "bins": 0}, "bins"),
            ("matched", {"problems": problem_table(3), "pass_rate": [0.5]}, "pass_rate"),
            ("matched", {"problems": problem_table(3).remove_columns("topic"), "by": "topic"}, "problems"),
        ],
    )
    def test_bad_input_is_one_named_error(self, strategy: str, change: dict, field: str) -> None:
        with pytest.raises(InputError, match=f"^{field} = "):
            order_by(strategy, np.eye(3), **change)

    @pytest.mark.parametrize("strategy", ["hammer", "random"])
    @pytest.mark.parametrize("seed", [-1, 1.5, "1", None, True])
    def test_a_seed_is_a_whole_number_from_0_up(self, strategy: str, seed: object) -> None:
        with pytest.raises(InputError, match=f"^seed = {seed!r}"):
            order_by(strategy, np.eye(3), seed=seed)

    @pytest.mark.parametrize("vectors", [[[1, 2], [3]], "x", 3, np.ones(3), [["a"]]])
    def test_vectors_that_are_no_rows_of_numbers_are_refused(self, vectors: object) -> None:
        with pytest.raises(InputError, match=r"^embeddings = "):
            order_by("hammer", vectors)

    def test_an_unknown_strategy_is_told_the_known_ones(self) -> None:
        with pytest.raises(InputError, match=r"hammer, min-path, .*, reversed"):
            order_by("shortest", np.eye(3))

    def test_nothing_to_order_is_refused(self) -> None:
        with pytest.raises(InputError, match="nothing to order"):
            order_by("random", None)


class TestProvenance:
    def test_says_where_the_order_came_from(self) -> None:
        info = {"backbone": "nano", "layer": 3, "pooling": "mean", "template": "raw"}
        told = order_by(
            "hammer", Embeddings(np.eye(4), list("abcd"), "key1", info), seed=7, eta=0.5
        ).provenance
        assert {name: told[name] for name in info} == info
        assert (told["embeddings"], told["seed"], told["n"], told["options"]) == ("key1", 7, 4, {"eta": 0.5})
        assert {"strategy", "centre", "hammerlib"} <= set(told)

    def test_bare_vectors_are_keyed_by_content(self) -> None:
        keys = [
            order_by("dataset", rows).provenance["embeddings"] for rows in (np.eye(3), np.eye(3), np.eye(4))
        ]
        assert keys[0] == keys[1] != keys[2]

    def test_embeddings_of_other_problems_are_refused(self) -> None:
        table, other = problem_table(3), problem_table(3, answer=["7", "8", "9"])
        made = Embeddings(np.eye(3), list(table["id"]), "key", {}, item_hashes(table))
        assert order_by("hammer", made, problems=table).item_hashes == item_hashes(table)
        assert order_by("hammer", made).item_hashes == item_hashes(table)
        with pytest.raises(InputError, match="other problems"):
            order_by("hammer", made, problems=other)


def backwards(vectors: np.ndarray, problems: object, seed: int, *, skip: int = 0) -> np.ndarray:
    """A strategy of one's own: the given order reversed, its first items left where they are."""
    items = np.arange(len(vectors))
    return np.concatenate([items[:skip], items[skip:][::-1]])


def first_twice(vectors: np.ndarray, problems: object, seed: int) -> list[int]:
    return [0, *range(len(vectors) - 1)]


class TestOwnStrategies:
    name = f"{__name__}:backwards"

    def test_a_function_and_its_name_make_the_same_order_and_are_recorded(self) -> None:
        rows = np.random.default_rng(0).normal(size=(9, 3))
        by_name, by_function = order_by(self.name, rows, skip=2), order_by(backwards, rows, skip=2)
        assert by_name.permutation.tolist() == [0, 1, 8, 7, 6, 5, 4, 3, 2]
        assert by_name.hash == by_function.hash and by_name.strategy == self.name
        assert by_name.provenance["options"] == {"skip": 2} and by_name.lower_bound <= by_name.cost
        derived = order_by("reversed", rows, of=backwards)
        assert derived.permutation.tolist() == list(range(9))
        assert derived.provenance["options"] == {"of": self.name}

    @pytest.mark.parametrize(
        ("strategy", "options", "words"),
        [
            (first_twice, {}, "exactly once"),
            (lambda vectors, problems, seed: [0], {}, "1 numbers for 4 items"),
            (backwards, {"step": 1}, "its options: skip"),
            (backwards, {"centre": "argmin"}, "no greedy choice"),
            (f"{__name__}:nothing", {}, "has no 'nothing'"),
            ("no_such_package.order:by", {}, "cannot be imported"),
            (f"{__name__}:np", {}, "is no function"),
        ],
    )
    def test_what_cannot_be_used_is_refused_in_one_line(
        self, strategy: object, options: dict, words: str
    ) -> None:
        with pytest.raises(InputError, match=words):
            order_by(strategy, np.eye(4), **options)

    def test_a_config_takes_the_name_and_checks_the_options(self) -> None:
        assert TrainConfig(order=self.name, order_options={"skip": 1}).validate().order == self.name
        with pytest.raises(InputError, match="step"):
            TrainConfig(order=self.name, order_options={"step": 1}).validate()
