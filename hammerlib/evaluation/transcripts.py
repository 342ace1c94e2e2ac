"""What two runs answered to the same problems, side by side."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hammerlib.errors import InputError
from hammerlib.evaluation.lines import read_lines
from hammerlib.evaluation.scores import run_path

if TYPE_CHECKING:
    import pandas as pd

    from hammerlib.evaluation.comparison import Comparison


class Answer(NamedTuple):
    """A completion, its verdict, and how many samples of the problem gave it.

    Attributes
    ----------
    text : str
        As the model wrote it: not safe to put on a page.
    correct : bool
    reason : str
        As the grader gave it; ``correct`` or ``wrong`` where a file has none.
    count : int

    Examples
    --------
    >>> Answer("4", True, "correct", 3).count
    3
    """

    text: str
    correct: bool
    reason: str
    count: int


def transcripts(found: Comparison, a: str | Path, b: str | Path) -> pd.DataFrame:
    """Return the problems that one of two runs answers better, with what both answered.

    Parameters
    ----------
    found : Comparison
        `compare` of `a` and `b`.
    a, b : str or path
        As for `read_scores`, with a ``completion`` in every sample.

    Returns
    -------
    DataFrame
        One row a problem won or lost, largest difference first: ``id, topic, outcome, a, b`` (shares of right
        samples), ``prompt, gold`` (None where no table says), ``answers_a, answers_b`` (lists of `Answer`:
        right ones first, then the frequent ones).

    Raises
    ------
    InputError
        A run without completions (published copies have none), a line without one.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from hammerlib.evaluation import compare
    >>> folder = Path(tempfile.mkdtemp())
    >>> line = '{{"id": "{}", "correct": {}, "completion": "so 4"}}\\n'
    >>> for name, right in (("a", "false"), ("b", "true")):
    ...     _ = (folder / name).write_text("".join(line.format(i, right) for i in "xyz"))
    >>> rows = transcripts(compare(folder / "a", folder / "b"), folder / "a", folder / "b")
    >>> rows["outcome"].tolist(), rows["answers_b"][0][0].text
    (['won', 'won', 'won'], 'so 4')
    """
    changed = found.problems[found.problems["outcome"] != "tied"]
    places = [run_path(one) for one in (a, b)]
    said = [_answers(path) for path in places]
    asked = _asked(places[1]) or _asked(places[0])
    table = changed.assign(
        prompt=[asked.get(name, {}).get("prompt") for name in changed["id"]],
        gold=[asked.get(name, {}).get("answer") for name in changed["id"]],
        answers_a=[said[0][name] for name in changed["id"]],
        answers_b=[said[1][name] for name in changed["id"]],
    )
    gap = (table["b"] - table["a"]).abs().rename("gap")
    return table.loc[gap.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)


def _answers(path: Path) -> dict[str, list[Answer]]:
    file = path / "samples.jsonl" if path.is_dir() else path
    if not file.is_file():
        problem = "holds no completions: published copies have counts only"
        raise InputError("run", path.name, problem, "name the run itself, or evaluate again")
    counts: dict[str, Counter] = defaultdict(Counter)
    for number, row in read_lines(file)[0]:
        if not isinstance(row.get("completion"), str):
            where = f"{file.name}, line {number}"
            raise InputError("line", where, "holds no completion", "write it as text beside id and correct")
        right = bool(row["correct"])
        reason = str(row.get("reason", "correct" if right else "wrong"))
        counts[str(row["id"])][row["completion"], right, reason] += 1
    return {
        name: sorted(
            (Answer(*one, n) for one, n in found.items()), key=lambda one: (-one.correct, -one.count)
        )
        for name, found in counts.items()
    }


def _asked(path: Path) -> dict[str, dict]:
    """The problem table of a run by id; empty for a file and for a run that stored none."""
    file = path / "problems.jsonl"
    return {str(row["id"]): row for _, row in read_lines(file)[0]} if file.is_file() else {}
