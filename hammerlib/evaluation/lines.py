"""JSON lines that others wrote: every line is read or reported by its number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hammerlib.errors import InputError
from hammerlib.problems.files import BOM
from hammerlib.runs.reading import parse_json

SHOWN = 3  # bad lines in a message


class BadLine(NamedTuple):
    """A line that is left out, and why.

    Examples
    --------
    >>> BadLine(7, "is not JSON").line
    7
    """

    line: int
    reason: str


def read_lines(path: str | Path) -> tuple[list[tuple[int, dict[str, Any]]], list[BadLine]]:
    """Read the objects of a file of JSON lines, and name the lines that hold none.

    Parameters
    ----------
    path : path
        UTF-8, with or without a byte-order mark; may end in the middle of a line. Empty lines do not count;
        half a surrogate pair, which no text file can hold, becomes U+FFFD.

    Returns
    -------
    (list of (int, dict), list of BadLine)
        Line numbers from 1 with their objects; the corrupt, truncated or wrong ones.

    Raises
    ------
    InputError
        There is no such file.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> _ = path.write_text('{"id": 1}\\n{"id": 2')
    >>> read_lines(path)
    ([(1, {'id': 1})], [BadLine(line=2, reason='is not JSON, or cut off')])
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("file", str(path), "there is no such file", "check the path")
    found, bad = [], []
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            if not raw.strip():
                continue
            try:
                content = parse_json(raw.removeprefix(BOM) if number == 1 else raw, halves="replace")
            except ValueError as error:
                bad.append(BadLine(number, str(error).partition(" (")[0]))
            else:
                if isinstance(content, dict):
                    found.append((number, content))
                else:
                    bad.append(BadLine(number, "is no JSON object"))
    return found, bad


def refuse_bad(path: str | Path, bad: Sequence[BadLine], skip_bad: bool) -> None:
    """Refuse a file with bad lines, by number, unless they may be left out.

    Parameters
    ----------
    path : path
        Of the file, for the message.
    bad : sequence of BadLine
        What `read_lines` and its caller found.
    skip_bad : bool
        Whether the caller leaves them out.

    Raises
    ------
    InputError
        There are bad lines and `skip_bad` is false.

    Examples
    --------
    >>> refuse_bad("a.jsonl", [], skip_bad=False)
    """
    if not bad or skip_bad:
        return
    bad = sorted(bad)
    told = "; ".join(f"line {one.line} {one.reason}" for one in bad[:SHOWN])
    more = f"; {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    remedy = f"repair the file, or leave {len(bad)} lines out with skip_bad=True (--skip-bad)"
    raise InputError("file", Path(path).name, told + more, remedy)
