"""What an interval and its tests say, in words."""

from __future__ import annotations

from hammerlib.study.contrasts import MARGIN

PRIMARY_LEVEL, OTHER_LEVEL, EQUIVALENCE_LEVEL = 0.05, 0.10, 0.05  # of results/PROTOCOL.md


def verdict(
    low: float,
    high: float,
    adjusted: float,
    p_equivalent: float,
    *,
    margin: float = MARGIN,
    level: float = PRIMARY_LEVEL,
) -> str:
    """Return in words what a contrast says.

    Parameters
    ----------
    low, high : float
        Ends of its 95 % interval, as shares.
    adjusted, p_equivalent : float
        Corrected p of no difference, and p of a difference of at least the margin.
    margin : float
        Largest difference that does not matter.
    level : float
        Of the corrected p; a difference is claimed only where the interval leaves zero out too. Equivalence
        is always judged at 5 %.

    Examples
    --------
    >>> verdict(-0.004, 0.006, 0.7, 0.01), verdict(-0.05, -0.02, 0.001, 0.9), verdict(-0.02, 0.02, 0.9, 0.2)
    ('no difference larger than 1 point', 'worse', 'cannot be told from none, nor from one that matters')
    """
    small, size = p_equivalent < EQUIVALENCE_LEVEL, f"{100 * margin:g} point" + "s" * (margin != 0.01)
    # Corrected at ten per cent, a difference may be found whose 95 % interval holds zero: it is called none.
    if adjusted < level and not low <= 0 <= high:
        told = "better" if low + high > 0 else "worse"
        return f"{told}, by less than {size}" if small else told
    if small:
        return f"no difference larger than {size}"
    return "cannot be told from none, nor from one that matters"


def reading(low: float, high: float, expected: int, p_equivalent: float, p: float = 0.0) -> str:
    """Return in words what an interval says of a cause.

    Parameters
    ----------
    low, high : float
        Ends of the interval; NaN where there is none.
    expected : int
        Sign that the contrast has if the cause carries the whole effect; 0 where no sign is expected.
    p_equivalent : float
        P of a difference of at least the margin; within it below 5 %, as in `verdict`.
    p : float
        Corrected; a difference is read only below `OTHER_LEVEL`. NaN counts as 1.

    Examples
    --------
    >>> reading(0.02, 0.04, 1, 0.9), reading(-0.005, 0.005, 1, 0.01), reading(-0.03, 0.02, 1, 0.5)
    ('as expected', 'within the margin', 'cannot tell')
    """
    inside = p_equivalent < EQUIVALENCE_LEVEL
    if (low > 0 or high < 0) and p < OTHER_LEVEL:
        found = 1 if low > 0 else -1
        told = "differs" if not expected else "as expected" if found == expected else "opposite"
        return told + (", within the margin" if inside else "")
    return "within the margin" if inside else "cannot tell"
