"""What a sweep tells of its cells: before it starts, and as they end."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import TracebackType

from hammerlib.cells.records import Cell, Survey
from hammerlib.cells.turn import Ended
from hammerlib.errors import InputError, printable
from hammerlib.storage import progress_off, tell_progress


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
