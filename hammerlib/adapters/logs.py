"""What other trainers leave behind: which problem was trained in which step, from dumps and index logs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hammerlib.errors import InputError, check_whole
from hammerlib.evaluation.foreign import prompt_text, read_lines, refuse_bad
from hammerlib.problems.files import read_records

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.ordering import Order

# What is looked for in a row -> its names in the dumps of trainers; dots go into nested objects.
NAMES = {
    "step": ("step", "global_step", "optimizer_step"),
    "epoch": ("epoch",),
    "generated": ("generated_step", "weight_version", "policy_step"),
    "id": ("problem_id", "task.data.id", "metadata.id", "extra_info.id", "id"),
    "text": ("prompt", "input", "query", "question", "problem", "messages", "content", "task.data.prompt"),
    "position": ("position", "extra_info.index", "metadata.position", "task.data.position"),
}
LEAST_TEXT = 20  # characters of a problem that is looked for inside a longer text
NUMBER = re.compile(r"(\d+)(?!.*\d)")
SUFFIXES = (".jsonl", ".parquet", ".csv", ".pt")


@dataclass(frozen=True)
class Trained:
    """One problem trained once in a step."""

    step: int
    places: tuple[int, ...]  # in the order; several where problems share their text, none for a stranger
    name: str  # its id, or the beginning of its text
    epoch: int | None = None
    generated: int | None = None  # step whose weights wrote it


@dataclass(frozen=True)
class Log:
    """What a log says.

    Attributes
    ----------
    layout : str
        How it was read, for the report.
    rows : list of Trained
        In the sequence of steps; rows of one group are one.
    """

    layout: str
    rows: list[Trained]


def read_log(
    path: str | Path,
    order: Order,
    problems: Dataset | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    per_step: int | None = None,
) -> Log:
    """Read what was trained from a trainer's dump.

    Known without further words: a run folder of hammerlib (``index_log.csv``); verl's ``rollout_data_dir``;
    TRL's folder of completions; ms-swift's ``completions.jsonl``; prime-rl's ``rollouts`` and the
    ``traces.jsonl`` of verifiers; NeMo-RL's ``train_data_step*.jsonl``; slime's ``*.pt``; rows of one's own
    with step and id.

    A problem is found by its id, else by its text (also inside a chat template), else by the position that
    the handed-over file gave it. Only the first two need `problems`, and only they notice another file.

    Parameters
    ----------
    path : path
        File or folder.
    order : Order
    problems : datasets.Dataset, optional
        The table that the order was made for.
    columns : mapping, optional
        Of the log where they are not found: step, epoch, generated, id, text, position to column names.
    per_step : int, optional
        For logs without steps: problems of a step.

    Raises
    ------
    InputError
        No such file; nothing in it that names a problem, or no steps; bad lines.

    Notes
    -----
    Source: ours; the layouts are those of the versions that the adapters name.

    Examples
    --------
    >>> import tempfile
    >>> from hammerlib.ordering import Order
    >>> log = Path(tempfile.mkdtemp()) / "log.jsonl"
    >>> _ = log.write_text('{"step": 1, "position": 1}\\n{"step": 2, "position": 0}\\n')
    >>> [row.places for row in read_log(log, Order(np.arange(2), "dataset")).rows]
    [(1,), (0,)]
    """
    path = Path(path)
    ids = None
    if problems is not None:
        order.verify(problems)
        ids = _Finder(problems, order)
    frame, layout = _rows_of(path)
    names = _columns(frame[0][1], columns or {}, path)
    place_of = np.argsort(order.permutation)
    matches = []
    cache: dict[Any, tuple[tuple[int, ...], str]] = {}
    for step, row in frame:
        values = {name: _value(row, column) for name, column in names.items()}
        if step is None:
            step = values.get("step")
        key = (str(values.get("id")), str(values.get("text")), str(values.get("position")))
        if key not in cache:
            cache[key] = _placed(values, row, ids, place_of, layout)
        places, name = cache[key]
        number = -1 if step is None else int(step)
        epoch = _whole(values.get("epoch"))
        matches.append(Trained(number, places, name, epoch, _whole(values.get("generated"))))
    by = "index"
    if layout != "index log" or ids is not None:
        usable = ("id", "text", "position") if ids is not None else ("position",)
        by = next((name for name in usable if name in names), "position")
    return Log(f"{layout}, by {by}", _groups(matches, path, per_step))


def _placed(
    values: Mapping[str, Any], row: Mapping[str, Any], ids: _Finder | None, place_of: np.ndarray, layout: str
) -> tuple[tuple[int, ...], str]:
    """Places of the problem that a row names, and what it is called."""
    text = prompt_text(values.get("text")) or ""
    title = " ".join(text.split())[:60]
    name = str(values.get("id") or title or f"position {values.get('position')}")
    if ids is not None and values.get("id") is not None and (known := ids.by_id(str(values["id"]))):
        return known, name
    if ids is not None and text:  # an id of the rollout's own says nothing
        return ids.by_text(text), title
    if ids is not None and values.get("id") is not None:
        return (), name
    position = values.get("position")
    if position is None and layout == "index log":
        position = int(place_of[int(row["index"])])
    if position is None:
        raise InputError(
            "problems", None, "are needed to find a log's prompts", "name them: --problems file:..."
        )
    return ((int(position),) if 0 <= int(position) < len(place_of) else ()), name


class _Finder:
    """Places in an order by id and by text."""

    def __init__(self, problems: Dataset, order: Order) -> None:
        from hammerlib.problems import normalise

        self.normalise = normalise
        table = problems.select(order.permutation.tolist())
        self.ids: dict[str, tuple[int, ...]] = {}
        self.texts: dict[str, tuple[int, ...]] = {}
        self.starts: dict[str, list[str]] = {}
        for position, (name, prompt) in enumerate(zip(table["id"][:], table["prompt"][:], strict=True)):
            self.ids[name] = (*self.ids.get(name, ()), position)
            text = normalise(prompt)
            self.texts[text] = (*self.texts.get(text, ()), position)
        for text in self.texts:
            self.starts.setdefault(text[:LEAST_TEXT], []).append(text)
        self.heads: Counter[int] = Counter()

    def by_id(self, name: str) -> tuple[int, ...]:
        return self.ids.get(name, ())

    def by_text(self, text: str) -> tuple[int, ...]:
        """The problem that a text is, that is one of its lines, or that stands in it after a template."""
        whole = self.normalise(text)
        if whole in self.texts:
            return self.texts[whole]
        for line in text.splitlines():
            line = self.normalise(line)
            if line and line in self.texts:
                return self.texts[line]
        # Templates put the same words before every problem: heads that were met are tried first.
        for head, _ in self.heads.most_common():
            inside = [
                known
                for known in self.starts.get(whole[head : head + LEAST_TEXT], ())
                if whole.startswith(known, head)
            ]
            if inside:
                return self.texts[max(inside, key=len)]
        inside = [known for known in self.texts if len(known) >= LEAST_TEXT and known in whole]
        if not inside:
            return ()
        best = max(inside, key=len)
        self.heads[whole.index(best)] += 1
        return self.texts[best]


def _whole(value: Any) -> int | None:
    if isinstance(value, list):  # slime: the version of the weights of every turn
        value = value[0] if value else None
    try:
        return None if value is None or value != value else int(value)
    except (TypeError, ValueError):
        return None


def _value(row: Mapping[str, Any], column: str) -> Any:
    for part in column.split("."):
        row = row.get(part) if isinstance(row, Mapping) else None
    return row


def _columns(first: Mapping[str, Any], given: Mapping[str, str], path: Path) -> dict[str, str]:
    """Name in `NAMES` -> column of the log."""
    for name, column in given.items():
        if name not in NAMES:
            raise InputError(
                "columns", name, "is nothing that a log is read for", f"map some of {', '.join(NAMES)}"
            )
        if _value(first, column) is None:
            raise InputError("columns", column, f"is not in {path.name}", f"it has {', '.join(first)}")
    matches = {
        name: next((one for one in names if _value(first, one) is not None), "")
        for name, names in NAMES.items()
    }
    names = {name: column for name, column in {**matches, **given}.items() if column}
    if not names.keys() & {"id", "text", "position"}:
        remedy = f"say where they stand, such as --columns id=... (it has {', '.join(first)})"
        raise InputError("columns", path.name, "no column is known to name a problem", remedy)
    return names


# Files


def _rows_of(path: Path) -> tuple[list[tuple[int | None, dict[str, Any]]], str]:
    """Rows with the step that their file's name says, and the layout."""
    if not path.exists():
        raise InputError("log", str(path), "there is no such file or folder", "check the path")
    files, layout = _files(path)
    rows: list[tuple[int | None, dict[str, Any]]] = []
    for file in files:
        named = _step_of(file, path) if path.is_dir() else None
        last: dict[str, Any] | None = None
        for row in _read(file):
            # ms-swift writes the table of its last step again when training ends
            if row != last or not any(isinstance(value, list) for value in row.values()):
                rows += _spread(row, named)
            last = row
    if not rows:
        raise InputError("log", str(path), "holds no rows", "name the folder that the trainer dumps to")
    return rows, layout


def _files(path: Path) -> tuple[list[Path], str]:
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise InputError(
                "log", path.name, "is no kind of log that is read", f"give {', '.join(SUFFIXES)}"
            )
        return [path], "index log" if path.name.startswith("index_log") else path.suffix[1:]
    own = sorted(path.glob("index_log*.csv"))
    if own:
        return own, "index log"
    traces = sorted(path.glob("**/train/effective/traces.jsonl"), key=lambda file: _step_of(file, path) or 0)
    if traces:
        return traces, "prime-rl rollouts"
    files = [
        file
        for file in path.rglob("*")
        if file.suffix in SUFFIXES and not file.name.startswith(("val", "eval"))
    ]
    return sorted(files, key=lambda file: (_step_of(file, path) or 0, str(file))), "folder of dumps"


def _step_of(file: Path, root: Path) -> int | None:
    """The last number in a file's path below a folder, as 7 of ``rollouts/step_7/traces.jsonl``."""
    matches = NUMBER.search(str(file.relative_to(root).with_suffix("")))
    return int(matches[1]) if matches else None


def _read(file: Path) -> Iterable[dict[str, Any]]:
    if file.suffix == ".pt":
        import torch

        held = torch.load(file, weights_only=False, map_location="cpu")
        return [_plain(sample) | {"step": held["rollout_id"]} for sample in held["samples"]]
    if file.suffix == ".jsonl":
        rows, bad = read_lines(file)
        refuse_bad(file, bad, False)
        return [row for _, row in rows]
    if file.suffix == ".csv":
        return pd.read_csv(file).to_dict("records")
    return read_records(file)


def _plain(sample: Any) -> dict[str, Any]:
    sample = sample if isinstance(sample, dict) else vars(sample)
    versions = sample.get("weight_versions")
    return sample | ({"generated_step": versions[0]} if versions else {})


def _spread(row: dict[str, Any], step: int | None) -> list[tuple[int | None, dict[str, Any]]]:
    """The rows in a row: ms-swift and NeMo-RL write columns of lists, verifiers episodes of traces."""
    if isinstance(row.get("traces"), list):
        traces = [trace for trace in row["traces"] if isinstance(trace, dict)]
        return [(step, row | {"task": row.get("task") or trace.get("task")}) for trace in traces]
    lists = {name: value for name, value in row.items() if isinstance(value, list)}
    prompts = row.get("prompt", row.get("content"))
    if isinstance(prompts, list) and prompts and not (isinstance(prompts[0], dict) and "role" in prompts[0]):
        columns = {name: value for name, value in lists.items() if len(value) == len(prompts)}
        if len(columns) > 1:
            rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
            return [(step, one) for one in rows]
    # A row's own step is that of the trainer; a file's name stands in where it has none.
    return [(None if any(_value(row, name) is not None for name in NAMES["step"]) else step, row)]


def _groups(rows: Sequence[Trained], path: Path, per_step: int | None) -> list[Trained]:
    """One row a group: completions of one problem in a step are one, those of two groups two."""
    if any(row.step < 0 for row in rows):
        if per_step is None:
            raise InputError(
                "log", path.name, "says no steps", "say how many problems a step has: --per-step N"
            )
        return _chunks(rows, check_whole("per_step", per_step, 1, "give the prompts of a step"))
    counts = Counter((row.step, row.places, row.name) for row in rows)
    # The first to come is the size of a group: most steps are sound.
    size = Counter(counts.values()).most_common(1)[0][0]
    first = {}
    for row in rows:
        first.setdefault((row.step, row.places, row.name), row)
    ordered = sorted(first.items(), key=lambda pair: pair[0][0])
    return [row for key, row in ordered for _ in range(max(1, round(counts[key] / size)))]


def _chunks(rows: Sequence[Trained], per_step: int) -> list[Trained]:
    """Steps counted: a run of rows of one problem is one group."""
    runs: list[Trained] = []
    for row in rows:
        if not runs or (row.places, row.name) != (runs[-1].places, runs[-1].name):
            runs.append(row)
    return [
        Trained(1 + number // per_step, row.places, row.name, row.epoch, row.generated)
        for number, row in enumerate(runs)
    ]
