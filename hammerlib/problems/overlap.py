"""Overlap of a training set with benchmarks: what a person calls the same problem, and its removal."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hammerlib.errors import InputError, check_whole
from hammerlib.problems.copies import (
    KINDS,
    common_ends,
    facts_of,
    figure_of,
    joined,
    questions_of,
    sentences_of,
    tokens_of,
    without_common_sentences,
    without_ends,
    without_instructions,
    words_of,
)
from hammerlib.problems.hygiene import same_text

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

NGRAM = 13  # words; Brown et al. 2020 (arXiv 2005.14165), appendix C
SHARE = 0.5  # of a benchmark problem's n-grams
_MISSING = 0.34  # of the words of its question
COLUMNS = (
    "id",
    "benchmark",
    "benchmark_id",
    "kind",
    "shared",
    "share",
    "answer",
    "benchmark_answer",
    "same_answer",
)


class _Text:
    """A problem text in the forms that are compared."""

    def __init__(self, text: str, full: list[str], bare: list[list[str]], n: int) -> None:
        self.text, self.kept = text, without_instructions(text)
        core = full if self.kept == text else tokens_of(self.kept)
        # Key to whether only what nearly all rows share was taken off. The longest form comes last.
        self.keys = dict.fromkeys(map(joined, bare), True) | {
            joined(core): False,
            joined(full) or text: False,
        }
        self.keys.pop("", None)
        tokens = min(core, *bare, key=len)
        self.grams = {tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}
        self.figure = figure_of(text)
        # What a copy of this text must hold, and what this text holds as a copy of another.
        self.asked, self.facts = facts_of(text, tokens), facts_of(text, full)

    @functools.cached_property
    def question(self) -> frozenset[str]:
        return words_of(questions_of(self.kept)[-1])

    @functools.cached_property
    def questions(self) -> list[frozenset[str]]:
        return [words_of(one) for one in questions_of(self.text)]

    def asks(self, other: _Text) -> bool:
        """Whether this text asks what the other asks: all letters and numbers, most words."""
        allowed = max(1, _MISSING * len(other.question))
        lacking = (other.question - words for words in self.questions)
        return any(len(words) <= allowed and not any(map(_is_fact, words)) for words in lacking)


def _is_fact(word: str) -> bool:
    return len(word) == 1 or word[0].isdigit() or word in KINDS.values()


def decontaminate(
    table: Dataset,
    benchmarks: Mapping[str, Dataset],
    *,
    n: int = NGRAM,
    share: float = SHARE,
    same_answer: Callable[[str, str], bool] | None = None,
) -> tuple[Dataset, pd.DataFrame]:
    """Drop the problems that stand in a benchmark, and report every such pair.

    Two rules. *exact*: the texts are the same once notation, layout and labels are aside
    (`hammerlib.problems.copies.tokens_of`; digits and operators count), with or without the sentences at
    their ends that tell how to answer, and with or without the words with which nearly all rows of a table
    begin or end. *n-gram*: at least `share` of the benchmark problem's runs of `n` words stand in the
    training problem, and so do all its numbers, signs, functions, names of several letters and its question:
    a variant with another number is another problem, and so is another question about one setting. Two
    different figures always tell two problems apart.
    Paraphrases and translations are not found.

    Parameters
    ----------
    table : datasets.Dataset
        Training problems.
    benchmarks : mapping of str to datasets.Dataset
        Evaluation sets by name.
    n : int
        Words, numbers or operators of an n-gram, at least 2; shorter problems are compared exactly only.
    share : float
        In (0, 1].
    same_answer : callable, optional
        ``(answer, benchmark_answer) -> bool``; by default equality of the texts up to spelling. For
        mathematical equality give a grader: ``lambda a, b: grade(rf"\\boxed{{{a}}}", b).correct``.

    Returns
    -------
    (datasets.Dataset, pandas.DataFrame)
        The clean rows in their order, and one report row per pair found: ``id`` (training), ``benchmark``,
        ``benchmark_id``, ``kind`` (exact, n-gram), ``shared`` (n-grams; missing for exact), ``share`` (of the
        benchmark problem's), ``answer``, ``benchmark_answer``, ``same_answer`` (bool).

    Raises
    ------
    InputError
        `n` below 2, `share` out of range.

    Examples
    --------
    >>> from hammerlib.problems import make_table
    >>> row = {"id": "x-0", "prompt": "What is 1+1?", "answer": "2", "source": "x", "topic": "t"}
    >>> clean, report = decontaminate(make_table([row]), {"test": make_table([row | {"id": "test-7"}])})
    >>> len(clean), report["benchmark_id"].tolist(), report["same_answer"].tolist()
    (0, ['test-7'], [True])

    Notes
    -----
    n-grams of 13 words: Brown et al. 2020 (arXiv 2005.14165), appendix C. The other conditions are ours. On
    DAPO-Math-17k (17,917 rows) against AMC 2023, MATH-500 and OlympiadBench it finds 126 pairs, 49 exact and
    77 by n-grams; read by hand, every pair is one problem, some with the question turned ("give m + n").
    Within one set, whose problems are siblings, n-grams also find siblings: 1 pair in OlympiadBench.
    """
    import pandas as pd

    check_whole("n", n, 2, f"leave it out for {NGRAM}")
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise InputError("share", share, "must be above 0 and at most 1", f"leave it out for {SHARE}")
    _check_tables(table, benchmarks)
    agree = same_answer or same_text
    places: list[tuple[str, str, str]] = []  # benchmark, id, answer of every benchmark problem
    theirs: list[_Text] = []
    for name, benchmark in benchmarks.items():
        ids, golds = benchmark["id"][:], benchmark["answer"][:]
        places += [(name, own, gold) for own, gold in zip(ids, golds, strict=True)]
        theirs += _texts(benchmark["prompt"][:], n)
    finder = _Finder(theirs, share)
    hits, clean = [], []
    rows = zip(table["id"][:], table["answer"][:], _texts(table["prompt"][:], n), strict=True)
    for index, (own, answer, text) in enumerate(rows):
        found = finder.find(text)
        if not found:
            clean.append(index)
        for place, (kind, shared, part) in sorted(found.items()):
            name, other, gold = places[place]
            hits.append((own, name, other, kind, shared, part, answer, gold, agree(answer, gold)))
    report = pd.DataFrame(hits, columns=list(COLUMNS)).astype({"same_answer": bool, "shared": "Int64"})
    return table.select(clean), report


def _check_tables(table: Dataset, benchmarks: Mapping[str, Dataset]) -> None:
    if not isinstance(benchmarks, Mapping):
        remedy = 'give {"name": table}'
        raise InputError("benchmarks", type(benchmarks).__name__, "are no tables by name", remedy)
    for name, one in [("table", table), *benchmarks.items()]:
        lacking = {"id", "prompt", "answer"} - set(getattr(one, "column_names", ()) or ())
        if lacking:
            problem = f"is no table with {', '.join(sorted(lacking))}"
            raise InputError(str(name), type(one).__name__, problem, "make it with load_problems")


def overlap_report(
    train: Dataset, benchmarks: Mapping[str, Dataset], *, n: int = NGRAM, share: float = SHARE
) -> pd.DataFrame:
    """List the benchmark problems that stand in a training set: `decontaminate`'s report, exact ones first.

    Parameters
    ----------
    train, benchmarks, n, share
        As for `decontaminate`, which removes the training problems that are listed here.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    InputError
        As for `decontaminate`.

    Examples
    --------
    >>> from hammerlib.problems import make_table
    >>> row = {"id": "x-0", "prompt": "What is 1+1?", "answer": "2", "source": "x", "topic": "t"}
    >>> report = overlap_report(make_table([row]), {"test": make_table([row | {"id": "test-7"}])})
    >>> report[["benchmark", "benchmark_id", "id", "kind"]].values.tolist()
    [['test', 'test-7', 'x-0', 'exact']]
    """
    report = decontaminate(train, benchmarks, n=n, share=share)[1]
    return report.sort_values("kind", kind="stable", ignore_index=True)


def overlap_counts(report: pd.DataFrame, benchmarks: Mapping[str, Dataset]) -> dict[str, dict[str, int]]:
    """Count the problems of each benchmark that an overlap report lists.

    Returns
    -------
    dict
        Benchmark to ``problems`` (all of it), ``exact`` and ``n_gram`` (problems found so; exact ones are
        not counted again).

    Examples
    --------
    >>> from hammerlib.problems import overlap_report
    >>> from hammerlib.problems import make_table
    >>> row = {"id": "x-0", "prompt": "What is 1+1?", "answer": "2", "source": "x", "topic": "t"}
    >>> sets = {"test": make_table([row])}
    >>> overlap_counts(overlap_report(make_table([row]), sets), sets)
    {'test': {'problems': 1, 'exact': 1, 'n_gram': 0}}
    """
    found = {}
    for name, table in benchmarks.items():
        mine = report[report["benchmark"] == name]
        exact = set(mine[mine["kind"] == "exact"]["benchmark_id"])
        partly = set(mine["benchmark_id"]) - exact
        found[name] = {"problems": len(table), "exact": len(exact), "n_gram": len(partly)}
    return found


def _texts(prompts: Sequence[str], n: int) -> Iterator[_Text]:
    """The comparable forms of a table's prompts; what nearly all of them share is found over the table."""
    full = [tokens_of(text) for text in prompts]
    ends = common_ends(full)
    shorter = without_common_sentences(prompts)
    for tokens, text, rest in zip(full, prompts, shorter, strict=True):
        bare = [without_ends(tokens, ends)]
        if rest != " ".join(sentences_of(text)):
            bare.append(tokens_of(rest))
        yield _Text(text, tokens, bare, n)


class _Finder:
    """Benchmark problems by what they share with a training problem."""

    def __init__(self, theirs: Sequence[_Text], share: float) -> None:
        self.theirs, self.share = theirs, share
        self.by_key: dict[str, list[tuple[int, bool]]] = defaultdict(list)
        self.by_gram: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for place, text in enumerate(theirs):
            for key, is_bare in text.keys.items():
                self.by_key[key].append((place, is_bare))
            for gram in text.grams:
                self.by_gram[gram].append(place)

    def find(self, text: _Text) -> dict[int, tuple[str, int | None, float]]:
        """Place of every benchmark problem that is this one, to kind, shared n-grams and their share."""
        counts = Counter(place for gram in text.grams for place in self.by_gram.get(gram, ()))
        found: dict[int, tuple[str, int | None, float]] = {}
        for place, shared in counts.items():
            other = self.theirs[place]
            part = shared / len(other.grams)
            if part >= self.share and other.asked <= text.facts and text.asks(other) and _drawn(text, other):
                found[place] = ("n-gram", shared, part)
        for key, is_bare in text.keys.items():
            for place, other_bare in self.by_key.get(key, ()):
                # "Find the gcd of: 4, 6" and "Find the lcm of: 4, 6" are the same only without their heads.
                if not (is_bare and other_bare) and _drawn(text, self.theirs[place]):
                    found[place] = ("exact", None, 1.0)
        return found


def _drawn(one: _Text, other: _Text) -> bool:
    """Whether two texts have no two different figures: "Find x in the figure" is many problems."""
    return not one.figure or not other.figure or one.figure == other.figure
