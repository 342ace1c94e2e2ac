"""What an answer can be, and when two are the same: `same`, for what `hammerlib.grading.reading` reads."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import mpmath

from hammerlib.grading.expressions import (
    Node,
    Unreadable,
    difference,
    negative,
    number,
    parse,
    product,
    ratio,
    symbols,
)
from hammerlib.grading.normal_form import listed
from hammerlib.grading.values import (
    is_complex,
    number_in_words,
    number_of,
    same_unit,
    same_value,
    unfinished,
    value,
)

# Below this, decimals are compared by their digits instead of their places, and to 1 %.
SMALL, SMALL_TOLERANCE = Fraction(1, 1000), Fraction(1, 100)
# Fewer decimal places than this are never a rounded value: 0.333333 is 1/3, 0.333 is not.
PLACES = 6
INFINITY = Node("constant", "infty")


class Quantity(NamedTuple):
    """A value, its unit, and (where it is written as a decimal) its places."""

    node: Node
    unit: str | None = None
    places: int | None = None
    # `5 m` is a product, or else this many of that unit.
    guess: tuple[Node, str] | None = None


class Words(NamedTuple):
    """Text that is compared as text."""

    text: str


class Based(NamedTuple):
    """Digits to a base."""

    digits: str
    base: int


class Parts(NamedTuple):
    """Several answers: ``list`` (any order), ``set``, ``union``, ``sequence``, or brackets as ``(]``."""

    kind: str
    parts: tuple[Any, ...]


class Named(NamedTuple):
    """``x = 5``: the name may be left out."""

    name: str
    reading: Any


class Relation(NamedTuple):
    """Sides joined by signs: ``a < x <= b``, ``>= 5``, ``u != v``; ``~`` is an approximation."""

    signs: tuple[str, ...]
    sides: tuple[Node | None, ...]


class Equation(NamedTuple):
    """Two sides that are equal."""

    left: Node
    right: Node


class Grid(NamedTuple):
    """A matrix: rows of quantities; kind is ``matrix`` or ``determinant``."""

    kind: str
    rows: tuple[tuple[Any, ...], ...]


class Time(NamedTuple):
    """A time of day with its half: 8:15 a.m."""

    hours: int
    rest: tuple[int, ...]


class Congruence(NamedTuple):
    """What is left modulo a number; "" where nothing is named."""

    name: str
    residue: Any
    modulus: Node


class Ratio(NamedTuple):
    """``3:4``, or a time of day without its half."""

    texts: tuple[str, ...]
    parts: tuple[Quantity, ...]


def between(brackets: str, low: Node, high: Node) -> Parts:
    """The interval between two values."""
    return Parts(brackets, (Quantity(low), Quantity(high)))


def minutes(texts: Sequence[str | None]) -> tuple[int, ...]:
    """Minutes and seconds without zeros at the end."""
    rest = [int(text or 0) for text in texts]
    while rest and rest[-1] == 0:
        rest.pop()
    return tuple(rest)


def operations(reading: Any) -> set[str]:
    """Operations on plain numbers that a reading leaves to be done."""
    if isinstance(reading, Quantity):
        return unfinished(reading.node)
    if isinstance(reading, Node):
        return unfinished(reading)
    return set().union(*map(operations, reading)) if isinstance(reading, tuple) else set()


# Comparison ------------------------------------------------------------------------------------------


def same(gold: Any, answer: Any) -> bool:
    """Compare two readings; the order matters for names and for what only a gold may leave out."""
    if isinstance(gold, Named) or isinstance(answer, Named):
        return _same_named(gold, answer)
    if isinstance(gold, Congruence) != isinstance(answer, Congruence):
        return isinstance(gold, Congruence) and same(gold.residue, answer)
    if isinstance(gold, Parts) or isinstance(answer, Parts):
        return _same_parts(gold, answer)
    if type(gold) is not type(answer):
        return _across(gold, answer)
    return _SAME[type(gold)](gold, answer)


_FUNCTION = re.compile(r"y[A-Za-z]\(x\)|[A-Za-z]\(x\)y")


def _same_named(gold: Any, answer: Any) -> bool:
    if not isinstance(answer, Named):
        return same(answer, gold) if isinstance(answer, Equation) else same(gold.reading, answer)
    if isinstance(gold, Named):
        # f(x) = 2x is the line y = 2x; f and g are two functions
        line = "y" in (gold.name, answer.name) and _FUNCTION.fullmatch(gold.name + answer.name)
        return (gold.name == answer.name or bool(line)) and same(gold.reading, answer.reading)
    if isinstance(gold, Equation) and isinstance(answer.reading, Quantity):  # y = 2x for y - 2x = 0
        if not re.fullmatch(r"[A-Za-z]", answer.name):
            raise Unreadable("a name")
        return same(gold, Equation(parse(answer.name), answer.reading.node))
    return same(gold, answer.reading)


def _ordered(kind: type, gold: Any, answer: Any) -> tuple[Any, Any]:
    """The one of two readings that is of a kind, then the other."""
    return (gold, answer) if isinstance(gold, kind) else (answer, gold)


def _across(gold: Any, answer: Any) -> bool:
    """Readings of two kinds: mostly two answers."""
    kinds = {type(gold), type(answer)}
    if isinstance(gold, Relation) and gold.signs == ("~",) and isinstance(answer, Quantity):
        # A gold that is called an approximation; the sign may be left out.
        return _same_quantity(Quantity(gold.sides[1]), answer._replace(unit=None))
    if Time in kinds:
        return _same_time(*_ordered(Time, gold, answer))
    if kinds == {Quantity, Words}:
        words, quantity = _ordered(Words, gold, answer)
        if (number := number_in_words(words.text)) is not None:
            return value(quantity.node) == number
        # Letters that are no words: the symbol of an expression, or a product that is written out.
        is_short = re.fullmatch(r"[A-Za-z]{1,3}", words.text)
        return bool(is_short) and _same_quantity(Quantity(parse(words.text)), quantity)
    if kinds == {Quantity, Ratio}:
        parted, quantity = _ordered(Ratio, gold, answer)
        if len(parted.parts) != 2 or _clock(parted) or quantity.unit is not None:
            return False
        return _same_quantity(Quantity(ratio(*(piece.node for piece in parted.parts))), quantity)
    grid, _ = _ordered(Grid, gold, answer)
    if isinstance(grid, Grid) and (Quantity in kinds or grid.kind == "determinant"):
        raise Unreadable("a determinant")
    return False


# Quantities


_LETTER_UNITS = {"m", "g", "s", "L", "h"}


def _same_quantity(gold: Quantity, answer: Quantity) -> bool:
    for left, right in ((gold, answer), (answer, gold)):
        no_unit = right.unit is None and right.guess is None and not symbols(right.node)
        if left.guess and (right.unit == left.guess[1] or (no_unit and left.guess[1] in _LETTER_UNITS)):
            return _same_number(Quantity(left.guess[0], None, left.places), right)
    if (gold.unit == "percent") == (answer.unit == "percent"):
        return same_unit(gold.unit, answer.unit) and _same_number(gold, answer)
    share, bare = (gold, answer) if gold.unit == "percent" else (answer, gold)
    if bare.unit is not None:
        return False
    # 50 % is 50, and one half.
    places = None if share.places is None else share.places + 2
    hundredth = Quantity(ratio(share.node, number(100)), None, places)
    return _same_number(share, bare) or _same_number(hundredth, bare)


def _same_number(left: Quantity, right: Quantity) -> bool:
    if same_value(left.node, right.node):
        return True
    decimals = [side.places for side in (left, right) if side.places is not None]
    if not decimals or symbols(left.node) or symbols(right.node):
        return False
    a = value(left.node)
    b = value(right.node)
    if a is None or b is None:
        # A decimal may stand for what is no fraction: 1.414214 for the root of 2.
        numbers = number_of(left.node), number_of(right.node)
        if any(getattr(number, "imag", 0) or not 0 < abs(number) < 10**30 for number in numbers):
            return False
        a, b = (Fraction(mpmath.nstr(number, 40)) for number in numbers)
    return _rounded(a, b, min(decimals))


def _rounded(a: Fraction, b: Fraction, places: int) -> bool:
    """Whether the more precise of two numbers rounds to the other one, which has so many decimal places."""
    apart = abs(a - b)
    if apart > Fraction(1, 2) / Fraction(10) ** places:
        return False
    if max(abs(a), abs(b)) < SMALL:
        return apart <= SMALL_TOLERANCE * min(abs(a), abs(b)) and (a < 0) == (b < 0)
    return places >= PLACES


# Lists, sets, points, intervals


def _same_parts(gold: Any, answer: Any) -> bool:
    if not (isinstance(gold, Parts) and isinstance(answer, Parts)):
        return _same_single(gold, answer)
    kinds = {gold.kind, answer.kind}
    if "union" in kinds and "list" in kinds:  # x < 1 or x > 2
        gold = _union(gold) if gold.kind == "list" else gold
        answer = _union(answer) if answer.kind == "list" else answer
        kinds = {gold.kind, answer.kind}
    if kinds <= {"list", "set"} or kinds == {"union"}:
        return _same_members(gold.parts, answer.parts)
    if len(kinds) > 1 and kinds != {"list", "()"}:
        return False
    return len(gold.parts) == len(answer.parts) and all(map(same, gold.parts, answer.parts))


def _same_single(gold: Any, answer: Any) -> bool:
    """Several answers and a single one: a relation is an interval, a list of one its member."""
    parts, single = _ordered(Parts, gold, answer)
    if isinstance(single, Relation):
        single = interval(single)
    elif parts.kind in ("list", "set") and len(parts.parts) == 1:
        parts = parts.parts[0]
    else:
        return False
    return same(parts, single) if isinstance(gold, Parts) else same(single, parts)


def _same_members(gold: tuple[Any, ...], answer: tuple[Any, ...]) -> bool:
    """The same parts equally often, in any order."""
    if len(gold) != len(answer):
        return False
    rest = list(answer)
    for piece in gold:
        match = [position for position, other in enumerate(rest) if same(piece, other)]
        if not match:
            return False
        del rest[match[0]]
    return True


def _union(parts: Parts) -> Parts:
    if not all(isinstance(piece, Relation) for piece in parts.parts):
        return parts
    return Parts("union", tuple(map(interval, parts.parts)))


_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!=", "=": "=", "~": "~"}


def _turned(relation: Relation) -> Relation:
    """The same relation read from right to left."""
    return Relation(tuple(_TURNED[sign] for sign in relation.signs[::-1]), relation.sides[::-1])


def interval(relation: Relation) -> Parts:
    """The numbers that a relation leaves to one symbol."""
    if set(relation.signs) <= {">", ">="}:
        relation = _turned(relation)
    signs, sides = relation
    bounds = [None if node is None or node.kind in ("symbol", "call") else node for node in sides]
    if None in sides or bounds.count(None) != 1:
        raise Unreadable("a relation that is no interval")
    low = negative(INFINITY) if bounds[0] is None else bounds[0]
    high = INFINITY if bounds[-1] is None else bounds[-1]
    if signs == ("!=",):
        point = bounds[0] or bounds[1]
        return Parts("union", (between("()", negative(INFINITY), point), between("()", point, INFINITY)))
    if not set(signs) <= {"<", "<="} or (len(bounds) == 3 and bounds[1] is not None):
        raise Unreadable("a relation that is no interval")
    opening = "[" if signs[0] == "<=" and bounds[0] is not None else "("
    closing = "]" if signs[-1] == "<=" and bounds[-1] is not None else ")"
    return between(opening + closing, low, high)


# Words


_ALWAYS = set(listed("true false yes no even odd none undefined infinity increasing decreasing convergent"))
# A word in small letters, or with a capital at its beginning.
_WORD = re.compile(r"[^\W\d_]?[^\WA-Z\d_]*")


def _same_words(gold: Words, answer: Words) -> bool:
    """Compare words: letters in their order; capitals count where they may be symbols."""
    left, right = _plain_words(gold.text), _plain_words(answer.text)
    if left == right:
        return True
    if left.casefold() != right.casefold():
        return "solution" in left.lower() and _singular(left) == _singular(right)
    if left.lower() in _ALWAYS:
        return True
    words = re.split(r"[\s'-]", left) + re.split(r"[\s'-]", right)
    return len(left) >= 3 and all(map(_WORD.fullmatch, words))


def _plain_words(text: str) -> str:
    return re.sub(r"^(?:the|an?) (?=\w{3})", "", re.sub(r"[\s-]+", " ", text.strip(" .!")))


def _singular(text: str) -> str:
    return re.sub(r"solutions\b", "solution", text.lower())


# Times, congruences, ratios, grids


def _same_time(time: Time, other: Any) -> bool:
    """The half of the day may be left out, as a unit may; 20:15 has it."""
    if isinstance(other, Ratio) and _clock(other):
        same_hour = int(other.texts[0]) in (time.hours, time.hours % 12 or 12)
        return same_hour and minutes(other.texts[1:]) == time.rest
    if isinstance(other, Quantity) and other.unit is None and not time.rest:
        return value(other.node) == (time.hours % 12 or 12)
    return False


def _clock(ratio: Ratio) -> bool:
    """Whether a ratio may be a time of day."""
    return ratio.texts[0].isdecimal() and all(re.fullmatch(r"[0-5]\d", text) for text in ratio.texts[1:])


def _same_congruence(gold: Congruence, answer: Congruence) -> bool:
    if gold.name and answer.name and gold.name != answer.name:
        return False
    if not same_value(gold.modulus, answer.modulus):
        return False
    if same(gold.residue, answer.residue):
        return True
    if not (isinstance(gold.residue, Quantity) and isinstance(answer.residue, Quantity)):
        return False
    left, right, by = value(gold.residue.node), value(answer.residue.node), value(gold.modulus)
    if left is None or right is None or not by:
        return False
    return ((left - right) / by).denominator == 1


def _same_ratio(gold: Ratio, answer: Ratio) -> bool:
    if len(gold.parts) != len(answer.parts):
        both = sorted((gold.texts, answer.texts), key=len)  # 20:34 is 20:34:00
        return _clock(gold) and _clock(answer) and both[1] == (*both[0], "00")
    if all(map(same, gold.parts, answer.parts)):
        return True
    if _clock(gold) and _clock(answer):  # 1:30 is not 2:60
        return False
    # a : b = c : d where ad = bc, and nothing is zero.
    left = [piece.node for piece in gold.parts]
    right = [piece.node for piece in answer.parts]
    pairs = zip(left[1:], right[1:], strict=True)
    proportional = all(same_value(product(left[0], b), product(right[0], a)) for a, b in pairs)
    return proportional and not any(value(node) == 0 for node in (*left, *right))


def _same_grid(gold: Grid, answer: Grid) -> bool:
    if gold.kind != answer.kind or list(map(len, gold.rows)) != list(map(len, answer.rows)):
        return False
    return all(map(same, sum(gold.rows, ()), sum(answer.rows, ())))


# Equations and relations


def _factor(gold: Sequence[Any], answer: Sequence[Any]) -> Any:
    """Constant factor between left - right of two equations or relations; 0 where there is none."""
    left, right = difference(*gold), difference(*answer)
    ratios = []
    for point in (0, 2, 3):
        a, b = number_of(left, point=point), number_of(right, point=point)
        if a == 0 or b == 0:
            return 0
        ratios.append(a / b)
    first = ratios[0]
    constant = all(abs(quotient - first) < abs(first) * 10**-30 for quotient in ratios)
    return first.real if constant and symbols(left) == symbols(right) and not is_complex(first) else 0


def _same_relation(gold: Relation, answer: Relation) -> bool:
    if len(gold.signs) != len(answer.signs):
        return False
    whole = len(gold.signs) == 1 and None not in (*gold.sides, *answer.sides)
    if whole and (factor := _factor(gold.sides, answer.sides)):
        # x - 1 > 0 is 1 - x < 0.
        sign = answer.signs[0]
        return gold.signs[0] == (sign if factor > 0 else _TURNED[sign])
    return _agree(gold, answer) or _agree(gold, _turned(answer))


def _agree(gold: Relation, answer: Relation) -> bool:
    """Whether two relations have the same signs, and the same values on the same sides."""
    return gold.signs == answer.signs and all(
        a is b is None or (a is not None and b is not None and same_value(a, b))
        for a, b in zip(gold.sides, answer.sides, strict=True)
    )


_SAME = {
    Based: operator.eq,
    Time: operator.eq,
    Quantity: _same_quantity,
    Words: _same_words,
    Congruence: _same_congruence,
    Grid: _same_grid,
    Ratio: _same_ratio,
    Equation: lambda gold, answer: _factor(gold, answer) != 0,
    Relation: _same_relation,
}
