"""Many puzzles of a specification, and what makes a data set of them: difficulty, duplicates, splits."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hammerlib.errors import InputError
from hammerlib.runs.storage import atomic_path
from hammerlib.systems.puzzles.build import UNWANTED, Puzzle, build
from hammerlib.systems.puzzles.choices import Choices, Rejected
from hammerlib.systems.puzzles.spec import Spec
from hammerlib.systems.smt import released_solutions, solutions

# Draws in a row that give nothing new before a specification counts as exhausted.
PATIENCE = 300


@dataclasses.dataclass(frozen=True)
class Harvest:
    """Generated puzzles and what was thrown away.

    Attributes
    ----------
    puzzles : list of Puzzle
    rejected : Counter
        Reason to number of draws.

    Examples
    --------
    >>> Harvest([], Counter()).rejected
    Counter()
    """

    puzzles: list[Puzzle]
    rejected: Counter[str]


def generate(
    spec: Spec, n: int, *, seed: int = 0, accept: Callable[[Mapping[str, Any]], bool] | None = None
) -> Harvest:
    """Draw puzzles until there are `n` of different text.

    Parameters
    ----------
    spec : Spec
    n : int
        At least 1.
    seed : int
        Each attempt has its own generator, made from this, the specification's name and its number: the same
        seed, the same puzzles, and more of them for a larger `n`.
    accept : callable, optional
        Asked before a puzzle is solved, with its record so far; False discards it.

    Returns
    -------
    Harvest

    Raises
    ------
    InputError
        `n` below 1, or a specification that gives too few.

    Examples
    --------
    >>> from hammerlib.systems.puzzles import read_spec
    >>> [len(one.problem) > 20 for one in generate(read_spec("weekday"), 2).puzzles]
    [True, True]
    """
    if n < 1:
        raise InputError("n", n, "must be at least 1", "ask for one puzzle or more")
    kept: dict[str, Puzzle] = {}
    rejected: Counter[str] = Counter()
    attempt, fruitless = 0, 0.0
    while len(kept) < n:
        try:
            one = build(spec, Choices(_generator(seed, spec.name, attempt)), accept)
            reason = "same text" if one.problem in kept else ""
        except Rejected as error:
            reason = str(error)
        attempt += 1
        if reason:
            rejected[reason] += 1
            fruitless += 0.02 if reason == UNWANTED else 1
            if fruitless > PATIENCE:
                problem = f"{spec.name} gave {len(kept)} puzzles, then {PATIENCE} draws without a new one"
                raise InputError("n", n, problem, f"ask for at most {len(kept)}, or widen its domains")
        else:
            kept[one.problem] = one
            fruitless = 0.0
    return Harvest(list(kept.values()), rejected)


def _generator(*parts: object) -> random.Random:
    return random.Random(int(hashlib.sha256(repr(parts).encode()).hexdigest()[:16], 16))


def rebuild(
    spec: Spec,
    config: Mapping[str, Any],
    themes: Mapping[str, Any] | None = None,
    find: Callable[..., list] = solutions,
) -> Puzzle:
    """Build a puzzle from its record; correctness of every option is worked out again.

    Parameters
    ----------
    spec : Spec
    config : mapping
        ``Puzzle.config``, also after a round trip through JSON.
    themes : mapping, optional
        Variables to replace, e.g. names: the same puzzle about something else.
    find : callable
        As for `build`.

    Returns
    -------
    Puzzle

    Raises
    ------
    Rejected
        The record gives no valid puzzle.
    InputError
        The record lacks a choice.

    Examples
    --------
    >>> from hammerlib.systems.puzzles import read_spec
    >>> spec = read_spec("weekday")
    >>> (one,) = generate(spec, 1).puzzles
    >>> rebuild(spec, one.config) == one
    True
    """
    return build(spec, Choices(config=config, themes=themes), find=find)


def released_difference(spec: Spec, puzzles: Sequence[Puzzle]) -> Counter[str]:
    """Count what the released enumeration would make of recorded puzzles.

    Parameters
    ----------
    spec : Spec
    puzzles : sequence of Puzzle
        Of this specification, with their true answers.

    Returns
    -------
    Counter
        ``same`` answer, ``other`` answer, ``rejected``.

    Examples
    --------
    >>> from hammerlib.systems.puzzles import read_spec
    >>> spec = read_spec("committee")
    >>> sum(released_difference(spec, generate(spec, 3).puzzles).values())
    3
    """
    counts: Counter[str] = Counter(same=0, other=0, rejected=0)
    for one in puzzles:
        try:
            answer = rebuild(spec, one.config, find=released_solutions).answer
        except Rejected:
            counts["rejected"] += 1
        else:
            counts["same" if answer == one.answer else "other"] += 1
    return counts


def check_seed(spec: Spec) -> None:
    """Require that a specification reproduces the hand-written puzzle it was made from, text and answer.

    Raises
    ------
    InputError
        There is no seed, or text or answer differ (the first difference is shown).

    Examples
    --------
    >>> from hammerlib.systems.puzzles import read_spec
    >>> check_seed(read_spec("committee"))
    """
    if not spec.seed:
        raise InputError("seed", spec.name, "has no hand-written puzzle", "add config, problem and answer")
    try:
        made = rebuild(spec, spec.seed["config"])
    except Rejected as error:
        raise InputError(
            "seed", spec.name, f"is rejected: {error}", "mend specification or config"
        ) from error
    for part in ("problem", "answer"):
        wanted, got = str(spec.seed[part]).strip(), getattr(made, part)
        if wanted != got:
            raise InputError(
                f"seed.{part}", got, f"{spec.name} differs from {wanted!r}", "mend the specification"
            )


def write_jsonl(puzzles: list[Puzzle], path: Path) -> None:
    """Write one puzzle a line, whole or not at all; the same puzzles are the same bytes.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "puzzles.jsonl"
    >>> write_jsonl([Puzzle("tiny", "1 + 1?", "2", "numeral", {}, 0.5, {})], path)
    >>> read_jsonl(path)[0].answer
    '2'
    """
    with atomic_path(path) as part:
        lines = (json.dumps(dataclasses.asdict(one), ensure_ascii=False, sort_keys=True) for one in puzzles)
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_jsonl(path: Path) -> list[Puzzle]:
    """Read what `write_jsonl` wrote.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "none.jsonl"
    >>> write_jsonl([], path); read_jsonl(path)
    []
    """
    return [Puzzle(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


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
