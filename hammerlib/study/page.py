"""The page of a study, ``results/study/<study>/README.md``: every table on it comes from the records."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hammerlib.errors import InputError
from hammerlib.storage import atomic_path
from hammerlib.study.contrasts import MARGIN, contrast_table
from hammerlib.study.curves import THRESHOLD
from hammerlib.study.decomposition import decomposition_table
from hammerlib.study.endpoints import ENDPOINTS, endpoint_table
from hammerlib.study.records import Records, read_records
from hammerlib.study.tables import (
    interval,
    p_value,
    shown_arms,
    shown_causes,
    shown_contrasts,
    shown_endpoints,
    shown_families,
    shown_spreads,
    shown_thresholds,
)
from hammerlib.study.verdicts import verdict

PAGE = "README.md"
SHARES = ("auc", "final", "pass@k", "greedy", "auc_unseen")
COMPARED = ("final", "pass@k", "greedy", "auc_unseen", "auc_tokens", "auc_paid", "drawdown")
OTHERS = ("entropy", "answers", "strategies", "zero_variance_share", "drawdown")


def study_page(records: Records) -> str:
    """Return the page as Markdown.

    Seconds are not on it: they are a machine's, and the page is to be the same on a rerun.

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
    >>> import pandas as pd
    >>> study_page(Records("demo", (), pd.DataFrame()))
    Traceback (most recent call last):
    ...
    hammerlib.errors.InputError: study = 'demo': has no finished cell; run it: hammer sweep
    """
    if not records.cells:
        raise InputError("study", records.study, "has no finished cell", "run it: hammer sweep")
    endpoints, contrasts = endpoint_table(records), contrast_table(records)
    within = f"{100 * MARGIN:g}"
    sections = {
        "Arms": (
            "Mean over replicates, per cent, with Student's 95 % interval. Arms of fewer replicates have "
            "other starts and problems: compare arms by their contrasts only.",
            shown_arms(endpoints, SHARES),
        ),
        "Contrasts": (
            f"Arm less twin in `auc`, points, paired by replicate. Equivalence: smaller than {within}. Bold: "
            "primary, corrected by Holm (H), judged at 5 %; the others by Benjamini and Hochberg (BH), at "
            "10 %, exploratory.",
            shown_contrasts(contrasts),
        ),
        "Other endpoints": (
            "Arm less twin, points; p by Benjamini and Hochberg within each column.",
            shown_endpoints(records, COMPARED),
        ),
        "Process": ("Means over replicates.", shown_arms(endpoints, OTHERS, shares=False)),
        "Families": ("Primary contrasts in `auc` by family, points.", shown_families(records)),
        f"Rollouts until pass@1 reaches {THRESHOLD:g}": (
            "A replicate that never reaches it counts with its whole budget.",
            shown_thresholds(records),
        ),
        "Spread": (
            "Standard deviation of `final` over replicates, points, with its chi-square interval; ratio to "
            "the twin's between replicates of one start, p after Pitman and Morgan.",
            shown_spreads(endpoints, records.twins()),
        ),
    }
    causes = decomposition_table(records)
    if len(causes) > 1:
        told = "`auc`, points; corrected p by Benjamini and Hochberg over the causes."
        sections["What of HAMMER's order does it"] = told, shown_causes(causes)
    head = f"# Study `{records.study}`\n\nGenerated from the records in this folder; do not edit.\n\n"
    body = "".join(f"\n\n## {name}\n\n{text}\n\n{table}" for name, (text, table) in sections.items())
    words = "\n".join(f"* `{name}`: {text}" for name, text in ENDPOINTS.items())
    return f"{head}{_provenance(records)}{body}\n\n## Words\n\n{words}\n"


def planned_cells(folder: Path) -> list[tuple[str, int]] | None:
    """Return arm and replicate of every cell that a committed study is to have.

    Parameters
    ----------
    folder : Path
        ``results/study/<study>`` of a checkout.

    Returns
    -------
    list of (str, int) or None
        Of ``configs/study/<study>.yaml`` in the same checkout; None where there is no such file.

    Examples
    --------
    >>> planned_cells(Path("nowhere")) is None
    True
    """
    from hammerlib.study.plan import cells, read_study

    folder = Path(folder).resolve()
    path = folder.parents[2] / "configs" / "study" / f"{folder.name}.yaml"
    return [(cell.arm, cell.replicate) for cell in cells(read_study(path))] if path.is_file() else None


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


def verdict_lines(records: Records) -> str:
    """Return a Markdown list with one line a primary contrast: what it is, and what it says.

    Parameters
    ----------
    records : Records

    Returns
    -------
    str
        Empty where no primary contrast has two replicates.

    Examples
    --------
    >>> import pandas as pd
    >>> verdict_lines(Records("demo", (), pd.DataFrame()))
    ''
    """
    table = contrast_table(records)
    if "primary" not in table:
        return ""
    lines = [
        f"* **{one.contrast}**: {interval(one)} points of area under the held-out pass@1 curve, "
        f"n = {one.n} replicates on {one.starts} starts, {one.correction} {p_value(one.adjusted)}: "
        f"{verdict(one.low, one.high, one.adjusted, one.p_equivalent)}."
        for one in table[table["primary"] & table["low"].notna()].itertuples()
    ]
    return "\n".join(lines)


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
        f"on {table['start'].nunique()} starts; {len(records.missing)} missing or failed.",
        f"* Completions generated a cell, by arm: {budget}, filtered ones among them.{paid}",
        f"* Command `hammer sweep configs/study/{records.study}.yaml`; commit {', '.join(commits)}{dirty}.",
    ]
    if len(records.missing):
        gone = [
            f"{arm} {_spans(part['replicate'])} ({reason})"
            for (arm, reason), part in records.missing.groupby(["arm", "reason"], sort=False)
        ]
        lines.append("* Missing, by replicate: " + "; ".join(gone) + ".")
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
