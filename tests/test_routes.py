"""DRA inside the reward and inside the trainer: equal numbers, on one process and on two."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import route_runs
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from trainer_cases import audited
from two_processes import run_on_two

from hammerlib.dra import adjust_rewards
from hammerlib.errors import InputError
from hammerlib.rewards import DRAReward, Reward
from hammerlib.runs import RunRecord
from hammerlib.training import TrainConfig, schedule_table

OPTIONS = [
    {},
    {"sign": "safe"},
    {"positives_only": True},
    {"smi": "facility_location"},
    {"smi": "log_det", "normalize": True},
    {"clamp": True, "centre": True, "normalize": True, "sign": "safe"},
    {"positives_only": True, "normalize": True, "clamp": True},
]


def fixed(values: np.ndarray, name: str) -> Reward:
    def reward(completions: list[str], **kwargs: object) -> list[float | None]:
        return [
            None if math.isnan(value) else float(value) for value in values[[int(c) for c in completions]]
        ]

    reward.__name__ = name
    return reward


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("held", [6, 4, 3, 2, 1])
@settings(max_examples=12)
@given(seed=st.integers(0, 10_000))
def test_parts_of_any_size_add_up_to_the_whole(options: dict, held: int, seed: int) -> None:
    rng, n, size = np.random.default_rng(seed), 12, 3
    vectors = rng.normal(size=(n, 5))
    table = rng.normal(size=(2, n)).round(1)
    table[rng.random(table.shape) < 0.3] = np.nan
    functions = [fixed(row, name) for row, name in zip(table, "ab", strict=True)]
    weights = [1.0, 0.5]

    def embed(texts: list[str]) -> np.ndarray:
        return vectors[[int(text) for text in texts]]

    whole = DRAReward(functions, embed, size, weights, **options)
    ids = [str(place // size) for place in range(n)]
    texts = [str(place) for place in range(n)]
    expected = np.array(whole(ids, texts, id=ids), dtype=float)
    local = DRAReward(functions, embed, size, weights, deferred=True, **options)
    parts, said = [], []
    for start in range(0, n, held):
        said += local(ids[start : start + held], texts[start : start + held])
        parts.append(local.scored)
    found, shares = local.adjusted(parts, size)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.array(said, dtype=float), whole.raw)
    np.testing.assert_array_equal(
        found.reshape(-1, size),
        adjust_rewards(whole.raw.reshape(-1, size), vectors.reshape(-1, size, 5), **options),
    )
    assert shares.shape == (n,)


def test_blank_completions_on_another_process_share_their_dimension() -> None:
    def embed(texts: list[str]) -> np.ndarray:
        return np.array([[float(bool(text.strip())), 0.0] for text in texts])

    reward = DRAReward(lambda completions, **kwargs: [1.0] * len(completions), embed, 4, deferred=True)
    parts = []
    for said in (["a", "b"], ["", " "]):
        reward(["p"] * 2, said)
        parts.append(reward.scored)
    assert reward.adjusted(parts, 4)[0].round(3).tolist() == [0.5] * 4
    with pytest.raises(InputError, match="groups of 3 from 4"):
        reward.adjusted(parts, 3)


def test_the_local_rows_of_the_released_code_are_the_same_in_both_routes() -> None:
    rng = np.random.default_rng(0)
    vectors, values = rng.normal(size=(12, 4)), rng.random(12)
    texts = [str(place) for place in range(12)]

    def embed(texts: list[str]) -> np.ndarray:
        return vectors[[int(text) for text in texts]]

    told = {"local_rows": 2, "scope": "official-local"}
    expected, parts = [], []
    for start in (0, 6):
        rows = texts[start : start + 6]
        expected += DRAReward(fixed(values, "a"), embed, 4, **told)(["p"] * 6, rows)
        late = DRAReward(fixed(values, "a"), embed, 4, deferred=True, **told)
        late(["p"] * 6, rows)
        parts.append(late.scored)
    np.testing.assert_array_equal(late.adjusted(parts, 4)[0], expected)


# Whole runs


def read(root: Path) -> tuple[RunRecord, pd.DataFrame, bytes]:
    (folder,) = root.glob("train__*")
    table = (
        pd.read_csv(folder / "metrics.csv")
        .query("not metric.str.startswith('seconds')")
        .reset_index(drop=True)
    )
    return RunRecord.load(folder), table, (folder / "model" / "model.safetensors").read_bytes()


def assert_routes_equal(root: Path) -> None:
    one, other = read(root / "reward"), read(root / "trainer")
    assert one[0].run_id != other[0].run_id
    pd.testing.assert_frame_equal(one[1], other[1], check_exact=True)
    assert one[2] == other[2]
    values = one[1].pivot_table(index="step", columns="metric", values="value")
    assert (values["reward"] != values["reward_raw"]).all()
    assert {"raw/cosine_reward", "raw/repetition_reward", "dra/mean_weight"} <= set(values)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("alone")
    route_runs.make(root)
    return root


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pair")
    told = run_on_two(route_runs.__file__, str(root), HAMMER_RESULTS=str(root / "launched"))
    (root / "stdout").write_text(told)
    return root


def test_one_process_both_routes_give_the_same_metrics_and_weights(alone: Path) -> None:
    assert_routes_equal(alone)


def test_two_processes_both_routes_give_the_same_metrics_and_weights(pair: Path) -> None:
    assert_routes_equal(pair)
    assert read(pair / "reward")[0].manifest["schedule"]["processes"] == 2


def test_two_processes_share_each_generation_batch_as_scheduled(pair: Path) -> None:
    """By the entry point for launchers, which prints the run's folder and nothing else."""
    (folder,) = (pair / "stdout").read_text().split()
    record = RunRecord.load(folder)
    found = pd.concat(pd.read_csv(path) for path in record.folder.glob("index_log*.csv"))
    planned = schedule_table(TrainConfig(**route_runs.LAUNCHED), 8, processes=2)
    keys = ["step", "epoch", "process", "position"]
    assert sorted(map(tuple, found[keys].to_numpy())) == sorted(map(tuple, planned[keys].to_numpy()))
    assert record.status == "success" and set(planned.process) == {0, 1}
    assert audited(record.folder).kept


def test_groups_that_straddle_processes_are_adjusted_and_measured_whole(alone: Path, pair: Path) -> None:
    one, two = read(alone / "split"), read(pair / "split")
    wide = [table.pivot_table(index="step", columns="metric", values="value") for _, table, _ in (one, two)]
    said = ["reward", "reward_raw", "zero_variance_share", "zero_variance_share_adjusted", "mean_cosine",
            "vendi", "distinct_answers", "effective_group_size", "dra/mean_weight", "loss"]  # fmt: skip
    np.testing.assert_allclose(wide[1][said], wide[0][said], rtol=1e-4, atol=1e-6)
    folder = two[0].folder
    both = pd.concat(pd.read_csv(path) for path in sorted(folder.glob("index_log*.csv")))
    assert both.query("step == 1").groupby("process")["position"].apply(list).tolist() == [[0, 1], [1, 2]]
    assert audited(folder).kept  # a problem in the logs of both is trained once
    kept = pd.concat(pd.read_parquet(folder / "completions" / f"000001{end}.parquet") for end in ("", "-p1"))
    alone_kept = pd.read_parquet(one[0].folder / "completions" / "000001.parquet")
    assert kept["id"].tolist() == alone_kept["id"].tolist()
    np.testing.assert_allclose(kept["reward"], alone_kept["reward"], rtol=1e-5)
    first, second = (load_file(record.folder / "model" / "model.safetensors") for record in (one[0], two[0]))
    for name in first:
        np.testing.assert_allclose(second[name], first[name], atol=1e-4)
