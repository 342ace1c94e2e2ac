"""Every arm of the studies of systems trains a generation batch; the protocol is what their files say."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from hammerlib.study.plan import Study, Trial, read_study
from hammerlib.study.trial import run_trial

FOLDER = Path(__file__).parents[1] / "configs" / "study"
STUDIES = {path.stem: read_study(path) for path in sorted(FOLDER.glob("systems-*.yaml"))}
# What an arm has to have done in its first step, by a name that its algorithm logs; most say how much.
DOES = {"cure": "cure/prefix_share", "dars": "dars/extra", "etmr": "tree/token_ratio", "svs": "svs/valid"}
DOES |= {"airl-s": "airl/loss", "g2rpo-a": "guidance/tokens", "ttrl": "vote/label_accuracy", "chord": "mu"}


def small(study: Study) -> Study:
    """The same arms from the shipped checkpoint, for one generation batch."""
    sizes = {"n_problems": 32, "n_held_out": 8, "samples": 1, "points": 1, "final_samples": 1}
    sizes |= {"probe": study.probe and 4, "starts": {"backbone": "nano"}, "replicates": 1}
    return dataclasses.replace(study, base=study.base | {"token_budget": 1}, **sizes).validate()


@pytest.mark.systems
@pytest.mark.parametrize(("name", "arm"), [(name, arm) for name in STUDIES for arm in STUDIES[name].arms])
def test_an_arm_of_a_study_runs(name: str, arm: str, tmp_path: Path) -> None:
    study = small(STUDIES[name])
    record = json.loads(run_trial(Trial(study, arm, 0), tmp_path).read_text())
    assert record["status"] == "success" and record["curve"][-1]["sampled_tokens"] > 0
    assert record["primaries"] == study.primaries
    for algorithm in study.arms[arm].get("algorithms", []):
        assert record["training"][DOES[algorithm["name"]]][0] is not None


def test_the_protocol_names_every_study_with_its_primaries() -> None:
    text = (FOLDER.parents[1] / "results" / "PROTOCOL-systems.md").read_text(encoding="utf-8")
    rows = {row.split("|")[1].strip(" `"): row for row in text.splitlines() if row.startswith("| `systems-")}
    assert set(rows) == set(STUDIES)
    for name, study in STUDIES.items():
        named = [pair.strip(" `|") for pair in rows[name].rsplit("|", 2)[1].split(",")]
        assert named == [" - ".join(pair) for pair in study.primaries], name
        assert study.replicates == (32 if name == "systems-etmr" else 12)
        budgets = {study.config(arm).token_budget for arm in study.arms}
        assert len(budgets) == 1 and None not in budgets
        known = {"auc_tokens": "auc_tokens", "probe_entropy": "probe_entropy", "pass@k": "pass@8"}
        assert known[study.primary_endpoint] in rows[name]
