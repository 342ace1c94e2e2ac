"""EvolMathEval as a source of problems: ``load_problems("evolmath:<name>")``."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError
from hammerlib.evaluation import load_benchmark
from hammerlib.evaluation.benchmarks import BENCHMARKS, source_split
from hammerlib.problems import load_problems, make_table
from hammerlib.problems.gym import PARTS, part_of
from hammerlib.problems.table import subset
from hammerlib.systems.evolmath.evolution import evolve, evolve_table
from hammerlib.systems.evolmath.operators import approximate, translate
from hammerlib.systems.evolmath.problem import Item, seed_problem, seeded

if TYPE_CHECKING:
    from datasets import Dataset

NAMES = ("seed", "targeted", "evolved")


def load_evolved(
    name: str, *, split: str | None, n: int | None, seed: int, columns: dict[str, str] | None
) -> Dataset:
    """Generate linear systems and evolve them, or evolve a public set.

    `name` is ``seed`` (symbols, no noise), ``targeted`` (in words, with one fuzzy relation that invites a
    shortcut), ``evolved`` (all operators, crossover, up to two generations); or a benchmark such as ``gsm8k``
    (also ``gsm8k@hub``), or another source such as ``file:mine.jsonl``, whose problems evolve as texts. The
    parts of generated ones (`split`) are disjoint whatever the seed. ``metadata`` holds operators,
    generation, the binding equations, intermediate answers and the ``shortcut``.
    """
    if name not in NAMES:
        return _public(name, split, n, seed, columns)
    split_name = split or "rl"
    if split_name not in PARTS:
        raise InputError("split", split, "unknown part", f"use one of {', '.join(PARTS)}")
    if columns is not None:
        raise InputError("columns", columns, "a generator has no columns to map", "leave columns out")
    rng = seeded(f"evolmath {split_name} {seed}")
    seeds: dict[str, Item] = {}
    while len(seeds) < (200 if n is None else n):
        item = seed_problem(rng)
        if part_of(item.text()) == split_name:
            seeds.setdefault(item.text(), item)
    items = list(seeds.values())
    if name == "targeted":
        items = [translate(approximate(item, rng), rng) for item in items]
    elif name == "evolved":
        items = evolve(items, rng).final
    return make_table([row(item, f"evolmath:{name}") for item in items])


def row(item: Item, source: str) -> dict[str, Any]:
    """Return an item as a row of the problem table."""
    prompt = item.text()
    last = "the last question" if len(item.parts) > 1 else "the question"
    answers = [str(answer) for answer in item.answers]
    notes = {
        "answers": answers,
        "binding": [[equation.told() for equation in part.equations] for part in item.parts],
        "generation": item.generation,
        "operators": list(item.operators),
        "shortcut": "" if item.shortcut is None else str(item.shortcut),
    }
    return {
        "id": f"evolmath-{hashlib.sha256(prompt.encode()).hexdigest()[:12]}",
        "prompt": f"{prompt} Give the answer to {last} in \\boxed{{}}.",
        "answer": answers[-1],
        "source": source,
        "topic": "linear systems",
        "metadata": json.dumps(notes, ensure_ascii=False, sort_keys=True),
    }


def _public(
    name: str, split: str | None, n: int | None, seed: int, columns: dict[str, str] | None
) -> Dataset:
    if name.partition("@")[0] in BENCHMARKS:
        asked_split = None if split == "rl" else split  # the part to train on, of a set that has one part
        for field, value in (("split", asked_split), ("columns", columns)):
            if value is not None:
                problem = f"{name} is a benchmark, one file whose layout is known"
                raise InputError(field, value, problem, f"leave {field} out")
        table = subset(load_benchmark(name), n, seed)
    elif ":" in name and not name.startswith("evolmath:"):
        source_part = split if split is not None else source_split(name)
        table = load_problems(name, split=source_part, n=n, seed=seed, columns=columns)
    else:
        sources = f"{', '.join(NAMES)}, a benchmark ({', '.join(BENCHMARKS)}), or a source such as"
        raise InputError("problems", f"evolmath:{name}", "is unknown", f"use {sources} file:mine.jsonl")
    return evolve_table(table, seed=seed)
