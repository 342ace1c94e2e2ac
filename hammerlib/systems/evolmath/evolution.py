"""Evolution of seeds into harder problems: crossover, fitness, one or two generations."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError
from hammerlib.problems import make_table
from hammerlib.systems.evolmath.operators import FIRST, ON_TEXT, REPEATED, Operator
from hammerlib.systems.evolmath.phrases import THEMES
from hammerlib.systems.evolmath.problem import Item, Link, Part, Relation, solve
from hammerlib.systems.evolmath.stories import Passage, Story

if TYPE_CHECKING:
    from datasets import Dataset

Kind = TypeVar("Kind", Item, Story)
PLACE = 1  # the equation whose first written number is replaced: the second


def first_number(relation: Relation) -> tuple[int, Fraction]:
    """Return place and value of the first number that is written in an equation.

    A coefficient of 1 is not written; the right side (place -1) always is.

    Parameters
    ----------
    relation : Relation

    Examples
    --------
    >>> first_number(Relation((("x", Fraction(1)), ("z", Fraction(-4))), Fraction(8)))
    (1, Fraction(-4, 1))
    """
    for place, (_, coefficient) in enumerate(relation.terms):
        if abs(coefficient) != 1:
            return place, coefficient
    return -1, relation.right


def ratio(value: Fraction | int, answer: Fraction | int | None) -> Fraction:
    """Return by how much an answer must be multiplied to give a number, exactly (``rel`` of its cross.py).

    Parameters
    ----------
    value : number
        To be replaced.
    answer : number
        Of the first problem.

    Raises
    ------
    InputError
        The answer is missing or 0. (The released code then takes 1, and the number is no longer the old one.)

    Examples
    --------
    >>> ratio(6, 4), ratio(Fraction(-5, 2), 4), ratio(6, 3)
    (Fraction(3, 2), Fraction(-5, 8), Fraction(2, 1))
    """
    if not answer:
        raise InputError("answer", answer, "cannot stand for another number", "cross problems with answers")
    return Fraction(value) / Fraction(answer)


def can_cross(first: Item | Story, second: Item | Story, equation: int = PLACE) -> bool:
    """Tell whether the second problem has a number for the first one's answer to stand for.

    Neither may be 0: with an answer of 0 no ratio gives the number, and X = 0 times the answer needs none.

    Parameters
    ----------
    first, second : Item or Story
    equation : int
        As for `cross`; a public problem has none.

    Examples
    --------
    >>> from hammerlib.systems.evolmath.stories import Passage
    >>> five, none = (Story((Passage("1", text, "2"),)) for text in ("5 figs?", "Some figs?"))
    >>> can_cross(five, five), can_cross(five, none)
    (True, False)
    """
    return bool(first.answer) and bool(_number(second, equation))


def _number(second: Item | Story, equation: int) -> Fraction | None:
    if isinstance(second, Story):
        return second.passages[0].number
    return first_number(second.parts[0].equations[equation])[1]


def cross(first: Kind, second: Kind, equation: int = PLACE) -> Kind:
    """Chain two problems: a number of the second becomes X = ratio x (answer of the first).

    The released ``cross.py`` (arXiv 2508.13003). In a public problem the number is the first one written.

    Parameters
    ----------
    first, second : Item, or both Story
        Solvable; two parts in a row get different themes.
    equation : int
        Which equation takes the X. 1 is the paper's; the answer need not depend on that one (`is_linked`).
        0 is the equation that every seed needs (ours). A public problem has none.

    Returns
    -------
    Item or Story
        Its answer is the second problem's; the first's is asked for on the way. ``operators`` holds those of
        the first, those of the second, and ``cross``.

    Raises
    ------
    InputError
        The first has no answer, or 0; the second has no number there, or 0 (`can_cross`).

    Examples
    --------
    >>> from hammerlib.systems.evolmath.problem import seed_problem
    >>> import random
    >>> rng = random.Random(0); one, two = seed_problem(rng), seed_problem(rng)
    >>> both = cross(one, two); both.answers == [one.answer, two.answer]
    True
    """
    value = _number(second, equation)
    if not value:
        raise InputError("second", str(value), "is no number that an answer can stand for", "see `can_cross`")
    times = ratio(value, first.answer)
    whole = (
        (*first.extras, *(one for one in second.extras if one not in first.extras)),
        (*first.operators, *second.operators, "cross"),
        max(first.generation, second.generation),
    )
    if isinstance(first, Story):
        told = dataclasses.replace(second.passages[0], ratio=times)
        return Story((*first.passages, told, *second.passages[1:]), *whole)
    head = second.parts[0]
    link = Link(equation, first_number(head.equations[equation])[0], times)
    head = dataclasses.replace(head, link=link)
    return Item(tuple(_apart([*first.parts, head, *second.parts[1:]])), *whole)


def is_linked(item: Item) -> bool:
    """Tell whether every part of a chain needs the answer before: without its X equation n stays open.

    Parameters
    ----------
    item : Item

    Examples
    --------
    >>> import random
    >>> from hammerlib.systems.evolmath.problem import seed_problem
    >>> rng = random.Random(0); one, two = seed_problem(rng), seed_problem(rng)
    >>> is_linked(cross(one, two, equation=0))
    True
    """
    before = [None, *item.answers[:-1]]
    for part, answer in zip(item.parts, before, strict=True):
        if part.link is not None:
            known = part.with_number(answer).equations
            if solve(known[: part.link.equation] + known[part.link.equation + 1 :]) is not None:
                return False
    return True


def _apart(parts: list[Part]) -> list[Part]:
    """Give a part the next free theme where an earlier one tells about the same things."""
    taken: set[str] = set()
    told = []
    for part in parts:
        if part.theme and part.theme in taken:
            free = [name for name in sorted(THEMES) if name not in taken]
            part = _retold(part, free[0]) if free else part
        taken.add(part.theme)
        told.append(part)
    return told


def _retold(part: Part, theme: str) -> Part:
    noise = []
    for one in part.noise:
        text = one.text
        for name, thing in THEMES[part.theme].items():
            text = text.replace(f"number of {thing}", f"number of {THEMES[theme][name]}")
        noise.append(dataclasses.replace(one, text=text))
    return dataclasses.replace(part, theme=theme, noise=tuple(noise))


def cross_pairs(items: list[Kind], distance: int = 1) -> list[Kind]:
    """Cross neighbours in both orders: (1, 2), (3, 4) ...; at a distance of 2 (1, 3), (2, 4), (5, 7) ...

    Parameters
    ----------
    items : list of Item, or of Story
    distance : int
        1 in the first generation, 2 in the second.

    Returns
    -------
    list of Item, or of Story
        As many as before; a place whose pair is not there, or cannot be crossed, stays as it is.

    Examples
    --------
    >>> from hammerlib.systems.evolmath.problem import seed_problem
    >>> import random
    >>> items = [seed_problem(random.Random(seed)) for seed in range(5)]
    >>> [len(one.parts) for one in cross_pairs(items)], [len(one.parts) for one in cross_pairs(items, 2)]
    ([2, 2, 2, 2, 1], [2, 2, 2, 2, 1])
    """
    made = list(items)
    for start in range(0, len(items), 2 * distance):
        for left in range(start, min(start + distance, len(items) - distance)):
            right = left + distance
            for place, first, second in ((left, left, right), (right, right, left)):
                if can_cross(items[first], items[second]):
                    made[place] = cross(items[first], items[second])
    return made


# Feature -> weight, in the released order (fitness.py). Two need a parser or embeddings, which are not used
# here: they are 0 for every problem, and a constant feature counts nothing.
WEIGHTS: dict[str, float] = {
    "referee": -0.13,
    "words": 0.09,
    "grade_level": -0.10,
    "dependency_depth": 0.05,
    "entropy": 0.15,
    "equations": -0.15,
    "variables": -0.15,
    "non_linear": 0.0,
    "noise_ratio": 0.20,
    "similarity": 0.0,
}
REFEREE = 5.0  # the released default where no judge is asked
THRESHOLD = -0.5
LOWEST_SHARE = 1.0  # percentile below which any single feature makes a problem low
_WORD = re.compile(r"[A-Za-z]+")
_STOP = frozenset(
    (
        *("a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "has", "in", "is", "it", "of"),
        *("on", "or", "so", "that", "the", "to", "was", "what", "with"),
    )
)


def scores(features: ArrayLike, weights: Mapping[str, float] = WEIGHTS) -> np.ndarray:
    """Return the fitness of each problem: 10 x the weighted sum of features scaled to 0..1 over the set.

    The released fitness.py (arXiv 2508.13003, its code). A score is relative to its set: another problem in
    the set can change it. With the released weights it lies between -5.3 and 4.9.

    Parameters
    ----------
    features : (problems, features)
        In the order of `weights`.
    weights : mapping of str to float

    Returns
    -------
    numpy.ndarray, shape (problems,)

    Raises
    ------
    InputError
        Another number of features than of weights.

    Examples
    --------
    >>> scores([[0.0, 1.0], [2.0, 1.0]], {"a": 0.1, "b": 0.5}).tolist()
    [0.0, 1.0]
    """
    table = np.asarray(features, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(weights):
        problem = f"needs one column for each of {len(weights)} weights"
        raise InputError("features", list(table.shape), problem, "use `measure`")
    low, high = table.min(axis=0), table.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    return 10 * ((table - low) / span) @ np.array(list(weights.values()))


def is_low(features: ArrayLike, fitness: ArrayLike) -> np.ndarray:
    """Tell which problems evolve once more: fitness below -0.5, or any feature below its first percentile.

    The released selection (arXiv 2508.13003, its code). The percentile interpolates, so that in a small set
    the lowest value of every feature lies below it.

    Parameters
    ----------
    features : (problems, features)
    fitness : (problems,)

    Examples
    --------
    >>> is_low([[0.0], [1.0], [1.0]], [0.3, 0.2, -0.6]).tolist()
    [True, False, True]
    """
    table, values = np.asarray(features, dtype=np.float64), np.asarray(fitness, dtype=np.float64)
    floor = np.percentile(table, LOWEST_SHARE, axis=0)
    return (values < THRESHOLD) | (table < floor).any(axis=1)


def measure(items: Sequence[Item | Story], referee: Sequence[float] | None = None) -> np.ndarray:
    """Return the ten features of each problem: those of the released fitness.py (arXiv 2508.13003, its code).

    How a noise ratio, an equation-like sentence and a variable are counted there is not documented: ours are.

    Parameters
    ----------
    items : sequence of Item or Story
    referee : sequence of float, optional
        A judge's score, 0 to 10, for each; here e.g. ten times the share of samples a model fails. Default 5.

    Returns
    -------
    numpy.ndarray, shape (problems, 10)
        Columns as in `WEIGHTS`. The noise ratio is the share of words in sentences that bind nothing.

    Examples
    --------
    >>> import random
    >>> from hammerlib.systems.evolmath.problem import seed_problem
    >>> measure([seed_problem(random.Random(0))]).shape
    (1, 10)
    """
    judged = [REFEREE] * len(items) if referee is None else list(referee)
    return np.array([_features(item, score) for item, score in zip(items, judged, strict=True)])


def _features(item: Item | Story, referee: float) -> list[float]:
    told = item.statements()
    text = " ".join(sentence for _, sentence in told)
    words = text.split()
    noise = sum(len(sentence.split()) for is_noise, sentence in told if is_noise)
    equations, variables, products = item.counts()
    return [
        referee,
        len(words),
        grade_level(text),
        0.0,
        entropy(text),
        equations,
        variables,
        products,
        noise / len(words),
        0.0,
    ]


def entropy(text: str) -> float:
    """Return the entropy of a text's words in bits, without stop words and case.

    Examples
    --------
    >>> entropy("red blue red blue the the"), entropy("")
    (1.0, 0.0)
    """
    counts = Counter(word for word in map(str.lower, _WORD.findall(text)) if word not in _STOP)
    shares = np.array(list(counts.values())) / max(1, sum(counts.values()))
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def grade_level(text: str) -> float:
    """Return the Flesch-Kincaid grade: 0.39 words per sentence + 11.8 syllables per word - 15.59.

    Syllables are groups of vowels, at least one a word.

    Examples
    --------
    >>> round(grade_level("The cat sat. The dog ran."), 2)
    -2.62
    """
    words = _WORD.findall(text)
    sentences = max(1, len(re.findall(r"[.!?](?:\s|$)", text)))
    syllables = sum(max(1, len(re.findall(r"[aeiouy]+", word.lower()))) for word in words)
    count = max(1, len(words))
    return 0.39 * count / sentences + 11.8 * syllables / count - 15.59


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
    >>> from hammerlib.systems.evolmath.problem import seed_problem
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
    >>> from hammerlib.systems.evolmath.problem import seed_problem
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
