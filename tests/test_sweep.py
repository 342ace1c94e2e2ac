"""Grids: equal runs once, failures named, cells that survive kills of workers and of the sweep itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
import sweep_cells
from sweep_cells import grid, records, starts

from hammerlib.cli import main
from hammerlib.cli.commands import print_status as told
from hammerlib.errors import InputError
from hammerlib.evaluation import grid as evaluating
from hammerlib.runs import claimed, trials
from hammerlib.runs import workers as executor
from hammerlib.runs.storage import environment
from hammerlib.runs.trials import SweepStatus, TrialJob, mark_failed, run_trials, sweep_status
from hammerlib.runs.workers import DIED, Failure, map_tasks
from hammerlib.study.plan import read_study
from hammerlib.study.plan import trials as planned_trials
from hammerlib.study.trial import run_trial
from hammerlib.training import run as training


def _fail_on_two(x: int) -> int:
    if x == 2:
        raise InputError("item", x, "is two", "use three")
    return x


@dataclass(frozen=True)
class Arm:
    """Stands in for TrainConfig: what run_grid reads of it."""

    seed: int
    order: str = "hammer"
    adjustment: str = "none"
    options: dict = field(default_factory=dict)

    def validate(self) -> Arm:
        if self.seed < 0:
            raise InputError("seed", self.seed, "must be 0 or more", "use 0")
        return self


def _train_arm(job: tuple[Arm, object]) -> tuple[int, int]:
    arm, *_ = job
    if arm.seed == 3:
        raise InputError("problems", 7, "fewer than one batch", "add problems")
    return arm.seed, os.getpid()


def test_results_keep_the_order_of_the_items_and_failures_their_reason():
    assert list(map_tasks(_fail_on_two, [3, 2, 1], workers=1)) == [
        (0, 3),
        (1, Failure("InputError: item = 2: is two; use three")),
        (2, 1),
    ]


def test_a_grid_returns_records_by_config_and_trains_equal_configs_once(monkeypatch, tmp_path):
    monkeypatch.setattr(training, "_train_one", _train_arm)
    records = training.run_grid([Arm(2), Arm(0), Arm(2)], workers=1, root=tmp_path)
    assert [seed for seed, _ in records] == [2, 0, 2]
    assert records[0] is records[2]


def test_a_grid_names_its_failed_runs_after_the_others_have_finished(monkeypatch, tmp_path):
    monkeypatch.setattr(training, "_train_one", _train_arm)
    with pytest.raises(InputError) as caught:
        training.run_grid([Arm(3), Arm(1), Arm(2, adjustment="dra")], workers=2, root=tmp_path)
    line = str(caught.value)
    assert "1 of 3 runs failed (hammer-none-s3: InputError: problems = 7: fewer than one batch" in line
    assert "\n" not in line


def _evaluate_model(job: tuple[str, str, object, dict]) -> tuple[str, int]:
    model, benchmark, _, options = job
    if model == "absent":
        raise InputError("model", model, "is not there", "train it")
    return f"{model} on {benchmark}", options["k"]


def test_models_are_evaluated_once_each_and_returned_in_order(monkeypatch, tmp_path):
    monkeypatch.setattr(evaluating, "_evaluate", _evaluate_model)
    records = evaluating.evaluate_grid(["b", "a", "b"], "x", workers=2, root=tmp_path, k=4)
    assert records == [("b on x", 4), ("a on x", 4), ("b on x", 4)]
    with pytest.raises(InputError, match="1 of 2 runs failed \\(absent: InputError: model = 'absent'"):
        evaluating.evaluate_grid(["absent", "a"], "x", workers=1, root=tmp_path, k=4)


def test_two_configs_that_share_a_name_stay_two_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(training, "_train_one", _train_options)
    records = training.run_grid(
        [Arm(1, options={"rate": 1}), Arm(1, options={"rate": 2})], workers=1, root=tmp_path
    )
    assert records == [{"rate": 1}, {"rate": 2}]


def _train_given(job: tuple) -> tuple:
    arm, _, more = job
    return arm.seed, more


def test_tables_and_algorithms_reach_their_config_and_nothing_is_merged(monkeypatch, tmp_path):
    monkeypatch.setattr(training, "_train_one", _train_given)
    given = {"problems": ["one", "two"], "algorithms": [(), ("reshaped",)]}
    records = training.run_grid([Arm(1), Arm(1)], **given, workers=1, root=tmp_path)
    assert records == [
        (1, {"problems": "one", "algorithms": ()}),
        (1, {"problems": "two", "algorithms": ("reshaped",)}),
    ]


def _train_options(job: tuple[Arm, object]) -> dict:
    return job[0].options


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: evaluating.evaluate_grid([], "x"), "models"),
        (lambda: training.run_grid([]), "configs"),
        (lambda: training.run_grid([Arm(0), Arm(-1)]), "seed"),
        (lambda: training.run_grid([Arm(0)], workers=0), "workers"),
        (lambda: training.run_grid([Arm(0)], algorithms=[(), ()]), "algorithms"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(call, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        call()


# Cells


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> dict[str, dict]:
    """Records of five cells that nothing disturbed."""
    folder = tmp_path_factory.mktemp("unbroken")
    for cell in grid(5):
        sweep_cells.order(cell, folder)
    return records(folder)


def test_each_cell_leaves_one_record_and_runs_once_however_often_it_is_asked(tmp_path, unbroken, capsys):
    for _ in range(2):
        assert run_trials(sweep_cells.order, grid(5), tmp_path, workers=2).count("done") == 5
    assert sorted(starts(tmp_path)) == sorted(unbroken)
    assert records(tmp_path) == unbroken
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_a_record_that_is_deleted_is_the_only_one_made_again(tmp_path, unbroken):
    run_trials(sweep_cells.order, grid(5), tmp_path)
    (tmp_path / "random__r01.json").unlink()
    run_trials(sweep_cells.order, grid(5), tmp_path)
    assert starts(tmp_path) == [*(cell.name for cell in grid(5)), "random__r01"]
    assert records(tmp_path) == unbroken


def test_a_failed_cell_leaves_its_reason_stops_no_other_and_runs_again(tmp_path, unbroken, capsys):
    (tmp_path / "broken").touch()
    found = run_trials(sweep_cells.fail_once, grid(5), tmp_path)
    assert (found.count("done"), found.count("failed")) == (4, 1)
    failed = records(tmp_path)["dataset__r00"]
    assert failed["status"] == "error" and failed["error"] == "ValueError: it is broken"
    assert "dataset r00: failed, ValueError: it is broken (1/5 done, 1 failed" in capsys.readouterr().out
    (tmp_path / "broken").unlink()
    assert run_trials(sweep_cells.fail_once, grid(5), tmp_path).count("done") == 5
    assert sorted(starts(tmp_path)) == sorted(unbroken)
    assert records(tmp_path) == unbroken


def test_a_task_that_leaves_no_record_has_failed(tmp_path):
    assert run_trials(sweep_cells.leave_nothing, grid(1), tmp_path).count("failed") == 1
    assert records(tmp_path)["random__r00"]["error"].startswith("its task left no record of success")


def test_a_finished_record_of_other_settings_is_refused_before_anything_starts(tmp_path):
    run_trials(sweep_cells.order, grid(1, width=3), tmp_path)
    before = records(tmp_path)
    with pytest.raises(InputError, match="'random__r00': have finished records of other"):
        run_trials(sweep_cells.order, grid(5), tmp_path)
    assert records(tmp_path) == before and starts(tmp_path) == ["random__r00"]
    assert run_trials(sweep_cells.order, grid(5)[1:], tmp_path).count("done") == 4


def test_a_killed_worker_loses_nothing_and_nothing_counts_twice(tmp_path, unbroken):
    assert run_trials(sweep_cells.die_once, grid(5), tmp_path, workers=2).count("done") == 5
    assert (tmp_path / "died").exists() and not list(tmp_path.glob("*.part"))
    assert sorted(starts(tmp_path)) == sorted([*unbroken, "dataset__r00"])
    assert records(tmp_path) == unbroken


def test_a_cell_that_kills_every_process_is_recorded_and_stops_no_other(tmp_path):
    found = run_trials(sweep_cells.die, grid(4), tmp_path)
    assert (found.count("done"), found.count("failed")) == (3, 1)
    assert records(tmp_path)["dataset__r00"]["error"] == DIED


def test_a_claim_that_is_freed_a_moment_after_the_death_does_not_lose_the_cell(tmp_path):
    job = TrialJob(sweep_cells.order, grid(1)[0], tmp_path, None, wait=False, ends=None)
    held, free = threading.Event(), threading.Event()

    def dying() -> None:
        with claimed(f"{job.trial.name}.sweep", tmp_path):
            held.set()
            free.wait()

    thread = threading.Thread(target=dying)
    thread.start()
    held.wait()
    threading.Timer(0.2, free.set).start()
    assert mark_failed(job, DIED).how == "failed"
    assert records(tmp_path)[job.trial.name]["error"] == DIED
    thread.join()


def begun(folder: Path, task: str, *, number: int = 5, workers: int = 1) -> subprocess.Popen:
    """A sweep in a process of its own."""
    words = [str(folder), task, str(number), str(workers), "process"]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, sweep_cells.__file__, *words], env=environ, stdout=subprocess.PIPE, text=True
    )


def soon(answer, seconds: float = 60.0) -> bool:
    """Whether it becomes true."""
    deadline = time.monotonic() + seconds
    while not (found := answer()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(found)


def test_a_killed_sweep_goes_on_and_leaves_the_records_of_an_unbroken_one(tmp_path, unbroken):
    sweeping = begun(tmp_path, "hang_once")
    assert soon((tmp_path / "hanging").exists)
    sweeping.kill()
    sweeping.communicate()
    assert sorted(records(tmp_path)) == ["dataset__r00", "random__r00"]
    assert run_trials(sweep_cells.hang_once, grid(5), tmp_path).count("done") == 5
    assert starts(tmp_path) == [cell.name for cell in grid(5)]
    assert records(tmp_path) == unbroken


def test_two_sweeps_at_once_divide_the_cells(tmp_path):
    both = [begun(tmp_path, "order_slowly", number=12, workers=2) for _ in range(2)]
    said = [one.communicate()[0] for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted(starts(tmp_path)) == sorted(cell.name for cell in grid(12))
    ran = sum("another sweep" not in line for text in said for line in text.splitlines())
    assert ran == 12 and sweep_status(grid(12), tmp_path).count("done") == 12


def test_a_sweep_waits_for_a_cell_that_another_holds_and_takes_it_over_from_a_killed_one(tmp_path, unbroken):
    first = begun(tmp_path, "hang_once")
    assert soon((tmp_path / "hanging").exists)
    second = begun(tmp_path, "hang_once")
    assert soon(lambda: len(records(tmp_path)) == 4)
    assert second.poll() is None and "random__r01" not in records(tmp_path)
    first.kill()
    assert second.communicate() and second.returncode == 0
    first.communicate()
    assert records(tmp_path) == unbroken
    assert sorted(starts(tmp_path)) == sorted(unbroken)


def test_no_cell_starts_after_the_hours_and_what_is_under_way_is_finished(tmp_path, monkeypatch):
    assert run_trials(sweep_cells.order, grid(5), tmp_path, hours=0).count("missing") == 5
    clock = SimpleNamespace(time=lambda: 7200.0 * (tmp_path / "random__r01.json").exists())
    monkeypatch.setattr(trials, "time", clock)
    found = run_trials(sweep_cells.order, grid(5), tmp_path, hours=1)
    assert (found.count("done"), found.count("missing")) == (3, 2)


def test_a_folder_that_cannot_be_written_ends_the_sweep_with_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        run_trials(sweep_cells.order, grid(2), tmp_path / "file" / "records")


@pytest.mark.parametrize(
    ("options", "field"),
    [({"workers": 0}, "workers"), ({"backend": "cloud"}, "backend"), ({"hours": -1.0}, "hours")],
)
def test_a_bad_option_of_a_sweep_is_refused(tmp_path, options, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        run_trials(sweep_cells.order, grid(1), tmp_path, **options)


@pytest.mark.long
@pytest.mark.xdist_group("ray")
def test_ray_with_a_killed_worker_loses_nothing_and_counts_nothing_twice(tmp_path, unbroken):
    import ray

    with environment(**executor.RAY_SETTINGS):
        ray.init(address="local", log_to_driver=False, configure_logging=False, **executor.own_cluster(1))
    try:
        found = run_trials(sweep_cells.die_once, grid(5), tmp_path, backend="ray")
    finally:
        ray.shutdown()
    assert (tmp_path / "died").exists() and found.count("done") == 5
    assert sorted(starts(tmp_path)) == sorted([*unbroken, "dataset__r00"])
    assert records(tmp_path) == unbroken


# hammer sweep


@pytest.fixture
def tiny(tmp_path) -> list[str]:
    """Words of the command for a study of four cells of two steps."""
    (tmp_path / "tiny.yaml").write_text(sweep_cells.TINY)
    return ["sweep", str(tmp_path / "tiny.yaml"), "--root", str(tmp_path / "study")]


@pytest.mark.long
def test_a_swept_cell_is_the_cell_run_alone(tmp_path, tiny, capsys):
    assert main([*tiny, "--only", "hammer", "--replicates", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("hammer r01: ") and lines[0].endswith(" s (1/1 done)")
    assert lines[1] == "1 of 1 cells done, 0 failed, 0 not run"
    alone = run_trial(planned_trials(read_study(tiny[1]))[-1], tmp_path / "alone")
    swept = tmp_path / "study" / "tiny" / "hammer__r01.json"
    both = [sweep_cells.without_seconds(json.loads(path.read_text())) for path in (swept, alone)]
    assert both[0] == both[1] and both[0]["status"] == "success"
    assert main([*tiny, "--only", "hammer", "--replicates", "1"]) == 0  # nothing is left to run
    assert main([*tiny, "--dry-run", "--workers", "2"]) == 0
    planned = capsys.readouterr().out
    assert "3 of 4 cells to run: random r00 r01; hammer r00\nabout 0.0 h with 2" in planned
    assert " points (sd) to a difference of areas" in planned.splitlines()[-1]


def test_the_exit_code_tells_what_is_left(tmp_path, tiny, capsys):
    assert main([*tiny, "--hours", "0"]) == 3
    assert capsys.readouterr().out == "0 of 4 cells done, 0 failed, 4 not run\n"
    assert main([*tiny, "--dry-run"]) == 0
    assert (
        "\nat most about 0.0 h with 1 worker: no record yet, by 1,894 tokens a second"
        in capsys.readouterr().out
    )
    assert not list((tmp_path / "study" / "tiny").glob("*.json"))
    assert told(SweepStatus([], {"a": "done", "b": "failed", "c": "missing"}, {})) == 1
    assert told(SweepStatus([], {"a": "done"}, {})) == 0


@pytest.mark.parametrize(
    ("words", "field"),
    [(["--replicates", "x"], "replicates"), (["--replicates", "1-9"], "replicates"),
     (["--only", "x"], "only"), (["--hours", "-1"], "hours"), (["--backend", "cloud"], "backend"),
     (["--workers", "0"], "workers"), (["--workers", "0", "--dry-run"], "workers")],
)  # fmt: skip
def test_bad_words_of_the_command_are_one_line_and_exit_code_2(tiny, words, field, capsys):
    assert main([*tiny, *words]) == 2
    assert capsys.readouterr().err.startswith(f"error: {field} = ")
