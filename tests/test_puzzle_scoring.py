"""Scores of puzzle answers: parts and types, through the grader and as a reward."""

from __future__ import annotations

import pytest

from hammerlib import grade, load_problems
from hammerlib.errors import InputError
from hammerlib.grading import grade_many
from hammerlib.rewards import partial_reward
from hammerlib.systems.puzzles import soft_score
from hammerlib.training import TrainConfig


@pytest.mark.parametrize(
    ("kind", "gold", "right", "wrong"),
    [
        ("option", "B", ["B", "b", "(B)", "B."], ["A", "AB", "", "Because"]),
        ("multi_options", "ABD", ["ABD", "DBA", "A, B and D"], ["AB", "ABCD", ""]),
        ("nominal", "Ada", ["ada", " Ada. "], ["Adam", ""]),
        (
            "numeral",
            "1/2",
            ["0.5", "1 / 2", "2/4", ".5"],
            ["1", "half", "1/3", "-1/2", "1/0", "0/0", "9" * 5000],
        ),
        ("numeral", "1200", ["1,200", "1200.0"], ["120", "1.2"]),
        ("ordered_array", "Ada, Bo", ["ada,bo"], ["Bo, Ada", "Ada", "Ada, Bo, Cy"]),
        ("unordered_array", "Ada, Bo", ["Bo, Ada"], ["Ada", "Ada, Ada, Bo"]),
        ("oa_numeral", "1, 1/2", ["1.0, 0.5"], ["1/2, 1"]),
        ("ua_numeral", "1, 1/2", ["0.5, 1"], ["1, 1", "1, 1/0"]),
        ("oua_numeral", "1, 2; 3", ["2, 1; 3"], ["3; 1, 2", "1, 2, 3"]),
        ("subset", "Ada, Bo, Cy", ["Bo", "Cy, Ada"], ["Dan", "Ada, Dan", ""]),
    ],
)
def test_each_type_of_answer(kind: str, gold: str, right: list[str], wrong: list[str]) -> None:
    assert [soft_score(one, gold, kind) for one in right] == [1.0] * len(right)
    assert [soft_score(one, gold, kind) for one in wrong] == [0.0] * len(wrong)


def test_a_score_is_the_share_of_right_parts() -> None:
    gold, types = "B====3====Ada, Bo", "option====numeral====ua_nominal"
    for answer, share in (("B====3====Bo, Ada", 1), ("B====4====Bo, Ada", 2 / 3), ("B", 1 / 3), ("", 0)):
        assert soft_score(answer, gold, types) == pytest.approx(share)
    assert soft_score(f"{gold}====5", gold, types) == 0  # guessing more parts than questions


def test_an_unknown_type_is_named() -> None:
    with pytest.raises(InputError, match="scorer = 'essay': unknown answer type"):
        soft_score("x", "x", "essay")
    with pytest.raises(InputError, match="2 golds"):
        soft_score("x", "x====y", "nominal")


def test_problems_are_graded_by_their_scorer() -> None:
    table = load_problems("puzzles:floors,weekday", n=4)
    for row in table:
        right = grade(rf"so \boxed{{{row['answer']}}}", row)
        assert (right.correct, right.grader.split()[0]) == (True, "hammerlib")
        assert not grade(r"so \boxed{nobody}", row).correct
        empty = grade("", row)
        assert not empty.correct and empty.extracted is None
    floors = [row for row in table if row["topic"] == "floors"]
    first = floors[0]["answer"].split("====")[0]
    assert grade(rf"\boxed{{{first}====Z}}", floors[0]).reason == "wrong"  # half right is wrong here
    answers = [rf"\boxed{{{row['answer']}}}" for row in table]
    assert all(one.correct for one in grade_many(answers, list(table), workers=1))


def test_the_soft_score_is_a_reward_that_training_knows() -> None:
    row = load_problems("puzzles:floors", n=1)[0]
    first, second = row["answer"].split("====")
    texts = [rf"\boxed{{{first}===={second}}}", rf"\boxed{{{first}====Z}}", "no box"]
    rewards = partial_reward(
        completions=texts, answer=[row["answer"]] * 3, scorer=[row["scorer"]] * 3, other=1
    )
    assert rewards == [1.0, 0.5, 0.0]
    assert TrainConfig(problems="puzzles:floors", rewards=("partial",)).validate()
    # A quotient by zero is a wrong number, not the end of the training.
    nothing = {"answer": ["2====3"], "scorer": ["puzzles:numeral====ua_numeral"]}
    assert partial_reward(completions=[r"\boxed{1/0====3, 1/0}"], **nothing) == [0.0]
    # Beside puzzles, problems without parts keep their plain verdict.
    mixed = {"answer": [row["answer"], "4"], "scorer": [row["scorer"], None]}
    assert partial_reward(completions=[texts[1], r"\boxed{4}"], **mixed) == [0.5, 1.0]


def test_several_attempts_can_be_given_less_weight() -> None:
    said = [r"\boxed{A}", r"\boxed{B}, no: \boxed{A}", r"\boxed{A} or \boxed{B} or \boxed{B}", "A"]
    told = {"completions": said, "answer": ["A"] * 4, "scorer": ["puzzles:option"] * 4}
    assert partial_reward(**told) == [1.0, 1.0, 0.0, 0.0]  # the default: the last box, whatever came before
    assert partial_reward(**told, per_attempt=True) == [1.0, 0.5, 0.0, 0.0]
    plain = {"completions": [r"\boxed{3} \boxed{4}"], "answer": ["4"], "scorer": [None]}
    assert partial_reward(**plain, per_attempt=True) == [1.0]  # no puzzle: the plain verdict
