"""Three sizes of the nano model: one depth, one recipe, other widths (ours).

Only the width, the feed-forward width with it (four times as wide) and the supervised stop differ. At the
shipped size's learning rate a wider model needs more steps, so each stops where it solves as much of the
held-out problems as the shipped model does, to begin reinforcement learning alike: seed 0,
`results/benchmarks/ladder.md`. Other seeds may be elsewhere at the same stop.
"""

from __future__ import annotations

from hammerlib.errors import InputError
from hammerlib.nano.recipe import Recipe

# Fields of `Recipe`; also ``starts`` of a study, with ``steps`` among its ``stops``.
SIZES: dict[str, dict[str, int]] = {
    "0.3M": {"width": 80, "inner": 320, "steps": 1100},
    "1M": {"width": 144, "inner": 576, "steps": 1300},
    "3M": {"width": 240, "inner": 960, "steps": 1700},
}


def sized(size: str, *, seed: int = 0) -> Recipe:
    """Return the recipe of one size.

    Parameters
    ----------
    size : str
        A key of `SIZES`; the number of parameters is 0.34, 1.05 or 2.86 million.
    seed : int
        Of weights and problems.

    Returns
    -------
    Recipe

    Raises
    ------
    InputError
        Unknown size.

    Examples
    --------
    >>> sized("3M").width
    240
    """
    if size not in SIZES:
        raise InputError("size", size, "is unknown", f"use one of {', '.join(SIZES)}")
    return Recipe(seed=seed, **SIZES[size])
