"""The verdict on one completion."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from hammerlib.errors import InputError, need
from hammerlib.grading import equality
from hammerlib.grading.code import grade_code
from hammerlib.grading.extract import (
    final_answer,
    gold_answers,
    is_list,
    is_number,
    is_unfinished,
    tail,
)
from hammerlib.grading.normal_form import normal_form
from hammerlib.grading.reading import says_nothing
from hammerlib.grading.scorers import by_scorer
from hammerlib.problems.registry import CODE, SCORERS, refuse_code

REASONS = ("correct", "wrong", "unextracted", "truncated", "timeout", "error: <type>")
NO_GOLD = "error: gold unparsable"
# Raised whenever our own rules (extraction, spelling, tolerances) may change a verdict.
RULES = 5


@dataclass(frozen=True)
class Verdict:
    """What the grader found in one completion.

    Parameters
    ----------
    correct : bool
        True only with reason ``correct``.
    extracted : str or None
        The answer as found; None when there is none.
    reason : str
        One of :data:`REASONS`: ``correct``, ``wrong``, ``unextracted`` (nothing found or an empty box),
        ``truncated`` (see `with_truncation`), ``timeout``, or ``error: <type>``: no verdict is possible,
        count the sample apart.
    grader : str
        Name and version of the library and of our rules around it; verdicts of different versions may differ.

    Examples
    --------
    >>> Verdict(True, "5", "correct", "math-verify 0.9.0, rules 3").correct
    True
    """

    correct: bool
    extracted: str | None
    reason: str
    grader: str


def grade(
    completion: str,
    gold_or_problem: str | dict[str, Any],
    *,
    run_code: bool = False,
    evaluated: bool = False,
    unfinished: bool = True,
) -> Verdict:
    r"""Decide whether a completion's final answer equals the gold.

    The last complete ``\boxed{}`` counts; see :func:`hammerlib.grading.extract.final_answer` for the other
    marks. Without a mark, math-verify looks for the last number or expression. Boxes in a row
    ("\boxed{1} and \boxed{-2}") are one answer where the gold has several parts. Where the problem names a
    scorer (`hammerlib.problems.registry.SCORERS`), what can be read exactly decides if the problem has one
    right answer (`hammerlib.grading.scorers`), else the scorer, by exactly 1.0. Off the main thread nothing
    interrupts a slow comparison: batches of foreign text belong into :func:`hammerlib.grading.grade_many`.

    Parameters
    ----------
    completion : str
        What the model wrote.
    gold_or_problem : str or dict
        A gold answer (or worked solution), or a problem row with ``answer`` and, where present, ``prompt``,
        ``scorer`` and ``metadata`` (JSON text; a ``tolerance`` in it is an absolute error that is allowed).
    run_code : bool
        Whether what a model wrote may be run: problems with a ``code:`` scorer
        (`hammerlib.grading.code`), and scorers outside `hammerlib.problems.registry.AUDITED`, some of which
        evaluate the answer as Python.
    evaluated : bool
        Whether the answer must be worked out as far as the gold is. Without it the question given back
        counts, because it is equal: ``\sum_{k=1}^{100} k`` for 5050, ``17*23`` for 391. The rewards ask for
        it.
    unfinished : bool
        Whether an answer counts that stands in a thought without end (``<think>`` and no ``</think>`` behind
        it). Rewards of recipes with think tags say no.

    Returns
    -------
    Verdict
        Never an exception for what a model wrote.

    Raises
    ------
    InputError
        A completion that is no text, a gold that is neither text nor a row with ``answer``; an unknown
        scorer, or one that may run code while `run_code` is false.

    Examples
    --------
    >>> grade(r"I first thought \boxed{5}, but it is \boxed{\frac{14}{2}}.", "7").correct
    True
    >>> grade("no idea", "7").reason
    'unextracted'
    >>> grade(r"\boxed{17*23}", "391").correct, grade(r"\boxed{17*23}", "391", evaluated=True).correct
    (True, False)

    Notes
    -----
    Source: ours for what can be read exactly (:func:`hammerlib.grading.equality.exact_verdict`), math-verify
    for integrals, limits and the like and for finding an answer in free text.

    Both sides come into one normal form (`hammerlib.grading.normal_form`). Numbers are exact; a decimal of
    six places or more stands for what rounds to it (0.333333 is 1/3, 0.333 is not), below 0.001 in its
    digits and to 1 %. A unit may be left out, never exchanged for another. 50\% is 50 and 0.5; without a
    sign 50 is not 0.5. Lists are compared without order but with repetitions, sets without both, points
    and intervals with order and kind of bracket; words by their letters, capitals apart. Digits to a base
    equal the same digits to the same base. Half of the day may be left out, never exchanged (8:15 a.m.); a
    congruence may leave out its name, and its modulus only where the gold has it; numbers may be spelled
    out ("twenty-five"), a gold only with its hyphen. Without a mark, a value that the words around it deny
    or change ("not 42", "at least 42") is not the answer; "about 42" is. A gold that says nothing ("N/A") or
    cannot be read is ``error: gold unparsable``.
    """
    refuse_pair(completion, gold_or_problem)
    problem = {"answer": gold_or_problem} if isinstance(gold_or_problem, str) else gold_or_problem
    refuse_code(problem.get("scorer"), run_code)
    scorer = problem.get("scorer") or ""
    judge = _by_gold
    if scorer:
        judge = grade_code if scorer.startswith(CODE) else by_scorer
    grader = stamp_of(scorer)
    if not unfinished and is_unfinished(completion):
        return Verdict(False, None, "unextracted", grader)
    try:
        extracted, reason = judge(completion, problem)
        # The question given back leaves work that the gold does not. A scorer has seen to that itself.
        if evaluated and reason == "correct" and not scorer:
            left = equality.undone(extracted)
            if not any(left <= equality.undone(gold) for gold in gold_answers(problem["answer"] or "")):
                reason = "wrong"
    except TimeoutError:
        extracted, reason = final_answer(completion), "timeout"
    except Exception as error:
        extracted, reason = final_answer(completion), f"error: {type(error).__name__}"
    return Verdict(reason == "correct", extracted, reason, grader)


def refuse_pair(completion: object, gold_or_problem: object) -> None:
    """Refuse what :func:`grade` cannot read: a mistake of the caller, not of the model."""
    if not isinstance(completion, str):
        raise InputError("completion", completion, "is no text", "give what the model wrote as a string")
    row = {"answer": gold_or_problem} if isinstance(gold_or_problem, str) else gold_or_problem
    if not isinstance(row, Mapping) or "answer" not in row:
        problem = "is neither a gold answer nor a problem row"
        raise InputError("gold_or_problem", row, problem, "give a string, or a dict with the key 'answer'")
    if not isinstance(row["answer"], str | None):
        raise InputError("answer", row["answer"], "is no text", 'write it as a string, "5" for instance')


def with_truncation(verdict: Verdict, completion: str, truncated: bool) -> Verdict:
    """Return the verdict of a sample that the length limit may have cut off.

    A cut-off completion that marks no answer and is not right never came to its answer: its reason is
    ``truncated``, and the last number in it is none.

    Parameters
    ----------
    verdict : Verdict
        Of the completion as it stands.
    completion : str
    truncated : bool
        Whether the limit ended it.

    Examples
    --------
    >>> from hammerlib import grade
    >>> with_truncation(grade("First, 3 + 4", "9"), "First, 3 + 4", True).reason
    'truncated'
    """
    if not truncated or verdict.reason not in ("wrong", "unextracted") or final_answer(completion):
        return verdict
    return replace(verdict, reason="truncated", extracted=None)


@functools.cache
def grader_version(package: str = "math-verify") -> str:
    """Return the stamp of a grader: name and installed version, and the version of our rules around it.

    Examples
    --------
    >>> grader_version().split()[0]
    'math-verify'
    """
    need(package.replace("-", "_"))
    return f"{package.replace('_', '-')} {version(package)}, rules {RULES}"


def stamp_of(scorer: str) -> str:
    """Return the stamp of the grader that a problem's scorer names; "" is math-verify."""
    return grader_version(_package(scorer))


def _package(scorer: str) -> str:
    if not scorer or scorer.startswith(CODE):
        return scorer.removeprefix(CODE) or "math-verify"
    prefix = scorer.partition(":")[0]
    return SCORERS[prefix].package if prefix in SCORERS else "hammerlib"


def _by_gold(completion: str, problem: dict[str, Any]) -> tuple[str | None, str]:
    golds = gold_answers(problem["answer"] or "")
    extracted = final_answer(completion, several=any(map(is_list, golds)))
    if not golds or all(map(says_nothing, golds)):
        return extracted or None, NO_GOLD
    if extracted == "":
        return None, "unextracted"
    if extracted is None:
        for gold in golds:
            same, extracted = equality.equal_anywhere(gold, tail(completion))
            if same or extracted is None:
                break
        if extracted is None:
            return None, "unextracted"
    else:
        same = any(equality.equal(gold, extracted) or _within(gold, extracted, problem) for gold in golds)
    if not same and not any(map(equality.readable, golds)):
        return extracted, NO_GOLD
    return extracted, "correct" if same else "wrong"


def _within(gold: str, extracted: str, problem: dict[str, Any]) -> bool:
    """Whether two numbers are no further apart than the problem allows."""
    tolerance = json.loads(problem.get("metadata") or "{}").get("tolerance")
    gold, extracted = normal_form(gold), normal_form(extracted)
    if tolerance is None or not (is_number(gold) and is_number(extracted)):
        return False
    apart = abs(float(gold.replace(",", "")) - float(extracted.replace(",", "")))
    # Decimal fractions: 4.3 - 4.2 is a little more than 0.1 in binary.
    return apart <= float(tolerance) * (1 + 1e-9)
