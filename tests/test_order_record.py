"""The Order record: saved, loaded, refused when changed, tied to its problems."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ordering_samples import problem_table

from hammerlib.errors import InputError
from hammerlib.ordering import Order, order_by
from hammerlib.runs.storage import content_hash


@pytest.fixture
def order() -> Order:
    rows = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    return order_by("hammer", rows, problems=problem_table(6), seed=2, eta=0.3, eta_mode="pool")


@pytest.fixture
def saved(order: Order, tmp_path: Path) -> Path:
    order.save(tmp_path / "order.json")
    return tmp_path / "order.json"


def test_loads_as_it_was_saved(order: Order, saved: Path) -> None:
    again = Order.load(saved)
    assert again.permutation.tolist() == order.permutation.tolist()
    for name in (
        "strategy",
        "cost",
        "random_cost",
        "lower_bound",
        "gap",
        "provenance",
        "item_hashes",
        "hash",
    ):
        assert getattr(again, name) == getattr(order, name), name


def test_an_order_with_arrays_or_orders_among_its_options_can_be_saved(tmp_path: Path) -> None:
    first = order_by("easy-to-hard", None, problems=problem_table(6), pass_rate=np.linspace(0, 1, 6))
    back = order_by("reversed", None, problems=problem_table(6), of=first)
    for made in (first, back):
        made.save(tmp_path / "order.json")
        assert Order.load(tmp_path / "order.json").hash == made.hash
    assert back.provenance["options"]["of"] == {"strategy": "easy-to-hard", "hash": first.hash}


def test_carries_its_certificate(saved: Path) -> None:
    content = json.loads(saved.read_text())
    assert content["lower_bound"] <= content["cost"]
    span = content["random_cost"] - content["lower_bound"]
    assert content["gap"] == pytest.approx((content["cost"] - content["lower_bound"]) / span)
    assert content["schema_version"] == 1


def test_says_when_it_has_no_certificate(tmp_path: Path) -> None:
    order_by("hammer", np.eye(4), certify=False).save(tmp_path / "order.json")
    content = json.loads((tmp_path / "order.json").read_text())
    assert content["lower_bound"] is content["gap"] is None


def test_empty_order_is_saved_and_loaded(tmp_path: Path) -> None:
    order_by("hammer", np.zeros((0, 3))).save(tmp_path / "order.json")
    assert len(Order.load(tmp_path / "order.json")) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"permutation": [1, 0, 2, 3, 4, 5]},
        {"cost": -1.0},
        {"strategy": "random"},
        {"item_hashes": None},
        {"provenance": {}},
        {"hash": "0" * 64},
        {"hash": None},
        {"extra": 1},
    ],
)
def test_a_changed_file_is_refused(saved: Path, change: dict) -> None:
    saved.write_text(json.dumps(json.loads(saved.read_text()) | change))
    with pytest.raises(InputError, match="hash mismatch"):
        Order.load(saved)


@pytest.mark.parametrize(
    "wrong", [[0, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 6], [0.0, 1, 2, 3, 4, 5], [[0, 1]], "012345", [[0], [1, 2]]]
)
def test_what_is_no_permutation_is_refused_even_with_its_hash(saved: Path, wrong: object) -> None:
    content = json.loads(saved.read_text()) | {"permutation": wrong}
    del content["hash"]
    saved.write_text(json.dumps(content | {"hash": content_hash(content)}))
    with pytest.raises(InputError, match="permutation"):
        Order.load(saved)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "cannot be read"),
        ("[1, 2]", "no order record"),
        ("{}", "schema version"),
        ('{"schema_version": 2}', "schema"),
    ],
)
def test_what_is_no_order_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "order.json").write_text(text)
    with pytest.raises(InputError, match=problem):
        Order.load(tmp_path / "order.json")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        Order.load(tmp_path / "order.json")


def test_a_file_with_other_fields_is_refused(tmp_path: Path) -> None:
    content = {"schema_version": 1, "permutation": [0]}
    (tmp_path / "order.json").write_text(json.dumps(content | {"hash": content_hash(content)}))
    with pytest.raises(InputError, match="missing or unknown"):
        Order.load(tmp_path / "order.json")


def test_verifies_its_own_problems(order: Order) -> None:
    table = problem_table(6)
    order.verify(table)
    assert sorted(order.apply(table)["id"]) == sorted(table["id"])


@pytest.mark.parametrize("column", ["id", "prompt", "answer"])
def test_a_changed_problem_is_refused_by_id(order: Order, column: str) -> None:
    table = problem_table(6)
    values = list(table[column])
    values[3] = "other"
    changed = table.remove_columns(column).add_column(column, values)
    with pytest.raises(
        InputError, match=f"1 of 6 rows differ, first id '{'other' if column == 'id' else 'p3'}'"
    ):
        order.verify(changed)


def test_another_number_or_row_order_is_refused(order: Order) -> None:
    with pytest.raises(InputError, match="another number"):
        order.verify(problem_table(5))
    with pytest.raises(InputError, match="same problems in another row order"):
        order.verify(problem_table(6).select([1, 0, 2, 3, 4, 5]))


def test_an_order_of_bare_vectors_verifies_nothing() -> None:
    with pytest.raises(InputError, match="does not say which problems"):
        order_by("hammer", np.eye(6)).verify(problem_table(6))


def test_applies_itself_to_its_problems_only(order: Order) -> None:
    table = order.apply(problem_table(6))
    assert list(table["id"]) == [f"p{i}" for i in order.permutation]
    with pytest.raises(InputError, match="rows differ"):
        order.apply(table)


def test_cannot_be_changed_in_memory(order: Order) -> None:
    with pytest.raises(ValueError, match="read-only"):
        order.permutation[0] = 1
    with pytest.raises(AttributeError):
        order.strategy = "random"


def test_one_hash_per_problem() -> None:
    with pytest.raises(InputError, match="item_hashes"):
        Order(np.arange(2), "dataset", item_hashes=["a"])
