"""Problems from files: jsonl, json, parquet and csv."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError
from hammerlib.problems.layouts import to_rows
from hammerlib.problems.table import make_table, subset
from hammerlib.storage import atomic_path

if TYPE_CHECKING:
    from datasets import Dataset


def load_file(
    name: str, *, split: str | None, n: int | None, seed: int, columns: dict[str, str] | None
) -> Dataset:
    """Load a file of problems.

    Parameters
    ----------
    name : str
        Path ending in ``.jsonl``, ``.json`` (a list of objects), ``.parquet`` or ``.csv``.
    split : None
        A file has no parts.
    n : int or None
        Random subset of this size by `seed`, in file order; None for all rows.
    seed : int
        Draws the subset.
    columns : dict or None
        Mapping for layouts that are not recognised: table column to file column.

    Returns
    -------
    datasets.Dataset
        ``source`` is the file's stem, ``id`` is ``<source>-<row>`` with rows counted from 0; nothing is
        de-duplicated.

    Raises
    ------
    InputError
        The file is missing, unreadable, empty or of an unknown kind or layout; a split is asked for.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "sums.jsonl"
    >>> _ = path.write_text('{"question": "1+1?", "answer": "Two ones. #### 2"}')
    >>> load_file(str(path), split=None, n=None, seed=0, columns=None)[0]["answer"]
    '2'
    """
    if split is not None:
        raise InputError("split", split, "a file has no parts", "leave split out, or give one file per part")
    path = Path(name).expanduser()
    records = read_records(path)
    return subset(make_table(to_rows(records, source=path.stem, columns=columns)), n, seed)


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read the objects of a file, values as they are written (``"025"`` keeps its zero).

    Raises
    ------
    InputError
        Missing, unreadable, corrupt or empty file, or an unknown ending.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "one.csv"
    >>> _ = path.write_text("prompt,answer\\n1+1?,025\\n")
    >>> read_records(path)
    [{'prompt': '1+1?', 'answer': '025'}]
    """
    readers = {".jsonl": _read_jsonl, ".json": _read_json, ".parquet": _read_parquet, ".csv": _read_csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError("file", str(path), "unknown kind of file", f"use one of {', '.join(readers)}")
    if not path.is_file():
        raise InputError("file", str(path), "there is no such file", "check the path")
    try:
        records = reader(path)
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        problem = f"cannot be read as {path.suffix[1:]} ({type(error).__name__}: {reason})"
        raise InputError("file", str(path), problem, "check permissions and content") from error
    if not records:
        raise InputError("file", str(path), "the file holds no problems", "give a file with at least one row")
    return records


def write_records(records: list[dict[str, Any]], path: Path) -> None:
    """Write objects as jsonl or parquet, whole or not at all.

    Parameters
    ----------
    records : list of dict
        With the keys of the first.
    path : Path
        Ending in ``.jsonl`` or ``.parquet``.

    Raises
    ------
    InputError
        Another ending, or a file that cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "one.jsonl"
    >>> write_records([{"prompt": "1+1?"}], path)
    >>> read_records(path)
    [{'prompt': '1+1?'}]
    """
    if path.suffix not in (".jsonl", ".parquet"):
        raise InputError("file", str(path), "unknown kind of file to write", "use .jsonl or .parquet")
    with atomic_path(path) as part:
        if path.suffix == ".jsonl":
            with open(part, "wb") as stream:
                stream.writelines(_line(record) for record in records)
        else:
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), part)


def _line(record: dict[str, Any]) -> bytes:
    try:
        return (json.dumps(record, ensure_ascii=False, default=str) + "\n").encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can write
        return (json.dumps(record, default=str) + "\n").encode("ascii")


def records_of(source: str, problems: Dataset) -> list[dict[str, Any]]:
    """Return the problems as their file has them, all its columns kept; of other sources the table's rows.

    Parameters
    ----------
    source : str
        What `load_problems` was given.
    problems : datasets.Dataset
        What it returned.

    Examples
    --------
    >>> from hammerlib import load_problems
    >>> table = load_problems("reasoning-gym:nano", split="heldout", n=2)
    >>> [row["id"] for row in records_of("reasoning-gym:nano", table)] == table["id"][:]
    True
    """
    prefix, _, name = source.partition(":")
    if prefix != "file":
        return problems.to_list()
    records = read_records(Path(name).expanduser())
    return [records[int(label.rsplit("-", 1)[1])] for label in problems["id"]]


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    records = []
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise InputError(
                    "file", str(path), f"line {number} is no JSON ({error})", "repair it"
                ) from error
            if not isinstance(records[-1], dict):
                raise InputError(
                    "file", str(path), f"line {number} is no JSON object", "write one object a line"
                )
    return records


def _read_json(path: Path) -> list[dict[str, Any]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        raise InputError("file", str(path), "is not a JSON list of objects", "write [{...}, {...}]")
    return content


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path).to_pylist()


def _read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, strict=True))
