"""Evolution: seeds become harder problems over one or two generations."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from hammerlib.systems.evolmath.crossover import cross_pairs
from hammerlib.systems.evolmath.fitness import is_low, measure, scores
from hammerlib.systems.evolmath.operators import FIRST, REPEATED, Operator
from hammerlib.systems.evolmath.problem import Item

Judge = Callable[[Sequence[Item]], Sequence[float]]


class Evolution(NamedTuple):
    """The stages of one evolution; problem i of each stage descends from seed i.

    Attributes
    ----------
    seeds, first, final : list of Item
        Seeds in symbols, after the first generation, after the second.
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

    seeds: list[Item]
    first: list[Item]
    fitness: np.ndarray
    low: np.ndarray
    final: list[Item]


def evolve(seeds: Sequence[Item], rng: random.Random, judge: Judge | None = None) -> Evolution:
    """Evolve seeds as the paper's pipeline does.

    First generation: approximate, useless, confused, translate, misleading, background, irrelevant, then
    crossover of neighbours in both orders. Second: the low part of the fitness goes through the last three
    and crossover (of every second one) once more, and both parts are merged. At most two generations.

    Parameters
    ----------
    seeds : sequence of Item
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
    first = [_applied(item, (*FIRST, *REPEATED), rng) for item in seeds]
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


def _applied(item: Item, operators: Sequence[Operator], rng: random.Random) -> Item:
    for operator in operators:
        item = operator(item, rng)
    return item
