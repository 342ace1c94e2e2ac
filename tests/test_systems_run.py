"""Notebooks of notebooks/systems, executed in the ci profile by the pipeline: `make test-systems` only."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import nbformat
import pytest

from hammerlib.pipeline import run_notebooks
from hammerlib.runs import RunRecord

ROOT = Path(__file__).resolve().parents[1]
NAMES = [path.stem for path in sorted((ROOT / "notebooks" / "systems").glob("*.ipynb"))]

pytestmark = pytest.mark.systems


@pytest.fixture(scope="session", params=NAMES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """The record of one notebook, executed on its own."""
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        with pytest.MonkeyPatch.context() as patch:
            paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
            patch.setenv("PYTHONPATH", paths)
            root = tmp_path_factory.mktemp(request.param)
            (folder,) = run_notebooks("ci", only=f"systems/{request.param}", root=root)
            return RunRecord.load(folder)
    finally:
        os.chdir(before)


def test_it_ends_with_success_and_leaves_its_record(run: RunRecord) -> None:
    assert run.status == "success" and run.manifest["parameters"]["profile"] == "ci"
    assert {"notebook.ipynb", "notebook.html"} <= {one["path"] for one in run.manifest["artefacts"]}


def test_every_number_is_finite_and_inside_its_interval(run: RunRecord) -> None:
    assert run.metrics
    for metric, entry in run.metrics.items():
        assert math.isfinite(entry["value"]), metric
        if entry["low"] is not None:
            assert entry["low"] - 1e-9 <= entry["value"] <= entry["high"] + 1e-9, metric


def test_every_figure_is_a_vector_file(run: RunRecord) -> None:
    figures = list((run.folder / "figures").glob("*.svg"))
    assert figures and all(figure.stat().st_size > 1000 for figure in figures)


def test_its_cells_ran_in_order_and_said_nothing_on_standard_error(run: RunRecord) -> None:
    notebook = nbformat.read(run.folder / "notebook.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [one for one in outputs if one.output_type == "error" or one.get("name") == "stderr"]


def test_its_page_works_offline_and_tells_no_place(run: RunRecord) -> None:
    page = (run.folder / "notebook.html").read_text(encoding="utf-8")
    loads = re.findall(r"<(?:script|link|iframe)[^>]+(?:src|href)\s*=\s*[\"']?([^\"' >]+)", page)
    assert not [one for one in loads if one.startswith("http")]
    manifest = (run.folder / "manifest.json").read_text(encoding="utf-8")
    assert str(ROOT) not in manifest and str(Path.home()) + "/" not in manifest
