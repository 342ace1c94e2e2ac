"""Linear systems as problems, with seeds and words for them; public problems with what is added to them."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from hammerlib.errors import InputError
from hammerlib.runs.reading import read_yaml

# Words of the operators; ours, no model writes them.
BANKS = read_yaml(Path(__file__).with_name("phrases.yaml"))
# Theme -> variable -> thing; the last three are for variables that no equation uses.
THEMES = {theme: dict(zip("xyzmnabc", things, strict=True)) for theme, things in BANKS["themes"].items()}

Row = Sequence[Fraction | int]
VARIABLES = ("x", "y", "z", "m", "n")
UNUSED = ("a", "b", "c")
TARGET = "n"


def seeded(text: str) -> random.Random:
    """Return a generator whose draws depend on a text alone."""
    return random.Random(int(hashlib.sha256(text.encode()).hexdigest()[:16], 16))


# Exact algebra over fractions


def reduced(rows: Sequence[Row]) -> list[list[Fraction]]:
    """Return the rows of the reduced echelon form that are not zero."""
    left = [[Fraction(value) for value in row] for row in rows]
    done: list[list[Fraction]] = []
    for column in range(len(rows[0]) if rows else 0):
        # Gauss and Jordan in fractions: nothing rounds, so that rank and uniqueness are exact
        pivot = next((row for row in left if row[column]), None)
        if pivot is None:
            continue
        left.remove(pivot)
        pivot = [value / pivot[column] for value in pivot]
        left = [[a - row[column] * b for a, b in zip(row, pivot, strict=True)] for row in left]
        # rows above are cleared too: reduced, so that a row tells its unknown's value
        done = [[a - row[column] * b for a, b in zip(row, pivot, strict=True)] for row in done]
        done.append(pivot)
    return done


def rank(rows: Sequence[Row]) -> int:
    """Return the rank of a matrix, exactly."""
    return len(reduced(rows))


def value_of(rows: Sequence[Row], right: Row, unknown: int) -> Fraction | None:
    """Return the one value that a system gives an unknown; None where it leaves it open."""
    width = len(rows[0])
    echelon = reduced([[*row, value] for row, value in zip(rows, right, strict=True)])
    for row in echelon:
        if not any(row[:width]):  # 0 = 1
            raise InputError("equations", len(rows), "contradict each other", "drop one of them")
    for row in echelon:
        # a row with this unknown alone fixes it, whatever others stay open
        if [column for column in range(width) if row[column]] == [unknown]:
            return row[width]
    return None


def is_necessary(rows: Sequence[Row], target: int = -1) -> bool:
    """Tell whether the first equation is needed for the value of an unknown.

    The released pipeline's condition (arXiv 2508.13003), in an exact form of ours: equation 5, without the
    unknown it introduces, must not follow from equations 2 to 4, that is
    rank([A2..A4; c]) > rank([A2..A4]) with c the coefficients of the last equation without the target.

    Parameters
    ----------
    rows : (5, 5) of numbers
        The last one holds the target, the others do not.
    target : int
        Column of the unknown that is asked for.

    Examples
    --------
    >>> is_necessary([[1, 0, 0], [0, 1, 0], [1, 1, 1]]), is_necessary([[1, 0, 0], [0, 1, 0], [0, 1, 1]])
    (True, False)
    """
    middle = rows[1:-1]  # equations 2 to 4
    last = list(rows[-1])
    last[target] = 0  # c: equation 5 without the unknown that it introduces
    return rank([*middle, last]) > rank(middle)


def released_is_necessary(rows: Sequence[Row], target: int = -1) -> bool:
    """Tell what the released code takes for the same: wrong in both directions, kept for comparison."""
    # It cuts equations 2 to 4 down to the last equation's columns and compares the rank with their number.
    place = target % len(rows[-1])
    used = [column for column, value in enumerate(rows[-1]) if value and column != place]
    return rank([[row[column] for column in used] for row in rows[1:-1]]) < len(used)


# Problems


@dataclass(frozen=True)
class Relation:
    """A linear relation, e.g. 3x - y/2 = 12; binding only with the sign ``=``; no coefficient is 0."""

    terms: tuple[tuple[str, Fraction], ...]
    right: Fraction
    sign: str = "="

    def told(self, theme: str = "", hidden: Mapping[int, str] | None = None) -> str:
        """Write it in symbols, or about a theme's things; `hidden` replaces numbers (-1: the right side)."""
        hidden = hidden or {}
        words: list[str] = []
        for position, (name, coefficient) in enumerate(self.terms):
            number = hidden.get(position) or _number(abs(coefficient))
            if coefficient < 0 and position not in hidden:
                joint = "minus " if theme else "- " if words else "-"
            elif words:
                joint = "plus " if theme else "+ "
            else:
                joint = ""
            words.append(joint + _term(name, number, theme))
        sign = "equals" if theme and self.sign == "=" else self.sign
        return f"{' '.join(words)} {sign} {hidden.get(-1) or _number(self.right)}"


def _number(value: Fraction) -> str:
    return str(float(value)) if value.denominator == 2 else str(value)


def _term(name: str, number: str, theme: str) -> str:
    if not theme:
        return name if number == "1" else f"{number}{name}"
    times = {"1": "", "0.5": "half "}.get(number, f"{number} times ")
    return f"{times}the number of {THEMES[theme][name]}"


@dataclass(frozen=True)
class Statement:
    """Something said beside the binding equations, by an operator (`kind`): a text, or a relation."""

    kind: str
    text: str = ""
    relation: Relation | None = None
    value: str = ""  # what it suggests as the answer, in a public problem


@dataclass(frozen=True)
class Link:
    """How an earlier answer enters a part: X = ratio x (that answer) stands for one number."""

    equation: int
    place: int  # a term of that equation, or -1 for its right side
    ratio: Fraction


@dataclass(frozen=True)
class Part:
    """One system of equations; the last brings in the unknown that is asked for."""

    equations: tuple[Relation, ...]
    noise: tuple[Statement, ...] = ()
    theme: str = ""  # "" for symbols
    link: Link | None = None  # to the part before

    def with_number(self, before: Fraction | None) -> Part:
        """Return the part with its X worked out; InputError without the answer it needs."""
        if self.link is None:
            return self
        if before is None:
            problem = "needs the answer of the part before"
            raise InputError("link", self.link.equation, problem, "solve that first")
        # X = ratio x (answer of the part before)
        number = self.link.ratio * before
        equations = list(self.equations)
        old = equations[self.link.equation]
        new = replace(old, right=number)
        if self.link.place >= 0:
            terms = list(old.terms)
            terms[self.link.place] = (terms[self.link.place][0], number)
            new = replace(old, terms=tuple(terms))
        equations[self.link.equation] = new
        return replace(self, equations=tuple(equations), link=None)


def solve(equations: tuple[Relation, ...]) -> Fraction | None:
    """Return the value of n that equations give, None where they leave it open."""
    rows = [[dict(equation.terms).get(name, 0) for name in VARIABLES] for equation in equations]
    return value_of(rows, [equation.right for equation in equations], VARIABLES.index(TARGET))


@dataclass(frozen=True)
class Item:
    """A problem: one part, or a chain in which each part needs the answer before.

    `extras` are about the whole; `operators` were applied, in order; `generation` counts rounds of evolution.
    """

    parts: tuple[Part, ...]
    extras: tuple[Statement, ...] = ()
    operators: tuple[str, ...] = ()
    generation: int = 0

    def worked_out(self) -> list[Part]:
        """Return every part with its X worked out."""
        parts: list[Part] = []
        for part in self.parts:
            parts.append(part.with_number(solve(parts[-1].equations) if parts else None))
        return parts

    @property
    def answers(self) -> list[Fraction | None]:
        """The answer of each part, in order."""
        return [solve(part.equations) for part in self.worked_out()]

    @property
    def answer(self) -> Fraction | None:
        """The answer of the last part."""
        return self.answers[-1]

    @property
    def shortcut(self) -> Fraction | None:
        """The answer of whoever takes the last part's fuzzy relation for an equation; None without one.

        The relation then takes the place of the last equation, which it imitates.
        """
        part = self.worked_out()[-1]
        fuzzy = [noise.relation for noise in part.noise if noise.kind == "approximate" and noise.relation]
        # the last equation is replaced by the fuzzy one, read with an equals sign
        return solve((*part.equations[:-1], fuzzy[-1])) if fuzzy else None

    def counts(self) -> tuple[int, int, int]:
        """Return how many equations (noise included), variables and products with an X it has."""
        equations = variables = products = 0
        for part in self.parts:
            equations += len(part.equations) + sum(noise.relation is not None for noise in part.noise)
            variables += len({name for equation in part.equations for name, _ in equation.terms})
            products += part.link is not None and part.link.place >= 0
        return equations, variables, products

    def statements(self) -> list[tuple[bool, str]]:
        """Return every sentence with whether it is noise; the questions last."""
        sentences = [(True, extra.text) for extra in self.extras if extra.kind == "background"]
        questions: list[str] = []
        for number, part in enumerate(self.parts):
            sentences += _sentences(part, f"X{number}" if number else "", number)
            asked = f"the number of {THEMES[part.theme][TARGET]}" if part.theme else TARGET
            alone = len(self.parts) == 1
            questions.append(f"What is {asked}?" if alone else f"Question {number + 1}: what is {asked}?")
        sentences += [(True, extra.text) for extra in self.extras if extra.kind != "background"]
        return [*sentences, (False, " ".join(questions))]

    def text(self) -> str:
        """Return the whole problem."""
        return " ".join(text for _, text in self.statements())


def _sentences(part: Part, label: str, number: int) -> list[tuple[bool, str]]:
    def sentence(text: str) -> str:
        return f"{text[0].upper()}{text[1:]}." if part.theme else f"{text}."

    sentences = []
    if part.link is not None:
        times = "" if part.link.ratio == 1 else f"{part.link.ratio} times "
        sentences.append((False, f"Let {label} be {times}the answer to question {number}."))
    for i, equation in enumerate(part.equations):
        hidden = {part.link.place: label} if part.link and part.link.equation == i else {}
        sentences.append((False, sentence(equation.told(part.theme, hidden))))
    for noise in part.noise:
        sentences.append((True, noise.text or sentence(noise.relation.told(part.theme))))
    return sentences


# Seeds: five equations in five unknowns with whole solutions, the first of which is needed

LOWEST = 1  # of each unknown
HIGHEST = 20
COEFFICIENTS = (*map(Fraction, (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)), Fraction(-1, 2), Fraction(1, 2))


def draw_rows(rng: random.Random) -> list[list[Fraction]]:
    """Draw the coefficients of five equations: four over x, y, z, m with one to three terms, one with n.

    Which terms, how many and which coefficients are uniform (the paper's code; its distribution of the
    number of terms is not documented).
    """
    rows = []
    for equation in range(5):
        if equation < 4:
            columns = rng.sample(range(4), rng.randint(1, 3))
        else:
            columns = [*rng.sample(range(4), rng.randint(1, 2)), 4]
        row = [Fraction(0)] * len(VARIABLES)
        for column in columns:
            row[column] = rng.choice(COEFFICIENTS)
        rows.append(row)
    return rows


def seed_problem(
    rng: random.Random, necessary: Callable[[Sequence[Sequence[Fraction]]], bool] = is_necessary
) -> Item:
    """Draw systems until one has a unique solution for which the first equation is needed.

    Parameters
    ----------
    rng : random.Random
    necessary : callable
        The test; `released_is_necessary` repeats the released slip.

    Returns
    -------
    Item
        In symbols; the answer is the value of n, a whole number from 1 to 20.

    Examples
    --------
    >>> item = seed_problem(random.Random(1))
    >>> 1 <= item.answer <= 20, item.parts[0].noise
    (True, ())
    """
    while True:
        rows = draw_rows(rng)
        # four equations fix x, y, z and m, the fifth then gives n
        if rank([row[:4] for row in rows[:4]]) == 4 and necessary(rows):
            break
    # the solution first, the right sides from it: whole numbers without search
    solution = [rng.randint(LOWEST, HIGHEST) for _ in VARIABLES]
    equations = []
    for row in rows:
        terms = tuple((name, value) for name, value in zip(VARIABLES, row, strict=True) if value)
        right = Fraction(sum(a * b for a, b in zip(row, solution, strict=True)))
        equations.append(Relation(terms, right))
    return Item((Part(tuple(equations)),), operators=("seed",))


# Public problems with their provenance: their own words, what was added, how parts are linked

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
