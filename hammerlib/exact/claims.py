"""The paper's theoretical claims, where they can be computed exactly.

Its proofs are not known to us; these are tests of the claims in words: diverse subsets tighten the
generalisation gap, the minimum path is the most diverse, and early diverse data keeps the optimum.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

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
    """
    import pandas as pd

    if not all(0 < fraction <= 1 for fraction in fractions):
        raise InputError("fractions", list(fractions), "are not parts of a whole", "use 0 < fraction <= 1")
    units = used_vectors(np.concatenate([host(pool), host(held)]))
    rows = host(centred_rows(units)).astype(np.float64)
    n = len(pool)
    values = _waves(rows, targets, seed)
    # |a - b|^2 = 2 - 2 a.b for unit vectors; rounding makes it slightly negative for equal ones
    apart = np.sqrt(np.clip(2 - 2 * rows @ rows[:n].T, 0, None))
    # Gaussian kernel, width: the median distance within the pool
    kernel = np.exp(-((apart / np.median(apart[:n])) ** 2) / 2)
    table = []
    for fraction in fractions:
        count = max(2, round(fraction * n))
        for name, order in orders.items():
            learnt = np.asarray(order)[:count]
            near = apart[n:, learnt]
            error = np.abs(values[n:] - values[learnt[near.argmin(axis=1)]])
            # f = K (K_LL + ridge I)^-1 y_L, and its gap: held-out error less that on what was learnt
            known = kernel[:, learnt]
            solved = np.linalg.solve(known[learnt] + ridge * np.eye(len(learnt)), values[learnt])
            squared = (known @ solved - values) ** 2
            gap = float(squared[n:].mean() - squared[learnt].mean())
            # how far each held-out point is from the nearest learnt one: error <= 3 reach
            reach = near.min(axis=1)
            table.append((name, fraction, count, reach.max(), reach.mean(), error.mean(), error.max(), gap))
    names = ["order", "fraction", "count", "radius", "distance"]
    return pd.DataFrame(table, columns=[*names, "gap_neighbour", "worst_neighbour", "gap_ridge"])


def _waves(rows: np.ndarray, targets: int, seed: int) -> np.ndarray:
    """Return (n, targets) values of random smooth functions of the rows."""
    generator = np.random.default_rng(seed)
    directions = generator.normal(size=(rows.shape[1], targets, 8))
    # |w| = 3: each wave, and so their mean, has Lipschitz constant 3
    directions *= 3 / np.linalg.norm(directions, axis=0)
    shifts = generator.uniform(0, 2 * np.pi, size=(targets, 8))
    return np.cos(np.tensordot(rows, directions, axes=1) + shifts).mean(axis=2)


def beside_random(covered: pd.DataFrame) -> pd.DataFrame:
    """Return coverage and gap of each named order beside those of random orders."""
    import pandas as pd

    columns = ["radius", "distance", "gap_neighbour", "gap_ridge"]
    rows = []
    for fraction, orders in covered.groupby("fraction"):
        random = orders["order"].str.startswith("random")
        chance = orders[random]
        for _, row in orders[~random].iterrows():
            # share of random orders that cover worse, or err more: near 1 is good, .5 is chance
            larger = [(chance[name] > row[name]).mean() for name in ("radius", "gap_neighbour")]
            rows.append((fraction, row["order"], *row[columns], *larger))
        rows.append((fraction, "random, mean", *chance[columns].mean(), 0.5, 0.5))
    names = ["fraction", "order", *columns, "larger_radius", "larger_gap"]
    return pd.DataFrame(rows, columns=names).set_index(["fraction", "order"])


def coverage_correlations(covered: pd.DataFrame) -> pd.DataFrame:
    """Return how the gap goes with coverage over the random orders of each length (Spearman correlations)."""
    chance = covered[covered["order"].str.startswith("random")]
    columns = ["gap_neighbour", "gap_ridge"]
    table = chance.groupby("fraction")[["radius", "distance", *columns]].corr(method="spearman")[columns]
    table = table.rename_axis(["fraction", "measure"])
    return table[table.index.get_level_values("measure").isin(["radius", "distance"])]


def poles(tilt: float = 0.2) -> np.ndarray:
    """Return twelve points whose minimum path begins **and** ends with the least diverse four.

    Two axes carry two points on either side each; four others form a regular simplex in three more
    dimensions, tilted a little away from the positive ends. The best path alternates over one axis, walks
    through the others and alternates over the other axis: cost -6 - 2 tilt + 3 c with c the cosine between
    two of the others, c = 2 tilt^2 - (1 - 2 tilt^2) / 3.
    """
    rows = np.zeros((12, 5))
    rows[:4, 0] = rows[4:8, 1] = (1, 1, -1, -1)
    rows[8:, :2] = -tilt
    simplex = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) / np.sqrt(3)
    # what the tilt leaves of length one goes into the simplex, whose corners have cosine -1/3
    rows[8:, 2:] = np.sqrt(1 - 2 * tilt**2) * simplex
    return rows


def against_subsets(vectors: Array, chosen: Sequence[int]) -> pd.DataFrame:
    """Compare the diversity of a part of the rows with that of every part of its size."""
    from math import comb

    import pandas as pd

    rows = host(used_vectors(vectors))
    if comb(len(rows), len(chosen)) > MOST_SUBSETS:
        problem = f"has more than {MOST_SUBSETS} parts of its size"
        raise InputError("vectors", len(rows), problem, "use fewer rows")
    subsets = [list(subset) for subset in combinations(range(len(rows)), len(chosen))]
    measures = {
        "vendi": vendi_score,
        "dcscore": dcscore,
        "mean_cosine": mean_pairwise_cosine,
        "coverage_radius": lambda subset: coverage_radius(subset, rows),
    }
    table = []
    for name, measure in measures.items():
        value = measure(rows[list(chosen)])
        others = np.array([measure(rows[subset]) for subset in subsets])
        if name in ("mean_cosine", "coverage_radius"):  # small is diverse
            worse = others > value + 1e-9
        else:
            worse = others < value - 1e-9
        table.append((name, value, others.mean(), worse.mean()))
    return pd.DataFrame(table, columns=["measure", "value", "random", "less_diverse"])


# The optimum, in policies trained without any sampling


def exact_training(
    features: np.ndarray,
    right: np.ndarray,
    orders: np.ndarray,
    *,
    actions: int,
    epochs: int = 200,
    rate: float = 1.0,
) -> np.ndarray:
    """Train a softmax policy by its exact expected gradient, one problem a step, once for every order.

    The policy of problem i is softmax(W x_i); one of its actions earns 1. The gradient of the expected reward
    J with respect to logit a is pi_a (r_a - J): nothing is sampled, so orders differ by nothing but order.
    With features = identity every problem has parameters of its own: the tabular model.
    """
    features, orders = np.asarray(features, dtype=np.float64), np.atleast_2d(orders)
    if not len(features) == len(right) == orders.shape[1]:
        sizes = (len(features), len(right), orders.shape[1])
        raise InputError("features, right, orders", sizes, "are of different problems", "use one table")
    weights = np.zeros((len(orders), features.shape[1], actions))
    every = np.arange(len(orders))
    rewards = [_chances(weights, features, right)]
    for _ in range(epochs):
        for now in orders.T:  # the problem of each order at this step
            policy = softmax(np.einsum("md,mda->ma", features[now], weights), axis=-1)
            reward = policy[every, right[now]]
            # dJ / d logit a = pi_a (r_a - J): r is 1 for the right action, J its chance
            step = -policy * reward[:, None]
            step[every, right[now]] += reward
            # dJ / dW = x (outer) dJ / d logits
            weights += rate * features[now][:, :, None] * step[:, None, :]
        rewards.append(_chances(weights, features, right))
    return np.stack(rewards)


def _chances(weights: np.ndarray, features: np.ndarray, right: np.ndarray) -> np.ndarray:
    policies = softmax(np.einsum("nd,mda->mna", features, weights), axis=-1)
    return policies[:, np.arange(len(right)), right]


def same_optimum(
    vectors: Array,
    orders: Mapping[str, np.ndarray],
    *,
    actions: int = 4,
    dimensions: int = 8,
    epochs: int = 200,
    rates: Sequence[float] = (1.0, 4.0),
    seed: int = 0,
) -> pd.DataFrame:
    """Train three exact models in every order and return what they have learnt early and late.

    `tabular`: parameters of its own for every problem. `shared, realisable`: linear in the first principal
    directions of the vectors, the right actions those of a linear teacher. `shared, too small`: the same
    features, right actions drawn at random, so that no policy is right everywhere.
    """
    import pandas as pd

    centred = host(centred_rows(used_vectors(vectors))).astype(np.float64)
    if dimensions > min(centred.shape):
        problem = f"exceed the {min(centred.shape)} directions of the vectors"
        raise InputError("dimensions", dimensions, problem, "use fewer")
    generator = np.random.default_rng(seed)
    # few shared directions: what one problem learns moves the others, so that order can matter
    directions = np.linalg.svd(centred, full_matrices=False)[2][:dimensions]
    shared = centred @ directions.T
    # one length for all, else the rate would be larger for some problems than for others
    shared /= np.linalg.norm(shared, axis=1, keepdims=True)
    teacher = (shared @ generator.normal(size=(dimensions, actions))).argmax(axis=1)
    random = generator.integers(actions, size=len(shared))
    models = {
        "tabular": (np.eye(len(shared)), random),
        "shared, realisable": (shared, teacher),
        "shared, too small": (shared, random),
    }
    rows = []
    for model, (features, right) in models.items():
        table = np.stack(list(orders.values()))
        for rate in rates:
            rewards = exact_training(features, right, table, actions=actions, epochs=epochs, rate=rate)
            # largest difference at the end between any order and the first, over the problems
            off = np.abs(rewards[-1] - rewards[-1][0]).max(axis=1)
            means = rewards.mean(axis=2)
            rows += [(model, rate, name, means[1][m], means[-1][m], off[m]) for m, name in enumerate(orders)]
    return pd.DataFrame(rows, columns=["model", "rate", "order", "first_pass", "last", "difference"])


def order_spread(learnt: pd.DataFrame) -> pd.DataFrame:
    """Return how much the order decides in each model: ranges over orders, the largest over the teachers."""
    each = learnt.groupby(["model", "rate", "teacher"], sort=False)
    spread = each.agg(
        early=("first_pass", np.ptp),
        late=("last", np.ptp),
        lowest=("last", "min"),
        highest=("last", "max"),
        problem=("difference", "max"),
    )
    largest = {"early": "max", "late": "max", "lowest": "min", "highest": "max", "problem": "max"}
    return spread.groupby(["model", "rate"], sort=False).agg(largest)
