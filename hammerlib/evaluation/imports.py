"""A run record from stored completions: those of anyone's file, or an older run's graded again."""

from __future__ import annotations

import functools
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError
from hammerlib.evaluation.benchmarks import BENCHMARKS, benchmark_of, gold_version, load_benchmark
from hammerlib.evaluation.foreign import BadLine, Entry, read_foreign, read_lines, refuse_bad
from hammerlib.evaluation.samples import grading_identity, judge
from hammerlib.evaluation.summary import summarise, write_table
from hammerlib.grading import GradingPool, grader_version, open_pool
from hammerlib.problems.files import write_records
from hammerlib.runs import RunRecord, run_once
from hammerlib.runs.storage import content_hash, file_hash, results_root, slug

if TYPE_CHECKING:
    from datasets import Dataset

# A text of fewer characters in normal form is found inside a prompt only as whole sentences of it.
LEAST_TEXT = 20
# What of a normal form goes on before a text, or after it: 2 + 3 is no part of 2 + 3 * 4.
BEFORE_IT = re.compile(r"(?:^| )(?:[\d.]+|[a-z)]) [-+*/^] $")
AFTER_IT = re.compile(r" [-+*/^] (?:[\d.]+|[a-z(])(?: |$)")
NEEDED = {"id", "sample", "completion"}
BEFORE = ("correct", "extracted", "reason", "grader")
# What of the old record still holds for the new one.
KEPT = ("backbone", "revision", "weights_hash", "device", "dtype", "prompt", "overlap", "partial", "imported")


def import_completions(
    path: str | Path,
    benchmark: Dataset | str,
    *,
    columns: Mapping[str, str] | None = None,
    benchmark_columns: dict[str, str] | None = None,
    skip_bad: bool = False,
    workers: int | None = None,
    run_code: bool = False,
    root: Path | None = None,
) -> RunRecord:
    """Grade the completions of anyone's file and record them as a run of `evaluate`.

    A completion belongs to the one problem whose text its prompt holds, or else to the problem of its id, or
    of its number counted from 0 where the file has no texts. A text of under 20 characters must be whole
    sentences of the prompt, with only instructions around it. Nothing is guessed beyond that and nothing is
    dropped silently: bad lines are refused by number, or listed in the record.

    Parameters
    ----------
    path : path
        JSON lines of any columns, lm-eval's samples, lighteval's details, inspect's logs, dumps of TRL, verl
        and verifiers, or a folder of them (`foreign.read_foreign`).
    benchmark : datasets.Dataset or str
        Problem table, or name for `load_benchmark`.
    columns : mapping, optional
        As for `foreign.read_foreign`.
    benchmark_columns : dict, optional
        Of a benchmark that is a source of problems, as for `load_problems`.
    skip_bad : bool
        Leave out lines that cannot be read or matched; they are listed in the record.
    workers : int, optional
        Processes that grade; default: the processors, at most 4.
    run_code, root
        As for `evaluate`.

    Returns
    -------
    RunRecord
        As of `evaluate`; samples have ``claimed`` beside our verdict, and ``claims.csv`` lists the problems
        where the two differ. Problems without a completion are named in the manifest, not counted as wrong.

    Raises
    ------
    InputError
        Whatever `read_foreign` and `load_benchmark` refuse; bad lines without `skip_bad`; nothing left.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from hammerlib import load_problems
    >>> folder = Path(tempfile.mkdtemp())
    >>> problems = load_problems("reasoning-gym:nano", split="heldout", n=2)
    >>> lines = [f'{{"idx": {i}, "response": "so {gold}"}}' for i, gold in enumerate(problems["answer"])]
    >>> _ = (folder / "theirs.jsonl").write_text("\\n".join(lines))
    >>> import_completions(folder / "theirs.jsonl", problems, root=folder).metrics["pass@1"]["value"]
    1.0
    """
    from hammerlib.problems import fingerprint

    path = Path(path)
    problems, label, gold = benchmark_of(benchmark, benchmark_columns)
    layout, entries, bad = read_foreign(path, columns)
    rows, unmatched = _rows(entries, problems)
    bad = sorted([*bad, *unmatched])
    refuse_bad(path, bad, skip_bad)
    if not rows:
        raise InputError("file", path.name, "holds no completion of this benchmark", "check --benchmark")
    # A column is used where all rows have it.
    counts = Counter(key for row in rows for key in row)
    lacking = {key: len(rows) - count for key, count in counts.items() if count < len(rows)}
    rows = [{key: value for key, value in row.items() if key not in lacking} for row in rows]
    for column, count in lacking.items():
        problem = f"{path.name}: {column} is not used: {count} of {len(rows)} completions lack it"
        warnings.warn(problem, stacklevel=2)
    parameters = {
        "benchmark": label,
        "problems_fingerprint": fingerprint(problems),
        "file_sha256": _hash(path),
        "columns": dict(columns or {}),
        "skip_bad": skip_bad,
        "grader": grader_version(),
        **grading_identity(problems, run_code),
    }
    imported = {"file": path.name, "layout": layout, "left_out": [line._asdict() for line in bad]}
    run_id = f"import__{slug(path.stem)}__{content_hash(parameters)[:10]}"

    def work(run: RunRecord) -> None:
        with open_pool(workers, run_code=run_code) as pool:
            run.note(imported=imported | {"columns_lacking": lacking}, gold=gold)
            run.note(problems_fingerprint=parameters["problems_fingerprint"])
            write_graded(run, problems, rows, pool)
            _write_claims(run, rows)

    return run_once("import", work, run_id=run_id, parameters=parameters, root=root)


def _hash(path: Path) -> str:
    """The hash of a file, or of all files of a folder with their names."""
    if not path.is_dir():
        return file_hash(path)
    return content_hash([[file.name, file_hash(file)] for file in sorted(path.iterdir()) if file.is_file()])


def write_graded(run: RunRecord, problems: Dataset, rows: list[dict[str, Any]], pool: GradingPool) -> None:
    """Grade rows in place and write samples, problems, metrics and tables into an open run.

    Rows have ``id``, ``sample``, ``completion`` and, where known, ``truncated``. Problems without a row are
    named in the manifest.
    """
    table = {row["id"]: row for row in problems.to_list()}
    texts = [row["completion"] for row in rows]
    cut = [bool(row.get("truncated")) for row in rows]
    for row, verdict in zip(rows, judge(pool, texts, cut, [table[row["id"]] for row in rows]), strict=True):
        row |= verdict
    counts = Counter(row["id"] for row in rows)
    present = problems.select([row for row, name in enumerate(table) if name in counts])
    missing = [name for name in table if name not in counts]
    run.note(missing_problems=missing, samples_per_problem=[min(counts.values()), max(counts.values())])
    write_records(rows, run.folder / "samples.jsonl")
    write_records(list(table.values()), run.folder / "problems.jsonl")
    run.artefact("problems.jsonl")
    summarise(run, present, rows, min(counts.values()), seed=0)


def _rows(entries: Sequence[Entry], problems: Dataset) -> tuple[list[dict], list[BadLine]]:
    """Rows of the samples file in the order of the problems, and the lines that belong to none."""
    find = _Finder(problems)
    rows = []
    bad = []
    count: Counter[str] = Counter()
    taken = set()
    for entry in entries:
        name = find(entry)
        if name is None:
            bad.append(BadLine(entry.line, find.reason(entry)))
            continue
        for text, claim, known in zip(entry.completions, entry.claimed, entry.known, strict=True):
            sample = known.get("sample")
            if sample is not None and (name, sample) in taken:
                bad.append(BadLine(entry.line, f"is sample {sample} of {name} a second time"))
                continue
            taken.add((name, sample))
            row = {"id": name, "sample": count[name], "completion": text, "claimed": claim}
            rows.append(row | {key: value for key, value in known.items() if key != "sample"})
            count[name] += 1
    order = {name: row for row, name in enumerate(find.ids)}
    return sorted(rows, key=lambda row: (order[row["id"]], row["sample"])), bad


class _Finder:
    """The problem that an entry is about: by its text, or else by its id, or by its number."""

    def __init__(self, problems: Dataset) -> None:
        from hammerlib.problems import normalise

        self.normalise = normalise
        self.ids = problems["id"][:]
        self.known = set(self.ids)
        self.texts: dict[str, list[str]] = {}
        for name, prompt in zip(self.ids, problems["prompt"][:], strict=True):
            self.texts.setdefault(normalise(prompt), []).append(name)
        self.by_text = functools.cache(self._by_text)

    def __call__(self, entry: Entry) -> str | None:
        names = [] if entry.text is None else self.by_text(entry.text)
        if len(names) == 1:
            return names[0]
        key = entry.key
        if key in self.known:
            return key
        if entry.text is None and key is not None and key.isdecimal() and len(key) < 10:
            return self.ids[int(key)] if int(key) < len(self.ids) else None
        return None

    def reason(self, entry: Entry) -> str:
        """Why nothing was found."""
        names = [] if entry.text is None else self.by_text(entry.text)
        if not names:
            return "belongs to no problem of the benchmark"
        return f"could belong to {len(names)} problems of the benchmark: {', '.join(names[:3])}"

    def _by_text(self, text: str) -> list[str]:
        """The problems of this text, or of those inside it that are no part of one another."""
        from hammerlib.problems.cleaning import statements_in

        whole = self.normalise(text)
        if whole in self.texts:
            return self.texts[whole]
        inside = [known for known in self.texts if len(known) >= LEAST_TEXT and _stands_in(known, whole)]
        inside += [known for known in statements_in(text, LEAST_TEXT - 1) if known in self.texts]
        largest = [known for known in inside if not any(known != one and known in one for one in inside)]
        return [name for known in largest for name in self.texts[known]]


def _stands_in(known: str, whole: str) -> bool:
    """Whether a text stands in another, both in normal form, and neither a word nor a calculation goes on."""
    if known not in whole:  # the common case, and quick
        return False
    for found in re.finditer(rf"(?<!\S){re.escape(known)}(?!\S)", whole):
        if not BEFORE_IT.search(whole[: found.start()]) and not AFTER_IT.match(whole[found.end() :]):
            return True
    return False


def _write_claims(run: RunRecord, rows: list[dict[str, Any]]) -> None:
    """Say where the file's verdicts and ours differ, problem by problem, over the samples it has one for."""
    import pandas as pd

    claimed = [row for row in rows if row.get("claimed") is not None]
    run.note(without_claim=len(rows) - len(claimed))
    if not claimed:
        return
    columns = {name: [row[name] for row in claimed] for name in ("id", "claimed", "correct")}
    table = pd.DataFrame(columns).groupby("id", sort=False)[["claimed", "correct"]].mean()
    run.metric("claimed_pass@1", float(table["claimed"].mean()), n=len(table), unit="share")
    table = table.rename(columns={"correct": "graded"}).reset_index()
    differ = table[(table["claimed"] - table["graded"]).abs() > 1e-9]
    write_table(run, "claims.csv", differ)
    run.note(claims_that_differ=len(differ))


def regrade(
    run: RunRecord | str | Path,
    *,
    benchmark: Dataset | str | None = None,
    columns: dict[str, str] | None = None,
    skip_bad: bool = False,
    workers: int | None = None,
    run_code: bool = False,
    root: Path | None = None,
) -> RunRecord:
    """Grade the completions of a finished run with the grader at hand; the old record stays as it is.

    Parameters
    ----------
    run : RunRecord, str or path
        A run of `evaluate`, `import_completions` or `regrade`, its folder, or its name below `root`.
    benchmark : datasets.Dataset or str, optional
        Other golds for the same problem ids; default: the problems stored in the run.
    columns : dict, optional
        Of a `benchmark` that is a source of problems, as for `load_problems`.
    skip_bad : bool
        Leave out corrupt lines of the samples file; they are listed in the record.
    workers, run_code, root
        As for `import_completions`.

    Returns
    -------
    RunRecord
        With new ``samples.jsonl`` and metrics, ``transitions.csv`` (reason before, reason after, samples) and
        ``changes.csv`` (every sample whose verdict or extracted answer changed). The same run, golds and
        grader give the same record, returned at once. Of a partial run the problems that have all their
        samples, again with status ``partial``.

    Raises
    ------
    InputError
        No such run; one that was killed or ended with an error; no completions, bad lines or problems missing
        in it; golds without one of its problems; code to run without `run_code`.

    Examples
    --------
    >>> import hammerlib, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> old = hammerlib.evaluate("nano", "reasoning-gym:nano", n=2, k=2, max_new_tokens=4, root=folder)
    >>> new = regrade(old, root=folder)
    >>> new.run_id != old.run_id, new.manifest["regraded"]["changed"]
    (True, 0)
    """
    from hammerlib.problems import fingerprint

    old = _finished_run(run, root)
    path = old.folder / "samples.jsonl"
    rows, bad = _samples(path)
    refuse_bad(path, bad, skip_bad)
    if not skip_bad:  # else the lines that cannot be read are left out, and named in the record
        old.check("samples.jsonl")
    if benchmark is None:
        old.check("problems.jsonl", present=True)
    k = old.manifest["parameters"].get("k")
    if old.status == "partial" and k is not None:
        counts = Counter(row["id"] for row in rows)
        rows = [row for row in rows if counts[row["id"]] == k]
        if not rows:
            raise InputError("run", old.run_id, f"has no problem with all {k} samples", "finish it first")
    problems = _problems(old, benchmark, columns)
    known = set(problems["id"])
    lost = sorted({row["id"] for row in rows} - known)
    if lost:
        remedy = "give golds with the same ids"
        raise InputError("benchmark", lost[0], f"{len(lost)} problems of the run are missing", remedy)
    before = [{name: row.get(name) for name in BEFORE} for row in rows]
    parameters = {
        "regraded": old.run_id,
        "samples_sha256": file_hash(path),
        "problems_fingerprint": fingerprint(problems),
        "skip_bad": skip_bad,
        "grader": grader_version(),
        **grading_identity(problems, run_code),
    }
    run_id = f"regrade__{old.run_id.partition('__')[2][:50]}__{content_hash(parameters)[:10]}"

    def work(new: RunRecord) -> None:
        with open_pool(workers, run_code=run_code) as pool:
            new.note(**{name: old.manifest[name] for name in KEPT if name in old.manifest})
            gold = gold_version(benchmark) if isinstance(benchmark, str) else old.manifest.get("gold")
            new.note(gold=gold, problems_fingerprint=parameters["problems_fingerprint"])
            write_graded(new, problems, rows, pool)
            _write_changes(new, old, rows, before, bad)
            if old.status == "partial":
                new.finish(partial=True)

    parameters = {"original": old.manifest["parameters"]} | parameters
    seeds = old.manifest["seeds"]
    return run_once("regrade", work, run_id=run_id, parameters=parameters, seeds=seeds, root=root)


def stored_run(
    run: RunRecord | str | Path, root: Path | None = None
) -> tuple[RunRecord, Dataset, list[dict[str, Any]]]:
    """Return a finished run with its problems and its graded samples, all of them whole."""
    record = _finished_run(run, root)
    record.check("samples.jsonl").check("problems.jsonl", present=True)
    rows, bad = _samples(record.folder / "samples.jsonl")
    refuse_bad(record.folder / "samples.jsonl", bad, False)
    return record, _problems(record, None, None), rows


def _finished_run(run: RunRecord | str | Path, root: Path | None) -> RunRecord:
    if not isinstance(run, RunRecord):
        folders = [Path(run), Path(root or results_root()) / run]
        there = [folder for folder in folders if (folder / "manifest.json").exists()]
        if not there:
            remedy = "name a run folder, e.g. results/runs/evaluate__..."
            raise InputError("run", str(run), "holds no manifest.json", remedy)
        run = RunRecord.load(there[0])
    if run.status not in ("success", "partial"):
        remedy = "finish it first: the same command goes on (--seconds 0 only summarises what is there)"
        raise InputError("run", run.run_id, f"has status {run.status}", remedy)
    return run


def _samples(path: Path) -> tuple[list[dict[str, Any]], list[BadLine]]:
    if not path.is_file():
        remedy = "name a run of hammer evaluate (published copies hold no completions)"
        raise InputError("run", path.parent.name, "holds no samples.jsonl", remedy)
    lines, bad = read_lines(path)
    rows = []
    for line, row in lines:
        if set(row) >= NEEDED:
            rows.append(row)
        else:
            bad.append(BadLine(line, f"lacks {', '.join(sorted(NEEDED - set(row)))}"))
    if not rows:
        problem = "holds no sample: its samples.jsonl is empty"
        raise InputError("run", path.parent.name, problem, "name a finished run")
    return rows, bad


def _problems(old: RunRecord, benchmark: Dataset | str | None, columns: dict[str, str] | None) -> Dataset:
    from hammerlib.problems import make_table
    from hammerlib.problems.files import read_records

    if benchmark is not None:
        return benchmark_of(benchmark, columns)[0]
    stored = old.folder / "problems.jsonl"
    if stored.is_file():
        return make_table(read_records(stored))
    label = old.manifest["parameters"].get("benchmark", "")
    if label.partition("@")[0] in BENCHMARKS:  # records before problems were stored
        return load_benchmark(label)
    remedy = "name its golds: --benchmark"
    raise InputError("run", old.run_id, "holds no problems.jsonl", remedy)


def _write_changes(
    new: RunRecord,
    old: RunRecord,
    rows: list[dict[str, Any]],
    before: list[dict[str, Any]],
    bad: list[BadLine],
) -> None:
    import pandas as pd

    pairs = list(zip(before, rows, strict=True))
    moves = Counter((str(was["reason"]), row["reason"]) for was, row in pairs)
    transitions = [(*reasons, count) for reasons, count in moves.most_common()]
    names = ["id", "sample", "before", "after", "extracted_before", "extracted_after"]
    changes = [
        (row["id"], row["sample"], was["reason"], row["reason"], was["extracted"], row["extracted"])
        for was, row in pairs
        if (was["reason"], was["extracted"]) != (row["reason"], row["extracted"])
    ]
    columns = ["before", "after", "samples"]
    write_table(new, "transitions.csv", pd.DataFrame(transitions, columns=columns))
    write_table(new, "changes.csv", pd.DataFrame(changes, columns=names))
    flipped = Counter((bool(was["correct"]), row["correct"]) for was, row in pairs)
    new.note(
        regraded={
            "run": old.run_id,
            "graders_before": sorted({str(was["grader"]) for was in before}),
            "changed": len(changes),
            "now_correct": flipped[False, True],
            "no_longer_correct": flipped[True, False],
            "left_out": [line._asdict() for line in bad],
        }
    )
