"""The nano sizes: as many parameters as they say, one recipe but for width and stop, and a start each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hammerlib.errors import InputError
from hammerlib.models.nano.__main__ import main
from hammerlib.models.nano.recipe import SIZES, Recipe, sized, untrained

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(("size", "parameters"), [("0.3M", 340_160), ("1M", 1_054_656), ("3M", 2_863_680)])
def test_a_size_has_as_many_parameters_as_it_says(size: str, parameters: int) -> None:
    assert untrained(sized(size)).num_parameters() == parameters
    assert parameters / 1e6 == pytest.approx(float(size.removesuffix("M")), rel=0.15)


@pytest.mark.parametrize("size", SIZES)
def test_only_width_and_stop_differ_from_the_shipped_recipe(size: str) -> None:
    recipe = sized(size, seed=4)
    assert replace(recipe, width=128, inner=512, steps=950) == Recipe(seed=4)
    assert recipe.inner == 4 * recipe.width
    assert recipe.width % (2 * recipe.heads) == 0  # rotary embeddings need an even size a head


def test_a_measured_stop_is_the_look_nearest_to_the_aim() -> None:
    looks = json.loads((ROOT / "results" / "benchmarks" / "ladder.json").read_text())
    for size in {one["size"] for one in looks}:
        near = min((one for one in looks if one["size"] == size), key=lambda one: abs(one["pass@1"] - 0.45))
        assert SIZES[size]["steps"] == near["steps"], size


def test_an_unknown_size_is_named() -> None:
    with pytest.raises(InputError, match=r"use one of 0\.3M, 1M, 3M"):
        sized("7B")


def test_the_command_trains_a_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "small"
    assert main(["--out", str(out), "--size", "0.3M", "--steps", "1", "--held-out", "8"]) == 0
    record = json.loads((out / "recipe.json").read_text())
    assert (record["width"], record["inner"], record["steps"]) == (80, 320, 1)
    assert "all" in capsys.readouterr().out
