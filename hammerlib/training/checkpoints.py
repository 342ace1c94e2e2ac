"""Checkpoints that survive a kill: which one is whole, and what must go before training resumes."""

from __future__ import annotations

import contextlib
import hashlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from hammerlib.errors import InputError
from hammerlib.runs.storage import (
    atomic_path,
    damaged,
    discard,
    read_object,
    sealed,
    write_json,
    write_sums,
    writing,
)

FOLDER = "checkpoints"
NAME = re.compile(r"checkpoint-(0|[1-9]\d{0,17})")  # ASCII digits, as the trainer writes them
LOGS = "logs.json"  # in a checkpoint: how far the run's growing files had come
GROWING = ("metrics.csv", "skipped.csv", "index_log*.csv")
# torch's words where a policy's outputs are no numbers any more.
DIVERGED = re.compile(r"probability tensor contains either `?inf`?, `?nan`?")
# How gloo and NCCL tell that the other end of a connection is gone.
LOST = re.compile(
    r"connection (was )?(closed|reset|refused)|broken pipe|remote process exited|timed? ?out", re.IGNORECASE
)


@contextlib.contextmanager
def resumable(folder: Path, processes: int) -> Iterator[None]:
    """Turn a full disk or a lost process inside the block into one InputError; whole checkpoints stay.

    Parameters
    ----------
    folder : Path
        The run's folder.
    processes : int
        Number of training processes.

    Raises
    ------
    InputError
        The disk refused a file, or another process is gone.

    Examples
    --------
    >>> with resumable(Path("run"), processes=2):
    ...     raise RuntimeError("Connection closed by peer")
    Traceback (most recent call last):
    ...
    hammerlib.errors.InputError: processes = 2: lost one of them; see what that process said, then ...
    """
    try:
        with writing(folder / FOLDER):
            yield
    except InputError:  # the next call resumes from a whole checkpoint, not from half of one
        newest_complete(folder, processes=processes)
        raise
    except RuntimeError as error:
        if DIVERGED.search(str(error)):
            problem, remedy = "its outputs are NaN or infinite", "lower learning_rate, and start again"
            raise InputError("model", folder.name, problem, remedy) from error
        if processes == 1 or not LOST.search(str(error)):
            raise
        remedy = "see what that process said, then start all again: they resume from the last checkpoint"
        raise InputError("processes", processes, "lost one of them", remedy) from error


def newest_complete(folder: Path, *, processes: int = 1) -> tuple[Path, int] | None:
    """Return the newest whole checkpoint and its step, or None; remove what a kill left half-written.

    A checkpoint is whole when every file is what `seal` found after the last one was written, it is of its
    own step, every process's random state is in it, and the run's logs still begin with what they held then.
    Others are removed, with a warning where one was damaged; folders of other names stay as they are.

    Parameters
    ----------
    folder : Path
        The run's folder.
    processes : int
        Number of training processes.

    Examples
    --------
    >>> import tempfile
    >>> newest_complete(Path(tempfile.mkdtemp())) is None
    True
    """
    found = None
    for path, step in _numbered(folder / FOLDER):
        problem = _problem(path, step, processes)
        if problem is None:
            found = path, step
            continue
        if problem:
            warnings.warn(f"{path.name} is not used: {problem}", stacklevel=2)
        discard(path)
    return found


def _numbered(folder: Path) -> list[tuple[Path, int]]:
    names = [(path, NAME.fullmatch(path.name)) for path in folder.glob("checkpoint-*")]
    return sorted(((path, int(name[1])) for path, name in names if name), key=lambda pair: pair[1])


def _problem(path: Path, step: int, processes: int) -> str | None:
    """Why a checkpoint cannot be resumed from; "" where a kill left it unfinished, None where it is whole."""
    random = ["rng_state.pth"] if processes == 1 else [f"rng_state_{p}.pth" for p in range(processes)]
    try:
        problem = damaged(path)
        if problem is None:
            state = read_object(path / "trainer_state.json")
            if state.get("global_step") != step or not all((path / name).is_file() for name in random):
                return ""
            problem = _lost(path)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        return f"trainer_state.json {error}"
    return problem


def seal(path: Path) -> None:
    """Note, in a checkpoint that is written, how far the run's logs are and the sha256 of all its files.

    Parameters
    ----------
    path : Path
        ``<run>/checkpoints/checkpoint-<step>``.

    Examples
    --------
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / FOLDER / "checkpoint-1"; place.mkdir(parents=True)
    >>> seal(place); sorted(one.name for one in place.iterdir())
    ['logs.json', 'sums.json']
    """
    run = path.parent.parent
    logs = {}
    for file in sorted(one for pattern in GROWING for one in run.glob(pattern)):
        content = file.read_bytes()
        logs[file.name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    write_json(path / LOGS, sealed({"logs": logs}))
    write_sums(path)


def _logs(path: Path) -> dict[str, dict]:
    return read_object(path / LOGS)["logs"]


def _lost(path: Path) -> str | None:
    """Which log no longer begins with what it held at this checkpoint, None where all do."""
    for name, held in _logs(path).items():
        file = path.parent.parent / name
        start = file.read_bytes()[: held["bytes"]] if file.is_file() else b""
        if hashlib.sha256(start).hexdigest() != held["sha256"]:
            return f"{name} was changed after it was written" if start else f"{name} is gone or empty"
    return None


def cut_logs(folder: Path, checkpoint: Path | None) -> None:
    """Make a run's logs what they were at a checkpoint; without one they go.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "metrics.csv").write_text("step,metric,value\\n1,reward,0.5\\n")
    >>> cut_logs(folder, None); (folder / "metrics.csv").exists()
    False
    """
    kept = _logs(checkpoint) if checkpoint else {}
    for path in sorted(one for pattern in GROWING for one in folder.glob(pattern)):
        if path.name not in kept:
            discard(path)
            continue
        content = path.read_bytes()[: kept[path.name]["bytes"]]
        with atomic_path(path) as part:
            part.write_bytes(content)
