"""Work over a Ray cluster of several machines, as far as one machine can play them: `make test-ray`.

Each node of the cluster is a set of processes of its own with its own share of the processors.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
import ray
import sweep_cells
from ray.cluster_utils import Cluster

from hammerlib import evaluate
from hammerlib.runs import workers as executor
from hammerlib.runs.storage import environment
from hammerlib.runs.trials import run_trials
from hammerlib.runs.workers import DIED, Failure, map_tasks
from hammerlib.study.plan import read_study, trials
from hammerlib.study.trial import run_trial

ASKED = {"n": 24, "k": 4, "max_new_tokens": 40, "tokens_per_batch": 700}


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of two processors; tests take the second away, and a third."""
    shared = {"num_cpus": 2, "object_store_memory": executor.OBJECT_STORE}
    path = executor.own_cluster(2)["runtime_env"]
    with environment(**executor.RAY_SETTINGS):
        made = Cluster(initialize_head=True, head_node_args=shared | {"include_dashboard": False})
        made.second = made.add_node(**shared)
        ray.init(address=made.address, log_to_driver=False, configure_logging=False, runtime_env=path)
    yield made
    ray.shutdown()
    made.shutdown()


def _where(seconds: float) -> tuple[int, str]:
    time.sleep(seconds)
    return os.getpid(), ray.get_runtime_context().get_node_id()


def test_tasks_run_on_both_nodes(cluster):
    found = [place for _, place in map_tasks(_where, [1.0] * 8, workers=4, backend="ray")]
    assert len({node for _, node in found}) == 2 and len({process for process, _ in found}) == 4


def _die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_task_that_kills_every_process_is_named_and_stops_no_other(cluster):
    assert dict(map_tasks(_die, [0], workers=1, backend="ray", retries=1)) == {0: Failure(DIED)}
    assert dict(map_tasks(abs, [-3], workers=1, backend="ray")) == {0: 3}


def test_a_sharded_record_is_that_of_one_process_through_a_killed_worker_and_a_lost_node(cluster, tmp_path):
    whole = evaluate("nano", "reasoning-gym:nano", **ASKED, root=tmp_path / "one")
    path = tmp_path / "ray" / whole.run_id / "samples.jsonl"
    killed: list[int] = []

    def strike() -> None:
        while not (path.exists() and path.read_bytes().count(b"\n") >= 8):
            time.sleep(0.02)
        (process, _), *_ = [place for _, place in map_tasks(_where, [0.0], workers=1, backend="ray")]
        os.kill(process, signal.SIGKILL)
        killed.append(process)
        cluster.remove_node(cluster.second, allow_graceful=False)

    striker = threading.Thread(target=strike)
    striker.start()
    sharded = evaluate("nano", "reasoning-gym:nano", **ASKED, workers=4, backend="ray", root=tmp_path / "ray")
    striker.join()
    give_up = time.monotonic() + 60
    while sum(node["Alive"] for node in ray.nodes()) > 1 and time.monotonic() < give_up:
        time.sleep(0.2)  # Ray notices a lost node after some seconds; a quick machine has finished by then
    assert killed and len(ray.nodes()) == 2 and sum(node["Alive"] for node in ray.nodes()) == 1
    assert path.read_bytes() == (Path(whole.folder) / "samples.jsonl").read_bytes()
    assert (sharded.run_id, sharded.metrics) == (whole.run_id, whole.metrics)


@pytest.mark.parametrize("lost", ["worker", "node"])
def test_a_sweep_that_loses_a_worker_or_a_node_leaves_the_records_of_cells_run_alone(cluster, tmp_path, lost):
    (tmp_path / "tiny.yaml").write_text(sweep_cells.TINY)
    asked, folder = trials(read_study(tmp_path / "tiny.yaml")), tmp_path / "ray" / "tiny"
    for cell in asked:
        run_trial(cell, tmp_path / "alone")
    third = cluster.add_node(num_cpus=2, object_store_memory=executor.OBJECT_STORE)
    folder.mkdir(parents=True)
    struck: list[str] = []

    def strike() -> None:
        starts = folder / "starts"
        while not (starts.exists() and starts.read_text().endswith("\n")):
            time.sleep(0.005)
        name, process = starts.read_text().splitlines()[0].split()
        if lost == "worker":
            os.kill(int(process), signal.SIGKILL)
        else:
            cluster.remove_node(third, allow_graceful=False)
        struck.append(name)

    striker = threading.Thread(target=strike)
    striker.start()
    found = run_trials(sweep_cells.tiny, asked, folder, workers=4, backend="ray")
    striker.join()
    if lost == "worker":
        assert sweep_cells.starts(folder).count(struck[0]) == 2
        cluster.remove_node(third, allow_graceful=False)
    assert struck and found.count("done") == 4
    assert sweep_cells.records(folder) == sweep_cells.records(tmp_path / "alone" / "tiny")
