"""Answers read as what they are: quantities, words, lists, points, sets, relations.

`read_normal` tries the readers of `READERS` in their order; the first that knows its kind of answer decides.
Below it they stand in that order. What they return, and when two of those are the same, is told by
`hammerlib.grading.answers`.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable
from typing import Any

from hammerlib.grading.answers import (
    INFINITY,
    Based,
    Congruence,
    Equation,
    Grid,
    Named,
    Parts,
    Quantity,
    Ratio,
    Relation,
    Time,
    Words,
    between,
    minutes,
    same,
)
from hammerlib.grading.expressions import (
    Nonsense,
    Unreadable,
    contains,
    negative,
    number,
    parse,
    product,
    symbols,
)
from hammerlib.grading.normal_form import closing, listed, normal_form, split
from hammerlib.grading.values import UNITS, in_number_words, number_in_words, number_of, split_unit, value

MAX_PARTS = 200
UNREADABLE_WORDS = {*listed("n.a na n/a none null nan nil unknown tbd error ? -"), "not available"}


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
    for reader in READERS:
        if (reading := reader(text)) is not None:
            return reading
    return _quantity(text)


def says_nothing(gold: str) -> bool:
    """Tell whether a gold is a placeholder, or a number in several words: nothing that can be won."""
    plain = _without_text(normal_form(gold[:200])).strip(" .!'\"")
    plain = re.sub(r"^.*\b(?:is|are|equals)\s+", "", plain)
    if not plain or plain.lower() in UNREADABLE_WORDS:
        return True
    several = in_number_words(plain) and len(re.split(r"[\s-]+", plain)) > 1
    return several and number_in_words(plain, hyphens=True) is None


# Brackets and separators -----------------------------------------------------------------------------

_LEAD = re.compile(
    r"^(?:\\text\s?\{\s*)?(?:(?:so|thus|hence),? )?(?:the )?(?:final |correct )?answer"
    r"(?: is)?\s?[:=]?\s*\}?\s?(?=\S)",
    re.IGNORECASE,
)


def _stripped(text: str) -> str:
    """Without blanks, quotes, outer braces and outer parentheses of a single value."""
    text = _LEAD.sub("", text.strip())
    if dressed := re.fullmatch(r"\\text\s?\{([^{}]*\d[^{}]*)\}", text):
        text = dressed[1].strip()  # \text{5 apples}
    for _ in range(10):
        opening = text.find("{") if text.startswith(("\\underline", "{")) else -1
        if opening >= 0 and closing(text, opening) == len(text) - 1:
            text = text[opening + 1 : -1].strip()  # such braces are not seen
        elif len(text) > 1 and text[0] == text[-1] and text[0] in "\"'`" and text[0] not in text[1:-1]:
            text = text[1:-1].strip()
        else:
            break
    return text


def _without_text(text: str, between: str = "") -> str:
    r"""Words without their ``\text``."""
    return re.sub(r"\\text\{([^{}]*)\}", rf"{between}\1{between}", text)


# Matrices --------------------------------------------------------------------------------------------

_MATRIX = re.compile(r"\\begin\s*\{([pbBvV]?)(?:small)?matrix\}(.*)\\end\s*\{\1(?:small)?matrix\}", re.DOTALL)
_ARRAY = re.compile(r"[(\[]\s*\\begin\s*\{array\}\s*\{[^{}]*\}(.*)\\end\s*\{array\}\s*[)\]]", re.DOTALL)


def _grid(text: str) -> Grid | None:
    match = _MATRIX.fullmatch(text)
    array = match or _ARRAY.fullmatch(text)
    if array is None:
        return None
    rows = [row for row in re.split(r"\\\\|\\(?=\s*[-+\d])", array[array.lastindex]) if row.strip()]
    cells = tuple(tuple(_quantity(cell.strip()) for cell in row.split("&")) for row in rows)
    if len({len(row) for row in cells}) != 1:
        raise Unreadable("rows of different lengths")
    return Grid("determinant" if match and match[1] in ("v", "V") else "matrix", cells)


# Numbers in words, times, congruences ----------------------------------------------------------------

_SIGN_WORD = re.compile(
    r"(?:\\text\{\s*)?(?:minus|negative)(?:\s*\})?\s*(?=[\d.]|\\(?:frac|sqrt|pi)(?![A-Za-z]))", re.IGNORECASE
)


def _signed_in_words(text: str) -> Quantity | None:
    """``minus 3``, ``\\text{negative }3``."""
    match = _SIGN_WORD.match(text)
    if not match or ("\\text{" in match[0]) != ("}" in match[0]):
        return None
    size = read_normal(text[match.end() :])
    if not isinstance(size, Quantity) or symbols(size.node):
        raise Nonsense("a sign of something else")
    return size._replace(node=negative(size.node))


_TWICE = re.compile(r"(?:\\text\{)?\s*([^(){}]+?)\s*\}?\s*\(\s*(?:\\text\{)?\s*([^(){}]+?)\s*\}?\s*\)\s*\}?")


def _twice(text: str) -> Quantity | None:
    """``5 (five)``, ``five (5)``: a number and the same in words."""
    match = _TWICE.fullmatch(text)
    if not match:
        return None
    first, second = map(number_in_words, match.groups())
    if (first is None) == (second is None):
        return None
    quantity = _quantity(match[1] if first is None else match[2])
    if value(quantity.node) != (second if first is None else first):
        raise Nonsense("two numbers")
    return quantity


_HALF = re.compile(r"(\d{1,2})(?:\s?:\s?([0-5]\d))?(?:\s?:\s?([0-5]\d))?\s?([AaPp])\.?\s?[Mm]\.?")


def _time(text: str) -> Time | None:
    """``8:15 a.m.``: hours as those of a day, then minutes and seconds without zeros at the end."""
    match = _HALF.fullmatch(_without_text(text, " ").replace("  ", " ").strip())
    if not match or not 1 <= int(match[1]) <= 12:
        return None
    return Time(int(match[1]) % 12 + 12 * (match[4] in "Pp"), minutes(match.groups()[1:3]))


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
    sides = split(left, r"\\equiv(?![A-Za-z])")
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


# The real numbers ------------------------------------------------------------------------------------

_ALL_REALS = re.compile(r"(?:all |the )?(?:set of )?(?:all )?(?:the )?real(?:s| numbers?)", re.IGNORECASE)
_ALMOST_ALL = re.compile(
    r"(?:\\mathbb\s?\{?\s?R\s?\}?"
    r"|\(-\\infty\s?,\s?\+?\\infty\s?\))\s?(?:\\setminus|\\backslash|-|\\)\s?\\\{(.+)\\\}"
)
_REALS = re.compile(r"\\mathbb\s?\{?\s?R\s?\}?")
_POSITIVE = re.compile(rf"{_REALS.pattern}\s?(?:[\^_]\s?\{{?\s?\+\s?\}}?|_\s?\{{\s?>\s?0\s?\}})")


def _reals(text: str) -> Parts | None:
    """The real numbers as the interval that they are, without some points as a union."""
    if _POSITIVE.fullmatch(text):
        return between("()", number(0), INFINITY)
    if _ALL_REALS.fullmatch(_without_text(text).strip(" .")) or _REALS.fullmatch(text):
        return between("()", negative(INFINITY), INFINITY)
    match = _ALMOST_ALL.fullmatch(text)
    if not match:
        return None
    points = _members(read_normal(match[1]))
    if not all(isinstance(point, Quantity) and not symbols(point.node) for point in points):
        raise Unreadable("no points")
    ordered = sorted(_distinct(points), key=lambda point: number_of(point.node).real)
    edges = [Quantity(negative(INFINITY)), *ordered, Quantity(INFINITY)]
    return Parts("union", tuple(Parts("()", pair) for pair in itertools.pairwise(edges)))


def _members(reading: Any) -> tuple[Any, ...]:
    """What a list holds; anything else is a single member."""
    is_list = isinstance(reading, Parts) and reading.kind == "list"
    return reading.parts if is_list else (reading,)


def _distinct(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    kept: list[Any] = []
    for piece in parts:
        if not any(same(piece, other) for other in kept):
            kept.append(piece)
    return tuple(kept)


# Words -----------------------------------------------------------------------------------------------

_LETTER = re.compile(
    r"\(\s*(?:\\text\{)?\s*\(?([A-Za-z])\)?\s*\}?\s*\)|\\text\{\s*\(?([A-Za-z])\)?[.)]?\s*\}|([A-Za-z])\.?"
)
_NO_ELEMENTS = re.compile(r"\\emptyset|\\text\{\s*(?:the )?empty set\s*\}")
_NUMBER_SET = re.compile(r"\\mathbb\s?\{?\s?[A-Z]\s?\}?(?:\^\{?[+*-]?\}?)?")
_FIGURE = re.compile(r"(\\(?:angle|triangle|overline|vec|widehat|odot))\s?\{?\s?([A-Z]{1,4})\s?\}?")
_BARE = re.compile(r"[A-Z]{2,}(?:\s[A-Z]{2,})*|[^\W\d_]{2,}(?:[-'\s][^\W\d_]+){0,7}")


def _words(text: str) -> Any:
    """Bare words, choices and sets with names; None where the text is something else."""
    if letter := _LETTER.fullmatch(text):
        return Words(letter[letter.lastindex])
    if _NO_ELEMENTS.fullmatch(text):
        return Words("\\emptyset")
    if _NUMBER_SET.fullmatch(text):
        return Words(re.sub(r"[{}\s]", "", text))
    plain = re.sub(r"\s+", " ", _without_text(text, " ")).strip()
    if "\\" in plain or "{" in plain:
        figure = _FIGURE.fullmatch(plain)
        return Words(f"{figure[1]} {figure[2]}") if figure else None
    if "\\text{" in text and "," in plain and not re.search(r"\d", plain):
        return Parts("list", tuple(Words(piece.strip()) for piece in plain.split(",") if piece.strip()))
    bare = plain.strip(" .!")
    if not _BARE.fullmatch(bare):
        return None
    if bare.lower() in UNREADABLE_WORDS:
        raise Unreadable("no answer in it")
    if re.search(r"[\s-]", bare) and (spelled := number_in_words(bare)) is not None:
        return Quantity(number(spelled))
    amount, _, unit = bare.rpartition(" ")
    if unit in UNITS and (spelled := number_in_words(amount)) is not None:
        return Quantity(number(spelled), UNITS[unit])
    if in_number_words(bare) and " " in bare:
        raise Unreadable("no number in its words")
    joined = re.search(r"(?<![A-Za-z])(?:and|or)(?![A-Za-z])", bare)
    return None if joined else Words(bare)


# Digits to a base ------------------------------------------------------------------------------------

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


def _based(text: str) -> Based | None:
    sign = "-" if text.startswith("-") else ""
    text = text.removeprefix("-").strip()
    match = _BASED.fullmatch(text) or _BASED_WORDS.fullmatch(text)
    if match is None:
        return None
    digits, name = match[1], match[match.lastindex]
    base = _BASE_WORDS.get(name.lower()) or (int(name) if name.isdecimal() and len(name) < 3 else None)
    if base is None or (not digits[0].isdecimal() and base <= 10):  # x_1 is a name
        return None
    if not 2 <= base <= 36 or any(int(digit, 36) >= base for digit in digits):
        if digits.isdecimal():
            raise Unreadable("digits beyond the base")
        return None
    return Based(sign + (digits.lstrip("0").upper() or "0"), base)


# Brackets, unions, lists -----------------------------------------------------------------------------


def _bracketed(text: str) -> Any:
    """What stands in one pair of brackets: a set, a point, an interval, a value; None without such a pair."""
    opening = "\\{" if text.startswith("\\{") else text[0]
    # ]1, 2[ is the French open interval.
    if opening not in ("(", "[", "\\{") or closing(text, 0) != len(text) - 1:
        return None
    end = "\\}" if text.endswith("\\}") else text[-1]
    inner = text[len(opening) : len(text) - len(end)].strip()
    pieces = split(inner, r"\s*[,;]\s*")
    brackets = opening + end
    if brackets == "\\{\\}":
        if not inner:
            return Words("\\emptyset")
        if len(pieces) == 1 and re.search(r"\||:", inner):
            raise Unreadable("a set by its property")
        return Parts("set", _distinct(_members(read_normal(inner))))
    if not inner:
        raise Unreadable("empty brackets")
    if len(pieces) == 1 and brackets == "()":
        return read_normal(inner)
    if len(pieces) == 1 and brackets == "[]":
        return _quantity(f"({inner})")
    if len(pieces) == 1 or len(pieces) > MAX_PARTS:
        raise Nonsense("half a bracket, or too many parts")
    is_interval = len(pieces) == 2 and "{" not in opening and "}" not in end
    if brackets not in ("()", "[]") and not is_interval:
        raise Nonsense("brackets of two kinds")
    return Parts(brackets, tuple(map(read_normal, pieces)))


def _united(text: str) -> Parts | None:
    if "\\cup" not in text:
        return None
    return Parts("union", tuple(map(read_normal, split(text, r"\\cup(?![A-Za-z])"))))


_DOTS = ("\\ldots", "...", "\\ldots ")
_SEPARATOR = r"\s*(?:,|;|\\text\{\s*,?\s*(?:and|or)\s*\}|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z]))\s*"


def _listed(text: str) -> Any:
    """What stands between separators: a list, points by their coordinates, or a sequence with dots."""
    pieces = split(text, _SEPARATOR)
    if len(pieces) == 1:
        return None
    pieces = [piece for piece in pieces if piece]
    if not pieces:
        raise Unreadable("nothing but separators")
    if any(piece in _DOTS for piece in pieces):  # a sequence is told by its order
        parts = [Words("...") if piece in _DOTS else read_normal(piece) for piece in pieces]
        return Parts("sequence", tuple(parts))
    if len(pieces) > MAX_PARTS:
        raise Nonsense("too many parts")
    parts = [member for piece in pieces for member in _members(read_normal(piece))]
    return _points(parts) or (Parts("list", tuple(parts)) if len(parts) > 1 else parts[0])


def _points(parts: list[Any]) -> Parts | None:
    """``p=5, q=2 and p=7, q=2``: the same names again and again are coordinates of points."""
    names = [piece.name for piece in parts if isinstance(piece, Named)]
    size = len(set(names))
    if size < 2 or not size < len(names) == len(parts) or names != names[:size] * (len(names) // size):
        return None
    points = (tuple(parts[start : start + size]) for start in range(0, len(parts), size))
    return Parts("list", tuple(Parts("()", point) for point in points))


# Relations and equations -----------------------------------------------------------------------------

_NAME = (
    r"(?:\\(?:angle|triangle|odot)\s?)?"
    r"(?:\\(?!(?:arc)?(?:sin|cos|tan|cot|sec|csc)|ln|log|sqrt|frac|text|pm|mp|neg|infty|int|sum)[A-Za-z]+"
    r"\s?(?:\{[^{}]*\})?|[A-Za-z]{1,4}\d{0,2})"
    r"(?:\s?_\s?(?:\{[^{}]*\}"
    r"|\w))?'*(?:\s?\^\s?\{?(?:\\text\{)?[-*\w]{1,2}\}?\}?)?\s?(?:\((?:[^()=]{1,40})\))?"
)
_DERIVATIVE = (
    r"\\frac\s?\{\s?(?P<d>d|\\partial)\s?(?:\^\s?\{?\d\}?)?\s?[A-Za-z]\s?\}"
    r"\s?\{\s?(?P=d)\s?[A-Za-z]\s?(?:\^\s?\{?\d\}?)?\s?\}"
)
# What may stand on the left of "=" as the name of what stands on the right.
_LEFT = re.compile(
    rf"(?:{_NAME}|{_DERIVATIVE}|\\text\s?\{{[^{{}}\d]*\}}|[A-Za-z]{{5,12}}"
    rf"|\(\s?{_NAME}(?:\s?,\s?{_NAME})+\s?\)"
    rf"|{_NAME}(?:\s?:\s?{_NAME})+|\\frac\s?\{{{_NAME}\}}\{{{_NAME}\}}"
    rf"|\|{_NAME}\||[A-Z]{{2}}\s?/\s?[A-Z]{{2}})"
)
_MEMBERSHIP = re.compile(rf"({_NAME})\s?\\in\s?(.+)")
_SIGN = re.compile(r"(\\le(?![A-Za-z])|\\ge(?![A-Za-z])|\\ne(?![A-Za-z])|[<>]=?|=<|=>|!=|==?)")
_SIGNS = {"\\le": "<=", "\\ge": ">=", "\\ne": "!=", "=<": "<=", "==": "="}  # other spellings
# Commands that say something else than a value; with one of them only the same text is the same.
OPAQUE = (
    "approx|equiv|cong|simeq|sim|to|Rightarrow|implies|iff|Leftrightarrow|leftrightarrow|neg|angle|parallel"
    "|perp|subseteq|subset|ldots|mapsto|propto|pmod|bmod|mod"
)
_OPAQUE = re.compile(
    rf"\\(?:{OPAQUE}|triangle|in|notin|supset|setminus|forall|exists|hline)(?![A-Za-z])|\.\.\.|:=|[?\"@#]"
)


def _nearly(text: str) -> Any:
    r"""``2/3 \\approx 0.67`` says 2/3; ``\\approx 5`` is no 5."""
    pieces = split(text, r"\\approx(?![A-Za-z])")
    if len(pieces) != 2:
        return None
    if not pieces[0]:
        return Relation(("~",), (None, _quantity(pieces[1]).node))
    first, second = read_normal(pieces[0]), _quantity(pieces[1])
    exact = first.reading if isinstance(first, Named) else first
    if not isinstance(exact, Quantity) or symbols(exact.node) or symbols(second.node):
        raise Unreadable("an approximation of something else")
    return first


def _related(text: str) -> Any:
    """Equations, named values and inequalities."""
    if membership := _MEMBERSHIP.fullmatch(text):
        inner = read_normal(membership[2])
        if isinstance(inner, Parts | Words):
            return Named(_name(membership[1]), inner)
        raise Unreadable("a membership")
    pieces = split(text, _SIGN.pattern, keep=True)
    signs = tuple(_SIGNS.get(sign, sign) for sign in pieces[1::2])
    if _OPAQUE.search(text) or "=>" in signs:
        raise Unreadable("signs that are no value")
    sides = pieces[::2]
    if not signs:
        return None
    if set(signs) == {"="}:
        return _equation(sides)
    if not all(sides[1:]) or len(signs) > 2:
        raise Nonsense("half a relation")
    return Relation(signs, tuple(parse(_without_unit(side)) if side else None for side in sides))


def _without_unit(side: str) -> str:
    split = split_unit(side)
    return split[0] if split and split[2] == 1 else side


def _name(text: str) -> str:
    return re.sub(r"[\s{}]|\\text", "", text)


def _may_name(side: str) -> bool:
    """Whether the side of an equation may be the name of the other one."""
    return bool(_LEFT.fullmatch(side)) and side not in ("e", "i", "\\pi", "\\infty", "\\pi ")


def _equation(sides: list[str]) -> Any:
    """A named value, a chain of equal values, which is the last of them, or an equation in symbols."""
    if len(sides) > 4:
        raise Unreadable("a long chain")
    while len(sides) > 2 and all(map(_may_name, sides[:2])):
        sides = sides[1:]  # y = x = 5
    if len(sides) == 2 and _LEFT.fullmatch(sides[1]) and not _LEFT.fullmatch(sides[0]):
        sides = sides[::-1]  # 5 = x
    if not sides[0]:
        if len(sides) != 2:
            raise Unreadable("a chain")
        return read_normal(sides[1])
    name = sides[0] if _may_name(sides[0]) else None
    values = sides[1:] if name else sides
    if not all(values):
        raise Nonsense("an empty side")
    readings = [_one_side(values[0])]
    if name and len(values) == 1:
        # y = 2x, f(x) = 2x and a_1 = n name a value; x^{2} = 2y is an equation.
        plain = not re.search(r"[(_']|^\\?[A-Za-z]+$|^\\frac", name)
        if not (plain and isinstance(readings[0], Quantity) and symbols(readings[0].node)):
            return Named(_name(name), readings[0])
    readings += map(_one_side, values[1:])
    if all(isinstance(side, Quantity) and not symbols(side.node) for side in readings):
        if not all(same(readings[0], side) for side in readings[1:]):
            raise Nonsense("two values that differ are called equal")
        return Named(_name(name), readings[-1]) if name else readings[-1]
    if name and len(values) > 1 and all(_agree(readings[0], side) for side in readings[1:]):
        return Named(_name(name), readings[-1])
    if len(values) != 2 or name:
        raise Unreadable("a chain of equations")
    return Equation(*map(parse, values))


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


# Signs and ratios ------------------------------------------------------------------------------------


def _two_signs(text: str) -> Parts | None:
    r"""``1 \pm x`` is the list of its two values."""
    if "\\pm" not in text and "\\mp" not in text:
        return None
    if _SIGN.search(text):
        raise Unreadable("two signs in a relation")
    upper = re.sub(r"\\pm(?![A-Za-z])", "+", re.sub(r"\\mp(?![A-Za-z])", "-", text))
    lower = re.sub(r"\\pm(?![A-Za-z])", "-", re.sub(r"\\mp(?![A-Za-z])", "+", text))
    return Parts("list", (read_normal(upper), read_normal(lower)))


def _ratio(text: str) -> Ratio | None:
    pieces = split(text, r"\s*:\s*")
    if not 2 <= len(pieces) <= 6:
        return None
    if not all(pieces):
        raise Unreadable("half a ratio")
    return Ratio(tuple(pieces), tuple(map(_quantity, pieces)))


READERS: tuple[Callable[[str], Any], ...] = (
    # The rows of a matrix hold commas and blanks of their own.
    _grid,
    # What is written in words, before `_words` takes it for text, and 8:15 a.m. before `_ratio`.
    _signed_in_words,
    _twice,
    _time,
    # Before `_related`, to which \equiv and \setminus are signs that say no value.
    _congruence,
    _reals,
    _words,
    # Before `_related` too: 52_8 looks like the name of something.
    _based,
    # (1, 2) is one point, and [0, 1) \cup (2, 3] one set: brackets before the commas in them.
    _bracketed,
    _united,
    # x = 1, x = 2 are two answers: commas before signs.
    _listed,
    _nearly,
    _related,
    # x = 1 \pm 2 is named first, then taken apart.
    _two_signs,
    _ratio,
)


# Quantities ------------------------------------------------------------------------------------------

# Where a unit may stand at all; everything else is parsed at once.
_MAY_HAVE_UNIT = re.compile(
    r"\\text\{|\\%|\\circ|\\AA|[A-Za-z\u4e00-\u9fff]\.?$|[A-Za-z]\s?\^|\d\s?'|^[-+]?\s?(?:USD|EUR|GBP|Rs)"
)
_DECIMAL = re.compile(
    r"[-+]?\s*(\d*)(?:\.(\d*))?(?:\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*\{\s*([-+]?\d+)\s*\})?"
)


def _quantity(text: str) -> Quantity:
    """A value with its unit, where there is one."""
    text = _stripped(text)
    split = split_unit(text) if _MAY_HAVE_UNIT.search(text) else None
    if split is None:
        return Quantity(parse(text), None, _places(text))
    value_text, unit, factor, is_guess = split
    if is_guess:
        # A number, a blank and a letter that is a unit: `5 m`.
        apart = unit is not None and re.fullmatch(r"[-+]?[\d.]+ ", text[: len(value_text) + 1])
        guess = (parse(value_text), unit) if apart else None
        return Quantity(parse(text), None, _places(text), guess)
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
        return Quantity(node, unit, _places(value_text))
    exact = None if symbols(node) else value(node)
    if exact is None:
        return Quantity(product(node, number(factor)), unit)
    return Quantity(number(exact * factor), unit)


def _places(text: str) -> int | None:
    """Decimal places of a number written with a point or a power of ten."""
    match = _DECIMAL.fullmatch(text)
    if not match or not (match[1] or match[2]) or (match[2] is None and match[3] is None):
        return None
    return len(match[2] or "") - int(match[3] or 0)
