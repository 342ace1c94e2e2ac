"""Tasks on workers: each once, failures named, one compute thread, deaths survived."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hammerlib.errors import InputError
from hammerlib.runs import workers as executor
from hammerlib.runs.storage import environment
from hammerlib.runs.workers import DIED, Failure, map_tasks


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


def _one_thread(_: int) -> str:
    return os.environ["OMP_NUM_THREADS"]


def _process(_: int) -> int:
    return os.getpid()


def _die_once(item: tuple[str, int]) -> int:
    """Kill the own process at the first call for this item; the mark outlives it."""
    folder, number = item
    mark = Path(folder) / str(number)
    if number == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _visible(_: int) -> str:
    return os.environ["CUDA_VISIBLE_DEVICES"]


def results(task, items, **options) -> list:
    """Results by place; every place comes once."""
    found = list(map_tasks(task, items, **options))
    assert len({place for place, _ in found}) == len(found)
    return [result for _, result in sorted(found, key=lambda pair: pair[0])]


def test_results_keep_the_order_of_the_items_whatever_finishes_first():
    assert results(_square, [1, 4, 2, 3], workers=2) == [1, 16, 4, 9]


def test_a_failed_item_gives_its_reason_and_stops_no_other():
    assert results(_fail_on_two, [1, 2, 3], workers=2) == [
        1,
        Failure("InputError: item = 2: is two; use three"),
        3,
    ]


def test_a_killed_process_takes_no_other_item_with_it():
    assert results(_die_on_one, [0, 1, 2, 3], workers=1, retries=1) == [0, Failure(DIED), 2, 3]


ORPHAN = """
import os, sys, time
from hammerlib.runs.workers import map_tasks
def wait(path):
    open(path, "w").write(str(os.getpid()))
    time.sleep(60)
if __name__ == "__main__":
    list(map_tasks(wait, [sys.argv[1]], workers=1))
"""


def test_a_killed_caller_leaves_no_worker_that_trains_on(tmp_path):
    (tmp_path / "orphan.py").write_text(ORPHAN)
    command = [sys.executable, str(tmp_path / "orphan.py"), str(tmp_path / "pid")]
    calling = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    worker = int(_soon(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    calling.kill()
    calling.wait()
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
    assert results(_threads, [0], workers=1) == [("1", 1)]
    assert os.environ["OMP_NUM_THREADS"] == "2"
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def test_a_worker_process_is_reused_so_that_imports_are_paid_once():
    assert len(set(results(_process, range(4), workers=1))) == 1


def test_an_item_whose_process_died_is_given_to_another(tmp_path):
    items = [(str(tmp_path), number) for number in range(4)]
    assert results(_die_once, items, workers=2, retries=1) == [0, 1, 2, 3]
    assert (tmp_path / "1").exists()


def test_items_are_taken_as_workers_become_free_and_none_after_the_end():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    stream = map_tasks(abs, items(), workers=1)
    assert next(stream) == (0, 0)
    stream.close()
    seen = len(taken)
    time.sleep(0.5)
    assert seen <= len(taken) <= seen + 1 < 100


def test_an_error_of_the_items_reaches_the_caller():
    def items():
        yield 1
        raise ValueError("no second item")

    with pytest.raises(ValueError, match="no second item"):
        list(map_tasks(abs, items(), workers=1))


def test_gpus_are_dealt_out_one_a_worker(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert set(results(_visible, range(8), workers=2, gpus=3)) <= {"0", "1"}
    for given, number, wanted in ((None, 4, "1"), ("5,7", 0, "5"), ("5,7", 3, "7")):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if given:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        executor._begin(number, 3)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == wanted


@pytest.mark.parametrize(
    ("options", "field"), [({"workers": 0}, "workers"), ({"backend": "cloud"}, "backend")]
)
def test_bad_input_is_refused_before_anything_starts(options, field):
    with pytest.raises(InputError, match=f"^{field} = "):
        map_tasks(abs, [1], **options)


def test_ray_that_is_not_installed_is_one_clear_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        InputError, match=r"^package = 'ray': is not installed; pip install 'hammerlib\[ray\]'"
    ):
        map_tasks(abs, [1], backend="ray")


# Ray, on this machine


@pytest.fixture(scope="module")
def cluster():
    """A local Ray of one processor; `map_tasks` uses the caller's connection and leaves it open."""
    import ray

    with environment(**executor.RAY_SETTINGS):
        ray.init(address="local", log_to_driver=False, configure_logging=False, **executor.own_cluster(1))
    yield ray
    ray.shutdown()


@pytest.mark.long
@pytest.mark.xdist_group("ray")
def test_ray_gives_the_results_of_processes_through_deaths_and_errors(cluster, tmp_path):
    items = [(str(tmp_path), number) for number in range(3)]
    assert results(_die_once, items, workers=1, backend="ray", retries=1) == [0, 1, 2]
    assert (tmp_path / "1").exists()
    failed = results(_fail_on_two, [1, 2], workers=1, backend="ray")
    assert failed == [1, Failure("InputError: item = 2: is two; use three")]
    assert results(_one_thread, [0], workers=1, backend="ray") == ["1"]
    assert cluster.is_initialized()
