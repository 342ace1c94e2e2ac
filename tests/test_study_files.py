"""The study files: each reads, its arms can be trained, and the scales differ only where they say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hammerlib.models.backbone import NAMED
from hammerlib.models.nano.recipe import SIZES
from hammerlib.problems.gym import mix
from hammerlib.study.plan import Study, Trial, cells, read_study
from hammerlib.study.trial import replicate
from hammerlib.training.schedule import plan

FOLDER = Path(__file__).parents[1] / "configs" / "study"
FILES = sorted(FOLDER.glob("*.yaml"))
PRIMARIES = ["random", "hammer", "min-path", "dra"]
LADDER = {"ladder-03M": "0.3M", "ladder-1M": "1M", "ladder-3M": "3M"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_reads_and_no_problem_of_a_pass_is_left_over(path: Path) -> None:
    study = read_study(path)
    assert study.study == path.stem
    text = (FOLDER.parents[1] / "results" / study.protocol).read_text(encoding="utf-8")
    assert study.study in text or study.protocol == "PROTOCOL.md"
    for arm in study.arms:
        assert not plan(study.config(arm), study.n_problems).tail, arm
    assert len({cell.identity for cell in cells(study)}) == len(cells(study))


@pytest.mark.parametrize("name", [*LADDER, "smollm2", "gpu"])
def test_every_scale_has_the_primaries_as_in_the_main_study(name: str) -> None:
    main, study = read_study(FOLDER / "main.yaml"), read_study(FOLDER / f"{name}.yaml")
    assert set(PRIMARIES) <= set(study.arms)
    assert study.arms == {arm: main.arms[arm] for arm in study.arms}


@pytest.mark.parametrize("name", LADDER)
def test_a_rung_differs_from_the_main_study_in_its_start_and_number_alone(name: str) -> None:
    main, study = read_study(FOLDER / "main.yaml"), read_study(FOLDER / f"{name}.yaml")
    size = dict(SIZES[LADDER[name]])
    assert study.starts == {"seeds": main.starts["seeds"], "stops": [size.pop("steps")], **size}
    own = ("study", "replicates", "starts", "arms", "words", "question")
    kept = [one.name for one in dataclasses.fields(Study) if one.name not in own]
    assert {key: getattr(study, key) for key in kept} == {key: getattr(main, key) for key in kept}


def test_smollm2_starts_warm_on_problems_of_one_digit() -> None:
    study = read_study(FOLDER / "smollm2.yaml")
    assert study.starts["backbone"] in NAMED
    assert set(study.unseen) < set(mix(study.problems.partition(":")[2]))
    assert study.base["lora_rank"] > 0


def test_held_out_problems_may_come_from_another_source_and_old_cells_keep_their_names() -> None:
    study = Study("s", 1, {"backbone": "nano"}, {"random": {}}, n_problems=8, n_held_out=8)
    other = dataclasses.replace(study, held_out="reasoning-gym:one-digit")
    assert {name.split("-")[0] for name in replicate(study, 0).held_out["id"]} == {"nano"}
    assert {row["source"] for row in replicate(other, 0).held_out} == {"reasoning-gym:one-digit"}
    assert {row["source"] for row in replicate(other, 0).problems} == {"reasoning-gym:nano"}
    assert "held_out" not in Trial(study, "random", 0).settings()
    assert Trial(study, "random", 0).identity != Trial(other, "random", 0).identity
