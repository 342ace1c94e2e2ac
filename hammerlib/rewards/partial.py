"""A reward that counts right parts: what a problem's own scorer gives, not only its full marks."""

from __future__ import annotations

from collections.abc import Sequence

from hammerlib.errors import InputError
from hammerlib.grading import final_answer
from hammerlib.problems.registry import SCORERS
from hammerlib.rewards.shape import Completion, text_of


def partial_reward(
    prompts: Sequence | None = None,
    completions: Sequence[Completion] = (),
    completion_ids: Sequence | None = None,
    *,
    answer: Sequence[str],
    scorer: Sequence[str | None] | None = None,
    **columns: object,
) -> list[float]:
    """Return the score of each completion's marked answer under its problem's scorer, cut to 0..1.

    For puzzles with several questions this is the share answered rightly (PuzzleClone's soft score).

    Parameters
    ----------
    prompts, completion_ids, **columns
        Passed by TRL, not used.
    completions, answer, scorer : sequences of length n
        Completions and columns of the problem table.

    Returns
    -------
    list of float
        0 for a completion that marks no answer.

    Raises
    ------
    InputError
        A problem without a scorer of the registry, or with reasoning-gym's (it needs more than the answer).

    Examples
    --------
    >>> texts = [r"\\boxed{B====3}", r"\\boxed{B====4}", "B"]
    >>> partial_reward(completions=texts, answer=["B====3"] * 3, scorer=["puzzles:option====numeral"] * 3)
    [1.0, 0.5, 0.0]
    """
    names = list(scorer or [None] * len(completions))
    for name in names:
        if str(name).partition(":")[0] not in SCORERS or str(name).startswith("reasoning-gym:"):
            raise InputError(
                "rewards", name, "partial needs problems with parts", "use problems puzzles:<name>"
            )
    return [
        _score(text_of(one), gold, name) for one, gold, name in zip(completions, answer, names, strict=True)
    ]


def _score(text: str, gold: str, name: str) -> float:
    marked = final_answer(text)
    score = SCORERS[name.partition(":")[0]].function()(name)
    return min(1.0, max(0.0, score(marked, {"answer": gold}))) if marked else 0.0
