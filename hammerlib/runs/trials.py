"""Trials of a grid: their records on disk, one trial's run in a worker, and what a sweep tells of them."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from hammerlib.errors import InputError, printable
from hammerlib.runs import storage
from hammerlib.runs.record import SCHEMA_VERSION, once
from hammerlib.runs.workers import Failure, map_tasks

ROUNDS = 2  # in which a trial is tried anew, with fresh processes, after the machinery failed it
NAMED = 3  # trials that an error names; it counts the others
DYING = 5.0  # seconds; a killed process is seen to be dead a moment before the system frees its claim
STATUSES = ("done", "failed", "missing", "other")


class Trial(Protocol):
    """One treatment in one replicate: what a sweep needs to know of it; its task may need more."""

    name: str  # of its record: <arm>__r<RR>
    arm: str  # the treatment
    replicate: int  # from 0 on; arms are paired inside it
    identity: str  # hash of all its settings: a record with another one is of another trial


# Records


def record_path(trial: Trial, folder: Path) -> Path:
    """Return the place of a trial's record."""
    return folder / f"{storage.file_name('cell', trial.name)}.json"


def read_record(trial: Trial, folder: Path) -> dict | None:
    """Return the record that lies at a trial's place, of whatever settings; None where there is none."""
    path = record_path(trial, folder)
    remedy = "delete it: its cell runs again"
    try:
        record = storage.read_object(path)
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        problem = getattr(error, "strerror", None) or str(error)
        raise InputError("record", path.name, problem, remedy) from error
    if record.get("status") not in ("success", "error"):
        raise InputError("record", path.name, "does not say whether its cell succeeded", remedy)
    return record


def record_status(record: dict | None, identity: str) -> str:
    """Return ``done``, ``failed``, ``missing``, or ``other``: the one answer to "is it done?"."""
    if record is None:
        return "missing"
    if record.get("status") != "success":  # nothing to lose: it runs again, whatever its settings were
        return "failed"
    return "done" if record.get("identity") == identity else "other"


class SweepStatus(NamedTuple):
    """Where the trials of a grid stand."""

    trials: list  # all that were asked about, in their order
    status: dict[str, str]  # by name: done, failed, missing or other (finished, of other settings)
    # Of a done trial the machine time it took, where its record tells it; others than those asked about may
    # be among them, to estimate by.
    seconds: dict[str, float]

    def count(self, status: str) -> int:
        """Trials of this status."""
        return list(self.status.values()).count(status)

    def to_do(self) -> list[Trial]:
        """Trials that are missing or failed, in their order."""
        return [trial for trial in self.trials if self.status[trial.name] in ("missing", "failed")]

    def only(self, trials: Iterable[Trial]) -> SweepStatus:
        """Where some of the trials stand; seconds stay those of all."""
        chosen = list(trials)
        return SweepStatus(chosen, {trial.name: self.status[trial.name] for trial in chosen}, self.seconds)

    def expected(self, trials: Iterable[Trial]) -> float | None:
        """Seconds that the trials take one after another; None without any record."""
        if not self.seconds:
            return None
        of_arm = defaultdict(list)
        for name, seconds in self.seconds.items():
            of_arm[name.rpartition("__r")[0]].append(seconds)
        total = 0.0
        for trial in trials:
            # The mean of its arm's records, of all records where its arm has none.
            known = of_arm.get(trial.arm) or list(self.seconds.values())
            total += sum(known) / len(known)
        return total


def sweep_status(trials: Sequence[Trial], folder: Path) -> SweepStatus:
    """Read the records of trials in a folder, which may be missing."""
    status: dict[str, str] = {}
    seconds: dict[str, float] = {}
    for trial in trials:
        if trial.name in status:
            raise InputError("cells", trial.name, "comes twice", "give every cell a name of its own")
        record = read_record(trial, folder)
        status[trial.name] = record_status(record, trial.identity)
        if status[trial.name] == "done" and isinstance(record.get("seconds"), int | float):
            seconds[trial.name] = float(record["seconds"])
    return SweepStatus(list(trials), status, seconds)


def refuse_others(sweep: SweepStatus) -> None:
    """Refuse trials at whose places finished records of other settings lie: none is reused or replaced."""
    others = [trial.name for trial in sweep.trials if sweep.status[trial.name] == "other"]
    if others:
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        problem = "have finished records of other settings, which are neither used nor replaced"
        remedy = "give the study another name, restore its settings, or delete these records"
        raise InputError("cells", ", ".join(others[:NAMED]) + more, problem, remedy)


def select(
    trials: Sequence[Trial], *, arms: Sequence[str] | None = None, replicates: tuple[int, int] | None = None
) -> list[Trial]:
    """Return the trials of some arms (default all) and replicates (first and last), in their order."""
    known = list(dict.fromkeys(trial.arm for trial in trials))
    for arm in arms or ():
        if arm not in known:
            raise InputError("only", arm, "is no arm of this study", f"use some of {', '.join(known)}")
    lowest = min(trial.replicate for trial in trials)
    highest = max(trial.replicate for trial in trials)
    first, last = replicates or (lowest, highest)
    if not lowest <= first <= last <= highest:
        remedy = f"replicates go from {lowest} to {highest}"
        if first > last:
            remedy += ", the smaller number first"
        raise InputError("replicates", f"{first}-{last}", "are not in this study", remedy)
    return [trial for trial in trials if (not arms or trial.arm in arms) and first <= trial.replicate <= last]


# One trial in a worker


class TrialJob(NamedTuple):
    """What a worker gets: a trial, and how it is run."""

    task: Callable[[Trial, Path], object]  # task(trial, folder) writes the trial's record
    trial: Trial
    folder: Path
    before: dict | None  # the trial's record when the sweep began: another one now is another sweep's
    wait: bool  # for another sweep that holds the trial; else it ends as ``taken``
    ends: float | None  # seconds of the clock (`time.time`) up to which it waits; None: as long as it takes


class TrialEnd(NamedTuple):
    """How a trial ended: ``done``, ``failed``; in another sweep ``elsewhere`` (ended), ``taken`` (runs)."""

    how: str
    seconds: float = 0.0  # wall time of the task
    reason: str = ""  # one line, of a failure


def run_trial(job: TrialJob) -> TrialEnd:
    """Claim a trial and run it, unless its record has changed since the sweep began; record its errors."""
    seconds = 0.0
    if job.wait:
        seconds = -1.0 if job.ends is None else max(0.0, job.ends - time.time())
    return _trial_once(job, lambda: _run(job), seconds)


def mark_failed(job: TrialJob, reason: str) -> TrialEnd:
    """Record, from outside the worker, that a trial's process died; unless another sweep has taken it up."""
    return _trial_once(job, lambda: _fail(job, reason, 0.0), DYING)


def _trial_once(job: TrialJob, make: Callable[[], TrialEnd], seconds: float) -> TrialEnd:
    def look() -> TrialEnd | None:
        """What another sweep has made of the trial meanwhile."""
        record = read_record(job.trial, job.folder)
        if record is None or record == job.before:
            return None
        status = record_status(record, job.trial.identity)
        reason = ""
        if status == "failed":
            reason = f"in another sweep: {record.get('error')}"
        elif status == "other":
            reason = "another sweep has other settings"
        return TrialEnd("elsewhere", reason=reason)

    # Not the trial's own name: the task may claim that itself, against callers that are no sweep.
    key = f"{job.trial.name}.sweep"
    try:
        return once(key, make, look, folder=job.folder, seconds=seconds)
    except TimeoutError:
        return TrialEnd("taken")


def _run(job: TrialJob) -> TrialEnd:
    storage.remove_parts(job.folder, record_path(job.trial, job.folder).name)
    started = time.perf_counter()
    try:
        job.task(job.trial, job.folder)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return _fail(job, reason, time.perf_counter() - started)
    seconds = time.perf_counter() - started
    if record_status(read_record(job.trial, job.folder), job.trial.identity) != "done":
        return _fail(job, "its task left no record of success with its identity", seconds)
    return TrialEnd("done", seconds)


def _fail(job: TrialJob, reason: str, seconds: float) -> TrialEnd:
    path = record_path(job.trial, job.folder)
    if path.is_dir():  # what stands there cannot be replaced by a file
        raise InputError("record", path.name, "is no regular file", "remove it: its cell runs again")
    record = {
        "schema_version": SCHEMA_VERSION,
        "arm": job.trial.arm,
        "replicate": job.trial.replicate,
        "identity": job.trial.identity,
        "status": "error",
        "error": storage.without_folders(reason),
        "seconds": round(seconds, 3),
    }
    storage.write_json(path, storage.sealed(record))
    return TrialEnd("failed", seconds, reason)


# A sweep over trials


def run_trials(
    task: Callable[[Trial, Path], object],
    trials: Sequence[Trial],
    folder: Path,
    *,
    workers: int = 1,
    backend: str = "process",
    gpus: int = 0,
    hours: float | None = None,
) -> SweepStatus:
    """Run the trials that have no record of success, several at a time; killed and called again, it goes on.

    ``task(trial, folder)``, importable, writes `record_path` whole or not at all, with ``identity``,
    ``status: success``, and ``seconds`` for the estimates. Each trial is claimed while it runs, so that
    sweeps at once on one folder divide the trials between them. A trial that fails leaves a record of status
    ``error`` with the reason, stops no other, and runs again in the next sweep. One whose process or machine
    dies is tried again, at once and in two more rounds with new processes, before it is recorded so. Finished
    records of other settings are refused. After `hours` no trial starts. Returns where the trials stand.
    """
    if not trials:
        raise InputError("cells", [], "holds none", "give at least one")
    if hours is not None and not hours >= 0:
        raise InputError("hours", hours, "must be 0 or more", "leave it out to run until all is done")
    folder = Path(folder).resolve()
    with storage.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    sweep = sweep_status(trials, folder)
    refuse_others(sweep)
    ends = None if hours is None else time.time() + 3600 * hours
    to_do = sweep.to_do()
    before = {trial.name: read_record(trial, folder) for trial in to_do}
    pool = {"workers": workers, "backend": backend, "gpus": gpus, "retries": 1}
    deaths: Counter[str] = Counter()
    wait = False
    with contextlib.closing(Progress(sweep, workers)) as progress:
        while to_do:
            jobs = [TrialJob(task, trial, folder, before[trial.name], wait, ends) for trial in to_do]
            again: list[Trial] = []
            taken: list[Trial] = []
            for index, result in map_tasks(run_trial, _until(ends, jobs), **pool):
                trial = to_do[index]
                if isinstance(result, Failure):
                    if result.of_machinery and deaths[trial.name] < ROUNDS:
                        deaths[trial.name] += 1
                        again.append(trial)
                        continue
                    result = mark_failed(jobs[index], result.reason)
                progress.tell(trial, result)
                if result.how == "taken":
                    taken.append(trial)
            # What other sweeps held in the first round is waited for in the second, and then left to them.
            to_do = again if wait else again + taken
            wait = True
    return sweep_status(trials, folder)


def _until(ends: float | None, jobs: list[TrialJob]) -> Iterator[TrialJob]:
    for job in jobs:
        if ends is not None and time.time() >= ends:
            return
        yield job


# What is told


class Progress:
    """A bar, and a line for every trial that ended."""

    def __init__(self, sweep: SweepStatus, workers: int) -> None:
        from tqdm.auto import tqdm

        self.sweep = sweep._replace(status=dict(sweep.status), seconds=dict(sweep.seconds))
        self.left = {trial.name: trial for trial in sweep.to_do()}
        self.failed = 0
        self.workers = workers
        total = len(sweep.trials)
        done = sweep.count("done")
        self.bar = tqdm(total=total, initial=done, desc="sweep", unit="cell", disable=storage.progress_off())

    def close(self) -> None:
        """Leave the bar as it is."""
        self.bar.close()

    def tell(self, trial: Trial, end: TrialEnd) -> None:
        """Take note that a trial ended, and print its line; one that another sweep runs has not ended."""
        if end.how == "taken":
            return
        del self.left[trial.name]
        if end.how == "failed" or end.reason:
            self.failed += 1
            text = f"failed, {end.reason}"
        else:
            self.sweep.status[trial.name] = "done"
            self.bar.update()
            text = "done by another sweep"
        if end.how == "done":
            self.sweep.seconds[trial.name] = end.seconds
            text = f"{end.seconds:.0f} s"
        done = self.sweep.count("done")
        total = len(self.sweep.trials)
        counts = f"{done}/{total} done"
        if self.failed:
            counts += f", {self.failed} failed"
        remaining = self.sweep.expected(self.left.values())
        if self.left and remaining is not None:
            counts += f", about {span(remaining / self.workers)} left"
        line = printable(f"{trial.arm} r{trial.replicate:02d}: {text} ({counts})")
        # Through the bar, which it would cut in two; flushed, since a log is read while the sweep runs.
        self.bar.write(line, file=sys.stdout)
        sys.stdout.flush()
        storage.tell_progress(f"sweep {done}/{total}")


def span(seconds: float) -> str:
    """Return a duration in the unit that suits it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class Guess(NamedTuple):
    """Seconds at the least and at the most, one number where they were measured, and by what."""

    least: float
    most: float
    by: str

    def words(self, show: Callable[[float], str]) -> str:
        """Return it as a text, each duration as `show` writes it."""
        if self.least == self.most:
            return f"at most about {show(self.most)}"
        return f"about {show(self.least)} to {show(self.most)}"


def estimate(
    sweep: SweepStatus, workers: int, guess: Callable[[Trial], Guess | None] = lambda trial: None
) -> str:
    """Return what a sweep would run: a table of counts by arm, and an estimate from the records there are.

    Where there is no record yet, `guess` tells how long a trial takes; None: not known.
    """
    to_do = sweep.to_do()
    width = max(3, *(len(printable(trial.arm)) for trial in sweep.trials))
    head = "".join(f"{word:>8}" for word in (*STATUSES, "to run"))
    lines = [f"{'arm':<{width}}{head}  minutes a cell"]
    replicates_of = defaultdict(list)
    for trial in to_do:
        replicates_of[trial.arm].append(f"r{trial.replicate:02d}")
    for arm in dict.fromkeys(trial.arm for trial in sweep.trials):
        names = [trial.name for trial in sweep.trials if trial.arm == arm]
        counts = Counter(sweep.status[name] for name in names)
        row = [counts[word] for word in STATUSES] + [len(replicates_of.get(arm, []))]
        seconds = [sweep.seconds[name] for name in names if name in sweep.seconds]
        minutes = f"{sum(seconds) / len(seconds) / 60:.1f}" if seconds else "-"
        numbers = "".join(f"{count:>8}" for count in row)
        lines.append(f"{printable(arm):<{width}}{numbers}{minutes:>16}")
    listed = "; ".join(f"{printable(arm)} {' '.join(run)}" for arm, run in replicates_of.items())
    lines.append(f"{len(to_do)} of {len(sweep.trials)} cells to run" + (f": {listed}" if listed else ""))
    remaining = sweep.expected(to_do)
    by = f"{workers} worker" + "s" * (workers > 1)
    guesses = [guess(trial) for trial in to_do] if remaining is None else []
    known = [one for one in guesses if one is not None]
    if known and len(known) == len(guesses):
        reasons = " and ".join(dict.fromkeys(one.by for one in known))
        whole = Guess(sum(one.least for one in known), sum(one.most for one in known), reasons)
        hours = whole.words(lambda seconds: f"{seconds / workers / 3600:.1f} h")
        lines.append(f"{hours} with {by}: no record yet, {reasons}")
    elif remaining is None:
        lines.append("no record yet to estimate the hours from")
    else:
        records = f"{len(sweep.seconds)} record" + "s" * (len(sweep.seconds) != 1)
        lines.append(f"about {remaining / workers / 3600:.1f} h with {by}, from {records}")
    return "\n".join(lines)


# Old spellings, one release.
Cell = Trial
Survey = SweepStatus
Turn = TrialJob
Ended = TrialEnd
survey = sweep_status
take_turn = run_trial
bury = mark_failed
run_cells = run_trials
outlook = estimate
