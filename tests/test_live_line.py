"""The line that moves while a notebook executes: what it says, and where it is silent."""

from __future__ import annotations

import contextlib
import io
import os
import time
from pathlib import Path

import pytest

from hammerlib.pipeline import execution as live
from hammerlib.runs import RunRecord, start_run
from hammerlib.runs.storage import environment, tell_progress


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal, bars allowed, looked at every few milliseconds."""
    for name in ("CI", "TQDM_DISABLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(live, "REFRESH", 0.01)
    return Terminal()


def training(root: Path, name: str, step: int) -> RunRecord:
    """A training run of 12 steps that has reached `step`."""
    run = start_run("train", parameters={}, run_id=name, root=root)
    run.note(schedule={"steps": 12})
    for number in range(1, step + 1):
        run.log(number, loss=0.1, reward_raw=number / 10, entropy=0.2)
    return run


def test_it_names_the_sweep_the_arm_the_step_and_the_reward(tmp_path: Path) -> None:
    told = tmp_path / "progress.txt"
    with environment(HAMMER_PROGRESS=str(told)):
        tell_progress("train 2/6")
    training(tmp_path, "train__hammer__dra__s0__abc", 5)
    assert live.under_way(tmp_path, told, 0.0) == "train 2/6: hammer dra s0 step 5/12 reward 0.50"


def test_it_counts_the_samples_of_an_evaluation(tmp_path: Path) -> None:
    asked = {"problems": 8, "k": 4}
    run = start_run("evaluate", parameters=asked, run_id="evaluate__x__abc", root=tmp_path)
    (run.folder / "samples.jsonl").write_text("{}\n" * 7)
    assert live.under_way(tmp_path, tmp_path / "none.txt", 0.0) == "sample 7/32"


def test_runs_that_ended_or_are_of_another_day_are_not_under_way(tmp_path: Path) -> None:
    training(tmp_path, "train__hammer__none__s0__abc", 3).finish()
    old = training(tmp_path, "train__random__none__s0__abc", 3)
    os.utime(old.folder / "metrics.csv", (1.0, 1.0))
    assert live.under_way(tmp_path, tmp_path / "none.txt", time.time() - 60) == ""


def test_a_record_caught_half_way_says_nothing(tmp_path: Path) -> None:
    run = training(tmp_path, "train__hammer__none__s0__abc", 1)
    (run.folder / "metrics.csv").write_text("step,metric,value\n1,reward_raw,")
    assert live.under_way(tmp_path, tmp_path / "none.txt", 0.0) == ""


def test_on_a_terminal_it_shows_cells_and_runs(
    tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    training(tmp_path, "train__hammer__none__s0__abc", 4)
    monkeypatch.setattr("sys.stderr", terminal)  # here: pytest renews it after the fixtures
    with contextlib.closing(live.LiveLine("04_training", 9, tmp_path, tmp_path / "none.txt")) as line:
        line.since = 0.0
        for kind in ("code", "markdown", "code"):
            line.next_cell(cell={"cell_type": kind}, cell_index=0)
        deadline = time.monotonic() + 10
        while "step 4/12" not in terminal.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    shown = terminal.getvalue()
    assert "04_training 2/9 cells" in shown and "hammer s0 step 4/12 reward 0.40" in shown


@pytest.mark.parametrize("why", ["CI", "TQDM_DISABLE", "no terminal"])
def test_it_is_silent_where_nobody_watches(
    why: str, tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why == "no terminal":
        monkeypatch.setattr(Terminal, "isatty", lambda self: False)
    else:
        monkeypatch.setenv(why, "1")
    monkeypatch.setattr("sys.stderr", terminal)
    with contextlib.closing(live.LiveLine("04_training", 9, tmp_path, tmp_path / "none.txt")) as line:
        line.next_cell(cell={"cell_type": "code"})
        time.sleep(0.05)
    assert terminal.getvalue() == ""
