"""Cells to sweep over: an order and its cost, and what may happen on the way; also a sweep to kill.

python tests/sweep_cells.py FOLDER TASK NUMBER-OF-CELLS WORKERS BACKEND
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hammerlib.runs.storage import content_hash, write_json
from hammerlib.runs.trials import record_path, run_trials


@dataclass(frozen=True)
class Grid:
    """A cell of two arms."""

    arm: str
    replicate: int
    width: int = 4

    @property
    def name(self) -> str:
        """Of the record."""
        return f"{self.arm}__r{self.replicate:02d}"

    @property
    def identity(self) -> str:
        """Of the settings."""
        return content_hash(self.arm, self.replicate, self.width)[:12]


def grid(number: int, width: int = 4) -> list[Grid]:
    """The first cells: random r00, dataset r00, random r01, ..."""
    return [Grid(("random", "dataset")[one % 2], one // 2, width) for one in range(number)]


def order(cell: Grid, folder: Path) -> None:
    """Order twenty vectors, and leave cost and permutation; every start stands in ``starts``."""
    with open(folder / "starts", "a", encoding="utf-8") as stream:
        stream.write(f"{cell.name} {os.getpid()}\n")
    started = time.perf_counter()
    drawn = np.random.default_rng(cell.replicate)
    vectors = drawn.normal(size=(20, cell.width))
    permutation = drawn.permutation(20) if cell.arm == "random" else np.arange(20)
    steps = np.einsum("nd,nd->n", vectors[permutation[1:]], vectors[permutation[:-1]])
    found = {"identity": cell.identity, "status": "success", "cost": float(steps.mean())}
    found |= {"permutation": permutation.tolist(), "seconds": time.perf_counter() - started}
    write_json(record_path(cell, folder), found)


def order_slowly(cell: Grid, folder: Path) -> None:
    """Long enough that sweeps meet."""
    order(cell, folder)
    time.sleep(0.05)


def fail_once(cell: Grid, folder: Path) -> None:
    """The second cell fails while ``broken`` lies in the folder."""
    if (cell.arm, cell.replicate) == ("dataset", 0) and (folder / "broken").exists():
        raise ValueError("it is\nbroken")
    order(cell, folder)


def die_once(cell: Grid, folder: Path) -> None:
    """The second cell's process is killed in the middle, once; it leaves a half-written record."""
    if (cell.arm, cell.replicate) == ("dataset", 0) and not (folder / "died").exists():
        (folder / "died").touch()
        with open(folder / "starts", "a", encoding="utf-8") as stream:
            stream.write(f"{cell.name} {os.getpid()}\n")
        (folder / f".{cell.name}.json.half.part").mkdir()
        os.kill(os.getpid(), signal.SIGKILL)
    order(cell, folder)


def die(cell: Grid, folder: Path) -> None:
    """The second cell kills every process."""
    if (cell.arm, cell.replicate) == ("dataset", 0):
        os.kill(os.getpid(), signal.SIGKILL)
    order(cell, folder)


def hang_once(cell: Grid, folder: Path) -> None:
    """The third cell waits, the first time, until its process is killed."""
    if (cell.arm, cell.replicate) == ("random", 1) and not (folder / "hanging").exists():
        (folder / "hanging").write_text(str(os.getpid()))
        time.sleep(600)
    order(cell, folder)


def leave_nothing(cell: Grid, folder: Path) -> None:
    """A task that forgets its record."""


def starts(folder: Path) -> list[str]:
    """Names of the cells that were started, in order."""
    return [line.split()[0] for line in (folder / "starts").read_text(encoding="utf-8").splitlines()]


def records(folder: Path) -> dict[str, dict]:
    """Records by name, without their seconds."""
    paths = sorted(folder.glob("*.json"))
    return {path.stem: without_seconds(json.loads(path.read_text(encoding="utf-8"))) for path in paths}


def without_seconds(value: object) -> object:
    """A record without machine time, at any depth."""
    if isinstance(value, dict):
        return {key: without_seconds(one) for key, one in value.items() if key != "seconds"}
    return [without_seconds(one) for one in value] if isinstance(value, list) else value


TINY = """
study: tiny
replicates: 2
starts: {backbone: nano}
n_problems: 8
n_held_out: 8
points: 1
samples: 1
final_samples: 1
base: {prompts_per_step: 4, group_size: 4, max_completion_length: 24}
arms: {random: {order: random}, hammer: {order: hammer}}
"""


def tiny(cell: Grid, folder: Path) -> None:
    """A cell of the study above, trained and examined; its start is written down, as in `order`."""
    from hammerlib.study.trial import run_trial  # not above: the workers of the other tasks need no torch

    with open(folder / "starts", "a", encoding="utf-8") as stream:
        stream.write(f"{cell.name} {os.getpid()}\n")
    run_trial(cell, folder.parent)


if __name__ == "__main__":
    place, task, number, workers, backend = sys.argv[1:]
    ended = run_trials(globals()[task], grid(int(number)), Path(place), workers=int(workers), backend=backend)
    sys.exit(ended.count("done") != int(number))
