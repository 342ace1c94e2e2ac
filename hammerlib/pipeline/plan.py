"""Which notebooks run with which parameters, and what their result depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from hammerlib.errors import InputError
from hammerlib.pipeline.opening import run_name
from hammerlib.pipeline.parameters import (
    Parameter,
    check_name,
    check_value,
    check_values,
    declared,
    read_settings,
)
from hammerlib.runs.reading import read_yaml
from hammerlib.runs.record import PACKAGES
from hammerlib.runs.storage import content_hash, file_hash, repository_root


@dataclass(frozen=True)
class Step:
    """One notebook with everything that decides its result.

    Attributes
    ----------
    path : Path
        Source notebook; never written to.
    parameters : dict
        Every declared parameter with the value it will have.
    passed : dict
        Those that the caller set.
    notebook_sha256, code_sha256, upstream : str
        Hashes of the source notebook, of the package with its versions, and of everything before this one.
    inputs : str
        Hash of the files and folders of the checkout that parameters name.

    Examples
    --------
    >>> Step(Path("03_ordering.ipynb"), {"profile": "ci"}, {}, "", "", "").name
    '03_ordering'
    """

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
        return f"systems/{self.name}" if self.path.parent.name == "systems" else self.name

    @property
    def run_id(self) -> str:
        """Folder name of its run, the same that `notebook_run` computes inside the notebook."""
        return run_name(self.name, self.parameters)

    @property
    def key(self) -> str:
        """Hash of everything that this step's result depends on (sha256)."""
        decisive = (self.notebook_sha256, self.code_sha256, self.parameters, self.upstream, self.inputs)
        return content_hash(self.name, *decisive)


def checkout() -> Path:
    """Return the checkout around the working folder; InputError when there is none.

    Examples
    --------
    >>> (checkout() / "configs").is_dir()
    True
    """
    root = repository_root()
    if root is None:
        raise InputError(
            "working folder",
            Path.cwd().name,
            "has no notebooks/ and configs/ in or above it",
            "change into the checkout of the repository",
        )
    return root


def read_profile(profile: str, root: Path) -> dict[str, object]:
    """Read ``configs/<profile>.yaml``: parameter name to value.

    Raises
    ------
    InputError
        Unknown profile, or a file that is not a flat mapping.

    Examples
    --------
    >>> read_profile("ci", checkout())["profile"]
    'ci'
    """
    files = {path.stem: path for path in sorted((root / "configs").glob("*.yaml"))}
    if profile not in files:
        raise InputError("profile", profile, "there is no such profile", f"choose from {', '.join(files)}")
    try:
        values = read_yaml(files[profile])
    except InputError as error:
        problem = f"configs/{profile}.yaml {error.problem}"
        raise InputError("profile", profile, problem, "mend that file") from error
    if not isinstance(values, dict):
        raise InputError(
            "profile",
            profile,
            f"configs/{profile}.yaml holds no names and values",
            "write lines of name: value",
        )
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

    Returns
    -------
    list of Step

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
    walk = sorted((root / "notebooks").glob("*.ipynb"))
    apart = sorted((root / "notebooks" / "systems").glob("*.ipynb"))
    cells = {path: declared(path) for path in [*walk, *apart]}
    if not walk:
        raise InputError("notebooks", "notebooks/", "holds no notebook", "restore it from the repository")
    known = _all_parameters(cells)
    values = read_profile(profile, root)
    passed = dict(overrides) if isinstance(overrides, Mapping) else read_settings(overrides or [], known)
    if "profile" in passed:
        raise InputError("profile", passed["profile"], "is not set like other parameters", "use --profile")
    for name, value in {**values, **passed}.items():
        check_name(name, value, known)
    steps, upstream, code = [], "", _code_hash()
    for path, parameters in cells.items():
        wanted = {name: {**values, **passed}.get(name, line.default) for name, line in parameters.items()}
        checked = {name: check_value(name, value, parameters[name].kind) for name, value in wanted.items()}
        check_values(checked)
        mine = {name: checked[name] for name in passed if name in checked}
        # Each notebook of the walk follows the one before it; those of the systems stand alone.
        before = upstream if path in walk else ""
        steps.append(Step(path, checked, mine, file_hash(path), code, before, _inputs_hash(checked, root)))
        upstream = steps[-1].key
    selected = _selected(steps, only)
    for name in passed:
        if not any(name in step.parameters for step in selected):
            users = ", ".join(step.label for step in steps if name in step.parameters)
            problem = f"{', '.join(step.label for step in selected)} has no such parameter"
            raise InputError(name, passed[name], problem, f"leave it out, or select one of {users}")
    return selected


def _inputs_hash(parameters: Mapping[str, object], root: Path) -> str:
    """Hash of what lies under a value that names a file or folder: problems, a model, a study's records.

    In the checkout and of ``file:`` sources by content; other folders, such as models, by size and time.
    """
    root, found = root.resolve(), []
    for name, value in parameters.items():
        if not isinstance(value, str):
            continue
        source = value.startswith("file:")
        if not source and "/" not in value:
            continue
        place = (root / Path(value.removeprefix("file:")).expanduser()).resolve()
        if source and not place.is_file():
            raise InputError(name, value, "there is no such file", "give its whole path")
        if place == root or root.is_relative_to(place):
            continue
        within = place.is_relative_to(root)
        for one in [place] if place.is_file() else sorted(place.rglob("*")):
            if one.is_file():
                label = one.relative_to(root if within else place.parent).as_posix()
                told = one.stat()
                whole = within or source
                found.append((label, file_hash(one) if whole else (told.st_size, told.st_mtime_ns)))
    return content_hash(*found)


def _all_parameters(cells: Mapping[Path, Mapping[str, Parameter]]) -> dict[str, Parameter]:
    known: dict[str, Parameter] = {}
    for path, parameters in cells.items():
        if "profile" not in parameters:
            raise InputError(
                "notebook", path.name, "declares no parameter 'profile'", 'add profile: str = "ci"'
            )
        for name, line in parameters.items():
            if known.setdefault(name, line).kind != line.kind:
                raise InputError(
                    name,
                    line.kind,
                    f"{path.name} declares another type than an earlier notebook",
                    f"declare it as {known[name].kind} everywhere",
                )
    return known


def _selected(steps: list[Step], only: str | None) -> list[Step]:
    if only is None:
        return [step for step in steps if step.label == step.name]
    for start in only.split(","):
        if not start or not any(step.label.startswith(start) for step in steps):
            raise InputError(
                "only",
                start,
                "no notebook's name starts so",
                f"choose from {', '.join(s.label for s in steps)}",
            )
    return [step for step in steps if step.label.startswith(tuple(only.split(",")))]


@cache
def _code_hash() -> str:
    """Hash the package's files and the versions of the libraries whose change can move a number."""
    package = Path(__file__).resolve().parents[1]
    files = sorted(path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    versions = {
        one.metadata["Name"]: one.version for name in PACKAGES for one in metadata.distributions(name=name)
    }
    return content_hash([(path.relative_to(package).as_posix(), file_hash(path)) for path in files], versions)
