"""Do committed cells of a study come out again, digit for digit?

    python benchmarks/rerun.py [STUDY.yaml] [--cells hammer__r00 dra__r07 | --cells all]

Runs the cells anew in an empty folder and compares the records with those of `results/study/NAME` in all
but seconds, commit and packages. Ends with 1 where one differs, and tells where. The whole grid:

    hammer sweep configs/study/main.yaml --workers 2 --root again
    python benchmarks/rerun.py --cells all --records again/main
 One thread and the processor
that the records come from give equal records; another processor may round otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: one thread makes it repeatable

from hammerlib.study.plan import read_study, trials
from hammerlib.study.records import unpack_counts
from hammerlib.study.trial import run_trial

APART = {"seconds", "commit", "dirty", "packages", "python", "seal"}


def differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Yield the places at which two records differ; what only the new one tells is no difference."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() - APART):
            yield from differences(old[key], new.get(key), f"{place}.{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from differences(*pair, f"{place}[{index}]")
    elif old != new:
        yield f"{place.lstrip('.')}: {str(old)[:60]} was recorded, {str(new)[:60]} came"


def main() -> int:
    """Run, compare, and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", nargs="?", type=Path, default=Path("configs/study/main.yaml"))
    parser.add_argument("--cells", nargs="+", default=["hammer__r00", "dra__r07"])
    parser.add_argument("--records", type=Path, help="compare the records of this folder; run nothing")
    given = parser.parse_args()
    study = read_study(given.study)
    named = {cell.name: cell for cell in trials(study)}
    kept = Path("results/study", study.study)
    wanted = [path.stem for path in sorted(kept.glob("*.json"))] if given.cells == ["all"] else given.cells
    worst = 0
    with tempfile.TemporaryDirectory() as place:
        for name in wanted:
            path = given.records / f"{name}.json" if given.records else run_trial(named[name], Path(place))
            if not Path(path).is_file():
                print(f"{name}: no record in {given.records}", flush=True)
                worst = 1
                continue
            records = [json.loads(file.read_text("utf-8")) for file in (kept / f"{name}.json", Path(path))]
            for record in records:
                unpack_counts(record)
            found = list(differences(*records))
            print(f"{name}: {'; '.join(found[:5]) or 'equal'}", flush=True)
            worst = max(worst, int(bool(found)))
    print(f"{len(wanted)} cells compared")
    return worst


if __name__ == "__main__":
    sys.exit(main())
