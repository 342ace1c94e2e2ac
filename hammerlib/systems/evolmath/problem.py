"""Linear systems as problems: exact algebra, binding equations, noise, links, words, and seeds."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from hammerlib.errors import InputError
from hammerlib.systems.evolmath.phrases import THEMES

Row = Sequence[Fraction | int]


def reduced(rows: Sequence[Row]) -> list[list[Fraction]]:
    """Return the rows of the reduced echelon form that are not zero.

    Examples
    --------
    >>> reduced([[2, 4], [1, 2]])
    [[Fraction(1, 1), Fraction(2, 1)]]
    """
    left = [[Fraction(value) for value in row] for row in rows]
    done: list[list[Fraction]] = []
    for column in range(len(rows[0]) if rows else 0):
        pivot = next((row for row in left if row[column]), None)
        if pivot is None:
            continue
        left.remove(pivot)
        pivot = [value / pivot[column] for value in pivot]
        left = [[a - row[column] * b for a, b in zip(row, pivot, strict=True)] for row in left]
        done = [[a - row[column] * b for a, b in zip(row, pivot, strict=True)] for row in done]
        done.append(pivot)
    return done


def rank(rows: Sequence[Row]) -> int:
    """Return the rank of a matrix, exactly.

    Examples
    --------
    >>> rank([[1, 2], [Fraction(1, 2), 1], [0, 1]])
    2
    """
    return len(reduced(rows))


def value_of(rows: Sequence[Row], right: Row, unknown: int) -> Fraction | None:
    """Return the one value that a system gives an unknown; None where it leaves it open.

    Parameters
    ----------
    rows : (equations, unknowns) of numbers
    right : (equations,) of numbers
    unknown : int
        Column.

    Raises
    ------
    InputError
        The equations contradict each other.

    Examples
    --------
    >>> value_of([[1, 1], [1, -1]], [3, 1], 1), value_of([[1, 1]], [3], 0)
    (Fraction(1, 1), None)
    """
    width = len(rows[0])
    found = reduced([[*row, one] for row, one in zip(rows, right, strict=True)])
    if any(not any(row[:width]) for row in found):
        remedy = "drop one of them"
        raise InputError("equations", len(rows), "contradict each other", remedy)
    for row in found:
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
    middle = [list(row) for row in rows[1:-1]]
    last = list(rows[-1])
    last[target] = 0
    return rank([*middle, last]) > rank(middle)


def released_is_necessary(rows: Sequence[Row], target: int = -1) -> bool:
    """Tell what the released code takes for the same: wrong in both directions, kept for comparison.

    It cuts equations 2 to 4 down to the columns of the last equation and compares the rank with their number.

    Parameters
    ----------
    rows : (5, 5) of numbers
    target : int

    Examples
    --------
    >>> rows = [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0], [4, 0, -4, 0, 0], [2, 0, -2, 0, 2]]
    >>> released_is_necessary(rows), is_necessary(rows)
    (True, False)
    """
    place = target % len(rows[-1])
    used = [column for column, value in enumerate(rows[-1]) if value and column != place]
    return rank([[row[column] for column in used] for row in rows[1:-1]]) < len(used)


VARIABLES = ("x", "y", "z", "m", "n")
UNUSED = ("a", "b", "c")
TARGET = "n"


@dataclasses.dataclass(frozen=True)
class Relation:
    """A linear relation, e.g. 3x - y/2 = 12; binding only with the sign ``=``.

    Attributes
    ----------
    terms : tuple of (str, Fraction)
        Variable and coefficient, none of them 0.
    right : Fraction
    sign : str

    Examples
    --------
    >>> Relation((("x", Fraction(3)), ("y", Fraction(-1, 2))), Fraction(12)).told()
    '3x - 0.5y = 12'
    """

    terms: tuple[tuple[str, Fraction], ...]
    right: Fraction
    sign: str = "="

    def told(self, theme: str = "", hidden: Mapping[int, str] | None = None) -> str:
        """Write it in symbols, or about a theme's things; `hidden` replaces numbers (-1: the right side)."""
        hidden = hidden or {}
        words: list[str] = []
        for place, (name, coefficient) in enumerate(self.terms):
            minus = coefficient < 0 and place not in hidden
            shown = hidden.get(place) or _number(abs(coefficient))
            joint = ("- " if minus else "+ ") if words else ("-" if minus else "")
            if theme:
                joint = ("minus " if minus else "plus ") if words else ("minus " if minus else "")
            words.append(joint + _term(name, shown, theme))
        right = hidden.get(-1) or _number(self.right)
        sign = _SIGNS.get(self.sign, self.sign) if theme else self.sign
        return f"{' '.join(words)} {sign} {right}"


_SIGNS = {"=": "equals"}


def _number(value: Fraction) -> str:
    return str(float(value)) if value.denominator == 2 else str(value)


def _term(name: str, shown: str, theme: str) -> str:
    if not theme:
        return name if shown == "1" else f"{shown}{name}"
    thing = f"the number of {THEMES[theme][name]}"
    return thing if shown == "1" else f"half {thing}" if shown == "0.5" else f"{shown} times {thing}"


@dataclasses.dataclass(frozen=True)
class Statement:
    """Something said beside the binding equations.

    Attributes
    ----------
    kind : str
        The operator that added it.
    text : str
        Empty where a relation is told.
    relation : Relation or None
        Never binding.
    value : str
        What it suggests as the answer, in a public problem.

    Examples
    --------
    >>> Statement("background", "It is a quiet morning.").relation is None
    True
    """

    kind: str
    text: str = ""
    relation: Relation | None = None
    value: str = ""


@dataclasses.dataclass(frozen=True)
class Link:
    """How an earlier answer enters a part: X = ratio x (that answer) stands for one number.

    Attributes
    ----------
    equation, place : int
        Which number: a term of that equation, or -1 for its right side.
    ratio : Fraction

    Examples
    --------
    >>> Link(1, -1, Fraction(3, 2)).ratio * 4
    Fraction(6, 1)
    """

    equation: int
    place: int
    ratio: Fraction


@dataclasses.dataclass(frozen=True)
class Part:
    """One system of equations.

    Attributes
    ----------
    equations : tuple of Relation
        Binding; the last brings in the unknown that is asked for.
    noise : tuple of Statement
    theme : str
        "" for symbols.
    link : Link or None
        To the part before.

    Examples
    --------
    >>> Part((Relation((("n", Fraction(2)),), Fraction(6)),)).solve()
    Fraction(3, 1)
    """

    equations: tuple[Relation, ...]
    noise: tuple[Statement, ...] = ()
    theme: str = ""
    link: Link | None = None

    def solve(self, before: Fraction | None = None) -> Fraction | None:
        """Return the value of n from the binding equations; `before` is the answer of the part before."""
        return solve(self.with_number(before).equations)

    def with_number(self, before: Fraction | None) -> Part:
        """Return the part with its X worked out; InputError without the answer it needs."""
        if self.link is None:
            return self
        if before is None:
            raise InputError(
                "link", self.link.equation, "needs the answer of the part before", "solve that first"
            )
        equations = list(self.equations)
        old, number = equations[self.link.equation], self.link.ratio * before
        if self.link.place == -1:
            new = dataclasses.replace(old, right=number)
        else:
            terms = list(old.terms)
            terms[self.link.place] = (terms[self.link.place][0], number)
            new = dataclasses.replace(old, terms=tuple(terms))
        equations[self.link.equation] = new
        return dataclasses.replace(self, equations=tuple(equations), link=None)


def solve(equations: tuple[Relation, ...]) -> Fraction | None:
    """Return the value of n that equations give, None where they leave it open.

    Raises
    ------
    InputError
        They contradict each other.

    Examples
    --------
    >>> first = Relation((("x", Fraction(1)),), Fraction(2))
    >>> solve((first, Relation((("x", Fraction(1)), ("n", Fraction(1))), Fraction(5))))
    Fraction(3, 1)
    """
    rows = [[dict(one.terms).get(name, Fraction(0)) for name in VARIABLES] for one in equations]
    return value_of(rows, [one.right for one in equations], VARIABLES.index(TARGET))


@dataclasses.dataclass(frozen=True)
class Item:
    """A problem: one part, or a chain in which each part needs the answer before.

    Attributes
    ----------
    parts : tuple of Part
    extras : tuple of Statement
        About the whole.
    operators : tuple of str
        What was applied, in order.
    generation : int
        Rounds of evolution it went through.

    Examples
    --------
    >>> Item((Part((Relation((("n", Fraction(2)),), Fraction(6)),)),)).answer
    Fraction(3, 1)
    """

    parts: tuple[Part, ...]
    extras: tuple[Statement, ...] = ()
    operators: tuple[str, ...] = ()
    generation: int = 0

    @property
    def answers(self) -> list[Fraction | None]:
        """The answer of each part, in order."""
        found: list[Fraction | None] = []
        for part in self.parts:
            found.append(part.solve(found[-1] if found else None))
        return found

    @property
    def answer(self) -> Fraction | None:
        """The answer of the last part."""
        return self.answers[-1]

    @property
    def shortcut(self) -> Fraction | None:
        """The answer of whoever takes the last part's fuzzy relation for an equation; None without one.

        The relation then takes the place of the last equation, which it imitates.
        """
        answers = self.answers
        part = self.parts[-1].with_number(answers[-2] if len(answers) > 1 else None)
        fuzzy = [one.relation for one in part.noise if one.kind == "approximate" and one.relation]
        return solve((*part.equations[:-1], fuzzy[-1])) if fuzzy else None

    def counts(self) -> tuple[int, int, int]:
        """Return how many equations (noise included), variables and products with an X it has."""
        equations = sum(len(part.equations) for part in self.parts)
        equations += sum(one.relation is not None for part in self.parts for one in part.noise)
        variables = sum(len({v for one in part.equations for v, _ in one.terms}) for part in self.parts)
        return equations, variables, sum(p.link is not None and p.link.place >= 0 for p in self.parts)

    def statements(self) -> list[tuple[bool, str]]:
        """Return every sentence with whether it is noise; the questions last."""
        told: list[tuple[bool, str]] = [(True, one.text) for one in self.extras if one.kind == "background"]
        questions: list[str] = []
        for place, part in enumerate(self.parts):
            told += _part(part, place)
            questions.append(_question(part, place, len(self.parts)))
        told += [(True, one.text) for one in self.extras if one.kind != "background"]
        return [*told, (False, " ".join(questions))]

    def text(self) -> str:
        """Return the whole problem."""
        return " ".join(text for _, text in self.statements())


def _part(part: Part, place: int) -> list[tuple[bool, str]]:
    label = f"X{place}" if place else ""
    told = []
    if part.link is not None:
        ratio = "" if part.link.ratio == 1 else f"{part.link.ratio} times "
        told.append((False, f"Let {label} be {ratio}the answer to question {place}."))
    for i, one in enumerate(part.equations):
        hidden = {part.link.place: label} if part.link and part.link.equation == i else {}
        told.append((False, _sentence(one.told(part.theme, hidden), part.theme)))
    noise = [one.text or _sentence(one.relation.told(part.theme), part.theme) for one in part.noise]
    return told + [(True, text) for text in noise]


def _sentence(text: str, theme: str) -> str:
    return f"{text[0].upper()}{text[1:]}." if theme else f"{text}."


def _question(part: Part, place: int, parts: int) -> str:
    asked = f"the number of {THEMES[part.theme][TARGET]}" if part.theme else TARGET
    return f"What is {asked}?" if parts == 1 else f"Question {place + 1}: what is {asked}?"


LOWEST, HIGHEST = 1, 20  # of each unknown
_WHOLE = (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)
COEFFICIENTS = (*map(Fraction, _WHOLE), Fraction(-1, 2), Fraction(1, 2))


def draw_rows(rng: random.Random) -> list[list[Fraction]]:
    """Draw the coefficients of five equations: four over x, y, z, m with one to three terms, one with n.

    Which terms, how many and which coefficients are uniform (the paper's code; its distribution of the
    number of terms is not documented).

    Examples
    --------
    >>> rows = draw_rows(random.Random(0))
    >>> [len(rows), all(row[4] == 0 for row in rows[:4]), rows[4][4] != 0]
    [5, True, True]
    """
    rows = [_row(rng, rng.sample(range(4), rng.randint(1, 3))) for _ in range(4)]
    return [*rows, _row(rng, [*rng.sample(range(4), rng.randint(1, 2)), 4])]


def _row(rng: random.Random, columns: Sequence[int]) -> list[Fraction]:
    row = [Fraction(0)] * len(VARIABLES)
    for column in columns:
        row[column] = rng.choice(COEFFICIENTS)
    return row


def seed_problem(
    rng: random.Random, necessary: Callable[[Sequence[Sequence[Fraction]]], bool] = is_necessary
) -> Item:
    """Draw systems until one has a unique solution for which the first equation is needed.

    Parameters
    ----------
    rng : random.Random
    necessary : callable
        The test; `linear.released_is_necessary` repeats the released slip.

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
        if rank([row[:4] for row in rows[:4]]) == 4 and necessary(rows):
            break
    solution = [rng.randint(LOWEST, HIGHEST) for _ in VARIABLES]
    equations = [
        Relation(
            tuple((name, value) for name, value in zip(VARIABLES, row, strict=True) if value),
            sum((a * b for a, b in zip(row, solution, strict=True)), Fraction(0)),
        )
        for row in rows
    ]
    return Item((Part(tuple(equations)),), operators=("seed",))
