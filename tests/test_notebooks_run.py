"""The nine notebooks, executed once in the ci profile by the pipeline that `make run` uses."""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from hammerlib.cli import main
from hammerlib.pipeline import run_notebooks
from hammerlib.runs import RunRecord
from hammerlib.study.records import unpack_counts

ROOT = Path(__file__).resolve().parents[1]
NAMES = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]

pytestmark = pytest.mark.xdist_group("notebooks")  # one worker executes them, once


class Walk:
    """Run folders of one execution, by notebook, and how long it took (seconds)."""

    def __init__(self, root: Path) -> None:
        start = time.monotonic()
        self.root = root
        # The README's line for who wants to see it work.
        assert main(["run", "--profile", "ci"]) == 0
        self.seconds = time.monotonic() - start
        manifests = [json.loads(path.read_text(encoding="utf-8")) for path in root.glob("0*/manifest.json")]
        manifests.sort(key=lambda manifest: manifest["created"])
        self.folders = {manifest["kind"]: root / manifest["run_id"] for manifest in manifests}

    def run(self, name: str) -> RunRecord:
        """The record of one notebook."""
        return RunRecord.load(self.folders[name])


@pytest.fixture(scope="session")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """All notebooks, executed; the cache stays the user's, the results are the test's own."""
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(
                "PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
            )
            patch.setenv("HAMMER_RESULTS", str(root := tmp_path_factory.mktemp("walk")))
            return Walk(root)
    finally:
        os.chdir(before)


every = pytest.mark.parametrize("name", NAMES)


def test_all_ran_in_order(walk: Walk, record_property: Callable[[str, object], None]) -> None:
    record_property("seconds", round(walk.seconds))  # read in the report; a slow machine is no failure
    assert list(walk.folders) == NAMES


@every
def test_it_ends_with_success_and_leaves_its_record(walk: Walk, name: str) -> None:
    run = walk.run(name)
    assert run.status == "success" and run.manifest["parameters"]["profile"] == "ci"
    assert {"notebook.ipynb", "notebook.html"} <= {one["path"] for one in run.manifest["artefacts"]}
    assert (run.folder / "execution.json").is_file()


@every
def test_every_number_is_finite_and_inside_its_interval(walk: Walk, name: str) -> None:
    run = walk.run(name)
    assert run.metrics
    for metric, entry in run.metrics.items():
        assert math.isfinite(entry["value"]), metric
        if entry["low"] is not None:
            assert entry["low"] - 1e-9 <= entry["value"] <= entry["high"] + 1e-9, metric


@every
def test_every_figure_is_a_vector_file(walk: Walk, name: str) -> None:
    figures = list((walk.run(name).folder / "figures").glob("*.svg"))
    assert figures and all(figure.stat().st_size > 1000 for figure in figures)


@every
def test_it_says_what_it_found_with_the_numbers_it_recorded(walk: Walk, name: str) -> None:
    run = walk.run(name)
    assert run.manifest["findings"]
    page = (run.folder / "notebook.html").read_text(encoding="utf-8")
    assert page.count("<strong>This run.</strong>") == len(run.manifest["findings"])
    notebook = nbformat.read(run.folder / "notebook.ipynb", as_version=4)
    tags = [tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])]
    assert tags.count("parameters") == 1 and "injected-parameters" not in tags
    assert 'class="formula"' in page and "$$" not in re.sub(r"<[^>]*>", "", page)


@every
def test_its_cells_ran_in_order_without_error_output(walk: Walk, name: str) -> None:
    notebook = nbformat.read(walk.run(name).folder / "notebook.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    warned = [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    assert not warned, "a reader should not have to wonder about warnings"


@every
def test_its_page_works_offline_and_tells_no_place(walk: Walk, name: str) -> None:
    folder = walk.run(name).folder
    page = (folder / "notebook.html").read_text(encoding="utf-8")
    loads = re.findall(r"<(?:script|link|iframe)[^>]+(?:src|href)\s*=\s*[\"']?([^\"' >]+)", page)
    assert not [one for one in loads if one.startswith("http")]
    manifest = (folder / "manifest.json").read_text(encoding="utf-8")
    for place in (str(ROOT), str(walk.root), str(Path.home()) + "/"):
        assert place not in manifest


def test_a_second_run_keeps_everything(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    before = {folder: (folder / "execution.json").stat().st_mtime_ns for folder in walk.folders.values()}
    assert run_notebooks("ci", root=walk.root) == list(walk.folders.values())
    assert {
        folder: (folder / "execution.json").stat().st_mtime_ns for folder in walk.folders.values()
    } == before


# What the numbers must show, even at this size.


def test_hammer_costs_less_than_random_and_similar_costs_more(walk: Walk) -> None:
    metrics = walk.run("03_ordering").metrics
    expected = metrics["random_expectation/cost"]["value"]
    assert metrics["hammer/cost"]["value"] < expected - 0.01
    assert metrics["similar/cost"]["value"] > expected
    assert metrics["reversed/cost"]["value"] == pytest.approx(metrics["hammer/cost"]["value"], abs=1e-5)


def test_the_certificate_separates_the_best_path_from_the_greedy_one(walk: Walk) -> None:
    metrics = walk.run("03_ordering").metrics
    assert 0 <= metrics["min-path/gap"]["value"] < 0.01 < 0.05 < metrics["hammer/gap"]["value"] < 0.5
    assert metrics["min-path/cost"]["value"] == min(
        entry["value"] for name, entry in metrics.items() if name.endswith("/cost")
    )
    assert 0 <= metrics["ten_points/hammer_gap"]["value"] < 1
    assert metrics["hammer/last_tenth_cost"]["value"] > metrics["random_expectation/cost"]["value"]


def test_paths_of_unlike_neighbours_come_back_at_every_second_step(walk: Walk) -> None:
    metrics = walk.run("03_ordering").metrics
    for name in ("hammer", "min-path"):
        assert metrics[f"{name}/lag1"]["value"] < -0.1 < 0.1 < metrics[f"{name}/lag2"]["value"]
    assert abs(metrics["random/lag1"]["value"]) < 0.1


def test_the_claims_end_as_the_notebook_tells(walk: Walk) -> None:
    run = walk.run("03b_claims")
    metrics = {name: entry["value"] for name, entry in run.metrics.items()}
    late = {step: f"{step}/range over orders, 200 passes" for step in ("1.0", "4.0")}
    assert metrics[f"claim 1/tabular/{late['1.0']}"] == metrics[f"claim 1/tabular/{late['4.0']}"] == 0
    assert metrics[f"claim 1/shared, realisable/{late['1.0']}"] < 0.005
    assert metrics[f"claim 1/shared, too small/{late['4.0']}"] > 0.02
    for part in ("10%", "25%", "50%"):
        named = f"claim 2/first {part}/{{}}/rank correlation with gap_neighbour"
        follows = {name: metrics[named.format(name)] for name in ("radius", "distance")}
        assert follows["distance"] > max(follows["radius"], 0.5)
        gaps = {name: metrics[f"claim 2/first {part}/{name}/gap"] for name in ("hammer", "random, mean")}
        assert gaps["hammer"] > gaps["random, mean"]
    first, second, third = run.manifest["findings"]
    assert "the order makes no difference" in first and "at 3 of 3 lengths" in second
    assert f"count as {metrics['claim 3/vendi of the first four']:.2f}" in third
    assert (
        metrics["claim 3/vendi of the first four"] < 1.001 < 2.5 < metrics["claim 3/vendi of four by chance"]
    )


def test_the_greedy_path_sorts_by_length_and_topic_on_every_view(walk: Walk) -> None:
    metrics = {name: entry["value"] for name, entry in walk.run("03_ordering").metrics.items()}
    for view in ("nano", "nano-untrained", "TF-IDF"):
        sorted_by = metrics[f"{view}/hammer/length Spearman correlation"]
        assert 0.17 < sorted_by <= metrics["nano/hammer/length Spearman correlation"]  # 95 % of chance: 0.17
        assert metrics[f"{view}/min-path/topic neighbours alike"] < 0.06  # 95 % of chance: 0.063 to 0.181
    least = abs(metrics["nano/min-path/length Spearman correlation"])  # a best path has no direction
    assert least < metrics["nano/hammer/length Spearman correlation"]


def test_a_probe_costs_more_than_an_order(walk: Walk) -> None:
    metrics = {name: entry["value"] for name, entry in walk.run("03_ordering").metrics.items()}
    assert metrics["ledger/probe seconds per second of hammer path"] > 1
    # Ten samples read each prompt ten times, and write besides.
    assert metrics["ledger/probe tokens per order token"] > 10


def test_the_start_model_solves_some_and_not_others(walk: Walk) -> None:
    metrics = walk.run("00_overview").metrics
    assert 0.1 < metrics["pass@1"]["value"] < 0.9
    assert metrics["pass@1"]["n"] == 32
    assert metrics["pass@4"]["value"] >= metrics["pass@1"]["value"]


def test_dra_keeps_the_right_ways_that_grpo_and_the_placebo_lose(walk: Walk) -> None:
    ends = {name: entry["value"] for name, entry in walk.run("04_training").metrics.items()}
    kernels = {name.split("/")[2] for name in ends if name.startswith("modes/group/cosine ")}
    assert len(kernels) == 2 and "cosine 0" in kernels
    for kernel in kernels:
        assert ends[f"modes/group/{kernel}/none"] < 1.3 < 2.9 < ends[f"modes/group/{kernel}/dra"]
        assert ends[f"modes/group/{kernel}/placebo"] < 1.5
    (measured,) = kernels - {"cosine 0"}
    assert ends[f"modes/none/{measured}/dra"] < 2.4 < 2.9 < ends["modes/none/cosine 0/dra"]
    assert ends["modes/none/step 1000/DRA, centre, group of 8, measured cosine"] > 2.9


def test_groups_of_equal_rewards_move_only_with_the_division(walk: Walk) -> None:
    metrics = walk.run("04_training").metrics
    assert metrics["equal rewards/GRPO + DRA, largest advantage"]["value"] > 1
    assert metrics["equal rewards/Dr. GRPO + DRA, largest advantage"]["value"] < 0.1


def test_the_premise_is_told_with_its_chance_and_its_power(walk: Walk) -> None:
    metrics = walk.run("04_training").metrics
    assert metrics["premise/right or wrong/pooled correlation"]["low"] > 0
    assert 0.03 < metrics["premise/right or wrong/p < .05 by chance"]["value"] < 0.15
    power = {
        name: metrics[f"power/6 completions (the paper)/{name}"]["value"]
        for name in ("0", "0.1", "0.3", "0.5")
    }
    assert power["0"] < 0.09 and power["0.1"] < 0.16 < power["0.3"] < 0.4 < power["0.5"] < 0.65


def test_likeness_tells_answers_of_what_large_models_wrote(walk: Walk) -> None:
    metrics = walk.run("04_training").metrics
    agreement = {name: metrics[f"written/{name}"] for name in ("one answer", "one concept shown")}
    assert agreement["one answer"]["low"] > 0.5 and agreement["one answer"]["n"] > 60
    assert agreement["one concept shown"]["low"] < 0.5


def test_the_notebooks_tell_the_numbers_of_hammer_compare(walk: Walk, tmp_path: Path) -> None:
    evaluated = [RunRecord.load(path.parent) for path in walk.root.glob("evaluate__*/manifest.json")]
    asked = {"problems": 32, "k": 4, "temperature": 1.0}
    same = [one for one in evaluated if asked.items() <= one.manifest["parameters"].items()]
    runs = {one.manifest["backbone"]: one for one in same}
    assert len(runs) == len(same) == 3  # before, and two trained models
    before, gains = runs.pop("nano"), set()
    for one in runs.values():
        out = tmp_path / "found.json"
        assert main(["compare", str(before.folder), str(one.folder), "--out", str(out)]) == 0
        (row,) = [row for row in json.loads(out.read_text())["metrics"] if row["metric"] == "pass@1"]
        gains.add(tuple(round(row[name], 9) for name in ("difference", "low", "high")))
    told = {n: e for n, e in walk.run("05_evaluation").metrics.items() if n.endswith("/pass@1_gain")}
    assert len(told) == 2
    assert gains == {tuple(round(e[name], 9) for name in ("value", "low", "high")) for e in told.values()}


def test_the_study_pairs_its_arms_by_replicate(walk: Walk) -> None:
    (folder,) = {path.parent for path in walk.root.glob("study__*/ci/*.json")}
    cells = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}
    for cell in cells.values():
        unpack_counts(cell)
    assert set(cells) == {f"{arm}__r{one:02d}" for arm in ("random", "hammer", "dra") for one in (0, 1)}
    metrics = walk.run("06_study").metrics
    for arm in ("hammer", "dra"):
        gaps = []
        for one in (0, 1):
            pair = [cells[f"{name}__r{one:02d}"] for name in (arm, "random")]
            seen = [topic not in pair[0]["unseen"] for topic in pair[0]["topics"]]
            last = [cell["curve"][-1]["correct"] for cell in pair]
            right = [sum(c for c, s in zip(correct, seen, strict=True) if s) for correct in last]
            gaps.append((right[0] - right[1]) / (2 * sum(seen)))
        entry = metrics[f"difference/{arm} - random"]
        assert entry["value"] == pytest.approx(sum(gaps) / 2) and entry["n"] == 2


def test_completions_stand_side_by_side_and_the_hygiene_is_told(walk: Walk) -> None:
    run = walk.run("05_evaluation")
    page = (run.folder / "notebook.html").read_text(encoding="utf-8")
    alone = (run.folder / "won_and_lost.html").read_text(encoding="utf-8")
    assert page.count("<tr data-outcome") == alone.count("<tr data-outcome") > 0
    assert "won_and_lost.html" in {one["path"] for one in run.manifest["artefacts"]}
    assert "trained on reasoning-gym:nano: of 32 problems 0 word for word" in page
    assert "before: trained on the supervised part of reasoning-gym:nano" in page


def trained_on(walk: Walk, problems: str) -> list[RunRecord]:
    """Training runs of the walk on a source."""
    runs = [RunRecord.load(path.parent) for path in walk.root.glob("train__*/manifest.json")]
    return [run for run in runs if run.manifest["parameters"]["problems"] == problems]


def test_every_arm_of_notebook_04_trained_every_step_on_the_problems_it_planned(walk: Walk) -> None:
    trained = trained_on(walk, "reasoning-gym:nano")
    assert {run.manifest["parameters"]["adjustment"] for run in trained} == {"none", "dra"}
    assert all(run.status == "success" for run in trained)
    for run in trained:
        curves = pd.read_csv(run.folder / "metrics.csv")
        assert curves["step"].max() == 12 and {"reward", "entropy", "zero_variance_share"} <= set(
            curves["metric"]
        )
        assert len(pd.read_csv(run.folder / "index_log.csv")) == 12 * 8


def test_parts_of_ones_own_train_beside_the_control_arm_and_are_told(walk: Walk) -> None:
    trained = trained_on(walk, "your_own:market")
    assert len(trained) == 5 and all(run.status == "success" for run in trained)
    own = {"order": "your_own:typical_first", "rewards": ["your_own:brief"]}
    meaning = {"praised_share": "completions with an advantage above 0, [0, 1]"}
    told = []
    for run in trained:
        curves = pd.read_csv(run.folder / "metrics.csv")
        assert curves["step"].max() == 2
        given = run.manifest["parameters"]
        uses = [given[name] == value for name, value in own.items()] + [bool(given["algorithms"])]
        assert ("praised_share" in set(curves["metric"])) == uses[2]
        assert run.manifest.get("metric_meanings", {}) == (meaning if uses[2] else {})
        told.append(tuple(uses))
    alone = {tuple(place == part for place in range(3)) for part in range(3)}
    assert set(told) == {(False,) * 3, (True,) * 3} | alone
