"""Trials of a grid: their records on disk, a trial's turn in a worker, and what is told of them."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol

from hammerlib.errors import InputError, printable
from hammerlib.runs.record import SCHEMA_VERSION, claimed
from hammerlib.runs.storage import (
    file_name,
    progress_off,
    read_object,
    remove_parts,
    sealed,
    tell_progress,
    without_folders,
    write_json,
    writing,
)
from hammerlib.runs.workers import Failure, map_tasks

ROUNDS = 2  # in which a cell is tried anew, with fresh processes, after the machinery failed it
NAMED = 3  # cells that an error names; it counts the others


class Cell(Protocol):
    """One treatment in one replicate: what a sweep needs to know of it; its task may need more.

    Attributes
    ----------
    name : str
        Of its record: ``<arm>__r<RR>``.
    arm : str
        The treatment.
    replicate : int
        From 0 on; arms are paired inside it.
    identity : str
        Hash of all its settings: a record with another one is of another cell.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> cell = SimpleNamespace(name="hammer__r03", arm="hammer", replicate=3, identity="5f3c")
    >>> record_path(cell, Path("results")).as_posix()
    'results/hammer__r03.json'
    """

    name: str
    arm: str
    replicate: int
    identity: str


class Survey(NamedTuple):
    """Where the cells of a grid stand.

    Attributes
    ----------
    cells : list of Cell
        All that were asked about, in their order.
    status : dict
        Name of a cell to ``done``, ``failed``, ``missing`` or ``other`` (finished, of other settings).
    seconds : dict
        Name of a done cell (``ARM__rNN``) to the machine time it took, where its record tells it; others than
        those asked about may be among them, to estimate by.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> pair = [SimpleNamespace(name=f"a__r0{r}", arm="a", replicate=r, identity="") for r in (0, 1)]
    >>> found = Survey(pair, {"a__r00": "done", "a__r01": "missing"}, {"a__r00": 30.0})
    >>> found.count("done"), [cell.name for cell in found.to_do()], found.expected(found.to_do())
    (1, ['a__r01'], 30.0)
    """

    cells: list
    status: dict[str, str]
    seconds: dict[str, float]

    def count(self, status: str) -> int:
        """Cells of this status."""
        return sum(one == status for one in self.status.values())

    def to_do(self) -> list[Cell]:
        """Cells that are missing or failed, in their order."""
        return [cell for cell in self.cells if self.status[cell.name] in ("missing", "failed")]

    def only(self, cells: Iterable[Cell]) -> Survey:
        """Where some of the cells stand; seconds stay those of all."""
        chosen = list(cells)
        return Survey(chosen, {cell.name: self.status[cell.name] for cell in chosen}, self.seconds)

    def expected(self, cells: Iterable[Cell]) -> float | None:
        """Seconds that the cells take one after another: the mean of their arm's records, of all where it has
        none; None without any record.
        """
        known: dict[str, list[float]] = {}
        for name, seconds in self.seconds.items():
            known.setdefault(name.rpartition("__r")[0], []).append(seconds)
        if not known:
            return None
        overall = [one for times in known.values() for one in times]
        times = (known.get(cell.arm, overall) for cell in cells)
        return sum(sum(one) / len(one) for one in times)


def record_path(cell: Cell, folder: Path) -> Path:
    """Return the place of a cell's record.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> record_path(SimpleNamespace(name="random__r00"), Path("records")).name
    'random__r00.json'
    """
    return folder / f"{file_name('cell', cell.name)}.json"


def read_record(cell: Cell, folder: Path) -> dict | None:
    """Return the record that lies at a cell's place, of whatever settings; None where there is none.

    Raises
    ------
    InputError
        The file is no JSON object, or was changed after it was written; a name that is no file name.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> read_record(SimpleNamespace(name="never-ran"), Path("records")) is None
    True
    """
    path = record_path(cell, folder)
    remedy = "delete it: its cell runs again"
    try:
        record = read_object(path)
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        problem = getattr(error, "strerror", None) or str(error)
        raise InputError("record", path.name, problem, remedy) from error
    if record.get("status") not in ("success", "error"):
        raise InputError("record", path.name, "does not say whether its cell succeeded", remedy)
    return record


def standing(cell: Cell, record: dict | None) -> str:
    """Return what a cell's record says: ``done``, ``failed``, ``missing``, or ``other`` for other settings.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> cell = SimpleNamespace(name="a__r00", identity="5f3c")
    >>> standing(cell, None), standing(cell, {"status": "error", "identity": "0000"})
    ('missing', 'failed')
    >>> standing(cell, {"status": "success", "identity": "0000"})
    'other'
    """
    if record is None:
        return "missing"
    if record.get("status") != "success":  # nothing to lose: it runs again, whatever its settings were
        return "failed"
    return "done" if record.get("identity") == cell.identity else "other"


def survey(cells: Sequence[Cell], folder: Path) -> Survey:
    """Read the records of cells.

    Parameters
    ----------
    cells : sequence of Cell
        With different names.
    folder : Path
        Where the records lie; may be missing.

    Returns
    -------
    Survey

    Raises
    ------
    InputError
        Two cells of one name, or a record that cannot be read.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> survey([SimpleNamespace(name="a__r00", arm="a", replicate=0, identity="5f")], Path("none")).status
    {'a__r00': 'missing'}
    """
    status: dict[str, str] = {}
    seconds: dict[str, float] = {}
    for cell in cells:
        if cell.name in status:
            raise InputError("cells", cell.name, "comes twice", "give every cell a name of its own")
        record = read_record(cell, folder)
        status[cell.name] = standing(cell, record)
        if status[cell.name] == "done" and isinstance(record.get("seconds"), int | float):
            seconds[cell.name] = float(record["seconds"])
    return Survey(list(cells), status, seconds)


def refuse_others(found: Survey) -> None:
    """Refuse cells at whose places finished records of other settings lie: none is reused or replaced.

    Raises
    ------
    InputError
        With the names of the first.

    Examples
    --------
    >>> refuse_others(Survey([], {"a__r00": "done"}, {}))
    """
    others = [cell.name for cell in found.cells if found.status[cell.name] == "other"]
    if others:
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        problem = "have finished records of other settings, which are neither used nor replaced"
        remedy = "give the study another name, restore its settings, or delete these records"
        raise InputError("cells", ", ".join(others[:NAMED]) + more, problem, remedy)


def select(
    cells: Sequence[Cell], *, arms: Sequence[str] | None = None, replicates: tuple[int, int] | None = None
) -> list[Cell]:
    """Return the cells of some arms and replicates, in their order.

    Parameters
    ----------
    cells : sequence of Cell
        All cells.
    arms : sequence of str, optional
        Names of arms; default all.
    replicates : (int, int), optional
        First and last replicate, both included; default all.

    Returns
    -------
    list of Cell

    Raises
    ------
    InputError
        An arm that the cells do not know, or replicates outside theirs.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> grid = [SimpleNamespace(arm=arm, replicate=r) for r in (0, 1) for arm in "ab"]
    >>> [(cell.arm, cell.replicate) for cell in select(grid, arms=["b"], replicates=(1, 1))]
    [('b', 1)]
    """
    known = list(dict.fromkeys(cell.arm for cell in cells))
    for arm in arms or ():
        if arm not in known:
            raise InputError("only", arm, "is no arm of this study", f"use some of {', '.join(known)}")
    numbers = sorted({cell.replicate for cell in cells})
    first, last = replicates or (numbers[0], numbers[-1])
    if not numbers[0] <= first <= last <= numbers[-1]:
        remedy = f"replicates go from {numbers[0]} to {numbers[-1]}"
        raise InputError("replicates", f"{first}-{last}", "are not in this study", remedy)
    return [cell for cell in cells if (not arms or cell.arm in arms) and first <= cell.replicate <= last]


DYING = 5.0  # seconds; a killed process is seen to be dead a moment before the system frees its claim


class Turn(NamedTuple):
    """What a worker gets.

    Attributes
    ----------
    task : callable
        ``task(cell, folder)`` writes the cell's record.
    cell : Cell
        The one to run.
    folder : Path
        Of the records.
    before : dict or None
        The cell's record when the sweep began: another one now is another sweep's.
    wait : bool
        For another sweep that holds the cell; else its turn ends as ``taken``.
    ends : float or None
        Seconds of the clock (`time.time`) up to which it waits; None for as long as it takes.

    Examples
    --------
    >>> Turn(print, None, Path("records"), None, wait=False, ends=None).wait
    False
    """

    task: Callable[[Cell, Path], object]
    cell: Cell
    folder: Path
    before: dict | None
    wait: bool
    ends: float | None


class Ended(NamedTuple):
    """How a turn ended.

    Attributes
    ----------
    how : str
        ``done``, ``failed``, ``elsewhere`` (another sweep has ended this cell meanwhile) or ``taken`` (one
        runs it now).
    seconds : float
        Wall time of the task.
    reason : str
        One line, of a failure; empty otherwise.

    Examples
    --------
    >>> Ended("done", 30.2).reason
    ''
    """

    how: str
    seconds: float = 0.0
    reason: str = ""


def take_turn(turn: Turn) -> Ended:
    """Claim a cell and run it, unless its record has changed since the sweep began.

    An error of the task is recorded, with its reason, and told; it is not raised.

    Raises
    ------
    InputError
        The folder cannot be written to.

    Examples
    --------
    >>> import tempfile; from types import SimpleNamespace
    >>> cell = SimpleNamespace(name="a__r00", arm="a", replicate=0, identity="5f3c")
    >>> def task(cell, folder):
    ...     write_json(record_path(cell, folder), {"identity": cell.identity, "status": "success"})
    >>> take_turn(Turn(task, cell, Path(tempfile.mkdtemp()), None, wait=False, ends=None)).how
    'done'
    """
    seconds = 0.0
    if turn.wait:
        seconds = -1.0 if turn.ends is None else max(0.0, turn.ends - time.time())
    try:
        with claimed(_claim(turn), turn.folder, seconds=seconds):
            return _ended_elsewhere(turn) or _run(turn)
    except TimeoutError:
        return Ended("taken")


def bury(turn: Turn, reason: str) -> Ended:
    """Record, from outside the worker, that a cell's process died; unless another sweep has taken it up.

    Raises
    ------
    InputError
        The record cannot be written.

    Examples
    --------
    >>> import tempfile; from types import SimpleNamespace
    >>> cell = SimpleNamespace(name="a__r00", arm="a", replicate=0, identity="5f3c")
    >>> bury(Turn(print, cell, Path(tempfile.mkdtemp()), None, False, None), "killed").reason
    'killed'
    """
    try:
        with claimed(_claim(turn), turn.folder, seconds=DYING):
            return _ended_elsewhere(turn) or _failed(turn, reason, 0.0)
    except TimeoutError:
        return Ended("taken")


def _claim(turn: Turn) -> str:
    """Not the cell's name: the task may claim that itself, against callers that are no sweep."""
    return f"{turn.cell.name}.sweep"


def _ended_elsewhere(turn: Turn) -> Ended | None:
    record = read_record(turn.cell, turn.folder)
    if record is None or record == turn.before:
        return None
    told = {"failed": f"in another sweep: {record.get('error')}", "other": "another sweep has other settings"}
    return Ended("elsewhere", reason=told.get(standing(turn.cell, record), ""))


def _run(turn: Turn) -> Ended:
    cell, folder = turn.cell, turn.folder
    remove_parts(folder, record_path(cell, folder).name)
    started = time.perf_counter()
    try:
        turn.task(cell, folder)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return _failed(turn, reason, time.perf_counter() - started)
    spent = time.perf_counter() - started
    if standing(cell, read_record(cell, folder)) != "done":
        return _failed(turn, "its task left no record of success with its identity", spent)
    return Ended("done", spent)


def _failed(turn: Turn, reason: str, seconds: float) -> Ended:
    cell = turn.cell
    told = {"arm": cell.arm, "replicate": cell.replicate, "identity": cell.identity, "status": "error"}
    told |= {"error": without_folders(reason), "seconds": round(seconds, 3)}
    path = record_path(cell, turn.folder)
    if path.is_dir():  # what stands there cannot be replaced by a file
        raise InputError("record", path.name, "is no regular file", "remove it: its cell runs again")
    write_json(path, sealed({"schema_version": SCHEMA_VERSION} | told))
    return Ended("failed", seconds, reason)


class Progress:
    """A bar, and a line for every cell that ended; a context manager.

    Parameters
    ----------
    found : Survey
        Where the cells stood at the start.
    workers : int
        Cells at once, for the estimate of what remains.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> pair = [SimpleNamespace(name=f"a__r0{r}", arm="a", replicate=r, identity="") for r in (0, 1)]
    >>> with Progress(Survey(pair, dict.fromkeys(("a__r00", "a__r01"), "missing"), {}), 1) as progress:
    ...     progress.tell(pair[0], Ended("done", 120.0))
    a r00: 120 s (1/2 done, about 2 min left)
    """

    def __init__(self, found: Survey, workers: int) -> None:
        self.found = found._replace(status=dict(found.status), seconds=dict(found.seconds))
        self.left = {cell.name: cell for cell in found.to_do()}
        self.failed = 0
        self.workers = workers

    def __enter__(self) -> Progress:
        from tqdm.auto import tqdm

        total, done = len(self.found.cells), self.found.count("done")
        self.bar = tqdm(total=total, initial=done, desc="sweep", unit="cell", disable=progress_off())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()

    def tell(self, cell: Cell, ended: Ended) -> None:
        """Take note that a cell's turn ended, and print its line; a cell that is taken has not ended."""
        if ended.how == "taken":
            return
        failed = ended.how == "failed" or bool(ended.reason)
        self.failed += failed
        del self.left[cell.name]
        if not failed:
            self.found.status[cell.name] = "done"
            self.bar.update()
        if ended.how == "done":
            self.found.seconds[cell.name] = ended.seconds
        told = {"done": f"{ended.seconds:.0f} s", "elsewhere": "done by another sweep"}
        self._line(cell, f"failed, {ended.reason}" if failed else told[ended.how])

    def _line(self, cell: Cell, told: str) -> None:
        done, total = self.found.count("done"), len(self.found.cells)
        more = f", {self.failed} failed" if self.failed else ""
        spare = self.found.expected(self.left.values())
        if self.left and spare is not None:
            more += f", about {span(spare / self.workers)} left"
        text = printable(f"{cell.arm} r{cell.replicate:02d}: {told} ({done}/{total} done{more})")
        # Through the bar, which it would cut in two; flushed, since a log is read while the sweep runs.
        self.bar.write(text, file=sys.stdout)
        sys.stdout.flush()
        tell_progress(f"sweep {done}/{total}")


def span(seconds: float) -> str:
    """Return a duration in the unit that suits it.

    Examples
    --------
    >>> span(40), span(300), span(9000)
    ('40 s', '5 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def outlook(found: Survey, workers: int) -> str:
    """Return what a sweep would run: counts by arm, and an estimate from the records that are there.

    Parameters
    ----------
    found : Survey
        Where the cells stand.
    workers : int
        Cells at once.

    Returns
    -------
    str
        A table and two lines.

    Raises
    ------
    InputError
        Fewer than one worker.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> pair = [SimpleNamespace(name=f"a__r0{r}", arm="a", replicate=r, identity="") for r in (0, 1)]
    >>> print(outlook(Survey(pair, {"a__r00": "done", "a__r01": "missing"}, {"a__r00": 1800.0}), workers=1))
    arm    done  failed missing   other  to run  minutes a cell
    a         1       0       1       0       1            30.0
    1 of 2 cells to run: a r01
    about 0.5 h with 1 worker, from 1 record
    """
    if workers < 1:
        raise InputError("workers", workers, "must be at least 1", "use one worker per idle core")
    width = max(3, *(len(printable(cell.arm)) for cell in found.cells))
    words = ("done", "failed", "missing", "other")
    head = "".join(f"{word:>8}" for word in (*words, "to run"))
    lines = [f"{'arm':<{width}}{head}  minutes a cell"]
    to_do = found.to_do()
    for arm in dict.fromkeys(cell.arm for cell in found.cells):
        mine = [cell for cell in found.cells if cell.arm == arm]
        counts = [sum(found.status[cell.name] == word for cell in mine) for word in words]
        numbers = "".join(f"{count:>8}" for count in (*counts, sum(cell.arm == arm for cell in to_do)))
        known = [found.seconds[cell.name] for cell in mine if cell.name in found.seconds]
        minutes = f"{sum(known) / len(known) / 60:.1f}" if known else "-"
        lines.append(f"{printable(arm):<{width}}{numbers}{minutes:>16}")
    lines.append(f"{len(to_do)} of {len(found.cells)} cells to run" + _listed(to_do))
    return "\n".join([*lines, _hours(found, workers)])


def _listed(cells: Iterable[Cell]) -> str:
    by_arm: dict[str, list[str]] = {}
    for cell in cells:
        by_arm.setdefault(cell.arm, []).append(f"r{cell.replicate:02d}")
    listed = [f"{printable(arm)} {' '.join(names)}" for arm, names in by_arm.items()]
    return ": " * bool(by_arm) + "; ".join(listed)


def _hours(found: Survey, workers: int) -> str:
    spare = found.expected(found.to_do())
    if spare is None:
        return "no record yet to estimate the hours from"
    by, records = f"{workers} worker{'s' * (workers > 1)}", len(found.seconds)
    return f"about {spare / workers / 3600:.1f} h with {by}, from {records} record{'s' * (records != 1)}"


def run_cells(
    task: Callable[[Cell, Path], object],
    cells: Sequence[Cell],
    folder: Path,
    *,
    workers: int = 1,
    backend: str = "process",
    gpus: int = 0,
    hours: float | None = None,
) -> Survey:
    """Run the cells that have no record of success, several at a time; killed and called again, it goes on.

    Each cell is claimed while it runs, so that sweeps at once on one folder divide the cells between them. A
    cell that fails leaves a record of status ``error`` with the reason at once, stops no other, and runs
    again in the next sweep. One whose process or machine dies is tried again, at once and in two more rounds
    with new processes, before it is recorded so. A finished record of other settings is refused.

    Parameters
    ----------
    task : callable
        Importable; ``task(cell, folder)`` writes `cells.record_path` whole or not at all, with ``identity``
        and ``status: success``, and ``seconds`` for the estimates.
    cells : sequence of Cell
        Run in this order.
    folder : Path
        Of the records. Machines of a Ray cluster must share it.
    workers : int
        Processes, each with one compute thread; at least 1.
    backend : {"process", "ray"}
        As for `workers.map_tasks`.
    gpus : int
        As for `workers.map_tasks`.
    hours : float, optional
        After them no cell starts; what is under way is finished.

    Returns
    -------
    Survey
        Where the cells stand at the end.

    Raises
    ------
    InputError
        No cell, hours below 0, records of other settings, or what `workers.map_tasks` refuses, before
        anything starts; or a record that cannot be written.

    Examples
    --------
    >>> run_cells(print, [], Path("records"))
    Traceback (most recent call last):
    ...
    hammerlib.errors.InputError: cells = []: holds none; give at least one
    """
    if not cells:
        raise InputError("cells", [], "holds none", "give at least one")
    if hours is not None and not hours >= 0:
        raise InputError("hours", hours, "must be 0 or more", "leave it out to run until all is done")
    folder = Path(folder).resolve()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    found = survey(cells, folder)
    refuse_others(found)
    ends = None if hours is None else time.time() + 3600 * hours
    to_do, wait = found.to_do(), False
    before = {cell.name: read_record(cell, folder) for cell in to_do}
    pool = {"workers": workers, "backend": backend, "gpus": gpus, "retries": 1}
    lost: Counter[str] = Counter()
    with Progress(found, workers) as progress:
        while to_do:  # a second round waits for what other sweeps held in the first
            turns = [Turn(task, cell, folder, before[cell.name], wait, ends) for cell in to_do]
            taken, orphans = [], []
            for place, result in map_tasks(take_turn, _until(ends, turns), **pool):
                cell = to_do[place]
                if isinstance(result, Failure) and result.of_machinery and lost[cell.name] < ROUNDS:
                    lost[cell.name] += 1
                    orphans.append(cell)
                    continue
                ended = bury(turns[place], result.reason) if isinstance(result, Failure) else result
                progress.tell(cell, ended)
                taken += [cell] if ended.how == "taken" else []
            to_do, wait = orphans + ([] if wait else taken), True
    return survey(cells, folder)


def _until(ends: float | None, turns: list[Turn]) -> Iterator[Turn]:
    for turn in turns:
        if ends is not None and time.time() >= ends:
            return
        yield turn
