"""Options that several commands share, each described once."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Annotated

from typer import Argument, Option


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
