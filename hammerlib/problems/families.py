"""The `nano` mix: eight families of short problems that share addition and subtraction.

Three families are reasoning-gym's own generators, restricted to two-digit plus and minus; five are templates
of our own, registered with reasoning-gym so that one loop draws from all of them. Because the families share
sub-skills, a model of less than a million parameters learns them together within minutes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reasoning_gym.factory import DATASETS, ProceduralDataset, register_dataset

from hammerlib.runs.reading import read_yaml

_TEXTS = read_yaml(Path(__file__).with_name("families.yaml"))
NAMES: list[str] = _TEXTS["names"]
PLACES: dict[str, list[str]] = _TEXTS["places"]
QUESTIONS: list[str] = _TEXTS["questions"]
# Each story with operands {a} {b} {c}, and their signs in the answer (0: not used).
STORIES: dict[str, list[tuple[str, list[int]]]] = {
    kind: [(story["text"], story["signs"]) for story in stories]
    for kind, stories in _TEXTS["stories"].items()
}


class _OwnDataset(ProceduralDataset):
    """A generator of ours: a configuration with seed and size, answers that are integers."""

    def __init__(self, config: StoryConfig | SequenceConfig) -> None:
        super().__init__(config=config, seed=config.seed, size=config.size)

    def score_answer(self, answer: str | None, entry: dict[str, Any]) -> float:
        """Return 1.0 when `answer` is the entry's integer, else 0.0."""
        try:
            return float(int(str(answer).strip()) == int(entry["answer"]))
        except ValueError:
            return 0.0


@dataclass
class StoryConfig:
    """Settings of the story generator."""

    kind: str = "join"
    seed: int | None = None
    size: int = 500
    lowest: int = 10
    highest: int = 99

    def validate(self) -> None:
        """Raise AssertionError, as reasoning-gym's own configurations do, for settings without a problem."""
        assert self.kind in STORIES, f"kind must be one of {sorted(STORIES)}"
        assert self.size > 0, "size must be positive"
        assert 0 < self.lowest <= self.highest, "lowest must be from 1 to highest"


class StoryDataset(_OwnDataset):
    """Word problems with two or three operands and an answer of zero or more (ours)."""

    def __getitem__(self, idx: int) -> dict[str, Any]:
        """Return item `idx`: question, answer, metadata with the signed ``terms`` that add up to it."""
        # Kinds drawn from one seed must not share their operands.
        rng = random.Random(f"{self.config.kind}:{self.seed + idx}")
        text, signs = rng.choice(STORIES[self.config.kind])
        place = rng.choice(list(PLACES))
        name, other = rng.sample(NAMES, 2)
        while True:
            operands = [rng.randint(self.config.lowest, self.config.highest) for _ in signs]
            terms = [sign * operand for sign, operand in zip(signs, operands, strict=True) if sign]
            if sum(terms) >= 0:
                break
        a, b, c = operands
        story = text.format(name=name, other=other, thing=rng.choice(PLACES[place]), a=a, b=b, c=c)
        metadata = {"source_index": idx, "kind": self.config.kind, "terms": terms}
        return _entry("nano_story", f"{place}, {story}", sum(terms), metadata)


@dataclass
class SequenceConfig:
    """Settings of the arithmetic-sequence generator."""

    min_terms: int = 3
    max_terms: int = 4
    seed: int | None = None
    size: int = 500

    def validate(self) -> None:
        """Raise AssertionError, as reasoning-gym's own configurations do, for impossible lengths or size."""
        assert 2 <= self.min_terms <= self.max_terms <= 10, "need 2 <= min_terms <= max_terms <= 10"
        assert self.size > 0, "size must be positive"


class SequenceDataset(_OwnDataset):
    """Next term of an arithmetic sequence of two-digit numbers (ours)."""

    def __getitem__(self, idx: int) -> dict[str, Any]:
        """Return item `idx`: question, answer, metadata with the signed ``terms`` that add up to it."""
        rng = random.Random(self.seed + idx)
        shown = rng.randint(self.config.min_terms, self.config.max_terms)
        while True:
            step = rng.choice((-1, 1)) * rng.randint(2, 89 // (shown - 1))
            terms = [rng.randint(10, 99)]
            terms += [terms[0] + i * step for i in range(1, shown + 1)]
            if 10 <= terms[-2] <= 99 and terms[-1] >= 0:
                break
        question = rng.choice(QUESTIONS).format(terms=", ".join(map(str, terms[:-1])))
        # The next term is the last one and its distance from the one before.
        linear = [terms[-2], terms[-2], -terms[-3]]
        return _entry("nano_sequence", question, terms[-1], {"source_index": idx, "terms": linear})


def _entry(dataset: str, question: str, answer: int, metadata: dict[str, Any]) -> dict[str, Any]:
    """An item as reasoning-gym has them."""
    metadata = {"source_dataset": dataset, **metadata}
    return {"question": question, "answer": str(answer), "metadata": metadata}


# reasoning-gym refuses a second registration; a reloaded module must not fail.
if "nano_story" not in DATASETS:
    register_dataset("nano_story", StoryDataset, StoryConfig)
    register_dataset("nano_sequence", SequenceDataset, SequenceConfig)
