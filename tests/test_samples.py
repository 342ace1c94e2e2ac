"""The samples file survives whatever a kill leaves, and the summary counts what is in it."""

from __future__ import annotations

import json

import pytest

from hammerlib.errors import InputError
from hammerlib.evaluation.metrics import majority_at_k
from hammerlib.evaluation.samples import FIELDS, Damage, Recovered, append, read, recover, settle
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


def names(recovered) -> list:
    """(id, sample) of each batch that is whole, None for the others."""
    return [rows and [(one["id"], one["sample"]) for one in rows] for rows in recovered.batches]


def test_hostile_completions_come_back_one_row_a_line(tmp_path):
    path = tmp_path / "samples.jsonl"
    assert written(path, PLAN).count(b"\n") == 6
    found = recover(path, PLAN)
    assert names(found) == PLAN and not found.damages
    assert found.batches[0][0]["completion"].replace("?", "") == HOSTILE.replace("\ud800", "")


def test_a_cut_at_any_byte_leaves_whole_batches_and_names_the_cut_line(tmp_path):
    path = tmp_path / "samples.jsonl"
    whole = written(path, PLAN)
    ends = [0, 2, 3, 6]
    for cut in range(0, len(whole) + 1, 23):
        path.write_bytes(whole[:cut])
        lines, torn = whole[:cut].count(b"\n"), not whole[:cut].endswith(b"\n") and cut > 0
        found = recover(path, PLAN)
        done = sum(end <= lines for end in ends) - 1
        assert names(found) == PLAN[:done] + [None] * (3 - done)
        assert found.damages == ([Damage(lines + 1, "is cut off")] if torn else [])
        assert path.read_bytes() == whole[: len(path.read_bytes())]
        assert path.read_bytes().count(b"\n") == ends[done]
        written(path, PLAN[done:])
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (b"{}", "lacks id, sample"),
        (b"null", "holds a NoneType"),
        (b"\xff\xfe", "is no JSON (UnicodeDecodeError)"),
        (b"[1, 2]", "holds a list"),
        (b"", "is no JSON"),
        (b"[" * 100_000, "is no JSON (RecursionError)"),
        (b'{"id": ' + b"9" * 5000, "is no JSON (ValueError)"),
        (b"\0" * 50, "is no JSON"),
    ],
)
def test_a_damaged_line_is_named_and_costs_its_own_batch_alone(tmp_path, damage, problem):
    path = tmp_path / "samples.jsonl"
    lines = written(path, PLAN).splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], damage + b"\n", *lines[2:]]))
    found = recover(path, PLAN)
    assert names(found) == [None, *PLAN[1:]]
    (told,) = found.damages
    assert told.line == 2 and told.problem.startswith(problem)
    assert path.read_bytes() == b"".join(lines[2:]), "what is left is whole"
    assert recover(path, PLAN) == Recovered(found.batches, [])


@pytest.mark.parametrize(
    ("field", "value"),
    [("id", 3), ("sample", "0"), ("sample", True), ("completion", None), ("n_tokens", 1.5), ("correct", 1)],
)
def test_a_field_of_another_type_is_damage(tmp_path, field, value):
    path = tmp_path / "samples.jsonl"
    written(path, PLAN[:2])
    with open(path, "a", encoding="utf-8") as stream:
        stream.write(json.dumps(row("b", 1) | {field: value}) + "\n")
    rows, damages = read(path)
    assert list(rows) == [1, 2, 3]
    assert damages == [Damage(4, f"has an unfit value of {field}")]


def test_lines_of_another_plan_and_repeated_ones_are_named_and_taken_out(tmp_path):
    path = tmp_path / "samples.jsonl"
    written(path, [[("x", 0)], *PLAN[:2], [("b", 0)], *PLAN[2:]])
    found = recover(path, PLAN)
    assert names(found) == PLAN
    assert [one.line for one in found.damages] == [1, 5]
    assert found.damages[0].problem == "is sample 0 of 'x', which is not planned"
    assert found.damages[1].problem == "repeats sample 0 of 'b'"


def test_batches_in_any_order_are_found_and_settle_in_planned_order(tmp_path):
    path = tmp_path / "samples.jsonl"
    whole = written(path, PLAN)
    path.unlink()
    mixed = written(path, [PLAN[2], PLAN[0], PLAN[1]])
    found = recover(path, PLAN)
    assert names(found) == PLAN and path.read_bytes() == mixed != whole
    settle(path, found.batches)
    assert path.read_bytes() == whole


def test_a_repair_that_cannot_be_written_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "samples.jsonl"
    path.write_bytes(written(path, PLAN) + b"torn")
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(InputError, match="cannot be written"):
        recover(path, PLAN)
    assert path.read_bytes() == before


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
    # Three equal token counts of unknown range say nothing about a fourth: no interval, not one of width 0.
    unknown = {name for name, entry in summed.metrics.items() if entry["low"] is None}
    assert unknown == {"mean_tokens"}
    assert all(
        entry["low"] <= entry["value"] <= entry["high"]
        for name, entry in summed.metrics.items()
        if name not in unknown
    )


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
