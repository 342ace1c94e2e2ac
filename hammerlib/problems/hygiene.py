"""One normal form of problem texts, and what follows from it: duplicates and conflicts."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

_SPELLINGS = (
    (re.compile(r"\\[()\[\]]"), " "),  # math delimiters; plain parentheses count
    (re.compile(r"\\(?:left|right|displaystyle|[bB]igg?[lr]?)(?![a-zA-Z])"), " "),
    (re.compile(r"\\[dt]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\\(?:cdot|times)(?![a-zA-Z])|[×·⋅∙]"), "*"),
    (re.compile(r"\\div(?![a-zA-Z])|÷"), "/"),
    (re.compile(r"\\leq?(?![a-zA-Z])|≤"), "<="),
    (re.compile(r"\\geq?(?![a-zA-Z])|≥"), ">="),
    (re.compile(r"\\neq?(?![a-zA-Z])|≠"), "!="),
    (re.compile(r"\\[,;:! ]"), " "),
    (re.compile(r"[−–—]"), "-"),
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),  # thousands separators
    (re.compile(r"(?<=[a-z]{2})-(?=[a-z]{2})"), " "),  # hyphens between words are no operators
)
# Words, numbers (with a decimal point), operators; '!' counts only as a factorial. All else is layout.
_TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|!=|<=|>=|[-+()*/^=<>%|±√∞°]|(?<=[\d)])!|(?<=\b[a-z])!")

_ANSWER_SPELLINGS = (
    (re.compile(r"\\(?:left|right|displaystyle)(?![a-zA-Z])|\\[,;:! ]|\\?\$|\^\{?\\circ\}?|\s"), ""),
    (re.compile(r"\\(?:text|mbox|mathrm|textbf)(?=\{)"), ""),
    (re.compile(r"\\[dt]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\\frac(?:\{(\w)\}|(\w))(?:\{(\w)\}|(\w))"), r"\\frac\1\2\3\4"),
    (re.compile(r"\\sqrt\{(\w)\}"), r"\\sqrt\1"),
    (re.compile(r"^\{([^{}]*)\}$"), r"\1"),
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),
    (re.compile(r"(?<![\d.])\.(?=\d)"), "0."),
)


def normalise(text: str) -> str:
    """Return the normal form under which two problem texts count as the same.

    Lower case, NFKC; words, numbers and operators are kept as tokens with one space between them, so that
    ``3 - 5`` and ``3 + 5``, ``(2 + 3) * 4`` and ``2 + (3 * 4)``, or ``1 2`` and ``12`` stay apart;
    punctuation, dollar signs, braces and spellings of the same LaTeX (``\\dfrac``, ``\\left``) do not
    count. (A form without operators produces false matches on arithmetic problems.) Ours.

    Examples
    --------
    >>> normalise("What is $3 \\\\cdot 5$?") == normalise("what is 3*5")
    True
    >>> normalise("3 - 5"), normalise("1,000 three-digit numbers")
    ('3 - 5', '1000 three digit numbers')
    """
    text = unicodedata.normalize("NFKC", text).lower()
    for pattern, replacement in _SPELLINGS:
        text = pattern.sub(replacement, text)
    return " ".join(_TOKEN.findall(text))


@dataclass(frozen=True)
class DuplicateReport:
    """What :func:`deduplicate` did.

    Parameters
    ----------
    rows, kept : int
        Rows before and after.
    dropped : pandas.DataFrame
        One row per dropped problem: ``id``, ``first_id`` (the copy that stays), ``same_answer`` (bool).

    Examples
    --------
    >>> import pandas as pd
    >>> DuplicateReport(3, 3, pd.DataFrame(columns=["id", "first_id", "same_answer"])).removed
    0
    """

    rows: int
    kept: int
    dropped: pd.DataFrame

    @property
    def removed(self) -> int:
        """Number of dropped rows, at least 0.

        Examples
        --------
        >>> DuplicateReport(5, 3, None).removed
        2
        """
        return self.rows - self.kept


def drop_incomplete(table: Dataset) -> tuple[Dataset, pd.DataFrame]:
    """Drop the problems of a table that lack text or answer.

    Returns
    -------
    (datasets.Dataset, pandas.DataFrame)
        The complete rows in their order; ``id`` and ``missing`` ("prompt" or "answer") of the others.

    Examples
    --------
    >>> from hammerlib.problems import make_table
    >>> row = {"id": "x-0", "prompt": "What is 1+1?", "answer": "", "source": "x", "topic": "t"}
    >>> drop_incomplete(make_table([row]))[1].values.tolist()
    [['x-0', 'answer']]
    """
    import pandas as pd

    kept, dropped = [], []
    for index, row in enumerate(zip(table["id"][:], table["prompt"][:], table["answer"][:], strict=True)):
        missing = next(
            (name for name, text in zip(("prompt", "answer"), row[1:], strict=True) if not text.strip()), None
        )
        if missing:
            dropped.append((row[0], missing))
        else:
            kept.append(index)
    return table.select(kept), pd.DataFrame(dropped, columns=["id", "missing"])


def deduplicate(table: Dataset) -> tuple[Dataset, DuplicateReport]:
    """Keep the first problem of every normalised text.

    Parameters
    ----------
    table : datasets.Dataset
        A problem table.

    Returns
    -------
    (datasets.Dataset, DuplicateReport)
        The kept rows in their order; every dropped row with the copy that stays and whether their answers
        are the same text. Problems whose copies disagree are listed by :func:`conflicts`.

    Examples
    --------
    >>> from hammerlib.problems import make_table
    >>> rows = [{"id": i, "prompt": p, "answer": "2", "source": "s", "topic": "t"}
    ...         for i, p in [("a", "What is 1+1?"), ("b", "what is 1 + 1")]]
    >>> kept, report = deduplicate(make_table(rows))
    >>> kept["id"][:], report.removed
    (['a'], 1)
    """
    import pandas as pd

    ids, answers = table["id"][:], table["answer"][:]
    first: dict[str, int] = {}
    dropped = []
    for index, text in enumerate(table["prompt"][:]):
        keeper = first.setdefault(_key(text), index)
        if keeper != index:
            same = same_text(answers[keeper], answers[index])
            dropped.append({"id": ids[index], "first_id": ids[keeper], "same_answer": same})
    report = pd.DataFrame(dropped, columns=["id", "first_id", "same_answer"])
    return table.select(list(first.values())), DuplicateReport(len(table), len(first), report)


def conflicts(table: Dataset) -> pd.DataFrame:
    """List the problems of a table whose normalised text occurs with different answers.

    Returns
    -------
    pandas.DataFrame
        One row per problem involved: ``group`` (int, counted from 0 in order of appearance), ``id``,
        ``answer``, ``prompt``. Empty when nothing conflicts. Answers are compared as texts without
        spaces, dollar signs, letter case and other spellings of the same LaTeX.

    Examples
    --------
    >>> from hammerlib.problems import make_table
    >>> rows = [{"id": str(i), "prompt": "What is 6*1?", "answer": str(a), "source": "s", "topic": "t"}
    ...         for i, a in enumerate([6, 64])]
    >>> conflicts(make_table(rows))["answer"].tolist()
    ['6', '64']
    """
    import pandas as pd

    ids, prompts, answers = table["id"][:], table["prompt"][:], table["answer"][:]
    groups: dict[str, list[int]] = {}
    for index, text in enumerate(prompts):
        groups.setdefault(_key(text), []).append(index)
    clashing = (rows for rows in groups.values() if len({_answer_form(answers[i]) for i in rows}) > 1)
    listed = [
        {"group": group, "id": ids[i], "answer": answers[i], "prompt": prompts[i]}
        for group, rows in enumerate(clashing)
        for i in rows
    ]
    return pd.DataFrame(listed, columns=["group", "id", "answer", "prompt"])


def _key(text: str) -> str:
    # A text without any token (a lone picture, say) is compared as it stands.
    return normalise(text) or text


def _answer_form(answer: str) -> str:
    for pattern, replacement in _ANSWER_SPELLINGS:
        answer = pattern.sub(replacement, answer)
    form = answer.lower()
    return str(int(form)) if re.fullmatch(r"-?\d{1,300}", form) else form


def same_text(one: str, other: str) -> bool:
    """Tell whether two answers are the same text up to spelling.

    Examples
    --------
    >>> same_text("$1,000$", "1000")
    True
    """
    return _answer_form(one) == _answer_form(other)
