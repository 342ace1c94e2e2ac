"""Puzzles as a source of problems: ``load_problems("puzzles:<names>")``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError
from hammerlib.problems import make_table
from hammerlib.systems.puzzles.build import Puzzle
from hammerlib.systems.puzzles.generate import SPLITS, difficulties, generate, part_of, signature
from hammerlib.systems.puzzles.spec import Spec, read_spec, seed_names

if TYPE_CHECKING:
    from datasets import Dataset

FORMAT = "Give the final answer in \\boxed{}."
FORMAT_MANY = "Give the final answers in one \\boxed{}, in the order of the questions, ==== between them."


def load_puzzles(
    name: str, *, split: str | None, n: int | None, seed: int, columns: dict[str, str] | None
) -> Dataset:
    """Generate puzzles and return one part of them as a problem table.

    `name` is ``all``, or names of shipped specifications or YAML files, separated by commas; `split` is
    ``train`` (also for None), ``validation`` or ``test``, disjoint whatever the seed (`part_of`); `n`
    problems are spread evenly over the specifications (20 for each). ``difficulty`` is among the
    drawn puzzles of the same specification; ``metadata`` holds the record that rebuilds the puzzle.
    """
    split_name = "train" if split in (None, "rl") else split
    if split_name not in SPLITS:
        raise InputError("split", split, "unknown part", f"use one of {', '.join(SPLITS)}")
    if columns is not None:
        raise InputError("columns", columns, "a generator has no columns to map", "leave columns out")
    names = seed_names() if name == "all" else [each.strip() for each in name.split(",")]
    n = 20 * len(names) if n is None else n
    rows: list[dict[str, Any]] = []
    for number, spec_name in enumerate(names):
        quota = n // len(names) + (number < n % len(names))
        if quota:
            rows += _rows(read_spec(spec_name), split_name, quota, seed)
    return make_table(rows)


def _rows(spec: Spec, part: str, quota: int, seed: int) -> list[dict[str, Any]]:
    signatures: set[str] = set()

    def wanted(config: Mapping[str, Any]) -> bool:
        key = signature(config)
        fresh = key not in signatures and part_of(spec.name, config) == part
        signatures.add(key)
        return fresh

    puzzles = generate(spec, quota, seed=seed, accept=wanted).puzzles
    return [_row(*pair) for pair in zip(puzzles, difficulties(puzzles), strict=True)]


def _row(puzzle: Puzzle, level: float) -> dict[str, Any]:
    key = hashlib.sha256(puzzle.problem.encode()).hexdigest()[:8]
    record = {"config": puzzle.config, "parameters": puzzle.parameters, "spec": puzzle.source}
    return {
        "id": f"puzzles-{puzzle.source}-{key}",
        "prompt": f"{puzzle.problem}\n{FORMAT_MANY if '====' in puzzle.eval_type else FORMAT}",
        "answer": puzzle.answer,
        "source": f"puzzles:{puzzle.source}",
        "topic": puzzle.source,
        "difficulty": level,
        "scorer": f"puzzles:{puzzle.eval_type}",
        "metadata": json.dumps(record, ensure_ascii=False, sort_keys=True),
    }
