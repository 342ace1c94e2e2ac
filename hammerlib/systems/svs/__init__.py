"""SvS (arXiv 2508.14029): the policy rewrites problems that it half solves, and solves what it wrote.

From a correct response a new problem is written, whose answer is by construction the old one; a synthesis is
good if the variant is solved sometimes and not always. Answers, syntheses and answers to variants train the
same policy in one update.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from hammerlib.errors import InputError
from hammerlib.models.nano.solutions import boxed

SEEDS = (0.125, 0.5)  # accuracy of a problem whose correct responses are rewritten
USEFUL = (0.125, 0.625)  # accuracy on a variant that makes its synthesis good


def check_band(field: str, band: Sequence[float]) -> None:
    """Refuse what is no interval inside [0, 1]."""
    low, high = band
    if not 0 <= low <= high <= 1:
        raise InputError(field, list(band), "is no interval inside [0, 1]", "give its lower end first")


def in_band(correct: int, total: int, band: Sequence[float]) -> bool:
    """Say whether a group's accuracy lies in a band, both ends included."""
    check_band("band", band)
    if not 0 <= correct <= total or total < 1:
        raise InputError("correct", correct, f"of {total} responses", "count the right ones of a group")
    low, high = band
    # Both ends are included, in counts: a quotient may miss them by a rounding.
    return low * total - 1e-9 <= correct <= high * total + 1e-9


def synthesis_reward(correct: int | None, total: int, band: Sequence[float] = USEFUL) -> float:
    """Return 1 for a synthesis whose variant is solved now and then, else 0; None correct: it is invalid.

    arXiv 2508.14029, R_v = 1[acc_l <= mean R_c <= acc_h]; negative only after the group's mean is subtracted.
    """
    return float(correct is not None and in_band(correct, total, band))


def teaches(correct: int, total: int) -> bool:
    """Say whether a group of answers is trained: 0 < accuracy < 1."""
    return 0 < correct < total


def trained_syntheses(rewards: Sequence[float]) -> bool:
    """Say whether syntheses are trained: one of them is good; where all are, they stay, at advantage 0."""
    return any(reward > 0 for reward in rewards)


class Cost(NamedTuple):
    """Completions of one step: B n answers, s n syntheses, v n answers to variants, v at most s n."""

    answers: int
    syntheses: int
    variants: int


def step_cost(problems: int, seeds: int, valid: int, n: int) -> Cost:
    """Return how many completions a step samples: n a problem, rewritten response and valid synthesis."""
    if not 0 <= valid <= seeds * n:
        raise InputError("valid", valid, f"of {seeds * n} syntheses", "count those that hold a variant")
    return Cost(problems * n, seeds * n, valid * n)


def most_rows(n: int, band: Sequence[float] = SEEDS, seeds: int | None = None) -> int:
    """Return the largest number of completions that one problem can lead to in a step."""
    # as many responses as the band lets be right are rewritten
    most = max((correct for correct in range(n + 1) if in_band(correct, n, band)), default=0)
    most = most if seeds is None else min(most, seeds)
    # n answers; `most` of them rewritten n times; every variant answered n times
    return n + most * n + most * n * n


def mislabelled_share(rewards: Sequence[float], golds: Sequence[str], truths: Sequence[str | None]) -> float:
    """Return the share of rewarded variants whose true answer is not the one they inherited; NaN without any.

    The method does not enforce that a rewriting keeps the answer; a policy that agrees with itself on a wrong
    one earns the reward all the same. Where a truth is unknown (None) the variant is left out.
    """
    # rewarded and not the inherited answer: self-agreement on a wrong one
    wrong = [
        truth != gold
        for reward, gold, truth in zip(rewards, golds, truths, strict=True)
        if reward > 0 and truth is not None
    ]
    return float(np.mean(wrong)) if wrong else float("nan")


# Ours; the released template asks for the same: from a response alone to a problem with the same answer.
TEMPLATE = """\
Below is a worked solution to a mathematics problem that you cannot see.

{response}

Write a new problem, complete in itself, that is worded and built differently and has exactly the same final
answer. Do not solve it and do not mention the answer or this text. Put the problem between a line ```text
and a line ```.
"""
INSTRUCTION = " Please reason step by step, and put your final answer within \\boxed{}."
FENCED = re.compile(r"```text[ \t]*\n?(.*?)```", re.DOTALL)
BARE = re.compile(r"```[ \t]*\n(.*?)```", re.DOTALL)


class Task(Protocol):
    """The language of a synthesis; one's own needs these four methods."""

    def prompt(self, response: str) -> str:
        """Return the prompt that asks for a variant; it sees the response alone, never the problem."""

    def extract(self, synthesis: str) -> str | None:
        """Return the new problem of a synthesis, None where it holds none."""

    def question(self, variant: str) -> str:
        """Return the prompt that asks to solve a variant."""

    def truth(self, variant: str) -> str | None:
        """Return the variant's true answer, None where nobody can compute it; only for watching."""


class TextTask:
    """Problems in words: our wording of the template, extraction by fence, no judge."""

    def prompt(self, response: str) -> str:
        """Return the template with the response in it."""
        return TEMPLATE.replace("{response}", response.strip())

    def extract(self, synthesis: str) -> str | None:
        """Return the text of the first ```text fence, else of the first bare one; an open fence is none."""
        fenced = FENCED.search(synthesis) or BARE.search(synthesis)
        return (fenced[1].strip() or None) if fenced else None

    def question(self, variant: str) -> str:
        """Return the variant with the instruction of the released code."""
        return variant + INSTRUCTION

    def truth(self, variant: str) -> None:
        """Return None: nobody can compute it."""


class FormalTask:
    """Signed sums for nano: a synthesis is ``P:31+11``, whose truth is computed."""

    SUM = re.compile(r"P:\s*(\d{1,3}(?:[+-]\d{1,3}){1,3})\s*;?\s*")

    def prompt(self, response: str) -> str:
        """Return the response with what asks for a variant."""
        return f"{response.strip()} P?"

    def extract(self, synthesis: str) -> str | None:
        """Return the sum of two to four numbers that is all of the synthesis."""
        whole = self.SUM.fullmatch(synthesis.strip())
        return whole[1] if whole else None

    def question(self, variant: str) -> str:
        """Return the sum as reasoning-gym asks for it, so that nano knows the sentence."""
        spaced = re.sub(r"([+-])", r" \1 ", variant)
        return f"State the final answer to the following arithmetic problem: {spaced} ="

    def truth(self, variant: str) -> str:
        """Return the value of the sum."""
        return str(sum(int(number) for number in re.findall(r"[+-]?\d+", variant)))

    def example(self, response: str, rng: random.Random) -> tuple[str, str]:
        """Return a prompt and a correct synthesis for it, two numbers with the response's answer."""
        answer = int(boxed(response) or 0)
        first = rng.randrange(100)
        # first + rest = answer, whatever `first` is drawn
        rest = answer - first
        return self.prompt(response), f" P:{first}{'+' if rest >= 0 else '-'}{abs(rest)}"


TASKS: dict[str, Task] = {"text": TextTask(), "formal": FormalTask()}


def extractions(syntheses: Sequence[str], task: Task, *, released: bool = False) -> list[str | None]:
    """Return the variant of every synthesis, None for an invalid one.

    `released`, for comparison: the code of arXiv 2508.14029 assigns no value where it finds no fence, so that
    the row inherits the variant *of the row before*, and the reward of another synthesis.
    """
    variants: list[str | None] = []
    for synthesis in syntheses:
        variant = task.extract(synthesis)
        # their loop leaves the variable as the row before has set it
        if variant is None and released and variants:
            variant = variants[-1]
        variants.append(variant)
    return variants


def with_syntheses(
    batches: Iterable[Sequence[tuple[str, str]]], share: float, *, seed: int = 0
) -> Iterator[list[tuple[str, str]]]:
    """Replace a share of supervised pairs (prompt, solution) by pairs that teach rewriting (ours).

    A language model can be asked to rewrite; nano has to be taught.
    """
    if not 0 <= share <= 1:
        raise InputError("share", share, "is outside [0, 1]", "give a share of the examples, such as 0.1")
    rng = random.Random(seed)
    task = FormalTask()
    for batch in batches:
        yield [task.example(pair[1], rng) if rng.random() < share else pair for pair in batch]
