"""Means and standard deviations over replicates with their intervals, and how much arms spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hammerlib.evaluation.intervals import Interval, with_seeds


class Spread(NamedTuple):
    """A standard deviation with its interval.

    Attributes
    ----------
    value, low, high : float
        In the unit of the values.
    df : int
        Degrees of freedom.

    Examples
    --------
    >>> Spread(1.0, 0.5, 2.0, 8).df
    8
    """

    value: float
    low: float
    high: float
    df: int


def student_interval(
    values: ArrayLike, *, bounds: tuple[float, float] | None = None, level: float = 0.95
) -> Interval:
    """Return the mean with Student's interval; its ends are NaN for fewer than two values.

    Parameters
    ----------
    values : array-like, (n,)
        One number a replicate.
    bounds : (float, float), optional
        Ends of the scale, where the interval is cut.
    level : float
        Nominal coverage in (0, 1).

    Examples
    --------
    >>> [round(end, 2) for end in student_interval([1.0, 3.0])]
    [2.0, -10.71, 14.71]
    """
    given = np.asarray(values, dtype=np.float64)
    if len(given) < 2:
        return Interval(float(given.mean()) if len(given) else float("nan"), float("nan"), float("nan"))
    mean = float(given.mean())
    return with_seeds(given[:, None], (mean, mean), level, bounds or (-np.inf, np.inf))


def deviation(values: ArrayLike, groups: Sequence[object] | None = None, *, level: float = 0.95) -> Spread:
    """Return the standard deviation with its chi-square interval (normal values).

    Parameters
    ----------
    values : array-like, (n,)
    groups : sequence, optional
        One name a value: then the deviation inside the groups, pooled.
    level : float
        Nominal coverage in (0, 1).

    Returns
    -------
    Spread
        NaN without a degree of freedom.

    Examples
    --------
    >>> deviation([1.0, 3.0, 11.0, 13.0], ["a", "a", "b", "b"])
    Spread(value=1.414..., low=0.736..., high=8.887..., df=2)
    """
    from scipy.stats import chi2

    given = np.asarray(values, dtype=np.float64)
    names = pd.Series(np.zeros(len(given)) if groups is None else list(groups))
    rest = given - pd.Series(given).groupby(names).transform("mean").to_numpy()
    df = len(given) - names.nunique()
    if df < 1:
        return Spread(float("nan"), float("nan"), float("nan"), 0)
    total = float((rest**2).sum())
    ends = np.sqrt(total / chi2.ppf([(1 + level) / 2, (1 - level) / 2], df))
    return Spread(float(np.sqrt(total / df)), float(ends[0]), float(ends[1]), df)


def spread_table(
    endpoints: pd.DataFrame, twins: Mapping[str, str], *, endpoint: str = "final"
) -> pd.DataFrame:
    """Return how far the replicates of each arm lie apart, and whether further than those of its twin.

    Parameters
    ----------
    endpoints : DataFrame
        `endpoints.endpoint_table`.
    twins : mapping of str to str
        Arm to the arm it is compared with.
    endpoint : str
        Whose spread.

    Returns
    -------
    DataFrame
        Indexed by arm: ``n``, ``sd, low, high`` (over replicates, starts among them), ``inside, inside_low,
        inside_high`` (between replicates of one start, pooled), and ``ratio, p``: deviation inside starts
        over the twin's in the same replicates, with the test of Pitman and Morgan for paired values (the
        correlation of sum and difference; normal values; one degree of freedom a start is lost).

    References
    ----------
    Pitman 1939, A note on normal correlation; Morgan 1939.

    Examples
    --------
    >>> table = pd.DataFrame({"arm": ["a"] * 3, "replicate": range(3), "start_name": "s", "final": [1, 2, 3]})
    >>> spread_table(table, {}).loc["a", ["n", "sd"]].tolist()
    [3.0, 1.0]
    """
    rows = {}
    for arm, part in endpoints.groupby("arm", sort=False):
        whole = deviation(part[endpoint])
        inside = deviation(part[endpoint], list(part["start_name"]))
        rows[arm] = {"n": len(part), "sd": whole.value, "low": whole.low, "high": whole.high}
        rows[arm] |= {"inside": inside.value, "inside_low": inside.low, "inside_high": inside.high}
        twin = endpoints[endpoints["arm"] == twins.get(arm)]
        rows[arm] |= _against(part, twin, endpoint)
    return pd.DataFrame.from_dict(rows, orient="index")


def _against(ours: pd.DataFrame, theirs: pd.DataFrame, endpoint: str) -> dict[str, float]:
    from scipy.stats import t

    nothing = {"ratio": float("nan"), "p": float("nan")}
    both = ours.merge(theirs, on=["replicate", "start_name"], suffixes=("", "_twin"))
    rest = both[[endpoint, f"{endpoint}_twin"]] - both.groupby("start_name")[
        [endpoint, f"{endpoint}_twin"]
    ].transform("mean")
    free = len(both) - both["start_name"].nunique() - 1  # of the correlation
    a, b = rest.to_numpy(dtype=np.float64).T if len(both) else (np.zeros(0), np.zeros(0))
    total, gap = a + b, a - b
    if free < 1 or not all((one**2).sum() for one in (a, b, total, gap)):
        return nothing
    correlation = float((total * gap).sum() / np.sqrt((total**2).sum() * (gap**2).sum()))
    statistic = abs(correlation) * np.sqrt(free / max(1 - correlation**2, 1e-300))
    return {"ratio": float(np.sqrt((a**2).sum() / (b**2).sum())), "p": float(2 * t.sf(statistic, free))}
