"""Arms against their control arms: paired differences, their intervals and tests, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hammerlib.errors import InputError
from hammerlib.evaluation import intervals, significance
from hammerlib.evaluation.intervals import Interval
from hammerlib.study import PROTOCOL
from hammerlib.study.endpoints import THRESHOLD, Crossing, crossing, curve_of, endpoint_table, endpoints_of
from hammerlib.study.records import Records, adjusts_advantages, columns_of, lineage, start_name

Pair = tuple[str, str]  # arm, control arm

PRIMARIES: tuple[Pair, ...] = tuple(map(tuple, PROTOCOL["primaries"]))
FURTHER: tuple[Pair, ...] = tuple(map(tuple, PROTOCOL["further"]))
INTERACTIONS = tuple(tuple(map(tuple, pairs)) for pairs in PROTOCOL["interactions"])
PRIMARY_ENDPOINT = PROTOCOL["primary_endpoint"]
MARGIN = PROTOCOL["margin"]
LEVELS = PROTOCOL["levels"]
COMPARED = tuple(PROTOCOL["compared"])
PROCESS = tuple(PROTOCOL["process"])
GRADED = "zero_variance_share"
ADJUSTED = "zero_variance_share_adjusted"
PROBED = "probe_entropy"
# Endpoints that are tested by their own tables.
WAITING = "rollouts_to_threshold"
SPREAD = "spread of final"
COLUMNS = ["replicate", "start", "lineage", "endpoint", "arm", "twin", "difference"]
LEVEL = 0.95  # of every interval
NAN = float("nan")

# Means and deviations over replicates


class Spread(NamedTuple):
    """A standard deviation with its interval and degrees of freedom."""

    value: float
    low: float
    high: float
    df: int


def student_interval(values: ArrayLike, *, bounds: tuple[float, float] = intervals.FREE) -> Interval:
    """Return the mean of one number a replicate with Student's interval; NaN ends for fewer than two."""
    given = np.asarray(values, dtype=np.float64)
    if len(given) < 2:
        return Interval(float(given.mean()) if len(given) else NAN, NAN, NAN)
    mean = float(given.mean())
    return intervals.with_seeds(given[:, None], (mean, mean), LEVEL, bounds)


def deviation(values: ArrayLike, groups: Sequence[object] | None = None) -> Spread:
    """Return the standard deviation, inside `groups` and pooled where given, with its chi-square interval."""
    from scipy.stats import chi2

    given = np.asarray(values, dtype=np.float64)
    names = pd.Series(np.zeros(len(given)) if groups is None else list(groups))
    rest = given - pd.Series(given).groupby(names).transform("mean").to_numpy()
    df = len(given) - names.nunique()
    if df < 1:
        return Spread(NAN, NAN, NAN, 0)
    # sum of squares / sigma^2 is chi-square with df degrees of freedom.
    total = float((rest**2).sum())
    low, high = np.sqrt(total / chi2.ppf([(1 + LEVEL) / 2, (1 - LEVEL) / 2], df))
    return Spread(float(np.sqrt(total / df)), float(low), float(high), df)


def spread_table(endpoints: pd.DataFrame, twins: Mapping[str, str]) -> pd.DataFrame:
    """Return how far the replicates of each arm lie apart, and whether further than those of its control arm.

    By arm ``n``, ``sd, low, high`` of `final` (over replicates, starts among them), ``inside, inside_low,
    inside_high`` (between replicates of one start, pooled), and ``ratio, p``: deviation inside starts over
    the control arm's in the same replicates.
    """
    rows = {}
    for arm, trials in endpoints.groupby("arm", sort=False):
        whole = deviation(trials["final"])
        inside = deviation(trials["final"], list(trials["start_name"]))
        control = endpoints[endpoints["arm"] == twins.get(arm)]
        ratio, p = _pitman_morgan(trials, control)
        row = {"n": len(trials), "sd": whole.value, "low": whole.low, "high": whole.high}
        row |= {"inside": inside.value, "inside_low": inside.low, "inside_high": inside.high}
        rows[arm] = row | {"ratio": ratio, "p": p}
    return pd.DataFrame.from_dict(rows, orient="index")


def _pitman_morgan(ours: pd.DataFrame, theirs: pd.DataFrame) -> tuple[float, float]:
    """Ratio of the deviations inside starts, and p of no difference (Pitman 1939; Morgan 1939)."""
    from scipy.stats import t

    both = ours.merge(theirs, on=["replicate", "start_name"], suffixes=("", "_twin"))
    columns = ["final", "final_twin"]
    rest = both[columns] - both.groupby("start_name")[columns].transform("mean")
    # Each start's mean costs a degree of freedom.
    free = len(both) - both["start_name"].nunique() - 1
    if free < 1:
        return NAN, NAN
    a, b = rest.to_numpy(dtype=np.float64).T
    # cov(a + b, a - b) = var(a) - var(b): equal variances are an uncorrelated sum and difference.
    total = a + b
    gap = a - b
    if not all((values**2).sum() for values in (a, b, total, gap)):
        return NAN, NAN
    correlation = float((total * gap).sum() / np.sqrt((total**2).sum() * (gap**2).sum()))
    statistic = abs(correlation) * np.sqrt(free / max(1 - correlation**2, 1e-300))
    return float(np.sqrt((a**2).sum() / (b**2).sum())), float(2 * t.sf(statistic, free))


# Paired contrasts


def paired_endpoints(records: Records, arm: str, twin: str, *, threshold: float = THRESHOLD) -> pd.DataFrame:
    """Return every endpoint of an arm and of its control arm, in the replicates that hold both."""
    return _paired_endpoints(records, arm, twin, threshold).copy()


@lru_cache(maxsize=256)
def _paired_endpoints(records: Records, arm: str, twin: str, threshold: float) -> pd.DataFrame:
    ours = records.of(arm)
    theirs = records.of(twin)
    rows = []
    for replicate in sorted(set(ours) & set(theirs)):
        pair = ours[replicate], theirs[replicate]
        # Both are judged at the same budget: where one used more, both curves are cut where the other ends.
        ends = {
            "rollouts": min(trial["curve"][-1]["rollouts"] for trial in pair),
            "paid": min(trial["curve"][-1]["rollouts"] + trial.get("probe_rollouts", 0) for trial in pair),
            "tokens": min(trial["curve"][-1][columns_of(trial)["tokens"]] for trial in pair),
        }
        a, b = (endpoints_of(trial, ends=ends, threshold=threshold) for trial in pair)
        named = {"replicate": replicate, "start": start_name(pair[0]), "lineage": lineage(pair[0])}
        rows += [
            named | {"endpoint": name, "arm": a[name], "twin": b[name], "difference": a[name] - b[name]}
            for name in a
        ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _differences(records: Records, pair: Pair) -> pd.DataFrame:
    table = paired_endpoints(records, *pair)
    return table[table["endpoint"] == PRIMARY_ENDPOINT].set_index("replicate")


def _judged(table: pd.DataFrame) -> dict[str, float]:
    return judged(table["difference"], table["start"], table["lineage"], margin=MARGIN)


def judged(
    differences: ArrayLike, starts: Sequence[object], lineages: Sequence[object], *, margin: float
) -> dict[str, float]:
    """Return what one set of paired differences says; `lineages` are the SFT runs that the starts come from.

    ``n, value, low, high`` (Student over replicates), ``p`` (paired t), ``p_signs`` (exact flips of signs),
    ``p_equivalent`` (two one-sided tests), ``sd, sd_low, sd_high``, ``starts``, ``between, within``
    (deviations between SFT runs and inside them), ``seeds, seeds_low, seeds_high`` (Student with an SFT run
    as the unit) and ``wins`` (share of replicates in which the arm is ahead, ties a half). NaN where it
    cannot be known from so few; a margin that is not above 0 is refused.
    """
    from scipy.stats import ttest_1samp

    if not margin > 0:
        raise InputError("margin", margin, "must be above 0", "name the largest difference that is none")
    table = pd.DataFrame({"gap": differences, "start": list(starts), "lineage": list(lineages)})
    table = table[np.isfinite(table["gap"].astype(np.float64))]
    gaps = table["gap"].to_numpy(dtype=np.float64)
    mean = student_interval(gaps)
    sd = deviation(gaps)

    p = p_signs = p_equivalent = wins = NAN
    if len(gaps) > 1:
        zeros = np.zeros(len(gaps))
        p_signs = significance.permutation_test(zeros, gaps).p
        if gaps.std() >= 1e-12:  # without spread there are no t-tests
            p = float(ttest_1samp(gaps, 0.0).pvalue)
            p_equivalent = significance.equivalence_test(zeros, gaps, margin=margin)
        wins = float(((gaps > 0) + 0.5 * (gaps == 0)).mean())

    # Checkpoints of one SFT run are not several runs: the mean over them is one number. The stopping point is
    # a fixed factor: each counts alike in its run.
    by_start = table.groupby(["lineage", "start"], sort=False)["gap"].mean()
    by_run = student_interval(by_start.groupby("lineage", sort=False).mean())
    between, within = _components(gaps, table["lineage"].to_numpy())
    return {
        **{"n": len(gaps), "value": mean.value, "low": mean.low, "high": mean.high},
        **{"p": p, "p_signs": p_signs, "p_equivalent": p_equivalent},
        **{"sd": sd.value, "sd_low": sd.low, "sd_high": sd.high},
        **{"starts": table["start"].nunique(), "between": between, "within": within},
        **{"seeds": table["lineage"].nunique(), "seeds_low": by_run.low, "seeds_high": by_run.high},
        "wins": wins,
    }


def _components(gaps: np.ndarray, runs: np.ndarray) -> tuple[float, float]:
    """Deviations between SFT runs and inside them, by a one-way analysis of variance."""
    groups = [gaps[runs == name] for name in dict.fromkeys(runs)]
    if len(groups) < 2 or min(map(len, groups)) < 2:
        return NAN, NAN
    within = deviation(gaps, list(runs)).value ** 2
    # Groups of unequal size: their harmonic mean.
    size = len(groups) / sum(1 / len(group) for group in groups)
    means = [group.mean() for group in groups]
    between = significance.variance_components(means, [within] * len(groups), k=size).problems
    return float(np.sqrt(between)), float(np.sqrt(within))


def pairs_of(records: Records) -> list[Pair]:
    """Return the contrasts of a study: every arm with its control arm, its primaries, those of `FURTHER`."""
    named = (*records.primaries, *FURTHER)
    known = [(arm, twin) for arm, twin in named if records.of(arm) and records.of(twin)]
    return list(dict.fromkeys([*records.twins().items(), *known]))


def compared_of(records: Records) -> tuple[str, ...]:
    """Return the endpoints that are tested beside the primary one."""
    own = tuple(name for name in ("gap", "macro", "worst") if records.measures(name))
    names = (PRIMARY_ENDPOINT, *COMPARED, *own)
    return tuple(name for name in names if name != records.primary_endpoint)


def process_of(records: Records) -> tuple[str, ...]:
    """Return the endpoints of the process that the records hold."""
    more = (PROBED,) if records.probed and records.primary_endpoint != PROBED else ()
    return (*PROCESS, *more)


def contrast_table(
    records: Records, pairs: Sequence[Pair] | None = None, *, endpoints: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return one row a contrast and endpoint; no p-value is corrected yet (`study_tests` does).

    Default: `pairs_of` in the study's primary endpoint. Columns ``contrast, arm, twin, endpoint, primary``
    (of the study's own, in that endpoint alone) and those of `judged`; pairs without a common replicate are
    left out.
    """
    rows = []
    endpoints = (records.primary_endpoint,) if endpoints is None else endpoints
    for arm, twin in pairs_of(records) if pairs is None else dict.fromkeys(pairs):
        table = paired_endpoints(records, arm, twin)
        for endpoint in endpoints if len(table) else ():
            same = table[table["endpoint"] == endpoint]
            primary = endpoint == records.primary_endpoint and (arm, twin) in records.primaries
            rows.append(_named(arm, twin, endpoint) | {"primary": primary} | _judged(same))
    return pd.DataFrame(rows)


def _named(arm: str, twin: str, endpoint: str) -> dict[str, object]:
    named = {"contrast": f"{arm} - {twin}", "arm": arm, "twin": twin}
    return named | {"endpoint": endpoint, "primary": False}


def interaction_table(records: Records) -> pd.DataFrame:
    """Return the difference of two paired differences for each of `INTERACTIONS` that has two replicates."""
    rows = []
    for changed, usual in INTERACTIONS:
        here, there = (_differences(records, pair) for pair in (changed, usual))
        both = here.index.intersection(there.index)
        if len(both) > 1:
            table = here.loc[both].copy()
            table["difference"] -= there.loc[both, "difference"]
            arm, twin = (f"({pair[0]} - {pair[1]})" for pair in (changed, usual))
            rows.append(_named(arm, twin, PRIMARY_ENDPOINT) | _judged(table))
    return pd.DataFrame(rows)


# Families of problems


def family_table_of(families: pd.DataFrame, pairs: Sequence[Pair]) -> pd.DataFrame:
    """Return contrasts in `auc` over `family_table`'s families: ``contrast, family, n, value, low, high``.

    One row a family (Student over replicates), ``IQM`` (interquartile mean), ``IQM by replicate`` and
    ``ahead``: share of pairs (replicate, family) in which the arm is ahead, ties a half, over replicates.
    """
    wide = families.pivot_table(index=["arm", "replicate"], columns="family", values="auc")
    known = set(wide.index.get_level_values("arm"))
    rows = []
    for arm, twin in pairs:
        if not {arm, twin} <= known:
            continue
        gaps = (wide.loc[arm] - wide.loc[twin]).dropna()
        if len(gaps) < 2:
            continue
        estimates = {name: student_interval(gaps[name]) for name in gaps}
        # As in rliable: all differences in one pool, families as strata that count as independent.
        estimates["IQM"] = intervals.interquartile_interval(list(gaps.to_numpy().T))
        # Families of one replicate share a training: one number a replicate makes no such assumption.
        of_replicates = np.apply_along_axis(intervals.interquartile_mean, 1, gaps)
        estimates["IQM by replicate"] = student_interval(of_replicates)
        estimates["ahead"] = intervals.mean_interval(((gaps > 0) + 0.5 * (gaps == 0)).mean(axis=1))
        named = {"contrast": f"{arm} - {twin}", "n": len(gaps)}
        rows += [named | {"family": name} | estimate._asdict() for name, estimate in estimates.items()]
    return pd.DataFrame(rows, columns=["contrast", "family", "n", "value", "low", "high"])


# Verdicts in words


def verdict(
    low: float, high: float, adjusted: float, p_equivalent: float, *, level: float = LEVELS["primary"]
) -> str:
    """Return in words what a contrast says, with its corrected p judged at `level`."""
    small = p_equivalent < LEVELS["equivalence"]
    size = f"{100 * MARGIN:g} point" + "s" * (MARGIN != 0.01)
    # The interval has to leave zero out too: corrected at ten per cent, it may hold zero.
    if adjusted < level and not low <= 0 <= high:
        direction = "better" if low + high > 0 else "worse"
        return f"{direction}, by less than {size}" if small else direction
    if small:
        return f"no difference larger than {size}"
    return "inconclusive"


def reading(low: float, high: float, expected: int, p_equivalent: float, p: float = 0.0) -> str:
    """Return in words what an interval says of a cause that, if it matters, has the sign `expected`."""
    small = p_equivalent < LEVELS["equivalence"]
    # A corrected p that is NaN reads nothing.
    if (low > 0 or high < 0) and p < LEVELS["other"]:
        sign = 1 if low > 0 else -1
        text = {0: "differs", sign: "as expected", -sign: "opposite"}[expected]
        return text + (", within the margin" if small else "")
    return "within the margin" if small else "cannot tell"


# What part of an effect does the work


class Cause(NamedTuple):
    """A possible cause of an effect, the two arms that differ in it, and the sign it would give them."""

    name: str
    pair: Pair
    differs: str
    sign: int


def causes_of(order: str = "hammer") -> list[Cause]:
    """Return the causes that the protocol names for DRA, or for an order."""
    names = {"order": order, "random": "random"}
    causes = [Cause(**cause) for cause in PROTOCOL["causes"]["dra" if order == "dra" else "hammer"]]
    return [
        cause._replace(pair=(cause.pair[0].format(**names), cause.pair[1].format(**names)))
        for cause in causes
    ]


def decomposition_table(
    records: Records, order: str = "hammer", *, adjusted: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Return cause by cause which contrast tells of it, its estimate, and what it would be if it mattered.

    `order` is the arm whose effect is taken apart; `adjusted` are corrected p-values by contrast. First row
    ``whole effect``, then the causes whose arms are there: ``cause, contrast, differs, n, value, low, high,
    p`` (not corrected), ``whole, whole_low, whole_high, whole_n`` (the whole effect in the row's own
    replicates), ``expected`` (the sign if the cause carried the whole effect; ``?`` where that is not told
    from none or no sign follows) and ``reading``.
    """
    whole = _differences(records, (order, "random"))
    if whole.empty:
        return pd.DataFrame()
    effect = _judged(whole)
    whole_sign = int(effect["low"] > 0) - int(effect["high"] < 0)
    rows = []
    first = Cause("whole effect", (order, "random"), f"{order} against random", 0)
    # Causes overlap and need not add up: an order changes front, neighbours and batches at once.
    for cause in (first, *causes_of(order)):
        table = _differences(records, cause.pair)
        if table.empty:
            continue
        contrast = " - ".join(cause.pair)
        expected = whole_sign * cause.sign
        p = 0.0 if adjusted is None else adjusted.get(contrast, NAN)
        own = _judged(table)
        # Compared with the whole effect of its own replicates: the others have other starts.
        there = _judged(whole[whole.index.isin(table.index)])
        rows.append(
            {
                **{"cause": cause.name, "contrast": contrast, "differs": cause.differs},
                **{column: own[column] for column in ("n", "value", "low", "high", "p")},
                **{"whole": there["value"], "whole_low": there["low"], "whole_high": there["high"]},
                **{"whole_n": there["n"], "expected": {1: "+", -1: "-", 0: "?"}[expected]},
                "reading": reading(own["low"], own["high"], expected, own["p_equivalent"], p),
            }
        )
    return pd.DataFrame(rows)


# Time to a threshold


def crossing_times(
    records: Records, arm: str, *, axis: str = "rollouts", threshold: float = THRESHOLD
) -> list[Crossing]:
    """Return when an arm's replicates first reach the threshold, or that they do not before their end."""
    return [crossing(curve_of(trial, axis=axis), threshold) for trial in records.of(arm).values()]


def survival_steps(times: Sequence[Crossing]) -> tuple[np.ndarray, np.ndarray]:
    """Return the Kaplan-Meier share that has not reached the threshold: places from 0, share from each on."""
    from scipy.stats import CensoredData, ecdf

    # a curve that ends below the threshold is censored there: it might have reached it later
    censored = [not first.reached for first in times]
    curve = ecdf(CensoredData.right_censored([first.at for first in times], censored)).sf
    return np.append(0.0, curve.quantiles), np.append(1.0, curve.probabilities)


def threshold_table(
    records: Records, *, axis: str = "rollouts", threshold: float = THRESHOLD
) -> pd.DataFrame:
    """Return how soon each arm reaches the threshold on ``rollouts`` or ``step``, and how much sooner.

    By arm ``n, reached`` (replicates), ``mean, low, high`` (restricted mean, Student over replicates),
    ``median`` (Kaplan-Meier; NaN where fewer than half reach it), and over the replicates that hold the
    control arm too ``pairs``, ``sooner, sooner_low, sooner_high`` (its restricted time less the arm's at
    equal budget) and ``p`` (flips of their signs; NaN where no curve of either reaches it). Sources: Kaplan &
    Meier 1958; Royston & Parmar 2013 (restricted mean).
    """
    rows = {}
    controls = records.twins()
    column = "steps_to_threshold" if axis == "step" else "rollouts_to_threshold"
    for arm in records.arms:
        times = crossing_times(records, arm, axis=axis, threshold=threshold)
        # All are censored at the end of the same budget, so that the area under the Kaplan-Meier curve up to
        # there is the plain mean of the restricted times.
        mean = student_interval([first.at for first in times], bounds=(0.0, np.inf))
        places, left = survival_steps(times)
        half = np.flatnonzero(left <= 0.5)
        row = {"n": len(times), "reached": sum(first.reached for first in times)}
        row |= {"mean": mean.value, "low": mean.low, "high": mean.high}
        row["median"] = float(places[half[0]]) if len(half) else NAN

        p = NAN
        gaps = np.zeros(0)
        if arm in controls:
            pairs = paired_endpoints(records, arm, controls[arm], threshold=threshold)
            gaps = -pairs.loc[pairs["endpoint"] == column, "difference"].to_numpy()
            reached = pairs.loc[pairs["endpoint"] == "reached", ["arm", "twin"]].to_numpy().any()
            # With no crossing at all the test does not exist.
            if reached and len(gaps) > 1:
                p = significance.permutation_test(np.zeros(len(gaps)), gaps).p
        sooner = student_interval(gaps)
        row |= {"pairs": len(gaps), "sooner": sooner.value, "sooner_low": sooner.low}
        rows[arm] = row | {"sooner_high": sooner.high, "p": p}
    return pd.DataFrame.from_dict(rows, orient="index")


# All tests of a study, corrected for their number


def study_tests(records: Records) -> pd.DataFrame:
    """Return every test that the page of a study shows, p-values corrected for their number.

    Holm over the primary contrasts; Benjamini and Hochberg over all the others together, arms and endpoints.
    Columns of `contrast_table` (NaN where a test has none), ``kind`` (``contrast``, ``cause``,
    ``interaction``, ``threshold`` or ``spread``), ``adjusted`` and ``correction``.
    """
    return _study_tests(records).copy()


@lru_cache(maxsize=16)
def _study_tests(records: Records) -> pd.DataFrame:
    if not records.cells:
        return pd.DataFrame()
    pairs = pairs_of(records)
    endpoints = (records.primary_endpoint, *compared_of(records), *process_of(records))
    main = contrast_table(records, pairs, endpoints=endpoints)
    parts_of_effects = []
    for order in ("hammer", "dra"):
        parts_of_effects += [(order, "random"), *(cause.pair for cause in causes_of(order))]
    causes = [pair for pair in dict.fromkeys(parts_of_effects) if pair not in pairs]

    def against_controls(table: pd.DataFrame, endpoint: str) -> pd.DataFrame:
        twins = records.twins().items()
        return pd.DataFrame([_named(arm, twin, endpoint) | {"p": table.loc[arm, "p"]} for arm, twin in twins])

    spreads = spread_table(endpoint_table(records), records.twins())
    kinds = {
        "contrast": main,
        "cause": contrast_table(records, causes),
        "interaction": interaction_table(records),
        "threshold": against_controls(threshold_table(records), WAITING),
        "spread": against_controls(spreads, SPREAD),
    }
    tables = [table.assign(kind=kind) for kind, table in kinds.items() if len(table)]
    if not tables:
        return main
    return corrected(_counted_once(records, pd.concat(tables)).reset_index(drop=True))


def _counted_once(records: Records, tests: pd.DataFrame) -> pd.DataFrame:
    """The tests without those that are another one under a second name.

    ``auc_paid`` where both arms probed the start alike is ``auc``; so is the share of groups without variance
    after adjustment where neither arm adjusts.
    """
    probed = records.table.groupby("arm")["probe_rollouts"].max()
    paid = tests["arm"].map(probed).fillna(0) != tests["twin"].map(probed).fillna(0)
    adjusting = set()
    for trial in records.cells:
        adjustment = trial["settings"].get("train", {}).get("adjustment", "none")
        if adjustment != "none" or adjusts_advantages(trial):
            adjusting.add(trial["arm"])
    changed = tests["arm"].isin(adjusting) | tests["twin"].isin(adjusting)
    endpoint = tests["endpoint"]
    return tests[((endpoint != "auc_paid") | paid) & ((endpoint != ADJUSTED) | changed)]


def corrected(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of tests (``primary``, ``p``) with ``adjusted`` p-values and the ``correction`` used."""
    table = table.assign(adjusted=NAN, correction="")
    if not {"primary", "p"} <= set(table.columns):
        return table
    others = (False, "Benjamini-Hochberg", significance.benjamini_hochberg)
    rules = ((True, "Holm", significance.holm), others)
    for primary, name, rule in rules:
        family = table["primary"] == primary
        tested = family & table["p"].notna()
        table.loc[family, "correction"] = name
        if tested.any():
            table.loc[tested, "adjusted"] = rule(table.loc[tested, "p"].to_numpy(dtype=float))
    return table


def main_contrasts(tests: pd.DataFrame, endpoint: str = PRIMARY_ENDPOINT) -> pd.DataFrame:
    """Return the contrasts of arms with their control arms in one endpoint, from `study_tests`."""
    if tests.empty:
        return tests
    kept = (tests["kind"] == "contrast") & (tests["endpoint"] == endpoint)
    # Other tests have none of these, which made them floats.
    whole = {"n": int, "starts": int, "seeds": int, "primary": bool}
    return tests[kept].reset_index(drop=True).astype(whole)


def of_kind(tests: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return the tests of one kind, from `study_tests`."""
    return tests if tests.empty else tests[tests["kind"] == kind].reset_index(drop=True)


def adjusted_of(tests: pd.DataFrame, endpoint: str = PRIMARY_ENDPOINT) -> dict[str, float]:
    """Return the corrected p of each contrast in one endpoint, from `study_tests`."""
    if tests.empty:
        return {}
    tested = tests[tests["endpoint"] == endpoint]
    return dict(zip(tested["contrast"], tested["adjusted"], strict=True))
