r"""Mathematical equality of a gold and an answer: read exactly where we can, asked of math-verify where not.

From above: what is asked from outside (`equal`, `exact_verdict`, `readable`); our own readings (`_exactly`);
the answer in a text without marks (`equal_anywhere`); guards against runaway expressions; math-verify.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import re
import threading
import warnings
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from hammerlib.grading.answers import SMALL, SMALL_TOLERANCE, Words, operations, same
from hammerlib.grading.expressions import Nonsense, Unreadable, parse
from hammerlib.grading.extract import choice, heads, stated, taken_back, tidy
from hammerlib.grading.normal_form import normal_form
from hammerlib.grading.reading import OPAQUE, read, says_nothing
from hammerlib.grading.values import MAX_FACTORIAL, value

# Longest gold of the ten public test files: 236 characters. Longer answers are never right.
MAX_CHARACTERS = 1_000
# Time grows exponentially with depth: 12 nested fractions take 1.4 s to compare, 20 more than 10 s.
MAX_DEPTH = 10
# An exponent of 100,000 compares in 0.2 s.
MAX_EXPONENT_DIGITS = 5
SECONDS = 5

_SHORT = 80  # characters of an answer that stands alone
_INTEGER = re.compile(r"[-+]?(?:\d{1,3}(?:(?:,|\{,\})\d{3})+|\d{1,300})")
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
# Not in `1 2`, `0. 5` and `1, 234`.
_IDLE_BLANKS = re.compile(
    r"(?<![A-Za-z0-9.])(?!(?<=\d,)\s+\d{3}(?!\d))\s+|\s+(?![A-Za-z0-9.\s]|,\s*\d{3}(?!\d))"
)


class TooComplex(ValueError):
    """An expression that would cost more than a grader may spend."""


def equal(gold: str, answer: str) -> bool:
    """Compare two bare answers; the order matters, as it does for math-verify (gold first)."""
    if decided(gold, answer):
        return _same_text(gold, answer) or _integer(gold) == _integer(answer)
    guard(answer)
    guard(gold)
    exact = _exactly(gold, answer)
    if exact is not None:
        return exact
    if not _may_ask(gold, answer):
        return False
    return _verify(parse_gold(tidy(gold)), _parse(rf"\boxed{{{tidy(answer)}}}"))


def decided(gold: str, answer: str) -> bool:
    """Tell whether :func:`equal` needs no algebra for these two: same text, or two integers."""
    return _same_text(gold, answer) or bool(_INTEGER.fullmatch(gold) and _INTEGER.fullmatch(answer))


def exact_verdict(gold: str, answer: str, *, percent: bool = True) -> bool | None:
    r"""Compare two bare answers exactly; None if one cannot be read. Without `percent`, 50\% is .5 alone."""
    try:
        guard(gold)
        guard(answer)
    except TooComplex:
        return None
    return _exactly(gold, answer, percent)


def readable(gold: str) -> bool:
    """Tell whether a gold can be read: by us, or else by math-verify."""
    if says_nothing(gold):
        return False
    if _reads(gold):
        return True
    try:
        return any(not isinstance(piece, str) for piece in parse_gold(tidy(gold)))
    except (TooComplex, TimeoutError):
        return False


def _reads(answer: str) -> bool:
    try:
        guard(answer)
        return bool(read(answer))
    except (TooComplex, Unreadable, RecursionError):
        return False


def _same_text(gold: str, answer: str) -> bool:
    """Same text but for blanks that separate nothing: `1 2` is not `12`."""
    return _IDLE_BLANKS.sub("", gold.strip()) == _IDLE_BLANKS.sub("", answer.strip())


def _integer(text: str) -> int:
    return int(re.sub(r"[,{}]", "", text))


# Signs of a question that is still to be answered.
_UNDONE = re.compile(
    r"\\(?:i*int|oint|sum|prod|lim|limsup|liminf|det|begin\{[vV]matrix\}|binom|gcd|lcm|max|min|sup|inf"
    r"|pmod|bmod|mod)"
    r"(?![A-Za-z])|\\frac\{(?:d|\\partial)(?:\^\{?\d\}?)?\}|!"
)


def undone(text: str) -> set[str]:
    r"""Return what an answer leaves to be done: sums, products, ``\int``, ..."""
    form = normal_form(text)
    signs = set(_UNDONE.findall(form))
    if form.count("\\begin") > 1:
        signs.add("matrices")
    try:
        signs |= operations(read(text))
    except (Unreadable, RecursionError):
        if re.search(r"\d\s*(?:\*|\\times|\\cdot)\s*\d", form):
            signs.add("product")
    return signs


# Our own readings ------------------------------------------------------------------------------------


def _exactly(gold: str, answer: str, percent: bool = True) -> bool | None:
    """Verdict of our own readings; None where one of them fails."""
    if _decimal_comma(gold, answer):
        return float(gold.replace(",", ".")) == float(answer.replace(",", "."))
    if _FOREIGN.fullmatch(gold.strip()) or _FOREIGN.fullmatch(answer.strip()):
        grouped = _grouped(gold), _grouped(answer)
        if None not in grouped:
            return grouped[0] == grouped[1]
    if (chosen := _chosen(gold, answer)) is not None:
        return chosen
    try:
        wanted = read(gold, percent=percent)
        try:
            given = read(answer, percent=percent)
        except Nonsense:
            return False
        return same(wanted, given)
    except (Unreadable, RecursionError, OverflowError, MemoryError):
        left, right = (re.sub(r"\s+", " ", _TEXT.sub(r" \1 ", normal_form(text))) for text in (gold, answer))
        return True if left and _same_text(left, right) else None


_COMMA = re.compile(r"-?(?:\d{1,15},(?:\d{1,2}|\d{4,15})|0,\d{1,15})")
_POINT = re.compile(r"-?\d{0,15}\.\d{1,15}")


def _decimal_comma(gold: str, answer: str) -> bool:
    """Whether one is a number with a decimal comma and the other the same kind with a point."""
    if _COMMA.fullmatch(answer) and _POINT.fullmatch(gold):
        return True
    # A gold 1,2 is a list; 1,22 may be one, but then nobody answers 1.22.
    no_list = re.fullmatch(r"-?(?:0,\d+|\d+,\d{2,})", gold)
    return bool(no_list and _COMMA.fullmatch(gold) and _POINT.fullmatch(answer))


# 12,34,567 and 1.234,56 and 1.234.567: numbers where the other side is one, else perhaps lists.
_FOREIGN = re.compile(
    r"-?(?:\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?|\d{1,3}(?:\.\d{3})+,\d+"
    r"|\d{1,3}(?:\.\d{3}){2,}|\d{1,3}(?: \d{3})+,\d+)"
)
_OWN = re.compile(r"-?(?:\d{1,3}(?:(?:,|\{,\}|\\,)\d{3})+|\d{1,40})(?:\.\d{1,20})?")


def _grouped(text: str) -> Fraction | None:
    """Number with its digits in groups, as here or as elsewhere."""
    text = text.strip().strip("$")
    if _OWN.fullmatch(text):
        return Fraction(re.sub(r"[^\d.-]", "", text))
    if not _FOREIGN.fullmatch(text):
        return None
    if re.search(r"[.\s]\d{3}.*,\d+$", text):
        return Fraction(re.sub(r"[.\s]", "", text).replace(",", "."))
    return Fraction(text.replace(",", "") if "," in text else text.replace(".", ""))


_LABEL = re.compile(
    r"\s*(?:\\text\{\s*)?(?:\((?P<in>[A-J])\)|(?P<out>[A-J])\s?(?:\)"
    r"|[.:](?=\s)))\s*(?P<open>\})?\s*(?P<rest>\S.*)",
    re.DOTALL,
)
_OPTION = re.compile(
    r"\s*(?:\\text\{)?(?:option|choice|answer|letter)\s*(?:\\text\{)?\s*\(?([A-J])\)?\s*\}?\s*\.?",
    re.IGNORECASE,
)
_LETTER = re.compile(r"\s*(?:\\text\{)?\s*\(?([A-J])\)?[.)]?\s*\}?\s*")


def _chosen(gold: str, answer: str) -> bool | None:
    """Whether the same letter is chosen, where an answer bears one: `(A) 5`, `A. 5`, `Option A`."""
    if not re.search(r"[A-J]", gold):
        return None
    wanted, given = normal_form(gold), normal_form(answer)
    letter, labelled = _LETTER.fullmatch(wanted), _LABEL.fullmatch(given)
    if letter and (option := _OPTION.fullmatch(given)):
        return option[1] == letter[1]
    if letter and labelled:
        several = re.match(r"[(,;/+]|or\b|and\b", labelled["rest"])  # (A) or (B)
        return (labelled["in"] or labelled["out"]) == letter[1] and not several
    full = _LABEL.fullmatch(wanted)
    if full is None or not full["in"] or not ("\\text" in wanted and full["open"]):
        return None
    # The gold is a letter with its answer, \text{(A)} 5: either of them may be given.
    if labelled and labelled["in"]:
        return labelled["in"] == full["in"] and _exactly(full["rest"], labelled["rest"]) is True
    if own := _LETTER.fullmatch(given):
        return own[1] == full["in"]
    return _exactly(full["rest"], answer)


# Texts without a mark --------------------------------------------------------------------------------


def equal_anywhere(gold: str, text: str) -> tuple[bool, str | None]:
    """Compare a gold with what a text states, or else with its last expression, which is given back too."""
    statement = stated(text)
    for head in heads(statement) if statement is not None else ():
        if _reads(head) or _chosen(gold, head) is not None:
            return equal(gold, head), head
    whole = text.strip()
    if len(whole) <= _SHORT and "\n" not in whole and _reads(whole):
        # nothing but the answer
        if equal(gold, whole):
            return True, whole
        if not isinstance(read(whole), Words) and not re.search(r"(?<![\\A-Za-z{])[A-Za-z]{2,}", whole):
            return False, whole
    if (letter := choice(text)) is not None and re.fullmatch(r"\(?[A-J]\)?", gold.strip(" .$")):
        return equal(gold, letter), letter
    return _last_expression(gold, text)


def _last_expression(gold: str, text: str) -> tuple[bool, str | None]:
    """Compare a gold with the last expression that math-verify finds, or the run of mathematics around it."""
    if _BINOMIAL.search(text) or _STARS.search(text):
        raise TooComplex("a huge binomial or power")  # evaluated while they are parsed
    _guard_depth(text)
    expressions = _parse(text)
    if not expressions:
        return False, None
    expression = str(expressions[-1])
    guard(expression)
    start = text.rfind(expression)
    if start >= 0:
        run, start, end = _around(text, start, start + len(expression))
        if taken_back(text, start, end):
            return _without(gold, text, start, end, expression)
        if run != expression and _reads(run):
            same_run = equal(gold, run)
            return same_run, expression if same_run and "=" in run else run
    exact = _exactly(gold, expression)
    if exact is not None:
        return exact, expression
    return _may_ask(gold, expression) and _verify(parse_gold(tidy(gold)), expressions), expression


def _without(gold: str, text: str, start: int, end: int, expression: str) -> tuple[bool, str | None]:
    """Look in what stands before or behind a value that is taken back: "42, not 41"; "not 41 but 42"."""
    if turned := re.search(r",\s*(?:and\s+)?not\b[^,.]*\Z", text[:start]):
        return equal_anywhere(gold, text[: turned.start()])
    if re.match(r"[^\d.;]{0,20}?(?:[.;]\s|\bbut\b).*\d", text[end:], re.DOTALL):
        return equal_anywhere(gold, text[end:])
    return False, expression


# What may stand side by side in a run of mathematics: numbers, signs, functions, commands, single letters
# next to an operator, and brackets without words.
_PIECE = (
    r"(?:\d[\d,]*(?:\.\d+)?(?:[:,]\d+)*|\.\d+|[-+*/^=<>≤≥≠!%'_°²³√π∞×÷·±−–′″\\]"
    r"|(?:arc)?(?:sin|cos|tan)(?![A-Za-z])|(?:ln|log|sqrt|pi|exp)(?![A-Za-z])"
    r"|\\[A-Za-z]+|(?<![A-Za-z'’])[A-Za-z](?=\s?=|[\d^_(*/+-])|(?<=[\d)^*/+-])[A-Za-z](?![A-Za-z])"
    r"|[(\[{](?:[^()\[\]{}A-Za-z$]|(?<![A-Za-z])[A-Za-z](?![A-Za-z])){1,80}[)\]}])"
)
_BULLET = re.compile(r"[ \t]*(?:[-*+>•][ \t]+)*")
_RUN = re.compile(rf"{_PIECE}(?:[ ]?{_PIECE})*")


def _around(text: str, start: int, end: int) -> tuple[str, int, int]:
    """The longest run of mathematics in a line around a value: `2π` for 2, `(3, 5)` for 5."""
    line = text.rfind("\n", 0, start) + 1
    line += len(_BULLET.match(text, line)[0])  # type: ignore[index]
    last = text.find("\n", end)
    for match in _RUN.finditer(text[line : last if last >= 0 else len(text)]):
        first = line + match.start()
        if not first <= start <= end <= line + match.end():
            continue
        before = text[:first]
        run = match[0]
        if before.rstrip()[-1:].isalpha():  # a dash, no sign: Total - 5 apples
            run = re.sub(r"^[-+*]\s+", "", run)
        if re.search(r"[)\]}] \d|\d [(\[{]", run):
            break  # (2) 5
        if re.search(r"(?<![\w)])-\s?\$$", before):
            run = "-" + run  # -$5
        return run, first, line + match.end()
    return text[start:end], start, end


# Guards ----------------------------------------------------------------------------------------------

_BINOMIAL = re.compile(r"\\[dt]?binom\s*\{?\d{5,}|\\[dt]?binom\s*\{[^{}]*\d\s*\^|\\choose.*\d{5,}")
_STARS = re.compile(r"[\d)]\s?\*\*\s?\(?-?(?:\d{6,}|\d+\)?\s?\*\*\s?\(?\d)")
_RUNAWAY = (
    re.compile(r"\^\s*\{?\s*-?\d{6,}"),  # huge exponent
    re.compile(r"\^\s*\{[^{}]*\^\s*\{[^{}]*\^|\d\s*\^\s*\d+\s*\^"),  # tower of three
    re.compile(r"\d{5,}\s*!|![\s!]*!"),  # huge or stacked factorial
    _BINOMIAL,
    re.compile(r"[A-Za-z][^()]*\)\s*\^\s*\{?\s*(?:[3-9]\d|\d{3,})"),  # expansion of a high power
)
_TOWER = re.compile(r"(\d+)\s*\^\s*\{?\s*(\d+)\s*\^\s*\{?\s*(\d+)")
_CLOSED_FACTORIAL = re.compile(r"[)}]\s{0,9}!")


def guard(answer: str) -> None:
    """Refuse an expression that would hang or exhaust a grader."""
    if len(answer) > MAX_CHARACTERS:
        raise TooComplex(f"longer than {MAX_CHARACTERS} characters")
    _guard_depth(answer)
    for base, power, top in _TOWER.findall(answer):
        if len(base + power + top) > 12 or int(top) * math.log10(max(1, int(power))) > MAX_EXPONENT_DIGITS:
            raise TooComplex("a tower of powers")
    if any(pattern.search(answer) for pattern in _RUNAWAY):
        raise TooComplex("a runaway power or factorial")
    if any(_is_huge_factorial(answer, closing.start()) for closing in _CLOSED_FACTORIAL.finditer(answer)):
        raise TooComplex("a runaway factorial")


def _is_huge_factorial(answer: str, closing: int) -> bool:
    """Whether the brackets that close there hold a huge number: (10^{9})!, but neither (n+1)! nor (3+2)!"""
    depth, start = 0, closing
    while start >= 0 and (depth := depth + (answer[start] in ")}") - (answer[start] in "({")):
        start -= 1
    inside = answer[start + 1 : closing]
    letter = re.search(r"(?<![\\A-Za-z])[A-Za-z](?![A-Za-z])", inside)
    if start < 0 or letter or not re.search(r"\d", inside):
        return False
    try:
        size = value(parse(normal_form(inside)))
    except (Unreadable, RecursionError):
        return True
    return size is None or size > MAX_FACTORIAL


def _guard_depth(text: str) -> None:
    depth = 0
    for letter in text:
        depth = 0 if letter == "\n" else depth + (letter in "({[") - (letter in ")}]")
        if depth > MAX_DEPTH:
            raise TooComplex(f"nested deeper than {MAX_DEPTH}")


# math-verify -----------------------------------------------------------------------------------------

# What math-verify works out and our own readings do not.
_TO_WORK_OUT = re.compile(r"\\(?:i*int|oint|lim|limsup|liminf|det|begin)(?![A-Za-z])")
# What it reads over, or as something else: 5 squared as 5, \neg 5 as 5, 3 4 as 7.
_READ_OVER = re.compile(
    rf"\\(?:{OPAQUE}|text|triangle|in|notin|le|ge|ne|pm|mp|circ|cup|cap|setminus|overline|vec|hat|tilde|dot|ddot"
    r"|mathbb|not|langle|rangle|[bx]?cancel|sout|phantom)(?![A-Za-z])"
    r"|\\%|[<>=:;'!?@#\"_]|\.\.\.|\d\.?\s+\d|[^\x00-\x7f]|(?<![\\A-Za-z{])[A-Za-z]{3,}"
)
# Signs that belong to what is worked out: x \to 0, and the bounds of an integral.
_BOUNDS = re.compile(r"\\(?:lim\s*_\s*\{[^{}]*\}|i*int\s*_)")


def _may_ask(gold: str, answer: str) -> bool:
    """Whether one side is to be worked out, and math-verify reads all of both."""
    forms = [normal_form(gold), normal_form(answer)]
    if not any(map(_TO_WORK_OUT.search, forms)):
        return False
    return not any(_READ_OVER.search(_BOUNDS.sub(r"\\int", form)) for form in forms)


@functools.lru_cache(maxsize=4096)
def parse_gold(gold: str) -> tuple[Any, ...]:
    """Parse a tidied gold once; the groups of a training step share it."""
    guard(gold)
    return tuple(_parse(rf"\boxed{{{gold}}}"))


def _parse(text: str) -> list[Any]:
    from math_verify import parse

    with _library("parser"):
        return parse(text, parsing_timeout=_seconds(), raise_on_error=True)


def _verify(gold: tuple[Any, ...], result: list[Any]) -> bool:
    from math_verify import verify

    with _library("comparison"):
        try:
            same = verify(list(gold), result, timeout_seconds=_seconds(), raise_on_error=True)
        except (
            ValueError,
            ArithmeticError,
        ):  # one of the pairs is 1/0, or 12:00 read as 12/0: try the others
            same = verify(list(gold), result, timeout_seconds=_seconds())
    return same and not _small_and_apart(gold[0], result[0])


def _small_and_apart(gold: Any, result: Any) -> bool:
    # math-verify rounds to six decimals, and would call 3e-12 and 4e-12 equal.
    try:
        left, right = float(gold), float(result)
    except (TypeError, ValueError, AttributeError, OverflowError):
        return False
    if 0.0 in (left, right):  # zero, or too small for a float: nothing says that they are one
        return not (getattr(gold, "is_zero", left == 0) and getattr(result, "is_zero", right == 0))
    return 0 < abs(left) < SMALL and abs(left - right) > SMALL_TOLERANCE * abs(left)


@contextlib.contextmanager
def _library(what: str) -> Iterator[None]:
    """Let math-verify work, in silence; its time-out, a BaseException, becomes an ordinary one."""
    from math_verify.errors import TimeoutException

    _quiet()
    try:
        yield
    except TimeoutException as error:
        raise TimeoutError(f"math-verify's {what}") from error


def _seconds() -> int | None:
    # math-verify's time-outs are signals, which only the main thread may set.
    return SECONDS if threading.current_thread() is threading.main_thread() else None


@functools.cache
def _quiet() -> None:
    # It warns once per process that time-outs are off, and at every time-out, which verdicts already tell.
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    # Its parser builds products that SymPy calls deprecated, and says so on every worker's terminal.
    warnings.filterwarnings("ignore", message=r"\s*Using non-Expr arguments")
