"""Problems from files: jsonl, json, parquet and csv in the layouts that public sets use."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError
from hammerlib.problems.boxes import last_box
from hammerlib.problems.table import OPTIONAL_COLUMNS, make_table, subset

if TYPE_CHECKING:
    from datasets import Dataset

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Layout:
    """A known way to write problems: the columns that betray it, and where text and gold stand.

    Parameters
    ----------
    name : str
        Shown in error messages.
    needs : frozenset of str
        All of these columns must be there.
    prompt, answer : callable
        From one record to its text and its gold; "" where the record has none.

    Examples
    --------
    >>> LAYOUTS[0].name
    'chat prompt + reward_model.ground_truth'
    """

    name: str
    needs: frozenset[str]
    prompt: Callable[[Record], str]
    answer: Callable[[Record], str]


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


def to_rows(
    records: list[dict[str, Any]], *, source: str, columns: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """Bring records of a known or mapped layout into the table's columns.

    Parameters
    ----------
    records : list of dict
        All with the columns of the first.
    source : str
        Goes into ``source`` and ``id``.
    columns : dict, optional
        Table column to record column; dots reach into nested objects.

    Returns
    -------
    list of dict
        Rows for :func:`hammerlib.problems.table.make_table`.

    Raises
    ------
    InputError
        Unknown layout or mapping; a mapped difficulty that is no number.

    Examples
    --------
    >>> to_rows([{"q": "1+1?", "key": 2}], source="s", columns={"prompt": "q", "answer": "key"})[0]["id"]
    's-0'
    """
    seen = list(records[0])
    if columns is not None:
        return _mapped_rows(records, source, columns, seen)
    layout = next((layout for layout in LAYOUTS if layout.needs <= set(seen)), None)
    if layout is None:
        known = "; ".join(layout.name for layout in LAYOUTS)
        remedy = 'map them with columns={"prompt": "...", "answer": "..."} (known layouts: ' + known + ")"
        raise InputError("columns", seen, "unknown layout", remedy)
    return [
        {
            "id": f"{source}-{index}",
            "prompt": layout.prompt(record).strip(),
            "answer": layout.answer(record).strip(),
            "source": source,
            "topic": _topic(record) or source,
            "difficulty": _difficulty(record),
            "solution": _solution(record),
            "metadata": _metadata(record),
        }
        for index, record in enumerate(records)
    ]


def _mapped_rows(
    records: list[dict[str, Any]], source: str, columns: dict[str, str], seen: list[str]
) -> list[dict[str, Any]]:
    allowed = ("prompt", "answer", "id", "topic", *OPTIONAL_COLUMNS)
    for name, column in columns.items():
        if name not in allowed:
            raise InputError("columns", name, "no such table column", f"map some of {', '.join(allowed)}")
        if column.split(".")[0] not in seen:
            raise InputError("columns", column, "the source has no such column", f"it has {', '.join(seen)}")
    if missing := {"prompt", "answer"} - set(columns):
        raise InputError("columns", columns, f"{sorted(missing)} not mapped", "map both prompt and answer")
    rows = []
    for index, record in enumerate(records):
        row = {name: _text(_reach(record, column)) for name, column in columns.items()}
        row = {"id": f"{source}-{index}", "source": source, "topic": source} | row
        if "difficulty" in row:
            row["difficulty"] = _number(row["difficulty"], f"difficulty of row {index}")
        if "prompt" in columns:
            row["prompt"] = _prompt(_reach(record, columns["prompt"]))
        rows.append(row)
    return rows


def _reach(record: Record, column: str) -> Any:
    value: Any = record
    for name in column.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _number(value: str, field: str) -> float | None:
    try:
        return float(value) if value else None
    except ValueError:
        raise InputError(field, value, "is no number", "map a numeric column") from None


def _text(value: Any) -> str:
    """Write a cell as text: 27.0 is 27, a list of one is its item, None is empty."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return str(value)


def _prompt(value: Any) -> str:
    """Text of a plain or chat prompt; a chat may hold system and user turns only."""
    if not isinstance(value, list | tuple):
        return _text(value).strip()
    turns = [turn for turn in value if turn.get("content")]
    if any(turn.get("role") == "assistant" for turn in turns):
        raise InputError(
            "prompt", value, "a chat prompt holds an assistant turn", "keep system and user turns"
        )
    return "\n\n".join(turn["content"].strip() for turn in turns)


def _grade_school(record: Record) -> str:
    # GSM8K: the gold follows the last '####'; 79 train golds have thousands commas.
    text = _text(record.get("answer"))
    if "####" not in text:
        return text
    return re.sub(r"(?<=\d),(?=\d{3})", "", text.rsplit("####", 1)[1].strip())


def _final_answer(record: Record) -> str:
    # OlympiadBench writes '$69$,$84$': without the dollars a boxed gold parses as one set.
    return _text(record.get("final_answer")).replace("$", "")


def _question_in_context(record: Record) -> str:
    return "\n\n".join(part for part in (_text(record.get("context")), _text(record.get("question"))) if part)


def _topic(record: Record) -> str:
    names = ("subject", "type", "subfield", "topic", "data_source")
    return next((_text(record[name]) for name in names if record.get(name)), "")


def _difficulty(record: Record) -> float | None:
    for name in ("level", "difficulty"):
        match = re.fullmatch(r"(?:Level )?(-?\d+(?:\.\d+)?)", _text(record.get(name)))
        if match:
            return float(match[1])
    return None


def _solution(record: Record) -> str | None:
    text = _text(record.get("solution"))
    if not text and "####" in _text(record.get("answer")):
        text = _text(record.get("answer"))
    return text or None


def _metadata(record: Record) -> str | None:
    # What a grader can use: OlympiadBench's unit and its permitted error.
    found = {"unit": record.get("unit"), "tolerance": record.get("error")}
    found = {key: value for key, value in found.items() if value}
    return json.dumps(found, ensure_ascii=False, sort_keys=True) if found else None


LAYOUTS = (
    Layout(
        "chat prompt + reward_model.ground_truth",
        frozenset({"prompt", "reward_model"}),
        lambda r: _prompt(r.get("prompt")),
        lambda r: _text(_reach(r, "reward_model.ground_truth")),
    ),
    Layout(
        "question, final_answer", frozenset({"question", "final_answer"}), _question_in_context, _final_answer
    ),
    Layout(
        "question, ref_answer",
        frozenset({"question", "ref_answer"}),
        lambda r: _prompt(r.get("question")),
        lambda r: _text(r.get("ref_answer")),
    ),
    Layout(
        "problem, answer",
        frozenset({"problem", "answer"}),
        lambda r: _prompt(r.get("problem")),
        lambda r: _text(r.get("answer")),
    ),
    Layout(
        "problem, solution with a box",
        frozenset({"problem", "solution"}),
        lambda r: _prompt(r.get("problem")),
        lambda r: last_box(_text(r.get("solution"))) or "",
    ),
    Layout(
        "question, answer",
        frozenset({"question", "answer"}),
        lambda r: _prompt(r.get("question")),
        _grade_school,
    ),
    Layout(
        "prompt, answer",
        frozenset({"prompt", "answer"}),
        lambda r: _prompt(r.get("prompt")),
        lambda r: _text(r.get("answer")),
    ),
)


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
