"""Every example in a docstring runs and gives what it says; those of public names run as they are pasted."""

from __future__ import annotations

import doctest
import os
from importlib import import_module
from pathlib import Path

import pytest

import hammerlib

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "hammerlib").rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)


# What `hammerlib` and the rooms of its names export, by where it is written.
EXPORTED = {
    f"{value.__module__}.{value.__qualname__}": value
    for room in ("hammerlib", *dict.fromkeys(hammerlib._HOMES.values()))
    for value in (getattr(import_module(room), name) for name in getattr(import_module(room), "__all__", ()))
    if callable(value) and getattr(value, "__module__", "").startswith("hammerlib.")
}


# One compiles UMAP, which notebook 02 does as well.
COMPILES = {"hammerlib.plots.space": pytest.mark.long}


@pytest.mark.parametrize("name", [pytest.param(name, marks=COMPILES.get(name, ())) for name in NAMES])
def test_examples_of(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    before = _settings()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for example in doctest.DocTestFinder().find(import_module(name), name):
        pasted = _pasted(example.name)
        example.globs = example.globs if pasted is None else pasted
        runner.run(example)
    assert runner.tries > 0
    assert runner.failures == 0, "see the report above"
    assert _settings() == before, "an example left a setting behind"


def test_a_pasted_example_has_its_own_name_and_no_other() -> None:
    assert _pasted("hammerlib.ordering.order.Order.save") == {"Order": hammerlib.Order}
    assert _pasted("hammerlib.runs.storage.atomic_path") is None


def _pasted(name: str) -> dict[str, object] | None:
    """What a reader has who imported the public name that an example explains; None for other names."""
    for place, value in EXPORTED.items():
        if name == place or name.startswith(f"{place}."):
            return {value.__name__: value}
    return None


def _settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("HAMMER_")}
