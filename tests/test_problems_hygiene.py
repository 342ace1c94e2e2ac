"""One normal form of texts; duplicates, conflicts and contamination that follow from it."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from public_sets import public_set

from hammerlib.grading import grade
from hammerlib.problems import (
    conflicts,
    decontaminate,
    deduplicate,
    drop_incomplete,
    fingerprint,
    load_problems,
    make_table,
    normalise,
)


def table(*rows: tuple[str, str], source: str = "s"):
    return make_table(
        {"id": f"{source}-{i}", "prompt": prompt, "answer": answer, "source": source, "topic": "t"}
        for i, (prompt, answer) in enumerate(rows)
    )


SAME = [
    ("What is $3 \\cdot 5$?", "what is 3*5"),
    ("Compute 1,000 + 1.", "Compute 1000 + 1"),
    ("Is $\\left(\\dfrac{1}{2}\\right) \\leq 1$?", "Is (\\frac{1}{2}) \\le 1"),
    ("Find \\(x\\) with \\(x^2 = 4\\).", "Find $x$ with $x^{2}=4$"),
    ("a three-digit number", "A three digit number."),
    ("5 − 3", "5 - 3"),
    ("６ × 7", "6 \\times 7"),
    ("cubic inches in the cube?.", "cubic inches in the cube?"),
]
APART = [
    ("What is 3 + 5?", "What is 3 - 5?"),
    ("What is 3 * 5?", "What is 3 / 5?"),
    ("1 2", "12"),
    ("2.5", "25"),
    ("(2 + 3) * 4", "2 + (3 * 4)"),
    ("Is x < 3?", "Is x > 3?"),
    ("What is 5!", "What is 5"),
    ("x^2", "x*2"),
    ("n-1", "n1"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spelling_does_not_count(one, other):
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(("one", "other"), APART)
def test_digits_operators_and_their_grouping_count(one, other):
    assert normalise(one) != normalise(other)


@given(st.text())
def test_case_and_surrounding_space_do_not_count(text):
    once = normalise(text)
    assert once == once.strip()
    assert normalise(f"  {text}\n") == once


@given(st.integers(0, 999), st.integers(0, 999), st.sampled_from("+-*/"), st.sampled_from("+-*/"))
def test_arithmetic_prompts_never_collide(a, b, one, other):
    assert (normalise(f"Calculate {a} {one} {b}.") == normalise(f"Calculate {a} {other} {b}.")) == (
        one == other
    )


def test_deduplication_keeps_the_first_copy_and_reports_the_others():
    given_table = table(
        ("What is 1+1?", "2"), ("Else?", "7"), ("what is 1 + 1", "2"), ("What is $1+1$?", "3")
    )
    kept, report = deduplicate(given_table)
    assert kept["id"][:] == ["s-0", "s-1"]
    assert (report.rows, report.kept, report.removed) == (4, 2, 2)
    assert report.dropped.to_dict("records") == [
        {"id": "s-2", "first_id": "s-0", "same_answer": True},
        {"id": "s-3", "first_id": "s-0", "same_answer": False},
    ]


@given(st.lists(st.sampled_from(["1+1", "1 + 1", "2+1", "2-1", "3 * 4"]), min_size=1, max_size=12))
def test_deduplication_twice_is_deduplication_once(prompts):
    once, _ = deduplicate(table(*((prompt, "0") for prompt in prompts)))
    twice, report = deduplicate(once)
    assert fingerprint(once) == fingerprint(twice)
    assert report.removed == 0
    assert set(map(normalise, once["prompt"])) == set(map(normalise, prompts))


def test_conflicts_are_same_texts_with_other_answers():
    given_table = table(
        ("6 * 1?", "6"), ("7?", "7"), ("6*1", "64"), ("7", "07"), ("8?", "\\dfrac12"), ("8", "\\frac{1}{2}")
    )
    found = conflicts(given_table)
    assert found[["group", "id", "answer"]].values.tolist() == [[0, "s-0", "6"], [0, "s-2", "64"]]
    assert conflicts(table(("7?", "7"))).empty


def test_decontamination_drops_and_reports_every_hit_with_its_gold():
    training = table(("Clean?", "1"), ("What is 1+1?", "2"), ("What is 2+2?", "5"))
    benchmarks = {
        "a": table(("what is 1 + 1", "2"), ("What is 1-1?", "0"), source="a"),
        "b": table(("What is 2+2", "4"), ("What is 1+1?", "2.0"), source="b"),
    }
    clean, report = decontaminate(training, benchmarks)
    assert clean["id"][:] == ["s-0"]
    assert report[["id", "benchmark", "benchmark_id", "same_answer"]].values.tolist() == [
        ["s-1", "a", "a-0", True],
        ["s-1", "b", "b-1", False],
        ["s-2", "b", "b-0", False],
    ]
    _, graded = decontaminate(
        training, benchmarks, same_answer=lambda one, gold: grade(rf"\boxed{{{one}}}", gold).correct
    )
    assert graded["same_answer"].tolist() == [True, True, False]


def test_nothing_in_common_gives_the_whole_table_and_an_empty_report():
    training = table(("Clean?", "1"))
    clean, report = decontaminate(training, {"a": table(("Other?", "1"))})
    assert fingerprint(clean) == fingerprint(training)
    assert report.empty and "same_answer" in report.columns


def test_incomplete_rows_are_dropped_by_name():
    kept, dropped = drop_incomplete(table(("A?", "1"), ("", "1"), ("B?", " ")))
    assert kept["id"][:] == ["s-0"]
    assert dropped.values.tolist() == [["s-1", "prompt"], ["s-2", "answer"]]


def test_a_whole_test_set_hidden_in_a_training_file_is_found_row_by_row(tmp_path):
    benchmark, training = public_set("amc23_40.jsonl"), public_set("gsm8k_test.jsonl").select(range(200))
    assert decontaminate(training, {"amc": benchmark})[1].empty
    rows = [{"problem": row["prompt"], "answer": row["answer"]} for row in training]
    # The copy is disguised: other layout, case and spacing, and every fourth gold is changed.
    for index, row in enumerate(benchmark):
        text = (
            re.sub(r"\$", " $ ", row["prompt"]).upper() if "\\" not in row["prompt"] else f"{row['prompt']} ."
        )
        rows.insert(5 * index, {"problem": text, "answer": row["answer"] if index % 4 else "1234567"})
    path = tmp_path / "contaminated.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    clean, report = decontaminate(load_problems(f"file:{path}"), {"amc": benchmark})
    assert sorted(report["benchmark_id"]) == sorted(benchmark["id"])
    assert (~report["same_answer"]).sum() == 10
    assert sorted(clean["prompt"]) == sorted(training["prompt"])


def test_the_copies_of_math500_and_aime24_are_recognised():
    both = public_set("math500_aime24_aime25.jsonl")
    clean, report = decontaminate(
        both, {"math": public_set("math500.jsonl"), "aime": public_set("aime24.jsonl")}
    )
    assert set(clean["topic"]) == {"AIME-2025-30"} and len(clean) == 30
    assert report["benchmark"].value_counts().to_dict() == {"math": 500, "aime": 30}
    assert report.groupby("benchmark")["same_answer"].sum().to_dict() == {"aime": 30, "math": 492}
    differing = report[~report["same_answer"]]
    assert all(
        grade(rf"\boxed{{{row.answer}}}", row.benchmark_answer).correct
        for row in differing.itertuples()
        if "inches" not in row.benchmark_answer and "cm" not in row.benchmark_answer
    )


def test_the_public_training_sets_have_the_duplicates_and_conflicts_that_were_measured():
    dapo = public_set("dapo_math_17k.parquet")
    kept, report = deduplicate(dapo)
    # Between whitespace-collapsing (17,188 distinct) and dropping all but letters and digits (16,305).
    assert 16_305 <= len(kept) <= 17_188
    assert report.kept == len(kept)
    found = conflicts(dapo)
    texts = found.groupby("group")["prompt"].agg(lambda prompts: len({" ".join(p.split()) for p in prompts}))
    assert (texts == 1).sum() <= 12 <= len(texts)
    assert {"6", "64"} <= set(found[found["prompt"].str.contains("greatest power of")]["answer"])
    assert deduplicate(public_set("math500.jsonl"))[1].removed == 0
