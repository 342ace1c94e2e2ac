"""Rewards that read a completion's shape only: final answer, tags, repetition, length."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from hammerlib.errors import InputError, check_whole

Completion = str | list[dict[str, str]]
Reward = Callable[..., list[float | None]]
_FINAL = re.compile(r"\\boxed\s*\{\s*[^\s}]|<answer>\s*\S.*?</answer>", re.DOTALL)


def text_of(completion: Completion) -> str:
    """Return a completion's text: the string itself, or all turns' content joined by one space.

    What a tool answered is not the model's, and a turn that calls one may have no content. Source: the
    released DRA code joins turns that way.
    """
    if isinstance(completion, str):
        return completion
    try:
        turns = [turn for turn in completion if turn.get("role") != "tool"]
        return " ".join(
            turn.get("content") or "" if "tool_calls" in turn else turn["content"] for turn in turns
        )
    except (KeyError, TypeError, AttributeError):
        problem = "is neither text nor a list of messages"
        raise InputError("completions", completion, problem, "give one or the other a completion") from None


def check_rows(completions: Sequence, **columns: Sequence | None) -> None:
    """Refuse completions that are no list, and columns that are not as long; None is no column."""
    remedy = "pass prompts, completions and the problems' columns as lists of one length"
    for name, column in {"completions": completions, **columns}.items():
        if column is None and name != "completions":
            continue
        if isinstance(column, str) or not hasattr(column, "__len__"):
            raise InputError(name, column, "is no list", remedy)
        if len(column) != len(completions):
            raise InputError(name, len(column), f"do not fit {len(completions)} completions", remedy)


def token_counts(completion_ids: Sequence[Sequence[int]] | None, max_len: int) -> list[int]:
    """Return the number of tokens of every completion."""
    if check_whole("max_len", max_len, -(2**63), "use max_completion_length") < 1:
        raise InputError("max_len", max_len, "must be at least 1 token", "use max_completion_length")
    if completion_ids is None:
        problem = "are needed to measure length"
        raise InputError("completion_ids", None, problem, "pass the completions' token ids")
    if not all(hasattr(ids, "__len__") for ids in completion_ids):
        problem = "are not one list of token ids a completion"
        raise InputError("completion_ids", completion_ids, problem, "pass lists of ids, not lengths")
    return [len(ids) for ids in completion_ids]


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
    completions : sequence of str or message lists

    Returns
    -------
    list of float
        In {0, 1}.

    Raises
    ------
    InputError
        Completions that are no list of texts or messages, or not as many as the prompts.

    Examples
    --------
    >>> format_reward(None, ["\\boxed{4}", "<answer>4</answer>", "4", "\\boxed{4} or \\boxed{5}"])
    [1.0, 1.0, 0.0, 0.0]
    """
    check_rows(completions, prompts=prompts)
    return [float(len(_FINAL.findall(text_of(completion))) == 1) for completion in completions]


def tags_reward(
    prompts: Sequence | None = None, completions: Sequence[Completion] = (), **columns: object
) -> list[float | None]:
    """Return 1.0 for ``<think>...</think><answer>...</answer>`` and nothing around it, else 0.0.

    The opening ``<think>`` may be missing, because many chat templates end the prompt with it; the answer
    must not be blank. Source: DeepSeek-R1 (arXiv 2501.12948), Table 1.

    Parameters
    ----------
    completions : sequence of str or message lists

    Returns
    -------
    list of float
        In {0, 1}.

    Examples
    --------
    >>> tags_reward(None, ["<think>2+2</think> <answer>4</answer>", "<answer>4</answer>"])
    [1.0, 0.0]
    """
    check_rows(completions, prompts=prompts)
    return [float(_tagged(text_of(completion))) for completion in completions]


def released_format_reward(
    prompts: Sequence | None = None, completions: Sequence[Completion] = (), **columns: object
) -> list[float | None]:
    """Return 1.0 where ``</think>`` stands on a line of its own exactly once, else 0.0.

    Source: the format reward of the released DRA code, for comparison; it does not ask for an answer.
    """
    check_rows(completions, prompts=prompts)
    return [float(text_of(completion).count("\n</think>\n") == 1) for completion in completions]


def repetition_reward(
    prompts: Sequence | None = None,
    completions: Sequence[Completion] = (),
    *,
    words: int = 3,
    penalty: float = -1.0,
    **columns: object,
) -> list[float | None]:
    """Return `penalty` times the share of runs of `words` words that have occurred before.

    Source: the repetition penalty of "Demystifying Long Chain-of-Thought Reasoning" (arXiv 2502.03373) in
    the form of Open-R1.

    Parameters
    ----------
    completions : sequence of str or message lists
    words : int
        Length of a run, at least 1; case does not matter.
    penalty : float
        The reward of endless repetition, at most 0.

    Returns
    -------
    list of float
        In [penalty, 0]; 0 for completions with fewer than two runs.

    Raises
    ------
    InputError
        `words` below 1 or a `penalty` above 0.

    Examples
    --------
    >>> repetition_reward(None, ["so it is 4", "so so so so so so"])
    [0.0, -0.75]
    """
    check_rows(completions, prompts=prompts)
    check_whole("words", words, 1, "use 3")
    if not isinstance(penalty, int | float) or not penalty <= 0:
        raise InputError("penalty", penalty, "would reward repetition", "give a number of at most 0")
    rewards: list[float | None] = []
    for completion in completions:
        text = text_of(completion).lower().split()
        runs = [tuple(text[start : start + words]) for start in range(len(text) - words + 1)]
        # runs that have occurred before, each time they come again
        again = len(runs) - len(set(runs))
        rewards.append(penalty * again / len(runs) if again else 0.0)
    return rewards


def length_reward(
    prompts: Sequence | None = None,
    completions: Sequence[Completion] = (),
    completion_ids: Sequence | None = None,
    *,
    max_len: int = 1000,
    margin: int | None = None,
    **columns: object,
) -> list[float | None]:
    """Return 0 for completions shorter than ``max_len - margin`` tokens, falling linearly to -1 at `max_len`.

    Source: soft overlong punishment of DAPO (arXiv 2503.14476, equation 13).

    Parameters
    ----------
    completion_ids : sequence of token id lists
    max_len : int
        Tokens, as ``max_completion_length``.
    margin : int, optional
        Tokens, from 1 to `max_len`; default a fifth of `max_len`, DAPO's share.

    Returns
    -------
    list of float
        In [-1, 0].

    Raises
    ------
    InputError
        `max_len` or `margin` out of range, or `completion_ids` missing.

    Examples
    --------
    >>> length_reward(completion_ids=[[0] * 80, [0] * 90, [0] * 100, [0] * 300], max_len=100)
    [0.0, -0.5, -1.0, -1.0]
    """
    counts = token_counts(completion_ids, max_len)
    margin = max(1, max_len // 5) if margin is None else margin
    if not 1 <= check_whole("margin", margin, -(2**63), "leave it out") <= max_len:
        raise InputError("margin", margin, f"must be from 1 to max_len ({max_len})", "leave it out")
    # 0 up to L - m tokens, then (L - m - t) / m, -1 from L on
    return [min(0.0, max(-1.0, (max_len - margin - count) / margin)) for count in counts]


def _tagged(text: str) -> bool:
    counts = [text.count(tag) for tag in ("</think>", "<answer>", "</answer>")]
    if counts != [1, 1, 1] or text.count("<think>") > 1:
        return False
    thought, _, rest = text.partition("</think>")
    between, _, rest = rest.partition("<answer>")
    answer, _, after = rest.partition("</answer>")
    # many chat templates end the prompt with <think>: then it may be missing here
    opened = "<think>" not in text or thought.lstrip().startswith("<think>")
    return opened and bool(answer.strip()) and not between.strip() and not after.strip()
