"""Records of cells made by hand, for tests of what is computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

TOPICS = ["sums", "sums", "gaps", "gaps", "story"]


def cell(
    arm: str = "random",
    replicate: int = 0,
    curve: Sequence[Sequence[int]] = ((1, 1, 1, 1, 0), (2, 2, 2, 2, 1), (3, 3, 3, 3, 2)),
    **changed: Any,
) -> dict[str, Any]:
    """A record with one row of right samples (of 4) a point; points 100 rollouts apart."""
    points = [
        {
            "step": place * 10,
            "rollouts": place * 100,
            "prompts": place * 25,
            "tokens": place * 1000,
            "seconds": place * 2.0,
            "correct": list(right),
            "answers": 2.0,
            "strategies": {"columns": 3},
        }
        for place, right in enumerate(curve)
    ]
    steps = 10 * (len(curve) - 1)
    record = {
        "schema_version": 1,
        "study": "hand",
        "arm": arm,
        "twin": "random",
        "replicate": replicate,
        "identity": f"{arm}-{replicate}",
        "status": "success",
        "error": None,
        "commit": "0123456789abcdef",
        "dirty": False,
        "packages": {"torch": "1+cpu"},
        "settings": {"samples": 4, "replicate": replicate, "train": {"order": arm}},
        "start": {"seed": replicate % 2, "stop": 700, "weights": "w", "parameters": 10},
        "problems": f"p{replicate}",
        "held_out": f"h{replicate}",
        "order": {"strategy": arm, "hash": "o", "cost": 0.8, "random_cost": 0.9},
        "probe_rollouts": 0,
        "topics": TOPICS,
        "unseen": ["story"],
        "curve": points,
        "final": {
            "samples": 4,
            "correct": list(curve[-1]),
            "greedy": [1, 1, 1, 0, 0],
            "strategies": {"columns": 5, "tens": 5},
        },
        "training": {"entropy": [1.0] * steps, "zero_variance_share": [0.5] * steps},
    }
    return record | changed


def grid(arms: dict[str, float], replicates: int = 6, seed: int = 0, **changed: Any) -> list[dict[str, Any]]:
    """Cells of several arms whose right samples differ by chance and by an effect on the solve rate."""
    found = []
    for replicate in range(replicates):
        level = 0.3 + 0.1 * (replicate % 2)  # the start's
        for place, (arm, effect) in enumerate(arms.items()):
            rng = np.random.default_rng([seed, replicate, place])
            rates = [level + 0.4 * point / 5 + (effect if point else 0) for point in range(6)]
            curve = [rng.binomial(4, rate, size=40).tolist() for rate in rates]
            curve[0] = np.random.default_rng([seed, replicate]).binomial(4, rates[0], size=40).tolist()
            found.append(cell(arm, replicate, curve, topics=(TOPICS * 8), **changed))
            found[-1]["final"]["greedy"] = [1] * 40
    return found
