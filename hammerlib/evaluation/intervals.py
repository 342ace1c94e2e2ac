"""Intervals of a mean over problems, seeds and benchmarks: by Dirichlet weights and by the bootstrap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from hammerlib.errors import InputError, check_name, check_whole

SHARES = (0.0, 1.0)
FREE = (-np.inf, np.inf)  # a scale without ends
# An unseen difference may pass the largest seen one by a third of the way to the end of the scale. Chosen by
# simulation: without it coverage falls to 80 % where few problems differ much, with the whole way intervals
# of small differences are twice as wide.
BEYOND = 1 / 3
NEAR = 0.5  # of a typical difference: what two more problems differ by, both ways, for the end towards zero
ROUNDED = 1e-6  # of the scale: shares kept in single precision are not outside it
LARGEST = 1e150
PAIRED = ("adjusted", "guarded", "student")
TAIL = 30.0  # exponential tails of the weighted sum are followed to exp(-30)
SMALL = 1e-10  # terms of the series below this are left out
MOST_TERMS = 20_000  # reached for two or three values only, where the error is then below 1e-6
AT_ONCE = 4_000_000  # numbers held in memory at a time (32 MB)

DRAWS_AT_ONCE = 2_000_000  # resampled values held in memory at a time (16 MB)
DRAWS = 2000  # resamples where none are asked for
LEVEL = 0.95
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)  # not .025, which is another float
FEWEST = 10  # problems; below, resamples hold too few distinct values to be studentised
DRAWN = ("bootstrap-t", "bca", "percentile")
METHODS = (*DRAWN, "student", "dirichlet")


class Interval(NamedTuple):
    """A number with the interval around it, in the unit of the input; low <= high.

    Examples
    --------
    >>> Interval(0.5, 0.4, 0.6).high
    0.6
    >>> f"{Interval(0.5, 0.4, 0.6):.2f}"
    '0.50 [0.40, 0.60]'
    """

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Interval:
        """Return the interval of a recorded metric, such as ``record.metrics["pass@1"]``."""
        return cls(entry["value"], entry["low"], entry["high"])

    def __format__(self, spec: str) -> str:
        """Write ``value [low, high]``, each number in the format `spec`."""
        value, low, high = (format(number, spec) for number in self)
        return f"{value} [{low}, {high}]"


def mean_interval(
    values: ArrayLike, *, bounds: tuple[float, float] = SHARES, level: float = 0.95
) -> Interval:
    """Return the mean of bounded values with an interval over problems, and over seeds where given.

    The bootstrap over problems with Dirichlet weights (Rubin's), to which each end adds one problem at its
    end of the scale: the one nobody has seen yet. It needs no random draws. For values 0 and 1 it is the
    exact interval of Clopper and Pearson; k samples of a problem enter as its one value.

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
        Mean of `values`; ends inside `bounds`. With seeds, Student's interval of the seeds' means is added
        (squares of the half-widths, end by end); two seeds tell little.

    Raises
    ------
    InputError
        Fewer than two problems, a value that is not finite or outside `bounds`, a level out of range.

    Notes
    -----
    Coverage is at least nominal in every known case, though only conjectured in general (Gaffke); for 30
    problems with equal solve rates of one half it is about twice as wide as Student's. Three seeds whose
    means are skewed (near 0 or 1) covered 90 %.

    References
    ----------
    Gaffke 2005, Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative
    variable; Learned-Miller & Thomas 2019 (arXiv 1905.06208); Rubin 1981, The Bayesian bootstrap; seeds: Zou
    & Donner 2008, Construction of confidence limits about effect measures (variance recovery).

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
    # Each end has one problem more, at its end of the scale.
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

    Parameters
    ----------
    a, b : array-like, (n,) or (seeds, n)
        One number a problem (and seed), the same problem (and seed) at the same place.
    method : {"adjusted", "guarded", "student"}
        ``adjusted``: towards zero Student's end, with two more problems that differ both ways by half of a
        typical difference; away from zero the end with one more problem that nobody has seen. So a difference
        is found about as often as by `permutation_test`, and a rare gain that the sample lacks is not
        excluded. ``guarded``: as `mean_interval`, with the unseen problem at both ends; it holds where few
        problems change sides completely and hardly any other differs. ``student``: for many problems of which
        many differ.
    bounds : (float, float)
        Ends of the scale of `a` and of `b`.
    level : float
        Nominal coverage in (0, 1).

    Returns
    -------
    Interval
        Positive where `b` is better. Seeds are crossed with problems: squares of the half-widths of both
        add, less what both count (``adjusted`` and ``student``: their interaction, once).

    Raises
    ------
    InputError
        Another method, different shapes, ``student`` where all differences are equal, or as in
        `mean_interval`.

    Notes
    -----
    Measured coverage and power: ``results/benchmarks/intervals.md``. Where a few problems in n change sides
    completely and all others hardly differ, no interval but ``mean_interval(b - a, bounds=(-1, 1))`` holds.

    References
    ----------
    One or two more observations: Agresti & Min 2005; Bonett & Price 2012 (paired proportions); taken over to
    k samples by us, the sizes chosen by simulation. Seeds: Owen 2007, The pigeonhole bootstrap; Zou & Donner
    2008.

    Examples
    --------
    >>> found = paired_interval([0] * 30, [0] * 30)
    >>> round(found.low, 3), found.value, round(found.high, 3)
    (-0.116, 0.0, 0.116)
    """
    check_name("method", method, PAIRED)
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
    if method == "student" and np.ptp(means) < 1e-12:
        problem = "every difference is equal, which leaves Student's interval no width"
        raise InputError("b", float(means[0]), problem, 'use method="adjusted"')
    ends = _adjusted(means, width, level) if method == "adjusted" else student_ends(means, level)
    return with_seeds(difference, ends, level, scale, apart=True)


def _adjusted(means: np.ndarray, width: float, level: float) -> tuple[float, float]:
    """Ends of ``adjusted``: Student's towards zero, that with one more problem away from it."""
    from scipy.stats import t

    n = len(means)
    value = float(means.mean())
    sizes = np.abs(means)
    largest = float(sizes.max())
    if not largest:
        # Exact, as Clopper's and Pearson's for none of n: (1 - q)^n = (1 - level) / 2.
        most = width * (1 - ((1 - level) / 2) ** (1 / n))
        return -most, most
    # Away from zero: Student's end of n + 1 differences, the last one larger than any seen.
    unseen = largest + BEYOND * (width - largest)

    def away(sign: int) -> float:
        more = np.append(means, sign * unseen)
        return float(more.mean() + sign * student_half(more, level))

    if abs(value) < 1e-12:  # neither end is nearer to zero
        return away(-1), away(1)
    # Towards zero: two more differences of NEAR times a typical one, one up, one down. They leave the mean as
    # it is and add to the sum of squares. Typical is the size of a difference drawn by its square.
    typical = float((sizes**3).sum() / (sizes**2).sum())
    squares = float(((means - value) ** 2).sum()) + 2 * (NEAR * typical) ** 2
    half = float(t.ppf((1 + level) / 2, n - 1)) * np.sqrt(squares / (n - 1) / n)
    if value > 0:
        return value - half, away(1)
    return away(-1), value + half


def student_half(values: np.ndarray, level: float) -> float:
    """Student's half-width of the mean of n >= 2 values: t s / sqrt(n)."""
    from scipy.stats import t

    return t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))


def student_ends(means: np.ndarray, level: float) -> tuple[float, float]:
    """Ends of Student's interval of the mean of n >= 2 values."""
    half = student_half(means, level)
    return float(means.mean() - half), float(means.mean() + half)


def standard_error(values: ArrayLike) -> float:
    """Return the standard error of the mean over problems, and over seeds where given ((n,) or (seeds, n)).

    0 where all values are equal, which proves nothing; the intervals of this package are no multiples of it.

    Examples
    --------
    >>> round(standard_error([0, 1] * 50), 4)  # 0.5 * sqrt(100 / 99) / 10
    0.0503
    """
    table = np.atleast_2d(checked("values", values))
    # The variances add, less their interaction, which is in both (Owen 2007, The pigeonhole bootstrap).
    over_problems, over_seeds, both = _variances(table)
    return float(np.sqrt(max(over_problems + over_seeds - both, over_problems, over_seeds)))


def _variances(table: np.ndarray) -> tuple[float, float, float]:
    """Variance of the mean by problems, by seeds, and what both count: their interaction."""
    seeds, n = table.shape
    of_problems = table.mean(axis=0)
    over_problems = float(of_problems.var(ddof=1) / n)
    if seeds == 1:
        return over_problems, 0.0, 0.0
    of_seeds = table.mean(axis=1)
    # Two-way analysis of variance: x_sp - x_.p - x_s. + x_.. is what neither problems nor seeds explain.
    rest = table - of_problems - of_seeds[:, None] + table.mean()
    both = float((rest**2).sum() / ((seeds - 1) * (n - 1)) / (seeds * n))
    return over_problems, float(of_seeds.var(ddof=1) / seeds), both


def is_number(value: object) -> bool:
    """Whether a value is one real number: no text, no truth value, no array."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def check_bounds(bounds: object, *, finite: bool = True) -> tuple[float, float]:
    """Return two rising ends of a scale, or refuse them."""
    pair = tuple(bounds) if isinstance(bounds, tuple | list | np.ndarray) else ()
    rising = len(pair) == 2 and all(map(is_number, pair)) and pair[0] < pair[1]
    if not rising and not finite:
        raise InputError("bounds", bounds, "are not two rising ends", "tokens have (0, inf)")
    if not rising or (finite and not np.isfinite(pair).all()):
        raise InputError("bounds", bounds, "are not two rising finite ends", "shares have (0, 1)")
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
    bounds: tuple[float, float] = FREE,
    apart: bool = False,
) -> Interval:
    """Return the mean of a (seeds, n) table with the interval `ends` over problems, widened by the seeds."""
    from scipy.stats import t

    value = float(table.mean())
    half = 0.0
    if len(table) > 1:
        half = student_half(table.mean(axis=1), level)
        if apart:  # the interaction of problems and seeds, which both spreads hold, counts once
            twice = t.ppf((1 + level) / 2, table.shape[1] - 1) ** 2 * _variances(table)[2]
            half = np.sqrt(max(half**2 - twice, 0.0))
    # Variance recovery (Zou & Donner 2008): the distances of each end from the mean add as squares.
    low = min(value, max(value - np.hypot(value - ends[0], half), bounds[0]))
    high = max(value, min(value + np.hypot(ends[1] - value, half), bounds[1]))
    return Interval(value, float(low), float(high))


def differences(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Return b - a, both checked."""
    first = checked("a", a)
    second = checked("b", b)
    if first.shape != second.shape:
        problem = f"needs the shape of a ({list(first.shape)})"
        raise InputError("b", list(second.shape), problem, "join both by id")
    return second - first


def checked(field: str, values: ArrayLike, least: int = 2, level: float = 0.95) -> np.ndarray:
    """Return values, (n,) or (seeds, n), as float64 of `least` problems or more; `level` is checked too."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biufO":
            raise TypeError("text, dates or complex numbers")
        array = array.astype(np.float64)
    except (TypeError, ValueError):
        problem = "are not numbers of one shape"
        raise InputError(field, values, problem, "give one number a problem") from None
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


# The mean of given values under Dirichlet(1, ..., 1) weights: its distribution, without random draws


def weighted_mean_cdf(values: ArrayLike, at: float) -> float:
    """Return P(sum of w_i x_i <= at) for w uniform on the simplex, to about 1e-8."""
    points, each = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    counts = each.astype(np.float64)
    if at <= points[0] or at >= points[-1]:
        return float(at >= points[-1])
    # Dirichlet weights are exponential variables E_i over their sum, so the event is Q = sum_i (x_i - at) E_i
    # <= 0. Its characteristic function, prod_i (1 - i u (x_i - at)) ** -counts_i, is inverted as a series
    # (Davies 1973, Numerical inversion of a characteristic function, Biometrika 60).
    factors = points - at
    largest = np.abs(factors).max()
    spread = np.sqrt(counts @ factors**2)
    step = 2 * np.pi / (abs(counts @ factors) + 8 * spread + TAIL * largest)
    block = max(16, min(128, AT_ONCE // len(factors)))
    total = 0.0
    for start in range(0, MOST_TERMS, block):
        # P(Q <= 0) = 1/2 - 1/pi sum_j sin(sum_i counts_i atan(u_j f_i))
        #                          * prod_i (1 + (u_j f_i)^2) ** (-counts_i / 2) / (j + 1/2)
        places = np.arange(start, start + block) + 0.5
        turned = step * places[:, None] * factors
        sizes = np.exp(-0.5 * (np.log1p(turned**2) @ counts)) / places
        total += float(np.sin(np.arctan(turned) @ counts) @ sizes)
        if sizes[-1] < SMALL:
            break
    return float(np.clip(0.5 - total / np.pi, 0.0, 1.0))


def weighted_mean_quantile(values: ArrayLike, share: float) -> float:
    """Return the value below which the weighted mean lies with probability `share` in (0, 1)."""
    from scipy.optimize import brentq
    from scipy.stats import beta

    points, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    low = points[0]
    high = points[-1]
    if len(points) == 1:
        return float(low)
    if len(points) == 2:  # the weight of the higher value has a beta law
        return float(low + (high - low) * beta.ppf(share, counts[1], counts[0]))
    close = 1e-8 * (high - low)
    return float(brentq(lambda at: weighted_mean_cdf(values, at) - share, low, high, xtol=close))


# The bootstrap over problems, by a method that the caller names


def bootstrap_interval(
    values: ArrayLike,
    *,
    method: str = "bootstrap-t",
    bounds: tuple[float, float] | None = None,
    level: float = 0.95,
    resamples: int | None = None,
    seed: int | None = None,
) -> Interval:
    """Return the mean with its bootstrap interval over problems, and over seeds where given.

    Parameters
    ----------
    values : array-like, (n,) or (seeds, n)
        One number a problem, or one a seed and problem; n >= 2, finite.
    method : {"bootstrap-t", "bca", "percentile", "student", "dirichlet"}
        ``bootstrap-t``: studentised resamples, for values whose scale has no known end (tokens, seconds);
        fewer than ten problems get Student's interval. ``bca``, ``percentile``: those of
        `scipy.stats.bootstrap`, too narrow for few problems, to compare with other work. ``student``: without
        draws. ``dirichlet``: `mean_interval`, for shares and other values with known ends, without draws.
    bounds : (float, float), optional
        ``dirichlet``: ends of the scale, (0, 1) if absent. Other methods: where the ends are cut, (0, inf)
        for a number of tokens.
    level : float
        Nominal coverage in (0, 1).
    resamples, seed : int, optional
        Draws, at least 100 (2,000 if absent), of an own generator (seed 0 if absent). Refused by methods that
        draw nothing.

    Returns
    -------
    Interval
        The ends are NaN (unknown) where all values are equal and the method knows no ends of the scale. An
        end of ``bootstrap-t`` is infinite, or that of `bounds`, where all but few values are equal.

    Raises
    ------
    InputError
        Another method, fewer than two values, a value that is not finite or outside the bounds of
        ``dirichlet``, a level or a number of resamples out of range, draws for a method that has none.

    Notes
    -----
    Coverage of forty skewed values: ``results/benchmarks/intervals.md``. Use ``dirichlet`` for shares: near 0
    and 1 resamples of few problems hold too few of the rarer outcome.

    References
    ----------
    Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 12.5 (bootstrap-t); DiCiccio & Efron
    1996, section 4; levels: Hesterberg 2015, What teachers should know about the bootstrap, section 3.2.

    Examples
    --------
    >>> bootstrap_interval([0, 1] * 50, method="dirichlet")
    Interval(value=0.5, low=0.398..., high=0.601...)
    """
    resamples, generator = _draws(method, resamples, seed)
    table = np.atleast_2d(checked("values", values, level=level))
    if method == "dirichlet":
        return mean_interval(table, bounds=SHARES if bounds is None else bounds, level=level)
    cut = check_bounds(FREE if bounds is None else bounds, finite=False)
    return _bootstrapped(table, method, cut, level, resamples, generator)


def paired_bootstrap(
    a: ArrayLike,
    b: ArrayLike,
    *,
    method: str = "bootstrap-t",
    level: float = 0.95,
    resamples: int | None = None,
    seed: int | None = None,
) -> Interval:
    """Return the mean of b - a over the same problems, with its bootstrap interval.

    Parameters
    ----------
    a, b : array-like, (n,) or (seeds, n)
        One number a problem (and seed), the same problem (and seed) at the same place.
    method : {"bootstrap-t", "bca", "percentile", "student", "dirichlet"}
        As in `bootstrap_interval`, of the differences; ``dirichlet``: `paired_interval` of shares, guarded at
        both ends.
    level, resamples, seed
        As in `bootstrap_interval`.

    Returns
    -------
    Interval
        Above zero where `b` is better at this level.

    Raises
    ------
    InputError
        Different lengths, or as in `bootstrap_interval`.

    References
    ----------
    As `bootstrap_interval`; for shares see `paired_interval`.

    Examples
    --------
    >>> paired_bootstrap([3.0, 5.0, 2.0] * 9, [4.0, 9.0, 4.0] * 9).low > 0
    True
    """
    resamples, generator = _draws(method, resamples, seed)
    difference = differences(a, b)
    if method == "dirichlet":
        return paired_interval(a, b, method="guarded", level=level)
    table = np.atleast_2d(checked("a", difference, level=level))
    return _bootstrapped(table, method, FREE, level, resamples, generator)


def _draws(method: str, resamples: int | None, seed: int | None) -> tuple[int, Generator]:
    """Check method and draws; return how many resamples, and what draws them."""
    check_name("method", method, METHODS)
    for name, given in (("resamples", resamples), ("seed", seed)):
        if given is not None and method not in DRAWN:
            raise InputError(name, given, f"means nothing to {method!r}, which draws nothing", "leave it out")
    resamples = DRAWS if resamples is None else resamples
    return resamples, _generator(resamples, 0 if seed is None else seed)


def _bootstrapped(
    table: np.ndarray, method: str, cut: tuple[float, float], level: float, resamples: int, rng: Generator
) -> Interval:
    from scipy.stats import bootstrap

    means = table.mean(axis=0)
    if np.ptp(means) <= 1e-12 * (1 + np.abs(means).max()):
        return Interval(float(table.mean()), float("nan"), float("nan"))
    if method == "student" or (method == "bootstrap-t" and len(means) < FEWEST):
        ends = student_ends(means, level)
    elif method == "bootstrap-t":
        ends = _studentised(means, level, resamples, rng)
    else:
        result = bootstrap(
            (means,),
            np.mean,
            n_resamples=resamples,
            batch=max(1, DRAWS_AT_ONCE // len(means)),
            confidence_level=level,
            method={"bca": "BCa"}.get(method, method),
            rng=rng,
        )
        ends = tuple(map(float, result.confidence_interval))
    return with_seeds(table, ends, level, cut)


def _studentised(means: np.ndarray, level: float, resamples: int, rng: Generator) -> tuple[float, float]:
    """Bootstrap-t: quantiles of (mean* - mean) / error*, put around the mean with the error at hand."""
    from scipy.stats import norm, t

    n = len(means)
    centre = means.mean()
    error = means.std(ddof=1) / np.sqrt(n)
    # Hesterberg 2015, section 3.2: resamples spread too little by sqrt((n - 1) / n) and know no t quantiles,
    # so the share that is cut is that of the normal law at Student's stretched quantile.
    share = norm.cdf(np.sqrt(n / (n - 1)) * t.ppf((1 - level) / 2, n - 1))
    blocks = []
    step = max(1, DRAWS_AT_ONCE // n)
    for start in range(0, resamples, step):
        drawn = means[rng.integers(n, size=(min(step, resamples - start), n))]
        errors = drawn.std(axis=1, ddof=1) / np.sqrt(n)
        moved = drawn.mean(axis=1) - centre
        spread = errors > 1e-12 * np.abs(means).max()
        # a draw of one value n times has no error: any distance is infinitely many of them
        blocks.append(np.where(spread, moved / np.where(spread, errors, 1.0), np.copysign(np.inf, moved)))
    ratios = np.concatenate(blocks)
    low = np.quantile(ratios, share, method="lower")  # outwards: between two draws may lie an infinite one
    high = np.quantile(ratios, 1 - share, method="higher")
    return float(centre - high * error), float(centre - low * error)


# Scores of several runs on several benchmarks as one number, and the chance that one run beats another


def interquartile_mean(values: ArrayLike) -> float:
    """Return the mean of the middle half of all values: floor(count / 4) are cut from each end.

    Parameters
    ----------
    values : array-like, any shape
        Scores, e.g. (runs, tasks); flattened.

    Raises
    ------
    InputError
        No value, or one that is not finite.

    References
    ----------
    Agarwal et al. 2021 (arXiv 2108.13264), section 4.3, as in the package rliable.

    Examples
    --------
    >>> interquartile_mean([[1, 2], [2, 2], [1, 1], [2, 1]])
    1.5
    """
    from scipy.stats import trim_mean

    try:
        flat = np.ravel(values)
    except ValueError:  # rows of different lengths
        raise InputError("values", values, "are rows of different lengths", "give one array") from None
    return float(trim_mean(checked("values", flat, least=1), 0.25))


def interquartile_interval(
    strata: Sequence[ArrayLike], *, widened: bool = True, resamples: int = DRAWS, seed: int = 0
) -> Interval:
    """Return the interquartile mean over benchmarks with its stratified bootstrap interval.

    The scores of every benchmark are resampled among themselves, so that each keeps its weight.

    Parameters
    ----------
    strata : sequence of array-like, one (runs,) each
        The scores of each benchmark, two or more: one a training run as in rliable, or one a problem.
    widened : bool
        False gives rliable's percentiles as they are.
    resamples, seed : int
        Bootstrap draws, at least 100, of an own generator.

    Returns
    -------
    Interval
        95 %; NaN (unknown) ends where the scores of every benchmark are equal.

    Notes
    -----
    For two or five benchmarks of normal scores it covered 92 to 96 % with five or ten runs each (percentiles:
    87 to 93 %), and 90 to 96 % with three. Skewed scores of two benchmarks: 90 %.

    References
    ----------
    Agarwal et al. 2021 (arXiv 2108.13264), sections 4.1 and 4.3; rliable's `get_interval_estimates` with
    `aggregate_iqm`, whose columns are the strata here.

    Examples
    --------
    >>> found = interquartile_interval([[0.1, 0.1, 0.2], [0.5, 0.6]])
    >>> found.low < found.value < found.high
    True
    """
    from scipy.stats import norm, t, trim_mean

    rows = [np.ravel(checked("strata", row)) for row in _benchmarks("strata", strata)]
    if not rows:
        raise InputError("strata", [], "no benchmark", "give the scores of one or more")
    generator = _generator(resamples, seed)
    drawn = [row[generator.integers(len(row), size=(resamples, len(row)))] for row in rows]
    means = trim_mean(np.concatenate(drawn, axis=1), 0.25, axis=1)
    value = interquartile_mean(np.concatenate(rows))
    if all(np.ptp(row) == 0 for row in rows):
        return Interval(value, float("nan"), float("nan"))
    ends = np.quantile(means, TAILS)
    if widened:
        # Percentiles of such resamples lie too close for a handful of runs: they are moved away from the
        # value by Student's factor and by that of the lost degrees of freedom, t(df) / z * sqrt(N / df).
        scores = sum(map(len, rows))
        free = scores - len(rows)
        factor = float(t.ppf(TAILS[1], free) / norm.ppf(TAILS[1]) * np.sqrt(scores / free))
        ends = value + (ends - value) * factor
    return Interval(value, float(min(ends[0], value)), float(max(ends[1], value)))


def probability_of_improvement(a: Sequence[ArrayLike], b: Sequence[ArrayLike]) -> Interval:
    """Return the chance that a run of `b` scores above a run of `a` on a benchmark drawn at random.

    Per benchmark the share of pairs that `b` wins, ties for a half (Mann-Whitney); then the mean over
    benchmarks. The 95 % interval resamples the runs of each benchmark, separately in `a` and in `b`.

    Parameters
    ----------
    a, b : sequences of array-like, one (runs,) each
        Scores by benchmark, the same benchmarks in the same sequence; numbers of runs may differ.

    Returns
    -------
    Interval
        In [0, 1]; one half means no improvement. One run a benchmark leaves nothing to resample: NaN ends.
        With problems in the place of benchmarks, use `mean_interval` of 1, 1/2 and 0 instead.

    References
    ----------
    Agarwal et al. 2021 (arXiv 2108.13264), section 4.3; rliable's `probability_of_improvement(b, a)`.

    Examples
    --------
    >>> y, x = [[1, 2, 3], [1, 2, 3]], [[1, 2, 1, 2], [2, 2, 1, 1]]
    >>> round(probability_of_improvement(y, x).value, 6)
    0.333333
    """
    a = _benchmarks("a", a)
    b = _benchmarks("b", b)
    if len(a) != len(b) or not a:
        raise InputError("b", len(b), f"benchmarks, and a has {len(a)}", "give the same benchmarks")
    generator = np.random.default_rng(0)
    value = 0.0
    drawn = np.zeros(DRAWS)
    for left, right in zip(a, b, strict=True):
        first, second = (np.ravel(checked("scores", row, 1)) for row in (left, right))
        gap = second[None, :] - first[:, None]
        wins = (gap > 0) + 0.5 * (gap == 0)
        value += wins.mean()
        # Bootstrap weights of both sides' runs; the share of won pairs is bilinear in them.
        rows, columns = (generator.multinomial(n, np.full(n, 1 / n), size=DRAWS) / n for n in wins.shape)
        drawn += ((rows @ wins) * columns).sum(axis=1)
    if max(np.size(row) for row in (*a, *b)) < 2:
        return Interval(float(value / len(a)), float("nan"), float("nan"))
    low, high = np.quantile(drawn / len(a), TAILS)
    return Interval(float(value / len(a)), float(low), float(high))


def _generator(resamples: int, seed: int) -> Generator:
    check_whole("resamples", resamples, 100, "use 2000")
    return np.random.default_rng(check_whole("seed", seed, 0, "use seed=0, 1, ..."))


def _benchmarks(field: str, strata: Sequence[ArrayLike]) -> list[ArrayLike]:
    if isinstance(strata, str) or not hasattr(strata, "__iter__"):
        raise InputError(field, strata, "is no sequence of benchmarks", "give one list of scores a benchmark")
    return list(strata)
