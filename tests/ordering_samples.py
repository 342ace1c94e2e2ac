"""Vectors and problem tables that several test files use."""

from __future__ import annotations

import datasets
import numpy as np

BY_VECTORS = ("hammer", "min-path", "similar", "farthest-first", "logdet", "batch-diverse")


def gaussian(n: int, d: int, seed: int = 0, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) + mean


def problem_table(n: int, **columns: list) -> datasets.Dataset:
    rows = {"id": [f"p{i}" for i in range(n)], "prompt": [f"{i} + 1 = ?" for i in range(n)]}
    rows |= {"answer": [str(i + 1) for i in range(n)], "source": ["test"] * n}
    topics = [("add", "word", "time")[i % 5 % 3] for i in range(n)]
    return datasets.Dataset.from_dict(
        rows | {"topic": topics, "difficulty": [float(i % 4) for i in range(n)]} | columns
    )


def clusters(n: int, d: int, seed: int = 0, common: float = 1.6) -> np.ndarray:
    """Unequal clusters with falling spectra around a common direction, as a language model's states have."""
    rng = np.random.default_rng(seed)
    falling = np.arange(1, d + 1) ** -0.6
    falling /= np.sqrt((falling**2).sum())
    sizes = 1 / np.arange(1, 41)
    label = rng.choice(40, n, p=sizes / sizes.sum())
    centres = rng.normal(size=(40, d)) * falling * 0.55
    rows = common * rng.normal(size=d) / d**0.5 + centres[label] + rng.normal(size=(n, d)) * falling * 0.75
    return rows.astype(np.float32)
