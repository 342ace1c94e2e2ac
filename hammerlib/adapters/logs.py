"""What other trainers leave behind: which problem was trained in which step, from dumps and index logs."""

from __future__ import annotations

import bisect
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hammerlib.errors import InputError, check_name, check_whole
from hammerlib.evaluation.foreign import listed, prompt_text, read_lines
from hammerlib.problems.files import read_records

if TYPE_CHECKING:
    from datasets import Dataset

    from hammerlib.ordering import Order

# What is looked for in a row -> its names in the dumps of trainers; dots go into nested objects.
NAMES = {
    "step": ("step", "global_step", "optimizer_step"),
    "epoch": ("epoch",),
    "generated": ("generated_step", "weight_version", "policy_step", "weight_versions"),
    "group": ("group_id", "group_index", "group"),
    "batch": ("generation_batch",),
    "id": ("problem_id", "task.data.id", "metadata.id", "extra_info.id", "id"),
    "text": ("prompt", "input", "query", "question", "problem", "messages", "content", "task.data.prompt"),
    "position": ("position", "extra_info.index", "metadata.position", "task.data.position"),
    "index": ("index",),
}
NAMING = ("id", "text", "position", "index")  # each names a problem
# Further names in an index log, which elsewhere may be anything.
OWN = {"generated": ("generated",), "dropped": ("dropped",)}
STALE = "stale"  # why a problem was dropped that should have been trained
LEAST_TEXT = 20  # characters of a problem that is looked for inside a longer text
EVEN = 0.9  # share of groups of one size from which on another size is a repetition
SHOWN = 60  # characters of a text in a report
STEP = re.compile(r"(?<![a-z])(?:step|iter(?:ation)?)[_=-]?(\d+)", re.IGNORECASE)
RANK = re.compile(r"(?:rank|worker|process|node|gpu|shard)[_=-]?\d+", re.IGNORECASE)
MARK = re.compile(r"<[|｜][^<>]*[|｜]>|</?[a-z_]+>|\[/?INST\]", re.IGNORECASE)  # tokens of chat templates
ROLE = re.compile(r"^\s*(?:system|developer|user|human|assistant|model)\b:?", re.IGNORECASE)
SUFFIXES = (".jsonl", ".parquet", ".csv", ".pt")


@dataclass(frozen=True)
class Trained:
    """One problem trained once in a step."""

    step: int
    places: tuple[int, ...]  # in the order; several where problems share their text, none for a stranger
    name: str  # its id, or part of its text
    epoch: int | None = None
    generated: int | None = None  # step whose training its weights were meant for: `step` where not stale
    group: Any = None  # tells completions of one group from those of another
    batch: Any = None  # of generation, where the log has it
    later: tuple[int, ...] = ()  # further steps that trained the same completions


@dataclass(frozen=True)
class Log:
    """What a log says.

    Attributes
    ----------
    layout : str
        How it was read, for the report.
    rows : list of Trained
        In the sequence of steps; rows of one group are one.
    notes : list of str
        What was left out of it.
    dropped : list of (int, tuple of int, str)
        Epoch, places and why, of what an index log says was generated and is not to be trained.
    """

    layout: str
    rows: list[Trained]
    notes: list[str] = field(default_factory=list)
    dropped: list[tuple[int, tuple[int, ...], str]] = field(default_factory=list)


def read_log(
    path: str | Path,
    order: Order,
    problems: Dataset | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    per_step: int | None = None,
    records: Sequence[Mapping[str, Any]] = (),
) -> Log:
    """Read what was trained from a trainer's dump.

    Known without further words: a run folder of hammerlib (``index_log.csv``); verl's ``rollout_data_dir``;
    TRL's folder of completions; ms-swift's ``completions.jsonl``; prime-rl's ``rollouts`` and the
    ``traces.jsonl`` of verifiers; NeMo-RL's ``train_data_step*.jsonl``; slime's ``*.pt``; rows of one's own
    with step and id.

    A problem is found by its id, else by its text (also inside a chat template), else by the position that
    the handed-over file gave it or by its row of the problem table (``index``). Only the first two need
    `problems`, and only they notice another file. A row whose step is below 0 was not trained; an index log
    says why. A batch that most often comes in so many steps one after the other is one that was generated for
    all of them; an index log says which step generated it. Completions of one prompt in a row are one group,
    also where it is larger than others and no multiple of them.

    Parameters
    ----------
    path : path
        File or folder.
    order : Order
    problems : datasets.Dataset, optional
        The table that the order was made for.
    columns : mapping, optional
        Of the log where they are not found: a key of `NAMES` to the name of a column.
    per_step : int, optional
        For logs without steps: problems of a step.
    records : sequence of mapping, optional
        The rows of `problems` as their source has them, for ids of its own.

    Raises
    ------
    InputError
        No such file; nothing in it that names a problem, or no steps; all in one step; values that cannot be
        read; files of several names that fall into one step.

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
    given = columns or {}
    for name in given:
        check_name("columns", name, NAMES, "is nothing that a log is read for")
    if per_step is not None:
        check_whole("per_step", per_step, 1, "give the prompts of a step")
    finder = None
    if problems is not None:
        order.verify(problems)
        finder = _Finder(problems, order, records, given)
    rows, layout, notes = _rows_of(path, given, per_step)
    place_of = np.argsort(order.permutation)
    found: list[Trained] = []
    dropped: list[tuple[int, tuple[int, ...], str]] = []
    stale = 0
    cache: dict[Any, tuple[tuple[int, ...], str, str]] = {}
    for where, values in rows:
        key = tuple(str(values.get(name)) for name in NAMING)
        if key not in cache:
            cache[key] = _placed(values, finder, place_of, where)
        step, epoch, generated = (_whole(values, name, where) for name in ("step", "epoch", "generated"))
        why, places = values.get("dropped"), cache[key][0]
        if step is None or step >= 0:
            batch = None if values.get("batch") is None else str(values["batch"])
            group = values.get("group")
            found.append(Trained(step, *cache[key][:2], epoch, generated, group, batch))
        elif why not in (None, STALE) and epoch is not None:
            dropped.append((epoch, places, why))
        stale += step is not None and step < 0 and why == STALE
    if left := len(rows) - len(found) - len(dropped):
        why = f"; {STALE} {stale}" if stale else ""
        notes.append(f"{left} rows were not trained (a step below 0{why}) and are left out")
    if not found and not dropped:
        raise InputError("log", str(path), "holds no trained rows", "name the folder that a trainer dumps to")
    by = Counter(by for _, _, by in cache.values()).most_common(1)[0][0]
    trained, sizes = _groups(found, path, per_step, layout == "index log")
    return Log(f"{layout}, by {by}", trained, [*notes, *sizes], dropped)


def _placed(
    values: Mapping[str, Any], finder: _Finder | None, place_of: np.ndarray, where: str
) -> tuple[tuple[int, ...], str, str]:
    """Places of the problem that a row names, what it is called, and what it was found by."""
    label, text = values.get("id"), prompt_text(values.get("text")) or ""
    title = " ".join(text.split())[:SHOWN]
    if finder is not None and (label is not None or text):
        if known := finder.ids.get(str(label)):
            return known, str(label), "id"
        if known := finder.by_text(text):  # an id of the rollout's own says nothing
            return known, title, "text"
        if label is not None and (known := finder.own.get(_label(label))):
            return known, str(label), "id"
        # a stranger by its end: templates begin all alike
        turns = [words for turn in MARK.split(text) if (words := " ".join(ROLE.sub("", turn).split()))]
        return (), turns[-1][-SHOWN:] if turns else str(label), "text" if text else "id"
    name = next((one for one in ("position", "index") if values.get(one) is not None), None)
    if name is None and finder is not None:
        remedy = "name the column of prompts: --columns text=..."
        raise InputError("text", values.get("text"), f"is no text, in {where}", remedy)
    if name is None:
        remedy = "name them: --problems file:..."
        raise InputError("problems", None, "are needed to find a log's prompts", remedy)
    place = _whole(values, name, where)
    called = str(title or f"{name} {place}" if label is None else label)
    known = range(len(place_of)) if name == "position" else place_of
    return (int(known[place]),) if 0 <= place < len(known) else (), called, name


class _Finder:
    """Places in an order by id, by text, and by the id that a problem has in its source."""

    def __init__(
        self, problems: Dataset, order: Order, records: Sequence[Mapping[str, Any]], given: Mapping[str, str]
    ) -> None:
        from hammerlib.problems import normalise

        self.normalise = normalise
        self.ids: dict[str, tuple[int, ...]] = defaultdict(tuple)
        self.own: dict[str, tuple[int, ...]] = defaultdict(tuple)
        self.texts: dict[str, tuple[int, ...]] = defaultdict(tuple)
        self.starts: dict[str, list[str]] = {}
        names, prompts = problems["id"][:], problems["prompt"][:]
        columns = (*NAMES["id"], given.get("id", "id"))
        for position, row in enumerate(order.permutation.tolist()):
            self.ids[names[row]] += (position,)
            self.texts[normalise(prompts[row])] += (position,)
            for own in {_label(_value(records[row], one)) for one in columns} if records else ():
                self.own[own] += (position,)
        for text in self.texts:
            self.starts.setdefault(text[:LEAST_TEXT], []).append(text)
        self.heads: Counter[int] = Counter()

    def by_text(self, text: str) -> tuple[int, ...]:
        """The problem that a text is, that is one of its turns or lines, or that stands in it."""
        whole = self.normalise(text)
        if whole in self.texts or not whole:
            return self.texts.get(whole, ())
        # The last turn of a template is the one that was asked; a role may stand before the words.
        turns = MARK.split(text)[::-1]
        for part in (*turns, *(line for turn in turns for line in turn.splitlines()[::-1])):
            for words in {part, ROLE.sub("", part)} - {""}:
                if (words := self.normalise(words)) in self.texts:
                    return self.texts[words]
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


def _label(value: Any) -> str:
    """An id as text; 3.0 is the number 3, as pandas writes a column with holes."""
    return re.sub(r"(?<=\d)\.0$", "", str(value))


def _whole(values: Mapping[str, Any], name: str, where: str) -> Any:
    """The whole number that a row has; None where it has none."""
    value = values.get(name)
    if isinstance(value, list):  # slime: the version of the weights of every turn
        value = value[0] if value else None
    try:
        if value is None or (number := float(value)) == int(number):
            return None if value is None else int(number)
        if name == "epoch":  # a clock, as TRL's, which does not say where an epoch begins
            return None
    except (TypeError, ValueError, OverflowError):
        pass
    remedy = f"write it as 1, or name the column that has it: --columns {name}=..."
    raise InputError(name, value, f"is no whole number, in {where}", remedy)


def _value(row: Mapping[str, Any], column: str) -> Any:
    for part in column.split("."):
        row = row.get(part) if isinstance(row, Mapping) else None
    return None if row is None or row == "" or row != row else row  # no text, and NaN, are no value


def _columns(
    rows: Sequence[Mapping[str, Any]], given: Mapping[str, str], file: Path, own: bool
) -> dict[str, str]:
    """Name in `NAMES` -> column of a file."""
    has = dict.fromkeys(key for row in rows for key in row)
    if not has:
        raise InputError("log", file.name, "holds no rows", "name the folder that the trainer dumps to")
    names = {}
    for name, usual in ({**NAMES, **OWN} if own else NAMES).items():
        for column in (given[name],) if name in given else usual:
            if column.partition(".")[0] in has and any(_value(row, column) is not None for row in rows):
                names[name] = column
                break
        if name in given and name not in names:
            raise InputError("columns", given[name], f"is not in {file.name}", f"it has {', '.join(has)}")
    if "text" in names and "index" not in given:
        names.pop("index", None)  # that of a sample, as slime's
    if not names.keys() & set(NAMING):
        remedy = f"say where they stand, such as --columns id=... (it has {', '.join(has)})"
        raise InputError("columns", file.name, "no column is known to name a problem", remedy)
    return names


# Files


def _rows_of(
    path: Path, given: Mapping[str, str], per_step: int | None
) -> tuple[list[tuple[str, dict[str, Any]]], str, list[str]]:
    """Where every row stands and what it says, the layout, and what was left out."""
    if not path.exists():
        raise InputError("log", str(path), "there is no such file or folder", "check the path")
    files, layout = _files(path)
    rows: list[tuple[str, dict[str, Any]]] = []
    notes: list[str] = []
    refused: dict[str, InputError] = {}
    stems: dict[int, set[str]] = {}
    for file in files:
        held, cut = _read(file)
        notes += [f"{file.name}: {cut}"] if cut else []
        try:
            names = _columns(held, given, file, layout == "index log")
        except InputError as error:  # a folder may hold other tables beside the dumps
            refused[file.name] = error
            continue
        step, stem = (None, "") if path.is_file() or per_step else _step_of(file, path)
        again: Counter[str] = Counter()
        for number, row in enumerate(held, start=1):
            where = f"row {number} of {file.name}"
            values = {name: _value(row, column) for name, column in names.items()}
            if not any(values.get(name) is not None for name in NAMING):
                naming = " or ".join(names[name] for name in NAMING if name in names)
                raise InputError(naming, None, f"is missing in {where}", "fill it in, or take the row out")
            if row.get("trained") is False:  # our own completions, which a rollout left out
                values["step"] = -1
            # A row's own step is that of the trainer; a file's name stands in where it has none.
            if values.get("step") is None and step is not None:
                values["step"] = step
                stems.setdefault(step, set()).add(stem)
            if layout == "index log":  # where a row is a group, which may stand in the logs of two processes
                same = str((values, row.get("process")))
                again[same] += 1
                values["group"] = values.get("generated"), again[same]
            elif values.get("group") is not None and row.get("process") is not None:
                values["group"] = row["process"], values["group"]  # counted by each process for itself
            rows.append((where, values))
    if not rows:
        empty = InputError("log", str(path), "holds no rows", "name the folder that the trainer dumps to")
        raise next(iter(refused.values()), empty)
    for step, several in stems.items():
        if len(several) > 1:
            shown = ", ".join(sorted(several)[:3])
            problem = f"{len(several)} files fall into step {step} by their names ({shown})"
            remedy = "name them step_1..., give their rows a column step, or count with --per-step N"
            raise InputError("log", str(path), problem, remedy)
    notes += [f"{name} is left out: {error.problem}" for name, error in refused.items()]
    return rows, layout, notes


def _files(path: Path) -> tuple[list[Path], str]:
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            remedy = f"give {', '.join(SUFFIXES)}"
            raise InputError("log", path.name, "is no kind of log that is read", remedy)
        return [path], "index log" if path.name.startswith("index_log") else path.suffix[1:]
    own = sorted(path.glob("index_log*.csv"))
    if own:
        return own, "index log"
    files = list(path.glob("**/train/effective/traces.jsonl"))
    layout = "prime-rl rollouts" if files else "folder of dumps"
    if not files:
        files = [file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file()]
        files = [file for file in files if not file.name.startswith(("val", "eval"))]
    numbers = {file: [int(one) for one in re.findall(r"\d+", str(file.relative_to(path)))] for file in files}
    return sorted(files, key=lambda file: (_step_of(file, path)[0] or 0, numbers[file], str(file))), layout


def _step_of(file: Path, root: Path) -> tuple[int | None, str]:
    """The step that a path says, as ``step_7/0``, ``7_rank_1`` and ``7``, and what else files of it share."""
    name = str(file.relative_to(root).with_suffix(""))
    if said := STEP.findall(name):
        return int(said[-1]), ""
    name = RANK.sub("", name)
    numbers = re.findall(r"\d+", name)
    return (int(numbers[-1]) if numbers else None), name


def _read(file: Path) -> tuple[list[dict[str, Any]], str]:
    """Rows of a file, and what was left out of it."""
    if not file.stat().st_size:
        return [], ""
    if file.suffix == ".jsonl":
        lines, bad = read_lines(file)
        last = max((line for line, _ in (*lines, *bad)), default=0)
        if bad and (bad[0].line < last or not lines):
            raise InputError("log", file.name, listed(bad), "mend these lines, or take them out")
        note = f"line {last}, the last one, is cut off and was left out" if bad else ""
        return _spread([row for _, row in lines]), note
    if file.suffix == ".parquet":
        return _spread(read_records(file)), ""
    try:
        if file.suffix == ".pt":
            import torch

            held = torch.load(file, weights_only=False, map_location="cpu")
            samples = [one if isinstance(one, dict) else vars(one) for one in held["samples"]]
            return [sample | {"step": held["rollout_id"]} for sample in samples], ""
        return pd.read_csv(file, dtype=str, keep_default_na=False).to_dict("records"), ""
    except Exception as error:  # damage makes anything of pandas and torch
        problem = f"cannot be read ({type(error).__name__}: {str(error)[:80]})"
        raise InputError("log", str(file), problem, "mend it, or take it out of the folder") from None


def _spread(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows in rows: ms-swift and NeMo-RL write columns of lists, verifiers episodes of traces."""
    found: list[dict[str, Any]] = []
    for row, last in zip(rows, [None, *rows], strict=False):
        prompts = row.get("prompt", row.get("content"))
        chat = isinstance(prompts, list) and isinstance(next(iter(prompts), {}), dict)
        lists = {name: cells for name, cells in row.items() if isinstance(cells, list)}
        columns = {name: cells for name, cells in lists.items() if cells and len(cells) == len(prompts or ())}
        if isinstance(row.get("traces"), list):
            traces = [trace for trace in row["traces"] if isinstance(trace, dict)]
            found += [row | {"task": row.get("task") or trace.get("task")} for trace in traces]
        elif not isinstance(prompts, list) or chat or len(columns) < 2:
            found.append(row)
        elif row != last:  # ms-swift writes the table of its last step again when training ends
            found += [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return found


# Groups


def _groups(
    rows: list[Trained], path: Path, per_step: int | None, own: bool
) -> tuple[list[Trained], list[str]]:
    """One row a group, and what is to be told of their sizes.

    Completions of one problem in a step are one group, those of two groups two.
    """
    if not rows:
        return [], []
    if any(row.epoch is None for row in rows):
        rows = [replace(row, epoch=None) for row in rows]
    steps = Counter(row.step for row in rows)
    if None in steps and len(steps) > 1:
        problem = f"is missing in {steps[None]} of the {len(rows)} rows of {path.name}"
        raise InputError("step", None, problem, "fill it in, or take the rows out")
    keys = [row.places or row.name for row in rows]
    # a run of ours may be of one step
    count = None in steps or (len(steps) == 1 and len(set(keys)) > 1 and not own)
    if count and per_step is None:
        problem = (
            "says no steps" if None in steps else f"is all one step ({min(steps)}), which has no sequence"
        )
        remedy = "say how many problems a step has: --per-step N, or where it stands: --columns step=..."
        raise InputError("log", path.name, problem, remedy)
    # Problems of a step; where steps are counted, runs of rows of one problem.
    units: dict[Any, list[Trained]] = defaultdict(list)
    parts: dict[Any, set[int]] = defaultdict(set)
    runs = np.cumsum([key != last for key, last in zip(keys, [None, *keys], strict=False)]).tolist()
    for run, key, row in zip(runs, keys, rows, strict=True):
        where = (run if count else row.step, key, row.epoch)
        units[where].append(row)
        parts[where].add(run)
    single = [len(unit) for unit in units.values() if len(unit[0].places) < 2]
    size, times = Counter(single or [min(map(len, units.values()))]).most_common(1)[0]
    even = size == 1 or times >= EVEN * len(single)
    groups: dict[Any, list[Trained]] = defaultdict(list)
    larger: list[str] = []
    several: list[str] = []
    reached = 0
    for where, unit in sorted(units.items(), key=lambda item: item[0][0]):
        ids = {str(row.group): row for row in unit if row.group is not None}
        # Where sizes vary and no ids are logged, only problems of one text are several.
        most = len(unit) if even else max(1, len(unit[0].places))
        many = min(max(1, round(len(unit) / size)), most)
        # Rows of one problem that follow each other in a step are one larger group where they are no whole
        # groups of the usual size. Twice the usual may be either, and an audit must not miss a repeat. Where
        # steps are counted, they are several if a step would end between them.
        whole = not count or reached % per_step + many <= per_step
        in_a_row = len(parts[where]) == 1 and whole
        if not ids and many > 1 and size > 1 and in_a_row and len(unit[0].places) < 2:
            if len(unit) % size:
                larger.append(f"{len(unit)} of {unit[0].name!r}")
                many = 1
            else:
                several.append(f"{len(unit)} of {unit[0].name!r}")
        found = list(ids.values()) or [unit[0]] * many
        if even and isinstance(unit[0].group, tuple):
            found = found[:many]  # a group that straddles processes, or where it starts, has several numbers
        groups[where[0]] += found
        reached += len(found)
    notes = [f"groups of more completions than the usual {size}: {', '.join(larger)}"] if larger else []
    if several:
        notes.append(
            f"rows in a row that count as several groups of {size}: {', '.join(several)}; that they are one "
            "larger group only a column says (group, or --columns group=...)"
        )
    if not count:
        by_step = list(groups.values())
        logged = own and all(row.generated is not None for row in rows)
        return _used(by_step) if logged else _generated(by_step, own), notes
    flat = [row for here in groups.values() for row in here]
    return [replace(row, step=1 + number // per_step) for number, row in enumerate(flat)], notes


def _used(steps: list[list[Trained]]) -> list[Trained]:
    """Groups of steps as an index log has them, with all steps that trained the same completions."""
    rows = [row for here in steps for row in here]
    uses: dict[Any, list[Trained]] = defaultdict(list)
    for row in rows:
        uses[row.places or row.name, row.epoch, row.generated, row.group].append(row)
    generations = sorted({row.generated for row in rows})
    found = []
    for (*_, generated, _), several in uses.items():
        # A batch is trained in steps that follow each other, until another one is generated; what is trained
        # after that is a repetition.
        following = generations[bisect.bisect_right(generations, generated) :][:1]
        first = several[0]
        end = max(*following, first.step + 1) if following else several[-1].step
        for row in several[1:]:
            reached = first.later[-1] if first.later else first.step
            if row.step == reached + 1 and row.step <= end:
                first = replace(first, later=(*first.later, row.step))
            else:
                found.append(row)
        found.append(first)
    return sorted(found, key=lambda row: row.step)


def _generated(steps: list[list[Trained]], own: bool) -> list[Trained]:
    """Groups of steps, less the repeats of a batch that is generated for several steps and logged in each."""
    runs: list[tuple[Any, list[int]]] = []
    last: dict[Any, list[int]] = {}
    for number, here in enumerate(steps):
        # Our index log may have two such batches in a step; elsewhere the whole step must come again.
        whole = None if own else frozenset(Counter((row.places or row.name) for row in here).items())
        for key in {(row.places or row.name, row.epoch) for row in here}:
            if last.get((key, whole), [-2])[-1] < number - 1:
                last[key, whole] = []
                runs.append((key, last[key, whole]))
            last[key, whole].append(number)
    # The usual number of steps is that of a batch: more are a repetition.
    period = Counter(len(run) for _, run in runs).most_common(1)[0][0]
    first = {(key, k) for key, run in runs for k in run[::period][: max(1, round(len(run) / period))]}
    return [
        row
        for k, here in enumerate(steps)
        for row in here
        if ((row.places or row.name, row.epoch), k) in first
    ]
