"""How often the intervals hold the truth, and how often they find a difference, over a grid of benchmarks.

    python benchmarks/intervals.py [--draws 250] [--seed 0]

Pairs of runs over the same problems are drawn at n problems, k samples and known solve rates: equal ones, or
spread between problems (a beta law). The better run gains the same share of what is missing on every problem.
Coverage: share of draws whose interval holds the true mean difference. Power: share whose interval excludes
zero, beside that of the permutation test on the same draws (2,000 random sign flips). With seeds, solve rates
move by seed and by seed and problem; the test then gets one number a seed, as it has to.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from hammerlib.evaluation import bootstrap_interval, paired_interval

PROBLEMS, SAMPLES = (30, 128, 500, 1319), (1, 8, 64)
RATES, GAINS = (0.01, 0.1, 0.5, 0.9, 0.99), (0.0, 0.02, 0.05, 0.1)
SEEDS, SEED_RATES, SEED_SPREADS = (2, 3, 5, 10), (0.1, 0.5, 0.9), (0.0, 0.3)
METHODS = ("adjusted", "guarded", "student")
DRAWS_AND_STUDENT = ("bootstrap-t", "bca", "percentile", "student")
AGAIN = 2000  # draws of a cell that fell below .94
SLOW = 20  # draws of the guarded interval a cell
FLIPS = 2000
LEVEL = 0.05


def pair(n: int, k: int, rate: float, spread: bool, gain: float, draws: int, rng: np.random.Generator):
    """Shares of right samples of two runs, (draws, n) each; `gain` is their true mean difference."""
    low = rng.beta(rate, 1 - rate, (draws, n)) if spread else np.full((draws, n), rate)
    high = np.minimum(low + gain / (1 - rate) * (1 - low), 1.0)
    return rng.binomial(k, low) / k, rng.binomial(k, high) / k


def flips(differences: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """p-values of the sign flips of many samples of differences, (draws, n)."""
    signs = rng.choice([-1.0, 1.0], (FLIPS, differences.shape[1]))
    seen = np.abs(differences.sum(axis=1))
    as_extreme = (np.abs(signs @ differences.T) >= seen - 1e-9).sum(axis=0)
    return (as_extreme + 1) / (FLIPS + 1)


def judged(make: Callable, sides: list, truth: float) -> dict[str, float]:
    """Coverage, power and mean width of one interval over draws."""
    found = np.array([make(*side) for side in sides])
    low, high = found[:, 1], found[:, 2]
    held = (low <= truth + 1e-12) & (truth - 1e-12 <= high)
    return {"coverage": held.mean(), "power": ((low > 0) | (high < 0)).mean(), "width": (high - low).mean()}


def of_method(method: str) -> Callable:
    return lambda a, b: paired_interval(a, b, method=method)


def plain(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """Student's interval; of width zero where all differences are equal, which `paired_interval` refuses."""
    if np.ptp(b - a) < 1e-12:
        return ((b - a).mean(),) * 3
    return paired_interval(a, b, method="student")


def problem_cells(
    draws: int, seed: int, problems=PROBLEMS, samples=SAMPLES, methods=METHODS
) -> Iterator[dict]:
    """One row a cell and method, for runs of one seed."""
    for n in problems:
        for k in samples:
            for rate in RATES:
                for spread in (False, True):
                    for gain in GAINS:
                        if gain > 1 - rate + 1e-12:
                            continue
                        yield from problem_cell(n, k, rate, spread, gain, draws, seed, methods)


def problem_cell(
    n: int, k: int, rate: float, spread: bool, gain: float, draws: int, seed: int, methods=METHODS
) -> Iterator[dict]:
    """One row a method."""
    rng = np.random.default_rng([seed, n, k, int(1000 * rate), int(spread), int(1000 * gain)])
    a, b = pair(n, k, rate, spread, gain, draws, rng)
    test = float((flips(b - a, rng) <= LEVEL).mean())
    named = {"n": n, "k": k, "rate": rate, "spread": spread, "gain": gain, "test": test, "seeds": 1}
    for method in methods:
        some = SLOW if method == "guarded" else draws
        make = plain if method == "student" else of_method(method)
        sides = list(zip(a[:some], b[:some], strict=True))
        yield {**named, "method": method, **judged(make, sides, gain)}


def drawn_again(cells: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The cells of `adjusted` with one seed that fell below .94, with many new draws."""
    low = cells[(cells["method"] == "adjusted") & (cells["seeds"] == 1) & (cells["coverage"] < 0.94)]
    rows = []
    for row in low.itertuples():
        place = (row.n, row.k, row.rate, row.spread, row.gain)
        rows += problem_cell(*place, AGAIN, seed + 1, ("adjusted",))
    return pd.DataFrame(rows)


def seed_cells(draws: int, seed: int, problems=(30, 128), samples=(1, 8), seeds=SEEDS) -> Iterator[dict]:
    """One row a cell, for runs of several seeds crossed with problems."""
    for n in problems:
        for k in samples:
            for count in seeds:
                for rate in SEED_RATES:
                    for moved in SEED_SPREADS:
                        for shift in (0.0, 0.5):
                            cell = [n, k, count, int(1000 * rate), int(10 * moved), int(10 * shift)]
                            rng = np.random.default_rng([seed, *cell])
                            yield _seed_cell(n, k, count, rate, moved, shift, draws, rng)


def _seed_cell(n, k, count, rate, moved, shift, draws, rng) -> dict:
    def rates(rows: int, seeds: int, problems: int) -> tuple[np.ndarray, np.ndarray]:
        level = np.log(rate / (1 - rate)) + 1.5 * rng.normal(size=(rows, 1, problems))
        sides = []
        for up in (0.0, shift):
            noise = moved * rng.normal(size=(rows, seeds, 1)) + moved * rng.normal(
                size=(rows, seeds, problems)
            )
            sides.append(1 / (1 + np.exp(-(level + up + noise))))
        return sides[0], sides[1]

    truth = 0.0
    if shift:
        low, high = rates(4000, 1, 50)
        truth = float((high - low).mean())
    low, high = rates(draws, count, n)
    a, b = rng.binomial(k, low) / k, rng.binomial(k, high) / k
    test = float((flips((b - a).mean(axis=2), rng) <= LEVEL).mean())
    named = {"n": n, "k": k, "rate": rate, "spread": bool(moved), "gain": truth, "test": test, "seeds": count}
    return {
        **named,
        "method": "adjusted",
        **judged(of_method("adjusted"), list(zip(a, b, strict=True)), truth),
    }


def token_cells(draws: int, seed: int, n: int = 40, methods=DRAWS_AND_STUDENT) -> Iterator[dict]:
    """Forty positive, skewed values: coverage of each method of the bootstrap."""
    laws = {
        "exponential": (lambda rng, size: rng.exponential(1, size), 1.0),
        "lognormal, sigma 0.8": (lambda rng, size: rng.lognormal(0, 0.8, size), np.exp(0.32)),
        "lognormal, sigma 1": (lambda rng, size: rng.lognormal(0, 1, size), np.exp(0.5)),
        "gamma, shape 0.5": (lambda rng, size: rng.gamma(0.5, 1, size), 0.5),
        "a tenth cut off at 1,024": (_cut_off, 102.4 + 0.9 * 120),
    }
    for place, (name, (law, truth)) in enumerate(laws.items()):
        rng = np.random.default_rng([seed, place])
        samples = [law(rng, n) for _ in range(draws)]
        for method in methods:
            made = (bootstrap_interval(one, method=method, bounds=(0, np.inf)) for one in samples)
            held = [found.low <= truth <= found.high for found in made]
            yield {"law": name, "method": method, "coverage": float(np.mean(held))}


def _cut_off(rng: np.random.Generator, size: int) -> np.ndarray:
    return np.where(rng.random(size) < 0.1, 1024, rng.gamma(2, 60, size))


def summary(cells: pd.DataFrame) -> pd.DataFrame:
    """One row a method and number of seeds."""
    rows = []
    for (seeds, method), part in cells.groupby(["seeds", "method"], sort=True):
        effects = part[part["gain"] > 0]
        behind = effects["power"] - effects["test"]
        comparable = behind if seeds == 1 or seeds > 5 else behind[:0]  # five seeds: no p below 2 / 2**5
        rows.append(
            {
                "seeds": seeds,
                "method": method,
                "cells": len(part),
                "mean coverage": part["coverage"].mean(),
                "least coverage": part["coverage"].min(),
                "cells below .94": int((part["coverage"] < 0.94).sum()),
                "mean power less test": comparable.mean(),
                "least power less test": comparable.min(),
                "cells more than .05 behind": int((comparable < -0.05).sum()),
            }
        )
    return pd.DataFrame(rows)


def page(cells: pd.DataFrame, again: pd.DataFrame, tokens: pd.DataFrame, command: str, draws: int) -> str:
    """The figures in Markdown."""
    error = np.sqrt(0.95 * 0.05 / draws)
    worst = cells[(cells["method"] == "adjusted") & (cells["gain"] > 0)].copy()
    worst["behind"] = worst["test"] - worst["power"]
    worst = worst[(worst["seeds"] == 1) | (worst["seeds"] > 5)].sort_values("behind", ascending=False).head(8)
    low = again.sort_values("coverage").head(8)
    shown = ["seeds", "n", "k", "rate", "spread", "gain", "coverage", "power", "test", "width"]
    lines = [
        "# Intervals of paired differences: coverage and power",
        "",
        f"`{command}`; its head says what is drawn. {draws} draws a cell ({SLOW} for `guarded`): the "
        f"standard error of a coverage of .95 is {error:.3f}, so that some of many cells fall below .94 by "
        "chance. Power is compared with the permutation test on the same draws; with several seeds only "
        "where the test can reach .05 (six seeds or more).",
        "",
        summary(cells).to_markdown(index=False, floatfmt=".3f"),
        "",
        f"The {len(again)} cells of `adjusted` with one seed below .94 drawn again, {AGAIN} times "
        f"with another seed (standard error {np.sqrt(0.95 * 0.05 / AGAIN):.3f}): "
        f"mean {again['coverage'].mean():.3f}, {int((again['coverage'] < 0.94).sum())} below .94. The least:",
        "",
        low[shown].to_markdown(index=False, floatfmt=".3f"),
        "",
        "Cells of `adjusted` furthest behind the test:",
        "",
        worst[shown].to_markdown(index=False, floatfmt=".3f"),
        "",
        "Coverage of `bootstrap_interval` with forty skewed values:",
        "",
        tokens.pivot(index="law", columns="method", values="coverage").to_markdown(floatfmt=".3f"),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Draw, judge, and write table and numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    given = parser.parse_args()
    since = time.process_time()
    rows = [*problem_cells(given.draws, given.seed), *seed_cells(given.draws, given.seed)]
    cells, tokens = pd.DataFrame(rows), pd.DataFrame(token_cells(given.draws, given.seed))
    again = drawn_again(cells, given.seed)
    print(summary(cells).to_string(), f"\n{time.process_time() - since:.0f} CPU seconds")
    command = f"python benchmarks/intervals.py --draws {given.draws} --seed {given.seed}"
    (given.out / "intervals.md").write_text(
        page(cells, again, tokens, command, given.draws), encoding="utf-8"
    )
    numbers = {
        "command": command,
        "cells": cells.round(4).to_dict("records"),
        "again": again.round(4).to_dict("records"),
        "tokens": tokens.to_dict("records"),
    }
    (given.out / "intervals.json").write_text(json.dumps(numbers) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
