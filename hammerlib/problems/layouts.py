"""The layouts in which public sets write problems, and how each becomes rows of the table."""

from __future__ import annotations

import ast
import contextlib
import json
import math
import operator
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from hammerlib.errors import InputError
from hammerlib.problems.table import OPTIONAL_COLUMNS
from hammerlib.runs.reading import parse_json

Record = Mapping[str, Any]
CHAT = re.compile(r"""(array\()?\[\s*\{\s*['"](role|content)['"]\s*:""")


class Layout(NamedTuple):
    """A known way to write problems: the columns that betray it, and where text and gold stand."""

    name: str
    needs: set[str]
    prompt: Callable[[Record], str]
    answer: Callable[[Record], str]


def to_rows(
    records: list[dict[str, Any]], *, source: str, columns: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """Bring records of a known layout, or one mapped by `columns`, into the table's columns."""
    available = list(records[0])
    readers = _known_readers(available, source) if columns is None else _mapped_readers(available, columns)
    rows = []
    for index, record in enumerate(records):
        row = {"id": f"{source}-{index}", "source": source, "topic": source}
        for name, read in readers.items():
            try:
                row[name] = read(record)
            except _Unfit as error:
                problem = f"row {index} (counted from 0): {error}"
                raise InputError(name, error.value, problem, error.remedy) from error
        rows.append(row)
    return rows


def _known_readers(available: list[str], source: str) -> dict[str, Callable[[Record], Any]]:
    layout = next((layout for layout in LAYOUTS if layout.needs <= set(available)), None)
    if layout is None:
        known = "; ".join(layout.name for layout in LAYOUTS)
        remedy = 'map them with columns={"prompt": "...", "answer": "..."} (known layouts: ' + known + ")"
        raise InputError("columns", available, "unknown layout", remedy)
    return {
        "prompt": lambda record: layout.prompt(record).strip(),
        "answer": lambda record: layout.answer(record).strip(),
        "topic": lambda record: _topic(record) or source,
        "difficulty": _difficulty,
        "solution": _solution,
        "metadata": _metadata,
    }


def _mapped_readers(available: list[str], columns: dict[str, str]) -> dict[str, Callable[[Record], Any]]:
    allowed = ("prompt", "answer", "id", "topic", *OPTIONAL_COLUMNS)
    for name, column in columns.items():
        if name not in allowed:
            raise InputError("columns", name, "no such table column", f"map some of {', '.join(allowed)}")
        if not isinstance(column, str) or (column not in available and column.split(".")[0] not in available):
            raise InputError(
                "columns", column, "the source has no such column", f"it has {', '.join(available)}"
            )
    if missing := {"prompt", "answer"} - set(columns):
        raise InputError("columns", columns, f"{sorted(missing)} not mapped", "map both prompt and answer")

    def reader(name: str, column: str) -> Callable[[Record], Any]:
        read = {"prompt": _prompt, "metadata": _notes, "difficulty": _number}.get(name, _text)
        return lambda record: read(_reach(record, column))

    return {name: reader(name, column) for name, column in columns.items()}


class _Unfit(ValueError):
    """A value that is neither text nor a number."""

    def __init__(
        self, value: object, problem: str, remedy: str = "write it as text, or drop the row"
    ) -> None:
        super().__init__(problem)
        self.value, self.remedy = value, remedy


def _reach(record: Record, column: str) -> Any:
    """A cell by name, or by dots inside objects, which may be written as JSON or Python text."""
    if column in record:
        return record[column]
    value: Any = record
    for name in column.split("."):
        if isinstance(value, str | bytes):
            value = _object(value)
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _object(text: str | bytes) -> Any:
    """What a cell of text writes as an object or list; None where it writes none."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        if not text.lstrip().startswith(("{", "[")):
            return None
        try:
            return parse_json(text)
        except ValueError:
            return ast.literal_eval(text.strip())  # pandas writes cells of a csv file as Python does
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _number(value: Any) -> float | None:
    text = _text(value).strip()
    try:
        number = float(text) if text else None
    except ValueError:
        raise _Unfit(value, "is no number", "map a numeric column") from None
    if number is not None and not math.isfinite(number):
        raise _Unfit(value, "is no finite number", "map a numeric column")
    return number


def _notes(value: Any) -> str | None:
    """Metadata are JSON text; an object is written as such."""
    if isinstance(value, Mapping):
        return json.dumps(dict(value), ensure_ascii=False, sort_keys=True, default=str)
    return _text(value) or None


def _text(value: Any) -> str:
    """Write a cell as text: 27.0 is 27, a list of one is its item, None is empty; never Python's print."""
    if value is None:
        return ""
    if isinstance(value, str):
        if "\0" in value:
            raise _Unfit(value, "holds a NUL character")
        return value
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float | Decimal):
        if not math.isfinite(value):
            raise _Unfit(value, "is no finite number", "fill it, or drop the row")
        if value == int(value):
            return str(int(value))
        return format(value, "f") if isinstance(value, Decimal) else str(value)
    if isinstance(value, bytes):
        try:
            return _text(value.decode("utf-8"))
        except UnicodeDecodeError:
            raise _Unfit(value, "holds bytes that are no UTF-8 text") from None
    if isinstance(value, list | tuple):
        if any(isinstance(item, list | tuple | Mapping) or item is None for item in value):
            raise _Unfit(value, "is a list of more than texts and numbers")
        return ", ".join(_text(item) for item in value)
    raise _Unfit(value, f"is of the kind {type(value).__name__}")


def _prompt(value: Any) -> str:
    """Text of a plain or chat prompt; a chat may hold system and user turns only."""
    if isinstance(value, str | bytes):
        turns = _object(value)  # a csv file writes a chat as the text of a list
        if not turns or not isinstance(turns, list):
            text = _text(value).strip()
            if CHAT.match(text):  # pandas writes numpy's array of turns without commas
                raise _Unfit(value, "looks like a chat, but is no list", "write it as JSON")
            return text
        if not all(isinstance(turn, dict) and "content" in turn for turn in turns):
            return _text(value).strip()
        value = turns
    if not isinstance(value, list | tuple):
        return _text(value).strip()
    texts = []
    for number, turn in enumerate(value, start=1):
        if not isinstance(turn, Mapping) or "content" not in turn:
            problem = f"turn {number} of a chat prompt is no object with role and content"
            raise _Unfit(value, problem, 'write [{"role": "user", "content": "..."}]')
        role = turn.get("role") or "user"
        if role not in ("system", "developer", "user"):
            a = "an" if role == "assistant" else "a"
            raise _Unfit(value, f"a chat prompt holds {a} {role} turn", "keep system and user turns")
        texts.append(_content(turn["content"], value, number).strip())
    return "\n\n".join(text for text in texts if text)


def _content(content: Any, value: Any, number: int) -> str:
    """Text of a turn: a text, or a list of parts of which all are text."""
    if content is None or isinstance(content, str | bytes):
        return _text(content)
    if not isinstance(content, list | tuple):
        raise _Unfit(value, f"the content of turn {number} is no text", "write it as text")
    texts = []
    for piece in content:
        if isinstance(piece, Mapping):
            kind = piece.get("type") or "text"
            if kind != "text":
                problem = f"turn {number} of a chat prompt holds a part of type {kind}; only text is read"
                raise _Unfit(value, problem, "drop the problem")
            piece = piece.get("text")
        if not isinstance(piece, str):
            remedy = 'write {"type": "text", "text": "..."}'
            raise _Unfit(value, f"turn {number} holds a part without text", remedy)
        texts.append(_text(piece))
    return "".join(texts)


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
    return "\n\n".join(
        piece for piece in (_text(record.get("context")), _text(record.get("question"))) if piece
    )


def _topic(record: Record) -> str:
    names = ("subject", "type", "subfield", "topic", "data_source")
    for name in names:
        with contextlib.suppress(_Unfit):  # a topic is of no weight: what is no text is none
            if text := _text(record.get(name)):
                return text
    return ""


def _difficulty(record: Record) -> float | None:
    """A level or difficulty, also of extra_info (AdaRFT); None where it is no number."""
    for name in ("level", "difficulty", "extra_info.difficulty"):
        with contextlib.suppress(_Unfit):
            number = _number(str(_text(_reach(record, name))).removeprefix("Level "))
            if number is not None:
                return number
    return None


def _solution(record: Record) -> str | None:
    for name in ("solution", "answer"):
        with contextlib.suppress(_Unfit):
            text = _text(record.get(name))
            if text and (name == "solution" or "####" in text):
                return text
    return None


def _metadata(record: Record) -> str | None:
    # What a grader can use: OlympiadBench's unit and its permitted error.
    notes = {"unit": record.get("unit"), "tolerance": record.get("error")}
    notes = {key: value for key, value in notes.items() if value}
    return json.dumps(notes, ensure_ascii=False, sort_keys=True) if notes else None


def _pair(prompt: str, answer: str) -> Layout:
    """Text and gold under these two names."""
    return Layout(
        f"{prompt}, {answer}",
        {prompt, answer},
        lambda record: _prompt(record.get(prompt)),
        lambda record: _text(record.get(answer)),
    )


# The first layout whose columns are all there is taken.
LAYOUTS = (
    Layout(
        "chat prompt + reward_model.ground_truth",
        {"prompt", "reward_model"},
        lambda record: _prompt(record.get("prompt")),
        lambda record: _text(_reach(record, "reward_model.ground_truth")),
    ),
    _pair("question", "final_answer")._replace(prompt=_question_in_context, answer=_final_answer),
    _pair("question", "ref_answer"),
    _pair("problem", "answer"),
    Layout(
        "problem, solution with a box",
        {"problem", "solution"},
        lambda record: _prompt(record.get("problem")),
        lambda record: last_box(_text(record.get("solution"))) or "",
    ),
    _pair("question", "answer")._replace(answer=_grade_school),
    _pair("prompt", "answer"),
)


# Boxes: found by a scan that balances braces

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")

_TOKEN = re.compile(r"\\[A-Za-z]+|-?\d+(?:\.\d+)?|\S")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # an escaped character is no brace


def last_box(text: str) -> str | None:
    r"""Return the content of the last complete ``\boxed{...}``, stripped; None without one.

    The last box counts, because a completion with several boxes has moved on (math-verify would read the
    set of all of them). A box that is never closed, as in a truncated completion, does not count. Escaped
    braces (``\{``) are content. ``\boxed 5`` without braces yields that one token.

    Examples
    --------
    >>> last_box(r"first \boxed{5}, no: \boxed{\frac{1}{2}}.")
    '\\frac{1}{2}'
    >>> last_box(r"so \boxed{5 and then") is None
    True
    """
    complete = boxes(text)
    return text[complete[-1][1]].strip() if complete else None


def boxes(text: str) -> list[tuple[int, slice, int]]:
    r"""Return every complete ``\boxed{...}`` in the order in which they begin.

    One pass over the text and no copies, so that a megabyte of unclosed or nested boxes costs a second.

    Returns
    -------
    list of (int, slice, int)
        Position of ``\boxed``, where its content stands, position behind its end.

    Examples
    --------
    >>> boxes(r"\boxed{1} and \boxed{2}")[1]
    (14, slice(21, 22, None), 23)
    """
    begins = {match.end(): match.start() for match in _BOX.finditer(text)}
    complete = []
    for inside, begin in begins.items():
        if inside < len(text) and text[inside] != "{":
            token = _TOKEN.match(text, inside)
            complete.append((begin, slice(*token.span()), token.end()))
    opened: list[int] = []
    for match in _BRACE.finditer(text) if begins else ():
        if match[0] == "{":
            opened.append(match.start())
        elif match[0] == "}" and opened and (inside := opened.pop()) in begins:
            complete.append((begins[inside], slice(inside + 1, match.start()), match.end()))
    return sorted(complete, key=operator.itemgetter(0))
