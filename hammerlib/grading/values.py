"""Values of expressions: exact fractions, or else as many digits as it takes to tell two values apart.

`same_value` is what the comparison of answers rests on: exact where both sides are fractions; otherwise both
are computed with fifty digits, with symbols at six points, and where they agree once more with the digits
that the largest of their parts needs.
"""

from __future__ import annotations

import functools
import hashlib
import math
import operator
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath

from hammerlib.grading.expressions import (
    OF_SEVERAL,
    TRIGONOMETRIC,
    Node,
    Nonsense,
    Unreadable,
    contains,
    number,
    replaced,
    symbols,
)
from hammerlib.grading.normal_form import listed, table

# Bits of the longest whole number that is written out; beyond, digits of a power or factorial are counted.
MAX_BITS = 400_000
MAX_FACTORIAL = 9_999
MAX_TERMS = 10_000
# Decimal digits of the first look, and the most that a close pair may cost.
DIGITS, MOST_DIGITS = 50, 6_000
BIG = ("big sum", "big prod")


# Exact values ----------------------------------------------------------------------------------------


def value(node: Node) -> Fraction | None:
    """Exact value of a tree of numbers, or None: not a fraction, or too long to write out."""
    if node.kind == "number":
        return node.value
    if node.kind in BIG:
        return _over(node)
    parts = [value(child) for child in node.parts]
    if not parts or None in parts:
        return None
    try:
        if node.kind == "function":
            return _function(node.value, parts)
        operation = _EXACT.get(node.kind)
        return operation(*parts) if operation else None
    except ZeroDivisionError as error:
        raise Nonsense("a division by zero") from error


def _product(*factors: Fraction) -> Fraction | None:
    return math.prod(factors, start=Fraction(1)) if sum(map(_bits, factors)) < MAX_BITS else None


def _bits(number: Fraction) -> int:
    return number.numerator.bit_length() + number.denominator.bit_length()


def _power(base: Fraction, power: Fraction) -> Fraction | None:
    if power.denominator != 1:
        root = _root(base, Fraction(power.denominator))
        return None if root is None else _power(root, Fraction(power.numerator))
    if base == 0 and power == 0:
        raise Unreadable("zero to the power of zero")
    return base ** int(power) if _bits(base) * abs(power) < MAX_BITS else None


def _root(base: Fraction, degree: Fraction) -> Fraction | None:
    """Root of a fraction where it is one; that of a negative number is real where its degree is odd."""
    from sympy import integer_nthroot

    if degree.denominator != 1 or not 1 <= degree < 100 or (base < 0 and degree % 2 == 0):
        return None
    top, is_top = integer_nthroot(abs(base.numerator), int(degree))
    low, is_low = integer_nthroot(base.denominator, int(degree))
    if not (is_top and is_low):
        return None
    root = Fraction(int(top), int(low))
    return -root if base < 0 else root


def _factorial(n: Fraction) -> Fraction | None:
    fits = n.denominator == 1 and 0 <= n <= MAX_FACTORIAL
    return Fraction(math.factorial(int(n))) if fits else None


def _binomial(n: Fraction, k: Fraction) -> Fraction | None:
    fits = n.denominator == k.denominator == 1 and 0 <= n <= MAX_FACTORIAL and k >= 0
    return Fraction(math.comb(int(n), int(k))) if fits else None


def _function(name: str, parts: list[Any]) -> Fraction | None:
    if name in ("max", "min"):
        return max(parts) if name == "max" else min(parts)
    if name in ("gcd", "lcm") and all(part.denominator == 1 for part in parts):
        return Fraction(getattr(math, name)(*map(int, parts)))
    return None


# Operations that fractions and numbers with digits have in common.
_COMMON: dict[str, Callable[..., Any]] = {
    "group": lambda inside: inside,
    "minus": operator.neg,
    "ratio": operator.truediv,
    "absolute": abs,
}
_EXACT: dict[str, Callable[..., Fraction | None]] = {
    **_COMMON,
    "degrees": lambda angle: angle,
    "sum": lambda *terms: sum(terms, Fraction(0)),
    "product": _product,
    "floor": lambda number: Fraction(math.floor(number)),
    "ceil": lambda number: Fraction(math.ceil(number)),
    "power": _power,
    "root": _root,
    "factorial": _factorial,
    "binomial": _binomial,
}


def _over(node: Node) -> Fraction | None:
    """A sum or product over an index, term by term."""
    first, last, body = node.parts
    low, high = value(first), value(last)
    if low is None or high is None or low.denominator != 1 or high.denominator != 1:
        return None
    if high - low > _most_terms(body):
        return None
    is_product = node.kind == "big prod"
    total = Fraction(is_product)
    for i in range(int(low), int(high) + 1):
        term = value(replaced(body, node.value, number(i)))
        if term is None or _bits(total) > MAX_BITS:
            return None
        total = total * term if is_product else total + term
    return total


def _most_terms(body: Node) -> int:
    """As many terms as are summed within a moment."""
    if depth := _nested(body):
        return {1: 30, 2: 9}.get(depth, -1)
    if any(contains(body, kind) for kind in ("factorial", "binomial", "function", "root")):
        return 100
    if contains(body, "ratio") or contains(body, "power"):
        return 1_000 if _small_powers(body) else 200
    return MAX_TERMS


def _small_powers(node: Node) -> bool:
    small = node.kind != "power" or (node.parts[1].kind == "number" and abs(node.parts[1].value) <= 10)
    return small and all(map(_small_powers, node.parts))


def _nested(node: Node) -> int:
    """How many sums and products over an index stand in each other."""
    return (node.kind in BIG) + max(map(_nested, node.parts), default=0)


# Numbers with digits ---------------------------------------------------------------------------------


@functools.lru_cache(maxsize=8)
def _context(digits: int) -> Any:
    context = mpmath.MPContext()
    context.dps = digits
    return context


# Lowest value and width of the range from which a symbol's value at each point is drawn.
_RANGES = ((0.1, 0.8), (0.2, 1.6), (1.1, 2.3), (0.3, 0.6), (4.0, 9.0), (11.0, 60.0))


class _Numbers:
    """Values of a tree at one point, with a given number of digits; the largest magnitude is kept."""

    def __init__(self, digits: int, point: int) -> None:
        self.context = _context(digits)
        self.point = point
        self.largest = 0

    def of(self, node: Node, angle: bool = False) -> Any:
        """Value of a tree; within an angle degrees are turned into radians."""
        plain = not symbols(node) and node.kind != "degrees" and not angle
        exact = value(node) if plain else None
        if exact is not None:
            result = self.context.mpf(exact.numerator) / exact.denominator
        else:
            result = self.operation(node, angle)
        if result != 0 and self.context.isfinite(result):
            self.largest = max(self.largest, abs(int(self.context.mag(result))))
        return result

    def operation(self, node: Node, angle: bool) -> Any:
        c = self.context
        kind = node.kind
        if kind == "number":
            return c.mpf(node.value.numerator) / node.value.denominator
        if kind == "constant":
            return {"pi": c.pi, "e": c.e, "infty": c.inf, "i": c.mpc(0, 1)}[node.value] * 1
        if kind == "symbol":
            return self.symbol(node.value)
        if kind in BIG:
            raise Unreadable("a sum over symbols")
        angle = angle or (kind == "function" and node.value in TRIGONOMETRIC)
        parts = [self.of(child, angle) for child in node.parts]
        if kind in _COMMON:
            return _COMMON[kind](*parts)
        if kind == "degrees":
            return parts[0] * c.pi / 180 if angle else parts[0]
        if kind == "sum":
            return sum(parts, c.mpf(0))
        if kind == "product":
            return math.prod(parts, start=c.mpf(1))
        if kind in ("floor", "ceil"):
            return getattr(c, kind)(parts[0])
        if kind == "power":
            exact = None if symbols(node.parts[1]) else exact_or_none(node.parts[1])
            return self.power(parts[0], parts[1], exact)
        if kind == "root":
            return self.root(*parts)
        if kind in ("factorial", "binomial"):
            if any(abs(child) > 10**6 for child in parts):
                raise Unreadable("a large factorial")
            return getattr(c, kind)(*parts)
        if kind == "function":
            return self.function(node.value, parts)
        if kind == "call":
            # Any fixed function will do that tells its arguments and their order apart.
            seed = self.symbol("call " + node.value)
            inside = sum((k + 1) * child for k, child in enumerate(parts))
            return c.cos(inside * seed + seed**2) + seed * inside
        raise Unreadable(kind)

    def power(self, base: Any, power: Any, exact: Fraction | None = None) -> Any:
        odd_root = exact and exact.denominator % 2 and exact.denominator > 1
        if odd_root and not self.context.im(base) and base < 0:
            # x^{2/3} of a negative number is real, as the cube root is.
            size = self.power(-base, power)
            return -size if exact.numerator % 2 else size
        if self.context.isfinite(power) and abs(power) > 10**7:
            raise Unreadable("a large power")
        return base**power

    def root(self, base: Any, degree: Any) -> Any:
        c = self.context
        is_negative = not c.im(base) and c.re(base) < 0
        if is_negative and degree == int(degree) and int(degree) % 2:
            return -c.root(-c.re(base), int(degree))
        return self.power(base, 1 / degree)

    def function(self, name: str, parts: list[Any]) -> Any:
        c = self.context
        if name in ("log", "ln", "lg"):
            if name == "lg":
                parts = [*parts, c.mpf(10)]
            return c.log(parts[0]) / (c.log(parts[1]) if len(parts) > 1 else 1)
        if name == "exp":
            return self.power(c.e, parts[0])
        if name in OF_SEVERAL:
            if name in ("gcd", "lcm") or any(c.im(child) for child in parts):
                raise Unreadable(name)
            return (max if name == "max" else min)(parts)
        if name.startswith("arc"):
            name = "a" + name[3:]
        return getattr(c, name)(parts[0])

    def symbol(self, name: str) -> Any:
        """A number that the name and the point decide; odd points are negative."""
        drawn = int.from_bytes(hashlib.sha256(f"{name} {self.point}".encode()).digest()[:6], "big")
        low, width = _RANGES[self.point % 6]
        size = low + width * (self.context.mpf(drawn) / 2**48)
        return -size if self.point % 6 == 1 else size


def _at(node: Node, digits: int, point: int) -> tuple[Any, int]:
    """Value of a tree at a point, and the binary magnitude of the largest or smallest number on the way."""
    numbers = _Numbers(digits, point)
    try:
        return numbers.of(node), numbers.largest
    except Unreadable:
        raise
    except (ValueError, ArithmeticError, TypeError, AttributeError) as error:
        raise Unreadable(str(error)) from error


def number_of(node: Node, digits: int = DIGITS, point: int = 0) -> Any:
    """Value of a tree with that many digits at one point of its symbols."""
    return _at(node, digits, point)[0]


def is_complex(number: Any) -> bool:
    """Whether a number has an imaginary part."""
    return abs(getattr(number, "imag", 0)) > 1e-30


# Comparison ------------------------------------------------------------------------------------------


def same_value(left: Node, right: Node) -> bool:
    r"""Tell whether two trees have the same value, at all points that are tried."""
    first, second = value(left), value(right)
    if first is not None and second is not None:
        return first == second
    names = symbols(left) | symbols(right)
    compared = False
    complex_points = []
    for point in range(6) if names else (0,):
        try:
            a, b = number_of(left, point=point), number_of(right, point=point)
        except Unreadable:
            if not names:
                raise
            continue
        # Complex values, of the root of a negative number for instance, count only where there are no others.
        if names and is_complex(a) and not compared and point < 5:
            complex_points.append((a, b, point))
            continue
        if not _close(left, right, a, b, point):
            return False
        compared = True
    if not compared and not complex_points:
        raise Unreadable("no point with a value")
    return compared or all(_close(left, right, *point) for point in complex_points[:2])


def _close(left: Node, right: Node, a: Any, b: Any, point: int) -> bool:
    if not (mpmath.isfinite(a) and mpmath.isfinite(b)):
        return bool(a == b)
    size = max(abs(a), abs(b))
    tiny = mpmath.mpf(10) ** (10 - DIGITS)
    if abs(a - b) > size * tiny and size > tiny:
        return False
    # They agree in forty digits: look again with the digits that the largest part needs. A magnitude is a
    # power of two, of 0.302 decimal digits; twice, because large parts may cancel in small ones.
    largest = max(_at(left, DIGITS, point)[1], _at(right, DIGITS, point)[1])
    digits = min(MOST_DIGITS, DIGITS + int(0.302 * 2 * largest) + 10)
    a, b = number_of(left, digits, point), number_of(right, digits, point)
    least = mpmath.mpf(10) ** (20 - digits) if digits < 200 else mpmath.mpf(0)
    size = max(abs(a), abs(b), least)
    unit = mpmath.mpf(10) ** (DIGITS // 2 - digits)
    return bool(abs(a - b) <= max(size * unit, unit))


# Work that is left -----------------------------------------------------------------------------------


def unfinished(node: Node) -> set[str]:
    """Operations on plain numbers that are left to be done; fractions and powers of ten are none."""
    kind = node.kind
    left = set().union(*map(unfinished, node.parts))
    plain = [child for child in node.parts if not symbols(child) and exact_or_none(child) is not None]
    if kind in BIG:
        undone = True
    elif kind == "sum":
        undone = len(plain) > 1
    elif kind == "product":
        undone = len(_plain_factors(node)) > 1 and not _is_power_of_ten(node.parts[-1])
    elif kind == "power":
        undone = len(plain) == 2 and not _is_power_of_ten(node)
    elif kind == "ratio":
        exact = exact_or_none(node) if len(plain) == 2 else None
        undone = exact is not None and exact.denominator == 1
    elif kind in ("root", "absolute", "function"):
        undone = bool(plain) and (exact_or_none(node) is not None or _is_rational(node))
    else:
        undone = bool(plain) and kind in ("floor", "ceil", "factorial", "binomial")
    return left | {kind} if undone else left


def _plain_factors(node: Node) -> list[Node]:
    """Factors of a product that are plain numbers."""
    if node.kind in ("product", "group", "minus"):
        return [factor for child in node.parts for factor in _plain_factors(child)]
    return [node] if not symbols(node) and exact_or_none(node) is not None else []


def _is_power_of_ten(node: Node) -> bool:
    ten = node.kind == "power" and node.parts[0] == number(10)
    return ten and exact_or_none(node.parts[1]) is not None


def exact_or_none(node: Node) -> Fraction | None:
    """Exact value of a tree; None also where it says nothing definite."""
    try:
        return value(node)
    except Unreadable:
        return None


def _is_rational(node: Node) -> bool:
    """Whether a function of numbers comes out as a fraction of small numbers: sin 30 degrees."""
    if symbols(node):
        return False
    try:
        result = number_of(node)
    except Unreadable:
        return False
    if is_complex(result) or not mpmath.isfinite(result) or abs(result) > 10**9:
        return False
    # 5040 = 7!: all denominators up to ten.
    near = Fraction(round(mpmath.mpf(result.real) * 5040)) / 5040
    return bool(abs(result - mpmath.mpf(near.numerator) / near.denominator) < 1e-14)


# Units, currencies and words of number: what may stand behind a value, and what changes it

# `split_unit` takes a quantity apart, `same_unit` compares what it found, `number_in_words` reads spelled
# numbers. The words themselves are in ``tables.txt``.


# Spelling -> name of the unit. Left out, a unit costs nothing; another one makes another answer.
UNITS = {spelling: name for name, others in table("units").items() for spelling in (name, *others.split())}
_COMPOUND = table("compound units")
# Words behind a number that change what it says: with one of them it is no longer that number.
CHANGING = {word for line in table("changing words").items() for word in " ".join(line).split()}
# "units" says that there is one; words of shape and place say nothing about the amount.
_EMPTY = set(listed("the a an in total all each left long away altogether tall old wide"))
# Marks of feet and inches, or of minutes and seconds: no answer to a number without a unit.
PRIME, DOUBLE_PRIME = "prime", "double-prime"
_MARKED = {PRIME: ("ft", "min", "arcmin"), DOUBLE_PRIME: ("inch", "s", "arcsec")}
MULTIPLIERS = {
    "dozen": 12, "score": 20, "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9,
    "trillion": 10**12, "gross": 144,
}  # fmt: skip
_WORD = (
    r"(?:\\text\{[^{}]*\}|\^\{\\circ\}\s?(?:[CFK]\b|\\text\{[CFK]\})?|\\%|\\AA"
    r"|(?<![\\A-Za-z^_{])[A-Za-z]+(?![A-Za-z]*\s?[({_]))"
)
_POWER = r"(?:\s?\^\s?\{?\s?-?\d\s?\}?)?"
_TAIL = re.compile(
    rf"(.*?[\d)}}\]!A-Za-z'|.])\s?((?:{_WORD}{_POWER}(?:\s?(?:/|\\cdot|\\times|\*|-)\s?|\s)?)*{_WORD}{_POWER})",
    re.DOTALL,
)
_LONGEST = 300  # characters of a value with its unit
_HEAD = re.compile(
    r"([-+]?)\s?(?:\\text\{(USD|EUR|GBP|CNY)\}|(USD|EUR|GBP|CNY|Rs\.?)(?![A-Za-z]))\s?(.*)", re.DOTALL
)
_CJK = re.compile(r"([\u4e00-\u9fff]+)")
Split = tuple[str, str | None, Fraction, bool]


def split_unit(text: str) -> Split | None:
    r"""Split a quantity in normal form into value, unit, factor and whether the unit is a guess ("5 m").

    None where there is no unit, or words that change the value ("5 squared").
    """
    if head := _HEAD.fullmatch(text):
        sign, rest, money = head[1], head[4], head[2] or head[3]
        value, unit, factor, _ = split_unit(rest) or (rest, None, Fraction(1), False)
        return (sign + value, money, factor, False) if unit in (None, money) else None
    if marks := re.fullmatch(r"([-+]?\s?[\d./]+)\s?('{1,2})", text):
        # 0.003'' are seconds of arc; 5' may be anything.
        double = "arcsec" if "." in marks[1] else DOUBLE_PRIME
        return marks[1], PRIME if marks[2] == "'" else double, Fraction(1), False
    if "\\text{" not in text and _CJK.search(text):
        text = _CJK.sub(r" \\text{\1} ", text).strip()
    if len(text) > _LONGEST:
        return None
    match = _TAIL.fullmatch(re.sub(r"\s+", " ", text))
    return _read_tail(match[1].strip(), match[2]) if match else None


def _read_tail(value: str, tail: str) -> Split | None:
    """Read the words behind a value one by one; None as soon as one of them is no part of a unit."""
    words = _words_of(tail)
    dressed = "\\text{" in tail or "\\%" in tail or "\\AA" in tail or "^{\\circ}" in tail
    factor = Fraction(1)
    unit: list[str] = []
    guess = False
    for position, token in enumerate(words):
        word = token.replace(".", "")
        lower = word.lower()
        # Inches, where no noun follows: "5 in", but "5 in total".
        inches = word == "in" and not any(re.match(r"[A-Za-z]", rest) for rest in words[position + 1 :])
        if spelled := _SPELLED.get(word, _SPELLED.get(lower)):
            unit.append(spelled)
        elif token.startswith("^"):
            unit.append("^-" + token[-1] if "-" in token else "^" + token[-1])
        elif lower in ("squared", "cubed") and "/" in unit:
            unit.append("^2" if lower == "squared" else "^3")
        elif lower in MULTIPLIERS:
            factor *= MULTIPLIERS[lower]
        elif lower in CHANGING and not (word == "of" and unit):
            return None
        elif lower in _EMPTY and not inches:
            continue
        elif token == "-" or not re.fullmatch(r"[^\W\d_]+|°C", word):
            return None
        elif word in UNITS or lower in UNITS:
            # "5 m" may be metres, or a product: the reader of the gold decides.
            guess = guess or (not dressed and len(word) == 1 and len(words) == 1)
            unit.append(UNITS.get(word) or UNITS[lower])
        elif lower not in _NUMBER_WORDS and (dressed or len(word) >= 4 or (len(word) == 3 and position)):
            # Any noun is a unit of its own: 5 apples. One in letters of a formula needs some length.
            plural = len(lower) > 3 and lower.endswith("s") and not lower.endswith("ss")
            unit.append(lower[:-1] if plural else lower)
        else:
            return None
    return value, _unit_name(unit), factor, guess


_SPELLED = {
    "/": "/", "per": "/", "square": "square", "sq": "square", "cubic": "cubic", "cu": "cubic",
    "Cdegrees": "celsius", "Fdegrees": "fahrenheit", "Kdegrees": "kelvin",
}  # fmt: skip


def _words_of(tail: str) -> list[str]:
    r"""Words and signs of a unit, without ``\text`` and multiplication signs; degrees by their words."""
    tail = re.sub(r"\^\{\\circ\}\s?(?:\\text\{)?([CFK])\b\}?", r"\\text{\1degrees}", tail)
    for sign, word in (("^{\\circ}", "degree"), ("\\%", "percent"), ("\\AA", "angstrom")):
        tail = tail.replace(sign, f"\\text{{{word}}}")
    plain = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", tail)
    plain = re.sub(r"\\cdot|\\times|\*", " ", re.sub(r"\^\s?\{\s?(-?\d)\s?\}", r"^\1", plain))
    plain = re.sub(r"\b(sq|cu)\.(?=[A-Za-z])", r"\1. ", plain)
    return re.findall(r"[A-Za-z\u4e00-\u9fff.°¢]+|/|\^\s?\{?\s?-?\d|-|\S", plain)


def _unit_name(words: list[str]) -> str | None:
    """One name of a unit: powers behind it (square cm is cm^2), compounds written out (mph is mi / h)."""
    whole = " ".join(words).replace(" ^", "^")
    whole = re.sub(r"\bsquare ([^\s/]+)", r"\1^2", whole)
    whole = re.sub(r"\bcubic ([^\s/]+)", r"\1^3", whole)
    whole = re.sub(r" ?\b(?:square|cubic)\b", "", whole).strip()  # of nothing
    for short, long in _COMPOUND.items():
        whole = re.sub(rf"(?<![\w^]){short}(?![\w^])", long, whole)
    return whole or None


def same_unit(left: str | None, right: str | None) -> bool:
    """A unit may be left out; two that are given must be the same, or one says it in fewer words."""
    # Primes (5') are feet or minutes, and no answer where no unit is asked for.
    if right in _MARKED:
        return left == right or left in _MARKED[right]
    if left is None or right is None or left == right:
        return True
    if left in _MARKED:
        return right in _MARKED[left]
    first, second = set(left.split()), set(right.split())
    # "apples" and "red apples" are one unit; "cm" and "cm^2", "km" and "km / h" are two.
    more = first ^ second
    own_unit = any(re.sub(r"\^.*", "", word) in _NAMES for word in more)
    return (first <= second or second <= first) and not own_unit and "/" not in more


_NAMES = set(UNITS.values())

# Numbers in words ------------------------------------------------------------------------------------

_TEENS = listed(
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen"""
)
_TENS = listed("twenty thirty forty fifty sixty seventy eighty ninety")
_SCALES = ("trillion", "billion", "million", "thousand")
_PORTIONS = {"half": 2, "halve": 2, "quarter": 4} | {
    word: number
    for number, word in enumerate(listed("third fourth fifth sixth seventh eighth ninth tenth"), start=3)
}
_NUMBER_WORDS = {*_TEENS, *_TENS, "hundred", *_SCALES} - {"trillion"}
_UNHYPHENED = re.compile(rf"\b(?:{'|'.join(_TENS)})\s+(?:{'|'.join(_TEENS[1:10])})\b")


def in_number_words(text: str) -> bool:
    """Tell whether a text spells out a number: "forty two"."""
    words = [word for word in re.split(r"[\s-]+", text.lower().strip(" .")) if word != "and"]
    return bool(words) and all(word in _NUMBER_WORDS for word in words)


def number_in_words(text: str, *, hyphens: bool = False) -> Fraction | None:
    """Number that words spell out: "minus twenty-five", "one hundred and five", "two thirds"."""
    text = text.lower().strip(" .!")
    if hyphens and _UNHYPHENED.search(text):
        return None
    words = re.split(r"[\s-]+", text)
    sign = 1
    if words[0] in ("minus", "negative"):
        sign = -1
        words = words[1:]
    portion = 1
    if len(words) > 1 and (last := words[-1].removesuffix("s")) in _PORTIONS:
        portion = _PORTIONS[last]
        words = words[:-1]
        if words[-1] == "a":  # "a third"
            words[-1] = "one"
    whole = _spelled(" ".join(words))
    if whole is None or (portion > 1 and not 0 < whole < 100):
        return None
    return Fraction(sign * whole, portion)


def _spelled(text: str) -> int | None:
    """Whole number: a group of words times its scale, from the largest scale down."""
    # "and" stands behind a hundred or a scale only.
    rest = re.sub(r"\b(hundred|thousand|million|billion|trillion) and (?=\w)", r"\1 ", text)
    total = 0
    for scale in _SCALES:
        group, named, behind = rest.partition(f" {scale}")
        if named:
            if not _groups().get(group):
                return None
            total += _groups()[group] * MULTIPLIERS[scale]
            rest = behind.strip()
    if not rest and total:
        return total
    return total + _groups()[rest] if rest in _groups() else None


@functools.cache
def _groups() -> dict[str, int]:
    """Numbers below ten thousand by their words; 1,200 is "twelve hundred"."""
    return {_words_below_hundred(n): n for n in range(100)} | {
        f"{_words_below_hundred(n // 100)} hundred {_words_below_hundred(n % 100)}".removesuffix(" zero"): n
        for n in range(100, 10_000)
    }


def _words_below_hundred(n: int) -> str:
    if n < 20:
        return _TEENS[n]
    return f"{_TENS[n // 10 - 2]} {_TEENS[n % 10]}".removesuffix(" zero")
