"""The verdict on one completion."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from hammerlib.errors import InputError
from hammerlib.grading import equality
from hammerlib.grading.extract import bare, final_answer, is_number, tail, tidy, unmarked_answer
from hammerlib.problems.registry import SCORERS

REASONS = ("equal", "different", "no answer", "gold unparsable", "timeout", "error: <type>")


@dataclass(frozen=True)
class Verdict:
    """What the grader found in one completion.

    Parameters
    ----------
    correct : bool
        True only with reason ``equal``.
    extracted : str or None
        The answer as found; None when there is none.
    reason : str
        One of :data:`REASONS`: ``equal``, ``different``, ``no answer`` (nothing found or an empty box),
        ``gold unparsable`` (no verdict is possible: count the sample apart), ``timeout``, or
        ``error: <type>`` (``error: TooComplex`` for runaway expressions).
    grader : str
        Name and version, e.g. ``math-verify 0.9.0``; verdicts of different versions may differ.

    Examples
    --------
    >>> Verdict(True, "5", "equal", "math-verify 0.9.0").correct
    True
    """

    correct: bool
    extracted: str | None
    reason: str
    grader: str


def grade(completion: str, gold_or_problem: str | dict[str, Any]) -> Verdict:
    r"""Decide whether a completion's final answer equals the gold.

    The last complete ``\boxed{}`` is found by our own scan; see
    :func:`hammerlib.grading.extract.final_answer` for the other marks. Without a mark, math-verify looks for
    the last number or expression. Equality is math-verify's, or exactly 1.0 from the scorer that the problem
    names (`hammerlib.problems.registry.SCORERS`; partial credit does not count). Works on any thread; off the
    main thread nothing interrupts a slow comparison, so batches of foreign text belong into
    :func:`hammerlib.grading.grade_many`.

    Parameters
    ----------
    completion : str
        What the model wrote.
    gold_or_problem : str or dict
        A gold answer (or worked solution), or a problem row with ``answer`` and, where present, ``prompt``,
        ``scorer`` and ``metadata`` (JSON text; a ``tolerance`` in it is an absolute error that is allowed).

    Returns
    -------
    Verdict
        Never an exception for what a model wrote.

    Examples
    --------
    >>> grade(r"I first thought \boxed{5}, but it is \boxed{\frac{14}{2}}.", "7").correct
    True
    >>> grade("no idea", "7").reason
    'no answer'
    """
    problem = {"answer": gold_or_problem} if isinstance(gold_or_problem, str) else gold_or_problem
    judge = _by_scorer if problem.get("scorer") else _by_math_verify
    grader = grader_version(_package(problem["scorer"]) if problem.get("scorer") else "math-verify")
    try:
        extracted, reason = judge(completion, problem)
    except TimeoutError:
        extracted, reason = final_answer(completion), "timeout"
    except Exception as error:
        extracted, reason = final_answer(completion), f"error: {type(error).__name__}"
    return Verdict(reason == "equal", extracted, reason, grader)


@functools.cache
def grader_version(package: str = "math-verify") -> str:
    """Return the stamp of a grader: its name and installed version.

    Examples
    --------
    >>> grader_version().split()[0]
    'math-verify'
    """
    return f"{package.replace('_', '-')} {version(package)}"


def _package(scorer: str) -> str:
    prefix = scorer.partition(":")[0]
    return SCORERS[prefix].package if prefix in SCORERS else "hammerlib"


def _by_math_verify(completion: str, problem: dict[str, Any]) -> tuple[str | None, str]:
    given = problem["answer"] or ""
    marked = final_answer(given)
    gold = tidy(given if marked is None else marked)
    if not gold:
        return final_answer(completion), "gold unparsable"
    extracted = final_answer(completion)
    if extracted == "":
        return None, "no answer"
    if extracted is None:
        same, extracted = equality.equal_anywhere(gold, tail(completion))
        if extracted is None:
            return None, "no answer"
    else:
        same = equality.equal(gold, tidy(extracted)) or _within_tolerance(gold, extracted, problem)
    if not same and not equality.readable(gold):
        return extracted, "gold unparsable"
    return extracted, "equal" if same else "different"


def _within_tolerance(gold: str, extracted: str, problem: dict[str, Any]) -> bool:
    tolerance = json.loads(problem.get("metadata") or "{}").get("tolerance")
    if tolerance is None or not (is_number(gold) and is_number(extracted)):
        return False
    apart = abs(float(gold.replace(",", "")) - float(extracted.replace(",", "")))
    # Decimal fractions: 4.3 - 4.2 is a little more than 0.1 in binary.
    return apart <= float(tolerance) * (1 + 1e-9)


def _by_scorer(completion: str, problem: dict[str, Any]) -> tuple[str | None, str]:
    extracted = final_answer(completion)
    if extracted is None:
        extracted = unmarked_answer(completion, numeric=is_number(problem["answer"]))
    if not extracted:
        return None, "no answer"
    equality.guard(extracted)
    metadata = json.loads(problem.get("metadata") or "{}")
    entry = {"question": problem.get("prompt", ""), "answer": problem["answer"], "metadata": metadata}
    score = _scorer(problem["scorer"])
    same = any(_full_score(score, answer, entry) for answer in (extracted, bare(extracted)))
    return extracted, "equal" if same else "different"


def _scorer(name: str) -> Callable[..., float]:
    prefix = name.partition(":")[0]
    if prefix not in SCORERS:
        raise InputError("scorer", name, "unknown scorer", f"use one of {', '.join(SCORERS)}")
    return SCORERS[prefix].function()(name)


def _full_score(score: Callable[..., float], answer: str, entry: dict[str, Any]) -> bool:
    try:
        # Exactly 1: reasoning-gym 0.1.25 gives wrong answers more than 1 where a calendar gold is negative.
        return abs(score(answer, entry) - 1) < 1e-9
    except (ValueError, ArithmeticError):  # some scorers stumble over an answer in another format
        return False
