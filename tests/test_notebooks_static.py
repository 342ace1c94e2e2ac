"""Every notebook, read but not run: one cell of typed parameters, no logic, no outputs, live links."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
import yaml

from hammerlib.pipeline import notebook_run
from hammerlib.pipeline.parameters import Parameter, check_value, declared
from hammerlib.plots.drawings import with_formulas
from hammerlib.runs.storage import results_root

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(
    path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
)
TAUGHT = [path for path in NOTEBOOKS if path.parent.name == "notebooks"]
SYSTEMS = [path for path in NOTEBOOKS if path.parent.name == "systems"]


def flat(profile: dict) -> dict:
    """Parameter to value: what holds for all notebooks, and what the sections of single ones add."""
    sections = {key: value for key, value in profile.items() if isinstance(value, dict)}
    values = {key: value for key, value in profile.items() if key not in sections}
    for section in sections.values():
        assert not set(section) & set(values), "a value is given twice"
        values |= section
    return values


PROFILES = {
    path.stem: flat(yaml.safe_load(path.read_text())) for path in sorted((ROOT / "configs").glob("*.yaml"))
}
every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    """The notebook as it stands in the repository."""
    return nbformat.read(path, as_version=4)


def code(path: Path) -> list[str]:
    """Sources of its code cells."""
    return [cell.source for cell in read(path).cells if cell.cell_type == "code"]


def text(path: Path) -> str:
    """All its prose."""
    return "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def parameters_cell(path: Path) -> str:
    """Source of the cell tagged parameters."""
    (cell,) = [cell for cell in read(path).cells if "parameters" in cell.metadata.get("tags", [])]
    return cell.source


def all_parameters() -> dict[str, Parameter]:
    """Every parameter of every notebook."""
    return {name: line for path in NOTEBOOKS for name, line in declared(path).items()}


def test_the_walk_has_nine_notebooks_in_order() -> None:
    assert [path.stem for path in NOTEBOOKS if path.parent.name == "notebooks"] == [
        "00_overview",
        "01_embeddings",
        "02_semantic_space",
        "03_ordering",
        "03b_claims",
        "04_training",
        "05_evaluation",
        "06_study",
        "07_your_own",
    ]


@every
def test_it_is_a_valid_notebook_for_the_python3_kernel(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata and "papermill" not in notebook.metadata


@every
def test_it_is_committed_without_outputs(path: Path) -> None:
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert not [cell.source for cell in cells if cell.outputs or cell.execution_count is not None]


@every
def test_each_parameter_is_a_typed_literal_with_a_comment(path: Path) -> None:
    source = parameters_cell(path)
    assert source.startswith("profile: str")
    lines = source.splitlines()
    declarations = ast.parse(source).body
    assert len(declarations) == len(declared(path))
    ends = [0, *(declaration.end_lineno for declaration in declarations)]
    assert ends[-1] == len(lines)
    for first, last in pairwise(ends):
        line = "\n".join(lines[first:last])
        comments = [
            one
            for one in tokenize.generate_tokens(io.StringIO(line).readline)
            if one.type == tokenize.COMMENT
        ]
        assert len(comments) == 1 and len(comments[0].string) > 4, line


@every
def test_defaults_are_the_ci_profile(path: Path) -> None:
    for name, line in declared(path).items():
        assert name in PROFILES["ci"], f"{name} is missing in configs/ci.yaml"
        assert check_value(name, PROFILES["ci"][name], line.kind) == line.default, name


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_gives_every_parameter_a_value_of_its_type_and_none_besides(profile: str) -> None:
    known, given = all_parameters(), PROFILES[profile]
    assert set(given) == set(known) and given["profile"] == profile
    for name, value in given.items():
        check_value(name, value, known[name].kind)


@every
def test_it_opens_its_run_right_after_the_parameters(path: Path) -> None:
    cells = code(path)
    place = cells.index(parameters_cell(path))
    assert place == 0
    assert f'= notebook_run("{path.stem}", globals())' in cells[1]
    assert "run.finish()" in cells[-1]


@every
@pytest.mark.parametrize("folder", ["notebooks", "notebooks/systems", "elsewhere"])
def test_its_paths_are_of_the_checkout_wherever_its_kernel_starts(
    path: Path, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path if folder == "elsewhere" else ROOT / folder)
    given: dict = {}
    exec(parameters_cell(path), given)  # as `make lab` and a bare papermill do
    notebook_run(path.stem, given)
    named = [value for value in given.values() if isinstance(value, str) and (ROOT / value).exists()]
    assert Path.cwd() == ROOT and all(Path(value).exists() for value in named)


def test_the_study_opens_its_grid_and_records_from_the_notebooks_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT / "notebooks")
    sources, given = code(ROOT / "notebooks" / "06_study.ipynb"), {}
    exec("\n".join(sources[:3]), given)  # parameters, the run, imports
    (running,) = [source for source in sources if "run_trials(" in source]
    exec(running.partition("status = ")[0], given)
    assert given["planned"] and given["folder"].is_relative_to(results_root())
    reading = [ast.parse(source) for source in sources if "read_records(" in source]
    opened = [
        node
        for tree in reading
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Path"
    ]
    assert len(opened) == 2  # records, studies
    for node in opened:
        assert eval(ast.unparse(node), given).is_dir(), ast.unparse(node)


@every
def test_it_holds_no_logic_of_its_own(path: Path) -> None:
    for source in code(path):
        tree = ast.parse(source)
        made = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
        ]
        assert not made, source
        assert not re.search(r"^\s*[!%]|\bpip install\b|sys\.path|get_ipython", source, re.MULTILINE), source


@every
def test_its_cells_and_lines_are_short(path: Path) -> None:
    assert not [source for source in code(path) if len(source.splitlines()) > 25]
    assert not [line for source in code(path) for line in source.splitlines() if len(line) > 110]


@every
def test_it_names_no_absolute_place(path: Path) -> None:
    everything = text(path) + "\n".join(code(path))
    assert not re.search(
        r"(?<![\w.:/])(?:/|[A-Z]:\\|~/)(?:home|root|work|tmp|Users|opt|mnt|data)\b", everything
    )


@every
def test_it_checks_what_it_claims(path: Path) -> None:
    checks = [
        node for source in code(path) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert)
    ]
    assert len(checks) >= 2


@pytest.mark.parametrize("path", SYSTEMS, ids=lambda path: path.stem)
def test_a_system_names_its_paper_and_what_differs_from_it_and_records_a_number(path: Path) -> None:
    prose = text(path)
    assert "arxiv.org/abs/" in prose and "differs from the paper" in prose
    cells = "\n".join(code(path))
    assert re.search(r"\.(metric|tabulate)\(", cells) and re.search(r"\b(save|figure)\(", cells)


def is_bookkeeping(node: ast.stmt) -> bool:
    """Whether a statement only checks, records or saves, or is a loop of such statements."""
    if isinstance(node, ast.For | ast.If | ast.With):
        return all(map(is_bookkeeping, [*node.body, *getattr(node, "orelse", [])]))
    if isinstance(node, ast.Expr | ast.Assign) and isinstance(node.value, ast.Call):
        called = ast.unparse(node.value.func).split(".")[-1]
        return called in ("metric", "artefact", "note", "finish", "save", "figure")
    return isinstance(node, ast.Assert)


def lines_of(nodes: list[ast.stmt]) -> int:
    """Lines of bookkeeping in a cell, inside its loops too."""
    inner = [node for node in nodes if isinstance(node, ast.For | ast.If | ast.With)]
    own = sum(node.end_lineno - node.lineno + 1 for node in nodes if is_bookkeeping(node))
    blocks = [[*node.body, *getattr(node, "orelse", [])] for node in inner if not is_bookkeeping(node)]
    return own + sum(map(lines_of, blocks))


@every
def test_little_of_it_is_bookkeeping(path: Path) -> None:
    cells = [source for source in code(path) if source != parameters_cell(path)]
    written = [line for source in cells for line in source.splitlines() if line.strip()]
    kept = sum(lines_of(ast.parse(source).body) for source in cells)
    assert 0 < kept <= 0.12 * len([line for line in written if not line.lstrip().startswith("#")])


@every
def test_it_asks_draws_shows_the_formula_and_says_what_this_run_found(path: Path) -> None:
    prose, cells = text(path), "\n".join(code(path))
    assert "**Question.**" in prose and "diagram(" in cells and "$$" in prose
    assert "run.found(" in cells and "**Found" not in prose  # a fixed finding is false under other values
    _, heading, rest = prose.partition("## Try this")
    tries = rest.partition("\n## ")[0]
    assert heading and 2 <= len(re.findall(r"^[-*] ", tries, re.MULTILINE)) <= 6
    assert re.search("^## What (this|it) (does|shows) and (does|what it does) not", rest, re.MULTILINE)


@pytest.mark.parametrize("path", TAUGHT, ids=lambda path: path.stem)
def test_a_notebook_of_the_walk_leads_to_the_one_before_and_after(path: Path) -> None:
    prose = text(path)
    place = TAUGHT.index(path)
    if place:
        assert f"Previous: [{TAUGHT[place - 1].stem.replace('_', ' ')}]({TAUGHT[place - 1].name})" in prose
    if place < len(TAUGHT) - 1:
        assert f"Next: [{TAUGHT[place + 1].stem.replace('_', ' ')}]({TAUGHT[place + 1].name})" in prose


@pytest.mark.parametrize("path", SYSTEMS, ids=lambda path: path.stem)
def test_a_system_leads_to_its_neighbours_and_to_all_systems(path: Path) -> None:
    prose = text(path)
    place = SYSTEMS.index(path)
    neighbours = [*SYSTEMS[max(0, place - 1) : place], *SYSTEMS[place + 1 : place + 2]]
    assert all(f"]({neighbour.name})" in prose for neighbour in neighbours)
    assert "](../../docs/systems.md)" in prose


@every
def test_its_formulas_are_between_dollars_and_can_be_drawn(path: Path) -> None:
    assert not re.search(r"\\\(|\\\[", text(path)), "write formulas between dollars"
    cells = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    drawn = [re.sub(r'alt="[^"]*"|`[^`]*`', "", with_formulas(source)) for source in cells]
    assert not [source for source in drawn if "$" in source], "a page shows what mathtext can draw"


@every
def test_its_links_resolve(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", text(path))
    assert not [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not [link for link in links if link.startswith("http://")]


@every
def test_every_name_it_imports_from_the_package_exists(path: Path) -> None:
    from importlib import import_module

    for source in code(path):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hammerlib"):
                module = import_module(node.module)
                for alias in node.names:
                    if not hasattr(module, alias.name):  # a module that nobody imported yet
                        import_module(f"{node.module}.{alias.name}")
