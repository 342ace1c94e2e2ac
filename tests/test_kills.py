"""A run killed by SIGKILL and called again is the run that was never killed (`kill_runs` has the sweep)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import kill_runs
import pandas as pd
import pytest
from trainer_cases import audited

from hammerlib.runs import RunRecord
from hammerlib.training.checkpoints import newest_complete, seal

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Folder of the runs and the line about each."""
    root = tmp_path_factory.mktemp("kills")
    command = [sys.executable, kill_runs.__file__, str(root), *kill_runs.FEW]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line.count(":") > 1]
    assert len(lines) == len(kill_runs.FEW), done.stderr[-3000:]
    return root, {case: " ".join(said.split()) for case, said in lines}


@pytest.mark.parametrize("case", kill_runs.FEW)
def test_killed_and_resumed_is_the_unbroken_run(told: tuple[Path, dict[str, str]], case: str) -> None:
    said = "refused" if kill_runs.FULL in case else "killed"
    assert told[1][case] == f"{said}, resumed same"
    name, place, call = case.split(":")
    (folder,) = (told[0] / name / f"{place}-{call}").glob("train__*")
    assert audited(folder).kept


def test_the_runs_that_were_killed_had_something_to_lose(told: tuple[Path, dict[str, str]]) -> None:
    root, resumed = told[0], {"block:loss:7": 4, "reorder:epoch:2": 2, "pair:loss:3": 2}
    for case, step in resumed.items():
        name, place, call = case.split(":")
        (folder,) = (root / name / f"{place}-{call}").glob("train__*")
        assert RunRecord.load(folder).manifest["resumed_from_step"] == step
        table = pd.read_csv(folder / "metrics.csv")
        assert (table[table.metric == "grad_norm"]["value"] > 0).any()


def test_the_reordered_run_had_three_orders(told: tuple[Path, dict[str, str]]) -> None:
    (folder,) = (told[0] / "reorder" / "epoch-2").glob("train__*")
    epochs = pd.read_csv(folder / "index_log.csv").groupby("epoch")["index"].apply(tuple)
    orders = RunRecord.load(folder).manifest["epoch_orders"]
    assert len(set(epochs)) == 3 == len({one["hash"] for one in orders})


def test_a_checkpoint_without_its_last_file_is_thrown_away(tmp_path: Path) -> None:
    for step, state in ((2, json.dumps({"global_step": 2})), (4, '{"global_'), (6, None)):
        place = tmp_path / "checkpoints" / f"checkpoint-{step}"
        place.mkdir(parents=True)
        (place / "rng_state.pth").write_bytes(b"")
        if state:
            (place / "trainer_state.json").write_text(state)
        seal(place)
    assert newest_complete(tmp_path) == (tmp_path / "checkpoints" / "checkpoint-2", 2)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["checkpoint-2"]
    assert newest_complete(tmp_path, processes=2) is None
