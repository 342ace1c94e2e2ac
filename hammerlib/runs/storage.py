"""Folders, names that may become paths, whole-or-nothing writes, content hashes and seals."""

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
_FOLDERS = re.compile(r"(?<![\w./\\-])/(?:[\w.@+~=,-]+/)+[\w.@+~=,-]*")


# Folders


def cache_dir(*parts: str) -> Path:
    """Return, and create, a folder below ``$HAMMER_CACHE`` (default ``~/.cache/hammerlib``)."""
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
    """Return the checkout around a folder (default: the working folder), or None."""
    here = (folder or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "configs").is_dir() and (folder / "notebooks").is_dir():
            return folder
    return None


def results_root() -> Path:
    """Return the folder that holds one folder per run: ``$HAMMER_RESULTS`` or ``results/runs``."""
    given = os.environ.get("HAMMER_RESULTS")
    base = Path(given) if given else (repository_root() or Path.cwd()) / "results" / "runs"
    return base.resolve()


# Names


def file_name(field: str, name: object) -> str:
    """Return a name (of a run, arm, figure, ...) that may stand as one part of a path, or refuse it."""
    # This is the only way from names to paths.
    problem = _unfit(name)
    if problem is not None:
        raise InputError(field, name, problem, "use letters, digits, '-', '_' and '.' only")
    return str(name)


def _unfit(name: object) -> str | None:
    """Why a name cannot be part of a path, None where it can."""
    if not isinstance(name, str):
        return "is no name"
    if not name:
        return "is empty"
    if name.startswith("."):
        return "begins with a dot"
    odd = sorted({char for char in name if char in '/\\:*?"<>|' or printable(char) != char})
    if odd:
        return f"holds {', '.join(map(repr, odd))}, and becomes the name of a file or folder"
    if name != name.strip() or name.endswith("."):
        return "begins or ends with a blank, or ends with a dot"
    if len(name.encode()) > LONGEST:
        return f"is longer than the {LONGEST} bytes that a file name may have"
    if name.partition(".")[0].upper() in DEVICES:
        return "is a device of Windows"
    return None


def slug(text: str) -> str:
    """Return the letters, digits and hyphens of any text: a readable part of a name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:40]


def without_folders(content: Any) -> Any:
    """Return text, or JSON values at any depth, without the folders of this machine."""
    # A path below the working folder becomes relative to it; another one that begins in a folder of this
    # machine keeps its last two parts. A record then names neither machine nor user.
    if isinstance(content, str):
        return _FOLDERS.sub(_last_parts, content) if "/" in content else content
    if isinstance(content, dict):
        return {without_folders(key): without_folders(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_folders(value) for value in content]
    return content


def _last_parts(match: re.Match) -> str:
    path = match[0]
    here = f"{Path.cwd()}/"
    if path.startswith(here) and len(here) > 2:
        return path.removeprefix(here) or "."
    parts = path.strip("/").split("/")
    if len(parts) > 2 and os.path.isdir(f"/{parts[0]}"):
        return "/".join(parts[-2:])
    return path


# Whole-or-nothing writes


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn a failed write inside the block into one InputError that names the file."""
    try:
        yield
    except InputError:
        raise
    # Libraries tell a full disk in their own ways (OSError, SafetensorError, torch's RuntimeError).
    except Exception as error:
        if isinstance(error, OSError):
            reason = error.strerror if error.errno in _REFUSALS else None
        else:
            quoted = _REFUSED.search(str(error))
            reason = quoted[0] if quoted else None
        if reason is None:
            raise
        remedy = "make room and see that the folder is writable, or choose another; then call again"
        raise InputError("file", _shown(path), f"cannot be written ({reason})", remedy) from error


def _shown(path: str | os.PathLike[str]) -> str:
    """A path for messages: manifests keep them, and they name no folder of a machine."""
    path = Path(path)
    if path.is_absolute() and len(path.parts) > 3:
        return "/".join(path.parts[-2:])
    return str(path)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary sibling of `path` that takes its name only when the block succeeds.

    Write a file there, or make a folder there. Two writers of the same content are safe: the last rename wins
    for files, the first for folders. A symbolic link stays one: what it points to is replaced.
    """
    path = writable(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, since only a rename inside one file system is atomic.
        room = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent))
        part = room / path.name
        try:
            yield part
            settle_on_disk(part)  # content before the name: a power cut leaves the old file, or the new one
            try:
                os.replace(part, path)
            except OSError:
                # A folder that is not empty cannot be replaced: somebody else finished the same one first.
                if not (part.is_dir() and path.is_dir()):
                    raise
            _sync(path.parent)
        finally:
            shutil.rmtree(room, ignore_errors=True)


def settle_on_disk(path: Path) -> None:
    """Bring a file, or a folder with all its files, to the disk."""
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
    """Return where a write to `path` lands: itself, or what a symbolic link of one's own points to."""
    path = Path(path)
    shown = _shown(path)
    try:
        if path.is_symlink():
            path = _link_target(path, shown)
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return path
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("file", shown, f"cannot be written ({reason})", "name another") from None
    _, *top = path.absolute().parts[:3]
    of_the_system = top[:1] in (["dev"], ["proc"], ["sys"]) and top[1:] != ["shm"]
    if of_the_system or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError("file", shown, "is no regular file", "name another")
    return path


def _link_target(link: Path, shown: str) -> Path:
    """What a symbolic link points to; those by which another user could choose it are refused."""
    try:
        target = link.resolve()
    except RuntimeError:  # a circle; Python 3.13 returns a link instead
        target = link
    existing = target if target.exists() else target.parent
    problem = None
    if target.is_symlink():
        problem = "is a symbolic link that leads in a circle"
    elif os.readlink(link).startswith("/proc/"):  # of /dev/stdout and the like: what another program reads
        problem = "is no regular file"
    elif not existing.exists():
        problem = "is a symbolic link into a folder that is not there"
    elif hasattr(os, "geteuid") and {link.lstat().st_uid, existing.stat().st_uid} != {os.geteuid()}:
        problem = "is a symbolic link of another user, or to a file of another user"
    if problem:
        raise InputError("file", shown, problem, "name another")
    return target


@contextlib.contextmanager
def appending(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """Open a log to write lines at its end; one InputError where that is refused."""
    with writing(path), open(writable(path), "a", newline="", encoding="utf-8") as stream:
        yield stream


def discard(path: Path) -> None:
    """Remove a file, a link or a folder, whichever is there; nothing is no error."""
    with writing(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)  # another process may be at it too
        else:
            path.unlink(missing_ok=True)


def remove_parts(folder: Path, name: str = "") -> None:
    """Remove what killed writers left of `name`, default of all, in `folder`; nobody may be writing it."""
    for room in folder.glob(f".{glob.escape(name)}*{PART}"):
        discard(room)


# Records and their hashes


def write_json(path: str | os.PathLike[str], content: object) -> None:
    """Write `content` as indented JSON, whole or not at all."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def content_hash(*parts: object) -> str:
    """Return the sha256 of the parts' canonical JSON (arrays by type, shape and bytes)."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_canonical)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


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


def file_hash(path: str | os.PathLike[str]) -> str:
    """Return the sha256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sealed(content: dict) -> dict:
    """Return a record with the hash of its content in it, so that a changed one is found out."""
    # Seconds are left out of the hash: two records of the same work have the same seal.
    content = json.loads(json.dumps(content))  # as it will be read back: no tuples, names that are text
    return {**content, SEALED: "sha256", SEAL: content_hash(_timeless(content))}


def unsealed(content: dict) -> dict:
    """Return a record without its seal, which is checked (ValueError); older records have none."""
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
        return {key: _timeless(inner) for key, inner in value.items() if key != "seconds"}
    if isinstance(value, list):
        return [_timeless(inner) for inner in value]
    return value


def read_object(path: str | os.PathLike[str]) -> dict:
    """Return the JSON object in a file, its seal checked and taken off; ValueError says what is wrong."""
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
    return unsealed(content)


def write_sums(folder: Path) -> None:
    """Write the sha256 of every file of a folder into its ``sums.json``, as the last of them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / SUMS)
    sums = {path.relative_to(folder).as_posix(): file_hash(path) for path in files}
    settle_on_disk(folder)
    write_json(folder / SUMS, sealed({"files": sums}))


def damaged(folder: Path) -> str | None:
    """Return what is wrong with a folder, None where all is as its ``sums.json`` says or it has none."""
    if not (folder / SUMS).exists():
        return None
    try:
        for name, sha256 in read_object(folder / SUMS)["files"].items():
            problem = altered(folder / name, sha256, name)
            if problem is not None:
                return problem
    except (ValueError, KeyError, AttributeError, OSError) as error:
        return f"{SUMS} {error}"
    return None


def altered(path: Path, sha256: str, name: str) -> str | None:
    """Return what is wrong with a file of which the hash is known, None where it is whole."""
    if not path.exists():
        return f"{name} is gone"
    if not path.is_file():
        return f"{name} is no regular file"
    if file_hash(path) == sha256:
        return None
    if not path.stat().st_size:
        return f"{name} is empty"
    return f"{name} was changed after it was written"


# The process around


def progress_off() -> bool:
    """Return True where progress bars only fill logs: under CI, or when tqdm is disabled."""
    return bool(os.environ.get("CI") or os.environ.get("TQDM_DISABLE"))


def tell_progress(text: str) -> None:
    """Write how far a long call is into the file ``$HAMMER_PROGRESS``, which `hammer run` shows."""
    if os.environ.get("HAMMER_PROGRESS"):
        Path(os.environ["HAMMER_PROGRESS"]).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set environment variables for what is started inside the block, and put them back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
