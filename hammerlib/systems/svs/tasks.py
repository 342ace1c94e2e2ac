"""The language that problems are rewritten in: prompt, extraction, a judge where truth can be computed."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from hammerlib.errors import InputError
from hammerlib.models.nano.solutions import boxed

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
    """The language of a synthesis; one's own needs these four methods.

    Notes
    -----
    Source: ours; arXiv 2508.14029 has the one in text.

    Examples
    --------
    >>> TASKS["text"].extract("```text\\nWhat is 2+2?\\n```")
    'What is 2+2?'
    """

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
        rest = answer - first
        return self.prompt(response), f" P:{first}{'+' if rest >= 0 else '-'}{abs(rest)}"


TASKS: dict[str, Task] = {"text": TextTask(), "formal": FormalTask()}


def extractions(syntheses: Sequence[str], task: Task, *, released: bool = False) -> list[str | None]:
    """Return the variant of every synthesis, None for an invalid one.

    Parameters
    ----------
    syntheses : sequence of str
    task : Task
    released : bool
        For comparison: the released code assigns no value where it finds no fence, so that the row inherits
        the variant *of the row before*, and the reward of another synthesis.

    Returns
    -------
    list of str or None

    Notes
    -----
    Source: arXiv 2508.14029's code, whose extraction has no final else.

    Examples
    --------
    >>> rows = ["```text\\nA?\\n```", "no fence"]
    >>> [extractions(rows, TASKS["text"], released=released) for released in (False, True)]
    [['A?', None], ['A?', 'A?']]
    """
    variants: list[str | None] = []
    for synthesis in syntheses:
        variant = task.extract(synthesis)
        if variant is None and released and variants:
            variant = variants[-1]
        variants.append(variant)
    return variants


def with_syntheses(
    batches: Iterable[Sequence[tuple[str, str]]], share: float, *, seed: int = 0
) -> Iterator[list[tuple[str, str]]]:
    """Replace a share of supervised pairs (prompt, solution) by pairs that teach nano to rewrite.

    Parameters
    ----------
    batches : iterable of lists of (prompt, solution)
        As `hammerlib.models.nano.recipe.batches` yields them.
    share : float
        In [0, 1]; each pair by itself.
    seed : int

    Yields
    ------
    list of (prompt, solution)

    Raises
    ------
    InputError
        A share outside [0, 1].

    Notes
    -----
    Source: ours; a language model can be asked to rewrite, nano has to be taught.

    Examples
    --------
    >>> next(with_syntheses([[("3 + 4 =", r" tens:3+4=7;\\boxed{7}")]], 1.0))
    [('tens:3+4=7;\\\\boxed{7} P?', ' P:97-90')]
    """
    if not 0 <= share <= 1:
        raise InputError("share", share, "is outside [0, 1]", "give a share of the examples, such as 0.1")
    rng = random.Random(seed)
    task = FormalTask()
    for batch in batches:
        yield [task.example(pair[1], rng) if rng.random() < share else pair for pair in batch]
