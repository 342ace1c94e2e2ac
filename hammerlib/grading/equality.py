"""Mathematical equality of a gold and an answer on math-verify, guarded against runaway expressions."""

from __future__ import annotations

import functools
import logging
import math
import re
import threading
import warnings
from typing import Any

from hammerlib.grading.expressions import Unreadable
from hammerlib.grading.reading import read, same

# Longest gold of the ten public test files: 236 characters. Longer answers are never right.
MAX_CHARACTERS = 1_000
# Time grows exponentially with depth: 12 nested fractions take 1.4 s to compare, 20 more than 10 s.
MAX_DEPTH = 10
# An exponent of 100,000 compares in 0.2 s.
MAX_EXPONENT_DIGITS = 5
SECONDS = 5
# Values closer to zero than this are compared relatively: math-verify rounds to six decimals, and would
# call 3e-12 and 4e-12 equal.
SMALL = 1e-3
SMALL_TOLERANCE = 1e-2

_INTEGER = re.compile(r"[-+]?(?:\d{1,3}(?:(?:,|\{,\})\d{3})+|\d{1,300})")
_COMMA, _POINT = re.compile(r"-?\d{1,15},(?:\d{1,2}|\d{4,15})"), re.compile(r"-?\d{0,15}\.\d{1,15}")
_BINOMIAL = re.compile(r"\\[dt]?binom\s*\{?\d{5,}|\\choose.*\d{5,}")
_STARS = re.compile(r"[\d)]\s?\*\*\s?\(?-?(?:\d{6,}|\d+\)?\s?\*\*\s?\(?\d)")
_RUNAWAY = (
    re.compile(r"\^\s*\{?\s*-?\d{6,}"),  # huge exponent
    re.compile(r"\^\s*\{[^{}]*\^\s*\{[^{}]*\^|\d\s*\^\s*\d+\s*\^"),  # tower of three
    re.compile(r"\d{5,}\s*!|![\s!]*!|[\d^{}().*+ -]*\d[\d^{}().*+ -]*[)}]\s*!"),  # huge or stacked factorial
    _BINOMIAL,
    re.compile(r"[A-Za-z][^()]*\)\s*\^\s*\{?\s*(?:[3-9]\d|\d{3,})"),  # expansion of a high power
)
_TOWER = re.compile(r"(\d+)\s*\^\s*\{?\s*(\d+)\s*\^\s*\{?\s*(\d+)")


class TooComplex(ValueError):
    """An expression that would cost more than a grader may spend.

    Examples
    --------
    >>> str(TooComplex("nested too deeply"))
    'nested too deeply'
    """


def equal(gold: str, answer: str) -> bool:
    r"""Compare two tidied answers; the order matters, as it does for math-verify (gold first).

    Parameters
    ----------
    gold, answer : str
        Results of :func:`hammerlib.grading.extract.tidy`.

    Returns
    -------
    bool
        Integers and identical texts are decided at once, all else by math-verify (six decimals), with a
        relative comparison (1 %) of values below 0.001.

    Raises
    ------
    TooComplex
        The answer is too long, too deeply nested or has runaway powers or factorials.
    TimeoutError
        math-verify took more than five seconds (on the main thread; elsewhere nothing can interrupt it).

    Examples
    --------
    >>> equal("0.5", r"\frac{1}{2}"), equal("(1,2)", "(2,1)")
    (True, False)
    """
    if re.sub(r"\s", "", gold) == re.sub(r"\s", "", answer):
        return True
    if _INTEGER.fullmatch(gold) and _INTEGER.fullmatch(answer):
        return _integer(gold) == _integer(answer)
    if _decimal_comma(gold, answer):
        return float(gold.replace(",", ".")) == float(answer.replace(",", "."))
    guard(answer)
    return _verify(parse_gold(gold), _parse(rf"\boxed{{{answer}}}"))


def decided(gold: str, answer: str) -> bool:
    """Tell whether :func:`equal` needs no algebra for these two: same text, or two integers.

    Examples
    --------
    >>> decided("7", "8"), decided("7", "7.0")
    (True, False)
    """
    same = re.sub(r"\s", "", gold) == re.sub(r"\s", "", answer)
    return same or bool(_INTEGER.fullmatch(gold) and _INTEGER.fullmatch(answer))


def exact_verdict(gold: str, answer: str, *, percent: bool = True) -> bool | None:
    r"""Compare two bare answers exactly, where both can be read.

    Parameters
    ----------
    gold, answer : str
        As a model or a data set writes them, LaTeX or plain text, without a box.
    percent : bool
        Whether 50 may stand for 50\\%. Without it a sign of per cent divides by a hundred and nothing else:
        for golds that are known to be no percentage.

    Returns
    -------
    bool or None
        Whether they are the same answer: numbers, expressions, quantities (a unit may be left out), words,
        lists, points, intervals, sets, equations, digits to a base. None where one of them cannot be read.

    Examples
    --------
    >>> exact_verdict("3/2", "1 1/2"), exact_verdict("41", "-41"), exact_verdict("41", r"\neg 41")
    (True, False, None)
    """
    try:
        guard(gold)
        guard(answer)
        return same(read(gold, percent=percent), read(answer, percent=percent))
    except (TooComplex, Unreadable, RecursionError, OverflowError, MemoryError):
        return None


def equal_anywhere(gold: str, text: str) -> tuple[bool, str | None]:
    """Compare a gold with the last expression that math-verify finds in free text.

    Returns
    -------
    (bool, str or None)
        Whether they are equal, and the expression as found (None: there is none).

    Raises
    ------
    TooComplex, TimeoutError
        As for :func:`equal`.

    Examples
    --------
    >>> equal_anywhere("42", "So 17 + 25 = 42.")
    (True, '42')
    """
    if _BINOMIAL.search(text) or _STARS.search(text):
        raise TooComplex("a huge binomial or power")  # evaluated while they are parsed
    _guard_depth(text)
    found = _parse(text)
    if not found:
        return False, None
    shown = str(found[-1])
    guard(shown)
    if decided(gold, shown) or _decimal_comma(gold, shown):
        return equal(gold, shown), shown
    return _verify(parse_gold(gold), found), shown


def readable(gold: str) -> bool:
    """Tell whether math-verify turns a tidied gold into an expression.

    Examples
    --------
    >>> readable("1/2"), readable("")
    (True, False)
    """
    try:
        return any(not isinstance(part, str) for part in parse_gold(gold))
    except (TooComplex, TimeoutError):
        return False


@functools.lru_cache(maxsize=4096)
def parse_gold(gold: str) -> tuple[Any, ...]:
    """Parse a tidied gold once; the groups of a training step share it.

    Raises
    ------
    TooComplex, TimeoutError
        As for :func:`equal`.

    Examples
    --------
    >>> parse_gold("1/2")[0]
    1/2
    """
    guard(gold)
    return tuple(_parse(rf"\boxed{{{gold}}}"))


def guard(answer: str) -> None:
    """Refuse an expression that would hang or exhaust a grader.

    Raises
    ------
    TooComplex
        Longer than 1,000 characters, nested deeper than 10, exponents above 100,000 (towers included),
        factorials of five digits, powers of sums from the thirtieth on.

    Examples
    --------
    >>> guard("9^{9^{9}}")
    Traceback (most recent call last):
    hammerlib.grading.equality.TooComplex: a tower of powers
    """
    if len(answer) > MAX_CHARACTERS:
        raise TooComplex(f"longer than {MAX_CHARACTERS} characters")
    _guard_depth(answer)
    for base, power, top in _TOWER.findall(answer):
        if len(base + power + top) > 12 or int(top) * math.log10(max(1, int(power))) > MAX_EXPONENT_DIGITS:
            raise TooComplex("a tower of powers")
    if any(pattern.search(answer) for pattern in _RUNAWAY):
        raise TooComplex("a runaway power or factorial")


def _decimal_comma(gold: str, answer: str) -> bool:
    """Whether one is a number with a decimal comma and the other the same kind with a point."""
    pair = (gold, answer)
    return any(_COMMA.fullmatch(one) and _POINT.fullmatch(two) for one, two in (pair, pair[::-1]))


def _guard_depth(text: str) -> None:
    depth = 0
    for letter in text:
        depth = 0 if letter == "\n" else depth + (letter in "({[") - (letter in ")}]")
        if depth > MAX_DEPTH:
            raise TooComplex(f"nested deeper than {MAX_DEPTH}")


def _parse(text: str) -> list[Any]:
    from math_verify import parse
    from math_verify.errors import TimeoutException

    _quiet()
    try:
        return parse(text, parsing_timeout=_seconds(), raise_on_error=True)
    except TimeoutException as error:  # a BaseException there
        raise TimeoutError("math-verify's parser") from error


def _verify(gold: tuple[Any, ...], found: list[Any]) -> bool:
    from math_verify import verify
    from math_verify.errors import TimeoutException

    _quiet()
    try:
        same = verify(list(gold), found, timeout_seconds=_seconds(), raise_on_error=True)
    except TimeoutException as error:
        raise TimeoutError("math-verify's comparison") from error
    except (ValueError, ArithmeticError):  # one of the pairs is 1/0, or 12:00 read as 12/0: try the others
        same = verify(list(gold), found, timeout_seconds=_seconds())
    return same and not _small_and_apart(gold[0], found[0])


def _small_and_apart(gold: Any, found: Any) -> bool:
    try:
        one, other = float(gold), float(found)
    except (TypeError, ValueError, AttributeError, OverflowError):
        return False
    return 0 < abs(one) < SMALL and abs(one - other) > SMALL_TOLERANCE * abs(one)


def _seconds() -> int | None:
    # math-verify's time-outs are signals, which only the main thread may set.
    return SECONDS if threading.current_thread() is threading.main_thread() else None


@functools.cache
def _quiet() -> None:
    # It warns once per process that time-outs are off, and at every time-out, which verdicts already tell.
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    # Its parser builds products that SymPy calls deprecated, and says so on every worker's terminal.
    warnings.filterwarnings("ignore", message=r"\s*Using non-Expr arguments")


def _integer(text: str) -> int:
    return int(re.sub(r"[,{}]", "", text))
