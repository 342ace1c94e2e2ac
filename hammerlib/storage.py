"""Folders, whole-or-nothing writes and content hashes."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hammerlib.errors import InputError

PART = ".part"  # ending of the temporary names
_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM}
_REFUSALS |= {errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
# How libraries that write with code of their own quote the system's refusal.
_REFUSED = re.compile(
    r"No space left on device|File too large|Disk quota exceeded|Read-only file system|Permission denied"
    r"|PytorchStreamWriter failed writing file"
)


def cache_dir(*parts: str) -> Path:
    """Return a folder for results that can be computed again, and create it.

    Parameters
    ----------
    *parts : str
        Sub-folders below ``$HAMMER_CACHE`` (default ``~/.cache/hammerlib``).

    Returns
    -------
    Path
        The existing folder.

    Raises
    ------
    InputError
        It cannot be made: the home folder is none or not to be written.

    Examples
    --------
    >>> cache_dir("embeddings").name
    'embeddings'
    """
    given = os.environ.get("HAMMER_CACHE")
    try:
        folder = Path(given or Path.home() / ".cache" / "hammerlib", *parts)
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: no home folder is known
        reason = getattr(error, "strerror", None) or str(error)
        remedy = "set HAMMER_CACHE to a folder that can be written"
        raise InputError("HAMMER_CACHE", given, f"the cache cannot be written ({reason})", remedy) from error
    return folder


def repository_root(folder: Path | None = None) -> Path | None:
    """Return the checkout around a folder (``configs/`` beside ``notebooks/``), or None.

    Parameters
    ----------
    folder : Path, optional
        Default: the working folder.

    Examples
    --------
    >>> root = repository_root()
    >>> root is None or (root / "configs").is_dir()
    True
    """
    here = (folder or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "configs").is_dir() and (folder / "notebooks").is_dir():
            return folder
    return None


def results_root() -> Path:
    """Return the folder that holds one folder per run: ``$HAMMER_RESULTS`` or ``results/runs``.

    Examples
    --------
    >>> results_root().is_absolute()
    True
    """
    given = os.environ.get("HAMMER_RESULTS")
    base = Path(given) if given else (repository_root() or Path.cwd()) / "results" / "runs"
    return base.resolve()


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn a failed write inside the block into one InputError that names the file.

    Libraries tell a full disk in their own ways (OSError, SafetensorError, torch's RuntimeError). The message
    holds the last two parts of an absolute path: manifests keep it, and they name no folder of a machine.

    Parameters
    ----------
    path : path
        What is written.

    Raises
    ------
    InputError
        Disk full, quota, no permission, or a folder that is none.

    Examples
    --------
    >>> with writing("a.txt"):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    ...
    hammerlib.errors.InputError: file = 'a.txt': cannot be written (No space left on device); make room ...
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = _write_failure(error)
        if reason is None:
            raise
        parts = Path(path).parts
        shown = "/".join(parts[-2:]) if Path(path).is_absolute() else str(path)
        remedy = "make room and see that the folder is writable, or choose another; then call again"
        raise InputError("file", shown, f"cannot be written ({reason})", remedy) from error


def _write_failure(error: Exception) -> str | None:
    """Return why the system refused a write; None when the error is of another kind."""
    if isinstance(error, OSError):
        return error.strerror if error.errno in _REFUSALS else None
    found = _REFUSED.search(str(error))
    return found[0] if found else None


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary sibling of `path` that takes its name only when the block succeeds.

    Write a file there, or make a folder there. After an error, or a kill, `path` is what it was before.
    Two writers of the same content are safe: the last rename wins for files, the first for folders.

    Parameters
    ----------
    path : path
        Final place; parent folders are created.

    Yields
    ------
    Path
        A name in the same folder (so that the rename is atomic) that does not exist yet.

    Raises
    ------
    InputError
        Disk full or not writable; nothing is left at `path`.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with atomic_path(target) as part:
    ...     _ = part.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent))
        try:
            yield room / path.name
            _take_name(room / path.name, path)
        finally:
            shutil.rmtree(room, ignore_errors=True)


def _take_name(part: Path, path: Path) -> None:
    try:
        os.replace(part, path)
    except OSError:
        # A folder that is not empty cannot be replaced: somebody else finished the same one first.
        if not (part.is_dir() and path.is_dir()):
            raise


def remove_parts(folder: Path, name: str = "") -> None:
    """Remove what killed writers left of `name`, default of all, in `folder`; nobody may be writing it.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()); (folder / ".a.json.x.part").mkdir()
    >>> remove_parts(folder); list(folder.iterdir())
    []
    """
    for room in folder.glob(f".{name}*{PART}"):
        shutil.rmtree(room, ignore_errors=True)


def write_json(path: str | os.PathLike[str], content: object) -> None:
    """Write `content` as indented JSON, whole or not at all.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.json"
    >>> write_json(target, {"n": 1}); json.loads(target.read_text())
    {'n': 1}
    """
    with atomic_path(path) as part:
        part.write_text(
            json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )


def _canonical(value: object) -> object:
    if isinstance(value, np.ndarray):
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return ["array", str(value.dtype), list(value.shape), digest]
    if isinstance(value, np.generic):
        return value.item()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


def content_hash(*parts: object) -> str:
    """Return the sha256 of the parts' canonical JSON (arrays by type, shape and bytes).

    Examples
    --------
    >>> content_hash({"b": 1, "a": 2}) == content_hash({"a": 2, "b": 1})
    True
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_canonical)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def file_hash(path: str | os.PathLike[str]) -> str:
    """Return the sha256 of a file's bytes.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "empty"; _ = target.write_bytes(b"")
    >>> file_hash(target)[:8]
    'e3b0c442'
    """
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def progress_off() -> bool:
    """Return True where progress bars only fill logs: under CI, or when tqdm is disabled.

    Examples
    --------
    >>> progress_off() in (True, False)
    True
    """
    return bool(os.environ.get("CI") or os.environ.get("TQDM_DISABLE"))


def tell_progress(text: str) -> None:
    """Tell whoever started this process how far a long call is: one line in the file ``$HAMMER_PROGRESS``.

    `hammer run` reads it beside the run folders; without the variable nothing is written.

    Examples
    --------
    >>> tell_progress("train 2/6")
    """
    if os.environ.get("HAMMER_PROGRESS"):
        Path(os.environ["HAMMER_PROGRESS"]).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set environment variables for what is started inside the block, and put them back.

    Examples
    --------
    >>> with environment(HAMMER_DEMO="1"):
    ...     os.environ["HAMMER_DEMO"]
    '1'
    >>> "HAMMER_DEMO" in os.environ
    False
    """
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
