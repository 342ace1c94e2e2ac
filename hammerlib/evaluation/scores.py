"""Graded samples of one run, read back from a run folder or from anyone's JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from hammerlib.errors import InputError
from hammerlib.evaluation import samples
from hammerlib.evaluation.outcomes import read_outcomes
from hammerlib.problems.files import BOM, read_records
from hammerlib.runs import RunRecord
from hammerlib.runs.reading import parse_json
from hammerlib.runs.storage import content_hash, results_root

SETTINGS = ("template", "prompt", "temperature", "top_p", "max_new_tokens", "stop", "grader")
# What a row may have beside id and correct, and of what kind; whichever every row has is used.
OPTIONAL: dict[str, tuple[type, ...]] = {
    "sample": (int, str),
    "seed": (int, str),
    "topic": (str, int),
    "extracted": (str, int, float),
    "n_tokens": (int, float),
    "truncated": (bool,),
}
EXAMPLES = {"sample": "0", "seed": "0", "topic": '"sums"', "extracted": '"42"', "n_tokens": "120"}
EXAMPLES |= {"truncated": "false"}


class Scores(NamedTuple):
    """Samples of one run by problem and seed.

    Attributes
    ----------
    name : str
        Run or file, without folders.
    samples : dict
        Problem id to ``{seed: [row, ...]}``; a row has ``correct`` and whatever else is known.
    topics : dict
        Problem id to topic; empty where unknown.
    fingerprint : str or None
        Of the problem table, when the run recorded it.
    notes : tuple of str
        What a reader should know.
    hashes : dict or None
        Problem id to a hash of prompt and gold; empty or None where the run stored no problems.
    settings : dict or None
        Of `SETTINGS`, those that the run recorded.

    Examples
    --------
    >>> Scores("demo", {"a": {0: [{"correct": True}]}}, {}, None, ()).name
    'demo'
    """

    name: str
    samples: dict[str, dict[object, list[dict]]]
    topics: dict[str, str]
    fingerprint: str | None
    notes: tuple[str, ...]
    hashes: dict[str, str] | None = None
    settings: dict[str, object] | None = None


def read_scores(place: str | Path) -> Scores:
    """Read the graded samples of a run.

    Parameters
    ----------
    place : str or path
        A run folder, the id of a run below the folder of runs, or a file of JSON lines: one object a sample
        with ``id`` and ``correct`` (true, false, 1, 0), and optionally ``sample``, ``seed`` (of training),
        ``topic``, ``extracted`` (the answer, null where there is none), ``n_tokens``, ``truncated``.

    Returns
    -------
    Scores

    Raises
    ------
    InputError
        Nothing there, no samples and no outcomes in the folder, a line that cannot be read (named by number),
        a column that is missing, a sample that stands there twice.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "mine.jsonl"
    >>> _ = path.write_text('{"id": "a", "correct": true}\\n{"id": "a", "correct": false}\\n')
    >>> len(read_scores(path).samples["a"][None])
    2
    """
    path = run_path(place)
    return _of_run(path) if path.is_dir() else _scores(path.name, _lines(path), {}, None, ())


def run_path(place: str | Path) -> Path:
    """Return the run folder or file that `place` names, also by the id of a run.

    Raises
    ------
    InputError
        Nothing there.

    Examples
    --------
    >>> run_path(".").is_dir()
    True
    """
    path = Path(place)
    if not path.exists() and (results_root() / path).is_dir():
        path = results_root() / path
    if not path.exists():
        remedy = "name a run folder, a run of results/runs, or a .jsonl file"
        raise InputError("run", str(place), "is not there", remedy)
    return path


def check_shared(first: Scores, second: Scores, shared: list[str]) -> None:
    """Refuse two runs whose equal ids do not mean equal problems.

    Parameters
    ----------
    first, second : Scores
    shared : list of str
        Ids in both.

    Raises
    ------
    InputError
        Fewer than two ids; another prompt or gold behind one, where both runs stored their problems; else
        the same ids and another fingerprint.

    Examples
    --------
    >>> runs = [Scores(name, {}, {}, None, ()) for name in "xy"]
    >>> check_shared(*runs, ["a", "b"])
    """
    if len(shared) < 2:
        problem = f"shares {len(shared)} problems with {first.name}"
        raise InputError("run", second.name, problem, "compare runs over the same problems, by id")
    if first.hashes and second.hashes:
        other = [name for name in shared if first.hashes.get(name) != second.hashes.get(name)]
        if other:
            problem = f"asks other problems, or has other golds, under {len(other)} ids of {first.name}"
            raise InputError("run", second.name, f"{problem}: {other[:3]}", "evaluate both on one table")
        return
    prints = (first.fingerprint, second.fingerprint)
    same = len(shared) == len(first.samples) == len(second.samples)
    if same and all(prints) and prints[0] != prints[1]:
        problem = f"has the ids of {first.name}, but other problems behind them (fingerprints differ)"
        raise InputError("run", second.name, problem, "evaluate both on one table")


def other_settings(first: Scores, second: Scores) -> list[str]:
    """Return a note on what two runs were made with differently, where both recorded it.

    Parameters
    ----------
    first, second : Scores

    Returns
    -------
    list of str
        One note, or none.

    Examples
    --------
    >>> runs = [Scores("x", {}, {}, None, (), {}, {"temperature": heat}) for heat in (0.6, 1.0)]
    >>> other_settings(*runs)
    ['made differently: temperature 0.6 and 1.0']
    """
    a, b = first.settings or {}, second.settings or {}
    differ = [name for name in SETTINGS if name in a and name in b and a[name] != b[name]]
    told = [f"{name} {a[name]} and {b[name]}" for name in differ]
    return [f"made differently: {'; '.join(told)}"] if told else []


def _of_run(folder: Path) -> Scores:
    if not (folder / "manifest.json").exists():
        raise InputError("run", folder.name, "has no manifest.json", "name a folder of results/runs")
    record = RunRecord.load(folder)
    notes = () if record.status == "success" else (f"{record.run_id} ended with status {record.status}",)
    record.check("outcomes.csv").check("samples.jsonl", "problems.jsonl", present=True)
    if samples.sums_of(folder / "samples.jsonl").is_file():
        refuse_damaged(record)
    table = _outcomes(folder / "outcomes.csv")
    topics = {row["id"]: row["topic"] for row in table}
    fingerprint = record.manifest.get("problems_fingerprint")
    if (folder / "samples.jsonl").is_file():
        rows = list(_lines(folder / "samples.jsonl"))
        lost = {row["id"] for row in rows} - set(topics) if table else set()
        if lost:  # an interrupted run summarises the problems that have all their samples
            rows = [row for row in rows if row["id"] not in lost]
            notes += (f"{record.run_id} lacks samples of {len(lost)} problems, left out: {sorted(lost)}",)
    elif table:
        # A published copy has no completions: right and wrong samples are counted, nothing else is known.
        rows = [{"id": row["id"], "correct": i < row["correct"]} for row in table for i in range(row["n"])]
        notes += (f"{record.run_id} holds counts only: no answers, no lengths",)
    else:
        problem = "holds neither samples.jsonl nor outcomes.csv"
        raise InputError("run", record.run_id, problem, "name a run of `hammer evaluate`")
    asked = record.manifest["parameters"]
    asked = asked.get("original", {}) | asked
    settings = {name: asked[name] for name in SETTINGS if name in asked}
    found = _scores(record.run_id, rows, topics, fingerprint, notes)
    return found._replace(hashes=_hashes(folder / "problems.jsonl"), settings=settings)


def _hashes(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    rows = read_records(path)
    return {str(row["id"]): content_hash(row["prompt"], row["answer"]) for row in rows}


def refuse_damaged(record: RunRecord) -> None:
    """Refuse the samples of an unfinished run of which a line is not what was written."""
    damages = samples.read(record.folder / "samples.jsonl")[1]
    if damages:
        problem = f"its samples.jsonl, line {damages[0].line} {damages[0].problem}"
        remedy = "finish the run first: the same command samples such lines again"
        raise InputError("run", record.run_id, problem, remedy)


def _outcomes(path: Path) -> list[dict]:
    return read_outcomes(path).to_dict("records") if path.is_file() else []


def _lines(path: Path) -> Iterator[dict]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                line = line.removeprefix(BOM) if number == 1 else line
                yield _checked(line, f"{path.name}, line {number}")


def _checked(line: bytes, where: str) -> dict:
    try:
        row = parse_json(line, halves="replace")
    except ValueError as error:
        raise InputError("line", where, str(error), "write one JSON object a line") from None
    if not isinstance(row, dict) or row.get("id") is None or "correct" not in row:
        raise InputError("line", where, "needs id and correct", 'write {"id": ..., "correct": true}')
    if isinstance(row["id"], dict | list | bool):
        raise InputError("line", where, "has an id that is no name", "write it as text")
    if row["correct"] not in (True, False):
        problem = f"correct is {row['correct']!r}"[:60]
        raise InputError("line", where, problem, "grade the completion first: true or false")
    for name, kinds in OPTIONAL.items():
        value = row.get(name)
        fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
        if value is not None and (not fits or (name == "n_tokens" and value < 0)):
            problem = f"{name} is {value!r}"[:60]
            raise InputError("line", where, problem, f"write {EXAMPLES[name]}, or leave it out")
    return {"id": str(row["id"]), "correct": bool(row["correct"])} | {
        name: row[name] for name in OPTIONAL if name in row
    }


def _scores(
    name: str, rows: Iterable[dict], topics: dict[str, str], fingerprint: str | None, notes: tuple[str, ...]
) -> Scores:
    found: dict[str, dict[object, list[dict]]] = {}
    seen = set()
    for row in rows:
        seed, number = row.get("seed"), row.get("sample")
        if number is not None and (key := (row["id"], seed, number)) in seen:
            raise InputError("sample", list(key), f"stands twice in {name}", "keep one line a sample")
        seen.add((row["id"], seed, number))
        found.setdefault(row["id"], {}).setdefault(seed, []).append(row)
        if row.get("topic") is not None:
            topics.setdefault(row["id"], str(row["topic"]))
    if not found:
        raise InputError("run", name, "holds no sample", "name a finished evaluation")
    return Scores(name, found, topics, fingerprint, notes)
