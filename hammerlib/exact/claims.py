"""The paper's theoretical claims on coverage and on the minimum path, where they can be computed exactly.

Its proofs are not known to us; these are tests of the claims in words: diverse subsets tighten the
generalisation gap, the minimum path is the most diverse. `tabular` tests that diverse data keeps the optimum.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from hammerlib.diversity.scores import coverage_radius, dcscore, mean_pairwise_cosine, vendi_score
from hammerlib.errors import InputError
from hammerlib.ordering import used_vectors
from hammerlib.similarity import Array, centred_rows, host

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

MOST_SUBSETS = 20_000


def coverage_gaps(
    pool: Array,
    held: Array,
    orders: Mapping[str, np.ndarray],
    *,
    fractions: Sequence[float] = (0.1, 0.25, 0.5),
    targets: int = 20,
    ridge: float = 1e-3,
    seed: int = 0,
) -> pd.DataFrame:
    """Learn Lipschitz targets from the first part of each order and return error gaps beside coverage.

    Targets are means of eight waves cos(w x + b), |w| = 3, on the centred unit vectors: their Lipschitz
    constant is at most 3, so a nearest neighbour at distance r errs by at most 3 r. Learners: one nearest
    neighbour, and kernel ridge with a Gaussian kernel as wide as the pool's median distance.

    Parameters
    ----------
    pool, held : (n, d) and (m, d) arrays
        What orders sort, and other items on which the error is measured.
    orders : mapping of str to (n,) int array
    fractions : sequence of float
        First parts of the orders.
    targets : int
        Random targets to average over.
    ridge : float
    seed : int

    Returns
    -------
    DataFrame
        Columns order, fraction, count, radius and distance (largest and mean distance of a held-out item to
        the part), gap_neighbour (mean absolute held-out error; that on the part is 0), worst_neighbour
        (largest), gap_ridge (mean squared error held out minus on the part).

    Raises
    ------
    InputError
        Fractions outside (0, 1].

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(30, 3))
    >>> frame = coverage_gaps(rows[:20], rows[20:], {"as given": np.arange(20)}, fractions=[0.5])
    >>> bool(frame["worst_neighbour"][0] <= 3 * frame["radius"][0])
    True
    """
    import pandas as pd

    if not all(0 < fraction <= 1 for fraction in fractions):
        raise InputError("fractions", list(fractions), "are not parts of a whole", "use 0 < fraction <= 1")
    units = used_vectors(np.concatenate([host(pool), host(held)]))
    rows = host(centred_rows(units)).astype(np.float64)
    n = len(pool)
    values = _waves(rows, targets, seed)
    apart = np.sqrt(np.clip(2 - 2 * rows @ rows[:n].T, 0, None))
    kernel = np.exp(-((apart / np.median(apart[:n])) ** 2) / 2)
    found = []
    for fraction in fractions:
        count = max(2, round(fraction * n))
        for name, order in orders.items():
            part = np.asarray(order)[:count]
            near = apart[n:, part]
            error = np.abs(values[n:] - values[part[near.argmin(axis=1)]])
            gap = _ridge_gap(kernel[:, part], values, part, n, ridge)
            reach = near.min(axis=1)
            found.append((name, fraction, count, reach.max(), reach.mean(), error.mean(), error.max(), gap))
    names = ["order", "fraction", "count", "radius", "distance"]
    return pd.DataFrame(found, columns=[*names, "gap_neighbour", "worst_neighbour", "gap_ridge"])


def _waves(rows: np.ndarray, targets: int, seed: int) -> np.ndarray:
    """Return (n, targets) values of random smooth functions of the rows."""
    generator = np.random.default_rng(seed)
    directions = generator.normal(size=(rows.shape[1], targets, 8))
    directions *= 3 / np.linalg.norm(directions, axis=0)
    shifts = generator.uniform(0, 2 * np.pi, size=(targets, 8))
    return np.cos(np.tensordot(rows, directions, axes=1) + shifts).mean(axis=2)


def _ridge_gap(kernel: np.ndarray, values: np.ndarray, part: np.ndarray, n: int, ridge: float) -> float:
    solved = np.linalg.solve(kernel[part] + ridge * np.eye(len(part)), values[part])
    squared = (kernel @ solved - values) ** 2
    return float(squared[n:].mean() - squared[part].mean())


def beside_random(covered: pd.DataFrame) -> pd.DataFrame:
    """Return coverage and gap of each named order beside those of random orders.

    Parameters
    ----------
    covered : DataFrame
        :func:`coverage_gaps`; orders whose name begins with ``random`` are the reference.

    Returns
    -------
    DataFrame
        Rows (fraction, order), the reference as ``random, mean``; columns radius, distance, gap_neighbour,
        gap_ridge, and larger_radius, larger_gap: shares of random orders with a larger radius, gap_neighbour.

    Examples
    --------
    >>> import pandas as pd
    >>> names = {"order": ["hammer", "random 0", "random 1"], "fraction": 0.1, "radius": [2.0, 1.0, 3.0]}
    >>> frame = pd.DataFrame(names | {"distance": 1.0, "gap_neighbour": [3.0, 1.0, 2.0], "gap_ridge": 0.0})
    >>> beside_random(frame)[["larger_radius", "larger_gap"]].iloc[0].tolist()
    [0.5, 0.0]
    """
    import pandas as pd

    columns = ["radius", "distance", "gap_neighbour", "gap_ridge"]
    rows = []
    for fraction, part in covered.groupby("fraction"):
        random = part["order"].str.startswith("random")
        chance = part[random]
        for _, row in part[~random].iterrows():
            larger = [(chance[name] > row[name]).mean() for name in ("radius", "gap_neighbour")]
            rows.append((fraction, row["order"], *row[columns], *larger))
        rows.append((fraction, "random, mean", *chance[columns].mean(), 0.5, 0.5))
    names = ["fraction", "order", *columns, "larger_radius", "larger_gap"]
    return pd.DataFrame(rows, columns=names).set_index(["fraction", "order"])


def coverage_correlations(covered: pd.DataFrame) -> pd.DataFrame:
    """Return how the gap goes with coverage over the random orders of each length (Spearman correlations).

    Parameters
    ----------
    covered : DataFrame
        :func:`coverage_gaps` with at least three orders whose name begins with ``random``.

    Returns
    -------
    DataFrame
        Rows (fraction, measure), measure `radius` or `distance`; columns gap_neighbour, gap_ridge.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(40, 3))
    >>> orders = {f"random {i}": np.random.default_rng(i).permutation(30) for i in range(5)}
    >>> coverage_correlations(coverage_gaps(rows[:30], rows[30:], orders)).shape
    (6, 2)
    """
    chance = covered[covered["order"].str.startswith("random")]
    columns = ["gap_neighbour", "gap_ridge"]
    found = chance.groupby("fraction")[["radius", "distance", *columns]].corr(method="spearman")[columns]
    return found.rename_axis(["fraction", "measure"])[
        found.index.get_level_values(1).isin(["radius", "distance"])
    ]


def poles(tilt: float = 0.2) -> np.ndarray:
    """Return twelve points whose minimum path begins **and** ends with the least diverse four.

    Two axes carry two points on either side each; four others form a regular simplex in three more
    dimensions, tilted a little away from the positive ends. The best path alternates over one axis, walks
    through the others and alternates over the other axis: cost -6 - 2 tilt + 3 c with c the cosine between
    two of the others, c = 2 tilt^2 - (1 - 2 tilt^2) / 3.

    Examples
    --------
    >>> from hammerlib.ordering.tour import exact_path
    >>> path = exact_path(poles())
    >>> sorted(path[:4].tolist()), sorted(path[-4:].tolist())
    ([0, 1, 2, 3], [4, 5, 6, 7])
    """
    rows = np.zeros((12, 5))
    rows[:4, 0] = rows[4:8, 1] = (1, 1, -1, -1)
    rows[8:, :2] = -tilt
    simplex = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) / np.sqrt(3)
    rows[8:, 2:] = np.sqrt(1 - 2 * tilt**2) * simplex
    return rows


def against_subsets(vectors: Array, chosen: Sequence[int]) -> pd.DataFrame:
    """Compare the diversity of a part of the rows with that of every part of its size.

    Parameters
    ----------
    vectors : (n, d) array
    chosen : sequence of int
        Rows of the part, for example the first of a path.

    Returns
    -------
    DataFrame
        Columns measure (`vendi`, `dcscore`, `mean_cosine`, `coverage_radius`), value, random (mean over all
        parts of this size, which is a random order's expectation) and less_diverse (share of the parts that
        are less diverse than this one).

    Raises
    ------
    InputError
        More than 20,000 parts of this size.

    Examples
    --------
    >>> against_subsets(np.eye(3), [0, 1])["value"].round(3).tolist()
    [2.0, 1.462, 0.0, 1.0]
    """
    from math import comb

    import pandas as pd

    rows = host(used_vectors(vectors))
    if comb(len(rows), len(chosen)) > MOST_SUBSETS:
        problem = f"has more than {MOST_SUBSETS} parts of its size"
        raise InputError("vectors", len(rows), problem, "use fewer rows")
    parts = [list(part) for part in combinations(range(len(rows)), len(chosen))]
    measures = {
        "vendi": vendi_score,
        "dcscore": dcscore,
        "mean_cosine": mean_pairwise_cosine,
        "coverage_radius": lambda part: coverage_radius(part, rows),
    }
    found = []
    for name, measure in measures.items():
        value, others = measure(rows[list(chosen)]), np.array([measure(rows[part]) for part in parts])
        lower = name in ("mean_cosine", "coverage_radius")  # small is diverse
        worse = others > value + 1e-9 if lower else others < value - 1e-9
        found.append((name, value, others.mean(), worse.mean()))
    return pd.DataFrame(found, columns=["measure", "value", "random", "less_diverse"])
