"""Intervals of a mean over problems, and over seeds, that hold near 0 and 1 and for thirty problems."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError
from hammerlib.evaluation.dirichlet import weighted_mean_quantile

SHARES = (0.0, 1.0)
# An unseen difference may pass the largest seen one by a third of the way to the end of the scale. Chosen by
# simulation: without it coverage falls to 80 % where few problems differ much, with the whole way intervals
# of small differences are twice as wide.
BEYOND = 1 / 3
NEAR = 0.5  # of a typical difference: what two more problems differ by, both ways, for the end towards zero
ROUNDED = 1e-6  # of the scale: shares kept in single precision are not outside it
LARGEST = 1e150
PAIRED = ("adjusted", "guarded", "student")


class Interval(NamedTuple):
    """A number with the interval around it.

    Attributes
    ----------
    value, low, high : float
        Point estimate and the two ends, in the unit of the input; low <= high.

    Examples
    --------
    >>> Interval(0.5, 0.4, 0.6).high
    0.6
    """

    value: float
    low: float
    high: float


def mean_interval(
    values: ArrayLike, *, bounds: tuple[float, float] = SHARES, level: float = 0.95
) -> Interval:
    """Return the mean of bounded values with an interval over problems, and over seeds where given.

    The bootstrap over problems with Dirichlet weights (Rubin's), to which each end adds one problem at its
    end of the scale: the one nobody has seen yet. It needs no random draws. For values 0 and 1 it is the
    exact interval of Clopper and Pearson; k samples of a problem enter as its one value, so that the spread
    between problems and the spread between samples both count, and no shape of either is assumed.

    With a leading axis of seeds, problems are crossed with seeds: the interval over the problems' means over
    seeds is widened by Student's interval of the seeds' means (squares of the half-widths add, end by end).
    The spread inside both is counted twice, so that it runs wide rather than narrow; two seeds tell little.

    Parameters
    ----------
    values : array-like, (n,) or (seeds, n)
        One number a problem, or one a seed and problem; n >= 2, finite, inside `bounds`.
    bounds : (float, float)
        Ends of the scale: the least and the greatest value that any problem can have.
    level : float
        Nominal coverage in (0, 1).

    Returns
    -------
    Interval
        Mean of `values`; ends inside `bounds`.

    Raises
    ------
    InputError
        Fewer than two problems, a value that is not finite or outside `bounds`, a level out of range.

    Notes
    -----
    Coverage is at least nominal in every known case, whatever the distribution of the values, though only
    conjectured in general (Gaffke). It is conservative where bounds are far from all values: for 30 problems
    with equal solve rates of one half it is about twice as wide as Student's. Three seeds whose means are
    skewed (near 0 or 1) covered 90 %. It covers other problems of the
    same kind; nothing here covers a benchmark that is not a random sample of what one wants to know.

    References
    ----------
    Gaffke 2005, Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative
    variable; Learned-Miller & Thomas 2019 (arXiv 1905.06208), A new confidence interval for the mean of a
    bounded random variable; Rubin 1981, The Bayesian bootstrap; seeds: Zou & Donner 2008, Construction of
    confidence limits about effect measures (variance recovery).

    Examples
    --------
    >>> mean_interval([0] * 30)[1:]  # none of thirty: 1 - 0.025 ** (1 / 30)
    (0.0, 0.11570...)
    """
    table = np.atleast_2d(checked("values", values, level=level))
    rounded = ROUNDED * _width(bounds)
    outside = table[(table < bounds[0] - rounded) | (table > bounds[1] + rounded)]
    if outside.size:
        raise InputError("values", float(outside[0]), f"lies outside {list(bounds)}", "give the right bounds")
    ends = _guarded(np.clip(table.mean(axis=0), *bounds), bounds, level)
    return with_seeds(table, ends, level, bounds)


def paired_interval(
    a: ArrayLike,
    b: ArrayLike,
    *,
    method: str = "adjusted",
    bounds: tuple[float, float] = SHARES,
    level: float = 0.95,
) -> Interval:
    """Return the mean of b - a over the same problems, with its interval over problems and seeds.

    The method is what the caller names, whatever the values:

    ``adjusted`` (default)
        Towards zero Student's end, with two more problems that differ both ways by half of a typical
        difference; away from zero the end with one more problem that nobody has seen, which passes the
        largest difference seen by a third of the way to the end of the scale. So a difference is found about
        as often as by `permutation_test`, and a rare gain that the sample lacks is not excluded. Where no
        problem differs, the unseen one does so by the whole scale.
    ``guarded``
        As `mean_interval` for the differences, with the unseen problem at both ends: wider towards zero too.
        It holds where few problems change sides completely and hardly any other differs.
    ``student``
        Mean and Student's law, for many problems of which many differ.

    Parameters
    ----------
    a, b : array-like, (n,) or (seeds, n)
        One number a problem (and seed), the same problem (and seed) at the same place.
    method : {"adjusted", "guarded", "student"}
        See above.
    bounds : (float, float)
        Ends of the scale of `a` and of `b`.
    level : float
        Nominal coverage in (0, 1).

    Returns
    -------
    Interval
        Positive where `b` is better; an interval without zero is a difference at this level.

    Raises
    ------
    InputError
        Another method, different shapes, ``student`` where all differences are equal, or as in
        `mean_interval`.

    Notes
    -----
    Measured coverage and power: ``results/benchmarks/intervals.md``. Where a few problems in n change sides
    completely and all others hardly differ, samples without such a problem tell nothing of them, and no
    interval but ``mean_interval(b - a, bounds=(-1, 1))`` holds.

    Seeds are crossed with problems: to the interval over the problems' means over seeds comes Student's of
    the seeds' means (squares of the half-widths add), less what both count (``adjusted`` and ``student``:
    their interaction, once, at the factor of the problems).

    References
    ----------
    One or two more observations: Agresti & Min 2005; Bonett & Price 2012 (paired proportions). Both are taken
    over to k samples by us, the sizes chosen by simulation. Seeds: Owen 2007, The pigeonhole bootstrap
    (variance of crossed factors); Zou & Donner 2008.

    Examples
    --------
    >>> found = paired_interval([0] * 30, [0] * 30)
    >>> round(found.low, 3), found.value, round(found.high, 3)
    (-0.116, 0.0, 0.116)
    """
    if method not in PAIRED:
        raise InputError("method", method, "is not known", f"use one of {', '.join(PAIRED)}")
    width = _width(bounds)
    difference = np.atleast_2d(checked("a", differences(a, b), level=level))
    means = difference.mean(axis=0)
    if np.abs(difference).max() > width + ROUNDED:
        raise InputError("bounds", list(bounds), "two values differ by more", "give the right bounds")
    scale = (-width, width)
    if method == "guarded":
        most = np.abs(means).max()
        most = min(width, most + BEYOND * (width - most)) if most else width
        return with_seeds(difference, _guarded(means, (-most, most), level), level, scale)
    ends = _adjusted(means, width, level) if method == "adjusted" else student_ends(means, level)
    if method == "student" and np.ptp(means) < 1e-12:
        problem = "every difference is equal, which leaves Student's interval no width"
        raise InputError("b", float(means[0]), problem, 'use method="adjusted"')
    return with_seeds(difference, ends, level, scale, apart=True)


def _adjusted(means: np.ndarray, width: float, level: float) -> tuple[float, float]:
    """Ends of ``adjusted``: Student's towards zero, that with one more problem away from it."""
    from scipy.stats import t

    n, value, sizes = len(means), float(means.mean()), np.abs(means)
    largest = float(sizes.max())
    if not largest:  # exact: so many problems of which none differs
        most = width * (1 - ((1 - level) / 2) ** (1 / n))
        return -most, most
    unseen = largest + BEYOND * (width - largest)

    def away(sign: int) -> float:
        more = np.append(means, sign * unseen)
        return float(more.mean() + sign * t.ppf((1 + level) / 2, n) * more.std(ddof=1) / np.sqrt(n + 1))

    if abs(value) < 1e-12:  # neither end is nearer to zero
        return away(-1), away(1)
    typical = float((sizes**3).sum() / (sizes**2).sum())  # the size of a difference drawn by its square
    squares = float(((means - value) ** 2).sum()) + 2 * (NEAR * typical) ** 2
    half = float(t.ppf((1 + level) / 2, n - 1)) * np.sqrt(squares / (n - 1) / n)
    return (value - half, away(1)) if value > 0 else (away(-1), value + half)


def student_ends(means: np.ndarray, level: float) -> tuple[float, float]:
    """Mean of n >= 2 values and Student's half-width on both sides."""
    from scipy.stats import t

    half = t.ppf((1 + level) / 2, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means))
    return float(means.mean() - half), float(means.mean() + half)


def standard_error(values: ArrayLike) -> float:
    """Return the standard error of the mean over problems, and over seeds where given.

    Parameters
    ----------
    values : array-like, (n,) or (seeds, n)
        One number a problem, or one a seed and problem; n >= 2, finite. For a difference give b - a.

    Returns
    -------
    float
        In the unit of the input. With seeds the variances over problems and over seeds are added, less their
        interaction, which is in both.

    Notes
    -----
    It describes the spread of the values at hand: 0 where all are equal, which proves nothing. The intervals
    of this package are no multiples of it.

    References
    ----------
    Owen 2007, The pigeonhole bootstrap, Annals of Applied Statistics 1.

    Examples
    --------
    >>> round(standard_error([0, 1] * 50), 4)  # 0.5 * sqrt(100 / 99) / 10
    0.0503
    """
    table = np.atleast_2d(checked("values", values))
    over_problems, over_seeds, both = _variances(table)
    return float(np.sqrt(max(over_problems + over_seeds - both, over_problems, over_seeds)))


def _variances(table: np.ndarray) -> tuple[float, float, float]:
    """Variance of the mean by problems, by seeds, and what both count: their interaction."""
    seeds, n = table.shape
    of_problems, of_seeds = table.mean(axis=0), table.mean(axis=1)
    if seeds == 1:
        return float(of_problems.var(ddof=1) / n), 0.0, 0.0
    rest = table - of_problems - of_seeds[:, None] + table.mean()
    both = float((rest**2).sum() / ((seeds - 1) * (n - 1)) / (seeds * n))
    return float(of_problems.var(ddof=1) / n), float(of_seeds.var(ddof=1) / seeds), both


def is_number(value: object) -> bool:
    """Whether a value is one real number: no text, no truth value, no array."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def check_bounds(bounds: object, *, finite: bool = True) -> tuple[float, float]:
    """Return two rising ends of a scale, or refuse them."""
    pair = tuple(bounds) if isinstance(bounds, tuple | list | np.ndarray) else ()
    rising = len(pair) == 2 and all(map(is_number, pair)) and pair[0] < pair[1]
    if not rising or (finite and not np.isfinite(pair).all()):
        problem = "are not two rising finite ends" if finite else "are not two rising ends"
        shown = bounds.tolist() if isinstance(bounds, np.ndarray) else bounds
        raise InputError("bounds", shown, problem, "shares have (0, 1)" if finite else "tokens have (0, inf)")
    return float(pair[0]), float(pair[1])


def _width(bounds: tuple[float, float]) -> float:
    low, high = check_bounds(bounds)
    return high - low


def _guarded(means: np.ndarray, guards: tuple[float, float], level: float) -> tuple[float, float]:
    """Ends of the weighted mean, with one more value at each end of the scale."""
    low = weighted_mean_quantile(np.append(means, guards[0]), (1 - level) / 2)
    high = weighted_mean_quantile(np.append(means, guards[1]), (1 + level) / 2)
    return low, high


def with_seeds(
    table: np.ndarray,
    ends: tuple[float, float],
    level: float,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    apart: bool = False,
) -> Interval:
    """Return the mean with an interval over problems, widened by the spread of the seeds' means.

    Parameters
    ----------
    table : ndarray, (seeds, n)
        One number a seed and problem; a single seed widens nothing.
    ends : (float, float)
        The interval over problems.
    level : float
        Nominal coverage in (0, 1).
    bounds : (float, float)
        Where the ends are cut.
    apart : bool
        Take off the interaction of problems and seeds, which both spreads hold, once.

    Returns
    -------
    Interval
        Squares of half-widths added, end by end.

    Examples
    --------
    >>> with_seeds(np.array([[1.0, 3.0]]), (0.0, 4.0), 0.95)
    Interval(value=2.0, low=0.0, high=4.0)
    """
    from scipy.stats import t

    value, seeds = float(table.mean()), len(table)
    half = 0.0
    if seeds > 1:
        factor = t.ppf((1 + level) / 2, seeds - 1)
        half = factor * table.mean(axis=1).std(ddof=1) / np.sqrt(seeds)
        if apart:
            twice = t.ppf((1 + level) / 2, table.shape[1] - 1) ** 2 * _variances(table)[2]
            half = np.sqrt(max(half**2 - twice, 0.0))
    low = min(value, max(value - np.hypot(value - ends[0], half), bounds[0]))
    high = max(value, min(value + np.hypot(ends[1] - value, half), bounds[1]))
    return Interval(value, float(low), float(high))


def differences(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Return b - a, both checked.

    Raises
    ------
    InputError
        Different shapes, fewer than two problems, or a value that is not finite.

    Examples
    --------
    >>> differences([0.5, 0.25], [1.0, 0.0]).tolist()
    [0.5, -0.25]
    """
    first, second = checked("a", a), checked("b", b)
    if first.shape != second.shape:
        problem = f"needs the shape of a ({list(first.shape)})"
        raise InputError("b", list(second.shape), problem, "join both by id")
    return second - first


def checked(field: str, values: ArrayLike, least: int = 2, level: float = 0.95) -> np.ndarray:
    """Return values as an array of float64, of `least` problems or more.

    Parameters
    ----------
    field : str
        Name for the error.
    values : array-like, (n,) or (seeds, n)
    least : int
        Fewest problems.
    level : float
        A nominal coverage, checked on the way.

    Raises
    ------
    InputError
        No numbers, fewer values, a value that is not finite, a level outside (0, 1).

    Examples
    --------
    >>> checked("values", [1, 2]).tolist()
    [1.0, 2.0]
    """
    try:
        array = np.asarray(values)
        array = array.astype(np.float64) if array.dtype.kind in "biufO" else None
    except (TypeError, ValueError):
        array = None
    if array is None:
        raise InputError(field, values, "are not numbers of one shape", "give one number a problem")
    if array.ndim not in (1, 2) or array.shape[-1] < least or not len(array):
        problem = f"needs one number a problem, {least} or more"
        raise InputError(field, list(array.shape), problem, "evaluate more problems")
    lost = int((~np.isfinite(array)).sum())
    if lost:
        raise InputError(field, lost, "values that are not finite", "drop or repair those problems")
    if array.size and np.abs(array).max() > LARGEST:
        raise InputError(field, float(np.abs(array).max()), "is too large to be squared", "use another unit")
    if not (is_number(level) and 0 < level < 1):
        raise InputError("level", level, "must lie between 0 and 1", "use 0.95")
    return array
