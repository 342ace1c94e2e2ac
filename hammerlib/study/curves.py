"""The held-out curve of a cell, and the single numbers read off a curve."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError
from hammerlib.study.records import samples_of

LATE = (
    0.2  # share of the axis whose mean is the final value: the last checkpoint alone is biased by its batch
)
THRESHOLD = 0.70  # pass@1 whose first crossing is timed


class Curve(NamedTuple):
    """Held-out pass@1 of a cell along one axis.

    Attributes
    ----------
    axis : (p,) float array
        From 0, not falling.
    values : (p,) float array
        Shares in [0, 1].

    Examples
    --------
    >>> Curve(np.array([0.0, 8.0]), np.array([0.2, 0.4])).values.max()
    np.float64(0.4)
    """

    axis: np.ndarray
    values: np.ndarray


class Crossing(NamedTuple):
    """When a curve first reaches a threshold.

    Attributes
    ----------
    at : float
        Place on the axis, by straight lines between points; the end of the axis where it never does.
    reached : bool
        False: censored at the end.

    Examples
    --------
    >>> Crossing(10.0, False).reached
    False
    """

    at: float
    reached: bool


def curve_of(cell: dict, *, axis: str = "rollouts", family: str | None = None, unseen: bool = False) -> Curve:
    """Return a cell's held-out pass@1 along an axis.

    Parameters
    ----------
    cell : dict
        Its record.
    axis : str
        ``rollouts`` (generated in training, filtered ones too), ``paid`` (with those of a probe of the start
        before training, during which the model stays as it was), ``step``, ``prompts``, ``tokens`` (of the
        batches trained on, prompts included; filtered groups are not among them) or ``seconds``.
    family : str, optional
        One family of problems; default all that RL trains on.
    unseen : bool
        The families that RL does not train on, instead.

    Raises
    ------
    InputError
        No held-out problem of that kind.

    Examples
    --------
    >>> cell = {"topics": ["a", "b"], "unseen": ["b"], "settings": {"samples": 4}, "probe_rollouts": 8,
    ...         "curve": [{"rollouts": 0, "correct": [1, 0]}, {"rollouts": 16, "correct": [3, 4]}]}
    >>> [part.tolist() for part in curve_of(cell, axis="paid")]
    [[0.0, 8.0, 24.0], [0.25, 0.25, 0.75]]
    """
    topics = np.array(cell["topics"])
    kept = topics == family if family is not None else np.isin(topics, cell["unseen"]) == unseen
    if not kept.any():
        what = family or ("unseen families" if unseen else "trained families")
        raise InputError("family", what, "has no held-out problem", "choose another")
    samples = samples_of(cell)
    values = np.array([np.array(point["correct"])[kept].mean() / samples for point in cell["curve"]])
    column = "rollouts" if axis == "paid" else axis
    places = np.array([point[column] for point in cell["curve"]], dtype=np.float64)
    probe = cell.get("probe_rollouts", 0) if axis == "paid" else 0
    if probe:
        places, values = np.append(0.0, places + probe), np.append(values[0], values)
    return Curve(places, values)


def cut(curve: Curve, end: float | None) -> Curve:
    """Return the curve up to `end`, where its value lies on the straight line between two points.

    Raises
    ------
    InputError
        An end that the curve does not reach, or that is not above its start.

    Examples
    --------
    >>> cut(Curve(np.array([0.0, 10.0]), np.array([0.0, 1.0])), 5.0).values.tolist()
    [0.0, 0.5]
    """
    axis, values = curve
    end = float(axis[-1] if end is None else end)
    if not axis[0] < end <= axis[-1] * (1 + 1e-12):
        raise InputError("end", end, f"the curve runs from {axis[0]:g} to {axis[-1]:g}", "choose it inside")
    inside = axis < end
    return Curve(np.append(axis[inside], end), np.append(values[inside], np.interp(end, axis, values)))


def area(curve: Curve) -> float:
    """Return the mean height of a curve: its area by the trapezoid rule over the length of the axis.

    Examples
    --------
    >>> area(Curve(np.array([0.0, 10.0, 20.0]), np.array([0.0, 1.0, 1.0])))
    0.75
    """
    return float(np.trapezoid(curve.values, curve.axis) / (curve.axis[-1] - curve.axis[0]))


def late_mean(axis: ArrayLike, values: ArrayLike) -> float:
    """Return the mean of the values in the last fifth of an axis that starts at 0 (its ends included).

    Examples
    --------
    >>> late_mean([0, 5, 8, 10], [0.0, 0.0, 0.5, 1.0])
    0.75
    """
    places = np.asarray(axis, dtype=np.float64)
    return float(np.asarray(values)[places >= (1 - LATE) * places[-1] - 1e-9].mean())


def crossing(curve: Curve, threshold: float = THRESHOLD) -> Crossing:
    """Return where a curve first reaches the threshold.

    Parameters
    ----------
    curve : Curve
    threshold : float
        In the unit of its values.

    Examples
    --------
    >>> crossing(Curve(np.array([0.0, 10.0]), np.array([0.5, 1.0])), 0.75)
    Crossing(at=5.0, reached=True)
    """
    axis, values = curve
    above = np.flatnonzero(values >= threshold)
    if not len(above):
        return Crossing(float(axis[-1]), False)
    after = above[0]
    if after == 0:
        return Crossing(float(axis[0]), True)
    risen = (threshold - values[after - 1]) / (values[after] - values[after - 1])
    return Crossing(float(axis[after - 1] + risen * (axis[after] - axis[after - 1])), True)


def drawdown(values: ArrayLike) -> float:
    """Return the largest fall below the running maximum; noise alone makes it positive (module `noise`).

    Examples
    --------
    >>> drawdown([0.25, 0.75, 0.5, 1.0])
    0.25
    """
    given = np.asarray(values, dtype=np.float64)
    return float((np.maximum.accumulate(given) - given).max())
