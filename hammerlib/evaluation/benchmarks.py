"""The benchmarks known by name, read from a folder of public files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hammerlib.errors import InputError

if TYPE_CHECKING:
    from datasets import Dataset


class _Benchmark(NamedTuple):
    file: str
    rows: int
    origin: str
    only: str = ""  # value of the file's data_source column, where one file holds several benchmarks


_QWEN = "QwenLM/Qwen2.5-Math, evaluation/data"
BENCHMARKS = {
    "gsm8k": _Benchmark("gsm8k_test.jsonl", 1319, "openai/grade-school-math, .../data/test.jsonl"),
    "math500": _Benchmark("math500.jsonl", 500, "hkust-nlp/simpleRL-reason, .../data/math500/test.jsonl"),
    "aime24": _Benchmark("aime24.jsonl", 30, f"{_QWEN}/aime24/test.jsonl"),
    "aime25": _Benchmark(
        "math500_aime24_aime25.jsonl", 30, "MasterVito/SvS, data/MATH-AIME-Evaluation.jsonl", "AIME-2025-30"
    ),
    "amc23": _Benchmark("amc23_40.jsonl", 40, f"{_QWEN}/amc23/test.jsonl"),
    "minerva": _Benchmark("minerva272.jsonl", 272, f"{_QWEN}/minerva_math/test.jsonl"),
    "olympiadbench": _Benchmark("olympiadbench675.jsonl", 675, f"{_QWEN}/olympiadbench/test.jsonl"),
}


def load_benchmark(name: str, *, data_dir: str | Path | None = None) -> Dataset:
    """Load a benchmark's problems in file order.

    Parameters
    ----------
    name : str
        ``gsm8k``, ``math500``, ``aime24``, ``aime25``, ``amc23`` (the 40 problems of 2023), ``minerva``
        (gold: last box of the solution), ``olympiadbench`` (675); or a source for `load_problems` such as
        ``reasoning-gym:nano``, of which the held-out part is taken.
    data_dir : path, optional
        Folder with the public files; default: the environment variable ``HAMMER_DATA``.

    Returns
    -------
    datasets.Dataset
        Problem table; for files, all rows, as many as the benchmark has.

    Raises
    ------
    InputError
        Unknown name; no data folder; a file that is missing or has another number of rows.

    Examples
    --------
    >>> len(load_benchmark("reasoning-gym:math"))
    1000
    """
    from hammerlib.problems import load_problems

    if ":" in name:
        return load_problems(name, split=source_split(name))
    if name not in BENCHMARKS:
        remedy = f"use one of {', '.join(BENCHMARKS)}, or a source like reasoning-gym:nano"
        raise InputError("benchmark", name, "is unknown", remedy)
    entry = BENCHMARKS[name]
    table = load_problems(f"file:{_file(name, entry, data_dir)}")
    if entry.only:
        table = table.select([i for i, topic in enumerate(table["topic"]) if topic == entry.only])
    if len(table) != entry.rows:
        problem = f"{entry.file} gives {len(table)} problems, not {entry.rows}"
        raise InputError("benchmark", name, problem, f"take the file from {entry.origin}")
    return table


def source_split(source: str) -> str | None:
    """Return the part of a problem source that evaluation may see.

    Examples
    --------
    >>> [source_split(source) for source in ("reasoning-gym:nano", "hub:openai/gsm8k/main", "file:mine.csv")]
    ['heldout', 'test', None]
    """
    parts = {"reasoning-gym": "heldout", "hub": "test", "evolmath": "heldout", "puzzles": "test"}
    return parts.get(source.partition(":")[0])


def _file(name: str, entry: _Benchmark, data_dir: str | Path | None) -> Path:
    folder = data_dir or os.environ.get("HAMMER_DATA")
    if not folder:
        remedy = f"set HAMMER_DATA (or data_dir) to a folder with {entry.file} from {entry.origin}"
        raise InputError("benchmark", name, "needs a data folder", remedy)
    path = Path(folder) / entry.file
    if not path.is_file():
        remedy = f"put it there from {entry.origin}"
        raise InputError("data_dir", str(folder), f"holds no {entry.file}", remedy)
    return path
