"""Arms against their control arms: paired differences, their intervals and tests, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hammerlib.errors import InputError
from hammerlib.evaluation import (
    benjamini_hochberg,
    equivalence_test,
    holm,
    interquartile_interval,
    interquartile_mean,
    mean_interval,
    permutation_test,
    variance_components,
)
from hammerlib.evaluation.intervals import Interval, with_seeds
from hammerlib.study.endpoints import THRESHOLD, crossing, curve_of, endpoint_table, endpoints_of
from hammerlib.study.records import Records, lineage, start_name

if TYPE_CHECKING:
    from scipy.stats import CensoredData


class Spread(NamedTuple):
    """A standard deviation with its interval."""

    value: float
    low: float
    high: float
    df: int


def student_interval(
    values: ArrayLike, *, bounds: tuple[float, float] | None = None, level: float = 0.95
) -> Interval:
    """Return the mean with Student's interval; its ends are NaN for fewer than two values."""
    given = np.asarray(values, dtype=np.float64)
    if len(given) < 2:
        return Interval(float(given.mean()) if len(given) else float("nan"), float("nan"), float("nan"))
    mean = float(given.mean())
    return with_seeds(given[:, None], (mean, mean), level, bounds or (-np.inf, np.inf))


def deviation(values: ArrayLike, groups: Sequence[object] | None = None, *, level: float = 0.95) -> Spread:
    """Return the standard deviation with its chi-square interval (normal values)."""
    from scipy.stats import chi2

    given = np.asarray(values, dtype=np.float64)
    names = pd.Series(np.zeros(len(given)) if groups is None else list(groups))
    rest = given - pd.Series(given).groupby(names).transform("mean").to_numpy()
    df = len(given) - names.nunique()
    if df < 1:
        return Spread(float("nan"), float("nan"), float("nan"), 0)
    total = float((rest**2).sum())
    ends = np.sqrt(total / chi2.ppf([(1 + level) / 2, (1 - level) / 2], df))
    return Spread(float(np.sqrt(total / df)), float(ends[0]), float(ends[1]), df)


def spread_table(
    endpoints: pd.DataFrame, twins: Mapping[str, str], *, endpoint: str = "final"
) -> pd.DataFrame:
    """Return how far the replicates of each arm lie apart, and whether further than those of its twin.

    Parameters
    ----------
    endpoints : DataFrame
        `endpoints.endpoint_table`.
    twins : mapping of str to str
        Arm to the arm it is compared with.
    endpoint : str
        Whose spread.

    Returns
    -------
    DataFrame
        Indexed by arm: ``n``, ``sd, low, high`` (over replicates, starts among them), ``inside, inside_low,
        inside_high`` (between replicates of one start, pooled), and ``ratio, p``: deviation inside starts
        over the twin's in the same replicates, with the test of Pitman and Morgan for paired values (the
        correlation of sum and difference; normal values; one degree of freedom a start is lost).

    References
    ----------
    Pitman 1939, A note on normal correlation; Morgan 1939.
    """
    rows = {}
    for arm, part in endpoints.groupby("arm", sort=False):
        whole = deviation(part[endpoint])
        inside = deviation(part[endpoint], list(part["start_name"]))
        rows[arm] = {"n": len(part), "sd": whole.value, "low": whole.low, "high": whole.high}
        rows[arm] |= {"inside": inside.value, "inside_low": inside.low, "inside_high": inside.high}
        twin = endpoints[endpoints["arm"] == twins.get(arm)]
        rows[arm] |= _against(part, twin, endpoint)
    return pd.DataFrame.from_dict(rows, orient="index")


def _against(ours: pd.DataFrame, theirs: pd.DataFrame, endpoint: str) -> dict[str, float]:
    from scipy.stats import t

    nothing = {"ratio": float("nan"), "p": float("nan")}
    both = ours.merge(theirs, on=["replicate", "start_name"], suffixes=("", "_twin"))
    rest = both[[endpoint, f"{endpoint}_twin"]] - both.groupby("start_name")[
        [endpoint, f"{endpoint}_twin"]
    ].transform("mean")
    free = len(both) - both["start_name"].nunique() - 1  # of the correlation
    a, b = rest.to_numpy(dtype=np.float64).T if len(both) else (np.zeros(0), np.zeros(0))
    total, gap = a + b, a - b
    if free < 1 or not all((one**2).sum() for one in (a, b, total, gap)):
        return nothing
    correlation = float((total * gap).sum() / np.sqrt((total**2).sum() * (gap**2).sum()))
    statistic = abs(correlation) * np.sqrt(free / max(1 - correlation**2, 1e-300))
    return {"ratio": float(np.sqrt((a**2).sum() / (b**2).sum())), "p": float(2 * t.sf(statistic, free))}


# The primary contrasts and the smallest effect of interest of results/PROTOCOL.md.
PRIMARIES = (("hammer", "random"), ("min-path", "random"), ("dra", "random"))
MARGIN = 0.01
PRIMARY_ENDPOINT = "auc"
# Beside each arm and its twin: DRA against its placebo, what HAMMER's paper compares its order with, and ours
# against what they are made of.
FURTHER = (
    ("dra", "dra-placebo"),
    ("hammer", "similar"),
    ("hammer", "easy-to-hard"),
    ("min-path", "hammer"),
    ("hammer-dra", "hammer"),
    ("hammer-cooldown", "hammer"),
    ("min-path-inside", "random-inside"),
    ("min-path-inside", "window"),
)
COLUMNS = ["replicate", "start", "lineage", "endpoint", "arm", "twin", "difference"]
CUT = ("rollouts", "paid", "tokens")  # axes on which both arms of a pair are cut at the same place


def paired_endpoints(records: Records, arm: str, twin: str, *, threshold: float = THRESHOLD) -> pd.DataFrame:
    """Return every endpoint of an arm and of its twin, replicate by replicate."""
    return _paired_endpoints(records, arm, twin, threshold).copy()


@lru_cache(maxsize=256)
def _paired_endpoints(records: Records, arm: str, twin: str, threshold: float) -> pd.DataFrame:
    ours, theirs = records.of(arm), records.of(twin)
    rows = []
    for replicate in sorted(set(ours) & set(theirs)):
        pair = ours[replicate], theirs[replicate]
        ends = {axis: min(_end(cell, axis) for cell in pair) for axis in CUT}
        a, b = (endpoints_of(cell, ends=ends, threshold=threshold) for cell in pair)
        named = {"replicate": replicate, "start": start_name(pair[0]), "lineage": lineage(pair[0])}
        rows += [
            named | {"endpoint": name, "arm": a[name], "twin": b[name], "difference": a[name] - b[name]}
            for name in a
        ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _end(cell: dict, axis: str) -> float:
    last = cell["curve"][-1]
    if axis == "tokens":
        return float(last["tokens"])
    return float(last["rollouts"] + (cell.get("probe_rollouts", 0) if axis == "paid" else 0))


def judged(
    differences: ArrayLike, starts: Sequence[object], lineages: Sequence[object], *, margin: float
) -> dict[str, float]:
    """Return what one set of paired differences says.

    Parameters
    ----------
    differences : array-like, (n,)
        Arm less twin, one a replicate.
    starts : sequence, (n,)
        Which start each replicate trained from.
    lineages : sequence, (n,)
        Which supervised run that start is a checkpoint of: checkpoints of one run are not several runs.
    margin : float
        Largest difference that does not matter, above 0.

    Returns
    -------
    dict of str to float
        ``n, value, low, high`` (Student over replicates), ``p`` (paired t), ``p_signs`` (exact flips of
        signs), ``p_equivalent`` (two one-sided tests), ``sd, sd_low, sd_high``, ``starts``,
        ``between, within`` (standard deviations between supervised runs and inside them), ``seeds, seeds_low,
        seeds_high`` (Student's interval with a supervised run as the unit: one number a run, the mean over
        its checkpoints), ``wins`` (share of replicates in which the arm is ahead, ties a half). NaN where it
        cannot be known from so few.

    Raises
    ------
    InputError
        A margin that is not above 0.
    """
    if not margin > 0:
        raise InputError("margin", margin, "must be above 0", "name the largest difference that is none")
    table = pd.DataFrame({"gap": differences, "start": list(starts), "lineage": list(lineages)})
    table = table[np.isfinite(table["gap"].astype(np.float64))]
    given = table["gap"].to_numpy(dtype=np.float64)
    mean, sd, apart = student_interval(given), deviation(given), _by_lineage(table)
    wins = (given > 0) + 0.5 * (given == 0)
    return {
        "n": len(given),
        **mean._asdict(),
        **_tests(given, margin),
        **{"sd": sd.value, "sd_low": sd.low, "sd_high": sd.high},
        "starts": table["start"].nunique(),
        **_components(given, table["lineage"].to_numpy()),
        **{"seeds": table["lineage"].nunique(), "seeds_low": apart.low, "seeds_high": apart.high},
        "wins": float(wins.mean()) if len(wins) > 1 else float("nan"),
    }


def _by_lineage(table: pd.DataFrame) -> Interval:
    """Student over the supervised runs; the stopping point is a fixed factor, each counts alike in a run."""
    cells = table.groupby(["lineage", "start"], sort=False)["gap"].mean()
    return student_interval(cells.groupby("lineage", sort=False).mean())


def _tests(given: np.ndarray, margin: float) -> dict[str, float]:
    from scipy.stats import ttest_1samp

    if len(given) < 2:
        return {"p": float("nan"), "p_signs": float("nan"), "p_equivalent": float("nan")}
    zeros = np.zeros(len(given))
    signs = permutation_test(zeros, given).p
    if given.std() < 1e-12:  # no spread to judge by: the t-tests do not exist
        return {"p": float("nan"), "p_signs": signs, "p_equivalent": float("nan")}
    p = float(ttest_1samp(given, 0.0).pvalue)
    return {"p": p, "p_signs": signs, "p_equivalent": equivalence_test(zeros, given, margin=margin)}


def _components(given: np.ndarray, runs: np.ndarray) -> dict[str, float]:
    """One-way analysis of variance: a run stands for a problem, its replicates for samples of it."""
    groups = [given[runs == name] for name in dict.fromkeys(runs)]
    if len(groups) < 2 or min(map(len, groups)) < 2:
        return {"between": float("nan"), "within": float("nan")}
    inside = deviation(given, list(runs)).value ** 2
    size = len(groups) / sum(1 / len(group) for group in groups)
    means = [group.mean() for group in groups]
    found = variance_components(means, [inside] * len(groups), k=size)
    return {"between": float(np.sqrt(found.problems)), "within": float(np.sqrt(inside))}


def pairs_of(records: Records) -> list[tuple[str, str]]:
    """Return the contrasts of a study: every arm with the twin of its record, and those of `FURTHER`."""
    known = [(arm, twin) for arm, twin in FURTHER if records.of(arm) and records.of(twin)]
    return list(dict.fromkeys([*records.twins().items(), *known]))


def contrast_table(
    records: Records,
    pairs: Sequence[tuple[str, str]] | None = None,
    *,
    endpoints: Sequence[str] = (PRIMARY_ENDPOINT,),
    primaries: Sequence[tuple[str, str]] = PRIMARIES,
    margin: float = MARGIN,
    threshold: float = THRESHOLD,
) -> pd.DataFrame:
    """Return one row a contrast and endpoint; no p-value is corrected yet (`discoveries.study_tests` does).

    Parameters
    ----------
    records : Records
    pairs : sequence of (arm, twin), optional
        Default `pairs_of`.
    endpoints : sequence of str
        Of `endpoints.ENDPOINTS`.
    primaries : sequence of (arm, twin)
        Contrasts named before any run; they are primary in `auc` alone.
    margin : float
        Largest difference that does not matter, in the unit of the endpoint.
    threshold : float
        Pass@1 whose first crossing is timed.

    Returns
    -------
    DataFrame
        Columns ``contrast, arm, twin, endpoint, primary`` and those of `judged`. Pairs without a common
        replicate are left out.
    """
    rows = []
    for arm, twin in pairs_of(records) if pairs is None else dict.fromkeys(pairs):
        table = paired_endpoints(records, arm, twin, threshold=threshold)
        for endpoint in endpoints if len(table) else ():
            part = table[table["endpoint"] == endpoint]
            named = {"contrast": f"{arm} - {twin}", "arm": arm, "twin": twin, "endpoint": endpoint}
            named["primary"] = endpoint == PRIMARY_ENDPOINT and (arm, twin) in set(primaries)
            rows.append(named | judged(part["difference"], part["start"], part["lineage"], margin=margin))
    return pd.DataFrame(rows)


def family_differences(families: pd.DataFrame, arm: str, twin: str, *, endpoint: str = "auc") -> pd.DataFrame:
    """Return the paired difference of every replicate in every family."""
    wide = families.pivot_table(index=["arm", "replicate"], columns="family", values=endpoint)
    known = set(wide.index.get_level_values("arm"))
    if not {arm, twin} <= known:
        return pd.DataFrame(columns=wide.columns)
    return (wide.loc[arm] - wide.loc[twin]).dropna()


def family_table_of(
    families: pd.DataFrame, pairs: Sequence[tuple[str, str]], *, endpoint: str = "auc", seed: int = 0
) -> pd.DataFrame:
    """Return contrasts over families: each family, their interquartile mean, and how often the arm is ahead.

    Parameters
    ----------
    families : DataFrame
        `endpoints.family_table`, of the families that are to count.
    pairs : sequence of (arm, twin)
    endpoint : str
        ``auc`` or ``final``.
    seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        Columns ``contrast, family, n, value, low, high``. Rows of a family: Student over replicates. Row
        ``IQM``: interquartile mean of all differences with the stratified bootstrap, as in rliable, whose
        strata count as independent. Row ``IQM by replicate``: the interquartile mean over the families of
        each replicate, Student over replicates, which makes no such assumption (families of one replicate
        share a training). Row ``ahead``: share of pairs (replicate, family) in which the arm is ahead of its
        twin, ties a half (one half: no improvement), with an interval over replicates.
    """
    rows = []
    for arm, twin in pairs:
        gaps = family_differences(families, arm, twin, endpoint=endpoint)
        if len(gaps) < 2:
            continue
        found = {name: student_interval(gaps[name]) for name in gaps}
        found["IQM"] = interquartile_interval(list(gaps.to_numpy().T), seed=seed)
        found["IQM by replicate"] = student_interval(np.apply_along_axis(interquartile_mean, 1, gaps))
        # Paired, and one number a replicate: its families share a training, its twin start and problems.
        found["ahead"] = mean_interval(((gaps > 0) + 0.5 * (gaps == 0)).mean(axis=1))
        named = {"contrast": f"{arm} - {twin}", "n": len(gaps)}
        rows += [named | {"family": name} | interval._asdict() for name, interval in found.items()]
    return pd.DataFrame(rows, columns=["contrast", "family", "n", "value", "low", "high"])


# (arm, twin) under another setting, less (arm, twin) as in the primary contrasts.
INTERACTIONS = (
    (("hammer-k2", "random-k2"), ("hammer", "random")),
    (("hammer-k32", "random-k32"), ("hammer", "random")),
    (("hammer-dra", "dra"), ("hammer", "random")),
    (("dra-dr_grpo", "dr_grpo"), ("dra", "random")),
    (("dra-dapo", "dapo"), ("dra", "random")),
)


def interaction_table(
    records: Records, *, endpoint: str = PRIMARY_ENDPOINT, margin: float = MARGIN
) -> pd.DataFrame:
    """Return one row for each of `INTERACTIONS` whose four arms share two replicates or more.

    Parameters
    ----------
    records : Records
    endpoint : str
        Of `endpoints.ENDPOINTS`.
    margin : float
        Largest difference that does not matter.

    Returns
    -------
    DataFrame
        Columns of `contrasts.contrast_table`; ``contrast`` reads ``(a - b) - (c - d)``, ``arm`` and ``twin``
        are the two differences.
    """
    rows = []
    for changed, usual in INTERACTIONS:
        sides = [_differences(records, *pair, endpoint) for pair in (changed, usual)]
        both = sides[0].index.intersection(sides[1].index)
        if len(both) < 2:
            continue
        gaps = sides[0].loc[both, "difference"] - sides[1].loc[both, "difference"]
        starts, lineages = (sides[0].loc[both, name] for name in ("start", "lineage"))
        arm, twin = (f"({pair[0]} - {pair[1]})" for pair in (changed, usual))
        named = {"contrast": f"{arm} - {twin}", "arm": arm, "twin": twin, "endpoint": endpoint}
        rows.append(named | {"primary": False} | judged(gaps, starts, lineages, margin=margin))
    return pd.DataFrame(rows)


PRIMARY_LEVEL, OTHER_LEVEL, EQUIVALENCE_LEVEL = 0.05, 0.10, 0.05  # of results/PROTOCOL.md


def verdict(
    low: float,
    high: float,
    adjusted: float,
    p_equivalent: float,
    *,
    margin: float = MARGIN,
    level: float = PRIMARY_LEVEL,
) -> str:
    """Return in words what a contrast says."""
    small, size = p_equivalent < EQUIVALENCE_LEVEL, f"{100 * margin:g} point" + "s" * (margin != 0.01)
    # Corrected at ten per cent, a difference may be found whose 95 % interval holds zero: it is called none.
    if adjusted < level and not low <= 0 <= high:
        told = "better" if low + high > 0 else "worse"
        return f"{told}, by less than {size}" if small else told
    if small:
        return f"no difference larger than {size}"
    return "cannot be told from none, nor from one that matters"


def reading(low: float, high: float, expected: int, p_equivalent: float, p: float = 0.0) -> str:
    """Return in words what an interval says of a cause."""
    inside = p_equivalent < EQUIVALENCE_LEVEL
    if (low > 0 or high < 0) and p < OTHER_LEVEL:
        found = 1 if low > 0 else -1
        told = "differs" if not expected else "as expected" if found == expected else "opposite"
        return told + (", within the margin" if inside else "")
    return "within the margin" if inside else "cannot tell"


class Cause(NamedTuple):
    """A possible cause of an arm's effect, and the two arms that differ in it alone, or nearly so."""

    name: str
    arm: str
    twin: str
    differs: str
    sign: int


CAUSES = (
    Cause("front", "{order}", "reversed", "front and tail change places; same neighbours and batches", 1),
    Cause(
        "drift from front to tail",
        "random-batches",
        "stretch-shuffled",
        "random batches out of each eighth of the path; in the path's sequence, or in any",
        1,
    ),
    Cause("batches of one stretch", "stretch-shuffled", "{random}", "drawn from an eighth of the path", 1),
    Cause("both of these", "random-batches", "{random}", "drift over eighths, batches random within", 1),
    Cause("sequence of batches", "{order}", "batch-shuffled", "same batches, in random sequence", 1),
    Cause("batch make-up", "batch-shuffled", "{random}", "the path's batches; sequence random in both", 1),
    Cause(
        "neighbours and batches",
        "{order}",
        "random-batches",
        "random within eighths of the path in one; the drift over eighths in both",
        1,
    ),
    Cause(
        "length and pass rate",
        "matched",
        "{random}",
        "their course along the path in quartiles, and what goes with them",
        1,
    ),
    Cause("all but length and pass rate", "{order}", "matched", "same quartiles of both, place by place", 1),
    Cause("topic", "matched-topic", "{random}", "the topics' course along the path", 1),
    Cause("all but topic", "{order}", "matched-topic", "same topics, place by place", 1),
    Cause("topics in turn", "topic-cycle", "{random}", "a topic never comes twice in a row; no drift", 0),
    Cause("diverse front", "farthest-first", "{random}", "far points first, no rule for neighbours", 1),
    Cause("common direction", "{order}-centred", "{order}", "the mean of all vectors taken away", -1),
    Cause(
        "what pretraining put there", "{order}-untrained", "{order}", "vectors of an untrained backbone", -1
    ),
    Cause("the model's own space", "{order}-tfidf", "{order}", "vectors of words alone (TF-IDF)", -1),
)
OF_DRA = (
    Cause(
        "its numbers alone", "dra-placebo", "{random}", "dealt by lot among completions of equal reward", 1
    ),
    Cause("which completion gets which", "{order}", "dra-placebo", "by meaning, or by lot", 1),
    Cause("smaller rewards", "{order}-normalised", "{order}", "weights of mean 1 in each group", -1),
    Cause("weights by wrong ones", "{order}-positives", "{order}", "right completions compared alone", -1),
)


def _named(order: str, random: str) -> list[Cause]:
    names, causes = {"order": order, "random": random}, OF_DRA if order == "dra" else CAUSES
    return [Cause(c.name, c.arm.format(**names), c.twin.format(**names), c.differs, c.sign) for c in causes]


def cause_pairs(order: str = "hammer", *, random: str = "random") -> list[tuple[str, str]]:
    """Return the contrasts that take an order or DRA apart, the whole effect first."""
    return [(order, random), *((cause.arm, cause.twin) for cause in _named(order, random))]


def decomposition_table(
    records: Records,
    order: str = "hammer",
    *,
    random: str = "random",
    endpoint: str = PRIMARY_ENDPOINT,
    margin: float = MARGIN,
    adjusted: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return cause by cause which contrast tells of it, its estimate, and what it would be if it mattered.

    Parameters
    ----------
    records : Records
    order, random : str
        The arm whose effect is taken apart (an order, or ``dra``), and its twin.
    endpoint : str
        One of `endpoints.ENDPOINTS`.
    margin : float
        Largest difference that does not matter.
    adjusted : mapping of str to float, optional
        Contrast to its corrected p (`discoveries.adjusted_of`); without it the readings are uncorrected.

    Returns
    -------
    DataFrame
        First row ``whole effect``, then the causes whose arms are there. Columns ``cause, contrast, differs,
        n, value, low, high, p`` (not corrected), ``whole, whole_low, whole_high, whole_n`` (the whole effect
        in those of the row's replicates that hold both its arms), ``expected`` (the sign if the cause carried
        the whole effect of all replicates: ``+``, ``-``, or ``?`` where that is not told from none or no sign
        follows) and ``reading``.

    Notes
    -----
    The causes overlap and need not add up: an order changes front, neighbours and batches at once, and each
    control keeps some of them only. Compare a cause with the whole effect of its own replicates: the others
    have other starts.
    """
    whole = _differences(records, order, random, endpoint)
    if whole.empty:
        return pd.DataFrame()
    effect = _judged(whole, margin)
    sign = 1 if effect["low"] > 0 else -1 if effect["high"] < 0 else 0
    first = Cause("whole effect", order, random, f"{order} against {random}", 0)
    rows = []
    for cause in (first, *_named(order, random)):
        found = _differences(records, cause.arm, cause.twin, endpoint)
        p = 0.0 if adjusted is None else adjusted.get(f"{cause.arm} - {cause.twin}", float("nan"))
        if len(found):
            rows.append(_row(cause, found, whole, sign, margin, p))
    return pd.DataFrame(rows)


def _differences(records: Records, arm: str, twin: str, endpoint: str) -> pd.DataFrame:
    table = paired_endpoints(records, arm, twin)
    return table[table["endpoint"] == endpoint].set_index("replicate")


def _judged(table: pd.DataFrame, margin: float) -> dict[str, float]:
    return judged(table["difference"], table["start"], table["lineage"], margin=margin)


def _row(
    cause: Cause, found: pd.DataFrame, whole: pd.DataFrame, sign: int, margin: float, p: float
) -> dict[str, object]:
    told = _judged(found, margin)
    there = _judged(whole[whole.index.isin(found.index)], margin)
    return {
        "cause": cause.name,
        "contrast": f"{cause.arm} - {cause.twin}",
        "differs": cause.differs,
        **{column: told[column] for column in ("n", "value", "low", "high", "p")},
        **{"whole": there["value"], "whole_low": there["low"], "whole_high": there["high"]},
        "whole_n": there["n"],
        "expected": {1: "+", -1: "-", 0: "?"}[sign * cause.sign],
        "reading": reading(told["low"], told["high"], sign * cause.sign, told["p_equivalent"], p),
    }


def crossing_times(
    records: Records, arm: str, *, axis: str = "rollouts", threshold: float = THRESHOLD
) -> CensoredData:
    """Return when the replicates of an arm first reach the threshold, those that never do censored."""
    from scipy.stats import CensoredData

    cells = records.of(arm).values()
    found = [crossing(curve_of(cell, axis=axis), threshold) for cell in cells]
    return CensoredData(
        uncensored=[one.at for one in found if one.reached],
        right=[one.at for one in found if not one.reached],
    )


def survival_steps(times: CensoredData) -> tuple[np.ndarray, np.ndarray]:
    """Return the Kaplan-Meier share of replicates that have not reached the threshold yet."""
    from scipy.stats import ecdf

    found = ecdf(times).sf
    return np.append(0.0, found.quantiles), np.append(1.0, found.probabilities)


def threshold_table(
    records: Records, *, axis: str = "rollouts", threshold: float = THRESHOLD
) -> pd.DataFrame:
    """Return how soon each arm reaches the threshold, and how much sooner than its twin.

    Parameters
    ----------
    records : Records
    axis : str
        ``rollouts`` or ``step``.
    threshold : float
        Pass@1.

    Returns
    -------
    DataFrame
        Indexed by arm: ``n, reached`` (replicates), ``mean, low, high`` (restricted mean: those that never
        reach it count as the end of their axis; Student over replicates), ``median`` (Kaplan-Meier; NaN where
        fewer than half reach it), and over the replicates that hold the twin too: ``pairs`` (their number),
        ``sooner, sooner_low, sooner_high`` (twin's restricted time less the arm's at equal budget; Student)
        and ``p`` (flips of the signs of these differences; NaN where no curve of either reaches it).

    Notes
    -----
    All replicates are censored at the end of the same budget, so that the area under the Kaplan-Meier curve
    up to there is the plain mean of the restricted times.

    References
    ----------
    Kaplan & Meier 1958; Royston & Parmar 2013 (restricted mean); Fisher 1935, section 21 (flips of
    signs); `scipy.stats`.
    """
    twins, rows = records.twins(), {}
    column = "steps_to_threshold" if axis == "step" else "rollouts_to_threshold"
    for arm in records.arms:
        times = crossing_times(records, arm, axis=axis, threshold=threshold)
        known = np.append(times._uncensored, times._right)
        mean = student_interval(known, bounds=(0.0, np.inf))
        places, left = survival_steps(times)
        half = np.flatnonzero(left <= 0.5)
        rows[arm] = {"n": len(known), "reached": len(known) - times.num_censored()}
        rows[arm] |= {"mean": mean.value, "low": mean.low, "high": mean.high}
        rows[arm] |= {"median": float(places[half[0]]) if len(half) else float("nan")}
        rows[arm] |= _sooner(records, arm, twins.get(arm), column, threshold)
    return pd.DataFrame.from_dict(rows, orient="index")


def _sooner(records: Records, arm: str, twin: str | None, column: str, threshold: float) -> dict[str, float]:
    nothing = dict.fromkeys(("sooner", "sooner_low", "sooner_high", "p"), float("nan"))
    table = paired_endpoints(records, arm, twin, threshold=threshold) if twin else pd.DataFrame()
    if table.empty:
        return {"pairs": 0} | nothing
    table = table.set_index("endpoint")
    gaps = -np.atleast_1d(table.loc[column, "difference"])
    found, reached = student_interval(gaps), table.loc["reached", ["arm", "twin"]].to_numpy().any()
    # With no crossing at all the test does not exist.
    p = permutation_test(np.zeros(len(gaps)), gaps).p if reached and len(gaps) > 1 else float("nan")
    named = {"sooner": found.value, "sooner_low": found.low, "sooner_high": found.high, "p": p}
    return {"pairs": len(gaps)} | named


# Endpoints whose contrasts are tested beside the primary one.
COMPARED = ("final", "pass@k", "greedy", "auc_unseen", "final_unseen", "auc_tokens", "auc_paid", "drawdown")
GRADED, ADJUSTED = "zero_variance_share", "zero_variance_share_adjusted"
PROCESS = ("entropy", "answers", "strategies", GRADED, ADJUSTED)
WAITING, SPREAD = "rollouts_to_threshold", "spread of final"  # endpoints that are tested otherwise


def study_tests(records: Records, *, margin: float = MARGIN, threshold: float = THRESHOLD) -> pd.DataFrame:
    """Return every test that the page of a study shows, p-values corrected for their number.

    Holm over the primary contrasts; Benjamini and Hochberg over all the others together, arms and endpoints:
    contrasts in `auc`, `COMPARED` and `PROCESS`, those that take an order or DRA apart, `INTERACTIONS`, times
    to the threshold, spreads.

    Parameters
    ----------
    records : Records
    margin : float
        Largest difference that does not matter, as a share.
    threshold : float
        Pass@1 whose first crossing is timed.

    Returns
    -------
    DataFrame
        Columns of `contrasts.contrast_table` (NaN where a test has none), ``kind`` (``contrast``, ``cause``,
        ``interaction``, ``threshold`` or ``spread``), ``adjusted`` and ``correction``. A test that stands in
        two tables is one row: ``auc_paid`` where both arms probed the start alike, or not at all, is ``auc``,
        and has none; nor has the share of groups without variance after adjustment where neither arm adjusts.
    """
    return _study_tests(records, margin, threshold).copy()


@lru_cache(maxsize=16)
def _study_tests(records: Records, margin: float, threshold: float) -> pd.DataFrame:
    if not records.cells:
        return pd.DataFrame()
    pairs, how = pairs_of(records), {"margin": margin, "threshold": threshold}
    main = contrast_table(records, pairs, endpoints=(PRIMARY_ENDPOINT, *COMPARED, *PROCESS), **how)
    causes = [pair for pair in dict.fromkeys([*cause_pairs(), *cause_pairs("dra")]) if pair not in pairs]
    parts = [
        (main, "contrast"),
        (contrast_table(records, causes, **how), "cause"),
        (interaction_table(records), "interaction"),
        (_against_twins(records, threshold_table(records, threshold=threshold), WAITING), "threshold"),
        (_against_twins(records, spread_table(endpoint_table(records), records.twins()), SPREAD), "spread"),
    ]
    table = pd.concat([part.assign(kind=kind) for part, kind in parts if len(part)] or [main])
    return corrected(_once(records, table).reset_index(drop=True)) if len(table) else table


def _against_twins(records: Records, found: pd.DataFrame, endpoint: str) -> pd.DataFrame:
    rows = [
        {"contrast": f"{arm} - {twin}", "arm": arm, "twin": twin, "endpoint": endpoint, "primary": False}
        | {"p": found.loc[arm, "p"]}
        for arm, twin in records.twins().items()
    ]
    return pd.DataFrame(rows)


def _once(records: Records, table: pd.DataFrame) -> pd.DataFrame:
    if not len(table):
        return table
    probed = records.table.groupby("arm")["probe_rollouts"].max()
    paid = table["arm"].map(probed).fillna(0) != table["twin"].map(probed).fillna(0)
    arms = [cell["arm"] for cell in records.cells if _adjusts(cell)]
    changed = table["arm"].isin(arms) | table["twin"].isin(arms)
    return table[((table["endpoint"] != "auc_paid") | paid) & ((table["endpoint"] != ADJUSTED) | changed)]


def _adjusts(cell: dict) -> bool:
    settings = cell["settings"]
    return settings.get("train", {}).get("adjustment", "none") != "none" or bool(settings.get("bonus"))


def corrected(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of tests with ``adjusted`` p-values and the ``correction`` used."""
    table = table.assign(adjusted=float("nan"), correction="")
    if table.columns.isin(["primary", "p"]).sum() < 2:
        return table
    rules = ((True, "Holm", holm), (False, "Benjamini-Hochberg", benjamini_hochberg))
    for primary, name, rule in rules:
        among = (table["primary"] == primary) & table["p"].notna()
        table.loc[table["primary"] == primary, "correction"] = name
        if among.any():
            table.loc[among, "adjusted"] = rule(table.loc[among, "p"].to_numpy(dtype=float))
    return table


def main_contrasts(tests: pd.DataFrame, endpoint: str = PRIMARY_ENDPOINT) -> pd.DataFrame:
    """Return the contrasts of arms with their twins in one endpoint."""
    if tests.empty:
        return tests
    kept = (tests["kind"] == "contrast") & (tests["endpoint"] == endpoint)
    whole = {"n": int, "starts": int, "seeds": int, "primary": bool}  # other tests have none of them
    return tests[kept].reset_index(drop=True).astype(whole)


def of_kind(tests: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return the tests of one kind."""
    return tests if tests.empty else tests[tests["kind"] == kind].reset_index(drop=True)


def adjusted_of(tests: pd.DataFrame, endpoint: str = PRIMARY_ENDPOINT) -> dict[str, float]:
    """Return the corrected p of each contrast in one endpoint."""
    if tests.empty:
        return {}
    part = tests[tests["endpoint"] == endpoint]
    return dict(zip(part["contrast"], part["adjusted"], strict=True))
