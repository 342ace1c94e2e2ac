"""Two runs over the same problems: differences with intervals and tests, power, answers side by side."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hammerlib.errors import InputError
from hammerlib.evaluation import samples
from hammerlib.evaluation.foreign import read_lines
from hammerlib.evaluation.intervals import (
    BEYOND,
    Interval,
    bootstrap_interval,
    mean_interval,
    paired_bootstrap,
    paired_interval,
    standard_error,
)
from hammerlib.evaluation.metrics import COUNTS, Measure, doubling, measures
from hammerlib.evaluation.samples import read_outcomes
from hammerlib.evaluation.significance import holm, permutation_test, required_problems, sampling_variance
from hammerlib.problems.files import BOM, read_records
from hammerlib.runs import RunRecord
from hammerlib.runs.reading import parse_json
from hammerlib.runs.storage import content_hash, results_root

if TYPE_CHECKING:
    import pandas as pd

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
SHOWN = ("truncated_share", "unextracted_share", "mean_tokens", "distinct_answers", "answer_entropy", "brier")
WIDER = (
    "pass@1: p is below 0.05 and the interval holds 0: the test asks only whether anything differs, "
    "the interval must hold for every size of the difference"
)


class Scores(NamedTuple):
    """Samples of one run by problem and seed."""

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
    """Return the run folder or file that `place` names, also by the id of a run."""
    path = Path(place)
    if not path.exists() and (results_root() / path).is_dir():
        path = results_root() / path
    if not path.exists():
        remedy = "name a run folder, a run of results/runs, or a .jsonl file"
        raise InputError("run", str(place), "is not there", remedy)
    return path


def check_shared(first: Scores, second: Scores, shared: list[str]) -> None:
    """Refuse two runs whose equal ids do not mean equal problems."""
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
    """Return a note on what two runs were made with differently, where both recorded it."""
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


class Comparison(NamedTuple):
    """What two runs have in common and where they differ."""

    a: str
    b: str
    k: int
    seeds: int
    metrics: pd.DataFrame
    topics: pd.DataFrame
    problems: pd.DataFrame
    improvement: Interval
    only_a: list[str]
    only_b: list[str]
    notes: list[str]


def compare(a: Scores | str | Path, b: Scores | str | Path) -> Comparison:
    """Compare two runs problem by problem.

    Only problems that both have are compared; the others are named, never joined. Differences are b - a.

    Parameters
    ----------
    a, b : Scores, str or path
        Two runs, or what `read_scores` takes.

    Returns
    -------
    Comparison
        pass@1 uses all samples of each run; every larger k is one that both have for each problem.

    Raises
    ------
    InputError
        Fewer than two problems in common; equal ids with different problems behind them; different seeds;
        whatever `read_scores` refuses.

    Notes
    -----
    p-values flip the signs of the problems' differences; with seeds those of the seeds' differences, where S
    seeds allow no p below 2 / 2**S. Those of the topics are also given as Holm's, for all topics together;
    those of the metrics are not corrected: name the metric that counts beforehand.

    References
    ----------
    Those of `mean_interval`, `paired_interval`, `permutation_test` and `holm`, of which it consists.

    Examples
    --------
    >>> from hammerlib.evaluation.comparison import Scores
    >>> one = {name: {None: [{"correct": False}]} for name in "abcdef"}
    >>> two = {name: {None: [{"correct": True}]} for name in "abcdef"}
    >>> found = compare(Scores("x", one, {}, None, ()), Scores("y", two, {}, None, ()))
    >>> float(found.metrics["difference"][0]), float(found.metrics["p"][0])
    (1.0, 0.03125)
    """
    first, second = (one if isinstance(one, Scores) else read_scores(one) for one in (a, b))
    shared = [name for name in first.samples if name in second.samples]
    check_shared(first, second, shared)
    seeds = _seeds(first, second, shared)
    sizes = [[len(one.samples[i][s]) for i in shared for s in seeds] for one in (first, second)]
    k = min(map(min, sizes))
    notes = [*first.notes, *second.notes]
    if max(map(max, sizes)) > k:
        told = " and ".join(_span(each) for each in sizes)
        notes.append(f"samples a problem: {told}; pass@1 uses all, every other metric k = {k} at most")
    notes += other_settings(first, second)
    if len(seeds) > 1:
        notes.append(f"p-values over {len(seeds)} seeds are at least {2 / 2 ** len(seeds):g}")
    sides = [_tables(one, shared, seeds, k) for one in (first, second)]
    names = [name for name in _names(k) if all(name in side for side in sides)]
    rows = [{"metric": name, **_row(sides[0][name], sides[1][name])} for name in names]
    if rows[0]["p"] < 0.05 and rows[0]["low"] <= 0 <= rows[0]["high"]:
        notes.append(WIDER)
    lone = [[i for i in one.samples if i not in other.samples] for one, other in _both(first, second)]
    means = [side["pass@1"].values.mean(axis=0) for side in sides]
    topics = second.topics | first.topics
    listed = _problems(shared, topics, *means)
    wins = listed["outcome"].map({"won": 1.0, "tied": 0.5, "lost": 0.0}).to_numpy()
    by_topic = _topics(listed["topic"].to_numpy(), sides) if topics else []
    frames = [_frame(rows), _frame(by_topic), listed]
    return Comparison(first.name, second.name, k, len(seeds), *frames, mean_interval(wins), *lone, notes)


def power_table(runs: list[Scores], half_width: float) -> pd.DataFrame:
    """Return how many problems a wished half-width of pass@1 takes, for each run and for their difference.

    Parameters
    ----------
    runs : list of Scores
        One run, or two over the same problems.
    half_width : float
        Of the 95 % interval, as a share: 0.01 is one point.

    Returns
    -------
    DataFrame
        `required_problems` for each of ``of``: the runs' names and, for two, ``difference``.

    Raises
    ------
    InputError
        As in `compare` and `required_problems`.

    Examples
    --------
    >>> from hammerlib.evaluation.comparison import Scores
    >>> run = {str(i): {None: [{"correct": i % 2 == 0}]} for i in range(100)}
    >>> power_table([Scores("x", run, {}, None, ())], 0.05)["problems"].tolist()
    [409.0]
    """
    import pandas as pd

    found = []
    for one in runs:
        found.append((one.name, *_pilot(one, list(one.samples), _seeds(one, one, list(one.samples)))))
    if len(runs) == 2:
        shared = [name for name in runs[0].samples if name in runs[1].samples]
        check_shared(*runs, shared)
        seeds = _seeds(*runs, shared)
        (a, noise_a, each_a), (b, noise_b, each_b) = (_pilot(one, shared, seeds) for one in runs)
        noise = None if noise_a is None or noise_b is None else noise_a + noise_b
        found.append(("difference", b - a, noise, each_a + each_b))
    tables = []
    for name, values, noise, each in found:
        # Samples of one size that would leave as much noise as those at hand.
        k = 1 if noise is None or not each.any() else noise.mean() / each.mean()
        beyond = 0.5
        if name == "difference":
            most = np.abs(values.mean(axis=0)).max() or 1.0
            beyond = (most + BEYOND * (1 - most)) / 2  # at the end away from zero only
        planned = (1, 4, 16, 64) if noise is not None else (1,)
        options = {"samples": planned, "seeds": sorted({1, 3, 5, 10, len(values)}), "beyond": beyond}
        table = required_problems(values, noise, k=k, half_width=half_width, **options)
        tables.append(table.assign(of=name)[["of", *table.columns]])
    return pd.concat(tables, ignore_index=True)


def _both(first: Scores, second: Scores) -> tuple[tuple[Scores, Scores], tuple[Scores, Scores]]:
    return (first, second), (second, first)


def _seeds(first: Scores, second: Scores, shared: list[str]) -> list:
    seeds = list(first.samples[shared[0]])
    for one in (first, second):
        for name in shared:
            if set(one.samples[name]) != set(seeds):
                problem = (
                    f"has other seeds ({sorted(map(str, one.samples[name]))}) than {sorted(map(str, seeds))}"
                )
                remedy = "pair the same training seeds; leave seed out where it only numbers samples"
                raise InputError("seed", f"{one.name}: {name}", problem, remedy)
    return seeds


def _tables(one: Scores, shared: list[str], seeds: list, k: int) -> dict[str, Measure]:
    """Every measure with values (seeds, n)."""
    found = [measures([one.samples[name][seed] for name in shared], k) for seed in seeds]
    return {
        name: found[0][name]._replace(values=np.stack([each[name].values for each in found]))
        for name in found[0]
        if all(name in each for each in found)
    }


def _names(k: int) -> list[str]:
    ranks = [j for j in doubling(k) if j > 1]
    names = ["pass@1", *(f"pass@{j}" for j in ranks)]
    return [*names, *(f"{name}{k}" for name in ("pass^", "majority@", "cons@") if k > 1), *SHOWN]


def _row(a: Measure, b: Measure) -> dict[str, float]:
    kept = ~np.isnan(a.values + b.values).any(axis=0)
    left, right = a.values[:, kept], b.values[:, kept]
    row: dict[str, float] = {"problems": int(kept.sum())}
    for name, values in (("a", left), ("b", right)):
        value, low, high = _interval(values, a.bounds)
        row |= {name: value, f"{name}_se": _error(values), f"{name}_low": low, f"{name}_high": high}
    value, low, high = _difference(left, right, a.bounds)
    row |= {"difference": value, "se": _error(right - left), "low": low, "high": high}
    return row | {"p": _p(left, right)}


def _error(values: np.ndarray) -> float:
    return standard_error(values) if values.shape[1] > 1 else np.nan


def _interval(values: np.ndarray, bounds: tuple[float, float]) -> tuple[float, ...]:
    if values.shape[1] < 2:
        return (float(values.mean()) if values.size else np.nan, np.nan, np.nan)
    return (bootstrap_interval if bounds == COUNTS else mean_interval)(values, bounds=bounds)


def _difference(a: np.ndarray, b: np.ndarray, bounds: tuple[float, float]) -> tuple[float, ...]:
    if a.shape[1] < 2:
        return (float((b - a).mean()) if a.size else np.nan, np.nan, np.nan)
    return paired_bootstrap(a, b) if bounds == COUNTS else paired_interval(a, b, bounds=bounds)


def _p(a: np.ndarray, b: np.ndarray) -> float:
    if a.shape[1] < 2:
        return np.nan
    if len(a) == 1:
        return permutation_test(a[0], b[0]).p
    return permutation_test(a.mean(axis=1), b.mean(axis=1)).p


def _topics(topics: np.ndarray, sides: list[dict[str, Measure]]) -> list[dict]:
    rows = []
    for topic in sorted(set(topics)):
        chosen = topics == topic
        both = [side["pass@1"]._replace(values=side["pass@1"].values[:, chosen]) for side in sides]
        rows.append({"topic": topic, **_row(*both)})
    tested = [row["p"] for row in rows if not np.isnan(row["p"])]
    adjusted = iter(holm(tested) if tested else ())
    return [row | {"p_holm": np.nan if np.isnan(row["p"]) else float(next(adjusted))} for row in rows]


def _problems(shared: list[str], topics: dict[str, str], a: np.ndarray, b: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    gap = np.where(np.abs(b - a) < 1e-12, 0, np.sign(b - a)).astype(int)
    outcome = np.array(["tied", "won", "lost"])[gap]  # -1 is the last
    named = [topics.get(name, "unknown") for name in shared]
    return pd.DataFrame({"id": shared, "topic": named, "a": a, "b": b, "outcome": outcome})


def _pilot(one: Scores, names: list[str], seeds: list) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Shares, variance of one sample, and variance of each share that samples leave: (seeds, n) each."""
    n = np.array([[len(one.samples[i][s]) for i in names] for s in seeds])
    correct = np.array([[sum(row["correct"] for row in one.samples[i][s]) for i in names] for s in seeds])
    if n.min() < 2:
        return correct / n, None, np.zeros(n.shape)
    noise = sampling_variance(correct, n)
    return correct / n, noise, noise / n


def _frame(rows: list[dict]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows)


def _span(sizes: list[int]) -> str:
    return f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"


class Answer(NamedTuple):
    """A completion, its verdict, and how many samples of the problem gave it."""

    text: str
    correct: bool
    reason: str
    count: int


def transcripts(found: Comparison, a: str | Path, b: str | Path) -> pd.DataFrame:
    """Return the problems that one of two runs answers better, with what both answered.

    Parameters
    ----------
    found : Comparison
        `compare` of `a` and `b`.
    a, b : str or path
        As for `read_scores`, with a ``completion`` in every sample.

    Returns
    -------
    DataFrame
        One row a problem won or lost, largest difference first: ``id, topic, outcome, a, b`` (shares of right
        samples), ``prompt, gold`` (None where no table says), ``answers_a, answers_b`` (lists of `Answer`:
        right ones first, then the frequent ones).

    Raises
    ------
    InputError
        A run without completions (published copies have none), a line without one.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from hammerlib.evaluation import compare
    >>> folder = Path(tempfile.mkdtemp())
    >>> line = '{{"id": "{}", "correct": {}, "completion": "so 4"}}\\n'
    >>> for name, right in (("a", "false"), ("b", "true")):
    ...     _ = (folder / name).write_text("".join(line.format(i, right) for i in "xyz"))
    >>> rows = transcripts(compare(folder / "a", folder / "b"), folder / "a", folder / "b")
    >>> rows["outcome"].tolist(), rows["answers_b"][0][0].text
    (['won', 'won', 'won'], 'so 4')
    """
    changed = found.problems[found.problems["outcome"] != "tied"]
    places = [run_path(one) for one in (a, b)]
    said = [_answers(path) for path in places]
    asked = _asked(places[1]) or _asked(places[0])
    table = changed.assign(
        prompt=[asked.get(name, {}).get("prompt") for name in changed["id"]],
        gold=[asked.get(name, {}).get("answer") for name in changed["id"]],
        answers_a=[said[0][name] for name in changed["id"]],
        answers_b=[said[1][name] for name in changed["id"]],
    )
    gap = (table["b"] - table["a"]).abs().rename("gap")
    return table.loc[gap.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)


def _answers(path: Path) -> dict[str, list[Answer]]:
    file = path / "samples.jsonl" if path.is_dir() else path
    if not file.is_file():
        problem = "holds no completions: published copies have counts only"
        raise InputError("run", path.name, problem, "name the run itself, or evaluate again")
    counts: dict[str, Counter] = defaultdict(Counter)
    for number, row in read_lines(file)[0]:
        if not isinstance(row.get("completion"), str):
            where = f"{file.name}, line {number}"
            raise InputError("line", where, "holds no completion", "write it as text beside id and correct")
        right = bool(row["correct"])
        reason = str(row.get("reason", "correct" if right else "wrong"))
        counts[str(row["id"])][row["completion"], right, reason] += 1
    return {
        name: sorted(
            (Answer(*one, n) for one, n in found.items()), key=lambda one: (-one.correct, -one.count)
        )
        for name, found in counts.items()
    }


def _asked(path: Path) -> dict[str, dict]:
    """The problem table of a run by id; empty for a file and for a run that stored none."""
    file = path / "problems.jsonl"
    return {str(row["id"]): row for _, row in read_lines(file)[0]} if file.is_file() else {}
