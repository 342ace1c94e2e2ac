"""Tests between two runs over the same problems, and corrections for many tests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError, check_whole
from hammerlib.evaluation.intervals import checked, differences, is_number

ONE_A_SEED = "give one number a seed (its mean over the problems), not one a problem averaged over seeds"
FINEST = 4096  # differences that are multiples of 1/q for a q up to this are counted exactly
MOST_STEPS = 500_000_000  # additions of the exact count, about half a second
MOST_FLIPS = 1 << 20  # sums held in memory when every flip is listed: exact up to 20 pairs
PRODUCTS_AT_ONCE = 65_536  # sizes times candidate steps, held in memory at a time
DRAWS_AT_ONCE = 4_000_000  # signs held in memory at a time


class PermutationTest(NamedTuple):
    """Outcome of a test.

    Attributes
    ----------
    difference : float
        Mean of b - a.
    p : float
        Two-sided p-value in (0, 1].
    exact : bool
        Whether all sign flips were counted; else a random part of them was.

    Examples
    --------
    >>> PermutationTest(0.1, 0.03, True).p
    0.03
    """

    difference: float
    p: float
    exact: bool


def permutation_test(
    a: ArrayLike, b: ArrayLike, *, permutations: int = 20_000, seed: int = 0
) -> PermutationTest:
    """Test whether two runs differ on the same problems, by flipping the sign of each difference.

    Under the null hypothesis each problem's pair may be swapped. All 2**n swaps are counted, by adding up the
    distribution of the sum, when the differences are multiples of a common step: shares of k samples always
    are. So they are up to 20 pairs of any numbers. Otherwise `permutations` random swaps are drawn, and the
    p-value counts the observed one among them.

    Parameters
    ----------
    a, b : array-like, (n,)
        One number a problem of one run each, the same problem at the same place. For several training seeds
        give one number a seed (its mean over the problems), never one a problem averaged over seeds: swaps of
        problems would take what one lucky seed did on all of them for many findings.
    permutations : int
        Random swaps where exact counting is out of reach, at least 100.
    seed : int
        Of an own generator.

    Returns
    -------
    PermutationTest
        For values 0 and 1 it is the exact test of McNemar (the sign test).

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
    found = differences(a, b)
    if found.ndim != 1:
        raise InputError("a", list(found.shape), "has a second axis", ONE_A_SEED)
    permutations = check_whole("permutations", permutations, 100, "use 20000")
    seed = check_whole("seed", seed, 0, "use seed=0, 1, ...")
    p, exact = _p(*_in_reach(a, b, found), permutations, seed)
    return PermutationTest(float(found.mean()), p, exact)


def _in_reach(a: ArrayLike, b: ArrayLike, found: np.ndarray) -> tuple[np.ndarray, float]:
    """Differences, and the size below which one is rounding, on a scale that squares and steps can hold."""
    largest = max(float(np.abs(a).max()), float(np.abs(b).max()))
    if largest == 0 or 1e-3 <= largest <= 1e6:  # shares, tokens, seconds: as they are
        return found, 1e-12
    return np.asarray(b, np.float64) / largest - np.asarray(a, np.float64) / largest, 1e-12


def _p(found: np.ndarray, rounding: float, permutations: int, seed: int) -> tuple[float, bool]:
    """p-value, and whether it is exact."""
    sizes = np.abs(found[np.abs(found) > rounding])
    steps = _steps(sizes)
    if steps is not None and len(steps) * int(steps.sum()) <= MOST_STEPS:
        return _counted(steps, found), True
    if 2 ** len(sizes) <= MOST_FLIPS:
        return _flipped(sizes, abs(found.sum())), True
    return _drawn(sizes, abs(found.sum()), permutations, np.random.default_rng(seed)), False


def _steps(sizes: np.ndarray) -> np.ndarray | None:
    """Sizes as whole numbers of the coarsest common step 1/q, or None."""
    distinct = np.unique(sizes)
    if len(distinct) > FINEST:
        return None
    some = max(1, PRODUCTS_AT_ONCE // max(1, len(distinct)))
    for first in range(1, FINEST + 1, some):
        parts = np.arange(first, min(first + some, FINEST + 1))
        products = np.outer(parts, distinct)
        whole = np.flatnonzero(np.abs(products - np.rint(products)).max(axis=1, initial=0.0) < 1e-7)
        if len(whole):
            return np.rint(sizes * parts[whole[0]]).astype(np.int64)
    return None


def _counted(steps: np.ndarray, found: np.ndarray) -> float:
    total = int(steps.sum())
    if total == 0:
        return 1.0
    chance = np.zeros(total + 1)
    chance[0] = 1.0
    reached = 0
    for step in np.sort(steps):
        chance[step : reached + step + 1] += chance[: reached + 1].copy()
        reached += int(step)
        chance[: reached + 1] /= 2
    signed = int(np.abs(np.rint(found.sum() * total / np.abs(found).sum())))
    sums = np.abs(2 * np.arange(total + 1) - total)
    return float(min(chance[sums >= signed].sum(), 1.0))


def _flipped(sizes: np.ndarray, seen: float) -> float:
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate((sums - size, sums + size))
    return float((np.abs(sums) >= seen - 1e-9 * sizes.sum()).mean())


def _drawn(sizes: np.ndarray, seen: float, permutations: int, generator: np.random.Generator) -> float:
    step, as_extreme = max(1, DRAWS_AT_ONCE // len(sizes)), 0
    for start in range(0, permutations, step):
        signs = generator.integers(2, size=(min(step, permutations - start), len(sizes))) * 2 - 1
        as_extreme += int((np.abs(signs @ sizes) >= seen - 1e-9 * sizes.sum()).sum())
    return (as_extreme + 1) / (permutations + 1)


def equivalence_test(a: ArrayLike, b: ArrayLike, *, margin: float) -> float:
    """Test whether the mean difference of two runs lies inside +-margin (two one-sided t-tests).

    Parameters
    ----------
    a, b : array-like, (n,)
        One number a problem of one run each, or one number a seed (its mean over the problems); paired.
    margin : float
        Largest difference that does not matter, in the unit of the values, above 0.

    Returns
    -------
    float
        p-value of "the difference is at least the margin"; below 0.05: equivalent at that level.

    Raises
    ------
    InputError
        A margin that is not above 0, differences that are all equal (no spread to judge by), seeds as a
        second axis, or as in `differences`.

    References
    ----------
    Schuirmann 1987, A comparison of the two one-sided tests procedure and the power approach.

    Examples
    --------
    >>> 0.01 < equivalence_test([0, 0, 0, 0], [1, -1, 2, -2], margin=4) < 0.02
    True
    """
    from scipy.stats import t

    found = differences(a, b)
    if found.ndim != 1:
        raise InputError("a", list(found.shape), "has a second axis", ONE_A_SEED)
    if not (is_number(margin) and 0 < margin < np.inf):
        problem = "must be above 0 and finite"
        raise InputError("margin", margin, problem, "name the largest difference that is none")
    error = found.std(ddof=1) / np.sqrt(len(found))
    if error < 1e-12:
        raise InputError("b", float(found[0]), "every difference is equal", "use paired_interval")
    return float(t.sf((margin - abs(found.mean())) / error, len(found) - 1))


def holm(p: ArrayLike) -> np.ndarray:
    """Return p-values adjusted so that one false finding in the whole family has the level's chance.

    Parameters
    ----------
    p : array-like, (m,)
        In [0, 1].

    Returns
    -------
    ndarray, (m,)
        In the sequence given; at least `p`, at most 1.

    Raises
    ------
    InputError
        A value outside [0, 1].

    References
    ----------
    Holm 1979, A simple sequentially rejective multiple test procedure.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    given = _chances(p)
    order = np.argsort(given, kind="stable")
    factors = np.arange(len(given), 0, -1)
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1.0)
    return adjusted


def benjamini_hochberg(p: ArrayLike) -> np.ndarray:
    """Return p-values adjusted so that the expected share of false ones among the findings is the level.

    Parameters
    ----------
    p : array-like, (m,)
        In [0, 1], independent or positively dependent.

    Returns
    -------
    ndarray, (m,)
        In the sequence given.

    Raises
    ------
    InputError
        A value outside [0, 1].

    References
    ----------
    Benjamini & Hochberg 1995; scipy's `false_discovery_control`.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(6).tolist()
    [0.03, 0.04, 0.04]
    """
    from scipy.stats import false_discovery_control

    return false_discovery_control(_chances(p), method="bh")


def _chances(p: ArrayLike) -> np.ndarray:
    given = checked("p", np.ravel(p), least=1)
    if given.min() < 0 or given.max() > 1:
        raise InputError("p", [float(given.min()), float(given.max())], "outside [0, 1]", "give p-values")
    return given
