"""The layouts in which public sets write problems, and how each becomes rows of the table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hammerlib.errors import InputError
from hammerlib.problems.boxes import last_box
from hammerlib.problems.table import OPTIONAL_COLUMNS

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
