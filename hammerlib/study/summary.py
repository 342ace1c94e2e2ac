"""What a study says in a few lines: the primary contrasts, and lists of the others."""

from __future__ import annotations

import pandas as pd

from hammerlib.study.discoveries import main_contrasts
from hammerlib.study.formats import interval, p_value
from hammerlib.study.verdicts import OTHER_LEVEL, verdict

LEAST = 3  # replicates for a contrast to be named in a list
LISTS = {
    "differs": "Differ",
    "inside": "Shown to be within one point",
    "open": "Cannot tell",
}


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
        f"n = {one.n:.0f} replicates on {_starts(one)}, {one.correction} {p_value(one.adjusted)}: "
        f"{verdict(one.low, one.high, one.adjusted, one.p_equivalent)}."
        for one in tests[tests["primary"].astype(bool) & tests["low"].notna()].itertuples()
    ]
    return "\n".join(lines)


def _starts(one: object) -> str:
    starts = f"{one.starts:.0f} start" + "s" * (one.starts != 1)
    return starts if one.seeds == one.starts else f"{starts} of {one.seeds:.0f} supervised runs"


def verdict_lists(tests: pd.DataFrame) -> str:
    """Return a Markdown list of the other contrasts in `auc`, by what they say; each a difference and its n.

    Parameters
    ----------
    tests : DataFrame
        `discoveries.study_tests`.

    Returns
    -------
    str
        One line each for those that differ, those shown to be within the margin, and those that cannot be
        told; contrasts of fewer than three replicates are only counted. A difference that is both there and
        shown to be small stands in the first list and is marked. Empty without any such contrast.

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
        said = verdict(one.low, one.high, one.adjusted, one.p_equivalent, level=OTHER_LEVEL)
        kind = (
            "differs"
            if said.startswith(("better", "worse"))
            else "inside"
            if said.startswith("no ")
            else "open"
        )
        small = ", but by less than one point" if "by less" in said else ""
        lists[kind].append(f"{one.contrast} {100 * one.value:+.1f} (n = {one.n:.0f}{small})")
    lines = [f"* {text}: {'; '.join(lists[name]) or 'none'}." for name, text in LISTS.items()]
    few = int((rest["n"] < LEAST).sum())
    if few:
        lines.append(f"* Fewer than three replicates so far, not judged: {few} contrasts.")
    return "\n".join(lines)
