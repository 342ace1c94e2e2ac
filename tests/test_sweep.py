"""The pool behind a grid of runs: order kept, failures named, one compute thread, deaths survived."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hammerlib import sweep
from hammerlib.errors import InputError


def _square(x: int) -> int:
    time.sleep(0.05 * (5 - x))
    return x * x


def _fail_on_two(x: int) -> int:
    if x == 2:
        raise InputError("item", x, "is two", "use three")
    return x


def _die_on_one(x: int) -> int:
    if x == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def _threads(_: int) -> tuple[str, int]:
    import numpy  # noqa: F401 - loads the threaded library, as a training run would
    from threadpoolctl import threadpool_info

    return os.environ["OMP_NUM_THREADS"], max(one["num_threads"] for one in threadpool_info())


def _process(_: int) -> int:
    return os.getpid()


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
    arm, _ = job
    if arm.seed == 3:
        raise InputError("problems", 7, "fewer than one batch", "add problems")
    return arm.seed, os.getpid()


def test_results_keep_the_order_of_the_items_whatever_finishes_first():
    assert sweep._run_pool(_square, [1, 4, 2, 3], 2, label="t") == [1, 16, 4, 9]


def test_a_failed_item_gives_its_reason_and_stops_no_other():
    results = sweep._run_pool(_fail_on_two, [1, 2, 3], 2, label="t")
    assert results == [1, "InputError: item = 2: is two; use three", 3]


def test_a_killed_process_takes_no_other_item_with_it():
    results = sweep._run_pool(_die_on_one, [0, 1, 2, 3], 1, label="t")
    assert results == [0, "its process was killed or ran out of memory", 2, 3]


ORPHAN = """
import os, sys, time
from hammerlib import sweep
def wait(path):
    open(path, "w").write(str(os.getpid()))
    time.sleep(60)
if __name__ == "__main__":
    sweep._run_pool(wait, [sys.argv[1]], 1, label="wait")
"""


def test_a_killed_sweep_leaves_no_worker_that_trains_on(tmp_path):
    (tmp_path / "orphan.py").write_text(ORPHAN)
    command = [sys.executable, str(tmp_path / "orphan.py"), str(tmp_path / "pid")]
    sweeping = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    worker = int(_soon(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    sweeping.kill()
    sweeping.wait()
    assert _soon(lambda: not _runs(worker))


def _soon(answer):
    deadline = time.monotonic() + 30
    while not (found := answer()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")  # a zombie that nobody has waited for has ended too
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


def test_every_worker_computes_with_one_thread_and_the_caller_keeps_its_environment(monkeypatch):
    pytest.importorskip("threadpoolctl")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert sweep._run_pool(_threads, [0], 1, label="t") == [("1", 1)]
    assert os.environ["OMP_NUM_THREADS"] == "2"
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def test_a_worker_process_is_reused_so_that_imports_are_paid_once():
    assert len(set(sweep._run_pool(_process, range(4), 1, label="t"))) == 1


def test_a_grid_returns_records_by_config_and_trains_equal_configs_once(monkeypatch, tmp_path):
    monkeypatch.setattr(sweep, "_train", _train_arm)
    records = sweep.run_grid([Arm(2), Arm(0), Arm(2)], workers=1, root=tmp_path)
    assert [seed for seed, _ in records] == [2, 0, 2]
    assert records[0] is records[2]


def test_a_grid_names_its_failed_runs_after_the_others_have_finished(monkeypatch, tmp_path):
    monkeypatch.setattr(sweep, "_train", _train_arm)
    with pytest.raises(InputError) as caught:
        sweep.run_grid([Arm(3), Arm(1), Arm(2, adjustment="dra")], workers=2, root=tmp_path)
    line = str(caught.value)
    assert "1 of 3 runs failed (hammer-none-s3: InputError: problems = 7: fewer than one batch" in line
    assert "\n" not in line


def _evaluate_model(job: tuple[str, str, object, dict]) -> tuple[str, int]:
    model, benchmark, _, options = job
    if model == "absent":
        raise InputError("model", model, "is not there", "train it")
    return f"{model} on {benchmark}", options["k"]


def test_models_are_evaluated_once_each_and_returned_in_order(monkeypatch, tmp_path):
    monkeypatch.setattr(sweep, "_evaluate", _evaluate_model)
    records = sweep.evaluate_grid(["b", "a", "b"], "x", workers=2, root=tmp_path, k=4)
    assert records == [("b on x", 4), ("a on x", 4), ("b on x", 4)]
    with pytest.raises(InputError, match="1 of 2 runs failed \\(absent: InputError: model = 'absent'"):
        sweep.evaluate_grid(["absent", "a"], "x", workers=1, root=tmp_path, k=4)


def test_two_configs_that_share_a_name_stay_two_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(sweep, "_train", _train_options)
    records = sweep.run_grid(
        [Arm(1, options={"rate": 1}), Arm(1, options={"rate": 2})], workers=1, root=tmp_path
    )
    assert records == [{"rate": 1}, {"rate": 2}]


def _train_options(job: tuple[Arm, object]) -> dict:
    return job[0].options


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: sweep.evaluate_grid([], "x"), "models"),
        (lambda: sweep.run_grid([]), "configs"),
        (lambda: sweep.run_grid([Arm(0), Arm(-1)]), "seed"),
        (lambda: sweep.run_grid([Arm(0)], workers=0), "workers"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(call, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        call()
