"""How long each notebook of the walk takes, kernel and page included: the seconds in docs/walk.md.

    make run && python benchmarks/notebooks.py [--runs results/runs] [--profile laptop]

Reads the execution record of each notebook's newest run, writes `results/benchmarks/notebooks.json`, and from
it the last column of that table. To be called after `make run` in a fresh clone, where nothing was
reused; else the times are those of whatever was left to do. Notebooks run side by side: `walk` is the time
from the first one's start to the last one's end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
from pathlib import Path

from hammerlib.runs.storage import write_json

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "results" / "benchmarks" / "notebooks.json"
ROW = re.compile(
    r"^\| \[[^]]+\]\(\.\./notebooks/(?P<name>\w+)\.ipynb\) \|.*\| (?P<seconds>[\d.]+|–) \|$", re.MULTILINE
)


def measured(runs: Path, profile: str) -> dict[str, object]:
    """Whole seconds by notebook, with the commit they were made from; all of one commit."""
    seconds, commits, spans = {}, set(), []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        found = sorted(runs.glob(f"{path.stem}__{profile}__*/execution.json"), key=os.path.getmtime)
        if not found:
            raise SystemExit(f"{path.stem}: no run of profile {profile} in {runs}; run it first")
        manifest = json.loads(found[-1].with_name("manifest.json").read_text(encoding="utf-8"))
        commits.add((manifest["git"]["commit"], manifest["git"]["dirty"]))
        took = json.loads(found[-1].read_text(encoding="utf-8"))["seconds"]
        seconds[path.stem] = round(took)
        # The execution record is written last, when the page is done.
        ended = found[-1].stat().st_mtime
        spans.append((ended - took, ended))
    if len(commits) > 1 or any(dirty for _, dirty in commits):
        raise SystemExit(
            f"runs of {len(commits)} commits or of changed code; run all of them in a fresh clone"
        )
    ((commit, _),) = commits
    machine = {"cores": os.cpu_count(), "system": platform.system(), "machine": platform.machine()}
    walk = round(max(end for _, end in spans) - min(start for start, _ in spans))
    return {"profile": profile, "commit": commit, **machine, "walk": walk, "seconds": seconds}


def told(page: str, seconds: dict[str, int]) -> str:
    """The page with the measured seconds in the last column of its table of notebooks."""

    def row(match: re.Match[str]) -> str:
        start, end = (place - match.start() for place in match.span("seconds"))
        return match.group()[:start] + str(seconds.get(match["name"], "–")) + match.group()[end:]

    return ROW.sub(row, page)


def main() -> None:
    """Write the record and the column of the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=ROOT / "results" / "runs")
    parser.add_argument("--profile", default="laptop")
    options = parser.parse_args()
    found = measured(options.runs, options.profile)
    write_json(KEPT, found)
    page = ROOT / "docs" / "walk.md"
    page.write_text(told(page.read_text(encoding="utf-8"), found["seconds"]), encoding="utf-8")
    print("\n".join(f"{name}: {value} s" for name, value in found["seconds"].items()))


if __name__ == "__main__":
    main()
