"""Records and storage: whole or not at all, the same content the same name."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hammerlib.errors import InputError
from hammerlib.runs import RunRecord, claimed, find_run, start_run
from hammerlib.runs.storage import atomic_path, cache_dir, content_hash, file_hash, results_root, write_json


def test_the_error_names_field_value_and_remedy() -> None:
    error = InputError("eta", 2, "must lie in [0, 1]", "set eta: 0.0")
    assert str(error) == "eta = 2: must lie in [0, 1]; set eta: 0.0"
    assert isinstance(error, ValueError)


def test_the_error_survives_a_process_border_and_shortens_long_values() -> None:
    error = pickle.loads(pickle.dumps(InputError("rows", list(range(1000)), "too many", "take fewer")))
    assert error.field == "rows" and len(str(error)) < 200


def test_a_run_that_ends_well_is_found_again(tmp_path: Path) -> None:
    with start_run("demo", parameters={"n": 3}, passed={"n": 3}, seeds=[0], root=tmp_path) as run:
        run.metric("pass@1", 0.5, low=0.4, high=0.6, n=32, k=4, unit="share")
        run.log(1, reward=0.25, entropy=1.5)
        run.log(2, reward=0.5)
        run.artefact("metrics.csv")
    found = find_run(run.run_id, tmp_path)
    assert found is not None and found.metrics["pass@1"] == {
        "value": 0.5,
        "low": 0.4,
        "high": 0.6,
        "n": 32,
        "k": 4,
        "unit": "share",
    }
    assert (found.folder / "metrics.csv").read_text().splitlines() == [
        "step,metric,value",
        "1,reward,0.25",
        "1,entropy,1.5",
        "2,reward,0.5",
    ]
    assert found.manifest["artefacts"][0]["sha256"] == file_hash(found.folder / "metrics.csv")


def test_a_run_that_fails_says_why_and_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), start_run("demo", parameters={}, root=tmp_path) as run:
        raise RuntimeError("the reason")
    record = RunRecord.load(run.folder)
    assert record.status == "error" and record.manifest["error"] == "RuntimeError: the reason"
    assert find_run(run.run_id, tmp_path) is None


def test_a_killed_run_stays_visible_as_started(tmp_path: Path) -> None:
    script = (
        "import os, signal, pathlib\nfrom hammerlib.runs import start_run\n"
        f"with start_run('demo', parameters={{}}, root=pathlib.Path({str(tmp_path)!r})):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": os.getcwd()})
    assert done.returncode == -signal.SIGKILL
    (folder,) = tmp_path.iterdir()
    assert RunRecord.load(folder).status == "started"


def test_the_manifest_holds_no_absolute_path(tmp_path: Path) -> None:
    run = start_run("demo", parameters={"n": 1}, root=tmp_path)
    text = (run.folder / "manifest.json").read_text()
    assert str(tmp_path) not in text and str(Path.home()) not in text.replace('"/"', "")
    assert json.loads(text)["schema_version"] == 1


def test_the_same_parameters_name_the_same_folder(tmp_path: Path) -> None:
    one, two, other = (start_run("demo", parameters={"n": n}, root=tmp_path).run_id for n in (1, 1, 2))
    assert one == two != other


def test_an_error_while_writing_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(OSError, match="full"), atomic_path(target) as part:
        part.write_text("half")
        raise OSError("disk full")
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_a_kill_while_writing_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    script = (
        "import os, signal\nfrom hammerlib.runs.storage import atomic_path\n"
        f"with atomic_path({str(target)!r}) as part:\n    part.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": os.getcwd()})
    assert target.read_text() == "old"


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    for text in ("first", "second"):  # the second writer of the same folder loses without harm
        with atomic_path(tmp_path / "folder") as part:
            part.mkdir()
            (part / "file").write_text(text)
    assert (tmp_path / "folder" / "file").read_text() == "first" and len(list(tmp_path.iterdir())) == 1


def _makes_folder(job: tuple[str, int]) -> str:
    path, number = job
    with atomic_path(path) as part:
        part.mkdir()
        (part / "file").write_text(str(number))
        time.sleep(0.3)  # both writers are inside before either takes the name
    return (Path(path) / "file").read_text()


def test_two_processes_that_make_the_same_folder_both_succeed(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        one, two = pool.map(_makes_folder, [(str(tmp_path / "folder"), n) for n in (1, 2)], chunksize=1)
    assert one == two and [path.name for path in tmp_path.iterdir()] == ["folder"]


def _counts(root: str) -> None:
    with claimed("demo", Path(root)) as folder:
        count = int((folder / "count").read_text())
        time.sleep(0.1)
        (folder / "count").write_text(str(count + 1))


def test_a_run_is_claimed_by_one_process_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("0")
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(_counts, [str(tmp_path)] * 4, chunksize=1)
    assert (tmp_path / "count").read_text() == "4"


def test_a_folder_that_appears_at_the_last_moment_wins(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "folder") as part:
        part.mkdir()
        (part / "file").write_text("late")
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "file").write_text("first")
    assert (tmp_path / "folder" / "file").read_text() == "first" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EFBIG, "File too large"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/0: file write failed"),
    ],
)
def test_a_full_disk_is_one_named_error_in_every_librarys_words(tmp_path: Path, error: Exception) -> None:
    told = r"file = '[^/]+/a.txt': cannot be written \(.+\); make room"
    with pytest.raises(InputError, match=told), atomic_path(tmp_path / "a.txt") as part:
        part.write_text("half")
        raise error
    assert not list(tmp_path.iterdir())


def test_other_errors_inside_a_write_keep_their_type(tmp_path: Path) -> None:
    for error in (FileNotFoundError(errno.ENOENT, "another file"), KeyError("key"), InputError(*"abcd")):
        with pytest.raises(type(error)), atomic_path(tmp_path / "a.txt"):
            raise error


def test_a_run_that_cannot_write_its_end_still_raises_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start_run("demo", parameters={}, root=tmp_path)

    def full(*_: object) -> None:
        raise InputError("file", "manifest.json", "cannot be written", "make room")

    monkeypatch.setattr("hammerlib.runs.record.write_json", full)
    with pytest.raises(RuntimeError, match="the reason"), run:
        raise RuntimeError("the reason")
    assert RunRecord.load(run.folder).status == "started"


def test_what_a_killed_writer_left_goes_when_the_run_starts_again(tmp_path: Path) -> None:
    run = start_run("demo", parameters={}, root=tmp_path)
    (run.folder / ".manifest.json.abc.part").mkdir()
    start_run("demo", parameters={}, root=tmp_path)
    assert [path.name for path in run.folder.iterdir()] == ["manifest.json"]


def test_content_hash_sees_arrays_and_ignores_key_order() -> None:
    array = np.arange(6, dtype=np.float32)
    assert content_hash({"a": array, "b": 1}) == content_hash({"b": 1, "a": array.copy()})
    assert (
        content_hash(array)
        != content_hash(array.reshape(2, 3))
        != content_hash(array.astype(np.float64).reshape(2, 3))
    )


def test_json_refuses_values_that_are_not_numbers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


def test_folders_follow_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAMMER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HAMMER_RESULTS", str(tmp_path / "elsewhere"))
    assert cache_dir("x") == tmp_path / "cache" / "x" and (tmp_path / "cache" / "x").is_dir()
    assert results_root() == tmp_path / "elsewhere"
