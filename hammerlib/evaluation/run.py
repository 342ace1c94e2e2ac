"""Evaluation of one model on one benchmark: samples, verdicts, metrics with intervals, one record."""

from __future__ import annotations

import contextlib
import re
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hammerlib.errors import InputError
from hammerlib.evaluation import engines, samples
from hammerlib.evaluation.benchmarks import gold_version, load_benchmark, source_split
from hammerlib.evaluation.judging import judge
from hammerlib.evaluation.overlap import training_overlap
from hammerlib.evaluation.prompts import format_prompts, recipe_of
from hammerlib.evaluation.summary import summarise
from hammerlib.grading import GradingPool, grader_version
from hammerlib.grading.code import refuse_code
from hammerlib.problems.files import write_records
from hammerlib.runs import RunRecord, claimed, find_run, start_run
from hammerlib.storage import content_hash, progress_off, results_root

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.backbones import Backbone

SAMPLES, PROBLEMS = "samples.jsonl", "problems.jsonl"
NOTED = ("backbone", "revision", "weights_hash", "device", "dtype", "problems_fingerprint")
# Samples come from the first two, verdicts from the others.
VERSIONS = ("torch", "transformers", "hammerlib", "math-verify", "reasoning-gym")


class _Job(NamedTuple):
    engine: engines.TransformersEngine
    problems: Dataset
    prompts: list[list[int]]
    batches: list[engines.Batch]


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
    tokens_per_batch: int | None = None,
    root: Path | None = None,
) -> RunRecord:
    """Sample k completions per problem, grade them and record pass@k with intervals over problems.

    The run's name comes from its content (weights, problems, prompts, sampling, graders): a run that has
    succeeded is returned at once, one that was killed repeats only the batches that are not on disk, with the
    samples it would have had. Two processes that ask for the same run do it once.

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
        Run the programs of code benchmarks (``humaneval``): only where nothing can be lost.
    seed : int
        Of problems, samples and intervals.
    engine : str
        ``transformers``.
    tokens_per_batch : int, optional
        Rows times (prompt + new tokens); default 16,384 on a CPU, 262,144 on a GPU. Part of the run's name,
        because other batches draw other samples.
    root : Path, optional
        Folder of runs, default `storage.results_root()`.

    Returns
    -------
    RunRecord
        Metrics of `measures.measures` (``pass@1`` ... ``pass@k``, ``majority@k``, ``truncated_share``,
        ``mean_tokens``, ...) and ``calibration_error``; artefacts ``samples.jsonl``, ``outcomes.csv``,
        ``topics.csv`` and, where they exist, ``levels.csv`` (difficulty) and ``reliability.csv`` (k > 1).

    Raises
    ------
    InputError
        k < 1, or k > 1 with greedy decoding; bad sampling values; unknown engine, benchmark or template; an
        empty or faulty problem table; prompts too long for the model; code to run without `run_code`.

    Notes
    -----
    On a CPU torch's own number of threads is used and noted in the manifest. One is the fastest wherever
    other programs want the cores (``OMP_NUM_THREADS=1``).

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> run = evaluate("nano", "reasoning-gym:nano", n=2, k=2, max_new_tokens=4, root=folder)
    >>> list(run.metrics)[:3]
    ['pass@1', 'pass@2', 'majority@2']
    """
    _check_counts(k, temperature, n, tokens_per_batch, seed)
    sampling = engines.Sampling(float(temperature), float(top_p), max_new_tokens, seed).check()
    problems, label = _problems(benchmark, n, seed)
    for scorer in set(problems["scorer"]) if "scorer" in problems.column_names else ():
        refuse_code(scorer, run_code)
    backbone = _backbone(model)
    budget = tokens_per_batch or engines.default_budget(backbone.device)
    job = _job(
        engines.open_engine(engine, backbone, sampling), backbone, problems, k, template, budget, prompt
    )
    parameters = _identity(job, backbone, k)
    parameters |= {"benchmark": label, "template": template, "engine": engine, "tokens_per_batch": budget}
    parameters |= {"prompt": prompt}
    run_id = f"evaluate__{_slug(label)}__{content_hash(parameters)[:10]}"
    parameters |= {"backbone": _short(backbone.name), "revision": backbone.revision}
    gold = gold_version(benchmark) if isinstance(benchmark, str) else {"source": label}
    notes = {"gold": gold, "prompt": {"name": prompt, **recipe_of(prompt)._asdict()}}
    return _run_once(job, run_id, parameters, k, Path(root or results_root()), model, notes)


def _run_once(
    job: _Job, run_id: str, parameters: dict, k: int, root: Path, model: object, notes: dict
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
            # What may be run was decided when the run was asked for.
            with contextlib.closing(GradingPool(run_code=True)) as pool:
                rows = _collect(job, run, pool)
            run.artefact(PROBLEMS)
            summarise(run, job.problems, rows, k, seed)
    return run


def _check_counts(k: int, temperature: float, n: int | None, tokens_per_batch: int | None, seed: int) -> None:
    for field, value in (("k", k), ("n", n), ("tokens_per_batch", tokens_per_batch)):
        if value is not None and value < 1:
            raise InputError(field, value, "must be at least 1", "give a larger number")
    if seed < 0:
        raise InputError("seed", seed, "must be at least 0", "choose a larger value")
    if temperature == 0 and k != 1:
        raise InputError("k", k, "greedy decoding (temperature 0) has one sample", "set k=1 or a temperature")


def _problems(benchmark: Dataset | str, n: int | None, seed: int) -> tuple[Dataset, str]:
    from hammerlib.problems import check_problems, load_problems
    from hammerlib.problems.table import subset

    if isinstance(benchmark, str) and ":" in benchmark:
        table = load_problems(benchmark, split=source_split(benchmark), n=n, seed=seed)
        return table, _short(benchmark)
    table = load_benchmark(benchmark) if isinstance(benchmark, str) else benchmark
    check_problems(table)
    return subset(table, n, seed), benchmark if isinstance(benchmark, str) else _source(table)


def _source(table: Dataset) -> str:
    found = sorted(set(table["source"]))
    return found[0] if len(found) == 1 else "mixed"


def _backbone(model: Backbone | RunRecord | str | Path) -> Backbone:
    from hammerlib.backbones import load_backbone

    if not isinstance(model, RunRecord | str | Path):
        return model
    named = str(model.folder if isinstance(model, RunRecord) else model)
    is_run = (Path(named) / "manifest.json").is_file() and (Path(named) / "model").is_dir()
    return load_backbone(str(Path(named) / "model") if is_run else named)


def _job(
    engine: engines.TransformersEngine,
    backbone: Backbone,
    problems: Dataset,
    k: int,
    template: str,
    budget: int,
    prompt: str,
) -> _Job:
    prompts = engine.encode(backbone.render(format_prompts(problems, prompt), template))
    batches = engines.plan_batches([len(ids) for ids in prompts], k, engine.sampling.max_new_tokens, budget)
    return _Job(engine, problems, prompts, batches)


def _identity(job: _Job, backbone: Backbone, k: int) -> dict:
    """Everything that the samples and verdicts depend on."""
    from hammerlib.problems import fingerprint

    return {
        "problems": len(job.problems),
        "problems_fingerprint": fingerprint(job.problems),
        "prompt_tokens": content_hash(job.prompts),
        "k": k,
        **job.engine.sampling._asdict(),
        "weights_hash": backbone.weights_hash,
        "device": str(backbone.device),
        "dtype": str(backbone.dtype),
        "grader": grader_version(),
        "versions": {name: _version(name) for name in VERSIONS},
    }


def _collect(job: _Job, run: RunRecord, pool: GradingPool) -> list[dict]:
    """Sample and grade the batches that are not on disk yet; return all rows."""
    from tqdm.auto import tqdm

    ids, path = job.problems["id"][:], run.folder / SAMPLES
    plan = [[(ids[row], sample) for row, sample in batch] for batch in job.batches]
    kept = len(samples.recover(path, plan))
    spent = {"generation": 0.0, "grading": 0.0}
    total, at, tokens = sum(map(len, plan)), 0, 0
    with tqdm(total=total, initial=kept, desc="evaluate", unit="sample", disable=progress_off()) as bar:
        for batch, names in zip(job.batches, plan, strict=True):
            at += len(batch)
            if at <= kept:
                continue
            rows = _batch(job, batch, names, spent, pool)
            samples.append(path, rows)
            tokens += sum(row["n_tokens"] for row in rows)
            bar.update(len(batch))
    run.note(throughput=_throughput(total - kept, kept, tokens, spent))
    return samples.recover(path, plan)


def _throughput(made: int, kept: int, tokens: int, spent: dict[str, float]) -> dict[str, float]:
    seconds = max(spent["generation"], 1e-9)
    rates = {"samples_per_second": round(made / seconds, 2), "tokens_per_second": round(tokens / seconds, 1)}
    times = {f"{name}_seconds": round(value, 2) for name, value in spent.items()}
    return {"samples": made, "reused": kept, **times, **rates}


def _batch(
    job: _Job, batch: engines.Batch, names: list[tuple[str, int]], spent: dict, pool: GradingPool
) -> list[dict]:
    start = time.monotonic()
    found = job.engine.generate([job.prompts[row] for row, _ in batch], key=names)
    middle = time.monotonic()
    asked = job.problems.select([row for row, _ in batch]).to_list()
    verdicts = judge(pool, [one.text for one in found], [one.truncated for one in found], asked)
    rows = [
        {"id": name, "sample": sample, "completion": one.text}
        | {"n_tokens": one.n_tokens, "truncated": one.truncated}
        | verdict
        for (name, sample), one, verdict in zip(names, found, verdicts, strict=True)
    ]
    spent["generation"] += middle - start
    spent["grading"] += time.monotonic() - middle
    return rows


def _short(name: str) -> str:
    """A name without the folders of this machine: ``file:<file>`` or ``<run>/model``."""
    if name.startswith("file:"):
        return f"file:{Path(name).name}"
    return "/".join(Path(name).resolve().parts[-2:]) if Path(name).is_dir() else name


def _slug(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-")[:40]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
