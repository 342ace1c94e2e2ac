"""The page of a study is what its records give, on a rerun too; the site says what the primaries say."""

from __future__ import annotations

import functools
import json
import re
import shutil
from pathlib import Path

import pytest
from study_records import cell, grid

from hammerlib.errors import InputError
from hammerlib.pages.results import STUDY, publish_study
from hammerlib.study import pages
from hammerlib.study.contrasts import PRIMARIES, contrast_table, study_tests, verdict
from hammerlib.study.pages import (
    PAGE,
    PILOTS,
    planned_cells,
    planned_study,
    scale_table,
    studies_section,
    study_folders,
    study_page,
    verdict_lines,
    verdict_lists,
    write_page,
)
from hammerlib.study.records import Records, collected, read_records

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = sorted({path.parent for path in (ROOT / "results" / "study").glob("*/*.json")})
STUDIES = [folder for folder in FOLDERS if not pages.too_early(folder, planned_study(folder))]
ARMS = {"random": 0.0, "hammer": -0.1, "min-path": 0.0, "dra": 0.0, "matched": 0.0}


@pytest.fixture(scope="module")
def cells() -> list[dict]:
    """Five arms, six replicates, hammer worse by ten points."""
    return grid(ARMS)


@pytest.fixture(scope="module")
def records(cells: list[dict]) -> Records:
    """Their records."""
    return collected(cells)


@pytest.fixture(scope="module")
def page(records: Records) -> str:
    """Their page."""
    return study_page(records)


def stored(cells: list[dict], folder: Path) -> Path:
    """Write cells as a study's folder."""
    folder.mkdir(parents=True)
    for one in cells:
        (folder / f"{one['arm']}__r{one['replicate']:02d}.json").write_text(json.dumps(one))
    return folder


def test_the_page_tells_every_arm_with_its_twin_command_and_commit(page: str) -> None:
    for arm in ARMS:
        assert re.search(rf"^\| {arm} \| 6 \| \d+\.\d \[", page, re.MULTILINE), arm
    for contrast in ("**hammer - random**", "**min-path - random**", "**dra - random**", "matched - random"):
        assert f"| {contrast} | 6 | " in page
    assert "`hammer sweep configs/study/hand.yaml`" in page and "`0123456789`" in page
    shared = "replicates that share a checkpoint: 0 2 4; 1 3 5"
    checkpoints = f"2 initial checkpoints (2 SFT runs; {shared})"
    assert f"30 trials: 5 arms, 6 replicates on {checkpoints}; 0 missing" in page
    assert "nan" not in page and "random - random" not in page


def test_on_a_slower_machine_the_page_differs_in_its_line_of_hours_alone(
    cells: list[dict], page: str
) -> None:
    slow = json.loads(json.dumps(cells))
    for one in slow:
        for point in one["curve"]:
            point["seconds"] *= 300
    pairs = zip(study_page(collected(slow)).splitlines(), page.splitlines(), strict=True)
    changed = [old for new, old in pairs if new != old]
    assert len(changed) == 1 and changed[0].startswith("Hours for the missing ones")


def test_the_page_changes_with_a_single_sample(cells: list[dict], page: str) -> None:
    other = json.loads(json.dumps(cells))
    other[0]["curve"][2]["correct"] = [4] * 40
    assert study_page(collected(other)) != page


def test_missing_cells_are_told(cells: list[dict]) -> None:
    kept = [one for one in cells if one["arm"] != "dra" or one["replicate"] not in (1, 2, 4)]
    text = study_page(collected(kept))
    assert "; 3 missing, failed or of other settings." in text
    assert "Missing or left out, by replicate: dra 1-2, 4 (no record)." in text
    assert "| **dra - random** | 3 | " in text


def test_cells_of_other_settings_are_named_and_in_no_table(cells: list[dict]) -> None:
    plan = {(one["arm"], one["replicate"]): one["identity"] for one in cells}
    plan |= {("matched", one): "changed" for one in range(6)}
    text = study_page(collected(cells, plan))
    assert "matched 0-5 (of other settings)." in text and "| matched " not in text
    same = study_page(collected([one for one in cells if one["arm"] != "matched"]))
    assert text.partition("## Arms")[2] == same.partition("## Arms")[2]


def test_an_arm_of_one_replicate_is_named_once_and_in_no_table(cells: list[dict]) -> None:
    text = study_page(collected([one for one in cells if one["arm"] != "matched" or one["replicate"] == 0]))
    assert "A single replicate so far, so without an interval and in no table: matched." in text
    assert "| matched" not in text


def test_the_page_tells_what_the_plan_can_show(page: str) -> None:
    section = page.partition("## What the number of replicates can show")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") and " - random" in line]
    assert [row.split(" | ")[0] for row in rows] == [f"| {arm} - random" for arm in list(ARMS)[1:4]]
    assert all(row.split(" | ")[3] == "6" for row in rows), (
        "six replicates are there, and no more are planned"
    )


def test_a_single_cell_has_a_page_and_none_has_none() -> None:
    text = study_page(collected([cell()]))
    assert "in no table: random." in text and "| random" not in text and "nan" not in text
    with pytest.raises(InputError, match="no finished trial"):
        study_page(collected([cell(status="error", error="x")]))


def test_the_verdict_of_a_primary_is_what_its_numbers_say(records: Records) -> None:
    lines = verdict_lines(study_tests(records)).splitlines()
    assert [line.split("**")[1] for line in lines] == ["hammer - random", "min-path - random", "dra - random"]
    assert lines[0].endswith("by SFT run), Holm p < .001: worse.")
    assert "n = 6 replicates on 2 initial checkpoints ([" in lines[0]
    assert lines[1].endswith("inconclusive.")
    of_one = verdict_lines(study_tests(collected(of_one_run(records))))
    assert "on 2 initial checkpoints of 1 SFT run, " in of_one


def of_one_run(records: Records) -> list[dict]:
    """The same cells, their starts two checkpoints of one supervised run."""
    return [
        one | {"start": {"seed": 0, "stop": one["replicate"] % 2, "weights": "w"}} for one in records.cells
    ]


def test_other_contrasts_stand_in_one_of_three_lists() -> None:
    arms = {"random": 0.0, "hammer": 0.0, "worse": -0.2, "same": 0.0, "few": 0.1}
    cells = grid(arms)
    same = {one["replicate"]: one for one in cells if one["arm"] == "random"}
    for one in cells:
        if one["arm"] == "same":  # as random but for one sample in the last point, more or fewer in turn
            one["curve"] = json.loads(json.dumps(same[one["replicate"]]["curve"]))
            right = one["curve"][-1]["correct"]
            place = next(place for place in range(0, 40, 5) if 0 < right[place] < 4)
            right[place] += 1 if one["replicate"] % 2 else -1
    kept = [one for one in cells if one["arm"] != "few" or one["replicate"] < 2]
    lines = verdict_lists(study_tests(collected(kept)), "page.md").splitlines()
    assert lines[0].startswith("* A difference: worse - random -") and lines[0].endswith(
        "by SFT run), p < .001, n = 6."
    )
    assert (
        lines[1].startswith("* Within one point by two one-sided tests, ") and ": same - random " in lines[1]
    )
    low, high = (float(end) for end in lines[1].partition("[")[2].partition("]")[0].split(", "))
    assert -1 < low <= high < 1, "the interval shown is the one that the two tests mean"
    assert lines[2] == "* Inconclusive, 0 contrasts. [All of them](page.md)."
    assert lines[3].endswith("not judged: 1 contrasts.")
    assert verdict_lists(study_tests(collected(grid({"random": 0.0, "hammer": 0.0}))), "page.md") == ""


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ((0.02, 0.04, 0.01, 0.9), "better"),
        ((0.001, 0.005, 0.01, 0.001), "better, by less than 1 point"),
        ((0.001, 0.03, 0.08, 0.9), "inconclusive"),
        ((-0.005, 0.005, 1.0, 0.01), "no difference larger than 1 point"),
        ((-0.0001, 0.03, 0.04, 0.9), "inconclusive"),
    ],
)
def test_a_verdict_needs_the_corrected_p_and_an_interval_without_zero(
    numbers: tuple[float, ...], told: str
) -> None:
    assert verdict(*numbers) == told


def test_publishing_a_study_writes_both_pages(tmp_path: Path, cells: list[dict], page: str) -> None:
    folder, summary = stored(cells, tmp_path / "results" / "study" / "hand"), tmp_path / "study.md"
    summary.write_text("a\n" + "\nold\n".join(STUDY) + "\nb\n")
    assert publish_study(folder, summary) == folder / PAGE
    assert (folder / PAGE).read_text() == page
    assert "](../results/study/hand/README.md), 30 trials:\n\n* **hammer - random**: -" in summary.read_text()
    for name in PILOTS:
        shutil.copytree(folder, folder.parent / name)
    assert studies_section(folder.parent).count("Study [") == 1, "a pilot is no part of the study"
    assert summary.read_text().startswith("a\n") and summary.read_text().endswith("\nb\n")


def test_a_folder_that_is_refused_leaves_its_page_as_it_was(tmp_path: Path, cells: list[dict]) -> None:
    folder = stored(cells[:2], tmp_path / "hand")
    before = write_page(folder).read_text()
    shutil.copy(folder / "random__r00.json", folder / "copy.json")
    with pytest.raises(InputError, match="two records"):
        write_page(folder)
    assert (folder / PAGE).read_text() == before


def planned(tmp_path: Path, *lines: str) -> Path:
    """The pilot's records in a checkout whose study file says more."""
    folder = tmp_path / "results" / "study" / "pilot"
    shutil.copytree(ROOT / "results" / "study" / "pilot", folder)
    (tmp_path / "configs" / "study").mkdir(parents=True)
    text = (ROOT / "configs" / "study" / "pilot.yaml").read_text(encoding="utf-8")
    (tmp_path / "configs" / "study" / "pilot.yaml").write_text("\n".join([text, *lines]), encoding="utf-8")
    return folder


def test_a_study_with_a_question_begins_with_it_a_picture_and_what_was_found(tmp_path: Path) -> None:
    folder = planned(tmp_path, "question: Does it help?", "protocol: PROTOCOL-real.md", "judged_from: 3")
    summary = tmp_path / "study.md"
    summary.write_text("\n".join(STUDY))
    before = (folder / PAGE).read_text(encoding="utf-8")
    text = publish_study(folder, summary).read_text(encoding="utf-8")
    question, picture, found = (
        text.index("**Does it help?**"),
        text.index("(finding.svg)"),
        text.index("Holm p"),
    )
    assert question < picture < found < text.index("Generated from")
    drawn = (folder / "finding.svg").read_text(encoding="utf-8")
    publish_study(folder, summary)
    assert drawn == (folder / "finding.svg").read_text(encoding="utf-8"), "the same on a rerun"
    rest = text.partition("Generated from")[2].replace("[PROTOCOL-real](../../PROTOCOL-real.md)", "")
    assert rest == before.partition("Generated from")[2].replace("[PROTOCOL](../../PROTOCOL.md)", "")


def test_nobody_looks_before_the_replicates_that_the_study_says(tmp_path: Path) -> None:
    folder, summary = planned(tmp_path, "judged_from: 4"), tmp_path / "study.md"
    summary.write_text("\n".join(STUDY))
    kept = {path: path.read_bytes() for path in (folder / PAGE, summary)}
    with pytest.raises(InputError, match="has 3 of the 4 whole replicates that it is read from"):
        publish_study(folder, summary)
    assert {path: path.read_bytes() for path in kept} == kept
    shutil.move(folder, folder.parent / "later")
    plan = tmp_path / "configs" / "study" / "pilot.yaml"
    plan.rename(plan.parent / "later.yaml")
    assert study_folders(folder.parent) == []
    (folder.parent / "later" / "dra__r102.json").unlink()
    text = (plan.parent / "later.yaml").read_text(encoding="utf-8")
    (plan.parent / "later.yaml").write_text(text.replace("judged_from: 4", "judged_from: 3"))
    assert study_folders(folder.parent) == [], "a replicate without one of its arms is not whole"


# What is computed of a reading is kept with it: one worker reads each study once for the tests below.
once_each = pytest.mark.xdist_group("studies")
reading = functools.cache(lambda folder: read_records(folder, planned_cells(folder)))


@pytest.fixture
def read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The committed studies, not read again; the plan is that of the folder."""
    monkeypatch.setattr(pages, "read_records", lambda folder, plan: reading(Path(folder).resolve()))


@once_each
@pytest.mark.parametrize("folder", STUDIES, ids=lambda folder: folder.name)
def test_committed_pages_are_what_the_records_give(folder: Path) -> None:
    found = study_page(reading(folder), planned_study(folder))
    assert (folder / PAGE).read_text(encoding="utf-8") == found


def test_a_study_that_nobody_may_read_yet_has_no_page() -> None:
    for folder in set(FOLDERS) - set(STUDIES):
        assert not (folder / PAGE).exists() and not (folder / "finding.svg").exists(), folder.name


@once_each
@pytest.mark.usefixtures("read_once")
def test_the_site_says_what_the_committed_records_say() -> None:
    text = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    shown = text.partition(STUDY[0])[2].partition(STUDY[1])[0].strip()
    assert shown == studies_section(ROOT / "results" / "study")


@once_each
@pytest.mark.usefixtures("read_once")
def test_the_readmes_figure_shows_what_the_committed_records_say() -> None:
    from test_doors import description, figures

    studies = [reading(folder.resolve()) for folder in study_folders(ROOT / "results" / "study")]
    assert description("finding.svg") == figures().finding_numbers(scale_table(studies)), (
        "python docs/figures.py"
    )


def published_study() -> dict:
    """Manifest of the newest published run of notebook 06."""
    runs = (ROOT / "results" / "published").glob("06_study__*/manifest.json")
    return max((json.loads(path.read_text()) for path in runs), key=lambda manifest: manifest["created"])


@once_each
def test_the_published_notebook_shows_the_records_that_are_committed() -> None:
    manifest = published_study()
    folder = ROOT / manifest["records"]
    records = reading(folder)
    remedy = "; run notebook 06 anew (hammer run --profile laptop --only 06) and publish the run"
    told = f"the published run shows {manifest['study_cells']} cells, {len(records.cells)} are usable"
    assert manifest["study_cells"] == len(records.cells), told + remedy
    shown = {name: one for name, one in manifest["metrics"].items() if name.startswith(("study/", "size/"))}
    table = contrast_table(records).dropna(subset=["low"])
    names = {f"study/{one.contrast}/auc": one for one in table.itertuples()}
    places = study_folders(folder.parent)
    sizes = scale_table([reading(place.resolve()) for place in places]).dropna(subset=["low"])
    names |= {f"size/{one.study}/{one.contrast}": one for one in sizes.itertuples()}
    # The notebook shows the primary contrasts and those of all sizes; the study's page holds the others.
    asked = {f"study/{arm} - {control}/auc" for arm, control in PRIMARIES}
    asked |= {name for name in names if name.startswith("size/")}
    assert asked <= set(shown) <= set(names), f"the published run has other contrasts{remedy}"
    for name in shown:
        one = names[name]
        numbers = [shown[name][part] for part in ("value", "low", "high")]
        assert numbers == pytest.approx([one.value, one.low, one.high], abs=1e-9), f"{name} is old{remedy}"
        assert shown[name]["n"] == one.n, f"{name} is old{remedy}"
