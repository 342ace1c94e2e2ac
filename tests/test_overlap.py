"""Overlap of training sets with benchmarks: exact and by n-gram, by name, before training and in results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from public_sets import public_set

from hammerlib import TrainConfig, evaluate, load_problems, train
from hammerlib.cli import main
from hammerlib.errors import InputError
from hammerlib.evaluation import overlap_line, training_overlap
from hammerlib.problems import make_table, overlap_counts, overlap_report

STORY = "A farmer has 12 rows with 7 apple trees each and sells every third tree before winter comes"


def table(*texts: str, source: str = "s"):
    return make_table(
        {"id": f"{source}-{i}", "prompt": text, "answer": str(i), "source": source, "topic": "t"}
        for i, text in enumerate(texts)
    )


def test_exact_and_partial_copies_are_told_apart() -> None:
    bench = table(f"{STORY}. How many are left?", "What is 2 + 2?", "What is 2 - 2?", source="b")
    own = table("Else", f"Long ago: {STORY}! What remains", "what is 2+2", source="t")
    report = overlap_report(own, {"bench": bench})
    assert report[["benchmark_id", "id", "kind", "same_answer"]].values.tolist() == [
        ["b-1", "t-2", "exact", False],
        ["b-0", "t-1", "n-gram", False],
    ]
    partial = report.iloc[1]
    assert partial["shared"] == 6 and partial["share"] == pytest.approx(6 / 10)  # 18 words in a row, of 22
    assert overlap_counts(report, {"bench": bench}) == {"bench": {"problems": 3, "exact": 1, "n_gram": 1}}
    assert overlap_report(own, {"bench": bench}, n=19)["kind"].tolist() == ["exact"]
    with pytest.raises(InputError, match="n = 1: must be at least 2"):
        overlap_report(own, {"bench": bench}, n=1)


def test_the_training_problem_that_shares_most_is_named() -> None:
    words = STORY.split()
    own = table(" ".join(words[:14]), STORY, source="t")
    report = overlap_report(own, {"b": table(f"{STORY} now", source="b")})
    assert report["id"].tolist() == ["t-1"]


def test_a_whole_test_set_in_a_training_file_is_reported_row_by_row() -> None:
    bench, clean = public_set("amc23_40.jsonl"), public_set("gsm8k_test.jsonl").select(range(100))
    rows = [row | {"id": f"t-{i}"} for i, row in enumerate([*clean.to_list(), *bench.to_list()])]
    report = overlap_report(make_table(rows), {"amc23": bench})
    exact = report[report["kind"] == "exact"]
    assert sorted(exact["benchmark_id"]) == sorted(bench["id"]) and exact["same_answer"].all()
    assert overlap_report(clean, {"amc23": bench}).empty


def test_copies_of_a_benchmark_with_other_wording_are_found_by_their_words() -> None:
    bench = public_set("math500.jsonl").select(range(60))
    reworded = [row | {"prompt": f"Please solve: {row['prompt']} Give a reason."} for row in bench.to_list()]
    counts = overlap_counts(overlap_report(make_table(reworded), {"m": bench}), {"m": bench})["m"]
    long = sum(len(row["prompt"].split()) >= 20 for row in bench)
    assert counts["exact"] == 0 and counts["n_gram"] >= long


def test_an_evaluation_says_what_its_model_was_trained_on(tmp_path: Path) -> None:
    problems = load_problems("reasoning-gym:nano", split="rl", n=8)
    config = TrainConfig(n_problems=8, order="random", max_completion_length=4)
    trained = train(config, root=tmp_path, progress=False)
    options = {"k": 1, "max_new_tokens": 4, "root": tmp_path}
    seen = evaluate(trained, problems, **options).manifest["overlap"]
    (counts,) = seen["benchmarks"].values()
    assert counts == {"problems": 8, "exact": 8, "n_gram": 0} and seen["exact_ids"] == problems["id"][:]
    unseen = evaluate(trained, "reasoning-gym:nano", n=4, **options).manifest["overlap"]
    assert unseen["benchmarks"]["reasoning-gym:nano"]["exact"] == 0 and unseen["ngram"] == 13
    assert overlap_line(unseen).startswith("trained on reasoning-gym:nano: of 4 problems 0 word for word")
    trained.manifest["problems_fingerprint"] = "of another table"
    lost = training_overlap(trained, problems, "x")
    assert lost["reason"] == "its problems cannot be loaded again"
    assert overlap_line(lost) == f"trained on {lost['trained_on']}: not compared, {lost['reason']}"


def test_training_reports_overlap_by_name_before_it_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"question": f"What is {i} + {i}?", "answer": f"#### {2 * i}"} for i in range(1319)]
    (tmp_path / "gsm8k_test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:8]))
    monkeypatch.setenv("HAMMER_DATA", str(tmp_path))
    config = tmp_path / "train.yaml"
    config.write_text(
        f"problems: file:{tmp_path / 'mine.jsonl'}\nsplit: null\nn_problems: 8\norder: random\n"
        "max_completion_length: 4\n"
    )
    began = []

    def begin(config: TrainConfig, **options):
        began.append(capsys.readouterr().out)
        return train(config, root=tmp_path / "runs", progress=False, **options)

    monkeypatch.setattr("hammerlib.train", begin)
    assert main(["train", "--config", str(config)]) == 0
    assert began == ["overlap with gsm8k: 8 of 1319 problems exactly, 0 more by 13 words in a row\n"]
    (manifest,) = (tmp_path / "runs").glob("*/manifest.json")
    noted = json.loads(manifest.read_text())["overlap"]
    assert noted["benchmarks"]["gsm8k"]["exact"] == 8 and len(noted["problems"]) == 8
