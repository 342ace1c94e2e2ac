"""Evolution of seeds into harder problems: crossover, fitness, one or two generations."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError
from hammerlib.evaluation import load_benchmark
from hammerlib.evaluation.benchmarks import BENCHMARKS, source_split
from hammerlib.problems import load_problems, make_table
from hammerlib.problems.gym import PARTS, part_of
from hammerlib.problems.table import subset
from hammerlib.systems.evolmath.operators import FIRST, ON_TEXT, REPEATED, Operator, approximate, translate
from hammerlib.systems.evolmath.problem import (
    THEMES,
    Item,
    Link,
    Part,
    Passage,
    Relation,
    Story,
    seed_problem,
    seeded,
    solve,
)

if TYPE_CHECKING:
    from datasets import Dataset

Kind = TypeVar("Kind", Item, Story)
Judge = Callable[[Sequence[Any]], Sequence[float]]
PLACE = 1  # the equation whose first written number is replaced: the second


# Crossover: one problem's answer becomes a number of the next one


def first_number(relation: Relation) -> tuple[int, Fraction]:
    """Return place and value of the first number that is written in an equation.

    A coefficient of 1 is not written; the right side (place -1) always is.
    """
    for position, (_, coefficient) in enumerate(relation.terms):
        if abs(coefficient) != 1:
            return position, coefficient
    return -1, relation.right


def ratio(value: Fraction | int, answer: Fraction | int | None) -> Fraction:
    """Return by how much an answer must be multiplied to give a number (``rel`` of the released cross.py)."""
    # Without an answer the released code takes 1, and the number is no longer the old one.
    if not answer:
        raise InputError("answer", answer, "cannot stand for another number", "cross problems with answers")
    return Fraction(value) / Fraction(answer)


def can_cross(first: Item | Story, second: Item | Story, equation: int = PLACE) -> bool:
    """Tell whether the second problem has a number for the first one's answer to stand for.

    Neither may be 0: with an answer of 0 no ratio gives the number, and X = 0 times the answer needs none.
    """
    return bool(first.answer) and bool(_replaced(second, equation))


def _replaced(second: Item | Story, equation: int) -> Fraction | None:
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
    >>> from hammerlib.systems.evolmath import seed_problem
    >>> import random
    >>> rng = random.Random(0); one, two = seed_problem(rng), seed_problem(rng)
    >>> both = cross(one, two); both.answers == [one.answer, two.answer]
    True
    """
    value = _replaced(second, equation)
    # a number of 0 would need an answer of 0, and any ratio
    if not value:
        raise InputError("second", str(value), "is no number that an answer can stand for", "see `can_cross`")
    times = ratio(value, first.answer)  # X = times x (answer of the first), which is the old number
    shared = {
        "extras": (*first.extras, *(extra for extra in second.extras if extra not in first.extras)),
        "operators": (*first.operators, *second.operators, "cross"),
        "generation": max(first.generation, second.generation),
    }
    if isinstance(first, Story):
        linked = replace(second.passages[0], ratio=times)
        return Story((*first.passages, linked, *second.passages[1:]), **shared)
    head = second.parts[0]
    head = replace(head, link=Link(equation, first_number(head.equations[equation])[0], times))
    return Item(_apart([*first.parts, head, *second.parts[1:]]), **shared)


def is_linked(item: Item) -> bool:
    """Tell whether every part of a chain needs the answer before: without its X equation n stays open."""
    for part, solved in zip(item.parts, item.worked_out(), strict=True):
        if part.link is not None:
            number = part.link.equation
            # n is fixed without the equation that holds X: the earlier answer is not needed
            if solve(solved.equations[:number] + solved.equations[number + 1 :]) is not None:
                return False
    return True


def _apart(parts: list[Part]) -> tuple[Part, ...]:
    """Give a part the next free theme where an earlier one tells about the same things."""
    taken: set[str] = set()
    parts_apart = []
    for part in parts:
        if part.theme and part.theme in taken:
            free = [name for name in sorted(THEMES) if name not in taken]
            part = _in_other_theme(part, free[0]) if free else part
        taken.add(part.theme)
        parts_apart.append(part)
    return tuple(parts_apart)


def _in_other_theme(part: Part, theme: str) -> Part:
    noise = []
    for statement in part.noise:
        text = statement.text
        for name, thing in THEMES[part.theme].items():
            text = text.replace(f"number of {thing}", f"number of {THEMES[theme][name]}")
        noise.append(replace(statement, text=text))
    return replace(part, theme=theme, noise=tuple(noise))


def cross_pairs(items: list[Kind], distance: int = 1) -> list[Kind]:
    """Cross neighbours in both orders: (1, 2), (3, 4) ...; at a distance of 2 (1, 3), (2, 4), (5, 7) ...

    A problem whose pair is not there, or cannot be crossed, stays as it is.
    """
    made = list(items)
    for start in range(0, len(items), 2 * distance):
        # blocks of 2 x distance: each problem has one partner
        for left in range(start, min(start + distance, len(items) - distance)):
            right = left + distance
            if can_cross(items[left], items[right]):
                made[left] = cross(items[left], items[right])
            if can_cross(items[right], items[left]):
                made[right] = cross(items[right], items[left])
    return made


# Fitness: ten measures of a problem, scaled over its set and weighted

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
_STOP_WORDS = "a an and are as at be by for from has in is it of on or so that the to was what with"


def scores(features: ArrayLike, weights: Mapping[str, float] = WEIGHTS) -> np.ndarray:
    """Return the fitness of each problem: 10 x the weighted sum of features scaled to 0..1 over the set.

    The released fitness.py (arXiv 2508.13003, its code). A score is relative to its set: another problem in
    the set can change it. With the released weights it lies between -5.3 and 4.9.
    """
    table = np.asarray(features, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(weights):
        problem = f"needs one column for each of {len(weights)} weights"
        raise InputError("features", list(table.shape), problem, "use `measure`")
    low = table.min(axis=0)
    high = table.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    # 10 sum_k w_k (f_k - min f_k) / (max f_k - min f_k); a feature that is the same for all counts nothing
    return 10 * ((table - low) / span) @ np.array(list(weights.values()))


def is_low(features: ArrayLike, fitness: ArrayLike) -> np.ndarray:
    """Tell which problems evolve once more: fitness below -0.5, or any feature below its first percentile.

    The released selection (arXiv 2508.13003, its code). The percentile interpolates, so that in a small set
    the lowest value of every feature lies below it.
    """
    table = np.asarray(features, dtype=np.float64)
    # in a small set between the two lowest values
    floor = np.percentile(table, LOWEST_SHARE, axis=0)
    return (np.asarray(fitness, dtype=np.float64) < THRESHOLD) | (table < floor).any(axis=1)


def measure(items: Sequence[Item | Story], referee: Sequence[float] | None = None) -> np.ndarray:
    """Return the features of each problem, (problems, 10) as in `WEIGHTS`, as the released fitness.py does.

    How a noise ratio, an equation-like sentence and a variable are counted there is not documented: ours are.
    `referee` is a judge's score, 0 to 10, for each; here e.g. ten times the share of samples a model fails.
    """
    judged_by = [REFEREE] * len(items) if referee is None else referee
    rows = []
    for item, judged in zip(items, judged_by, strict=True):
        sentences = item.statements()
        text = " ".join(sentence for _, sentence in sentences)
        words = len(text.split())
        noise = sum(len(sentence.split()) for is_noise, sentence in sentences if is_noise)
        equations, variables, products = item.counts()
        measured = [judged, words, grade_level(text), 0.0, entropy(text)]
        rows.append([*measured, equations, variables, products, noise / words, 0.0])
    return np.array(rows)


def entropy(text: str) -> float:
    """Return the entropy of a text's words in bits, without stop words and case."""
    ignored = _STOP_WORDS.split()
    counts = Counter(word for word in map(str.lower, _WORD.findall(text)) if word not in ignored)
    shares = np.array(list(counts.values())) / max(1, sum(counts.values()))
    # H = - sum_w p_w log2 p_w over the words w
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # not -0.0


def grade_level(text: str) -> float:
    """Return the Flesch-Kincaid grade: 0.39 words per sentence + 11.8 syllables per word - 15.59."""
    words = _WORD.findall(text)
    sentences = max(1, len(re.findall(r"[.!?](?:\s|$)", text)))
    # Syllables are groups of vowels, at least one a word.
    syllables = sum(max(1, len(re.findall(r"[aeiouy]+", word.lower()))) for word in words)
    count = max(1, len(words))
    return 0.39 * count / sentences + 11.8 * syllables / count - 15.59


# Generations


class Evolution(NamedTuple):
    """The stages of one evolution; problem i of each stage descends from seed i (ours)."""

    seeds: list[Any]
    first: list[Any]
    fitness: np.ndarray  # of the first generation
    low: np.ndarray  # which of it went through the second
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
        ``seeds``, ``first``, ``fitness``, ``low``, ``final``.

    Examples
    --------
    >>> from hammerlib.systems.evolmath import seed_problem
    >>> rng = random.Random(1)
    >>> made = evolve([seed_problem(rng) for _ in range(6)], rng)
    >>> [one.answer for one in made.first] == [made.seeds[i].answer for i in (1, 0, 3, 2, 5, 4)]
    True
    """
    once = ON_TEXT if seeds and isinstance(seeds[0], Story) else FIRST
    first = [_apply((*once, *REPEATED), seed, rng) for seed in seeds]
    first = [replace(item, generation=1) for item in cross_pairs(first)]
    features = measure(first, judge(first) if judge else None)
    fitness = scores(features)
    low = is_low(features, fitness)
    rows = np.flatnonzero(low)
    again = [_apply(REPEATED, first[row], rng) for row in rows]
    final = list(first)
    # neighbours at a distance of 2, as in the released code
    for row, item in zip(rows, cross_pairs(again, 2), strict=True):
        final[row] = replace(item, generation=2)
    return Evolution(list(seeds), first, fitness, low, final)


def _apply(operators: Sequence[Operator], item: Any, rng: random.Random) -> Any:
    for operator in operators:
        item = operator(item, rng)
    return item


def stories_of(table: Dataset) -> list[Story]:
    """Return the problems of a table as seeds of an evolution."""
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
    if not rows:
        return make_table([])
    stories = evolve(stories_of(table), seeded(f"evolmath public {seed}"), judge).final
    return make_table([_row(story, rows) for story in stories])


def _row(story: Story, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    ids = [passage.id for passage in story.passages]
    last = rows[ids[-1]]
    notes = json.loads(last.get("metadata") or "{}") | {
        "answers": [passage.answer for passage in story.passages],
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


# As a source of problems: load_problems("evolmath:<name>")


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
