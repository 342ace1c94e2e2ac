"""Work that is done once: one process claims and makes it, all others find its record."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from hammerlib.errors import InputError
from hammerlib.runs.storage import cache_dir, discard, file_name, results_root, writing

T = TypeVar("T")


def once(
    key: str,
    make: Callable[[], T],
    look: Callable[[], T | None],
    *,
    folder: Path | None = None,
    seconds: float = -1,
    waiting: Callable[[], object] | None = None,
) -> T:
    """Return what is recorded under a key; where there is nothing whole, make and record it now.

    Of several processes that ask at once, one makes it and the others wait, then find its record. The claim
    of a killed process ends with it, so that the next call makes what it left unfinished. Machines that share
    the folder share its claims where its file system locks files between machines, as NFS under Linux does.

    Parameters
    ----------
    key : str
        Name of the claim; fit for a file name.
    make : callable
        Computes the result and records it, whole or not at all.
    look : callable
        Returns the result from its record; None where there is none or it is not whole.
    folder : Path, optional
        Where the claim lies, created; default `storage.results_root()`. In one that cannot be written, what
        is there is still found, and what is not is an InputError.
    seconds : float
        Longest wait for another process, then TimeoutError; negative for as long as it takes.
    waiting : callable, optional
        Called where another process holds the claim, before the wait.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> def look():
    ...     return (folder / "answer").read_text() if (folder / "answer").exists() else None
    >>> def make():
    ...     (folder / "answer").write_text("42")
    ...     return "42, made now"
    >>> once("answer", make, look, folder=folder), once("answer", make, look, folder=folder)
    ('42, made now', '42')
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(claimed(key, folder, seconds=seconds, waiting=waiting))
        except InputError:
            result = look()
            if result is None:
                raise
            return result
        result = look()
        return make() if result is None else result


@contextlib.contextmanager
def claimed(
    key: str, folder: Path | None = None, *, seconds: float = -1, waiting: Callable[[], object] | None = None
) -> Iterator[Path]:
    """Hold a key for the block, so that no other process does; see `once`. Yields the folder."""
    from filelock import FileLock, Timeout

    folder = Path(folder or results_root())
    name = file_name("run", key)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f".{name}.lock")
        try:
            # The first try only finds out whether somebody holds it: then `waiting` is told before the wait.
            lock.acquire(timeout=0 if waiting else seconds)
        except Timeout:
            if waiting is None:
                raise
            waiting()
            lock.acquire(timeout=seconds)
    try:
        yield folder
    finally:
        lock.release()


@contextlib.contextmanager
def workroom() -> Iterator[Path]:
    """Yield a folder for the block, in the cache folder; what killed processes left of theirs goes now."""
    from filelock import FileLock, Timeout

    base = cache_dir("rooms")
    with FileLock(base / ".lock"):  # nobody takes a room for abandoned that is being opened
        for lock in base.glob("*.lock"):
            if lock.name == ".lock":
                continue
            with contextlib.suppress(Timeout, OSError), FileLock(lock, timeout=0):
                discard(lock.with_suffix(""))
                lock.unlink(missing_ok=True)
        room = Path(tempfile.mkdtemp(prefix="room-", dir=base))
        held = FileLock(base / f"{room.name}.lock")
        held.acquire()
    try:
        yield room
    finally:
        discard(room)
        held.release()
        with contextlib.suppress(OSError):
            (base / f"{room.name}.lock").unlink()
