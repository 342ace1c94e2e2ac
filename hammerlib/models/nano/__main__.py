"""``python -m hammerlib.models.nano --out DIR [--size 3M] [--seed 0] [--steps N]``: train a checkpoint."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace

from hammerlib.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """Train, measure on held-out problems, and write the checkpoint folder with its ``recipe.json``."""
    from hammerlib.models.nano.recipe import SIZES, Recipe, make_checkpoint, sized

    parser = argparse.ArgumentParser(prog="python -m hammerlib.models.nano", description=__doc__)
    parser.add_argument("--out", required=True, help="folder to write; it must not exist yet")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--size", choices=sorted(SIZES), help="another size than the shipped one")
    parser.add_argument("--steps", type=int, help=f"optimizer steps (default {Recipe.steps}, or the size's)")
    parser.add_argument("--held-out", type=int, default=512, help="held-out problems to measure on")
    chosen = parser.parse_args(arguments)
    try:
        recipe = sized(chosen.size, seed=chosen.seed) if chosen.size else Recipe(seed=chosen.seed)
        recipe = replace(recipe, steps=recipe.steps if chosen.steps is None else chosen.steps)
        table = make_checkpoint(chosen.out, recipe, n=chosen.held_out)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table.round(3).to_string())
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: one thread makes it repeatable
    sys.exit(main())
