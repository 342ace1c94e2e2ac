"""Two runs side by side: known differences, nothing joined silently, anyone's files, one line per mistake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from hammerlib.cli import main
from hammerlib.errors import InputError
from hammerlib.evaluation.comparison import Scores, compare, power_table, read_scores
from hammerlib.evaluation.intervals import mean_interval, paired_interval
from hammerlib.evaluation.metrics import pass_at_k
from hammerlib.evaluation.summary import levels_of, reliability, summarise
from hammerlib.problems import make_table
from hammerlib.runs import RunRecord, start_run


def scores(name: str, right: dict[str, list[int]], topics: dict | None = None, **known) -> Scores:
    """A run of one seed from 0 and 1 by problem."""
    samples = {i: {None: [{"correct": bool(c)} for c in found]} for i, found in right.items()}
    return Scores(name, samples, topics or {}, known.get("fingerprint"), ())


def write(path: Path, rows: list[dict]) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def drawn(seed: int, n: int = 40, k: int = 4, gain: float = 0.0) -> dict[str, list[int]]:
    """Outcomes of n problems with k samples each; rates do not depend on the seed."""
    rates = np.clip(np.random.default_rng(99).beta(0.5, 0.5, n) + gain, 0, 1)
    found = np.random.default_rng(seed).random((n, k)) < rates[:, None]
    return {f"p{i}": row.astype(int).tolist() for i, row in enumerate(found)}


def row_of(found, metric: str) -> pd.Series:
    """One metric of a comparison."""
    return found.metrics.set_index("metric").loc[metric]


def test_every_number_is_the_one_of_its_estimator():
    left, right = drawn(0), drawn(1, gain=0.1)
    found = compare(scores("a", left), scores("b", right))
    for metric, k in (("pass@1", 1), ("pass@2", 2), ("pass@4", 4)):
        a, b = (np.array([pass_at_k(4, sum(one), k) for one in side.values()]) for side in (left, right))
        row = row_of(found, metric)
        assert row[["a", "a_low", "a_high"]].tolist() == pytest.approx(mean_interval(a))
        assert row[["difference", "low", "high"]].tolist() == pytest.approx(paired_interval(a, b))
    gap = found.problems["b"] - found.problems["a"]
    counts = found.problems["outcome"].value_counts()
    assert [counts["won"], counts["lost"], counts["tied"]] == [
        (gap > 0).sum(),
        (gap < 0).sum(),
        (gap == 0).sum(),
    ]
    assert found.improvement.value == pytest.approx((counts["won"] + counts["tied"] / 2) / 40)


def test_single_samples_are_tested_with_mcnemar():
    left, right = drawn(0, k=1), drawn(1, k=1, gain=0.2)
    found = compare(scores("a", left), scores("b", right))
    won = sum(right[i][0] > left[i][0] for i in left)
    lost = sum(right[i][0] < left[i][0] for i in left)
    assert row_of(found, "pass@1")["p"] == pytest.approx(binomtest(won, won + lost).pvalue)


def test_swapped_runs_give_the_opposite_difference():
    a, b = scores("a", drawn(0)), scores("b", drawn(1, gain=0.1))
    forth, back = (compare(*pair).metrics for pair in ((a, b), (b, a)))
    assert forth["difference"].to_numpy() == pytest.approx(-back["difference"].to_numpy())
    assert forth["high"].to_numpy() == pytest.approx(-back["low"].to_numpy(), abs=1e-6)
    assert forth["p"].to_numpy() == pytest.approx(back["p"].to_numpy())


@given(st.randoms())
@settings(max_examples=10)
def test_neither_the_sequence_of_samples_nor_of_problems_matters(random):
    left, right = drawn(0, n=12), drawn(1, n=12)
    mixed = {i: random.sample(right[i], 4) for i in random.sample(list(right), 12)}
    one, other = (compare(scores("a", left), scores("b", side)).metrics for side in (right, mixed))
    pd.testing.assert_frame_equal(one, other)


def test_problems_of_one_run_only_are_named_and_left_out():
    left, right = drawn(0), drawn(1)
    del left["p3"], right["p5"], right["p7"]
    found = compare(scores("a", left), scores("b", right))
    assert (found.only_a, found.only_b) == (["p5", "p7"], ["p3"])
    assert len(found.problems) == row_of(found, "pass@1")["problems"] == 37


def test_different_numbers_of_samples_meet_at_the_common_k_and_say_so():
    left, right = drawn(0, k=8), drawn(1, k=4)
    found = compare(scores("a", left), scores("b", right))
    assert found.k == 4 and "pass@8" not in set(found.metrics["metric"])
    assert any("8 and 4" in note for note in found.notes)
    assert row_of(found, "pass@1")["a"] == pytest.approx(np.mean(list(left.values())))
    assert row_of(found, "pass@4")["a"] == pytest.approx(
        np.mean([pass_at_k(8, sum(one), 4) for one in left.values()])
    )


def test_topics_are_tested_together():
    topics = {f"p{i}": "even" if i % 2 == 0 else "odd" for i in range(40)}
    right = {i: [1] * 4 if topics[i] == "even" else found for i, found in drawn(0).items()}
    found = compare(scores("a", drawn(0), topics), scores("b", right)).topics.set_index("topic")
    assert found.loc["odd", "difference"] == 0 and found.loc["odd", "p_holm"] == 1
    assert found.loc["even", "p_holm"] == pytest.approx(min(1, 2 * found.loc["even", "p"]))


def test_seeds_are_the_units_of_the_test_and_widen_the_interval():
    generator = np.random.default_rng(0)
    runs = []
    for gains in ((0, 0, 0, 0), (0.1, 0.3, 0.0, 0.2)):
        samples = {f"p{i}": {} for i in range(60)}
        for seed, gain in enumerate(gains):
            for name in samples:
                samples[name][seed] = [{"correct": bool(c)} for c in generator.random(8) < 0.4 + gain]
        runs.append(Scores("x", samples, {}, None, ()))
    found = compare(*runs)
    assert found.seeds == 4 and row_of(found, "pass@1")["p"] >= 2 / 2**4
    alone = [
        one._replace(
            samples={i: {0: [row for found in s.values() for row in found]} for i, s in one.samples.items()}
        )
        for one in runs
    ]
    pooled = row_of(compare(*alone), "pass@1")
    row = row_of(found, "pass@1")
    assert row["difference"] == pytest.approx(pooled["difference"])
    assert row["high"] - row["low"] > 1.5 * (pooled["high"] - pooled["low"])
    lost = runs[1]._replace(samples={i: {0: s[0]} for i, s in runs[1].samples.items()})
    with pytest.raises(InputError, match=r"^seed = "):
        compare(runs[0], lost)


# Files and folders


def test_anyones_files_are_read_with_what_they_hold(tmp_path):
    rows = [
        {
            "id": i,
            "sample": s,
            "correct": c,
            "extracted": str(c),
            "n_tokens": 5 + s,
            "topic": "t",
            "other": [],
        }
        for i in range(3)
        for s, c in enumerate([True, False])
    ]
    bare = [{"id": str(i), "correct": s} for i in range(3) for s in (1, 0)]
    found = compare(write(tmp_path / "rich.jsonl", rows), write(tmp_path / "bare.jsonl", bare))
    assert set(found.metrics["metric"]) == {"pass@1", "pass@2", "pass^2"}, "only what both hold"
    both = compare(tmp_path / "rich.jsonl", tmp_path / "rich.jsonl").metrics.set_index("metric")
    assert both.loc["mean_tokens", "a"] == 5.5 and both.loc["majority@2", "p"] == 1
    assert found.topics["topic"].tolist() == ["t"] and found.a == "rich.jsonl"


def evaluated(root: Path, name: str, right: dict[str, list[int]], **columns) -> Path:
    """A run folder as `evaluate` leaves it."""
    problems = make_table(
        {"id": i, "prompt": "p", "answer": "4", "source": "s", "topic": f"t{n % 2}"}
        for n, i in enumerate(right)
    )
    for column, values in columns.items():
        problems = problems.add_column(column, values)
    rows = [
        {"id": i, "sample": s, "completion": "", "n_tokens": 3, "truncated": False, "correct": bool(c)}
        | {"extracted": "4" if c else "5", "reason": "correct" if c else "wrong", "grader": "g"}
        for i, found in right.items()
        for s, c in enumerate(found)
    ]
    with start_run("evaluate", parameters={}, run_id=name, root=root) as run:
        write(run.folder / "samples.jsonl", rows)
        run.note(problems_fingerprint="one table")
        summarise(run, problems, rows, k=len(next(iter(right.values()))), seed=0)
    return run.folder


def test_a_run_is_found_by_folder_or_id_and_a_published_copy_by_its_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("HAMMER_RESULTS", str(tmp_path))
    first, second = evaluated(tmp_path, "one", drawn(0)), evaluated(tmp_path, "two", drawn(1))
    whole = compare("one", second)
    assert "majority@4" in set(whole.metrics["metric"]) and whole.topics["topic"].tolist() == ["t0", "t1"]
    (first / "samples.jsonl").unlink()
    counts = compare(first, second)
    assert row_of(counts, "pass@4").tolist() == row_of(whole, "pass@4").tolist()
    assert any("counts only" in note for note in counts.notes)


def test_problems_that_an_interrupted_run_did_not_finish_are_named_and_left_out(tmp_path):
    folder = evaluated(tmp_path, "cut", drawn(0))
    with open(folder / "samples.jsonl", "a") as stream:
        stream.write('{"id": "late", "sample": 0, "correct": true, "extracted": "4"}\n')
    RunRecord.load(folder).artefact("samples.jsonl")
    found = compare(folder, evaluated(tmp_path, "two", drawn(1)))
    assert found.k == 4 and len(found.problems) == 40
    assert any("lacks samples of 1 problems, left out: ['late']" in note for note in found.notes)


def test_equal_ids_over_other_problems_are_refused():
    a, b = (scores(name, drawn(0), fingerprint=name) for name in "ab")
    with pytest.raises(InputError, match="other problems behind them"):
        compare(a, b)
    told = [one._replace(fingerprint=None, hashes=dict.fromkeys(one.samples, one.name)) for one in (a, b)]
    with pytest.raises(InputError, match="or has other golds, under 40 ids of a"):
        compare(*told)
    same = [one._replace(hashes=dict.fromkeys(one.samples, "x")) for one in (a, b)]
    assert len(compare(*same).problems) == 40  # tables of other sizes, the same problems in common


def test_what_was_made_differently_is_told():
    a, b = (scores(name, drawn(0))._replace(settings={"prompt": name, "top_p": 1.0}) for name in "ab")
    assert compare(a, b).notes == ["made differently: prompt a and b"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[" * 100_000, "line 2': is nested"),
        ('{"id": "a", "corr', "mine.jsonl, line 2': is not JSON"),
        ("[1]", "line 2': needs id and correct"),
        ('{"id": "a"}', "line 2': needs id and correct"),
        ('{"id": "a", "correct": "yes"}', "correct is 'yes'"),
        ('{"id": "a", "correct": null}', "correct is None"),
        ('{"id": "a", "sample": 0, "correct": true}', "stands twice"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path, line, told):
    path = tmp_path / "mine.jsonl"
    path.write_text(f'{{"id": "a", "sample": 0, "correct": true}}\n{line}\n')
    with pytest.raises(InputError, match=r".") as error:
        read_scores(path)
    assert told in str(error.value)


# Power


def test_the_power_of_a_difference_uses_both_runs():
    a, b = scores("a", drawn(0, n=200)), scores("b", drawn(1, n=200, k=8))
    table = power_table([a, b], 0.02).set_index(["of", "samples"])["problems"]
    assert list(dict.fromkeys(table.index.get_level_values("of"))) == ["a", "b", "difference"]
    assert table["difference", 64] < 0.5 * table["a", 64], "pairing removes what problems differ by"
    assert table["difference", 1] > table["difference", 4] > table["difference", 16]
    single = power_table([scores("a", drawn(0, k=1))], 0.05)
    assert single["samples"].tolist() == [1], "one sample says nothing about more"


# The command


def test_the_command_prints_and_writes_the_comparison(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HAMMER_RESULTS", str(tmp_path))
    right = drawn(1, gain=0.2)
    right["extra"] = [1, 1, 1, 1]
    evaluated(tmp_path, "one", drawn(0)), evaluated(tmp_path, "two", right)
    out = tmp_path / "found.json"
    assert main(["compare", "one", "two", "--power", "0.02", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    found = compare("one", "two")
    assert "40 problems in both" in told and "only in B, left out: 1 (extra)" in told
    assert f"{row_of(found, 'pass@1')['difference']:+.3f}" in told
    counts = found.problems["outcome"].value_counts()
    assert f"problems won by B {counts['won']}, lost {counts['lost']}, tied {counts['tied']}" in told
    written = json.loads(out.read_text())
    assert written["metrics"][0]["difference"] == pytest.approx(row_of(found, "pass@1")["difference"])
    assert len(written["problems"]) == 40 and written["power"][-1]["of"] == "difference"
    assert main(["compare", "one", "--power", "0.05"]) == 0
    assert "problems needed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere", "a.jsonl"], "run = 'nowhere': is not there"),
        (["a.jsonl", "b.jsonl"], "shares 0 problems with a.jsonl"),
        (["a.jsonl"], "RUN_B = None: is missing"),
        (["a.jsonl", "a.jsonl", "--power", "0"], "half_width = 0.0: must be above 0"),
        (["empty.jsonl", "a.jsonl"], "run = 'empty.jsonl': holds no sample"),
        (["folder", "a.jsonl"], "run = 'folder': has no manifest.json"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.jsonl", [{"id": i, "correct": True} for i in "xyz"])
    write(tmp_path / "b.jsonl", [{"id": i, "correct": True} for i in "uvw"])
    write(tmp_path / "empty.jsonl", [])
    (tmp_path / "folder").mkdir()
    assert main(["compare", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and told in lines[0]


# Tables by topic and level


def test_all_metrics_stand_by_topic_and_by_level(tmp_path):
    right = drawn(0, n=12)
    levels = [float(1 + i % 3) for i in range(11)] + [None]
    folder = evaluated(tmp_path, "run", right, difficulty=levels)
    by_level = pd.read_csv(folder / "levels.csv", dtype={"level": str}).set_index("level")
    assert by_level.index.tolist() == ["1", "2", "3", "unknown"]
    assert by_level["problems"].tolist() == [4, 4, 3, 1]
    ones = [np.mean(right[f"p{i}"]) for i in range(11) if i % 3 == 0]
    assert by_level.loc["1", ["value", "low", "high"]].tolist() == pytest.approx(mean_interval(ones))
    both = [pass_at_k(4, sum(right[f"p{i}"]), 2) for i in range(11) if i % 3 == 0]
    assert by_level.loc["1", "pass@2"] == pytest.approx(np.mean(both))
    assert np.isnan(by_level.loc["unknown", "low"])
    by_topic = pd.read_csv(folder / "topics.csv")
    wanted = {"majority@4", "cons@4", "pass^4", "avg@4", "brier", "calibration_error", "distinct_answers"}
    assert wanted | {"topic", "problems", "value", "low", "high"} <= set(by_topic.columns)
    bins = pd.read_csv(folder / "reliability.csv")
    assert bins["n"].sum() == 48 and len(bins) == 10
    assert bins["problems"].max() <= 12 and (bins["accuracy_low"].dropna() <= bins["accuracy"].dropna()).all()
    record = RunRecord.load(folder)
    pd.testing.assert_frame_equal(reliability(record), bins)
    bins.drop(columns="accuracy_low").to_csv(folder / "reliability.csv")
    record.artefact("reliability.csv")
    with pytest.raises(InputError, match="hammer regrade"):
        reliability(record)
    (folder / "reliability.csv").unlink()
    with pytest.raises(InputError, match="k of 2 or more"):
        reliability(record)


def test_ten_levels_stand_in_the_sequence_of_their_numbers(tmp_path):
    folder = evaluated(tmp_path, "run", drawn(0, n=20), difficulty=[float(i // 2) for i in range(20)])
    assert pd.read_csv(folder / "levels.csv")["level"].tolist() == list(range(10))
    tens = evaluated(tmp_path, "tens", drawn(0, n=20), difficulty=[10.0 * (i // 2) for i in range(20)])
    assert pd.read_csv(tens / "levels.csv")["level"].tolist() == list(range(0, 100, 10))


def test_many_levels_become_fifths():
    found = levels_of([float(i) for i in range(100)] + [float("nan")])
    assert pd.Series(found).value_counts().to_dict() == {
        "1: 0 to 19.8": 20,
        "2: 19.8 to 39.6": 20,
        "3: 39.6 to 59.4": 20,
        "4: 59.4 to 79.2": 20,
        "5: 79.2 to 99": 20,
        "unknown": 1,
    }
