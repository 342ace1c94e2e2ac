"""A reward that counts right parts, where a problem has several."""

from __future__ import annotations

from collections.abc import Sequence

from hammerlib.grading import final_answer
from hammerlib.problems.registry import SCORERS
from hammerlib.rewards.graded import Column, accuracy_reward
from hammerlib.rewards.shape import Completion, text_of

WITH_PARTS = "puzzles:"


def partial_reward(
    *,
    completions: Sequence[Completion],
    answer: Column,
    scorer: Column | None = None,
    metadata: Column | None = None,
    **columns: object,
) -> list[float | None]:
    """Return the share of a puzzle's questions that a completion answers rightly (PuzzleClone's soft score).

    Problems that have no parts get what `accuracy_reward` gives.

    Parameters
    ----------
    completions, answer, scorer, metadata : sequences of length n
        Completions and columns of the problem table.
    **columns
        What else TRL passes, not used.

    Returns
    -------
    list of float or None
        0 to 1; 0 for a puzzle's completion that marks no answer.

    Examples
    --------
    >>> texts = [r"\\boxed{B====3}", r"\\boxed{B====4}", "B"]
    >>> partial_reward(completions=texts, answer=["B====3"] * 3, scorer=["puzzles:option====numeral"] * 3)
    [1.0, 0.5, 0.0]
    """
    names = list(scorer or [None] * len(completions))
    rewards: list[float | None] = [None] * len(names)
    whole = [place for place, name in enumerate(names) if not str(name).startswith(WITH_PARTS)]
    if whole:
        rest = {"answer": answer, "scorer": names, "metadata": metadata or [None] * len(names)}
        chosen = {column: [values[place] for place in whole] for column, values in rest.items()}
        graded = accuracy_reward(completions=[completions[place] for place in whole], **chosen)
        for place, reward in zip(whole, graded, strict=True):
            rewards[place] = reward
    for place in sorted(set(range(len(names))) - set(whole)):
        marked = final_answer(text_of(completions[place]))
        score = SCORERS["puzzles"].function()(names[place])
        rewards[place] = score(marked, {"answer": answer[place]}) if marked else 0.0
    return rewards
