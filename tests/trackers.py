"""Trackers run once: what reaches wandb (offline), trackio and mlflow on this disk. ``make test-launch``."""

from __future__ import annotations

import importlib
import json
import sqlite3

import pytest

from hammerlib.runs import RunRecord
from hammerlib.training import TrainConfig, train

TINY = {
    "n_problems": 8,
    "order": "random",
    "max_completion_length": 8,
    "prompts_per_step": 4,
    "group_size": 2,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """Two steps told to all three."""
    folder = tmp_path_factory.mktemp("trackers")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_DIR", str(folder))
        patch.setenv("TRACKIO_DIR", str(folder / "trackio"))
        patch.setenv("MLFLOW_TRACKING_URI", f"file:{folder / 'mlruns'}")
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        config = TrainConfig(**TINY, report_to=("wandb", "trackio", "mlflow"))
        record = train(config, root=folder, progress=False)
        importlib.import_module("wandb").finish()  # all of it on the disk
        return record


def rewards(run: RunRecord) -> list[float]:
    table = run.table("metrics.csv")
    return table.loc[table["metric"] == "reward", "value"].tolist()


def test_mlflow_has_the_numbers_of_the_csv(run: RunRecord) -> None:
    [file] = (run.folder.parent / "mlruns").glob("*/*/metrics/reward")
    found = [float(line.split()[1]) for line in file.read_text().splitlines()]
    assert found == pytest.approx(rewards(run))


def test_trackio_has_the_numbers_of_the_csv(run: RunRecord) -> None:
    [file] = (run.folder.parent / "trackio").rglob("*.db")
    with sqlite3.connect(file) as base:
        told = [json.loads(row[0]) for row in base.execute("select metrics from metrics order by step")]
    found = [values["train/reward"] for values in told if "train/reward" in values]
    assert found == pytest.approx(rewards(run))


def test_wandb_kept_an_offline_run_of_this_name(run: RunRecord) -> None:
    [file] = (run.folder.parent / "wandb").glob("offline-run-*/run-*.wandb")
    assert run.run_id.encode() in file.read_bytes()
