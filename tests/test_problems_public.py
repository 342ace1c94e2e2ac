"""The ten public test files load whole, with the facts that are known about them."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from public_sets import public_path, public_set

from hammerlib.errors import InputError
from hammerlib.problems import check_problems, drop_incomplete, load_problems
from hammerlib.problems.layouts import last_box

COUNTS = {
    "gsm8k_train.jsonl": 7473,
    "gsm8k_test.jsonl": 1319,
    "math500.jsonl": 500,
    "math_train7474.json": 7474,
    "aime24.jsonl": 30,
    "math500_aime24_aime25.jsonl": 560,
    "amc23_40.jsonl": 40,
    "minerva272.jsonl": 272,
    "olympiadbench675.jsonl": 675,
    "dapo_math_17k.parquet": 17917,
}


def load(path, **options):
    return load_problems(f"file:{path}", **options)


def test_all_ten_files_load_with_their_row_counts():
    assert {name: len(table) for name, table in ((name, public_set(name)) for name in COUNTS)} == COUNTS


def test_ids_are_source_and_row_and_never_repeat():
    for name, table in ((name, public_set(name)) for name in COUNTS):
        stem = name.split(".")[0]
        assert table["id"][0] == f"{stem}-0"
        assert table["id"][-1] == f"{stem}-{len(table) - 1}"
        assert set(table["source"]) == {stem}
        assert len(set(table["id"])) == len(table)


def test_nine_of_the_files_are_complete_and_one_names_its_four_holes():
    for name, table in ((name, public_set(name)) for name in COUNTS):
        if name != "math_train7474.json":
            check_problems(table)
    holed = public_set("math_train7474.json")
    with pytest.raises(InputError, match=r"row 886 .* has no answer"):
        check_problems(holed)
    complete, dropped = drop_incomplete(holed)
    assert (len(complete), dropped["missing"].tolist()) == (7470, ["answer"] * 4)
    check_problems(complete)


def test_a_file_with_few_holes_warns_when_it_loads():
    path = public_path("math_train7474.json")
    with pytest.warns(UserWarning, match="4 of 7474 problems have no answer"):
        load(path)


def test_grade_school_golds_are_plain_numbers_without_thousands_commas():
    train = public_set("gsm8k_train.jsonl")
    answers = train["answer"][:]
    assert not any("," in answer or "#" in answer for answer in answers)
    assert sum(answer.startswith("-") for answer in answers) == 3
    assert (
        sum("####" in solution and "," in solution.rsplit("####", 1)[1] for solution in train["solution"])
        == 79
    )


def test_amc_floats_become_integers():
    assert "27" in public_set("amc23_40.jsonl")["answer"][:1]
    assert not any(answer.endswith(".0") for answer in public_set("amc23_40.jsonl")["answer"])


def test_aime25_golds_are_those_of_the_contest():
    rows = [row for row in public_set("math500_aime24_aime25.jsonl") if row["topic"].startswith("AIME-2025")]
    one = "70 588 16 117 279 504 821 77 62 81 259 510 204 60 735"
    two = "468 49 82 106 336 293 237 610 149 907 113 19 248 104 240"
    found = Counter(row["answer"].replace("^\\circ", "").lstrip("0") for row in rows)
    assert found == Counter(f"{one} {two}".split())


def test_math500_has_its_levels_and_subjects():
    table = public_set("math500.jsonl")
    assert [Counter(table["difficulty"])[level] for level in range(1, 6)] == [43, 90, 105, 128, 134]
    assert Counter(table["topic"])["Algebra"] == 124
    assert all(last_box(row["solution"]) == row["answer"] for row in table)


def test_minerva_golds_are_the_last_boxes():
    table = public_set("minerva272.jsonl")
    assert table["answer"][0] == "1.6"
    assert all(last_box(row["solution"]) == row["answer"] for row in table)


def test_olympiad_golds_have_no_dollars_and_keep_unit_and_tolerance():
    table = public_set("olympiadbench675.jsonl")
    assert not any("$" in answer for answer in table["answer"])
    kept = [json.loads(text) for text in table["metadata"] if text]
    assert sum("unit" in entry for entry in kept) == 8
    assert [entry["tolerance"] for entry in kept if "tolerance" in entry] == ["1e-1"]
    expected = {"Algebra": 264, "Combinatorics": 154, "Geometry": 129, "Number Theory": 128}
    assert Counter(table["topic"]) == expected


def test_dapo_prompts_are_the_text_of_the_chat():
    table = public_set("dapo_math_17k.parquet")
    assert table["prompt"][0].startswith("In triangle $ABC$")
    assert len(set(table["prompt"])) in range(17_188, 17_291)
    assert all(answer.lstrip("-").isdigit() for answer in table["answer"])
