"""How the seconds of a training step grow with completions, lengths, group size and parameters.

    python benchmarks/step_costs.py [--steps 5] [--rounds 2]

One setting is changed at a time, around 4 prompts x 8 completions of 32 tokens by an untrained nano (random
weights hardly end a completion, so that every one is as long as its limit). Each run is a process of its own,
runs are in turn, `--rounds` times; a step's first one in every run is left out (see `training.py`). Told are
medians of CPU seconds, without and with two savings, and the exponent of the power law through them: 1 is
proportional, 0 is none. No row has an advantage here, so that `skip_zero_advantage` would save the whole pass
and is left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from training import commit, run_arm

from hammerlib.models.backbone import save_backbone
from hammerlib.models.nano.recipe import Recipe, untrained
from hammerlib.models.nano.tokenizer import build_tokenizer
from hammerlib.training import TrainConfig

ARMS = {"no saving": {}, "savings": {"sampler": "decoding", "shared_prefixes": True}}
WIDTHS = (80, 160, 320)
AXES: dict[str, tuple[int, ...]] = {
    "prompts_per_step": (4, 8, 16),
    "group_size": (8, 16, 32),
    "max_completion_length": (32, 64, 128),
    "parameters": WIDTHS,
}


def models(folder: Path) -> dict[int, tuple[Path, int]]:
    """Untrained nanos of each width: their folders and numbers of parameters."""
    made = {}
    for width in WIDTHS:
        model = untrained(Recipe(width=width, inner=4 * width))
        save_backbone(model, build_tokenizer(), folder / str(width))
        made[width] = (folder / str(width), model.num_parameters())
    return made


def measure(steps: int, rounds: int, folder: Path) -> list[dict[str, object]]:
    """CPU seconds and tokens of a step for every value of every axis and both arms."""
    sizes = models(folder)
    base = TrainConfig(
        backbone=str(sizes[160][0]), prompts_per_step=4, n_problems=4 * (steps + 1), order="dataset",
        max_completion_length=32, learning_rate=1e-12,
    )  # fmt: skip
    seconds: dict[tuple[str, int, str], list[np.ndarray]] = {}
    fresh = multiprocessing.get_context("spawn")
    for number in range(rounds):
        for axis, values in AXES.items():
            for value in values:
                config = dataclasses.replace(base, **setting(axis, value, sizes, steps))
                for arm, options in ARMS.items():
                    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
                        measured, _ = pool.submit(run_arm, config, arm, options).result()
                    seconds.setdefault((axis, value, arm), []).append(measured)
                    median = np.median(measured[:, 0])
                    print(f"round {number + 1} {axis} {value} {arm}: {median:.3f}", flush=True)
    rows = []
    for (axis, value, arm), parts in seconds.items():
        steps_of = np.concatenate(parts)
        shown = sizes[value][1] if axis == "parameters" else value
        cpu, tokens = np.median(steps_of[:, 0]), np.median(steps_of[:, 2])
        rows.append({"axis": axis, "value": shown, "arm": arm, "cpu": float(cpu), "tokens": float(tokens)})
    return rows


def setting(axis: str, value: int, sizes: dict[int, tuple[Path, int]], steps: int) -> dict[str, object]:
    """Fields of the config for a value of an axis."""
    if axis == "parameters":
        return {"backbone": str(sizes[value][0])}
    changed: dict[str, object] = {axis: value}
    if axis == "prompts_per_step":
        changed["n_problems"] = value * (steps + 1)
    return changed


def exponent(rows: list[dict[str, object]], axis: str, arm: str) -> float:
    """Slope of log seconds over log value."""
    chosen = [(row["value"], row["cpu"]) for row in rows if row["axis"] == axis and row["arm"] == arm]
    return float(np.polyfit(*np.log(np.array(chosen, dtype=float)).T, 1)[0])


def table(found: dict[str, object]) -> str:
    """The results in Markdown."""
    lines = [
        "# What a training step costs",
        "",
        f"`python benchmarks/step_costs.py --steps {found['steps']} --rounds {found['rounds']}` (commit "
        f"{found['commit']}): medians of CPU seconds a step, one thread; one setting is changed around"
        " 4 prompts x 8 completions of 32 tokens by an untrained nano of width 160.",
        "",
        "| | value | tokens a step | no saving | decoding loop and shared prefixes |",
        "|---|---|---|---|---|",
    ]
    rows = found["rows"]
    for axis in AXES:
        both = [[row for row in rows if row["axis"] == axis and row["arm"] == arm] for arm in ARMS]
        for plain, saving in zip(*both, strict=True):
            seconds = f"{plain['cpu']:.3f} | {saving['cpu']:.3f}"
            lines.append(f"| {axis} | {plain['value']:,} | {plain['tokens']:,.0f} | {seconds} |")
        plain, saving = (exponent(rows, axis, arm) for arm in ARMS)
        lines.append(f"| | **exponent** | | **{plain:.2f}** | **{saving:.2f}** |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write table and numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(chosen.steps, chosen.rounds, Path(folder))
    found = {"steps": chosen.steps, "rounds": chosen.rounds, "commit": commit(), "rows": rows}
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "step-costs.json").write_text(json.dumps(found, indent=1) + "\n")
    (chosen.out / "step-costs.md").write_text(table(found))
    print(table(found))


if __name__ == "__main__":
    main()
