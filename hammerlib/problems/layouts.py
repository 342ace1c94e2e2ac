"""The layouts in which public sets write problems, and how each becomes rows of the table."""

from __future__ import annotations

import ast
import contextlib
import json
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hammerlib.errors import InputError
from hammerlib.problems.table import OPTIONAL_COLUMNS
from hammerlib.runs.reading import parse_json

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")

_TOKEN = re.compile(r"\\[A-Za-z]+|-?\d+(?:\.\d+)?|\S")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # an escaped character is no brace


def last_box(text: str) -> str | None:
    r"""Return the content of the last complete ``\boxed{...}``, stripped.

    The last box counts, because a completion with several boxes has moved on (math-verify would read the
    set of all of them). A box that is never closed, as in a truncated completion, does not count. Escaped
    braces (``\{``) are content. ``\boxed 5`` without braces yields that one token.

    Parameters
    ----------
    text : str
        A completion or a worked solution.

    Returns
    -------
    str or None
        None without a complete box; "" for an empty one.

    Examples
    --------
    >>> last_box(r"first \boxed{5}, no: \boxed{\frac{1}{2}}.")
    '\\frac{1}{2}'
    >>> last_box(r"so \boxed{5 and then") is None
    True
    """
    found = boxes(text)
    return text[found[-1][1]].strip() if found else None


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
    found = []
    for inside, begin in begins.items():
        if inside < len(text) and text[inside] != "{":
            token = _TOKEN.match(text, inside)
            found.append((begin, slice(*token.span()), token.end()))
    opened: list[int] = []
    for match in _BRACE.finditer(text) if begins else ():
        if match[0] == "{":
            opened.append(match.start())
        elif match[0] == "}" and opened and (inside := opened.pop()) in begins:
            found.append((begins[inside], slice(inside + 1, match.start()), match.end()))
    return sorted(found, key=operator.itemgetter(0))


Record = Mapping[str, Any]
CHAT = re.compile(r"""(array\()?\[\s*\{\s*['"](role|content)['"]\s*:""")


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
    readers = {
        "prompt": lambda record: layout.prompt(record).strip(),
        "answer": lambda record: layout.answer(record).strip(),
        "topic": lambda record: _topic(record) or source,
        "difficulty": _difficulty,
        "solution": _solution,
        "metadata": _metadata,
    }
    return [
        {"id": f"{source}-{index}", "source": source}
        | {name: _at(index, name, read, record) for name, read in readers.items()}
        for index, record in enumerate(records)
    ]


def _mapped_rows(
    records: list[dict[str, Any]], source: str, columns: dict[str, str], seen: list[str]
) -> list[dict[str, Any]]:
    allowed = ("prompt", "answer", "id", "topic", *OPTIONAL_COLUMNS)
    for name, column in columns.items():
        if name not in allowed:
            raise InputError("columns", name, "no such table column", f"map some of {', '.join(allowed)}")
        if not isinstance(column, str) or (column not in seen and column.split(".")[0] not in seen):
            raise InputError("columns", column, "the source has no such column", f"it has {', '.join(seen)}")
    if missing := {"prompt", "answer"} - set(columns):
        raise InputError("columns", columns, f"{sorted(missing)} not mapped", "map both prompt and answer")
    readers = {"prompt": _prompt, "metadata": _notes, "difficulty": _number}
    return [
        {"id": f"{source}-{index}", "source": source, "topic": source}
        | {
            name: _at(index, name, readers.get(name, _text), _reach(record, column))
            for name, column in columns.items()
        }
        for index, record in enumerate(records)
    ]


def _at(index: int, column: str, read: Callable[[Any], Any], value: Any) -> Any:
    """Read one cell; what it cannot be is refused with its row."""
    try:
        return read(value)
    except _Unfit as error:
        remedy = error.remedy or "write it as text, or drop the row"
        raise InputError(column, error.value, f"row {index} (counted from 0): {error}", remedy) from error


class _Unfit(ValueError):
    """A value that is neither text nor a number."""

    def __init__(self, value: object, problem: str, remedy: str = "") -> None:
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
    """Write a cell as text: 27.0 is 27, a list of one is its item, None is empty; never what Python prints.

    True and False stay words. An object, a list in a list, a date, bytes that are no UTF-8, NaN and infinity
    are refused.
    """
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
    for part in content:
        if isinstance(part, Mapping):
            kind = part.get("type") or "text"
            if kind != "text":
                problem = f"turn {number} of a chat prompt holds a part of type {kind}; only text is read"
                raise _Unfit(value, problem, "drop the problem")
            part = part.get("text")
        if not isinstance(part, str):
            remedy = 'write {"type": "text", "text": "..."}'
            raise _Unfit(value, f"turn {number} holds a part without text", remedy)
        texts.append(_text(part))
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
    return "\n\n".join(part for part in (_text(record.get("context")), _text(record.get("question"))) if part)


def _topic(record: Record) -> str:
    names = ("subject", "type", "subfield", "topic", "data_source")
    for name in names:
        with contextlib.suppress(_Unfit):  # a topic is of no weight: what is no text is none
            if found := _text(record.get(name)):
                return found
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
