"""The launch files executed: two processes on a CPU, killed, resumed, and equal to data parallel.

``make test-launch``; DeepSpeed's operators compile for minutes at first.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

from hammerlib.models import load_backbone
from hammerlib.runs import RunRecord
from hammerlib.training import Algorithm, Rollout, TrainConfig, train

ROOT = Path(__file__).resolve().parents[1]
# One process against two: halves of a gradient are added in another order, and AdamW divides by its size.
PROCESSES = 2e-4
TOLERANCE = 2e-5  # of a weight after three steps; sums of shards are rounded in another order


class Dies(Algorithm):
    """Ends its process in the third step, once, where a file to be left behind is named."""

    def observe(self, rollout: Rollout) -> dict[str, float]:
        """Leave the file and die."""
        mark = os.environ.get("DIES")
        if mark and rollout.step == 2 and not Path(mark).exists():
            Path(mark).touch()
            if "WAITS" in os.environ:
                time.sleep(600)  # until the job is stopped from outside
            os._exit(9)
        return {}

    def loss(self, trainer: object, model: object, inputs: object, default: object) -> object:
        """Log the share of the weights that this process holds."""
        held = sum(
            getattr(p, "_local_tensor", getattr(p, "ds_tensor", p)).numel() for p in model.parameters()
        )
        whole = sum(getattr(p, "ds_numel", p.numel()) for p in model.parameters())
        trainer._metrics["train"]["held_share"].append(held / whole)
        return default()


def launched(kind: str, config: Path, folder: Path, mark: Path | None = None) -> subprocess.CompletedProcess:
    """Train on two processes as a launch file says, but for the number format, which is the CPU's."""
    command = [sys.executable, "-m", "accelerate.commands.launch"]
    command += ["--config_file", str(ROOT / "launch" / f"{kind}.yaml"), "--num_processes", "2"]
    command += ["--mixed_precision", "no", "--main_process_port", str(20000 + os.getpid() % 20000)]
    command += ["-m", "hammerlib.training.launch", "--config", str(config)]
    environment = os.environ | {
        "HAMMER_RESULTS": str(folder), "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "DIES": str(mark or ""),
    }  # fmt: skip
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = {
        "n_problems": 12, "order": "random", "prompts_per_step": 4, "group_size": 4, "save_steps": 1,
        "learning_rate": 1e-3, "algorithms": [{"name": "launch_shards:Dies"}],
    }  # fmt: skip
    path = tmp_path_factory.mktemp("config") / "train.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="module")
def unbroken(config: Path, tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    done = launched("ddp", config, tmp_path_factory.mktemp("unbroken"))
    assert done.returncode == 0, done.stderr[-3000:]
    return RunRecord.load(done.stdout.split()[-1])


def weights(model: Path | str) -> dict[str, np.ndarray]:
    """Parameters by name, tied ones once, as they are loaded to go on with."""
    named = load_backbone(model, dtype="float32").model.named_parameters()
    return {name: weight.detach().numpy() for name, weight in named}


def difference(ours: RunRecord, theirs: RunRecord) -> float:
    """The largest difference of a weight of two trained models."""
    pairs = [weights(record.folder / "model") for record in (ours, theirs)]
    assert pairs[0].keys() == pairs[1].keys()
    return max(float(np.abs(pairs[0][name] - pairs[1][name]).max()) for name in pairs[0])


def test_two_processes_train_what_one_does(config: Path, tmp_path: Path) -> None:
    """With samples named by step and row, which are the same on any number of processes."""
    values = yaml.safe_load(config.read_text()) | {"sampler": "decoding"}
    config = tmp_path / "decoding.yaml"
    config.write_text(yaml.safe_dump(values))
    two = launched("ddp", config, tmp_path)
    assert two.returncode == 0, two.stderr[-3000:]
    [run] = (RunRecord.load(file.parent) for file in tmp_path.glob("train__*/manifest.json"))
    one = train(TrainConfig.from_yaml(config), root=tmp_path / "one", progress=False)
    tables = [record.table("metrics.csv").set_index(["metric", "step"])["value"] for record in (one, run)]
    assert tables[0]["reward"].tolist() == tables[1]["reward"].tolist()
    apart = difference(run, one)
    print(f"one process: largest difference of a weight {apart:.1e}")
    assert apart <= PROCESSES


@pytest.mark.parametrize(("kind", "share"), [
    ("ddp", 1.0), ("fsdp", 0.5), ("zero2", 1.0), ("zero3", 0.5),
])  # fmt: skip
def test_a_killed_run_resumes_to_the_weights_of_data_parallel(
    kind: str, share: float, config: Path, unbroken: RunRecord, tmp_path: Path
) -> None:
    broken = launched(kind, config, tmp_path, tmp_path / "died")
    assert broken.returncode != 0 and (tmp_path / "died").exists()
    done = launched(kind, config, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    run = RunRecord.load(done.stdout.split()[-1])
    assert run.status == "success" and run.manifest["resumed_from_step"] == 2
    assert (run.folder / "index_log.csv").read_text() == (unbroken.folder / "index_log.csv").read_text()
    table = run.table("metrics.csv")
    held = table.loc[table["metric"] == "held_share", "value"]
    assert held.to_numpy() == pytest.approx(share, abs=0.02)
    apart = difference(run, unbroken)
    print(f"{kind}: largest difference of a weight {apart:.1e}")
    assert apart <= TOLERANCE
    theirs, start = weights(unbroken.folder / "model"), weights("nano")
    assert max(float(np.abs(theirs[name] - start[name]).max()) for name in theirs) > 100 * TOLERANCE


# The cluster job: Slurm's commands are stand-ins, what they start is real


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """An allocation of two machines of one process each, both of them this one."""
    commands = {
        "scontrol": '[ "$1" = show ] && printf "127.0.0.1\\n127.0.0.1\\n" || echo "scontrol $*" >> "$TOLD"',
        "srun": 'while [[ "$1" == --* ]]; do shift; done\n'
        'SLURM_NODEID=1 "$@" &\nSLURM_NODEID=0 "$@"; code=$?\nwait; exit $code',
        "accelerate": f'exec "{sys.executable}" -m accelerate.commands.accelerate_cli "$@"',
    }
    for name, body in commands.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    return os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": str(os.getpid()), "SLURM_NNODES": "2",
        "SLURM_JOB_NODELIST": "here", "SLURM_GPUS_ON_NODE": "1", "TOLD": str(tmp_path / "told"),
        "HAMMER_RESULTS": str(tmp_path / "runs"), "OMP_NUM_THREADS": "1",
        "HAMMER_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "DIES": str(tmp_path / "died"), "WAITS": "1",
    }  # fmt: skip


def test_the_cluster_job_is_queued_again_and_resumes(
    cluster: dict[str, str], config: Path, unbroken: RunRecord, tmp_path: Path
) -> None:
    plain = (
        (ROOT / "launch" / "ddp.yaml").read_text().replace("mixed_precision: bf16", "mixed_precision: 'no'")
    )
    (tmp_path / "ddp.yaml").write_text(plain)
    command = ["bash", str(ROOT / "launch" / "slurm.sh"), str(config), str(tmp_path / "ddp.yaml")]
    with open(tmp_path / "log", "w") as log:
        job = subprocess.Popen(command, env=cluster, stdout=log, stderr=log, cwd=ROOT)
        deadline = time.monotonic() + 300
        while not (tmp_path / "died").exists() and job.poll() is None and time.monotonic() < deadline:
            time.sleep(0.5)
        started = psutil.Process(job.pid).children(recursive=True)
        job.send_signal(signal.SIGUSR1)  # to the batch shell, as --signal=B:USR1@120 asks
        job.wait(60)
        for process in started:  # Slurm ends what is left of the job
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    assert (tmp_path / "told").read_text() == f"scontrol requeue {os.getpid()}\n", (
        tmp_path / "log"
    ).read_text()
    again = subprocess.run(command, env=cluster, capture_output=True, text=True, cwd=ROOT)
    assert again.returncode == 0, again.stderr[-3000:]
    [folder] = (tmp_path / "runs").glob("train__*")
    run = RunRecord.load(folder)
    assert run.status == "success" and run.manifest["resumed_from_step"] == 2
    assert (folder / "index_log.csv").read_text() == (unbroken.folder / "index_log.csv").read_text()
    assert (folder / "model/model.safetensors").read_bytes() == (
        unbroken.folder / "model/model.safetensors"
    ).read_bytes()
