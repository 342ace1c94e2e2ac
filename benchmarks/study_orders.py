"""The orders of a study made again from their starts and problems: are they the recorded ones, and how good?

    python benchmarks/study_orders.py [STUDY.yaml] [--arms hammer min-path]

Trains nothing. For every cell in `results/study/NAME` of these arms the order is made anew and its hash must
be the record's. Told are first problem, direction, cost, and for `min-path` the certified gap: how far it can
be from the best path, as a share of the way from the bound to a random order; and what treatment the order
is: how alike the problems of one step are and how many topics they have, and how alike problems are two
places apart.
All cosines are of the vectors that orders of this study are made from.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: one thread makes vectors repeatable

import numpy as np
import pandas as pd

from hammerlib import load_backbone
from hammerlib.similarity import unit_rows
from hammerlib.study.orders import arm_order, order_vectors
from hammerlib.study.plan import Trial, read_study, trials
from hammerlib.study.trial import replicate


def remade(cell: Trial, record: dict) -> dict:
    """One order made again, beside what its record says."""
    shared, config = replicate(cell.study, cell.replicate), cell.study.config(cell.arm)
    backbone = load_backbone(shared.start, dtype="float32")
    other = f"{cell.name}: another start than the recorded one; made on another kind of processor?"
    assert backbone.weights_hash == record["start"]["weights"], other
    how = {"layer": config.layer, "pooling": config.pooling, "template": config.template}
    vectors_of = functools.partial(
        order_vectors, problems=shared.problems, backbone=backbone, seed=shared.number, **how
    )
    vectors = vectors_of(cell.study.order(cell.arm).vectors)
    order = arm_order(cell.study.order(cell.arm), shared.problems, vectors_of, seed=shared.number)
    assert order.hash == record["order"]["hash"], f"{cell.name}: another order than the recorded one"
    units = unit_rows(np.asarray(vectors.vectors, dtype=np.float64))[order.permutation]
    topics = np.array(shared.problems["topic"])[order.permutation]
    size = config.prompts_per_step
    batches = [units[first : first + size] for first in range(0, len(units), size)]
    off_diagonal = ~np.eye(size, dtype=bool)
    return {
        "cell": cell.name,
        "arm": cell.arm,
        "batch_cosine": float(np.mean([(batch @ batch.T)[off_diagonal].mean() for batch in batches])),
        "batch_topics": float(
            np.mean([len(set(topics[first : first + size])) for first in range(0, len(topics), size)])
        ),
        "lag_2": float((units[:-2] * units[2:]).sum(axis=1).mean()),
        "first": int(order.permutation[0]),
        "direction": order.provenance["direction"],
        "cost": order.cost,
        "random_cost": order.random_cost,
        "lower_bound": order.lower_bound,
        "gap": order.gap,
    }


def table(rows: pd.DataFrame, command: str, n: int) -> str:
    """The orders in Markdown."""
    worst = rows["gap"].max()
    lines = [
        "# The orders of the study, made again",
        "",
        f"`{command}`: {len(rows)} orders of {n} problems, all with the recorded hash; the "
        f"largest certified gap of `min-path` is {100 * worst:.2f} % of the way from bound to random order.",
        "",
        "| arm | orders | cosine within a step | topics a step | cosine of neighbours | two places apart |",
        "|---|---|---|---|---|---|",
    ]
    for arm, own in rows.groupby("arm", sort=False):
        mean = own[["batch_cosine", "batch_topics", "cost", "lag_2"]].mean()
        lines.append(
            f"| {arm} | {len(own)} | {mean.batch_cosine:.3f} | {mean.batch_topics:.2f} | {mean.cost:.3f} "
            f"| {mean.lag_2:.3f} |"
        )
    lines += [
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
    parser.add_argument("--arms", nargs="+", default=["random", "hammer", "min-path"])
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    given = parser.parse_args()
    study, rows = read_study(given.study), []
    for cell in trials(study):
        path = Path("results/study", study.study, f"{cell.name}.json")
        if cell.arm in given.arms and path.exists():
            rows.append(remade(cell, json.loads(path.read_text(encoding="utf-8"))))
            print(rows[-1], flush=True)
    command = f"python benchmarks/study_orders.py {given.study} --arms {' '.join(given.arms)}"
    name = "study-orders" if study.study == "main" else f"study-orders-{study.study}"
    text = table(pd.DataFrame(rows), command, study.n_problems)
    (given.out / f"{name}.md").write_text(text, encoding="utf-8")
    (given.out / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
