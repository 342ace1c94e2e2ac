"""DARS, SvS and AIRL-S on two processes: groups, advantages and gradients as by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import system_runs
from safetensors.torch import load_file
from two_processes import run_on_two

from hammerlib.advantages import group_advantages

pytestmark = pytest.mark.systems


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    run_on_two(system_runs.__file__, str(folder), *system_runs.SYSTEMS)
    return folder


def processes(root: Path, name: str) -> list[dict]:
    """What each process saw."""
    return [json.loads((root / f"{name}-{process}.json").read_text()) for process in (0, 1)]


@pytest.mark.parametrize("name", system_runs.SYSTEMS)
def test_each_gradient_is_that_of_its_processs_rows(name: str, root: Path) -> None:
    for process in processes(root, name):
        assert max(process["errors"]) < 1e-3
    assert max(max(process["norms"]) for process in processes(root, name)) > 1e-4


@pytest.mark.parametrize("name", ["dars", "svs"])
def test_groups_are_whole_on_each_process(name: str, root: Path) -> None:
    ids = []
    for process in processes(root, name):
        (step,) = process["seen"]
        groups = np.array(step["groups"])
        for group in set(step["groups"]) - {-1}:
            assert len({step["ids"][row] for row in np.flatnonzero(groups == group)}) == 1
        rewards = np.array(step["rewards"], dtype=float)
        wanted = group_advantages(rewards, groups, scale="none")
        trained = groups != -1
        assert np.array(step["advantages"])[trained] == pytest.approx(wanted[trained], abs=1e-5)
        ids.append(set(step["ids"]))
    assert not ids[0] & ids[1]  # no problem on both


def test_f_is_one_network(root: Path) -> None:
    (path,) = (root / "airl-s").glob("train__*/step_scorer.safetensors")
    assert load_file(path)["head.weight"].abs().max() > 0
