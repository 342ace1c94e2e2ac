"""Pages of studies: every number on them comes from the records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from hammerlib.errors import InputError
from hammerlib.evaluation.intervals import Interval
from hammerlib.runs.storage import atomic_path
from hammerlib.study.contrasts import (
    ADJUSTED,
    COMPARED,
    MARGIN,
    OTHER_LEVEL,
    PRIMARIES,
    PROCESS,
    SPREAD,
    WAITING,
    adjusted_of,
    contrast_table,
    decomposition_table,
    family_table_of,
    main_contrasts,
    of_kind,
    spread_table,
    student_interval,
    study_tests,
    threshold_table,
    verdict,
)
from hammerlib.study.endpoints import ENDPOINTS, THRESHOLD, endpoint_table, family_table
from hammerlib.study.power import WISHED, planned_table, power_table
from hammerlib.study.records import Records, read_records

if TYPE_CHECKING:
    from hammerlib.study.plan import Study

NONE = "–"


class Measured(Protocol):
    """Anything with ``value``, ``low`` and ``high``, such as a row of a table."""

    value: float
    low: float
    high: float


def interval(found: Measured, *, unit: float = 100, digits: int = 1) -> str:
    """Return ``value [low, high]``; without ends where there are none."""
    return shown((found.value, found.low, found.high), unit, digits)


def shown(found: tuple[float, float, float], unit: float, digits: int) -> str:
    """Return ``value [low, high]`` as `interval` does, of three numbers."""
    value, low, high = (unit * one + 0.0 for one in found)
    if np.isnan(value):
        return NONE
    text = f"{value:.{digits}f}"
    return text if np.isnan(low) else f"{text} [{low:.{digits}f}, {high:.{digits}f}]"


def p_value(p: float) -> str:
    """Return a p-value with three digits."""
    if np.isnan(p):
        return NONE
    return "p < .001" if p < 0.001 else "p = 1" if p >= 0.9995 else f"p = {p:.3f}".replace("0.", ".", 1)


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


TWIN = "random"  # of the arms in random order it alone is told
LEFT_OUT = ("twin", "replicates")  # told beside


def design_lines(study: Study, records: Records) -> str:
    """Return a Markdown list: model, problems, budget, examinations, settings common to all arms."""
    if not records.cells:
        return ""
    cell, size = records.cells[0], records.table["parameters"].iloc[0]
    seen = sum(topic not in cell["unseen"] for topic in cell["topics"])
    hidden = f"; never trained on, examined apart: {', '.join(study.unseen)}" if study.unseen else ""
    base = ", ".join(f"{key} {value}" for key, value in study.base.items())
    return "\n".join(
        [
            f"* Model: {_start(study)}, {size:,.0f} parameters.",
            f"* Problems: `{study.problems}`, {study.n_problems} a replicate, drawn anew{hidden}.",
            f"* Examined: {study.points + 1} points of {study.n_held_out} held-out problems x "
            f"{study.samples} samples, about {seen} of them of families that are trained on (`auc`, `final`, "
            f"`pass@k`, `greedy` rest on those); at the end {study.final_samples} samples "
            f"(k = {study.final_samples}) and a greedy answer.",
            f"* Common to all arms unless an arm says otherwise: {base or 'the defaults of TrainConfig'}.",
            "* Plan, analysis and every later change, dated: [PROTOCOL](../../PROTOCOL.md).",
        ]
    )


def _start(study: Study) -> str:
    if "backbone" in study.starts:
        return f"`{study.starts['backbone']}`"
    seeds, stops = (" ".join(map(str, study.starts[name])) for name in ("seeds", "stops"))
    return f"nano after supervised training, seeds {seeds}, stopped after {stops} steps"


def arm_list(study: Study, records: Records) -> str:
    """Return a Markdown table of the arms that have a finished cell: what each is, its twin, its settings."""
    rows = []
    for arm in [one for one in study.arms if one in set(records.arms)]:
        said = {key: value for key, value in study.arms[arm].items() if key not in LEFT_OUT}
        twin = study.arms[arm].get("twin", "random")
        told = ", ".join(f"{key} {value}" for key, value in said.items()).replace("|", "/")
        rows.append([arm, study.words.get(arm, NONE), NONE if twin == arm else twin, f"`{told}`"])
    return markdown(["arm", "what it is", "compared with", "settings"], rows)


def order_list(records: Records) -> str:
    """Return a Markdown table of the orders: how alike neighbours are, beside those of random order."""
    header = ["arm", "n", "neighbours' cosine", "of random order", "place on the path, correlation"]
    rows = []
    for arm in records.arms:
        found = pd.DataFrame([cell.get("order") or {} for cell in records.of(arm).values()])
        ordered = arm == TWIN or set(found.get("strategy", [])) != {"random"}
        if len(found) > 1 and ordered and "cost" in found:
            mean = found.reindex(columns=["cost", "random_cost", "path_correlation"]).astype(float).mean()
            told = [NONE if pd.isna(one) else f"{one:.3f}" for one in mean]
            rows.append([arm, str(len(found)), *told])
    return markdown(header, rows)


SHARES = (0.0, 1.0)
# `discoveries.study_tests` has no row of these where they are the same as another endpoint.
SAME = {"auc_paid": "as auc", ADJUSTED: "as graded"}
BY_RUN = "°"  # an interval without zero that holds it with one number a supervised run


def shown_arms(endpoints: pd.DataFrame, names: Sequence[str], *, shares: bool = True) -> str:
    """Return one line an arm with the mean of some endpoints over its replicates."""
    rows = []
    for arm, part in endpoints.groupby("arm", sort=False):
        found = [
            student_interval(part[name].dropna(), bounds=SHARES if shares else (0.0, np.inf))
            for name in names
        ]
        cells = [shown(one, 100 if shares else 1, 1 if shares else 3) for one in found]
        if len(part) > 1:
            rows.append([str(arm), str(len(part)), *cells])
    return markdown(["arm", "n", *names], rows)


def shown_contrasts(table: pd.DataFrame) -> str:
    """Return one line a contrast, the primary ones first and bold."""
    header = ["contrast", "n", "difference", "test", "corrected", "signs", "equivalence"]
    header += ["interval by supervised seeds", "ahead", "verdict"]
    rows = []
    ordered = table.sort_values("primary", ascending=False, kind="stable") if len(table) else table
    for one in ordered.itertuples():
        if one.n < 2:
            continue
        seeds = f"[{100 * one.seeds_low:.1f}, {100 * one.seeds_high:.1f}] (n = {one.seeds})"
        mark = "H" if one.correction == "Holm" else "BH"
        rows.append(
            [
                f"**{one.contrast}**" if one.primary else one.contrast,
                f"{one.n}",
                interval(one),
                p_value(one.p),
                f"{p_value(one.adjusted)} ({mark})",
                p_value(one.p_signs),
                p_value(one.p_equivalent),
                NONE if np.isnan(one.seeds_low) else seeds,
                NONE if np.isnan(one.wins) else f"{100 * one.wins:.0f} %",
                _told(one),
            ]
        )
    return markdown(header, rows)


def _told(one: Any) -> str:
    if one.primary:
        return verdict(one.low, one.high, one.adjusted, one.p_equivalent)
    told = verdict(one.low, one.high, one.adjusted, one.p_equivalent, level=OTHER_LEVEL)
    return f"{told} (exploratory)" if told.startswith(("better", "worse")) else told


def shown_endpoints(
    tests: pd.DataFrame, names: Sequence[str] = COMPARED, *, unit: float = 100, digits: int = 1
) -> str:
    """Return one line a contrast with its difference in several endpoints."""
    columns: dict[str, dict[str, str]] = {}
    for name in names:
        for one in main_contrasts(tests, name).itertuples():
            found = f"{interval(one, unit=unit, digits=digits)}{_by_run(one)}, {p_value(one.adjusted)}"
            columns.setdefault(one.contrast, {})[name] = NONE if np.isnan(one.value) else found
    several = main_contrasts(tests).query("n > 1") if len(tests) else tests
    rows = [
        [one.contrast, str(one.n), *(columns[one.contrast].get(name, SAME.get(name, NONE)) for name in names)]
        for one in several.itertuples()
    ]
    return markdown(["contrast", "n", *names], rows)


def _by_run(one: Any) -> str:
    return BY_RUN if not one.low <= 0 <= one.high and one.seeds_low <= 0 <= one.seeds_high else ""


def shown_families(records: Records) -> str:
    """Return the primary contrasts in every family that RL trains on, and over them."""
    families = family_table(records)
    trained = families[~families["unseen"].astype(bool)]
    table = family_table_of(trained, PRIMARIES)
    names = list(dict.fromkeys(table["family"]))
    rows = []
    for contrast, part in table.groupby("contrast", sort=False):
        found = {one.family: one for one in part.itertuples()}
        rows.append([str(contrast), str(part["n"].iloc[0]), *(_family(name, found[name]) for name in names)])
    return markdown(["contrast", "n", *names], rows)


def _family(name: str, found: Measured) -> str:
    return interval(found, digits=0) + " %" if name == "ahead" else interval(found)


def shown_thresholds(records: Records, tests: pd.DataFrame) -> str:
    """Return one line an arm: how many replicates reach the threshold, and how soon."""
    rows, adjusted, twins = [], adjusted_of(tests, WAITING), records.twins()
    steps = threshold_table(records, axis="step")
    for arm, one in threshold_table(records).iterrows():
        if one["n"] < 2:
            continue
        lengths = [shown((row["mean"], row["low"], row["high"]), 1, 0) for row in (one, steps.loc[arm])]
        sooner = [shown(_sooner(row), 1, 0) for row in (one, steps.loc[arm])]
        p = adjusted.get(f"{arm} - {twins.get(arm)}", float("nan"))
        reached = f"{one['reached']:.0f} of {one['n']:.0f}"
        rows.append([str(arm), reached, lengths[0], sooner[0], p_value(p), lengths[1], sooner[1]])
    header = ["arm", "reached", "rollouts, restricted mean", "sooner than twin", "corrected"]
    return markdown([*header, "steps, restricted mean", "sooner than twin, steps"], rows)


def _sooner(row: pd.Series) -> tuple[float, float, float]:
    return row["sooner"], row["sooner_low"], row["sooner_high"]


def shown_spreads(endpoints: pd.DataFrame, twins: Mapping[str, str], tests: pd.DataFrame) -> str:
    """Return one line an arm: how far its replicates lie apart at the end, in points."""
    rows, adjusted = [], adjusted_of(tests, SPREAD)
    for arm, one in spread_table(endpoints, twins).iterrows():
        if one["n"] < 2:
            continue
        whole = shown((one["sd"], one["low"], one["high"]), 100, 1)
        inside = shown((one["inside"], one["inside_low"], one["inside_high"]), 100, 1)
        ratio = NONE if np.isnan(one["ratio"]) else f"{one['ratio']:.2f}"
        p = p_value(adjusted.get(f"{arm} - {twins.get(arm)}", float("nan")))
        rows.append([str(arm), f"{one['n']:.0f}", whole, inside, ratio, p])
    return markdown(["arm", "n", "over replicates", "inside a start", "ratio to twin", "corrected"], rows)


def shown_causes(table: pd.DataFrame, tests: pd.DataFrame) -> str:
    """Return one line a cause that has two replicates or more."""
    rows, adjusted = [], adjusted_of(tests)
    for one in table.itertuples():
        if one.n > 1:
            there = shown((one.whole, one.whole_low, one.whole_high), 100, 1)
            there += f" (n = {one.whole_n})" if one.whole_n != one.n else ""
            found = [interval(one), p_value(adjusted.get(one.contrast, float("nan"))), there]
            cells = [one.cause, one.contrast, one.differs, str(one.n), *found, one.expected, one.reading]
            rows.append(cells)
    header = ["cause", "contrast", "what differs", "n", "difference", "corrected"]
    return markdown([*header, "whole effect there", "expected", "reading"], rows)


def shown_interactions(table: pd.DataFrame) -> str:
    """Return one line an interaction."""
    rows = [
        [one.contrast, f"{one.n:.0f}", interval(one), p_value(one.adjusted)] for one in table.itertuples()
    ]
    return markdown(["difference of differences", "n", "points", "corrected"], rows)


PER_CENT = ("auc", "final", "pass@k", "greedy", "auc_unseen")
MEANS = ("entropy", "answers", "strategies_start", "strategies", "zero_variance_share", "drawdown")
MEANS += ("drawdown_noise",)

UNITS = (
    f"{BY_RUN}: without zero over replicates, with zero where one number a supervised run is the unit: it "
    "may be the luck of few runs."
)

Sections = dict[str, tuple[str, str]]


def outcomes(records: Records, tests: pd.DataFrame) -> Sections:
    """Return what came out: arms, contrasts, other endpoints, families."""
    count = int((~tests["primary"].astype(bool) & tests["p"].notna()).sum()) if len(tests) else 0
    return {
        "Arms": (
            "Mean over replicates, per cent, with Student's 95 % interval: of these starts, which come back "
            "every few replicates and differ more than arms do, so that it is too narrow for another one. "
            "Arms of fewer replicates have other starts and problems: compare arms by their contrasts only.",
            shown_arms(endpoint_table(records), PER_CENT),
        ),
        "Contrasts": (
            "Arm less twin in `auc`, points, paired by replicate. Every interval on this page is of one "
            "number, at 95 %, Student's where nothing else is said, and not corrected for how many there "
            "are. *test*: p of no difference, paired t. *corrected*: by Holm (H) for the primary contrasts "
            "(bold), judged at 5 %; by Benjamini "
            f"and Hochberg (BH) for all others, judged at 10 %, exploratory: the {count} tests of this and "
            "the next tables are one family. Nothing is called better or worse whose interval holds "
            "zero. *signs*: p by flips of the signs of the differences, all of them up to 20. "
            f"*equivalence*: p of a difference of {100 * MARGIN:g} or more, two one-sided tests, judged at "
            "5 %, not corrected. *by supervised seeds*: with one number a supervised run, for its "
            "checkpoints are no independent starts. *ahead*: share of replicates in which the arm is ahead.",
            shown_contrasts(main_contrasts(tests)),
        ),
        "Other endpoints": (
            f"Arm less twin, points; corrected p beside. {UNITS} `auc_paid`: as `auc` where both arms probed "
            "the start alike or not at all; – where the probe alone is the budget. `auc_tokens`: – where "
            "groups are filtered, for the record holds only the tokens trained on.",
            shown_endpoints(tests),
        ),
        "Families": (
            "Primary contrasts in `auc` by family, points. IQM: interquartile mean of all differences; its "
            "bootstrap counts the families of one training as independent, so that it is too narrow. IQM by "
            "replicate does not. Ahead: share of replicates and families in which the arm is ahead of its "
            "twin (50 %: no improvement), Gaffke's interval over replicates.",
            shown_families(records),
        ),
    }


def parts(records: Records, tests: pd.DataFrame) -> Sections:
    """Return what takes effects apart: the order, DRA, and settings under which an effect may differ."""
    told = (
        "`auc`, points. Whole effect there: that of {whole} in the replicates that the row rests on, with "
        "which the row is to be compared; other replicates have other starts. Expected: the sign if this "
        "cause carried the whole effect of all replicates. Reading: by interval and corrected p, at 10 %; "
        "within the margin by the two one-sided tests, at 5 %, not corrected."
    )
    found: Sections = {}
    for arm, name, whole in (
        ("hammer", "What of HAMMER's order does it", "the order"),
        ("dra", "What of DRA does it", "DRA"),
    ):
        causes = decomposition_table(records, arm, adjusted=adjusted_of(tests))
        if len(causes) and (causes["n"] > 1).sum() > 1:
            found[name] = told.format(whole=whole), shown_causes(causes, tests)
    interactions = of_kind(tests, "interaction")
    if len(interactions):
        found["Does the effect depend on a setting"] = (
            "`auc`, points: the difference under another setting (2 or 32 prompts a step, DRA, another loss) "
            "less that of the primary contrast in the same replicates.",
            shown_interactions(interactions),
        )
    orders = order_list(records)
    if orders.count("\n") > 2:
        found["Orders"] = (
            "Mean cosine of neighbours in the vectors that made the order, over replicates, beside that of "
            "random order in the same vectors: lower is what HAMMER asks for.",
            orders,
        )
    return found


def course(records: Records, tests: pd.DataFrame) -> Sections:
    """Return how training went: process, times to the threshold, spread."""
    endpoints = endpoint_table(records)
    return {
        "Process": (
            "Means over replicates. Arms of fewer replicates have other starts and problems, so that these "
            "means are not to be compared between arms of unequal n. `drawdown_noise` is what `drawdown` "
            "would be if the curve never fell and only its samples were noisy.",
            shown_arms(endpoints, MEANS, shares=False),
        ),
        "Process, paired": (
            f"Arm less twin in the unit of each, corrected p beside. {UNITS}",
            shown_endpoints(tests, PROCESS, unit=1, digits=3),
        ),
        f"Rollouts and steps until pass@1 reaches {THRESHOLD:g}": (
            "A replicate that never reaches it counts with its whole budget. Sooner: paired by replicate, at "
            "equal rollouts; p by flips of the signs of these differences, all of them up to 20. Steps of "
            "arms with other numbers of prompts a step are of other sizes.",
            shown_thresholds(records, tests),
        ),
        "Spread": (
            "Standard deviation of `final` over replicates, points, with its chi-square interval, which "
            "counts replicates on a common start as independent and is too narrow (not so *inside a start*); "
            "ratio to the twin's between replicates of one start, p after Pitman and Morgan.",
            shown_spreads(endpoints, records.twins(), tests),
        ),
    }


def shown_power(contrasts: pd.DataFrame, records: Records) -> str:
    """Return one line a primary contrast: what the plan can show, and replicates for a point."""
    header = ["contrast", "n", "deviation", "planned", "found with 80 %", "shown equivalent, %"]
    header += ["half-width", "replicates for 1 point", "of them missing"]
    if contrasts.empty:
        return markdown(header, [])
    primary = contrasts[contrasts["primary"]]
    needed = power_table(primary, records, half_widths=(WISHED,))
    needed = {one.contrast: one for one in needed.itertuples()}
    rows = []
    for one in planned_table(primary, records).itertuples():
        count = needed[one.contrast]
        shapes = [_with_ends(one, *how) for how in (("sd", 1), ("detectable", 1), ("equivalence", 0))]
        told = [f"{100 * count.half_width:.1f}", f"{count.replicates} [{count.low}, {count.high}]"]
        cells = [one.contrast, f"{one.n}", shapes[0], str(one.planned), *shapes[1:], *told]
        rows.append([*cells, f"{count.missing:.0f}"])
    return markdown(header, rows)


def _with_ends(one: Any, name: str, digits: int) -> str:
    ends = (getattr(one, f"{name}_low"), getattr(one, f"{name}_high"))
    return shown((getattr(one, name), *ends), 100, digits)


def what_it_can_show(records: Records, tests: pd.DataFrame) -> Sections:
    """Return what the number of replicates can show; nothing where no primary contrast has two."""
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
            f"{table}\n\nHours for the missing ones, arm and twin, one of two workers on the machine of "
            f"these records: {hours}.",
        )
    }


PAGE = "README.md"


def study_page(records: Records, study: Study | None = None) -> str:
    """Return the page as Markdown."""
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
    """Return the study whose records a folder of a checkout holds."""
    from hammerlib.study.plan import read_study  # with the trainer's settings; pages of records need none

    folder = Path(folder).resolve()
    path = folder.parents[2] / "configs" / "study" / f"{folder.name}.yaml"
    return read_study(path) if path.is_file() else None


def planned_cells(folder: Path) -> dict[tuple[str, int], str] | None:
    """Return the cells that a committed study is to have, and which settings each is to have."""
    from hammerlib.study.plan import cells

    study = planned_study(folder)
    return None if study is None else {(cell.arm, cell.replicate): cell.identity for cell in cells(study)}


def write_page(folder: Path) -> Path:
    """Write the page of a study beside its records."""
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


PILOTS = ("pilot", "rates")  # they set the size of the study and its rates, and are no part of it
WAYS = "dra - random"  # keeping ways to solve a problem alive is what DRA is for
TWIN = PRIMARIES[0][1]  # the arm whose start and gain say what there was to learn


def study_folders(root: Path) -> list[Path]:
    """Return the folders of studies that hold records, the pilots left out, by name."""
    return sorted({path.parent for path in root.glob("*/*.json")} - {root / name for name in PILOTS})


def scale_table(studies: Sequence[Records]) -> pd.DataFrame:
    """Return the primary contrasts of each study, the smallest model first.

    Each study is judged by itself: Holm over its own primary contrasts. Nothing is pooled over studies, for
    their problems, budgets or answers may differ too.

    Parameters
    ----------
    studies : sequence of Records
        Those without a finished cell are left out.

    Returns
    -------
    DataFrame
        One row a study and primary contrast: ``study, parameters, start, gain`` (held-out pass@1 of random
        order before training, and the mean of the last fifth of its budget less that; shares), ``contrast, n,
        value, low, high, adjusted`` (`auc`), ``final, final_low, final_high`` and ``strategies,
        strategies_low, strategies_high, strategies_adjusted`` (effective number left at the end; corrected
        within the study). NaN where one replicate gives none. Empty without any.
    """
    rows = []
    for records in studies:
        every = study_tests(records)
        tests = main_contrasts(every)
        if tests.empty:
            continue
        at_end = contrast_table(records, PRIMARIES, endpoints=("final",)).set_index("contrast")
        left = main_contrasts(every, "strategies").set_index("contrast")
        named = {"study": records.study, "parameters": records.table["parameters"].iloc[0], **_twin(records)}
        for one in tests[tests["primary"]].itertuples():
            kept = {
                name: getattr(one, name) for name in ("contrast", "n", "value", "low", "high", "adjusted")
            }
            ends = _beside("final", at_end.loc[one.contrast], ("low", "high"))
            ways = _beside("strategies", left.loc[one.contrast], ("low", "high", "adjusted"))
            rows.append(named | kept | ends | ways)
    table = pd.DataFrame(rows)
    return table.sort_values("parameters", kind="stable", ignore_index=True) if rows else table


def _beside(endpoint: str, row: pd.Series, names: Sequence[str]) -> dict[str, float]:
    return {endpoint: row["value"]} | {f"{endpoint}_{name}": row[name] for name in names}


def _twin(records: Records) -> dict[str, float]:
    cells = endpoint_table(records)
    mine = cells[cells["arm"] == TWIN]
    return {"start": mine["start"].mean(), "gain": (mine["final"] - mine["start"]).mean()}


def size_of(parameters: float) -> str:
    """Return a number of parameters in words."""
    millions = parameters / 1e6
    return f"{millions:.3g} million" if millions < 999.5 else f"{millions / 1000:.3g} billion"


def shown_scales(table: pd.DataFrame) -> str:
    """Return one line a study in Markdown, links as from the top of a checkout: size, start, contrasts."""
    if table.empty:
        return ""
    names = [f"{arm} - {twin}" for arm, twin in PRIMARIES]
    rows = []
    for study, part in table.groupby("study", sort=False):
        said = {one.contrast: f"{interval(one)}, {p_value(one.adjusted)}" for one in part.itertuples()}
        first = part.iloc[0]
        counts = dict.fromkeys((part["n"].min(), part["n"].max()))
        rows.append(
            [
                f"[`{study}`](results/study/{study}/README.md)",
                size_of(first["parameters"]),
                f"{100 * first['start']:.0f} %, {100 * first['gain']:+.0f}",
                " to ".join(map(str, counts)),
                *[said.get(name, NONE) for name in names],
                _ways(part[part["contrast"] == WAYS]),
            ]
        )
    header = ["study", "parameters", "start, gain of random", "n", *names]
    return markdown([*header, f"{WAYS}, strategies left"], rows)


def _ways(found: pd.DataFrame) -> str:
    columns = [f"strategies{end}" for end in ("", "_low", "_high", "_adjusted")]
    if found.empty or found[columns].isna().all(axis=None):
        return NONE
    *ends, p = found[columns].iloc[0]
    return f"{shown(tuple(ends), 1, 2)}, {p_value(p)}"


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
    """Return a Markdown list with one line a primary contrast: what it is, and what it says."""
    if tests.empty:
        return ""
    lines = [
        f"* **{one.contrast}**: {interval(one)} points of area under the held-out pass@1 curve, "
        f"n = {one.n:.0f} replicates on {_starts(one)}{_run_interval(one)}, {one.correction} "
        f"{p_value(one.adjusted)}: "
        f"{verdict(one.low, one.high, one.adjusted, one.p_equivalent)}."
        for one in tests[tests["primary"].astype(bool) & tests["low"].notna()].itertuples()
    ]
    return "\n".join(lines)


def _starts(one: object) -> str:
    starts = f"{one.starts:.0f} start" + "s" * (one.starts != 1)
    return starts if one.seeds == one.starts else f"{starts} of {one.seeds:.0f} supervised runs"


def _run_interval(one: object) -> str:
    if pd.isna(one.seeds_low) or one.seeds == one.n:
        return ""
    return f" ([{100 * one.seeds_low:.1f}, {100 * one.seeds_high:.1f}] by supervised run)"


def verdict_lists(tests: pd.DataFrame) -> str:
    """Return a Markdown list of the other contrasts in `auc`, by what they say."""
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
            shown = f"{one.contrast} {interval(one)}{_run_interval(one)}, {p_value(one.adjusted)}"
            shown += f", n = {one.n:.0f}"
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
    """Return what the committed studies say, for the README: the largest one's contrasts, then all sizes."""
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
