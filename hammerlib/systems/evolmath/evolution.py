"""Evolution: seeds become harder problems over one or two generations."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hammerlib.problems import make_table
from hammerlib.systems.evolmath.crossover import cross_pairs
from hammerlib.systems.evolmath.fitness import is_low, measure, scores
from hammerlib.systems.evolmath.operators import FIRST, REPEATED, Operator
from hammerlib.systems.evolmath.problem import Item
from hammerlib.systems.evolmath.public import ON_TEXT
from hammerlib.systems.evolmath.stories import Passage, Story

if TYPE_CHECKING:
    from datasets import Dataset

Judge = Callable[[Sequence[Any]], Sequence[float]]


class Evolution(NamedTuple):
    """The stages of one evolution; problem i of each stage descends from seed i (ours).

    Attributes
    ----------
    seeds, first, final : list of Item, or of Story
        Seeds, after the first generation, after the second.
    fitness : numpy.ndarray
        Of the first generation.
    low : numpy.ndarray of bool
        Which of it went through the second.

    Examples
    --------
    >>> from hammerlib.systems.evolmath.seeds import seed_problem
    >>> rng = random.Random(0)
    >>> evolve([seed_problem(rng) for _ in range(4)], rng).low.shape
    (4,)
    """

    seeds: list[Any]
    first: list[Any]
    fitness: np.ndarray
    low: np.ndarray
    final: list[Any]


def evolve(
    seeds: Sequence[Item] | Sequence[Story], rng: random.Random, judge: Judge | None = None
) -> Evolution:
    """Evolve seeds as the released pipeline does (arXiv 2508.13003, ``main.py``).

    First generation: approximate, useless, confused, translate, misleading, background, irrelevant, then
    crossover of neighbours in both orders. Second: the low part of the fitness goes through the last three
    and crossover (of every second one) once more, and both parts are merged. At most two generations. Public
    problems are words already and skip translate.

    Parameters
    ----------
    seeds : sequence of Item, or of Story
    rng : random.Random
    judge : callable, optional
        Problems to referee scores, 0 to 10; default 5 for all.

    Returns
    -------
    Evolution

    Examples
    --------
    >>> from hammerlib.systems.evolmath.seeds import seed_problem
    >>> rng = random.Random(1)
    >>> made = evolve([seed_problem(rng) for _ in range(6)], rng)
    >>> [one.answer for one in made.first] == [made.seeds[i].answer for i in (1, 0, 3, 2, 5, 4)]
    True
    """
    first = [
        _applied(item, (*(ON_TEXT if isinstance(item, Story) else FIRST), *REPEATED), rng) for item in seeds
    ]
    first = [dataclasses.replace(item, generation=1) for item in cross_pairs(first)]
    features = measure(first, judge(first) if judge else None)
    fitness = scores(features)
    low = is_low(features, fitness)
    places = np.flatnonzero(low)
    again = cross_pairs([_applied(first[place], REPEATED, rng) for place in places], 2)
    final = list(first)
    for place, item in zip(places, again, strict=True):
        final[place] = dataclasses.replace(item, generation=2)
    return Evolution(list(seeds), first, fitness, low, final)


def _applied(item: Any, operators: Sequence[Operator], rng: random.Random) -> Any:
    for operator in operators:
        item = operator(item, rng)
    return item


def stories_of(table: Dataset) -> list[Story]:
    """Return the problems of a table as seeds of an evolution.

    Parameters
    ----------
    table : datasets.Dataset
        Problem table.

    Examples
    --------
    >>> from hammerlib.problems import load_problems
    >>> table = load_problems("reasoning-gym:nano", n=2)
    >>> [one.text() for one in stories_of(table)] == table["prompt"][:]
    True
    """
    return [Story((Passage(row["id"], row["prompt"], row["answer"]),), operators=("seed",)) for row in table]


def evolve_table(table: Dataset, *, seed: int = 0, judge: Judge | None = None) -> Dataset:
    """Evolve a public set as `evolve` does: all operators, crossover, fitness, the low part once more.

    A chain asks for the answer before on the way; its answer, scorer and topic are those of its last problem.
    The first number of a problem becomes X = ratio x (answer before), so that every gold stays what it was.
    That the answer depends on this number cannot be proved in prose (it can in a system: `is_linked`).

    Parameters
    ----------
    table : datasets.Dataset
        Problem table, e.g. GSM8K. Golds that are no numbers cannot be handed on, and texts without a number
        take none: such problems get the operators and stay alone.
    seed : int
    judge : callable, optional
        As for `evolve`.

    Returns
    -------
    datasets.Dataset
        As many rows, in order; ``metadata`` holds, beside that of the last problem, its ``answers``,
        ``generation``, ``operators``, the ids it was ``made_of`` and the ``shortcut``.

    Examples
    --------
    >>> from hammerlib.problems import load_problems
    >>> table = load_problems("reasoning-gym:nano", n=4)
    >>> len(evolve_table(table)), set(evolve_table(table)["answer"]) <= set(table["answer"])
    (4, True)
    """
    rows = {row["id"]: row for row in table}
    digest = hashlib.sha256(f"evolmath public {seed}".encode()).hexdigest()
    made = evolve(stories_of(table), random.Random(int(digest[:16], 16)), judge) if rows else None
    return make_table([_row(story, rows) for story in (made.final if made else ())])


def _row(story: Story, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    ids = [one.id for one in story.passages]
    last = rows[ids[-1]]
    notes = json.loads(last.get("metadata") or "{}") | {
        "answers": [one.answer for one in story.passages],
        "generation": story.generation,
        "made_of": ids,
        "operators": list(story.operators),
        "shortcut": story.shortcut,
    }
    new = {
        "id": f"evolved-{'+'.join(ids)}",
        "prompt": story.text(),
        "source": f"evolmath:{last['source']}",
        "metadata": json.dumps(notes, ensure_ascii=False, sort_keys=True),
    }
    return {**last, **new}
