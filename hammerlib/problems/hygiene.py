"""One normal form of problem texts, and what follows from it: duplicates, conflicts, contamination."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

_SPELLINGS = (
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
_TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|!=|<=|>=|[-+*/^=<>%|±√∞°]|(?<=[\d)])!|(?<=\b[a-z])!")


def normalise(text: str) -> str:
    """Return the normal form under which two problem texts count as the same.

    Lower case, NFKC; words, numbers and operators are kept as tokens with one space between them, so that
    ``3 - 5`` and ``3 + 5`` or ``1 2`` and ``12`` stay apart; punctuation, dollar signs, brackets and
    spellings of the same LaTeX (``\\dfrac``, ``\\left``) do not count. (A form without operators produces
    false matches on arithmetic problems.) Ours.

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
