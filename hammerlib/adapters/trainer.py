"""What an adapter says of its trainer: how a row is written, which settings keep the order, what is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Row = dict[str, Any]


@dataclass(frozen=True)
class Trainer:
    """One trainer of the field.

    Attributes
    ----------
    name : str
    version : str
        The version that was looked at.
    checked : {"package", "source"}
        ``package``: its own data loader was driven by a test; ``source``: its source was read, for no
        registry serves it.
    suffix : str
        Ending of the file that it reads.
    tail : {"dropped", "short", "wraps"}
        What becomes of the problems that do not fill a last batch: left out of every epoch; trained in a
        shorter batch; filled up with the first problems of the next epoch.
    row : callable (problem, position) -> dict
        The row of the file for a problem of the table.
    settings : callable (file, batch) -> list of str
        What must stand on the command line or in the configuration, in the trainer's own syntax; `batch` is
        the number of prompts of a step, or None where the user sets it.
    reads_folder : bool
        It reads every file of the folder that the file lies in.
    """

    name: str
    version: str
    checked: Literal["package", "source"]
    suffix: str
    tail: Literal["dropped", "short", "wraps"]
    row: Callable[[Row, int], Row]
    settings: Callable[[Path, int | None], list[str]]
    reads_folder: bool = False


def of_batch(batch: int | None, *lines: str) -> list[str]:
    """Return lines with ``{}`` filled with the batch, or none of them where it is not known."""
    return [] if batch is None else [line.format(batch) for line in lines]


def chat(prompt: str) -> list[dict[str, str]]:
    """Return a prompt as the one turn of a user."""
    return [{"role": "user", "content": prompt}]
