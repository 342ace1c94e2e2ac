"""Every arm of the studies of systems trains a generation batch; the protocol is what their files say."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from hammerlib.study.plan import Study, Trial, read_study
from hammerlib.study.trial import run_trial
from hammerlib.training.schedule import plan

FOLDER = Path(__file__).parents[1] / "configs" / "study"
STUDIES = {path.stem: read_study(path) for path in sorted(FOLDER.glob("systems-*.yaml"))}
# What an arm has to have done in its first step, by a name that its algorithm logs; most say how much.
DOES = {"cure": "cure/prefix_share", "dars": "dars/extra", "etmr": "tree/token_ratio", "svs": "svs/valid"}
DOES |= {"airl-s": "airl/loss", "g2rpo-a": "guidance/tokens", "ttrl": "vote/label_accuracy", "chord": "mu"}
DOES["ettrl"] = DOES["ttrl"]  # it logs nothing of its own, and has votes before it


def small(study: Study) -> Study:
    """The same arms from the shipped checkpoint, for one generation batch."""
    sizes = {"n_problems": 32, "n_held_out": 8, "samples": 1, "points": 1, "final_samples": 1}
    sizes |= {"probe": study.probe and 4, "starts": {"backbone": "nano"}, "replicates": 1}
    sizes["trained_samples"] = study.trained_samples and 1
    base = study.base | {"token_budget": 1, "max_steps": None}
    return dataclasses.replace(study, base=base, **sizes).validate()


@pytest.mark.systems
@pytest.mark.parametrize(("name", "arm"), [(name, arm) for name in STUDIES for arm in STUDIES[name].arms])
def test_an_arm_of_a_study_runs(name: str, arm: str, tmp_path: Path) -> None:
    study = small(STUDIES[name])
    record = json.loads(run_trial(Trial(study, arm, 0), tmp_path).read_text())
    assert record["status"] == "success" and record["curve"][-1]["sampled_tokens"] > 0
    assert record["primaries"] == study.primaries
    for algorithm in study.arms[arm].get("algorithms", []):
        assert record["training"][DOES[algorithm["name"]]][0] is not None


def _rows(protocol: str) -> dict[str, str]:
    text = (FOLDER.parents[1] / "results" / protocol).read_text(encoding="utf-8")
    return {row.split("|")[1].strip(" `"): row for row in text.splitlines() if row.startswith("| `systems-")}


def _planned(protocol: str, rows: dict[str, str]) -> dict[str, Study]:
    """The studies of a protocol, all of which have a row in its table."""
    studies = {name: study for name, study in STUDIES.items() if study.protocol == protocol}
    assert set(rows) == set(studies)
    return studies


def test_the_protocol_of_notebooks_names_every_study_with_its_primaries() -> None:
    rows = _rows("PROTOCOL-notebooks.md")
    for name, study in _planned("PROTOCOL-notebooks.md", rows).items():
        row = rows["systems-ttrl" if name == "systems-ttrl-strong" else name]  # which says: the same
        contrasts = row.split("|")[3]
        assert {arm for pair in study.primaries for arm in pair} == set(contrasts.split("`")[1::2]), name
        assert study.primary_endpoint == "auc" and study.replicates == (32 if "ttrl" in name else 12)
        rollouts = {plan(study.config(arm), study.n_problems).steps for arm in study.arms}
        assert rollouts == {16 if name == "systems-hard" else 64}


def test_the_protocol_names_every_study_with_its_primaries() -> None:
    rows = _rows("PROTOCOL-systems.md")
    for name, study in _planned("PROTOCOL-systems.md", rows).items():
        named = [pair.strip(" `|") for pair in rows[name].rsplit("|", 2)[1].split(",")]
        assert named == [" - ".join(pair) for pair in study.primaries], name
        assert study.replicates == (32 if name == "systems-etmr" else 12)
        budgets = {study.config(arm).token_budget for arm in study.arms}
        assert len(budgets) == 1 and None not in budgets
        known = {"auc_tokens": "auc_tokens", "probe_entropy": "probe_entropy", "pass@k": "pass@8"}
        assert known[study.primary_endpoint] in rows[name]
