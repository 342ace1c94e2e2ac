"""Answers to problems that name a scorer: what can be read exactly decides, the scorer helps where it cannot.

The audited scorers of reasoning-gym read leniently: one takes the first number of a text without its sign,
another the beginning of a formula. Each of their problems has one right answer, so that a comparison with the
gold decides; what it compares depends on what the problem asks for (`KINDS`, with three more whose scorers
accept anything that holds the gold). Scorers of problems with many right answers (games, puzzles, integrals),
with answers within a tolerance or in a layout of their own are asked alone: there the gold is one answer
among others. Some of those are lenient: kakurasu, knights_knaves, quantum_lock, sokoban and survo skip what
they do not know.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from hammerlib.grading import equality
from hammerlib.grading.extract import PHRASES, bare, final_answer, is_number, unmarked_answer
from hammerlib.problems.registry import SCORERS

# What the one right answer of a data set's problems is.
KINDS = {name: kind for kind, names in PHRASES["kinds"].items() for name in names.split()}
# Their scorers hand the answer to SymPy, which a runaway power would stall.
WITH_ALGEBRA = frozenset(
    {"countdown", "intermediate_integration", "polynomial_multiplication", "puzzle24", "simple_integration"}
)

# Their scorers compare grids with tuples, which JSON turns into lists.
WITH_TUPLES = frozenset({"arc_agi", "rearc"})

_MINUS = re.compile(r"[−﹣－]|(?<!\d)(?<!\d\s)[–—](?=\d)")
_DRESS = re.compile(r"^(?:\*\*|__|`|\*|\s)+|(?:\*\*|__|`|\*|\s)+$")
_LEAD = re.compile(
    r"^(?:(?:so|thus|hence),?\s+)?(?:the\s+)?(?:final\s+)?answer\s*(?:is|:|=)\s*:?\s*", re.IGNORECASE
)
# Arithmetic that is left to be done: the question given back is no answer.
_UNDONE = re.compile(
    r"[\d)}]\s*(?:[-+*×·÷!]|\^|\\(?:times|cdot|div)(?![a-z])|\*\*)\s*[\d({]?"
    r"|\\?(?<![a-z])(?:sqrt|sum|prod|int|d?binom|log|ln|gcd|lcm|max|min|det|lim)(?![a-z])|√"
)
_POWER_OF_TEN = re.compile(r"(?:\\times|\\cdot|[×·*])\s*10\s*\^?\s*(?:\{[-+]?\d+\}|[-+]?\d+)")
_RATIO = re.compile(r"([-+]?\d+)\s*[/÷]\s*(\d+)")
_FACTOR = re.compile(r"(\d+)(?:\s*(?:\^|\*\*)\s*[{(]?\s*(\d{1,3})\s*[)}]?)?")
_TIMES = re.compile(r"\s*(?:[×x*·⋅]|\\times|\\cdot)\s*")
_CLOCK = re.compile(r"(\d{1,3}):([0-5]?\d)(?::([0-5]?\d)(?:\.(\d{1,6}))?)?")
_DAYS = re.compile(r"([-+]?\d+)\s*(?:days?)?", re.IGNORECASE)
_PERCENT = re.compile(r"\b(?:what|how many|find|calculate)\b[^.?]*\bpercent", re.IGNORECASE)
_RECTANGULAR = re.compile(r"\(?\s*(?:[-+]?\s*[\d.]+)?\s*(?:[-+]?\s*[\d.]*\s*i)?\s*\)?")
_RECTANGULAR_BACK = re.compile(r"\(?\s*[-+]?\s*[\d.]*\s*i\s*[-+]\s*[\d.]+\s*\)?")
_DIGITS = re.compile(r"([0-9a-z]+)(?:_\{?\(?(\d+)\)?\}?)?", re.IGNORECASE)


def by_scorer(completion: str, problem: dict[str, Any]) -> tuple[str | None, str]:
    r"""Grade a completion of a problem that names a scorer."""
    extracted = _extracted(completion, problem["answer"] or "")
    if not extracted:
        return None, "unextracted"
    prefix, _, name = problem["scorer"].partition(":")
    exact = None
    if prefix == "reasoning-gym" and name in KINDS:
        exact = exact_answer(problem["answer"] or "", extracted, KINDS[name], problem.get("prompt") or "")
    if exact is None:
        if name in WITH_ALGEBRA:
            equality.guard(extracted)
        exact = _scored(extracted, problem, name in WITH_TUPLES)
    return extracted, "correct" if exact else "wrong"


def exact_answer(gold: str, answer: str, kind: str, prompt: str = "") -> bool | None:
    r"""Tell whether an answer is the gold, by what is asked for; None where the gold is not of that kind."""
    answer = _LEAD.sub("", _DRESS.sub("", _MINUS.sub("-", answer)))
    if kind == "word or number":
        kind = "number" if is_number(gold) else "word"
    return _READERS[kind](gold.strip(), answer, prompt)


def _extracted(completion: str, gold: str) -> str | None:
    marked = final_answer(completion)
    if marked is not None:
        return marked
    text = _MINUS.sub("-", completion)
    answer = unmarked_answer(text, numeric=is_number(gold))
    if answer is None or not is_number(gold):
        return answer
    # The last number, with what makes it part of another value: 7/41, 41 %, x > 41.
    begin = text.rfind(answer)
    before = re.search(r"(?:[\d.,]+\s?[/^:]\s?|(?<![-=])[<>≤≥≠]\s?)?$", text[:begin])
    after = re.match(r"\s?\\?%", text[begin + len(answer) :])
    return (before[0] if before else "") + answer + (after[0] if after else "")


def _number(gold: str, answer: str, prompt: str) -> bool | None:
    if not is_number(gold):
        return None
    undone = _UNDONE.search(_POWER_OF_TEN.sub("", answer.lstrip("+- ")))
    ratio = _RATIO.search(bare(answer))
    if undone or (ratio and ("." not in gold or not _is_reduced(ratio))):
        return False
    percent = _PERCENT.search(prompt) is not None
    return equality.exact_verdict(gold, answer, percent=percent) is True


def _fraction(gold: str, answer: str, prompt: str) -> bool | None:
    wanted, given = (
        _RATIO.fullmatch(text) or re.fullmatch(r"([-+]?\d+)()", text)
        for text in (bare(gold), bare(re.sub(r"^\s*[A-Za-z]\s*=", "", answer)))
    )
    if wanted is None:
        return None
    if given is None or (given[2] and not _is_reduced(given)):
        return False
    return Fraction(int(given[1]), int(given[2] or 1)) == Fraction(int(wanted[1]), int(wanted[2] or 1))


def _is_reduced(ratio: re.Match[str]) -> bool:
    return int(ratio[2]) > 0 and math.gcd(int(ratio[1]), int(ratio[2])) == 1


def _factors(gold: str, answer: str, prompt: str) -> bool | None:
    wanted, given = _multiset(gold), _multiset(re.sub(r"^\s*\d+\s*=", "", answer))
    return None if wanted is None else given == wanted


def _multiset(text: str) -> Counter[int] | None:
    parts = [_FACTOR.fullmatch(factor) for factor in _TIMES.split(text.replace("$", "").strip(" ."))]
    if not parts or any(factor is None or len(factor[1]) > 18 for factor in parts):
        return None
    counts: Counter[int] = Counter()
    for factor in parts:
        counts[int(factor[1])] += int(factor[2] or 1)
    return counts


def _digits(gold: str, answer: str, prompt: str) -> bool | None:
    match = _DIGITS.fullmatch(bare(answer).replace(" ", ""))
    base = re.search(r"to base-(\d+)", prompt)
    if not re.fullmatch(r"[0-9a-z]+", gold):
        return None
    if match is None or (match[2] and base and match[2] != base[1]):
        return False
    return match[1].lower().lstrip("0") == gold.lstrip("0")


def _complex(gold: str, answer: str, prompt: str) -> bool | None:
    text = re.sub(r"(?<=[\d ])j\b|\bj\b", "i", bare(answer))
    if not (_RECTANGULAR.fullmatch(text) or _RECTANGULAR_BACK.fullmatch(text)):
        return False
    return equality.exact_verdict(gold, text) is True


def _duration(gold: str, answer: str, prompt: str) -> bool | None:
    text = bare(answer)
    for pattern, value in ((_CLOCK, _seconds), (_DAYS, lambda match: Fraction(match[1]))):
        wanted, given = pattern.fullmatch(gold), pattern.fullmatch(text)
        if wanted is not None:
            return given is not None and value(given) == value(wanted)
    return None


def _seconds(clock: re.Match[str]) -> Fraction:
    hours, minutes, seconds, fraction = clock.groups(default="0")
    return 3600 * Fraction(hours) + 60 * Fraction(minutes) + Fraction(f"{seconds}.{fraction}")


def _word(gold: str, answer: str, prompt: str) -> bool | None:
    return bare(answer).strip(" .!").casefold() == gold.casefold()


_READERS: dict[str, Callable[[str, str, str], bool | None]] = {
    "number": _number,
    "reduced fraction": _fraction,
    "factors": _factors,
    "digits": _digits,
    "complex number": _complex,
    "duration": _duration,
    "word": _word,
}


def _scored(extracted: str, problem: dict[str, Any], tuples: bool) -> bool:
    """Whether the scorer gives its full score."""
    metadata = json.loads(problem.get("metadata") or "{}")
    if tuples:
        metadata = _as_tuples(metadata)
    entry = {"question": problem.get("prompt", ""), "answer": problem["answer"], "metadata": metadata}
    score = SCORERS[problem["scorer"].partition(":")[0]].function()(problem["scorer"])
    return any(_full_score(score, answer, entry) for answer in dict.fromkeys((extracted, bare(extracted))))


def _full_score(score: Callable[..., float], answer: str, entry: dict[str, Any]) -> bool:
    try:
        # Exactly 1: reasoning-gym 0.1.25 gives wrong answers more than 1 where a calendar gold is negative.
        return abs(score(answer, entry) - 1) < 1e-9
    except (ValueError, ArithmeticError):  # some scorers stumble over an answer in another format
        return False


def _as_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_tuples(piece) for key, piece in value.items()}
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
