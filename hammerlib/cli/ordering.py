"""hammer order: problems or vectors in, an order with its certificate out; with vectors it needs no torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError, check_name, check_whole

if TYPE_CHECKING:
    from argparse import Namespace

    from datasets import Dataset

    from hammerlib import Order
    from hammerlib.models.embeddings import Embeddings
    from hammerlib.similarity import Array

# Parameters of `order_by` that are words of the command, not options of a strategy.
OWN_WORDS = {name: f"--{name}" for name in ("strategy", "embeddings", "seed", "centre")}
OWN_WORDS["problems"] = "the word PROBLEMS"


def order(chosen: Namespace) -> int:
    """Order problems, and write the order with its cost, its certificate and what it was made from.

    Raises
    ------
    InputError
        Words that do not fit together, before anything is computed.

    Examples
    --------
    >>> from hammerlib.cli import main
    >>> main(["order", "file:missing.jsonl", "--backbone", "nano", "--out", "order.json"])
    2
    """
    import hammerlib
    from hammerlib.ordering.strategies import CENTRES, check_strategy

    # all that can be refused before minutes of embedding
    check_strategy("strategy", chosen.strategy, problem="is not known")
    check_name("centre", chosen.centre, CENTRES)
    check_whole("seed", chosen.seed, 0, "choose --seed 0, 1, ...")
    options = parse_options(chosen.set)
    if chosen.problems is None:
        _refuse_missing(chosen, options)
    if chosen.write and chosen.write.suffix not in (".jsonl", ".parquet"):
        raise InputError("write", str(chosen.write), "unknown kind of file", "use .jsonl or .parquet")
    table = None if chosen.problems is None else problems_of(chosen)
    vectors = _vectors(chosen, table)
    made = hammerlib.order_by(
        chosen.strategy,
        vectors,
        problems=table,
        seed=chosen.seed,
        centre=chosen.centre,
        certify=not chosen.no_certificate,
        **options,
    )
    made.save(chosen.out)
    print(f"{chosen.out}: {_summary(made)}")
    if chosen.write:
        _write(chosen, table, made)
    if chosen.explain:
        from hammerlib.diversity import explain_order

        print(explain_order(made, vectors, problems=table).to_string(index=False, float_format="%.4f"))
    return 0


def _refuse_missing(chosen: Namespace, options: dict[str, Any]) -> None:
    """Refuse words that need problems where none are named."""
    from hammerlib.ordering.strategies import COLUMNS

    for name in ("n", "split"):
        if getattr(chosen, name) is not None:
            problem, remedy = "selects problems, and none are named", "name a source of PROBLEMS"
            raise InputError(f"--{name}", getattr(chosen, name), problem, remedy)
    sorts = None if "pass_rate" in options else str(options.get("of", chosen.strategy))
    if chosen.backbone or chosen.write:
        asked, remedy = "--backbone" if chosen.backbone else "--write", "name a source of problems"
    elif sorts in COLUMNS:
        asked, remedy = f"--strategy {sorts}", f"name a source of PROBLEMS with a column {COLUMNS[sorts]!r}"
    else:
        return
    raise InputError("PROBLEMS", None, f"are missing, which {asked} needs", remedy)


def problems_of(chosen: Namespace) -> Dataset:
    """Return the problems that the words of a command name.

    Examples
    --------
    >>> from argparse import Namespace
    >>> len(problems_of(Namespace(problems="reasoning-gym:nano", split=None, n=8, seed=0)))
    8
    """
    import hammerlib

    options = {"split": chosen.split, "n": chosen.n, "seed": chosen.seed}
    return hammerlib.load_problems(
        chosen.problems, columns=parse_columns(getattr(chosen, "columns", [])), **options
    )


def parse_columns(words: list[str]) -> dict[str, str] | None:
    """Return ``name=column`` words, also several in one with commas between, as a mapping; None for no word.

    Parameters
    ----------
    words : list of str

    Raises
    ------
    InputError
        A word without ``=``, or a name twice.

    Examples
    --------
    >>> parse_columns(["prompt=task,answer=meta.gold", "id=key"])
    {'prompt': 'task', 'answer': 'meta.gold', 'id': 'key'}
    """
    found: dict[str, str] = {}
    for word in words:
        # A comma parts two pairs only where a pair follows: a column's own name may hold one.
        for pair in re.split(r",(?=[A-Za-z_]\w*=)", word):
            name, given, column = pair.partition("=")
            if not given or not name:
                problem = "is no NAME=COLUMN"
                raise InputError("columns", pair, problem, "write for example prompt=task answer=gold")
            if name in found:
                raise InputError("columns", pair, f"{name} is mapped twice", "map it once")
            found[name] = column
    return found or None


def parse_options(words: list[str]) -> dict[str, Any]:
    """Return ``name=value`` words as options, values read as YAML.

    Parameters
    ----------
    words : list of str

    Raises
    ------
    InputError
        A word without ``=``, a name twice or with a word of its own, or a value that is no YAML.

    Examples
    --------
    >>> parse_options(["eta=0.1", "eta_mode=pool", "gap=null"])
    {'eta': 0.1, 'eta_mode': 'pool', 'gap': None}
    """
    from hammerlib.runs.reading import parse_yaml

    options: dict[str, Any] = {}
    for word in words:
        name, given, value = word.partition("=")
        if not given or not name:
            raise InputError("set", word, "is not name=value", "write for example --set window=8")
        if name in OWN_WORDS:
            raise InputError("set", word, "is no option of a strategy", f"use {OWN_WORDS[name]}")
        if name in options:
            raise InputError("set", word, f"{name} is set twice", "set it once")
        try:
            options[name] = parse_yaml(value, value)
        except InputError as error:
            raise InputError(name, value, error.problem, "write a number or a word") from None
    return options


def _vectors(chosen: Namespace, table: Dataset | None) -> Embeddings | Array:
    """Return vectors from a file (an .npy array stays on disk until it is used) or from the backbone."""
    if chosen.embeddings is None:
        import hammerlib

        pooled = {"layer": chosen.layer, "pooling": chosen.pooling, "template": chosen.template}
        return hammerlib.embed(table, chosen.backbone, **pooled)
    if chosen.embeddings.suffix != ".npy":
        from hammerlib.models.embeddings import Embeddings

        return Embeddings.load(chosen.embeddings)
    import numpy as np

    try:
        found = np.load(chosen.embeddings, mmap_mode="r")
    except Exception as error:  # by which byte is damaged; Python objects are never loaded
        problem = f"cannot be read ({type(error).__name__})"
        raise InputError("embeddings", str(chosen.embeddings), problem, "save an (n, d) array") from None
    if not found.size:
        raise InputError("embeddings", str(chosen.embeddings), "holds no vectors", "save an (n, d) array")
    return found


def _summary(made: Order) -> str:
    told = f"{len(made)} problems in {made.strategy} order"
    if made.cost is not None:
        told += f", cost {made.cost:.4f} (random order: {made.random_cost:.4f}"
        if made.lower_bound is not None:
            gap = "unknown" if made.gap is None else f"{100 * made.gap:.3f} %"
            told += f", bound: {made.lower_bound:.4f}, gap {gap}"
        told += ")"
    repeats = made.provenance.get("repeats", {})
    if repeats.get("rows"):
        told += f"; {repeats['rows']} rows repeat others, {repeats['side by side']} times side by side"
    return told


def _write(chosen: Namespace, table: Dataset, made: Order) -> None:
    from hammerlib.problems.files import records_of, write_records

    records = records_of(chosen.problems, table)
    write_records([records[row] for row in made.permutation], Path(chosen.write))
    print(f"{chosen.write}: the problems in this order")
