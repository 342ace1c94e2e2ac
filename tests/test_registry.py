"""Prefixes of sources and scorers: rooms below are named, not imported."""

from __future__ import annotations

import subprocess
import sys

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
    with pytest.raises(InputError, match="problems = 'elsewhere:math': unknown source; use one of evolmath"):
        load_problems("elsewhere:math")


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
