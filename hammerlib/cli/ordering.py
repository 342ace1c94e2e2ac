"""``hammer order``: problems or vectors in, an order with its certificate out; vectors need no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, BadParameter, Option

from hammerlib.cli import options
from hammerlib.errors import InputError, check_name, check_whole

if TYPE_CHECKING:
    from hammerlib import Order
    from hammerlib.similarity import Array

# Parameters of `order_by` that are words of the command, not options of a strategy.
OWN_WORDS = {name: f"--{name}" for name in ("strategy", "embeddings", "seed", "centre")}
OWN_WORDS["problems"] = "the word PROBLEMS"


def order(
    out: Annotated[Path, Option(help="JSON file to write")],
    problems: Annotated[str | None, Argument(metavar="PROBLEMS", help=options.PROBLEMS)] = None,
    backbone: Annotated[
        str | None, options.of_model(help="embed with this model: nano, smollm2-135m, a folder, or a hub id")
    ] = None,
    embeddings: Annotated[
        Path | None,
        options.of_model(help="instead: file that `hammer embed` wrote, or an (n, d) array in an .npy file"),
    ] = None,
    strategy: Annotated[str, Option(help="hammer, min-path, random, similar, matched, ...")] = "hammer",
    centre: Annotated[str, Option(help="none, argmin, renormalise")] = "none",
    settings: Annotated[
        list[str] | None, Option("--set", metavar="NAME=VALUE", help="option of the strategy, repeatable")
    ] = None,
    no_certificate: Annotated[
        bool,
        Option(
            "--no-certificate", help="no bound and gap, whose solver compiles for up to a minute at first use"
        ),
    ] = False,
    write: Annotated[
        Path | None, Option(metavar="FILE", help="the problems in this order: jsonl, parquet")
    ] = None,
    trainer: Annotated[
        str | None,
        Option(
            "--for",
            metavar="TRAINER",
            help="write them as this trainer reads them, and print what to set: trl, verl, openrlhf, "
            "ms-swift, trinity-rft, verifiers, prime-rl, nemo-rl, slime",
        ),
    ] = None,
    batch: Annotated[
        int | None, Option(metavar="N", help="with --for: prompts of a step, to find what fills no batch")
    ] = None,
    tail: Annotated[
        str, Option(help="with --for and --batch: refuse, report what fills no batch")
    ] = "refuse",
    explain: Annotated[
        bool, Option("--explain", help="print the order's profile beside random orders'")
    ] = False,
    seed: options.Seed = 0,
    layer: options.Layer = -1,
    pooling: options.Pooling = "mean",
    template: options.Template = "raw",
    split: options.Split = None,
    columns: options.Columns = None,
    n: options.Count = None,
) -> int:
    """Order problems, and write the order with its cost, its certificate and what it was made from."""
    import hammerlib
    from hammerlib.adapters.files import check_batch, check_path, trainer_named
    from hammerlib.ordering.strategies import CENTRES, check_strategy

    # All that can be refused before minutes of embedding.
    if (backbone is None) == (embeddings is None):
        raise BadParameter("give one of --backbone and --embeddings")
    check_strategy("strategy", strategy, problem="is not known")
    check_name("centre", centre, CENTRES)
    check_whole("seed", seed, 0, "choose --seed 0, 1, ...")
    chosen = parse_options(settings or [])
    if problems is None:
        for word, value in {"--n": n, "--split": split, "--backbone": backbone, "--write": write}.items():
            if value is not None:
                raise InputError(
                    word, str(value), "needs problems, and none are named", "name a source of PROBLEMS"
                )
    if write and write.suffix not in (".jsonl", ".parquet"):
        raise InputError("write", str(write), "unknown kind of file", "use .jsonl or .parquet")
    if trainer is not None:
        if write is None:
            raise InputError("for", trainer, "needs a file to write", "add --write FILE")
        check_path(trainer_named(trainer), write)
    elif batch is not None or tail != "refuse":
        word, value = ("tail", tail) if batch is None else ("batch", batch)
        raise InputError(word, value, "is of a trainer, and none is named", "add --for TRAINER")

    table = None
    if problems is not None:
        table = hammerlib.load_problems(problems, split=split, n=n, seed=seed, columns=parse_columns(columns))
    if trainer is not None:
        check_batch(trainer_named(trainer), len(table), batch, tail)
    if embeddings is None:
        vectors = hammerlib.embed(table, backbone, layer=layer, pooling=pooling, template=template)
    elif embeddings.suffix == ".npy":
        vectors = _read_array(embeddings)
    else:
        from hammerlib.models.embeddings import Embeddings

        vectors = Embeddings.load(embeddings)
    made = hammerlib.order_by(
        strategy, vectors, problems=table, seed=seed, centre=centre, certify=not no_certificate, **chosen
    )
    made.save(out)
    print(f"{out}: {_summary(made)}")
    if trainer is not None:
        from hammerlib.adapters import hand_over

        print(f"{write}: {hand_over(trainer, table, made, write, batch=batch, tail=tail)}")
    elif write:
        from hammerlib.problems.files import records_of, write_records

        records = records_of(problems, table)
        write_records([records[row] for row in made.permutation], write)
        print(f"{write}: the problems in this order")
    if explain:
        from hammerlib.diversity import explain_order

        print(explain_order(made, vectors, problems=table).to_string(index=False, float_format="%.4f"))
    return 0


def parse_columns(words: Sequence[str] | None) -> dict[str, str] | None:
    """Return ``name=column`` words, also several in one with commas between, as a mapping; None for none."""
    columns: dict[str, str] = {}
    for word in words or ():
        # A comma parts two pairs only where a pair follows: a column's own name may hold one.
        for pair in re.split(r",(?=[A-Za-z_]\w*=)", word):
            name, equals, column = pair.partition("=")
            if not equals or not name:
                remedy = "write for example prompt=task answer=gold"
                raise InputError("columns", pair, "is no NAME=COLUMN", remedy)
            if name in columns:
                raise InputError("columns", pair, f"{name} is mapped twice", "map it once")
            columns[name] = column
    return columns or None


def parse_options(words: Sequence[str]) -> dict[str, Any]:
    """Return ``name=value`` words as options of a strategy, values read as YAML."""
    from hammerlib.runs.reading import parse_settings

    for word in words:
        name = word.partition("=")[0]
        if name in OWN_WORDS:
            raise InputError("set", word, "is no option of a strategy", f"use {OWN_WORDS[name]}")
    return parse_settings(words)


def _read_array(file: Path) -> Array:
    """Open an .npy array, which stays on disk until it is used."""
    import numpy as np

    try:
        vectors = np.load(file, mmap_mode="r")
    except Exception as error:  # by which byte is damaged; Python objects are never loaded
        problem = f"cannot be read ({type(error).__name__})"
        raise InputError("embeddings", str(file), problem, "save an (n, d) array") from None
    if not vectors.size:
        raise InputError("embeddings", str(file), "holds no vectors", "save an (n, d) array")
    return vectors


def _summary(made: Order) -> str:
    text = f"{len(made)} problems in {made.strategy} order"
    if made.cost is not None:
        text += f", cost {made.cost:.4f} (random order: {made.random_cost:.4f}"
        if made.lower_bound is not None:
            gap = "unknown" if made.gap is None else f"{100 * made.gap:.3f} %"
            text += f", bound: {made.lower_bound:.4f}, gap {gap}"
        text += ")"
    repeats = made.provenance.get("repeats", {})
    if repeats.get("rows"):
        text += f"; {repeats['rows']} rows repeat others, {repeats['side by side']} times side by side"
    return text


# A trainer's log against the order


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
            help="where they stand in the log: step, epoch, generated, group, batch, id, text, position, "
            "index",
        ),
    ] = None,
    per_step: Annotated[
        int | None, Option(metavar="N", help="problems of a step, for logs without steps")
    ] = None,
    late: Annotated[
        int, Option(metavar="STEPS", help="how late or early, and of how old weights, is still kept")
    ] = 0,
    steps_per_batch: Annotated[
        int | None,
        Option(metavar="N", help="steps that train one generation batch, whose prompts may be mixed"),
    ] = None,
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
    from hammerlib.adapters.logs import read_log
    from hammerlib.problems.files import records_of

    table = None
    records: list[dict[str, Any]] = []
    made = Order.load(order)
    if problems is not None:
        table = load_problems(problems, split=split, n=n, seed=seed, columns=parse_columns(problem_columns))
        records = records_of(problems, table)
    read = read_log(log, made, table, columns=parse_columns(columns), per_step=per_step, records=records)
    found = compare(read, made, late=late, allow=allow or [], steps_per_batch=steps_per_batch)
    print(found)
    if page is not None:
        from hammerlib.pages.page import write_audit
        from hammerlib.plots import style
        from hammerlib.plots.orders import as_svg, trained_positions

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
