"""The samples of a run: graded, one JSON line each, whole after any kill; and their counts by problem."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hammerlib.errors import InputError
from hammerlib.grading import GradingPool, with_truncation
from hammerlib.grading.verdict import stamp_of
from hammerlib.problems.files import read_records
from hammerlib.problems.registry import refuse_code
from hammerlib.runs.storage import appending, atomic_path, content_hash, writable, writing

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

FIELDS = ("id", "sample", "completion", "n_tokens", "truncated", "correct", "extracted", "reason", "grader")
KINDS = {"id": str, "sample": int, "completion": str, "n_tokens": int, "truncated": bool, "correct": bool}
# Columns beside those of the fingerprint that verdicts and tables depend on.
RULING = ("scorer", "metadata", "topic", "difficulty")
COLUMNS = ("id", "n", "correct", "topic")


def judge(
    pool: GradingPool,
    completions: Sequence[str],
    truncated: Sequence[bool],
    problems: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Grade samples on a pool of processes, in order: the columns ``correct, extracted, reason, grader``."""
    verdicts = pool.grade(completions, problems)
    return [
        asdict(with_truncation(verdict, text, cut))
        for verdict, text, cut in zip(verdicts, completions, truncated, strict=True)
    ]


def grading_identity(problems: Dataset, run_code: bool) -> dict[str, Any]:
    """Return what verdicts depend on beside prompts and golds, for the name of a run."""
    columns = {name: problems[name][:] for name in RULING if name in problems.column_names}
    scorers = set(columns.get("scorer", [None]))
    for scorer in scorers:
        refuse_code(scorer, run_code)
    return {
        "graders": sorted({stamp_of(scorer or "") for scorer in scorers}),
        "ruling": content_hash(columns),
    }


class Damage(NamedTuple):
    """A line (counted from 1) that is no sample, and what is wrong with it."""

    line: int
    problem: str


class Recovered(NamedTuple):
    """What a samples file holds of a plan."""

    batches: list[list[dict] | None]  # None where a batch has to be sampled again
    damages: list[Damage]  # lines that are no sample of the plan, or repeat one


def read(path: str | Path) -> tuple[dict[int, dict], list[Damage]]:
    """Return the samples of a file by line number, and the lines that are none, however damaged it is."""
    path = Path(path)
    if not path.is_file():
        return {}, []
    *lines, rest = path.read_bytes().split(b"\n")
    known = set(sums_of(path).read_bytes().split()) if sums_of(path).is_file() else None
    rows: dict[int, dict] = {}
    damages = []
    for number, line in enumerate(lines, start=1):
        row = _parsed(line)
        if isinstance(row, str):
            damages.append(Damage(number, row))
        elif known is not None and _sum(line) not in known:
            damages.append(Damage(number, "was changed after it was written"))
        else:
            rows[number] = row
    if rest:
        damages.append(Damage(len(lines) + 1, "is cut off"))
    return rows, damages


def recover(path: str | Path, batches: Sequence[Sequence[tuple[str, int]]]) -> Recovered:
    """Return the batches of the plan, (id, sample number), that are whole in the file; leave only those."""
    # A damaged line costs its own batch and no other: what stands before and behind it is kept.
    rows, damages = read(path)
    planned = {name for batch in batches for name in batch}
    first: dict[tuple[str, int], dict] = {}
    for number, row in rows.items():
        name = (row["id"], row["sample"])
        if name not in planned:
            damages.append(Damage(number, f"is sample {name[1]} of {name[0]!r}, which is not planned"))
        elif name in first:
            damages.append(Damage(number, f"repeats sample {name[1]} of {name[0]!r}"))
        else:
            first[name] = row
    recovered: list[list[dict] | None] = []
    for batch in batches:
        whole = all(name in first for name in batch)
        recovered.append([first[name] for name in batch] if whole else None)
    kept = [batch for batch in recovered if batch]
    if damages or len(first) > sum(map(len, kept)):
        settle(path, kept)
    if kept and not sums_of(path).is_file():  # of a finished run, or of an older version
        _append_sums(path, kept)
    return Recovered(recovered, sorted(damages))


def append(path: str | Path, rows: Sequence[dict]) -> None:
    """Append one batch in one write and bring it to the disk before returning."""
    # The sums first: one without its line does no harm. They go when the manifest has that of the whole file.
    _append_sums(path, [rows] if rows else [])
    with writing(path), open(writable(path), "ab") as stream:
        stream.write(_text(rows))
        stream.flush()
        os.fsync(stream.fileno())


def settle(path: str | Path, batches: Iterable[Sequence[dict]]) -> None:
    """Write these batches in this order in place of the file, whole or not at all."""
    with atomic_path(path) as file, open(file, "wb") as stream:
        for rows in batches:
            stream.write(_text(rows))


def sums_of(path: str | Path) -> Path:
    """Return the file with a hash of every line of a samples file that is still growing."""
    return Path(path).with_suffix(".sums")


def _append_sums(path: str | Path, batches: Iterable[Sequence[dict]]) -> None:
    lines = [line for rows in batches for line in _text(rows).split(b"\n")[:-1]]
    if lines:
        with appending(sums_of(path)) as stream:
            stream.writelines(f"{_sum(line).decode()}\n" for line in lines)


def _sum(line: bytes) -> bytes:
    return hashlib.sha256(line).hexdigest()[:20].encode()


def _text(rows: Sequence[dict]) -> bytes:
    chosen = [{name: row[name] for name in FIELDS} for row in rows]
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in chosen)
    return "".join(lines).encode("utf-8", errors="replace")


def _parsed(line: bytes) -> dict | str:
    """A sample, or what is wrong with its line."""
    try:
        row = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        return f"is no JSON ({type(error).__name__})"
    if not isinstance(row, dict):
        return f"holds a {type(row).__name__}, not a sample"
    missing = [name for name in FIELDS if name not in row]
    if missing:
        return f"lacks {', '.join(missing)}"
    wrong = [name for name, kind in KINDS.items() if type(row[name]) is not kind]
    if wrong:
        return f"has an unfit value of {', '.join(wrong)}"
    return row


def read_outcomes(path: str | Path) -> pd.DataFrame:
    """Read ``outcomes.csv``, a row a problem: ``id`` and ``topic`` as text, counts ``n`` and ``correct``."""
    import pandas as pd

    rows = read_records(Path(path))
    problem = next(_faults(rows), None)
    if problem:
        raise InputError("file", str(path), problem, "evaluate or regrade the run again")
    table = pd.DataFrame({name: [row[name] for row in rows] for name in COLUMNS})
    return table.astype({"n": int, "correct": int})


def _faults(rows: Sequence[dict[str, str]]) -> Iterator[str]:
    """What is wrong with a table of outcomes; only the first fault counts, which may hide others."""
    lacking = [name for name in COLUMNS if name not in rows[0]]
    if lacking:
        yield f"lacks {', '.join(lacking)}"
    ids = set()
    for number, row in enumerate(rows, start=1):
        if not row["id"]:
            yield f"row {number}: there is no id"
        if row["id"] in ids:
            yield f"row {number}: the id {row['id']!r} is there twice"
        ids.add(row["id"])
        for name in ("n", "correct"):
            if not row[name].isascii() or not row[name].isdecimal() or len(row[name]) > 9:
                yield f"row {number}: {name} is {row[name][:20]!r}, no count"
        if int(row["n"]) < 1:
            yield f"row {number}: n is 0"
        if int(row["correct"]) > int(row["n"]):
            yield f"row {number}: {row['correct']} of {row['n']} samples are correct"
