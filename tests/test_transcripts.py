"""Completions of two runs side by side: the right ones, by problem, and as text whatever a model wrote."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from hammerlib.cli import main
from hammerlib.errors import InputError
from hammerlib.evaluation import compare, transcripts
from hammerlib.evaluation.comparison import Answer
from hammerlib.evaluation.imports import import_completions
from hammerlib.pages import side_by_side
from hammerlib.problems import make_table

HOSTILE = (
    "</pre></table></div><script>alert(1)</script><img src=x onerror=alert(2)>",
    "\" onmouseover='alert(3)' <!-- <style>*{display:none}</style> ]]>",
    "&lt;b&gt; &#60;script&#62; \x00\x1b[31m\x08 \u202eright to left\u202c \ud800 \u2028",
    "<" * 1_000_000 + "\\boxed{5}",
)


class Reader(HTMLParser):
    """Tags with their attributes, and the text of the elements asked for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "pre":
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self.texts and self.tags[-1][0] == "pre":
            self.texts[-1] += data


def rows_of(answers: list[Answer], **known) -> pd.DataFrame:
    """A table of one problem."""
    row = {"id": "p-1", "topic": "sums", "outcome": "won", "a": 0.25, "b": 1.0, "prompt": "1+1?", "gold": "2"}
    return pd.DataFrame([row | {"answers_a": answers, "answers_b": answers[:1]} | known])


def write(path: Path, said: dict[str, list[tuple[str, bool]]]) -> Path:
    """Samples by problem as JSON lines."""
    lines = [
        {"id": name, "completion": text, "correct": right}
        for name, both in said.items()
        for text, right in both
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def two_files(folder: Path) -> tuple[Path, Path]:
    """Three problems: little won, tied, all lost."""
    before = {"x": [("3", False), ("3", False)], "y": [("1", True)] * 2, "z": [("7", True)] * 2}
    after = {"x": [("3", False), ("4", True)], "y": [("one", True)] * 2, "z": [("8", False)] * 2}
    return write(folder / "a.jsonl", before), write(folder / "b.jsonl", after)


def test_only_changed_problems_are_shown_largest_difference_first(tmp_path):
    a, b = two_files(tmp_path)
    rows = transcripts(compare(a, b), a, b)
    assert rows[["id", "outcome", "a", "b"]].values.tolist() == [["z", "lost", 1, 0], ["x", "won", 0, 0.5]]
    assert rows["answers_a"][1] == [Answer("3", False, "wrong", 2)]
    assert rows["answers_b"][1] == [Answer("4", True, "correct", 1), Answer("3", False, "wrong", 1)]
    assert rows["prompt"].tolist() == [None, None]


def test_runs_bring_prompt_gold_and_verdict(tmp_path):
    rows = [
        {"id": f"p-{i}", "prompt": f"{i}+{i}?", "answer": str(2 * i), "source": "p", "topic": "t"}
        for i in (1, 2)
    ]
    table = make_table(rows)
    runs = []
    for name, said in (("one", ["\\boxed{2}", "who knows"]), ("two", ["\\boxed{3}", "\\boxed{4}"])):
        lines = [json.dumps({"id": f"p-{i}", "output": text}) + "\n" for i, text in enumerate(said, start=1)]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
        runs.append(import_completions(tmp_path / f"{name}.jsonl", table, root=tmp_path, workers=1).folder)
    found = transcripts(compare(*runs), *runs).set_index("id")
    assert found.loc["p-2", ["prompt", "gold", "outcome"]].tolist() == ["2+2?", "4", "won"]
    assert found.loc["p-2", "answers_a"][0].reason == "unextracted"
    assert found.loc["p-1", "answers_b"] == [Answer("\\boxed{3}", False, "wrong", 1)]
    (runs[0] / "samples.jsonl").unlink()
    with pytest.raises(InputError, match="holds no completions"):
        transcripts(compare(*runs), *runs)


def test_a_sample_without_a_completion_is_named(tmp_path):
    a, b = two_files(tmp_path)
    b.write_text(b.read_text() + '{"id": "z", "correct": true}\n')
    with pytest.raises(InputError, match=r"b\.jsonl, line 7.*holds no completion"):
        transcripts(compare(a, b), a, b)


@pytest.mark.parametrize("text", HOSTILE, ids=["tags", "attributes", "characters", "a million"])
def test_whatever_a_model_wrote_is_text(text: str, tmp_path):
    plain = Reader(side_by_side(rows_of([Answer("3", False, "wrong", 1)]), "a", "b").html)
    whole = text.replace("\ud800", "")  # a column of text cannot hold half a character
    known = {"id": whole, "topic": whole, "prompt": whole, "gold": whole}
    page = side_by_side(rows_of([Answer(text, False, text, 1)], **known), text, "b")
    read = Reader(page.html)
    same = [tag for tag, _ in plain.tags]
    assert [tag for tag, _ in read.tags] == same and same.count("script") == 1
    allowed = {name for _, found in plain.tags for name in found}
    assert {name for _, found in read.tags for name in found} <= allowed
    assert len(page.html) < 60_000
    file = page.write(tmp_path / "page.html", title=text)
    assert not {one for one in file.read_text(encoding="utf-8") if ord(one) < 32} - {"\n", "\t"}


def test_text_reads_as_it_was_written_and_says_what_is_left_out():
    long = "a" * 700 + "b" * 5000 + "c" * 500
    answers = [Answer("<b> & 'so' \"4\"", True, "correct", 2)] + [
        Answer(long + str(i), False, "wrong", 1) for i in range(5)
    ]
    page = side_by_side(rows_of(answers), "before", "after")
    read = Reader(page.html)
    assert read.texts[1] == answers[0].text
    assert "[... 5,001 characters left out ...]" in read.texts[2]
    assert read.texts[2].startswith("a" * 700 + " ") and read.texts[2].endswith("c" * 499 + "0")
    assert "and 2 more samples" in page.html and len(read.texts) == 1 + 4 + 1
    assert [found.get("class") for tag, found in read.tags if tag == "pre"][1:3] == ["right", "other"]


def test_rows_beyond_the_most_are_told():
    rows = pd.concat([rows_of([Answer("3", False, "wrong", 1)])] * 5, ignore_index=True)
    rows["outcome"] = ["won"] * 4 + ["lost"]
    page = side_by_side(rows, "before", "after", most=2)
    assert page.rows == 2
    assert [page.html.count(f'<tr data-outcome="{one}"') for one in ("won", "lost")] == [1, 1]
    told = "4 problems won by after, 1 lost; the 2 with the largest differences of either kind are shown"
    assert told in page.html
    assert repr(page) == "Sides(rows=2)" and page._repr_html_() == page.html


def test_the_page_needs_no_network_and_two_tables_do_not_meet():
    one, two = (side_by_side(rows_of([Answer(text, False, "wrong", 1)]), "a", "b").html for text in "xy")
    assert "http" not in one and "src=" not in one
    keys = [next(found["id"] for tag, found in Reader(html).tags if "id" in found) for html in (one, two)]
    assert keys[0] != keys[1] and f'getElementById("{keys[0]}")' in one


def test_the_command_writes_the_page(tmp_path, capsys):
    a, b = two_files(tmp_path)
    page = tmp_path / "page.html"
    assert main(["compare", str(a), str(b), "--page", str(page)]) == 0
    assert "2 problems won and lost" in capsys.readouterr().out
    assert page.read_text().count("<tr data-outcome") == 2
    assert main(["compare", str(a), "--power", "0.1", "--page", str(page)]) == 2
    assert "RUN_B = None: is missing" in capsys.readouterr().err
