"""CURE, ETMR and G2RPO-A on two processes: groups, advantages and gradient as by hand on gathered rows."""

from __future__ import annotations

import pickle
from pathlib import Path

import branching_runs
import numpy as np
import pytest
import torch
from system_steps import table
from two_processes import run_on_two

from hammerlib.advantages import group_advantages
from hammerlib.models import load_backbone
from hammerlib.runs import RunRecord
from hammerlib.systems.g2rpo_a import paper_length
from hammerlib.training.generation import score_tokens

pytestmark = pytest.mark.systems


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    run_on_two(branching_runs.__file__, str(folder))
    return folder


def kept(root: Path, name: str, step: int) -> list[dict]:
    """What each process kept of a step."""
    return [pickle.loads((root / f"{name}-{process}.pickle").read_bytes())[step] for process in (0, 1)]


@pytest.mark.parametrize("name", branching_runs.CONFIGS)
def test_groups_are_whole_on_each_process_and_advantages_are_theirs(name: str, root: Path) -> None:
    ids = set()
    for step in (0, 1):
        for process in kept(root, name, step):
            assert len(process["ids"]) == 8 and process["groups"].tolist() == [0] * 4 + [1] * 4
            for first in (0, 4):
                assert len(set(process["ids"][first : first + 4])) == 1
                ids.add(process["ids"][first])
            wanted = group_advantages(process["rewards"], process["groups"])
            assert process["advantages"] == pytest.approx(wanted.tolist(), abs=1e-5)
    assert len(ids) == 8  # no problem twice


@pytest.mark.parametrize("name", branching_runs.CONFIGS)
def test_the_gradient_is_that_of_all_rows(name: str, root: Path) -> None:
    model = load_backbone("nano").model.requires_grad_(True)
    trained = [one for one in model.parameters() if one.requires_grad]
    processes = kept(root, name, 0)
    masks = []
    for each in processes:
        masks += each["mask"] or [[1] * len(row) for row in each["completion_ids"]]
    prompts, ids, advantages = ([row for each in processes for row in each[part]]
                                for part in ("prompt_ids", "completion_ids", "advantages"))  # fmt: skip
    logps, _, seen = score_tokens(model, prompts, ids)
    mask = torch.zeros_like(seen)
    for k, row in enumerate(masks):
        mask[k, : len(row)] = torch.tensor(row)
    weighted = -torch.tensor(advantages)[:, None] * mask * logps
    ours = torch.autograd.grad(weighted.sum() / mask.sum(), trained)
    # Gradients of processes are averaged.
    theirs = [(one + other) / 2 for one, other in zip(*(each["gradient"] for each in processes), strict=True)]
    assert max(one.abs().max() for one in ours) > 1e-4
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=2e-3, atol=2e-6)


def test_branches_of_each_process_are_its_parents_and_choices_differ(root: Path) -> None:
    cuts = []
    for process in kept(root, "random", 0):
        for first in (0, 4):
            for k in (0, 1):
                cut = process["forced"][first + 2 + k]
                branch = process["completion_ids"][first + 2 + k]
                assert branch[:cut] == process["completion_ids"][first + k][:cut]
        cuts.append(process["forced"])
    assert cuts[0] != cuts[1]
    for process in kept(root, "random", 1):
        assert process["rewards"].shape == (8,) and (process["rewards"] <= process["raw"] + 1e-6).all()


def test_the_length_follows_the_accuracy_of_all_processes(root: Path) -> None:
    accuracies = []
    for step in (0, 1):
        accuracies.append(float(np.mean([process["right"] for process in kept(root, "g2rpo-a", step)])))
    (folder,) = [path.parent for path in (root / "g2rpo-a").glob("*/manifest.json")]
    moved = paper_length(6.0, accuracies, window=1, longest=30)
    assert accuracies[0] != accuracies[1]
    lengths = table(RunRecord.load(folder))["guidance/length"].tolist()
    assert lengths == pytest.approx([6, 6, moved])  # without history it stays
    assert all(process["forced"][:4] == [int(moved)] * 2 + [0, 0] for process in kept(root, "g2rpo-a", 2))
