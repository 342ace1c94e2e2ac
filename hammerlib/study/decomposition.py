"""What part of an order does the work: contrasts between arms that keep one part of it and lose another."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from hammerlib.study.contrasts import MARGIN, contrast_table
from hammerlib.study.records import Records
from hammerlib.study.verdicts import reading


class Cause(NamedTuple):
    """A possible cause of an order's effect, and the two arms that differ in it alone, or nearly so.

    Attributes
    ----------
    name : str
    arm, twin : str
        ``{order}`` stands for the order that is taken apart, ``{random}`` for its twin.
    differs : str
        In what the two arms differ.
    sign : int
        1: if the cause carries the whole effect, the contrast is like it; -1: the contrast takes it away.

    Examples
    --------
    >>> CAUSES[0].name
    'front'
    """

    name: str
    arm: str
    twin: str
    differs: str
    sign: int


CAUSES = (
    Cause("front", "{order}", "reversed", "front and tail change places; same neighbours and batches", 1),
    Cause(
        "drift from front to tail",
        "random-batches",
        "{random}",
        "random batches in the path's sequence: part of its drift",
        1,
    ),
    Cause("sequence of batches", "{order}", "batch-shuffled", "same batches, in random sequence", 1),
    Cause("batch make-up", "batch-shuffled", "{random}", "the path's batches; sequence random in both", 1),
    Cause(
        "neighbours and batches",
        "{order}",
        "random-batches",
        "batches random in one, which keeps less of the drift",
        1,
    ),
    Cause(
        "length and pass rate", "matched", "{random}", "their course along the path, nothing else of it", 1
    ),
    Cause("all but length and pass rate", "{order}", "matched", "same course of both", 1),
    Cause("topic", "topic-cycle", "{random}", "topics in turn, without embeddings", 1),
    Cause("diverse front", "farthest-first", "{random}", "far points first, no rule for neighbours", 1),
    Cause("common direction", "{order}-centred", "{order}", "the mean of all vectors taken away", -1),
    Cause(
        "what pretraining put there", "{order}-untrained", "{order}", "vectors of an untrained backbone", -1
    ),
    Cause("the model's own space", "{order}-tfidf", "{order}", "vectors of words alone (TF-IDF)", -1),
)


def decomposition_table(
    records: Records,
    order: str = "hammer",
    *,
    random: str = "random",
    endpoint: str = "auc",
    margin: float = MARGIN,
) -> pd.DataFrame:
    """Return cause by cause which contrast tells of it, its estimate, and what it would be if it mattered.

    Parameters
    ----------
    records : Records
    order, random : str
        The arm whose effect is taken apart, and its twin.
    endpoint : str
        One of `endpoints.ENDPOINTS`.
    margin : float
        Largest difference that does not matter.

    Returns
    -------
    DataFrame
        First row ``whole effect``, then the causes whose arms are there. Columns ``cause, contrast, differs,
        n, value, low, high, adjusted`` (Benjamini and Hochberg over the causes), ``expected`` (the sign if
        the cause carried the whole effect: ``+``, ``-``, or ``?`` where the whole effect is not told from
        none) and ``reading``.

    Notes
    -----
    The causes overlap and need not add up: an order changes front, neighbours and batches at once, and each
    control keeps some of them only.

    Examples
    --------
    >>> decomposition_table(Records("demo", (), pd.DataFrame())).empty
    True
    """
    names = {"order": order, "random": random}
    known = [Cause(c.name, c.arm.format(**names), c.twin.format(**names), c.differs, c.sign) for c in CAUSES]
    whole = contrast_table(records, [(order, random)], endpoint=endpoint, primaries=(), margin=margin)
    if whole.empty:
        return pd.DataFrame()
    pairs = [(cause.arm, cause.twin) for cause in known]
    found = contrast_table(records, pairs, endpoint=endpoint, primaries=(), margin=margin)
    effect = whole.iloc[0]
    sign = 1 if effect["low"] > 0 else -1 if effect["high"] < 0 else 0
    rows = [_row("whole effect", order + " against " + random, effect, 0, margin)]
    by_pair = {(row["arm"], row["twin"]): row for _, row in found.iterrows()} if len(found) else {}
    rows += [
        _row(cause.name, cause.differs, by_pair[cause.arm, cause.twin], sign * cause.sign, margin)
        for cause in known
        if (cause.arm, cause.twin) in by_pair
    ]
    return pd.DataFrame(rows)


def _row(name: str, differs: str, found: pd.Series, expected: int, margin: float) -> dict[str, object]:
    kept = {column: found[column] for column in ("contrast", "n", "value", "low", "high", "adjusted")}
    return {
        "cause": name,
        "differs": differs,
        **kept,
        "expected": {1: "+", -1: "-", 0: "?"}[expected],
        "reading": reading(found["low"], found["high"], expected, margin),
    }
