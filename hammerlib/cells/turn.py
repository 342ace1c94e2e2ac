"""A cell's turn in a worker: claimed, run unless another sweep has done so, and its failure recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from hammerlib.cells.records import Cell, read_record, record_path, standing
from hammerlib.errors import InputError
from hammerlib.runs import SCHEMA_VERSION, claimed
from hammerlib.storage import remove_parts, sealed, without_folders, write_json

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
