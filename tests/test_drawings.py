"""Drawings of steps, samples and weights; formulas as pictures; the line that records what a cell shows."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest

from hammerlib.errors import InputError
from hammerlib.evaluation import Interval
from hammerlib.pages import write_page
from hammerlib.pipeline.sheet import NotebookRun
from hammerlib.plots import answer_fan, diagram, sample_strips
from hammerlib.plots.drawings import MARKED, formula, with_formulas
from hammerlib.plots.orders import as_svg
from hammerlib.plots.space import grouped
from hammerlib.plots.style import COLOURS, MUTED, palette
from hammerlib.runs import RunRecord, start_run


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """No figure outlives its test."""
    yield
    plt.close("all")


def test_boxes_stand_right_of_what_leads_to_them_and_arrows_join_them() -> None:
    ax = diagram("a -> b -> *d*\na -> c -> d : words")
    centre = {}
    for box in ax.patches:
        x, y = box.get_x() + box.get_width() / 2, box.get_y() + box.get_height() / 2
        (name,) = [text.get_text() for text in ax.texts if np.allclose(text.get_position(), (x, y))]
        centre[name] = x, y, box.get_facecolor()
    assert centre["a"][0] < centre["b"][0] == centre["c"][0] < centre["d"][0]
    assert centre["b"][1] > centre["a"][1] == centre["d"][1] > centre["c"][1]
    marked = {
        name for name, (_, _, shade) in centre.items() if shade == plt.matplotlib.colors.to_rgba(MARKED)
    }
    assert marked == {"d"}
    assert sum(text.arrow_patch is not None for text in ax.texts if hasattr(text, "arrow_patch")) == 4
    assert "words" in [text.get_text() for text in ax.texts]


@pytest.mark.parametrize(
    ("text", "words"), [("a", "no chain"), ("a -> b -> a", "in a circle"), ("", "no arrow")]
)
def test_a_drawing_that_is_none_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        diagram(text)


def test_samples_are_dots_and_weights_are_lengths() -> None:
    ax = sample_strips({"first": (4, 1), "second": (4, 4)}, title="t", note="n")
    assert [len(part.get_offsets()) for part in ax.collections] == [4, 4]
    assert {"1 of 4", "4 of 4"} <= {text.get_text() for text in ax.texts}
    fan = answer_fan(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0.5, 1.0]), title="t", note="n")
    ends = [
        text.xy for text in fan.texts if getattr(text, "arrow_patch", None) is not None and text.xy != (0, 0)
    ]
    assert np.allclose(sorted(map(tuple, ends)), [(0, 1), (0.5, 0)])


def test_no_two_arms_of_a_figure_share_a_colour() -> None:
    names = ["hammer", "hammer + dra", "hammer-centred", "own order", "fifth", "sixth"]
    shades = palette(names)
    first = [shades[name] for name in names[:4]]
    assert len(set(first)) == 4 and MUTED not in first
    assert shades["fifth"] == shades["sixth"] == MUTED
    assert shades["hammer"] == COLOURS["hammer"] and shades["hammer + dra"] == COLOURS["dra"]
    assert len(set(palette(names, 6).values())) == 6


def test_rare_topics_are_one() -> None:
    topics = [name for number, name in enumerate("abcdefghijklmnopqrst", 1) for _ in range(number)]
    shown = grouped(topics)
    assert len(set(shown)) == 10 and shown.count("11 other topics") == sum(range(1, 12))
    assert grouped(["a", "b"]) == ["a", "b"]


def test_a_formula_is_a_picture_with_its_latex_beside_it() -> None:
    text = "Take $x_1$, not `$5$` nor \\$6.\n\n$$\n\\frac{a}{b}\n$$\n\n```\n$y$\n```"
    page = with_formulas(text)
    assert re.findall(r'alt="([^"]*)"', page) == ["x_1", r"\frac{a}{b}"] and page.count("data:image/svg") == 2
    assert "`$5$`" in page and "$y$" in page and "\\$6" in page
    assert with_formulas("it costs $5 and then $6") == "it costs $5 and then $6"
    svg, depth = formula("y_1")
    assert (
        svg.startswith(b"<svg")
        and b"<date>" not in svg
        and depth > 0
        and svg == formula.__wrapped__("y_1")[0]
    )
    with pytest.raises(InputError, match="cannot be drawn"):
        formula(r"\nosuchthing")


def test_a_page_shows_formulas_without_a_script_and_leaves_the_notebook_as_it_is(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("so $\\eta = 0$ holds")])
    write_page(notebook, tmp_path / "a.html", tmp_path)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert 'alt="\\eta = 0"' in page and "$\\eta" not in page and "MathJax" not in page
    assert notebook.cells[0].source == "so $\\eta = 0$ holds"


def test_a_page_tells_the_words_of_a_figure_to_who_does_not_see_it(tmp_path: Path) -> None:
    svg = as_svg(sample_strips({"R&D sum": (2, 1)}, title="Half are right", note="seed < 3"))
    shown = nbformat.v4.new_output("display_data", {"image/svg+xml": svg})
    cell = nbformat.v4.new_code_cell("draw()", outputs=[shown])
    write_page(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "a.html", tmp_path)
    told = re.search(r'<img alt="(figure: [^"]*)"', (tmp_path / "a.html").read_text(encoding="utf-8"))[1]
    words = html.unescape(told)
    assert "R&D sum" in words and "Half are right" in words and "seed < 3" in words


@pytest.fixture
def run(tmp_path: Path) -> NotebookRun:
    return NotebookRun.of(start_run("demo", parameters={}, root=tmp_path))


def test_a_table_is_recorded_as_it_is_shown(run: NotebookRun) -> None:
    entry = {"value": 0.25, "low": 0.2, "high": 0.3, "se": 0.1, "n": 9, "k": 2, "unit": "share"}
    rows = {
        "before": {"pass@1": entry, "cost": 0.98765, "words": "three"},
        "after": {"pass@1": Interval(0.5, 0.4, 0.6), "cost": float("nan"), "words": None},
    }
    shown = run.tabulate(rows, n={"after": 7}, unit={"cost": "cosine"})
    metrics = RunRecord.load(run.folder).metrics
    assert metrics["before/pass@1"] == entry
    assert metrics["after/pass@1"] == {"value": 0.5, "low": 0.4, "high": 0.6, "n": 7, "k": None, "unit": ""}
    assert metrics["before/cost"]["value"] == 0.98765 and metrics["before/cost"]["unit"] == "cosine"
    assert metrics["before/cost"]["n"] is None  # no number of problems was given for this row
    assert set(metrics) == {"before/pass@1", "after/pass@1", "before/cost"}
    assert shown.loc["after"].tolist() == ["0.500 [0.400, 0.600]", "", ""]
    assert shown.loc["before"].tolist() == ["0.250 [0.200, 0.300]", "0.988", "three"]


def test_small_and_whole_numbers_are_written_plainly(run: NotebookRun) -> None:
    shown = run.tabulate({"a": {"small": -1e-9, "many": 12345.0, "one": 2}})
    assert shown.loc["a"].tolist() == ["0.000", "12,345", "2"]
    shares = run.tabulate({"a": {"share": 0.5, "n": 3}, "b": {"share": 1.0, "n": 1}}, digits=2)
    assert shares.loc["b"].tolist() == ["1.00", "1"]
    assert run.tabulate({"a": {"error": 0.00013}}).loc["a", "error"] == "1.3e-04"


def test_names_of_metrics_come_from_rows_and_columns(run: NotebookRun) -> None:
    frame = pd.DataFrame({"gap": [1, 2]}, index=pd.MultiIndex.from_tuples([("a", "x"), ("b", "y")]))
    run.tabulate(frame, "claim/{column} of {row}")
    assert set(run.metrics) == {"claim/gap of a/x", "claim/gap of b/y"}
    shown = run.tabulate({"none": {"p1": 0.5}}, names={"none": "Dr. GRPO", "p1": "pass@1"})
    assert shown.loc["Dr. GRPO", "pass@1"] == "0.500" and run.metrics["none/p1"]["value"] == 0.5


def test_what_a_run_found_is_shown_and_kept(run: NotebookRun, capsys: pytest.CaptureFixture) -> None:
    run.found(f"The gap is\n {0.3:.0%}.")
    run.found("And more.")
    assert json.loads((run.folder / "manifest.json").read_text())["findings"] == [
        "The gap is 30%.",
        "And more.",
    ]
    with pytest.raises(InputError, match="says nothing"):
        run.found(" ")
    _, ax = plt.subplots()
    assert (
        run.figure(ax, "nothing").is_file() and run.manifest["artefacts"][0]["path"] == "figures/nothing.svg"
    )
