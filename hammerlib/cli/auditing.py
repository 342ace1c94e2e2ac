"""``hammer audit``: a trainer's log against an order; the exit code is for continuous integration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from hammerlib.cli import options
from hammerlib.cli.ordering import parse_columns


def audit(
    log: Annotated[Path, Argument(metavar="LOG", help="a trainer's dump or index log: a file or a folder")],
    order: Annotated[Path, Option(metavar="FILE", help="the order that `hammer order` made")],
    problems: Annotated[
        str | None, Option(metavar="PROBLEMS", help="what was ordered, to find prompts by id and text")
    ] = None,
    columns: Annotated[
        list[str] | None,
        Option(
            metavar="NAME=COLUMN ...",
            help="where they stand in the log: step, epoch, generated, id, text, position",
        ),
    ] = None,
    per_step: Annotated[
        int | None, Option(metavar="N", help="problems of a step, for logs without steps")
    ] = None,
    late: Annotated[
        int, Option(metavar="STEPS", help="how late or early, and of how old weights, is still kept")
    ] = 0,
    allow: Annotated[
        list[str] | None,
        Option(metavar="KIND", help="order, tail, filtered, skipped, repeated, unknown, stale; repeatable"),
    ] = None,
    page: Annotated[Path | None, Option(metavar="FILE", help="one HTML page with a picture")] = None,
    split: options.Split = None,
    n: options.Count = None,
    seed: options.Seed = 0,
    problem_columns: Annotated[
        list[str] | None,
        options.of_problems(metavar="NAME=COLUMN ...", help="as --columns of `hammer order`"),
    ] = None,
) -> int:
    """Say what was trained against what was ordered. Ends with 0 where the order was kept, else with 1."""
    from hammerlib import Order, load_problems
    from hammerlib.adapters.findings import audit as compare

    table = None
    made = Order.load(order)
    if problems is not None:
        table = load_problems(problems, split=split, n=n, seed=seed, columns=parse_columns(problem_columns))
    found = compare(
        log, made, table, columns=parse_columns(columns), per_step=per_step, late=late, allow=allow or []
    )
    print(found)
    if page is not None:
        from hammerlib.pages.audit import write_audit
        from hammerlib.plots import style
        from hammerlib.plots.audit import as_svg, trained_positions

        style()
        picture = as_svg(trained_positions(found.rows, found.n, late=late))
        write_audit(
            page,
            f"{log.name} against {order.name}",
            str(found).splitlines(),
            found.kept,
            picture,
            found.by_step(),
        )
        print(f"{page}: the page")
    return 0 if found.kept else 1
