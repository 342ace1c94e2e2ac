"""ETTRL's two ways to reshape advantages by the entropy of the responses."""

from __future__ import annotations

import numpy as np

from hammerlib.errors import InputError
from hammerlib.training.seams import UNTRAINED


def entropy_scale(entropies: np.ndarray, groups: np.ndarray, *, clamp_min: float | None = None) -> np.ndarray:
    """Return what multiplies each advantage: ``Y = 2 - H / mean of the group's H``.

    Confident responses are amplified, uncertain ones damped, for both signs of the advantage. The mean of Y
    over a group is 1, but reshaped advantages no longer sum to 0. A response with more than twice the mean
    entropy gets a negative Y, which *reverses* its gradient: the formula as reported has no clamp.

    Parameters
    ----------
    entropies : (n,) float array
        Mean token entropy of each response, in nats, at least 0.
    groups : (n,) int array
        Group of each; -1 is not trained: left out of the mean, gets 1.
    clamp_min : float or None
        Smallest Y, such as 0 against the reversal (ours); None: as reported.

    Returns
    -------
    (n,) float64 array
        1 throughout a group without any entropy.

    Raises
    ------
    InputError
        Arrays of different lengths, a negative or missing entropy.

    Notes
    -----
    Source: Adv-Res of ETTRL (arXiv 2508.11356), known from two independent notes; no code is public.

    Examples
    --------
    >>> entropy_scale(np.array([0.5, 1.0, 1.5]), np.zeros(3, int)).tolist()
    [1.5, 1.0, 0.5]
    """
    entropies, groups = np.asarray(entropies, float), np.asarray(groups)
    if entropies.ndim != 1 or entropies.shape != groups.shape:
        shapes = [entropies.shape, groups.shape]
        raise InputError(
            "entropies, groups", shapes, "must both be of length n", "give one of each a response"
        )
    if not (entropies >= 0).all():
        raise InputError("entropies", entropies.min(), "are not all at least 0", "give mean token entropies")
    scale = np.ones(len(entropies))
    for name in np.unique(groups[groups != UNTRAINED]):
        rows = groups == name
        mean = entropies[rows].mean()
        if mean > 0:
            scale[rows] = 2 - entropies[rows] / mean
    return scale if clamp_min is None else np.maximum(scale, clamp_min)


def clip_advantages(advantages: np.ndarray, beta: float = 2.0) -> np.ndarray:
    """Return advantages cut to [-beta, beta].

    Parameters
    ----------
    advantages : float array of any shape
    beta : float
        Above 0; 2 is what one note on the paper gives.

    Returns
    -------
    float64 array of that shape

    Raises
    ------
    InputError
        `beta` is not above 0.

    Notes
    -----
    Source: Adv-Clip of ETTRL (arXiv 2508.11356).

    Examples
    --------
    >>> clip_advantages(np.array([4.474, -0.2])).tolist()
    [2.0, -0.2]
    """
    if not beta > 0:
        raise InputError("beta", beta, "must be above 0", "use 2")
    return np.clip(np.asarray(advantages, float), -beta, beta)
