"""Answers read as what they are: quantities, words, lists, points, sets, relations, and compared as such."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import mpmath

from hammerlib.grading.expressions import (
    Node,
    Nonsense,
    Unreadable,
    contains,
    difference,
    is_complex,
    negative,
    number,
    number_of,
    parse,
    same_value,
    symbols,
    unfinished,
    value,
)
from hammerlib.grading.normal_form import listed, normal_form
from hammerlib.grading.units import (
    UNITS,
    in_number_words,
    number_in_words,
    number_word,
    same_unit,
    split_unit,
)

# Below this, decimals are compared by their digits instead of their places, and to 1 %.
SMALL, SMALL_TOLERANCE = Fraction(1, 1000), Fraction(1, 100)
# Fewer decimal places than this are never a rounded value: 0.333333 is 1/3, 0.333 is not.
PLACES = 6
MAX_PARTS = 200


class Quantity(NamedTuple):
    """A value, its unit, and (where it is written as a decimal) places and significant digits."""

    node: Node
    unit: str | None = None
    decimal: tuple[int, int] | None = None
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
    """Several answers: kind is ``list`` (any order), ``set``, ``union``, or two brackets as ``(]``."""

    kind: str
    parts: tuple[Any, ...]


class Named(NamedTuple):
    """``x = 5``: the name may be left out."""

    name: str
    reading: Any


class Relation(NamedTuple):
    """Sides joined by signs: ``a < x <= b``, ``>= 5``, ``u != v``."""

    signs: tuple[str, ...]
    sides: tuple[Node | None, ...]


class Equation(NamedTuple):
    """Two sides that are equal."""

    difference: Node
    sides: tuple[Node, Node]


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


UNREADABLE_WORDS = {*listed("n.a na n/a none null nan nil unknown tbd error ? -"), "not available"}
_LEAD = re.compile(
    r"^(?:\\text\s?\{\s*)?(?:(?:so|thus|hence),? )?(?:the )?(?:final |correct )?answer"
    r"(?: is)?\s?[:=]?\s*\}?\s?(?=\S)",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"(?:\\(?:angle|triangle|odot)\s?)?"
    r"(?:\\(?!(?:arc)?(?:sin|cos|tan|cot|sec|csc)|ln|log|sqrt|frac|text|pm|mp|neg|infty|int|sum)[A-Za-z]+"
    r"\s?(?:\{[^{}]*\})?|[A-Za-z]{1,4}\d{0,2})"
    r"(?:\s?_\s?(?:\{[^{}]*\}"
    r"|\w))?'*(?:\s?\^\s?\{?(?:\\text\{)?[-*\w]{1,2}\}?\}?)?\s?(?:\((?:[^()=]{1,40})\))?"
)
_SIGNS = {"\\le": "<=", "\\ge": ">=", "\\ne": "!=", "=<": "<=", "==": "="}  # other spellings
_SIGN = re.compile(r"(\\le(?![A-Za-z])|\\ge(?![A-Za-z])|\\ne(?![A-Za-z])|[<>]=?|=<|=>|!=|==?)")
# Signs that say something else than a value; only the same text is the same.
_OPAQUE = re.compile(
    r"\\(?:approx|equiv|cong|sim|simeq|to|Rightarrow|implies|iff|Leftrightarrow|neg|angle|triangle|parallel"
    r"|perp|in|notin|subset|subseteq|supset|setminus|forall|exists|ldots|mapsto|propto|pmod|bmod|mod|hline"
    r"|leftrightarrow)(?![A-Za-z])"
    r"|\.\.\.|:=|\?|\"|@|#"
)
_DOTS = ("\\ldots", "...", "\\ldots ")
_SEPARATOR = re.compile(
    r"\s*(?:,|;|\\text\{\s*,?\s*(?:and|or)\s*\}|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z]))\s*"
)
_MATRIX = re.compile(r"\\begin\s*\{([pbBvV]?)(?:small)?matrix\}(.*)\\end\s*\{\1(?:small)?matrix\}", re.DOTALL)
_ARRAY = re.compile(r"[(\[]\s*\\begin\s*\{array\}\s*\{[^{}]*\}(.*)\\end\s*\{array\}\s*[)\]]", re.DOTALL)
_BASED = re.compile(
    r"(?:\\text\s?\{|\()?\s*((?:\d|[A-Za-z])+)\s*[)}]?\s*_"
    r"\s*(?:\{\s*(?:\\text\{)?(?:base)?\s*(\w+)\s*\}?\s*\}|(\d))"
)
_BASED_WORDS = re.compile(
    r"\(?\s*([0-9A-Za-z]+)\s*\)?\s*(?:\\text\{)?\s*\(?\s*(?:in )?base[ -](\w+)\s*\)?\s*\}?"
)
_BASE_WORDS = {
    word: base
    for base, word in enumerate(listed("two three four five six seven eight nine ten eleven twelve"), start=2)
} | {"sixteen": 16}
_DECIMAL = re.compile(
    r"[-+]?\s*(\d*)(?:\.(\d*))?(?:\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*\{\s*([-+]?\d+)\s*\})?"
)


@functools.lru_cache(maxsize=8192)
def read(text: str, *, percent: bool = True) -> Any:
    """Read a bare answer; Unreadable where that fails. Without `percent`, 50\\% is 1/2 and not 50."""
    form = normal_form(text)
    if not percent and re.fullmatch(r"[-+\d./\s]*\\%\s*", form):
        form = form.replace("\\%", "/100")
    return read_normal(form)


def read_normal(text: str) -> Any:
    """Read an answer in normal form."""
    text = _stripped(text)
    if not text:
        raise Unreadable("nothing")
    for reader in (_grid, _signed_in_words, _twice, _time, _congruence, _reals, _words, _based, _bracketed):
        if (result := reader(text)) is not None:
            return result
    if "\\cup" in text:
        parts = _split(text, re.compile(r"\\cup(?![A-Za-z])"))
        return Parts("union", tuple(map(read_normal, parts)))
    if ";" in text and (groups := _groups(text)):
        return groups
    pieces = _split(text, _SEPARATOR)
    if len(pieces) > 1:
        return _listed(pieces)
    for reader in (_nearly, _related):
        if (result := reader(text)) is not None:
            return result
    if _OPAQUE.search(text):
        raise Unreadable("signs that are no value")
    if "\\pm" in text or "\\mp" in text:
        return _two_signs(text)
    return _ratio(text) or _quantity(text)


def _listed(pieces: list[str]) -> Any:
    """What stands between separators: a list, points by their coordinates, or a sequence with dots."""
    pieces = [piece for piece in pieces if piece]
    if not pieces:
        raise Unreadable("nothing but separators")
    if any(piece in _DOTS for piece in pieces):  # a sequence is told by its order
        parts = [Words("...") if piece in _DOTS else read_normal(piece) for piece in pieces]
        return Parts("sequence", tuple(parts))
    if len(pieces) > MAX_PARTS:
        raise Nonsense("too many parts")
    parts = []
    for piece in pieces:
        result = read_normal(piece)
        parts += result.parts if isinstance(result, Parts) and result.kind == "list" else [result]
    return _points(parts) or (Parts("list", tuple(parts)) if len(parts) > 1 else parts[0])


_SIGN_WORD = re.compile(
    r"(?:\\text\{\s*)?(?:minus|negative)(?:\s*\})?\s*(?=[\d.]|\\(?:frac|sqrt"
    r"|pi)(?![A-Za-z]))",
    re.I,
)


def _signed_in_words(text: str) -> Any:
    """``minus 3``, ``\\text{negative }3``."""
    match = _SIGN_WORD.match(text)
    if not match or ("\\text{" in match[0]) != ("}" in match[0]):
        return None
    rest = read_normal(text[match.end() :])
    if not isinstance(rest, Quantity) or symbols(rest.node) or text[match.end() :].lstrip().startswith("-"):
        raise Nonsense("a sign of something else")
    return rest._replace(node=negative(rest.node))


_TWICE = re.compile(r"(?:\\text\{)?\s*([^(){}]+?)\s*\}?\s*\(\s*(?:\\text\{)?\s*([^(){}]+?)\s*\}?\s*\)\s*\}?")


def _twice(text: str) -> Quantity | None:
    """``5 (five)``, ``five (5)``: a number and the same in words."""
    match = _TWICE.fullmatch(text)
    if not match:
        return None
    first, second = map(number_in_words, match.groups())
    if (first is None) == (second is None):
        return None
    quantity, spelled = (_quantity(match[1]), second) if first is None else (_quantity(match[2]), first)
    if value(quantity.node) != spelled:
        raise Nonsense("two numbers")
    return quantity


_HALF = re.compile(r"(\d{1,2})(?:\s?:\s?([0-5]\d))?(?:\s?:\s?([0-5]\d))?\s?([AaPp])\.?\s?[Mm]\.?")


def _time(text: str) -> Time | None:
    """``8:15 a.m.``: hours as those of a day, then minutes and seconds without zeros at the end."""
    result = _HALF.fullmatch(re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text).replace("  ", " ").strip())
    if not result or not 1 <= int(result[1]) <= 12:
        return None
    return Time(int(result[1]) % 12 + 12 * (result[4] in "Pp"), _minutes(result.groups()[1:3]))


def _minutes(texts: Sequence[str | None]) -> tuple[int, ...]:
    """Minutes and seconds without zeros at the end."""
    rest = [int(text or 0) for text in texts]
    while rest and rest[-1] == 0:
        rest.pop()
    return tuple(rest)


_MODULO = re.compile(
    r"(.+?)\s*\(?\s*(?:\\(?:pmod|bmod|mod|pod)(?![A-Za-z])|\\text\{\s*\(?mod\s*\}"
    r"|(?<![A-Za-z\\])mod(?![A-Za-z]))\s*"
    r"(\{[^{}]*\}|\d+|[A-Za-z])\s*\)?"
)


def _congruence(text: str) -> Any:
    """``x \\equiv 5 \\pmod 7``, ``5 \\mod 7``; ``7 \\bmod 3`` between numbers is the operation."""
    match = _MODULO.fullmatch(text) if "mod" in text else None
    if not match or _SIGN.search(text):
        return None
    left, modulus = match[1].strip(), parse(match[2].strip("{} "))
    sides = _split(left, re.compile(r"\\equiv(?![A-Za-z])"))
    if len(sides) > 2 or "mod" in left.replace("\\text", ""):
        raise Unreadable("more than one congruence")
    residue = read_normal(sides[-1])
    if not isinstance(residue, Quantity | Parts):
        raise Unreadable("no residue")
    if "\\bmod" in text and len(sides) == 1 and isinstance(residue, Quantity):
        whole, by = value(residue.node), value(modulus)
        if whole is not None and by is not None and whole.denominator == by.denominator == 1 and by > 0:
            return Quantity(number(whole % by))
    return Congruence(_name(sides[0]) if len(sides) == 2 else "", residue, modulus)


_ALL_REALS = re.compile(r"(?:all |the )?(?:set of )?(?:all )?(?:the )?real(?:s| numbers?)", re.I)
_ALMOST_ALL = re.compile(
    r"(?:\\mathbb\s?\{?\s?R\s?\}?"
    r"|\(-\\infty\s?,\s?\+?\\infty\s?\))\s?(?:\\setminus|\\backslash|-|\\)\s?\\\{(.+)\\\}"
)
_INFINITY = Node("constant", "infty")
_REALS = re.compile(r"\\mathbb\s?\{?\s?R\s?\}?")
_POSITIVE = re.compile(rf"{_REALS.pattern}\s?(?:[\^_]\s?\{{?\s?\+\s?\}}?|_\s?\{{\s?>\s?0\s?\}})")


def _reals(text: str) -> Parts | None:
    """The real numbers as the interval that they are, without some points as a union."""
    if _POSITIVE.fullmatch(text):
        return _between("()", number(0), _INFINITY)
    plain = re.sub(r"\\text\{([^{}]*)\}", r"\1", text).strip(" .")
    if _ALL_REALS.fullmatch(plain) or _REALS.fullmatch(text):
        return _between("()", negative(_INFINITY), _INFINITY)
    match = _ALMOST_ALL.fullmatch(text)
    if not match:
        return None
    points = read_normal(match[1])
    points = points.parts if isinstance(points, Parts) and points.kind == "list" else (points,)
    if not all(isinstance(point, Quantity) and not symbols(point.node) for point in points):
        raise Unreadable("no points")
    ordered = sorted(_distinct(points), key=lambda point: number_of(point.node).real)
    edges = [Quantity(negative(_INFINITY)), *ordered, Quantity(_INFINITY)]
    return Parts("union", tuple(Parts("()", pair) for pair in itertools.pairwise(edges)))


def _between(brackets: str, low: Node, high: Node) -> Parts:
    return Parts(brackets, (Quantity(low), Quantity(high)))


def _points(parts: list[Any]) -> Parts | None:
    """``p=5, q=2 and p=7, q=2``: the same names again and again are coordinates of points."""
    names = [piece.name for piece in parts if isinstance(piece, Named)]
    size = len(set(names))
    if (
        len(names) < len(parts)
        or size < 2
        or names != names[:size] * (len(names) // size)
        or len(names) == size
    ):
        return None
    points = (tuple(parts[start : start + size]) for start in range(0, len(parts), size))
    return Parts("list", tuple(Parts("()", point) for point in points))


def _groups(text: str) -> Parts | None:
    """``p=5,q=2; p=7,q=2``: points, each by its coordinates."""
    pieces = [piece for piece in _split(text, re.compile(r"\s*;\s*")) if piece]
    if len(pieces) < 2 or not all("," in piece and "=" in piece for piece in pieces):
        return None
    groups = [read_normal(piece) for piece in pieces]
    if not all(isinstance(group, Parts) and group.kind == "list" for group in groups):
        return None
    return Parts("list", tuple(Parts("()", group.parts) for group in groups))


def _stripped(text: str) -> str:
    """Without blanks, quotes, outer braces and outer parentheses of a single value."""
    text = _LEAD.sub("", text.strip())
    if dressed := re.fullmatch(r"\\text\s?\{([^{}]*\d[^{}]*)\}", text):
        text = dressed[1].strip()  # \text{5 apples}
    for _ in range(10):
        if text.startswith("\\underline") and _closing(text, text.find("{")) == len(text) - 1:
            text = text[text.find("{") + 1 : -1].strip()
        elif len(text) > 1 and text[0] == text[-1] and text[0] in "\"'`" and text[0] not in text[1:-1]:
            text = text[1:-1].strip()
        elif text.startswith("{") and _closing(text, 0) == len(text) - 1:
            text = text[1:-1].strip()  # such braces are not seen
        else:
            break
    return text


def _closing(text: str, start: int) -> int:
    """Place of the bracket that closes the one at `start`, any kinds inside; -1 where there is none."""
    depth, position = 0, start
    while position < len(text):
        if text[position] == "\\" and text[position + 1 : position + 2] in ("{", "}"):
            position += 1
        letter = text[position]
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0:
            return position
        position += 1
    return -1


def _bracketed(text: str) -> Any:
    """What stands in one pair of brackets: a set, a point, an interval, a value; None without such a pair."""
    opening = "\\{" if text.startswith("\\{") else text[0]
    # ]1, 2[ is the French open interval.
    if opening not in ("(", "[", "\\{") or _closing(text, 0) != len(text) - 1:
        return None
    closing = "\\}" if text.endswith("\\}") else text[-1]
    inner = text[len(opening) : len(text) - len(closing)].strip()
    if not inner:
        if opening == "\\{" and closing == "\\}":
            return Words("\\emptyset")
        raise Unreadable("empty brackets")
    pieces = _split(inner, re.compile(r"\s*[,;]\s*"))
    if opening == "\\{" and closing == "\\}":
        if len(pieces) == 1 and re.search(r"\||:", inner):
            raise Unreadable("a set by its property")
        result = read_normal(inner)
        parts = result.parts if isinstance(result, Parts) and result.kind == "list" else (result,)
        return Parts("set", _distinct(parts))
    if len(pieces) == 1:
        if opening + closing == "()":
            return read_normal(inner)
        if opening + closing == "[]":
            return _quantity(f"({inner})")
        raise Nonsense("half a bracket")
    if len(pieces) > MAX_PARTS:
        raise Nonsense("too many parts")
    if "{" in opening or "}" in closing or (opening + closing not in ("()", "[]") and len(pieces) != 2):
        raise Nonsense("brackets of two kinds")
    return Parts(opening + closing, tuple(read_normal(piece) for piece in pieces))


def _distinct(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    kept: list[Any] = []
    for piece in parts:
        if not any(same(piece, other) for other in kept):
            kept.append(piece)
    return tuple(kept)


def _split(text: str, separator: re.Pattern[str], *, keep: bool = False) -> list[str]:
    """Pieces between separators that stand outside all brackets; `keep` puts the separators between them."""
    pieces, begin, depth, position = [], 0, 0, 0
    while position < len(text):
        letter = text[position]
        if depth == 0 and (match := separator.match(text, position)) and match.end() > position:
            pieces += [text[begin:position].strip(), match[0]] if keep else [text[begin:position].strip()]
            begin = position = match.end()
            continue
        if letter == "\\" and text[position + 1 : position + 2] in ("{", "}"):
            position += 1
            letter = text[position]
        depth += (letter in "([{") - (letter in ")]}")
        position += 1
    pieces.append(text[begin:].strip())
    return pieces


def _grid(text: str) -> Grid | None:
    match = _MATRIX.fullmatch(text)
    array = match or _ARRAY.fullmatch(text)
    if array is None:
        return None
    rows = [row for row in re.split(r"\\\\|\\(?=\s*[-+\d])", array[array.lastindex]) if row.strip()]
    kind = "determinant" if match and match[1] in ("v", "V") else "matrix"
    cells = tuple(tuple(_quantity(cell.strip()) for cell in row.split("&")) for row in rows)
    if len({len(row) for row in cells}) != 1:
        raise Unreadable("rows of different lengths")
    return Grid(kind, cells)


def _words(text: str) -> Any:
    """Bare words, choices and sets with names; None where the text is something else."""
    choice = re.fullmatch(
        r"\(\s*(?:\\text\{)?\s*\(?([A-Za-z])\)?\s*\}?\s*\)"
        r"|\\text\{\s*\(?([A-Za-z])\)?[.)]?\s*\}|([A-Za-z])\.?",
        text,
    )
    if choice:
        return Words(choice[1] or choice[2] or choice[3])
    if re.fullmatch(r"\\emptyset|\\text\{\s*(?:the )?empty set\s*\}", text):
        return Words("\\emptyset")
    if re.fullmatch(r"\\mathbb\s?\{?\s?[A-Z]\s?\}?(?:\^\{?[+*-]?\}?)?", text):
        return Words(re.sub(r"[{}\s]", "", text))
    plain = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text)
    plain = re.sub(r"\s+", " ", plain).strip()
    if "\\" in plain or "{" in plain:
        geometry = re.fullmatch(
            r"(\\(?:angle|triangle|overline|vec|widehat|odot))\s?\{?\s?([A-Z]{1,4})\s?\}?", plain
        )
        return Words(f"{geometry[1]} {geometry[2]}") if geometry else None
    if "\\text{" in text and "," in plain and not re.search(r"\d", plain):
        return Parts("list", tuple(Words(piece.strip()) for piece in plain.split(",") if piece.strip()))
    bare = plain.strip(" .!")
    if re.fullmatch(r"[A-Z]{2,}(?:\s[A-Z]{2,})*|[^\W\d_]{2,}(?:[-'\s][^\W\d_]+){0,7}", bare):
        if bare.lower() in UNREADABLE_WORDS:
            raise Unreadable("no answer in it")
        if re.search(r"[\s-]", bare) and (spelled := number_in_words(bare)) is not None:
            return Quantity(number(spelled))
        amount, _, unit = bare.rpartition(" ")
        if unit in UNITS and (spelled := number_in_words(amount)) is not None:
            return Quantity(number(spelled), UNITS[unit])
        if in_number_words(bare) and " " in bare:
            raise Unreadable("no number in its words")
        if re.search(r"(?<![A-Za-z])(?:and|or)(?![A-Za-z])", bare):
            return None
        return Words(bare)
    return None


def _based(text: str) -> Based | None:
    sign, text = ("-", text[1:].strip()) if text.startswith("-") else ("", text)
    match = _BASED.fullmatch(text) or _BASED_WORDS.fullmatch(text)
    if match is None:
        return None
    digits, name = match[1], match[match.lastindex]
    base = _BASE_WORDS.get(name.lower()) or (int(name) if name.isdecimal() and len(name) < 3 else None)
    if base is None or (not digits[0].isdecimal() and base <= 10):
        return None
    if not 2 <= base <= 36 or any(int(digit, 36) >= base for digit in digits):
        if digits.isdecimal():
            raise Unreadable("digits beyond the base")
        return None
    return Based(sign + (digits.lstrip("0").upper() or "0"), base)


def _related(text: str) -> Any:
    """Equations, named values and inequalities."""
    membership = re.fullmatch(rf"({_NAME.pattern})\s?\\in\s?(.+)", text)
    if membership:
        inner = read_normal(membership[2])
        if isinstance(inner, Parts | Words):
            return Named(_name(membership[1]), inner)
        raise Unreadable("a membership")
    pieces = _split(text, _SIGN, keep=True)
    if len(pieces) == 1:
        return None
    sides = [piece.strip() for piece in pieces[::2]]
    signs = tuple(_SIGNS.get(sign, sign) for sign in pieces[1::2])
    if _OPAQUE.search(text) or "=>" in signs:
        raise Unreadable("signs that are no value")
    if set(signs) == {"="}:
        return _equation(sides)
    if any(not side for side in sides[1:]) or len(signs) > 2:
        raise Nonsense("half a relation")
    units = [split_unit(side) for side in sides]
    bare = [unit[0] if unit and unit[2] == 1 else side for side, unit in zip(sides, units, strict=True)]
    return Relation(signs, tuple(parse(side) if side else None for side in bare))


def _nearly(text: str) -> Any:
    r"""``2/3 \\approx 0.67`` says 2/3; ``\\approx 5`` is no 5."""
    pieces = _split(text, re.compile(r"\\approx(?![A-Za-z])"))
    if len(pieces) != 2:
        return None
    if not pieces[0]:
        return Relation(("~",), (None, _quantity(pieces[1]).node))
    first, second = read_normal(pieces[0]), _quantity(pieces[1])
    exact = first.reading if isinstance(first, Named) else first
    if not isinstance(exact, Quantity) or symbols(exact.node) or symbols(second.node):
        raise Unreadable("an approximation of something else")
    return first


_DERIVATIVE = (
    r"\\frac\s?\{\s?(?P<d>d|\\partial)\s?(?:\^\s?\{?\d\}?)?\s?[A-Za-z]\s?\}"
    r"\s?\{\s?(?P=d)\s?[A-Za-z]\s?(?:\^\s?\{?\d\}?)?\s?\}"
)
_LEFT = re.compile(
    rf"(?:{_NAME.pattern}|{_DERIVATIVE}|\\text\s?\{{[^{{}}\d]*\}}|[A-Za-z]{{5,12}}"
    rf"|\(\s?{_NAME.pattern}(?:\s?,\s?{_NAME.pattern})+\s?\)"
    rf"|{_NAME.pattern}(?:\s?:\s?{_NAME.pattern})+|\\frac\s?\{{{_NAME.pattern}\}}\{{{_NAME.pattern}\}}"
    rf"|\|{_NAME.pattern}\||[A-Z]{{2}}\s?/\s?[A-Z]{{2}})"
)


def _name(text: str) -> str:
    return re.sub(r"[\s{}]|\\text", "", text)


def _equation(sides: list[str]) -> Any:
    if len(sides) > 4:
        raise Unreadable("a long chain")
    while len(sides) > 2 and all(_LEFT.fullmatch(side) and not _is_number_like(side) for side in sides[:2]):
        sides = sides[1:]  # y = x = 5
    if len(sides) == 2 and _LEFT.fullmatch(sides[1]) and not _LEFT.fullmatch(sides[0]):
        sides = sides[::-1]  # 5 = x
    if not sides[0]:
        if len(sides) != 2:
            raise Unreadable("a chain")
        return read_normal(sides[1])
    name = sides[0] if _LEFT.fullmatch(sides[0]) and not _is_number_like(sides[0]) else None
    values = sides[1:] if name else sides
    if not all(values):
        raise Nonsense("an empty side")
    if len(values) == 1:
        inner = _one_side(values[0])
        # y = 2x, f(x) = 2x and a_1 = n name a value; x^{2} = 2y is an equation.
        plain = not re.search(r"[(_']|^\\?[A-Za-z]+$|^\\frac", name or "")
        if name and not (plain and isinstance(inner, Quantity) and symbols(inner.node)):
            return Named(_name(name), inner)
    readings = [_one_side(side) for side in values]
    if all(isinstance(side, Quantity) and not symbols(side.node) for side in readings):
        if not all(same(readings[0], side) for side in readings[1:]):
            raise Nonsense("two values that differ are called equal")
        return Named(_name(name), readings[-1]) if name else readings[-1]
    if name and len(values) > 1 and all(_agree(readings[0], side) for side in readings[1:]):
        return Named(_name(name), readings[-1])
    if len(values) != 2 or name:
        raise Unreadable("a chain of equations")
    left, right = map(parse, values)
    return Equation(difference(left, right), (left, right))


def _one_side(text: str) -> Any:
    side = read_normal(text)
    if isinstance(side, Relation | Equation | Named):
        raise Unreadable("a chain")
    return side


def _agree(left: Any, right: Any) -> bool:
    try:
        return same(left, right)
    except Unreadable:
        return False


def _is_number_like(text: str) -> bool:
    return text in ("e", "i", "\\pi", "\\infty", "\\pi ")


def _two_signs(text: str) -> Parts:
    if _SIGN.search(text):
        raise Unreadable("two signs in a relation")
    upper = re.sub(r"\\pm(?![A-Za-z])", "+", re.sub(r"\\mp(?![A-Za-z])", "-", text))
    lower = re.sub(r"\\pm(?![A-Za-z])", "-", re.sub(r"\\mp(?![A-Za-z])", "+", text))
    return Parts("list", (read_normal(upper), read_normal(lower)))


def _ratio(text: str) -> Ratio | None:
    pieces = _split(text, re.compile(r"\s*:\s*"))
    if not 2 <= len(pieces) <= 6:
        return None
    if not all(pieces):
        raise Unreadable("half a ratio")
    return Ratio(tuple(pieces), tuple(_quantity(piece) for piece in pieces))


# Where a unit may stand at all; everything else is parsed at once.
_MAY_HAVE_UNIT = re.compile(
    r"\\text\{|\\%|\\circ|\\AA|[A-Za-z\u4e00-\u9fff]\.?$|[A-Za-z]\s?\^|\d\s?'|^[-+]?\s?(?:USD|EUR|GBP|Rs)"
)


def _quantity(text: str) -> Quantity:
    text = _stripped(text)
    split = split_unit(text) if _MAY_HAVE_UNIT.search(text) else None
    if split is None:
        return Quantity(parse(text), None, _written(text))
    value_text, unit, factor, is_guess = split
    if is_guess:
        # A number, a blank and a letter that is a unit: `5 m`.
        apart = unit is not None and re.fullmatch(r"[-+]?[\d.]+ ", text[: len(value_text) + 1])
        guess = (parse(value_text), unit) if apart else None
        return Quantity(parse(text), None, _written(text), guess)
    try:
        node = parse(value_text)
    except Unreadable:
        return Quantity(parse(text))  # letters that are no unit
    # 2 \pi r: behind symbols only what is dressed as a unit is one.
    bare = not re.search(r"\\text\{|\\%|\\circ", text)
    angle = unit == "degree" and contains(node, "function")  # \sin 30^{\circ}
    if angle or (symbols(node) and bare):
        return Quantity(parse(text))
    if factor == 1:
        return Quantity(node, unit, _written(value_text))
    exact = None if symbols(node) else value(node)
    if exact is None:
        return Quantity(Node("product", None, (node, number(factor))), unit)
    return Quantity(number(exact * factor), unit)


def _written(text: str) -> tuple[int, int] | None:
    """Decimal places and significant digits of a number written with a point or a power of ten."""
    match = _DECIMAL.fullmatch(text)
    if not match or not (match[1] or match[2]) or (match[2] is None and match[3] is None):
        return None
    digits = (match[1] or "") + (match[2] or "")
    return len(match[2] or "") - int(match[3] or 0), len(digits.lstrip("0")) or 1


def says_nothing(gold: str) -> bool:
    """Tell whether a gold is a placeholder, or a number in several words: nothing that can be won."""
    plain = re.sub(r"\\text\{([^{}]*)\}", r"\1", normal_form(gold[:200])).strip(" .!'\"")
    plain = re.sub(r"^.*\b(?:is|are|equals)\s+", "", plain)
    if not plain or plain.lower() in UNREADABLE_WORDS:
        return True
    several = in_number_words(plain) and len(re.split(r"[\s-]+", plain)) > 1
    return several and number_in_words(plain, hyphens=True) is None


def operations(reading: Any) -> set[str]:
    """Operations on plain numbers that a reading leaves to be done."""
    if isinstance(reading, Quantity):
        return unfinished(reading.node)
    if isinstance(reading, Node):
        return unfinished(reading)
    if isinstance(reading, Equation):
        return operations(reading.sides)
    return set().union(*map(operations, reading)) if isinstance(reading, tuple) else set()


# Comparison ------------------------------------------------------------------------------------------


def same(gold: Any, answer: Any) -> bool:
    """Compare two readings; the order matters for names only."""
    if isinstance(answer, Named):
        if isinstance(gold, Named):
            return gold.name == answer.name and same(gold.reading, answer.reading)
        if isinstance(gold, Equation) and isinstance(answer.reading, Quantity):
            if not re.fullmatch(r"[A-Za-z]", answer.name):
                raise Unreadable("a name")
            left, right = parse(answer.name), answer.reading.node
            return same(gold, Equation(difference(left, right), (left, right)))
        return same(gold, answer.reading)
    if isinstance(gold, Named):
        if isinstance(answer, Equation):
            return same(answer, gold)
        return same(gold.reading, answer)
    if isinstance(gold, Congruence) != isinstance(answer, Congruence):
        return isinstance(gold, Congruence) and same(gold.residue, answer)
    if isinstance(gold, Parts) or isinstance(answer, Parts):
        return _same_parts(gold, answer)
    if type(gold) is not type(answer):
        return _across(gold, answer)
    if isinstance(gold, Quantity):
        return _same_quantity(gold, answer)
    if isinstance(gold, Words):
        return same_words(gold.text, answer.text)
    if isinstance(gold, Based | Time):
        return gold == answer
    if isinstance(gold, Congruence):
        return _same_congruence(gold, answer)
    if isinstance(gold, Grid):
        shape = gold.kind == answer.kind and list(map(len, gold.rows)) == list(map(len, answer.rows))
        cells = zip(sum(gold.rows, ()), sum(answer.rows, ()), strict=False)
        return shape and all(same(*pair) for pair in cells)
    if isinstance(gold, Ratio):
        return _same_ratio(gold, answer)
    if isinstance(gold, Equation):
        return bool(_factor(gold.difference, answer.difference))
    return _same_relation(gold, answer)


def _across(gold: Any, answer: Any) -> bool:
    """Readings of two kinds: mostly two answers."""
    kinds = {type(gold), type(answer)}
    if isinstance(gold, Relation) and gold.signs == ("~",) and isinstance(answer, Quantity):
        # A gold that is called an approximation; the sign may be left out.
        return _same_quantity(Quantity(gold.sides[1]), answer._replace(unit=None))
    if Time in kinds:
        return _same_time(*((gold, answer) if isinstance(gold, Time) else (answer, gold)))
    if kinds == {Quantity, Words}:
        words, quantity = (gold, answer) if isinstance(gold, Words) else (answer, gold)
        # Letters that are no words: the symbol of an expression, or a product that is written out.
        if (number := number_word(words.text)) is not None:
            return value(quantity.node) == number
        if re.fullmatch(r"[A-Za-z]{1,3}", words.text):
            return _same_quantity(Quantity(parse(words.text)), quantity)
        return False
    if kinds == {Quantity, Ratio}:
        ratio, quantity = (gold, answer) if isinstance(gold, Ratio) else (answer, gold)
        if len(ratio.parts) == 2 and not _clock(ratio) and quantity.unit is None:
            quotient = Node("ratio", None, tuple(piece.node for piece in ratio.parts))
            return _same_quantity(Quantity(quotient), quantity)
        return False
    grid = gold if isinstance(gold, Grid) else answer
    if isinstance(grid, Grid) and (Quantity in kinds or grid.kind == "determinant"):
        raise Unreadable("a determinant")
    return False


def _same_parts(gold: Any, answer: Any) -> bool:
    if not isinstance(gold, Parts) or not isinstance(answer, Parts):
        parts, single = (gold, answer) if isinstance(gold, Parts) else (answer, gold)
        if isinstance(single, Relation):
            interval = _interval(single)
            return same(*((parts, interval) if parts is gold else (interval, parts)))
        return (
            parts.kind in ("list", "set")
            and len(parts.parts) == 1
            and same(*((parts.parts[0], single) if parts is gold else (single, parts.parts[0])))
        )
    left, right = gold.kind, answer.kind
    if "union" in (left, right) and left != right:
        # x < 1 or x > 2
        gold, answer = (_union(parts) if parts.kind == "list" else parts for parts in (gold, answer))
        left, right = gold.kind, answer.kind
    loose = {"list", "set"}
    if (left in loose and right in loose) or left == right == "union":
        return _same_members(gold.parts, answer.parts)
    if left == right or (
        "list" in (left, right) and {left, right} & {"()", "[]"} and (left == "list" or right == "list")
    ):
        if len(gold.parts) != len(answer.parts):
            return False
        if {left, right} == {"list", "[]"}:
            return False
        return all(same(*pair) for pair in zip(gold.parts, answer.parts, strict=True))
    return False


def _union(parts: Parts) -> Parts:
    if not all(isinstance(piece, Relation) for piece in parts.parts):
        return parts
    return Parts("union", tuple(map(_interval, parts.parts)))


def _interval(relation: Relation) -> Parts:
    """The numbers that a relation leaves to one symbol."""
    signs, sides = relation.signs, relation.sides
    if all(sign in (">", ">=") for sign in signs):
        signs, sides = tuple(_TURNED[sign] for sign in signs[::-1]), sides[::-1]
    bounds = [None if node is None or node.kind in ("symbol", "call") else node for node in sides]
    if None in sides or sum(bound is None for bound in bounds) != 1:
        raise Unreadable("a relation that is no interval")
    if signs == ("!=",):
        node = next(bound for bound in bounds if bound is not None)
        sides_of_it = _between("()", negative(_INFINITY), node), _between("()", node, _INFINITY)
        return Parts("union", sides_of_it)
    if not all(sign in ("<", "<=") for sign in signs):
        raise Unreadable("a relation that is no interval")
    opening = "[" if signs[0] == "<=" else "("
    closing = "]" if signs[-1] == "<=" else ")"
    match bounds:
        case [None, high]:  # x < 5
            return _between("(" + closing, negative(_INFINITY), high)
        case [low, None]:
            return _between(opening + ")", low, _INFINITY)
        case [low, None, high]:
            return _between(opening + closing, low, high)
    raise Unreadable("a relation that is no interval")


def _same_members(gold: tuple[Any, ...], answer: tuple[Any, ...]) -> bool:
    """The same parts equally often, in any order."""
    if len(gold) != len(answer):
        return False
    rest = list(answer)
    for piece in gold:
        for position, other in enumerate(rest):
            if same(piece, other):
                del rest[position]
                break
        else:
            return False
    return True


_LETTER_UNITS = {"m", "g", "s", "L", "h"}


def _same_quantity(gold: Quantity, answer: Quantity) -> bool:
    for left, right in ((gold, answer), (answer, gold)):
        no_unit = right.unit is None and right.guess is None and not symbols(right.node)
        if left.guess and (right.unit == left.guess[1] or (no_unit and left.guess[1] in _LETTER_UNITS)):
            return _same_number(Quantity(left.guess[0], None, left.decimal), right)
    if (gold.unit == "percent") != (answer.unit == "percent"):
        share, bare = (gold, answer) if gold.unit == "percent" else (answer, gold)
        if bare.unit is not None:
            return False
        decimal = share.decimal and (share.decimal[0] + 2, share.decimal[1])
        hundredth = Quantity(Node("ratio", None, (share.node, number(100))), None, decimal)
        return _same_number(share, bare) or _same_number(hundredth, bare)
    return same_unit(gold.unit, answer.unit) and _same_number(gold, answer)


def _same_number(left: Quantity, right: Quantity) -> bool:
    if same_value(left.node, right.node):
        return True
    if left.decimal is None and right.decimal is None:
        return False
    symbolic = symbols(left.node) or symbols(right.node)
    a, b = (None, None) if symbolic else (value(left.node), value(right.node))
    if a is None or b is None:
        numbers = number_of(left.node), number_of(right.node)
        if symbolic or any(getattr(number, "imag", 0) or not 0 < abs(number) < 10**30 for number in numbers):
            return False
        a, b = (Fraction(mpmath.nstr(number, 40)) for number in numbers)
    return _rounded(a, b, left.decimal, right.decimal)


def _rounded(a: Fraction, b: Fraction, left: tuple[int, int] | None, right: tuple[int, int] | None) -> bool:
    """Whether the more precise of two numbers rounds to the other one, of which at least one is a decimal."""
    coarse = min((written for written in (left, right) if written), key=lambda written: written[0])
    apart = abs(a - b)
    if apart > Fraction(1, 2) / Fraction(10) ** coarse[0]:
        return False
    if max(abs(a), abs(b)) < SMALL:
        return apart <= SMALL_TOLERANCE * min(abs(a), abs(b)) and (a < 0) == (b < 0)
    return coarse[0] >= PLACES


_ALWAYS = set(
    listed("""true false yes no even odd none undefined infinity increasing decreasing convergent""")
)


def same_words(left: str, right: str) -> bool:
    """Compare words: letters in their order; capitals count where they may be symbols."""
    left, right = (
        re.sub(r"^(?:the|an?) (?=\w{3})", "", re.sub(r"[\s-]+", " ", text.strip(" .!")))
        for text in (left, right)
    )
    if left == right:
        return True
    if left.casefold() != right.casefold():
        return _plural(left) == _plural(right) and "solution" in left.lower()
    if left.lower() in _ALWAYS:
        return True
    return len(left) >= 3 and all(
        re.fullmatch(r"[^\W\d_]?[^\WA-Z\d_]*", word)
        for text in (left, right)
        for word in re.split(r"[\s'-]", text)
    )


def _plural(text: str) -> str:
    return re.sub(r"solutions\b", "solution", text.lower())


def _same_time(time: Time, other: Any) -> bool:
    """The half of the day may be left out, as a unit may; 20:15 has it."""
    if isinstance(other, Ratio) and _clock(other):
        same_hour = int(other.texts[0]) in (time.hours, time.hours % 12 or 12)
        return same_hour and _minutes(other.texts[1:]) == time.rest
    if isinstance(other, Quantity) and other.unit is None and not time.rest:
        return value(other.node) == (time.hours % 12 or 12)
    return False


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
    return None not in (left, right, by) and by != 0 and ((left - right) / by).denominator == 1  # type: ignore[operator]


def _clock(ratio: Ratio) -> bool:
    return all(re.fullmatch(r"[0-5]\d", text) for text in ratio.texts[1:]) and ratio.texts[0].isdecimal()


def _same_ratio(gold: Ratio, answer: Ratio) -> bool:
    if len(gold.parts) != len(answer.parts):
        return False
    if all(same(*pair) for pair in zip(gold.parts, answer.parts, strict=True)):
        return True
    if _clock(gold) and _clock(answer):
        return False
    first, second = gold.parts[0].node, answer.parts[0].node
    return all(
        same_value(Node("product", None, (first, b.node)), Node("product", None, (second, a.node)))
        for a, b in zip(gold.parts[1:], answer.parts[1:], strict=True)
    ) and not any(value(piece.node) == 0 for piece in (*gold.parts, *answer.parts))


def _factor(left: Node, right: Node) -> Any:
    """Constant factor between two expressions, or 0: then they are the same equation."""
    ratios = []
    for point in (0, 2, 3):
        a, b = number_of(left, point=point), number_of(right, point=point)
        if a == 0 or b == 0:
            return 0
        ratios.append(a / b)
    first = ratios[0]
    constant = all(abs(ratio - first) < abs(first) * 10**-30 for ratio in ratios)
    return first.real if constant and symbols(left) == symbols(right) and not is_complex(first) else 0


_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!=", "=": "="}


def _same_relation(gold: Relation, answer: Relation) -> bool:
    def agree(signs: tuple[str, ...], sides: tuple[Node | None, ...]) -> bool:
        return gold.signs == signs and all(
            (a is None) == (b is None) and (a is None or b is None or same_value(a, b))
            for a, b in zip(gold.sides, sides, strict=True)
        )

    if len(gold.signs) != len(answer.signs):
        return False
    whole = len(gold.signs) == 1 and None not in (*gold.sides, *answer.sides)
    if whole and (factor := _factor(difference(*gold.sides), difference(*answer.sides))):
        sign = answer.signs[0] if factor > 0 else _TURNED[answer.signs[0]]
        return gold.signs[0] == sign
    return agree(answer.signs, answer.sides) or agree(
        tuple(_TURNED[sign] for sign in answer.signs[::-1]), answer.sides[::-1]
    )
