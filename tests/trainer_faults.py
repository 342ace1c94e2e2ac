"""Faults to plant in the batches that a loader handed out, and the kind of finding each must become."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

Batches = list[list[Any]]


def _again(rows: Sequence[Any], size: int) -> Batches:
    return [list(rows[start : start + size]) for start in range(0, len(rows), size)]


def plant(
    batches: Batches, place: Callable[[Any], int], stranger: Callable[[Any], Any]
) -> dict[str, tuple[Batches, str]]:
    """Return name of the fault -> (damaged batches, kind) for two sound epochs that batches divide.

    `place` tells a row's position on the order, `stranger` makes a row that is in no place of it.
    """
    size, half = len(batches[0]), len(batches) // 2
    rows = [row for batch in batches for row in batch]
    n = len(rows) // 2
    shuffled = random.Random(0).sample(range(n), n)
    other = [rows[start + k] for start in (0, n) for k in shuffled]
    late = [*rows]
    late.insert(3 * size, late.pop(size))
    drawn = [*random.Random(1).sample(rows[:n], n), *random.Random(2).sample(rows[n:], n)]
    fewer = [row for row in rows if place(row) not in (2, 9, 10)]
    foreign = [stranger(batches[3][0]), *batches[3][1:]]
    return {
        "drawn anew every epoch": (_again(drawn, size), "order"),
        "another order": (_again(other, size), "order"),
        "second epoch backwards": (_again(rows[:n] + rows[n:][::-1], size), "order"),
        "two steps swapped": ([*batches[:2], batches[3], batches[2], *batches[4:]], "order"),
        "one problem late": (_again(late, size), "order"),
        "last step of an epoch lost": (batches[: half - 1] + batches[half:], "tail"),
        "resume too far back": (batches[:6] + batches[4:], "repeated"),
        "resume too far ahead": (batches[:3] + batches[5:], "skipped"),
        "three prompts filtered": (_again(fewer, size), "filtered"),
        "a prompt from elsewhere": ([*batches[:3], foreign, *batches[4:]], "unknown"),
        "a prompt twice in a batch": ([*batches[:3], [*batches[3], batches[3][0]], *batches[4:]], "repeated"),
    }
