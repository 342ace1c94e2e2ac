"""One normal form of answers: small named steps, in order, each a rule that a reader can check alone."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple


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


# Characters ------------------------------------------------------------------------------------------

_DASHES = "‐‑‒–—―−﹣－➖"
_ROOTS = {"√": "", "∛": "[3]", "∜": "[4]"}
_VULGAR = re.compile(r"(?:(\d+)\s*)?([¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞↉])")
_SUPER = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱᵏᵐˣ", "0123456789+-()nikmx", strict=True))
_SUB = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙₖₘₓₐ", "0123456789+-()nkmxa", strict=True))
# Punctuation of Chinese texts.
_PUNCTUATION = {
    "，": ",", "、": ",", "；": ";", "：": ":", "。": ".", "（": "(", "）": ")",
    "【": "[", "】": "]", "｛": "{", "｝": "}", "％": "%", "＝": "=",
}  # fmt: skip
# What the compatibility forms of Unicode do not give.
_SIGNS = {
    "°": r"^{\circ}", "º": r"^{\circ}", "˚": r"^{\circ}", "℃": r"^{\circ} \text{C}",
    "℉": r"^{\circ} \text{F}", "∞": r"\infty ", "×": r"\times ", "✕": r"\times ", "⨯": r"\times ",
    "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "•": r"\cdot ", "÷": "/", "∕": "/", "⁄": "/",
    "∗": "*", "∪": r"\cup ",
    "∩": r"\cap ", "≤": r"\le ", "≦": r"\le ", "⩽": r"\le ", "≥": r"\ge ", "≧": r"\ge ", "⩾": r"\ge ",
    "≠": r"\ne ", "≈": r"\approx ", "≃": r"\approx ", "≅": r"\cong ", "≡": r"\equiv ", "∼": r"\sim ",
    "→": r"\to ", "⇒": r"\Rightarrow ", "⇔": r"\Leftrightarrow ", "↔": r"\leftrightarrow ",
    "∈": r"\in ", "∉": r"\notin ", "⊂": r"\subset ", "⊆": r"\subseteq ", "∅": r"\emptyset ",
    "Ø": r"\emptyset ", "±": r"\pm ", "∓": r"\mp ", "¬": r"\neg ", "∠": r"\angle ",
    "△": r"\triangle ", "∆": r"\Delta ",
    "⊥": r"\perp ", "∥": r"\parallel ", "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int ", "∂": r"\partial ",
    "′": "'", "’": "'", "″": "''", "…": r"\ldots ", "⋯": r"\ldots ", "⌊": r"\lfloor ", "⌋": r"\rfloor ",
    "⌈": r"\lceil ", "⌉": r"\rceil ", "∣": "|", "∖": r"\setminus ", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}",
    "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}", "€": r"\text{EUR}", "£": r"\text{GBP}",
    "¥": r"\text{CNY}",
    "“": '"', "”": '"', "‰": r"\text{permille}",
}  # fmt: skip
_GREEK = listed(
    """alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau
    upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"""
)
_LETTERS = {
    unicodedata.lookup(
        f"GREEK {'CAPITAL' if n[0].isupper() else 'SMALL'} LETTER {n.upper().replace('LAMBDA', 'LAMDA')}"
    ): n
    for n in _GREEK
}
_LETTERS |= {"ϕ": "phi", "ϵ": "epsilon", "ϑ": "theta", "ς": "sigma", "µ": "mu"}
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u00ad\ufe0e\ufe0f]")
_THIN = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000\t\r\n\f\v]+")


def _wide(text: str) -> str:
    """Full-width and bold letters and digits as plain ones; everything else stays for its own step."""
    if text.isascii():
        return text
    return "".join(
        str(unicodedata.decimal(c))
        if c.isdecimal()
        else unicodedata.normalize("NFKC", c)
        if "\uff01" <= c <= "\uff5e" or "\U0001d400" <= c <= "\U0001d7ff"
        else c
        for c in text
    )


def _characters(table: dict[str, str]) -> Callable[[str], str]:
    pattern = re.compile("|".join(map(re.escape, table)))
    return lambda text: text if text.isascii() else pattern.sub(lambda m: table[m[0]], text)


def _vulgar(match: re.Match[str]) -> str:
    top, _, low = unicodedata.normalize("NFKC", match[2]).partition("⁄")
    # A digit before it makes a mixed number: 2½ is 5/2.
    return (f"{match[1]} " if match[1] else "") + rf"\frac{{{top}}}{{{low}}}"


def _raised(letters: dict[str, str], sign: str) -> Callable[[str], str]:
    pattern = re.compile(f"[{re.escape(''.join(letters))}]+")
    return lambda text: (
        text
        if text.isascii()
        else pattern.sub(lambda m: sign + "{" + "".join(letters[c] for c in m[0]) + "}", text)
    )


_RADICAND = re.compile(r"([√∛∜])\s*(\d+(?:\.\d+)?|[A-Za-z]|\\[A-Za-z]+|\([^()]*\)|\{[^{}]*\})?")


def _root(match: re.Match[str]) -> str:
    inside = match[2] or ""
    if inside[:1] in ("(", "{"):
        inside = inside[1:-1]
    return rf"\sqrt{_ROOTS[match[1]]}{{{inside}}}" if inside else rf"\sqrt{_ROOTS[match[1]]}"


# Dress -----------------------------------------------------------------------------------------------

_TEXT = (
    r"\\(?:text(?:bf|rm|it|sf|tt|sc|normal|up|md)?|mathrm|mbox|hbox|mathsf|mathtt|mathit"
    r"|operatorname\*?|emph)(?![A-Za-z])"
)
# Functions that may stand without parentheses in plain text; "5 min" and "5 sec" are units.
_FREE = listed("""arcsin arccos arctan arccot sinh cosh tanh sin cos tan log ln sqrt asin acos atan""")
_CALLED = listed("""arcsec arccsc coth cot sec csc exp lg cbrt gcd lcm max min det floor ceil abs""")
_RENAMED = {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}
_CONSTANTS = dict.fromkeys(("infty", "infinity", "inf", "oo"), "infty")
_CONSTANTS |= {name: name for name in _GREEK if name != "omicron"}
_PLAIN = re.compile(
    rf"\\text\s*\{{[^{{}}]*\}}|(?<![\\A-Za-z])(?:(?P<free>{'|'.join([*_FREE, *_CONSTANTS])})(?![A-Za-z])"
    rf"|(?P<called>{'|'.join(_CALLED)})(?=\s*\()|(?P<glued>sqrt|ln|log|sin|cos|tan)(?=\d|x(?![A-Za-z])))"
)


def _plain_name(match: re.Match[str]) -> str:
    name = match["free"] or match["called"] or match["glued"]
    if name is None:
        return match[0]
    name = _CONSTANTS.get(name, _RENAMED.get(name, name))
    return rf"\{name} "


def _balanced(text: str, start: int, pair: str = "()") -> int:
    """Place behind the bracket that closes the one at `start`, or -1."""
    depth = 0
    for position in range(start, len(text)):
        depth += (text[position] == pair[0]) - (text[position] == pair[1])
        if depth == 0:
            return position + 1
    return -1


def _called(text: str) -> str:
    r"""``\sqrt (x+1)`` as ``\sqrt{x+1}``; abs, floor and ceil as their brackets."""
    for name, (before, after) in {
        "sqrt": (r"\sqrt{", "}"), "cbrt": (r"\sqrt[3]{", "}"), "abs": ("|", "|"),
        "floor": (r"\lfloor ", r"\rfloor "), "ceil": (r"\lceil ", r"\rceil "), "exp": ("e^{", "}"),
    }.items():  # fmt: skip
        pattern = re.compile(rf"\\{name}\s*([({{])" if name == "exp" else rf"\\{name}\s*(\()")
        begin = 0
        while match := pattern.search(text, begin):
            end = _balanced(text, match.start(1), "()" if match[1] == "(" else "{}")
            if end < 0:
                break
            inside = text[match.end(1) : end - 1]
            text = text[: match.start()] + before + inside + after + text[end:]
            begin = match.start() + len(before)
    return text


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
    if gap == ",":
        zero = ",0" in text  # no part of a list is written 000
        if before.endswith(",") or re.match(r",\S", after):
            return text if not zero else re.sub(r"\D", "", text)  # 1,234,5 is a list
        if not zero and before.rstrip()[-1:] in tuple("([{") and after.lstrip()[:1] in (*")]}", "\\"):
            return text  # (1,234) is a point
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


def _repeated(match: re.Match[str]) -> str:
    head, once, again, rest = match.groups()
    if len(again + rest) < max(3, 2 * len(again)) or (len(again) == 2 and len(rest) < 4):
        return match[0]
    return _as_fraction(head or "0", once, again)


def _repeating(match: re.Match[str]) -> str:
    again = (match[3] or match[4] or match[5] or match[6]).replace("\u0305", "")
    return _as_fraction(match[1] or "0", match[2], again)


def _as_fraction(head: str, once: str, again: str) -> str:
    top = int(head + once + again) - int(head + once)
    return rf"\frac{{{top}}}{{{(10 ** len(again) - 1) * 10 ** len(once)}}}"


_GROUP = r"(\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}|\d|[A-Za-z]|\\[A-Za-z]+(?:\{[^{}]*\})?)"
_FRAC = re.compile(rf"\\[dtc]?frac(?![A-Za-z])\s*{_GROUP}\s*{_GROUP}")
_SHORT_SQRT = re.compile(r"\\sqrt\s*(\[[^\]]*\])?\s*(\d|[A-Za-z]|\\[A-Za-z]+)")


_DOUBLED = re.compile(r"\\(?=\\[A-Za-z]{2})")


_MONEY = re.compile(r"(?<!\\)\$(?=\s?\d)")


def _odd_dollars(text: str) -> bool:
    """Whether the dollar signs do not pair up as the ends of a formula: "$5" is money."""
    return (text.count("$") - text.count("\\$")) % 2 == 1


def _fraction(match: re.Match[str]) -> str:
    top, low = (item[1:-1].strip() if item.startswith("{") else item for item in match.groups())
    return rf"\frac{{{top}}}{{{low}}}"


_SCIENTIFIC = re.compile(r"(?<![\w\\.])((?:\d+\.?\d*|\.\d+))\s?[eE]([-+]?\d{1,4})(?![\w.]*\w)")
_TEXT_GROUP = re.compile(r"\s*" + _TEXT + r"\s*\{((?:[^{}]|\{[^{}]*\})*)\}\s*")


def _text(match: re.Match[str]) -> str:
    inside = re.sub(r"\\[ ,;:!~]|~|\\\\|\s+", " ", match[1])
    name = inside.strip()
    if name in ("pi", *_FREE, "exp", "gcd", "lcm", "cot", "csc", "arcsec"):
        return rf"\{name} "
    if name in ("e", "i", "d"):
        return f" {name}"
    if re.fullmatch(r"[-+]?[\d.,/ ]+", name):
        return name  # a number in upright letters
    return rf" \text{{{name}}} " if name else " "


# Commands of one meaning under one name.
_COMMAND = {
    "leq": r"\le", "leqslant": r"\le", "leqq": r"\le", "geq": r"\ge", "geqslant": r"\ge", "geqq": r"\ge",
    "neq": r"\ne", "gt": ">", "lt": "<", "lvert": "|", "rvert": "|", "vert": "|", "mid": "|", "lbrace": r"\{",
    "rbrace": r"\}", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")", "varnothing": r"\emptyset",
    "dots": r"\ldots", "cdots": r"\ldots", "dotsc": r"\ldots", "dotsb": r"\ldots", "hdots": r"\ldots",
    "rightarrow": r"\to", "longrightarrow": r"\to", "div": "/", "ast": "*", "lnot": r"\neg",
    "infin": r"\infty", "varepsilon": r"\epsilon", "varphi": r"\phi", "vartheta": r"\theta",
    "colon": ":", "lor": r"\text{or}",
    "land": r"\text{and}", "pounds": r"\text{GBP}", "euro": r"\text{EUR}", "overrightarrow": r"\vec",
    "bar": r"\overline", "underline": r"\underline", "centerdot": r"\cdot", "bullet": r"\cdot",
}  # fmt: skip
_COMMANDS = re.compile(rf"\\({'|'.join(map(re.escape, _COMMAND))})(?![A-Za-z])")


def _one_name(match: re.Match[str]) -> str:
    return _COMMAND[match[1]] + " "


def _sub(
    pattern: str, replacement: str | Callable[[re.Match[str]], str], flags: int = 0
) -> Callable[[str], str]:
    compiled = re.compile(pattern, flags)
    return functools.partial(compiled.sub, replacement)


def _until_stable(
    pattern: re.Pattern[str], replacement: Callable[[re.Match[str]], str]
) -> Callable[[str], str]:
    def apply(text: str) -> str:
        for _ in range(8):  # nested fractions: the guard allows ten levels
            changed = pattern.sub(replacement, text)
            if changed == text:
                break
            text = changed
        return text

    return apply


def _full_stop(text: str) -> str:
    text = text.strip()
    while text and text[-1] in ".,;:" and not text.endswith(("...", "\\,", "\\;", "\\:")):
        text = text[:-1].rstrip()
    return text


STEPS: tuple[Step, ...] = (
    Step("emphasis", _sub(r"\A\s*(\*{1,2}|`)([^*`]+)\1\s*\Z", r"\2")),
    Step("line breaks at the end", _sub(r"(?:\s*\\)+\s*\Z", "")),
    Step("colours", _sub(r"\\(?:text)?color\s*\{[^{}]*\}", "")),
    Step("announcements", _sub(
        r"\A\s*(?:\\text\s*\{\s*)?(?:the|our|my)?\s*(?:final\s)?answer\s*(?:is"
        r"|:)\s*:?\s*(?:\}\s*)?(?=[^\s}][^}]*\Z)", "",
        re.IGNORECASE)),
    Step("conditions in words", _sub(r"(?s),?\s+(?:\\text\s*\{\s*)?where\s.*", "")),
    Step("invisible characters", _sub(_INVISIBLE.pattern, "")),
    Step("kinds of blanks", _sub(_THIN.pattern, " ")),
    Step("full width", _wide),
    Step("dashes", _sub(rf"[{_DASHES}]|(?<![\w)}}\]⁻⁺⁰¹²³⁴-⁹])⁻(?=\d)", "-")),
    Step("vulgar fractions", _sub(_VULGAR.pattern, _vulgar)),
    Step("repeating decimals", lambda text: _REPEATED.sub(_repeated, _REPEATING.sub(_repeating, text))),
    Step("raised", _raised(_SUPER, "^")),
    Step("lowered", _raised(_SUB, "_")),
    Step("Greek letters", _characters({letter: rf"\{name} " for letter, name in _LETTERS.items()})),
    Step("roots", _sub(_RADICAND.pattern, _root)),
    Step("punctuation", _characters(_PUNCTUATION)),
    Step("signs", _characters(_SIGNS)),
    Step("sizes of brackets", _sub(
        r"\\(?:left|right|[bB]igg?[lrm]?|middle)(?![A-Za-z])\s*(?:\.(?![\d.]))?", "")),
    Step("styles", _sub(
        r"\\(?:(?:display|text|script)style|(?:no)?limits"
        r"|(?:boldsymbol|bm|mathbf|mathcal|ensuremath)(?=\s*\{))(?![A-Za-z])\s*", "")),
    Step("doubled backslashes", lambda text: text if "\\begin" in text else _DOUBLED.sub("", text)),
    Step("thousands", _thousands),
    Step("no space", _sub(r"\\!|\\phantom\s*(?:\{[^{}]*\}|-)", "")),
    Step("spaces of LaTeX", _sub(
        r"(?<!\\)\\[,;:> ]|\\(?:q?quad|thinspace|enspace|space|hspace\*?\s*\{[^{}]*\})(?![A-Za-z])|~", " ")),
    Step("a single dollar sign", lambda text: _MONEY.sub(r"\\$", text) if _odd_dollars(text) else text),
    Step("dollars", _sub(r"\\\$|\\textdollar(?![A-Za-z])|\bUS\s?\$", r"\\text{USD} ")),
    Step("formula signs", _sub(r"\$|\\[()\[\]]", "")),
    Step("per cent", _sub(
        r"\\%|%|\\text\s*\{\s*(?:per\s?cent|\\?%)\s*\}|\b(?:per\s?cent|pct|percentage)\b", r"\\% ")),
    Step("degrees", _sub(
        r"\s*\^?\s*\{\s*\\circ\s*\}|\s*\^\s*\\circ(?![A-Za-z])"
        r"|\\(?:degrees?|textdegree)(?![A-Za-z])",
        r"^{\\circ}")),
    Step("words", _until_stable(_TEXT_GROUP, _text)),
    Step("modulus in words", _sub(
        r"\(\s*(?:\\text\s*\{\s*mod\s*\}|\\?mod(?![A-Za-z]))"
        r"\s*(\d+|[A-Za-z]|\{[^{}]*\})\s*\)", r"\\pmod{\1}")),
    Step("primes", _sub(r"\^\s*\{?\s*((?:\\prime\s*)+)\}?", lambda match: "'" * match[1].count("prime"))),
    Step("names of commands", lambda text: _COMMANDS.sub(_one_name, text)),
    Step("negated signs", _sub(
        r"\\not\s*(=|\\in(?![A-Za-z]))", lambda match: r"\ne " if match[1] == "=" else r"\notin ")),
    Step("upright letters", _sub(r"\\(?:rm|bf|it)(?![A-Za-z])\s*", "")),
    Step("module prefixes", _sub(r"\b(?:np|numpy|math|sympy|sp|mpmath|torch)\.(?=[A-Za-z])", "")),
    Step("logarithms to a base", _sub(r"(?<![\\A-Za-z])log_?(2|10)\s*(?=\()", r"\\log_{\1}")),
    Step("plain functions and constants", lambda text: _PLAIN.sub(_plain_name, text)),
    Step("calls", _called),
    Step("powers", _sub(r"\*\*", "^")),
    Step("powers in parentheses", _sub(r"\^\s*\(\s*([-+]?[\w./]+)\s*\)", r"^{\1}")),
    Step("signed powers", _sub(r"\^\s*([-+]?\d+)", r"^{\1}")),
    # No letter x stands between a number and a power of ten.
    Step("a typed times sign", _sub(r"(?<=\d)\s*[xX]\s*(?=10\s*\^)", r"\\times ")),
    Step("scientific notation", lambda text: _SCIENTIFIC.sub(r"\1\\times 10^{\2}", text)),
    Step("decimal fractions", _sub(r"(?<=\d)\.(?=\s*(?:[-+/*)}^]|\\times|\\cdot|$))", "")),
    Step("short fractions", _until_stable(_FRAC, _fraction)),
    Step("short roots", lambda text: _SHORT_SQRT.sub(r"\\sqrt\1{\2}", text)),
    Step("blanks", _sub(r"\s+", " ")),
    Step("full stop", _full_stop),
)  # fmt: skip

# Steps on single characters: what a text outside formulas may be given, and all of the notation.
LETTERS = ("invisible characters", "full width", "dashes", "punctuation")
NOTATION = (*LETTERS, "vulgar fractions", "raised", "lowered", "Greek letters", "roots", "signs")
