"""The two figures of the README, drawn from committed records: ``python docs/figures.py``.

Each SVG carries the numbers that it shows as its description, and a test compares them with the records.
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd

from hammerlib.plots import colour, style
from hammerlib.study import contrasts
from hammerlib.study.pages import planned_cells, scale_table, study_folders
from hammerlib.study.records import read_records

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "figures"
NAMES = {"hammer": "HAMMER's order", "min-path": "minimum path", "dra": "DRA rewards"}
KINDS = ("clusters", "isotropic")  # those on which the exact heuristic LKH ended in time
SOLVERS = {
    "matrix greedy (T0)": "greedy (HAMMER's rule)",
    "ours, gap 0.1 %": "min-path",
    "elkai (LKH)": "LKH",
    "fast-tsp": "fast-tsp",
    "ortools": "OR-tools",
    "python-tsp": "python-tsp",
}
# Solver -> the instance that its name stands at, how far away in points, and the side that touches.
LABELS = {
    "greedy (HAMMER's rule)": ("clusters", (9, 0), "left"),
    "min-path": ("clusters", (9, 0), "left"),
    "LKH": ("isotropic", (9, -2), "left"),
    "fast-tsp": ("clusters", (-9, 0), "right"),
    "OR-tools": ("clusters", (-9, 0), "right"),
    "python-tsp": ("isotropic", (-9, 4), "right"),
}


def finding_numbers(table: pd.DataFrame) -> list[dict[str, object]]:
    """Rows of the first figure: a primary contrast in one study each, in points of area under the curve."""
    rows = []
    for row in table.dropna(subset=["low", "high"]).to_dict("records"):
        points = {name: round(100 * row[name], 2) + 0.0 for name in ("value", "low", "high")}
        differs = row["adjusted"] < contrasts.LEVELS["primary"] and not row["low"] <= 0 <= row["high"]
        arm, _, control = row["contrast"].partition(" - ")
        if arm not in NAMES or control != "random":
            continue  # other questions have figures of their own
        named = {"arm": arm, "parameters": int(row["parameters"]), "n": int(row["n"])}
        rows.append(named | points | {"differs": bool(differs)})
    return rows


def draw_finding(rows: list[dict[str, object]], path: Path) -> None:
    """Draw every primary contrast at every size; filled where the corrected test tells it from none."""
    fig, ax = plt.subplots(figsize=(5.6, 3.9))
    place, places, labels = 0.0, [], []
    for arm, name in NAMES.items():
        shade = colour(arm)
        ax.text(
            -0.02, place, name, color=shade, weight="bold", ha="right", va="center", transform=_beside(ax)
        )
        for row in [row for row in rows if row["arm"] == arm]:
            place += 1
            ax.plot([row["low"], row["high"]], [place, place], color=shade, linewidth=2)
            filled = shade if row["differs"] else "white"
            ax.plot(
                row["value"], place, "o", color=shade, markerfacecolor=filled, markersize=8, markeredgewidth=2
            )
            places.append(place)
            digits = ".2g" if row["parameters"] < 1e8 else ".0f"
            labels.append(f"{row['parameters'] / 1e6:{digits}} M, n = {row['n']}")
        place += 1.25
    ax.axvline(0, color="black", linewidth=1)
    ax.set_yticks(places, labels)
    ax.set(ylim=(place - 0.6, -0.6), xlabel="difference in area under held-out pass@1, points")
    ax.grid(axis="y", visible=False)
    left = -min(row["low"] for row in rows)
    ax.set_xlim(-left - 0.5, left)
    ax.text(-0.1, -0.5, "learns slower ", ha="right", color="#555555")
    ax.text(0.1, -0.5, " learns faster", ha="left", color="#555555")
    fig.suptitle(
        "HAMMER and DRA against shuffled\nGRPO: no gain found", x=0.02, ha="left", size=13, weight="bold"
    )
    _save(path, rows)


def _beside(ax: plt.Axes) -> matplotlib.transforms.Transform:
    """x in shares of the axes' width, y in data."""
    return ax.get_yaxis_transform()


def solver_numbers(results: list[dict[str, object]], n: int = 1000) -> list[dict[str, object]]:
    """Rows of the second figure: gap in per cent and seconds of each solver on instances of n items."""
    rows = []
    for row in results:
        if row["n"] == n and row["kind"] in KINDS and row["solver"] in SOLVERS:
            gap, seconds = round(100 * row["gap"], 4), round(row["seconds"], 4)
            rows.append(
                {"kind": row["kind"], "solver": SOLVERS[row["solver"]], "gap": gap, "seconds": seconds}
            )
    return rows


def draw_solvers(rows: list[dict[str, object]], path: Path) -> None:
    """Draw gap against seconds; two instances of one solver are joined by a line."""
    shades = {"min-path": colour("min-path"), "greedy (HAMMER's rule)": colour("hammer")}
    fig, ax = plt.subplots(figsize=(5.6, 3.6))
    for solver in SOLVERS.values():
        own = {row["kind"]: (row["seconds"], row["gap"]) for row in rows if row["solver"] == solver}
        shade = shades.get(solver, "#777777")
        ax.plot(*zip(*own.values(), strict=True), color=shade, linewidth=1, alpha=0.5)
        for kind, mark in zip(KINDS, "os", strict=True):
            ax.plot(*own[kind], mark, color=shade, markersize=8, label=kind if solver == "min-path" else None)
        kind, offset, side = LABELS[solver]
        ax.annotate(
            solver,
            own[kind],
            xytext=offset,
            textcoords="offset points",
            ha=side,
            va="center",
            color=shade,
            weight="bold" if solver in shades else "normal",
        )
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="seconds, one thread, 1,000 items",
        ylabel="gap to the best bound, %",
    )
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda number, _: f"{number:g}")
    legend = ax.legend(title="vectors", loc="lower left")
    for mark in legend.get_lines():
        mark.set_color("#777777")
    fig.suptitle("A near-optimal path in a tenth of a second", x=0.02, ha="left", size=13, weight="bold")
    _save(path, rows)


def _save(path: Path, rows: list[dict[str, object]]) -> None:
    plt.savefig(path, metadata={"Description": json.dumps(rows), "Date": None})
    plt.close()


def main() -> None:
    """Draw both from the records of this checkout."""
    style()
    plt.rcParams.update(
        {"font.size": 11.5, "axes.titlesize": 12, "legend.fontsize": 11, "xtick.labelsize": 11}
    )
    FOLDER.mkdir(exist_ok=True)
    studies = [
        read_records(folder, planned_cells(folder)) for folder in study_folders(ROOT / "results" / "study")
    ]
    draw_finding(finding_numbers(scale_table(studies)), FOLDER / "finding.svg")
    measured = json.loads((ROOT / "results" / "benchmarks" / "ordering.json").read_text(encoding="utf-8"))
    draw_solvers(solver_numbers(measured["results"]), FOLDER / "solvers.svg")


if __name__ == "__main__":
    main()
