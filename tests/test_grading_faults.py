"""Faults of grading that were found from outside, by kind, with relatives: `grading_cases`."""

from __future__ import annotations

from pathlib import Path

import pytest
from grading_attacks import ATTACKS
from grading_cases import FREE_TEXT, LISTED, NO_GOLD, READABLE, RELATIVES

from hammerlib.grading import NO_GOLD as UNPARSABLE
from hammerlib.grading import grade, grade_many


def box(answer: str) -> str:
    return rf"So the answer is \boxed{{{answer}}}."


def cases(table: dict[str, list[tuple[str, str, bool]]]) -> list:
    return [
        pytest.param(*row, id=f"{kind}: {row[0]} | {row[1]}") for kind, rows in table.items() for row in rows
    ]


@pytest.mark.parametrize(("gold", "answer", "right"), cases(LISTED))
def test_listed_faults(gold: str, answer: str, right: bool) -> None:
    assert grade(box(answer), gold).reason == ("correct" if right else "wrong")


@pytest.mark.parametrize(("gold", "answer", "right"), cases(RELATIVES))
def test_their_relatives(gold: str, answer: str, right: bool) -> None:
    verdict = grade(box(answer), gold)
    assert verdict.correct is right
    assert "Error" not in verdict.reason, "an exception of Python is a fault of ours"


@pytest.mark.parametrize(("gold", "text", "right"), FREE_TEXT)
def test_answers_without_a_box(gold: str, text: str, right: bool) -> None:
    assert grade(text, gold).correct is right


@pytest.mark.parametrize("gold", NO_GOLD)
def test_a_gold_that_says_nothing_is_never_won_nor_lost(gold: str) -> None:
    assert grade(box("7"), gold).reason == UNPARSABLE
    assert grade(box(gold), gold).reason == UNPARSABLE
    assert grade(f"So it is {gold}.", gold).reason == UNPARSABLE


@pytest.mark.parametrize("gold", READABLE)
def test_a_bare_word_is_a_gold_like_any_other(gold: str) -> None:
    assert grade(box("something else"), gold).reason == "wrong"
    assert grade(box(gold), gold).reason == "correct"


# Worked out or given back, gold, counts as worked out.
GIVEN_BACK = [
    (r"\sum_{k=1}^{100}k", "5050", False),
    (r"\prod_{k=1}^{5}k", "120", False),
    (r"\int_0^1x^2dx", r"\frac13", False),
    (r"\begin{vmatrix}1&2\\3&4\end{vmatrix}", "-2", False),
    (r"\det\begin{pmatrix}1&2\\3&4\end{pmatrix}", "-2", False),
    (r"\lim_{x\to0}\frac{\sin x}{x}", "1", False),
    ("17*23", "391", False),
    (r"17 \times 23", "391", False),
    (r"17 \cdot 23", "391", False),
    ("17(23)", "391", False),
    ("17+23", "40", False),
    ("23-17", "6", False),
    (r"\frac{391}{17}", "23", False),
    ("2^{10}", "1024", False),
    ("5!", "120", False),
    (r"\binom{5}{2}", "10", False),
    (r"\sqrt{144}", "12", False),
    (r"\gcd(12,18)", "6", False),
    (r"\sin 30^\circ", r"\frac12", False),
    (r"\frac12+\frac13", r"\frac56", False),
    (r"3\cdot5\pi", r"15\pi", False),
    ("(17*23, 1)", "(391, 1)", False),
    ("x = 17*23", "391", False),
    ("391", "391", True),
    (r"\frac{1}{2}", "0.5", True),
    (r"1\frac12", "1.5", True),
    (r"3\times10^8", "300000000", True),
    (r"2\sqrt3", r"\sqrt{12}", True),
    (r"\frac{3\pi}{4}", r"0.75\pi", True),
    ("2^{100}", "2^{100}", True),
    (r"50\%", "0.5", True),
    ("x(x+1)", "x^2+x", True),
    ("391.0", "391", True),
    ("5 dozen", "60", True),
    (r"1+\sqrt2", r"\sqrt2+1", True),
    ("3+4i", "4i+3", True),
    (r"\frac{n(n+1)}{2}", r"\frac{n^2+n}{2}", True),
    (r"\binom{2n}{n}", r"\binom{2n}{n}", True),
]


@pytest.mark.parametrize(("answer", "gold", "evaluated"), GIVEN_BACK)
def test_the_question_given_back_counts_unless_an_evaluated_answer_is_asked(
    answer: str, gold: str, evaluated: bool
) -> None:
    assert grade(box(answer), gold).correct
    assert grade(box(answer), gold, evaluated=True).correct is evaluated


def test_the_switches_reach_the_workers() -> None:
    answers, golds, evaluated = ([row[i] for row in GIVEN_BACK] for i in range(3))
    strict = grade_many([box(answer) for answer in answers], golds, evaluated=True, workers=1)
    assert [verdict.correct for verdict in strict] == evaluated


@pytest.mark.parametrize(
    ("text", "gold", "finished"),
    [
        (r"<think> Try \boxed{12}? No, let me", "12", False),
        ("<think> 3+4 = 7, but maybe", "7", False),
        (r"<think> a </think> b <think> \boxed{12}", "12", False),
        (r"<think> Try 11. </think> \boxed{12}", "12", True),
        (r"Try 11. </think> \boxed{12}", "12", True),
        (r"\boxed{12}", "12", True),
    ],
)
def test_an_unfinished_thought_counts_unless_switched_off(text: str, gold: str, finished: bool) -> None:
    assert grade(text, gold).correct
    strict = grade(text, gold, unfinished=False)
    assert strict.correct is finished and strict == grade_many([text], [gold], unfinished=False, workers=1)[0]
    assert finished or strict.reason == "unextracted"


def test_the_page_on_grading_counts_these_cases() -> None:
    page = " ".join((Path(__file__).parents[1] / "docs" / "grading.md").read_text(encoding="utf-8").split())
    listed, ours, attacks = (sum(map(len, table.values())) for table in (LISTED, RELATIVES, ATTACKS))
    assert f"{listed} that were reported from outside by kind of fault, {ours} of ours" in page
    assert f"and {attacks} of a second round of attack" in page
