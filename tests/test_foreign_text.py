"""What others wrote stands on pages and in figures as words: no tag, formula, table cell or heading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from datasets import Dataset
from study_records import cell

from hammerlib import plots
from hammerlib.errors import InputError
from hammerlib.pages.results import provenance_line, runs_section, study_table
from hammerlib.plots.space import hover_map
from hammerlib.runs import RunRecord, start_run
from hammerlib.runs.storage import sealed, write_json
from hammerlib.study.pages import studies_section, study_page
from hammerlib.study.records import read_records

EVIL = "</script><script>alert(1)</script>|[x](javascript:y)\n# forged \x1b[31m"


def harmful(text: str) -> list[str]:
    """What a page must not hold of the text above."""
    odd = [one for one in text if ord(one) < 32 and one not in "\n\t"]
    return [one for one in ("<script", "\n# forged", "|[x]", " [x](") if one in text] + odd


PLACES: dict[str, Callable[[dict], object]] = {
    "study": lambda one: one.update(study=EVIL),
    "arm": lambda one: one.update(arm=EVIL) if one["arm"] == "hammer" and one["replicate"] == 0 else None,
    "twin": lambda one: one.update(twin=EVIL),
    "topics": lambda one: one.update(topics=[f"{EVIL}{place % 2}" for place in range(5)]),
    "unseen": lambda one: one.update(topics=[*one["topics"][:4], EVIL], unseen=[EVIL]),
    "commit": lambda one: one.update(commit=EVIL),
    "packages": lambda one: one["packages"].update(torch=EVIL),
    "strategy of the order": lambda one: one["order"].update(strategy=EVIL),
    "weights": lambda one: one["start"].update(weights=EVIL),
    "strategies of answers": lambda one: [point.update(strategies={EVIL: 3}) for point in one["curve"]],
    "error": lambda one: one.update(status="error", error=EVIL) if one["replicate"] == 2 else None,
}


@pytest.mark.parametrize("place", PLACES)
def test_a_studys_page_shows_foreign_words_as_words(place: str, tmp_path: Path) -> None:
    for arm in ("random", "hammer"):
        for replicate in range(3):
            record = cell(arm, replicate)
            PLACES[place](record)
            write_json(tmp_path / "hand" / f"{arm}__r{replicate:02d}.json", sealed(record))
    try:
        page = study_page(read_records(tmp_path / "hand")) + studies_section(tmp_path)
    except InputError as error:
        assert place in ("study", "arm", "twin") and "\n" not in str(error)
        return
    assert place not in ("study", "arm", "twin") and not harmful(page)


def test_published_tables_show_foreign_words_as_words(tmp_path: Path) -> None:
    with start_run("06_study", parameters={"profile": EVIL, "k": 4}, run_id="x", root=tmp_path) as run:
        for name in (f"{EVIL}/pass@1", "random/pass@1", f"difference/random - {EVIL}"):
            run.metric(name, 0.5)
        run.note(git={"commit": EVIL, "dirty": False}, design=EVIL, intervals=EVIL)
    record = RunRecord.load(run.folder)
    for text in (study_table(record), provenance_line(record), runs_section(tmp_path)):
        assert (not harmful(text) and "alert(1)" in text) or text.startswith("| run")


TITLES = ["cost $x_{ $y", r"$\foo$", "$5 and $6", "\x1b[31mred", "a\x00b", "a\ud800b", EVIL]


@pytest.mark.parametrize("text", TITLES)
def test_a_figure_draws_any_topic_title_and_note(text: str, tmp_path: Path) -> None:
    plots.style()
    drawn = [plots.semantic_map(np.eye(3)[:, :2], [text, "b", "c"], title=text, note=text)]
    drawn.append(plots.topic_bars({text: (0.5, 0.4, 0.6)}, label="pass@1", title=text, note=text))
    for number, ax in enumerate(drawn):
        ax.figure.savefig(tmp_path / f"{number}.svg")
        found = harmful((tmp_path / f"{number}.svg").read_text(encoding="utf-8"))
        assert not set(found) - {"|[x]"}  # a figure has no cells
    plt.close("all")


def test_the_page_of_a_map_holds_no_script_of_a_problem(tmp_path: Path) -> None:
    table = Dataset.from_dict({"prompt": [EVIL, "b"], "answer": [EVIL, "1"], "topic": [EVIL, "u"]})
    page = hover_map(np.eye(2), table, tmp_path / "map.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page and "alert(1)" in page
