"""Every test of a study in one table, so that p-values are corrected for how many there are."""

from __future__ import annotations

import pandas as pd

from hammerlib.evaluation import benjamini_hochberg, holm
from hammerlib.study.contrasts import MARGIN, PRIMARY_ENDPOINT, contrast_table, pairs_of
from hammerlib.study.curves import THRESHOLD
from hammerlib.study.decomposition import cause_pairs
from hammerlib.study.endpoints import endpoint_table
from hammerlib.study.interactions import interaction_table
from hammerlib.study.records import Records
from hammerlib.study.spread import spread_table
from hammerlib.study.thresholds import threshold_table

# Endpoints whose contrasts are tested beside the primary one.
COMPARED = ("final", "pass@k", "greedy", "auc_unseen", "final_unseen", "auc_tokens", "auc_paid", "drawdown")
GRADED, ADJUSTED = "zero_variance_share", "zero_variance_share_adjusted"
PROCESS = ("entropy", "answers", "strategies", GRADED, ADJUSTED)
WAITING, SPREAD = "rollouts_to_threshold", "spread of final"  # endpoints that are tested otherwise


def study_tests(records: Records, *, margin: float = MARGIN, threshold: float = THRESHOLD) -> pd.DataFrame:
    """Return every test that the page of a study shows, p-values corrected for their number.

    Holm over the primary contrasts; Benjamini and Hochberg over all the others together, arms and endpoints:
    contrasts in `auc`, `COMPARED` and `PROCESS`, those that take an order or DRA apart, `INTERACTIONS`, times
    to the threshold, spreads.

    Parameters
    ----------
    records : Records
    margin : float
        Largest difference that does not matter, as a share.
    threshold : float
        Pass@1 whose first crossing is timed.

    Returns
    -------
    DataFrame
        Columns of `contrasts.contrast_table` (NaN where a test has none), ``kind`` (``contrast``, ``cause``,
        ``interaction``, ``threshold`` or ``spread``), ``adjusted`` and ``correction``. A test that stands in
        two tables is one row: ``auc_paid`` where both arms probed the start alike, or not at all, is ``auc``,
        and has none; nor has the share of groups without variance after adjustment where neither arm adjusts.

    Examples
    --------
    >>> study_tests(Records("demo", (), pd.DataFrame())).empty
    True
    """
    if not records.cells:
        return pd.DataFrame()
    pairs, how = pairs_of(records), {"margin": margin, "threshold": threshold}
    main = contrast_table(records, pairs, endpoints=(PRIMARY_ENDPOINT, *COMPARED, *PROCESS), **how)
    causes = [pair for pair in dict.fromkeys([*cause_pairs(), *cause_pairs("dra")]) if pair not in pairs]
    parts = [
        (main, "contrast"),
        (contrast_table(records, causes, **how), "cause"),
        (interaction_table(records), "interaction"),
        (_against_twins(records, threshold_table(records, threshold=threshold), WAITING), "threshold"),
        (_against_twins(records, spread_table(endpoint_table(records), records.twins()), SPREAD), "spread"),
    ]
    table = pd.concat([part.assign(kind=kind) for part, kind in parts if len(part)] or [main])
    return corrected(_once(records, table).reset_index(drop=True)) if len(table) else table


def _against_twins(records: Records, found: pd.DataFrame, endpoint: str) -> pd.DataFrame:
    rows = [
        {"contrast": f"{arm} - {twin}", "arm": arm, "twin": twin, "endpoint": endpoint, "primary": False}
        | {"p": found.loc[arm, "p"]}
        for arm, twin in records.twins().items()
    ]
    return pd.DataFrame(rows)


def _once(records: Records, table: pd.DataFrame) -> pd.DataFrame:
    if not len(table):
        return table
    probed = records.table.groupby("arm")["probe_rollouts"].max()
    paid = table["arm"].map(probed).fillna(0) != table["twin"].map(probed).fillna(0)
    arms = [cell["arm"] for cell in records.cells if _adjusts(cell)]
    changed = table["arm"].isin(arms) | table["twin"].isin(arms)
    return table[((table["endpoint"] != "auc_paid") | paid) & ((table["endpoint"] != ADJUSTED) | changed)]


def _adjusts(cell: dict) -> bool:
    settings = cell["settings"]
    return settings.get("train", {}).get("adjustment", "none") != "none" or bool(settings.get("bonus"))


def corrected(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of tests with ``adjusted`` p-values and the ``correction`` used.

    Parameters
    ----------
    table : DataFrame
        Columns ``primary`` (bool) and ``p``; a p of NaN takes no part.

    Examples
    --------
    >>> table = pd.DataFrame({"primary": [True, True, False], "p": [0.01, 0.04, 0.03]})
    >>> corrected(table)["adjusted"].tolist()
    [0.02, 0.04, 0.03]
    """
    table = table.assign(adjusted=float("nan"), correction="")
    if table.columns.isin(["primary", "p"]).sum() < 2:
        return table
    rules = ((True, "Holm", holm), (False, "Benjamini-Hochberg", benjamini_hochberg))
    for primary, name, rule in rules:
        among = (table["primary"] == primary) & table["p"].notna()
        table.loc[table["primary"] == primary, "correction"] = name
        if among.any():
            table.loc[among, "adjusted"] = rule(table.loc[among, "p"].to_numpy(dtype=float))
    return table


def main_contrasts(tests: pd.DataFrame, endpoint: str = PRIMARY_ENDPOINT) -> pd.DataFrame:
    """Return the contrasts of arms with their twins in one endpoint.

    Parameters
    ----------
    tests : DataFrame
        `study_tests`.
    endpoint : str

    Examples
    --------
    >>> main_contrasts(pd.DataFrame()).empty
    True
    """
    if tests.empty:
        return tests
    kept = (tests["kind"] == "contrast") & (tests["endpoint"] == endpoint)
    whole = {"n": int, "starts": int, "seeds": int, "primary": bool}  # other tests have none of them
    return tests[kept].reset_index(drop=True).astype(whole)


def of_kind(tests: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return the tests of one kind.

    Parameters
    ----------
    tests : DataFrame
        `study_tests`.
    kind : str
        ``contrast``, ``cause``, ``interaction``, ``threshold`` or ``spread``.

    Examples
    --------
    >>> of_kind(pd.DataFrame(), "interaction").empty
    True
    """
    return tests if tests.empty else tests[tests["kind"] == kind].reset_index(drop=True)


def adjusted_of(tests: pd.DataFrame, endpoint: str = PRIMARY_ENDPOINT) -> dict[str, float]:
    """Return the corrected p of each contrast in one endpoint.

    Parameters
    ----------
    tests : DataFrame
        `study_tests`.
    endpoint : str

    Examples
    --------
    >>> adjusted_of(pd.DataFrame())
    {}
    """
    if tests.empty:
        return {}
    part = tests[tests["endpoint"] == endpoint]
    return dict(zip(part["contrast"], part["adjusted"], strict=True))
