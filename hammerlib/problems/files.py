"""Problems from files: jsonl, json, parquet and csv."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError
from hammerlib.jsons import parse_json
from hammerlib.problems.layouts import to_rows
from hammerlib.problems.table import make_table, subset
from hammerlib.storage import atomic_path

if TYPE_CHECKING:
    from datasets import Dataset

BOM = b"\xef\xbb\xbf"  # of UTF-8, as Excel and Notepad write it
# What pandas and numpy write for a missing or broken number.
NO_NUMBERS = frozenset(
    {"nan", "NaN", "NAN", "-nan", "-NaN", "inf", "-inf", "Inf", "-Inf", "INF", "Infinity", "-Infinity"}
)
# A file is one part; as the part to train on (the default of training and notebooks) it is taken whole.
WHOLE = (None, "rl", "train")


def load_file(
    name: str, *, split: str | None, n: int | None, seed: int, columns: dict[str, str] | None
) -> Dataset:
    """Load a file of problems.

    Parameters
    ----------
    name : str
        Path ending in ``.jsonl``, ``.json`` (a list of objects), ``.parquet`` or ``.csv``.
    split : {None, "rl", "train"}
        A file has no parts: what is trained on is all of it.
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
    if split not in WHOLE:
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
        return (json.dumps(record, ensure_ascii=False, default=_plain) + "\n").encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can write
        return (json.dumps(record, default=_plain) + "\n").encode("ascii")


def _plain(value: Any) -> str:
    """Write what JSON has no word for: Parquet's bytes as the text that they hold, dates as they print."""
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


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


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a text file with their numbers; a file that is no UTF-8 is refused with what it may be."""
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            if number == 1:
                if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                    raise InputError("file", str(path), "is UTF-16", "save it as UTF-8")
                raw = raw.removeprefix(BOM)
            if b"\0" in raw:
                raise InputError("file", str(path), f"line {number} holds a NUL byte", "save it as UTF-8")
            try:
                yield number, raw.decode("utf-8")
            except UnicodeDecodeError as error:
                problem = f"line {number} is no UTF-8 (byte 0x{raw[error.start]:02x})"
                raise InputError("file", str(path), problem, "save it as UTF-8") from error


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    records = []
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            records.append(parse_json(line))
        except ValueError as error:
            problem = f"line {number} {error}"
            raise InputError("file", str(path), problem, "repair that line") from error
        if not isinstance(records[-1], dict):
            raise InputError("file", str(path), f"line {number} is no JSON object", "write one object a line")
    return records


def _read_json(path: Path) -> list[dict[str, Any]]:
    try:
        content = parse_json("".join(line for _, line in _lines(path)))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError("file", str(path), str(error), "repair it") from error
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        raise InputError("file", str(path), "is not a JSON list of objects", "write [{...}, {...}]")
    return content


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    if len(set(table.column_names)) < len(table.column_names):
        raise InputError("file", str(path), "has two columns of one name", "rename one")
    for place, kind in enumerate(table.schema.types):
        if pyarrow.types.is_float16(kind) or pyarrow.types.is_float32(kind):
            # 0.1 in 32 bits is 0.1, not 0.10000000149011612.
            short = [None if one is None else float(str(one)) for one in _narrow(table.column(place))]
            table = table.set_column(place, table.column_names[place], pyarrow.array(short, "float64"))
    return table.to_pylist()


def _narrow(column: Any) -> Iterator[Any]:
    """Values of a column of 16 or 32 bits as numpy's own, which print as few digits as tell them apart."""
    import numpy as np

    kind = np.float16 if str(column.type) == "halffloat" else np.float32
    return (None if one is None else kind(one) for one in column.to_pylist())


def _read_csv(path: Path) -> list[dict[str, Any]]:
    limit = csv.field_size_limit(2**31 - 1)  # a long problem is no error
    try:
        # "skipinitialspace": a quote after a comma and a blank opens a cell too.
        rows = csv.reader((line for _, line in _lines(path)), strict=True, skipinitialspace=True)
        header = [name.strip() for name in next(rows, [])]
        _check_header(path, header)
        records = []
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                problem = f"line {rows.line_num} has {len(row)} cells, the header {len(header)}"
                remedy = 'put quotes around cells with a comma, such as "1,000"'
                raise InputError("file", str(path), problem, remedy)
            records.append(dict(zip(header, row, strict=True)))
            for name, cell in records[-1].items():
                if cell.strip() in NO_NUMBERS:
                    problem = f"line {rows.line_num}: {name} is {cell.strip()}, which is no number"
                    raise InputError("file", str(path), problem, "fill that cell, or drop the row")
    finally:
        csv.field_size_limit(limit)
    return records


def _check_header(path: Path, header: list[str]) -> None:
    if not any(header):
        raise InputError("file", str(path), "has no header", "write the names of the columns first")
    if "" in header or len(set(header)) < len(header):
        twice = sorted({name for name in header if header.count(name) > 1} - {""})
        problem = f"names {twice[0]!r} twice in its header" if twice else "has a column without a name"
        raise InputError("file", str(path), problem, "give every column a name of its own")
    if len(header) == 1 and (other := next((mark for mark in "\t;|" if mark in header[0]), None)):
        raise InputError("file", str(path), f"is separated by {other!r}", "separate by commas")
