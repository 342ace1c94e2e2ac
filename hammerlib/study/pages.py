"""Pages of studies: a study's ``README.md`` and what ``docs/study.md`` says of all of them.

The words stand in ``templates/``; here is what they are filled with. Every number comes from the records.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hammerlib.errors import InputError
from hammerlib.runs.storage import atomic_path
from hammerlib.study import PROTOCOL, contrasts
from hammerlib.study.endpoints import endpoint_table, family_table, frontier_table
from hammerlib.study.power import WISHED, detectable, planned_table, power_table
from hammerlib.study.records import Records, counts_samples, read_records

if TYPE_CHECKING:
    from jinja2 import Environment

    from hammerlib.study.plan import Study

HERE = sys.modules[__name__]  # templates ask it for numbers, `pages.interval`
PAGE = "README.md"
PILOTS = tuple(PROTOCOL["pilots"])
NONE = "–"
BY_RUN = "°"  # an interval without zero that holds it with one number an SFT run
FEWEST = 3  # replicates for a contrast to be named in a list
SHARES = ("auc", "final", "pass@k", "greedy", "auc_unseen")
MEANS = ("entropy", "answers", "strategies_start", "strategies", "zero_variance_share", "drawdown")
MEANS += ("drawdown_noise",)
# `study_tests` has no row of these endpoints where they are the same as another one.
SAME = {"auc_paid": "as auc", contrasts.ADJUSTED: "as graded"}
PLACEBO_CONTRAST = "dra - dra-placebo"
STRATEGIES_CONTRAST = "dra - random"  # keeping strategies alive is what DRA is for

# Numbers as text


def interval(
    value: float, low: float = np.nan, high: float = np.nan, unit: float = 100, digits: int = 1
) -> str:
    """Return ``value [low, high]`` times `unit`; without ends where there are none."""
    if np.isnan(value):
        return NONE
    # Adding zero turns -0.0 into 0.0.
    value, low, high = (f"{unit * number + 0.0:.{digits}f}" for number in (value, low, high))
    return value if low == "nan" else f"{value} [{low}, {high}]"


def p_value(p: float) -> str:
    """Return a p-value with three digits: ``p = .030``, ``p < .001``, ``p = 1``."""
    if np.isnan(p):
        return NONE
    if p < 0.001:
        return "p < .001"
    return "p = 1" if p >= 0.9995 else f"p = {p:.3f}".replace("0.", ".", 1)


def size_of(parameters: float) -> str:
    """Return a number of parameters in words: ``0.34 million``, ``1.54 billion``."""
    millions = parameters / 1e6
    return f"{millions:.3g} million" if millions < 999.5 else f"{millions / 1000:.3g} billion"


def _ends(row: Mapping[str, Any], name: str = "value", unit: float = 100, digits: int = 1) -> str:
    """A column of a table's row with its interval; the ends of ``value`` are called ``low`` and ``high``."""
    low, high = ("low", "high") if name == "value" else (f"{name}_low", f"{name}_high")
    return interval(row[name], row[low], row[high], unit, digits)


def _by_run(row: Mapping[str, Any]) -> str:
    """The interval with one number an SFT run, where that is another unit than the replicate."""
    if pd.isna(row["seeds_low"]) or row["seeds"] == row["n"]:
        return ""
    return f" ([{100 * row['seeds_low']:.1f}, {100 * row['seeds_high']:.1f}] by SFT run)"


def _verdict(row: Mapping[str, Any]) -> str:
    level = contrasts.LEVELS["primary" if row["primary"] else "other"]
    return contrasts.verdict(row["low"], row["high"], row["adjusted"], row["p_equivalent"], level=level)


def _exploratory(tests: pd.DataFrame) -> int:
    """How many tests are no primary ones: one family."""
    return 0 if tests.empty else int((~tests["primary"].astype(bool) & tests["p"].notna()).sum())


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # Nothing is escaped: the pages are Markdown, and foreign words are made harmless where records are read.
    environment = Environment(
        loader=PackageLoader("hammerlib.study"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"ends": _ends, "p": p_value, "by_run": _by_run, "verdict": _verdict}
    environment.filters |= {"settings": _settings, "exploratory": _exploratory, "size": size_of}
    environment.tests["known"] = lambda number: not np.isnan(number)
    environment.globals |= {"nan": np.nan, "protocol": PROTOCOL, "contrasts": contrasts, "pages": HERE}
    return environment


def _settings(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in given.items())


def endpoint_words(records: Records) -> dict[str, str]:
    """Return what each endpoint is; tokens are what the records hold of them."""
    words = dict(PROTOCOL["endpoints"])
    for name in (contrasts.PROBED, "gap", "macro", "worst"):
        if not records.measures(name):
            del words[name]
    if counts_samples(records.cells[0]):
        words["auc_tokens"] = "as auc, over tokens sampled in training, whether trained on or not"
    return words


def unit_of(endpoint: str) -> str:
    """Return what a hundredth of an endpoint is called."""
    return "hundredths of a nat" if endpoint == contrasts.PROBED else "points"


def _part(name: str, *values: Any) -> str:
    return str(getattr(_templates().get_template("parts.md").module, name)(*values)).strip()


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table.to_dict("records")


# The page of a study


def study_page(records: Records, study: Study | None = None) -> str:
    """Return the page of a study as Markdown; its file says what was trained and what the arms are."""
    # The tables hold no seconds, so that they are the same on a rerun.
    if not records.cells:
        raise InputError("study", records.study, "has no finished trial", "run it: hammer sweep")
    tests = contrasts.study_tests(records)
    compared = contrasts.main_contrasts(tests, records.primary_endpoint)
    if len(compared):
        compared = compared[compared["n"] > 1].sort_values("primary", ascending=False, kind="stable")
    adjusted = contrasts.adjusted_of(tests)
    taken_apart = []
    for arm, name in (("hammer", "the order"), ("dra", "DRA")):
        causes = contrasts.decomposition_table(records, arm, adjusted=adjusted)
        # One replicate gives no interval; the whole effect alone takes nothing apart.
        if len(causes) and (causes["n"] > 1).sum() > 1:
            taken_apart.append((name, _rows(causes[causes["n"] > 1])))
    rows = _rows(compared)
    return _templates().get_template("study.md").render(
        records=records,
        study=study,
        tests=tests,
        ends=endpoint_table(records),
        compared=rows,
        adjusted=adjusted,
        taken_apart=taken_apart,
        power=_power(records, compared),
        found=_part("findings", records, [row for row in rows if row["primary"]]),
        **_provenance(records),
    )  # fmt: skip


def _provenance(records: Records) -> dict[str, Any]:
    table = records.table
    used, probed = (table.groupby("arm")[name].mean() for name in ("rollouts", "probe_rollouts"))
    counts = table["arm"].value_counts(sort=False)
    missing = records.missing.groupby(["arm", "reason"], sort=False) if len(records.missing) else ()
    return {
        "commits": sorted({f"`{str(commit)[:10]}`" for commit in table["commit"]}),
        "dirty": table["dirty"].fillna(True).any(),
        "budget": f"{used.min():,.0f}" + (f" to {used.max():,.0f}" if used.max() > used.min() else ""),
        "probes": ", ".join(f"{arm} {count:,.0f}" for arm, count in probed[probed > 0].items()),
        "lone": ", ".join(counts.index[counts < 2]),
        "shared": _shared_checkpoints(table),
        "missing": [f"{arm} {_spans(rows['replicate'])} ({reason})" for (arm, reason), rows in missing],
    }


def _shared_checkpoints(table: pd.DataFrame) -> str:
    """Replicates that have one initial checkpoint, a group each; empty where each has its own."""
    groups = [sorted(rows.unique()) for _, rows in table.groupby("start")["replicate"]]
    if max(map(len, groups)) == 1:
        return ""
    return "; ".join(" ".join(map(str, group)) for group in sorted(groups))


def _spans(numbers: Iterable[int]) -> str:
    """Numbers with neighbours drawn together: 0-3, 7."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return ", ".join(f"{span[0]}-{span[-1]}" if len(span) > 1 else str(span[0]) for span in spans)


def design_lines(study: Study, records: Records) -> str:
    """Return a Markdown list: model, problems, budget, examinations, settings common to all arms."""
    if "backbone" in study.starts:
        model = f"`{study.starts['backbone']}`"
    else:
        seeds, stops = (" ".join(map(str, study.starts[name])) for name in ("seeds", "stops"))
        model = f"nano after supervised training (SFT), seeds {seeds}, stopped after {stops} steps"
    first = records.cells[0]
    trained = sum(topic not in first["unseen"] for topic in first["topics"])
    return _part("design", study, model, records.table["parameters"].iloc[0], trained)


def arm_list(study: Study, records: Records) -> str:
    """Return a Markdown table of the arms that have a finished trial."""
    return _part("arms", study, records.arms)


def order_list(records: Records) -> str:
    """Return a Markdown table of the orders: how alike neighbours are, beside those of random order."""
    rows = []
    for arm in records.arms:
        orders = pd.DataFrame([trial.get("order") or {} for trial in records.of(arm).values()])
        # Of the arms in random order one is shown.
        ordered = arm == "random" or set(orders.get("strategy", [])) != {"random"}
        if len(orders) > 1 and ordered and "cost" in orders:
            mean = orders.reindex(columns=["cost", "random_cost", "path_correlation"]).astype(float).mean()
            rows.append([arm, len(orders), *(interval(number, unit=1, digits=3) for number in mean)])
    header = ["arm", "n", "neighbours' cosine", "of random order", "place on the path, correlation"]
    return _part("table", header, rows)


def shown_endpoints(
    tests: pd.DataFrame, names: Sequence[str] = contrasts.COMPARED, *, unit: float = 100, digits: int = 1
) -> str:
    """Return a Markdown table, one line a contrast with its difference in several endpoints."""
    texts: dict[str, dict[str, str]] = {}
    for name in names:
        for row in _rows(contrasts.main_contrasts(tests, name)):
            excludes_zero = not row["low"] <= 0 <= row["high"]
            mark = BY_RUN if excludes_zero and row["seeds_low"] <= 0 <= row["seeds_high"] else ""
            text = f"{_ends(row, unit=unit, digits=digits)}{mark}, {p_value(row['adjusted'])}"
            texts.setdefault(row["contrast"], {})[name] = NONE if np.isnan(row["value"]) else text
    rows = []
    for row in _rows(contrasts.main_contrasts(tests)):
        if row["n"] > 1:
            own = texts[row["contrast"]]
            rows.append([row["contrast"], row["n"], *(own.get(name, SAME.get(name, NONE)) for name in names)])
    return _part("table", ["contrast", "n", *names], rows)


def mean_list(
    ends: pd.DataFrame, names: Sequence[str], high: float = np.inf, unit: float = 1, digits: int = 3
) -> str:
    """Return a Markdown table of each arm's means on scales from 0 to `high`, with Student's interval."""
    rows = []
    for arm, trials in ends.groupby("arm", sort=False):
        if len(trials) > 1:
            means = [contrasts.student_interval(trials[name].dropna(), bounds=(0.0, high)) for name in names]
            rows.append([arm, len(trials), *(interval(*mean, unit, digits) for mean in means)])
    return _part("table", ["arm", "n", *names], rows)


def frontier_list(records: Records) -> str:
    """Return a Markdown table of the last checkpoints at every temperature that they were sampled at."""
    rows = []
    table = frontier_table(records)
    for (arm, temperature), trials in table.groupby(["arm", "temperature"], sort=False):
        if len(trials) > 1:
            means = [contrasts.student_interval(trials[name], bounds=(0, 1)) for name in ("pass@1", "pass@k")]
            rows.append([arm, f"{temperature:g}", len(trials), *(interval(*mean) for mean in means)])
    return _part("table", ["arm", "temperature", "n", "pass@1", "pass@k"], rows)


def family_list(records: Records) -> str:
    """Return a Markdown table of the primary contrasts in every family of problems."""
    families = family_table(records)
    table = contrasts.family_table_of(families[~families["unseen"].astype(bool)], records.primaries)
    names = list(dict.fromkeys(table["family"]))
    rows = []
    for contrast, families_of in table.groupby("contrast", sort=False):
        texts = {row["family"]: _ends(row) for row in _rows(families_of)}
        ahead = families_of[families_of["family"] == "ahead"].iloc[0]
        texts["ahead"] = f"{_ends(ahead, digits=0)} %"  # a share of pairs, no points
        rows.append([contrast, ahead["n"], *(texts[name] for name in names)])
    return _part("table", ["contrast", "n", *names], rows)


def _power(records: Records, compared: pd.DataFrame) -> list[dict[str, Any]]:
    """Of each primary contrast, what the planned replicates can show, and how many a point would take."""
    if compared.empty:
        return []
    primary = compared[compared["primary"]]
    needed = {row["contrast"]: row for row in _rows(power_table(primary, records, half_widths=(WISHED,)))}
    return [row | needed[row["contrast"]] for row in _rows(planned_table(primary, records))]


def planned_study(folder: Path) -> Study | None:
    """Return the study whose records a folder of a checkout holds; None without a file of its name."""
    from hammerlib.study.plan import read_study  # with the trainer's settings; pages of records need none

    folder = Path(folder).resolve()
    path = folder.parents[2] / "configs" / "study" / f"{folder.name}.yaml"
    return read_study(path) if path.is_file() else None


def planned_cells(folder: Path) -> dict[tuple[str, int], str] | None:
    """Return arm and replicate of each trial that a committed study is to have, with its identity."""
    from hammerlib.study.plan import trials

    study = planned_study(folder)
    if study is None:
        return None
    return {(trial.arm, trial.replicate): trial.identity for trial in trials(study)}


def too_early(folder: Path, study: Study | None) -> str | None:
    """Return why the study of a folder is not to be read yet; None where it may be.

    A replicate is whole with a record of every arm that the study plans for it.
    """
    from hammerlib.study.plan import trials

    if study is None or study.judged_from is None:
        return None
    planned = trials(study)
    lacking = {trial.replicate for trial in planned if not (folder / f"{trial.name}.json").is_file()}
    whole = len({trial.replicate for trial in planned} - lacking)
    if whole >= study.judged_from:
        return None
    return f"has {whole} of the {study.judged_from} whole replicates that it is read from"


def write_page(folder: Path) -> Path:
    """Write the page of a study beside its records, in ``results/study/<study>``, and return its path.

    Raises
    ------
    InputError
        Too few whole replicates for what its file says: nobody looks before.
    """
    study = planned_study(folder)
    problem = too_early(Path(folder), study)
    if problem:
        raise InputError("study", Path(folder).name, problem, "let hammer sweep go on")
    text = study_page(read_records(folder, planned_cells(folder)), study)
    with atomic_path(Path(folder) / PAGE) as file:
        file.write_text(text, encoding="utf-8")
    return Path(folder) / PAGE


# What all studies say, for the site


def study_folders(root: Path) -> list[Path]:
    """Return the folders of studies that hold records and may be read, the pilots left out, by name."""
    folders = {path.parent for path in root.glob("*/*.json")} - {root / name for name in PILOTS}
    return sorted(folder for folder in folders if not too_early(folder, planned_study(folder)))


def studies_section(root: Path) -> str:
    """Return the generated part of ``docs/study.md``: the largest study's contrasts, then all sizes."""
    studies = [read_records(folder, planned_cells(folder)) for folder in study_folders(root)]
    if not studies:
        return "No study is committed yet."
    largest = max(studies, key=lambda records: len(records.cells))
    tests = contrasts.study_tests(largest)
    given = {
        "largest": largest,
        "primaries": verdict_lines(tests),
        "others": verdict_lists(tests, f"../results/study/{largest.study}/README.md#contrasts"),
        "scales": shown_scales(scale_table(studies)) if len(studies) > 1 else "",
        "placebo": placebo_list(studies),
    }
    return _templates().get_template("readme.md").render(given).strip()


def placebo_list(studies: Sequence[Records]) -> str:
    """Return a Markdown table of DRA less its placebo in every study that has both; empty without one."""
    rows = []
    for records in studies:
        tests = contrasts.study_tests(records)
        texts = []
        for name, unit, digits in (("auc", 100, 1), ("strategies", 1, 3), ("pass@k", 100, 1)):
            table = contrasts.main_contrasts(tests, name)
            for row in [] if table.empty else _rows(table[table["contrast"] == PLACEBO_CONTRAST]):
                texts.append(f"{_ends(row, unit=unit, digits=digits)}, {p_value(row['adjusted'])}")
        if texts:
            n = len(records.of("dra-placebo"))
            rows.append([f"`{records.study}`", size_of(records.table["parameters"].iloc[0]), n, *texts])
    header = ["study", "parameters", "n", "area, points", "strategies left", "pass@8, points"]
    return _part("table", header, rows) if rows else ""


def verdict_lines(tests: pd.DataFrame) -> str:
    """Return a Markdown list with one line a primary contrast of `study_tests`, and what it says."""
    if tests.empty:
        return ""
    return _part("primaries", _rows(tests[tests["primary"].astype(bool) & tests["low"].notna()]))


def verdict_lists(tests: pd.DataFrame, page: str) -> str:
    """Return a Markdown list of the primary endpoint's other contrasts, by what they say, linking `page`."""
    from scipy.stats import t

    compared = contrasts.main_contrasts(tests)
    if compared.empty or compared["primary"].all():
        return ""
    # Named are those that differ, those shown to be within the margin, and of the others those whose own
    # interval excludes zero: the correction alone leaves them open. The rest is counted.
    rest = compared[~compared["primary"]]
    differ = []
    small = []
    unclear = 0
    apart = []
    for row in _rows(rest[rest["n"] >= FEWEST].sort_values("value")):
        name = row["contrast"]
        says = _verdict(row)
        n = f"n = {row['n']}"
        if says.startswith(("better", "worse")):
            mark = ", but by less than one point" if "by less" in says else ""
            differ.append(f"{name} {_ends(row)}{_by_run(row)}, {p_value(row['adjusted'])}, {n}{mark}")
        elif says.startswith("no "):
            # The 90 % interval lies inside the margin where two one-sided tests at 5 % say so.
            half = t.ppf(0.95, row["n"] - 1) * row["sd"] / row["n"] ** 0.5
            narrow = interval(row["value"], row["value"] - half, row["value"] + half)
            small.append(f"{name} {narrow}, {p_value(row['p_equivalent'])}, {n}")
        else:
            unclear += 1
            if not row["low"] <= 0 <= row["high"]:
                apart.append(f"{name} {_ends(row)}, {p_value(row['adjusted'])}, {n}")
    few = int((rest["n"] < FEWEST).sum())
    return _part("others", differ, small, unclear, apart, page, few)


def scale_table(studies: Sequence[Records]) -> pd.DataFrame:
    """Return the primary contrasts of each study that has some, the smallest model first.

    One row a study and contrast: ``study, parameters, start, gain`` (held-out pass@1 of random order before
    training, and the mean of the last fifth of its budget less that), ``contrast, n, value, low, high,
    adjusted`` (`auc`), ``detectable`` (as in `planned_table`), and `strategies` with its ends.
    """
    # Each study is judged by itself: Holm over its own primary contrasts. Nothing is pooled over studies, for
    # their problems, budgets or answers may differ too.
    rows = []
    for records in studies:
        tests = contrasts.study_tests(records)
        compared = contrasts.main_contrasts(tests)
        if compared.empty or not compared["primary"].any():
            continue
        ends = endpoint_table(records)
        ends = ends[ends["arm"] == contrasts.PRIMARIES[0][1]]
        named = {"study": records.study, "parameters": records.table["parameters"].iloc[0]}
        named |= {"start": ends["start"].mean(), "gain": (ends["final"] - ends["start"]).mean()}
        strategies = contrasts.main_contrasts(tests, "strategies").set_index("contrast")
        for row in _rows(compared[compared["primary"]]):
            kept = {name: row[name] for name in ("contrast", "n", "value", "low", "high", "adjusted")}
            kept["detectable"] = detectable(row["sd"], row["n"]) if row["sd"] > 0 else np.nan
            other = strategies.loc[row["contrast"]]
            kept["strategies"] = other["value"]
            kept |= {f"strategies_{name}": other[name] for name in ("low", "high", "adjusted")}
            rows.append(named | kept)
    table = pd.DataFrame(rows)
    return table.sort_values("parameters", kind="stable", ignore_index=True) if rows else table


def shown_scales(table: pd.DataFrame) -> str:
    """Return a Markdown table of `scale_table`, one line a study, links as from ``docs``."""
    if table.empty:
        return ""
    studies = {
        study: rows.set_index("contrast", drop=False).to_dict("index")
        for study, rows in table.groupby("study", sort=False)
    }
    names = [f"{arm} - {control}" for arm, control in contrasts.PRIMARIES]
    return _part("scales", studies, names, STRATEGIES_CONTRAST)
