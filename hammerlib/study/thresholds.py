"""How soon each arm reaches a threshold, where some never do within the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hammerlib.evaluation import permutation_test
from hammerlib.study.contrasts import paired_endpoints
from hammerlib.study.curves import THRESHOLD, crossing, curve_of
from hammerlib.study.records import Records
from hammerlib.study.spread import student_interval

if TYPE_CHECKING:
    from scipy.stats import CensoredData


def crossing_times(
    records: Records, arm: str, *, axis: str = "rollouts", threshold: float = THRESHOLD
) -> CensoredData:
    """Return when the replicates of an arm first reach the threshold, those that never do censored.

    Parameters
    ----------
    records : Records
    arm : str
    axis : str
        As in `curves.curve_of`.
    threshold : float
        Pass@1.

    Returns
    -------
    scipy.stats.CensoredData
        Right-censored at the end of each replicate's axis.

    Examples
    --------
    >>> crossing_times(Records("demo", (), pd.DataFrame()), "random").num_censored()
    0
    """
    from scipy.stats import CensoredData

    cells = records.of(arm).values()
    found = [crossing(curve_of(cell, axis=axis), threshold) for cell in cells]
    return CensoredData(
        uncensored=[one.at for one in found if one.reached],
        right=[one.at for one in found if not one.reached],
    )


def survival_steps(times: CensoredData) -> tuple[np.ndarray, np.ndarray]:
    """Return the Kaplan-Meier share of replicates that have not reached the threshold yet.

    Parameters
    ----------
    times : scipy.stats.CensoredData
        Of one arm.

    Returns
    -------
    (m,) array, (m,) array
        Places, from 0, and the share from each place on.

    Examples
    --------
    >>> from scipy.stats import CensoredData
    >>> [part.tolist() for part in survival_steps(CensoredData(uncensored=[2.0], right=[4.0]))]
    [[0.0, 2.0, 4.0], [1.0, 0.5, 0.5]]
    """
    from scipy.stats import ecdf

    found = ecdf(times).sf
    return np.append(0.0, found.quantiles), np.append(1.0, found.probabilities)


def threshold_table(
    records: Records, *, axis: str = "rollouts", threshold: float = THRESHOLD
) -> pd.DataFrame:
    """Return how soon each arm reaches the threshold, and how much sooner than its twin.

    Parameters
    ----------
    records : Records
    axis : str
        ``rollouts`` or ``step``.
    threshold : float
        Pass@1.

    Returns
    -------
    DataFrame
        Indexed by arm: ``n, reached`` (replicates), ``mean, low, high`` (restricted mean: those that never
        reach it count as the end of their axis; Student over replicates), ``median`` (Kaplan-Meier; NaN where
        fewer than half reach it), and over the replicates that hold the twin too: ``pairs`` (their number),
        ``sooner, sooner_low, sooner_high`` (twin's restricted time less the arm's at equal budget; Student)
        and ``p`` (flips of the signs of these differences; NaN where no curve of either reaches it).

    Notes
    -----
    All replicates are censored at the end of the same budget, so that the area under the Kaplan-Meier curve
    up to there is the plain mean of the restricted times.

    References
    ----------
    Kaplan & Meier 1958; Royston & Parmar 2013 (restricted mean); Fisher 1935, section 21 (flips of
    signs); `scipy.stats`.

    Examples
    --------
    >>> threshold_table(Records("demo", (), pd.DataFrame())).empty
    True
    """
    twins, rows = records.twins(), {}
    column = "steps_to_threshold" if axis == "step" else "rollouts_to_threshold"
    for arm in records.arms:
        times = crossing_times(records, arm, axis=axis, threshold=threshold)
        known = np.append(times._uncensored, times._right)
        mean = student_interval(known, bounds=(0.0, np.inf))
        places, left = survival_steps(times)
        half = np.flatnonzero(left <= 0.5)
        rows[arm] = {"n": len(known), "reached": len(known) - times.num_censored()}
        rows[arm] |= {"mean": mean.value, "low": mean.low, "high": mean.high}
        rows[arm] |= {"median": float(places[half[0]]) if len(half) else float("nan")}
        rows[arm] |= _sooner(records, arm, twins.get(arm), column, threshold)
    return pd.DataFrame.from_dict(rows, orient="index")


def _sooner(records: Records, arm: str, twin: str | None, column: str, threshold: float) -> dict[str, float]:
    nothing = dict.fromkeys(("sooner", "sooner_low", "sooner_high", "p"), float("nan"))
    table = paired_endpoints(records, arm, twin, threshold=threshold) if twin else pd.DataFrame()
    if table.empty:
        return {"pairs": 0} | nothing
    table = table.set_index("endpoint")
    gaps = -np.atleast_1d(table.loc[column, "difference"])
    found, reached = student_interval(gaps), table.loc["reached", ["arm", "twin"]].to_numpy().any()
    # With no crossing at all the test does not exist.
    p = permutation_test(np.zeros(len(gaps)), gaps).p if reached and len(gaps) > 1 else float("nan")
    named = {"sooner": found.value, "sooner_low": found.low, "sooner_high": found.high, "p": p}
    return {"pairs": len(gaps)} | named
