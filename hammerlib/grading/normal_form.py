"""One normal form of answers: small named steps, in order, each a rule that a reader can check alone.

Read `STEPS` first, at the end: it says in what order an answer loses its dress. What stands above it are the
rules that need more than a pattern and its replacement. The spellings themselves are in ``tables.txt``.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

Replacement = str | Callable[[re.Match[str]], str]


class Step(NamedTuple):
    """One rule of the normal form."""

    name: str
    apply: Callable[[str], str]


def normal_form(text: str) -> str:
    r"""Return an answer in the one spelling that is read and compared: LaTeX without dress."""
    for step in STEPS:
        text = step.apply(text)
    return text


def apply(names: tuple[str, ...], text: str) -> str:
    """Apply the named steps only: for those who need the notation but not the whole form."""
    if text.isascii():
        return text
    for step in STEPS:
        if step.name in names:
            text = step.apply(text)
    return text


def listed(words: str) -> tuple[str, ...]:
    """Words of a text, for tables that read better without quotes."""
    return tuple(words.split())


@functools.cache
def table(section: str) -> dict[str, str]:
    """Return a section of ``tables.txt``: the first word of each line, to the rest of it."""
    text = Path(__file__).with_name("tables.txt").read_text(encoding="utf-8")
    lines = text.partition(f"= {section}\n")[2].partition("\n= ")[0].splitlines()
    words = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    return {spelling: meaning for spelling, _, meaning in words}


# Brackets --------------------------------------------------------------------------------------------

_BRACKETS = r"[()\[\]{}]"


def closing(text: str, start: int) -> int:
    """Place of the bracket that closes the first one from `start` on, any kinds inside; -1 for none."""
    depth = 0
    for bracket in re.compile(_BRACKETS).finditer(text, start):
        depth += 1 if bracket[0] in "([{" else -1
        if depth == 0:
            return bracket.start()
    return -1


def split(text: str, separator: str, *, keep: bool = False) -> list[str]:
    """Pieces between separators that stand outside all brackets; `keep` puts the separators between them."""
    pieces = []
    begin = 0
    depth = 0
    for match in re.finditer(f"{_BRACKETS}|(?:{separator})", text):
        if match[0] in ("(", "[", "{"):
            depth += 1
        elif match[0] in (")", "]", "}"):
            depth -= 1
        elif depth == 0:
            pieces.append(text[begin : match.start()].strip())
            if keep:
                pieces.append(match[0])
            begin = match.end()
    return [*pieces, text[begin:].strip()]


# Characters ------------------------------------------------------------------------------------------

_DASHES = "‐‑‒–—―−﹣－➖"
_ROOTS = {"√": "", "∛": "[3]", "∜": "[4]"}
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱᵏᵐˣ", "0123456789+-()nikmx")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙₖₘₓₐ", "0123456789+-()nkmxa")


def _wide(match: re.Match[str]) -> str:
    """A full-width or bold letter or digit as a plain one."""
    letter = match[0]
    return str(unicodedata.decimal(letter)) if letter.isdecimal() else unicodedata.normalize("NFKC", letter)


def _characters(section: str) -> Step:
    """Replace the characters of a table; behind a command stands a blank, which ends its name."""
    meanings = table(section)
    pattern = "|".join(map(re.escape, meanings))
    return _rule(section, pattern, lambda match: re.sub(r"(\\[A-Za-z]+)$", r"\1 ", meanings[match[0]]))


def _group(name: str, letters: dict[int, int], sign: str) -> Step:
    """Replace a run of raised or lowered letters by one group: x¹⁰ is x^{10}."""
    pattern = f"[{''.join(map(chr, letters))}]+"
    return _rule(name, pattern, lambda match: f"{sign}{{{match[0].translate(letters)}}}")


def _vulgar(match: re.Match[str]) -> str:
    top, _, low = unicodedata.normalize("NFKC", match[2]).partition("⁄")
    # A digit before it makes a mixed number: 2½ is 5/2.
    whole = f"{match[1]} " if match[1] else ""
    return rf"{whole}\frac{{{top}}}{{{low}}}"


def _root(match: re.Match[str]) -> str:
    inside = match[2] or ""
    if inside[:1] in ("(", "{"):
        inside = inside[1:-1]
    return rf"\sqrt{_ROOTS[match[1]]}" + (f"{{{inside}}}" if inside else "")


# Numbers ---------------------------------------------------------------------------------------------

_DIGIT_GAP = r"(?:\{,\}|,\\!\s*|\\[!,;: ]\s*|\\thinspace\s+|,|\s|')"
_THOUSANDS = re.compile(
    rf"(?<![\d.,_^\\A-Za-z])\d{{1,3}}({_DIGIT_GAP})\d{{3}}(?!\d)(?:\1\d{{3}}(?!\d))*(?!_)"
)
_DRESSED = re.compile(r"(?<![\d.,_^\\A-Za-z])\d{1,3}(?:(?:,|\{,\})?(?:\s?\\[!,;: ])*\s?\d{3}(?!\d))+(?!_)")


def _thousands(text: str) -> str:
    """Digits in groups of three as one number; not so where they may be parts of a list."""
    return _THOUSANDS.sub(_joined, _DRESSED.sub(_joined_if_dressed, text))


def _joined_if_dressed(match: re.Match[str]) -> str:
    # `11,\! 111,\! 111,\! 100`: the LaTeX spacing tells that the comma separates no list.
    dressed = "\\!" in match[0] and not match[0].startswith("0")
    return re.sub(r"\D", "", match[0]) if dressed else match[0]


def _joined(match: re.Match[str]) -> str:
    text, gap = match[0], match[1]
    before, after = match.string[: match.start()], match.string[match.end() :]
    if text.startswith("0"):
        return text
    # No part of a list is written 000.
    if gap == "," and ",0" not in text:
        in_brackets = before.rstrip()[-1:] in tuple("([{") and after.lstrip()[:1] in (*")]}", "\\")
        if before.endswith(",") or re.match(r",\S", after) or in_brackets:
            return text  # 1,234,5 is a list, (1,234) a point
    if gap.isspace() and (re.match(r"\s*\d", after) or re.search(r"\d\s*$", before) or "/" in after[:2]):
        return text
    return re.sub(r"\D", "", text)


_REPEATING = re.compile(
    r"(\d*)\.(\d*)"
    r"(?:\\(?:overline|bar|dot)\s*\{(\d+)\}|\\(?:overline|bar|dot)\s*(\d)|\((\d+)\)(?!\d)|((?:\d\u0305)+))"
)
# 0.333... and 0.1666...: at least three repeated digits, and each block twice.
_REPEATED = re.compile(
    r"(?<![\d.,])(\d*)\.(\d{0,12}?)(\d{1,6}?)((?:\3)+)\s*(?:\.\.\.|…"
    r"|\\l?dots(?![A-Za-z]))\s*(?![\d.])"
)


def _periodic(text: str) -> str:
    """Repeating decimals as fractions."""
    return _REPEATED.sub(_repeated, _REPEATING.sub(_repeating, text))


def _repeating(match: re.Match[str]) -> str:
    again = (match[3] or match[4] or match[5] or match[6]).replace("\u0305", "")
    return _as_fraction(match[1], match[2], again)


def _repeated(match: re.Match[str]) -> str:
    head, once, again, rest = match.groups()
    if len(again + rest) < max(3, 2 * len(again)) or (len(again) == 2 and len(rest) < 4):
        return match[0]
    return _as_fraction(head, once, again)


def _as_fraction(head: str, once: str, again: str) -> str:
    """0.1(6) is (16 - 1) / 90: all digits less those that do not repeat, over nines and zeros."""
    top = int(head + once + again) - int("0" + head + once)
    return rf"\frac{{{top}}}{{{(10 ** len(again) - 1) * 10 ** len(once)}}}"


# Commands and names ----------------------------------------------------------------------------------

_TEXT = (
    r"\\(?:text(?:bf|rm|it|sf|tt|sc|normal|up|md)?|mathrm|mbox|hbox|mathsf|mathtt|mathit"
    r"|operatorname\*?|emph)(?![A-Za-z])"
)
GREEK = {command[1:] for command in table("Greek letters").values()} - {"omicron"}
# Functions that may stand without parentheses in plain text; "5 min" and "5 sec" are units.
_FREE = listed("arcsin arccos arctan arccot sinh cosh tanh sin cos tan log ln sqrt asin acos atan")
_CALLED = listed("arcsec arccsc coth cot sec csc exp lg cbrt gcd lcm max min det floor ceil abs")
_RENAMED = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "infinity": "infty", "inf": "infty"}
_RENAMED["oo"] = "infty"
_ALONE = sorted({*_FREE, *GREEK, "infty", "infinity", "inf", "oo"})
_PLAIN = (
    rf"\\text\s*\{{[^{{}}]*\}}|(?<![\\A-Za-z])(?:(?P<free>{'|'.join(_ALONE)})(?![A-Za-z])"
    rf"|(?P<called>{'|'.join(_CALLED)})(?=\s*\()|(?P<glued>sqrt|ln|log|sin|cos|tan)(?=\d|x(?![A-Za-z])))"
)


def _plain_name(match: re.Match[str]) -> str:
    name = match[match.lastgroup] if match.lastgroup else None
    return rf"\{_RENAMED.get(name, name)} " if name else match[0]


def _text(match: re.Match[str]) -> str:
    r"""Words under the one name ``\text``; functions, numbers and e, i, d are no words."""
    inside = re.sub(r"\\[ ,;:!~]|~|\\\\|\s+", " ", match[1])
    name = inside.strip()
    if name in ("pi", *_FREE, "exp", "gcd", "lcm", "cot", "csc", "arcsec"):
        return rf"\{name} "
    if name in ("e", "i", "d"):
        return f" {name}"
    if re.fullmatch(r"[-+]?[\d.,/ ]+", name):
        return name  # a number in upright letters
    return rf" \text{{{name}}} " if name else " "


# What stands around the argument of a call.
_CALLS = {
    "sqrt": (r"\sqrt{", "}"), "cbrt": (r"\sqrt[3]{", "}"), "abs": ("|", "|"),
    "floor": (r"\lfloor ", r"\rfloor "), "ceil": (r"\lceil ", r"\rceil "), "exp": ("e^{", "}"),
}  # fmt: skip


def _called(text: str) -> str:
    r"""``\sqrt (x+1)`` as ``\sqrt{x+1}``; abs, floor and ceil as their brackets."""
    for name, (before, after) in _CALLS.items():
        brackets = "({" if name == "exp" else "("
        pattern = re.compile(rf"\\{name}\s*([{brackets}])")
        begin = 0
        while match := pattern.search(text, begin):
            end = closing(text, match.start(1))
            if end < 0:
                break
            inside = text[match.end(1) : end]
            text = text[: match.start()] + before + inside + after + text[end + 1 :]
            begin = match.start() + len(before)
    return text


_GROUP = r"(\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}|\d|[A-Za-z]|\\[A-Za-z]+(?:\{[^{}]*\})?)"


def _fraction(match: re.Match[str]) -> str:
    top, low = (item[1:-1].strip() if item.startswith("{") else item for item in match.groups())
    return rf"\frac{{{top}}}{{{low}}}"


# Money and full stops --------------------------------------------------------------------------------

_DOUBLED = re.compile(r"\\(?=\\[A-Za-z]{2})")
_MONEY = re.compile(r"(?<!\\)\$(?=\s?\d)")


def _single_backslashes(text: str) -> str:
    # Between the rows of a matrix two backslashes are meant.
    return text if "\\begin" in text else _DOUBLED.sub("", text)


def _odd_dollars(text: str) -> str:
    """Dollar signs that do not pair up as the ends of a formula are money: "$5"."""
    # An escaped one is money already, and ends no formula.
    formula_ends = text.count("$") - text.count("\\$")
    return _MONEY.sub(r"\\$", text) if formula_ends % 2 else text


def _full_stop(text: str) -> str:
    text = text.strip()
    while text and text[-1] in ".,;:" and not text.endswith(("...", "\\,", "\\;", "\\:")):
        text = text[:-1].rstrip()
    return text


# The steps -------------------------------------------------------------------------------------------


def _rule(name: str, pattern: str, replacement: Replacement, flags: int = 0) -> Step:
    """A step that replaces a pattern wherever it stands."""
    return Step(name, functools.partial(re.compile(pattern, flags).sub, replacement))


def _nested(name: str, pattern: str, replacement: Replacement) -> Step:
    """A step that replaces a pattern from the inside outwards, as often as it is nested."""
    substitute = re.compile(pattern).sub

    def repeat(text: str) -> str:
        for _ in range(8):  # nested fractions: the guard allows ten levels
            before, text = text, substitute(replacement, text)
            if text == before:
                break
        return text

    return Step(name, repeat)


COMMANDS = table("commands")

STEPS: tuple[Step, ...] = (
    # The sentence around the answer.
    _rule("emphasis", r"\A\s*(\*{1,2}|`)([^*`]+)\1\s*\Z", r"\2"),
    _rule("line breaks at the end", r"(?:\s*\\)+\s*\Z", ""),
    _rule("colours", r"\\(?:text)?color\s*\{[^{}]*\}", ""),
    _rule("announcements", r"\A\s*(?:\\text\s*\{\s*)?(?:the|our|my)?\s*(?:final\s)?answer\s*(?:is"
          r"|:)\s*:?\s*(?:\}\s*)?(?=[^\s}][^}]*\Z)", "", re.IGNORECASE),
    _rule("conditions in words", r"(?s),?\s+(?:\\text\s*\{\s*)?where\s.*", ""),
    # Characters.
    _rule("invisible characters", "[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u00ad\ufe0e\ufe0f]", ""),
    _rule("kinds of blanks", "[\u00a0\u2000-\u200a\u202f\u205f\u3000\t\r\n\f\v]+", " "),
    _rule("full width", "(?![0-9])\\d|[\uff01-\uff5e\U0001d400-\U0001d7ff]", _wide),
    _rule("dashes", rf"[{_DASHES}]|(?<![\w)}}\]⁻⁺⁰¹²³⁴-⁹])⁻(?=\d)", "-"),
    _rule("vulgar fractions", r"(?:(\d+)\s*)?([¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞↉])", _vulgar),
    Step("repeating decimals", _periodic),
    _group("raised", _RAISED, "^"),
    _group("lowered", _LOWERED, "_"),
    _characters("Greek letters"),
    _rule("roots", r"([√∛∜])\s*(\d+(?:\.\d+)?|[A-Za-z]|\\[A-Za-z]+|\([^()]*\)|\{[^{}]*\})?", _root),
    _characters("punctuation"),
    _characters("signs"),
    # The dress of LaTeX. Thousands come before spaces: their gaps may be any space.
    _rule("sizes of brackets", r"\\(?:left|right|[bB]igg?[lrm]?|middle)(?![A-Za-z])\s*(?:\.(?![\d.]))?", ""),
    _rule("styles", r"\\(?:(?:display|text|script)style|(?:no)?limits|tiny|small|[lL]arge|LARGE|[hH]uge"
          r"|(?:boldsymbol|bm|mathbf|mathcal|ensuremath)(?=\s*\{))(?![A-Za-z])\s*", ""),
    Step("doubled backslashes", _single_backslashes),
    Step("thousands", _thousands),
    _rule("no space", r"\\!|\\phantom\s*(?:\{[^{}]*\}|-)", ""),
    _rule("spaces of LaTeX", r"(?<!\\)\\[,;:> ]"
          r"|\\(?:q?quad|thinspace|enspace|space|hspace\*?\s*\{[^{}]*\})(?![A-Za-z])|~", " "),
    # Dollars as money are found before those that end a formula go.
    Step("a single dollar sign", _odd_dollars),
    _rule("dollars", r"\\\$|\\textdollar(?![A-Za-z])|\bUS\s?\$", r"\\text{USD} "),
    _rule("formula signs", r"\$|\\[()\[\]]", ""),
    _rule("per cent", r"\\%|%|\\text\s*\{\s*(?:per\s?cent|\\?%)\s*\}"
          r"|\b(?:per\s?cent|pct|percentage)\b", r"\\% "),
    _rule("degrees", r"\s*\^?\s*\{\s*\\circ\s*\}|\s*\^\s*\\circ(?![A-Za-z])"
          r"|\\(?:degrees?|textdegree)(?![A-Za-z])", r"^{\\circ}"),
    # Words, commands and functions.
    _nested("words", r"\s*" + _TEXT + r"\s*\{((?:[^{}]|\{[^{}]*\})*)\}\s*", _text),
    _rule("modulus in words", r"\(\s*(?:\\text\s*\{\s*mod\s*\}|\\?mod(?![A-Za-z]))"
          r"\s*(\d+|[A-Za-z]|\{[^{}]*\})\s*\)", r"\\pmod{\1}"),
    _rule("primes", r"\^\s*\{?\s*((?:\\prime\s*)+)\}?", lambda match: "'" * match[1].count("prime")),
    _rule("names of commands", rf"\\({'|'.join(COMMANDS)})(?![A-Za-z])",
          lambda match: COMMANDS[match[1]] + " "),
    _rule("negated signs", r"\\not\s*(=|\\in(?![A-Za-z]))",
          lambda match: r"\ne " if match[1] == "=" else r"\notin "),
    _rule("upright letters", r"\\(?:rm|bf|it)(?![A-Za-z])\s*", ""),
    _rule("module prefixes", r"\b(?:np|numpy|math|sympy|sp|mpmath|torch)\.(?=[A-Za-z])", ""),
    _rule("logarithms to a base", r"(?<![\\A-Za-z])log_?(2|10)\s*(?=\()", r"\\log_{\1}"),
    _rule("plain functions and constants", _PLAIN, _plain_name),
    Step("calls", _called),
    # Powers, numbers and fractions as they are typed.
    _rule("powers", r"\*\*", "^"),
    _rule("powers in parentheses", r"\^\s*\(\s*([-+]?[\w./]+)\s*\)", r"^{\1}"),
    _rule("signed powers", r"\^\s*([-+]?\d+)", r"^{\1}"),
    # No letter x stands between a number and a power of ten.
    _rule("a typed times sign", r"(?<=\d)\s*[xX]\s*(?=10\s*\^)", r"\\times "),
    _rule("scientific notation", r"(?<![\w\\.])((?:\d+\.?\d*|\.\d+))\s?[eE]([-+]?\d{1,4})(?![\w.]*\w)",
          r"\1\\times 10^{\2}"),
    _rule("decimal fractions", r"(?<=\d)\.(?=\s*(?:[-+/*)}^]|\\times|\\cdot|$))", ""),
    _nested("short fractions", rf"\\[dtc]?frac(?![A-Za-z])\s*{_GROUP}\s*{_GROUP}", _fraction),
    _rule("short roots", r"\\sqrt\s*(\[[^\]]*\])?\s*(\d|[A-Za-z]|\\[A-Za-z]+)", r"\\sqrt\1{\2}"),
    _rule("blanks", r"\s+", " "),
    Step("full stop", _full_stop),
)  # fmt: skip

# Steps on single characters: what a text outside formulas may be given, and all of the notation.
LETTERS = ("invisible characters", "full width", "dashes", "punctuation")
NOTATION = (*LETTERS, "vulgar fractions", "raised", "lowered", "Greek letters", "roots", "signs")
