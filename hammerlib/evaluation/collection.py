"""The samples of one evaluation: what is on disk is kept, what is missing is drawn, graded and written."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hammerlib.errors import InputError, check_name, check_whole
from hammerlib.evaluation import engines, samples, shards
from hammerlib.evaluation.judging import judge
from hammerlib.evaluation.summary import summarise
from hammerlib.grading import GradingPool
from hammerlib.runs import RunRecord
from hammerlib.runs.storage import discard, progress_off
from hammerlib.runs.workers import BACKENDS, Failure

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.backbones import Backbone

SAMPLES = "samples.jsonl"
TOLD = 5  # damaged lines named in a warning; the manifest holds a hundred
Found = list[list[dict] | None]  # rows of each planned batch, None where they are missing


class Job(NamedTuple):
    """What is to be sampled, and with what.

    Attributes
    ----------
    engine : Engine
    backbone : Backbone
    problems : datasets.Dataset
    drafts : list of Draft
        The planned batches.
    rows : list of list of int
        Places in the problem table, for each draft.
    k : int
        Samples a problem.
    run_code : bool
        As for `hammerlib.grade`.

    Examples
    --------
    >>> Job(None, None, None, [], [], 4).k
    4
    """

    engine: engines.Engine
    backbone: Backbone
    problems: Dataset
    drafts: list[shards.Draft]
    rows: list[list[int]]
    k: int
    run_code: bool = False


class Means(NamedTuple):
    """What changes neither the samples nor the run's name.

    Attributes
    ----------
    engine : str
    workers : int
    backend : str
    seconds : float or None
        No batch starts later.

    Examples
    --------
    >>> Means("transformers", 1, "process", None).check().workers
    1
    """

    engine: str
    workers: int
    backend: str
    seconds: float | None

    def check(self) -> Means:
        """Return itself; InputError for a value out of range."""
        check_whole("workers", self.workers, 1, "use one worker per idle core")
        check_name("backend", self.backend, BACKENDS, "is unknown")
        if self.seconds is not None and not self.seconds >= 0:
            raise InputError("seconds", self.seconds, "must be at least 0", "leave it out for no limit")
        return self


def complete(job: Job, means: Means, run: RunRecord, seed: int) -> None:
    """Draw and grade what the run's samples file lacks, then summarise; or what there is, as ``partial``.

    Parameters
    ----------
    job : Job
    means : Means
    run : RunRecord
        Open record.
    seed : int
        Of the intervals.

    Raises
    ------
    InputError
        A batch that no worker could draw; the others are on disk.

    Examples
    --------
    >>> import tempfile
    >>> from hammerlib import evaluate
    >>> run = evaluate("nano", "reasoning-gym:nano", n=2, k=1, seconds=0, root=Path(tempfile.mkdtemp()))
    >>> run.status, run.manifest["partial"]["samples"]
    ('partial', 0)
    """
    path = run.folder / SAMPLES
    if path.is_dir():
        discard(path)
    found = _kept(path, job, run)
    try:
        with contextlib.closing(GradingPool(run_code=job.run_code)) as pool:
            _collect(job, means, run, path, found, pool)
    except KeyboardInterrupt:
        _finish_partial(job, run, found, seed)
        raise
    if None in found:
        _finish_partial(job, run, found, seed)
        return
    rows = [row for batch in found for row in batch or ()]
    if not job.engine.sampling.stop:
        _refuse_silence(rows, job)
    samples.settle(path, [batch for batch in found if batch])
    discard(samples.sums_of(path))
    summarise(run, job.problems, rows, job.k, seed)


def _refuse_silence(rows: list[dict], job: Job) -> None:
    """Refuse samples without a visible character: a damaged model or tokenizer, not a score of 0."""
    if rows and not any(row["completion"].strip() for row in rows):
        problem = f"all {len(rows)} completions are blank"
        remedy = "see that weights, tokenizer and end tokens belong together, and try one prompt by hand"
        raise InputError("model", job.backbone.name, problem, remedy)


def _kept(path: Path, job: Job, run: RunRecord) -> Found:
    """The batches on disk; what is damaged is told by line."""
    found, damages = samples.recover(path, [draft.names for draft in job.drafts])
    if damages:
        told = "; ".join(f"line {line} {problem}" for line, problem in damages[:TOLD])
        more = f" and {len(damages) - TOLD} more" if len(damages) > TOLD else ""
        warnings.warn(f"{run.run_id}/{SAMPLES}: {told}{more}; sampled again", stacklevel=2)
        run.note(damaged_lines=[one._asdict() for one in damages[:100]])
    return found


def _collect(job: Job, means: Means, run: RunRecord, path: Path, found: Found, pool: GradingPool) -> None:
    """Sample and grade the batches that are not on disk yet, into `found` and the file."""
    from tqdm.auto import tqdm

    missing = [place for place, rows in enumerate(found) if rows is None]
    total, kept = sum(len(draft.names) for draft in job.drafts), sum(len(rows) for rows in found if rows)
    spent, tokens, failed, start = {"generation": 0.0, "grading": 0.0}, 0, [], time.monotonic()
    shown = tqdm(total=total, initial=kept, desc="evaluate", unit="sample", disable=progress_off())
    with shown as bar, contextlib.closing(_drawn(job, means, missing)) as stream:
        for number, drawn in stream:
            if isinstance(drawn, Failure):
                failed.append(drawn.reason)
                continue
            place, middle = missing[number], time.monotonic()
            rows = _graded(job, place, drawn.completions, pool)
            samples.append(path, rows)
            found[place] = rows
            spent["generation"] += drawn.seconds
            spent["grading"] += time.monotonic() - middle
            tokens += sum(row["n_tokens"] for row in rows)
            bar.update(len(rows))
    made = sum(len(rows) for rows in found if rows) - kept
    run.note(
        throughput=_throughput(made, kept, tokens, spent, time.monotonic() - start), workers=means.workers
    )
    if failed:
        problem = f"{len(failed)} batches failed ({'; '.join(dict.fromkeys(failed))})"
        raise InputError("workers", means.workers, problem, "call again: the other batches are on disk")


def _drawn(job: Job, means: Means, missing: list[int]) -> Iterator[tuple[int, shards.Drawn | Failure]]:
    end = None if means.seconds is None else time.monotonic() + means.seconds
    # Looked at when a batch is taken: a worker that is free after the end gets none.
    drafts = (job.drafts[place] for place in missing if end is None or time.monotonic() < end)
    if means.workers == 1 and means.backend == "process":
        return shards.drawn_here(job.engine, drafts)
    source = shards.source_of(job.backbone, means.engine, job.engine.sampling)
    return shards.drawn_apart(source, drafts, workers=means.workers, backend=means.backend)


def _throughput(
    made: int, kept: int, tokens: int, spent: dict[str, float], wall: float
) -> dict[str, float | int]:
    """Rates are of one worker: generation seconds add up over workers."""
    seconds = max(spent["generation"], 1e-9)
    rates = {"samples_per_second": round(made / seconds, 2), "tokens_per_second": round(tokens / seconds, 1)}
    times = {f"{name}_seconds": round(value, 2) for name, value in spent.items()}
    return {"samples": made, "reused": kept, **times, "wall_seconds": round(wall, 2), **rates}


def _graded(job: Job, place: int, completions: list[engines.Completion], pool: GradingPool) -> list[dict]:
    asked = job.problems.select(job.rows[place]).to_list()
    cut = [one.truncated for one in completions]
    verdicts = judge(pool, [one.text for one in completions], cut, asked)
    return [
        {"id": name, "sample": sample, "completion": one.text}
        | {"n_tokens": one.n_tokens, "truncated": one.truncated}
        | verdict
        for (name, sample), one, verdict in zip(job.drafts[place].names, completions, verdicts, strict=True)
    ]


def _finish_partial(job: Job, run: RunRecord, found: Found, seed: int) -> None:
    """Summarise the problems that have all their samples; what the others have stays on disk."""
    samples.append(run.folder / SAMPLES, [])
    rows = [row for batch in found for row in batch or ()]
    counts = Counter(row["id"] for row in rows)
    ready = [place for place, name in enumerate(job.problems["id"][:]) if counts[name] == job.k]
    told = {"problems": len(ready), "of_problems": len(job.problems)}
    run.note(partial=told | {"samples": len(rows), "of_samples": job.k * len(job.problems)})
    if ready:
        summarise(
            run, job.problems.select(ready), [row for row in rows if counts[row["id"]] == job.k], job.k, seed
        )
    run.finish(partial=True)
