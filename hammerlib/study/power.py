"""How many replicates, and hours, an interval of a wished width takes, from the deviation that was seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hammerlib.errors import InputError
from hammerlib.study.records import Records

HALF_WIDTHS = (0.005, 0.01, 0.02)
MOST = 1_000_000  # replicates


def replicates_needed(sd: float, half_width: float, *, level: float = 0.95) -> int:
    """Return the fewest replicates whose Student interval is no wider than wished, if they deviate by `sd`.

    Parameters
    ----------
    sd : float
        Standard deviation of the paired differences, at least 0.
    half_width : float
        Above 0, in the same unit.
    level : float
        Nominal coverage in (0, 1).

    Raises
    ------
    InputError
        A half-width that is not above 0, or a deviation that no number of replicates makes up for.

    Examples
    --------
    >>> replicates_needed(0.02, 0.01)
    18
    """
    from scipy.stats import t

    if not (half_width > 0 and np.isfinite(sd) and sd >= 0):
        problem = "must be above 0, with a deviation that is known"
        raise InputError(
            "half_width", half_width, problem, "name a width, and measure two replicates or more"
        )
    low, high = 2, 2
    while t.ppf((1 + level) / 2, high - 1) * sd / np.sqrt(high) > half_width * (1 + 1e-12):
        low, high = high, high * 2
        if high > MOST:
            raise InputError("half_width", half_width, f"takes over {MOST} replicates", "wish for less")
    while low < high:
        middle = (low + high) // 2
        enough = t.ppf((1 + level) / 2, middle - 1) * sd / np.sqrt(middle) <= half_width * (1 + 1e-12)
        low, high = (low, middle) if enough else (middle + 1, high)
    return high


def seconds_of(records: Records, arms: Sequence[str] | None = None) -> float:
    """Return the measured seconds that one replicate of some arms takes, on one worker.

    Parameters
    ----------
    records : Records
    arms : sequence of str, optional
        Default all.

    Returns
    -------
    float
        Sum over arms of their mean over replicates; with examinations where the record holds the seconds of
        the whole cell, else of training alone.

    Examples
    --------
    >>> seconds_of(Records("demo", (), pd.DataFrame()), [])
    0.0
    """
    total = 0.0
    for arm in records.arms if arms is None else arms:
        spent = [cell.get("seconds", cell["curve"][-1]["seconds"]) for cell in records.of(arm).values()]
        total += float(np.mean(spent))
    return total


def power_table(
    contrasts: pd.DataFrame, records: Records, *, half_widths: Sequence[float] = HALF_WIDTHS
) -> pd.DataFrame:
    """Return how many replicates each contrast needs for intervals of wished half-widths.

    Parameters
    ----------
    contrasts : DataFrame
        `contrasts.contrast_table`.
    records : Records
        For the seconds of a cell.
    half_widths : sequence of float
        In the unit of the endpoint.

    Returns
    -------
    DataFrame
        Columns ``contrast, n, half_width`` (seen), ``wished, replicates, low, high`` (for the deviation seen
        and the ends of its chi-square interval) and ``hours`` (of training on one worker, arm and twin, for
        ``replicates``). Contrasts of one replicate, or without any spread, are left out.

    Examples
    --------
    >>> nothing = pd.DataFrame(columns=["contrast", "arm", "twin", "n", "sd", "sd_low", "sd_high"])
    >>> power_table(nothing, Records("demo", (), pd.DataFrame())).empty
    True
    """
    rows = []
    for one in contrasts.itertuples():
        if not one.sd > 0:
            continue
        hours = seconds_of(records, [one.arm, one.twin]) / 3600
        for wished in half_widths:
            needed = [replicates_needed(sd, wished) for sd in (one.sd, one.sd_low, one.sd_high)]
            named = {"contrast": one.contrast, "n": one.n, "half_width": (one.high - one.low) / 2}
            counted = dict(zip(("replicates", "low", "high"), needed, strict=True))
            rows.append(named | {"wished": wished} | counted | {"hours": hours * needed[0]})
    columns = ["contrast", "n", "half_width", "wished", "replicates", "low", "high", "hours"]
    return pd.DataFrame(rows, columns=columns)
