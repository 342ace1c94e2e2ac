"""What part of an order, or of DRA, does the work: contrasts of arms that keep one part and lose another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from hammerlib.study.contrasts import MARGIN, PRIMARY_ENDPOINT, judged, paired_endpoints
from hammerlib.study.records import Records
from hammerlib.study.verdicts import reading


class Cause(NamedTuple):
    """A possible cause of an arm's effect, and the two arms that differ in it alone, or nearly so.

    Attributes
    ----------
    name : str
    arm, twin : str
        ``{order}`` stands for the arm that is taken apart, ``{random}`` for its twin.
    differs : str
        In what the two arms differ.
    sign : int
        1: if the cause carries the whole effect, the contrast is like it; -1: the contrast takes it away; 0:
        no sign follows from it.

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
        "stretch-shuffled",
        "random batches out of each eighth of the path; in the path's sequence, or in any",
        1,
    ),
    Cause("batches of one stretch", "stretch-shuffled", "{random}", "drawn from an eighth of the path", 1),
    Cause("both of these", "random-batches", "{random}", "drift over eighths, batches random within", 1),
    Cause("sequence of batches", "{order}", "batch-shuffled", "same batches, in random sequence", 1),
    Cause("batch make-up", "batch-shuffled", "{random}", "the path's batches; sequence random in both", 1),
    Cause(
        "neighbours and batches",
        "{order}",
        "random-batches",
        "random within eighths of the path in one; the drift over eighths in both",
        1,
    ),
    Cause(
        "length and pass rate",
        "matched",
        "{random}",
        "their course along the path in quartiles, and what goes with them",
        1,
    ),
    Cause("all but length and pass rate", "{order}", "matched", "same quartiles of both, place by place", 1),
    Cause("topic", "matched-topic", "{random}", "the topics' course along the path", 1),
    Cause("all but topic", "{order}", "matched-topic", "same topics, place by place", 1),
    Cause("topics in turn", "topic-cycle", "{random}", "a topic never comes twice in a row; no drift", 0),
    Cause("diverse front", "farthest-first", "{random}", "far points first, no rule for neighbours", 1),
    Cause("common direction", "{order}-centred", "{order}", "the mean of all vectors taken away", -1),
    Cause(
        "what pretraining put there", "{order}-untrained", "{order}", "vectors of an untrained backbone", -1
    ),
    Cause("the model's own space", "{order}-tfidf", "{order}", "vectors of words alone (TF-IDF)", -1),
)
OF_DRA = (
    Cause(
        "its numbers alone", "dra-placebo", "{random}", "dealt by lot among completions of equal reward", 1
    ),
    Cause("which completion gets which", "{order}", "dra-placebo", "by meaning, or by lot", 1),
    Cause("smaller rewards", "{order}-normalised", "{order}", "weights of mean 1 in each group", -1),
    Cause("weights by wrong ones", "{order}-positives", "{order}", "right completions compared alone", -1),
)


def _named(order: str, random: str) -> list[Cause]:
    names, causes = {"order": order, "random": random}, OF_DRA if order == "dra" else CAUSES
    return [Cause(c.name, c.arm.format(**names), c.twin.format(**names), c.differs, c.sign) for c in causes]


def cause_pairs(order: str = "hammer", *, random: str = "random") -> list[tuple[str, str]]:
    """Return the contrasts that take an order or DRA apart, the whole effect first.

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
    adjusted: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return cause by cause which contrast tells of it, its estimate, and what it would be if it mattered.

    Parameters
    ----------
    records : Records
    order, random : str
        The arm whose effect is taken apart (an order, or ``dra``), and its twin.
    endpoint : str
        One of `endpoints.ENDPOINTS`.
    margin : float
        Largest difference that does not matter.
    adjusted : mapping of str to float, optional
        Contrast to its corrected p (`discoveries.adjusted_of`); without it the readings are uncorrected.

    Returns
    -------
    DataFrame
        First row ``whole effect``, then the causes whose arms are there. Columns ``cause, contrast, differs,
        n, value, low, high, p`` (not corrected), ``whole, whole_low, whole_high, whole_n`` (the whole effect
        in those of the row's replicates that hold both its arms), ``expected`` (the sign if the cause carried
        the whole effect of all replicates: ``+``, ``-``, or ``?`` where that is not told from none or no sign
        follows) and ``reading``.

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
    first = Cause("whole effect", order, random, f"{order} against {random}", 0)
    rows = []
    for cause in (first, *_named(order, random)):
        found = _differences(records, cause.arm, cause.twin, endpoint)
        p = 0.0 if adjusted is None else adjusted.get(f"{cause.arm} - {cause.twin}", float("nan"))
        if len(found):
            rows.append(_row(cause, found, whole, sign, margin, p))
    return pd.DataFrame(rows)


def _differences(records: Records, arm: str, twin: str, endpoint: str) -> pd.DataFrame:
    table = paired_endpoints(records, arm, twin)
    return table[table["endpoint"] == endpoint].set_index("replicate")


def _judged(table: pd.DataFrame, margin: float) -> dict[str, float]:
    return judged(table["difference"], table["start"], table["lineage"], margin=margin)


def _row(
    cause: Cause, found: pd.DataFrame, whole: pd.DataFrame, sign: int, margin: float, p: float
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
        "reading": reading(told["low"], told["high"], sign * cause.sign, told["p_equivalent"], p),
    }
