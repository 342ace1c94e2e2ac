"""``hammer card`` and ``hammer export``: models, orders and evaluations as others read them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, BadParameter, Option

from hammerlib.cli import options


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
