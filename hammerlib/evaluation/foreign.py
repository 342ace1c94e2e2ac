"""The formats that others write: JSON lines, and the logs of lighteval, lm-eval, inspect, TRL, verifiers.

`hammer import` reads whole files with `read_foreign`; the group browser (`hammerlib.pages.rollouts`) and the
audit (`hammerlib.adapters.logs`) take its parts.
"""

from __future__ import annotations

import ast
import functools
import io
import math
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from hammerlib.errors import InputError, need
from hammerlib.problems.files import BOM, read_records
from hammerlib.runs.reading import parse_json, read_yaml

SHOWN = 3  # bad lines in a message
# Table column -> what it is called by those who write such files.
GUESSES = read_yaml(Path(__file__).with_name("benchmarks.yaml"))["columns"]
# Reasons to stop that mean the limit on length; every other one ("stop", "eos", "tool_calls") does not.
CUT_OFF = ("length", "max_tokens")
# Columns of TRL's files of completions; their rewards are no verdicts.
TRL = {"prompt": "prompt", "completion": "completion"}
VERL_DUMP = {"input", "output", "score", "step"}
GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}  # inspect's letters: correct, partial, incorrect, no answer
ATTACHED = "attachment://"  # inspect keeps long texts once, beside the messages
ZSTANDARD = 93  # compression of .eval archives, which Python's zipfile reads from 3.14 on
Read = TypeVar("Read")


class BadLine(NamedTuple):
    """A line that is left out, and why."""

    line: int
    reason: str


def read_lines(path: str | Path) -> tuple[list[tuple[int, dict[str, Any]]], list[BadLine]]:
    """Return the numbered objects of a file of JSON lines, and the lines that hold none, by number.

    Half a surrogate pair, which no text file can hold, becomes U+FFFD; empty lines do not count.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("file", str(path), "there is no such file", "check the path")
    rows = []
    bad = []
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            if not raw.strip():
                continue
            try:
                content = parse_json(raw.removeprefix(BOM) if number == 1 else raw, halves="replace")
            except ValueError as error:
                bad.append(BadLine(number, str(error).partition(" (")[0]))
                continue
            if isinstance(content, dict):
                rows.append((number, content))
            else:
                bad.append(BadLine(number, "is no JSON object"))
    return rows, bad


def refuse_bad(path: str | Path, bad: Sequence[BadLine], skip_bad: bool) -> None:
    """Refuse a file with bad lines, by number, unless they may be left out."""
    if not bad or skip_bad:
        return
    remedy = f"repair the file, or leave {len(bad)} lines out with skip_bad=True (--skip-bad)"
    raise InputError("file", Path(path).name, listed(bad), remedy)


def listed(bad: Sequence[BadLine], unit: str = "line") -> str:
    """Return the first bad lines with their reasons, and how many more there are."""
    lines = "; ".join(f"{unit} {line} {reason}" for line, reason in sorted(bad)[:SHOWN])
    return f"{lines}; {len(bad) - SHOWN} more" if len(bad) > SHOWN else lines


def collect(
    make: Callable[[int, Any], Read], rows: Iterable[tuple[int, Any]], bad: Sequence[BadLine] = ()
) -> tuple[list[Read], list[BadLine]]:
    """Return what is made of numbered rows; those that make nothing join the bad ones."""
    made = []
    bad = list(bad)
    for number, row in rows:
        try:
            made.append(make(number, row))
        except InputError:  # of the whole file
            raise
        except Exception as error:  # damage makes anything of pyarrow, zipfile and zlib
            reason = " ".join(str(error).split())[:80]
            bad.append(BadLine(number, f"cannot be read ({type(error).__name__}: {reason})"))
    return made, bad


class Entry(NamedTuple):
    """What one line says of one problem."""

    line: int  # or row, from 1
    key: str | None  # the problem's name in the file
    text: str | None  # the problem's text or the prompt around it
    completions: list[str]
    claimed: list[float | None]  # the file's own verdicts, 0 to 1; one number for several samples is each's
    known: list[dict[str, Any]]  # sample, truncated and n_tokens of each completion, where the file has them


def read_foreign(
    path: str | Path, columns: Mapping[str, str] | None = None
) -> tuple[str, list[Entry], list[BadLine]]:
    """Read completions made elsewhere: the name of the layout, what was read, and what could not be.

    Layouts: ``.jsonl`` of any columns (one completion a line, or a list), lm-eval-harness's
    ``samples_*.jsonl``, lighteval's ``details_*.parquet`` (since 0.10, and the text columns before), TRL's
    ``completions_*.parquet``, verl's dumps, the ``results.jsonl`` and ``traces.jsonl`` of verifiers and
    prime-rl, and inspect's logs; a folder of such files is one. Of a chat the last turn of the model counts.
    `columns` maps names of `GUESSES` to the file's columns, "" to one that shall not be used; default:
    guessed. Verdicts of the file that are no shares from 0 to 1 (-1 and 1, 0 to 100) are refused.
    """
    path = Path(path)
    if path.is_dir():
        return _from_folder(path, columns)
    if path.suffix == ".parquet":
        return _from_parquet(path)
    if path.suffix in (".json", ".eval"):
        return _from_inspect(path)
    if path.suffix != ".jsonl":
        remedy = "give .jsonl, lighteval's or TRL's .parquet, or inspect's log"
        raise InputError("file", path.name, "unknown kind of file", remedy)
    rows, bad = read_lines(path)
    if not rows:
        raise InputError("file", path.name, "holds no JSON object", "give one object a line")
    first = rows[0][1]
    if columns is None and {"doc_id", "doc", "resps"} <= set(first):
        # lm-eval writes one line for each of its answer filters, all with the same completions.
        rows = [(line, row) for line, row in rows if row.get("filter") == first.get("filter")]
        return "lm-eval", *collect(_of_harness, rows, bad)
    if columns is None and {"task", "traces"} <= set(first):
        return "verifiers", *collect(_of_episode, rows, bad)
    names = _columns(set().union(*(row for _, row in rows)), columns or {})
    return "jsonl", *collect(lambda line, row: _of_columns(line, row, names), rows, bad)


def _from_folder(folder: Path, columns: Mapping[str, str] | None) -> tuple[str, list[Entry], list[BadLine]]:
    """All files of a folder, as trainers write one a step; a bad line names its file."""
    files = [file for file in folder.iterdir() if file.suffix in (".jsonl", ".parquet")]
    entries: list[Entry] = []
    bad: list[BadLine] = []
    layouts = set()
    for file in sorted(files, key=lambda file: by_number(file.name)):
        layout, read, left_out = read_foreign(file, columns)
        layouts.add(layout)
        entries += read
        bad += [BadLine(line, f"of {file.name} {reason}") for line, reason in left_out]
    if len(layouts) != 1:
        problem = "holds no .jsonl or .parquet" if not layouts else f"mixes {', '.join(sorted(layouts))}"
        raise InputError("file", str(folder), problem, "name a folder of completions, or one file")
    return layouts.pop(), entries, bad


def _columns(seen: set[str], given: Mapping[str, str]) -> dict[str, str]:
    """Table column to file column, given or guessed."""
    if seen >= VERL_DUMP and "claimed" not in given and "acc" in seen:
        given = {**given, "claimed": "acc"}  # `score` is the reward, which may be adjusted
    for name, column in given.items():
        if name not in GUESSES:
            raise InputError("columns", name, "no such column", f"map some of {', '.join(GUESSES)}")
        if column not in seen and column:
            raise InputError(
                "columns", column, "the file has no such column", f"it has {', '.join(sorted(seen))}"
            )
    names = dict(given)
    for name, guesses in GUESSES.items():
        fitting = [guess for guess in guesses if guess in seen and guess not in names.values()]
        if name in names or not fitting:
            continue
        if len(fitting) > 1:
            remedy = f"say which: --columns {name}={fitting[0]}"
            raise InputError("columns", fitting, f"each could be the {name}", remedy)
        names[name] = fitting[0]
    names = {name: column for name, column in names.items() if column}
    if "completion" not in names or not names.keys() & {"id", "prompt"}:
        lacks = "completions" if "completion" not in names else "problem"
        remedy = "say where they stand: --columns completion=... id=... (or prompt=...)"
        raise InputError("columns", sorted(seen), f"no column is known to hold the {lacks}", remedy)
    return names


def _of_columns(line: int, row: dict[str, Any], names: Mapping[str, str]) -> Entry:
    given = row[names["completion"]]
    several = isinstance(given, list) and not _is_chat(given)
    texts = _all_texts([_said(one) for one in (given if several else [given])])
    fields = {name: row.get(column) for name, column in names.items()}
    known: list[dict[str, Any]] = [{} for _ in texts]
    for name in ("sample", "truncated", "n_tokens", "claimed"):
        # One value for each completion: a list as long as theirs, or one value for all.
        values = fields.get(name)
        if not isinstance(values, list):
            values = [values] * len(texts)
        if len(values) != len(texts):
            raise ValueError(f"{len(values)} values of {name} for {len(texts)} completions")
        for facts, value in zip(known, values, strict=True):
            if value is not None:
                facts[name] = _share(value, names[name]) if name == "claimed" else _known(name, value)
    claimed = [facts.pop("claimed", None) for facts in known]
    if isinstance(row.get("finish_reason"), str) and "truncated" not in names:
        for facts in known:
            facts["truncated"] = row["finish_reason"] in CUT_OFF
    return Entry(line, _key(fields.get("id")), prompt_text(fields.get("prompt")), texts, claimed, known)


def _is_chat(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(t, dict) and "role" in t for t in value)


def _said(completion: Any) -> Any:
    """A completion's text; of a chat the last turn of the model."""
    if not _is_chat(completion):
        return completion
    turns = [turn for turn in completion if turn["role"] == "assistant"]
    return prompt_text([{**turns[-1], "role": "user"}]) if turns else None


def _key(value: Any) -> str | None:
    """The name of a problem; 3.0 is the number 3, as pandas writes a column with holes."""
    if isinstance(value, bool | dict | list):
        raise TypeError(f"an id is {type(value).__name__}")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if value is None else str(value)


def _known(name: str, value: Any) -> Any:
    """A value of the kind that its column has; ValueError where it is of another."""
    if name == "truncated":
        if not isinstance(value, bool):
            raise TypeError(f"truncated is {value!r}, neither true nor false")
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if name == "sample" and isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError(f"{name} is {value!r}, no count")
    return value


def _share(value: Any, column: str) -> float:
    """A verdict from 0 to 1. Another scale is refused for the whole file: its mean would be no rate."""
    if isinstance(value, str):
        value = float(value)
    if not isinstance(value, bool | int | float) or not math.isfinite(value):
        raise TypeError(f"a verdict is {value!r}, no number")
    if not 0 <= value <= 1:
        problem = f"the file's verdicts are not on the scale from 0 to 1: there is {value:g}"
        remedy = "rescale that column to 0 (wrong) and 1 (right), or do without it: --columns claimed="
        raise InputError("claimed", column or "claimed", problem, remedy)
    return float(value)


def prompt_text(prompt: Any) -> str | None:
    """A prompt as text; of a chat the last turn of the user, which may be a list of parts."""
    if not isinstance(prompt, list):
        return prompt if isinstance(prompt, str) else None
    turns = [turn for turn in prompt if isinstance(turn, dict) and turn.get("role") == "user"]
    if turns:
        content = turns[-1].get("content") or ""
        texts = [one for one in content if isinstance(one, str) or one.get("type", "text") == "text"]
        return "".join(one if isinstance(one, str) else one["text"] for one in texts)  # an image has none
    texts = [piece for piece in prompt if isinstance(piece, str)]
    return "\n".join(texts) if texts else None


def _of_harness(line: int, row: dict[str, Any]) -> Entry:
    texts = _all_texts([text for answers in row["resps"] for text in answers])
    doc = row["doc"]
    prompt = next((doc[name] for name in GUESSES["prompt"] if isinstance(doc.get(name), str)), None)
    metric = next((row[name] for name in row.get("metrics", ()) if name in row), row.get("exact_match"))
    claimed = [_only({"metric": metric})] * len(texts)
    return Entry(line, _key(row["doc_id"]), prompt, texts, claimed, [{}] * len(texts))


def _of_episode(line: int, row: dict[str, Any]) -> Entry:
    """An episode of verifiers: the last turn that the model wrote in each trace."""
    data = row["task"]["data"]
    texts = []
    for trace in row["traces"]:
        sampled = [node["message"] for node in trace["nodes"] if node.get("sampled")]
        texts.append(_said([{"content": sampled[-1].get("content"), "role": "assistant"}]))
    key = _key(data.get("id") or row["task"].get("key"))
    prompt = prompt_text(data.get("prompt"))
    return Entry(line, key, prompt, _all_texts(texts), [None] * len(texts), [{}] * len(texts))


def inspect_samples(file: Path) -> Iterator[Callable[[], dict[str, Any]]]:
    """One function for each sample of inspect's log that loads it, so that damage costs one sample."""
    if file.suffix == ".eval":
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if name.startswith("samples/")]
            for name in sorted(names, key=by_number):
                yield functools.partial(_member, archive, name)
        return
    content = parse_json(file.read_bytes(), halves="replace")
    if not isinstance(content, dict) or not isinstance(content.get("samples"), list):
        raise LookupError("is no log of inspect: it has no list of samples")
    for sample in content["samples"]:
        yield functools.partial(dict, sample)


def by_number(name: str) -> list[tuple[int, str]]:
    """Names with their numbers as numbers: 2.jsonl comes before 10.jsonl."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _member(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    """The sample that a member holds, also one compressed with Zstandard."""
    info = archive.getinfo(name)
    if info.compress_type != ZSTANDARD:
        return parse_json(archive.read(info), halves="replace")
    need("pyarrow")
    import pyarrow

    stream = archive.fp
    if stream is None:
        raise ValueError("the archive is closed")
    stream.seek(info.header_offset)
    head = stream.read(30)  # the local header: its last four bytes are the lengths of name and extra field
    stream.seek(int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little"), io.SEEK_CUR)
    packed = pyarrow.BufferReader(stream.read(info.compress_size))
    content = pyarrow.CompressedInputStream(packed, "zstd").read()
    if zlib.crc32(content) != info.CRC:
        raise ValueError(f"{name} is damaged: its checksum does not fit")
    return parse_json(content, halves="replace")


def attached(text: str, sample: Mapping[str, Any]) -> str:
    """A text of inspect's sample, or the attachment that it names."""
    held = sample.get("attachments") or {}
    return str(held.get(text.removeprefix(ATTACHED), text)) if text.startswith(ATTACHED) else text


def _from_inspect(path: Path) -> tuple[str, list[Entry], list[BadLine]]:
    if not path.is_file():
        raise InputError("file", str(path), "there is no such file", "check the path")
    entries, bad = [], []
    try:
        entries, bad = collect(_of_sample, enumerate(inspect_samples(path), start=1))
    except LookupError:
        pass
    except (ValueError, zipfile.BadZipFile) as error:
        kind = "JSON" if path.suffix == ".json" else "archive"
        raise InputError("file", path.name, f"is no {kind} ({error})", "give inspect's log") from None
    if not entries and not bad:
        raise InputError("file", path.name, "holds no samples of inspect's", "give a log with its samples")
    return "inspect", entries, bad


def _of_sample(line: int, load: Callable[[], dict[str, Any]]) -> Entry:
    row = load()
    choice = row["output"]["choices"][0]
    answer = _said([{"content": choice["message"]["content"], "role": "assistant"}])
    scores = [score["value"] for score in (row.get("scores") or {}).values()]
    claim = None
    if len(scores) == 1 and isinstance(scores[0], str):
        claim = GRADES.get(scores[0])
    elif len(scores) == 1 and scores[0] is not None:
        claim = _share(scores[0], "scores")
    texts = _all_texts([answer and attached(answer, row)])
    prompt = prompt_text(row["input"])
    known = {"truncated": choice.get("stop_reason") in CUT_OFF}
    return Entry(line, _key(row["id"]), prompt and attached(prompt, row), texts, [claim], [known])


def _from_parquet(path: Path) -> tuple[str, list[Entry], list[BadLine]]:
    rows = list(enumerate(read_records(path), start=1))
    columns = set(rows[0][1])
    if {"doc", "model_response", "metric"} <= columns:
        return "lighteval", *collect(_of_details, rows)
    if {"predictions", "metrics"} <= columns and columns & {"example", "full_prompt"}:
        return "lighteval (before 0.10)", *collect(_of_old_details, rows)
    if {"prompt", "completion"} <= columns:
        return "trl", *collect(lambda line, row: _of_columns(line, row, TRL), rows)
    remedy = "give lighteval's details_*.parquet, or write JSON lines"
    raise InputError("columns", sorted(columns), "are not those of lighteval's details", remedy)


def _of_details(line: int, row: dict[str, Any]) -> Entry:
    answered = row["model_response"]
    texts = _all_texts(list(answered["text"]))
    tokens = answered.get("output_tokens") or []
    known = [{"n_tokens": len(ids)} for ids in tokens] if len(tokens) == len(texts) else [{}] * len(texts)
    return Entry(line, None, row["doc"]["query"], texts, [_only(row["metric"])] * len(texts), known)


def _of_old_details(line: int, row: dict[str, Any]) -> Entry:
    # lighteval once wrote lists and dictionaries as Python text.
    predictions, metrics = (
        ast.literal_eval(row[name]) if isinstance(row[name], str) else row[name]
        for name in ("predictions", "metrics")
    )
    texts = _all_texts(
        [text for answer in predictions for text in (answer if isinstance(answer, list) else [answer])]
    )
    prompt = row.get("example") or row["full_prompt"]
    return Entry(line, None, prompt, texts, [_only(metrics)] * len(texts), [{}] * len(texts))


def _only(metrics: Mapping[str, Any]) -> float | None:
    """The metric, where there is but one and it is a share; a perplexity is no verdict."""
    numbers = [value for value in metrics.values() if isinstance(value, bool | int | float)]
    return float(numbers[0]) if len(numbers) == 1 and 0 <= numbers[0] <= 1 else None


def _all_texts(texts: list[Any]) -> list[str]:
    if not texts or not all(isinstance(text, str) for text in texts):
        raise TypeError("no text among the completions")
    return texts
