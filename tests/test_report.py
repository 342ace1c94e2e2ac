"""Published runs are clean copies, and the pages that show them are what the manifests say."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest

from hammerlib.errors import InputError
from hammerlib.pages.results import (
    BEGIN,
    END,
    provenance_line,
    publish,
    published_runs,
    results_section,
    runs_section,
    study_table,
    write_section,
)
from hammerlib.runs import RunRecord, start_run

ROOT = Path(__file__).parents[1]


def study(root: Path, *, dirty: bool = False) -> RunRecord:
    parameters = {"profile": "ci", "study_seeds": [0, 1], "n_eval": 32, "k": 4}
    with start_run("06_study", parameters=parameters, root=root) as run:
        run.metric("random/pass@1", 0.5, low=0.45, high=0.55, n=32, k=4)
        run.metric("hammer/pass@1", 0.52, low=0.47, high=0.57, n=32, k=4)
        run.metric("difference/hammer - random", 0.02, low=-0.01, high=0.05, n=32, k=4)
        run.note(git={"commit": "0123456789abcdef", "dirty": dirty})
        for name in (
            "notebook.ipynb",
            "notebook.html",
            "model/weights.json",
            "figures/a.svg",
            "figures/model.svg",
        ):
            path = run.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(notebook("text") if path.suffix == ".ipynb" else "x")
            run.artefact(name)
    return run


def notebook(text: str, source: str = "/srv/ann/repo/notebooks/06_study.ipynb") -> str:
    """An executed notebook as nbformat writes it."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text, id="a")])
    made.metadata["papermill"] = {"input_path": source}
    return nbformat.writes(made) + "\n"


def test_a_copy_holds_records_and_figures_but_no_weights_and_no_pages(tmp_path: Path) -> None:
    copy = publish(study(tmp_path / "runs").folder, tmp_path / "published")
    assert {path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()} == {
        "manifest.json",
        "notebook.ipynb",
        "figures/a.svg",
        "figures/model.svg",
    }


def test_a_run_whose_listed_figure_is_gone_is_not_published(tmp_path: Path) -> None:
    run = study(tmp_path / "runs")
    (run.folder / "figures" / "model.svg").unlink()
    with pytest.raises(InputError, match=re.escape("lacks figures/model.svg, which its manifest lists")):
        publish(run.folder, tmp_path / "published")
    assert not published_runs(tmp_path / "published")


def test_a_published_notebook_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    run = study(tmp_path / "runs")
    lines = ("in /srv/ann/repo/notebooks/06.ipynb", "/srv/env/lib/site-packages/tqdm/auto.py:21: Warning")
    (run.folder / "notebook.ipynb").write_text(notebook("\n".join(lines)))
    run.artefact("notebook.ipynb")
    copy = publish(run.folder, tmp_path / "published")
    expected = "in notebooks/06.ipynb\nsite-packages/tqdm/auto.py:21: Warning"
    told = nbformat.read(copy / "notebook.ipynb", as_version=4)
    assert told.cells[0].source == expected
    assert told.metadata.papermill.input_path == "notebooks/06_study.ipynb"


LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


@pytest.mark.parametrize("source", ["00_overview", "06_study", "systems/chord"])
def test_every_relative_link_of_a_copy_leads_somewhere(tmp_path: Path, source: str) -> None:
    path = ROOT / "notebooks" / f"{source}.ipynb"
    executed = nbformat.read(path, as_version=4)
    up = "../" * len(Path(source).parts)
    prose = f"[log]({up}results/LOG.md#log), [page](https://example.org/a.html), [below](#found)"
    executed.cells.append(nbformat.v4.new_markdown_cell(prose))
    executed.metadata["papermill"] = {"input_path": str(path)}
    run = study(tmp_path / "runs")
    nbformat.write(executed, run.folder / "notebook.ipynb")
    run.artefact("notebook.ipynb")
    copy = publish(run.folder, tmp_path / "results" / "published")
    cells = nbformat.read(copy / "notebook.ipynb", as_version=4).cells
    links = [link for cell in cells if cell.cell_type == "markdown" for link in LINK.findall(cell.source)]
    assert len(links) == sum(len(LINK.findall(c.source)) for c in executed.cells if c.cell_type == "markdown")
    for link in links:
        place = Path(os.path.normpath(copy / link)).relative_to(tmp_path)  # the checkout, seen from the copy
        assert (ROOT / place).exists(), link
    assert cells[-1].source == prose.replace(f"({up}", "(../../../")
    code = [[cell.source for cell in one if cell.cell_type == "code"] for one in (cells, executed.cells)]
    assert code[0] == code[1]


def test_a_copy_without_links_to_move_is_the_same_text(tmp_path: Path) -> None:
    run = study(tmp_path / "runs")
    copy = publish(run.folder, tmp_path / "published")
    plain = (run.folder / "notebook.ipynb").read_text(encoding="utf-8")
    assert (copy / "notebook.ipynb").read_text(encoding="utf-8") == plain.replace("/srv/ann/repo/", "")


def test_committed_runs_name_no_folder_of_a_machine() -> None:
    for path in (ROOT / "results" / "published").rglob("*.ipynb"):
        assert not re.search(r"/(?:home|root|tmp|Users)/", path.read_text(encoding="utf-8")), path


def test_uncommitted_code_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not committed"):
        publish(study(tmp_path / "runs", dirty=True).folder, tmp_path / "published")
    assert not (tmp_path / "published").exists()


def test_a_failed_or_foreign_folder_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), start_run("06_study", parameters={}, root=tmp_path) as run:
        raise RuntimeError("stopped")
    with pytest.raises(InputError, match="status error"):
        publish(run.folder, tmp_path / "published")
    with pytest.raises(InputError, match="manifest"):
        publish(tmp_path, tmp_path / "published")


def test_copies_together_stay_under_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hammerlib.pages.results.LARGEST", 10)
    with pytest.raises(InputError, match="30 MB"):
        publish(study(tmp_path / "runs").folder, tmp_path / "published")
    assert not published_runs(tmp_path / "published")


def test_every_row_shows_interval_twin_command_commit_seeds_n_and_k(tmp_path: Path) -> None:
    publish(study(tmp_path / "runs").folder, tmp_path / "published")
    text = results_section(tmp_path / "published")
    assert "| hammer | 52.0 [47.0, 57.0] | – | – | 2.0 [-1.0, 5.0] vs random |" in text
    for part in (
        "hammer run --profile ci --only 06",
        "0123456789",
        "[0, 1]",
        "n = 32",
        "k = 4",
        "95 % bootstrap",
    ):
        assert part in text


def test_the_line_names_the_intervals_that_the_study_was_made_with(tmp_path: Path) -> None:
    run = study(tmp_path / "runs")
    run.note(intervals="95 % over problems, widened by the seeds")
    assert provenance_line(run).endswith("intervals: 95 % over problems, widened by the seeds.")


def test_a_study_that_tells_its_design_needs_no_seeds(tmp_path: Path) -> None:
    with start_run("06_study", parameters={"profile": "ci"}, root=tmp_path) as run:
        run.metric("random/pass@1", 0.5, n=2, k=2)
        run.metric("random/pass@8", 0.9, n=2, k=2)
        run.note(design="study `demo`: 2 replicates", git={"commit": "0123456789abcdef", "dirty": False})
    assert "; study `demo`: 2 replicates; intervals:" in provenance_line(run)
    assert study_table(run).splitlines()[0].count("pass@8") == 1
    assert "| random | 50.0 | – | 90.0 | – |" in study_table(run)


def test_every_column_shows_the_interval_of_its_record(tmp_path: Path) -> None:
    run = study(tmp_path / "runs")
    run.metric("hammer/greedy", 0.6, low=0.4, high=0.8, n=32, k=1)
    run.metric("hammer/pass@4", 0.9, low=0.75, high=0.95, n=32, k=4)
    row = next(line for line in study_table(run).splitlines() if line.startswith("| hammer"))
    assert "| 52.0 [47.0, 57.0] | 60.0 [40.0, 80.0] | 90.0 [75.0, 95.0] |" in row


def test_a_section_needs_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("no marks")
    with pytest.raises(InputError, match="marks"):
        write_section(page, "new")
    assert page.read_text() == "no marks"


@pytest.mark.parametrize(
    ("page", "section"), [("docs/walk.md", results_section), ("results/README.md", runs_section)]
)
def test_committed_pages_show_what_the_manifests_say(page: str, section) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    shown = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == section(ROOT / "results" / "published").strip()
