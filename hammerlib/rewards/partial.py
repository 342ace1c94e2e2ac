"""A reward that counts right parts, where a problem has several."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hammerlib.grading import final_answer
from hammerlib.problems import boxes
from hammerlib.problems.registry import SCORERS
from hammerlib.rewards.graded import Column, accuracy_reward
from hammerlib.rewards.shape import Completion, check_rows, text_of

WITH_PARTS = "puzzles:"


def partial_reward(
    *,
    completions: Sequence[Completion],
    answer: Column,
    scorer: Column | None = None,
    metadata: Column | None = None,
    per_attempt: bool = False,
    log_metric: Callable[[str, float], None] | None = None,
    run_code: bool = False,
    unfinished: bool = True,
    **columns: object,
) -> list[float | None]:
    """Return the share of a puzzle's questions that a completion answers rightly.

    PuzzleClone's soft score (arXiv 2508.15180); the last box counts. Problems that have no parts get what
    `accuracy_reward` gives.

    Parameters
    ----------
    completions, answer, scorer, metadata : sequences of length n
        Completions and columns of the problem table.
    per_attempt : bool
        True: a puzzle's score is divided by the number of boxes in the completion. The paper's evaluator
        gives several attempts less weight; how much is not known, so this rule is ours and not the
        default. TRL takes it as ``functools.partial(partial_reward, per_attempt=True)``.
    log_metric, run_code, unfinished
        See `hammerlib.rewards.verdicts`.

    Returns
    -------
    list of float or None
        0 to 1; 0 for a puzzle's completion that marks no answer; None where there is no gold answer.

    Examples
    --------
    >>> texts = [r"\\boxed{B====3}", r"\\boxed{B====4}", "B"]
    >>> partial_reward(completions=texts, answer=["B====3"] * 3, scorer=["puzzles:option====numeral"] * 3)
    [1.0, 0.5, 0.0]
    >>> told = {"answer": ["A"], "scorer": ["puzzles:option"], "per_attempt": True}
    >>> partial_reward(completions=[r"\\boxed{B} or \\boxed{A}"], **told)
    [0.5]
    """
    check_rows(completions, answer=answer, scorer=scorer, metadata=metadata)
    names = list(scorer or [None] * len(completions))
    rewards: list[float | None] = [None] * len(names)
    whole = [row for row, name in enumerate(names) if not str(name).startswith(WITH_PARTS)]
    if whole:
        rest = {"answer": answer, "scorer": names, "metadata": metadata or [None] * len(names)}
        chosen = {column: [values[row] for row in whole] for column, values in rest.items()}
        texts = [completions[row] for row in whole]
        if columns.get("prompts") is not None:
            chosen["prompts"] = [columns["prompts"][row] for row in whole]
        options = {"log_metric": log_metric, "run_code": run_code, "unfinished": unfinished}
        graded = accuracy_reward(completions=texts, **options, **chosen)
        for row, reward in zip(whole, graded, strict=True):
            rewards[row] = reward
    for row in sorted(set(range(len(names))) - set(whole)):
        if answer[row] is None or not str(answer[row]).strip():
            continue
        text = text_of(completions[row])
        marked = final_answer(text, unfinished=unfinished)
        score = SCORERS["puzzles"].function()(names[row])
        reward = score(marked, {"answer": answer[row]}) if marked else 0.0
        rewards[row] = reward / max(1, len(boxes(text))) if per_attempt else reward
    return rewards
