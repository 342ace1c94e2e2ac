"""What a sweep costs over bare sequential training of the same cells, and what a second worker gains.

    python benchmarks/sweep.py [--replicates 3] [--rounds 2] [--problems 96]

Three ways do the same cells of one study (two arms, nano), each as a command of its own, in turn, `--rounds`
times: a plain loop of `run_trial` in one process, `hammer sweep --workers 1` and `hammer sweep --workers 2`.
Times are those of whole commands, imports included, and CPU seconds those of all their processes. The records
of the three ways must be equal but for their seconds; else nothing is written.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

LOOP = """
import sys
from hammerlib.study.trial import run_trial
from hammerlib.study.plan import read_study, trials
for cell in trials(read_study(sys.argv[1])):
    run_trial(cell, sys.argv[2])
"""
SWEEP = (sys.executable, "-m", "hammerlib.cli", "sweep")
WAYS = ("bare loop", "one worker", "two workers")


def study(replicates: int, problems: int) -> dict[str, object]:
    """A study of two arms that starts from the shipped checkpoint."""
    return {
        "study": "benchmark",
        "replicates": replicates,
        "starts": {"backbone": "nano"},
        "n_problems": problems,
        "n_held_out": 64,
        "points": 2,
        "samples": 2,
        "final_samples": 2,
        "base": {"prompts_per_step": 8, "group_size": 8, "learning_rate": 2e-4},
        "arms": {"random": {"order": "random"}, "hammer": {"order": "hammer"}},
    }


def command(way: str, file: Path, root: Path) -> list[str]:
    """Words of one way."""
    if way == "bare loop":
        return [sys.executable, "-c", LOOP, str(file), str(root)]
    return [*SWEEP, str(file), "--root", str(root), "--workers", "2" if way == "two workers" else "1"]


def timed(words: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command with its children; it must succeed."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def without_seconds(value: object) -> object:
    """A record without machine time."""
    if isinstance(value, dict):
        return {key: without_seconds(one) for key, one in value.items() if key != "seconds"}
    return [without_seconds(one) for one in value] if isinstance(value, list) else value


def records(root: Path) -> dict[str, object]:
    """All records of a root by name."""
    paths = sorted(root.rglob("*.json"))
    return {path.name: without_seconds(json.loads(path.read_text(encoding="utf-8"))) for path in paths}


def measure(asked: dict[str, object], rounds: int) -> dict[str, np.ndarray]:
    """Wall and CPU seconds (rounds, 2) of every way, in turn."""
    seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    number = asked["replicates"] * len(asked["arms"])
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "benchmark.yaml")
        file.write_text(yaml.safe_dump(asked, sort_keys=False))
        first = None
        for one in range(rounds):
            for way in (*WAYS[one % 3 :], *WAYS[: one % 3]):
                root = Path(place, f"{one}-{way[:3]}")
                seconds[way].append(timed(command(way, file, root)))
                wall, cpu = seconds[way][-1]
                print(f"round {one + 1} {way:12} {wall:.1f} s, {cpu:.1f} CPU s", flush=True)
                made = records(root)
                first = first or made
                assert made == first and len(made) == number, "the records differ"
    return {way: np.array(times) for way, times in seconds.items()}


def table(found: dict[str, object]) -> str:
    """The results in Markdown."""
    asked, rows = found["study"], found["rows"]
    number = asked["replicates"] * len(asked["arms"])
    lines = [
        "# A sweep beside bare sequential training",
        "",
        f"`python benchmarks/sweep.py --replicates {asked['replicates']} --rounds {found['rounds']} "
        f"--problems {asked['n_problems']}`: the same {number} cells in three ways, whole commands with "
        f"their imports, one thread a process, {found['cores']} cores; load {found['load'][0]:.1f} before, "
        f"{found['load'][1]:.1f} after (1 is one busy process); medians over {found['rounds']} round(s) in "
        "turn, ratios within a round. The records of all ways are equal but for their seconds.",
        "",
        "| way | wall s | CPU s | wall to bare loop | CPU to bare loop | speed-up over bare loop |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['way']} | {row['wall']:.1f} | {row['cpu']:.1f} | {row['wall_ratio']:.3f} "
            f"| {row['cpu_ratio']:.3f} | {1 / row['wall_ratio']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write table and numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replicates", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--problems", type=int, default=96)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    chosen = parser.parse_args()
    asked = study(chosen.replicates, chosen.problems)
    before = os.getloadavg()[0]
    seconds = measure(asked, chosen.rounds)
    bare = seconds["bare loop"]
    rows = [
        {
            "way": way,
            "wall": float(np.median(times[:, 0])),
            "cpu": float(np.median(times[:, 1])),
            "wall_ratio": float(np.median(times[:, 0] / bare[:, 0])),
            "cpu_ratio": float(np.median(times[:, 1] / bare[:, 1])),
            "rounds": times.tolist(),
        }
        for way, times in seconds.items()
    ]
    told = {"rounds": chosen.rounds, "cores": os.cpu_count(), "load": [before, os.getloadavg()[0]]}
    found = told | {"study": asked, "rows": rows}
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "sweep.json").write_text(json.dumps(found, indent=1) + "\n")
    (chosen.out / "sweep.md").write_text(table(found))
    print(table(found))


if __name__ == "__main__":
    main()
