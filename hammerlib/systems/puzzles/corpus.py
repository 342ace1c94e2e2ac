"""From puzzles to a data set: difficulty, near-duplicates, splits."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hammerlib.systems.puzzles.build import Puzzle

HARD = 0.5  # difficulty above this is hard
VALIDATION = 5  # puzzles per source and level
TEST_SHARE = 0.1
SPLITS = ("train", "validation", "test")
_NUMBER = re.compile(r"_*(-?\d+(?:\.\d+)?)_*")


def difficulties(puzzles: Sequence[Puzzle]) -> list[float]:
    """Return the difficulty of each puzzle within its set, 0 to 1, rounded to three decimals.

    As PuzzleClone's released post-processing (its code; arXiv 2508.15180), where a set is one file:
    the mean of four values: text length, number of constraints, number of unknowns (each scaled to 0..1 over
    the set; 0.5 where all are equal) and `vars_scale`. A score is relative to its set.

    Parameters
    ----------
    puzzles : sequence of Puzzle

    Examples
    --------
    >>> one = Puzzle("a", "short", "1", "numeral", {"cond_num": 2, "sym_num": 4}, 0.2, {})
    >>> other = Puzzle("a", "much longer", "1", "numeral", {"cond_num": 4, "sym_num": 4}, 0.8, {})
    >>> difficulties([one, other])
    [0.175, 0.825]
    """
    columns = [
        _scaled([len(one.problem) for one in puzzles]),
        _scaled([one.parameters["cond_num"] for one in puzzles]),
        _scaled([one.parameters["sym_num"] for one in puzzles]),
        [one.vars_scale for one in puzzles],
    ]
    return [round(sum(values) / 4, 3) for values in zip(*columns, strict=True)]


def _scaled(values: list[float]) -> list[float]:
    low, high = min(values, default=0), max(values, default=0)
    return [0.5 if low == high else (value - low) / (high - low) for value in values]


def signature(config: Mapping[str, Any], *, options: bool = False) -> str:
    """Return the numbers of a record, without its words: puzzles that share it differ in names only.

    Draws of a condition count as a set. The released code means to leave options out and does not, because
    it skips another key than it writes.

    Parameters
    ----------
    config : mapping
        ``Puzzle.config``.
    options : bool
        True: options count too (the released behaviour).

    Examples
    --------
    >>> first, other = ({"variables": {"n": 3, "people": names}} for names in (["Ada"], ["Bo"]))
    >>> signature(first) == signature(other)
    True
    """
    kept = {
        section: {
            name: _numbers(choice, pool=section in ("conditions", "symbols")) for name, choice in part.items()
        }
        for section, part in config.items()
        if options or section != "_queries"
    }
    return json.dumps(kept, sort_keys=True)


def _numbers(value: Any, *, pool: bool = False) -> Any:
    if isinstance(value, list):
        found = [_numbers(one) for one in value]
        found = [one for one in found if one is not None]
        return (
            sorted(found, key=json.dumps) if pool and all(isinstance(one, list) for one in found) else found
        )
    if isinstance(value, str):
        number = _NUMBER.fullmatch(value)
        return float(number.group(1)) if number else None
    return float(value)


def part_of(source: str, config: Mapping[str, Any]) -> str:
    """Return the part that a puzzle belongs to by its numbers alone: 10 % test, 5 % validation, else train.

    Unlike `cut`, which needs the whole set, this puts a puzzle (and its copies under other names) into the
    same part whatever is generated around it.

    Parameters
    ----------
    source : str
        Name of the specification.
    config : mapping
        Options, and the solution that post-generation took, do not enter.

    Examples
    --------
    >>> part_of("a", {"variables": {"n": 1}}) in SPLITS
    True
    """
    kept = {name: part for name, part in config.items() if name != "post_generation"}
    digest = hashlib.sha256(f"{source} {signature(kept)}".encode()).hexdigest()
    place = int(digest[:8], 16) / 16**8
    return "test" if place < TEST_SHARE else "validation" if place < 1.5 * TEST_SHARE else "train"


def deduplicate(puzzles: Iterable[Puzzle], *, options: bool = False) -> list[Puzzle]:
    """Keep the first puzzle of each specification and signature, as PuzzleClone's code does; see `signature`.

    Parameters
    ----------
    puzzles : iterable of Puzzle
    options : bool
        As for `signature`.

    Examples
    --------
    >>> two = [Puzzle("a", f"{who}?", "1", "numeral", {}, 0.5, {"variables": {"n": 3, "who": who}})
    ...        for who in ("Ada", "Bruno")]
    >>> [one.problem for one in deduplicate(two)]
    ['Ada?']
    """
    kept: dict[tuple[str, str], Puzzle] = {}
    for one in puzzles:
        kept.setdefault((one.source, signature(one.config, options=options)), one)
    return list(kept.values())


def cut(puzzles: Sequence[Puzzle], levels: Sequence[float]) -> list[str]:
    """Return each puzzle's part: ``train``, ``validation`` or ``test``.

    Within each specification and level (hard above 0.5): the first tenth, rounded up, is test; of the rest
    the last five are validation. That is what the released code does, and not the 80/10/10 of its text.
    Rounding up is inferred: it alone meets the published 8,443 of 83,657. A level of fewer than 12 puzzles
    has no more validation than training puzzles (ours).

    Parameters
    ----------
    puzzles : sequence of Puzzle
    levels : sequence of float
        Their difficulties.

    Examples
    --------
    >>> many = [Puzzle("a", str(i), "1", "numeral", {}, 0.5, {}) for i in range(20)]
    >>> parts = cut(many, [0.2] * 20); [parts.count(name) for name in SPLITS]
    [13, 5, 2]
    """
    groups: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for place, (one, level) in enumerate(zip(puzzles, levels, strict=True)):
        groups[one.source, level > HARD].append(place)
    parts = ["train"] * len(puzzles)
    for places in groups.values():
        test = math.ceil(TEST_SHARE * len(places))
        held = min(VALIDATION, (len(places) - test) // 2)
        for place in places[:test]:
            parts[place] = "test"
        for place in places[len(places) - held :]:
            parts[place] = "validation"
    return parts
