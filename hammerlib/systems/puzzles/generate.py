"""Many puzzles of a specification, and what makes a data set of them: difficulty, duplicates, splits."""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hammerlib.errors import InputError
from hammerlib.problems import make_table
from hammerlib.systems.puzzles.build import UNWANTED, Choices, Puzzle, Rejected, build
from hammerlib.systems.puzzles.spec import Spec, read_spec, seed_names
from hammerlib.systems.smt import released_solutions, solutions

if TYPE_CHECKING:
    from datasets import Dataset

PATIENCE = 300  # draws in a row that give nothing new before a specification counts as exhausted
HARD = 0.5  # difficulty above this is hard
VALIDATION = 5  # puzzles per source and level
TEST_SHARE = 0.1
SPLITS = ("train", "validation", "test")
_NUMBER = re.compile(r"_*(-?\d+(?:\.\d+)?)_*")


class Harvest(NamedTuple):
    """Generated puzzles, and for each reason how many draws were thrown away."""

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

    Examples
    --------
    >>> from hammerlib.systems.puzzles import read_spec
    >>> [len(one.problem) > 20 for one in generate(read_spec("weekday"), 2).puzzles]
    [True, True]
    """
    if n < 1:
        raise InputError("n", n, "must be at least 1", "ask for one puzzle or more")
    puzzles: dict[str, Puzzle] = {}
    rejected: Counter[str] = Counter()
    attempt = 0
    fruitless = 0.0
    while len(puzzles) < n:
        # a generator for each attempt: more puzzles of a seed begin with the same ones
        key = repr((seed, spec.name, attempt)).encode()
        attempt += 1
        try:
            rng = random.Random(int(hashlib.sha256(key).hexdigest()[:16], 16))
            puzzle = build(spec, Choices(rng), accept)
            reason = "same text" if puzzle.problem in puzzles else ""
        except Rejected as error:
            reason = str(error)
        if not reason:
            puzzles[puzzle.problem] = puzzle
            fruitless = 0.0
            continue
        rejected[reason] += 1
        # What the caller does not want says little about the specification.
        fruitless += 0.02 if reason == UNWANTED else 1
        if fruitless > PATIENCE:
            problem = f"{spec.name} gave {len(puzzles)} puzzles, then {PATIENCE} draws without a new one"
            raise InputError("n", n, problem, f"ask for at most {len(puzzles)}, or widen its domains")
    return Harvest(list(puzzles.values()), rejected)


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
        Enumerates solutions, as for `build`.

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
    """Count what the released enumeration makes of recorded puzzles: same, other, rejected."""
    counts: Counter[str] = Counter(same=0, other=0, rejected=0)
    for puzzle in puzzles:
        try:
            answer = rebuild(spec, puzzle.config, find=released_solutions).answer
            counts["same" if answer == puzzle.answer else "other"] += 1
        except Rejected:
            counts["rejected"] += 1
    return counts


def check_seed(spec: Spec) -> None:
    """Require that a specification reproduces the hand-written puzzle it was made from, text and answer.

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
        problem = f"is rejected: {error}"
        raise InputError("seed", spec.name, problem, "mend specification or config") from error
    for field in ("problem", "answer"):
        wanted = str(spec.seed[field]).strip()
        got = getattr(made, field)
        if wanted != got:
            problem = f"{spec.name} differs from {wanted!r}"
            raise InputError(f"seed.{field}", got, problem, "mend the specification")


# A data set


def difficulties(puzzles: Sequence[Puzzle]) -> list[float]:
    """Return the difficulty of each puzzle within its set, 0 to 1, rounded to three decimals.

    As PuzzleClone's released post-processing (its code; arXiv 2508.15180), where a set is one file:
    the mean of four values: text length, number of constraints, number of unknowns (each scaled to 0..1 over
    the set; 0.5 where all are equal) and `vars_scale`. A score is relative to its set.

    Examples
    --------
    >>> one = Puzzle("a", "short", "1", "numeral", {"cond_num": 2, "sym_num": 4}, 0.2, {})
    >>> other = Puzzle("a", "much longer", "1", "numeral", {"cond_num": 4, "sym_num": 4}, 0.8, {})
    >>> difficulties([one, other])
    [0.175, 0.825]
    """
    columns = [
        _scaled([len(puzzle.problem) for puzzle in puzzles]),
        _scaled([puzzle.parameters["cond_num"] for puzzle in puzzles]),
        _scaled([puzzle.parameters["sym_num"] for puzzle in puzzles]),
        [puzzle.vars_scale for puzzle in puzzles],
    ]
    return [round(sum(values) / 4, 3) for values in zip(*columns, strict=True)]


def _scaled(values: list[float]) -> list[float]:
    low = min(values, default=0)
    high = max(values, default=0)
    return [0.5 if low == high else (value - low) / (high - low) for value in values]


def signature(config: Mapping[str, Any], *, options: bool = False) -> str:
    """Return the numbers of a record, without its words: puzzles that share it differ in names only.

    Draws of a condition count as a set. The released code means to leave options out and does not, because it
    skips another key than it writes; `options` repeats that.
    """
    numbers: dict[str, dict[str, Any]] = {}
    for section, choices in config.items():
        if options or section != "_queries":
            pool = section in ("conditions", "symbols")
            numbers[section] = {name: _numbers(choice, pool=pool) for name, choice in choices.items()}
    return json.dumps(numbers, sort_keys=True)


def _numbers(value: Any, *, pool: bool = False) -> Any:
    if isinstance(value, list):
        numbers = [number for number in map(_numbers, value) if number is not None]
        if pool and all(isinstance(number, list) for number in numbers):
            # which draw came first says nothing
            numbers.sort(key=json.dumps)
        return numbers
    if isinstance(value, str):
        number = _NUMBER.fullmatch(value)
        return float(number.group(1)) if number else None
    return float(value)


def part_of(source: str, config: Mapping[str, Any]) -> str:
    """Return a puzzle's part by its numbers alone: 10 % test, 5 % validation, else train.

    Unlike `cut`, which needs the whole set, this puts a puzzle (and its copies under other names) into the
    same part whatever is generated around it. Options, and the solution that post-generation took, do not
    enter.
    """
    sections = {section: choices for section, choices in config.items() if section != "post_generation"}
    digest = hashlib.sha256(f"{source} {signature(sections)}".encode()).hexdigest()
    share = int(digest[:8], 16) / 16**8
    if share < TEST_SHARE:
        return "test"
    return "validation" if share < 1.5 * TEST_SHARE else "train"


def deduplicate(puzzles: Iterable[Puzzle]) -> list[Puzzle]:
    """Keep the first puzzle of each specification and `signature`, as PuzzleClone's code does."""
    first: dict[tuple[str, str], Puzzle] = {}
    for puzzle in puzzles:
        first.setdefault((puzzle.source, signature(puzzle.config)), puzzle)
    return list(first.values())


def cut(puzzles: Sequence[Puzzle], levels: Sequence[float]) -> list[str]:
    """Return each puzzle's part: ``train``, ``validation`` or ``test``.

    Within each specification and level (hard above 0.5): the first tenth, rounded up, is test; of the rest
    the last five are validation. That is what the released code does, and not the 80/10/10 of its text.
    Rounding up is inferred: it alone meets the published 8,443 of 83,657. A level of fewer than 12 puzzles
    has no more validation than training puzzles (ours).

    Examples
    --------
    >>> many = [Puzzle("a", str(i), "1", "numeral", {}, 0.5, {}) for i in range(20)]
    >>> parts = cut(many, [0.2] * 20); [parts.count(name) for name in SPLITS]
    [13, 5, 2]
    """
    groups: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for row, (puzzle, level) in enumerate(zip(puzzles, levels, strict=True)):
        groups[puzzle.source, level > HARD].append(row)
    parts = ["train"] * len(puzzles)
    for rows in groups.values():
        test = math.ceil(TEST_SHARE * len(rows))
        validation = min(VALIDATION, (len(rows) - test) // 2)
        for row in rows[:test]:
            parts[row] = "test"
        for row in rows[len(rows) - validation :]:
            parts[row] = "validation"
    return parts


# As a source of problems: load_problems("puzzles:<specification>")


FORMAT = "Give the final answer in \\boxed{}."
FORMAT_MANY = "Give the final answers in one \\boxed{}, in the order of the questions, ==== between them."


def load_puzzles(
    name: str, *, split: str | None, n: int | None, seed: int, columns: dict[str, str] | None
) -> Dataset:
    """Generate puzzles and return one part of them as a problem table.

    `name` is ``all``, or names of shipped specifications or YAML files, separated by commas; `split` is
    ``train`` (also for None), ``validation`` or ``test``, disjoint whatever the seed (`part_of`); `n`
    problems are spread evenly over the specifications (20 for each). ``difficulty`` is among the
    drawn puzzles of the same specification; ``metadata`` holds the record that rebuilds the puzzle.
    """
    split_name = "train" if split in (None, "rl") else split
    if split_name not in SPLITS:
        raise InputError("split", split, "unknown part", f"use one of {', '.join(SPLITS)}")
    if columns is not None:
        raise InputError("columns", columns, "a generator has no columns to map", "leave columns out")
    names = seed_names() if name == "all" else [each.strip() for each in name.split(",")]
    n = 20 * len(names) if n is None else n
    rows: list[dict[str, Any]] = []
    for number, spec_name in enumerate(names):
        quota = n // len(names) + (number < n % len(names))
        if quota:
            rows += _rows(read_spec(spec_name), split_name, quota, seed)
    return make_table(rows)


def _rows(spec: Spec, part: str, quota: int, seed: int) -> list[dict[str, Any]]:
    signatures: set[str] = set()

    def wanted(config: Mapping[str, Any]) -> bool:
        key = signature(config)
        fresh = key not in signatures and part_of(spec.name, config) == part
        signatures.add(key)
        return fresh

    puzzles = generate(spec, quota, seed=seed, accept=wanted).puzzles
    return [_row(*pair) for pair in zip(puzzles, difficulties(puzzles), strict=True)]


def _row(puzzle: Puzzle, level: float) -> dict[str, Any]:
    key = hashlib.sha256(puzzle.problem.encode()).hexdigest()[:8]
    record = {"config": puzzle.config, "parameters": puzzle.parameters, "spec": puzzle.source}
    return {
        "id": f"puzzles-{puzzle.source}-{key}",
        "prompt": f"{puzzle.problem}\n{FORMAT_MANY if '====' in puzzle.eval_type else FORMAT}",
        "answer": puzzle.answer,
        "source": f"puzzles:{puzzle.source}",
        "topic": puzzle.source,
        "difficulty": level,
        "scorer": f"puzzles:{puzzle.eval_type}",
        "metadata": json.dumps(record, ensure_ascii=False, sort_keys=True),
    }
