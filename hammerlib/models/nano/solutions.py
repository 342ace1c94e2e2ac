"""Correct worked solutions of the nano families, in three valid ways of writing (ours).

Every family asks for a signed sum of two or three numbers that is not negative. ``columns`` adds the units,
then the tens with what is carried or borrowed; ``tens`` adds tens and units apart and joins them; ``check``
adds them apart too, and takes the result back to the first number. All three end with the boxed answer, and
work two numbers at a time: so all families come down to the same few hundred sums, and what reinforcement
learning mends in one serves the others.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

BOX = "\\boxed{"
STRATEGIES = {"columns": 0.70, "tens": 0.25, "check": 0.05}


def terms_of(row: Mapping[str, Any]) -> list[int]:
    """Return the signed numbers whose sum answers a problem of the nano families."""
    facts = json.loads(row["metadata"])
    if "terms" in facts:
        terms = list(facts["terms"])
    elif "expression" in facts:
        terms = _signed(facts["expression"])
    else:
        left, right = facts["equation"].split("=")
        known = sum(_signed(left))
        # "b - x = a" has the unknown with a minus: x = b - a; else x = a - b.
        terms = [known, -int(right)] if re.search(r"- *[a-z]", left) else [int(right), -known]
    return sorted(terms, key=lambda term: term < 0) if terms[0] < 0 else terms


def _signed(expression: str) -> list[int]:
    return [int(number.replace(" ", "")) for number in re.findall(r"(?:- *)?\d+", expression)]


def _sum(terms: Sequence[int]) -> str:
    return "".join(f"{term:+d}" for term in terms).removeprefix("+")


def _run(signs: Sequence[int], digits: Sequence[int]) -> tuple[str, int]:
    """Return the running total, two numbers at a time, such as "7+8=15,-6=9", and its end."""
    total, text = signs[0] * digits[0], str(signs[0] * digits[0])
    for number, (sign, digit) in enumerate(zip(signs[1:], digits[1:], strict=True)):
        total += sign * digit
        # Signs apart from digits: a zero keeps its minus.
        text += f"{',' if number else ''}{'+' if sign > 0 else '-'}{digit}={total}"
    return text, total


def _parts(terms: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    signs = [1 if term >= 0 else -1 for term in terms]
    return signs, [abs(term) // 10 for term in terms], [abs(term) % 10 for term in terms]


def _columns(terms: list[int]) -> str:
    signs, tens, units = _parts(terms)
    low, few = _run(signs, units)
    carry = few // 10
    if carry < 0:  # the units alone are negative: tens are lent to them
        low += f",+{-10 * carry}={few - 10 * carry}"
    if carry:
        signs, tens = [*signs, 1 if carry > 0 else -1], [*tens, abs(carry)]
    return f"{low};{_run(signs, tens)[0]}"


def _tens(terms: list[int]) -> str:
    signs, tens, units = _parts(terms)
    (high, many), (low, few) = _run(signs, tens), _run(signs, units)
    return f"{high};{low};{10 * many}{few:+d}"


def _check(terms: list[int]) -> str:
    signs, tens, units = _parts(terms)
    inverse = _sum([sum(terms), *(-term for term in terms[1:])])
    return f"{_run(signs, tens)[0]};{_run(signs, units)[0]};{inverse}={terms[0]}"


_WRITERS = {"columns": _columns, "tens": _tens, "check": _check}


def solve(row: Mapping[str, Any], strategy: str | None, rng: random.Random) -> str:
    """Return a correct worked solution of a problem of the nano families."""
    if strategy is None:
        strategy = rng.choices(list(STRATEGIES), weights=list(STRATEGIES.values()))[0]
    terms = terms_of(row)
    if str(sum(terms)) != row["answer"]:
        raise ValueError(f"terms {terms} do not add up to the answer {row['answer']}")
    return f" {strategy}:{_WRITERS[strategy](terms)};{BOX}{row['answer']}}}"


def strategy_of(completion: str) -> str | None:
    """Return the strategy that a completion names in its first word, or None."""
    name = completion.split(":", 1)[0].strip()
    return name if name in STRATEGIES else None


def boxed(completion: str) -> str | None:
    """Return what stands in the last closed box of a completion, or None."""
    boxes = re.findall(r"\\boxed\{([^{}]*)\}", completion)
    return boxes[-1] if boxes else None
