"""Units, currencies and words of number: what may stand behind a value, and what changes it."""

from __future__ import annotations

import re
from fractions import Fraction

from hammerlib.grading.normal_form import listed

# Spellings of one unit. Left out, a unit costs nothing; another one makes another answer.
_SAME = """
percent: \\% percent
unit: unit units
degree: deg degs degree degrees
celsius: celsius °C degC
fahrenheit: fahrenheit degF
kelvin: kelvin kelvins
USD: USD dollar dollars dollars. usd bucks
EUR: EUR euro euros eur
GBP: GBP pound-sterling gbp
CNY: CNY yuan rmb RMB 元 块 人民币
cent: cent cents ¢
km: km kms kilometer kilometers kilometre kilometres 千米 公里
m: m meter meters metre metres 米
cm: cm cms centimeter centimeters centimetre centimetres 厘米
mm: mm millimeter millimeters millimetre millimetres 毫米
mi: mi mile miles
ft: ft foot feet
inch: in inch inches
yd: yd yard yards
kg: kg kgs kilogram kilograms 千克 公斤
g: g gram grams 克
mg: mg milligram milligrams
lb: lb lbs pound pounds
oz: oz ounce ounces
s: s sec secs second seconds 秒
min: min mins minute minutes 分钟
h: h hr hrs hour hours 小时
day: d day days 天
week: wk wks week weeks
month: month months 月
year: yr yrs year years 年 岁
L: L l liter liters litre litres 升
mL: mL ml milliliter milliliters millilitre millilitres 毫升
N: N newton newtons
J: J joule joules
kJ: kJ kilojoule kilojoules
W: W watt watts
V: V volt volts
A: A amp amps ampere amperes
Hz: Hz hertz
Pa: Pa pascal pascals
eV: eV
rad: rad rads radian radians
angstrom: \\AA angstrom angstroms
mol: mol mole moles
arcsec: arcsec arcsecs arcsecond arcseconds
arcmin: arcmin arcmins arcminute arcminutes
person: person persons people 人
piece: piece pieces 个 颗 只 张 本 条 件 位 种 次 块 名 道 枚 辆 棵 朵
"""
UNITS = {
    word: line.split(":")[0] for line in _SAME.strip().splitlines() for word in line.split(":", 1)[1].split()
}
# "units" says that there is one; words of shape and place say nothing about the amount.
_EMPTY = set(listed("the a an in total all each left long away altogether tall old wide"))
# Marks of feet and inches, or of minutes and seconds: no answer to a number without a unit.
PRIME, DOUBLE_PRIME = "prime", "double-prime"
_MARKED = {PRIME: ("ft", "min", "arcmin"), DOUBLE_PRIME: ("inch", "s", "arcsec")}
MULTIPLIERS = {
    "dozen": 12, "score": 20, "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9,
    "trillion": 10**12, "gross": 144,
}  # fmt: skip
_LONG = {
    "mph": "mi / h", "kph": "km / h", "kmph": "km / h", "kmh": "km / h", "cc": "cm^3", "mps": "m / s",
    "fps": "ft / s", "sqft": "ft^2", "bps": "bit / s",
}  # fmt: skip
# Words behind a number that change what it says: with one of them it is no longer that number.
CHANGING = set(
    listed(
        """squared cubed factorial times or and to not no minus plus less more than least most half halves
    third thirds quarter quarters fourth fourths fifth fifths sixth sixths seventh eighth eighths ninth
    tenth tenths hundredth hundredths thousandth thousandths double twice triple pair pairs dozens
    choose mod modulo over out of below above under negative positive point recurring repeating base
    power if when where unless approximately about except but points permille basis per-mille
    remainder with without ways? maybe unknown undefined wrong false true upto until through between
    divided multiplied raised root inverse reciprocal off from hundreds thousands millions st nd rd th
    infinity infinite instead rather isn't cannot never impossible"""
    )
)
_UNITS_TO_TWENTY = listed(
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen"""
)
_TENS = listed("twenty thirty forty fifty sixty seventy eighty ninety")
_NUMBER_WORDS = {*_UNITS_TO_TWENTY, *_TENS, "hundred", "thousand", "million", "billion"}
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


def split_unit(text: str) -> tuple[str, str | None, Fraction, bool] | None:
    r"""Split a quantity in normal form into value, unit, factor and whether the unit is a guess ("5 m").

    None where there is no unit, or words that change the value ("5 squared").
    """
    head = _HEAD.fullmatch(text)
    if head:
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


def _read_tail(value: str, tail: str) -> tuple[str, str | None, Fraction, bool] | None:
    tail = re.sub(r"\^\{\\circ\}\s?(?:\\text\{)?([CFK])\b\}?", r"\\text{\1degrees}", tail).replace(
        "^{\\circ}", "\\text{degree}"
    )
    tail = tail.replace("\\%", "\\text{percent}").replace("\\AA", "\\text{angstrom}")
    dressed = "\\text{" in tail
    plain = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", tail)
    plain = re.sub(r"\\cdot|\\times|\*", " ", re.sub(r"\^\s?\{\s?(-?\d)\s?\}", r"^\1", plain))
    plain = re.sub(r"\b(sq|cu)\.(?=[A-Za-z])", r"\1. ", plain)
    tokens = re.findall(r"[A-Za-z\u4e00-\u9fff.°¢]+|/|\^\s?\{?\s?-?\d|-|\S", plain)
    factor = Fraction(1)
    unit: list[str] = []
    guess = False
    for position, token in enumerate(tokens):
        word = token.replace(".", "")
        lower = word.lower()
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
        elif (
            lower in _EMPTY
            and not (  # inches, where no noun follows
                word == "in" and not any(re.match(r"[A-Za-z]", rest) for rest in tokens[position + 1 :])
            )
        ):
            continue
        elif word in ("Cdegrees", "Fdegrees", "Kdegrees"):
            unit.append({"C": "celsius", "F": "fahrenheit", "K": "kelvin"}[word[0]])
        elif token == "-" or not re.fullmatch(r"[^\W\d_]+|°C", word):
            return None
        elif word in UNITS or lower in UNITS:
            # "5 m" may be metres, or a product: the reader of the gold decides.
            guess = guess or (not dressed and len(word) == 1 and len(tokens) == 1)
            unit.append(UNITS.get(word) or UNITS[lower])
        elif dressed or len(word) >= 4 or (len(word) == 3 and position):
            if lower in _NUMBER_WORDS:
                return None
            plural = len(lower) > 3 and lower.endswith("s") and not lower.endswith("ss")
            unit.append(lower[:-1] if plural else lower)
        else:
            return None
    return value, _unit_name(unit), factor, guess


def _unit_name(parts: list[str]) -> str | None:
    named: list[str] = []
    power = ""
    for piece in parts:
        if piece in ("square", "cubic"):
            power = "^2" if piece == "square" else "^3"
        elif piece.startswith("^") and named:
            named[-1] += piece
        elif piece == "/":
            named.append("/")
        else:
            named.append(piece + power)
            power = ""
    whole = " ".join(named)
    for short, long in _LONG.items():
        whole = re.sub(rf"(?<![\w^]){short}(?![\w^])", long, whole)
    return whole or None


def same_unit(left: str | None, right: str | None) -> bool:
    """A unit may be left out; two that are given must be the same, or one says it in fewer words.

    Primes (5') are feet or minutes, and no answer where no unit is asked for.
    """
    if right in _MARKED:
        return left == right or left in _MARKED[right]
    if left is None or right is None or left == right:
        return True
    if left in _MARKED:
        return right in _MARKED[left]
    first, second = set(left.split()), set(right.split())
    known = set(UNITS.values())
    bare = {re.sub(r"\^.*", "", word) for word in first ^ second}
    return (first <= second or second <= first) and not (bare & known) and "/" not in first ^ second


def in_number_words(text: str) -> bool:
    """Tell whether a text spells out a number: "forty two"."""
    words = [word for word in re.split(r"[\s-]+", text.lower().strip(" .")) if word != "and"]
    return bool(words) and all(word in _NUMBER_WORDS for word in words)


_SCALES = {name: MULTIPLIERS[name] for name in ("hundred", "thousand", "million", "billion", "trillion")}
_PORTIONS = {"half": 2, "halve": 2, "quarter": 4} | dict(
    zip(listed("third fourth fifth sixth seventh eighth ninth tenth"), range(3, 11), strict=True)
)


def number_in_words(text: str, *, hyphens: bool = False) -> Fraction | None:
    """Number that words spell out: "minus twenty-five", "one hundred and five", "two thirds"."""
    text = text.lower().strip(" .!")
    if hyphens and re.search(rf"\b(?:{'|'.join(_TENS)})\s+(?:{'|'.join(_UNITS_TO_TWENTY[1:10])})\b", text):
        return None
    words = re.split(r"[\s-]+", text)
    negative = words[0] in ("minus", "negative")
    words = words[negative:]
    portion = 1
    if len(words) > 1 and (portion_word := words[-1].removesuffix("s")) in _PORTIONS:
        words, portion = words[:-1], _PORTIONS[portion_word]
        if words[-1] == "a":
            words[-1] = "one"
    whole = _spelled(words)
    if whole is None or (portion > 1 and not 0 < whole < 100):
        return None
    return Fraction(-whole if negative else whole, portion)


def _spelled(words: list[str]) -> int | None:
    """Whole number: below a hundred, times its scale, from the largest scale down."""
    total, group, last = 0, None, 10**15
    for position, word in enumerate(words):
        if word == "and":
            if position in (0, len(words) - 1) or words[position - 1] not in _SCALES:
                return None
        elif word in _SCALES and word != "hundred":
            if group is None or group == 0 or _SCALES[word] >= last:
                return None
            total, group, last = total + group * _SCALES[word], None, _SCALES[word]
        elif word == "hundred":
            if group is None or not 0 < group < 100:
                return None
            group *= 100
        else:
            small = number_word(word)
            if small is None:
                return None
            if group is None:
                group = small
            elif small and group and (group % 100 == 0 or (group % 10 == 0 and group % 100 > 10 > small)):
                group += small
            else:
                return None
    if group is None and not total:
        return None
    return total + (group or 0)


def number_word(text: str) -> int | None:
    """Number that one word names."""
    word = text.lower()
    if word in _TENS:
        return 10 * (2 + _TENS.index(word))
    return _UNITS_TO_TWENTY.index(word) if word in _UNITS_TO_TWENTY else None
