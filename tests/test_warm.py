"""The warm-up of SmolLM2: right solutions, one recipe one set of weights, nothing seen of later parts."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from hammerlib.models import load_backbone
from hammerlib.models.nano.recipe import Recipe
from hammerlib.models.warm import PROBLEMS, WARM_UP, WORKED, batches, warm_start, written
from hammerlib.problems import load_problems
from hammerlib.problems.gym import MIXES, part_of

TINY = Recipe(steps=2, batch_size=2, problems=5)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HAMMER_CACHE", str(tmp_path))
    return tmp_path


def test_every_solution_is_right_and_as_many_are_worked_out_as_said() -> None:
    rng, table = random.Random(0), load_problems(PROBLEMS, split="supervised", n=500)
    worked = 0
    for row in table:
        solution = written(row, rng)
        for left, right in re.findall(r"([-\d][-+ \d]*) = (-?\d+)", solution):
            assert eval(left, {}) == int(right), solution  # only digits and signs
            worked += 1
        assert re.findall(r"-?\d+", solution.removesuffix("."))[-1] == row["answer"]
    assert sum("=" in written(row, rng) for row in table) / len(table) == pytest.approx(WORKED, abs=0.08)
    assert worked > 0


def test_the_batches_are_of_the_supervised_part_and_of_all_families() -> None:
    table = load_problems(PROBLEMS, split="supervised", n=WARM_UP.problems, seed=WARM_UP.seed)
    stream = list(batches(WARM_UP, table))
    assert len(stream) >= WARM_UP.steps
    prompts = [prompt for batch in stream[: WARM_UP.steps] for prompt, _ in batch]
    assert {part_of(prompt) for prompt in prompts} == {"supervised"}
    assert len(set(prompts)) == len(prompts)
    assert set(table["topic"]) == set(MIXES["one-digit"])


def test_a_warm_start_is_made_once_loads_and_says_how(cache: Path) -> None:
    folder = warm_start(TINY, backbone="nano")
    before = (folder / "recipe.json").stat().st_mtime_ns
    assert warm_start(TINY, backbone="nano") == folder
    assert (folder / "recipe.json").stat().st_mtime_ns == before
    record = json.loads((folder / "recipe.json").read_text())
    assert (len(record["losses"]), record["problems_from"], record["backbone"]) == (2, PROBLEMS, "nano")
    assert str(cache) not in (folder / "recipe.json").read_text()
    assert load_backbone(folder).weights_hash != load_backbone("nano").weights_hash


def test_one_recipe_gives_one_set_of_weights_and_another_gives_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for number, recipe in enumerate((TINY, TINY, replace(TINY, seed=1))):
        monkeypatch.setenv("HAMMER_CACHE", str(tmp_path / str(number)))
        found.append(load_backbone(warm_start(recipe, backbone="nano")).weights_hash)
    assert found[0] == found[1] != found[2]
