"""Diversity inside the groups of completions that one training step compares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from hammerlib.diversity.scores import vendi_of_units
from hammerlib.errors import InputError
from hammerlib.similarity import Array, host, mean_cosine, unit_rows


def group_telemetry(
    vectors: Array, answers: Sequence[Sequence[str | None]], correct: Array
) -> dict[str, float]:
    """Return how different the completions inside the groups of one training step are.

    Parameters
    ----------
    vectors : (B, G, d) array or tensor
        Embedded completions.
    answers : B lists of G str or None
        Extracted answers; None where there is none.
    correct : (B, G) bool array

    Returns
    -------
    dict of str to float
        Means over the B groups: `mean_cosine` (NaN for G = 1), `vendi` (1 to G), `distinct_answers`,
        `distinct_wrong` (different wrong answers), `zero_variance_share` (groups all right or all wrong),
        `effective_group_size` (inverse Simpson index of the answers, 1 to G: G equal answers count as one;
        missing answers are one answer; ours).

    Raises
    ------
    InputError
        Shapes that do not fit, an empty step, or zero or NaN vectors.

    Examples
    --------
    >>> import numpy as np
    >>> told = group_telemetry(np.eye(2)[None], [["4", "5"]], np.array([[True, False]]))
    >>> told["vendi"], told["distinct_wrong"], told["zero_variance_share"]
    (2.0, 1.0, 0.0)
    """
    right = host(correct).astype(bool)
    shapes = [tuple(vectors.shape[:2]), right.shape, (len(answers), len(answers[0]) if len(answers) else 0)]
    if len(set(shapes)) > 1 or vectors.ndim != 3 or not right.size or len({len(row) for row in answers}) > 1:
        raise InputError(
            "vectors, answers, correct", shapes, "are not of the same B groups of G", "regroup them"
        )
    rows = [_one_group(*group) for group in zip(vectors, answers, right, strict=True)]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _one_group(vectors: Array, answers: Sequence[str | None], right: np.ndarray) -> dict[str, float]:
    units = unit_rows(vectors)
    counts = np.array(list(Counter(answers).values()))
    given = {answer for answer in answers if answer is not None}
    wrong = {answer for answer, good in zip(answers, right, strict=True) if answer is not None and not good}
    return {
        "mean_cosine": mean_cosine(units),
        "vendi": vendi_of_units(units),
        "distinct_answers": len(given),
        "distinct_wrong": len(wrong),
        "zero_variance_share": bool(right.all() or not right.any()),
        "effective_group_size": len(answers) ** 2 / (counts**2).sum(),
    }
