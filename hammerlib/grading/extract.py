"""Where a completion states its final answer, and the spellings that others want of it.

Marked answers first (`final_answer`, `gold_answers`), then what a text without marks says (`stated`,
`choice`, `taken_back`, `unmarked_answer`), then spellings (`tidy` for math-verify, `bare` for scorers).
"""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

from hammerlib.grading.normal_form import LETTERS, NOTATION, apply, normal_form, split
from hammerlib.problems.layouts import boxes, last_box

PHRASES = tomllib.loads(Path(__file__).with_name("phrases.toml").read_text(encoding="utf-8"))


def _any(name: str) -> str:
    return "|".join(PHRASES[name])


# Text after the last of these is searched; longer tails only cost time in the patterns of math-verify.
TAIL_CHARACTERS = 2_000
# Longer answers are refused by the guard; tidying a megabyte of blanks would cost minutes.
LONGEST_TIDIED = 4_000
# A gold with several boxes that is longer is a worked solution: its last box is the answer.
SHORT_GOLD = 200

_THINK = "<think>"
_THINK_END = "</think>"
_NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|(?<![\w.])[-+]?\.\d+"
)

# Marked answers --------------------------------------------------------------------------------------

# Up to the next tag of either kind, so that a megabyte of open ones is read once.
_TAGGED = re.compile(r"<answer>((?:(?!</?answer>).)*)</answer>", re.IGNORECASE | re.DOTALL)
_HASHES = re.compile(r"####[ \t]*(\S[^\n]*)")
# The last line that the few-shot prompt of Minerva teaches (Lewkowycz et al. 2022, appendix D).
_SENTENCE = re.compile(r"final answer is:?\s{0,3}\$([^$\n]{1,1000})\$\s{0,3}[.\n]", re.IGNORECASE)
# What may stand between the boxes of one answer: "\boxed{1} and \boxed{-2}", "\boxed{2}, x_2 = \boxed{3}".
_BETWEEN = re.compile(
    r"(?:\s|\$|\\[()\[\],;:! ]|\\q?quad(?![A-Za-z])|[,;&.]|\\text\s?\{[^{}]*\}|\b(?:and|or)\b"
    r"|[A-Za-z](?:_\{?\w{1,3}\}?)?\s?=)*"
)
_LINK = re.compile(r"[,;&]|\b(?:and|or)\b")
_LONGEST_LINK = 80  # characters
# A set without backslashes; only its content is read as a list.
_BRACED = re.compile(r"\{(?:[^{}]|\{[^{}]*\})*\}")


def final_answer(completion: str, *, several: bool = False, unfinished: bool = True) -> str | None:
    r"""Return what a completion marks as its final answer, or None when nothing is marked.

    Text after the last ``</think>`` counts where there is any. Marks in order: the last
    ``<answer>...</answer>`` (and a box inside it), ``final answer is $...$.`` where no box follows it, the
    last complete ``\boxed{...}``, the last ``#### ...``. Stripped; "" for an empty mark.

    Parameters
    ----------
    completion : str
        Text of a model or a worked solution.
    several : bool
        Whether the problem has several answers: then boxes in a row, joined by nothing but commas and
        "and", are one answer.
    unfinished : bool
        Whether a mark counts that stands in a thought without end (``<think>`` and no ``</think>`` after it).

    Examples
    --------
    >>> final_answer(r"<think>\boxed{3}</think> <answer>4</answer>")
    '4'
    >>> final_answer("7 + 5 = 12\n#### 1,200")
    '1,200'
    >>> final_answer("it is 12") is None
    True
    >>> final_answer(r"\boxed{1} and \boxed{-2}", several=True)
    '1, -2'
    """
    if not unfinished and is_unfinished(completion):
        return None
    text = _after_thought(completion)
    tagged = _TAGGED.findall(text)
    if tagged:
        text = tagged[-1]
    elif sentences := _SENTENCE.findall(text, max(text.rfind("\\boxed"), text.rfind("\\fbox")) + 1):
        return sentences[-1].strip()
    box = _last_row(text) if several else last_box(text)
    if box is not None:
        return box
    if tagged:
        return text.strip()
    hashes = _HASHES.findall(text)
    return hashes[-1].strip() if hashes else None


def is_unfinished(completion: str) -> bool:
    """Tell whether a completion ends within a thought."""
    return completion.rfind(_THINK) > completion.rfind(_THINK_END)


def _after_thought(completion: str) -> str:
    _, result, rest = completion.rpartition(_THINK_END)
    return rest if result and rest.strip() else completion


def _last_row(text: str) -> str | None:
    """Contents of the last boxes that follow each other as one answer."""
    row: list[str] = []
    follows = None
    for begin, inside, end in reversed(boxes(text)):
        gap = text[end:follows] if follows is not None else ""
        if row and not (len(gap) <= _LONGEST_LINK and _BETWEEN.fullmatch(gap) and _LINK.search(gap)):
            break
        row.append(text[inside].strip())
        follows = begin
    return ", ".join(reversed(row)) if row else None


def gold_answers(gold: str) -> list[str]:
    r"""Return the readings of a gold: its last mark or the whole, then all boxes of a short one."""
    marked = final_answer(gold)
    answers = [(gold if marked is None else marked).strip()]
    every = boxes(gold) if len(gold) <= SHORT_GOLD else []
    gaps = [gold[box[2] : following[0]] for box, following in itertools.pairwise(every)]
    if gaps and all(_LINK.search(gap) or not re.search(r"[A-Za-z]", gap) for gap in gaps):
        answers.append(", ".join(gold[inside].strip() for _, inside, _ in every))
    return [answer for answer in answers if answer.strip(" $.")]


def is_list(answer: str) -> bool:
    r"""Tell whether an answer has several parts, as a list or a set."""
    if len(answer) > LONGEST_TIDIED:
        return False
    answer = normal_form(answer)
    if _NUMBER.fullmatch(answer):
        return False
    if _BRACED.fullmatch(answer):
        answer = answer[1:-1].strip()
    if answer.startswith("\\{"):
        answer = answer.removeprefix("\\{").removesuffix("\\}")
    joined = re.search(r"\b(?:and|or)\b|\\pm(?![A-Za-z])", answer)
    return joined is not None or len(split(answer, ",")) > 1


# Texts without a mark --------------------------------------------------------------------------------

# What an unmarked completion says at last: "The answer is (B).", "答案：5。".
_STATED = re.compile(
    rf"(?:{_any('stated')})[ \t]{{0,3}}(?P<answer>[^\n]{{1,200}}?)[ \t]{{0,3}}(?:[.!](?=[\s*]|$)|\n|$)",
    re.IGNORECASE,
)
_COPULA = re.compile(r"\s*(?:です|だ|である|입니다)\s*。?$")
# Where a statement goes on with its reasons.
_CLAUSE = re.compile(rf"\s*(?:{_any('clauses')})")
_BUT = re.compile(
    r"(?:definitely |certainly |clearly )?not\s+[^,.]{1,40}?,?\s+but\s+(?:rather\s+)?(.+)",
    re.IGNORECASE | re.DOTALL,
)


def stated(text: str) -> str | None:
    """Return what the last sentence "the answer is ..." of an unmarked text states."""
    sentences = list(_STATED.finditer(text))
    if not sentences:
        return None
    answer = sentences[-1]["answer"]
    if "\n" in sentences[-1][0][:-1]:  # a bullet on the next line is no sign
        answer = re.sub(r"^[-*+]\s+", "", answer)
    return _without_dollars(_COPULA.sub("", answer).strip(" *:"))


def heads(statement: str) -> list[str]:
    """Return what a statement says, whole and up to its first reason: "8 (3 dogs)", "41, not 42"."""
    if turned := _BUT.fullmatch(statement):
        return [turned[1].strip()]
    readings = [statement]
    if (cut := _CLAUSE.search(statement)) and cut.start() > 0:
        # Behind ";" a list may go on: the whole is tried first.
        readings.insert(";" in cut[0], statement[: cut.start()].strip(" *"))
    return [_without_dollars(reading) for reading in readings]


def _without_dollars(text: str) -> str:
    return text[1:-1].strip() if re.fullmatch(r"\$[^$]+\$", text) else text


# Words in front of a value that deny it, and words that make it another one.
_FILLER = (
    r"(?:(?:be|been|equals?|to|the|an?|answer|option|choice|letter|value|exactly|possibly|just"
    r"|simply|likely|it|is|of|that|longer|but)\s+){0,4}"
)
_DENIED = re.compile(rf"(?:{_any('denied')})\s*{_FILLER}[\s$*(:]*$", re.IGNORECASE)
_QUALIFIED = re.compile(
    rf"(?:{_any('qualified')})\s*(?:the\s+|an?\s+)?(?:[A-Za-z]\s?=\s?)?[\s$*(]*$", re.IGNORECASE
)
_DENIED_AFTER = re.compile(
    r"[\s.$*)]*(?:(?:is|was|are|were|would be|can|could|does|do|seems)\s*(?:n['’]t|not|never|wrong"
    r"|incorrect|impossible|too|excluded)\b|(?:不|错|ではな|가 아))",
    re.IGNORECASE,
)
_CHANGED_AFTER = re.compile(rf"\$?[\s-]*(?:{_any('changed')})", re.IGNORECASE)


def taken_back(text: str, start: int, end: int) -> bool:
    """Tell whether the words around a value deny it or make it another one: "not 42", "at least 42"."""
    before, after = text[max(0, start - 80) : start], text[end : end + 40]
    before = before[max(before.rfind("\n"), before.rfind(". ")) + 1 :]
    if re.search(r"\bbut\s+(?:rather\s+)?$", before) and "anything" not in before:
        before = ""
    changed = _DENIED.search(before) or _QUALIFIED.search(before)
    return bool(changed or _DENIED_AFTER.match(after) or _CHANGED_AFTER.match(after))


_CHOICE = re.compile(
    r"\b(?:answer|choice|option)\s*(?:is|:)?\s*(?:for sure|definitely|clearly|option|choice|letter|\s)*"
    r"\(?([A-J])\)?(?![\w'’])"
)


def choice(text: str) -> str | None:
    """Return the letter that an unmarked text chooses."""
    choices = [match for match in _CHOICE.finditer(text) if not taken_back(text, *match.span())]
    if choices:
        return choices[-1][1]
    first = re.match(r"\s*\(?([A-J])\)?(?:[.):,]|\s*$)", text)
    return first[1] if first else None


# Where Chinese, Japanese or Korean script meets something else.
_SCRIPT = r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]"
_CJK = re.compile(rf"(?<={_SCRIPT})(?=[\w\\$+-])(?!{_SCRIPT})|(?<=[\w}})%$])(?<!{_SCRIPT})(?={_SCRIPT})")
# "negative 5"; but "6 minus 5" and "the minus 5" stay.
_SIGN_WORDS = re.compile(
    r"\bnegative\s+(?=\$?\d)"
    r"|(?<=\bis )minus\s+(?=\d)|(?<=\A)minus\s+(?=\d)",
    re.IGNORECASE,
)
# 2.0e4 would be read as 2.0 times Euler's number times 4.
_SCIENTIFIC = re.compile(r"(?<![\w\\.])((?:\d+\.?\d*|\.\d+))\s?[eE]([-+]?\d{1,3})(?![\w.]*\w)")
# math-verify stops at \mathrm{e}, and then 1-1/e equals 1+1/e.
_UPRIGHT = re.compile(r"\\(?:mathrm|text|rm)\s?\{\s?(e|i)\s?\}")
_PHRASE = re.compile(r"\banswer(?:\s+is)?\s*[:=]?\s+([^\n]+?)\s*\.?\s*(?:\n|$)", re.IGNORECASE)


def _end_of(completion: str) -> str:
    """The end of a completion behind its thought, with plain letters, words apart from Asian script."""
    text = apply(LETTERS, _after_thought(completion)[-TAIL_CHARACTERS:])
    return text if text.isascii() else _CJK.sub(" ", text)


def tail(completion: str) -> str:
    """Return the end of a completion for a search without marks, numbers in scientific notation as LaTeX."""
    text = re.sub(r"</?[A-Za-z]{1,12}>", " ", _end_of(completion))
    return _SCIENTIFIC.sub(r"$\1 \\times 10^{\2}$", _UPRIGHT.sub(r" \1", _SIGN_WORDS.sub("-", text)))


def unmarked_answer(completion: str, *, numeric: bool) -> str | None:
    """Return the likely answer of a completion that marks none, for scorers that want a bare answer."""
    text = _end_of(completion)
    candidates = _NUMBER.findall(text) if numeric else _PHRASE.findall(text)
    if not candidates and not numeric:
        candidates = [line.strip() for line in text.splitlines() if line.strip()]
    return candidates[-1] if candidates else None


def is_number(text: str) -> bool:
    """Tell whether the whole text is one decimal number."""
    return _NUMBER.fullmatch(text.strip()) is not None


# Spellings -------------------------------------------------------------------------------------------

# math-verify takes a lone letter after a space for a unit: "a + b + c" would end at "a +".
_SPELLINGS = [(re.compile(pattern), replacement) for pattern, replacement in PHRASES["spellings"]]


def tidy(answer: str) -> str:
    r"""Bring an answer into one LaTeX spelling that math-verify reads as meant."""
    if len(answer) > LONGEST_TIDIED:
        return answer
    text = apply(NOTATION, answer).replace("\\$", "").replace("$", "").strip()
    text = re.sub(r",?\s+where\s.*", "", text, flags=re.DOTALL)
    for pattern, replacement in _SPELLINGS:
        text = pattern.sub(replacement, text)
    text = text.strip().rstrip(".").strip()
    return text[1:-1].strip() if _BRACED.fullmatch(text) else text


def bare(answer: str) -> str:
    r"""Return an answer without LaTeX dress, for scorers that expect plain text."""
    text = answer.replace("\\$", "").replace("$", "")
    text = re.sub(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"\1/\2", text)
    text = re.sub(r"\\(?:text|mathrm|mbox|textbf)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\(?:times|cdot)(?![A-Za-z])", "×", text)
    text = re.sub(r"\\[,;:! ]|\{,\}|(?<=\d),(?=\d{3}(?!\d))", "", text)
    return text.strip().rstrip(".").strip()
