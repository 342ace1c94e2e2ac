"""Which notebooks run with which parameters, and what their result depends on."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from hammerlib.errors import InputError, import_from, unknown
from hammerlib.pipeline.parameters import (
    Parameter,
    check_name,
    check_value,
    check_values,
    declared,
    read_settings,
    run_name,
)
from hammerlib.runs.reading import read_yaml
from hammerlib.runs.record import PACKAGES
from hammerlib.runs.storage import content_hash, file_hash, repository_root


@dataclass(frozen=True)
class Step:
    """One notebook with everything that decides its result."""

    path: Path
    parameters: dict[str, object]
    passed: dict[str, object]
    notebook_sha256: str
    code_sha256: str
    upstream: str
    inputs: str = ""

    @property
    def name(self) -> str:
        """Stem of the notebook."""
        return self.path.stem

    @property
    def label(self) -> str:
        """What ``--only`` selects by: its name, after ``systems/`` where it stands in that folder."""
        return _label(self.path)

    @property
    def run_id(self) -> str:
        """Folder name of its run, the same that `notebook_run` computes inside the notebook."""
        return run_name(self.name, self.parameters)

    @property
    def key(self) -> str:
        """Hash of everything that this step's result depends on (sha256)."""
        decisive = (self.notebook_sha256, self.code_sha256, self.parameters, self.upstream, self.inputs)
        return content_hash(self.name, *decisive)


def _label(notebook: Path) -> str:
    return f"systems/{notebook.stem}" if notebook.parent.name == "systems" else notebook.stem


def checkout() -> Path:
    """Return the checkout around the working folder; InputError when there is none."""
    root = repository_root()
    if root is None:
        problem = "has no notebooks/ and configs/ in or above it"
        remedy = "change into the checkout of the repository"
        raise InputError("working folder", Path.cwd().name, problem, remedy)
    return root


def read_profile(profile: str, root: Path) -> dict[str, Any]:
    """Read ``configs/<profile>.yaml``: parameter to value for all notebooks, notebook to its own of them."""
    files = {path.stem: path for path in sorted((root / "configs").glob("*.yaml"))}
    if profile not in files:
        raise InputError("profile", profile, "there is no such profile", f"choose from {', '.join(files)}")
    try:
        values = read_yaml(files[profile])
    except InputError as error:
        problem = f"configs/{profile}.yaml {error.problem}"
        raise InputError("profile", profile, problem, "mend that file") from error
    if not isinstance(values, dict):
        problem = f"configs/{profile}.yaml holds no names and values"
        raise InputError("profile", profile, problem, "write lines of name: value")
    return values | {"profile": profile}


def plan_notebooks(
    profile: str, *, only: str | None = None, overrides: Mapping[str, object] | Sequence[str] | None = None
) -> list[Step]:
    """Decide which notebooks run, in order, with which parameters.

    Parameters
    ----------
    profile : str
        Stem of a file in ``configs/``.
    only : str, optional
        First characters of the notebook's name, e.g. ``03`` or ``systems/puzzle``; several separated by
        commas. Notebooks in ``systems/`` run only when selected so.
    overrides : mapping, or sequence of ``name=value``, optional
        Parameters set on top of the profile, in every notebook that declares them.

    Raises
    ------
    InputError
        Unknown profile, notebook or parameter; a value of the wrong type; two notebooks that disagree on one.

    Examples
    --------
    >>> [step.name for step in plan_notebooks("ci", only="00")]
    ['00_overview']
    """
    root = checkout()
    import_from(root / "notebooks")  # as in the notebooks' kernels
    walk = sorted((root / "notebooks").glob("*.ipynb"))
    apart = sorted((root / "notebooks" / "systems").glob("*.ipynb"))
    cells = {path: declared(path) for path in [*walk, *apart]}
    if not walk:
        raise InputError("notebooks", "notebooks/", "holds no notebook", "restore it from the repository")
    known = _all_parameters(cells)
    shared = read_profile(profile, root)
    sections = {name: shared.pop(name) for name, value in list(shared.items()) if isinstance(value, dict)}
    passed = dict(overrides) if isinstance(overrides, Mapping) else read_settings(overrides or [], known)
    if "profile" in passed:
        raise InputError("profile", passed["profile"], "is not set like other parameters", "use --profile")
    for name, value in (shared | passed).items():
        check_name(name, value, known)
    by_label = {_label(path): parameters for path, parameters in cells.items()}
    for label, section in sections.items():
        if label not in by_label:
            raise unknown("profile", label, by_label, f"configs/{profile}.yaml names no notebook with it")
        for name, value in section.items():
            check_name(name, value, by_label[label])
    steps: list[Step] = []
    upstream = ""
    for path, parameters in cells.items():
        values = shared | sections.get(_label(path), {}) | passed
        checked = {}
        for name, line in parameters.items():
            checked[name] = check_value(name, values.get(name, line.default), line.kind)
        own_passed = {name: checked[name] for name in passed if name in checked}
        # Each notebook of the walk follows the one before it; those of the systems stand alone.
        before = upstream if path in walk else ""
        inputs = _inputs_hash(checked, root)
        steps.append(Step(path, checked, own_passed, file_hash(path), _code_hash(), before, inputs))
        upstream = steps[-1].key
    selected = _selected(steps, only)
    for name in passed:
        if not any(name in step.parameters for step in selected):
            users = ", ".join(step.label for step in steps if name in step.parameters)
            problem = f"{', '.join(step.label for step in selected)} has no such parameter"
            raise InputError(name, passed[name], problem, f"leave it out, or select one of {users}")
    with contextlib.chdir(root):  # where the kernels go, so that relative paths are the same
        for step in selected:
            check_values(step.parameters)
    return selected


def _inputs_hash(parameters: Mapping[str, object], root: Path) -> str:
    """Hash of what a value names: problems, a model, records, a module of one's own beside the notebooks."""
    root = root.resolve()
    states: list[tuple[str, object]] = []
    for name, value in parameters.items():
        texts = value if isinstance(value, list) else [value]
        for text in texts:
            module = root / "notebooks" / f"{str(text).partition(':')[0]}.py"  # of your_own:market
            if re.fullmatch(r"[A-Za-z_]\w*:\w+", str(text)) and module.is_file():
                states.append((module.name, file_hash(module)))
        if isinstance(value, str) and (value.startswith("file:") or "/" in value):
            states += _file_states(name, value, root)
    return content_hash(*states)


def _file_states(name: str, value: str, root: Path) -> list[tuple[str, object]]:
    """Each file that a value names, or that lies in the folder it names, and what it holds."""
    is_source = value.startswith("file:")
    path = (root / Path(value.removeprefix("file:")).expanduser()).resolve()
    if is_source and not path.is_file():
        raise InputError(name, value, "there is no such file", "give its whole path")
    if root.is_relative_to(path):  # the checkout, or a folder around it
        return []
    is_within = path.is_relative_to(root)
    base = root if is_within else path.parent
    files = [path, *sorted(path.rglob("*"))]
    states: list[tuple[str, object]] = []
    for file in files:
        if file.is_file() and (is_within or is_source):
            states.append((file.relative_to(base).as_posix(), file_hash(file)))
        elif file.is_file():  # a model's folder is large: size and time have to do
            size_and_time = (file.stat().st_size, file.stat().st_mtime_ns)
            states.append((file.relative_to(base).as_posix(), size_and_time))
    return states


def _all_parameters(cells: Mapping[Path, Mapping[str, Parameter]]) -> dict[str, Parameter]:
    known: dict[str, Parameter] = {}
    for path, parameters in cells.items():
        if "profile" not in parameters:
            problem = "declares no parameter 'profile'"
            raise InputError("notebook", path.name, problem, 'add profile: str = "ci"')
        for name, line in parameters.items():
            if known.setdefault(name, line).kind != line.kind:
                problem = f"{path.name} declares another type than an earlier notebook"
                raise InputError(name, line.kind, problem, f"declare it as {known[name].kind} everywhere")
    return known


def _selected(steps: list[Step], only: str | None) -> list[Step]:
    if only is None:
        return [step for step in steps if step.label == step.name]
    beginnings = only.split(",")
    for beginning in beginnings:
        if not beginning or not any(step.label.startswith(beginning) for step in steps):
            remedy = f"choose from {', '.join(step.label for step in steps)}"
            raise InputError("only", beginning, "no notebook's name starts so", remedy)
    return [step for step in steps if step.label.startswith(tuple(beginnings))]


@cache
def _code_hash() -> str:
    """Hash the package's files and the versions of the libraries whose change can move a number."""
    package = Path(__file__).resolve().parents[1]
    files = sorted(path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    hashes = [(path.relative_to(package).as_posix(), file_hash(path)) for path in files]
    versions = {}
    for name in PACKAGES:
        for distribution in metadata.distributions(name=name):
            versions[distribution.metadata["Name"]] = distribution.version
    return content_hash(hashes, versions)
