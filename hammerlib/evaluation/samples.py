"""The samples file: one JSON line a sample, written batch by batch, whole after any kill."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from hammerlib.storage import writing

FIELDS = ("id", "sample", "completion", "n_tokens", "truncated", "correct", "extracted", "reason", "grader")


def recover(path: str | Path, batches: Sequence[Sequence[tuple[str, int]]]) -> list[dict]:
    """Return the rows of the leading batches that are complete, and cut the file behind them.

    Parameters
    ----------
    path : path
        ``samples.jsonl``; may be missing, may end anywhere.
    batches : sequence of sequences of (str, int)
        The whole plan as (problem id, sample number), in writing order.

    Returns
    -------
    list of dict
        Rows with the keys `FIELDS`. Whatever follows the first batch that is torn, damaged or not the
        planned one is removed, to be sampled again.

    Examples
    --------
    >>> recover("does-not-exist.jsonl", [[("a", 0)]])
    []
    """
    path = Path(path)
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last line end is torn
    rows: list[dict] = []
    for batch in batches:
        found = [_row(line) for line in lines[len(rows) : len(rows) + len(batch)]]
        if [row and (row["id"], row["sample"]) for row in found] != list(batch):
            break
        rows.extend(row for row in found if row)
    os.truncate(path, sum(len(line) + 1 for line in lines[: len(rows)]))
    return rows


def append(path: str | Path, rows: Sequence[dict]) -> None:
    """Append one batch in one write and bring it to the disk before returning.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "samples.jsonl"
    >>> append(target, [dict.fromkeys(FIELDS) | {"id": "a", "sample": 0}])
    >>> [row["id"] for row in recover(target, [[("a", 0)]])]
    ['a']
    """
    chosen = [{name: row[name] for name in FIELDS} for row in rows]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in chosen)
    with writing(path), open(path, "ab") as stream:
        stream.write(text.encode("utf-8", errors="replace"))
        stream.flush()
        os.fsync(stream.fileno())


def _row(line: bytes) -> dict | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and set(row) == set(FIELDS) else None
