"""Reward functions with TRL's signature on top of `hammerlib.grading`."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Sequence

from hammerlib.errors import InputError
from hammerlib.grading import Verdict, grade

Completion = str | list[dict[str, str]]
Column = Sequence[str | None]  # of the problem table, repeated per completion
Reward = Callable[..., list[float | None]]
# The grader's reasons that amount to a verdict (hammerlib.grading.REASONS has the others).
SCORABLE = ("equal", "different", "no answer")
_FINAL = re.compile(r"\\boxed\s*\{\s*[^\s}]|<answer>\s*\S.*?</answer>", re.DOTALL)


def text_of(completion: Completion) -> str:
    """Return a completion's text: the string itself, or all turns' content joined by one space.

    Source: the released DRA code joins turns that way.

    Examples
    --------
    >>> text_of([{"role": "assistant", "content": "4"}])
    '4'
    """
    return completion if isinstance(completion, str) else " ".join(turn["content"] for turn in completion)


@functools.lru_cache(maxsize=16384)
def _verdict(text: str, answer: str, scorer: str | None, metadata: str | None) -> Verdict:
    extra = {"scorer": scorer, "metadata": metadata} if scorer else {}
    return grade(text, {"answer": answer, **extra})


def verdicts(
    completions: Sequence[Completion],
    answer: Column,
    scorer: Column | None = None,
    metadata: Column | None = None,
) -> list[Verdict | None]:
    """Grade completions against their problems' columns; repeated pairs are graded once.

    Parameters
    ----------
    completions : sequence of str or message lists, length n
    answer, scorer, metadata : sequences of length n
        Columns of the problem table, repeated per completion.

    Returns
    -------
    list of Verdict or None, length n
        None where nothing can be said: no gold answer, a gold that does not parse, a grader that timed out or
        failed. Such rows are never a silent zero.

    Examples
    --------
    >>> [v.correct for v in verdicts([r"so \\boxed{4}", "no idea"], ["4", "4"])]
    [True, False]
    """
    count = len(completions)
    columns = zip(completions, answer, scorer or [None] * count, metadata or [None] * count, strict=True)
    found = [
        _verdict(text_of(said), gold, by, data) if gold is not None and str(gold).strip() else None
        for said, gold, by, data in columns
    ]
    return [one if one and one.reason in SCORABLE else None for one in found]


def accuracy_reward(
    prompts: Sequence | None = None,
    completions: Sequence[Completion] = (),
    completion_ids: Sequence | None = None,
    *,
    answer: Column,
    scorer: Column | None = None,
    metadata: Column | None = None,
    **columns: object,
) -> list[float | None]:
    """Return 1.0 for a correct completion, 0.0 for a wrong one, None where nothing can be said.

    Parameters
    ----------
    prompts, completion_ids, **columns
        Passed by TRL, not used.
    completions, answer, scorer, metadata
        See `verdicts`.

    Returns
    -------
    list of float or None
        In {0, 1}; TRL leaves rows of None out of baseline and gradient.

    Examples
    --------
    >>> accuracy_reward(None, [r"\\boxed{4}", r"\\boxed{5}", r"\\boxed{4}"], answer=["4", "4", None])
    [1.0, 0.0, None]
    """
    return [
        None if one is None else float(one.correct) for one in verdicts(completions, answer, scorer, metadata)
    ]


def format_reward(
    prompts: Sequence | None = None,
    completions: Sequence[Completion] = (),
    completion_ids: Sequence | None = None,
    **columns: object,
) -> list[float | None]:
    r"""Return 1.0 where a completion states exactly one final answer, else 0.0.

    A final answer is a non-empty ``\boxed{...}`` or ``<answer>...</answer>``; two of them are as bad as none,
    because a grader must then guess. Source: ours.

    Parameters
    ----------
    prompts, completion_ids : sequence, optional
        Not read; part of TRL's signature.
    completions : sequence of str or message lists
    **columns
        Not read.

    Returns
    -------
    list of float
        In {0, 1}.

    Examples
    --------
    >>> format_reward(None, ["\\boxed{4}", "<answer>4</answer>", "4", "\\boxed{4} or \\boxed{5}"])
    [1.0, 1.0, 0.0, 0.0]
    """
    return [float(len(_FINAL.findall(text_of(said))) == 1) for said in completions]


def cosine_reward(
    prompts: Sequence | None = None,
    completions: Sequence[Completion] = (),
    completion_ids: Sequence | None = None,
    *,
    answer: Column,
    scorer: Column | None = None,
    metadata: Column | None = None,
    max_len: int = 1000,
    correct_range: tuple[float, float] = (0.5, 1.0),
    wrong_range: tuple[float, float] = (-1.0, -0.5),
    **columns: object,
) -> list[float | None]:
    """Return a correctness reward scaled by length: short right answers gain most, short wrong ones lose
    most.

    ``r = low + (high - low) (1 + cos(pi t / max_len)) / 2`` with t the number of completion tokens, clamped
    at `max_len`; for a wrong completion the bounds swap. Source: "Demystifying Long Chain-of-Thought
    Reasoning" (arXiv 2502.03373, Appendix C.1) as clamped by TRL's ``get_cosine_scaled_reward``, with its
    default bounds.

    Parameters
    ----------
    completions, answer, scorer, metadata
        See `verdicts`.
    completion_ids : sequence of token id lists
        Their lengths are t.
    max_len : int
        Length in tokens where the schedule ends.
    correct_range, wrong_range : (low, high)
        Bounds of the reward.

    Returns
    -------
    list of float or None
        None where there is no gold answer.

    Raises
    ------
    InputError
        `max_len` below 1, or `completion_ids` missing.

    Examples
    --------
    >>> cosine_reward(None, [r"\\boxed{4}", r"\\boxed{5}"], [[0] * 50] * 2, answer=["4", "4"], max_len=100)
    [0.75, -0.75]
    """
    if max_len < 1:
        raise InputError("max_len", max_len, "must be at least 1 token", "use max_completion_length")
    if completion_ids is None:
        raise InputError(
            "completion_ids", None, "are needed to measure length", "pass the completions' token ids"
        )
    rewards: list[float | None] = []
    for one, ids in zip(verdicts(completions, answer, scorer, metadata), completion_ids, strict=True):
        if one is None:
            rewards.append(None)
            continue
        low, high = correct_range if one.correct else wrong_range[::-1]
        rewards.append(low + (high - low) * _falling(len(ids) / max_len))
    return rewards


def _falling(share: float) -> float:
    """From 1 at 0 to 0 at 1 along a cosine, and 0 from there."""
    return (1 + math.cos(math.pi * min(share, 1.0))) / 2


REWARDS: dict[str, Reward] = {"accuracy": accuracy_reward, "format": format_reward, "cosine": cosine_reward}
