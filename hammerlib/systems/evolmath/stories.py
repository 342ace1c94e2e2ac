"""A problem of a public set with its provenance: its own words, what was added, how parts are linked."""

from __future__ import annotations

import dataclasses
import re
from fractions import Fraction

from hammerlib.systems.evolmath.problem import Statement

_QUESTION = re.compile(r"(?<=[.!?])\s+(?=[^.!?]*\?\s*$)")
# A number on its own: no part of a word, a date, a time, a range or a quotient; thousands may have commas.
_NUMBER = re.compile(r"(?<![\w.,:/^-])\d+(?:,\d{3})*(?:\.\d+)?(?![\w:/^]|[.,-]\d)")
_RATIONAL = re.compile(r"-?\d+(?:\.\d+|/\d+)?")


@dataclasses.dataclass(frozen=True)
class Passage:
    """One public problem within a story.

    Attributes
    ----------
    id, prompt, answer : str
        Of the row it comes from, unchanged.
    noise : tuple of Statement
        Told before its question; binds nothing.
    ratio : Fraction or None
        With one, X = ratio x (answer of the passage before) stands for the first number.

    Examples
    --------
    >>> Passage("1", "Ann has 3 figs and Bob has 4. How many?", "7").number
    Fraction(3, 1)
    """

    id: str
    prompt: str
    answer: str
    noise: tuple[Statement, ...] = ()
    ratio: Fraction | None = None

    @property
    def numbers(self) -> list[Fraction]:
        """The numbers of the prompt, in order."""
        return [Fraction(one[0].replace(",", "")) for one in _NUMBER.finditer(self.prompt)]

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


@dataclasses.dataclass(frozen=True)
class Story:
    """A public problem, or a chain in which each one takes a number from the answer before.

    Attributes
    ----------
    passages : tuple of Passage
    extras : tuple of Statement
        As those of `Item`.
    operators : tuple of str
        As those of `Item`, ``confused`` among them.
    generation : int
        Of the evolution.

    Examples
    --------
    >>> Story((Passage("1", "Ann has 3 figs. She eats 1. How many are left?", "2"),)).text()
    'Ann has 3 figs. She eats 1. How many are left?'
    """

    passages: tuple[Passage, ...]
    extras: tuple[Statement, ...] = ()
    operators: tuple[str, ...] = ()
    generation: int = 0

    @property
    def answers(self) -> list[Fraction | None]:
        """The answer of each passage as a number, in order; None where it is none."""
        return [one.value for one in self.passages]

    @property
    def answer(self) -> Fraction | None:
        """The answer of the last passage as a number."""
        return self.answers[-1]

    @property
    def shortcut(self) -> str:
        """What the last passage's estimate suggests; "" without one."""
        said = [one.value for one in self.passages[-1].noise if one.kind == "approximate"]
        return said[-1] if said else ""

    def counts(self) -> tuple[int, int, int]:
        """Return how many sentences hold a number (noise included) and how many numbers its prompts hold; 0.

        They stand for the equations and variables of a system (ours: prose writes neither); the third counts
        nothing in the fitness.
        """
        sentences = [one for _, text in self.statements() for one in re.split(r"(?<=[.!?])\s+", text)]
        return (
            sum(bool(re.search(r"\d", one)) for one in sentences),
            sum(len(p.numbers) for p in self.passages),
            0,
        )

    def statements(self) -> list[tuple[bool, str]]:
        """Return what is said, in order, with whether it is noise."""
        chain = len(self.passages) > 1
        told = [(True, one.text) for one in self.extras if one.kind == "background"]
        for place, one in enumerate(self.passages):
            body, question = one.told(f"X{place}")
            if chain:
                told.append((False, f"Question {place + 1}:"))
            if one.ratio is not None:
                times = "" if one.ratio == 1 else f"{one.ratio} times "
                told.append((False, f"Let X{place} be {times}the answer to question {place}."))
            told += [(False, body)] * bool(body)
            told += [(True, noise.text) for noise in one.noise]
            if one is self.passages[-1]:
                told += [(True, extra.text) for extra in self.extras if extra.kind != "background"]
            told.append((False, question))
        return [*told, (False, "Give the answer to the last question.")] if chain else told

    def text(self) -> str:
        """Return the whole problem."""
        return " ".join(text for _, text in self.statements())
