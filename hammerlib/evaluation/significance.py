"""Tests between two runs over the same problems, and how many problems a wished precision takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError, check_whole
from hammerlib.evaluation.intervals import TAILS, checked, differences, is_number

if TYPE_CHECKING:
    import pandas as pd

ONE_A_SEED = "give one number a seed (its mean over the problems), not one a problem averaged over seeds"
FINEST = 4096  # differences that are multiples of 1/q for a q up to this are counted exactly
MOST_STEPS = 500_000_000  # additions of the exact count, about half a second
MOST_FLIPS = 1 << 20  # sums held in memory when every flip is listed: exact up to 20 pairs
PRODUCTS_AT_ONCE = 65_536  # sizes times candidate steps, held in memory at a time
DRAWS_AT_ONCE = 4_000_000  # signs held in memory at a time
ROUNDING = 1e-12  # a smaller difference is none
DRAWS = 400  # bootstrap draws of the components
COLUMNS = ("seeds", "samples", "problems", "low", "high")


class PermutationTest(NamedTuple):
    """Mean of b - a, its two-sided p-value in (0, 1], and whether all sign flips were counted."""

    difference: float
    p: float
    exact: bool


def permutation_test(
    a: ArrayLike, b: ArrayLike, *, permutations: int = 20_000, seed: int = 0
) -> PermutationTest:
    """Test whether two runs differ on the same problems, by flipping the sign of each difference.

    All 2**n swaps are counted when the differences are multiples of a common step (shares of k samples always
    are), or of up to 20 pairs. Otherwise `permutations` random swaps are drawn, and the p-value counts the
    observed one among them. For values 0 and 1 it is the exact test of McNemar.

    Parameters
    ----------
    a, b : array-like, (n,)
        One number a problem of one run each, the same problem at the same place. For several training seeds
        give one number a seed (its mean over the problems), never one a problem averaged over seeds: swaps of
        problems would take what one lucky seed did on all of them for many findings.
    permutations, seed : int
        Random swaps where exact counting is out of reach, at least 100, of an own generator.

    Raises
    ------
    InputError
        Different lengths, fewer than two values, seeds as a second axis, too few permutations.

    References
    ----------
    Fisher 1935, The Design of Experiments, section 21; Pagano & Tritchler 1983 (exact counting); Phipson &
    Smyth 2010 (random swaps never give p = 0).

    Examples
    --------
    >>> permutation_test([0, 0, 0, 0, 0], [1, 1, 1, 1, 1])  # 2 of the 32 flips are as extreme
    PermutationTest(difference=1.0, p=0.0625, exact=True)
    """
    difference = _one_a_pair(a, b)
    permutations = check_whole("permutations", permutations, 100, "use 20000")
    seed = check_whole("seed", seed, 0, "use seed=0, 1, ...")
    # Squares and steps need a scale that they can hold: shares, tokens and seconds are taken as they are.
    largest = max(float(np.abs(a).max()), float(np.abs(b).max()))
    scaled = difference
    if largest > 1e6 or 0 < largest < 1e-3:
        scaled = np.asarray(b, np.float64) / largest - np.asarray(a, np.float64) / largest
    p, exact = _p_value(scaled, permutations, seed)
    return PermutationTest(float(difference.mean()), p, exact)


def _one_a_pair(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    difference = differences(a, b)
    if difference.ndim != 1:
        raise InputError("a", list(difference.shape), "has a second axis", ONE_A_SEED)
    return difference


def _p_value(difference: np.ndarray, permutations: int, seed: int) -> tuple[float, bool]:
    """p-value, and whether it is exact."""
    sizes = np.abs(difference[np.abs(difference) > ROUNDING])
    steps = _steps(sizes)
    if steps is not None and len(steps) * int(steps.sum()) <= MOST_STEPS:
        return _counted(steps, difference), True
    if 2 ** len(sizes) <= MOST_FLIPS:
        return _flipped(sizes, abs(difference.sum())), True
    generator = np.random.default_rng(seed)
    # As far out as the observed sum, but for rounding.
    extreme = abs(difference.sum()) - 1e-9 * sizes.sum()
    as_extreme = 0
    step = max(1, DRAWS_AT_ONCE // len(sizes))
    for start in range(0, permutations, step):
        signs = generator.integers(2, size=(min(step, permutations - start), len(sizes))) * 2 - 1
        as_extreme += int((np.abs(signs @ sizes) >= extreme).sum())
    return (as_extreme + 1) / (permutations + 1), False  # the observed one counts too: never p = 0


def _flipped(sizes: np.ndarray, observed: float) -> float:
    """p-value from all 2**n sums of the flipped sizes."""
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate((sums - size, sums + size))
    return float((np.abs(sums) >= observed - 1e-9 * sizes.sum()).mean())


def _steps(sizes: np.ndarray) -> np.ndarray | None:
    """Sizes as whole numbers of the coarsest common step 1/q, or None."""
    # Shares of k samples differ by multiples of 1/k: the smallest q with q * size whole for every size.
    distinct = np.unique(sizes)
    if len(distinct) > FINEST:
        return None
    some = max(1, PRODUCTS_AT_ONCE // max(1, len(distinct)))
    for first in range(1, FINEST + 1, some):
        candidates = np.arange(first, min(first + some, FINEST + 1))
        products = np.outer(candidates, distinct)
        whole = np.flatnonzero(np.abs(products - np.rint(products)).max(axis=1, initial=0.0) < 1e-7)
        if len(whole):
            return np.rint(sizes * candidates[whole[0]]).astype(np.int64)
    return None


def _counted(steps: np.ndarray, difference: np.ndarray) -> float:
    """p-value from the distribution of the sum of the flipped steps, added one after another."""
    total = int(steps.sum())
    if total == 0:
        return 1.0
    # chance[s]: that the steps flipped to plus add up to s; a step m makes it the mean of chance[s] and
    # chance[s - m].
    chance = np.zeros(total + 1)
    chance[0] = 1.0
    reached = 0
    for step in np.sort(steps):
        chance[step : reached + step + 1] += chance[: reached + 1].copy()
        reached += int(step)
        chance[: reached + 1] /= 2
    # As flips to plus give s, the signed sum is 2 s - total; as extreme is what lies as far from 0.
    observed = int(np.abs(np.rint(difference.sum() * total / np.abs(difference).sum())))
    sums = np.abs(2 * np.arange(total + 1) - total)
    return float(min(chance[sums >= observed].sum(), 1.0))


def equivalence_test(a: ArrayLike, b: ArrayLike, *, margin: float) -> float:
    """Return the p-value of "the difference is at least the margin" (two one-sided t-tests).

    Parameters
    ----------
    a, b : array-like, (n,)
        One number a problem of one run each, or one number a seed (its mean over the problems); paired.
    margin : float
        Largest difference that does not matter, in the unit of the values, above 0.

    References
    ----------
    Schuirmann 1987, A comparison of the two one-sided tests procedure and the power approach.

    Examples
    --------
    >>> 0.01 < equivalence_test([0, 0, 0, 0], [1, -1, 2, -2], margin=4) < 0.02
    True
    """
    from scipy.stats import t

    difference = _one_a_pair(a, b)
    if not (is_number(margin) and 0 < margin < np.inf):
        problem = "must be above 0 and finite"
        raise InputError("margin", margin, problem, "name the largest difference that is none")
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    if error < 1e-12:
        raise InputError("b", float(difference[0]), "every difference is equal", "use paired_interval")
    return float(t.sf((margin - abs(difference.mean())) / error, len(difference) - 1))


def holm(p: ArrayLike) -> np.ndarray:
    """Return p-values adjusted so that one false finding in the whole family has the level's chance.

    In the sequence given; at least `p`, at most 1 (Holm 1979, A simple sequentially rejective multiple test
    procedure). A value outside [0, 1] is refused.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    chances = _chances(p)
    order = np.argsort(chances, kind="stable")
    adjusted = np.empty_like(chances)
    # The i-th smallest of n times n - i + 1, and never below the one before.
    factors = np.arange(len(chances), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(chances[order] * factors), 1.0)
    return adjusted


def benjamini_hochberg(p: ArrayLike) -> np.ndarray:
    """Return p-values adjusted so that the expected share of false ones among the findings is the level.

    For independent or positively dependent tests (Benjamini & Hochberg 1995; scipy's
    `false_discovery_control`).

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(6).tolist()
    [0.03, 0.04, 0.04]
    """
    from scipy.stats import false_discovery_control

    return false_discovery_control(_chances(p), method="bh")


def _chances(p: ArrayLike) -> np.ndarray:
    chances = checked("p", np.ravel(p), least=1)
    if chances.min() < 0 or chances.max() > 1:
        raise InputError("p", [float(chances.min()), float(chances.max())], "outside [0, 1]", "give p-values")
    return chances


class Components(NamedTuple):
    """Variances that add up to the variance of a mean over problems, seeds and samples."""

    problems: float  # of their expected values
    samples: float | None  # of two samples of one problem; None where each has one: then it is in `problems`
    seeds: float | None  # of their means over all problems; None where there is one
    mixed: float | None  # some seeds gain on some problems; None where there is one seed


def sampling_variance(correct: ArrayLike, k: ArrayLike) -> np.ndarray:
    """Return the variance of one sample of each problem, estimated without bias from k >= 2 of them.

    c (k - c) / (k (k - 1)) for c right samples, in [0, k / (4 (k - 1))].
    """
    right = np.asarray(correct, dtype=np.float64)
    n = np.asarray(k, dtype=np.float64)
    if n.min(initial=2) < 2:
        raise InputError("k", int(n.min()), "one sample has no spread", "draw two or more")
    return right * (n - right) / (n * (n - 1))


def variance_components(values: ArrayLike, noise: ArrayLike | None = None, *, k: float = 1) -> Components:
    """Split the spread of per-problem means into problems, samples and seeds (analysis of variance).

    Parameters
    ----------
    values : array-like, (n,) or (seeds, n)
        Mean of k samples, or a difference of two such means, by problem.
    noise : array-like, same shape, optional
        Variance of one sample of each (`sampling_variance`; for a difference the sum of both runs').
    k : float
        Samples behind each value; where numbers differ, their harmonic mean.

    Returns
    -------
    Components
        ``problems, samples, seeds, mixed``; estimates below zero are set to zero, None: not known.

    References
    ----------
    Searle, Casella & McCulloch 1992, Variance Components, chapter 4 (two-way crossed, balanced); Miller 2024
    (arXiv 2411.00640), Adding Error Bars to Evals, section 4.

    Examples
    --------
    >>> found = variance_components([0.0, 0.5, 1.0, 0.5], [0.0, 0.5, 0.0, 0.5], k=2)
    >>> round(found.problems, 6), found.samples
    (0.041667, 0.25)
    """
    if not (is_number(k) and 0 < k < np.inf):
        raise InputError("k", k, "must be above 0", "give the samples behind each value")
    if noise is not None and checked("noise", noise).min() < 0:
        raise InputError("noise", float(np.min(noise)), "is no variance", "use sampling_variance")
    table = np.atleast_2d(checked("values", values))
    inside = None
    if noise is not None:
        inside = np.atleast_2d(noise)[None]
        if inside.shape[1:] != table.shape:
            problem = "needs the shape of values"
            raise InputError("noise", list(np.shape(noise)), problem, "give one a value")
    variances = _components(table[None], inside, k)[:, 0]
    return Components(*(None if np.isnan(variance) else float(variance) for variance in variances))


def _components(tables: np.ndarray, noise: np.ndarray | None, k: float) -> np.ndarray:
    """Components of many tables (draws, seeds, n) at once, in the order of `Components`; NaN: not known."""
    draws, seeds, n = tables.shape
    unknown = np.full(draws, np.nan)
    inside = unknown if noise is None else noise.mean(axis=(1, 2))
    per_value = np.nan_to_num(inside) / k
    of_problems = tables.mean(axis=1)
    between = of_problems.var(axis=1, ddof=1)
    if seeds == 1:
        return np.array([np.maximum(between - per_value, 0.0), inside, unknown, unknown])
    of_seeds = tables.mean(axis=2)
    grand = tables.mean(axis=(1, 2))[:, None, None]
    rest = tables - of_problems[:, None, :] - of_seeds[:, :, None] + grand
    residual = (rest**2).sum(axis=(1, 2)) / ((seeds - 1) * (n - 1))
    apart = of_seeds.var(axis=1, ddof=1) - residual / n
    # Expected mean squares: between = problems + mixed / S + samples / (S k), residual = mixed + samples / k.
    # An estimate below zero is zero; NaN stays NaN.
    return np.maximum([between - residual / seeds, inside, apart, residual - per_value], 0.0)


def required_problems(
    values: ArrayLike,
    noise: ArrayLike | None = None,
    *,
    k: float = 1,
    half_width: float,
    samples: Sequence[int] = (1, 4, 16, 64),
    seeds: Sequence[int] = (1,),
    beyond: float = 0.5,
) -> pd.DataFrame:
    """Return how many problems give an interval of value +- half_width, for numbers of samples and seeds.

    Parameters
    ----------
    values, noise, k
        A measured pilot, as in `variance_components`.
    half_width : float
        Wished half-width of the 95 % interval, in the unit of the values.
    samples : sequence of int
        Samples a problem to plan for; without `noise` only k can be.
    seeds : sequence of int
        Seeds to plan for; more than one only when `values` has seeds.
    beyond : float
        How far the interval's unseen problem lies from the mean, on average over both ends: 0.5 for shares
        (`mean_interval`), half of what `paired_interval` adds at one end; 0 for other values.

    Returns
    -------
    DataFrame
        Columns ``seeds, samples, problems, low, high``: problems needed, with the interval that the pilot's
        own size leaves (NaN: no number of problems is enough, because the seeds alone spread more).

    Notes
    -----
    A pilot of few seeds leaves their spread almost unknown, which the interval over problems does not show.

    Examples
    --------
    >>> table = required_problems([0.0, 1.0] * 50, half_width=0.05)
    >>> table["problems"].tolist()  # Wald's 385, and the unseen problem
    [409.0]
    """
    import pandas as pd

    if not (is_number(half_width) and 0 < half_width < np.inf):
        raise InputError("half_width", half_width, "must be above 0", "for two points give 0.02")
    for name, counts in (("samples", samples), ("seeds", seeds)):
        listed = list(counts) if hasattr(counts, "__iter__") else [counts]
        if not listed or not all(is_number(count) and 1 <= count < np.inf for count in listed):
            raise InputError(name, listed, "must be numbers of at least 1", "give counts, such as (1, 4)")
    table = np.atleast_2d(checked("values", values))
    variance_components(table, None if noise is None else np.atleast_2d(noise), k=k)  # its checks
    generator = np.random.default_rng(0)
    n = table.shape[1]
    # The pilot itself first, then resamples of its problems: (draws, seeds, n).
    drawn = np.vstack([np.arange(n), generator.integers(n, size=(DRAWS, n))])
    inside = None
    if noise is not None:
        inside = np.atleast_2d(noise)[:, drawn].transpose(1, 0, 2)
    components = _components(table[:, drawn].transpose(1, 0, 2), inside, k)
    if noise is None:
        samples = (k,)
    if len(table) == 1:
        seeds = (1,)
    rows = []
    for count in seeds:
        for each in samples:
            needed = _needed(components, half_width, count, each, beyond)
            ends = np.quantile(needed[1:], TAILS, method="nearest")
            rows.append((count, each, needed[0], *ends))
    return pd.DataFrame(rows, columns=list(COLUMNS)).replace(np.inf, np.nan)


def _needed(components: np.ndarray, half_width: float, seeds: int, samples: int, beyond: float) -> np.ndarray:
    from scipy.stats import norm, t

    # half_width**2 = (t s_seeds)**2 / S + (d / n + z sqrt(v / n + (d / n)**2))**2 with d = beyond and
    # v = problems + mixed / S + samples / (S k).
    z = norm.ppf(TAILS[1])
    # What is not known is left out.
    problems, inside, apart, mixed = np.nan_to_num(components)
    spread = problems + mixed / seeds + inside / (seeds * samples)
    # What the seeds alone take of the half-width cannot be bought back by problems.
    factor = t.ppf(TAILS[1], seeds - 1) if seeds > 1 else z
    room = half_width**2 - factor**2 * apart / seeds
    left = np.maximum(room, 0.0)
    # With x = 1 / n: (z^2 - 1) d^2 x^2 + (2 h d + z^2 v) x - h^2 = 0.
    linear = 2 * np.sqrt(left) * beyond + z**2 * spread
    root = linear + np.sqrt(linear**2 + 4 * max(z**2 - 1, 0.0) * beyond**2 * left)
    with np.errstate(divide="ignore"):
        needed = root / (2 * left)
    return np.where(room > 0, np.maximum(np.ceil(needed - 1e-9), 2), np.inf)
