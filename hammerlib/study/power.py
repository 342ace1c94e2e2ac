"""What a number of replicates can show, how many a wished interval takes, and the hours for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hammerlib.errors import InputError
from hammerlib.study.contrasts import MARGIN
from hammerlib.study.records import Records

HALF_WIDTHS = (0.005, 0.01, 0.02)
POWER = 0.80
UNDISTURBED = 0.25  # quantile of a cell's seconds: the others ran beside something more
NODES = 4000  # of the integral over the standard deviation
MOST = 1_000_000  # replicates
WISHED = 0.01  # half-width, of results/PROTOCOL.md


def replicates_needed(sd: float, half_width: float, *, level: float = 0.95) -> int:
    """Return the fewest replicates whose Student interval is no wider than wished, for this `sd`."""
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
    """Return the measured seconds that one replicate of some arms takes, on one of two workers."""
    total = 0.0
    for arm in records.arms if arms is None else arms:
        spent = [cell.get("seconds", cell["curve"][-1]["seconds"]) for cell in records.of(arm).values()]
        total += float(np.quantile(spent, UNDISTURBED))
    return total


def detectable(sd: float, n: int, *, power: float = POWER, level: float = 0.05) -> float:
    """Return the smallest true difference that a paired t-test finds with some power."""
    from scipy.optimize import brentq
    from scipy.stats import norm, t

    edge = t.ppf(1 - level / 2, n - 1) * _deviations(n)

    def lacking(shift: float) -> float:
        return float((norm.cdf(shift - edge) + norm.cdf(-shift - edge)).mean()) - power

    return float(brentq(lacking, 0.0, 10 * edge.max()) * sd / np.sqrt(n))


def equivalence_power(sd: float, n: int, *, margin: float = MARGIN, level: float = 0.05) -> float:
    """Return the chance that two one-sided tests find a true difference of zero to be inside the margin."""
    from scipy.stats import norm, t

    room = margin * np.sqrt(n) / sd - t.ppf(1 - level, n - 1) * _deviations(n)
    return float(np.maximum(2 * norm.cdf(room) - 1, 0).mean())


def _deviations(n: int) -> np.ndarray:
    """Deviations of n normal values over the true one, equally likely: chances are averaged over them."""
    from scipy.stats import chi2

    return np.sqrt(chi2.ppf((np.arange(NODES) + 0.5) / NODES, n - 1) / (n - 1))


def planned_table(contrasts: pd.DataFrame, records: Records, *, margin: float = MARGIN) -> pd.DataFrame:
    """Return what the planned number of replicates can show of each contrast, for the deviation seen.

    Parameters
    ----------
    contrasts : DataFrame
        `contrasts.contrast_table`.
    records : Records
        Its cells and missing ones together are the plan.
    margin : float
        Largest difference that does not matter.

    Returns
    -------
    DataFrame
        Columns ``contrast, n, sd, sd_low, sd_high, planned`` (replicates), ``detectable, detectable_low,
        detectable_high`` (smallest true difference found with 80 % power by an uncorrected two-sided test at
        5 %; for the deviation seen and the ends of its interval) and ``equivalence, equivalence_low,
        equivalence_high`` (chance to show that a true zero is inside the margin).
    """
    rows, ends = [], ("", "_low", "_high")
    for one in contrasts.itertuples():
        if not one.sd > 0:
            continue
        n, deviations = _planned(records, one.arm, one.twin), (one.sd, one.sd_low, one.sd_high)
        named = {"contrast": one.contrast, "n": one.n, "planned": n}
        named |= {f"sd{end}": sd for end, sd in zip(ends, deviations, strict=True)}
        named |= {f"detectable{end}": detectable(sd, n) for end, sd in zip(ends, deviations, strict=True)}
        chances = [equivalence_power(sd, n, margin=margin) for sd in deviations]
        named |= {"equivalence": chances[0], "equivalence_low": chances[2], "equivalence_high": chances[1]}
        rows.append(named)
    columns = ["contrast", "n", "planned"]
    columns += [name + end for name in ("sd", "detectable", "equivalence") for end in ends]
    return pd.DataFrame(rows, columns=columns)


def _planned(records: Records, arm: str, twin: str) -> int:
    missing = records.missing
    numbers = [{*records.of(one), *missing.loc[missing["arm"] == one, "replicate"]} for one in (arm, twin)]
    return len(numbers[0] & numbers[1])


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
        and the ends of its chi-square interval), ``missing`` (of ``replicates``, those not there yet) and
        ``hours`` (of one of two workers, arm and twin, for the missing ones). Contrasts of one replicate,
        or without any spread, are left out.
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
            counted["missing"] = max(0, needed[0] - one.n)
            rows.append(named | {"wished": wished} | counted | {"hours": hours * counted["missing"]})
    columns = ["contrast", "n", "half_width", "wished", "replicates", "low", "high", "missing", "hours"]
    return pd.DataFrame(rows, columns=columns)


def undisturbed_seconds(records: Records) -> pd.Series:
    """Return the seconds of training that the less disturbed cells of each arm took."""
    if not records.cells:
        return pd.Series(dtype=float)
    return records.table.groupby("arm", sort=False)["seconds"].quantile(UNDISTURBED)


def undisturbed(records: Records) -> Records:
    """Return the records with the seconds of each curve as if every cell had taken its arm's."""
    whole = undisturbed_seconds(records)
    cells = []
    for cell in records.cells:
        factor = whole[cell["arm"]] / cell["curve"][-1]["seconds"]
        curve = [point | {"seconds": point["seconds"] * factor} for point in cell["curve"]]
        cells.append(cell | {"curve": curve})
    return Records(records.study, tuple(cells), records.missing)
