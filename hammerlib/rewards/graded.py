"""Reward functions with TRL's signature on top of `hammerlib.grading`."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError, check_name
from hammerlib.grading import NO_GOLD, GradingPool, Verdict, final_answer
from hammerlib.problems import boxes
from hammerlib.problems.registry import SCORERS, refuse_code
from hammerlib.rewards.shape import Completion, check_rows, text_of, token_counts

Column = Sequence[str | None]  # of the problem table, repeated per completion
# The grader's reasons that amount to a verdict (hammerlib.grading.REASONS has the others).
SCORABLE = ("correct", "wrong", "unextracted")
_READ = ("scorer", "metadata", "timeout", "log_metric", "run_code", "unfinished")
_METRICS = {"timeout": "grading/timeouts", NO_GOLD: "grading/golds_unread"}
SECONDS = 10.0  # wall clock per completion
KEPT = 4096  # verdicts remembered before all are forgotten: several rewards and the trainer ask for each
LOG = logging.getLogger(__name__)


@dataclasses.dataclass
class _Memory:
    """Verdicts of this process, and the workers that found them: both outlive a training step."""

    pools: dict[tuple[bool, bool], GradingPool] = dataclasses.field(default_factory=dict)
    verdicts: dict[tuple, Verdict] = dataclasses.field(default_factory=dict)


_MEMORY = _Memory()


def _grade(keys: list[tuple], timeout: float, run_code: bool, unfinished: bool) -> dict[tuple, Verdict]:
    """Verdicts of (text, answer, scorer, metadata, prompt) rows, each graded once; answers worked out."""
    switches = (run_code, unfinished)
    known = {key: _MEMORY.verdicts[switches, key] for key in keys if (switches, key) in _MEMORY.verdicts}
    new = [key for key in dict.fromkeys(keys) if key not in known]
    if new:
        if switches not in _MEMORY.pools:
            _MEMORY.pools[switches] = GradingPool(run_code=run_code, unfinished=unfinished, evaluated=True)
        columns = ("answer", "scorer", "metadata", "prompt")
        rows = [dict(zip(columns, row, strict=True)) if row[1] else {"answer": row[0]} for _, *row in new]
        graded = _MEMORY.pools[switches].grade([text for text, *_ in new], rows, timeout=timeout)
        # all at once: a later step asks for completions of its own
        if len(_MEMORY.verdicts) > KEPT:
            _MEMORY.verdicts.clear()
        known |= dict(zip(new, graded, strict=True))
        _MEMORY.verdicts.update({(switches, key): verdict for key, verdict in known.items()})
    return known


def verdicts(
    completions: Sequence[Completion],
    answer: Column,
    scorer: Column | None = None,
    metadata: Column | None = None,
    *,
    prompts: Sequence[Completion] | None = None,
    timeout: float = SECONDS,
    log_metric: Callable[[str, float], None] | None = None,
    failed: bool = False,
    run_code: bool = False,
    unfinished: bool = True,
) -> list[Verdict | None]:
    """Grade completions against their problems' columns; repeated pairs are graded once.

    An answer must be worked out: the question given back is wrong (`grade` with ``evaluated=True``).
    What needs algebra is graded by worker processes that stay for the next call; one that exceeds the limit
    is killed and replaced, so that no completion can stall a step.

    Parameters
    ----------
    completions : sequence of str or message lists, length n
    answer, scorer, metadata : sequences of length n
        Columns of the problem table, repeated per completion.
    prompts : sequence of str or message lists, length n, optional
        What was asked; scorers read it.
    timeout : float
        Seconds of wall clock per completion.
    log_metric : callable (name, value), optional
        Receives ``grading/timeouts``, ``grading/errors`` and ``grading/golds_unread``, the numbers of
        completions without a verdict (the last: because of their gold), in calls that have any; they are also
        logged as a warning.
    failed : bool
        Keep the verdicts whose reason says that there is none (a time-out, an error), in place of None.
    run_code, unfinished : bool
        As for `hammerlib.grade`. Recipes with think tags set `unfinished` to False.

    Returns
    -------
    list of Verdict or None, length n
        None where nothing can be said: no gold answer, a gold that does not parse, a grader that timed out or
        failed. Such rows are never a silent zero.

    Raises
    ------
    InputError
        `timeout` is not above 0; a column that is not as long as the completions, or no list; a scorer that
        may run code while `run_code` is false.

    Examples
    --------
    >>> [v.correct for v in verdicts([r"so \\boxed{4}", "no idea"], ["4", "4"])]
    [True, False]
    """
    golds = () if answer is None else answer
    check_rows(completions, answer=golds, scorer=scorer, metadata=metadata, prompts=prompts)
    texts = map(text_of, completions)
    missing = [None] * len(completions)
    table = zip(texts, golds, scorer or missing, metadata or missing, prompts or missing, strict=True)
    # Only a scorer reads the prompt: rows that have none are the same whatever was asked.
    rows = [(*row, _asked(prompt) if row[2] else "") for *row, prompt in table]
    with_gold = [row for row in rows if row[1] is not None and str(row[1]).strip()]
    for name in dict.fromkeys(scorer or ()):
        refuse_code(name, run_code)
    known = _grade(with_gold, timeout, run_code, unfinished)
    reasons = [known[row].reason for row in with_gold]
    # A grader that fails must not teach: such rows get no reward, and are told.
    without = Counter(_METRICS.get(why, "grading/errors") for why in reasons if why not in SCORABLE)
    for name, value in sorted(without.items()):
        LOG.warning("%s: %d of %d completions have no verdict and no reward", name, value, len(rows))
        if log_metric is not None:
            log_metric(name, float(value))
    answered = [known.get(row) for row in rows]
    return [verdict if verdict and (failed or verdict.reason in SCORABLE) else None for verdict in answered]


def _asked(prompt: object) -> str:
    """The text of a prompt, of its last turn in a chat; scorers read nothing else of it."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[-1], dict):
        prompt = prompt[-1].get("content")
    return prompt if isinstance(prompt, str) else ""


def _judged(
    prompts: Sequence | None,
    completions: Sequence[Completion],
    answer: Column,
    columns: dict[str, Any],
    failed: bool = False,
) -> list[Verdict | None]:
    """Verdicts with those of TRL's columns and arguments that `verdicts` knows."""
    check_rows(completions, prompts=prompts)
    options = {name: columns[name] for name in _READ if name in columns}
    return verdicts(completions, answer, prompts=prompts, failed=failed, **options)


def accuracy_reward(
    prompts: Sequence | None = None,
    completions: Sequence[Completion] = (),
    completion_ids: Sequence | None = None,
    *,
    answer: Column,
    **columns: object,
) -> list[float | None]:
    """Return 1.0 for a correct completion, 0.0 for a wrong one, None where nothing can be said.

    Parameters
    ----------
    prompts
        What was asked, for scorers.
    completions, answer
        See `verdicts`.
    **columns
        `scorer`, `metadata`, `timeout`, `log_metric`, `run_code` and `unfinished` of `verdicts`; others that
        TRL passes are not read.

    Returns
    -------
    list of float or None
        In {0, 1}; TRL leaves rows of None out of baseline and gradient.

    Raises
    ------
    InputError
        Prompts, completions and columns of different lengths; what `verdicts` refuses.

    Notes
    -----
    Source: ours; the verdicts are those of `hammerlib.grade`.

    Examples
    --------
    >>> accuracy_reward(None, [r"\\boxed{4}", r"\\boxed{5}", r"\\boxed{4}"], answer=["4", "4", None])
    [1.0, 0.0, None]
    """
    judged = _judged(prompts, completions, answer, columns)
    return [None if verdict is None else float(verdict.correct) for verdict in judged]


def cosine_reward(
    prompts: Sequence | None = None,
    completions: Sequence[Completion] = (),
    completion_ids: Sequence | None = None,
    *,
    answer: Column,
    max_len: int = 1000,
    correct_range: tuple[float, float] = (0.5, 1.0),
    wrong_range: tuple[float, float] = (-1.0, -0.5),
    **columns: object,
) -> list[float | None]:
    """Return a reward scaled by length: short right answers gain most, short wrong ones lose most.

    ``r = low + (high - low) (1 + cos(pi t / max_len)) / 2`` with t the number of completion tokens, clamped
    at `max_len`; for a wrong completion the bounds swap. Source: "Demystifying Long Chain-of-Thought
    Reasoning" (arXiv 2502.03373, Appendix C.1) as clamped by TRL's ``get_cosine_scaled_reward``, with its
    default bounds.

    Parameters
    ----------
    completions, answer
        See `verdicts`.
    **columns
        `scorer`, `metadata`, `timeout`, `log_metric`, `run_code` and `unfinished` of `verdicts`; others that
        TRL passes are not read.
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
        `max_len` below 1, `completion_ids` missing, a range that is not (low, high);
        lengths that differ; what `verdicts` refuses.

    Examples
    --------
    >>> cosine_reward(None, [r"\\boxed{4}", r"\\boxed{5}"], [[0] * 50] * 2, answer=["4", "4"], max_len=100)
    [0.75, -0.75]
    """
    check_rows(completions, prompts=prompts, completion_ids=completion_ids)
    counts = token_counts(completion_ids, max_len)
    for name, pair in (("correct_range", correct_range), ("wrong_range", wrong_range)):
        sound = isinstance(pair, tuple | list) and len(pair) == 2
        if not sound or not all(isinstance(bound, int | float) and math.isfinite(bound) for bound in pair):
            raise InputError(name, pair, "is not a pair of finite numbers", "give (low, high)")
        if pair[0] > pair[1]:
            raise InputError(name, pair, "is not (low, high)", "give the smaller number first")
    rewards: list[float | None] = []
    for verdict, count in zip(_judged(prompts, completions, answer, columns), counts, strict=True):
        if verdict is None:
            rewards.append(None)
            continue
        # of a wrong completion the bounds swap: the shortest one loses most
        low, high = correct_range if verdict.correct else wrong_range[::-1]
        rewards.append(low + (high - low) * (1 + math.cos(math.pi * min(count / max_len, 1.0))) / 2)
    return rewards


def released_cosine_reward(
    prompts: Sequence | None = None,
    completions: Sequence[Completion] = (),
    completion_ids: Sequence | None = None,
    *,
    answer: Column,
    **columns: object,
) -> list[float | None]:
    """Return the cosine reward as the released DRA code computes it, for comparison only.

    ``0.75 + 0.25 c`` for a correct and ``-0.25 + 0.25 c`` for a wrong completion, ``c = cos(pi t / 1000)``
    with t in *characters* and nothing clamped, so that the value swings back and forth every 2,000
    characters, and short wrong answers lose least. A gold that cannot be read is worth 1 to everybody.
    Source: ``rewards.py`` of the released code, as its recipes call it; grading is ours.
    """
    rewards: list[float | None] = []
    judged = _judged(prompts, completions, answer, columns, failed=True)
    for completion, verdict in zip(completions, judged, strict=True):
        if verdict is not None and verdict.reason == NO_GOLD:
            rewards.append(1.0)
        elif verdict is None or verdict.reason not in SCORABLE:
            rewards.append(None)
        else:
            # characters, and no clamp: the released slip that is to be compared with
            swing = 0.25 * math.cos(math.pi * len(text_of(completion)) / 1000)
            rewards.append((0.75 if verdict.correct else -0.25) + swing)
    return rewards


# Problems of several parts: the share that is right

WITH_PARTS = "puzzles:"


def partial_reward(
    *,
    completions: Sequence[Completion],
    answer: Column,
    scorer: Column | None = None,
    metadata: Column | None = None,
    per_attempt: bool = False,
    unfinished: bool = True,
    **columns: Any,
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
    unfinished, and among the columns log_metric, run_code
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
    whole = []  # rows of problems without parts
    for row, name in enumerate(names):
        if not str(name).startswith(WITH_PARTS):
            whole.append(row)
        elif answer[row] is not None and str(answer[row]).strip():
            text = text_of(completions[row])
            marked = final_answer(text, unfinished=unfinished)
            score = SCORERS["puzzles"].function()(name)
            reward = score(marked, {"answer": answer[row]}) if marked else 0.0
            rewards[row] = reward / max(1, len(boxes(text))) if per_attempt else reward
    if not whole:
        return rewards
    given = {"completions": completions, "answer": answer, "scorer": names, "metadata": metadata}
    given["prompts"] = columns.pop("prompts", None)
    chosen = {name: [values[row] for row in whole] for name, values in given.items() if values is not None}
    graded = accuracy_reward(unfinished=unfinished, **chosen, **columns)
    for row, reward in zip(whole, graded, strict=True):
        rewards[row] = reward
    return rewards


# Stated probabilities: proper scores of what then happened

SCORES = ("log", "quadratic")
LOWEST = 0.01  # what a completion without a readable percentage is taken to say about what happened


def proper_score(probability: ArrayLike, outcome: ArrayLike, score: str = "log") -> np.ndarray:
    """Return the reward of a stated probability of a binary outcome; only the true one maximises its mean.

    ``log``: a log p + (1 - a) log(1 - p), in nats, at most 0. ``quadratic`` (Brier 1950): -(a - p)^2.
    Source: arXiv 2508.11800; Gneiting & Raftery 2007.
    """
    stated, happened = np.asarray(probability, float), np.asarray(outcome, float)
    check_name("score", score, SCORES, "is unknown")
    inside = (stated > 0) & (stated < 1) if score == "log" else (stated >= 0) & (stated <= 1)
    if not inside.all():
        raise InputError("probability", stated[~inside].ravel()[0], "is not inside (0, 1)", "clip it before")
    if not np.isin(happened, (0.0, 1.0)).all():
        raise InputError("outcome", np.unique(happened)[:5].tolist(), "must be 0 or 1", "give what happened")
    if score == "log":
        return np.where(happened == 1, np.log(stated), np.log1p(-stated))
    return -((happened - stated) ** 2)


def stated_probability(text: str) -> float | None:
    """Return the whole percentage from 1 to 99 that a completion marks as its answer, as a share."""
    marked = final_answer(text) if "\\boxed{" in text else None
    if marked is None or not (marked.isascii() and marked.isdigit()) or not 1 <= int(marked) <= 99:
        return None
    return int(marked) / 100


def log_score_reward(
    *, completions: Sequence[Completion], answer: Column, **columns: object
) -> list[float | None]:
    """Return the log score of every stated percentage, in [log 0.01, log 0.99]; None without an outcome.

    The ``answer`` column holds the outcome, "0" or "1"; log 0.01 without a readable percentage, as in arXiv
    2508.11800 (perturb-seq task; the answer tags there are ``\\boxed`` here).
    """
    return _scored(completions, answer, "log", math.log(LOWEST))


def quadratic_score_reward(
    *, completions: Sequence[Completion], answer: Column, **columns: object
) -> list[float | None]:
    """Return minus the squared distance of every stated percentage to the outcome; -1 without one (ours)."""
    return _scored(completions, answer, "quadratic", -1.0)


def _scored(
    completions: Sequence[Completion], answer: Column, score: str, lowest: float
) -> list[float | None]:
    check_rows(completions, answer=answer)
    rewards: list[float | None] = []
    for completion, outcome in zip(completions, answer, strict=True):
        if outcome not in (None, "", "0", "1"):
            raise InputError("answer", outcome, "is not an outcome, 0 or 1", "train this reward on forecasts")
        stated = stated_probability(text_of(completion))
        if not outcome:
            rewards.append(None)
        elif stated is None:
            rewards.append(lowest)
        else:
            rewards.append(float(proper_score(stated, int(outcome), score)))
    return rewards
