"""What the tests of adapters share: problems, an order, batches of four, and the planted faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainer_faults import plant

from hammerlib.adapters import audit, hand_over
from hammerlib.adapters.files import HandOver
from hammerlib.ordering import Order, order_by
from hammerlib.problems import load_problems
from hammerlib.problems.files import write_records

PAGE = Path(__file__).resolve().parents[1] / "docs" / "adapters.md"
BATCH = 4
NAMES = ("Kira", "Tom", "Mia", "Hugo", "Ana", "Ben", "Zoe")


def shown(first: str) -> str:
    """The block of the page on adapters that begins with a line."""
    blocks = PAGE.read_text(encoding="utf-8").split("```")[1::2]
    (block,) = [text for text in blocks if text.split("\n")[1] == first]
    return block.split("\n", 1)[1]


class Handed:
    """Problems in an order, handed to a trainer in a folder of its own."""

    def __init__(self, trainer: str, folder: Path, n: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        story = "On the farm, {} has {} cows and buys {} more. How many cows are there?"
        rows = [
            {"question": story.format(NAMES[k % 7], k + 3, 2 * k), "answer": str(3 * k + 3)} for k in range(n)
        ]
        write_records(rows, folder / "problems.jsonl")
        self.folder = folder
        self.problems = load_problems(f"file:{folder / 'problems.jsonl'}")
        self.order: Order = order_by("random", None, problems=self.problems, seed=1)
        self.prompts = self.order.apply(self.problems)["prompt"][:]
        self.place_of = {prompt: place for place, prompt in enumerate(self.prompts)}
        suffix = ".parquet" if trainer in ("trl", "verl") else ".jsonl"
        (folder / "data").mkdir(exist_ok=True)
        self.handed: HandOver = hand_over(
            trainer,
            self.problems,
            self.order,
            folder / "data" / f"ordered{suffix}",
            # of a taskset alone there are no batches
            batch=None if trainer == "verifiers" else BATCH,
            tail="refuse" if trainer == "verifiers" else "report",
        )
        self.path = self.handed.path

    def places(self, prompts: list[str]) -> list[int]:
        """Places of prompts that hold a problem's text."""
        return [next(place for text, place in self.place_of.items() if text in prompt) for prompt in prompts]

    def audit(self, log: Path, **options: Any) -> Any:
        """The log against the order, by text."""
        return audit(log, self.order, self.problems, **options)


def audited(run: Path, **options: Any) -> Any:
    """A run of ours against its own order."""
    return audit(run, Order.load(run / "order.json"), **options)


def finds_all(
    handed: Handed, batches: list[list[Any]], place: Callable[[Any], int], stranger: Callable[[Any], Any],
    write: Callable[[list[list[Any]], Path], Path], **options: Any,
) -> None:  # fmt: skip
    """Assert that sound batches pass, and that every planted fault is found as what it is."""
    assert len(batches) % 2 == 0 and len({len(batch) for batch in batches}) == 1, (
        "two epochs of whole batches"
    )
    sound = handed.audit(write(batches, handed.folder / "sound"), **options)
    assert sound.kept and sound.kendall == [0.0, 0.0], str(sound)
    for number, (name, (damaged, kind)) in enumerate(plant(batches, place, stranger).items()):
        found = handed.audit(write(damaged, handed.folder / f"fault-{number}"), **options)
        assert kind in {finding.kind for finding in found.findings}, f"{name}: {found}"
