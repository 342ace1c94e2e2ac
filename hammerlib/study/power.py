"""What a number of replicates can show, how many a wished interval takes, and what they cost in time."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import numpy as np
import pandas as pd

from hammerlib.errors import InputError
from hammerlib.study import PROTOCOL
from hammerlib.study.contrasts import MARGIN
from hammerlib.study.records import Records

POWER = PROTOCOL["power"]
WISHED = PROTOCOL["half_width"]
HALF_WIDTHS = (0.005, 0.01, 0.02)
MOST = 1_000_000  # replicates
NODES = 4000  # of the integral over the standard deviation
# Most trials ran beside other work, so that an arm whose trials met a quieter hour looks cheaper than it is:
# the lower quartile over replicates is what the less disturbed ones took.
UNDISTURBED = 0.25


def replicates_needed(sd: float, half_width: float) -> int:
    """Return the fewest replicates whose Student interval is no wider than wished, for this deviation."""
    from scipy.stats import t

    if not (half_width > 0 and np.isfinite(sd) and sd >= 0):
        problem = "must be above 0, with a deviation that is known"
        remedy = "name a width, and measure two replicates or more"
        raise InputError("half_width", half_width, problem, remedy)

    def enough(n: int) -> bool:
        # The half-width falls with n.
        return t.ppf(0.975, n - 1) * sd / np.sqrt(n) <= half_width * (1 + 1e-12)

    needed = 2 + bisect.bisect_left(range(2, MOST), True, key=enough)
    if needed == MOST:
        raise InputError("half_width", half_width, f"takes {MOST} replicates or more", "wish for less")
    return needed


def detectable(sd: float, n: int) -> float:
    """Return the smallest true difference that an uncorrected paired t-test at 5 % finds by `POWER`."""
    from scipy.optimize import brentq
    from scipy.stats import norm, t

    edge = t.ppf(0.975, n - 1) * _deviations(n)

    # As R's `power.t.test`: for a known deviation the statistic is normal around the shift, in standard
    # errors.
    def lacking(shift: float) -> float:
        return float((norm.cdf(shift - edge) + norm.cdf(-shift - edge)).mean()) - POWER

    return float(brentq(lacking, 0.0, 10 * edge.max()) * sd / np.sqrt(n))


def equivalence_power(sd: float, n: int, *, margin: float = MARGIN) -> float:
    """Return the chance that two one-sided tests find a true difference of zero to be inside the margin."""
    from scipy.stats import norm, t

    # Phillips 1990, Power of the two one-sided tests procedure in bioequivalence.
    # Both tests pass where |mean| is below the margin less t errors; their chance is that of a normal mean
    # around zero, averaged over the deviations a sample may show.
    room = margin * np.sqrt(n) / sd - t.ppf(0.95, n - 1) * _deviations(n)
    return float(np.maximum(2 * norm.cdf(room) - 1, 0).mean())


def _deviations(n: int) -> np.ndarray:
    """Deviations of n normal values over the true one, equally likely: chances are averaged over them."""
    from scipy.stats import chi2

    return np.sqrt(chi2.ppf((np.arange(NODES) + 0.5) / NODES, n - 1) / (n - 1))


def planned_table(contrasts: pd.DataFrame, records: Records) -> pd.DataFrame:
    """Return what the planned number of replicates can show of each row of `contrast_table`.

    ``contrast, n``, ``planned`` (replicates: trials and missing ones together), ``sd`` (as seen),
    ``detectable`` (smallest true difference found with 80 % power by an uncorrected two-sided test at 5 %)
    and ``equivalence`` (chance to show that a true zero is inside the margin), each with ``_low`` and
    ``_high``, for the ends of the deviation's interval.
    """
    missing = records.missing
    rows = []
    for row in contrasts.itertuples():
        if not row.sd > 0:
            continue
        ours, theirs = (
            {*records.of(arm), *missing.loc[missing["arm"] == arm, "replicate"]}
            for arm in (row.arm, row.twin)
        )
        n = len(ours & theirs)
        powers = {"contrast": row.contrast, "n": row.n, "planned": n}
        for end, sd in {"": row.sd, "_low": row.sd_low, "_high": row.sd_high}.items():
            powers |= {f"sd{end}": sd, f"detectable{end}": detectable(sd, n)}
        # The larger the deviation, the smaller the chance.
        for end, sd in {"": row.sd, "_low": row.sd_high, "_high": row.sd_low}.items():
            powers[f"equivalence{end}"] = equivalence_power(sd, n)
        rows.append(powers)
    columns = ["contrast", "n", "planned"]
    columns += [name + end for name in ("sd", "detectable", "equivalence") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=columns)


def power_table(
    contrasts: pd.DataFrame, records: Records, *, half_widths: Sequence[float] = HALF_WIDTHS
) -> pd.DataFrame:
    """Return how many replicates each row of `contrast_table` needs for intervals of wished half-widths.

    ``contrast, n, half_width`` (seen), ``wished, replicates, low, high`` (for the deviation seen and the ends
    of its interval), ``missing`` (of ``replicates``) and ``hours`` (of one of two workers, arm and control
    arm, for the missing ones). Contrasts without any spread are left out.
    """
    rows = []
    for row in contrasts.itertuples():
        if not row.sd > 0:
            continue
        hours = seconds_of(records, [row.arm, row.twin]) / 3600
        for wished in half_widths:
            needed, low, high = (replicates_needed(sd, wished) for sd in (row.sd, row.sd_low, row.sd_high))
            missing = max(0, needed - row.n)
            needs = {"contrast": row.contrast, "n": row.n, "half_width": (row.high - row.low) / 2}
            needs |= {"wished": wished, "replicates": needed, "low": low, "high": high}
            rows.append(needs | {"missing": missing, "hours": hours * missing})
    columns = ["contrast", "n", "half_width", "wished", "replicates", "low", "high", "missing", "hours"]
    return pd.DataFrame(rows, columns=columns)


def seconds_of(records: Records, arms: Sequence[str]) -> float:
    """Return the measured seconds that one replicate of some arms takes, on one of two workers."""
    total = 0.0
    for arm in arms:
        # With examinations where the record holds the seconds of the whole trial, else of training alone.
        seconds = [trial.get("seconds", trial["curve"][-1]["seconds"]) for trial in records.of(arm).values()]
        total += float(np.quantile(seconds, UNDISTURBED))
    return total
