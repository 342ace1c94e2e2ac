"""``hammer`` evaluate, regrade, import and compare: completions, verdicts, and how two runs differ."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from hammerlib.cli import options
from hammerlib.cli.commands import print_run
from hammerlib.cli.options import of_sampling, plain, records
from hammerlib.cli.ordering import parse_columns
from hammerlib.errors import InputError, printable

if TYPE_CHECKING:
    import pandas as pd

    from hammerlib.evaluation.comparison import Comparison

NANO_LENGTH, LENGTH = 48, 1024  # tokens of a completion by default: nano answers in a line, others reason
CHANGED = 20  # changed samples printed; all of them stand in changes.csv
LISTED = 8  # ids named in one line; the file of --out holds all
TOKENS = "tokenizer.json"
SCORES = "run folder, run id, or .jsonl file (id, correct; optional sample, seed, topic, extracted, n_tokens)"
PAGE = "HTML table of the problems won and lost with both runs' completions, to search offline"

pairs = functools.partial(Option, metavar="NAME=COLUMN ...")
Benchmark = Annotated[str, Option(help="gsm8k, math500, aime24, ..., or a source of problems")]
SkipBad = Annotated[bool, Option("--skip-bad", help="leave out bad lines; they are listed in the record")]
Graders = Annotated[int | None, Option(help="grading processes (default: processors, at most 4)")]


def evaluate(
    model: Annotated[str, Option(help="nano, smollm2-135m, a folder (also of a training run), or a hub id")],
    benchmark: Benchmark,
    columns: options.Columns = None,
    samples: Annotated[int, Option(metavar="K", help="completions a problem")] = 16,
    n: options.Count = None,
    temperature: Annotated[float, of_sampling(help="0 is greedy")] = 1.0,
    top_p: Annotated[float, of_sampling(help="mass of the distribution sampled from")] = 1.0,
    max_new_tokens: Annotated[
        int | None,
        of_sampling(
            help="where a completion is cut off and counts as wrong (default 48 for nano, else 1024)"
        ),
    ] = None,
    template: options.Template = "raw",
    prompt: Annotated[str, Option(help="plain, boxed, dra-paper")] = "plain",
    run_code: options.RunCode = False,
    seed: options.Seed = 0,
    engine: Annotated[str, of_sampling(help="transformers, vllm")] = "transformers",
    stop: Annotated[
        list[str] | None, of_sampling(metavar="TEXT ...", help="texts that end a completion")
    ] = None,
    workers: options.Workers = 1,
    backend: options.Backend = "process",
    seconds: Annotated[
        float | None, Option(help="start no batch later; what is there is summarised as partial")
    ] = None,
    results: options.Results = None,
) -> int:
    """Sample completions, grade them, and record pass@k with intervals over problems."""
    import hammerlib

    if max_new_tokens is None:
        max_new_tokens = NANO_LENGTH if _is_nano(model) else LENGTH
    record = hammerlib.evaluate(
        model, benchmark, k=samples, n=n, columns=parse_columns(columns), temperature=temperature,
        top_p=top_p, max_new_tokens=max_new_tokens, template=template, prompt=prompt, run_code=run_code,
        seed=seed, engine=engine, stop=stop or (), workers=workers, backend=backend, seconds=seconds,
    )  # fmt: skip
    return print_run(record)


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


def regrade(
    run: Annotated[str, Argument(metavar="RUN", help="run folder or name, e.g. results/runs/evaluate__...")],
    benchmark: Annotated[
        str | None, Option(help="other golds for the same problems (default: those of the run)")
    ] = None,
    columns: options.Columns = None,
    skip_bad: SkipBad = False,
    workers: Graders = None,
    run_code: options.RunCode = False,
    results: options.Results = None,
) -> int:
    """Grade the stored completions of a run again and show what changed. The old record stays as it is."""
    from hammerlib.evaluation.imports import regrade as grade_again

    record = grade_again(
        run, benchmark=benchmark, columns=parse_columns(columns), skip_bad=skip_bad, workers=workers,
        run_code=run_code,
    )  # fmt: skip
    transitions = record.table("transitions.csv", dtype=str, keep_default_na=False)
    changes = record.table("changes.csv", dtype=str, keep_default_na=False)
    print(plain(transitions).to_string(index=False))
    counts = record.manifest["regraded"]
    print(
        f"\n{counts['changed']} samples changed: {counts['now_correct']} are now correct, "
        f"{counts['no_longer_correct']} no longer ({printable(', '.join(counts['graders_before']))} -> "
        f"{', '.join(record.manifest['parameters']['graders'])})"
    )
    if len(changes):
        print(changes.head(CHANGED).map(lambda text: ascii(text)[1:-1][:60]).to_string(index=False))
    return print_run(record)


def bring(
    file: Annotated[
        str,
        Argument(metavar="FILE", help="JSON lines, lm-eval's samples_*.jsonl, lighteval's details_*.parquet"),
    ],
    benchmark: Benchmark,
    columns: Annotated[
        list[str] | None, pairs(help="where completion, id, prompt, claimed stand (claimed= does without)")
    ] = None,
    benchmark_columns: Annotated[
        list[str] | None,
        pairs(help="where prompt and answer stand in a benchmark file:... of a layout of its own"),
    ] = None,
    skip_bad: SkipBad = False,
    workers: Graders = None,
    run_code: options.RunCode = False,
    results: options.Results = None,
) -> int:
    """Grade completions made elsewhere and record them as a run, the file's own verdicts beside ours."""
    from hammerlib.evaluation.imports import import_completions

    record = import_completions(
        file, benchmark, columns=parse_columns(columns), benchmark_columns=parse_columns(benchmark_columns),
        skip_bad=skip_bad, workers=workers, run_code=run_code,
    )  # fmt: skip
    about = record.manifest["imported"]
    print(
        f"{printable(about['file'])}: read as {about['layout']}, {len(about['left_out'])} lines left out, "
        f"{len(record.manifest['missing_problems'])} problems without a completion"
    )
    return print_run(record)


def compare(
    a: Annotated[str, Argument(metavar="RUN_A", help=SCORES)],
    b: Annotated[str | None, Argument(metavar="RUN_B", help="the same; may be left out with --power")] = None,
    power: Annotated[
        float | None, Option(metavar="HALF_WIDTH", help="problems needed for pass@1 +- this share, e.g. 0.01")
    ] = None,
    out: Annotated[
        Path | None, Option(metavar="FILE", help="everything as JSON, all problems by name")
    ] = None,
    page: Annotated[Path | None, Option(metavar="FILE", help=PAGE)] = None,
    results: options.Results = None,
) -> int:
    """Compare two runs over the same problems: differences, intervals, tests, problems won and lost."""
    from hammerlib.evaluation import comparison
    from hammerlib.runs.storage import write_json

    if b is None and (power is None or page):
        raise InputError("RUN_B", None, "is missing", "name a second run, or ask for --power only")
    runs = [comparison.read_scores(run) for run in (a, b) if run is not None]
    compared = comparison.compare(*runs) if len(runs) == 2 else None
    needed = None if power is None else comparison.power_table(runs, power)
    if compared:
        print(format_comparison(compared))
    if needed is not None:
        print(f"\nproblems needed for pass@1 +- {power:g} (95 %; low to high: what this run leaves open)")
        print(_format_power(needed))
    if out:
        content = {"power": needed} | (compared._asdict() if compared else {})
        write_json(out, {name: records(x) if hasattr(x, "to_dict") else x for name, x in content.items()})
    if page:
        from hammerlib.pages import side_by_side

        rows = comparison.transcripts(compared, a, b)
        table = side_by_side(rows, compared.a, compared.b, most=len(rows))
        table.write(page, f"{compared.a} and {compared.b}")
        print(f"{len(rows)} problems won and lost: {page}")
    return 0


def format_comparison(compared: Comparison) -> str:
    """A comparison as text for a terminal."""
    counts = compared.problems["outcome"].value_counts()
    outcomes = [int(counts.get(outcome, 0)) for outcome in ("won", "lost", "tied")]
    lines = [f"A: {printable(compared.a)}", f"B: {printable(compared.b)}"]
    lines.append(f"{len(compared.problems)} problems in both, {compared.seeds} seed(s), k up to {compared.k}")
    for run, missing in (("A", compared.only_a), ("B", compared.only_b)):
        if missing:
            more = ", ..." if len(missing) > LISTED else ""
            ids = printable(", ".join(missing[:LISTED]))
            lines.append(f"only in {run}, left out: {len(missing)} ({ids}{more})")
    lines += [f"note: {printable(note)}" for note in compared.notes]
    lines += ["", "mean (standard error) [95 % interval]", _format_table(compared.metrics, "metric"), ""]
    lines.append(
        "problems won by B {}, lost {}, tied {}; ".format(*outcomes)
        + "B better on a problem (ties half): {:.3f} [{:.3f}, {:.3f}]".format(*compared.improvement)
    )
    if len(compared.topics) > 1:
        lines += ["", "pass@1 by topic (p: sign flips; Holm: over all topics)"]
        lines.append(_format_table(compared.topics, "topic"))
    return "\n".join(lines)


def _format_table(frame: pd.DataFrame, name: str) -> str:
    table = frame[[name, "problems"]].copy()
    columns = (
        ("A", "a", "a_se", "a_low", "a_high"),
        ("B", "b", "b_se", "b_low", "b_high"),
        ("B - A", "difference", "se", "low", "high"),
    )
    for label, value, error, low, high in columns:
        rows = zip(frame[value], frame[error], frame[low], frame[high], strict=True)
        sign = "+" if label == "B - A" else ""
        table[label] = [f"{x:{sign}.3f} ({e:.3f}) [{a:{sign}.3f}, {b:{sign}.3f}]" for x, e, a, b in rows]
    for column in ("p", "p_holm"):
        if column in frame:
            table[column] = [f"{p:.2g}" if p < 0.001 else f"{p:.3f}" for p in frame[column]]
    return plain(table).to_string(index=False)


def _format_power(needed: pd.DataFrame) -> str:
    table = needed.copy()
    for column in ("problems", "low", "high"):
        table[column] = ["never" if x != x else f"{x:.0f}" for x in needed[column]]
    return plain(table).to_string(index=False)
