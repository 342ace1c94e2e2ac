"""What commands print: texts of others without what a terminal would obey."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hammerlib.errors import printable

if TYPE_CHECKING:
    import pandas as pd

# All but line ends, tabs, and the carriage return and upward step of progress bars.
_OBEYED = re.compile(r"(?:\x1b(?!\[A))|[^\n\t\r\x1b -~]")


class Plain:
    """A stream that writes control characters and direction overrides as their escapes, the rest as it is."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what is left of a text."""
        return self._stream.write(_OBEYED.sub(lambda match: printable(match[0]), text))

    def writelines(self, lines: list[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def plain_streams() -> Iterator[None]:
    """Let standard output and standard error pass through `Plain` for the block."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(Plain, before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts stay on their line."""
    return frame.map(lambda value: printable(value) if isinstance(value, str) else value)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as JSON has them: what is missing is None."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")
