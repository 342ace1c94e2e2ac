"""The samples file survives whatever a kill leaves, and the summary counts what is in it."""

from __future__ import annotations

import pytest

from hammerlib.evaluation.metrics import majority_at_k
from hammerlib.evaluation.samples import FIELDS, append, recover
from hammerlib.evaluation.summary import outcomes, summarise, topic_table
from hammerlib.problems.table import make_table
from hammerlib.runs import start_run

PLAN = [[("a", 0), ("a", 1)], [("b", 0)], [("b", 1), ("c", 0), ("c", 1)]]
HOSTILE = "line\u2028break \x00 \x1b[31m <script> \\boxed{7}\r\n\ud800 end"


def row(name: str, sample: int, correct: bool = False, extracted: str | None = "7") -> dict:
    values = (name, sample, HOSTILE, 5, sample == 1, correct, extracted, "wrong", "grader 1")
    return dict(zip(FIELDS, values, strict=True))


def written(path, batches):
    for batch in batches:
        append(path, [row(*pair) for pair in batch])
    return path.read_bytes()


def test_hostile_completions_come_back_one_row_a_line(tmp_path):
    path = tmp_path / "samples.jsonl"
    assert written(path, PLAN).count(b"\n") == 6
    found = recover(path, PLAN)
    assert [(one["id"], one["sample"]) for one in found] == [pair for batch in PLAN for pair in batch]
    assert found[0]["completion"].replace("?", "") == HOSTILE.replace("\ud800", "")


def test_a_cut_at_any_byte_leaves_whole_batches(tmp_path):
    path = tmp_path / "samples.jsonl"
    whole = written(path, PLAN)
    ends = [0, 2, 3, 6]
    for cut in range(0, len(whole) + 1, 23):
        path.write_bytes(whole[:cut])
        rows = recover(path, PLAN)
        assert len(rows) == max(end for end in ends if end <= whole[:cut].count(b"\n"))
        assert whole.startswith(path.read_bytes()) and path.read_bytes().count(b"\n") == len(rows)
        written(path, PLAN[ends.index(len(rows)) :])
        assert path.read_bytes() == whole


@pytest.mark.parametrize("damage", [b"{}\n", b"null\n", b"\xff\xfe\n", b"[1, 2]\n"])
def test_a_damaged_line_costs_its_batch_and_what_follows(tmp_path, damage):
    path = tmp_path / "samples.jsonl"
    lines = written(path, PLAN).splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], damage, *lines[4:]]))
    assert len(recover(path, PLAN)) == 3


def test_rows_of_another_plan_are_not_taken_for_ours(tmp_path):
    path = tmp_path / "samples.jsonl"
    written(path, PLAN)
    assert recover(path, [PLAN[0], PLAN[2], PLAN[1]])[-1]["id"] == "a"


@pytest.fixture
def summed(tmp_path):
    table = make_table(
        {"id": name, "prompt": "p", "answer": "4", "source": "s", "topic": topic}
        for name, topic in (("a", "sums"), ("b", "sums"), ("c", "years"))
    )
    verdicts = {
        "a": [(True, "4"), (True, "4.0"), (False, "5"), (False, "5")],
        "b": [(False, None), (False, "3"), (False, "3"), (True, "4")],
        "c": [(False, None)] * 4,
    }
    rows = [row(name, i, *verdict) for name, found in verdicts.items() for i, verdict in enumerate(found)]
    (tmp_path / "run").mkdir()
    append(tmp_path / "run" / "samples.jsonl", rows)
    with start_run("evaluate", parameters={}, run_id="run", root=tmp_path) as run:
        summarise(run, table, rows, k=4, seed=0)
    return run


def test_metrics_are_means_over_problems_with_their_sizes(summed):
    value = {name: entry["value"] for name, entry in summed.metrics.items()}
    assert value["pass@1"] == pytest.approx((2 / 4 + 1 / 4 + 0) / 3)
    assert value["pass@2"] == pytest.approx((5 / 6 + 1 / 2 + 0) / 3)
    assert value["pass@4"] == pytest.approx(2 / 3)
    assert (value["truncated_share"], value["unextracted_share"], value["mean_tokens"]) == (0.25, 5 / 12, 5.0)
    assert summed.manifest["reasons"] == {"wrong": 12}
    assert {name: entry["n"] for name, entry in summed.metrics.items() if entry["n"] != 3} == {"brier": 2}
    assert {name: entry["k"] for name, entry in summed.metrics.items()}["pass@3"] == 3
    assert all(entry["low"] <= entry["value"] <= entry["high"] for entry in summed.metrics.values())


def test_right_answers_of_different_spelling_vote_together(summed):
    assert set(summed.metrics) >= {"majority@2", "majority@4"}
    assert summed.metrics["majority@4"]["value"] == pytest.approx((1 / 2 + 0 + 0) / 3)
    expected = [majority_at_k(["r", "r", "5", "5"], "r", 2), majority_at_k([None, "3", "3", "r"], "r", 2), 0]
    assert summed.metrics["majority@2"]["value"] == pytest.approx(sum(expected) / 3)


def test_outcomes_keep_the_problems_order_and_topics_come_hardest_first(summed):
    table = outcomes(summed)
    assert table[["id", "n", "correct", "topic"]].to_numpy().tolist() == [
        ["a", 4, 2, "sums"],
        ["b", 4, 1, "sums"],
        ["c", 4, 0, "years"],
    ]
    topics = topic_table(summed)
    assert topics["topic"].tolist() == ["years", "sums"]
    assert topics["value"].tolist() == pytest.approx([0, 3 / 8])
    assert topics["low"].isna().tolist() == [True, False], "one problem has no interval"
    listed = {one["path"] for one in summed.manifest["artefacts"]}
    assert listed == {"samples.jsonl", "outcomes.csv", "topics.csv", "reliability.csv"}
