"""Checkpoints that survive a kill: which one is whole, and what must go before training resumes."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from hammerlib.errors import InputError
from hammerlib.storage import writing

FOLDER = "checkpoints"
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
        if processes == 1 or not LOST.search(str(error)):
            raise
        remedy = "see what that process said, then start all again: they resume from the last checkpoint"
        raise InputError("processes", processes, "lost one of them", remedy) from error


def newest_complete(folder: Path, *, processes: int = 1) -> tuple[Path, int] | None:
    """Return the newest whole checkpoint and its step, or None; remove what a kill left half-written.

    The trainer writes ``trainer_state.json`` after everything else, so a checkpoint is whole when that file
    parses, names the checkpoint's own step, and every process's random state lies beside it.

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
    for path in sorted((folder / FOLDER).glob("checkpoint-*"), key=lambda one: int(one.name.split("-")[1])):
        step = int(path.name.split("-")[1])
        if _is_whole(path, step, processes):
            found = path, step
        else:
            shutil.rmtree(path, ignore_errors=True)  # another process may be at it too
    return found


def _is_whole(path: Path, step: int, processes: int) -> bool:
    random = ["rng_state.pth"] if processes == 1 else [f"rng_state_{p}.pth" for p in range(processes)]
    try:
        state = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return state.get("global_step") == step and all((path / name).is_file() for name in random)
