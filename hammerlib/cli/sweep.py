"""``hammer sweep``: the cells of a study, on workers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.errors import InputError, check_name, check_whole, need

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from hammerlib.runs.trials import SweepStatus


def add_sweep(parser: ArgumentParser) -> None:
    """Describe the words of ``hammer sweep``.

    Examples
    --------
    >>> import argparse
    >>> parser = argparse.ArgumentParser(); add_sweep(parser)
    >>> parser.parse_args(["configs/study/main.yaml", "--hours", "1.5"]).hours
    1.5
    """
    parser.add_argument("study", metavar="STUDY", type=Path, help="YAML file of configs/study")
    parser.add_argument("--workers", type=int, default=1, help="cells at once, a thread each (default 1)")
    parser.add_argument(
        "--backend", default="process", help="process, ray: where workers run (default process)"
    )
    parser.add_argument(
        "--gpus", type=int, default=0, metavar="N", help="deal out N GPUs, one a worker; with ray one a cell"
    )
    parser.add_argument("--only", metavar="ARM,ARM", help="cells of these arms")
    parser.add_argument("--replicates", metavar="A-B", help="cells of replicates A to B; or of A alone")
    parser.add_argument("--hours", type=float, metavar="H", help="start no cell after H hours")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would run, with an estimate, and run nothing"
    )
    parser.add_argument("--root", type=Path, help="folder of studies (default results/study)")


def sweep(chosen: Namespace) -> int:
    """Run the cells of a study that are missing or failed; each leaves one record. Killed and called again,
    it goes on; several at once, also on machines that share the folder, divide the cells. Ends with 0 when
    all cells asked for are done, 1 when some failed, 3 when the hours were over first.

    Raises
    ------
    InputError
        `--replicates` that is neither a number nor two.

    Examples
    --------
    >>> from hammerlib.cli import main
    >>> main(["sweep", "no-such-study.yaml"])
    2
    """
    from hammerlib.runs.storage import file_name, repository_root
    from hammerlib.runs.trials import estimate, run_trials, select, sweep_status
    from hammerlib.runs.workers import BACKENDS
    from hammerlib.study import plan
    from hammerlib.study.trial import record_trial

    check_name("backend", chosen.backend, BACKENDS, "is unknown")
    check_whole("workers", chosen.workers, 1, "use --workers 1 or more")
    check_whole("gpus", chosen.gpus, 0, "leave it out where there is none")
    if chosen.hours is not None and not chosen.hours >= 0:
        raise InputError("hours", chosen.hours, "must be 0 or more", "leave it out to run until all is done")
    study = plan.read_study(chosen.study)
    arms = None if chosen.only is None else chosen.only.split(",")
    whole = plan.trials(study)
    cells = select(whole, arms=arms, replicates=_span(chosen.replicates))
    root = chosen.root or (repository_root() or Path.cwd()) / "results" / "study"
    folder = root.resolve() / file_name("study", study.study)
    if chosen.dry_run:
        print(estimate(sweep_status(whole, folder).only(cells), chosen.workers))
        return 0
    need("torch", "transformers", "accelerate", "trl")
    options = {name: getattr(chosen, name) for name in ("workers", "backend", "gpus", "hours")}
    return told(run_trials(record_trial, cells, folder, **options))


def _span(words: str | None) -> tuple[int, int] | None:
    if words is None:
        return None
    first, _, last = words.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal()):
        raise InputError("replicates", words, "is neither a number nor two", "write 3 or 0-5")
    return int(first), int(last or first)


def told(found: SweepStatus) -> int:
    """Print where a study's cells stand; the exit code.

    Examples
    --------
    >>> from hammerlib.runs.trials import SweepStatus
    >>> told(SweepStatus([], {"a__r00": "done", "a__r01": "failed"}, {}))
    1 of 2 cells done, 1 failed, 0 not run
    1
    """
    counts = {status: found.count(status) for status in ("done", "failed", "missing", "other")}
    left = counts["missing"] + counts["other"]
    print(f"{counts['done']} of {len(found.status)} cells done, {counts['failed']} failed, {left} not run")
    return 1 if counts["failed"] or counts["other"] else 3 if left else 0
