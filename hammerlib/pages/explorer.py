"""Orders as one page to play with: the path over the map, and how diverse its first part is, step by step."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hammerlib.advantages import EPS, group_advantages
from hammerlib.diversity import prefix_profile, random_reference
from hammerlib.dra import KERNELS, PAPER_EPS, SIGNS, adjust_rewards, diversity_weights
from hammerlib.errors import InputError
from hammerlib.ordering import edge_costs
from hammerlib.pages.page import Page, make_page
from hammerlib.pages.sides import clip

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

    from hammerlib.models.embeddings import Embeddings
    from hammerlib.ordering import Order

# Closer at the start, where orders differ most.
FRACTIONS = (0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.27, 0.35, 0.42, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SHOWN = 200  # characters of a problem
GRID = 10_000  # steps of a coordinate over the map


def order_explorer(
    orders: Mapping[str, Order],
    embeddings: Embeddings | np.ndarray,
    problems: Dataset,
    coordinates: np.ndarray,
    *,
    random_orders: int = 20,
) -> Page:
    """Return a page that walks orders over the map and measures their first part beside random orders.

    Strategy and eta are chosen on the page: orders of one strategy differ there by the eta they were made
    with, which their provenance tells.

    Parameters
    ----------
    orders : mapping of name to Order
        As `order_by` made them, of the same n problems; the first is shown first.
    embeddings : Embeddings or (n, d) array
        What diversity is measured on.
    problems : Dataset of n rows
        Columns prompt, topic.
    coordinates : float array, shape (n, 2)
        The map, for the eye only: `hammerlib.plots.project`.
    random_orders : int
        Behind the band; 95 % of them lie inside.

    Raises
    ------
    InputError
        No orders, or orders, embeddings, problems and coordinates of different lengths.

    Examples
    --------
    >>> from datasets import Dataset
    >>> from hammerlib import order_by
    >>> rows = np.random.default_rng(0).normal(size=(12, 3))
    >>> table = Dataset.from_dict({"prompt": ["?"] * 12, "topic": ["sum"] * 12})
    >>> orders = {f"hammer, eta {eta}": order_by("hammer", rows, eta=eta) for eta in (0.0, 0.5)}
    >>> order_explorer(orders, rows, table, rows[:, :2], random_orders=4)
    Page('Orders of 12 problems')
    """
    places = np.asarray(coordinates, dtype=float)
    if not orders:
        raise InputError("orders", orders, "are none", "give at least one Order by name")
    if places.shape != (len(problems), 2) or not np.isfinite(places).all():
        remedy = "give one finite (x, y) for each problem"
        raise InputError("coordinates", places.shape, f"do not place {len(problems)} problems", remedy)
    # Of few problems several fractions are the same part.
    parts = {max(2, round(fraction * len(problems))): fraction for fraction in FRACTIONS}
    measured: dict[str, Any] = {"problems": problems, "fractions": list(parts.values())}
    band = random_reference(embeddings, seeds=random_orders, **measured)
    topics, kind = np.unique(list(problems["topic"]), return_inverse=True)
    low = places.min(axis=0)
    span = max(float(np.ptp(places, axis=0).max()), 1e-9)
    data = {
        "points": np.rint((places - low) / span * GRID).astype(int).tolist(),
        "grid": GRID,
        "topics": [clip(topic) for topic in topics.tolist()],
        "topic": kind.tolist(),
        "prompts": [text if len(text) <= SHOWN else f"{text[:SHOWN]} …" for text in problems["prompt"]],
        "orders": [
            _order(name, order, prefix_profile(order, embeddings, **measured), embeddings)
            for name, order in orders.items()
        ],
        "band": {
            metric: rows[["count", "low", "value", "high"]].to_numpy().round(5).tolist()
            for metric, rows in band.groupby("metric", sort=False)
        },
        "random_orders": random_orders,
    }
    return make_page("explorer", f"Orders of {len(problems)} problems", {"data": data}, height=720)


def _order(
    name: str, order: Order, profile: pd.DataFrame, embeddings: Embeddings | np.ndarray
) -> dict[str, Any]:
    """What the page holds of one order."""
    options = order.provenance.get("options") or {}
    eta = options.get("eta", 0 if order.strategy == "hammer" else None)  # hammer's default
    reading = [f"({options['eta_mode']})"] if "eta_mode" in options else []
    vectors = getattr(embeddings, "vectors", embeddings)
    return {
        "name": name,
        "strategy": order.strategy,
        "eta": None if eta is None else " ".join([f"{eta:g}", *reading]),
        "cost": order.cost,
        "random_cost": order.random_cost,
        "path": order.permutation.tolist(),
        "edges": edge_costs(order.permutation, vectors).round(3).tolist(),
        "profile": {
            metric: rows[["count", "value"]].to_numpy().round(5).tolist()
            for metric, rows in profile.groupby("metric", sort=False)
        },
    }


# DRA on three vectors of a circle: weights and advantages as they are turned


CASES_EACH = 3  # groups for every combination of options


def dra_sliders() -> Page:
    """Return a page on which three completions' embeddings can be turned and their rewards changed.

    It shows cosines, weights, adjusted rewards and advantages without DRA, with it, and under the placebo
    (the same weights dealt among completions of equal reward). The page computes by itself; groups that
    `hammerlib.dra` computed are inside, and it says whether it agrees with them.

    Examples
    --------
    >>> dra_sliders()
    Page('DRA on three answers')
    """
    constants = {"eps": PAPER_EPS, "deviation_eps": EPS}
    return make_page("sliders", "DRA on three answers", {"cases": library_cases()}, constants, height=960)


def library_cases(seed: int = 0) -> list[dict[str, Any]]:
    """Return groups of three on a circle with what the library makes of them, under every combination."""
    rng = np.random.default_rng(seed)
    scales = ("group", "none")
    switches = (False, True)
    cases = []
    for smi, sign, scale, clamp, normalize in itertools.product(KERNELS, SIGNS, scales, switches, switches):
        if smi == "log_det" and clamp:
            continue  # the library refuses it
        kernel = {"smi": smi, "clamp": clamp, "normalize": normalize}
        for _ in range(CASES_EACH):
            angles = rng.integers(0, 360, 3)
            rewards = rng.choice([-1.0, -0.5, 0.0, 0.3, 1.0], 3)
            radians = np.radians(angles)
            vectors = np.stack([np.cos(radians), np.sin(radians)], axis=1)
            adjusted = adjust_rewards(rewards, vectors, sign=sign, **kernel)
            cases.append(
                {
                    "angles": angles.tolist(),
                    "rewards": rewards.tolist(),
                    "options": {**kernel, "sign": sign, "scale": scale},
                    "weights": diversity_weights(vectors, **kernel).tolist(),
                    "adjusted": adjusted.tolist(),
                    "advantages": group_advantages(adjusted, np.zeros(3, int), scale=scale).tolist(),
                }
            )
    return cases
