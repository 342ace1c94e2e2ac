"""Fitness: ten measures of a problem, scaled over its set and weighted; selection of the low part."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError
from hammerlib.systems.evolmath.problem import Item
from hammerlib.systems.evolmath.stories import Story

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
    >>> from hammerlib.systems.evolmath.seeds import seed_problem
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
