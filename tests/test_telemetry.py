"""Telemetry: every metric is explained, completions read back as one table, trackers write scalars."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_training import SMALL

from hammerlib.errors import InputError
from hammerlib.runs import RunRecord
from hammerlib.training import Hooks, Rollout, read_completions, schedule_table, train
from hammerlib.training.logs import COLUMNS, explained, glossary_table, index_log_table, metrics
from hammerlib.training.run import prepare
from hammerlib.training.telemetry import Timings, effective_advantages, observe

ROOT = Path(__file__).resolve().parents[1]
# What must be there in every step of every run; all else depends on the algorithm.
ALWAYS = {
    "reward_raw", "reward", "raw/accuracy_reward", "unscorable_share", "timeout_share", "grading_error_share",
    "zero_variance_share", "zero_variance_share_adjusted", "mean_cosine", "vendi", "distinct_answers",
    "distinct_wrong", "effective_group_size", "entropy", "clip_share", "clip_share_low", "clip_share_high",
    "clip_share_low_min", "clip_share_high_max", "grad_norm", "learning_rate", "loss", "mean_length",
    "clipped_ratio", "tokens", "seconds", "seconds_generation", "seconds_embedding", "seconds_rewards",
}  # fmt: skip


def wide(record: RunRecord) -> pd.DataFrame:
    return pd.read_csv(record.folder / "metrics.csv").pivot(index="step", columns="metric", values="value")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """Three DRA steps with KL, tensorboard, and the completions of every second step."""
    config = dataclasses.replace(
        SMALL, adjustment="dra", beta=0.01, max_steps=3, report_to=("tensorboard",), completions_every=2
    )
    return train(config, root=tmp_path_factory.mktemp("runs"), progress=False)


def test_every_metric_of_a_run_is_in_the_glossary_and_every_step_has_the_usual_ones(
    watched: RunRecord,
) -> None:
    table = wide(watched)
    assert not [name for name in table.columns if not explained(name)]
    assert not (ALWAYS | {"kl", "dra/mean_weight"}) - set(table.columns)
    assert table[sorted(ALWAYS | {"kl"})].notna().all().all()


def test_kl_is_measured_only_where_it_is_trained(tmp_path: Path) -> None:
    table = wide(train(dataclasses.replace(SMALL, max_steps=1), root=tmp_path, progress=False))
    assert "kl" not in table.columns and set(table.columns) >= ALWAYS


def test_the_glossary_of_the_repository_is_that_of_the_code() -> None:
    page = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    assert glossary_table() in page and index_log_table() in page
    assert all(meaning and unit for meaning, unit in metrics().values())


def test_the_time_of_a_batch_is_split_into_parts_of_the_step(watched: RunRecord) -> None:
    table = wide(watched)
    parts = table[["seconds_generation", "seconds_embedding", "seconds_rewards"]]
    assert (parts > 0).all().all() and (parts.sum(axis=1) < table["seconds"]).all()
    timings = Timings()
    timings.lap("a"), timings.lap("b"), timings.lap("a")
    assert list(timings.taken()) == ["seconds_a", "seconds_b"] and min(timings.taken().values()) >= 0


@pytest.mark.parametrize(
    ("advantages", "size"),
    [([1, -1, 1, -1], 4), ([3, -1, -1, -1], 3), ([0, 0, 2, -2], 2), ([0, 0, 0, 0], math.nan)],
)  # fmt: skip
def test_effective_advantages_counts_who_carries_the_gradient(advantages: list[float], size: float) -> None:
    one = np.array(advantages, dtype=float)
    assert effective_advantages(one, 4) == pytest.approx(size, nan_ok=True)
    # Groups without gradient do not count, and a value per token is averaged in size.
    assert effective_advantages(np.concatenate([one, np.zeros(4)]), 4) == pytest.approx(size, nan_ok=True)
    assert effective_advantages(np.stack([one, -one], axis=1), 4) == pytest.approx(size, nan_ok=True)


# Completions


def test_completions_read_back_in_one_call_with_every_documented_column(watched: RunRecord) -> None:
    table = read_completions(watched.folder)
    assert list(table.columns) == list(COLUMNS) and all(text for _, text in COLUMNS.values())
    assert table["step"].unique().tolist() == [1, 3]  # every second step
    planned = schedule_table(SMALL, 12, permutation=None)
    places = table.drop_duplicates(["step", "position"])[["step", "position"]].to_numpy().tolist()
    assert places == [[s, p] for s, p in planned[["step", "position"]].to_numpy().tolist() if s in (1, 3)]
    scored = table["reward_raw"] != 0
    assert np.allclose(table["weight"][scored] * table["reward_raw"][scored], table["reward"][scored])
    assert table["weight"][~scored].isna().all() and table["reason"].notna().all()
    grouped = table.groupby(["step", "id"])
    advantage = (table["reward"] - grouped["reward"].transform("mean")) / (
        grouped["reward"].transform("std") + 1e-4
    )
    assert np.allclose(table["advantage"], advantage, atol=1e-4)
    cut = wide(watched).loc[[1, 3], "clipped_ratio"]
    assert np.allclose(table.groupby("step")["truncated"].mean(), cut)


def test_completions_hold_the_advantage_that_was_trained_and_none_are_kept_where_none_are_asked(
    tmp_path: Path,
) -> None:
    plugs = Hooks(advantage=lambda rollout: 0 * rollout.advantages + 0.25)
    config = dataclasses.replace(SMALL, max_steps=1, max_completion_length=4)
    kept = train(config, root=tmp_path / "a", algorithms=[plugs], progress=False)
    assert set(read_completions(kept.folder)["advantage"]) == {0.25}
    silent = dataclasses.replace(config, completions_every=None)
    bare = train(silent, root=tmp_path / "b", progress=False)
    assert silent.identity() == config.identity()  # bookkeeping: the same run
    with pytest.raises(InputError, match="completions_every"):
        read_completions(bare.folder)


def test_of_generations_that_feed_several_steps_those_that_hold_an_asked_step_are_kept(
    tmp_path: Path,
) -> None:
    config = dataclasses.replace(
        SMALL,
        n_problems=16,
        max_steps=8,
        max_completion_length=4,
        steps_per_generation=2,
        completions_every=3,
    )
    kept = train(config, root=tmp_path, progress=False)
    # Generations of steps 1-2, 3-4, 5-6 and 7-8; asked for 1, 4 and 7.
    assert read_completions(kept.folder)["step"].unique().tolist() == [1, 3, 7]


# Trackers


def test_tensorboard_gets_the_same_numbers_as_the_csv(watched: RunRecord) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(watched.folder / "tensorboard"))
    events.Reload()
    table = wide(watched)
    for tag, name in (("train/hammer/vendi", "vendi"), ("train/kl", "kl"), ("train/reward", "reward")):
        points = events.Scalars(tag)
        assert [point.step for point in points] == [1, 2, 3]
        assert np.allclose([point.value for point in points], table[name])


def test_no_file_of_a_run_names_the_machine_or_its_folders(watched: RunRecord) -> None:
    import socket

    (events,) = (watched.folder / "tensorboard").iterdir()
    assert socket.gethostname() not in events.name
    for path in (one for one in watched.folder.rglob("*") if one.is_file()):
        assert str(watched.folder.parent).encode() not in path.read_bytes(), path.name


def test_a_tracker_that_is_not_installed_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "trackio" else found(name, *rest)
    )
    with pytest.raises(InputError, match=r"report_to = 'trackio': is not installed") as caught:
        prepare(dataclasses.replace(SMALL, report_to=("trackio",)), progress=False)
    assert "pip install trackio" in str(caught.value) and "\n" not in str(caught.value)


def test_a_process_that_trains_nothing_reports_the_same_names() -> None:
    """Processes gather a row of numbers each: rows of different width would stall or mix them."""
    rows, one, vectors = [{"id": "a"}] * 4, np.array([1.0, 0.0, 1.0, 1.0]), np.eye(4)
    told = {"completions": ["4"] * 4, "completion_ids": [[7]] * 4, "verdicts": [None] * 4, "group_size": 2}
    told |= {"raw": one, "rewards": one / 2, "vectors": vectors, "rows": rows, "step": 0}
    some = observe(Rollout(**told, groups=np.array([0, 0, -1, -1])))
    none = observe(Rollout(**told, groups=np.full(4, -1)))
    assert some.keys() == none.keys() and all(map(math.isnan, none.values()))
    assert (some["reward_raw"], some["reward"]) == (0.5, 0.25), "of trained completions only"
