"""Every printed contrast of the primary endpoint, computed again from the records by other code.

    python benchmarks/recompute.py [results/study/main ...]

Nothing of `hammerlib` is imported: records are read as JSON, areas, intervals and tests are written out here
from their definitions (numpy, and Student's distribution of scipy), and every row "arm - control" of the
table "Contrasts" of a study's page must agree to the last printed digit. A page whose text and records
disagree ends the script with 1 and names the row.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import re
import sys
from pathlib import Path

import numpy as np
from scipy.stats import t as student

MARGIN = 0.01  # smallest effect of interest, pass@1
LEVEL = 0.95
EXACT = 20  # replicates up to which all flips of signs are counted
ROW = re.compile(r"^\| (\*\*)?([\w-]+) - ([\w-]+?)(?:\*\*)? \| (\d+) \| (.*) \|$")


def area(record: dict) -> float:
    """Trapezoids under held-out pass@1 of the families that are trained on, over the rollouts generated."""
    trained = [number for number, topic in enumerate(record["topics"]) if topic not in record["unseen"]]
    samples = record["settings"]["samples"]
    points = [(point["rollouts"], point["correct"]) for point in record["curve"]]
    heights = [sum(int(right[number]) for number in trained) / samples / len(trained) for _, right in points]
    total = 0.0
    for (left, right), (low, high) in zip(
        itertools.pairwise([x for x, _ in points]), itertools.pairwise(heights), strict=True
    ):
        total += (right - left) * (low + high) / 2
    return total / (points[-1][0] - points[0][0])


def read(folder: Path) -> dict[str, dict[int, float]]:
    """Area of each finished trial, by arm and replicate."""
    areas: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob("*__r*.json")):
        record = json.loads(path.read_text())
        if record["status"] == "success":
            areas.setdefault(record["arm"], {})[record["replicate"]] = area(record)
    return areas


def computed(ours: dict[int, float], control: dict[int, float]) -> dict[str, float]:
    """Paired difference with Student's interval, its p, that of all flips of signs, and of equivalence."""
    shared = sorted(ours.keys() & control.keys())
    gaps = np.array([ours[number] - control[number] for number in shared])
    n = len(gaps)
    mean, error = gaps.mean(), gaps.std(ddof=1) / math.sqrt(n)
    half = student.ppf((1 + LEVEL) / 2, n - 1) * error
    # Two one-sided tests: the larger p of "at most -margin" and "at least margin".
    below, above = student.sf((mean + MARGIN) / error, n - 1), student.cdf((mean - MARGIN) / error, n - 1)
    result = {"n": n, "difference": mean, "low": mean - half, "high": mean + half}
    result |= {"p": 2 * student.sf(abs(mean) / error, n - 1), "equivalence": max(below, above)}
    result["ahead"] = float(np.mean(gaps > 0) + np.mean(gaps == 0) / 2)
    if n <= EXACT:
        # Every choice of signs at once: bit b of a number says whether difference b is turned.
        choices = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        sums = np.abs((1 - 2 * choices) @ gaps)
        result["signs"] = float(np.mean(sums >= abs(gaps.sum()) - 1e-12))
    return result


def holm(values: list[float]) -> list[float]:
    """Holm's corrected p-values, in the order given."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    corrected, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = largest
    return corrected


def points(value: float) -> str:
    return f"{100 * value:.1f}"


def probability(value: float) -> str:
    """A p-value as the pages print it."""
    if value < 0.001:
        return "p < .001"
    return "p = 1" if value >= 0.9995 else f"p = {value:.3f}".replace("0.", ".", 1)


def check(folder: Path) -> tuple[int, list[str]]:
    """Return how many rows of a page were computed again, and what does not agree."""
    areas, rows, faults = read(folder), [], []
    text = (folder / "README.md").read_text()
    section = text.split("\n## Contrasts\n", 1)[1].split("\n## ", 1)[0]
    for line in section.splitlines():
        match = ROW.match(line)
        if match and match[2] in areas and match[3] in areas:
            rows.append((bool(match[1]), match[2], match[3], int(match[4]), match[5].split(" | ")))
    results = [computed(areas[arm], areas[control]) for _, arm, control, _, _ in rows]
    primary = [number for number, row in enumerate(rows) if row[0]]
    corrected = dict(zip(primary, holm([results[number]["p"] for number in primary]), strict=True))
    for number, (_, arm, control, n, cells) in enumerate(rows):
        value = results[number]
        difference = f"{points(value['difference'])} [{points(value['low'])}, {points(value['high'])}]"
        expected = {0: difference, 1: probability(value["p"]), 4: probability(value["equivalence"])}
        if "signs" in value:
            expected[3] = probability(value["signs"])
        if number in corrected:
            expected[2] = probability(corrected[number]) + " (H)"
        printed = {column: cells[column].replace("°", "") for column in expected}
        if n != value["n"] or printed != expected:
            name = f"{folder.name}: {arm} - {control}"
            faults.append(f"{name}: printed n = {n}, {printed}; computed n = {value['n']}, {expected}")
    if not rows:
        faults.append(f"{folder.name}: there is no contrast on the page")
    return len(rows), faults


def main() -> int:
    """Check the pages named, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path)
    folders = parser.parse_args().folders
    if not folders:
        folders = sorted(page.parent for page in Path("results/study").glob("*/README.md"))
    faults = []
    for folder in folders:
        number, wrong = check(folder)
        print(f"{folder}: {number} contrasts computed again, {len(wrong)} differ")
        faults += wrong
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
