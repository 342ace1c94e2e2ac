"""Cells of a grid and their records on disk: which are done or failed, what is left, how long it takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from hammerlib.errors import InputError
from hammerlib.storage import file_name, read_object

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
