"""hammer order for anyone's data, and orders in other people's trainers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ordering_samples import gaussian

from hammerlib import Order
from hammerlib.cli import main
from hammerlib.problems.files import read_records

WITHOUT = """
import importlib.machinery, sys
absent = ("torch", "transformers", "trl", "sklearn", "matplotlib")
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = classmethod(
    lambda finder, name, *rest: None if name.partition(".")[0] in absent else find(name, *rest)
)
from hammerlib.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def folder(sums: Path) -> Path:
    """A working folder with six problems (ok.jsonl) and vectors of as many rows."""
    np.save(sums / "rows.npy", gaussian(6, 4).astype(np.float32))
    return sums


def test_vectors_alone_are_enough(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["order", "--embeddings", "rows.npy", "--strategy", "min-path", "--out", "o.json"]) == 0
    order = Order.load("o.json")
    assert order.gap == pytest.approx(0, abs=1e-9) and order.item_hashes is None
    assert "gap 0.000 %" in capsys.readouterr().out


def test_needs_neither_torch_nor_trl(folder: Path) -> None:
    words = [
        "order",
        "file:ok.jsonl",
        "--embeddings",
        "rows.npy",
        "--strategy",
        "min-path",
        "--out",
        "o.json",
    ]
    done = subprocess.run([sys.executable, "-c", WITHOUT, *words, "--write", "o.jsonl"], check=False)
    assert done.returncode == 0
    assert len(read_records(folder / "o.jsonl")) == 6


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_writes_the_rows_of_the_file_in_the_order(folder: Path, kind: str) -> None:
    words = ["order", "file:ok.jsonl", "--embeddings", "rows.npy", "--out", "o.json", "--write", f"o.{kind}"]
    assert main(words) == 0
    given, written = read_records(folder / "ok.jsonl"), read_records(folder / f"o.{kind}")
    assert written == [given[row] for row in Order.load("o.json").permutation]


def test_a_subset_writes_its_own_rows(folder: Path) -> None:
    np.save("four.npy", gaussian(4, 3))
    words = ["order", "file:ok.jsonl", "--n", "4", "--embeddings", "four.npy", "--out", "o.json"]
    assert main([*words, "--strategy", "dataset", "--write", "o.jsonl"]) == 0
    given, written = read_records(folder / "ok.jsonl"), read_records(folder / "o.jsonl")
    assert len(written) == 4 and [row for row in given if row in written] == written


def test_generated_problems_are_written_as_the_table_has_them(folder: Path) -> None:
    np.save("eight.npy", gaussian(8, 3))
    words = ["order", "reasoning-gym:nano", "--n", "8", "--embeddings", "eight.npy", "--out", "o.json"]
    assert main([*words, "--write", "o.jsonl"]) == 0
    assert {"id", "prompt", "answer"} <= set(read_records(folder / "o.jsonl")[0])


def test_options_reach_the_strategy(folder: Path) -> None:
    words = ["order", "--embeddings", "rows.npy", "--out", "o.json", "--set", "eta=0.5"]
    assert main([*words, "--set", "eta_mode=pool"]) == 0
    assert json.loads(Path("o.json").read_text())["provenance"]["options"] == {"eta": 0.5, "eta_mode": "pool"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--embeddings", "rows.npy", "--set", "eta"], "set = 'eta'"),
        (["--embeddings", "rows.npy", "--set", "eta=[1"], "eta"),
        (["--embeddings", "rows.npy", "--set", "speed=1"], "speed"),
        (["--embeddings", "rows.npy", "--set", "eta=abc"], "eta = 'abc'"),
        (["--embeddings", "rows.npy", "--set", "seed=1"], "--seed"),
        (["--embeddings", "rows.npy", "--seed", "-1"], "seed = -1: must be at least 0"),
        (["--embeddings", "rows.npy", "--strategy", "easy-to-hard"], "with a column 'difficulty'"),
        (["--embeddings", "rows.npy", "--strategy", "topic-cycle"], "with a column 'topic'"),
        (["--embeddings", "rows.npy", "--strategy", "reversed", "--set", "of=hard-to-easy"], "with a column"),
        (["--embeddings", "rows.npy", "--strategy", "reversed", "--set", "of=[1]"], "[1]"),
        (["--embeddings", "rows.npy", "--strategy", "reversed", "--set", "task=1"], "task"),
        (["--embeddings", "rows.npy", "--write", "o.jsonl"], "PROBLEMS"),
        (["--backbone", "nano"], "PROBLEMS"),
        (["file:ok.jsonl", "--embeddings", "rows.npy", "--write", "o.csv"], "o.csv"),
        (["--embeddings", "none.npy"], "none.npy"),
        (["--embeddings", "ok.npy"], "ok.npy"),
        (["--embeddings", "flat.npy"], "embeddings"),
        (["--embeddings", "words.npy"], "embeddings"),
    ],
)
def test_bad_words_are_one_error(
    folder: Path, capsys: pytest.CaptureFixture, words: list[str], told: str
) -> None:
    Path("ok.npy").write_bytes(b"no array")
    np.save("flat.npy", np.ones(5))
    np.save("words.npy", np.array([["a"], ["b"]]))
    assert main(["order", *words, "--out", "o.json"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and told in line
    assert not Path("o.json").exists() and not Path("o.jsonl").exists()
