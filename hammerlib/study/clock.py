"""Seconds of training as an axis: what an arm cost in the least disturbed of its cells."""

from __future__ import annotations

import pandas as pd

from hammerlib.study.power import UNDISTURBED
from hammerlib.study.records import Records


def undisturbed_seconds(records: Records) -> pd.Series:
    """Return the seconds of training that the less disturbed cells of each arm took.

    Parameters
    ----------
    records : Records

    Returns
    -------
    Series
        Arm to the lower quartile over its replicates, wall seconds from the first completion on: most cells
        were run beside other work, and all beside another cell, so that an arm whose cells met a quieter
        hour looks cheaper than it is. Embeddings, the order and probes come before and are not in it.

    Examples
    --------
    >>> undisturbed_seconds(Records("demo", (), pd.DataFrame())).empty
    True
    """
    if not records.cells:
        return pd.Series(dtype=float)
    return records.table.groupby("arm", sort=False)["seconds"].quantile(UNDISTURBED)


def undisturbed(records: Records) -> Records:
    """Return the records with the seconds of each curve as if every cell had taken its arm's.

    Within a cell they keep their proportions; curves over seconds then compare what arms cost, not what else
    ran on the machine.

    Parameters
    ----------
    records : Records

    Examples
    --------
    >>> undisturbed(Records("demo", (), pd.DataFrame())).cells
    ()
    """
    whole = undisturbed_seconds(records)
    cells = []
    for cell in records.cells:
        factor = whole[cell["arm"]] / cell["curve"][-1]["seconds"]
        curve = [point | {"seconds": point["seconds"] * factor} for point in cell["curve"]]
        cells.append(cell | {"curve": curve})
    return Records(records.study, tuple(cells), records.missing)
