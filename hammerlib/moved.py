"""Old module names, kept importable for one release after a move."""

from __future__ import annotations

import importlib
import sys
import tomllib
import warnings
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

_TABLES = tomllib.loads(Path(__file__).with_name("moved.toml").read_text(encoding="utf-8"))
# Old dotted name -> new one; what lies below an old package moves with it unless it has a line of its own.
MOVED: dict[str, str] = _TABLES["modules"]
# Room -> module of today -> names, apart by spaces, that the room no longer offers itself.
NAMES: dict[str, dict[str, str]] = _TABLES["names"]


class _KeepsFunctions(ModuleType):
    """A room whose functions Python does not replace by an old module of the same name."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and callable(self.__dict__.get(name))):
            super().__setattr__(name, value)


class MovedModules:
    """Finder that answers an old module name with the module of today."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for an old name, None for every other."""
        if not name.startswith("hammerlib."):
            return None
        return ModuleSpec(name, self) if new_name(name) else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make an empty module, which `exec_module` replaces."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of today in the place of the old one, so that both names are one module."""
        name = module.__spec__.name
        new = new_name(name)
        room, _, child = name.rpartition(".")
        if callable(getattr(sys.modules[room], child, None)):  # a function named like its old module
            sys.modules[room].__class__ = _KeepsFunctions
        warnings.warn(
            f"{name} is now {new}; the old name goes with the next release", DeprecationWarning, stacklevel=2
        )
        today = importlib.import_module(new)
        if not hasattr(today, "__path__") and any(old.startswith(f"{name}.") for old in MOVED):
            today.__path__ = []  # a package once, one file today
        sys.modules[name] = today

    def get_code(self, name: str) -> CodeType:
        """Return what `python -m` runs for an old name: the module of today."""
        run = f"import runpy; runpy.run_module({new_name(name)!r}, run_name='__main__', alter_sys=True)"
        return compile(run, "<moved>", "exec")


def new_name(name: str) -> str | None:
    """Today's name of an old module, None where the name is no old one."""
    old = name
    while old:
        if old in MOVED:
            return MOVED[old] + name[len(old) :]
        old = old.rpartition(".")[0]
    return None


def old_names(package: str) -> Callable[[str], object]:
    """Return a module's `__getattr__` (PEP 562) that finds the names which it offered before."""
    homes = {name: module for module, names in NAMES[package].items() for name in names.split()}

    def find(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        words = f"{package}.{name} is now {homes[name]}.{name}; the old place goes with the next release"
        warnings.warn(words, DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(homes[name]), name)

    return find


def install() -> None:
    """Make old names importable; a second call changes nothing."""
    if not any(isinstance(one, MovedModules) for one in sys.meta_path):
        sys.meta_path.insert(0, MovedModules())
