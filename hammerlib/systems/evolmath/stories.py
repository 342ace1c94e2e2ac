"""A problem of a public set with its provenance: its own words, what was added, how parts are linked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from hammerlib.systems.evolmath.problem import Statement

_QUESTION = re.compile(r"(?<=[.!?])\s+(?=[^.!?]*\?\s*$)")
# A number on its own: no part of a word, a date, a time, a range or a quotient; thousands may have commas.
_NUMBER = re.compile(r"(?<![\w.,:/^-])\d+(?:,\d{3})*(?:\.\d+)?(?![\w:/^]|[.,-]\d)")
_RATIONAL = re.compile(r"-?\d+(?:\.\d+|/\d+)?")


@dataclass(frozen=True)
class Passage:
    """One public problem within a story: id, prompt and answer of its row, unchanged, and what was added."""

    id: str
    prompt: str
    answer: str
    noise: tuple[Statement, ...] = ()  # told before its question; binds nothing
    ratio: Fraction | None = None  # X = ratio x (answer of the passage before) stands for the first number

    @property
    def numbers(self) -> list[Fraction]:
        """The numbers of the prompt, in order."""
        return [Fraction(match[0].replace(",", "")) for match in _NUMBER.finditer(self.prompt)]

    @property
    def number(self) -> Fraction | None:
        """The first number of the prompt, which a crossover replaces; None without one."""
        return self.numbers[0] if self.numbers else None

    @property
    def value(self) -> Fraction | None:
        """The answer as a number; None where it is none."""
        plain = self.answer.strip().replace(",", "")
        try:
            return Fraction(plain) if _RATIONAL.fullmatch(plain) else None
        except (ArithmeticError, ValueError):
            return None

    def told(self, label: str) -> tuple[str, str]:
        """Return body and question ("" where the text ends with none), `label` for a linked number."""
        prompt = self.prompt.strip()
        if self.ratio is not None:
            prompt = _NUMBER.sub(label, prompt, count=1)
        body, *question = _QUESTION.split(prompt, maxsplit=1)
        return (body, question[0]) if question else ("", body)


@dataclass(frozen=True)
class Story:
    """A public problem, or a chain in which each one takes a number from the answer before; as `Item`."""

    passages: tuple[Passage, ...]
    extras: tuple[Statement, ...] = ()
    operators: tuple[str, ...] = ()
    generation: int = 0

    @property
    def answers(self) -> list[Fraction | None]:
        """The answer of each passage as a number, in order; None where it is none."""
        return [passage.value for passage in self.passages]

    @property
    def answer(self) -> Fraction | None:
        """The answer of the last passage as a number."""
        return self.answers[-1]

    @property
    def shortcut(self) -> str:
        """What the last passage's estimate suggests; "" without one."""
        estimates = [noise.value for noise in self.passages[-1].noise if noise.kind == "approximate"]
        return estimates[-1] if estimates else ""

    def counts(self) -> tuple[int, int, int]:
        """Return how many sentences hold a number (noise included), how many numbers prompts hold, and 0.

        They stand for the equations and variables of a system (ours: prose writes neither); the third counts
        nothing in the fitness.
        """
        sentences = [one for _, text in self.statements() for one in re.split(r"(?<=[.!?])\s+", text)]
        with_number = sum(bool(re.search(r"\d", sentence)) for sentence in sentences)
        return with_number, sum(len(passage.numbers) for passage in self.passages), 0

    def statements(self) -> list[tuple[bool, str]]:
        """Return what is said, in order, with whether it is noise."""
        chain = len(self.passages) > 1
        sentences = [(True, extra.text) for extra in self.extras if extra.kind == "background"]
        for number, passage in enumerate(self.passages):
            body, question = passage.told(f"X{number}")
            if chain:
                sentences.append((False, f"Question {number + 1}:"))
            if passage.ratio is not None:
                times = "" if passage.ratio == 1 else f"{passage.ratio} times "
                sentences.append((False, f"Let X{number} be {times}the answer to question {number}."))
            if body:
                sentences.append((False, body))
            sentences += [(True, noise.text) for noise in passage.noise]
            if passage is self.passages[-1]:
                sentences += [(True, extra.text) for extra in self.extras if extra.kind != "background"]
            sentences.append((False, question))
        if chain:
            sentences.append((False, "Give the answer to the last question."))
        return sentences

    def text(self) -> str:
        """Return the whole problem."""
        return " ".join(text for _, text in self.statements())
