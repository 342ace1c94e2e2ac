"""The claim that early diverse data keeps the optimum, in policies trained without any sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

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
