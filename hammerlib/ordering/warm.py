"""Compile the path solver before it is needed: ``python -m hammerlib.ordering.warm`` (``make`` does it)."""

from __future__ import annotations

import numpy as np

from hammerlib.ordering.make import order_by


def compile_solver() -> None:
    """Solve small problems that take every way through compiled code, which stays beside its source."""
    rng = np.random.default_rng(0)
    few, rows = rng.normal(size=(9, 3)), rng.normal(size=(300, 6))
    order_by("min-path", few)
    order_by("min-path", rng.normal(size=(2100, 130)))
    order_by("batch-diverse", rows)
    for made in (rows, 1 + 1e-3 * rows, np.repeat(rows[:100], 2, axis=0)):  # the second in double precision
        order_by("min-path", made, gap=0.0)


if __name__ == "__main__":
    compile_solver()
