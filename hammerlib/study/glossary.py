"""What a study trained and compared, in words, from its file: the head of its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from hammerlib.study.formats import NONE, markdown
from hammerlib.study.records import Records

if TYPE_CHECKING:
    from hammerlib.study.plan import Study

TWIN = "random"  # of the arms in random order it alone is told
LEFT_OUT = ("twin", "replicates")  # told beside


def design_lines(study: Study, records: Records) -> str:
    """Return a Markdown list: model, problems, budget, examinations, settings common to all arms.

    Parameters
    ----------
    study : Study
    records : Records
        Of that study, one cell or more.

    Examples
    --------
    >>> from hammerlib.study.plan import Study
    >>> design_lines(Study("s", 1, {"backbone": "nano"}, {"random": {}}), Records("s", (), pd.DataFrame()))
    ''
    """
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
    """Return a Markdown table of the arms that have a finished cell: what each is, its twin, its settings.

    Parameters
    ----------
    study : Study
    records : Records

    Examples
    --------
    >>> from hammerlib.study.plan import Study
    >>> study = Study("s", 1, {"backbone": "nano"}, {"random": {}})
    >>> arm_list(study, Records("s", (), pd.DataFrame())).splitlines()[0]
    '| arm | what it is | compared with | settings |'
    """
    rows = []
    for arm in [one for one in study.arms if one in set(records.arms)]:
        said = {key: value for key, value in study.arms[arm].items() if key not in LEFT_OUT}
        twin = study.arms[arm].get("twin", "random")
        told = ", ".join(f"{key} {value}" for key, value in said.items()).replace("|", "/")
        rows.append([arm, study.words.get(arm, NONE), NONE if twin == arm else twin, f"`{told}`"])
    return markdown(["arm", "what it is", "compared with", "settings"], rows)


def order_list(records: Records) -> str:
    """Return a Markdown table of the orders: how alike neighbours are, beside those of random order.

    Parameters
    ----------
    records : Records

    Returns
    -------
    str
        Mean cosine between neighbours in the vectors that made the order, of random order in the same
        vectors, and the correlation of a problem's place with that on the path where the record tells it.

    Examples
    --------
    >>> order_list(Records("s", (), pd.DataFrame())).count("|")
    12
    """
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
