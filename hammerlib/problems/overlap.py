"""Overlap of a training set with benchmarks: same text, or long runs of the same words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from hammerlib.errors import InputError
from hammerlib.problems.hygiene import decontaminate, normalise

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

NGRAM = 13  # words; Brown et al. 2020 (arXiv 2005.14165), appendix C
COLUMNS = ("benchmark", "benchmark_id", "id", "kind", "shared", "share", "same_answer")


def overlap_report(train: Dataset, benchmarks: Mapping[str, Dataset], *, n: int = NGRAM) -> pd.DataFrame:
    """List the benchmark problems that stand in a training set, whole or in part.

    Two problems overlap exactly when their normal forms are the same (`normalise`: digits and operators
    count), and by n-gram when they share n words, numbers or operators in a row. Paraphrases are not found.

    Parameters
    ----------
    train : datasets.Dataset
        Problem table.
    benchmarks : mapping of str to datasets.Dataset
        Evaluation sets by name.
    n : int
        Length of an n-gram, at least 2; problems with fewer tokens are compared exactly only.

    Returns
    -------
    pandas.DataFrame
        One row per exact pair, and one per benchmark problem that shares n-grams, with the training problem
        that shares most: ``benchmark, benchmark_id, id`` (training), ``kind`` (exact, n-gram), ``shared``
        (n-grams), ``share`` (of the benchmark problem's n-grams), ``same_answer`` (bool).

    Raises
    ------
    InputError
        n below 2.

    Examples
    --------
    >>> from hammerlib.problems import make_table
    >>> row = {"id": "x-0", "prompt": "What is 1+1?", "answer": "2", "source": "x", "topic": "t"}
    >>> report = overlap_report(make_table([row]), {"test": make_table([row | {"id": "test-7"}])})
    >>> report[["benchmark", "benchmark_id", "id", "kind"]].values.tolist()
    [['test', 'test-7', 'x-0', 'exact']]
    """
    import pandas as pd

    if n < 2:
        raise InputError("n", n, "must be at least 2", f"leave it out for {NGRAM}")
    _, hits = decontaminate(train, benchmarks)
    exact = set(zip(hits["benchmark"], hits["benchmark_id"], strict=True))
    rows = [
        dict(
            zip(
                COLUMNS,
                (one.benchmark, one.benchmark_id, one.id, "exact", None, 1.0, one.same_answer),
                strict=True,
            )
        )
        for one in hits.itertuples()
    ]
    answers = dict(zip(train["id"][:], train["answer"][:], strict=True))
    for name, benchmark in benchmarks.items():
        golds = dict(zip(benchmark["id"][:], benchmark["answer"][:], strict=True))
        for other, own, shared, share in _shared(train, benchmark, n):
            if (name, other) not in exact:
                same = answers[own].strip() == golds[other].strip()
                rows.append(
                    dict(zip(COLUMNS, (name, other, own, "n-gram", shared, share, same), strict=True))
                )
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"same_answer": bool})


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
        kinds = {kind: mine[mine["kind"] == kind]["benchmark_id"].nunique() for kind in ("exact", "n-gram")}
        found[name] = {"problems": len(table), "exact": kinds["exact"], "n_gram": kinds["n-gram"]}
    return found


def _shared(train: Dataset, benchmark: Dataset, n: int) -> Iterator[tuple[str, str, int, float]]:
    """Benchmark problem, the training problem that shares most n-grams with it, how many, and their share."""
    places: dict[tuple[str, ...], list[int]] = defaultdict(list)
    sizes = []
    for row, text in enumerate(benchmark["prompt"][:]):
        grams = _grams(text, n)
        sizes.append(len(grams))
        for gram in grams:
            places[gram].append(row)
    best: dict[int, tuple[int, str]] = {}
    for name, text in zip(train["id"][:], train["prompt"][:], strict=True):
        counts = Counter(row for gram in _grams(text, n) for row in places.get(gram, ()))
        for row, shared in counts.items():
            if shared > best.get(row, (0, ""))[0]:
                best[row] = (shared, name)
    ids = benchmark["id"][:]
    for row, (shared, name) in sorted(best.items()):
        yield ids[row], name, shared, shared / sizes[row]


def _grams(text: str, n: int) -> set[tuple[str, ...]]:
    tokens = normalise(text).split(" ")
    return {tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}
