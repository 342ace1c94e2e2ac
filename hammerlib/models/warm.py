"""SmolLM2 after a short supervised warm-up on one-digit problems: a start from which GRPO can learn (ours).

SmolLM2-135M as it comes writes long, and gets 7 to 12 per cent of such problems right under each of four
prompts (48 problems, 2 samples). A few steps on correct solutions of the supervised part teach it to answer
shortly; they end before it gets most of them right. Short completions also make GRPO affordable on a CPU.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.models.backbone import kept, load_backbone, own_parts, save_backbone
from hammerlib.models.nano.recipe import Recipe, supervise
from hammerlib.models.nano.solutions import terms_of
from hammerlib.problems import load_problems
from hammerlib.runs import once
from hammerlib.runs.storage import cache_dir, content_hash, file_name, slug

if TYPE_CHECKING:
    from datasets import Dataset

PROBLEMS = "reasoning-gym:one-digit"
# Full fine-tuning; the rest of the recipe (width, families) is nano's and not read.
WARM_UP = Recipe(steps=8, batch_size=8, learning_rate=5e-5, warmup=4, problems=100)
_READ = ("seed", "steps", "batch_size", "learning_rate", "weight_decay", "warmup", "problems")
WORKED = 0.7  # share of solutions with their calculation; the others state the answer alone


def written(row: dict[str, Any], rng: random.Random) -> str:
    """Return a short correct solution of a one-digit problem: its calculation, or the answer alone."""
    if rng.random() >= WORKED:
        return f" The answer is {row['answer']}."
    total, *others = terms_of(row)
    lines = []
    for term in others:
        lines.append(f"{total} {'+' if term > 0 else '-'} {abs(term)} = {total + term}")
        total += term
    return " " + ", ".join(lines)


def batches(recipe: Recipe, table: Dataset) -> Iterator[list[tuple[str, str]]]:
    """Yield batches of (prompt, solution) in the order of the table, as many as it fills."""
    rng = random.Random(recipe.seed)
    rows = table.to_list()
    for start in range(0, len(rows) - recipe.batch_size + 1, recipe.batch_size):
        yield [(row["prompt"], written(row, rng)) for row in rows[start : start + recipe.batch_size]]


def warm_start(recipe: Recipe = WARM_UP, *, backbone: str = "smollm2-135m") -> Path:
    """Return the folder of a backbone after its warm-up, trained at the first call (minutes on a CPU)."""
    start = load_backbone(backbone, dtype="float32", device="cpu")
    settings = {name: value for name, value in asdict(recipe).items() if name in _READ}
    source = {"backbone": backbone, "revision": start.revision, "problems_from": PROBLEMS, "worked": WORKED}
    record = source | settings
    name = f"{slug(backbone)}-warm-{content_hash(record, start.weights_hash, *own_parts(start))[:10]}"
    folder = cache_dir("backbones") / file_name("backbone", name)

    def make() -> Path:
        table = load_problems(PROBLEMS, split="supervised", n=recipe.problems, seed=recipe.seed)
        losses = supervise(start.model, batches(recipe, table), recipe, tokenizer=start.tokenizer)
        save_backbone(start.model, start.tokenizer, folder, {**record, "losses": losses})
        return folder

    return once(folder.name, make, lambda: kept(folder), folder=folder.parent)
