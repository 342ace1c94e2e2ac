"""Scores of answers to puzzles: whole (hard), and the share of right parts (soft).

An answer type is ``option``, ``multi_options``, ``nominal``, ``numeral`` or ``subset``, or an array of one of
them: ``oa_<type>`` in this order, ``ua_<type>`` in any, ``oua_<type>`` an ordered array (parts divided by
semicolons) of unordered ones. ``ordered_array`` and ``unordered_array`` are arrays of ``nominal``. Types and
scores are those of PuzzleClone's evaluator (arXiv 2508.15180); how it reads nested names is not documented:
this is our reading.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from hammerlib.errors import InputError

BETWEEN = "===="
SIMPLE = ("option", "multi_options", "nominal", "numeral", "subset")
_ALIASES = {"ordered_array": "oa_nominal", "unordered_array": "ua_nominal"}
_NUMERAL = re.compile(r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:\s*/\s*\d+)?")


def soft_score(answer: str, gold: str, types: str) -> float:
    """Return the share of questions that are answered rightly, 0 to 1; 1 exactly if all are.

    PuzzleClone's soft score, the mean over parts; its weight for several attempts is an option of
    `hammerlib.rewards.partial_reward`.

    Parameters
    ----------
    answer : str
        As boxed; answers to several questions divided by ``====``.
    gold : str
        In the same layout.
    types : str
        Answer type of each question, divided likewise.

    Returns
    -------
    float
        Missing parts are wrong; more parts than questions make everything wrong.

    Examples
    --------
    >>> [soft_score(one, "B====0.5", "option====numeral") for one in ("B==== 1/2", "B", "C")]
    [1.0, 0.5, 0.0]
    """
    golds, kinds, answers = (text.split(BETWEEN) for text in (gold, types, answer))
    if len(golds) != len(kinds):
        raise InputError("scorer", types, f"{len(golds)} golds", "name one type for each question")
    judges = [_judge(kind.strip()) for kind in kinds]
    if len(answers) > len(golds):
        return 0.0
    # Fewer answers than questions: the missing ones are wrong.
    answered = zip(judges, answers, golds, strict=False)
    return sum(same(text.strip(), gold_text.strip()) for same, text, gold_text in answered) / len(golds)


def scorer(name: str) -> Callable[[str, dict[str, Any]], float]:
    """Return the scoring function that a problem's ``scorer`` names, ``puzzles:<types>``; 1 is right."""
    types = name.partition(":")[2]
    for kind in types.split(BETWEEN):
        _judge(kind)
    return lambda answer, entry: soft_score(answer, entry["answer"], types)


def _judge(kind: str) -> Callable[[str, str], bool]:
    kind = _ALIASES.get(kind, kind)
    prefix, _, inner = kind.partition("_")
    if kind in SIMPLE:
        return _SIMPLE[kind]
    if prefix not in ("oa", "ua", "oua") or inner not in SIMPLE:
        remedy = f"use {', '.join([*SIMPLE, *_ALIASES])}, or oa_, ua_, oua_ before one"
        raise InputError("scorer", kind, "unknown answer type", remedy)
    if prefix == "oua":
        return lambda answer, gold: _in_order(answer.split(";"), gold.split(";"), _unordered(inner))
    if prefix == "ua":
        return _unordered(inner)
    return lambda answer, gold: _in_order(answer.split(","), gold.split(","), _SIMPLE[inner])


def _in_order(answers: list[str], golds: list[str], same: Callable[[str, str], bool]) -> bool:
    return len(answers) == len(golds) and all(map(same, answers, golds))


def _unordered(inner: str) -> Callable[[str, str], bool]:
    key = _KEYS[inner]
    # as multisets: a repeated item counts
    return lambda answer, gold: Counter(map(key, answer.split(","))) == Counter(map(key, gold.split(",")))


def _word(text: str) -> str:
    return " ".join(text.strip(" .;:").casefold().split())


def _letters(text: str) -> str:
    # "A and C", "A, C" and "CA" are one set of letters
    return "".join(sorted(set(re.sub(r"[^A-Za-z]", "", re.sub(r"\band\b", "", text)).upper())))


def _number(text: str) -> Fraction | str:
    cleaned = text.strip().rstrip(".").replace(",", "")
    try:
        if _NUMERAL.fullmatch(cleaned):
            return Fraction(cleaned.replace(" ", ""))
    except (ArithmeticError, ValueError):  # 1/0; more digits than Python reads
        pass
    return f"no number: {text}"


def _option(answer: str, gold: str) -> bool:
    return bool(re.fullmatch(r"\(?[A-Za-z]\)?\.?", answer.strip())) and _letters(answer) == _letters(gold)


def _same_number(answer: str, gold: str) -> bool:
    return isinstance(_number(answer), Fraction) and _number(answer) == _number(gold)


def _subset(answer: str, gold: str) -> bool:
    items = {_word(item) for item in answer.split(",")} - {""}
    return bool(items) and items <= {_word(item) for item in gold.split(",")}


_KEYS: dict[str, Callable[[str], Any]] = {
    "option": _letters,
    "multi_options": _letters,
    "nominal": _word,
    "numeral": _number,
    "subset": _word,
}
_SIMPLE: dict[str, Callable[[str, str], bool]] = {
    "option": _option,
    "multi_options": lambda one, other: _letters(one) == _letters(other) != "",
    "nominal": lambda one, other: _word(one) == _word(other) != "",
    "numeral": _same_number,
    "subset": _subset,
}
