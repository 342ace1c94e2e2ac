"""Two runs over the same problems: differences with intervals and tests, won and lost problems, power."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hammerlib.errors import InputError
from hammerlib.evaluation.intervals import (
    BEYOND,
    Interval,
    mean_interval,
    paired_interval,
    standard_error,
)
from hammerlib.evaluation.measures import COUNTS, Measure, doubling, measures
from hammerlib.evaluation.power import required_problems, sampling_variance
from hammerlib.evaluation.scores import Scores, check_shared, other_settings, read_scores
from hammerlib.evaluation.significance import holm, permutation_test
from hammerlib.evaluation.statistics import bootstrap_interval, paired_bootstrap

if TYPE_CHECKING:
    import pandas as pd

SHOWN = ("truncated_share", "unextracted_share", "mean_tokens", "distinct_answers", "answer_entropy", "brier")
WIDER = (
    "pass@1: p is below 0.05 and the interval holds 0: the test asks only whether anything differs, "
    "the interval must hold for every size of the difference"
)


class Comparison(NamedTuple):
    """What two runs have in common and where they differ.

    Attributes
    ----------
    a, b : str
        Names of the runs.
    k : int
        Samples that every shared problem has in both; the largest k of any metric.
    seeds : int
        Seeds in both.
    metrics : DataFrame
        One row a metric: ``metric, problems, a, a_se, a_low, a_high, b, b_se, b_low, b_high, difference, se,
        low, high, p``. Differences: `paired_interval` (``adjusted``), tokens `paired_bootstrap`.
    topics : DataFrame
        The same for pass@1 of each topic, with ``p_holm``; empty where topics are unknown.
    problems : DataFrame
        One row a shared problem: ``id, topic, a, b, outcome`` (shares of right samples; won, lost, tied).
    improvement : Interval
        Chance that `b` is better on a problem, ties for a half.
    only_a, only_b : list of str
        Problems that the other run lacks.
    notes : list of str
        What a reader should know.

    Examples
    --------
    >>> Comparison._fields[:3]
    ('a', 'b', 'k')
    """

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
    >>> from hammerlib.evaluation.scores import Scores
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
    >>> from hammerlib.evaluation.scores import Scores
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
