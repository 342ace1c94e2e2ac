"""Benchmarks by name: the files' facts are reproduced; what is missing is said in one line."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import datasets
import pytest
from public_sets import public_set

from hammerlib.errors import InputError
from hammerlib.evaluation.benchmarks import BENCHMARKS, gold_version, load_benchmark
from hammerlib.problems import normalise

needs_data = pytest.mark.skipif(not os.environ.get("HAMMER_DATA"), reason="HAMMER_DATA names no data folder")
SIZES = {
    "gsm8k": 1319,
    "math500": 500,
    "aime24": 30,
    "aime25": 30,
    "amc23": 40,
    "minerva": 272,
    "olympiadbench": 675,
}


def _answers(name: str) -> list[str]:
    return load_benchmark(name)["answer"][:]


# No file of this name is at hand; a package of its own; the hub alone.
ELSEWHERE = {"amc22-23": 83, "humaneval": 164, "aime26": 30, "hmmt-feb25": 30, "hmmt-feb26": 33}


@needs_data
@pytest.mark.parametrize("name", SIZES)
def test_every_benchmark_loads_whole_with_unique_ids(name):
    table = load_benchmark(name)
    assert len(table) == len(set(table["id"])) == SIZES[name]
    assert all(table["prompt"][:]) and all(table["answer"][:])


def test_the_names_are_the_ones_documented():
    assert {name: entry.rows for name, entry in BENCHMARKS.items()} == SIZES | ELSEWHERE
    assert all(f"``{name}``" in load_benchmark.__doc__ for name in BENCHMARKS)


@needs_data
def test_aime_golds_are_those_of_the_contests():
    first = (70, 588, 16, 117, 279, 504, 821, 77, 62, 81, 259, 510, 204, 60, 735)
    second = (468, 49, 82, 106, 336, 293, 237, 610, 149, 907, 113, 19, 248, 104, 240)
    listed = [int(answer.removesuffix(r"^\circ")) for answer in _answers("aime25")]
    assert sorted(listed) == sorted(first + second)
    golds = [int(answer.removesuffix(r"^\circ")) for answer in _answers("aime25")]
    assert (sum(golds), sum(gold**2 for gold in golds)) == (8344, 4153742)
    assert {"025", "073", "023", "045", "033", "080", "055"} < set(_answers("aime24"))


@needs_data
def test_math500_keeps_its_subjects():
    table = load_benchmark("math500")
    subjects = Counter(table["topic"])
    assert subjects["Algebra"] == 124 and subjects["Geometry"] == 41 and len(subjects) == 7
    assert sorted(Counter(table["difficulty"]).items()) == [(1, 43), (2, 90), (3, 105), (4, 128), (5, 134)]


@needs_data
def test_the_copies_of_aime24_are_the_same_problems():
    other = public_set("math500_aime24_aime25.jsonl").filter(lambda row: row["topic"] == "AIME-2024-30")
    ours = {normalise(row["prompt"]): int(row["answer"]) for row in load_benchmark("aime24")}
    assert {normalise(row["prompt"]): int(row["answer"]) for row in other} == ours


@needs_data
def test_amc_golds_are_integers_and_olympiad_golds_keep_their_parts():
    assert all(int(answer) == float(answer) for answer in _answers("amc23"))
    table = load_benchmark("olympiadbench")
    topics = Counter(table["topic"])
    assert topics == {"Algebra": 264, "Combinatorics": 154, "Geometry": 129, "Number Theory": 128}
    noted = [json.loads(text) for text in table["metadata"] if text]
    assert sum("unit" in one for one in noted) == 8
    assert [one["tolerance"] for one in noted if "tolerance" in one] == ["1e-1"]


@needs_data
def test_gsm8k_prompts_hold_no_solution():
    table = load_benchmark("gsm8k")
    assert table["answer"][0] == "18"
    assert not any("####" in text for text in table["prompt"])


def test_a_problem_source_gives_its_held_out_part():
    from hammerlib.problems import load_problems

    table = load_benchmark("reasoning-gym:nano")
    trained_on = load_problems("reasoning-gym:nano", split="rl", n=1000)
    assert not set(table["prompt"]) & set(trained_on["prompt"])


def test_an_unknown_benchmark_names_the_known_ones():
    with pytest.raises(InputError, match=r"benchmark = 'gsm9k': is unknown; use one of gsm8k, math500"):
        load_benchmark("gsm9k")


def test_without_a_data_folder_the_remedy_names_file_and_origin(monkeypatch):
    monkeypatch.delenv("HAMMER_DATA", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"set HAMMER_DATA .* aime24.jsonl from QwenLM/Qwen2.5-Math"):
        load_benchmark("aime24")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"data_dir = .*holds no math500.jsonl"):
        load_benchmark("math500", data_dir=tmp_path)


@needs_data
def test_a_shortened_file_is_refused(tmp_path):
    whole = Path(os.environ["HAMMER_DATA"]) / "amc23_40.jsonl"
    shutil.copy(whole, tmp_path)
    lines = whole.read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / whole.name).write_text("".join(lines[:39]), encoding="utf-8")
    with pytest.raises(InputError, match="gives 39 problems, not 40"):
        load_benchmark("amc23", data_dir=tmp_path)


# Which golds


@needs_data
def test_the_version_of_the_golds_is_named(tmp_path):
    found = gold_version("aime24")
    assert found["file"] == "aime24.jsonl" and found["origin"].startswith("QwenLM/Qwen2.5-Math")
    whole = (Path(os.environ["HAMMER_DATA"]) / "aime24.jsonl").read_text(encoding="utf-8")
    (tmp_path / "aime24.jsonl").write_text(whole.replace("204", "205", 1))
    assert gold_version("aime24", data_dir=tmp_path)["sha256"] != found["sha256"]
    mine = tmp_path / "mine.jsonl"
    mine.write_text('{"question": "1+1?", "answer": "2"}')
    assert gold_version(f"file:{mine}")["file"] == "mine.jsonl"


def test_a_copy_of_the_hub_is_taken_at_its_pinned_commit(monkeypatch):
    asked = {}

    def serve(repo, config, *, split, revision):  # the hub cannot be reached here: its answer is put in
        asked.update(repo=repo, config=config, split=split, revision=revision)
        row = {"question": "1+1?", "answer": "One more. #### 2"}
        return datasets.Dataset.from_list([row] * asked["rows"])

    monkeypatch.setattr("hammerlib.problems.files._commit", lambda name, repo, revision: revision)
    monkeypatch.setattr(datasets, "load_dataset", serve)
    asked["rows"] = 1319
    table = load_benchmark("gsm8k@hub")
    pinned = BENCHMARKS["gsm8k"].commit
    assert (asked["repo"], asked["config"], asked["split"]) == ("openai/gsm8k", "main", "test")
    assert asked["revision"] == pinned and table["source"][0] == f"openai/gsm8k/main@{pinned[:12]}/test"
    known = {"repository": "openai/gsm8k/main", "revision": pinned, "split": "test"}
    assert gold_version("gsm8k@hub") == known
    load_benchmark("gsm8k@" + "a" * 40)
    assert asked["revision"] == "a" * 40
    asked["rows"] = 1318
    with pytest.raises(InputError, match="gives 1318 problems, not 1319"):
        load_benchmark("gsm8k@hub")


@pytest.mark.parametrize(("name", "copy"), [
    ("aime26", "math-ai/aime26"), ("hmmt-feb25", "MathArena/hmmt_feb_2025"),
    ("hmmt-feb26", "MathArena/hmmt_feb_2026"),
])  # fmt: skip
def test_benchmarks_without_a_file_come_from_the_hub_also_beside_a_data_folder(
    name: str, copy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def serve(repo, config, *, split, revision):  # rows as the copies have them; the hub cannot be reached
        assert (repo, config, split) == (copy, None, BENCHMARKS[name].split)
        row = {
            "problem_idx": 1,
            "problem": "Halve one.",
            "answer": "\\frac{1}{2}",
            "problem_type": ["Algebra"],
        }
        return datasets.Dataset.from_list([row] * BENCHMARKS[name].rows)

    monkeypatch.setattr("hammerlib.problems.files._commit", lambda name, repo, revision: revision)
    monkeypatch.setattr(datasets, "load_dataset", serve)
    table = load_benchmark(name, data_dir=tmp_path)
    assert table["answer"][0] == "\\frac{1}{2}"
    assert gold_version(name, data_dir=tmp_path)["revision"] == BENCHMARKS[name].commit
    monkeypatch.undo()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"; connect to the hub$"):
        load_benchmark(name, data_dir=tmp_path)


def test_commits_are_whole_and_one_benchmark_says_that_it_has_none():
    commits = {name: entry.commit for name, entry in BENCHMARKS.items() if entry.hub}
    assert all(len(commit) == 40 for name, commit in commits.items() if name != "olympiadbench")
    with pytest.raises(InputError, match=r"no pinned commit on the hub.*olympiadbench@<commit>"):
        load_benchmark("olympiadbench@hub")


def test_amc_of_two_years_is_another_benchmark_than_amc_of_one(tmp_path):
    rows = [{"problem": f"{i}+1?", "answer": float(i + 1), "url": "", "difficulty": 4.0} for i in range(83)]
    (tmp_path / "amc83.json").write_text(json.dumps(rows))
    assert load_benchmark("amc22-23", data_dir=tmp_path)["answer"][26] == "27"
    with pytest.raises(InputError, match=r"holds no amc23_40.jsonl; put it there .* or ask for amc23@hub"):
        load_benchmark("amc23", data_dir=tmp_path)
