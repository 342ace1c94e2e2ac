"""An order for another trainer: the problems in sequence as its file, and what must be set to keep it so."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.adapters.trainer import Trainer
from hammerlib.errors import InputError, check_name, check_whole
from hammerlib.problems.files import write_records

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.ordering import Order

TRAINERS = (
    *("trl", "verl", "openrlhf", "ms-swift", "trinity-rft"),
    *("verifiers", "prime-rl", "nemo-rl", "slime"),
)
TAILS = ("refuse", "report")
REST = {"short": "they are trained in a shorter one", "wraps": "the next epoch's first fill it up"}
SHOWN = 5  # ids named in a message
_MODULES = {"trinity-rft": "trinity"}


def trainer_named(name: str) -> Trainer:
    """Return what its adapter says of a trainer."""
    check_name("trainer", name, TRAINERS, "is no trainer that an order can be handed to")
    module = _MODULES.get(name, name.replace("-", "_"))
    return import_module(f"hammerlib.adapters.{module}").TRAINER


def check_path(trainer: Trainer, path: Path) -> None:
    """Refuse a file of another kind than the trainer reads."""
    if path.suffix != trainer.suffix:
        remedy = f"name a file that ends with {trainer.suffix}"
        raise InputError("write", str(path), f"is not what {trainer.name} reads", remedy)
    if any(char.isspace() for char in str(path)):
        problem = "holds a blank, which the lines to be set for a trainer do not quote"
        raise InputError("write", str(path), problem, "choose another name")
    folder = path.absolute().parent
    if trainer.reads_folder and folder.is_dir():
        others = sorted(other.name for other in folder.iterdir() if other.name != path.name)
        if others:
            problem = f"lies beside {others[0]}, and {trainer.name} reads every file of a folder"
            raise InputError("write", str(path), problem, "name a folder of its own")


def check_batch(trainer: Trainer, n: int, batch: int | None, tail: str) -> int:
    """Return how many of `n` problems no epoch trains, or refuse the batch that loses them."""
    check_name("tail", tail, TAILS)
    if batch is None:
        if tail != "refuse":
            raise InputError("tail", tail, "is of a batch, and none is given", "give batch=N (--batch N)")
        return 0
    check_whole("batch", batch, 1, "give the number of prompts of a step")
    if trainer.settings(Path("x"), batch) == trainer.settings(Path("x"), None):
        raise InputError("batch", batch, f"is set nowhere in {trainer.name}", "leave it out")
    if batch > n:
        raise InputError("batch", batch, f"is more than the {n} problems", "give a smaller batch")
    lost = n % batch if trainer.tail == "dropped" else 0
    if lost and tail == "refuse":
        problem = f"{trainer.name} drops what fills no batch: {lost} problems would be trained in no epoch"
        remedy = "choose a batch that divides the problems, or tail=report (--tail report)"
        raise InputError("batch", batch, problem, remedy)
    return lost


@dataclass(frozen=True)
class HandOver:
    """What was handed over.

    Attributes
    ----------
    trainer : Trainer
    path : Path
        The file written, its rows in the order.
    settings : list of str
        Lines for the trainer's command line or configuration.
    lost : list of str
        Ids of the problems at the end of the order that no epoch trains, in sequence.
    rest : int
        Number of problems that do not fill a last batch, trained or not; 0 where the batch is not given.
    """

    trainer: Trainer
    path: Path
    settings: list[str]
    lost: list[str]
    rest: int = 0

    def __str__(self) -> str:
        checked = "its loader driven by tests" if self.trainer.checked == "package" else "by reading"
        lines = [f"{self.trainer.name} {self.trainer.version}, {checked}; set:"]
        lines += [f"  {line}" for line in self.settings]
        if self.lost:
            lines.append(f"never trained, for they fill no batch: {_ids(self.lost)}")
        elif self.rest:
            lines.append(f"the last {self.rest} problems fill no batch: {REST[self.trainer.tail]}")
        return "\n".join(lines)


def hand_over(
    trainer: str,
    problems: Dataset,
    order: Order,
    path: str | Path,
    *,
    batch: int | None = None,
    tail: str = "refuse",
) -> HandOver:
    """Write problems in an order as the file that a trainer reads, with the settings that keep the order.

    Every row carries the problem's id and its position in the order, wherever the trainer passes columns on,
    so that its log can be compared with the order (`hammerlib.adapters.findings`).

    Parameters
    ----------
    trainer : str
        One of `TRAINERS`.
    problems : datasets.Dataset
        The table that the order was made for.
    order : Order
    path : path
        File to write; its ending must be the one that the trainer reads (``.parquet`` or ``.jsonl``).
    batch : int, optional
        Prompts of a step (of a generation batch where a step has several); with it the settings name it, and
        a tail is found.
    tail : {"refuse", "report"}
        What to do where the trainer drops the problems that do not fill a last batch; to report them, the
        batch must be given.

    Returns
    -------
    HandOver
        Prints as what is to be set.

    Raises
    ------
    InputError
        An unknown trainer; another ending; problems that the order was not made for; a batch larger than the
        problems, or of a trainer that has none (verifiers); a tail that would be dropped, with
        ``tail="refuse"``.

    Notes
    -----
    Source: ours, read from or tried on the version that each adapter names.

    Examples
    --------
    >>> import tempfile
    >>> from hammerlib import load_problems, order_by
    >>> problems = load_problems("reasoning-gym:nano", n=6)
    >>> order = order_by("random", None, problems=problems)
    >>> path = Path(tempfile.mkdtemp()) / "ordered.parquet"
    >>> handed = hand_over("verl", problems, order, path, batch=3)
    >>> "data.shuffle=False" in handed.settings, handed.lost
    (True, [])
    """
    target = trainer_named(trainer)
    path = Path(path)
    check_path(target, path)
    rows = order.apply(problems).to_list()
    lost = [row["id"] for row in rows[len(rows) - check_batch(target, len(rows), batch, tail) :]]
    write_records([target.row(row, position) for position, row in enumerate(rows)], path)
    return HandOver(target, path, target.settings(path, batch), lost, len(rows) % batch if batch else 0)


def _ids(ids: list[str]) -> str:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return f"{len(ids)} problems ({', '.join(ids[:SHOWN])}{more})"
