"""The orders of a study made again from their starts and problems: are they the recorded ones, and how good?

    python benchmarks/study_orders.py [STUDY.yaml] [--arms hammer min-path]

Trains nothing. For every cell in `results/study/NAME` of these arms the order is made anew and its hash must
be the record's. Told are first problem, direction, cost, and for `min-path` the certified gap: how far it can
be from the best path, as a share of the way from the bound to a random order.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: one thread makes vectors repeatable

import pandas as pd

from hammerlib import load_backbone
from hammerlib.study.orders import arm_order, order_vectors
from hammerlib.study.plan import Trial, read_study, trials
from hammerlib.study.trial import replicate


def remade(cell: Trial, record: dict) -> dict:
    """One order made again, beside what its record says."""
    shared, config = replicate(cell.study, cell.replicate), cell.study.config(cell.arm)
    backbone = load_backbone(shared.start, dtype="float32")
    how = {"layer": config.layer, "pooling": config.pooling, "template": config.template}
    vectors_of = functools.partial(
        order_vectors, problems=shared.problems, backbone=backbone, seed=shared.number, **how
    )
    order = arm_order(cell.study.order(cell.arm), shared.problems, vectors_of, seed=shared.number)
    assert order.hash == record["order"]["hash"], f"{cell.name}: another order than the recorded one"
    return {
        "cell": cell.name,
        "first": int(order.permutation[0]),
        "direction": order.provenance["direction"],
        "cost": order.cost,
        "random_cost": order.random_cost,
        "lower_bound": order.lower_bound,
        "gap": order.gap,
    }


def table(rows: pd.DataFrame, command: str) -> str:
    """The orders in Markdown."""
    worst = rows["gap"].max()
    lines = [
        "# The orders of the study, made again",
        "",
        f"`{command}`: {len(rows)} orders of 512 problems, all with the recorded hash; the "
        f"largest certified gap of `min-path` is {100 * worst:.2f} % of the way from bound to random order.",
        "",
        "| cell | first problem | direction | cost | random order | bound | gap, % |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows.itertuples():
        proof = ("–", "–") if pd.isna(row.gap) else (f"{row.lower_bound:.5f}", f"{100 * row.gap:.2f}")
        lines.append(
            f"| {row.cell} | {row.first} | {row.direction} | {row.cost:.5f} | {row.random_cost:.5f} "
            f"| {proof[0]} | {proof[1]} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Make them, and write table and numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", nargs="?", type=Path, default=Path("configs/study/main.yaml"))
    parser.add_argument("--arms", nargs="+", default=["hammer", "min-path"])
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    given = parser.parse_args()
    study, rows = read_study(given.study), []
    for cell in trials(study):
        path = Path("results/study", study.study, f"{cell.name}.json")
        if cell.arm in given.arms and path.exists():
            rows.append(remade(cell, json.loads(path.read_text(encoding="utf-8"))))
            print(rows[-1], flush=True)
    command = f"python benchmarks/study_orders.py {given.study} --arms {' '.join(given.arms)}"
    (given.out / "study-orders.md").write_text(table(pd.DataFrame(rows), command), encoding="utf-8")
    (given.out / "study-orders.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
