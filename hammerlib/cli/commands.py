"""What ``hammer`` run, embed, train, sweep, publish, view and doctor do: typed words in, an exit code out."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, BadParameter, Option

from hammerlib.cli import options
from hammerlib.cli.options import records
from hammerlib.cli.ordering import parse_columns
from hammerlib.errors import InputError, check_name, check_whole, need, printable

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
        Option(metavar="GPU", help="with --dry-run: plan for a GPU, '24 GB' or 'RTX 4090'; loads no weights"),
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
        from hammerlib.training.machines import devices_named
        from hammerlib.training.preview import preview
        from hammerlib.training.run import prepare

        if device is not None:
            devices_named(device)  # refused before the problems are loaded
        plan = prepare(job, order=made_order, processes=processes, weights=device is None)
        print(preview(plan, device))
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
    device: Annotated[
        str | None, Option(metavar="GPU", help="with --dry-run: hours on a GPU, '80 GB' or 'H100'")
    ] = None,
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
    if device is not None and not dry_run:
        raise InputError("device", device, "is only a device to plan for", "add --dry-run")
    design = plan.read_study(study, settings or [])
    trials = plan.trials(design)
    arms = None if only is None else only.split(",")
    chosen = select(trials, arms=arms, replicates=_span("replicates", replicates))
    root = root or (repository_root() or Path.cwd()) / "results" / "study"
    folder = root.resolve() / file_name("study", design.study)
    if dry_run:
        from hammerlib.training.machines import devices_named

        devices = None if device is None else devices_named(device)
        guess = functools.partial(plan.expected_seconds, devices=devices)
        print(estimate(sweep_status(trials, folder).only(chosen), workers, guess))
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
    from hammerlib.pipeline.plan import checkout

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
    clear_cache: Annotated[
        bool, Option("--clear-cache", help="delete the cache; everything in it can be made again")
    ] = False,
) -> int:
    """Say what this machine can run and why not, and how large the cache is."""
    from hammerlib.cli import examine

    if clear_cache:
        print(f"cache: {examine.clear_cache() / 1e6:.1f} MB removed")
        return 0
    for name, state, reason in examine.findings():
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
