"""EvolMathEval as a source of problems: ``load_problems("evolmath:<name>")``."""

from __future__ import annotations

import hashlib
import json
import random
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError
from hammerlib.evaluation import load_benchmark
from hammerlib.evaluation.benchmarks import BENCHMARKS, source_split
from hammerlib.problems import load_problems, make_table
from hammerlib.problems.gym import PARTS, part_of
from hammerlib.problems.table import subset
from hammerlib.systems.evolmath.evolution import evolve, evolve_table
from hammerlib.systems.evolmath.operators import approximate, translate
from hammerlib.systems.evolmath.problem import Item, seed_problem

if TYPE_CHECKING:
    from datasets import Dataset

NAMES = ("seed", "targeted", "evolved")


def load_evolved(
    name: str, *, split: str | None, n: int | None, seed: int, columns: dict[str, str] | None
) -> Dataset:
    """Generate linear systems and evolve them, or evolve a public set.

    Seeds, operators and evolution are those of arXiv 2508.13003 and its code; the part ``heldout`` is ours.

    Parameters
    ----------
    name : str
        ``seed`` (symbols, no noise), ``targeted`` (in words, with one fuzzy relation that invites a
        shortcut), ``evolved`` (all operators, crossover, up to two generations); or a benchmark such as
        ``gsm8k`` (also ``gsm8k@hub``), or another source such as ``file:mine.jsonl``, whose problems evolve
        as texts (`evolve_table`).
    split : str or None
        Generated ones: ``supervised``, ``rl`` (also for None) or ``heldout``, disjoint by their seeds
        whatever the random seed; otherwise that of the source. A benchmark has none.
    n : int or None
        Default 200; of a public set all.
    seed : int
    columns : mapping or None
        For a file or hub source alone.

    Returns
    -------
    datasets.Dataset
        ``metadata`` holds operators, generation, the binding equations, intermediate answers and the
        `shortcut`: the answer of whoever takes the fuzzy relation for an equation.

    Raises
    ------
    InputError
        An unknown name or part; a split or columns where there are none to choose.

    Examples
    --------
    >>> table = load_evolved("targeted", split="heldout", n=3, seed=0, columns=None)
    >>> [json.loads(row)["shortcut"] != "" for row in table["metadata"]]
    [True, True, True]
    """
    if name not in NAMES:
        return _public(name, split, n, seed, columns)
    part = split or "rl"
    if part not in PARTS:
        raise InputError("split", split, "unknown part", f"use one of {', '.join(PARTS)}")
    if columns is not None:
        raise InputError("columns", columns, "a generator has no columns to map", "leave columns out")
    rng = random.Random(int(hashlib.sha256(f"evolmath {part} {seed}".encode()).hexdigest()[:16], 16))
    seeds = _seeds(part, 200 if n is None else n, rng)
    if name == "targeted":
        items = [translate(approximate(item, rng), rng) for item in seeds]
    else:
        items = seeds if name == "seed" else evolve(seeds, rng).final
    return make_table([row(item, f"evolmath:{name}") for item in items])


def _seeds(part: str, n: int, rng: random.Random) -> list[Item]:
    kept: dict[str, Item] = {}
    while len(kept) < n:
        item = seed_problem(rng)
        if part_of(item.text()) == part:
            kept.setdefault(item.text(), item)
    return list(kept.values())


def row(item: Item, source: str) -> dict[str, Any]:
    """Return an item as a row of the problem table.

    Parameters
    ----------
    item : Item
    source : str

    Examples
    --------
    >>> row(seed_problem(random.Random(0)), "mine")["topic"]
    'linear systems'
    """
    prompt = item.text()
    last = "the last question" if len(item.parts) > 1 else "the question"
    told = f"{prompt} Give the answer to {last} in \\boxed{{}}."
    answers = [str(one) for one in item.answers]
    notes = {
        "answers": answers,
        "binding": [[one.told() for one in part.equations] for part in item.parts],
        "generation": item.generation,
        "operators": list(item.operators),
        "shortcut": "" if item.shortcut is None else str(item.shortcut),
    }
    return {
        "id": f"evolmath-{hashlib.sha256(prompt.encode()).hexdigest()[:12]}",
        "prompt": told,
        "answer": answers[-1],
        "source": source,
        "topic": "linear systems",
        "metadata": json.dumps(notes, ensure_ascii=False, sort_keys=True),
    }


def _public(
    name: str, split: str | None, n: int | None, seed: int, columns: dict[str, str] | None
) -> Dataset:
    if name.partition("@")[0] in BENCHMARKS:
        given = None if split == "rl" else split  # the part to train on, of a set that has one part
        for field, value in (("split", given), ("columns", columns)):
            if value is not None:
                problem = f"{name} is a benchmark, one file whose layout is known"
                raise InputError(field, value, problem, f"leave {field} out")
        table = subset(load_benchmark(name), n, seed)
    elif ":" in name and not name.startswith("evolmath:"):
        part = split if split is not None else source_split(name)
        table = load_problems(name, split=part, n=n, seed=seed, columns=columns)
    else:
        known = (
            f"{', '.join(NAMES)}, a benchmark ({', '.join(BENCHMARKS)}), or a source such as file:mine.jsonl"
        )
        raise InputError("problems", f"evolmath:{name}", "is unknown", f"use {known}")
    return evolve_table(table, seed=seed)
