"""Where a completion states its final answer, and one spelling for answers."""

from __future__ import annotations

import re

from hammerlib.problems.boxes import last_box

# Text after the last of these is searched; longer tails only cost time in the patterns of math-verify.
TAIL_CHARACTERS = 2_000

_THINK_END = "</think>"
_TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_HASHES = re.compile(r"####[ \t]*(\S[^\n]*)")
_PHRASE = re.compile(r"\banswer(?:\s+is)?\s*[:=]?\s+([^\n]+?)\s*\.?\s*(?:\n|$)", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|(?<![\w.])[-+]?\.\d+"
)

# 2.0e4 would be read as 2.0 times Euler's number times 4.
_SCIENTIFIC = re.compile(r"(?<![\w\\.])((?:\d+\.?\d*|\.\d+))\s?[eE]([-+]?\d{1,3})(?![\w.]*\w)")

_SPELLINGS = (
    (re.compile(r"\\(?:left|right|displaystyle)(?![A-Za-z])\s*"), ""),
    (re.compile(r"\\[dt]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\varnothing(?![A-Za-z])"), r"\\emptyset"),
    # math-verify stops at \mathrm{e}, and then 1-1/e equals 1+1/e.
    (re.compile(r"\\(?:mathrm|text|rm)\s*\{\s*(e|i)\s*\}"), r" \1"),
    (re.compile(r"_\{\\(max|min)\s*\}"), r"_{\1}"),
    (re.compile(r"×"), r"\\times "),
    (re.compile(r"\*\*"), "^"),
    (_SCIENTIFIC, r"\1 \\times 10^{\2}"),
    (re.compile(r"(?<!\d)10\s*\^\s*\(?([-+]?\d+)\)?"), r"10^{\1}"),
    (re.compile(r"\{\+"), "{"),
    (re.compile(r",?\\!"), ""),  # 10,\\!000
    # math-verify takes a lone letter after a space for a unit: "a + b + c" would end at "a +".
    (re.compile(r"\s*([-+*/=<>])\s*"), r"\1"),
)


def final_answer(completion: str) -> str | None:
    r"""Return what a completion marks as its final answer, or None when nothing is marked.

    Text after the last ``</think>`` counts where there is any. Marks in order: the last
    ``<answer>...</answer>`` (and a box inside it), the last complete ``\boxed{...}``, the last ``#### ...``.

    Parameters
    ----------
    completion : str
        Text of a model or a worked solution.

    Returns
    -------
    str or None
        Stripped; "" for an empty mark.

    Examples
    --------
    >>> final_answer(r"<think>\boxed{3}</think> <answer>4</answer>")
    '4'
    >>> final_answer("7 + 5 = 12\n#### 1,200")
    '1,200'
    >>> final_answer("it is 12") is None
    True
    """
    text = _after_thought(completion)
    tags = _TAG.findall(text)
    if tags:
        box = last_box(tags[-1])
        return tags[-1].strip() if box is None else box
    box = last_box(text)
    if box is not None:
        return box
    hashes = _HASHES.findall(text)
    return hashes[-1].strip() if hashes else None


def tail(completion: str) -> str:
    """Return the end of a completion for a search without marks, numbers in scientific notation as LaTeX.

    Examples
    --------
    >>> tail("<think>3</think> about 2.0e4.")
    ' about $2.0 \\\\times 10^{4}$.'
    """
    return _SCIENTIFIC.sub(r"$\1 \\times 10^{\2}$", _after_thought(completion)[-TAIL_CHARACTERS:])


def unmarked_answer(completion: str, *, numeric: bool) -> str | None:
    """Return the likely answer of a completion that marks none, for scorers that want a bare answer.

    Parameters
    ----------
    completion : str
        Text of a model.
    numeric : bool
        Whether a number is expected: then the last number; otherwise what follows the last "answer is" or
        "answer:", else the last line that is not empty.

    Returns
    -------
    str or None
        None when there is no such number or line.

    Examples
    --------
    >>> unmarked_answer("So 7 + 5 = 1,200.", numeric=True)
    '1,200'
    >>> unmarked_answer("The answer is Monday.", numeric=False)
    'Monday'
    """
    text = _after_thought(completion)[-TAIL_CHARACTERS:]
    if numeric:
        numbers = _NUMBER.findall(text)
        return numbers[-1] if numbers else None
    phrases = _PHRASE.findall(text)
    if phrases:
        return phrases[-1]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else None


def is_number(text: str) -> bool:
    """Tell whether the whole text is one decimal number.

    Examples
    --------
    >>> is_number("-1,234.5"), is_number("12:30")
    (True, False)
    """
    return _NUMBER.fullmatch(text.strip()) is not None


def tidy(answer: str) -> str:
    r"""Bring an answer into one LaTeX spelling that math-verify reads as meant.

    Dollar signs and a final full stop go; scientific notation is written as a power of ten; ``\mathrm{e}``
    is the number e; a trailing condition in words (", where b is ...") goes.

    Examples
    --------
    >>> tidy("$2.0e4$."), tidy("10^-3")
    ('2.0 \\times 10^{4}', '10^{-3}')
    """
    text = answer.replace("\\$", "").replace("$", "").strip()
    text = re.sub(r",?\s+where\s.*", "", text, flags=re.DOTALL)
    for pattern, replacement in _SPELLINGS:
        text = pattern.sub(replacement, text)
    return text.strip().rstrip(".").strip()


def bare(answer: str) -> str:
    r"""Return an answer without LaTeX dress, for scorers that expect plain text.

    Examples
    --------
    >>> bare(r"$\frac{1}{2}$"), bare(r"\text{Monday}."), bare("1,234")
    ('1/2', 'Monday', '1234')
    """
    text = answer.replace("\\$", "").replace("$", "")
    text = re.sub(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"\1/\2", text)
    text = re.sub(r"\\(?:text|mathrm|mbox|textbf)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\(?:times|cdot)(?![A-Za-z])", "×", text)
    text = re.sub(r"\\[,;:! ]|\{,\}|(?<=\d),(?=\d{3}(?!\d))", "", text)
    return text.strip().rstrip(".").strip()


def _after_thought(completion: str) -> str:
    _, found, rest = completion.rpartition(_THINK_END)
    return rest if found and rest.strip() else completion
