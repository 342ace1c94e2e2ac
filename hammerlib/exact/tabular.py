"""The claim that early diverse data keeps the optimum, in policies trained without any sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hammerlib.errors import InputError
from hammerlib.ordering import used_vectors
from hammerlib.similarity import Array, centred_rows, host

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd


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

    Parameters
    ----------
    features : (n, d) array
        Row i is x_i.
    right : (n,) int array
        The action that earns 1.
    orders : (m, n) int array
        Permutations; each epoch repeats them.
    actions : int
    epochs : int
    rate : float
        Constant step size.

    Returns
    -------
    (epochs + 1, m, n) float64 array
        Expected reward (chance of the right action) of every problem, before training and after each epoch.

    Raises
    ------
    InputError
        Features, right actions and orders of different numbers of problems.

    Examples
    --------
    >>> told = exact_training(np.eye(1), np.array([0]), np.array([[0]]), actions=2, epochs=1)
    >>> told[:, 0, 0].round(3).tolist()
    [0.5, 0.622]
    """
    features, orders = np.asarray(features, dtype=np.float64), np.atleast_2d(orders)
    if not len(features) == len(right) == orders.shape[1]:
        sizes = (len(features), len(right), orders.shape[1])
        raise InputError("features, right, orders", sizes, "are of different problems", "use one table")
    weights = np.zeros((len(orders), features.shape[1], actions))
    every = np.arange(len(orders))
    told = [_chances(weights, features, right)]
    for _ in range(epochs):
        for now in orders.T:  # the problem of each order at this step
            policy = _softmax(np.einsum("md,mda->ma", features[now], weights))
            reward = policy[every, right[now]]
            step = -policy * reward[:, None]
            step[every, right[now]] += reward
            weights += rate * features[now][:, :, None] * step[:, None, :]
        told.append(_chances(weights, features, right))
    return np.stack(told)


def _softmax(logits: np.ndarray) -> np.ndarray:
    grown = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


def _chances(weights: np.ndarray, features: np.ndarray, right: np.ndarray) -> np.ndarray:
    policies = _softmax(np.einsum("nd,mda->mna", features, weights))
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

    Parameters
    ----------
    vectors : (n, d) array
    orders : mapping of str to (n,) int array
    actions, dimensions, epochs : int
        Of the models.
    rates : sequence of float
        Constant step sizes, each for a training of its own.
    seed : int
        Draws teacher and random actions.

    Returns
    -------
    DataFrame
        Columns model, rate, order, first_pass and last (mean expected reward after one and after all epochs;
        the optimum is 1 where the model is realisable), difference (largest difference of a problem's last
        expected reward to that of the first order).

    Raises
    ------
    InputError
        More dimensions than the vectors have, or orders of other items.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(6, 4))
    >>> frame = same_optimum(rows, {"a": np.arange(6), "b": np.arange(6)[::-1]}, dimensions=3, epochs=2)
    >>> frame.loc[frame["model"] == "tabular", "difference"].tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    import pandas as pd

    centred = host(centred_rows(used_vectors(vectors))).astype(np.float64)
    if dimensions > min(centred.shape):
        problem = f"exceed the {min(centred.shape)} directions of the vectors"
        raise InputError("dimensions", dimensions, problem, "use fewer")
    generator = np.random.default_rng(seed)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:dimensions]
    shared = centred @ directions.T
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
            told = exact_training(features, right, table, actions=actions, epochs=epochs, rate=rate)
            off = np.abs(told[-1] - told[-1][0]).max(axis=1)
            means = told.mean(axis=2)
            rows += [(model, rate, name, means[1][m], means[-1][m], off[m]) for m, name in enumerate(orders)]
    return pd.DataFrame(rows, columns=["model", "rate", "order", "first_pass", "last", "difference"])


def order_spread(learnt: pd.DataFrame) -> pd.DataFrame:
    """Return how much the order decides in each model: ranges over orders, the largest over the teachers.

    Parameters
    ----------
    learnt : DataFrame
        `same_optimum` of several seeds, one below the other, with a column `teacher`.

    Returns
    -------
    DataFrame
        Rows (model, rate); columns early and late (range over orders of the mean expected reward after one
        and after all passes), lowest and highest (of that reward, late), problem (largest late difference of
        a single problem).

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(6, 4))
    >>> frame = same_optimum(rows, {"a": np.arange(6)}, dimensions=3, epochs=2)
    >>> float(order_spread(frame.assign(teacher=0))["late"].max())
    0.0
    """
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
