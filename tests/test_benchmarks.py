"""Benchmarks by name: the files' facts are reproduced; what is missing is said in one line."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from hammerlib.errors import InputError
from hammerlib.evaluation.benchmarks import BENCHMARKS, load_benchmark

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


@needs_data
@pytest.mark.parametrize("name", SIZES)
def test_every_benchmark_loads_whole_with_unique_ids(name):
    table = load_benchmark(name)
    assert len(table) == len(set(table["id"])) == SIZES[name]
    assert all(table["prompt"][:]) and all(table["answer"][:])


def test_the_names_are_the_ones_documented():
    assert set(BENCHMARKS) == set(SIZES)
    assert all(f"``{name}``" in load_benchmark.__doc__ for name in BENCHMARKS)


@needs_data
def test_aime_golds_are_those_of_the_contests():
    golds = [int(answer.removesuffix(r"^\circ")) for answer in _answers("aime25")]
    assert (sum(golds), sum(gold**2 for gold in golds)) == (8344, 4153742)
    assert {"025", "073", "023", "045", "033", "080", "055"} < set(_answers("aime24"))


@needs_data
def test_math500_keeps_its_subjects():
    assert Counter(load_benchmark("math500")["topic"])["Algebra"] == 124


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
