"""Stored completions graded again: a new record beside the old one, and what changed."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError
from hammerlib.evaluation.benchmarks import BENCHMARKS, gold_version, load_benchmark
from hammerlib.evaluation.imports import write_graded
from hammerlib.evaluation.judging import grading_identity
from hammerlib.evaluation.lines import BadLine, read_lines, refuse_bad
from hammerlib.grading import GradingPool, grader_version
from hammerlib.runs import RunRecord, claimed, find_run, start_run
from hammerlib.runs.storage import atomic_path, content_hash, file_hash, results_root

if TYPE_CHECKING:
    from datasets import Dataset

NEEDED = {"id", "sample", "completion"}
BEFORE = ("correct", "extracted", "reason", "grader")
# What of the old record still holds for the new one.
KEPT = ("backbone", "revision", "weights_hash", "device", "dtype", "prompt", "overlap", "partial", "imported")


def regrade(
    run: RunRecord | str | Path,
    *,
    benchmark: Dataset | str | None = None,
    columns: dict[str, str] | None = None,
    skip_bad: bool = False,
    workers: int | None = None,
    run_code: bool = False,
    root: Path | None = None,
) -> RunRecord:
    """Grade the completions of a finished run with the grader at hand; the old record stays as it is.

    Parameters
    ----------
    run : RunRecord, str or path
        A run of `evaluate`, `import_completions` or `regrade`, its folder, or its name below `root`.
    benchmark : datasets.Dataset or str, optional
        Other golds for the same problem ids; default: the problems stored in the run.
    columns : dict, optional
        Of a `benchmark` that is a source of problems, as for `load_problems`.
    skip_bad : bool
        Leave out corrupt lines of the samples file; they are listed in the record.
    workers : int, optional
        Processes that grade; default: the processors, at most 4. The verdicts do not depend on it.
    run_code : bool
        As for `evaluate`.
    root : Path, optional
        Folder of runs, default `storage.results_root()`.

    Returns
    -------
    RunRecord
        With new ``samples.jsonl`` and metrics, ``transitions.csv`` (reason before, reason after, samples) and
        ``changes.csv`` (every sample whose verdict or extracted answer changed). The same run, golds and
        grader give the same record, returned at once. Of a partial run the problems that have all their
        samples, again with status ``partial``.

    Raises
    ------
    InputError
        No such run; one that was killed or ended with an error; no completions, bad lines or problems missing
        in it; golds without one of its problems; code to run without `run_code`.

    Examples
    --------
    >>> import hammerlib, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> old = hammerlib.evaluate("nano", "reasoning-gym:nano", n=2, k=2, max_new_tokens=4, root=folder)
    >>> new = regrade(old, root=folder)
    >>> new.run_id != old.run_id, new.manifest["regraded"]["changed"]
    (True, 0)
    """
    from hammerlib.problems import fingerprint

    old = _run_of(run, root)
    path = old.folder / "samples.jsonl"
    rows, bad = _samples(path)
    refuse_bad(path, bad, skip_bad)
    if not skip_bad:  # else the lines that cannot be read are left out, and named in the record
        old.check("samples.jsonl")
    if benchmark is None:
        old.check("problems.jsonl", present=True)
    rows = _finished(old, rows)
    problems = _problems(old, benchmark, columns)
    known = set(problems["id"])
    lost = sorted({row["id"] for row in rows} - known)
    if lost:
        remedy = "give golds with the same ids"
        raise InputError("benchmark", lost[0], f"{len(lost)} problems of the run are missing", remedy)
    before = [{name: row.get(name) for name in BEFORE} for row in rows]
    parameters = {
        "regraded": old.run_id,
        "samples_sha256": file_hash(path),
        "problems_fingerprint": fingerprint(problems),
        "skip_bad": skip_bad,
        "grader": grader_version(),
        **grading_identity(problems, run_code),
    }
    run_id = f"regrade__{old.run_id.partition('__')[2][:50]}__{content_hash(parameters)[:10]}"
    with claimed(run_id, root) as place:
        done = find_run(run_id, place)
        if done is not None:
            return done
        asked = {"original": old.manifest["parameters"]} | parameters
        with (
            start_run(
                "regrade", parameters=asked, seeds=old.manifest["seeds"], run_id=run_id, root=place
            ) as new,
            contextlib.closing(GradingPool(workers, run_code=run_code)) as pool,
        ):
            new.note(**{name: old.manifest[name] for name in KEPT if name in old.manifest})
            gold = gold_version(benchmark) if isinstance(benchmark, str) else old.manifest.get("gold")
            new.note(gold=gold, problems_fingerprint=parameters["problems_fingerprint"])
            write_graded(new, problems, rows, pool)
            _write_changes(new, old, rows, before, bad)
            if old.status == "partial":
                new.finish(partial=True)
    return new


def _run_of(run: RunRecord | str | Path, root: Path | None) -> RunRecord:
    if isinstance(run, RunRecord):
        return _settled(run)
    for folder in (Path(run), Path(root or results_root()) / run):
        if (folder / "manifest.json").exists():
            return _settled(RunRecord.load(folder))
    raise InputError(
        "run", str(run), "holds no manifest.json", "name a run folder, e.g. results/runs/evaluate__..."
    )


def _settled(run: RunRecord) -> RunRecord:
    if run.status not in ("success", "partial"):
        remedy = "finish it first: the same command goes on (--seconds 0 only summarises what is there)"
        raise InputError("run", run.run_id, f"has status {run.status}", remedy)
    return run


def _finished(old: RunRecord, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the problems that have all their samples, where the run was interrupted."""
    k = old.manifest["parameters"].get("k")
    if old.status != "partial" or k is None:
        return rows
    counts = Counter(row["id"] for row in rows)
    rows = [row for row in rows if counts[row["id"]] == k]
    if not rows:
        raise InputError("run", old.run_id, f"has no problem with all {k} samples", "finish it first")
    return rows


def _samples(path: Path) -> tuple[list[dict[str, Any]], list[BadLine]]:
    if not path.is_file():
        remedy = "name a run of hammer evaluate (published copies hold no completions)"
        raise InputError("run", path.parent.name, "holds no samples.jsonl", remedy)
    found, bad = read_lines(path)
    bad += [
        BadLine(line, f"lacks {', '.join(sorted(NEEDED - set(row)))}")
        for line, row in found
        if NEEDED - set(row)
    ]
    rows = [row for _, row in found if set(row) >= NEEDED]
    if not rows:
        problem = "holds no sample: its samples.jsonl is empty"
        raise InputError("run", path.parent.name, problem, "name a finished run")
    return rows, bad


def _problems(old: RunRecord, benchmark: Dataset | str | None, columns: dict[str, str] | None) -> Dataset:
    from hammerlib.problems import make_table
    from hammerlib.problems.files import read_records

    if benchmark is not None:
        return load_benchmark(benchmark, columns=columns) if isinstance(benchmark, str) else benchmark
    stored = old.folder / "problems.jsonl"
    if stored.is_file():
        return make_table(read_records(stored))
    label = old.manifest["parameters"].get("benchmark", "")
    if label.partition("@")[0] in BENCHMARKS:  # records before problems were stored
        return load_benchmark(label)
    remedy = "name its golds: --benchmark"
    raise InputError("run", old.run_id, "holds no problems.jsonl", remedy)


def _write_changes(
    new: RunRecord,
    old: RunRecord,
    rows: list[dict[str, Any]],
    before: list[dict[str, Any]],
    bad: list[BadLine],
) -> None:
    import pandas as pd

    moves = Counter((str(was["reason"]), row["reason"]) for row, was in zip(rows, before, strict=True))
    changes = [
        {"id": row["id"], "sample": row["sample"]}
        | {"before": was["reason"], "after": row["reason"]}
        | {"extracted_before": was["extracted"], "extracted_after": row["extracted"]}
        for row, was in zip(rows, before, strict=True)
        if (was["reason"], was["extracted"]) != (row["reason"], row["extracted"])
    ]
    names = ["id", "sample", "before", "after", "extracted_before", "extracted_after"]
    tables = {
        "transitions.csv": pd.DataFrame(
            [(*pair, count) for pair, count in moves.most_common()], columns=["before", "after", "samples"]
        ),
        "changes.csv": pd.DataFrame(changes, columns=names),
    }
    for name, frame in tables.items():
        with atomic_path(new.folder / name) as part:
            frame.to_csv(part, index=False, errors="backslashreplace")
        new.artefact(name)
    flipped = Counter((bool(was["correct"]), row["correct"]) for row, was in zip(rows, before, strict=True))
    new.note(
        regraded={
            "run": old.run_id,
            "graders_before": sorted({str(was["grader"]) for was in before}),
            "changed": len(changes),
            "now_correct": flipped[False, True],
            "no_longer_correct": flipped[True, False],
            "left_out": [one._asdict() for one in bad],
        }
    )
