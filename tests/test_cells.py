"""Records of cells: what stands on disk, what is left, how long it takes."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from sweep_cells import Grid, grid, order

from hammerlib.errors import InputError
from hammerlib.runs.storage import write_json
from hammerlib.runs.trials import Progress, TrialEnd, estimate, refuse_others, select, span, sweep_status


def stood(folder: Path, **status: str) -> None:
    """Write records of these statuses; a cell of replicate r took r + 1 minutes."""
    for name, one in status.items():
        arm, _, replicate = name.partition("__r")
        cell = Grid(arm, int(replicate), 3 if one == "other" else 4)
        told = {"status": "error", "error": "broken"} if one == "failed" else {"status": "success"}
        minutes = {"seconds": 60.0 * (cell.replicate + 1)}
        write_json(folder / f"{name}.json", {"identity": cell.identity} | told | minutes)


def test_every_cell_is_done_failed_missing_or_of_other_settings(tmp_path):
    stood(tmp_path, random__r00="done", dataset__r00="failed", random__r01="other")
    found = sweep_status(grid(4), tmp_path)
    assert found.status == {
        "random__r00": "done",
        "dataset__r00": "failed",
        "random__r01": "other",
        "dataset__r01": "missing",
    }
    assert [cell.name for cell in found.to_do()] == ["dataset__r00", "dataset__r01"]
    assert found.seconds == {"random__r00": 60.0}


def test_a_failure_of_other_settings_is_a_failure(tmp_path):
    stood(tmp_path, dataset__r00="failed")
    assert sweep_status(grid(2, width=5), tmp_path).status["dataset__r00"] == "failed"


def test_finished_records_of_other_settings_are_refused_by_name(tmp_path):
    stood(tmp_path, **dict.fromkeys([cell.name for cell in grid(5)], "other"))
    with pytest.raises(InputError, match="'random__r00, dataset__r00, random__r01 and 2 more'"):
        refuse_others(sweep_status(grid(5), tmp_path))


def test_a_record_that_is_no_json_is_named(tmp_path):
    (tmp_path / "random__r00.json").write_text('{"identity": ')
    with pytest.raises(InputError, match=r"^record = 'random__r00\.json': is no JSON .*; delete it"):
        sweep_status(grid(1), tmp_path)


def test_two_cells_of_one_name_are_refused(tmp_path):
    with pytest.raises(InputError, match="'random__r00': comes twice"):
        sweep_status([*grid(1), *grid(1, width=3)], tmp_path)


def test_the_estimate_takes_the_mean_of_the_arm_and_else_of_all(tmp_path):
    assert sweep_status(grid(6), tmp_path).expected(grid(6)) is None
    stood(tmp_path, random__r00="done", random__r01="done", dataset__r02="failed")
    found = sweep_status(grid(6), tmp_path)
    assert found.expected([Grid("random", 2)]) == pytest.approx(90)
    stood(tmp_path, dataset__r01="done")
    found = sweep_status(grid(6), tmp_path)
    assert found.expected([Grid("random", 2), Grid("dataset", 0)]) == pytest.approx(90 + 120)
    assert found.expected([Grid("hammer", 0)]) == pytest.approx((60 + 120 + 120) / 3)


def test_cells_are_chosen_by_arm_and_replicate_in_their_order():
    assert [one.name for one in select(grid(6), arms=["dataset"])] == [f"dataset__r0{r}" for r in range(3)]
    chosen = select(grid(6), arms=["dataset", "random"], replicates=(1, 1))
    assert [one.name for one in chosen] == ["random__r01", "dataset__r01"]
    with pytest.raises(InputError, match=r"^only = 'hammer': is no arm .*; use some of random, dataset$"):
        select(grid(6), arms=["hammer"])
    for span_of in ((0, 3), (2, 1)):
        with pytest.raises(
            InputError, match=r"^replicates = .*; replicates go from 0 to 2(, the smaller number first)?$"
        ):
            select(grid(6), replicates=span_of)


def test_the_outlook_counts_by_arm_lists_and_estimates(tmp_path):
    assert estimate(sweep_status(grid(2), tmp_path), 1).endswith("no record yet to estimate the hours from")
    stood(tmp_path, random__r00="done", dataset__r00="failed", random__r01="other")
    lines = estimate(sweep_status(grid(6), tmp_path), 2).splitlines()
    assert [line.split() for line in lines[1:3]] == [
        ["random", "1", "0", "1", "1", "1", "1.0"],
        ["dataset", "0", "1", "2", "0", "3", "-"],
    ]
    assert lines[3] == "4 of 6 cells to run: dataset r00 r01 r02; random r02"
    assert lines[4] == "about 0.0 h with 2 workers, from 1 record"


def test_an_arm_without_a_record_is_estimated_by_the_others(tmp_path):
    stood(tmp_path, random__r00="done")
    fresh = [cell for cell in grid(6) if cell.arm == "dataset"]
    lines = estimate(sweep_status(grid(6), tmp_path).only(fresh), 1).splitlines()
    assert len(lines) == 4 and lines[2].startswith("3 of 3 cells to run: dataset ")
    assert lines[3] == "about 0.1 h with 1 worker, from 1 record"


def test_the_lines_tell_seconds_counts_failures_and_what_remains(tmp_path, capsys):
    stood(tmp_path, random__r00="done")
    cells = grid(5)
    with contextlib.closing(Progress(sweep_status(cells, tmp_path), 2)) as progress:
        progress.tell(cells[1], TrialEnd("failed", 2.0, "ValueError: no"))
        progress.tell(cells[2], TrialEnd("taken"))
        progress.tell(cells[2], TrialEnd("done", 660.0))
        progress.tell(cells[3], TrialEnd("elsewhere"))
        progress.tell(cells[4], TrialEnd("elsewhere", reason="in another sweep: no"))
    assert capsys.readouterr().out.splitlines() == [
        "dataset r00: failed, ValueError: no (1/5 done, 1 failed, about 90 s left)",
        "random r01: 660 s (2/5 done, 1 failed, about 6 min left)",
        "dataset r01: done by another sweep (3/5 done, 1 failed, about 3 min left)",
        "random r02: failed, in another sweep: no (3/5 done, 2 failed)",
    ]
    assert span(8_000) == "2.2 h"


def test_the_record_of_the_test_task_says_who_it_is(tmp_path):
    order(Grid("random", 3), tmp_path)
    assert json.loads((tmp_path / "random__r03.json").read_text())["identity"] == Grid("random", 3).identity
