"""Problems from files (jsonl, json, parquet, csv), the Hugging Face hub and functions of one's own."""

from __future__ import annotations

import csv
import inspect
import itertools
import json
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError, need
from hammerlib.problems.layouts import to_rows
from hammerlib.problems.table import COLUMNS, make_table, subset
from hammerlib.runs.reading import parse_json
from hammerlib.runs.storage import atomic_path

if TYPE_CHECKING:
    from datasets import Dataset

BOM = b"\xef\xbb\xbf"  # of UTF-8, as Excel and Notepad write it
# What pandas, numpy and spreadsheets write for a missing or broken value.
NO_VALUES = frozenset(
    re.findall(
        r"\S+",
        """nan NaN NAN -nan -NaN inf -inf Inf -Inf INF Infinity -Infinity
        <NA> #N/A #REF! #DIV/0! #VALUE! #NAME? #NUM! #NULL! NaT""",
    )
)
# The two sides of a comma between thousands: 12,345 but neither 1.5,345 nor 12,3456 nor 2024,345.
END = re.compile(r"(?:^|[^\d.,])(\d{1,3})$")
START = re.compile(r"(\d{3})(?![\d.]\d|\d)")
# A file is one part; as the part to train on (the default of training and notebooks) it is taken whole.
WHOLE = (None, "rl", "train")

_HUB_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:/(?P<config>[\w.-]+))?(?:@(?P<revision>[\w./-]+))?")
_REACH_SECONDS = 10.0


def load_file(
    name: str, *, split: str | None, n: int | None, seed: int, columns: dict[str, str] | None
) -> Dataset:
    """Load a file of problems, all of it or a random subset in file order; ids are ``<stem>-<row>``."""
    check_file(name, split)
    path = Path(name).expanduser()
    records = read_records(path)
    return subset(make_table(to_rows(records, source=path.stem, columns=columns)), n, seed)


def check_file(name: str, split: str | None, n: int | None = None) -> None:
    """Refuse a part of a file, an unknown kind and a file that is not there; how many rows is seen later."""
    _refuse_split(split, "a file has no parts", "leave split out, or give one file per part")
    _reader(Path(name).expanduser())


def check_own(function: Callable[..., Any], name: str, split: str | None) -> bool:
    """Return whether a function of the user takes a part; refuse one that it does not take."""
    kinds = inspect.signature(function).parameters
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in kinds.values())
    if "split" not in kinds and not takes_any:
        _refuse_split(split, f"{name} takes no split", "leave it out, or give the function that parameter")
    return takes_any


def load_own(
    function: Callable[..., Any],
    name: str,
    *,
    split: str | None,
    n: int | None,
    seed: int,
    columns: dict[str, str] | None,
) -> Dataset:
    """Load what a function of the user returns: a table, or rows in any known layout."""
    choices = {"split": split, "n": n, "seed": seed}
    taken = inspect.signature(function).parameters
    if not check_own(function, name, split):
        choices = {key: value for key, value in choices.items() if key in taken}
    rows = function(**choices)
    if not hasattr(rows, "column_names"):
        records = [dict(row) for row in rows]
        if not records:
            raise InputError("problems", name, "the function returns no problems", "return at least one row")
        if columns is not None or not set(COLUMNS) <= set(records[0]):
            records = to_rows(records, source=name, columns=columns)
        rows = make_table(records)
    return rows if "n" in choices else subset(rows, n, seed)


def _refuse_split(split: str | None, problem: str, remedy: str) -> None:
    if split not in WHOLE:
        raise InputError("split", split, problem, remedy)


# Files


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read the objects of a file, values as they are written (``"025"`` keeps its zero)."""
    reader = _reader(path)
    try:
        records = reader(path)
    except InputError:
        raise
    except Exception as error:
        problem = f"cannot be read as {path.suffix[1:]} ({_reason(error)})"
        raise _bad(path, problem, "check permissions and content") from error
    if not records:
        raise _bad(path, "the file holds no problems", "give a file with at least one row")
    return records


def _reader(path: Path) -> Callable[[Path], list[dict[str, Any]]]:
    readers = {".jsonl": _read_jsonl, ".json": _read_json, ".parquet": _read_parquet, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise _bad(path, "unknown kind of file", f"use one of {', '.join(readers)}")
    if not path.is_file():
        raise _bad(path, "there is no such file", "check the path")
    return readers[path.suffix.lower()]


def write_records(records: list[dict[str, Any]], path: Path) -> None:
    """Write objects with the keys of the first as ``.jsonl`` or ``.parquet``, whole or not at all."""
    if path.suffix not in (".jsonl", ".parquet"):
        raise _bad(path, "unknown kind of file to write", "use .jsonl or .parquet")
    with atomic_path(path) as unfinished:
        if path.suffix == ".jsonl":
            with open(unfinished, "wb") as stream:
                stream.writelines(_line(record) for record in records)
        else:
            need("pyarrow")
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), unfinished)


def records_of(source: str, problems: Dataset) -> list[dict[str, Any]]:
    """Return the problems as their file has them, all its columns kept; of other sources the table's rows."""
    prefix, _, name = source.partition(":")
    path = Path(name).expanduser()
    rows = [re.fullmatch(rf"{re.escape(path.stem)}-(\d+)", label) for label in problems["id"]]
    if prefix != "file" or not all(rows):  # ids may be mapped to a column of the file
        return problems.to_list()
    records = read_records(path)
    return [records[int(row[1])] for row in rows]


def _bad(path: Path, problem: str, remedy: str) -> InputError:
    return InputError("file", str(path), problem, remedy)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def _line(record: dict[str, Any]) -> bytes:
    try:
        return (json.dumps(record, ensure_ascii=False, default=_plain) + "\n").encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can write
        return (json.dumps(record, default=_plain) + "\n").encode("ascii")


def _plain(value: Any) -> str:
    """Write what JSON has no word for: Parquet's bytes as the text that they hold, dates as they print."""
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a text file with their numbers; a file that is no UTF-8 is refused with what it may be."""
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            if number == 1:
                if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                    raise _bad(path, "is UTF-16", "save it as UTF-8")
                raw = raw.removeprefix(BOM)
            if b"\0" in raw:
                raise _bad(path, f"line {number} holds a NUL byte", "save it as UTF-8")
            try:
                yield number, raw.decode("utf-8")
            except UnicodeDecodeError as error:
                problem = f"line {number} is no UTF-8 (byte 0x{raw[error.start]:02x})"
                raise _bad(path, problem, "save it as UTF-8") from error


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    records = []
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            record = parse_json(line)
        except ValueError as error:
            raise _bad(path, f"line {number} {error}", "repair that line") from error
        if not isinstance(record, dict):
            raise _bad(path, f"line {number} is no JSON object", "write one object a line")
        records.append(record)
    return records


def _read_json(path: Path) -> list[dict[str, Any]]:
    text = "".join(line for _, line in _lines(path))
    try:
        content = parse_json(text)
    except ValueError as error:
        raise _bad(path, str(error), "repair it") from error
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        raise _bad(path, "is not a JSON list of objects", "write [{...}, {...}]")
    return content


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    need("pyarrow")
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    if len(set(table.column_names)) < len(table.column_names):
        raise _bad(path, "has two columns of one name", "rename one")
    records = table.to_pylist()
    for field in table.schema:
        if re.search(r"float\b", str(field.type)):
            for record in records:
                record[field.name] = _narrow(record[field.name], field.type)
    return records


def _narrow(value: Any, kind: Any) -> Any:
    """Write numbers of 16 or 32 bits with as few digits as tell them apart: 0.1, not 0.10000000149011612."""
    import numpy as np
    from pyarrow import types

    if value is None:
        return None
    if types.is_float16(kind) or types.is_float32(kind):
        return float(str((np.float16 if types.is_float16(kind) else np.float32)(value)))
    if types.is_struct(kind):
        return {name: _narrow(piece, kind.field(name).type) for name, piece in value.items()}
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return [_narrow(piece, kind.value_type) for piece in value]
    return value


def _read_csv(path: Path) -> list[dict[str, Any]]:
    limit = csv.field_size_limit(2**31 - 1)  # a long problem is no error
    row_lines: list[str] = []  # the lines of the row that is being read

    def lines() -> Iterator[str]:
        for _, line in _lines(path):
            row_lines.append(line)
            yield line

    records = []
    doubt = None  # about the first pair of cells that may be one number
    try:
        # "skipinitialspace": a quote after a comma and a blank opens a cell too.
        rows = csv.reader(lines(), strict=True, skipinitialspace=True)
        header = [name.strip() for name in next(rows, [])]
        _check_header(path, header)
        row_lines.clear()
        for row in rows:
            raw = "".join(row_lines)
            row_lines.clear()
            if not row:
                continue
            if len(row) != len(header):
                problem = f"line {rows.line_num} has {len(row)} cells, the header {len(header)}"
                raise _bad(path, problem, 'put quotes around cells with a comma, such as "1,000"')
            records.append(dict(zip(header, row, strict=True)))
            for name, cell in records[-1].items():
                if cell.strip() in NO_VALUES:
                    problem = f"line {rows.line_num}: {name} is {cell.strip()}, which is no value"
                    raise _bad(path, problem, "fill that cell, or drop the row")
            doubt = doubt or _split_number(path, rows.line_num, row, raw)
    finally:
        csv.field_size_limit(limit)
    if doubt:
        warnings.warn(doubt, stacklevel=6)
    return records


def _split_number(path: Path, line: int, row: list[str], raw: str) -> str | None:
    """Refuse a sentence cut in two at a thousands comma; return a warning where only a number may be."""
    # "What is 1,000+1?,1001" has three cells, so that a header of three names hides it. "What is 1+99,100"
    # and "train-7,100 apples" are cells as they stand.
    for left, right in itertools.pairwise(row):
        if not (END.search(left) and (start := START.match(right)) and f"{left},{right}" in raw):
            continue
        problem = f"line {line}: {END.search(left)[1]},{start[1]} may be one number"
        remedy = 'put quotes around it, such as "1,000"'
        if " " in left.strip() and start[1] != right.strip():
            raise _bad(path, problem + " that a comma cuts into two cells", remedy)
        if right.startswith("0"):
            return f"{path.name}, {problem}, read as two cells; if so, {remedy}"
    return None


def _check_header(path: Path, header: list[str]) -> None:
    if not any(header):
        raise _bad(path, "has no header", "write the names of the columns first")
    if "" in header or len(set(header)) < len(header):
        twice = sorted({name for name in header if header.count(name) > 1} - {""})
        problem = f"names {twice[0]!r} twice in its header" if twice else "has a column without a name"
        raise _bad(path, problem, "give every column a name of its own")
    if len(header) == 1 and (other := next((mark for mark in "\t;|" if mark in header[0]), None)):
        raise _bad(path, f"is separated by {other!r}", "separate by commas")


# The hub


def check_hub(name: str, split: str | None = None, n: int | None = None) -> re.Match[str]:
    """Refuse what is no name of a repository; whether the hub has it, and its parts, is seen later."""
    match = _HUB_NAME.fullmatch(name)
    if match is None:
        raise InputError("hub", name, "cannot be read", "write hub:<owner>/<repo>[/<config>][@<rev>]")
    return match


def load_hub(
    name: str, *, split: str | None, n: int | None, seed: int, columns: dict[str, str] | None
) -> Dataset:
    """Load ``<owner>/<repo>[/<config>][@<revision>]`` of the hub; code of the repository is never run."""
    match = check_hub(name)
    need("datasets", "huggingface_hub")
    repo, config, revision = match["repo"], match["config"], match["revision"]
    commit = _commit(name, repo, revision)
    # "rl" is what training and notebooks ask for by default: the part to train on, whatever its name.
    part = "train" if split in (None, "rl") else split
    import datasets

    try:
        dataset = datasets.load_dataset(repo, config, split=part, revision=commit or revision)
    except Exception as error:
        problem, remedy = _reason(error), "check repository, config, revision and split"
        if commit is None:
            problem = f"offline, and not to be had from the cache ({type(error).__name__})"
            remedy = "unset HF_HUB_OFFLINE where there is a network, or use file:<path>"
        raise InputError("hub", name, problem, remedy) from error
    # Read from the cache (HF_HUB_OFFLINE=1), the commit is the revision asked for, or "cached".
    label = f"{repo}/{config}" if config else repo
    source = f"{label}@{commit[:12] if commit else revision or 'cached'}/{part}"
    return subset(make_table(to_rows(dataset.to_list(), source=source, columns=columns)), n, seed)


def _commit(name: str, repo: str, revision: str | None) -> str | None:
    """Resolve the revision to a commit, or None in offline mode (then only the cache is read)."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    if constants.HF_HUB_OFFLINE:
        return None
    try:
        return HfApi().dataset_info(repo, revision=revision, timeout=_REACH_SECONDS).sha
    except HfHubHTTPError as error:
        raise InputError("hub", name, _reason(error), "check repository and revision") from error
    except Exception as error:  # the client's transport library has changed before (httpx, httpx2)
        remedy = "connect, set HF_HUB_OFFLINE=1 to read a cached copy, or use file:<path>"
        raise InputError("hub", name, f"the hub is out of reach ({type(error).__name__})", remedy) from error
