"""Studies of several sizes side by side: each judged by itself, smallest model first, pilots left out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from study_records import grid

from hammerlib.study.contrasts import main_contrasts, study_tests
from hammerlib.study.endpoints import endpoint_table
from hammerlib.study.pages import (
    PILOTS,
    scale_table,
    shown_scales,
    size_of,
    studies_section,
    study_folders,
)
from hammerlib.study.records import Records, collected


def sized(name: str, parameters: int, hammer: float) -> list[dict]:
    """A study of four primary arms with another name and size."""
    arms = {"random": 0.0, "hammer": hammer, "min-path": 0.0, "dra": 0.0}
    return [one | {"study": name, "start": one["start"] | {"parameters": parameters}} for one in grid(arms)]


@pytest.fixture(scope="module")
def studies() -> list[Records]:
    """A large model that loses ten points by the order, then a small one that wins ten."""
    return [collected(sized("large", 3_000_000, -0.1)), collected(sized("small", 300_000, 0.1))]


def test_each_study_is_judged_by_itself_and_the_smallest_comes_first(studies: list[Records]) -> None:
    table = scale_table(studies)
    assert table["study"].tolist() == ["small"] * 3 + ["large"] * 3
    for records in studies:
        alone = main_contrasts(study_tests(records)).set_index("contrast")
        for one in table[table["study"] == records.study].itertuples():
            row = alone.loc[one.contrast]
            assert (one.value, one.low, one.high, one.adjusted) == (
                row.value,
                row.low,
                row.high,
                row.adjusted,
            )
    signs = table[table["contrast"] == "hammer - random"]["value"]
    assert signs.iloc[0] > 0 > signs.iloc[1]


def test_start_and_gain_are_those_of_random_order(studies: list[Records]) -> None:
    cells = endpoint_table(studies[0]).query("arm == 'random'")
    row = scale_table(studies).query("study == 'large'").iloc[0]
    assert row["start"] == pytest.approx(cells["start"].mean())
    assert row["gain"] == pytest.approx(cells["final"].mean() - cells["start"].mean())


def test_a_study_without_a_finished_cell_is_left_out(studies: list[Records]) -> None:
    dead = collected([one | {"status": "error", "error": "x"} for one in sized("dead", 1, 0.0)])
    assert scale_table([*studies, dead])["study"].nunique() == 2


def test_the_line_of_a_study_holds_its_size_and_its_contrasts(studies: list[Records]) -> None:
    text, _, detectable = shown_scales(scale_table(studies)).partition("\n\n")
    lines = text.splitlines()
    assert len(lines) == 4 and lines[2].startswith(
        "| [`small`](../results/study/small/README.md) | 0.3 million |"
    )
    assert lines[3].split(" | ")[3] == "6" and lines[3].split(" | ")[4].startswith("-")
    assert "nan" not in "".join(lines)
    assert re.search(
        r": `small` \d\.\d, \d\.\d, \d\.\d; `large` \d\.\d, \d\.\d, \d\.\d points\.$", detectable
    )


def test_strategies_left_under_dra_stand_beside(studies: list[Records]) -> None:
    changed = json.loads(json.dumps(list(studies[0].cells)))
    for one in changed:
        ours = one["arm"] == "dra"
        one["final"]["strategies"] = (
            {"columns": 5, "tens": 5} if ours else {"columns": 5 + one["replicate"], "tens": 1}
        )
    table = scale_table([collected(changed)]).set_index("contrast")
    assert table.loc["dra - random", "strategies"] > 0.4 and table.loc["hammer - random", "strategies"] == 0
    row = shown_scales(table.reset_index()).partition("\n\n")[0].splitlines()[-1]
    assert row.split(" | ")[-1].startswith("0.5")


def test_a_lone_replicate_has_no_interval(studies: list[Records]) -> None:
    lone = [one for one in sized("lone", 5, 0.0) if one["replicate"] == 0]
    assert "nan" not in shown_scales(scale_table([collected(lone)]))


def test_the_readme_shows_the_largest_study_in_full_and_all_in_one_table(tmp_path: Path) -> None:
    for name, size in {"small": 300_000, "large": 3_000_000, PILOTS[0]: 1}.items():
        (tmp_path / name).mkdir()
        for one in sized(name, size, 0.1)[: 12 if name == "small" else None]:
            path = tmp_path / name / f"{one['arm']}__r{one['replicate']:02d}.json"
            path.write_text(json.dumps(one))
    assert [folder.name for folder in study_folders(tmp_path)] == ["large", "small"]
    text = studies_section(tmp_path)
    assert text.startswith("Study [`large`]") and text.count("Study [") == 1
    assert (
        "\n\nThe primary contrasts at every size, in points of the same area; Holm" in text
        and text.count("| [`") == 2
    )


def test_large_sizes_are_told_without_exponents() -> None:
    assert [size_of(one) for one in (9.99e8, 9.996e8, 7e9)] == ["999 million", "1 billion", "7 billion"]
