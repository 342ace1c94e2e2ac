"""The primary contrasts of several studies side by side: the same question asked of models of other sizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hammerlib.study.contrasts import PRIMARIES, contrast_table
from hammerlib.study.discoveries import main_contrasts, study_tests
from hammerlib.study.endpoints import endpoint_table
from hammerlib.study.formats import NONE, interval, markdown, p_value, shown
from hammerlib.study.records import Records

PILOTS = ("pilot", "rates")  # they set the size of the study and its rates, and are no part of it
WAYS = "dra - random"  # keeping ways to solve a problem alive is what DRA is for
TWIN = PRIMARIES[0][1]  # the arm whose start and gain say what there was to learn


def study_folders(root: Path) -> list[Path]:
    """Return the folders of studies that hold records, the pilots left out, by name.

    Parameters
    ----------
    root : Path
        ``results/study``.

    Examples
    --------
    >>> study_folders(Path("nowhere"))
    []
    """
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

    Examples
    --------
    >>> scale_table([]).empty
    True
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
    """Return a number of parameters in words.

    Examples
    --------
    >>> size_of(340_160), size_of(134_515_008), size_of(1_543_714_304)
    ('0.34 million', '135 million', '1.54 billion')
    """
    millions = parameters / 1e6
    return f"{millions:.3g} million" if millions < 999.5 else f"{millions / 1000:.3g} billion"


def shown_scales(table: pd.DataFrame) -> str:
    """Return one line a study in Markdown, links as from the top of a checkout: size, start, contrasts.

    Parameters
    ----------
    table : DataFrame
        `scale_table`.

    Examples
    --------
    >>> shown_scales(pd.DataFrame())
    ''
    """
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
