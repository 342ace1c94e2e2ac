"""The shipped checkpoint folder: where it is, how it is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.errors import InputError
from hammerlib.nano import measure
from hammerlib.nano.recipe import Recipe, settings, train_nano
from hammerlib.nano.tokenizer import build_tokenizer
from hammerlib.problems import load_problems
from hammerlib.runs.storage import atomic_path, write_json

if TYPE_CHECKING:
    import pandas as pd

CHECKPOINT = Path(__file__).parent / "checkpoint"


def make_checkpoint(out: str | os.PathLike[str], recipe: Recipe, *, n: int = 512) -> pd.DataFrame:
    """Train by `recipe`, measure on `n` held-out problems, write a folder that transformers loads.

    Parameters
    ----------
    out : path
        Folder to write, whole or not at all; must not exist.
    recipe : Recipe
        What decides the weights.
    n : int
        Held-out problems, 8 samples each at temperature 1, and greedy.

    Returns
    -------
    pandas.DataFrame
        As `measure.family_table`, with the column ``greedy``; also in ``recipe.json``.

    Raises
    ------
    InputError
        `out` exists.

    Examples
    --------
    >>> import tempfile
    >>> out = Path(tempfile.mkdtemp(), "nano")
    >>> small = Recipe(steps=1, batch_size=2, problems=16, width=16, heads=2, inner=16)
    >>> int(make_checkpoint(out, small, n=8).loc["all", "n"])
    8
    """
    import torch

    out = Path(out)
    if out.exists():
        raise InputError("out", str(out), "already exists", "name a new folder")
    torch.set_num_threads(1)
    model, losses = train_nano(recipe)
    tokenizer = build_tokenizer()
    held_out = load_problems("reasoning-gym:nano", split="heldout", n=n, seed=recipe.seed)
    sampled = measure.sample(model, tokenizer, held_out["prompt"])
    greedy = measure.sample(model, tokenizer, held_out["prompt"], group=1, greedy=True)
    table = measure.family_table(held_out, sampled)
    table["greedy"] = measure.family_table(held_out, greedy)["pass@1"]
    strategies = measure.strategy_table(held_out, sampled)
    with atomic_path(out) as part:
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
        record = {
            **settings(recipe),
            "families": table.round(4).to_dict("index"),
            # An untrained model may never use a strategy: JSON has no NaN.
            "strategies": strategies.round(4).fillna(0.0).to_dict("index"),
            "losses": losses,
        }
        write_json(part / "recipe.json", record)
    return table
