"""DRA on three vectors of a circle as one page to play with: weights and advantages as they are turned."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from hammerlib.advantages import EPS, group_advantages
from hammerlib.dra import KERNELS, PAPER_EPS, SIGNS, adjust_rewards, diversity_weights
from hammerlib.pages.page import Page, make_page

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
