"""Many puzzles of a specification, and the check that each is rebuilt from its record."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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
