"""What part of an order does the work: contrasts between arms that keep one part of it and lose another."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from hammerlib.study.contrasts import MARGIN, PRIMARY_ENDPOINT, judged, paired_endpoints
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
        "random batches within stretches of the path: its drift alone",
        1,
    ),
    Cause("sequence of batches", "{order}", "batch-shuffled", "same batches, in random sequence", 1),
    Cause("batch make-up", "batch-shuffled", "{random}", "the path's batches; sequence random in both", 1),
    Cause(
        "neighbours and batches",
        "{order}",
        "random-batches",
        "batches random in one; the drift over stretches in both",
        1,
    ),
    Cause(
        "length and pass rate",
        "matched",
        "{random}",
        "their course along the path, and what goes with them",
        1,
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


def _named(order: str, random: str) -> list[Cause]:
    names = {"order": order, "random": random}
    return [Cause(c.name, c.arm.format(**names), c.twin.format(**names), c.differs, c.sign) for c in CAUSES]


def cause_pairs(order: str = "hammer", *, random: str = "random") -> list[tuple[str, str]]:
    """Return the contrasts that take an order apart, the whole effect first.

    Parameters
    ----------
    order, random : str
        As in `decomposition_table`.

    Examples
    --------
    >>> cause_pairs()[:2]
    [('hammer', 'random'), ('hammer', 'reversed')]
    """
    return [(order, random), *((cause.arm, cause.twin) for cause in _named(order, random))]


def decomposition_table(
    records: Records,
    order: str = "hammer",
    *,
    random: str = "random",
    endpoint: str = PRIMARY_ENDPOINT,
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
        n, value, low, high, p`` (not corrected), ``whole, whole_low, whole_high, whole_n`` (the whole effect
        in those of the row's replicates that hold both its arms), ``expected`` (the sign if the cause carried
        the whole effect: ``+``, ``-``, or ``?`` where it is not told from none) and ``reading``.

    Notes
    -----
    The causes overlap and need not add up: an order changes front, neighbours and batches at once, and each
    control keeps some of them only. Compare a cause with the whole effect of its own replicates: the others
    have other starts.

    Examples
    --------
    >>> decomposition_table(Records("demo", (), pd.DataFrame())).empty
    True
    """
    whole = _differences(records, order, random, endpoint)
    if whole.empty:
        return pd.DataFrame()
    effect = _judged(whole, margin)
    sign = 1 if effect["low"] > 0 else -1 if effect["high"] < 0 else 0
    against = f"{order} against {random}"
    rows = [_row(Cause("whole effect", order, random, against, 0), whole, whole, sign, margin)]
    for cause in _named(order, random):
        found = _differences(records, cause.arm, cause.twin, endpoint)
        if len(found):
            rows.append(_row(cause, found, whole, sign, margin))
    return pd.DataFrame(rows)


def _differences(records: Records, arm: str, twin: str, endpoint: str) -> pd.DataFrame:
    table = paired_endpoints(records, arm, twin)
    return table[table["endpoint"] == endpoint].set_index("replicate")


def _judged(table: pd.DataFrame, margin: float) -> dict[str, float]:
    return judged(table["difference"], table["start"], table["lineage"], margin=margin)


def _row(
    cause: Cause, found: pd.DataFrame, whole: pd.DataFrame, sign: int, margin: float
) -> dict[str, object]:
    told = _judged(found, margin)
    there = _judged(whole[whole.index.isin(found.index)], margin)
    return {
        "cause": cause.name,
        "contrast": f"{cause.arm} - {cause.twin}",
        "differs": cause.differs,
        **{column: told[column] for column in ("n", "value", "low", "high", "p")},
        **{"whole": there["value"], "whole_low": there["low"], "whole_high": there["high"]},
        "whole_n": there["n"],
        "expected": {1: "+", -1: "-", 0: "?"}[sign * cause.sign],
        "reading": reading(told["low"], told["high"], sign * cause.sign, margin),
    }
