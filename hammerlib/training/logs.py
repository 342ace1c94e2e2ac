"""The files of a run that grow with every step: index log and the others; and cutting them back."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from hammerlib.runs.storage import appending, discard
from hammerlib.training.checkpoints import cut_logs
from hammerlib.training.schedule import Plan

SKIPPED = "skipped.csv"  # of dynamic sampling


class OrderMismatchError(RuntimeError):
    """The trainer was handed other problems than the order says; training stops.

    Examples
    --------
    >>> issubclass(OrderMismatchError, RuntimeError)
    True
    """


class IndexLog:
    """Checks every micro-batch against the order and writes which problem was trained where.

    A rollout may train other problems than the order hands out; what it trained is what is written. A problem
    that is not in the order has position and index -1.

    Parameters
    ----------
    folder : Path
        The run's folder; process 0 writes ``index_log.csv``, process p > 0 ``index_log-p.csv``.
    plan : Plan
    ids, index : sequences of length n
        Problem id and row of the problem table at each place of the order.
    process : int

    Examples
    --------
    >>> import tempfile
    >>> from hammerlib.training.schedule import plan
    >>> from hammerlib.training.config import TrainConfig
    >>> one = plan(TrainConfig(prompts_per_step=1, group_size=2), 2)
    >>> log = IndexLog(Path(tempfile.mkdtemp()), one, ["b", "a"], [1, 0], process=0)
    >>> log.check(0, [{"id": "b"}, {"id": "b"}])
    >>> log.record([{"id": "b"}, {"id": "b"}])
    >>> log.path.read_text().splitlines()[1]
    '1,0,0,0,1,b'
    """

    HEAD = ("step", "epoch", "process", "position", "index", "id")

    def __init__(self, folder: Path, plan: Plan, ids: list[str], index: list[int], process: int) -> None:
        self.path = folder / ("index_log.csv" if process == 0 else f"index_log-{process}.csv")
        self.plan, self.ids, self.index, self.process = plan, ids, index, process
        self.offset, self._step, self._written, self._block = 0, -1, -1, -1

    def follow(self, ids: list[str], index: list[int]) -> None:
        """Expect another order from the next epoch on: problem id and row at each of its places."""
        self.ids, self.index = ids, index

    @property
    def place_of(self) -> dict[str, int]:
        """Place in the order of every problem id."""
        return {one: place for place, one in enumerate(self.ids)}

    def check(self, step: int, rows: list[dict[str, Any]]) -> None:
        """Take the rows handed over for the next micro-batch of optimizer step `step` (from 0).

        Raises
        ------
        OrderMismatchError
            A row is not the problem that the order has there, or rows are missing.
        """
        self.offset = self.offset + 1 if step == self._step else 0
        if step != self._step:
            self._step, self._written = step, -1
        block = self.plan.block_of(step, self.offset)
        held = self.plan.rows * self.plan.per_generation
        first = self.process * held
        if len(rows) != held:
            raise OrderMismatchError(
                f"step {step + 1}, process {self.process}: the data loader handed over {len(rows)} rows of "
                f"the {held} of a generation batch; nothing after step {step} counts"
            )
        for place, row in enumerate(rows):
            wanted = self.ids[block * self.plan.prompts + (first + place) // self.plan.group]
            if row["id"] != wanted:
                raise OrderMismatchError(
                    f"step {step + 1}, process {self.process}, row {place}: trained {row['id']!r} where the "
                    f"order has {wanted!r}; the data loader does not follow the order, nothing after "
                    f"step {step} counts"
                )
        self._block = block

    def record(self, rows: list[dict[str, Any]]) -> None:
        """Write the problems that the micro-batch last checked trains on, once per generation and step.

        Rows with a column ``epoch`` (of a rollout that walks the order at its own pace) keep it.
        """
        if self._block == self._written:
            return
        self._written = self._block
        planned, place_of = self.plan.micro(self._step)[0], self.place_of
        fresh = not self.path.exists()
        with appending(self.path) as stream:
            out = csv.writer(stream, lineterminator="\n")
            if fresh:
                out.writerow(self.HEAD)
            for epoch, one in dict.fromkeys((row.get("epoch", planned), row["id"]) for row in rows):
                place = place_of.get(one, -1)
                index = self.index[place] if place >= 0 else -1
                out.writerow([self._step + 1, epoch, self.process, place, index, one])


def trim_run(folder: Path, step: int, checkpoint: Path | None = None) -> None:
    """Make a run's logs those of its first `step` optimizer steps, which `checkpoint` holds.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "metrics.csv").write_text("step,metric,value\\n1,reward,0.5\\n")
    >>> trim_run(folder, 0); (folder / "metrics.csv").exists()
    False
    """
    cut_logs(folder, checkpoint)
    for path in folder.glob("completions/*"):
        if not path.stem[:6].isdecimal() or int(path.stem[:6]) > step:
            discard(path)
