"""Verdicts on the golds and solutions of public sets."""

from __future__ import annotations

import pytest
from public_sets import public_set

from hammerlib.grading import grade
from hammerlib.grading.equality import readable
from hammerlib.grading.extract import tidy
from hammerlib.problems import normalise


def box(answer: str) -> str:
    return rf"So the answer is \boxed{{{answer}}}."


@pytest.mark.parametrize(("name", "count"), [("math500.jsonl", 500), ("minerva272.jsonl", 272)])
def test_reference_solutions_are_right(name, count):
    rows = public_set(name)
    assert sum(grade(row["solution"], row).correct for row in rows) == count


@pytest.mark.parametrize("name", ["gsm8k_test.jsonl", "amc23_40.jsonl", "aime24.jsonl"])
def test_contest_golds_equal_themselves_and_only_themselves(name):
    rows = public_set(name).to_list()
    for row, other in zip(rows, rows[1:] + rows[:1], strict=True):
        assert grade(box(row["answer"]), row).correct
        assert grade(box(other["answer"]), row).correct == (float(other["answer"]) == float(row["answer"]))


def test_grade_school_solutions_are_right_as_they_are_written():
    rows = public_set("gsm8k_test.jsonl")
    assert all(grade(row["solution"], row).correct for row in rows)


def test_all_but_one_olympiad_gold_can_be_read():
    rows = public_set("olympiadbench675.jsonl")
    assert all(grade(box(row["answer"]), row).correct for row in rows)
    assert [row["answer"] for row in rows if not readable(tidy(row["answer"]))] == ["t(0,4]"]


def test_two_spellings_of_the_math500_golds_agree_far_beyond_their_texts():
    copy = public_set("math500_aime24_aime25.jsonl").filter(lambda row: row["topic"] == "MATH-500")
    ours = public_set("math500.jsonl")
    by_text = {normalise(row["prompt"]): row["answer"] for row in copy}
    pairs = [(by_text[normalise(row["prompt"])], row["answer"]) for row in ours]
    same_text = sum(one == other for one, other in pairs)
    forwards = sum(grade(box(one), other).correct for one, other in pairs)
    backwards = sum(grade(box(other), one).correct for one, other in pairs)
    assert len(pairs) == 500
    assert same_text < 460 < 485 <= min(forwards, backwards)
