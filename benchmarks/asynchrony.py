"""How much of a path survives asynchronous training, over lengths of real completions; draws the figure.

    python benchmarks/asynchrony.py     (champ-dataset; seconds)

Lengths are characters of 16 of the 18 completions that each of four models gave to each of the 270 problems
of CHAMP (MIT), in groups of eight; a path is all problems twice, in a random sequence.
"""

from __future__ import annotations

import json
from pathlib import Path

import champ_dataset
import numpy as np
import pandas as pd

from hammerlib.adapters.asynchrony import simulate, survival, untrained
from hammerlib.plots import colour, panels, style

BATCH, GROUP, SEEDS = 8, 8, 5
ROOT = Path(__file__).resolve().parents[1]


def lengths(model: str) -> list[list[list[int]]]:
    """Characters of every completion of a model, by problem."""
    held = json.loads((Path(champ_dataset.__file__).parent / "dataset_files" / "v0.json").read_text("utf-8"))
    found = []
    for problem in held["problems"].values():
        talks = [talk for name, talk in problem["conversations"].items() if name.startswith(f"{model}|")]
        # the solution; a summary of one sentence follows it
        said = [
            [len(turn["text"] or "") for turn in talk["messages"] if turn["role"] == f"Model.{model}"]
            for talk in talks
        ]
        found.append([max(turns) for turns in said if turns])
    return found


def aligned(path: list[list[int]], staleness: int, step: int) -> tuple[int, float]:
    """Started prompts that a resume at the frontier loses, other than too old ones, and the distance then."""
    life = simulate(path, batch=BATCH, staleness=staleness, steps=step)
    begun = untrained(life, step)
    rest = np.array([*begun, *range(len(life), len(path))])
    after = simulate([path[k] for k in rest], batch=BATCH, staleness=staleness)
    after = after.assign(
        place=rest[after["place"]],
        trained=after["trained"].where(after["trained"] < 0, after["trained"] + step),
    )
    whole = pd.concat([life[~life["place"].isin(begun)], after])
    ended = whole[(whole["trained"] > 0) | whole["dropped"]]["place"]
    return len(set(begun) - set(ended)), survival(whole, len(path), late=10**6).kendall[0]


def measure(model: str) -> list[dict[str, object]]:
    """One row a staleness and seed."""
    rows = []
    known = [row for row in lengths(model) if len(row) >= 2 * GROUP]
    groups = [row[:GROUP] for row in known] + [row[GROUP : 2 * GROUP] for row in known]
    for seed in range(SEEDS):
        path = [groups[k] for k in np.random.default_rng(seed).permutation(len(groups))]
        for staleness in range(9):
            life = simulate(path, batch=BATCH, staleness=staleness)
            found = survival(life, len(path), late=10**6)
            trained = found.rows
            lost = [len(untrained(life, step)) for step in range(8, 56, 8)]
            resumed = np.mean([aligned(path, staleness, step) for step in range(8, 56, 8)], axis=0)
            rows.append(
                {
                    "model": model,
                    "staleness": staleness,
                    "seed": seed,
                    "kendall": found.kendall[0],
                    "in_own_step": float((trained["late"] == 0).mean()),
                    "displacement": found.displacement,
                    "dropped": float(life["dropped"].mean()),
                    "skipped_by_a_counting_resume": float(np.mean(lost)),
                    "skipped_by_an_aligned_resume": float(resumed[0]),
                    "kendall_with_an_aligned_resume": float(resumed[1]),
                }
            )
    return rows


def main() -> None:
    """Print the table and write the figure."""
    table = pd.DataFrame(
        [row for model in ("GPT-3.5", "GPT-4", "GPT-4 Turbo", "PaLM 2 Medium") for row in measure(model)]
    )
    means = table.groupby(["model", "staleness"]).mean(numeric_only=True).drop(columns="seed")
    print(means.round(4).to_string())
    style()
    left, middle, right = panels(3, columns=3, width=3.6, height=3.0)
    for position, (model, part) in enumerate(means.reset_index().groupby("model")):
        tint = colour(model, position)
        left.plot(
            part["staleness"], 100 * part["in_own_step"], marker="o", markersize=3, color=tint, label=model
        )
        middle.plot(part["staleness"], part["kendall"], marker="o", markersize=3, color=tint)
        right.plot(
            part["staleness"], part["skipped_by_a_counting_resume"], marker="o", markersize=3, color=tint
        )
        right.plot(part["staleness"], part["skipped_by_an_aligned_resume"], linestyle="--", color=tint)
    left.set(xlabel="staleness (steps)", ylabel="problems trained in their own step (%)", ylim=(0, 103))
    middle.set(xlabel="staleness (steps)", ylabel="Kendall distance to the path")
    right.set(xlabel="staleness (steps)", ylabel="problems skipped by one resume")
    right.plot([], [], color="black", label="counting what was handed out")
    right.plot([], [], linestyle="--", color="black", label="aligned with training")
    right.legend()
    left.legend()
    figure = left.figure
    figure.savefig(ROOT / "docs" / "figures" / "asynchrony.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
