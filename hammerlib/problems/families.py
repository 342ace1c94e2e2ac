"""The `nano` mix: eight families of short problems that share addition and subtraction.

Three families are reasoning-gym's own generators, restricted to two-digit plus and minus; five are templates
of our own, registered with reasoning-gym so that one loop draws from all of them. Because the families share
sub-skills, a model of less than a million parameters learns them together within minutes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from reasoning_gym.factory import DATASETS, ProceduralDataset, register_dataset

NAMES = tuple(
    [
        "Ana",
        "Ben",
        "Carla",
        "David",
        "Emma",
        "Finn",
        "Gita",
        "Hugo",
        "Ines",
        "Jonas",
        "Kira",
        "Leo",
        "Mia",
        "Tom",
    ]
)
PLACES: dict[str, tuple[str, ...]] = {
    "In the garden": ("apples", "pears", "flowers", "seeds", "plums"),
    "At school": ("books", "pencils", "stickers", "cards", "stamps"),
    "By the sea": ("shells", "stones", "fish", "crabs", "boats"),
    "In the kitchen": ("cookies", "eggs", "cakes", "nuts", "cups"),
    "In the toy shop": ("marbles", "cars", "balls", "dolls", "trains"),
    "On the farm": ("cows", "sheep", "ducks", "goats", "hens"),
}
# Each story with operands {a} {b} {c}, and their signs in the answer (0: not used).
_PLUS, _MINUS = (1, 1, 0), (1, -1, 0)
STORIES: dict[str, tuple[tuple[str, tuple[int, int, int]], ...]] = {
    "join": (
        ("{name} has {a} {thing}. {other} brings {b} more. How many {thing} does {name} have now?", _PLUS),
        ("{name} finds {a} {thing} and {other} finds {b}. How many {thing} do they find together?", _PLUS),
        (
            "there are {a} {thing} in one box and {b} in another box. How many {thing} are there in all?",
            _PLUS,
        ),
    ),
    "take": (
        ("{name} has {a} {thing}. {name} gives {b} to {other}. How many {thing} are left?", _MINUS),
        ("there are {a} {thing}. {name} takes {b} away. How many {thing} are left?", _MINUS),
        ("{name} needs {a} {thing} and has {b}. How many {thing} are missing?", _MINUS),
    ),
    "compare": (
        ("{name} has {a} {thing} and {other} has {b}. How many more does {name} have than {other}?", _MINUS),
        ("{name} has {b} {thing}. How many more does {name} need to have {a} like {other}?", _MINUS),
        ("{name} counts {a} {thing}. {other} counts {b} fewer. How many {thing} does {other} count?", _MINUS),
        ("{name} counts {a} {thing}. {other} counts {b} more. How many {thing} does {other} count?", _PLUS),
    ),
    "change": (
        (
            "{name} has {a} {thing}, buys {b} more and gives {c} to {other}. How many {thing} are left?",
            (1, 1, -1),
        ),
        (
            "{name} has {a} {thing}, loses {b} and finds {c}. How many {thing} does {name} have now?",
            (1, -1, 1),
        ),
        (
            "{name} has {a} {thing}. {other} takes {b} and then {c} more. How many {thing} are left?",
            (1, -1, -1),
        ),
    ),
}
QUESTIONS = ("What is the next number: {terms}, ?", "Continue the sequence: {terms}, ?", "{terms}, ?")


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
        return {
            "question": f"{place}, {story}",
            "answer": str(sum(terms)),
            "metadata": {
                "source_dataset": "nano_story",
                "source_index": idx,
                "kind": self.config.kind,
                "terms": terms,
            },
        }


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
        linear = [terms[-2], terms[-2], -terms[-3]]
        return {
            "question": question,
            "answer": str(terms[-1]),
            "metadata": {"source_dataset": "nano_sequence", "source_index": idx, "terms": linear},
        }


# reasoning-gym refuses a second registration; a reloaded module must not fail.
if "nano_story" not in DATASETS:
    register_dataset("nano_story", StoryDataset, StoryConfig)
    register_dataset("nano_sequence", SequenceDataset, SequenceConfig)

_TWO_DIGITS = {"min_digits": 2, "max_digits": 2}
_THREE_TERMS = {"min_terms": 3, "max_terms": 3, "operators": ("+", "-"), "format_style": "natural"}
_NO_NESTING = {"allow_parentheses": False, "allow_negation": False}
_EQUATION = {"min_terms": 2, "max_terms": 2, "min_value": 10, "max_value": 99}
_EVEN_SIGNS = {"operators": ("+", "-"), "operators_weights": [0.5, 0.5]}
NANO_MIX: dict[str, tuple[str, dict[str, Any]]] = {
    "chain_sum": ("chain_sum", {"min_terms": 2, "max_terms": 2, **_TWO_DIGITS}),
    "three_terms": ("basic_arithmetic", {**_THREE_TERMS, **_NO_NESTING, **_TWO_DIGITS}),
    "equation": ("simple_equations", {**_EQUATION, **_EVEN_SIGNS}),
    "sequence": ("nano_sequence", {"min_terms": 3, "max_terms": 4}),
    "join_story": ("nano_story", {"kind": "join"}),
    "take_story": ("nano_story", {"kind": "take"}),
    "compare_story": ("nano_story", {"kind": "compare"}),
    "change_story": ("nano_story", {"kind": "change"}),
}
