"""How many problems, samples and seeds a wished precision takes, from the spread that was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hammerlib.errors import InputError
from hammerlib.evaluation.intervals import checked, is_number

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 400  # bootstrap draws of the components
COLUMNS = ("seeds", "samples", "problems", "low", "high")


class Components(NamedTuple):
    """Variances that add up to the variance of a mean over problems, seeds and samples.

    Attributes
    ----------
    problems : float
        Between problems, of their expected values.
    samples : float or None
        Between two samples of one problem; None where each problem has one, and it is inside `problems`.
    seeds : float or None
        Between seeds, of their means over all problems; None where there is one.
    mixed : float or None
        Of problems and seeds together (some seeds gain on some problems); None where there is one seed.

    Examples
    --------
    >>> Components(0.1, 0.2, None, None).samples
    0.2
    """

    problems: float
    samples: float | None
    seeds: float | None
    mixed: float | None


def sampling_variance(correct: ArrayLike, k: ArrayLike) -> np.ndarray:
    """Return the variance of one sample of each problem, estimated without bias from k of them.

    Parameters
    ----------
    correct : array-like of int, any shape
        Right samples of each problem.
    k : int, or array-like of int
        Samples of each problem, at least 2.

    Returns
    -------
    ndarray
        c (k - c) / (k (k - 1)), in [0, k / (4 (k - 1))].

    Raises
    ------
    InputError
        k < 2: one sample has no spread.

    Examples
    --------
    >>> sampling_variance([0, 1, 2], 2).tolist()
    [0.0, 0.5, 0.0]
    """
    right, n = np.asarray(correct, dtype=np.float64), np.asarray(k, dtype=np.float64)
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
        Estimates below zero are set to zero.

    Raises
    ------
    InputError
        Fewer than two problems, values that are not finite, `noise` of another shape.

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
    if noise is None:
        inside = None
    elif np.shape(np.atleast_2d(noise)) != table.shape:
        raise InputError("noise", list(np.shape(noise)), "needs the shape of values", "give one a value")
    else:
        inside = np.atleast_2d(noise)[None]
    parts = _components(table[None], inside, k)
    return Components(*(None if part is None else float(part[0]) for part in parts))


def _components(
    tables: np.ndarray, noise: np.ndarray | None, k: float
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Components of many tables at once: (draws, seeds, n)."""
    _, seeds, n = tables.shape
    inside = None if noise is None else noise.mean(axis=(1, 2))
    per_value = 0.0 if inside is None else inside / k
    of_problems = tables.mean(axis=1)
    between = of_problems.var(axis=1, ddof=1)
    if seeds == 1:
        return np.maximum(between - per_value, 0.0), inside, None, None
    of_seeds = tables.mean(axis=2)
    grand = tables.mean(axis=(1, 2))[:, None, None]
    rest = tables - of_problems[:, None, :] - of_seeds[:, :, None] + grand
    residual = (rest**2).sum(axis=(1, 2)) / ((seeds - 1) * (n - 1))
    apart = of_seeds.var(axis=1, ddof=1) - residual / n
    found = between - residual / seeds, inside, apart, residual - per_value
    return tuple(None if part is None else np.maximum(part, 0.0) for part in found)


def required_problems(
    values: ArrayLike,
    noise: ArrayLike | None = None,
    *,
    k: float = 1,
    half_width: float,
    samples: Sequence[int] = (1, 4, 16, 64),
    seeds: Sequence[int] = (1,),
    beyond: float = 0.5,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how many problems give an interval of value +- half_width, for numbers of samples and seeds.

    Parameters
    ----------
    values, noise, k
        A measured pilot, as in `variance_components`.
    half_width : float
        Wished half-width of the interval, in the unit of the values.
    samples : sequence of int
        Samples a problem to plan for; without `noise` only k can be.
    seeds : sequence of int
        Seeds to plan for; more than one only when `values` has seeds.
    beyond : float
        How far the interval's unseen problem lies from the mean, on average over both ends: 0.5 for shares
        (`mean_interval`), half of what `paired_interval` adds at one end; 0 for other values.
    level : float
        Nominal coverage in (0, 1).
    seed : int
        Of the bootstrap over problems that gives `low` and `high`.

    Returns
    -------
    DataFrame
        Columns ``seeds, samples, problems, low, high``: problems needed, with the interval that the pilot's
        own size leaves (NaN: no number of problems is enough, because the seeds alone spread more).

    Raises
    ------
    InputError
        A half-width that is not above 0, samples below 1, or as in `variance_components`.

    Notes
    -----
    half_width**2 = (t s_seeds)**2 / S + (d / n + z sqrt(v / n + (d / n)**2))**2 with d = beyond and
    v = problems + mixed / S + samples / (S k). A pilot of few seeds leaves their spread almost unknown, which
    the interval over problems does not show.

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
        if not listed or not all(is_number(one) and 1 <= one < np.inf for one in listed):
            raise InputError(name, listed, "must be numbers of at least 1", "give counts, such as (1, 4)")
    table = np.atleast_2d(checked("values", values, level=level))
    inside = None if noise is None else np.atleast_2d(noise)
    variance_components(table, inside, k=k)  # its checks
    generator, n = np.random.default_rng(seed), table.shape[1]
    drawn = np.vstack([np.arange(n), generator.integers(n, size=(DRAWS, n))])
    tables = table[:, drawn].transpose(1, 0, 2)
    parts = _components(tables, None if inside is None else inside[:, drawn].transpose(1, 0, 2), k)
    rows = []
    for count in seeds if len(table) > 1 else (1,):
        for each in samples if inside is not None else (k,):
            needed = _needed(parts, half_width, count, each, beyond, level)
            ends = np.quantile(needed[1:], [(1 - level) / 2, (1 + level) / 2], method="nearest")
            rows.append((count, each, *(np.nan if np.isinf(one) else one for one in (needed[0], *ends))))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _needed(
    parts: tuple, half_width: float, seeds: int, samples: int, beyond: float, level: float
) -> np.ndarray:
    from scipy.stats import norm, t

    problems, inside, apart, mixed = parts
    spread = problems + (0 if mixed is None else mixed / seeds)
    spread = spread + (0 if inside is None else inside / (seeds * samples))
    room = np.full(len(problems), half_width**2)
    if apart is not None:
        factor = t.ppf((1 + level) / 2, seeds - 1) if seeds > 1 else norm.ppf((1 + level) / 2)
        room = room - factor**2 * apart / seeds
    z2, left2 = norm.ppf((1 + level) / 2) ** 2, np.maximum(room, 0.0)
    # With x = 1 / n: (z2 - 1) d**2 x**2 + (2 h d + z2 v) x - h**2 = 0.
    linear = 2 * np.sqrt(left2) * beyond + z2 * spread
    root = linear + np.sqrt(linear**2 + 4 * max(z2 - 1, 0.0) * beyond**2 * left2)
    with np.errstate(divide="ignore"):
        needed = root / (2 * left2)
    return np.where(room > 0, np.maximum(np.ceil(needed - 1e-9), 2), np.inf)
