"""Bad input, end to end: a process of its own, one line that says what helps, exit code 2, nothing left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hammerlib.cli import main
from hammerlib.models.embeddings import Embeddings
from hammerlib.ordering import order_by
from hammerlib.problems import item_hashes, load_problems
from hammerlib.runs import RunRecord

ROOT = Path(__file__).resolve().parents[1]
CLI = [sys.executable, "-m", "hammerlib.cli"]
# The same command in a process to which something happens: {setup} runs before it.
PREPARED = (
    "import errno, os, resource, signal, sys\n{setup}\nfrom hammerlib.cli import main\nsys.exit(main())"
)
TWINS = """
from hammerlib.problems import register_source
from hammerlib.problems.table import make_table
row = {"id": "a", "prompt": "1+1?", "answer": "2", "source": "s", "topic": "t"}
register_source("twins", lambda name, **_: make_table([row, row]))
"""
SMALL_DISK = "resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
# What happens when the file named {name} is about to take its place.
AT_RENAME = """
rename = os.replace
def replace(part, path):
    if str(path).endswith({name!r}):
        {happens}
    rename(part, path)
os.replace = replace
"""
FULL = "raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))"
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
TRAIN = "n_problems: 4\nprompts_per_step: 2\ngroup_size: 2\nmax_completion_length: 8\norder: random\n"
OUT = ["--out", "made.json"]
GIVEN = ["--embeddings", "e.safetensors", *OUT]
NANO = ["evaluate", "--model", "nano", "--benchmark", "reasoning-gym:nano", "--n", "16", "--samples", "8"]


@pytest.fixture
def files(sums: Path) -> Path:
    """A working folder with good problems, vectors and configs, and one file for each way to be wrong."""
    for name, content in {
        "others": [{"question": f"What is {i} + 2?", "answer": f"#### {i + 2}"} for i in range(6)],
        "empty": [],
        "no-text": [{"question": " ", "answer": "#### 1"}],
        "no-answer": [{"question": "1 + 1?", "answer": ""}],
    }.items():
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    Path("bytes.jsonl").write_bytes(b"\xff\xfe\x00")
    Path("folder.jsonl").mkdir()
    vectors = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    first = np.arange(6)[:, None] == 0
    names = [f"ok-{i}" for i in range(6)]
    for name, values in {
        "e": vectors,
        "nan": np.where(first, np.nan, vectors),
        "zero": vectors * ~first,
    }.items():
        Embeddings(values.astype(np.float32), names, "key", {}).save(f"{name}.safetensors")
    hashes = item_hashes(load_problems("file:others.jsonl"))
    Embeddings(vectors, names, "key", {}, hashes).save("others.safetensors")
    for name, lines in {
        "train": "save_steps: 1\n",
        "few": "n_problems: 4\nprompts_per_step: 8\n",
        "group": "prompts_per_step: 3\ngroup_size: 4\ngradient_accumulation: 2\nsteps_per_generation: 1\n",
        "strategy": "order: zigzag\n",
        "parameter": "orderr: hammer\n",
        "chat": "template: chat\n",
        "hub": "backbone: nobody/nothing\n",
        "hub-set": "problems: hub:nobody/nothing\nsplit: train\n",
    }.items():
        Path(f"{name}.yaml").write_text((TRAIN if name in ("train", "chat") else "") + lines)
    return sums


def run(folder: Path, words: list[str], setup: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, offline, with its cache and runs beside `folder`."""
    places = {"HAMMER_CACHE": folder.parent / "cache", "HAMMER_RESULTS": folder.parent / "runs"}
    settings = {"PYTHONPATH": ROOT, "HF_HUB_OFFLINE": 1, "HF_HOME": folder.parent / "hub", "CI": 1}
    settings |= {"PYTHONDONTWRITEBYTECODE": 1, **places}
    command = [sys.executable, "-c", PREPARED.format(setup=setup), *words] if setup else [*CLI, *words]
    environment = os.environ | {name: str(value) for name, value in settings.items()}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def left(folder: Path) -> list[str]:
    """Everything in the working folder, the cache and the runs; empty folders and released locks apart."""
    found = (path for path in folder.parent.rglob("*") if path.is_file() or path.name.endswith(".part"))
    return sorted(
        path.relative_to(folder.parent).as_posix()
        for path in found
        if path.suffix != ".lock" and "hub" not in path.parts
    )


def assert_one_line(ended: subprocess.CompletedProcess[str], field: str, value: str) -> None:
    """Exit code 2 and one line: field = value: what is wrong; what helps."""
    assert ended.returncode == 2, ended.stderr[-2000:]
    assert "Traceback" not in ended.stderr and "it/s]" not in ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("error:")]
    assert line.startswith(f"error: {field} = ") and value in line
    _, problem, remedy = *line.split(": ", 1), line.rpartition("; ")[2]
    assert problem and len(remedy) > 5


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["order", "file:missing.jsonl", *GIVEN], "file", "missing.jsonl"),
        (["order", "file:bytes.jsonl", *GIVEN], "file", "bytes.jsonl"),
        (["order", "file:folder.jsonl", *GIVEN], "file", "folder.jsonl"),
        (["order", "file:ok.jsonl", "--embeddings", "missing.safetensors", *OUT], "embeddings", "missing"),
        (["train", "--config", "missing.yaml"], "config", "missing.yaml"),
        (["order", "file:empty.jsonl", *GIVEN], "file", "empty.jsonl"),
        (["order", "file:no-text.jsonl", *GIVEN], "prompt", "no-text-0"),
        (["order", "file:no-answer.jsonl", *GIVEN], "answer", "no-answer-0"),
        (["evaluate", "--model", "nano", "--benchmark", "file:no-answer.jsonl"], "answer", "no-answer-0"),
        (["order", "file:ok.jsonl", "--embeddings", "nan.safetensors", *OUT], "embeddings", "ok-0"),
        (["order", "file:ok.jsonl", "--embeddings", "zero.safetensors", *OUT], "embeddings", "ok-0"),
        (["train", "--config", "few.yaml"], "n_problems", "4"),
        (["train", "--config", "group.yaml"], "group_size", "4"),
        (
            ["order", "file:ok.jsonl", "--embeddings", "others.safetensors", *OUT],
            "embeddings",
            "other problems",
        ),
        (["order", "file:ok.jsonl", *GIVEN, "--strategy", "zigzag"], "strategy", "zigzag"),
        (["train", "--config", "strategy.yaml"], "order", "zigzag"),
        (["train", "--config", "parameter.yaml"], "config", "orderr"),
        (["embed", "file:ok.jsonl", "--template", "chat", *OUT], "template", "chat"),
        (["train", "--config", "chat.yaml"], "template", "chat"),
        ([*NANO, "--template", "chat"], "template", "chat"),
        (["order", "hub:nobody/nothing", *GIVEN], "hub", "nobody/nothing"),
        (["train", "--config", "hub-set.yaml"], "hub", "nobody/nothing"),
        (["embed", "file:ok.jsonl", "--backbone", "nobody/nothing", *OUT], "backbone", "nobody/nothing"),
        (["train", "--config", "hub.yaml"], "backbone", "nobody/nothing"),
        (["evaluate", "--model", "nobody/nothing", *NANO[3:]], "backbone", "nobody/nothing"),
    ],
    ids=lambda given: " ".join(given[:3]) if isinstance(given, list) else None,
)
def test_bad_input_is_one_line_and_leaves_nothing(
    files: Path,
    words: list[str],
    field: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> None:
    before = left(files)
    if "nobody/nothing" in (*words, value):  # the hub's settings are read when a process starts
        ended = run(files, words)
    else:
        monkeypatch.setenv("HAMMER_CACHE", str(files.parent / "cache"))
        monkeypatch.setenv("HAMMER_RESULTS", str(files.parent / "runs"))
        capfd.readouterr()
        code = main(words)
        ended = subprocess.CompletedProcess(words, code, *capfd.readouterr())
    assert_one_line(ended, field, value)
    assert left(files) == before


def test_two_problems_of_one_id_are_refused(files: Path) -> None:
    before = left(files)
    assert_one_line(run(files, ["order", "twins:", *GIVEN], TWINS), "id", "2 rows share this id")
    assert left(files) == before


@pytest.mark.parametrize(
    ("words", "field"),
    [(["--profile", "huge"], "profile"), (["--profile", "ci", "--set", "sed=3"], "sed")],
)
def test_run_refuses_unknown_names(
    files: Path, words: list[str], field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT / "tests" / "fixtures" / "checkout")
    assert_one_line(run(files, ["run", *words]), field, words[-1].rpartition("=")[2])
    assert not (files.parent / "runs").exists()


# A disk that is full


@pytest.mark.parametrize(
    ("words", "setup", "name"),
    [
        pytest.param(
            ["embed", "reasoning-gym:nano", "--n", "32", *OUT],
            SMALL_DISK.format(size=4000),
            "embeddings/",
            id="embedding cache",
            marks=pytest.mark.long,
        ),
        pytest.param(
            ["order", "file:ok.jsonl", *GIVEN], SMALL_DISK.format(size=200), "made.json", id="order"
        ),
        pytest.param(
            NANO,
            AT_RENAME.format(name="manifest.json", happens=FULL),
            "/manifest.json",
            id="manifest",
            marks=pytest.mark.long,
        ),
        pytest.param(
            ["train", "--config", "train.yaml"],
            AT_RENAME.format(name="order.json", happens=FULL),
            "order.json",
            id="a run's order",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_full_disk_is_one_line_and_leaves_no_half_file(
    files: Path, words: list[str], setup: str, name: str
) -> None:
    order_by("hammer", np.eye(6))  # compiled and cached, or the small disk would refuse that cache first
    before = left(files)
    ended = run(files, words, setup)
    assert_one_line(ended, "file", name)
    assert "cannot be written" in ended.stderr
    new = [path for path in left(files) if path not in before]
    assert not [path for path in new if path.endswith((".part", name))]
    if words[0] != "train":
        assert new == [] and not list(files.parent.glob("runs/*/"))


def test_a_full_disk_at_the_first_compilation_is_named(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(files.parent / "compiled"))  # empty: everything compiles anew
    ended = run(files, ["order", "file:ok.jsonl", *GIVEN], SMALL_DISK.format(size=200))
    assert_one_line(ended, "file", "cache of compiled code")
    assert not (files / "made.json").exists()


@pytest.mark.long
def test_a_disk_that_fills_during_sampling_costs_only_what_it_refused(files: Path) -> None:
    assert_one_line(run(files, NANO, SMALL_DISK.format(size=12_000)), "file", "samples.jsonl")
    (folder,) = (path.parent for path in (files.parent / "runs").glob("*/manifest.json"))
    broken = RunRecord.load(folder)
    assert broken.status == "error" and "samples.jsonl" in broken.manifest["error"]
    assert str(files.parent) not in (folder / "manifest.json").read_text()
    assert run(files, NANO).returncode == 0
    whole = RunRecord.load(folder)
    assert whole.status == "success" and len((folder / "samples.jsonl").read_text().splitlines()) == 16 * 8


@pytest.mark.long
def test_a_disk_that_fills_during_a_checkpoint_leaves_a_run_that_can_go_on(files: Path) -> None:
    words = ["train", "--config", "train.yaml"]
    assert_one_line(run(files, words, SMALL_DISK.format(size=1_000_000)), "file", "checkpoints")
    (folder,) = (path.parent for path in (files.parent / "runs").glob("*/manifest.json"))
    broken = RunRecord.load(folder)
    assert broken.status == "error" and "checkpoints" in broken.manifest["error"]
    assert not list(folder.glob("checkpoints/checkpoint-*")) and not (folder / "model").exists()
    assert run(files, words).returncode == 0
    assert RunRecord.load(folder).status == "success"
    assert len((folder / "index_log.csv").read_text().splitlines()) == 1 + 4


# A kill in the middle of a write


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["embed", "reasoning-gym:nano", "--n", "4", "--out", "made.safetensors"], ".safetensors"),
        (["order", "file:ok.jsonl", *GIVEN], "made.json"),
        ([*NANO[:6], "2", "--samples", "2"], "manifest.json"),
    ],
    ids=["embedding cache", "order", "manifest"],
)
def test_a_kill_while_writing_leaves_only_temporary_names(files: Path, words: list[str], name: str) -> None:
    before = left(files)
    died = run(files, words, AT_RENAME.format(name=name, happens=KILL))
    assert died.returncode == -signal.SIGKILL
    new = [path for path in left(files) if path not in before]
    assert new and all(".part" in path for path in new)
    again = run(files, words)
    assert again.returncode == 0, again.stderr
    assert any(path.endswith(name) and ".part" not in path for path in left(files))
