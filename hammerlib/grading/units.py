"""Units, currencies and words of number: what may stand behind a value, and what changes it.

`split_unit` takes a quantity apart, `same_unit` compares what it found, `number_in_words` reads spelled
numbers. The words themselves are in ``tables.txt``.
"""

from __future__ import annotations

import re
from fractions import Fraction

from hammerlib.grading.normal_form import listed, table

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
        if token == "/" or lower == "per" or (lower == "an" and unit and unit[-1] == "/"):
            unit.append("/")
        elif token.startswith("^"):
            unit.append("^-" + token[-1] if "-" in token else "^" + token[-1])
        elif lower in ("squared", "cubed") and "/" in unit:
            unit.append("^2" if lower == "squared" else "^3")
        elif lower in MULTIPLIERS:
            factor *= MULTIPLIERS[lower]
        elif lower in CHANGING and not (word == "of" and unit):
            return None
        elif lower in ("square", "sq", "cubic", "cu"):
            unit.append("square" if lower.startswith("s") else "cubic")
        elif lower in _EMPTY and not inches:
            continue
        elif word in _DEGREES:
            unit.append(_DEGREES[word])
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


_DEGREES = {"Cdegrees": "celsius", "Fdegrees": "fahrenheit", "Kdegrees": "kelvin"}


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
    named: list[str] = []
    power = ""
    for word in words:
        if word in ("square", "cubic"):
            power = "^2" if word == "square" else "^3"
        elif word.startswith("^") and named:
            named[-1] += word
        elif word == "/":
            named.append("/")
        else:
            named.append(word + power)
            power = ""
    whole = " ".join(named)
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
_SMALL = {word: number for number, word in enumerate(_TEENS)}
_SMALL |= {word: 10 * number for number, word in enumerate(_TENS, start=2)}
_SCALES = {name: MULTIPLIERS[name] for name in ("hundred", "thousand", "million", "billion", "trillion")}
_PORTIONS = {"half": 2, "halve": 2, "quarter": 4} | {
    word: number
    for number, word in enumerate(listed("third fourth fifth sixth seventh eighth ninth tenth"), start=3)
}
_NUMBER_WORDS = {*_SMALL, *_SCALES} - {"trillion"}
_UNHYPHENED = re.compile(rf"\b(?:{'|'.join(_TENS)})\s+(?:{'|'.join(_TEENS[1:10])})\b")


def in_number_words(text: str) -> bool:
    """Tell whether a text spells out a number: "forty two"."""
    words = [word for word in re.split(r"[\s-]+", text.lower().strip(" .")) if word != "and"]
    return bool(words) and all(word in _NUMBER_WORDS for word in words)


def number_word(text: str) -> int | None:
    """Number that one word names."""
    return _SMALL.get(text.lower())


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
    whole = _spelled(words)
    if whole is None or (portion > 1 and not 0 < whole < 100):
        return None
    return Fraction(sign * whole, portion)


def _spelled(words: list[str]) -> int | None:
    """Whole number: below a hundred, times its scale, from the largest scale down."""
    total = 0
    group = None  # what stands before the next scale
    last_scale = 10**15
    for position, word in enumerate(words):
        if word == "and":
            if position in (0, len(words) - 1) or words[position - 1] not in _SCALES:
                return None
        elif word == "hundred":
            if group is None or not 0 < group < 100:
                return None
            group *= 100
        elif word in _SCALES:
            if not group or _SCALES[word] >= last_scale:
                return None
            total += group * _SCALES[word]
            group = None
            last_scale = _SCALES[word]
        elif word not in _SMALL:
            return None
        elif group is None:
            group = _SMALL[word]
        elif _fits(group, _SMALL[word]):
            group += _SMALL[word]
        else:
            return None
    if group is None and not total:
        return None
    return total + (group or 0)


def _fits(group: int, small: int) -> bool:
    """Whether a small number may follow: five behind a hundred or behind twenty, not behind ten."""
    if not small or not group:
        return False
    return group % 100 == 0 or (group % 10 == 0 and group % 100 > 10 > small)
