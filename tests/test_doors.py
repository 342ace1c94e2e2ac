"""What the README and the how-to pages show runs as it stands there, with the numbers of the records."""

from __future__ import annotations

import html
import importlib.util
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer

from hammerlib.cli import application
from hammerlib.cli.options import one_word_each
from hammerlib.evaluation import BENCHMARKS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOOR = re.compile(
    r"^\| (?P<want>[^|]+) \| `(?P<line>[^`|]+)` \| \[[^]]+\]\((?P<page>docs/\w+\.md)\) \|$", re.MULTILINE
)
DOORS = [match.groupdict() for match in DOOR.finditer(README)]
# `sh` and `python` are run; `shell` needs a GPU, the hub or hours, and must at least name what exists.
BLOCK = re.compile(r"^```(?P<kind>sh|python|shell)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = sorted(
    path for path in (ROOT / "docs").glob("*.md") if BLOCK.search(path.read_text(encoding="utf-8"))
)
SHELL = f'set -eo pipefail\nhammer() {{ "{sys.executable}" -m hammerlib.cli "$@"; }}\n'


def blocks(page: Path, *kinds: str) -> list[tuple[str, str]]:
    """Kind and code of the blocks of a page, in its order."""
    found = [match.group("kind", "code") for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]
    return [(kind, code) for kind, code in found if kind in kinds]


def figures() -> ModuleType:
    """The script that draws the README's figures."""
    spec = importlib.util.spec_from_file_location("figures", ROOT / "docs" / "figures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A reader's folder: problems, vectors, the checkout's files, and a module of their own."""
    folder = tmp_path / "reader"
    (folder / "notebooks").mkdir(parents=True)
    for name in ("configs", "train.yaml"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "notebooks" / "your_own.py", folder)
    rows = [{"problem": f"What is {i} + {i * i}?", "answer": str(i + i * i)} for i in range(16)]
    (folder / "my_problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code = "import numpy as np; np.save('vectors.npy', np.random.default_rng(0).normal(size=(16, 8)))"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    return folder


def test_the_readme_has_seven_doors() -> None:
    assert len(DOORS) == 7 and README.count("\n| ") == 7 + 1


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door["want"])
def test_a_door_stands_on_its_page(door: dict[str, str]) -> None:
    kinds = ("sh", "python")
    if door["line"] == "hammer run --profile ci":  # executed by test_notebooks_run
        kinds = ("shell",)
    lines = [line.strip() for _, code in blocks(ROOT / door["page"], *kinds) for line in code.splitlines()]
    assert any(re.split(r" {2,}#", line)[0].strip() == door["line"] for line in lines)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "sh", "python")], ids=lambda page: page.stem
)
def test_the_code_of_a_page_runs(page: Path, workplace: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HAMMER_RESULTS": str(workplace / "runs")}
    for kind, code in blocks(page, "sh", "python"):
        command = ["bash", "-c", SHELL + code] if kind == "sh" else [sys.executable, "-c", code]
        ended = subprocess.run(command, cwd=workplace, env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, f"{code}\n{ended.stdout[-2000:]}\n{ended.stderr[-3000:]}"


def commands() -> list[str]:
    """Every line on the pages and in the README that calls hammer, without its comment."""
    texts = [README, *(path.read_text(encoding="utf-8") for path in PAGES)]
    lines = []
    for match in BLOCK.finditer("\n".join(texts)):
        lines += match["code"].replace("\\\n", " ").splitlines()
    lines += re.findall(r"`(hammer \w+ [^`|]+)`", "\n".join(texts))
    return sorted({line.partition(" #")[0].strip() for line in lines if line.startswith("hammer ")})


@pytest.mark.parametrize("line", commands())
def test_commands_have_the_options_that_they_are_shown_with(line: str) -> None:
    words = shlex.split(line)[1:]
    command = typer.main.get_command(application())
    name, subcommand, rest = command.resolve_command(typer.Context(command), words)
    assert subcommand is not None, line
    subcommand.make_context(name, one_word_each(["hammer", *rest])[1:])


def test_numbers_of_the_finding_stand_on_the_pages_of_the_studies() -> None:
    interval = re.compile(r"([+-]?\d*\.\d+) (?:points )?(\[[^]]+\])")
    finding = re.sub(r"\s+", " ", README.partition("## What we found")[2].partition("\n## ")[0])
    pages = "\n".join(path.read_text() for path in (ROOT / "results" / "study").glob("*/README.md"))
    shown = [" ".join(found) for found in interval.findall(finding)]
    assert len(shown) >= 3 and all(one.removeprefix("+") in pages for one in shown), shown


def test_minutes_of_the_walk_are_the_measured_ones() -> None:
    kept = json.loads((ROOT / "results" / "benchmarks" / "notebooks.json").read_text(encoding="utf-8"))
    minutes = math.ceil(kept["walk"] / 60)
    assert f"`make run` takes {minutes} minutes" in re.sub(r"\s+", " ", README)


def test_the_readme_is_three_screens() -> None:
    # Rendered as on GitHub, 900 pixels wide, it is 2,450 pixels high; what grows belongs on the site.
    assert len(README.split()) < 800 and README.count("<img") == 2


def test_the_page_of_benchmark_files_names_each_with_its_source() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    shown = {row[0].strip("|` "): (row[1], row[2].strip("`"), row[3], row[4].rstrip(" |")) for row in rows}
    entries = {name: entry for name, entry in BENCHMARKS.items() if entry.file}
    assert shown == {
        name: (f"{entry.rows:,}", entry.file, entry.origin, entry.hub) for name, entry in entries.items()
    }


def description(figure: str) -> list[dict[str, object]]:
    """The numbers that a drawn figure carries."""
    text = (ROOT / "docs" / "figures" / figure).read_text(encoding="utf-8")
    return json.loads(html.unescape(re.search(r"<dc:description>(.*?)</dc:description>", text, re.DOTALL)[1]))


def test_the_solver_chart_shows_what_was_measured() -> None:
    measured = json.loads((ROOT / "results" / "benchmarks" / "ordering.json").read_text(encoding="utf-8"))
    assert description("solvers.svg") == figures().solver_numbers(measured["results"]), (
        "python docs/figures.py"
    )
