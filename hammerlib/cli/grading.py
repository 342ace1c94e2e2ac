"""``hammer regrade`` and ``hammer import``: stored or foreign completions, graded here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hammerlib.cli.commands import told
from hammerlib.cli.ordering import parse_columns
from hammerlib.cli.terminal import plain
from hammerlib.errors import printable

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

SHOWN = 20  # changed samples printed; all of them stand in changes.csv


def add_regrade(parser: ArgumentParser) -> None:
    """Describe the words of ``hammer regrade``.

    Examples
    --------
    >>> import argparse
    >>> parser = argparse.ArgumentParser(); add_regrade(parser)
    >>> parser.parse_args(["results/runs/x"]).workers is None
    True
    """
    parser.add_argument("run", metavar="RUN", help="run folder or name, e.g. results/runs/evaluate__...")
    parser.add_argument("--benchmark", help="other golds for the same problems (default: those of the run)")
    parser.add_argument(
        "--columns",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=COLUMN",
        help="where prompt and answer stand in a benchmark file:... of a layout of its own",
    )
    _add_grading(parser)


def add_import(parser: ArgumentParser) -> None:
    """Describe the words of ``hammer import``.

    Examples
    --------
    >>> import argparse
    >>> parser = argparse.ArgumentParser(); add_import(parser)
    >>> parser.parse_args(["a.jsonl", "--benchmark", "math500"]).skip_bad
    False
    """
    parser.add_argument(
        "file", metavar="FILE", help="JSON lines, lm-eval's samples_*.jsonl, lighteval's details_*.parquet"
    )
    parser.add_argument("--benchmark", required=True, help="gsm8k, math500, ..., or a source of problems")
    parser.add_argument(
        "--columns",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=COLUMN",
        help="where completion, id, prompt, claimed stand (claimed= does without)",
    )
    parser.add_argument(
        "--benchmark-columns",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=COLUMN",
        help="where prompt and answer stand in a benchmark file:... of a layout of its own",
    )
    _add_grading(parser)


def regrade(chosen: Namespace) -> int:
    """Grade the stored completions of a run again and show what changed. The old record stays as it is.

    Examples
    --------
    >>> from hammerlib.cli import main
    >>> main(["regrade", "no-such-run"])
    2
    """
    from hammerlib.evaluation.imports import regrade as again

    options = _options(chosen) | {"columns": parse_columns(chosen.columns)}
    record = again(chosen.run, benchmark=chosen.benchmark, **options)
    tables = [
        record.table(f"{name}.csv", dtype=str, keep_default_na=False) for name in ("transitions", "changes")
    ]
    print(plain(tables[0]).to_string(index=False))
    known = record.manifest["regraded"]
    print(
        f"\n{known['changed']} samples changed: {known['now_correct']} are now correct, "
        f"{known['no_longer_correct']} no longer ({printable(', '.join(known['graders_before']))} -> "
        f"{', '.join(record.manifest['parameters']['graders'])})"
    )
    if len(tables[1]):
        shown = tables[1].head(SHOWN).map(lambda text: ascii(text)[1:-1][:60])
        print(shown.to_string(index=False))
    return told(record)


def bring(chosen: Namespace) -> int:
    """Grade completions made elsewhere and record them as a run, the file's own verdicts beside ours.

    Examples
    --------
    >>> from hammerlib.cli import main
    >>> main(["import", "missing.jsonl", "--benchmark", "reasoning-gym:nano"])
    2
    """
    from hammerlib.evaluation.imports import import_completions

    record = import_completions(
        chosen.file,
        chosen.benchmark,
        columns=parse_columns(chosen.columns),
        benchmark_columns=parse_columns(chosen.benchmark_columns),
        **_options(chosen),
    )
    known = record.manifest["imported"]
    print(
        f"{printable(known['file'])}: read as {known['layout']}, {len(known['left_out'])} lines left out, "
        f"{len(record.manifest['missing_problems'])} problems without a completion"
    )
    return told(record)


def _add_grading(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out bad lines; they are listed in the record"
    )
    parser.add_argument("--workers", type=int, help="grading processes (default: processors, at most 4)")
    parser.add_argument(
        "--run-code",
        action="store_true",
        help="run what a model wrote: programs, confined; unaudited scorers, not",
    )
    parser.add_argument("--results", metavar="DIR", help="folder of run folders (default results/runs)")


def _options(chosen: Namespace) -> dict[str, object]:
    return {name: getattr(chosen, name) for name in ("skip_bad", "workers", "run_code")}
