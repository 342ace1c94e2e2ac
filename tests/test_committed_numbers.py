"""Numbers in README, log and docs are those of committed records, so that neither can drift from them."""

import importlib.util
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
INTERVAL = re.compile(r"[+-]?\d*\.\d+ \[[+-]?\d*\.\d+, [+-]?\d*\.\d+\]")
P_VALUE = re.compile(r"\bp (?:= )?(\.\d{3})\b")
PAGE = re.compile(r"\(study/([\w-]+)/README\.md\)")


def _script(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _intervals(text: str) -> set[str]:
    """``value [low, high]`` anywhere in a text, without signs of gain and with a digit before each point."""
    found = INTERVAL.findall(re.sub(r"\s+", " ", text))
    return {re.sub(r"(?<!\d)\.", "0.", one).removeprefix("+") for one in found}


def _entries() -> dict[str, str]:
    """Entries of the log on the present state of a study: those that link its page, no interim ones."""
    text = (ROOT / "results" / "LOG.md").read_text(encoding="utf-8")
    split = (one.partition("\n") for one in re.split(r"^## ", text, flags=re.MULTILINE)[1:])
    return {title: body for title, _, body in split if PAGE.search(body) and "Interim" not in title}


def test_intervals_are_found_across_lines_and_without_zeros() -> None:
    assert _intervals("hammer +.10 [.03,\n.17], of 12 [1, 2]; -2.4 [-3.4, -1.3]") == {
        "0.10 [0.03, 0.17]",
        "-2.4 [-3.4, -1.3]",
    }


@pytest.mark.parametrize("title", _entries())
def test_the_logs_intervals_stand_on_the_pages_it_links(title: str) -> None:
    body = _entries()[title]
    pages = [ROOT / "results" / "study" / name / "README.md" for name in PAGE.findall(body)]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    for found in (_intervals, lambda one: set(P_VALUE.findall(one))):
        assert found(body) <= found(text), f"not on {pages}: {sorted(found(body) - found(text))}"


def test_the_log_tells_of_every_study() -> None:
    told = {name for body in _entries().values() for name in PAGE.findall(body)}
    studies = {path.parent.name for path in (ROOT / "results" / "study").glob("*/README.md")}
    assert studies - {"pilot", "rates"} <= told


def test_seconds_of_notebooks_are_the_measured_ones() -> None:
    page = (ROOT / "docs" / "walk.md").read_text(encoding="utf-8")
    kept = json.loads((ROOT / "results" / "benchmarks" / "notebooks.json").read_text(encoding="utf-8"))
    script = _script("notebooks")
    texts = {match["name"]: match["seconds"] for match in script.ROW.finditer(page)}
    assert set(texts) == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    rows = {name: int(seconds) for name, seconds in texts.items() if seconds != "–"}  # – is not measured yet
    assert rows == kept["seconds"]
    assert script.told(page, rows) == page and script.told(page, dict.fromkeys(rows, 1)) != page
    assert f"(`{kept['profile']}`, {kept['cores']} cores)" in page


def test_links_of_published_notebooks_lead_somewhere() -> None:
    link = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")
    for path in sorted((ROOT / "results" / "published").glob("*/notebook.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(one["source"]) for one in cells if one["cell_type"] == "markdown")
        dead = [one for one in link.findall(text) if not (path.parent / one).exists()]
        assert not dead, f"{path.parent.name}: {dead}"


@pytest.mark.parametrize(
    "page", sorted((ROOT / "results" / "study").glob("*/README.md")), ids=lambda page: page.parent.name
)
def test_other_code_computes_the_printed_contrasts(page: Path, tmp_path: Path) -> None:
    recompute = _script("recompute")
    count, faults = recompute.check(page.parent)
    assert count and not faults, faults


def test_a_wrong_digit_on_a_page_is_found(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "results" / "study" / "pilot", tmp_path / "pilot")
    page = tmp_path / "pilot" / "README.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("| 3 | -1.2 [-7.3, 5.0] |", "| 3 | -1.2 [-7.3, 5.1] |"), encoding="utf-8")
    _, faults = _script("recompute").check(tmp_path / "pilot")
    assert len(faults) == 1 and "hammer - random" in faults[0]


def test_what_is_said_of_diversity_rewards_stands_on_their_page() -> None:
    page = (ROOT / "results" / "benchmarks" / "diversity.md").read_text(encoding="utf-8")
    record = json.loads((ROOT / "results" / "benchmarks" / "diversity.json").read_text(encoding="utf-8"))
    assert _script("diversity").page(record) == page
    told = (ROOT / "docs" / "dra.md").read_text(encoding="utf-8").partition("## Other published ways")[2]
    section = told.partition("\n## ")[0]
    assert _intervals(section) and _intervals(section) <= _intervals(page)


def test_what_the_log_says_of_champ_stands_on_its_page() -> None:
    log = (ROOT / "results" / "LOG.md").read_text(encoding="utf-8")
    (entry,) = (one for one in log.split("\n## ") if "(benchmarks/champ.md)" in one)
    page = (ROOT / "results" / "benchmarks" / "champ.md").read_text(encoding="utf-8")
    assert len(_intervals(entry)) > 12 and _intervals(entry) <= _intervals(page)


def test_the_rarer_answer_of_a_pair_by_hand() -> None:
    script = _script("diversity")
    pairs = script.rarer_pairs(np.array(["4", "4", "5", None], dtype=object))
    assert np.argwhere(pairs).tolist() == [[2, 0], [2, 1]]
    rewards = {(1.0, 1.0, 1.5, 9.0): 1.0, (2.0, 1.0, 1.5, 0.0): 0.5, (1.0, 2.0, 1.0, 0.0): 0.25}
    for given, chance in rewards.items():
        assert script.preferred(np.array(given), pairs) == chance
