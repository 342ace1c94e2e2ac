"""What several commands share: options, each described once, and how texts of others are printed."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from hammerlib.errors import printable

if TYPE_CHECKING:
    import pandas as pd


def _use_results(folder: Path | None) -> Path | None:
    """Make the folder the one that every run of this process is written to."""
    if folder is not None:
        os.environ["HAMMER_RESULTS"] = str(folder.expanduser().resolve())
    return folder


# Where a bracket opens a word of the help's mark-up, it is escaped.
PROBLEMS = r"reasoning-gym:<mix>, file:<path>, or hub:<repo>\[/<config>]\[@<revision>]"
# Options of one group of the help.
of_problems = functools.partial(Option, rich_help_panel="Which problems")
of_model = functools.partial(Option, rich_help_panel="Model and vectors")
of_sampling = functools.partial(Option, rich_help_panel="Sampling")

Results = Annotated[
    Path | None,
    Option(metavar="DIR", callback=_use_results, help="folder of run folders (default results/runs)"),
]
Problems = Annotated[str, Argument(metavar="PROBLEMS", help=PROBLEMS)]
Split = Annotated[str | None, of_problems(help="part of the source (reasoning-gym: supervised, rl, heldout)")]
Count = Annotated[int | None, of_problems(help="number of problems (default all)")]
Columns = Annotated[
    list[str] | None,
    of_problems(
        metavar="NAME=COLUMN ...",
        help="for a layout of its own: where prompt and answer stand, such as prompt=task answer=meta.gold",
    ),
]
Seed = Annotated[int, Option(help="of problems, orders, samples and intervals")]
Layer = Annotated[int, of_model(help="hidden layer; -1 is the last, after the final norm")]
Pooling = Annotated[str, of_model(help="mean, last, first")]
Template = Annotated[str, of_model(help="raw, chat")]
Settings = Annotated[
    list[str] | None,
    Option("--set", metavar="NAME=VALUE", help="one value on top of the file's; may be repeated"),
]
Backend = Annotated[str, Option(help="process, ray: where workers run")]
Workers = Annotated[int, Option(help="processes side by side")]
RunCode = Annotated[
    bool, Option("--run-code", help="run what a model wrote: programs, confined; unaudited scorers, not")
]
# Options after which several words may stand.
SEVERAL = ("--columns", "--benchmark-columns", "--problem-columns", "--stop")


def one_word_each(words: list[str]) -> list[str]:
    """Repeat an option before each of its words: ``--columns a=b c=d`` to ``--columns a=b --columns c=d``."""
    spread: list[str] = []
    option = ""
    for word in words:
        if word.startswith("-"):
            option = word
        elif option in SEVERAL and spread[-1] != option:
            spread.append(option)
        spread.append(word)
    return spread


# What commands print: texts of others without what a terminal would obey


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
