"""Orders of later epochs, made from the policy, and evaluation prompts in the order they are given."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hammerlib.errors import InputError
from hammerlib.models import load_backbone
from hammerlib.ordering import Order, order_by
from hammerlib.problems import load_problems
from hammerlib.training import TrainConfig, schedule_table, train
from hammerlib.training.schedule import forget_orders, make_order, order_path

AGAIN = TrainConfig(
    n_problems=13,
    tail="report",
    epochs=2,
    epoch_order="reorder",
    prompts_per_step=4,
    group_size=4,
    max_completion_length=24,
    learning_rate=1e-3,
    scheduler="constant",
    rewards=("accuracy", "cosine"),
)


def test_the_second_epoch_follows_the_order_of_the_policy_as_it_was_then(tmp_path: Path) -> None:
    record = train(AGAIN, root=tmp_path, progress=False)
    first_epoch = train(dataclasses.replace(AGAIN, max_steps=3), root=tmp_path, progress=False)
    orders = [Order.load(order_path(record.folder, epoch)) for epoch in (0, 1)]
    assert not order_path(first_epoch.folder, 1).exists()
    problems = load_problems(AGAIN.problems, split="rl", n=13)
    then = load_backbone(str(first_epoch.folder / "model"), dtype="float32", device="cpu")
    expected = make_order(AGAIN, problems, then, epoch=1)
    np.testing.assert_array_equal(orders[1].permutation, expected.permutation)
    assert orders[1].cost == expected.cost and orders[1].cost != orders[0].cost
    assert orders[1].provenance["backbone"] == "policy from nano"
    assert orders[1].provenance["seed"] == 1 and orders[1].strategy == "hammer"
    found = pd.read_csv(record.folder / "index_log.csv")
    both = [order.permutation.tolist() for order in orders]
    planned = schedule_table(AGAIN, 13, permutation=both)
    pd.testing.assert_frame_equal(found[list(planned.columns)], planned)
    assert found["id"].tolist() == [problems[row]["id"] for row in planned["index"]]
    told = record.manifest["epoch_orders"]
    assert [one["hash"] for one in told] == [order.hash for order in orders]
    assert [one["tail_dropped"] for one in told] == [[problems[rows[-1]]["id"]] for rows in both]
    assert {"order.json", "order-1.json"} <= {one["path"] for one in record.manifest["artefacts"]}


def test_what_only_training_can_tell_is_missing_from_the_schedule() -> None:
    table = schedule_table(AGAIN, 13, permutation=list(range(12, -1, -1)))
    assert table[table.epoch == 0]["index"].tolist() == list(range(12, 0, -1))
    assert table[table.epoch == 1]["index"].isna().all()
    assert table[table.epoch == 1]["position"].tolist() == list(range(12))
    repeated = schedule_table(dataclasses.replace(AGAIN, epoch_order="repeat"), 13)
    assert repeated["index"].tolist() == [*range(12), *range(12)]


def test_a_policy_of_epochs_names_a_run_only_where_there_are_epochs() -> None:
    once = dataclasses.replace(AGAIN, epochs=1)
    assert once.identity() == dataclasses.replace(once, epoch_order="repeat").identity()
    assert AGAIN.identity() != dataclasses.replace(AGAIN, epoch_order="repeat").identity()


def test_an_order_that_cannot_be_made_again_is_refused(tmp_path: Path) -> None:
    problems = load_problems(AGAIN.problems, split="rl", n=13)
    order = order_by("random", None, problems=problems)
    with pytest.raises(InputError, match=r"order = 'random': cannot be made again as hammer"):
        train(AGAIN, problems=problems, order=order, root=tmp_path, progress=False)


def test_only_orders_of_epochs_to_come_are_forgotten(tmp_path: Path) -> None:
    for epoch in range(4):
        order_path(tmp_path, epoch).write_text("{}")
    forget_orders(tmp_path, 6, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["order-1.json", "order-2.json", "order.json"]
