"""Verdicts: the right part of a completion is read, equality is mathematical, nothing can hang a run."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hammerlib.errors import InputError
from hammerlib.grading import REASONS, Verdict, final_answer, grade, grade_many, grader_version
from hammerlib.grading.equality import decided, equal
from hammerlib.grading.extract import bare, tidy
from hammerlib.problems import last_box, load_problems


def box(answer: str) -> str:
    return rf"So the answer is \boxed{{{answer}}}."


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (r"\boxed{5} or rather \boxed{7}", "7"),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{\boxed{3}}", "3"),
        (r"\boxed {4}", "4"),
        (r"\boxed 9 is it", "9"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{5} and then \boxed{6", "5"),
        (r"\boxed{}", ""),
        (r"<think>\boxed{3}</think> <answer>4</answer>", "4"),
        (r"<answer>it is \boxed{4}</answer> \boxed{5}", "4"),
        (r"<answer>3</answer><answer>4</answer>", "4"),
        ("<think>\\boxed{3}</think>\n#### 1,200 apples", "1,200 apples"),
        (r"<think>\boxed{3}</think>", "3"),
        ("#### 4\nno:\n#### -5", "-5"),
        ("it is 12", None),
        (r"\boxedness{3}", None),
        ("", None),
        ("\\boxed", None),
    ],
)
def test_the_last_complete_mark_is_the_answer(completion, answer):
    assert final_answer(completion) == answer


@given(st.lists(st.text("abc12{}\\ ", max_size=12), max_size=4), st.integers(0, 10**6))
def test_a_box_at_the_end_wins_over_any_text_before_it(noise, value):
    assert last_box(" ".join(noise) + rf" \boxed{{{value}}}") == str(value)


@given(
    st.recursive(
        st.text("xy1+", max_size=3),
        lambda inner: st.lists(inner, max_size=3).map(lambda x: "{" + "".join(x) + "}"),
    )
)
def test_balanced_content_comes_back_whole(content):
    assert last_box(rf"\boxed{{{content}}} tail }}") == content.strip()


# Traps measured on math-verify 0.8 and 0.9, both orders; 50\%/50 is False in 0.8 and True in 0.9.
EQUAL = [
    ("025", "25"),
    (r"336^\circ", "336"),
    ("27.0", "27"),
    ("10{,}000", "10000"),
    (r"10,\!000", "10000"),
    ("x=5", "5"),
    (r"5\text{ cm}", "5"),
    (r"\{1,2\}", r"\{2,1\}"),
    ("1,2", "2,1"),
    ("0.75", "3/4"),
    (r"\frac{63}{400}", "63/400"),
    (r"50\%", "0.5"),
    (r"50\%", "50"),
    (r"\$18", "18"),
    ("2.0e4", "20000"),
    ("6.02e23", r"6.02 \times 10^{23}"),
    (r"1.6 \cdot 10^-19", "1.6e-19"),
    ("0.000000000003", "3e-12"),
    (r"\emptyset", r"\varnothing"),
    ("x-y+2z=3", "-x+y-2z=-3"),
    ("a + b + c", "c + a + b"),
    (r"1-\frac{1}{\mathrm{e}}", r"\frac{e-1}{e}"),
    (r"(1,8,19), (2,7,13)", "(2,7,13),(1,8,19)"),
    (r"\large 5", "5"),
    ("i2", "2i"),
    (r"\int_0^1 x^2 dx", r"\frac{1}{3}"),
    (r"\lim_{x \to 0} \frac{\sin x}{x}", "1"),
]
DIFFERENT = [
    (r"\frac{64}{400}", "63/400"),
    (r"\pi", "3.14159"),
    ("33.3", "100/3"),
    ("(1,2)", "[1,2]"),
    ("(1,2)", "(2,1)"),
    ("3e-12", "4e-12"),
    ("0.0000005", "0.0000003"),
    ("6.02e23", "6.03e23"),
    (r"1-1/\mathrm{e}", r"1+1/\mathrm{e}"),
    ("1,2", "1,2,3"),
    ("5", "-5"),
    # math-verify alone reads over what stands there, and so equals them.
    ("3 4", "7"),
    (r"\neg 5", "5"),
    (r"5 \to 6", "6"),
    ("5_000", "5"),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal_answers_are_equal_in_both_orders(one, other):
    assert grade(box(one), other).reason == "correct"
    assert grade(box(other), one).reason == "correct"


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_answers_are_different_in_both_orders(one, other):
    assert grade(box(one), other).reason == "wrong"
    assert grade(box(other), one).reason == "wrong"


def test_gold_and_answer_are_not_interchangeable():
    # An assignment to y is no x, but a bare value is either.
    assert grade(box("y=5"), "5").correct
    assert not grade(box("y=5"), "x=5").correct
    assert grade(box("x > 1"), r"(1, \infty)").correct and grade(box(r"(1, \infty)"), "x > 1").correct


@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))
def test_the_short_cut_for_integers_is_integer_equality(gold, answer):
    assert decided(str(gold), str(answer))
    assert equal(str(gold), str(answer)) == (gold == answer)


@settings(max_examples=30, deadline=None)
@given(
    gold=st.integers(-3000, 3000),
    answer=st.integers(-3000, 3000),
    form=st.sampled_from(["{}", "{:04d}", "{:,}"]),
)
def test_the_short_cut_for_integers_agrees_with_math_verify(gold, answer, form):
    from math_verify import parse, verify

    written = form.format(answer)
    theirs = verify(parse(rf"\boxed{{{gold}}}"), parse(rf"\boxed{{{written}}}"))
    assert equal(str(gold), tidy(written)) == theirs == (gold == answer)


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["5", r"\frac{1}{2}", "x+1", r"\text{even}"]))
def test_whatever_a_model_writes_gets_a_verdict(text, gold):
    verdict = grade(text, gold)
    assert isinstance(verdict, Verdict)
    assert verdict.correct == (verdict.reason == "correct")
    assert verdict.reason in REASONS or verdict.reason.startswith("error: ")
    assert pickle.loads(pickle.dumps(verdict)) == verdict


@pytest.mark.parametrize(
    ("completion", "gold", "correct", "extracted"),
    [
        ("So 17 + 25 = 42.", "42", True, "42"),
        ("The answer is $\\frac{1}{2}$.", "0.5", True, "\\frac{1}{2}"),
        ("about 2.0e4 metres", "20000", True, None),
        ("It costs $1,200 in all", "1200", True, None),
        ("So 17 + 25 = 41.", "42", False, "41"),
        ("<think>42</think> I say 41", "42", False, "41"),
    ],
)
def test_without_a_mark_the_last_expression_counts(completion, gold, correct, extracted):
    verdict = grade(completion, gold)
    assert verdict.correct is correct
    assert extracted in (None, verdict.extracted)


@pytest.mark.parametrize("completion", ["", "no idea", r"\boxed{}", r"\boxed{ }", "<answer></answer>"])
def test_no_answer_is_its_own_reason(completion):
    assert grade(completion, "5") == Verdict(False, None, "unextracted", grader_version())


@pytest.mark.parametrize("gold", ["", "t(0,4]"])
def test_a_gold_that_cannot_be_read_is_no_wrong_answer(gold):
    assert grade(box("7"), gold).reason == "error: gold unparsable"


def test_an_unreadable_gold_still_equals_itself():
    assert grade(box("t(0,4]"), "t(0, 4]").correct


@pytest.mark.parametrize("gold", ["42", r"\boxed{42}", "6 * 7 = 42\n#### 42", "$42$"])
def test_a_gold_may_be_a_worked_solution(gold):
    assert grade(box("42"), gold).correct


def test_a_pool_respects_a_tolerance_where_it_decides_at_once():
    from hammerlib.grading import grade_many

    problem = {"answer": "5", "metadata": '{"tolerance": 1}'}
    said = [r"\boxed{6}", "#### 4", r"\boxed{7}"]
    alone = [grade(one, problem) for one in said]
    assert grade_many(said, [problem] * 3, workers=1) == alone
    assert [one.correct for one in alone] == [True, True, False]


def test_a_tolerance_of_the_problem_is_respected():
    problem = {"answer": "4.2", "metadata": '{"tolerance": "1e-1"}'}
    assert grade(box("4.3"), problem).correct
    assert not grade(box("4.31"), problem).correct
    assert not grade(box("4.3"), problem | {"metadata": None}).correct


def test_the_stamp_names_grader_and_version():
    from importlib.metadata import version

    assert grade(box("1"), "1").grader == f"math-verify {version('math-verify')}, rules 5"
    row = load_problems("reasoning-gym:nano", n=1)[0]
    assert grade(box("1"), row).grader == f"reasoning-gym {version('reasoning_gym')}, rules 5"


# A problem's own scorer -----------------------------------------------------------------------------


@pytest.mark.parametrize("mix", ["math", "nano"])
def test_every_generated_gold_is_right_however_it_is_stated(mix):
    for row in load_problems(f"reasoning-gym:{mix}", n=200):
        forms = (
            box(row["answer"]),
            f"<answer>{row['answer']}</answer>",
            f"Sure.\nThe answer is {row['answer']}.",
        )
        for form in forms:
            assert grade(form, row).correct, (form, row)


@pytest.mark.parametrize("mix", ["math", "nano"])
def test_the_gold_of_another_problem_is_wrong(mix):
    rows = sorted(load_problems(f"reasoning-gym:{mix}", n=200), key=lambda row: row["topic"])
    for row, other in zip(rows, rows[1:] + rows[:1], strict=True):
        if row["topic"] != other["topic"]:
            continue  # some scorers read "2 x 23" as "2 days": they look at the first number only
        assert grade(box(other["answer"]), row).correct == (row["answer"] == other["answer"])


def test_partial_and_excess_credit_of_a_scorer_do_not_count():
    calendar = {
        "prompt": "", "answer": "-1", "scorer": "reasoning-gym:calendar_arithmetic",
        "metadata": '{"task": "recurring_event_day"}',
    }  # fmt: skip
    assert grade(box("-1"), calendar).correct
    assert grade(box("3"), calendar).reason == "wrong"  # reasoning-gym gives this e^20
    legs = {"answer": "108", "scorer": "reasoning-gym:leg_counting", "metadata": "{}"}
    assert grade(box("108 or 107"), legs).reason == "wrong"
    fraction = {
        "answer": "$\\dfrac{54}{275}$", "scorer": "reasoning-gym:fraction_simplification",
        "metadata": '{"numerator": 648, "denominator": 3300, '
        '"simplified_numerator": 54, "simplified_denominator": 275}',
    }  # fmt: skip
    assert grade(box(r"\frac{54}{275}"), fraction).correct
    assert not grade(box(r"\frac{648}{3300}"), fraction).correct


def test_plain_dress_of_an_answer_does_not_matter_to_a_scorer():
    row = {"answer": "1234", "scorer": "reasoning-gym:products", "metadata": "{}"}
    for answer in ("1,234", "$1234$", "1{,}234", r"\text{1234}", "1234."):
        assert grade(box(answer), row).correct, answer
    assert bare(r"2 \times 3") == "2 × 3"


def test_an_answer_in_another_format_is_wrong_and_a_broken_row_is_an_error():
    row = {"answer": "2 × 3", "scorer": "reasoning-gym:prime_factorization", "metadata": "{}"}
    assert grade(box("six"), row).reason == "wrong"
    unheard = {"answer": "5", "scorer": "reasoning-gym:none"}
    assert grade(box("5"), unheard, run_code=True).reason == "error: InputError"
    interval = {"answer": "soon", "scorer": "reasoning-gym:time_intervals", "metadata": "{}"}
    assert grade(box("5"), interval).reason == "error: KeyError"


@pytest.mark.parametrize(
    ("completion", "gold", "field"),
    [
        (None, "5", "completion"),
        (5, "5", "completion"),
        ("5", None, "gold_or_problem"),
        ("5", 5, "gold_or_problem"),
        ("5", {}, "gold_or_problem"),
        ("5", {"answer": 5}, "answer"),
    ],
)
def test_what_the_caller_gets_wrong_is_refused_one_by_one_and_in_batches(completion, gold, field):
    for call in (lambda: grade(completion, gold), lambda: grade_many(["5", completion], ["5", gold])):
        with pytest.raises(InputError, match=f"^{field} = "):
            call()
