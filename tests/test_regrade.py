"""Stored completions graded again: a new record, the old one untouched, every change shown."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from hammerlib import evaluate
from hammerlib.cli import main
from hammerlib.errors import InputError
from hammerlib.evaluation.comparison import compare
from hammerlib.evaluation.imports import import_completions, regrade
from hammerlib.pages.results import publish
from hammerlib.problems import make_table
from hammerlib.runs import RunRecord
from hammerlib.runs.storage import file_hash

SAID = [r"\boxed{5}", r"\boxed{6}", r"\boxed{3}", "#### 05", r"\boxed{}", r"\boxed{4}"]
ALGEBRA = [r"\boxed{1/2}", r"\boxed{0.5}", r"\boxed{3}", "so it is 4", "no idea", r"\boxed{9^{9^{9}}}"]


def table(golds: list[str]):
    return make_table(
        {"id": f"p-{i}", "prompt": f"{i}?", "answer": gold, "source": "p", "topic": "t"}
        for i, gold in enumerate(golds)
    )


def stored(said: list[str], golds: list[str], folder: Path) -> RunRecord:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps({"id": i % 3, "output": one}) + "\n" for i, one in enumerate(said)))
    return import_completions(path, table(golds), root=folder, workers=1)


@pytest.fixture
def run(tmp_path: Path) -> RunRecord:
    return stored(SAID, ["5", "6", "4"], tmp_path)


def hashes(run: RunRecord) -> dict[str, str]:
    return {path.name: file_hash(path) for path in sorted(run.folder.iterdir())}


def test_the_same_grader_changes_nothing_and_writes_a_new_record(run: RunRecord, tmp_path: Path) -> None:
    before = hashes(run)
    new = regrade(run, root=tmp_path, workers=1)
    assert hashes(run) == before and new.folder != run.folder
    assert new.manifest["regraded"] == {
        "run": run.run_id,
        "graders_before": [run.manifest["parameters"]["grader"]],
        "changed": 0,
        "now_correct": 0,
        "no_longer_correct": 0,
        "left_out": [],
    }
    assert new.metrics["pass@1"] == run.metrics["pass@1"]
    assert regrade(run.run_id, root=tmp_path).run_id == new.run_id


def test_verdicts_of_an_older_grader_are_shown_as_changes(run: RunRecord, tmp_path: Path) -> None:
    path = run.folder / "samples.jsonl"
    rows = [json.loads(line) for line in path.open()]
    rows[0] |= {"correct": False, "reason": "wrong", "grader": "math-verify 0.1.0"}
    rows[1] |= {"extracted": "4.0"}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run.artefact("samples.jsonl")
    new = regrade(run.folder, root=tmp_path, workers=1)
    noted = new.manifest["regraded"]
    assert (noted["changed"], noted["now_correct"], noted["no_longer_correct"]) == (2, 1, 0)
    assert "math-verify 0.1.0" in noted["graders_before"]
    changes = pd.read_csv(new.folder / "changes.csv", dtype=str)
    assert changes[["id", "before", "after"]].values.tolist()[0] == ["p-0", "wrong", "correct"]
    moves = pd.read_csv(new.folder / "transitions.csv")
    assert moves["samples"].sum() == len(rows)
    assert {"wrong", "correct"} <= set(moves["before"])


def test_other_golds_give_other_verdicts(run: RunRecord, tmp_path: Path) -> None:
    new = regrade(run, benchmark=table(["3", "4", "5"]), root=tmp_path, workers=1)
    assert new.metrics["pass@1"]["value"] != run.metrics["pass@1"]["value"]
    with pytest.raises(InputError, match=r"benchmark = 'p-2': 1 problems of the run are missing"):
        regrade(run, benchmark=table(["3", "4"]), root=tmp_path)


def test_corrupt_lines_are_named_and_left_out_on_request(run: RunRecord, tmp_path: Path) -> None:
    path = run.folder / "samples.jsonl"
    path.write_bytes(path.read_bytes()[:-9] + b"\n{}\n")
    with pytest.raises(
        InputError, match=r"line 6 is not JSON, or cut off; line 7 lacks completion, id, sample"
    ):
        regrade(run, root=tmp_path)
    new = regrade(run, root=tmp_path, skip_bad=True, workers=1)
    assert [one["line"] for one in new.manifest["regraded"]["left_out"]] == [6, 7]


def test_workers_do_not_change_a_verdict(tmp_path: Path) -> None:
    from hammerlib.grading import grade

    run = stored(ALGEBRA, ["0.5", "1/2", "4"], tmp_path)
    new = regrade(run, root=tmp_path, workers=2)
    assert new.manifest["regraded"]["changed"] == 0
    golds = {"p-0": "0.5", "p-1": "1/2", "p-2": "4"}
    for row in map(json.loads, (new.folder / "samples.jsonl").open()):
        alone = grade(row["completion"], golds[row["id"]])
        assert (row["correct"], row["reason"], row["extracted"]) == (
            alone.correct,
            alone.reason,
            alone.extracted,
        )


def test_a_run_of_evaluate_is_graded_again_from_its_own_folder(tmp_path: Path) -> None:
    old = evaluate("nano", "reasoning-gym:nano", n=3, k=2, max_new_tokens=8, root=tmp_path)
    new = regrade(old.run_id, root=tmp_path)
    assert new.manifest["regraded"]["changed"] == 0
    assert {name: new.metrics[name] for name in old.metrics} == old.metrics
    assert new.manifest["gold"] == old.manifest["gold"]


def test_what_cannot_be_graded_again_says_why(run: RunRecord, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no manifest.json"):
        regrade("never-ran", root=tmp_path)
    (run.folder / "problems.jsonl").unlink()
    with pytest.raises(InputError, match=r"holds no problems.jsonl; name its golds"):
        regrade(run, root=tmp_path)
    (run.folder / "samples.jsonl").unlink()
    with pytest.raises(InputError, match=r"holds no samples.jsonl"):
        regrade(run, root=tmp_path)


def test_the_command_shows_transitions_and_escapes_what_models_wrote(
    run: RunRecord, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = run.folder / "samples.jsonl"
    rows = [json.loads(line) for line in path.open()]
    rows[0]["completion"] = "\\boxed{\x1b[31m<script>alert(1)</script>\ud800}"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run.artefact("samples.jsonl")
    assert main(["regrade", str(run.folder), "--results", str(tmp_path / "r"), "--workers", "1"]) == 0
    out = capsys.readouterr().out
    assert "1 samples changed: 0 are now correct, 1 no longer" in out
    assert "\x1b" not in out and "\\x1b[31m" in out


def test_no_completion_and_no_problem_text_is_published(run: RunRecord, tmp_path: Path) -> None:
    run.manifest["git"] = {"commit": "a" * 40, "dirty": False}
    run._write()
    copy = publish(run.folder, tmp_path / "published")
    assert not list(copy.glob("*.jsonl"))


def test_a_partial_run_stays_partial_and_only_its_finished_problems_count(tmp_path: Path) -> None:
    asked = {"k": 2, "max_new_tokens": 4, "tokens_per_batch": 40, "root": tmp_path}
    whole = evaluate("nano", "reasoning-gym:nano", n=4, **asked)
    lines = (whole.folder / "samples.jsonl").read_text().splitlines(keepends=True)
    (whole.folder / "samples.jsonl").write_text("".join(lines[:5]))
    whole.note(status="error")
    with pytest.raises(InputError, match="has status error; finish it first"):
        regrade(whole, root=tmp_path)
    part = evaluate("nano", "reasoning-gym:nano", n=4, seconds=0, **asked)
    assert part.manifest["partial"]["samples"] == 5  # one sample of a problem that lacks the other
    new = regrade(part, root=tmp_path, workers=1)
    assert (new.status, new.manifest["partial"]) == ("partial", part.manifest["partial"])
    assert new.metrics["pass@2"] == part.metrics["pass@2"] and new.manifest["overlap"]["trained_on"] is None
    assert "ended with status partial" in str(compare(part.folder, new.folder).notes)


def test_what_a_scorer_allows_is_part_of_the_name(tmp_path: Path) -> None:
    found = []
    path = tmp_path / "mine.jsonl"
    path.write_text('{"id": "p-0", "output": "#### 5.5"}\n')
    for allowed in (0.1, 1):
        golds = table(["5"]).add_column("metadata", [json.dumps({"tolerance": allowed})])
        old = import_completions(path, golds, root=tmp_path, workers=1)
        found += [old, regrade(old, root=tmp_path, workers=1)]
        found.append(regrade(old, benchmark=golds, root=tmp_path, workers=1))
    assert [one.metrics["pass@1"]["value"] for one in found] == [0, 0, 0, 1, 1, 1]


def test_code_that_is_not_asked_for_leaves_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"id": "p-0", "output": "return 1"}\n')
    with pytest.raises(InputError, match="run_code"):
        import_completions(path, table(["1"]).add_column("scorer", ["code:human-eval"]), root=tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_other_golds_for_more_problems_compare_with_the_run(tmp_path: Path) -> None:
    old = evaluate("nano", "reasoning-gym:nano", n=3, k=1, max_new_tokens=4, root=tmp_path)
    new = regrade(old, benchmark="reasoning-gym:nano", root=tmp_path, workers=1)
    assert len(compare(old.folder, new.folder).problems) == 3


def test_the_command_names_the_graders_that_graded(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    old = evaluate("nano", "reasoning-gym:nano", n=1, k=1, max_new_tokens=4, root=tmp_path)
    assert main(["regrade", str(old.folder), "--results", str(tmp_path)]) == 0
    assert "math-verify" not in capsys.readouterr().out
