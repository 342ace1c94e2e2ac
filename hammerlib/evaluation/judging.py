"""From completions to the verdict columns of the samples file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hammerlib.grading import GradingPool, with_truncation


def judge(
    pool: GradingPool,
    completions: Sequence[str],
    truncated: Sequence[bool],
    problems: Sequence[dict[str, Any]],
    *,
    timeout: float = 10.0,
) -> list[dict[str, Any]]:
    """Grade samples on a pool of processes, in order.

    Parameters
    ----------
    pool : GradingPool
        Its workers; what needs no algebra is decided in this process.
    completions : sequence of str
        What the model wrote.
    truncated : sequence of bool
        Whether the length limit ended it.
    problems : sequence of dict
        Row of the problem table for every completion.
    timeout : float
        Wall clock in seconds per completion.

    Returns
    -------
    list of dict
        ``correct, extracted, reason, grader`` (see `hammerlib.grading.Verdict`).

    Examples
    --------
    >>> pool = GradingPool(workers=1)
    >>> judge(pool, ["so 7", "so 3 +"], [False, True], [{"answer": "7"}] * 2)[1]["reason"]
    'truncated'
    >>> pool.close()
    """
    found = pool.grade(completions, problems, timeout=timeout)
    return [
        asdict(with_truncation(verdict, text, cut))
        for verdict, text, cut in zip(found, completions, truncated, strict=True)
    ]
