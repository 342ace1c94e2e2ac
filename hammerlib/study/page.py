"""The page of a study, ``results/study/<study>/README.md``: every table on it comes from the records."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from hammerlib.errors import InputError
from hammerlib.storage import atomic_path
from hammerlib.study.contrasts import MARGIN
from hammerlib.study.curves import THRESHOLD
from hammerlib.study.decomposition import decomposition_table
from hammerlib.study.discoveries import main_contrasts, study_tests
from hammerlib.study.endpoints import ENDPOINTS, endpoint_table
from hammerlib.study.power import power_table
from hammerlib.study.records import Records, read_records
from hammerlib.study.tables import (
    WISHED,
    shown_arms,
    shown_causes,
    shown_contrasts,
    shown_endpoints,
    shown_families,
    shown_power,
    shown_spreads,
    shown_thresholds,
)

PAGE = "README.md"
SHARES = ("auc", "final", "pass@k", "greedy", "auc_unseen")
OTHERS = ("entropy", "answers", "strategies", "zero_variance_share", "drawdown", "drawdown_noise")


def study_page(records: Records) -> str:
    """Return the page as Markdown.

    Its tables hold no seconds, so that they are the same on a rerun; the hours that more replicates would
    take are a machine's and stand in one line under the last table.

    Parameters
    ----------
    records : Records
        Of one study, one cell or more.

    Returns
    -------
    str

    Raises
    ------
    InputError
        No finished cell.

    Examples
    --------
    >>> study_page(Records("demo", (), pd.DataFrame()))
    Traceback (most recent call last):
    ...
    hammerlib.errors.InputError: study = 'demo': has no finished cell; run it: hammer sweep
    """
    if not records.cells:
        raise InputError("study", records.study, "has no finished cell", "run it: hammer sweep")
    tests = study_tests(records)
    sections = _outcomes(records, tests) | _course(records, tests) | _power(records, tests)
    head = f"# Study `{records.study}`\n\nGenerated from the records in this folder; do not edit.\n\n"
    body = "".join(f"\n\n## {name}\n\n{text}\n\n{table}" for name, (text, table) in sections.items())
    words = "\n".join(f"* `{name}`: {text}" for name, text in ENDPOINTS.items())
    return f"{head}{_provenance(records)}{body}\n\n## Words\n\n{words}\n"


def _outcomes(records: Records, tests: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Sections on what came out: name to text and table."""
    count = int((~tests["primary"].astype(bool) & tests["p"].notna()).sum()) if len(tests) else 0
    sections = {
        "Arms": (
            "Mean over replicates, per cent, with Student's 95 % interval. Arms of fewer replicates have "
            "other starts and problems: compare arms by their contrasts only.",
            shown_arms(endpoint_table(records), SHARES),
        ),
        "Contrasts": (
            "Arm less twin in `auc`, points, paired by replicate. Every interval on this page is of one "
            "number, at 95 %, Student's where nothing else is said, and not corrected for how many there "
            "are. p-values are: by Holm (H) for the primary contrasts (bold), judged at 5 %; by Benjamini "
            f"and Hochberg (BH) for all others, judged at 10 %, exploratory: the {count} tests of this and "
            "the next tables are one family. Nothing is called better or worse whose interval holds "
            f"zero. Equivalence: smaller than {100 * MARGIN:g}, two one-sided tests at 5 %, not corrected. "
            "Interval by supervised seeds: with one number a supervised run, for its checkpoints are no "
            "independent starts.",
            shown_contrasts(main_contrasts(tests)),
        ),
        "Other endpoints": (
            "Arm less twin, points; corrected p beside. `auc_paid`: as `auc` where neither arm probed the "
            "start; – where the probe alone is the budget. `auc_tokens`: – where groups are filtered, for "
            "the record holds only the tokens trained on.",
            shown_endpoints(tests),
        ),
        "Families": (
            "Primary contrasts in `auc` by family, points. IQM: interquartile mean of all differences; its "
            "bootstrap counts the families of one training as independent, so that it is too narrow. IQM by "
            "replicate does not. Ahead: share of replicates and families in which the arm is ahead of its "
            "twin (50 %: no improvement), interval over replicates.",
            shown_families(records),
        ),
    }
    causes = decomposition_table(records)
    if len(causes) > 1:
        told = (
            "`auc`, points. Whole effect there: that of the order in the replicates that the row rests on, "
            "with which the row is to be compared; other replicates have other starts. Expected: the sign if "
            "this cause carried the whole effect."
        )
        sections["What of HAMMER's order does it"] = told, shown_causes(causes, tests)
    return sections


def _course(records: Records, tests: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Sections on how training went."""
    endpoints = endpoint_table(records)
    return {
        "Process": (
            "Means over replicates. Arms of fewer replicates have other starts and problems, so that these "
            "means are not to be compared between arms of unequal n. `drawdown_noise` is what `drawdown` "
            "would be if the curve never fell and only its samples were noisy.",
            shown_arms(endpoints, OTHERS, shares=False),
        ),
        f"Rollouts and steps until pass@1 reaches {THRESHOLD:g}": (
            "A replicate that never reaches it counts with its whole budget. Sooner: paired by replicate, at "
            "equal rollouts; p by flips of the signs of these differences. Steps of arms with other numbers "
            "of prompts a step are of other sizes.",
            shown_thresholds(records, tests),
        ),
        "Spread": (
            "Standard deviation of `final` over replicates, points, with its chi-square interval; ratio to "
            "the twin's between replicates of one start, p after Pitman and Morgan.",
            shown_spreads(endpoints, records.twins(), tests),
        ),
    }


def _power(records: Records, tests: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """The section on what the number of replicates can show."""
    contrasts = main_contrasts(tests)
    table = shown_power(contrasts, records)
    if table.count("\n") < 2:
        return {}
    told = (
        "Primary contrasts in `auc`, points, for the standard deviation of the paired differences that was "
        "seen, and the ends of its chi-square interval. At the planned number of replicates: the smallest "
        "true difference that an uncorrected test at 5 % finds with a chance of 80 %, and the chance to show "
        f"a true zero to be smaller than {100 * MARGIN:g}. Then: half-width seen, and replicates for one of "
        f"{100 * WISHED:g}."
    )
    primary = contrasts[contrasts["primary"].astype(bool)]
    needed = power_table(primary, records, half_widths=(WISHED,))
    hours = "; ".join(f"{one.contrast} {one.hours:.1f}" for one in needed.itertuples())
    return {
        "What the number of replicates can show": (
            told,
            f"{table}\n\nHours for the missing ones, arm and twin, one core of the machine of these records "
            f"left alone: {hours}.",
        )
    }


def planned_cells(folder: Path) -> dict[tuple[str, int], str] | None:
    """Return the cells that a committed study is to have, and which settings each is to have.

    Parameters
    ----------
    folder : Path
        ``results/study/<study>`` of a checkout.

    Returns
    -------
    dict of (str, int) to str, or None
        Arm and replicate to the identity of the settings, of ``configs/study/<study>.yaml`` in the same
        checkout; None where there is no such file.

    Examples
    --------
    >>> planned_cells(Path("nowhere")) is None
    True
    """
    from hammerlib.study.plan import cells, read_study

    folder = Path(folder).resolve()
    path = folder.parents[2] / "configs" / "study" / f"{folder.name}.yaml"
    if not path.is_file():
        return None
    return {(cell.arm, cell.replicate): cell.identity for cell in cells(read_study(path))}


def write_page(folder: Path) -> Path:
    """Write the page of a study beside its records.

    Parameters
    ----------
    folder : Path
        ``results/study/<study>``.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    InputError
        As in `records.read_records`, or no finished cell.

    Examples
    --------
    >>> write_page(Path("nowhere"))
    Traceback (most recent call last):
    ...
    hammerlib.errors.InputError: folder = 'nowhere': holds no record of a cell; run the study first...
    """
    text = study_page(read_records(folder, planned_cells(folder)))
    with atomic_path(Path(folder) / PAGE) as part:
        part.write_text(text, encoding="utf-8")
    return Path(folder) / PAGE


def _provenance(records: Records) -> str:
    table = records.table
    commits = sorted({f"`{str(one)[:10]}`" for one in table["commit"]})
    dirty = " (with changes that were not committed)" if table["dirty"].fillna(True).any() else ""
    used, probed = (table.groupby("arm")[name].mean() for name in ("rollouts", "probe_rollouts"))
    budget = f"{used.min():,.0f}" + (f" to {used.max():,.0f}" if used.max() > used.min() else "")
    probes = ", ".join(f"{arm} {count:,.0f}" for arm, count in probed[probed > 0].items())
    paid = f" Probes of the start beside: {probes}." if probes else ""
    lines = [
        f"* {len(records.cells)} cells: {len(records.arms)} arms, {table['replicate'].nunique()} replicates "
        f"on {table['start'].nunique()} starts ({table['lineage'].nunique()} supervised runs); "
        f"{len(records.missing)} missing, failed or of other settings.",
        f"* Completions generated a cell, by arm: {budget}, filtered ones among them.{paid}",
        f"* Command `hammer sweep configs/study/{records.study}.yaml`; commit {', '.join(commits)}{dirty}.",
    ]
    counts = table["arm"].value_counts(sort=False)
    if (counts < 2).any():
        lone = ", ".join(counts.index[counts < 2])
        lines.append(f"* A single replicate so far, so without an interval and in no table: {lone}.")
    if len(records.missing):
        gone = [
            f"{arm} {_spans(part['replicate'])} ({reason})"
            for (arm, reason), part in records.missing.groupby(["arm", "reason"], sort=False)
        ]
        lines.append("* Missing or left out, by replicate: " + "; ".join(gone) + ".")
    return "\n".join(lines)


def _spans(numbers: Iterable[int]) -> str:
    """Numbers with neighbours drawn together: 0-3, 7."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return ", ".join(f"{one[0]}-{one[-1]}" if len(one) > 1 else str(one[0]) for one in spans)
