"""What each word of the ``hammer`` command does; the parsed words in, an exit code out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.cli.ordering import parse_columns, problems_of
from hammerlib.errors import printable
from hammerlib.runs import RunRecord

if TYPE_CHECKING:
    from argparse import Namespace

    from hammerlib.training import TrainConfig

# Options of `hammer evaluate` that have the same name in the library.
EVALUATED = ("n", "temperature", "top_p", "max_new_tokens", "template", "prompt", "run_code", "seed")
EVALUATED += ("engine", "stop", "workers", "backend", "seconds")
NANO_LENGTH, LENGTH = 48, 1024  # tokens of a completion by default: nano answers in a line, others reason
TOKENS = "tokenizer.json"


def run(chosen: Namespace) -> int:
    """Execute the notebooks in order. What is unchanged is kept, what was interrupted is done again.

    Examples
    --------
    >>> from argparse import Namespace
    >>> run(Namespace(profile="ci", only="00", set=[]))  # doctest: +SKIP
    0
    """
    from hammerlib.pipeline import run_notebooks

    run_notebooks(chosen.profile, only=chosen.only, overrides=chosen.set)
    return 0


def embed(chosen: Namespace) -> int:
    """Embed problems with a language model: one vector each, pooled from its hidden states.

    Examples
    --------
    >>> from hammerlib.cli import main
    >>> main(["embed", "file:missing.jsonl", "--out", "vectors.safetensors"])
    2
    """
    import hammerlib

    table = problems_of(chosen)
    embeddings = hammerlib.embed(
        table, chosen.backbone, layer=chosen.layer, pooling=chosen.pooling, template=chosen.template
    )
    embeddings.save(chosen.out)
    n, width = embeddings.vectors.shape
    print(f"{chosen.out}: {n} vectors of width {width} from {embeddings.info['backbone']}")
    return 0


def train(chosen: Namespace) -> int:
    """Train with GRPO in a verified order. Resuming is automatic: the same command returns a finished run at
    once and continues a killed one from its newest checkpoint. On several GPUs: accelerate launch
    --config_file launch/ddp.yaml -m hammerlib.training.launch --config FILE.

    Raises
    ------
    InputError
        `--processes` without `--dry-run` or below 1.

    Examples
    --------
    >>> from hammerlib.cli import main
    >>> main(["train", "--config", "missing.yaml"])
    2
    """
    import hammerlib
    from hammerlib.errors import InputError
    from hammerlib.training.launch import read_job

    if chosen.processes is not None and (chosen.processes < 1 or not chosen.dry_run):
        remedy = "add --dry-run and give at least 1; accelerate launch --num_processes starts several"
        raise InputError("processes", chosen.processes, "is only a number to plan for", remedy)
    config, order = read_job(chosen.config, chosen.order)
    found = _overlap(config)
    if not chosen.dry_run:
        record = hammerlib.train(config, order=order)
        record.note(overlap=found)
        return told(record)
    from hammerlib.training.preview import preview
    from hammerlib.training.run import prepare

    print(preview(prepare(config, order=order, processes=chosen.processes)))
    return 0


def evaluate(chosen: Namespace) -> int:
    """Sample completions, grade them, and record pass@k with intervals over problems.

    Examples
    --------
    >>> from hammerlib.cli import main
    >>> main(["evaluate", "--model", "nano", "--benchmark", "unheard-of"])
    2
    """
    import hammerlib

    if chosen.max_new_tokens is None:
        chosen.max_new_tokens = NANO_LENGTH if _is_nano(chosen.model) else LENGTH
    asked = {name: getattr(chosen, name) for name in EVALUATED}
    asked["columns"] = parse_columns(chosen.columns)
    return told(hammerlib.evaluate(chosen.model, chosen.benchmark, k=chosen.samples, **asked))


def _is_nano(model: str) -> bool:
    """Whether a model speaks nano's vocabulary: by name, or the folder of a model or of a training run."""
    from hammerlib.models.nano.tokenizer import vocabulary

    if model in ("nano", "nano-untrained"):
        return True
    ours = {token: number for number, token in enumerate(vocabulary())}
    files = [file for file in (Path(model, "model", TOKENS), Path(model, TOKENS)) if file.is_file()]
    try:
        return any(json.loads(file.read_bytes())["model"]["vocab"] == ours for file in files)
    except (KeyError, TypeError, ValueError):
        return False  # another kind of tokenizer, or a torn file: loading will say so


def publish(chosen: Namespace) -> int:
    """Copy a finished run, made from committed code, to results/published, and renew the tables made from it.

    For the folder of a study (results/study/NAME) write its page from its records instead.

    Examples
    --------
    >>> from hammerlib.cli import main
    >>> main(["publish", "no-such-run"])
    2
    """
    from hammerlib.pages import results as report
    from hammerlib.pipeline import checkout

    results = checkout() / "results"
    if chosen.run.resolve().parent == results / "study":
        print(report.publish_study(chosen.run, checkout() / "README.md"))
        return 0
    copy = report.publish(chosen.run, results / "published")
    report.write_section(checkout() / "README.md", report.results_section(results / "published"))
    report.write_section(results / "README.md", report.runs_section(results / "published"))
    print(copy)
    return 0


def doctor(chosen: Namespace) -> int:
    """Say what this machine can run and why not, and how large the cache is.

    Examples
    --------
    >>> from argparse import Namespace
    >>> doctor(Namespace(clear_cache=False))  # doctest: +ELLIPSIS
    Python ...
    """
    from hammerlib.cli.examine import clear_cache, findings

    if chosen.clear_cache:
        print(f"cache: {clear_cache() / 1e6:.1f} MB removed")
        return 0
    for name, state, reason in findings():
        print(f"{name:<22}{state:<5}{reason}".rstrip())
    return 0


def _overlap(config: TrainConfig) -> dict[str, object]:
    """Tell, before training, which benchmarks at hand share problems with the training set."""
    from hammerlib import load_problems
    from hammerlib.evaluation.benchmarks import known_overlap

    config.validate()
    asked = {"split": config.split, "n": config.n_problems, "columns": config.columns}
    problems = load_problems(config.problems, seed=0, **asked)
    report, found = known_overlap(problems)
    for name, counts in found["benchmarks"].items():
        if counts["exact"] or counts["n_gram"]:
            print(
                f"overlap with {name}: {counts['exact']} of {counts['problems']} problems exactly, "
                f"{counts['n_gram']} more by {found['ngram']} words in a row"
            )
    if not len(report):
        looked = ", ".join(found["benchmarks"]) or "none at hand (HAMMER_DATA)"
        print(f"no overlap with benchmarks: {looked}")
    return found | {"problems": report.astype(object).where(report.notna(), None).to_dict("records")}


def told(record: RunRecord) -> int:
    """Print a run's numbers and folder; the exit code 0.

    Examples
    --------
    >>> from pathlib import Path
    >>> told(RunRecord("demo", Path("runs/demo"), {"status": "success", "metrics": {}}))
    runs/demo
    0
    """
    for name, entry in record.metrics.items():
        interval = "" if entry["low"] is None else f"  [{entry['low']:.4f}, {entry['high']:.4f}]"
        error = "" if entry.get("se") is None else f"  (se {entry['se']:.4f})"
        print(f"{printable(name):<28}{entry['value']:.4f}{interval}{error}")
    if record.status == "partial":
        held = record.manifest["partial"]
        print(f"partial: {held['problems']} of {held['of_problems']} problems; call again to go on")
    print(record.folder)
    return 0
