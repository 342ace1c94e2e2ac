"""Problems from reasoning-gym's generators, in named mixes and three disjoint parts."""

from __future__ import annotations

import functools
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError, check_name, need
from hammerlib.problems.cleaning import normalise
from hammerlib.problems.table import make_table
from hammerlib.runs.reading import read_yaml

if TYPE_CHECKING:
    from datasets import Dataset

Mix = dict[str, tuple[str, dict[str, Any]]]  # topic to (reasoning-gym dataset, its configuration)


MIXES: dict[str, Mix] = {}
for _name, _topics in read_yaml(Path(__file__).with_name("mixes.yaml")).items():
    MIXES[_name] = {topic: (settings.pop("dataset"), settings) for topic, settings in _topics.items()}

# Cumulative shares of the hash range that belong to each part.
PARTS = {"supervised": 0.4, "rl": 0.8, "heldout": 1.0}

# Problems a topic, by part: the smallest one (sums of the nano mix), drawn to exhaustion, has 4,987 in rl and
# 2,459 in heldout. A generator asked for millions would draw for hours, then fail.
LARGEST = {"supervised": 4800, "rl": 4800, "heldout": 2400}

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SEED_KEYS = frozenset({"source_index", "primes", "answer_cot"})


def mix(name: str) -> Mix:
    """Return a named mix: topic to (reasoning-gym dataset, its configuration)."""
    check_name("mix", name, MIXES, "unknown reasoning-gym mix")
    if name != "math":
        need("reasoning_gym")
        import hammerlib.problems.families  # noqa: F401  # registers the stories
    return MIXES[name]


def part_of(prompt: str) -> str:
    """Return the part a prompt belongs to: a function of its normalised text alone."""
    return _part(_prompt_hash(prompt))


def check_gym(name: str, split: str | None, n: int | None) -> None:
    """Refuse an unknown part or mix, and more problems than the part holds: drawing them would take hours."""
    part = split or "rl"
    check_name("split", part, PARTS, "unknown part")
    topics = len(mix(name))
    available = topics * LARGEST[part]
    if n is not None and n > available:
        problem = f"part {part} of mix {name} has {available} ({topics} topics of {LARGEST[part]})"
        raise InputError("n", n, problem, f"ask for at most {available}")


def load_gym(
    name: str, *, split: str | None, n: int | None, seed: int, columns: dict[str, str] | None
) -> Dataset:
    """Draw `n` problems of a mix, evenly over its topics (difference at most one), shuffled by `seed`."""
    part = split or "rl"
    n = 1000 if n is None else n
    check_gym(name, part, n)
    if columns is not None:
        raise InputError("columns", columns, "a generator has no columns to map", "leave columns out")
    families = mix(name)
    rng = random.Random(seed)
    topics = list(families)
    rng.shuffle(topics)
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    for index, topic in enumerate(topics):
        quota = n // len(topics) + (index < n % len(topics))
        rows += _draw(name, topic, *families[topic], part=part, quota=quota, seed=seed, seen=seen)
    rng.shuffle(rows)
    return make_table(rows)


@functools.lru_cache(maxsize=256)
def scorer(name: str) -> Callable[[str, dict[str, Any]], float]:
    """Return the scoring function of a reasoning-gym dataset, with its default configuration."""
    prefix, _, dataset = name.partition(":")
    need("reasoning_gym")
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    if prefix == "reasoning-gym" and dataset not in DATASETS:
        mix("nano")  # importing the families registers their datasets
    if prefix != "reasoning-gym" or dataset not in DATASETS:
        raise InputError("scorer", name, "unknown scorer", "use reasoning-gym:<dataset name>")
    return reasoning_gym.create_dataset(dataset, seed=0, size=1).score_answer


def _draw(
    name: str,
    topic: str,
    dataset: str,
    config: dict[str, Any],
    *,
    part: str,
    quota: int,
    seed: int,
    seen: set[str],
) -> Iterator[dict[str, Any]]:
    drawn = since_new = 0
    for entry in _entries(dataset, config, _seed(name, topic, part, seed)):
        if drawn == quota:
            return
        key = _prompt_hash(entry["question"])
        if key in seen or _part(key) != part or not _sound(name, dataset, entry):
            since_new += 1
            if since_new > 1000 + 10 * quota:
                break
            continue
        seen.add(key)
        drawn, since_new = drawn + 1, 0
        yield _row(name, topic, dataset, key, entry)
    problem = f"topic {topic} of mix {name} has only {drawn} distinct prompts in part {part}, {quota} wanted"
    raise InputError("n", f"{quota} per topic", problem, f"ask for at most {drawn} per topic")


def _entries(dataset: str, config: dict[str, Any], seed: int) -> Iterator[dict[str, Any]]:
    need("reasoning_gym")
    import reasoning_gym

    # Entry i of a generator depends on seed + i alone, so the virtual size only has to be large enough.
    generator = reasoning_gym.create_dataset(dataset, seed=seed, size=10_000_000, **config)
    index = 0
    while True:
        yield generator[index]
        index += 1


def _sound(mix: str, dataset: str, entry: dict[str, Any]) -> bool:
    # Slips of reasoning-gym 0.1.25: an interval that ends at midnight wraps to a negative duration, and a
    # "convex" polygon can be left with a last angle of 180 degrees or more.
    # These mixes ask for no negative answer: a sign would be one more skill to learn. basic_arithmetic
    # draws from 0 to 100 whatever min_digits says: its few operands without two digits would not be learned.
    if dataset == "basic_arithmetic" and mix == "nano":
        numbers = re.findall(r"\d+", entry["question"])
        return not entry["answer"].startswith("-") and all(len(number) == 2 for number in numbers)
    if dataset == "time_intervals" or mix in ("nano", "one-digit"):
        return not entry["answer"].startswith("-")
    return dataset != "simple_geometry" or 0 < entry["metadata"]["missing_angle_raw"] < 180


def _row(name: str, topic: str, dataset: str, key: str, entry: dict[str, Any]) -> dict[str, Any]:
    metadata = entry["metadata"]
    return {
        "id": f"{name}-{topic}-{key}",
        "prompt": entry["question"].strip(),
        "answer": entry["answer"],
        "source": f"reasoning-gym:{name}",
        "topic": topic,
        "solution": metadata.get("answer_cot"),
        "scorer": f"reasoning-gym:{dataset}",
        "metadata": json.dumps(_lasting(metadata), ensure_ascii=False, sort_keys=True, default=str),
    }


def _lasting(metadata: dict[str, Any]) -> dict[str, Any]:
    # Some generators store today's date, their place in the draw or long tables; no scorer reads those.
    return {
        key: value
        for key, value in metadata.items()
        if key not in _SEED_KEYS and not (isinstance(value, str) and _DATE.search(value))
    }


def _prompt_hash(prompt: str) -> str:
    return hashlib.sha256(normalise(prompt).encode()).hexdigest()[:8]


def _part(key: str) -> str:
    fraction = int(key, 16) / 16**8
    return next(name for name, end in PARTS.items() if fraction < end)


def _seed(*parts: object) -> int:
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16)
