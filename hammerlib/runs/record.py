"""One folder and one manifest per run: what was asked, with what, and what came out."""

from __future__ import annotations

import contextlib
import functools
import json
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from hammerlib.errors import InputError
from hammerlib.runs import storage
from hammerlib.runs.storage import cache_dir, discard, file_name, results_root, write_json, writing

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
STATUSES = ("started", "success", "partial", "error")
# What every manifest holds, and of which type; ``metrics`` and ``artefacts`` are looked into as well.
FIELDS = {"run_id": str, "kind": str, "status": str, "parameters": dict, "metrics": dict, "artefacts": list}
AGAIN = "restore it from a copy, or delete the run's folder and run it again"
RESUME = "restore it from a copy, or delete this file and call again: what else is whole is kept"
PACKAGES = ("hammerlib", "torch", "transformers", "trl", "datasets", "numpy")
PACKAGES += ("math-verify", "reasoning-gym", "papermill")


@dataclass
class RunRecord:
    """A run's folder and manifest; as a context manager it records how the block ended.

    Examples
    --------
    >>> import tempfile
    >>> with start_run("demo", parameters={"n": 3}, root=Path(tempfile.mkdtemp())) as run:
    ...     run.metric("pass@1", 0.5, low=0.4, high=0.6, n=3, unit="share")
    >>> RunRecord.load(run.folder).metrics["pass@1"]["value"], run.status
    (0.5, 'success')
    """

    run_id: str  # folder name, from the content of the run
    folder: Path  # holds manifest.json, metrics.csv and the artefacts
    manifest: dict  # what stands in manifest.json; no host names, user names or absolute paths
    _started: float = field(default_factory=time.monotonic, repr=False)

    @property
    def status(self) -> str:
        """``started``, ``success``, ``partial`` (what is there is valid, more was asked for) or ``error``."""
        return self.manifest["status"]

    @property
    def metrics(self) -> dict[str, dict]:
        """Metric name to ``{value, low, high, n, k, unit}``, and ``se`` where known."""
        return self.manifest["metrics"]

    def metric(
        self,
        name: str,
        value: float | tuple[float, float, float],
        *,
        low: float | None = None,
        high: float | None = None,
        se: float | None = None,
        n: int | None = None,
        k: int | None = None,
        unit: str = "",
    ) -> None:
        """Record one number with its interval [low, high], standard error, sample sizes and unit.

        An `Interval` as `value` brings its own ends.
        """
        if isinstance(value, tuple):
            value, low, high = value
        numbers = {"value": value, "low": low, "high": high}
        entry = {key: None if number is None else float(number) for key, number in numbers.items()}
        if se is not None:
            entry["se"] = float(se)
        self.manifest["metrics"][name] = entry | {"n": n, "k": k, "unit": unit}
        self._write()

    def log(self, step: int, **values: float) -> None:
        """Append one row per value to ``metrics.csv`` (columns step, metric, value)."""
        path = self.folder / "metrics.csv"
        head = "" if path.exists() else "step,metric,value\n"
        rows = "".join(f"{step},{name},{float(value)!r}\n" for name, value in values.items())
        with storage.appending(path) as stream:
            stream.write(head + rows)

    def artefact(self, *paths: str | Path) -> None:
        """Record files of this folder with their sha256 and size; `check` compares them."""
        entries = {}
        for path in paths:
            path = (self.folder / path).resolve()
            name = path.relative_to(self.folder.resolve()).as_posix()
            entries[name] = {"path": name, "sha256": storage.file_hash(path), "bytes": path.stat().st_size}
        others = [entry for entry in self.manifest["artefacts"] if entry["path"] not in entries]
        self.manifest["artefacts"] = [*others, *entries.values()]
        self._write()

    def note(self, **fields: object) -> None:
        """Add fields to the manifest (fingerprints, revisions, device, ...)."""
        self.manifest |= fields
        self._write()

    def finish(self, error: str | None = None, *, partial: bool = False) -> None:
        """Close the run: status ``success`` or ``partial``, or ``error`` with one line that says why."""
        status = "success"
        if error:
            status = "error"
        elif partial:
            status = "partial"
        seconds = round(time.monotonic() - self._started, 2)
        self.note(status=status, error=error, seconds=seconds, finished=_now())

    @classmethod
    def load(cls, folder: str | Path) -> RunRecord:
        """Read a run back; FileNotFoundError when there is no manifest, InputError when it is damaged."""
        folder = Path(folder)
        try:
            manifest = storage.read_object(folder / MANIFEST)
            problem = _malformed(manifest)
        except FileNotFoundError:
            raise
        except (ValueError, OSError) as error:
            problem = getattr(error, "strerror", None) or str(error)
        if problem is not None:
            raise InputError("run", folder.resolve().name, f"its {MANIFEST} {problem}", RESUME)
        return cls(manifest["run_id"], folder, manifest)

    def check(self, *names: str, within: str = "", present: bool = False) -> RunRecord:
        """Return itself if the artefacts are what the run wrote; InputError for one gone, empty or changed.

        `names` are paths in the folder, default all; `within` asks for those that begin so, `present` for
        those that are there (published copies hold no big ones). One that the manifest does not list passes.
        """
        for entry in self.manifest["artefacts"]:
            name = entry["path"]
            path = self.folder / name
            asked = (not names or name in names) and name.startswith(within)
            if not asked or (present and not path.exists()):
                continue
            problem = storage.altered(path, entry["sha256"], name)
            if problem is not None:
                problem = f"its {problem}" if path.exists() else f"lacks {name}, which its manifest lists"
                raise InputError("run", self.run_id, problem, AGAIN)
        return self

    def table(self, name: str, **options: Any) -> pd.DataFrame:
        """Return a CSV file of this run, checked; InputError where it is gone, empty or damaged."""
        import pandas as pd

        self.check(name)
        try:
            return pd.read_csv(self.folder / name, **options)
        except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
            reason = " ".join((getattr(error, "strerror", None) or str(error)).split())
            raise InputError("run", self.run_id, f"its {name} cannot be read ({reason})", AGAIN) from None

    def _write(self) -> None:
        # No name of a folder of this machine: what an error said, a file that was named by its whole path.
        write_json(self.folder / MANIFEST, storage.sealed(storage.without_folders(self.manifest)))

    def __enter__(self) -> RunRecord:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.status == "partial":
            return
        if kind is None:
            self.finish()
            return
        with contextlib.suppress(InputError):  # a full disk refuses this note too; the reason goes on upwards
            self.finish(f"{kind.__name__}: {error}")


def _malformed(manifest: dict) -> str | None:
    """What a manifest lacks, None where it has all that is read of it."""
    for name, kind in FIELDS.items():
        if name not in manifest:
            return f"has no {name}"
        if not isinstance(manifest[name], kind):
            return f"has a {name} of another type"
    if manifest["status"] not in STATUSES:
        return f"has the unknown status {manifest['status']!r}"
    for entry in manifest["artefacts"]:
        if not isinstance(entry, dict) or not all(isinstance(entry.get(x), str) for x in ("path", "sha256")):
            return "lists an artefact without path and sha256"
        path = Path(entry["path"])
        if path.is_absolute() or ".." in path.parts:
            return f"lists the artefact {entry['path']!r}, which is outside its folder"
    if not all(isinstance(metric, dict) and "value" in metric for metric in manifest["metrics"].values()):
        return "has a metric without value"
    return None


def start_run(
    kind: str,
    *,
    parameters: dict,
    passed: dict | None = None,
    seeds: list[int] | None = None,
    run_id: str | None = None,
    root: Path | None = None,
) -> RunRecord:
    """Open a run folder with a manifest of status ``started``.

    Parameters
    ----------
    kind : str
        What runs, e.g. ``train`` or ``03_ordering``.
    parameters, passed : dict
        Every effective parameter, and those that the caller set.
    seeds : list of int, optional
        Seeds in use.
    run_id : str, optional
        Default ``<kind>__<hash of parameters>``: the same run has the same folder.
    root : Path, optional
        Default `storage.results_root()`.

    Examples
    --------
    >>> import tempfile
    >>> start_run("demo", parameters={}, root=Path(tempfile.mkdtemp())).status
    'started'
    """
    run_id = storage.file_name("run", run_id or f"{kind}__{storage.content_hash(parameters)[:10]}")
    folder = Path(root or storage.results_root()) / run_id
    with storage.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    storage.remove_parts(folder)
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "kind": kind,
        "status": "started",
        "created": _now(),
        "parameters": parameters,
        "parameters_passed": passed or {},
        "seeds": seeds or [],
        "git": _git(),
        "packages": _versions(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "metrics": {},
        "artefacts": [],
        "error": None,
    }
    record = RunRecord(run_id, folder, json.loads(json.dumps(manifest, default=str)))
    if not (folder / MANIFEST).is_file():
        storage.discard(folder / MANIFEST)
    try:
        record._write()
    except InputError:
        with contextlib.suppress(OSError):  # a resumed run's folder is not empty, and stays
            folder.rmdir()
        raise
    return record


def find_run(run_id: str, root: Path | None = None) -> RunRecord | None:
    """Return the run of this name if it ended with ``success``, else None.

    Raises
    ------
    InputError
        Its manifest or one of its artefacts is damaged: nothing of it is taken, and nothing overwritten.

    Examples
    --------
    >>> find_run("never-ran") is None
    True
    """
    folder = Path(root or storage.results_root()) / storage.file_name("run", run_id)
    try:
        record = RunRecord.load(folder)
    except FileNotFoundError:
        return None
    return record.check() if record.status == "success" else None


def run_once(
    kind: str,
    work: Callable[[RunRecord], object],
    *,
    run_id: str,
    parameters: dict,
    seeds: list[int] | None = None,
    root: Path | None = None,
) -> RunRecord:
    """Return the finished run of this name, or start it and let `work` fill it; see `once`."""

    def make() -> RunRecord:
        with start_run(kind, parameters=parameters, seeds=seeds, run_id=run_id, root=root) as run:
            work(run)
        return run

    return once(run_id, make, lambda: find_run(run_id, root), folder=root)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _git() -> dict[str, object]:
    root = storage.repository_root()
    if root is None:
        return {"commit": None, "dirty": None}
    ask = functools.partial(subprocess.run, cwd=root, capture_output=True, text=True)
    commit = ask(["git", "rev-parse", "HEAD"])
    if commit.returncode:
        return {"commit": None, "dirty": None}
    changes = ask(["git", "status", "--porcelain", "--untracked-files=no"])
    return {"commit": commit.stdout.strip(), "dirty": bool(changes.stdout.strip())}


# Work that is done once: one process claims and makes it, all others find its record


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
