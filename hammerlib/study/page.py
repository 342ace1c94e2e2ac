"""The page of a study, ``results/study/<study>/README.md``: every table on it comes from the records."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from hammerlib.errors import InputError
from hammerlib.runs.storage import atomic_path
from hammerlib.study.discoveries import study_tests
from hammerlib.study.endpoints import ENDPOINTS
from hammerlib.study.glossary import arm_list, design_lines
from hammerlib.study.records import Records, read_records
from hammerlib.study.sections import course, outcomes, parts, what_it_can_show

if TYPE_CHECKING:
    from hammerlib.study.plan import Study

PAGE = "README.md"


def study_page(records: Records, study: Study | None = None) -> str:
    """Return the page as Markdown.

    Its tables hold no seconds, so that they are the same on a rerun; the hours that more replicates would
    take are a machine's and stand in one line under the last table.

    Parameters
    ----------
    records : Records
        Of one study, one cell or more.
    study : Study, optional
        Its file, for what was trained and what the arms are.

    Returns
    -------
    str

    Raises
    ------
    InputError
        No finished cell.

    Examples
    --------
    >>> import pandas as pd
    >>> study_page(Records("demo", (), pd.DataFrame()))
    Traceback (most recent call last):
    ...
    hammerlib.errors.InputError: study = 'demo': has no finished cell; run it: hammer sweep
    """
    if not records.cells:
        raise InputError("study", records.study, "has no finished cell", "run it: hammer sweep")
    tests = study_tests(records)
    sections = outcomes(records, tests) | parts(records, tests) | course(records, tests)
    sections |= what_it_can_show(records, tests)
    design = f"{design_lines(study, records)}\n" if study else ""
    if study:
        sections["What the arms are"] = ("", arm_list(study, records))
    head = f"# Study `{records.study}`\n\nGenerated from the records in this folder; do not edit.\n\n"
    body = "".join(f"\n\n## {name}\n\n{text}\n\n{table}" for name, (text, table) in sections.items())
    words = "\n".join(f"* `{name}`: {text}" for name, text in ENDPOINTS.items())
    return f"{head}{design}{_provenance(records)}{body}\n\n## Words\n\n{words}\n"


def planned_study(folder: Path) -> Study | None:
    """Return the study whose records a folder of a checkout holds.

    Parameters
    ----------
    folder : Path
        ``results/study/<study>``.

    Returns
    -------
    Study or None
        ``configs/study/<study>.yaml`` of the same checkout; None where there is no such file.

    Examples
    --------
    >>> planned_study(Path("nowhere")) is None
    True
    """
    from hammerlib.study.plan import read_study  # with the trainer's settings; pages of records need none

    folder = Path(folder).resolve()
    path = folder.parents[2] / "configs" / "study" / f"{folder.name}.yaml"
    return read_study(path) if path.is_file() else None


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
    from hammerlib.study.plan import cells

    study = planned_study(folder)
    return None if study is None else {(cell.arm, cell.replicate): cell.identity for cell in cells(study)}


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
    text = study_page(read_records(folder, planned_cells(folder)), planned_study(folder))
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
