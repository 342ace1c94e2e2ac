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
