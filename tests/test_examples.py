"""Every example in a docstring runs and gives what it says."""

from __future__ import annotations

import doctest
import os
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "hammerlib").rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8") and path.name != "verl_sampler.py"  # verl imports it
)


@pytest.mark.parametrize("name", NAMES)
def test_examples_of(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    before = _settings()
    module = import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0, "see the report above"
    assert _settings() == before, "an example left a setting behind"


def _settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("HAMMER_")}
