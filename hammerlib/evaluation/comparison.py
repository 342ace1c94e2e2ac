"""Two runs over the same problems: differences with intervals and tests, power, answers side by side."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hammerlib.errors import InputError
from hammerlib.evaluation import intervals, samples
from hammerlib.evaluation.foreign import read_lines
from hammerlib.evaluation.intervals import Interval
from hammerlib.evaluation.metrics import COUNTS, Measure, described, doubling, measures
from hammerlib.evaluation.samples import read_outcomes
from hammerlib.evaluation.significance import holm, permutation_test, required_problems, sampling_variance
from hammerlib.problems.files import BOM, read_records
from hammerlib.runs import RunRecord
from hammerlib.runs.reading import parse_json
from hammerlib.runs.storage import content_hash, results_root

if TYPE_CHECKING:
    import pandas as pd

SETTINGS = ("template", "prompt", "temperature", "top_p", "max_new_tokens", "stop", "grader")
# What a row may have beside id and correct, of what kind, and an example; whichever every row has is used.
OPTIONAL: dict[str, tuple[type, str]] = {
    "sample": (int | str, "0"),
    "seed": (int | str, "0"),
    "topic": (int | str, '"sums"'),
    "extracted": (int | float | str, '"42"'),
    "n_tokens": (int | float, "120"),
    "truncated": (bool, "false"),
}
SHOWN = ("truncated_share", "unextracted_share", "mean_tokens", "distinct_answers", "answer_entropy", "brier")
WIDER = (
    "pass@1: p is below 0.05 and the interval holds 0: the test asks only whether anything differs, "
    "the interval must hold for every size of the difference"
)


class Scores(NamedTuple):
    """Samples of one run by problem and seed."""

    name: str  # run or file, without folders
    samples: dict[str, dict[object, list[dict]]]  # problem id to {seed: [row, ...]}; a row has ``correct``
    topics: dict[str, str]  # problem id to topic; empty where unknown
    fingerprint: str | None  # of the problem table, when the run recorded it
    notes: tuple[str, ...]  # what a reader should know
    hashes: dict[str, str] | None = None  # problem id to hash of prompt and gold, where the run stored them
    settings: dict[str, object] | None = None  # those of `SETTINGS` that the run recorded


def read_scores(place: str | Path) -> Scores:
    """Read the graded samples of a run.

    `place` is a run folder, the id of a run below the folder of runs, or a file of JSON lines: one object a
    sample with ``id`` and ``correct`` (true, false, 1, 0), and optionally ``sample``, ``seed`` (of training),
    ``topic``, ``extracted`` (the answer, null where there is none), ``n_tokens``, ``truncated``. What cannot
    be read is named by its line.

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
    # Where one of them did not store its problems, the fingerprints of the same ids have to do.
    prints = (first.fingerprint, second.fingerprint)
    same = len(shared) == len(first.samples) == len(second.samples)
    if same and all(prints) and prints[0] != prints[1]:
        problem = f"has the ids of {first.name}, but other problems behind them (fingerprints differ)"
        raise InputError("run", second.name, problem, "evaluate both on one table")


def other_settings(first: Scores, second: Scores) -> list[str]:
    """Return a note on what two runs were made with differently, where both recorded it."""
    a = first.settings or {}
    b = second.settings or {}
    differ = [name for name in SETTINGS if name in a and name in b and a[name] != b[name]]
    pairs = "; ".join(f"{name} {a[name]} and {b[name]}" for name in differ)
    return [f"made differently: {pairs}"] if pairs else []


def _of_run(folder: Path) -> Scores:
    if not (folder / "manifest.json").exists():
        raise InputError("run", folder.name, "has no manifest.json", "name a folder of results/runs")
    record = RunRecord.load(folder)
    notes = []
    if record.status != "success":
        notes.append(f"{record.run_id} ended with status {record.status}")
    record.check("outcomes.csv").check("samples.jsonl", "problems.jsonl", present=True)
    if samples.sums_of(folder / "samples.jsonl").is_file():
        # Unfinished: every line must be what was written.
        damages = samples.read(folder / "samples.jsonl")[1]
        if damages:
            problem = f"its samples.jsonl, line {damages[0].line} {damages[0].problem}"
            remedy = "finish the run first: the same command samples such lines again"
            raise InputError("run", record.run_id, problem, remedy)
    table = []
    if (folder / "outcomes.csv").is_file():
        table = read_outcomes(folder / "outcomes.csv").to_dict("records")
    topics = {row["id"]: row["topic"] for row in table}
    fingerprint = record.manifest.get("problems_fingerprint")
    if (folder / "samples.jsonl").is_file():
        rows = list(_lines(folder / "samples.jsonl"))
        lost = {row["id"] for row in rows} - set(topics) if table else set()
        if lost:  # an interrupted run summarises the problems that have all their samples
            rows = [row for row in rows if row["id"] not in lost]
            notes.append(f"{record.run_id} lacks samples of {len(lost)} problems, left out: {sorted(lost)}")
    elif table:
        # A published copy has no completions: right and wrong samples are counted, nothing else is known.
        rows = [{"id": row["id"], "correct": i < row["correct"]} for row in table for i in range(row["n"])]
        notes.append(f"{record.run_id} holds counts only: no answers, no lengths")
    else:
        problem = "holds neither samples.jsonl nor outcomes.csv"
        raise InputError("run", record.run_id, problem, "name a run of `hammer evaluate`")
    asked = record.manifest["parameters"]
    asked = asked.get("original", {}) | asked
    settings = {name: asked[name] for name in SETTINGS if name in asked}
    hashes = {}
    if (folder / "problems.jsonl").is_file():
        problems = read_records(folder / "problems.jsonl")
        hashes = {str(row["id"]): content_hash(row["prompt"], row["answer"]) for row in problems}
    scores = _scores(record.run_id, rows, topics, fingerprint, tuple(notes))
    return scores._replace(hashes=hashes, settings=settings)


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
    for name, (kind, example) in OPTIONAL.items():
        value = row.get(name)
        fits = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
        if value is not None and (not fits or (name == "n_tokens" and value < 0)):
            problem = f"{name} is {value!r}"[:60]
            raise InputError("line", where, problem, f"write {example}, or leave it out")
    return {"id": str(row["id"]), "correct": bool(row["correct"])} | {
        name: row[name] for name in OPTIONAL if name in row
    }


def _scores(
    name: str, rows: Iterable[dict], topics: dict[str, str], fingerprint: str | None, notes: tuple[str, ...]
) -> Scores:
    grouped: dict[str, dict[object, list[dict]]] = {}
    known = set()
    for row in rows:
        seed = row.get("seed")
        number = row.get("sample")
        key = (row["id"], seed, number)
        if number is not None and key in known:
            raise InputError("sample", list(key), f"stands twice in {name}", "keep one line a sample")
        known.add(key)
        grouped.setdefault(row["id"], {}).setdefault(seed, []).append(row)
        if row.get("topic") is not None:
            topics.setdefault(row["id"], str(row["topic"]))
    if not grouped:
        raise InputError("run", name, "holds no sample", "name a finished evaluation")
    return Scores(name, grouped, topics, fingerprint, notes)


class Comparison(NamedTuple):
    """What two runs have in common and where they differ."""

    a: str
    b: str
    k: int  # samples that every shared problem has in both; the largest k of any metric
    seeds: int  # in both
    # One row a metric: metric, problems, a, a_se, a_low, a_high, b, b_se, b_low, b_high, difference, se, low,
    # high, p. Differences: `paired_interval` (adjusted), tokens `paired_bootstrap`.
    metrics: pd.DataFrame
    topics: pd.DataFrame  # the same for pass@1 of each topic, with p_holm; empty where topics are unknown
    # The shared ones: id, topic, a, b (shares of right samples), outcome (won, lost, tied).
    problems: pd.DataFrame
    improvement: Interval  # chance that b is better on a problem, ties for a half
    only_a: list[str]  # problems that the other run lacks
    only_b: list[str]
    notes: list[str]  # what a reader should know


def compare(a: Scores | str | Path, b: Scores | str | Path) -> Comparison:
    """Compare two runs problem by problem. Differences are b - a.

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
    seeds allow no p below 2 / 2**S. Those of the topics are also given as Holm's; those of the metrics are
    not corrected: name the metric that counts beforehand.

    Examples
    --------
    >>> from hammerlib.evaluation.comparison import Scores
    >>> one = {name: {None: [{"correct": False}]} for name in "abcdef"}
    >>> two = {name: {None: [{"correct": True}]} for name in "abcdef"}
    >>> found = compare(Scores("x", one, {}, None, ()), Scores("y", two, {}, None, ()))
    >>> float(found.metrics["difference"][0]), float(found.metrics["p"][0])
    (1.0, 0.03125)
    """
    import pandas as pd

    first, second = (run if isinstance(run, Scores) else read_scores(run) for run in (a, b))
    # Only problems that both have are compared; the others are named, never joined.
    shared = [name for name in first.samples if name in second.samples]
    check_shared(first, second, shared)
    seeds = _seeds(first, second, shared)
    sizes = [[len(run.samples[name][seed]) for name in shared for seed in seeds] for run in (first, second)]
    k = min(map(min, sizes))
    notes = [*first.notes, *second.notes]
    if max(map(max, sizes)) > k:
        spans = " and ".join(" to ".join(f"{size}" for size in sorted({min(n), max(n)})) for n in sizes)
        notes.append(f"samples a problem: {spans}; pass@1 uses all, every other metric k = {k} at most")
    notes += other_settings(first, second)
    if len(seeds) > 1:
        notes.append(f"p-values over {len(seeds)} seeds are at least {2 / 2 ** len(seeds):g}")
    sides = [_measures(run, shared, seeds, k) for run in (first, second)]
    names = ["pass@1", *(f"pass@{j}" for j in doubling(k) if j > 1)]
    names += [f"{name}{k}" for name in ("pass^", "majority@", "cons@") if k > 1]
    names = [name for name in (*names, *SHOWN) if all(name in side for side in sides)]
    rows = [{"metric": name, **_row(sides[0][name], sides[1][name])} for name in names]
    if rows[0]["p"] < 0.05 and rows[0]["low"] <= 0 <= rows[0]["high"]:
        notes.append(WIDER)
    means = [side["pass@1"].values.mean(axis=0) for side in sides]
    gap = np.where(np.abs(means[1] - means[0]) < 1e-12, 0, np.sign(means[1] - means[0])).astype(int)
    topics = second.topics | first.topics
    problems = pd.DataFrame({"id": shared, "topic": [topics.get(name, "unknown") for name in shared]})
    problems = problems.assign(a=means[0], b=means[1], outcome=np.array(["tied", "won", "lost"])[gap])
    return Comparison(
        a=first.name,
        b=second.name,
        k=k,
        seeds=len(seeds),
        metrics=pd.DataFrame(rows),
        topics=pd.DataFrame(_topics(problems["topic"].to_numpy(), sides) if topics else []),
        problems=problems,
        improvement=intervals.mean_interval((gap + 1) / 2),
        only_a=[name for name in first.samples if name not in second.samples],
        only_b=[name for name in second.samples if name not in first.samples],
        notes=notes,
    )


def power_table(runs: list[Scores], half_width: float) -> pd.DataFrame:
    """Return how many problems a wished half-width of pass@1 takes, for each run and for their difference.

    `runs` are one run, or two over the same problems (`Scores`); `half_width` is that of the 95 % interval,
    as a share: 0.01 is one point. The rows are those of `required_problems` for each of ``of``: the runs'
    names and, for two, ``difference``.

    Examples
    --------
    >>> from hammerlib.evaluation.comparison import Scores
    >>> run = {str(i): {None: [{"correct": i % 2 == 0}]} for i in range(100)}
    >>> power_table([Scores("x", run, {}, None, ())], 0.05)["problems"].tolist()
    [409.0]
    """
    import pandas as pd

    pilots = []
    for run in runs:
        names = list(run.samples)
        pilots.append((run.name, *_pilot(run, names, _seeds(run, run, names))))
    if len(runs) == 2:
        shared = [name for name in runs[0].samples if name in runs[1].samples]
        first, second = runs
        check_shared(first, second, shared)
        seeds = _seeds(first, second, shared)
        (a, noise_a, each_a), (b, noise_b, each_b) = (_pilot(run, shared, seeds) for run in runs)
        noise = None if noise_a is None or noise_b is None else noise_a + noise_b
        pilots.append(("difference", b - a, noise, each_a + each_b))
    tables = []
    for name, values, noise, each in pilots:
        # Samples of one size that would leave as much noise as those at hand.
        k = 1 if noise is None or not each.any() else noise.mean() / each.mean()
        beyond = 0.5
        if name == "difference":
            most = np.abs(values.mean(axis=0)).max() or 1.0
            beyond = (most + intervals.BEYOND * (1 - most)) / 2  # at the end away from zero only
        planned = (1, 4, 16, 64) if noise is not None else (1,)
        options = {"samples": planned, "seeds": sorted({1, 3, 5, 10, len(values)}), "beyond": beyond}
        table = required_problems(values, noise, k=k, half_width=half_width, **options)
        tables.append(table.assign(of=name)[["of", *table.columns]])
    return pd.concat(tables, ignore_index=True)


def _seeds(first: Scores, second: Scores, shared: list[str]) -> list:
    seeds = list(first.samples[shared[0]])
    for run in (first, second):
        for name in shared:
            if set(run.samples[name]) != set(seeds):
                others = sorted(map(str, run.samples[name]))
                problem = f"has other seeds ({others}) than {sorted(map(str, seeds))}"
                remedy = "pair the same training seeds; leave seed out where it only numbers samples"
                raise InputError("seed", f"{run.name}: {name}", problem, remedy)
    return seeds


def _measures(run: Scores, shared: list[str], seeds: list, k: int) -> dict[str, Measure]:
    """Every measure with values (seeds, n)."""
    by_seed = [measures([run.samples[name][seed] for name in shared], k) for seed in seeds]
    common = [name for name in by_seed[0] if all(name in each for each in by_seed)]
    return {
        name: by_seed[0][name]._replace(values=np.stack([each[name].values for each in by_seed]))
        for name in common
    }


def _row(a: Measure, b: Measure) -> dict[str, float]:
    """Both means and their difference, with standard errors and intervals, and the p-value."""
    kept = ~np.isnan(a.values + b.values).any(axis=0)
    left = a.values[:, kept]
    right = b.values[:, kept]
    row: dict[str, float] = {"problems": int(kept.sum())}
    for name, values in (("a", left), ("b", right)):
        numbers = described(values, a.bounds)
        row[name] = numbers.pop("value")
        row |= {f"{name}_{key}": number for key, number in numbers.items()}
    if row["problems"] < 2:
        gap = described(right - left)
        return row | {"difference": gap.pop("value"), **gap, "p": np.nan}
    if a.bounds == COUNTS:
        interval = intervals.paired_bootstrap(left, right)
    else:
        interval = intervals.paired_interval(left, right, bounds=a.bounds)
    row |= {"difference": interval.value, "se": intervals.standard_error(right - left)}
    row |= {"low": interval.low, "high": interval.high}
    # With several seeds their means are tested: swaps of problems would take one lucky seed for many
    # findings.
    pair = (left[0], right[0]) if len(left) == 1 else (left.mean(axis=1), right.mean(axis=1))
    return row | {"p": permutation_test(*pair).p}


def _topics(topics: np.ndarray, sides: list[dict[str, Measure]]) -> list[dict]:
    rows = []
    for topic in sorted(set(topics)):
        chosen = topics == topic
        both = [side["pass@1"]._replace(values=side["pass@1"].values[:, chosen]) for side in sides]
        rows.append({"topic": topic, **_row(*both)})
    tested = [row["p"] for row in rows if not np.isnan(row["p"])]
    adjusted = iter(holm(tested) if tested else ())
    return [row | {"p_holm": np.nan if np.isnan(row["p"]) else float(next(adjusted))} for row in rows]


def _pilot(run: Scores, names: list[str], seeds: list) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Shares, variance of one sample, and variance of each share that samples leave: (seeds, n) each."""
    rows = [[run.samples[name][seed] for name in names] for seed in seeds]
    n = np.array([[len(group) for group in groups] for groups in rows])
    correct = np.array([[sum(row["correct"] for row in group) for group in groups] for groups in rows])
    if n.min() < 2:
        return correct / n, None, np.zeros(n.shape)
    noise = sampling_variance(correct, n)
    return correct / n, noise, noise / n


class Answer(NamedTuple):
    """A completion, its verdict, and how many samples of the problem gave it."""

    text: str  # as the model wrote it: not safe to put on a page
    correct: bool
    reason: str  # as the grader gave it; ``correct`` or ``wrong`` where a file has none
    count: int


def transcripts(found: Comparison, a: str | Path, b: str | Path) -> pd.DataFrame:
    """Return the problems that one of two runs answers better, with what both answered.

    One row a problem won or lost, largest difference first: ``id, topic, outcome, a, b`` (shares of right
    samples), ``prompt, gold`` (None where no table says), ``answers_a, answers_b`` (lists of `Answer`: right
    ones first, then the frequent ones).

    Parameters
    ----------
    found : Comparison
        `compare` of `a` and `b`.
    a, b : str or path
        As for `read_scores`, with a ``completion`` in every sample (published copies have none).

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
    paths = [run_path(run) for run in (a, b)]
    answers = [_answers(path) for path in paths]
    stored = _stored_problems(paths[1]) or _stored_problems(paths[0])
    table = changed.assign(
        prompt=[stored.get(name, {}).get("prompt") for name in changed["id"]],
        gold=[stored.get(name, {}).get("answer") for name in changed["id"]],
        answers_a=[answers[0][name] for name in changed["id"]],
        answers_b=[answers[1][name] for name in changed["id"]],
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
            (Answer(text, right, reason, n) for (text, right, reason), n in answers.items()),
            key=lambda answer: (-answer.correct, -answer.count),
        )
        for name, answers in counts.items()
    }


def _stored_problems(path: Path) -> dict[str, dict]:
    """The problem table of a run by id; empty for a file and for a run that stored none."""
    file = path / "problems.jsonl"
    return {str(row["id"]): row for _, row in read_lines(file)[0]} if file.is_file() else {}
