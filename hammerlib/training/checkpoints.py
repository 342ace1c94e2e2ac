"""Checkpoints that survive a kill: which one is whole, and what must go before training resumes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

FOLDER = "checkpoints"


def newest_complete(folder: Path, *, processes: int = 1) -> tuple[Path, int] | None:
    """Return the newest whole checkpoint and its step, or None; remove what a kill left half-written.

    The trainer writes ``trainer_state.json`` after everything else, so a checkpoint is whole when that file
    parses, names the checkpoint's own step, and every process's random state lies beside it.

    Parameters
    ----------
    folder : Path
        The run's folder.
    processes : int
        Number of training processes.

    Examples
    --------
    >>> import tempfile
    >>> newest_complete(Path(tempfile.mkdtemp())) is None
    True
    """
    found = None
    for path in sorted((folder / FOLDER).glob("checkpoint-*"), key=lambda one: int(one.name.split("-")[1])):
        step = int(path.name.split("-")[1])
        if _is_whole(path, step, processes):
            found = path, step
        else:
            shutil.rmtree(path, ignore_errors=True)  # another process may be at it too
    return found


def _is_whole(path: Path, step: int, processes: int) -> bool:
    random = ["rng_state.pth"] if processes == 1 else [f"rng_state_{p}.pth" for p in range(processes)]
    try:
        state = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return state.get("global_step") == step and all((path / name).is_file() for name in random)
