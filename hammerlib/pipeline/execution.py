"""Execute the notebooks with papermill, in order; keep what is unchanged; redo what was killed."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError, need, printable
from hammerlib.pages.page import write_page
from hammerlib.pipeline.parameters import with_values
from hammerlib.pipeline.plan import Step, checkout, plan_notebooks
from hammerlib.runs import RunRecord, claimed, find_run, once, start_run, storage
from hammerlib.runs.trials import span
from hammerlib.runs.workers import Failure, map_tasks

if TYPE_CHECKING:
    from nbformat import NotebookNode


REFRESH = 1.0  # seconds between two looks at the runs under way
SHOWN = 2  # runs side by side that fit into a line


class NotebookError(RuntimeError):
    """A notebook stopped at an error; the message names notebook, cell and error in one line.

    Examples
    --------
    >>> NotebookError("04_training", "In [3]", "ValueError", "no problems\\nmore")
    NotebookError('04_training, In [3]: ValueError: no problems')
    """

    one_line = True  # the message says all: no traceback on the command line

    def __init__(self, notebook: str, cell: str, kind: str, text: str) -> None:
        self.notebook = notebook
        self.kind = kind  # class name of the error in the cell
        self._given = (notebook, cell, kind, text)
        first = next((line for line in text.splitlines() if line.strip()), "")
        super().__init__(f"{notebook}, {cell}: {kind}" + (f": {first}" if first else ""))

    def __reduce__(self) -> tuple[type[NotebookError], tuple[str, str, str, str]]:
        """An error of a worker process comes back as it was."""
        return NotebookError, self._given


def run_notebooks(
    profile: str,
    *,
    only: str | None = None,
    overrides: Mapping[str, object] | Sequence[str] | None = None,
    root: Path | None = None,
    jobs: int = 1,
) -> list[Path]:
    """Execute the notebooks of the checkout in order, each into its run folder; return the folders.

    A notebook is kept when its source, the package, its parameters and everything before it are what they
    were and its run ended with success. Everything is checked before the first notebook starts.

    Parameters
    ----------
    profile : str
        Stem of a file in ``configs/``: ``ci``, ``laptop``, ``gpu``, ``paper``.
    only : str, optional
        First characters of a notebook's name, e.g. ``03`` or ``systems/puzzle``; several separated by commas.
    overrides : mapping, or sequence of ``name=value``, optional
        Parameters on top of the profile.
    root : Path, optional
        Folder of run folders; default `storage.results_root()`.
    jobs : int
        Notebooks under way at once, one compute thread each where there are several; what two of them train
        is trained once. After an error no other starts.

    Raises
    ------
    InputError
        Unknown profile, notebook or parameter, or a value of the wrong type.
    NotebookError
        A cell failed; its run folder keeps the notebook up to there.

    Examples
    --------
    >>> run_notebooks("ci", only="00")  # doctest: +SKIP
    [PosixPath('.../00_overview__ci__3f2c9a1b')]
    """
    steps = plan_notebooks(profile, only=only, overrides=overrides)
    need("papermill", "nbformat", "nbclient", "nbconvert", "ipykernel", "traitlets")
    root = Path(root or storage.results_root()).resolve()
    _clear_rooms()
    todo = [(step, root, f"[{number}/{len(steps)}] {step.name}") for number, step in enumerate(steps, 1)]
    if jobs > 1:
        _execute_together(todo, jobs)
    else:
        for job in todo:
            _execute_once(*job)
    return [root / step.run_id for step in steps]


def _execute_together(todo: Sequence[tuple[Step, Path, str]], jobs: int) -> None:
    """Execute notebooks side by side; the first error ends the call when those under way have ended."""
    from tqdm import tqdm

    errors: list[Exception] = []
    waiting = itertools.takewhile(lambda _: not errors, todo)
    with tqdm(total=len(todo), unit="notebook", disable=storage.progress_off(), leave=False) as bar:
        for _, outcome in map_tasks(_outcome, waiting, workers=jobs):
            if isinstance(outcome, Failure):
                outcome = NotebookError("notebooks", "worker", "Failure", outcome.reason)
            if outcome is not None:
                errors.append(outcome)
            bar.update()
    if errors:
        raise errors[0]


def _outcome(job: tuple[Step, Path, str]) -> Exception | None:
    """Execute a notebook in a worker; its error is the caller's to raise."""
    os.environ["TQDM_DISABLE"] = "1"  # one bar for all, the caller's
    try:
        _execute_once(*job)
    except (NotebookError, InputError) as error:
        return error
    return None


def describe_run(
    profile: str,
    *,
    only: str | None = None,
    overrides: Mapping[str, object] | Sequence[str] | None = None,
) -> Iterator[str]:
    """Say of each notebook whether it would run, and the time that it took last in this profile."""
    root = Path(storage.results_root()).resolve()
    total, timed = 0.0, 0
    for step in plan_notebooks(profile, only=only, overrides=overrides):
        if _is_current(step, root / step.run_id):
            yield f"{step.label}: unchanged, would be kept"
            continue
        seconds = _last_seconds(step, root)
        if seconds is None:
            yield f"{step.label}: would run, never timed here in profile {profile}"
            continue
        total += seconds
        timed += 1
        yield f"{step.label}: would run, {seconds:.0f} s when it was last timed"
    if timed:
        yield f"about {span(total)} for those that were timed"


def _last_seconds(step: Step, root: Path) -> float | None:
    """Seconds of the newest execution under these folders, of the same notebook and profile."""
    pattern = f"{step.run_id.rpartition('__')[0]}__*/execution.json"
    found = [*root.glob(pattern), *(checkout() / "results" / "published").glob(pattern)]
    if not found:
        return None
    return storage.read_object(max(found, key=lambda file: file.stat().st_mtime))["seconds"]


def _execute_once(step: Step, root: Path, head: str) -> None:
    """Execute a notebook unless its run is there; the same call elsewhere is waited for."""
    folder = root / step.run_id

    def make() -> str:
        print(f"{head}: running", flush=True)
        seconds = _execute(step, root)
        return f"done in {seconds:.0f} s, {_near(folder / 'notebook.html')}"

    def look() -> str | None:
        return f"unchanged, kept in {_near(folder)}" if _is_current(step, folder) else None

    def waiting() -> None:
        print(f"{head}: another hammer run executes it, waiting", flush=True)

    name, rooms = _claim_of(step, root)
    print(f"{head}: {once(name, make, look, folder=rooms, waiting=waiting)}", flush=True)


def _claim_of(step: Step, root: Path) -> tuple[str, Path]:
    """Name and folder of a notebook's claim; the folder of runs holds runs only."""
    return f"{step.run_id}-{storage.content_hash(str(root))[:8]}", storage.cache_dir("rooms", "notebooks")


def _clear_rooms() -> None:
    """Remove the half-executed notebooks of calls that were killed."""
    rooms = storage.cache_dir("rooms", "notebooks")
    for room in rooms.glob(f"*{storage.PART}"):
        name = room.name.removesuffix(storage.PART)
        with contextlib.suppress(TimeoutError, InputError), claimed(name, rooms, seconds=0):
            storage.discard(room)


def _is_current(step: Step, folder: Path) -> bool:
    """Whether a run is there, whole and of this step; a damaged one is told and executed again."""
    try:
        execution = storage.read_object(folder / "execution.json")
        return execution.get("key") == step.key and find_run(step.run_id, folder.parent) is not None
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:  # InputError is one, of the manifest and the artefacts
        print(f"{step.name}: executed again: {printable(error)}", flush=True)
        return False


def _execute(step: Step, root: Path) -> float:
    """Run one notebook, write its executed copy, page and execution record; return seconds."""
    import nbformat

    start = time.monotonic()
    folder = root / step.run_id
    name, rooms = _claim_of(step, root)
    room = rooms / f"{name}{storage.PART}"  # the run folder never holds a half-executed notebook
    storage.discard(room)
    room.mkdir()
    try:
        output = room / "notebook.ipynb"
        error = _papermill(step, output, root)
        notebook = nbformat.read(output, as_version=4) if output.exists() else None
    finally:
        storage.discard(room)
    if notebook is not None:
        # What papermill and a cell's warnings say of this machine is no part of the record.
        notebook = _of_no_machine(notebook, step)
    record = _record(step, folder)
    if error is None and record.status != "success":
        problem = f"its run ended as {record.status!r}, not 'success'"
        error = NotebookError(step.name, "last cell", "NotFinished", problem)
    if notebook is not None:
        with storage.atomic_path(folder / "notebook.ipynb") as part:
            nbformat.write(notebook, part)
        write_page(notebook, folder / "notebook.html", step.path.parent)
    if error is not None:
        record.note(status="error", error=str(error))
        raise error
    record.note(parameters_passed=step.passed, notebook_sha256=step.notebook_sha256)
    for name in ("notebook.ipynb", "notebook.html"):
        record.artefact(name)
    seconds = round(time.monotonic() - start, 2)
    execution = {
        "schema_version": 1,
        "key": step.key,
        "notebook_sha256": step.notebook_sha256,
        "code_sha256": step.code_sha256,
        "upstream": step.upstream,
        "parameters": storage.without_folders(step.parameters),
        "seconds": seconds,
    }
    storage.write_json(folder / "execution.json", storage.sealed(execution))
    return seconds


def _with_own_parameters(step: Step, path: Path) -> Path:
    """Write the notebook with the run's values in its parameters cell; papermill would add a second one."""
    import nbformat

    notebook = nbformat.read(step.path, as_version=4)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = with_values(cell.source, step.parameters)
    nbformat.write(notebook, path)
    return path


def _of_no_machine(notebook: NotebookNode, step: Step) -> NotebookNode:
    """The executed notebook without folders of this machine: in metadata, parameters, warnings and errors."""
    from nbformat import from_dict

    names = notebook.metadata.get("papermill", {})
    if names:
        # The source relative to the checkout: links of its text start there.
        names["input_path"] = step.path.resolve().relative_to(checkout().resolve()).as_posix()
        names["output_path"] = "notebook.ipynb"
        names["parameters"] = step.parameters
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            pictures = {kind: data[kind] for kind in data if kind.startswith("image/")}
            output.update(storage.without_folders(dict(output)))
            if pictures:
                output["data"].update(pictures)
        cell["source"] = storage.without_folders(cell["source"])
    notebook["metadata"] = storage.without_folders(dict(notebook["metadata"]))
    return from_dict(notebook)


def _record(step: Step, folder: Path) -> RunRecord:
    """Return the run that the notebook opened, or open it when the notebook failed before that."""
    if (folder / "manifest.json").is_file():
        return RunRecord.load(folder)
    return start_run(
        step.name, parameters=step.parameters, passed=step.passed, run_id=step.run_id, root=folder.parent
    )


def _papermill(step: Step, output: Path, root: Path) -> NotebookError | None:
    """Execute into `output`; return what went wrong in a cell, or with the kernel."""
    import papermill
    from nbclient.exceptions import DeadKernelError
    from traitlets.config import Config

    # Plain local sockets are ipykernel's default, and it warns about them at every start.
    encrypted = Config(KernelManager={"transport_encryption": "auto"})
    progress = output.with_name("progress.txt")
    # Progress bars in the kernel would be saved with the notebook, one output for each refresh.
    inherited = {"HAMMER_RESULTS": str(root), "HAMMER_PROGRESS": str(progress), "TQDM_DISABLE": "1"}
    with (  # the line first: it is silent where bars are off
        contextlib.closing(LiveLine(step.name, count_code_cells(step.path), root, progress)) as line,
        storage.environment(**inherited, PYDEVD_DISABLE_FILE_VALIDATION="1"),
    ):
        try:
            papermill.execute_notebook(
                str(_with_own_parameters(step, output.with_name("source.ipynb"))),
                str(output),
                kernel_name="python3",
                cwd=str(checkout()),
                config=encrypted,
                progress_bar=False,
                on_cell_start=line.next_cell,
            )
        except papermill.PapermillExecutionError as error:
            return NotebookError(step.name, f"In [{error.exec_count}]", error.ename, error.evalue)
        except DeadKernelError:
            problem = "the process died; often it ran out of memory"
            return NotebookError(step.name, "kernel", "DeadKernel", problem)
    return None


def _near(path: Path) -> Path:
    """The path relative to the working folder where it lies below it."""
    here = Path.cwd().resolve()
    return path.relative_to(here) if path.is_relative_to(here) else path


# The line on the terminal that moves while a notebook executes. The kernel stays silent (each refresh of a
# bar would be saved as an output); what the line shows is read from outside: the count that a grid leaves,
# and the records of the runs that are under way.


class LiveLine:
    """Show one moving line on standard error; nothing under CI or without a terminal."""

    def __init__(self, name: str, cells: int, root: Path, progress: Path) -> None:
        self.root = root
        self.progress = progress
        self.since = time.time()
        self._ended = threading.Event()
        self._bar: Any = None
        if storage.progress_off() or not sys.stderr.isatty():
            return
        from tqdm import tqdm

        layout = "{desc} {n_fmt}/{total_fmt} cells [{elapsed}]{postfix}"
        self._bar = tqdm(total=cells, desc=name, leave=False, bar_format=layout, disable=False)
        self._thread = threading.Thread(target=self._refresh, daemon=True)
        self._thread.start()

    def next_cell(self, cell: Mapping, **_: object) -> None:
        """Count the cell that starts, unless it is prose: nbclient tells of every one."""
        if self._bar is not None and cell["cell_type"] == "code":
            self._bar.update(1)

    def _refresh(self) -> None:
        while not self._ended.wait(REFRESH):
            self._bar.set_postfix_str(under_way(self.root, self.progress, self.since))

    def close(self) -> None:
        """Take the line away."""
        self._ended.set()
        if self._bar is not None:
            self._thread.join()
            self._bar.close()


def under_way(root: Path, progress: Path, since: float) -> str:
    """Say what runs right now, such as ``train 2/6: hammer dra s0 step 45/150 reward 0.61``."""
    count = progress.read_text(encoding="utf-8") if progress.is_file() else ""
    states = filter(None, (_state(folder) for folder in _recent(root, since)))
    runs = ", ".join(itertools.islice(states, SHOWN))
    return ": ".join(filter(None, (count, runs)))


def count_code_cells(notebook: Path) -> int:
    """Return the number of code cells in a notebook file."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return sum(cell["cell_type"] == "code" for cell in cells)


def _recent(root: Path, since: float) -> list[Path]:
    """Run folders of training and evaluation written to since then, the newest first."""
    recent = []
    for growing in (*root.glob("train__*/metrics.csv"), *root.glob("evaluate__*/samples.jsonl")):
        try:
            written = growing.stat().st_mtime
        except OSError:  # trimmed or replaced at this moment
            continue
        if written >= since:
            recent.append((written, growing.parent))
    return [folder for _, folder in sorted(recent, reverse=True)]


def _state(folder: Path) -> str:
    """Words for a run under way; "" for one that has ended or cannot be read at this moment."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if manifest["status"] != "started":
            return ""
        if manifest["kind"] == "evaluate":
            with open(folder / "samples.jsonl", "rb") as stream:
                done = sum(1 for _ in stream)
            asked = manifest["parameters"]
            return f"sample {done}/{asked['problems'] * asked['k']}"
        lines = (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()
        step, _, reward = next(line for line in reversed(lines) if ",reward_raw," in line).split(",")[:3]
        arm = " ".join(folder.name.split("__")[1:4]).replace(" none", "")
        return f"{arm} step {step}/{manifest['schedule']['steps']} reward {float(reward):.2f}"
    except (OSError, ValueError, KeyError, IndexError, StopIteration):
        return ""
