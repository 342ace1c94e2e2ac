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
from hammerlib.systems.puzzles.spec import read_spec, seed_names

if TYPE_CHECKING:
    from datasets import Dataset

FORMAT = "Give the final answer in \\boxed{}."
FORMAT_MANY = "Give the final answers in one \\boxed{}, in the order of the questions, ==== between them."


def load_puzzles(
    name: str, *, split: str | None, n: int | None, seed: int, columns: dict[str, str] | None
) -> Dataset:
    """Generate puzzles and return one part of them as a problem table.

    Parameters
    ----------
    name : str
        ``all``, or names of shipped specifications or YAML files, separated by commas.
    split : str or None
        ``train`` (also for None), ``validation`` or ``test``, disjoint whatever the seed (`corpus.part_of`).
    n : int or None
        Problems, spread evenly over the specifications; default 20 for each.
    seed : int
    columns : None
        Not used by generators.

    Returns
    -------
    datasets.Dataset
        With ``difficulty`` (among the drawn puzzles of the same specification: .5 of one is not .5 of
        another, which `difficulties` over all of them would compare), ``scorer`` (``puzzles:<types>``) and
        ``metadata`` (the record that rebuilds the puzzle).

    Raises
    ------
    InputError
        Unknown name or part, columns given, or more puzzles than a specification has.

    Examples
    --------
    >>> table = load_puzzles("weekday", split="test", n=2, seed=0, columns=None)
    >>> table["scorer"][:]
    ['puzzles:nominal', 'puzzles:nominal']
    """
    part = "train" if split in (None, "rl") else split
    if part not in SPLITS:
        raise InputError("split", split, "unknown part", f"use one of {', '.join(SPLITS)}")
    if columns is not None:
        raise InputError("columns", columns, "a generator has no columns to map", "leave columns out")
    names = seed_names() if name == "all" else [one.strip() for one in name.split(",")]
    n = 20 * len(names) if n is None else n
    rows: list[dict[str, Any]] = []
    for place, one in enumerate(names):
        quota = n // len(names) + (place < n % len(names))
        rows += _rows(one, part, quota, seed) if quota else []
    return make_table(rows)


def _rows(name: str, part: str, quota: int, seed: int) -> list[dict[str, Any]]:
    spec = read_spec(name)
    seen: set[str] = set()

    def wanted(config: Mapping[str, Any]) -> bool:
        key = signature(config)
        fresh = key not in seen and part_of(spec.name, config) == part
        seen.add(key)
        return fresh

    made = generate(spec, quota, seed=seed, accept=wanted).puzzles
    return [_row(one, level) for one, level in zip(made, difficulties(made), strict=True)]


def _row(one: Puzzle, level: float) -> dict[str, Any]:
    key = hashlib.sha256(one.problem.encode()).hexdigest()[:8]
    record = {"config": one.config, "parameters": one.parameters, "spec": one.source}
    return {
        "id": f"puzzles-{one.source}-{key}",
        "prompt": f"{one.problem}\n{FORMAT_MANY if '====' in one.eval_type else FORMAT}",
        "answer": one.answer,
        "source": f"puzzles:{one.source}",
        "topic": one.source,
        "difficulty": level,
        "scorer": f"puzzles:{one.eval_type}",
        "metadata": json.dumps(record, ensure_ascii=False, sort_keys=True),
    }
