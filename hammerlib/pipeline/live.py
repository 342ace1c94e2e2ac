"""The line on the terminal that moves while a notebook executes: its cell, and the runs inside the cell.

The kernel stays silent (each refresh of a bar would be saved as an output). What the line shows is read from
outside: the count that a sweep leaves, and the records of the runs that are under way.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from hammerlib.runs.storage import progress_off

REFRESH = 1.0  # seconds
SHOWN = 2  # runs side by side that fit into a line


class LiveLine:
    """Show one moving line on standard error; nothing under CI or without a terminal.

    Parameters
    ----------
    name : str
        Of the notebook.
    cells : int
        Code cells it has.
    root : Path
        Folder of run folders.
    told : Path
        File that `storage.tell_progress` writes in the kernel.

    Examples
    --------
    >>> with LiveLine("04_training", 9, Path("runs"), Path("progress.txt")) as line:
    ...     line.next_cell()
    """

    def __init__(self, name: str, cells: int, root: Path, told: Path) -> None:
        self.root, self.told, self.since = root, told, time.time()
        self._name, self._cells = name, cells
        self._ended = threading.Event()
        self._bar = self._thread = None

    def __enter__(self) -> LiveLine:
        if progress_off() or not sys.stderr.isatty():
            return self
        from tqdm import tqdm

        layout = "{desc} {n_fmt}/{total_fmt} cells [{elapsed}]{postfix}"
        self._bar = tqdm(total=self._cells, desc=self._name, leave=False, bar_format=layout, disable=False)
        self._thread = threading.Thread(target=self._refresh, daemon=True)
        self._thread.start()
        return self

    def next_cell(self, cell: Mapping | None = None, **_: object) -> None:
        """Count the cell that starts (nbclient tells of every one), unless it is prose or papermill's own."""
        own = cell is not None and "injected-parameters" in cell["metadata"].get("tags", [])
        if self._bar is not None and (cell is None or cell["cell_type"] == "code") and not own:
            self._bar.update(1)

    def _refresh(self) -> None:
        while not self._ended.wait(REFRESH):
            self._bar.set_postfix_str(under_way(self.root, self.told, self.since))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._bar is not None:
            self._thread.join()
            self._bar.close()


def under_way(root: Path, told: Path, since: float) -> str:
    """Say in a few words what runs right now.

    Parameters
    ----------
    root : Path
        Folder of run folders.
    told : Path
        File with a sweep's count, such as ``train 2/6``; may be missing.
    since : float
        Runs that were last written before this time (seconds since the epoch) do not count.

    Returns
    -------
    str
        Such as ``train 2/6: hammer dra s0 step 45/150 reward 0.61``; "" when nothing is known.

    Examples
    --------
    >>> under_way(Path("nowhere"), Path("nowhere.txt"), since=0.0)
    ''
    """
    runs = [words for folder in _recent(root, since) if (words := _state(folder))]
    parts = [told.read_text(encoding="utf-8") if told.is_file() else "", ", ".join(runs[:SHOWN])]
    return ": ".join(part for part in parts if part)


def count_code_cells(notebook: Path) -> int:
    """Return the number of code cells in a notebook file.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.ipynb"
    >>> _ = path.write_text(json.dumps({"cells": [{"cell_type": "code"}, {"cell_type": "markdown"}]}))
    >>> count_code_cells(path)
    1
    """
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return sum(cell["cell_type"] == "code" for cell in cells)


def _recent(root: Path, since: float) -> list[Path]:
    """Run folders of training and evaluation written to since then, the newest first."""
    found = []
    for growing in (*root.glob("train__*/metrics.csv"), *root.glob("evaluate__*/samples.jsonl")):
        try:
            written = growing.stat().st_mtime
        except OSError:  # trimmed or replaced at this moment
            continue
        if written >= since:
            found.append((written, growing.parent))
    return [folder for _, folder in sorted(found, reverse=True)]


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
        step, reward = next(
            (line.split(",")[0], float(line.split(",")[2]))
            for line in reversed(lines)
            if ",reward_raw," in line
        )
        arm = " ".join(folder.name.split("__")[1:4]).replace(" none", "")
        return f"{arm} step {step}/{manifest['schedule']['steps']} reward {reward:.2f}"
    except (OSError, ValueError, KeyError, IndexError, StopIteration):
        return ""
