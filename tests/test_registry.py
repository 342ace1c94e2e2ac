"""Prefixes of sources and scorers: rooms below are named, not imported."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from hammerlib.errors import InputError
from hammerlib.grading import grade
from hammerlib.problems import load_problems, register_source
from hammerlib.problems.registry import SCORERS, SOURCES, Entry


def test_every_prefix_leads_to_a_function() -> None:
    for entry in [*SOURCES.values(), *SCORERS.values()]:
        assert callable(entry.function())


def test_problems_load_nothing_of_the_rooms_below() -> None:
    code = "import hammerlib.problems, sys; print([m for m in sys.modules if 'systems' in m or m == 'z3'])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_source_may_be_given_by_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(SOURCES, "elsewhere", raising=False)
    register_source("elsewhere", "hammerlib.problems.gym:load_gym")
    assert len(load_problems("elsewhere:math", n=3)) == 3
    monkeypatch.delitem(SOURCES, "elsewhere")
    with pytest.raises(InputError, match="problems = 'elsewhere:math': unknown source; use one of champ"):
        load_problems("elsewhere:math")


OWN = """
def rows(n=5, seed=0):
    return [{"prompt": f"{i} + {seed}?", "answer": str(i + seed)} for i in range(n)]

def parts(split):
    yield {"task": split, "gold": "1"}
    yield {"task": "other", "gold": "2"}

def empty():
    return []
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the working folder, which is not on Python's path."""
    (tmp_path / "own_sums.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    yield "own_sums"
    sys.modules.pop("own_sums", None)


def test_a_function_of_ones_own_is_a_source(own_module: str) -> None:
    table = load_problems("own_sums:rows", n=3, seed=2)
    assert table["prompt"][:] == ["0 + 2?", "1 + 2?", "2 + 2?"] and table["id"][0] == "rows-0"
    columns = {"prompt": "task", "answer": "gold"}
    assert load_problems("own_sums:parts", split="heldout", columns=columns)["prompt"][:] == [
        "heldout",
        "other",
    ]
    assert len(load_problems("own_sums:parts", n=1, split="rl", columns=columns)) == 1


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("nothing", {}, "own_sums has no function nothing"),
        ("empty", {}, "returns no problems"),
        ("rows", {"split": "heldout"}, "rows takes no split"),
        ("parts", {"split": "rl"}, "unknown layout"),
    ],
)
def test_a_function_that_cannot_be_used_is_named(
    own_module: str, name: str, options: dict, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        load_problems(f"{own_module}:{name}", **options)


def test_a_module_that_breaks_says_so(own_module: str, tmp_path: Path) -> None:
    (tmp_path / "own_broken.py").write_text("import no_such_library")
    with pytest.raises(InputError, match=r"no_such_library.*install what it needs"):
        load_problems("own_broken:rows")
    (tmp_path / "own_worse.py").write_text("1 / 0")
    with pytest.raises(InputError, match=r"cannot be imported .ZeroDivisionError"):
        load_problems("own_worse:rows")
    with pytest.raises(InputError, match="unknown source"):
        load_problems("own_absent.inner:rows")


def test_a_package_may_bring_a_source(own_module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    point = importlib.metadata.EntryPoint("tiny", "hammerlib.problems.gym:load_gym", "hammerlib.problems")
    monkeypatch.setattr(
        "hammerlib.problems.registry.entry_points", lambda group, name: [point] if name == "tiny" else []
    )
    assert len(load_problems("tiny:math", n=2)) == 2


def test_an_unknown_scorer_is_refused() -> None:
    with pytest.raises(InputError, match="scorer = 'unheard:of': is unknown; name one that begins with"):
        grade(r"\boxed{7}", {"answer": "7", "scorer": "unheard:of", "metadata": "{}"})


def test_a_scorer_is_stamped_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    always = Entry(lambda name: lambda answer, entry: float(name == "always:x"), audited=True)
    monkeypatch.setitem(SCORERS, "always", always)
    problem = {"answer": "7", "scorer": "always:x", "metadata": "{}"}
    assert grade(r"\boxed{8}", problem).correct and grade(r"\boxed{8}", problem).grader.startswith(
        "hammerlib"
    )
    gym = {"answer": "5", "scorer": "reasoning-gym:gcd", "metadata": "{}"}
    assert grade(r"\boxed{5}", gym).grader.startswith("reasoning-gym ")
