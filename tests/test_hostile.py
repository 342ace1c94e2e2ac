"""Whatever a model writes is graded in bounded time and shown as text."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from hammerlib.evaluation.imports import import_completions, regrade
from hammerlib.grading import final_answer, grade_many
from hammerlib.grading.extract import tidy
from hammerlib.pages.page import write_page
from hammerlib.problems import boxes, make_table

MANY = 1_000_000  # characters
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m\x00"
HOSTILE = {
    "unclosed boxes": r"\boxed{" * 50_000,
    "nested boxes": r"\boxed{" * 20_000 + "5" + "}" * 20_000,
    "nested braces": r"\boxed{" + "{" * 200_000 + "5" + "}" * 200_000 + "}",
    "a row of boxes": r"\boxed{1} and " * 20_000 + r"\boxed{2}",
    "boxes without braces": r"\boxed " * 50_000,
    "open tags": "<answer>" * 120_000,
    "tags": "<answer>5</answer>" * 60_000,
    "thoughts": "<think>" * 100_000 + "</think>" * 100_000,
    "hashes": "#### " * 200_000,
    "sentences": "final answer is $" * 60_000,
    "blanks in a box": r"\boxed{" + " " * MANY + "5}",
    "conditions": r"\boxed{" + "a where " * 100_000 + "}",
    "digits": r"\boxed{" + "9" * MANY + "}",
    "list": r"\boxed{" + "1," * 300_000 + "2}",
    "dollars": "$" * MANY,
    "backslashes": "\\" * MANY,
    "numbers": "1 " * 500_000,
    "exponents": "1e" * 500_000,
    "tower": r"\boxed{9^{9^{9^{9}}}}",
    "power in words": "so 9**9**9**9",
    "factorial": r"\boxed{(10^{9})!}",
    "fractions": r"so $" + r"\frac{1}{" * 400 + "2" + "}" * 400 + "$",
    "controls": SCRIPT * 20_000 + r"\boxed{<b>5</b>}",
    "half a character": "\ud800" * 1000 + r"\boxed{5}",
}
GOLDS = ("5", "1, 2", r"\frac{1}{2}")


def test_no_hostile_completion_needs_the_wall_clock() -> None:
    texts = [text for text in HOSTILE.values() for _ in GOLDS]
    found = grade_many(texts, [gold for _ in HOSTILE for gold in GOLDS], timeout=30.0, workers=1)
    by_name = {name: {one.reason for one in found[3 * i : 3 * i + 3]} for i, name in enumerate(HOSTILE)}
    assert not {
        name for name, reasons in by_name.items() if "timeout" in reasons or "error: WorkerDied" in reasons
    }
    right = {name for name in HOSTILE if "correct" in by_name[name]}
    assert right == {"nested boxes", "blanks in a box", "tags", "half a character"}


@pytest.mark.parametrize("text", [r"\boxed{" * 5000 + "}" * 5000, "{" * 5000 + r"\boxed{7}" + "}" * 5000])
def test_boxes_are_found_whatever_stands_around_them(text: str) -> None:
    starts = [begin for begin, _, _ in boxes(text)]
    assert starts == sorted(starts) and len(starts) == text.count("\\boxed")


def test_an_answer_too_long_to_tidy_stays_as_it_is() -> None:
    long = " $" * 5000
    assert tidy(long) is long
    assert final_answer("<answer>" + "a" * 5000 + "</answer>") == "a" * 5000


def test_hostile_samples_survive_a_record_and_its_regrading(tmp_path: Path) -> None:
    problems = make_table([{"id": "p-0", "prompt": "1?", "answer": "5", "source": "p", "topic": "t"}])
    path = tmp_path / "theirs.jsonl"
    said = [SCRIPT + r"\boxed{5}", "\ud800\\boxed{6}", "\u2028\r\n\\boxed{05}"]
    path.write_text("".join(json.dumps({"id": 0, "output": one}) + "\n" for one in said))
    run = import_completions(path, problems, root=tmp_path, workers=1)
    again = regrade(run, root=tmp_path, workers=1)
    rows = [json.loads(line) for line in (again.folder / "samples.jsonl").read_text().split("\n")[:-1]]
    assert [row["completion"] for row in rows] == [said[0], "\ufffd\\boxed{6}", said[2]]
    assert [row["correct"] for row in rows] == [True, False, True]
    assert again.manifest["regraded"]["changed"] == 0


def test_what_a_model_wrote_is_text_on_a_page(tmp_path: Path) -> None:
    frame = pd.DataFrame({"completion": [SCRIPT], SCRIPT: [1]})
    outputs = [
        nbformat.v4.new_output("stream", text=SCRIPT),
        nbformat.v4.new_output("execute_result", {"text/plain": SCRIPT}),
        nbformat.v4.new_output("display_data", {"text/html": frame.to_html()}),
        nbformat.v4.new_output("error", ename="E", evalue=SCRIPT, traceback=[SCRIPT]),
    ]
    cell = nbformat.v4.new_code_cell(f"print({SCRIPT!r})", outputs=outputs, execution_count=1)
    page = tmp_path / "page.html"
    write_page(nbformat.v4.new_notebook(cells=[cell]), page, tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "alert(1)" in text
    assert "<script>alert(1)" not in text and "<img src=x" not in text
