"""The problem table: where it comes from, what it must hold, and the hash that names it.

A table is a :class:`datasets.Dataset` with the string columns ``id, prompt, answer, source, topic`` and,
where a source knows them, ``difficulty`` (float), ``solution`` (str), ``scorer`` (str) and ``metadata``
(JSON text).
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError, check_type, check_whole, need
from hammerlib.problems.registry import SOURCES, Entry, find_source

if TYPE_CHECKING:
    from datasets import Dataset

COLUMNS = ("id", "prompt", "answer", "source", "topic")
OPTIONAL_COLUMNS = ("difficulty", "solution", "scorer", "metadata")

# Share of rows without an answer up to which a set still loads.
MAX_HOLES = 0.001

Loader = Callable[..., "Dataset"]


def register_source(prefix: str, loader: Loader | str) -> None:
    """Make ``load_problems("<prefix>:<name>")`` call `loader`.

    It is ``loader(name, split=..., n=..., seed=..., columns=...) -> Dataset`` in the layout of this module,
    or its place as ``"module:function"``, imported when a source is first asked for.

    Examples
    --------
    >>> from hammerlib import load_problems
    >>> from hammerlib.problems import make_table
    >>> def two(name, *, split, n, seed, columns):
    ...     return make_table([{"id": f"{name}-{i}", "prompt": f"1+{i}?", "answer": str(1 + i),
    ...                         "source": name, "topic": "sums"} for i in range(2)])
    >>> register_source("demo", two)
    >>> load_problems("demo:tiny")["answer"][:]
    ['1', '2']
    """
    SOURCES[prefix] = Entry(loader)


def load_problems(
    source: str,
    *,
    split: str | None = None,
    n: int | None = None,
    seed: int = 0,
    columns: dict[str, str] | None = None,
    dedupe: bool = False,
) -> Dataset:
    """Load a problem table and check it.

    Parameters
    ----------
    source : str
        ``"reasoning-gym:<mix>"`` (mixes ``math`` and ``nano``), ``"file:<path>"`` (jsonl, json, parquet,
        csv), ``"hub:<repo>[/<config>][@<revision>]"``, ``"champ:all"`` (270 competition problems, or one of
        their topics), ``"evolmath:<name>"`` and ``"puzzles:<name>"`` (see :mod:`hammerlib.systems`), a prefix
        given to :func:`register_source` or by an installed package (entry points ``hammerlib.problems``), or
        your own ``"my_package.my_module:function"``: a function that returns rows (dictionaries, in any known
        layout) or a table, and takes those of `split`, `n`, `seed` that it has parameters for.
    split : str, optional
        reasoning-gym: ``supervised``, ``rl`` (default) or ``heldout``, disjoint whatever the seed; hub: the
        repository's split (default ``train``); a file has none. ``rl`` is the part to train on, whatever the
        source calls it: ``train`` of the hub, all of a file.
    n : int, optional
        Number of problems, at least 1. reasoning-gym: spread evenly over topics (default 1000). Others: a
        random subset drawn with `seed`, in file order (default: all rows).
    seed : int
        Chooses the problems and, for reasoning-gym, their order.
    columns : dict, optional
        For unknown layouts, table column to file column, e.g. ``{"prompt": "task", "answer": "meta.gold"}``.
    dedupe : bool
        Drop later copies of a text, as :func:`hammerlib.problems.deduplicate`, which also reports them.

    Returns
    -------
    datasets.Dataset
        The columns of this module's description; ids are unique and stable.

    Raises
    ------
    InputError
        Unknown source, mix, split or layout; missing, unreadable or empty file; hub out of reach; a row
        without text, or more than 0.1 % of rows without answer (fewer give a warning; they are refused
        where problems are used); duplicate ids; more problems asked for than there are.

    Examples
    --------
    >>> table = load_problems("reasoning-gym:math", n=20, seed=1)
    >>> len(table), len(set(table["topic"])) >= 14
    (20, True)
    """
    load = find_source(source)
    if n is not None:
        check_whole("n", n, 1, "leave it out for the default")
    check_whole("seed", seed, 0, "choose a larger value")
    check_type("split", split, str | None)
    check_type("columns", columns, dict[str, str] | None)
    table = load(split=split, n=n, seed=seed, columns=columns)
    _check_loaded(table)
    if dedupe:
        from hammerlib.problems.cleaning import deduplicate

        table, _ = deduplicate(table)
    return table


def make_table(rows: Iterable[dict[str, Any]]) -> Dataset:
    """Build a problem table from row dictionaries, with typed columns in fixed order.

    Each row has the five required columns; an optional column is kept when any row has a value for it.

    Examples
    --------
    >>> row = {"id": "a-0", "prompt": "1+1?", "answer": "2", "source": "a", "topic": "sums"}
    >>> make_table([row]).column_names
    ['id', 'prompt', 'answer', 'source', 'topic']
    """
    need("datasets")
    from datasets import Dataset, Features, Value

    rows = list(rows)
    names = [*COLUMNS, *(c for c in OPTIONAL_COLUMNS if any(row.get(c) is not None for row in rows))]
    for name in names:
        _check_cells(name, [row.get(name) for row in rows])
    kinds = {name: Value("float64" if name == "difficulty" else "string") for name in names}
    return Dataset.from_dict({name: [row.get(name) for row in rows] for name in names}, Features(kinds))


def _check_cells(name: str, cells: list[Any]) -> None:
    """Refuse a cell that its column cannot hold, before Arrow does so in words of its own."""
    for row, cell in enumerate(cells):
        if cell is None:
            continue
        if name == "difficulty":
            if isinstance(cell, bool) or not isinstance(cell, int | float):
                raise InputError(name, cell, f"row {row} holds no number", "give a float or None")
        elif not isinstance(cell, str):
            problem = f"row {row} holds a {type(cell).__name__}, not a text"
            raise InputError(name, cell, problem, "write it as text")
        elif not cell.isascii() and re.search("[\ud800-\udfff]", cell):
            problem = f"row {row} holds half a surrogate pair, which no text file can hold"
            raise InputError(name, ascii(cell), problem, "repair the text")


def subset(table: Dataset, n: int | None, seed: int) -> Dataset:
    """Return `n` rows drawn without replacement by `seed`, in table order; all rows for ``n=None``."""
    if n is None:
        return table
    if n > len(table):
        remedy = f"ask for at most {len(table)}"
        raise InputError("n", n, f"the source has only {len(table)} problems", remedy)
    import numpy as np

    return table.select(np.sort(np.random.default_rng(seed).choice(len(table), size=n, replace=False)))


def check_problems(table: Dataset) -> None:
    """Refuse a table that cannot be trained on or evaluated; the first offender is named.

    A required column is missing, the table is empty, a row has no text or no answer, or two rows share an id.

    Examples
    --------
    >>> from hammerlib import load_problems
    >>> check_problems(load_problems("reasoning-gym:math", n=14))
    """
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        remedy = "build it with load_problems"
        raise InputError("columns", table.column_names, f"the table lacks {missing}", remedy)
    for name in COLUMNS:
        kind = getattr(table.features[name], "dtype", "list")
        if kind not in ("string", "large_string", "null"):
            raise InputError(name, kind, "the column holds no texts", "build the table with load_problems")
    if len(table) == 0:
        raise InputError("problems", "0 rows", "the set is empty", "give a source with at least one problem")
    for name in ("prompt", "answer"):
        if holes := _holes(table, name):
            problem = f"row {holes[0]} (id {table['id'][holes[0]]}) has no {name}"
            remedy = "fill the row, or drop it with drop_incomplete"
            raise InputError(name, table[name][holes[0]], problem, remedy)
    (first, count), *_ = Counter(table["id"][:]).most_common(1)
    if count > 1:
        raise InputError("id", first, f"{count} rows share this id", "make ids unique")


def _check_loaded(table: Dataset) -> None:
    # Public sets have holes (math_train7474 has 3 rows without a gold). They load, with a warning, so that
    # row counts and ids stay those of the file; what uses them calls check_problems and refuses.
    holes = _holes(table, "answer")
    if not holes or len(holes) > MAX_HOLES * len(table):
        check_problems(table)
        return
    check_problems(table.select(sorted(set(range(len(table))) - set(holes))))
    first = table["id"][holes[0]]
    warnings.warn(
        f"{len(holes)} of {len(table)} problems have no answer (first: {first}); drop_incomplete drops them",
        stacklevel=3,
    )


def _holes(table: Dataset, name: str) -> list[int]:
    return [index for index, value in enumerate(table[name][:]) if value is None or not value.strip()]


def fingerprint(table: Dataset) -> str:
    """Return the sha256 of the rows ``(id, prompt, answer)`` in order; metadata does not enter.

    Examples
    --------
    >>> from hammerlib import load_problems
    >>> table = load_problems("reasoning-gym:math", n=14)
    >>> len(fingerprint(table)), fingerprint(table) == fingerprint(table.select(range(13)))
    (64, False)
    """
    digest = hashlib.sha256()
    for row in _named_rows(table):
        digest.update(row)
        digest.update(b"\n")
    return digest.hexdigest()


def item_hashes(table: Dataset) -> list[str]:
    """Return per row the first 16 hex digits of the sha256 of ``(id, prompt, answer)``.

    Examples
    --------
    >>> from hammerlib import load_problems
    >>> [len(h) for h in item_hashes(load_problems("reasoning-gym:math", n=2))]
    [16, 16]
    """
    return [hashlib.sha256(row).hexdigest()[:16] for row in _named_rows(table)]


def _named_rows(table: Dataset) -> Iterable[bytes]:
    for row in zip(table["id"][:], table["prompt"][:], table["answer"][:], strict=True):
        yield json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()
