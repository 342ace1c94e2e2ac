"""What a prefix stands for: sources and scorers of rooms below are named here and imported when asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """What a prefix leads to.

    Attributes
    ----------
    target : callable or str
        The function itself, or ``"module:function"``, imported at the first call.
    package : str
        Distribution whose version decides what the function returns.

    Examples
    --------
    >>> Entry("math:sqrt").function()(9.0)
    3.0
    """

    target: Callable[..., Any] | str
    package: str = "hammerlib"

    def function(self) -> Callable[..., Any]:
        """Return the function."""
        if not isinstance(self.target, str):
            return self.target
        module, _, name = self.target.partition(":")
        return getattr(import_module(module), name)


SOURCES: dict[str, Entry] = {
    "reasoning-gym": Entry("hammerlib.problems.gym:load_gym", "reasoning_gym"),
    "file": Entry("hammerlib.problems.files:load_file"),
    "hub": Entry("hammerlib.problems.hub:load_hub"),
    "evolmath": Entry("hammerlib.systems.evolmath.source:load_evolved"),
    "puzzles": Entry("hammerlib.systems.puzzles.source:load_puzzles", "z3-solver"),
}
# Scorer cells read <prefix>:<name>; the maker is called with the whole cell.
SCORERS: dict[str, Entry] = {
    "reasoning-gym": Entry("hammerlib.problems.gym:scorer", "reasoning_gym"),
    "puzzles": Entry("hammerlib.systems.puzzles.scoring:scorer"),
}
