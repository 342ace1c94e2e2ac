"""What composes with what: the committed map against the refusals of today, and its page."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from hammerlib.errors import InputError
from hammerlib.training.hooks import REGISTRY

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "results" / "benchmarks"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("composition", ROOT / "benchmarks" / "composition.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def record() -> dict:
    return json.loads((FOLDER / "composition.json").read_text(encoding="utf-8"))


def test_every_part_and_every_pair_is_in_the_map(script: ModuleType, record: dict) -> None:
    assert set(REGISTRY) == {*script.PARTS} - {"savings", "LoRA"}
    parts = list(script.PARTS)
    pairs = {f"{one}+{other}" for k, one in enumerate(parts) for other in parts[k + 1 :]}
    assert set(record["pairs"]) == pairs | set(parts)
    counted = [pair["outcome"] for name, pair in record["pairs"].items() if "+" in name]
    assert (counted.count("trained"), counted.count("refused")) == (record["trained"], record["refused"])


def test_a_part_that_trains_beside_another_has_an_effect(record: dict) -> None:
    silent = {name for pair in record["pairs"].values() for name in pair.get("without_effect", ())}
    assert silent == {"learnable"}  # it watches


def test_what_is_refused_is_refused_before_the_first_step(script: ModuleType, record: dict) -> None:
    for names, pair in record["pairs"].items():
        try:
            script.configuration(tuple(names.split("+")))
            why = None
        except InputError as error:
            why = str(error)
        assert why == pair.get("why"), names


def test_the_page_is_made_from_the_record(script: ModuleType, record: dict) -> None:
    assert (FOLDER / "composition.md").read_text(encoding="utf-8") == script.page(record)


def test_a_pair_trains_today(script: ModuleType, record: dict, tmp_path: Path) -> None:
    done: dict[str, dict] = {}
    for names in ("cure+dra", "pass-at-k+ucpo", "dars+chord"):
        assert script.outcome(tuple(names.split("+")), tmp_path, done) == record["pairs"][names]
