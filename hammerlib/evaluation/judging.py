"""From completions to the verdict columns of the samples file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hammerlib.grading import GradingPool, with_truncation
from hammerlib.grading.verdict import stamp_of
from hammerlib.problems.registry import refuse_code
from hammerlib.runs.storage import content_hash

if TYPE_CHECKING:
    from datasets import Dataset

# Columns beside those of the fingerprint that verdicts and tables depend on.
RULING = ("scorer", "metadata", "topic", "difficulty")


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


def grading_identity(problems: Dataset, run_code: bool) -> dict[str, Any]:
    """Return what verdicts depend on beside prompts and golds, for the name of a run.

    Parameters
    ----------
    problems : datasets.Dataset
        Problem table.
    run_code : bool
        Whether programs may be run.

    Returns
    -------
    dict
        ``graders`` (the stamp of every grader in use) and ``ruling`` (sha256 of scorers, their metadata,
        topics and difficulties).

    Raises
    ------
    InputError
        An unknown scorer, or one that may run code while `run_code` is false.

    Examples
    --------
    >>> from hammerlib import load_problems
    >>> found = grading_identity(load_problems("reasoning-gym:nano", n=2), run_code=False)
    >>> found["graders"][0].split()[0], len(found["ruling"])
    ('reasoning-gym', 64)
    """
    columns = {name: problems[name][:] for name in RULING if name in problems.column_names}
    scorers = set(columns.get("scorer", [None]))
    for scorer in scorers:
        refuse_code(scorer, run_code)
    return {"graders": sorted({stamp_of(one or "") for one in scorers}), "ruling": content_hash(columns)}
