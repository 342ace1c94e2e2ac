"""What studies say in a few lines: primary contrasts, lists of the others, all sizes in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from hammerlib.evaluation.intervals import Interval
from hammerlib.study.discoveries import main_contrasts, study_tests
from hammerlib.study.formats import interval, p_value
from hammerlib.study.page import PAGE, planned_cells
from hammerlib.study.records import read_records
from hammerlib.study.scales import scale_table, shown_scales, study_folders
from hammerlib.study.verdicts import OTHER_LEVEL, verdict

LEAST = 3  # replicates for a contrast to be named in a list
LISTS = {
    "differs": "Differ",
    "inside": "Within one point by two one-sided tests, not corrected for how many there are, 90 % interval",
    "open": "Cannot tell",
}

OTHERS = (
    "All other contrasts of this study, arm less twin in points of the same area; exploratory, Benjamini and "
    "Hochberg over all of the study's other tests at 10 %:"
)
SIZES = (
    "The primary contrasts at every size, in points of the same area; Holm over the three of a study. Start: "
    "held-out pass@1 before training; gain: of random order, mean of the last fifth of the budget less the "
    "start. Strategies: effective number among right samples at the end, Benjamini and Hochberg over the "
    "other tests of a study. No difference between sizes is judged:"
)


def verdict_lines(tests: pd.DataFrame) -> str:
    """Return a Markdown list with one line a primary contrast: what it is, and what it says.

    Parameters
    ----------
    tests : DataFrame
        `discoveries.study_tests`.

    Returns
    -------
    str
        Empty where no primary contrast has two replicates.

    Examples
    --------
    >>> verdict_lines(pd.DataFrame())
    ''
    """
    if tests.empty:
        return ""
    lines = [
        f"* **{one.contrast}**: {interval(one)} points of area under the held-out pass@1 curve, "
        f"n = {one.n:.0f} replicates on {_starts(one)}{_by_run(one)}, {one.correction} "
        f"{p_value(one.adjusted)}: "
        f"{verdict(one.low, one.high, one.adjusted, one.p_equivalent)}."
        for one in tests[tests["primary"].astype(bool) & tests["low"].notna()].itertuples()
    ]
    return "\n".join(lines)


def _starts(one: object) -> str:
    starts = f"{one.starts:.0f} start" + "s" * (one.starts != 1)
    return starts if one.seeds == one.starts else f"{starts} of {one.seeds:.0f} supervised runs"


def _by_run(one: object) -> str:
    if pd.isna(one.seeds_low) or one.seeds == one.n:
        return ""
    return f" ([{100 * one.seeds_low:.1f}, {100 * one.seeds_high:.1f}] by supervised run)"


def verdict_lists(tests: pd.DataFrame) -> str:
    """Return a Markdown list of the other contrasts in `auc`, by what they say.

    Parameters
    ----------
    tests : DataFrame
        `discoveries.study_tests`.

    Returns
    -------
    str
        One line each for those that differ, with interval, corrected p and n, for those shown to be within
        the margin, with the 90 % interval and p of two one-sided tests, and for the others, by name;
        contrasts of fewer than three replicates are only counted. A difference that is both there and shown
        to be small stands in the first list and is marked.
        Empty without any such contrast.

    Examples
    --------
    >>> verdict_lists(pd.DataFrame())
    ''
    """
    table = main_contrasts(tests)
    if table.empty or table["primary"].all():
        return ""
    rest = table[~table["primary"].astype(bool)]
    lists: dict[str, list[str]] = {name: [] for name in LISTS}
    for one in rest[rest["n"] >= LEAST].sort_values("value").itertuples():
        kind, small = _kind(one)
        if kind == "inside":
            shown = f"{one.contrast} {interval(_narrow(one))}, {p_value(one.p_equivalent)}, n = {one.n:.0f}"
        else:
            shown = f"{one.contrast} {interval(one)}{_by_run(one)}, {p_value(one.adjusted)}, n = {one.n:.0f}"
        lists[kind].append(one.contrast if kind == "open" else shown + small)
    lines = [f"* {text}: {'; '.join(lists[name]) or 'none'}." for name, text in LISTS.items()]
    few = int((rest["n"] < LEAST).sum())
    if few:
        lines.append(f"* Fewer than three replicates so far, not judged: {few} contrasts.")
    return "\n".join(lines)


def _narrow(one: Any) -> Interval:
    """The 90 % interval, which lies inside the margin where two one-sided tests at 5 % say so."""
    from scipy.stats import t

    half = t.ppf(0.95, one.n - 1) * one.sd / one.n**0.5
    return Interval(one.value, one.value - half, one.value + half)


def _kind(one: Any) -> tuple[str, str]:
    """In which of `LISTS` a contrast stands, and what is to be added."""
    said = verdict(one.low, one.high, one.adjusted, one.p_equivalent, level=OTHER_LEVEL)
    small = ", but by less than one point" if "by less" in said else ""
    if said.startswith(("better", "worse")):
        return "differs", small
    return ("inside" if said.startswith("no ") else "open"), small


def studies_section(root: Path) -> str:
    """Return what the committed studies say, for the README: the largest one's contrasts, then all sizes.

    Examples
    --------
    >>> studies_section(Path("nowhere"))
    'No study is committed yet.'
    """
    found = [read_records(folder, planned_cells(folder)) for folder in study_folders(root)]
    if not found:
        return "No study is committed yet."
    largest = max(found, key=lambda records: len(records.cells))
    tests = study_tests(largest)
    lines, lists = verdict_lines(tests), verdict_lists(tests)
    head = f"Study [`{largest.study}`](results/study/{largest.study}/{PAGE}), {len(largest.cells)} cells"
    parts = [f"{head}:\n\n{lines}" if lines else f"{head}."]
    parts += [f"{OTHERS}\n\n{lists}"] if lists else []
    parts += [f"{SIZES}\n\n{shown_scales(scale_table(found))}"] if len(found) > 1 else []
    return "\n\n".join(parts)
