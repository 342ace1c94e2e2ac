"""Records of a study are read whole, or refused with the reason; endpoints are what a hand computes."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study_records import cell, grid

from hammerlib.errors import InputError
from hammerlib.runs.storage import sealed
from hammerlib.study.contrasts import paired_endpoints
from hammerlib.study.endpoints import (
    ENDPOINTS,
    Curve,
    area,
    crossing,
    curve_of,
    cut,
    drawdown,
    drawdown_of_noise,
    endpoint_table,
    endpoints_of,
    family_table,
    late_mean,
    point_errors,
)
from hammerlib.study.records import collected, filtered, lineage, pack_counts, read_records
from hammerlib.study.trial import write_record


def pair(**changed: object) -> list[dict]:
    """Two arms of one replicate, the second changed."""
    return [cell(), cell("hammer") | changed]


def test_a_folder_of_records_becomes_tables(tmp_path: Path) -> None:
    for record in grid({"random": 0.0, "hammer": 0.0}, replicates=2):
        (tmp_path / f"{record['arm']}__r{record['replicate']:02d}.json").write_text(json.dumps(record))
    found = read_records(tmp_path)
    assert found.arms == ["random", "hammer"] and found.missing.empty
    assert found.twins() == {"hammer": "random"}, "random has no twin but itself"
    assert len(found.table) == 4 and set(found.table["rollouts"]) == {500}


def test_a_cell_without_a_record_and_a_failed_one_are_missing() -> None:
    cells = [cell(), cell("hammer"), cell(replicate=1), cell("dra", 1, status="error", error="killed")]
    found = collected(cells)
    told = {(row.arm, row.replicate): row.reason for row in found.missing.itertuples()}
    assert told == {("dra", 0): "no record", ("dra", 1): "killed"}, "hammer may have one replicate only"
    holes = collected([*cells, cell("hammer", 2)]).missing
    assert holes[["arm", "replicate"]].values.tolist() == [["hammer", 1], ["dra", 0], ["dra", 1]]
    plan = {(arm, 0): f"{arm}-0" for arm in ("random", "hammer", "dra")}
    assert collected(cells[:2], plan).missing["arm"].tolist() == ["dra"]


def test_a_cell_of_other_settings_than_the_plans_is_left_out_and_told() -> None:
    plan = {("random", 0): "random-0", ("hammer", 0): "changed"}
    found = collected(pair(), plan)
    assert found.missing.values.tolist() == [["hammer", 0, "of other settings"]] and found.arms == ["random"]
    assert len(collected(pair()).cells) == 2, "without a plan there is nothing to differ from"


def test_a_cell_that_the_plan_does_not_hold_is_refused() -> None:
    with pytest.raises(InputError, match="no cell of the plan"):
        collected(pair(), {("random", 0): "random-0"})


def test_a_cell_that_stands_there_twice_is_refused() -> None:
    with pytest.raises(InputError, match="two records"):
        collected([cell(), cell()])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("problems", "others"),
        ("held_out", "others"),
        ("start", {"seed": 0, "stop": 950, "weights": "v"}),
        ("packages", {"torch": "2"}),
        ("topics", ["sums"] * 5),
        ("unseen", []),
    ],
)
def test_arms_of_a_replicate_that_are_not_paired_are_refused(field: str, value: object) -> None:
    with pytest.raises(InputError, match=f"replicate 0: {field}.*not paired"):
        collected(pair(**{field: value}))


def test_arms_that_differ_before_training_are_refused_by_name() -> None:
    odd = cell("hammer", 0, [[4, 1, 1, 1, 0], [2, 2, 2, 2, 1], [3, 3, 3, 3, 2]])
    with pytest.raises(
        InputError, match=r"curve\[0\]\.correct = \['hammer__r00'\].*not paired; run them anew"
    ):
        collected([cell(), odd, cell("dra")])
    # Kernels of a GPU need not repeat to the last bit.
    cuda = [one | {"packages": {"torch": "2.13.0+cu130"}} for one in (cell(), odd, cell("dra"))]
    assert len(collected(cuda).cells) == 3


def test_an_arm_with_two_settings_or_twins_or_studies_is_refused() -> None:
    other = cell("hammer", 1)
    with pytest.raises(InputError, match=r"hammer: train.*settings differ"):
        collected([*pair(), other | {"settings": other["settings"] | {"train": {"order": "x"}}}])
    with pytest.raises(InputError, match="twins differ"):
        collected([*pair(), other | {"twin": "dra"}])
    with pytest.raises(InputError, match="several studies"):
        collected(pair(study="another"))


def test_a_failed_cell_of_other_settings_does_not_count() -> None:
    found = collected([*pair(), cell("hammer", 1, status="error", error="x", settings={})])
    assert len(found.cells) == 2


@pytest.mark.parametrize("text", ["{", "[]", '{"arm": "a"}', '{"schema_version": 2, "arm": "a", '
                                  '"replicate": 0, "status": "success"}'])  # fmt: skip
def test_a_file_that_is_no_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.json").write_text(text)
    with pytest.raises(InputError, match=r"odd\.json"):
        read_records(tmp_path)


def test_checkpoints_of_one_supervised_run_share_a_lineage() -> None:
    early, late = cell(), cell(start={"seed": 0, "stop": 950, "weights": "v"})
    assert lineage(early) == lineage(late) == "seed 0" and not filtered(early)
    assert lineage(cell(start={"backbone": "smollm2-135m", "weights": "s"})) == "smollm2-135m"


def test_an_empty_folder_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="hammer sweep"):
        read_records(tmp_path)


# Counts as digits, and tokens as they were counted


def test_counts_are_written_as_digits_and_read_as_lists_old_records_too(tmp_path: Path) -> None:
    record = cell()
    whole = json.dumps(record)
    write_record(tmp_path / "random__r00.json", record)
    assert json.dumps(record) == whole  # the record in memory stays
    kept = json.loads((tmp_path / "random__r00.json").read_text())
    assert kept["curve"][1]["correct"] == "22221" and kept["final"]["greedy"] == "11100"
    assert len(json.dumps(kept["final"])) < len(json.dumps(record["final"]))
    again = read_records(tmp_path).cells[0]
    assert {name: again[name] for name in record} == record
    old = cell(replicate=1)
    (tmp_path / "random__r01.json").write_text(json.dumps(sealed(old)))
    both = read_records(tmp_path)
    assert endpoints_of(both.cells[1]) == pytest.approx(endpoints_of(both.cells[0]), nan_ok=True)
    first, second = ([point["correct"] for point in trial["curve"]] for trial in both.cells)
    assert first == second


@pytest.mark.parametrize("digits", ["2222", "2222x", "22²21", ""])
def test_digits_that_are_none_or_too_few_are_no_record(digits: str, tmp_path: Path) -> None:
    record = cell()
    record["curve"][1]["correct"] = digits
    (tmp_path / "random__r00.json").write_text(json.dumps(sealed(record)))
    with pytest.raises(InputError, match="is no record of a cell"):
        read_records(tmp_path)


def test_counts_above_nine_stay_a_list() -> None:
    record = cell()
    record["final"]["correct"] = [10, 0, 1, 2, 3]
    packed = pack_counts(record)
    assert packed["final"]["correct"] == [10, 0, 1, 2, 3] and packed["final"]["greedy"] == "11100"


def sampled(trial: dict, each: int = 300) -> dict:
    for point in trial["curve"]:
        point["sampled_tokens"] = point["step"] * each
    return trial


def test_the_token_axis_is_of_sampled_tokens_where_the_record_holds_them() -> None:
    filters = {"samples": 4, "replicate": 0, "train": {"dynamic_sampling": True}}
    old, new = cell(settings=filters), sampled(cell(settings=filters))
    assert curve_of(new, axis="tokens").axis.tolist() == [0, 3000, 6000]
    assert np.isnan(endpoints_of(old)["auc_tokens"])  # tokens of filtered groups are in no old record
    assert endpoints_of(new)["auc_tokens"] == endpoints_of(cell())["auc_tokens"] == 0.5
    pair = collected([sampled(cell()), sampled(cell("dra"), 200)])
    table = paired_endpoints(pair, "dra", "random").set_index("endpoint")
    # Both end at 4,000 tokens, two thirds of the control's way: there it has .5 + .25 / 3 right.
    assert table.arm["auc_tokens"] == 0.5 and table.twin["auc_tokens"] == pytest.approx(
        (0.375 * 3000 + (0.5 + 0.25 / 6) * 1000) / 4000
    )
    assert pair.table.set_index("arm")["tokens"].to_dict() == {"random": 6000, "dra": 4000}
    with pytest.raises(InputError, match="count sampled tokens"):
        collected([cell(), sampled(cell("dra"))])


# Curves and endpoints, by hand. Four trained problems with 1, 2, 3 of 4 right, an unseen one with 0, 1, 2.


def test_the_curve_is_of_trained_families_and_the_unseen_ones_apart() -> None:
    assert curve_of(cell()).values.tolist() == [0.25, 0.5, 0.75]
    assert curve_of(cell(), unseen=True).values.tolist() == [0, 0.25, 0.5]
    assert curve_of(cell(), family="gaps", axis="tokens").axis.tolist() == [0, 1000, 2000]
    with pytest.raises(InputError, match="no held-out problem"):
        curve_of(cell(), family="none")


def test_a_probe_before_training_counts_where_it_is_paid_for() -> None:
    probed = cell(probe_rollouts=100)
    paid = curve_of(probed, axis="paid")
    assert [part.tolist() for part in paid] == [[0, 100, 200, 300], [0.25, 0.25, 0.5, 0.75]]
    found = endpoints_of(probed)
    assert found["auc"] == 0.5 and found["auc_paid"] == pytest.approx((25 + 37.5 + 62.5) / 300)


def test_endpoints_are_what_a_hand_computes() -> None:
    found = endpoints_of(cell())
    assert set(ENDPOINTS) < set(found)
    assert found["auc"] == 0.5 and found["final"] == 0.75 and found["start"] == 0.25
    assert found["auc_unseen"] == 0.25 and found["final_unseen"] == 0.5
    assert found["pass@k"] == 1.0 and found["greedy"] == 0.75
    assert found["strategies"] == pytest.approx(2.0) and found["answers"] == 2.0
    assert found["entropy"] == 1.0 and found["zero_variance_share"] == 0.5
    assert found["rollouts_to_threshold"] == pytest.approx(180) and found["reached"] == 1
    assert found["steps_to_threshold"] == pytest.approx(18) and found["drawdown"] == 0


def test_a_filter_leaves_its_tokens_and_its_flat_groups_unknown() -> None:
    found = endpoints_of(cell(settings={"samples": 4, "train": {"dynamic_sampling": True}}))
    assert {name for name, value in found.items() if math.isnan(value)} == {
        "auc_tokens",
        "probe_entropy",
        "zero_variance_share",
        "zero_variance_share_adjusted",
        *("gap", "macro", "worst"),
    }
    assert found["auc"] == endpoints_of(cell())["auc"]


def test_entropy_is_of_all_steps_for_the_last_ones_are_other_problems() -> None:
    log = {"entropy": [1.0] * 16 + [6.0] * 4, "zero_variance_share": [0.5]}
    assert endpoints_of(cell(training=log))["entropy"] == 2.0


def test_noise_alone_makes_a_curve_that_never_falls_seem_to() -> None:
    flat = [[2] * 40 for _ in range(6)]
    noisy = cell(curve=flat, topics=["sums"] * 40, unseen=[])
    error = math.sqrt(40 * 0.25 / 3) / 40  # p (1 - p) / (samples - 1) a problem
    assert np.allclose(point_errors(noisy), error)
    rng = np.random.default_rng(1)
    drawn = 0.5 + rng.normal(0, error, (20_000, 6))
    expected = np.mean([drawdown(one) for one in drawn])
    assert drawdown_of_noise(noisy) == pytest.approx(expected, rel=0.05)
    sure = cell(curve=[[0] * 40, [4] * 40], topics=["sums"] * 40, unseen=[])
    assert drawdown_of_noise(sure) == 0
    assert math.isnan(drawdown_of_noise(cell(settings={"samples": 1}, curve=[[0] * 5, [1] * 5])))


def test_the_error_of_a_point_is_right_for_problems_of_any_difficulty() -> None:
    rates, rng = np.linspace(0, 1, 50), np.random.default_rng(2)
    drawn = rng.binomial(2, rates, (400, 50))
    table = cell(curve=drawn.tolist(), topics=["sums"] * 50, unseen=[], settings={"samples": 2})
    true = math.sqrt((rates * (1 - rates) / 2).sum()) / 50
    assert np.sqrt((point_errors(table) ** 2).mean()) == pytest.approx(true, rel=0.03)
    assert drawn.mean(axis=1).std() / 2 == pytest.approx(true, rel=0.1)


def test_what_the_record_does_not_hold_is_not_a_number() -> None:
    bare = cell(training={}, unseen=[], topics=["sums"] * 5)
    bare["final"]["strategies"] = {}
    for point in bare["curve"]:
        del point["answers"]
    found = endpoints_of(bare)
    empty = {name for name, value in found.items() if math.isnan(value)}
    assert empty == {
        "auc_unseen",
        "final_unseen",
        "strategies",
        "entropy",
        "probe_entropy",
        "zero_variance_share",
        "zero_variance_share_adjusted",
        "answers",
        *("gap", "macro", "worst"),
    }


def test_a_curve_that_never_reaches_the_threshold_is_censored_at_its_end() -> None:
    found = endpoints_of(cell(), threshold=0.9)
    assert (found["rollouts_to_threshold"], found["steps_to_threshold"], found["reached"]) == (200, 20, 0)
    assert crossing(Curve(np.array([0.0, 1.0]), np.array([0.8, 0.9])), 0.7) == (0.0, True)


def test_a_cut_curve_ends_on_the_line_between_two_points() -> None:
    short = cut(curve_of(cell()), 150)
    assert short.axis.tolist() == [0, 100, 150] and short.values.tolist() == [0.25, 0.5, 0.625]
    assert endpoints_of(cell(), ends={"rollouts": 150})["steps_to_threshold"] == 15
    for end in (0, 201):
        with pytest.raises(InputError, match="the curve runs from"):
            cut(curve_of(cell()), end)


def test_area_fall_and_late_mean() -> None:
    uneven = Curve(np.array([0.0, 1.0, 4.0]), np.array([0.0, 1.0, 0.0]))
    assert area(uneven) == pytest.approx((0.5 + 1.5) / 4)
    assert drawdown([0.2, 0.6, 0.5, 0.7, 0.3]) == pytest.approx(0.4)
    assert late_mean(range(11), range(11)) == 9  # the points 8, 9 and 10


def test_every_cell_and_family_has_its_row() -> None:
    found = collected(grid({"random": 0.0, "hammer": 0.1}, replicates=3))
    assert len(endpoint_table(found)) == 6
    families = family_table(found)
    assert len(families) == 6 * 3 and families.query("unseen")["family"].unique().tolist() == ["story"]
    whole = endpoint_table(found).set_index(["arm", "replicate"])["auc"]
    parts = families.query("not unseen").groupby(["arm", "replicate"])["auc"].mean()  # of equal size here
    assert np.allclose(parts.sort_index(), whole.sort_index())


def test_the_cells_of_a_record_are_left_as_they_are() -> None:
    given = grid({"random": 0.0, "hammer": 0.1}, replicates=2)
    before = copy.deepcopy(given)
    endpoint_table(collected(given))
    assert given == before


def test_a_table_that_a_reader_changes_is_not_what_the_next_one_gets() -> None:
    records = collected(pair())
    for table_of in (endpoint_table, lambda one: paired_endpoints(one, "hammer", "random")):
        first = table_of(records)
        kept = first.copy()
        first.iloc[:, -1] = -1.0
        pd.testing.assert_frame_equal(table_of(records), kept)
