"""A second round of attack on the grader: pairs by kind, texts without a box, and random strings."""

from __future__ import annotations

import random
import re
import time

import pytest
from grading_attacks import ATTACKS, UNMARKED

from hammerlib.grading import grade, grade_many

PAIRS = [
    pytest.param(*row, id=f"{kind}: {row[0]} | {row[1]}") for kind, rows in ATTACKS.items() for row in rows
]


@pytest.mark.parametrize(("gold", "answer", "right"), PAIRS)
def test_boxed_answers(gold: str, answer: str, right: bool) -> None:
    assert grade(rf"So the answer is \boxed{{{answer}}}.", gold).correct is right


@pytest.mark.parametrize(("gold", "text", "right"), UNMARKED)
def test_what_a_text_says_around_its_last_value_counts(gold: str, text: str, right: bool) -> None:
    assert grade(text, gold).correct is right


def test_what_is_too_small_for_a_float_is_not_all_the_same() -> None:
    assert not grade(rf"\boxed{{{'½' * 300}}}", r"\frac{1}{2004!}").correct


HOSTILE = [
    r"\boxed{and}",
    r"\boxed{" + r"\prod_{k=1}^{99}" * 8 + "1}",
    r"\boxed{\binom{10^9}{10^8}}",
    r"\boxed{" + ",".join(map(str, range(250))) + "}",
    r"\boxed{" + "minus " * 100 + "5}",
    r"\boxed{0." + "12" * 400 + "...}",
    r"\boxed{((5!)!)!}",
    "5 or " * 20_000,
    "The answer is " * 8_000,
    "(" * 100_000,
    "\x00" * 100_000,
    r"\boxed{" * 10_000,
    "it is not 42 but " * 5_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_costs_seconds_at_most_and_wins_nothing(text: str) -> None:
    begin = time.process_time()
    assert not grade(text, "5").correct
    assert not grade(text, r"5\pmod 7").correct
    assert time.process_time() - begin < 12


TOKENS = re.split(
    r"\s+",
    r"""\frac \sqrt \sum_{k=1}^{9} \int \log \text{ \pmod \equiv \ne \pm \cup \mathbb{R}
{ } ( ) [ ] | ^ _ ! '
% $ , . ...
+ - * / = < & \\ 0 1 2 5 42 1,234 0.333... x i pi and
or not minus am mod (A) 答案 是 √ ½ ² \begin{pmatrix} \end{pmatrix}""",
)


def test_random_tokens_end_in_a_verdict() -> None:
    draw = random.Random(15)
    texts = [
        "".join(draw.choices([*TOKENS, " ", "\x00", "\ud800"], k=draw.randrange(1, 25))) for _ in range(200)
    ]
    texts = [rf"\boxed{{{text}}}" if place % 2 else text for place, text in enumerate(texts)]
    allowed = ("correct", "wrong", "unextracted", "timeout", "error: TooComplex", "error: gold unparsable")
    for verdict in grade_many(texts, [r"\frac{1}{3}"] * len(texts), workers=1):
        assert verdict.reason in allowed
