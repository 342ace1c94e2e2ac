"""The table ``outcomes.csv`` of an evaluation: one row a problem, counts that can be true."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.errors import InputError
from hammerlib.problems.files import read_records

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("id", "n", "correct", "topic")


def read_outcomes(path: str | Path) -> pd.DataFrame:
    """Read the outcomes of an evaluation.

    Parameters
    ----------
    path : path
        ``outcomes.csv``; columns beside ``id, n, correct, topic`` are not read.

    Returns
    -------
    DataFrame
        ``id`` and ``topic`` as text, ``n`` (at least 1) and ``correct`` (0 to n) as whole numbers.

    Raises
    ------
    InputError
        The file is missing, empty, damaged or lacks a column; a count that cannot be; an id twice.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "outcomes.csv"
    >>> _ = path.write_text("id,n,correct,topic\\na,4,1,sums\\n")
    >>> read_outcomes(path)["correct"].tolist()
    [1]
    """
    import pandas as pd

    path = Path(path)
    rows = read_records(path)
    lacking = [name for name in COLUMNS if name not in rows[0]]
    if lacking:
        problem = f"lacks {', '.join(lacking)}"
        raise InputError("file", str(path), problem, "evaluate or regrade the run again")
    seen: set[str] = set()
    for number, row in enumerate(rows, start=1):
        problem = _problem(row, seen)
        if problem:
            raise InputError(
                "file", str(path), f"row {number}: {problem}", "evaluate or regrade the run again"
            )
        seen.add(row["id"])
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    columns |= {name: [int(cell) for cell in columns[name]] for name in ("n", "correct")}
    return pd.DataFrame(columns)


def _problem(row: dict[str, str], seen: set[str]) -> str | None:
    if not row["id"] or row["id"] in seen:
        return f"the id {row['id']!r} is there twice" if row["id"] else "there is no id"
    for name in ("n", "correct"):
        if not row[name].isascii() or not row[name].isdecimal() or len(row[name]) > 9:
            return f"{name} is {row[name][:20]!r}, no count"
    if int(row["n"]) < 1:
        return "n is 0"
    if int(row["correct"]) > int(row["n"]):
        return f"{row['correct']} of {row['n']} samples are correct"
    return None
