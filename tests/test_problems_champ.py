"""CHAMP as a source: problems, completions and notes of the real package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hammerlib import load_problems
from hammerlib.errors import InputError, MissingExtra
from hammerlib.grading import grade
from hammerlib.problems import check_problems
from hammerlib.problems.champ import TOPICS, champ_completions, champ_notes, stated_number


def test_the_problems_are_the_papers_and_can_be_used() -> None:
    table = load_problems("champ:all")
    check_problems(table)
    sizes = {topic: table["topic"][:].count(topic) for topic in TOPICS}
    # Table 1 of the paper.
    assert sizes == {
        "combinatorics": 40, "inequality": 50, "number-theory": 80, "polynomial": 50, "sequence": 50
    }  # fmt: skip
    assert all(row["solution"].count("\n") >= 0 and json.loads(row["metadata"]) for row in table)
    assert sum(row["answer"].lstrip("-").isdigit() for row in table) == 79
    row = table[0]
    assert row["topic"] == "combinatorics" and row["answer"] == "239" and "@@" not in row["prompt"]
    assert (
        grade(r"so \boxed{239}", row["answer"]).correct and not grade(r"\boxed{238}", row["answer"]).correct
    )


def test_a_topic_and_a_subset_are_rows_of_the_whole() -> None:
    whole = {row["id"]: row for row in load_problems("champ:all")}
    part = load_problems("champ:number-theory", n=12, seed=3)
    assert len(part) == 12 and {row["topic"] for row in part} == {"number-theory"}
    assert all(whole[row["id"]] == row for row in part)
    assert part.to_list() == load_problems("champ:number-theory", n=12, seed=3).to_list()


@pytest.mark.parametrize(("source", "options", "words"), [
    ("champ:algebra", {}, "problems = 'champ:algebra': .*champ:polynomial"),
    ("champ:", {}, "problems = 'champ:': "),
    ("champ:all", {"split": "test"}, "split = 'test': .*leave it out"),
    ("champ:all", {"columns": {"prompt": "text"}}, "columns = "),
    ("champ:sequence", {"n": 51}, "n = 51: .*only 50"),
])  # fmt: skip
def test_what_champ_does_not_have_is_one_line(source: str, options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        load_problems(source, **options)
    assert "\n" not in str(caught.value)


def test_completions_and_notes_are_those_of_the_paper() -> None:
    completions = champ_completions()
    assert len(completions) == 4 * 18 * 270 and not completions.duplicated(["id", "model", "prompt"]).any()
    assert (completions["completion"].str.len() > 0).all()
    # Cut off is what has no summary: the context was full.
    assert (completions["truncated"] == (completions["summary"] == "")).all() and completions[
        "truncated"
    ].any()
    notes = champ_notes()
    assert len(notes) == 540 and (notes["start"] >= 0).sum() == 444
    noted = notes.merge(completions, on=["id", "model", "prompt"], suffixes=("", "_there"))
    assert len(noted) == 540 and (noted["completion"] == noted["completion_there"]).all()
    wrong = notes[notes["start"] >= 0]
    assert (wrong["end"] > wrong["start"]).all() and (wrong["end"] <= wrong["completion"].str.len()).all()


def test_without_the_package_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from hammerlib.problems import champ

    champ._champ.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "champ_dataset", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"hammerlib\[notebooks\]"):
        load_problems("champ:all")


@pytest.mark.parametrize(
    ("summary", "number"),
    [
        ("The minimum value of $x^2-(a-2)x-a-1$ is $5$, which occurs when $a=-2$.", "5"),
        ("There are 21 ways to fill a 2 x 7 rectangle with 2 x 1 and 2 x 2 tiles.", "21"),
        ("There are 5050 different ordered triples such that a+b+c=99.", "5050"),
        ("The remainder of nx^(n+1)-(n+1)x^n+1 by (x-1)^2 is -1.", "-1"),
        ("The number of permutations is a_10 = 89.", "89"),
        ("The sum is $\\boxed{5,050}$.", "5050"),
        ("The smallest value is $3-x^2-y^2$.", None),
        ("The largest value is $3abc$.", None),
        ("The largest value is 1.33.", None),
        ("The difference of the limits is zero.", None),
        ("", None),
    ],
)
def test_the_number_of_a_summary_is_its_answer_and_no_other(summary: str, number: str | None) -> None:
    assert stated_number(summary) == number


def test_free_text_that_people_found_right_is_graded_as_the_page_on_grading_says() -> None:
    answers = {row["id"]: row["answer"] for row in load_problems("champ:all")}
    notes = champ_notes()
    notes["answer"] = notes["id"].map(answers)
    right = notes[(notes["start"] < 0) & notes["answer"].str.fullmatch(r"\$?-?\d+\$?")]
    graded = [grade(row.completion, row.answer).correct for row in right.itertuples()]
    page = (Path(__file__).parents[1] / "docs" / "grading.md").read_text(encoding="utf-8")
    assert f"Of the {len(graded)} completions" in page
    assert f"{sum(graded)} are graded correct and {len(graded) - sum(graded)} are not" in " ".join(
        page.split()
    )
