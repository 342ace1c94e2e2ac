"""Folders, whole-or-nothing writes and content hashes."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import glob
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from hammerlib.errors import InputError, printable

PART = ".part"  # ending of the temporary names
SUMS = "sums.json"  # file name to sha256, the last file written into a folder of weights
LONGEST = 150  # bytes of a name; a file system takes 255, locks and temporary files add some
SEAL, SEALED = "seal", "sealed"  # both, so that a record whose seal is lost is not taken for an older one
# Names that Windows keeps for devices, with any ending.
DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(10))}
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


def file_name(field: str, name: object) -> str:
    """Return a name that may stand as one part of a path, or refuse it: the only way from names to paths.

    Parameters
    ----------
    field : str
        What the name is of, for the error.
    name : object
        Of a run, study, arm, strategy, benchmark, figure, ...

    Returns
    -------
    str
        `name` as it is.

    Raises
    ------
    InputError
        No text; empty; ``.``, ``..`` or hidden; with a separator, a character that shells, file systems or
        terminals obey, or blanks at an end; longer than 150 bytes; a device of Windows.

    Examples
    --------
    >>> file_name("strategy", "min-path")
    'min-path'
    >>> file_name("strategy", "../../escaped")
    Traceback (most recent call last):
    ...
    hammerlib.errors.InputError: strategy = '../../escaped': begins with a dot; use letters, digits, ...
    """
    problem = _unfit(name)
    if problem is not None:
        raise InputError(field, name, problem, "use letters, digits, '-', '_' and '.' only")
    return str(name)


def _unfit(name: object) -> str | None:
    """Why a name cannot be part of a path, None where it can."""
    if not isinstance(name, str) or not name:
        return "is no name" if name != "" else "is empty"
    odd = sorted({one for one in name if one in '/\\:*?"<>|' or printable(one) != one})
    if name.startswith("."):
        return "begins with a dot"
    if odd:
        return f"holds {', '.join(repr(one) for one in odd)}, and becomes the name of a file or folder"
    if name != name.strip() or name.endswith("."):
        return "begins or ends with a blank, or ends with a dot"
    if len(name.encode()) > LONGEST:
        return f"is longer than the {LONGEST} bytes that a file name may have"
    return "is a device of Windows" if name.partition(".")[0].upper() in DEVICES else None


def slug(text: str, longest: int = 40) -> str:
    """Return the letters, digits and hyphens of any text: a readable part of a name made of something else.

    Examples
    --------
    >>> slug("file:my problems.jsonl")
    'file-my-problems-jsonl'
    """
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:longest]


_FOLDERS = re.compile(r"(?<![\w./\\-])/(?:[\w.@+~=,-]+/)+[\w.@+~=,-]*")


def without_folders(content: Any) -> Any:
    """Return text, or JSON values at any depth, without the folders of this machine.

    A path below the working folder becomes relative to it; another one that begins in a folder of this
    machine keeps its last two parts. A record then names neither machine nor user.

    Examples
    --------
    >>> without_folders({"file": f"{Path.home().resolve()}/sums/mine.jsonl", "shape": "/a/b"})
    {'file': 'sums/mine.jsonl', 'shape': '/a/b'}
    """
    if isinstance(content, str):
        return _FOLDERS.sub(_last_parts, content) if "/" in content else content
    if isinstance(content, dict):
        return {without_folders(key): without_folders(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_folders(value) for value in content]
    return content


def _last_parts(found: re.Match) -> str:
    parts, here = found[0].strip("/").split("/"), f"{Path.cwd()}/"
    if found[0].startswith(here) and len(here) > 2:
        return found[0].removeprefix(here) or "."
    return "/".join(parts[-2:]) if len(parts) > 2 and os.path.isdir(f"/{parts[0]}") else found[0]


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
        Disk full or not writable; what `writable` refuses. `path` is then what it was.

    Notes
    -----
    Content and names are on the disk (fsync) before the old content goes. A symbolic link stays one: what it
    points to is replaced.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with atomic_path(target) as part:
    ...     _ = part.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    path = writable(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent))
        try:
            yield room / path.name
            settle_on_disk(room / path.name)
            _take_name(room / path.name, path)
            _sync(path.parent)
        finally:
            shutil.rmtree(room, ignore_errors=True)


def _take_name(part: Path, path: Path) -> None:
    try:
        os.replace(part, path)
    except OSError:
        # A folder that is not empty cannot be replaced: somebody else finished the same one first.
        if not (part.is_dir() and path.is_dir()):
            raise


def settle_on_disk(path: Path) -> None:
    """Bring a file, or a folder with all its files, to the disk.

    Examples
    --------
    >>> import tempfile
    >>> settle_on_disk(Path(tempfile.mkdtemp()))
    """
    if path.is_dir():
        for inner in sorted(path.rglob("*")):
            _sync(inner)
    if path.exists():
        _sync(path)


def _sync(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # a file that only its writer's group may read: nothing to be done
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):  # file systems without it
            raise
    finally:
        os.close(handle)


def writable(path: str | os.PathLike[str]) -> Path:
    """Return where a write to `path` lands: itself, or what a symbolic link of one's own points to.

    Raises
    ------
    InputError
        A device, pipe or socket; a link of another user's, to a file of another user's, in a circle, or into
        a folder that is not there.

    Examples
    --------
    >>> writable("/dev/null")
    Traceback (most recent call last):
    ...
    hammerlib.errors.InputError: file = '/dev/null': is no regular file; name another
    """
    path = Path(path)
    shown = "/".join(path.parts[-2:]) if path.is_absolute() and len(path.parts) > 3 else str(path)
    try:
        if path.is_symlink():
            path = _behind(path, shown)
        kind = path.stat().st_mode
        if path.absolute().parts[1:2] in (("dev",), ("proc",), ("sys",)) and path.parts[2:3] != ("shm",):
            kind = stat.S_IFCHR
    except (FileNotFoundError, NotADirectoryError):
        return path
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("file", shown, f"cannot be written ({reason})", "name another") from None
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise InputError("file", shown, "is no regular file", "name another")
    return path


def _behind(link: Path, shown: str) -> Path:
    """What a symbolic link points to; those by which another user could choose it are refused."""
    owner = os.geteuid() if hasattr(os, "geteuid") else None
    try:
        target = link.resolve()
    except RuntimeError:  # Python 3.13 returns a link instead
        target = link
    if target.is_symlink():
        raise InputError("file", shown, "is a symbolic link that leads in a circle", "name another")
    if os.readlink(link).startswith("/proc/"):  # of /dev/stdout and the like: what another program reads
        raise InputError("file", shown, "is no regular file", "name another")
    place = target if target.exists() else target.parent
    if not place.exists():
        raise InputError("file", shown, "is a symbolic link into a folder that is not there", "name another")
    if owner is not None and {link.lstat().st_uid, place.stat().st_uid} != {owner}:
        raise InputError(
            "file", shown, "is a symbolic link of another user, or to a file of another user", "name another"
        )
    return target


@contextlib.contextmanager
def appending(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """Open a log of this run to write lines at its end; one InputError where that is refused.

    Examples
    --------
    >>> import tempfile
    >>> log = Path(tempfile.mkdtemp()) / "log.csv"
    >>> with appending(log) as stream:
    ...     _ = stream.write("a\\n")
    >>> log.read_text()
    'a\\n'
    """
    with writing(path), open(writable(path), "a", newline="", encoding="utf-8") as stream:
        yield stream


def discard(path: Path) -> None:
    """Remove a file, a link or a folder, whichever is there; nothing is no error.

    Examples
    --------
    >>> discard(Path("not-there"))
    """
    with writing(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)  # another process may be at it too
        else:
            path.unlink(missing_ok=True)


def remove_parts(folder: Path, name: str = "") -> None:
    """Remove what killed writers left of `name`, default of all, in `folder`; nobody may be writing it.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()); (folder / ".a.json.x.part").mkdir()
    >>> remove_parts(folder); list(folder.iterdir())
    []
    """
    for room in folder.glob(f".{glob.escape(name)}*{PART}"):
        discard(room)


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


def sealed(content: dict) -> dict:
    """Return a record with the hash of its content in it, so that a changed one is found out.

    Seconds are left out of the hash, at any depth: two records of the same work have the same seal.

    Examples
    --------
    >>> unsealed(sealed({"n": 1}))
    {'n': 1}
    """
    content = json.loads(json.dumps(content))  # as it will be read back: no tuples, names that are text
    return {**content, SEALED: "sha256", SEAL: content_hash(_timeless(content))}


def unsealed(content: dict) -> dict:
    """Return a record without its seal, which is checked; older records have none.

    Raises
    ------
    ValueError
        The content is not what was sealed.

    Examples
    --------
    >>> unsealed({**sealed({"n": 1}), "n": 2})
    Traceback (most recent call last):
    ...
    ValueError: was changed after it was written
    """
    if not isinstance(content, dict):
        raise ValueError("holds no JSON object")
    inner = {key: value for key, value in content.items() if key not in (SEAL, SEALED)}
    if len(inner) == len(content):
        return content
    if content.get(SEALED) != "sha256" or content.get(SEAL) != content_hash(_timeless(inner)):
        raise ValueError("was changed after it was written")
    return inner


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(one) for key, one in value.items() if key != "seconds"}
    return [_timeless(one) for one in value] if isinstance(value, list) else value


def read_object(path: str | os.PathLike[str]) -> dict:
    """Return the JSON object in a file, its seal checked and taken off.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        Empty, no JSON object, not UTF-8, nested without end, or changed after it was written.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.json"
    >>> write_json(target, sealed({"n": 1})); read_object(target)
    {'n': 1}
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ValueError("is no regular file")
    text = path.read_text(encoding="utf-8")
    if not text.strip():
        raise ValueError("is empty")
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("is nested without end") from None
    except ValueError as error:
        raise ValueError(f"is no JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError("holds no JSON object")
    return unsealed(content)


def write_sums(folder: Path) -> None:
    """Write the sha256 of every file of a folder into its ``sums.json``, as the last of them.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()); _ = (folder / "a").write_text("x")
    >>> write_sums(folder); damaged(folder) is None
    True
    """
    files = sorted(one for one in folder.rglob("*") if one.is_file() and one != folder / SUMS)
    sums = {one.relative_to(folder).as_posix(): file_hash(one) for one in files}
    settle_on_disk(folder)
    write_json(folder / SUMS, sealed({"files": sums}))


def damaged(folder: Path) -> str | None:
    """Return what is wrong with a folder that has a ``sums.json``, None where all is as it was written.

    Raises
    ------
    FileNotFoundError
        It has none.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()); _ = (folder / "a").write_text("x")
    >>> write_sums(folder); _ = (folder / "a").write_text("y"); damaged(folder)
    'a was changed after it was written'
    """
    try:
        sums = read_object(folder / SUMS)["files"]
        return next((told for name, one in sums.items() if (told := altered(folder / name, one, name))), None)
    except FileNotFoundError:
        raise
    except (ValueError, KeyError, AttributeError, OSError) as error:
        return f"{SUMS} {error}"


def altered(path: Path, sha256: str, name: str) -> str | None:
    """Return what is wrong with a file of which the hash is known, None where it is whole.

    Examples
    --------
    >>> altered(Path("not-there"), "", "a.csv")
    'a.csv is gone'
    """
    if not path.is_file():
        return f"{name} is {'no regular file' if path.exists() else 'gone'}"
    if not path.stat().st_size and sha256 != hashlib.sha256().hexdigest():
        return f"{name} is empty"
    return None if file_hash(path) == sha256 else f"{name} was changed after it was written"


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
