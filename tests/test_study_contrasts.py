"""Contrasts, spreads, thresholds, families, causes, replicates needed: each computed in another way too."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from study_records import cell, grid

from hammerlib.errors import InputError
from hammerlib.study.contrasts import (
    COMPARED,
    SPREAD,
    WAITING,
    compared_of,
    contrast_table,
    decomposition_table,
    deviation,
    family_table_of,
    judged,
    main_contrasts,
    paired_endpoints,
    pairs_of,
    process_of,
    reading,
    spread_table,
    student_interval,
    study_tests,
    survival_steps,
    threshold_table,
)
from hammerlib.study.endpoints import Crossing, family_table
from hammerlib.study.pages import study_page
from hammerlib.study.power import (
    detectable,
    equivalence_power,
    planned_table,
    power_table,
    replicates_needed,
    seconds_of,
)
from hammerlib.study.records import Records, collected

GAPS = [0.012, 0.020, -0.004, 0.009, 0.001, 0.016]


@pytest.fixture(scope="module")
def study() -> Records:
    """Four arms, six replicates; dra is worse by ten points, hammer by none."""
    return collected(grid({"random": 0.0, "hammer": 0.0, "min-path": 0.0, "dra": -0.1, "extra": 0.1}))


def test_one_contrast_agrees_with_scipy() -> None:
    found = judged(GAPS, list("aabbcc"), list("aabbcc"), margin=0.02)
    test = stats.ttest_1samp(GAPS, 0)
    interval = test.confidence_interval()
    assert (found["low"], found["high"], found["p"]) == pytest.approx(
        (interval.low, interval.high, test.pvalue)
    )
    lower = stats.ttest_1samp(GAPS, -0.02, alternative="greater").pvalue
    upper = stats.ttest_1samp(GAPS, 0.02, alternative="less").pvalue
    assert found["p_equivalent"] == pytest.approx(max(lower, upper))
    flips = np.array(np.meshgrid(*[(-1, 1)] * 6)).reshape(6, -1).T @ np.array(GAPS)
    assert found["p_signs"] == pytest.approx(np.mean(np.abs(flips) >= sum(GAPS) - 1e-12))
    assert found["wins"] == pytest.approx(5 / 6) and found["n"] == 6 and found["starts"] == 3


def test_starts_as_the_unit_and_their_share_of_the_spread() -> None:
    found = judged(GAPS, list("aabbcc"), list("aabbcc"), margin=0.02)
    means = np.array(GAPS).reshape(3, 2).mean(axis=1)
    interval = stats.ttest_1samp(means, 0).confidence_interval()
    assert (found["seeds_low"], found["seeds_high"]) == pytest.approx((interval.low, interval.high))
    within = np.array(GAPS).reshape(3, 2).var(axis=1, ddof=1).mean()
    assert found["within"] == pytest.approx(np.sqrt(within))
    assert found["between"] == pytest.approx(np.sqrt(max(0, means.var(ddof=1) - within / 2)))


def test_checkpoints_of_one_supervised_run_are_one_unit() -> None:
    starts, runs = ["a1", "b1", "c1", "a2", "b2", "c2"], list("abcabc")
    found = judged(GAPS, starts, runs, margin=0.02)
    interval = stats.ttest_1samp(np.array(GAPS).reshape(2, 3).mean(axis=0), 0).confidence_interval()
    assert (found["seeds_low"], found["seeds_high"]) == pytest.approx((interval.low, interval.high))
    assert found["seeds"] == 3 and found["starts"] == 6
    # A run whose first checkpoint came twice: the stop is a fixed factor, it counts no more than the other.
    again = judged([*GAPS, GAPS[0]], [*starts, "a1"], [*runs, "a"], margin=0.02)
    assert (again["seeds_low"], again["seeds_high"]) == pytest.approx((interval.low, interval.high))
    one = judged(GAPS, ["smollm2"] * 6, ["smollm2"] * 6, margin=0.02)
    assert one["seeds"] == 1 and np.isnan(one["seeds_low"])


def test_too_few_replicates_give_no_interval_and_no_spread_no_test() -> None:
    one = judged([0.1], ["a"], ["a"], margin=0.01)
    assert (
        one["value"] == 0.1 and np.isnan([one[name] for name in ("low", "p", "sd", "wins", "between")]).all()
    )
    same = judged([0.1, 0.1], ["a", "b"], ["a", "b"], margin=0.01)
    assert np.isnan(same["p"]) and same["p_signs"] == 0.5 and same["sd"] == 0
    with pytest.raises(InputError, match="margin"):
        judged(GAPS, list("aabbcc"), list("aabbcc"), margin=0.0)


def test_arms_are_paired_by_replicate_and_judged_at_the_same_budget() -> None:
    long = [[1, 1, 1, 1, 0], [2, 2, 2, 2, 1], [3, 3, 3, 3, 2], [4, 4, 4, 4, 4]]
    found = collected([cell(), cell(replicate=1), cell("hammer", 0, long), cell("hammer", 2)], None)
    table = paired_endpoints(found, "hammer", "random").set_index("endpoint")
    assert set(table["replicate"]) == {0}
    assert table.loc["auc", "difference"] == table.loc["final", "difference"] == 0
    assert table.loc["pass@k", "difference"] == 0, "of the last checkpoint, each at its own end"


def test_a_probe_that_is_the_whole_budget_leaves_nothing_to_judge() -> None:
    found = collected([cell(), cell("window", probe_rollouts=200), cell("inside", probe_rollouts=200)])
    table = paired_endpoints(found, "window", "random").set_index("endpoint")
    assert np.isnan(table.loc["auc_paid", "difference"]) and table.loc["auc", "difference"] == 0
    both = paired_endpoints(found, "inside", "window").set_index("endpoint")
    assert both.loc["auc_paid", "difference"] == 0, "both paid the same, and both were trained"


def test_primaries_are_corrected_by_holm_and_all_the_rest_together(study: Records) -> None:
    tests = study_tests(study)
    table = main_contrasts(tests).set_index("contrast")
    assert table["primary"].to_dict() == {
        "hammer - random": True, "min-path - random": True, "dra - random": True, "extra - random": False,
        "min-path - hammer": False,
    }  # fmt: skip
    first = table[table["primary"]]["p"].sort_values()
    steps = np.maximum.accumulate(np.minimum(first.to_numpy() * [3, 2, 1], 1))
    assert np.allclose(table.loc[first.index, "adjusted"], steps)
    rest = tests[~tests["primary"].astype(bool) & tests["p"].notna()]
    assert np.allclose(rest["adjusted"], stats.false_discovery_control(rest["p"].astype(float)))
    assert set(rest["endpoint"]) == {"auc", *COMPARED, WAITING, SPREAD} - {"auc_paid", "greedy"}
    assert table["correction"].tolist() == ["Holm"] * 3 + ["Benjamini-Hochberg"] * 2


def test_a_test_that_two_tables_show_is_counted_once() -> None:
    arms = {"random": 0.0, "hammer": 0.1, "reversed": 0.0, "matched": 0.0}
    cells = grid(arms)
    for one in cells:
        one["probe_rollouts"] = 100 * (one["arm"] == "matched")
    tests = study_tests(collected(cells))
    assert not tests.duplicated(["contrast", "endpoint"]).any()
    paid = tests[tests["endpoint"] == "auc_paid"]
    assert paid["contrast"].tolist() == ["matched - random"], "elsewhere it is auc"
    causes = tests[tests["kind"] == "cause"]
    assert set(causes["contrast"]) == {"hammer - reversed", "hammer - matched"}, "matched - random is there"
    assert set(causes["endpoint"]) == {"auc"}


def test_ours_are_compared_with_what_they_are_made_of() -> None:
    arms = ("random", "hammer", "hammer-cooldown", "min-path-inside", "random-inside", "window")
    pairs = pairs_of(collected([cell(arm) for arm in arms]))
    for pair in (
        ("hammer-cooldown", "hammer"),
        ("min-path-inside", "random-inside"),
        ("min-path-inside", "window"),
    ):
        assert pair in pairs


def test_an_effect_that_is_there_is_found_and_none_is_not(study: Records) -> None:
    table = main_contrasts(study_tests(study)).set_index("contrast")
    assert table.loc["dra - random", "high"] < 0 and table.loc["dra - random", "adjusted"] < 0.01
    assert table.loc["dra - random", "wins"] == 0
    assert table.loc["hammer - random", "low"] < 0 < table.loc["hammer - random", "high"]


def test_deviations_have_their_chi_square_interval() -> None:
    values = np.random.default_rng(1).normal(size=12)
    found = deviation(values)
    assert found.value == pytest.approx(values.std(ddof=1)) and found.df == 11
    low, high = np.sqrt(11 * values.var(ddof=1) / stats.chi2.ppf([0.975, 0.025], 11))
    assert (found.low, found.high) == pytest.approx((low, high))
    shifted = values + np.repeat([0, 100], 6)
    assert deviation(shifted, ["a"] * 6 + ["b"] * 6).value < 2 and np.isnan(deviation([1.0]).value)
    assert np.isnan(student_interval([]).value)


def test_spread_inside_starts_is_compared_with_the_twins() -> None:
    rng, n = np.random.default_rng(2), 40
    table = pd.DataFrame({"arm": np.repeat(["wide", "narrow"], n), "replicate": [*range(n)] * 2})
    table["start_name"] = [str(one % 2) for one in table["replicate"]]
    table["final"] = np.append(rng.normal(0, 3, n), rng.normal(0, 1, n)) + 50 * (table["replicate"] % 2)
    found = spread_table(table, {"wide": "narrow"})
    assert 2 < found.loc["wide", "ratio"] < 5 and found.loc["wide", "p"] < 1e-4
    assert found.loc["wide", "sd"] > 20 > 4 > found.loc["wide", "inside"] and np.isnan(
        found.loc["narrow", "p"]
    )
    single = table.assign(start_name="one", final=np.append(rng.normal(size=n), rng.normal(size=n)))
    wide, narrow = (single[single["arm"] == arm]["final"].to_numpy() for arm in ("wide", "narrow"))
    morgan = stats.pearsonr(wide + narrow, wide - narrow).pvalue
    assert spread_table(single, {"wide": "narrow"}).loc["wide", "p"] == pytest.approx(morgan)


def test_replicates_that_never_reach_the_threshold_are_counted(study: Records) -> None:
    found = threshold_table(study, threshold=0.7)
    assert (found["n"] == 6).all() and found.loc["extra", "reached"] == 6 and found.loc["dra", "reached"] < 6
    assert found.loc["extra", "sooner"] > 0 > found.loc["dra", "sooner"]
    assert found.loc["extra", "p"] < 0.05 and np.isnan(found.loc["random", "sooner"])
    gaps = paired_endpoints(study, "extra", "random").set_index("endpoint").loc["rollouts_to_threshold"]
    gaps = gaps["difference"].to_numpy()
    flips = np.array(np.meshgrid(*[(-1, 1)] * 6)).reshape(6, -1).T @ gaps
    assert found.loc["extra", "p"] == pytest.approx(np.mean(np.abs(flips) >= abs(gaps.sum()) - 1e-9))
    none = threshold_table(study, threshold=1.0)
    assert (none["reached"] == 0).all() and (none["mean"] == 500).all() and none["median"].isna().all()
    assert none["p"].isna().all()
    steps = threshold_table(study, axis="step", threshold=1.0)
    assert (steps["mean"] == 50).all() and (steps["sooner"].drop("random") == 0).all()


def test_only_common_replicates_are_compared_in_time() -> None:
    cells = grid({"random": 0.0, "hammer": 0.1})
    fewer = [one for one in cells if one["arm"] == "random" or one["replicate"] in (0, 2, 4)]
    few, same = (
        threshold_table(collected(fewer)),
        threshold_table(collected([one for one in cells if one["replicate"] in (0, 2, 4)])),
    )
    kept = ["n", "reached", "mean", "sooner", "p", "pairs"]
    assert few.loc["hammer", kept].tolist() == same.loc["hammer", kept].tolist()
    assert few.loc["hammer", "pairs"] == 3 and few.loc["random", "n"] == 6


def test_the_restricted_mean_is_the_area_under_kaplan_and_meier() -> None:
    times = [Crossing(at, at < 5) for at in (1.0, 2.0, 2.0, 5.0, 5.0)]
    places, left = survival_steps(times)
    assert np.sum(np.diff(places) * left[:-1]) == pytest.approx(np.mean([1, 2, 2, 5, 5]))


def test_families_keep_their_rows_and_the_means_lie_between(study: Records) -> None:
    families = family_table(study)
    table = family_table_of(families, [("dra", "random"), ("gone", "random")]).set_index("family")
    assert set(table.index) == {"sums", "gaps", "story", "IQM", "IQM by replicate", "ahead"}
    whole = table.loc[["sums", "gaps", "story"], "value"]
    assert whole.min() <= table.loc["IQM", "value"] <= whole.max() < 0
    assert table.loc["ahead", "high"] < 0.5
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()


def test_how_often_an_arm_is_ahead_is_paired() -> None:
    # Starts lie far apart, the arm is always a little behind: unpaired it would seem ahead in half the pairs.
    rows = [
        {"arm": arm, "replicate": one, "family": family, "auc": 0.1 * one - 0.01 * (arm == "a")}
        for arm in "ab" for one in range(6) for family in ("sums", "gaps")
    ]  # fmt: skip
    found = family_table_of(pd.DataFrame(rows), [("a", "b")]).set_index("family").loc["ahead"]
    assert found["value"] == 0 and found["high"] < 0.5


def test_causes_are_read_off_the_arms_that_are_there() -> None:
    arms = {"random": 0.0, "hammer": -0.1, "reversed": -0.1, "batch-shuffled": 0.0, "matched": -0.1}
    table = decomposition_table(collected(grid(arms, replicates=8))).set_index("cause")
    assert table.index[0] == "whole effect" and table.loc["whole effect", "reading"] == "differs"
    readings = table["reading"].str.split(",").str[0]
    assert readings["sequence of batches"] == readings["length and pass rate"] == "as expected"
    assert readings["front"] == readings["batch make-up"] == "cannot tell"
    assert (table["expected"].iloc[1:] == "-").all() and "topic" not in table.index


def test_a_cause_is_compared_with_the_whole_effect_of_its_own_replicates() -> None:
    cells = grid({"random": 0.0, "hammer": -0.1, "reversed": 0.0}, replicates=8)
    early = [one for one in cells if one["arm"] != "reversed" or one["replicate"] < 3]
    table = decomposition_table(collected(early)).set_index("cause")
    first = collected([one for one in cells if one["replicate"] < 3])
    whole = contrast_table(first, [("hammer", "random")]).iloc[0]
    front = table.loc["front"]
    assert front["n"] == front["whole_n"] == 3 and table.loc["whole effect", "whole_n"] == 8
    assert (front["whole"], front["whole_low"]) == pytest.approx((whole["value"], whole["low"]))
    assert front["whole"] != table.loc["whole effect", "value"]


def test_without_a_whole_effect_no_sign_is_expected(study: Records) -> None:
    table = decomposition_table(study)
    assert table["expected"].tolist() == ["?"] and decomposition_table(study, "gone").empty


@pytest.mark.parametrize(
    ("ends", "expected", "told"),
    [
        ((0.01, 0.03, 0.9), 1, "as expected"),
        ((0.01, 0.03, 0.9), -1, "opposite"),
        ((-0.03, -0.01, 0.9), 0, "differs"),
        ((0.001, 0.008, 0.01), 1, "as expected, within the margin"),
        ((-0.008, 0.0101, 0.049), 1, "within the margin"),
        ((-0.02, 0.008, 0.051), 1, "cannot tell"),
        ((np.nan, np.nan, np.nan), 1, "cannot tell"),
    ],
)
def test_an_interval_is_put_into_words(ends: tuple[float, ...], expected: int, told: str) -> None:
    low, high, p_equivalent = ends
    assert reading(low, high, expected, p_equivalent) == told


def test_replicates_needed_are_the_fewest_that_do() -> None:
    for sd, wished in ((0.02, 0.01), (0.03, 0.005), (0.001, 0.02)):
        n = replicates_needed(sd, wished)
        widths = [stats.t.ppf(0.975, k - 1) * sd / np.sqrt(k) for k in (n, max(2, n - 1))]
        assert widths[0] <= wished and (n == 2 or widths[1] > wished)
    assert replicates_needed(0.0, 0.01) == 2
    for sd, wished in ((np.nan, 0.01), (0.02, 0.0), (1e6, 1e-6)):
        with pytest.raises(InputError):
            replicates_needed(sd, wished)


def test_the_power_table_counts_hours_of_both_arms_for_what_is_missing(study: Records) -> None:
    contrasts = contrast_table(study)
    table = power_table(contrasts, study, half_widths=(0.01,))
    assert len(table) == 5 and (table["low"] <= table["replicates"]).all()
    assert (table["replicates"] <= table["high"]).all() and (
        table["missing"] == table["replicates"] - 6
    ).all()
    assert np.allclose(table["hours"], table["missing"] * (10 + 10) / 3600)
    assert (power_table(contrasts, study, half_widths=(9.0,))["hours"] == 0).all()


def test_seconds_are_those_of_a_machine_left_alone() -> None:
    cells = [cell(replicate=one, seconds=seconds) for one, seconds in enumerate((60, 60, 300, 500, 90))]
    assert seconds_of(collected(cells), ["random"]) == 60


@pytest.mark.parametrize(("sd", "n"), [(0.02, 18), (0.5, 6), (1.0, 3)])
def test_the_detectable_difference_is_found_with_its_power(sd: float, n: int) -> None:
    edge, shift = stats.t.ppf(0.975, n - 1), detectable(sd, n) / sd * np.sqrt(n)
    found = stats.nct.sf(edge, n - 1, shift) + stats.nct.cdf(-edge, n - 1, shift)
    assert found == pytest.approx(0.8, abs=2e-4)


def test_the_power_to_show_a_zero_is_what_many_draws_say() -> None:
    rng, n, sd, margin = np.random.default_rng(0), 8, 0.012, 0.01
    drawn = rng.normal(0, sd, (40_000, n))
    error = drawn.std(axis=1, ddof=1) / np.sqrt(n)
    seen = np.mean(np.abs(drawn.mean(axis=1)) + stats.t.ppf(0.95, n - 1) * error < margin)
    assert equivalence_power(sd, n, margin=margin) == pytest.approx(seen, abs=0.01)
    assert equivalence_power(0.1, n) == 0


def test_the_plan_is_what_is_there_and_what_is_missing(study: Records) -> None:
    cells = [one for one in study.cells if one["replicate"] != 5 or one["arm"] != "dra"]
    plan = {(arm, one): f"{arm}-{one}" for arm in study.arms for one in range(9)}
    records = collected(cells, plan)
    table = planned_table(contrast_table(records, [("dra", "random")]), records).iloc[0]
    assert (table["n"], table["planned"]) == (5, 9)
    assert table["detectable_low"] < table["detectable"] == detectable(table["sd"], 9)
    assert table["equivalence_low"] <= table["equivalence"] <= table["equivalence_high"]


def probed(entropies: dict[str, float], **changed: object) -> list[dict]:
    """Cells with an entropy over fixed answers that falls to the arm's value, the same at the start."""
    cells = grid(dict.fromkeys(entropies, 0.0), **changed)
    for one in cells:
        last = entropies[one["arm"]] + 0.001 * (one["replicate"] % 3 - 1) * (one["arm"] != "random")
        for place, point in enumerate(one["curve"]):
            point["probe_entropy"] = 0.5 + (last - 0.5) * min(1.0, place / 4)
    return cells


def test_a_study_has_primaries_and_a_primary_endpoint_of_its_own() -> None:
    own = {"primaries": [["cure", "random"]], "primary_endpoint": "probe_entropy"}
    records = collected(probed({"random": 0.3, "cure": 0.35, "other": 0.301}, **own))
    tests = study_tests(records)
    primary = tests[tests["primary"].astype(bool)]
    assert list(primary["contrast"]) == ["cure - random"] and list(primary["correction"]) == ["Holm"]
    (row,) = main_contrasts(tests, "probe_entropy").query("primary").to_dict("records")
    assert row["value"] == pytest.approx(0.05)  # of the points in the last fifth: 4 and 5
    # What is the protocol's primary endpoint elsewhere is one of the others here.
    assert set(compared_of(records)) == {"auc", *COMPARED} and "probe_entropy" not in process_of(records)
    assert not main_contrasts(tests, "auc")["primary"].any()
    page = study_page(records)
    assert "Arm less control arm in `probe_entropy`, hundredths of a nat" in page
    assert "| **cure - random** | 6 | 5.0 [" in page and "| other - random | 6 | 0.1 [" in page
    assert "* `probe_entropy`:" in page and "* `probe_entropy`:" not in study_page(
        collected(grid({"random": 0.0}))
    )


def test_records_of_two_plans_are_refused() -> None:
    cells = probed({"random": 0.3, "cure": 0.35}, primaries=[["cure", "random"]])
    cells[0]["primaries"] = [["random", "cure"]]
    with pytest.raises(InputError, match=r"primaries = .*records of several plans"):
        collected(cells)


def test_entropies_are_compared_at_equal_tokens() -> None:
    short, long = probed({"random": 0.3, "cure": 0.3}, replicates=1)
    for point in long["curve"]:
        point["tokens"] *= 2
        point["probe_entropy"] = 0.5 - 1e-4 * point["tokens"] / 10
    table = paired_endpoints(collected([short, long]), "cure", "random").set_index("endpoint")
    # Cut where the shorter one ends, at 5,000 tokens: .45; the point before, at 4,000, has .46.
    assert table.loc["probe_entropy", "arm"] == pytest.approx(0.455)
