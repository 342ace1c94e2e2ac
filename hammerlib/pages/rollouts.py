"""Completions of any run, told alike: ours, TRL's parquet, verl's dumps, inspect's logs, JSON lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from hammerlib.errors import InputError, MissingExtra, need
from hammerlib.evaluation import foreign
from hammerlib.runs import MANIFEST

SUFFIXES = (".parquet", ".jsonl", ".eval", ".json")
OURS = {"step", "id", "group", "trained", "prompt", "completion", "reward_raw"}
OUR_SAMPLES = {"id", "sample", "completion", "correct"}
TRL = {"step", "prompt", "completion", "advantage"}
VERL = {"input", "output", "score"}


class Completion(NamedTuple):
    """One completion, whoever wrote it down."""

    group: Hashable  # within its file
    text: str
    problem: str = ""  # name
    prompt: str = ""
    gold: str = ""
    step: int | None = None
    right: bool | None = None  # the file's own verdict
    reward: float | None = None  # before any adjustment
    weight: float | None = None  # as the file has it: what the reward was multiplied by
    paid: float | None = None  # as the file has it: the reward after its adjustment
    advantage: float | None = None  # as the file has it
    notes: Mapping[str, str] = MappingProxyType({})  # what else is told, shown as it is


@dataclass
class Rollouts:
    """What was read."""

    kinds: list[str] = field(default_factory=list)
    groups: list[list[Completion]] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)  # files and lines left out, each with its reason
    remarks: list[str] = field(default_factory=list)  # how the numbers are to be read


def read_rollouts(source: str | Path, steps: tuple[int, int] | None = None) -> Rollouts:
    """Read the groups of a run, or of a file of one; `steps` are the first and last one to keep.

    What cannot be read is named in `damaged`; where nothing can, that is the error.
    """
    source = Path(source)
    read = Rollouts()
    for file in _files(source):
        try:
            kind, completions, bad, remark = _read_file(file)
        except MissingExtra:
            raise
        except InputError as error:
            read.damaged.append(f"{file.name}: {error.problem}")
            continue
        except Exception as error:  # a damaged file makes anything of pyarrow, zipfile and zlib
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
            read.damaged.append(f"{file.name}: cannot be read ({reason})")
            continue
        if bad:
            unit = "line" if file.suffix == ".jsonl" else "sample"
            read.damaged.append(f"{file.name}: {foreign.listed(bad, unit)}")
        groups: dict[Hashable, list[Completion]] = {}
        for completion in completions:
            groups.setdefault((completion.step, completion.group), []).append(completion)
        for (step, _), rows in groups.items():
            if steps is None or (step is not None and steps[0] <= step <= steps[1]):
                read.groups.append(rows)
        for told, new in ((read.kinds, kind), (read.remarks, remark)):
            if new and new not in told:
                told.append(new)
    if not read.groups:
        problem = (
            "; ".join(read.damaged[: foreign.SHOWN])
            or "no completions are in it (published copies of runs have none)"
        )
        if steps is not None and not read.damaged:
            problem = f"no completions of steps {steps[0]} to {steps[1]} are in it"
        remedy = "give a run with completions, TRL's or verl's folder of them, or an inspect log"
        raise InputError("run", source.name, problem, remedy)
    read.groups.sort(key=lambda rows: math.inf if rows[0].step is None else rows[0].step)
    return read


def _files(source: Path) -> list[Path]:
    if not source.exists():
        raise InputError("run", str(source), "there is no such file or folder", "check the path")
    if source.is_file():
        if source.suffix not in SUFFIXES:
            problem = "is no kind of file that holds completions"
            raise InputError("run", source.name, problem, f"give one of {', '.join(SUFFIXES)}, or a folder")
        return [source]
    for folder, pattern in ((source / "completions", "*.parquet"), (source, "samples.jsonl")):
        if files := sorted(folder.glob(pattern), key=lambda file: foreign.by_number(file.name)):
            return files
    if (source / MANIFEST).exists():
        return []  # a run of ours that keeps no completions, such as a published copy
    files = [file for file in source.iterdir() if file.suffix in SUFFIXES and file.is_file()]
    return sorted(files, key=lambda file: foreign.by_number(file.name))


def _read_file(file: Path) -> tuple[str, list[Completion], list[foreign.BadLine], str]:
    """Kind, completions, lines that are none, and how its numbers are to be read."""
    if file.suffix == ".parquet":
        return _of_parquet(file)
    if file.suffix == ".jsonl":
        return _of_lines(file)
    samples = enumerate(foreign.inspect_samples(file), start=1)
    return "inspect log", *foreign.collect(_of_inspect, samples), "right: the first scorer's value"


# Parquet


def _of_parquet(file: Path) -> tuple[str, list[Completion], list[foreign.BadLine], str]:
    need("pyarrow")
    from pyarrow import parquet

    columns = set(parquet.read_schema(file).names)
    if columns >= OURS:
        completions = [_of_ours(row) for row in parquet.read_table(file).to_pylist()]
        return "training run", completions, [], "right: the grader's verdict"
    if columns >= TRL:
        table = parquet.read_table(file)
        return _of_trl(table.to_pylist(), _numbers_of(table.schema))
    return _of_foreign(file)


def _of_ours(row: dict[str, Any]) -> Completion:
    named = {"answer": "extracted", "verdict": "reason", "tokens": "n_tokens", "forced tokens": "forced"}
    notes = {name: row.get(column) for name, column in named.items()} | {"task": row.get("task")}
    notes["cut at the limit"] = "yes" if row.get("truncated") else ""
    if not row["trained"]:
        notes["not trained"] = "left out by the rollout"
    return Completion(
        (row["process"], row["group"], "" if row["trained"] else row["id"]),
        row["completion"],
        problem=row["id"],
        prompt=row["prompt"],
        step=row["step"],
        right=row["correct"],
        reward=row["reward_raw"],
        weight=row["weight"],
        paid=row["reward"],
        advantage=row["advantage"],
        notes=_told(notes),
    )


def _numbers_of(schema: Any) -> list[str]:
    from pyarrow import types

    kinds = (types.is_floating, types.is_integer, types.is_boolean)
    return [name.name for name in schema if name.name not in TRL and any(kind(name.type) for kind in kinds)]


def _of_trl(
    rows: list[dict[str, Any]], rewards: list[str]
) -> tuple[str, list[Completion], list[foreign.BadLine], str]:
    verdict = next((name for name in rewards if "accuracy" in name or "correct" in name), None)
    completions = []
    for row in rows:
        values = {name: _number(row[name]) for name in rewards}
        known = [value for value in values.values() if value is not None]
        right = None if verdict is None or values[verdict] is None else values[verdict] > 0
        notes = {name: value for name, value in row.items() if name not in TRL and name != "images"}
        prompt = _text(row["prompt"])
        completions.append(
            Completion(
                prompt,
                _text(row["completion"]),
                prompt=prompt,
                step=row["step"],
                right=right,
                reward=sum(known) if known else None,
                advantage=_number(row["advantage"]),
                notes=_told(notes),
            )
        )
    remark = f"reward: sum of {', '.join(rewards)}, each with weight 1 (the file names no weights)"
    if verdict is not None:
        remark += f"; right: {verdict} above 0"
    return "TRL completions", completions, [], remark


# JSON lines


def _of_lines(file: Path) -> tuple[str, list[Completion], list[foreign.BadLine], str]:
    rows, bad = foreign.read_lines(file)
    if rows and set(rows[0][1]) >= VERL:
        return "verl rollout dump", *foreign.collect(_of_verl, rows, bad), "reward: score"
    if rows and set(rows[0][1]) >= OUR_SAMPLES:
        stored = file.with_name("problems.jsonl")
        lines = foreign.read_lines(stored)[0] if stored.is_file() else []
        problems = {str(row.get("id")): row for _, row in lines}
        completions, bad = foreign.collect(lambda _, row: _of_sample(row, problems), rows, bad)
        return "evaluation run", completions, bad, "reward: 1 if right, or else 0"
    return _of_foreign(file)


def _of_verl(_: int, row: dict[str, Any]) -> Completion:
    rest = {name: value for name, value in row.items() if name not in VERL | {"step", "gts"}}
    verdict = row.get("acc")
    return Completion(
        _text(row["input"]),
        _text(row["output"]),
        prompt=_text(row["input"]),
        gold=_text(row.get("gts")),
        step=None if row.get("step") is None else int(row["step"]),
        right=None if verdict is None else bool(_number(verdict)),
        reward=_number(row["score"]),
        notes=_told(rest),
    )


def _of_sample(row: dict[str, Any], problems: dict[str, dict]) -> Completion:
    problem = problems.get(str(row["id"]), {})
    notes = {"answer": row.get("extracted"), "verdict": row.get("reason"), "tokens": row.get("n_tokens")}
    notes["cut at the limit"] = "yes" if row.get("truncated") else ""
    return Completion(
        str(row["id"]),
        _text(row["completion"]),
        problem=str(row["id"]),
        prompt=_text(problem.get("prompt")),
        gold=_text(problem.get("answer")),
        right=bool(row["correct"]),
        reward=float(bool(row["correct"])),
        notes=_told(notes),
    )


def _of_foreign(file: Path) -> tuple[str, list[Completion], list[foreign.BadLine], str]:
    kind, entries, bad = foreign.read_foreign(file)
    completions = [
        Completion(
            entry.key or entry.text or entry.line,
            text,
            problem=entry.key or "",
            prompt=entry.text or "",
            right=None if verdict is None else verdict > 0,
            reward=verdict,
            notes=_told(known),
        )
        for entry in entries
        for text, verdict, known in zip(entry.completions, entry.claimed, entry.known, strict=True)
    ]
    return kind, completions, bad, "reward: the file's own verdict"


def _of_inspect(_: int, load: Callable[[], dict[str, Any]]) -> Completion:
    sample = load()
    scores = sample.get("scores") or {}
    first = next((_score(score.get("value")) for score in scores.values()), None)
    notes = {name: score.get("value") for name, score in scores.items()}
    notes |= {"answer": next((score.get("answer") for score in scores.values()), None)}
    notes |= {"epoch": sample.get("epoch"), "error": (sample.get("error") or {}).get("message")}
    return Completion(
        str(sample["id"]),
        foreign.attached(_output(sample.get("output") or {}), sample),
        problem=str(sample["id"]),
        prompt=foreign.attached(_text(sample.get("input")), sample),
        gold=_text(sample.get("target")),
        right=None if first is None else first > 0.5,
        reward=first,
        notes=_told(notes),
    )


def _score(value: Any) -> float | None:
    return foreign.GRADES[value] if value in list(foreign.GRADES) else _number(value)


def _output(output: dict[str, Any]) -> str:
    if text := output.get("completion"):
        return _text(text)
    choices = output.get("choices") or [{}]
    return _text((choices[0].get("message") or {}).get("content"))


# Values


def _text(value: Any) -> str:
    """A text, or the turns of a chat one after the other, each with its role."""
    if value is None:
        return ""
    if isinstance(value, dict):
        content = value.get("content", value.get("text"))
        role = value.get("role")
        return f"[{role}] {_text(content)}" if role else _text(content)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if len(value) == 1:
            only = value[0]
            return _text(only.get("content", only.get("text")) if isinstance(only, dict) else only)
        return "\n".join(map(_text, value))
    return str(value)


def _number(value: Any) -> float | None:
    """A finite number, or None; of a text the number that it writes."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _told(notes: dict[str, Any]) -> dict[str, str]:
    """Notes that say something, as short texts."""
    texts = {}
    for name, value in notes.items():
        if value is None or value == "" or (name == "forced tokens" and not value):
            continue
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        texts[str(name)] = text if len(text) <= 200 else f"{text[:200]} …"
    return texts
