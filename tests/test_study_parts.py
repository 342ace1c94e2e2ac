"""What takes effects apart, and what the head of a page says: DRA's causes, interactions, arms, orders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study_records import grid

from hammerlib.errors import InputError
from hammerlib.study.contrasts import (
    ADJUSTED,
    GRADED,
    PROCESS,
    adjusted_of,
    decomposition_table,
    interaction_table,
    of_kind,
    paired_endpoints,
    study_tests,
)
from hammerlib.study.endpoints import endpoints_of
from hammerlib.study.pages import BY_RUN, arm_list, design_lines, order_list, shown_endpoints, study_page
from hammerlib.study.plan import Study, cells, read_study
from hammerlib.study.records import Records, collected

MAIN = Path(__file__).resolve().parents[1] / "configs" / "study" / "main.yaml"
ARMS = {"random": 0.0, "hammer": -0.2, "random-k32": 0.0, "hammer-k32": 0.0, "dra": -0.2, "dra-placebo": -0.2}
TWINS = {"hammer-k32": "random-k32"}


@pytest.fixture(scope="module")
def records() -> Records:
    """The order harms at eight prompts a step and not at 32; DRA harms as its placebo does."""
    found = grid(ARMS, replicates=8)
    return collected([one | {"twin": TWINS.get(one["arm"], "random")} for one in found])


@pytest.fixture(scope="module")
def tests(records: Records) -> pd.DataFrame:
    """All its tests."""
    return study_tests(records)


def test_an_interaction_is_the_difference_of_two_paired_differences(records: Records) -> None:
    table = interaction_table(records).set_index("contrast")
    row = table.loc["(hammer-k32 - random-k32) - (hammer - random)"]
    gaps = [paired_endpoints(records, *pair).query("endpoint == 'auc'").set_index("replicate")["difference"]
            for pair in (("hammer-k32", "random-k32"), ("hammer", "random"))]  # fmt: skip
    assert row["value"] == pytest.approx((gaps[0] - gaps[1]).mean()) and row["n"] == 8
    assert row["low"] > 0 and len(table) == 1, "the harm is gone at 32"


def test_interactions_are_corrected_with_all_other_tests(tests: pd.DataFrame) -> None:
    row = of_kind(tests, "interaction").iloc[0]
    assert row["correction"] == "Benjamini-Hochberg" and row["adjusted"] >= row["p"]


def test_dra_is_taken_apart_beside_its_own_effect_in_the_same_replicates() -> None:
    found = grid({"random": 0.0, "dra": -0.2, "dra-placebo": -0.2}, replicates=8)
    few = collected([one for one in found if one["arm"] != "dra-placebo" or one["replicate"] < 5])
    table = decomposition_table(few, "dra").set_index("cause")
    assert list(table.index) == ["whole effect", "its numbers alone", "which completion gets which"]
    assert table.loc["its numbers alone", "reading"].startswith("as expected")
    assert table["n"].tolist() == [8, 5, 5] and table["whole_n"].tolist() == [8, 5, 5]
    assert ("dra-placebo - random") not in set(of_kind(study_tests(few), "cause")["contrast"]), (
        "it is a contrast"
    )


def test_a_reading_needs_the_corrected_p(records: Records, tests: pd.DataFrame) -> None:
    plain = decomposition_table(records, "dra").set_index("cause")
    corrected = decomposition_table(records, "dra", adjusted=adjusted_of(tests)).set_index("cause")
    never = decomposition_table(records, "dra", adjusted={}).set_index("cause")
    assert plain.loc["its numbers alone", "reading"] == corrected.loc["its numbers alone", "reading"]
    assert set(never["reading"]) <= {"cannot tell", "within the margin"}


def test_process_is_tested_and_what_is_twice_the_same_only_once(
    records: Records, tests: pd.DataFrame
) -> None:
    assert set(PROCESS) - {ADJUSTED} <= set(tests["endpoint"])
    assert ADJUSTED not in set(tests["endpoint"]), "no reward is adjusted in these records"
    changed = json.loads(json.dumps(list(records.cells)))
    for one in changed:
        log, ours = one["training"], one["arm"] == "dra"
        log["zero_variance_share"] = [0.5] * 20
        log[ADJUSTED] = [0.4 if ours else 0.5] * 20
        one["settings"]["train"] = {"adjustment": "dra" if ours else "none"}
    found = study_tests(collected(changed))
    assert found[found["endpoint"] == ADJUSTED]["arm"].unique().tolist() == ["dra"]
    assert len(found[found["endpoint"] == GRADED]) > 1


def test_a_bonus_behind_the_telemetry_has_no_adjusted_share(records: Records) -> None:
    cell = json.loads(json.dumps(records.cells[0]))
    cell["training"][ADJUSTED] = [0.5] * 20
    assert endpoints_of(cell)[ADJUSTED] == 0.5
    cell["settings"]["bonus"] = {"name": "permuted-rewards"}
    assert np.isnan(endpoints_of(cell)[ADJUSTED])


def test_an_interval_that_few_runs_do_not_bear_out_is_marked(tests: pd.DataFrame) -> None:
    kept = tests[tests["contrast"].eq(tests["contrast"].iloc[0]) & tests["endpoint"].isin(["auc", "final"])]
    ends = kept.assign(n=6, value=0.02, low=0.01, high=0.03, seeds_high=0.04, adjusted=0.04)
    marked = [shown_endpoints(ends.assign(seeds_low=low), ["final"]).count(BY_RUN) for low in (-0.01, 0.01)]
    assert marked == [1, 0]


def test_the_start_tells_its_strategies_too(records: Records) -> None:
    cell = json.loads(json.dumps(records.cells[0]))
    cell["curve"][0]["strategies"] = {"columns": 5, "tens": 5}
    assert endpoints_of(cell)["strategies_start"] == pytest.approx(2.0)
    cell["curve"][0]["strategies"] = {}
    assert np.isnan(endpoints_of(cell)["strategies_start"])


def test_every_arm_of_the_committed_study_is_told_in_words() -> None:
    study = read_study(MAIN)
    assert set(study.words) == set(study.arms)
    assert all(10 < len(text) < 120 and "|" not in text for text in study.words.values())


def test_words_change_no_cell_and_name_arms_only() -> None:
    told = {"study": "s", "replicates": 1, "starts": {"backbone": "nano"}, "arms": {"random": {}}}
    plain, with_words = Study(**told), Study(**told, words={"random": "one shuffled pass"})
    assert cells(plain)[0].identity == cells(with_words.validate())[0].identity
    with pytest.raises(InputError, match=r"words = \['hammer'\]: are no arms"):
        Study(**told, words={"hammer": "x"}).validate()


def test_the_page_begins_with_model_problems_and_examinations(records: Records) -> None:
    arms = {arm: {} if arm == "random" else {"twin": TWINS.get(arm, "random")} for arm in ARMS}
    study = Study("hand", 8, {"seeds": [0, 1], "stops": [700]}, arms, words={"dra": "redundancy divides"})
    text = study_page(records, study)
    head = text.partition("## Arms")[0]
    assert "seeds 0 1, stopped after 700 steps, 10 parameters" in head and "(k = 8)" in head
    assert "about 32 of them of families that are trained on" in design_lines(study, records)
    assert "| dra | redundancy divides | random |" in text and "## What the arms are" in text
    assert [line.split(" | ")[0] for line in arm_list(study, records).splitlines()[2:]] == [
        f"| {arm}" for arm in ARMS
    ]


def test_orders_are_told_with_the_cosine_of_their_neighbours(records: Records) -> None:
    lines = order_list(records).splitlines()
    assert lines[2] == "| random | 8 | 0.800 | 0.900 | – |" and len(lines) == 2 + len(ARMS)
